package match

import (
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// mark matches the packet's mark under a mask (libxt_mark.c; net/netfilter/
// xt_mark.c, mark_mt). In a table with a rule that may change marks it is not
// evaluated: the result depends on the path that the packet took.
func init() {
	register(Module{Name: "mark", Kind: MatchKind, Means: mark,
		Options: []Option{{Name: "mark", Value: MarkMask, Not: true, Required: true}}})
}

func mark(r *Reader, u *Use) Cases {
	if len(u.Options) == 0 { // a later match of the rule is not known, so its options are not read
		return Unsure(u.String())
	}
	g := u.Options[0]
	value, mask, ok := markMask(g.Values[0])
	if by := r.Changed(MarkThing); by != "" || !ok {
		return Unsure(u.String() + " (" + by + ")")
	}
	if value&^mask != 0 { // bits outside the mask never match
		if g.Not {
			return nil
		}
		return Never
	}
	var same diagram.Box
	cases := Never
	for i, p := range []int{packet.Mark0, packet.Mark1, packet.Mark2, packet.Mark3} {
		byteMask, byteValue := int(mask>>(8*i)&255), int(value>>(8*i)&255)
		if byteMask == 0 {
			continue
		}
		// Eight bits never have too many holes.
		these, _ := diagram.Masked(diagram.Small(byteValue), diagram.Small(byteMask), 8)
		other := same // the previous bytes agree, and this one does not
		other[p] = these.Complement(r.Max(p))
		cases = append(cases, in(other)...)
		same[p] = these
	}
	if g.Not {
		return cases
	}
	return in(same)
}
