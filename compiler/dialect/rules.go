// Package dialect says what the proof asks of rules, whatever program loads them.
// Packages iptables and nftables are the dialects; a new one is a package that
// reads its program's text and implements Rules.
//
//	rules.go  the questions
//	way.go    one packet's path
package dialect

import (
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// Rules are what a file loads, for one family.
type Rules interface {
	// Patterns returns the interface names that the rules use, as in a policy: eth0,
	// or eth+ for a prefix.
	Patterns() []string
	// IPSets returns the ipsets that the rules match a source against, and whose contents
	// are not known.
	IPSets() []string
	// Reader returns a reader of the rules in a space that tells their interfaces
	// apart.
	Reader(d *diagram.Store, s *packet.Space) Reader
	// Lines returns the lines of the rules in their file, in order.
	Lines() []int
	// Text returns the rule of a line.
	Text(line int) string
	// UpTo returns the rules up to a line.
	UpTo(line int) Rules
	// FinalAccept reports whether a rule can let a packet past the rules that
	// follow. Where none can, a policy's accept is a pass.
	FinalAccept() bool
}

// Reader determines what rules do with packets, as functions from packets to
// verdicts.
type Reader interface {
	// Hook returns the function of the policy's rules at a hook, and of what
	// precedes them. What comes after them belongs to Docker or to the host, and
	// counts as Pass. The error is for rules that their program refuses.
	Hook(packet.Hook) (diagram.Ref, error)
	// Whole returns the function of all rules at a hook, from the first to the last,
	// those of other software too.
	Whole(packet.Hook) (diagram.Ref, error)
	// Focus narrows what is asked to one packet with every source that it may have.
	// It must be called before anything else is asked.
	Focus(packet.Packet)
	// Trace follows one packet. A match that cannot be evaluated is taken not to
	// match.
	Trace(packet.Packet) *Way
}
