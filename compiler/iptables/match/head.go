package match

import (
	"slices"

	"github.com/seawall/seawall/compiler/packet"
)

// Head is what a rule says of packets beside its modules, as far as iptables
// looks at it when it takes a module: the family and -p.
type Head struct {
	Family   packet.Family
	Protocol packet.Protocol // 0 for every protocol
	Not      bool            // -p has a "!"
}

// Is reports whether -p names one of some protocols.
func (h Head) Is(protocols ...packet.Protocol) bool {
	return !h.Not && slices.Contains(protocols, h.Protocol)
}

// from is the built-in chains from which alone a rule may be reached, whatever
// the options of the module are.
func from(chains ...string) func(*Use) []string { return func(*Use) []string { return chains } }
