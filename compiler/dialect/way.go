package dialect

import "github.com/seawall/seawall/compiler/packet"

// Step is one rule that a packet matched on its way.
type Step struct {
	Chain   string
	Line    int    // in the file, from 1
	Rule    string // as the dialect's program prints it
	Returns bool   // the rule returns to the chain's caller
	Unsure  string // the words of the rule that cannot be evaluated, or ""
}

// Way is a packet's path through the rules of a file.
type Way struct {
	Steps   []Step // the rules that matched, in order; the last one decided
	Verdict packet.Verdict
	Ended   string // what ended the path if no rule did
}

// Unsure returns the first rule on the path that cannot be evaluated, or nil.
func (w *Way) Unsure() *Step {
	for i := range w.Steps {
		if w.Steps[i].Unsure != "" {
			return &w.Steps[i]
		}
	}
	return nil
}

// Decider returns the rule that decided, or nil where none did: the packet came to the
// end of a chain, say, or past the policy's.
func (w *Way) Decider() *Step {
	n := len(w.Steps)
	if n == 0 || w.Ended != "" && !w.Steps[n-1].Returns {
		return nil
	}
	return &w.Steps[n-1]
}

// Trace follows one packet through rules, from its hook on, in a space of its own.
func Trace(r Rules, p packet.Packet) *Way {
	s := packet.NewSpace(p.Family(), append(r.Patterns(), p.In, p.Out)...).WithMembers(p.Members.Names()...)
	return r.Reader(s.Store(), s).Trace(p)
}
