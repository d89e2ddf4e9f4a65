// Package address turns the sources of a policy into sets of addresses of one
// family. It is a thin layer over netipx, which does the arithmetic.
package address

import (
	"net/netip"

	"github.com/seawall/seawall/compiler/rules"
	"github.com/seawall/seawall/schema"
	"go4.org/netipx"
)

// Resolver gives the addresses of sources, in one family. It works out each
// set block once, however many rules name it.
type Resolver struct {
	Family rules.Family
	sets   map[*schema.Set]*netipx.IPSet
}

// NewResolver makes a resolver for one family.
func NewResolver(f rules.Family) *Resolver {
	return &Resolver{Family: f, sets: map[*schema.Set]*netipx.IPSet{}}
}

// Every is the set of all addresses of the family.
func (r *Resolver) Every() *netipx.IPSet {
	if r.Family == rules.IPv6 {
		return every6
	}
	return every4
}

var every4, every6 = Build(func(b *netipx.IPSetBuilder) {
	b.AddPrefix(netip.MustParsePrefix("0.0.0.0/0"))
}), Build(func(b *netipx.IPSetBuilder) {
	b.AddPrefix(netip.MustParsePrefix("::/0"))
})

// Build makes a set. The builder's only error is for an invalid address, and
// every address here was parsed.
func Build(fill func(*netipx.IPSetBuilder)) *netipx.IPSet {
	var b netipx.IPSetBuilder
	fill(&b)
	set, err := b.IPSet()
	if err != nil {
		panic("address: an invalid address in a set: " + err.Error())
	}
	return set
}

// Sources gives the addresses of a list of sources; nil is every address.
func (r *Resolver) Sources(s *schema.Sources) *netipx.IPSet {
	if s == nil || s.Any {
		return r.Every()
	}
	if len(s.Lists) == 0 && len(s.Sets) == 1 {
		return r.Set(s.Sets[0].Set)
	}
	return Build(func(b *netipx.IPSetBuilder) {
		for _, list := range s.Lists {
			for _, span := range list.Spans {
				if span.First.Is4() == (r.Family == rules.IPv4) {
					b.AddRange(netipx.IPRangeFrom(span.First, span.Last))
				}
			}
		}
		for _, ref := range s.Sets {
			b.AddSet(r.Set(ref.Set))
		}
	})
}

// Set gives the addresses of a set block.
func (r *Resolver) Set(s *schema.Set) *netipx.IPSet {
	if got, ok := r.sets[s]; ok {
		return got
	}
	set := r.Sources(s.Sources)
	if s.Except != nil {
		set = Without(set, r.Sources(s.Except))
	}
	r.sets[s] = set
	return set
}

// Without gives the addresses of a that are not in b.
func Without(a, b *netipx.IPSet) *netipx.IPSet {
	if Empty(b) || !a.Overlaps(b) {
		return a
	}
	return Build(func(out *netipx.IPSetBuilder) {
		out.AddSet(a)
		out.RemoveSet(b)
	})
}

// Both gives the addresses that are in a and in b.
func Both(a, b *netipx.IPSet) *netipx.IPSet {
	return Build(func(out *netipx.IPSetBuilder) {
		out.AddSet(a)
		out.Intersect(b)
	})
}

// Union gives the addresses that are in a or in b.
func Union(a, b *netipx.IPSet) *netipx.IPSet {
	switch {
	case Empty(a):
		return b
	case Empty(b):
		return a
	}
	return Build(func(out *netipx.IPSetBuilder) {
		out.AddSet(a)
		out.AddSet(b)
	})
}

// Empty tells whether a set has no address.
func Empty(s *netipx.IPSet) bool { return s == nil || len(s.Ranges()) == 0 }
