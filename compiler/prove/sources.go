package prove

import (
	"github.com/seawall/seawall/compiler/rules"
	"github.com/seawall/seawall/schema"
)

// sourceSets are the addresses of one family that a policy's lists of sources
// name, each worked out once.
type sourceSets struct {
	family rules.Family
	lists  map[*schema.Sources]set
	blocks map[*schema.Set]set
}

func newSourceSets(f rules.Family) *sourceSets {
	return &sourceSets{f, map[*schema.Sources]set{}, map[*schema.Set]set{}}
}

// orAll writes every value as a span of its own.
func (s set) orAll(max value) set {
	if s == nil {
		return set{{value{}, max}}
	}
	return s
}

// of is the addresses that sources name; nil is all.
func (r *sourceSets) of(s *schema.Sources) set {
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

func (r *sourceSets) union(s *schema.Sources) set {
	size := 0
	for _, l := range s.Lists {
		size += len(l.Spans)
	}
	spans := make([]span, 0, size)
	for _, l := range s.Lists {
		for i := range l.Spans {
			e := &l.Spans[i]
			if e.First.Is4() == (r.family == rules.IPv4) {
				spans = append(spans, span{ofAddr(e.First), ofAddr(e.Last)})
			}
		}
	}
	for _, named := range s.Sets {
		inner := r.block(named.Set)
		if inner == nil {
			return nil
		}
		spans = append(spans, inner...)
	}
	return normal(spans)
}

// without is the addresses that sources name and except does not; except may be
// nil, for none.
func (r *sourceSets) without(sources, except *schema.Sources) set {
	s := r.of(sources)
	if except == nil {
		return s
	}
	most := maxAddress(r.family)
	return s.orAll(most).intersect(r.of(except).complement(most))
}

// block is the addresses of a set block.
func (r *sourceSets) block(s *schema.Set) set {
	got, ok := r.blocks[s]
	if !ok {
		got = r.without(s.Sources, s.Except)
		r.blocks[s] = got
	}
	return got
}

// Policy is a policy whose lists of sources were read and sorted: the part of a
// comparison that needs no file yet.
type Policy struct {
	doc  *schema.Document
	sets map[rules.Family]*sourceSets
}

// NewPolicy reads a policy's lists.
func NewPolicy(doc *schema.Document) *Policy {
	p := &Policy{doc, map[rules.Family]*sourceSets{}}
	for _, f := range []rules.Family{rules.IPv4, rules.IPv6} {
		sets := newSourceSets(f)
		read := func(list []*schema.Rule) {
			for _, r := range list {
				sets.of(r.Sources)
				sets.of(r.Except)
			}
		}
		if doc.Guard != nil {
			read(doc.Guard.Rules)
		}
		for _, x := range doc.Policies {
			read(x.Rules)
		}
		p.sets[f] = sets
	}
	return p
}
