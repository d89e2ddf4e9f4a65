package meaning

import (
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// Lists are the addresses of one family in a policy's lists of sources, each worked out once.
type Lists struct {
	family packet.Family
	lists  map[*schema.Sources]diagram.Set
	blocks map[*schema.Set]diagram.Set
}

// NewLists returns the lists of one family, none of them read yet.
func NewLists(f packet.Family) *Lists {
	return &Lists{f, map[*schema.Sources]diagram.Set{}, map[*schema.Set]diagram.Set{}}
}

// Of returns the addresses of sources; nil means all.
func (r *Lists) Of(s *schema.Sources) diagram.Set {
	if s == nil || s.Any {
		return nil
	}
	if len(s.Lists) == 0 && len(s.Sets) == 1 {
		return r.block(s.Sets[0].Set)
	}
	if got, ok := r.lists[s]; ok {
		return got
	}
	got := r.union(s)
	r.lists[s] = got
	return got
}

func (r *Lists) union(s *schema.Sources) diagram.Set {
	size := 0
	for _, l := range s.Lists {
		size += l.Count(r.family == packet.IPv4)
	}
	spans := make([]diagram.Span, 0, size)
	for _, l := range s.Lists {
		for e := range l.All() {
			if e.First.Is4() == (r.family == packet.IPv4) {
				spans = append(spans, diagram.Span{Lo: diagram.OfAddr(e.First), Hi: diagram.OfAddr(e.Last)})
			}
		}
	}
	for _, named := range s.Sets {
		if named.Set.Filled() {
			continue // who is in it is not a matter of addresses
		}
		inner := r.block(named.Set)
		if inner == nil {
			return nil
		}
		spans = append(spans, inner...)
	}
	return diagram.Normal(spans)
}

// without returns the addresses of sources that are not in except, which may be nil
// for none.
func (r *Lists) without(sources, except *schema.Sources) diagram.Set {
	s := r.Of(sources)
	if except == nil {
		return s
	}
	most := packet.MaxAddress(r.family)
	return s.OrAll(most).Intersect(r.Of(except).Complement(most))
}

// block returns the addresses of a set block.
func (r *Lists) block(s *schema.Set) diagram.Set {
	got, ok := r.blocks[s]
	if !ok {
		got = r.without(s.Sources, s.Except)
		r.blocks[s] = got
	}
	return got
}

// Read reads all lists of a document for both families.
func Read(doc *schema.Document) map[packet.Family]*Lists {
	all := map[packet.Family]*Lists{}
	for _, f := range packet.Families {
		lists := NewLists(f)
		read := func(rules []*schema.Rule) {
			for _, r := range rules {
				lists.Of(r.Sources)
				lists.Of(r.Except)
			}
		}
		if doc.Guard != nil {
			read(doc.Guard.Rules)
		}
		for _, x := range doc.Policies {
			read(x.Rules)
		}
		all[f] = lists
	}
	return all
}
