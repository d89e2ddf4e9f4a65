package prove

import (
	"github.com/seawall/seawall/compiler/rules"
)

// set interprets --match-set NAME src (or dst) of an ipset whose entries are
// known.
func (r *reader) set(m rules.Match) parts {
	if len(m.Options) != 1 || m.Options[0].Name != "--match-set" || len(m.Options[0].Values) != 2 {
		return parts{opaque: describe(m)}
	}
	o := m.Options[0]
	property := map[string]int{"src": pSrc, "dst": pDst}[o.Values[1]]
	s := r.sets[o.Values[0]]
	if s == nil || property == 0 {
		return parts{opaque: describe(m)}
	}
	var x box
	x[property] = none
	if s.Family == r.family {
		x[property] = r.setOf(s.Entries)
	}
	if x[property] = r.negate(o.Not, property, x[property]); len(x[property]) == 0 {
		return parts{boxes: []box{}}
	}
	return parts{boxes: []box{x}}
}

// setOf is the addresses that are in a hash:net: of the entries that hold an
// address the longest decides (ipset(8)). So from the shortest on, those of each
// length are added, or with nomatch taken out.
func (r *reader) setOf(entries []rules.SetEntry) set {
	type length struct{ in, out []span }
	lengths := map[int]*length{}
	for _, e := range entries {
		n := e.Prefix.Bits()
		if lengths[n] == nil {
			lengths[n] = &length{}
		}
		if e.NoMatch {
			lengths[n].out = append(lengths[n].out, prefixSpan(e.Prefix))
		} else {
			lengths[n].in = append(lengths[n].in, prefixSpan(e.Prefix))
		}
	}
	all := none
	for n := range r.family.Bits() + 1 {
		if l := lengths[n]; l != nil {
			all = normal(append(append([]span{}, all...), l.in...))
			all = all.intersect(normal(append([]span{}, l.out...)).complement(maxAddress(r.family)))
		}
	}
	return all
}
