package match

import (
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// mark asks for the packet's mark under a mask (libxt_mark.c; net/netfilter/
// xt_mark.c, mark_mt). In a table with a rule that may change marks it is not
// evaluated: what it sees depends on the way that the packet came.
func init() {
	register(Module{Name: "mark", Kind: MatchKind, Means: mark,
		Options: []Option{{Name: "mark", Value: MarkMask, Not: true, Required: true}}})
}

func mark(r *Reader, u *Use) Cases {
	g := u.Options[0]
	value, mask, ok := markMask(g.Values[0])
	if by := r.Changed(MarkThing); by != "" || !ok {
		return Unsure(u.String() + " (" + by + ")")
	}
	s := diagram.None // bits outside the mask never match
	if value&^mask == 0 {
		if s, ok = diagram.Masked(diagram.Value{Lo: uint64(value)}, diagram.Value{Lo: uint64(mask)}, 32); !ok {
			return Unsure(u.String())
		}
	}
	return property(packet.Mark, r.Not(g.Not, packet.Mark, s))
}
