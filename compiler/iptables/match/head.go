package match

import (
	"slices"

	"github.com/seawall/seawall/compiler/packet"
)

// Head is what a rule says about packets apart from its modules, as far as iptables
// considers it when it loads a module: the family and -p.
type Head struct {
	Family   packet.Family
	Protocol packet.Protocol // 0 for every protocol
	Not      bool            // -p is negated
}

// Is reports whether -p names one of the protocols.
func (h Head) Is(protocols ...packet.Protocol) bool {
	return !h.Not && slices.Contains(protocols, h.Protocol)
}

// from returns a Hooks function for a module that is only valid on a path from the
// given built-in chains, whatever its options are.
func from(chains ...string) func(*Use) []string { return func(*Use) []string { return chains } }
