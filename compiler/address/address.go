// Package address turns the sources of a policy into sets of addresses of one
// family.
package address

import (
	"net/netip"

	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
	"go4.org/netipx"
)

// Resolver returns the addresses of sources, in one family. It computes each list
// and each set block only once, however often they are requested.
type Resolver struct {
	Family packet.Family
	sets   map[*schema.Set]Set
	lists  map[*schema.Sources]Set
}

// NewResolver returns a resolver for one family.
func NewResolver(f packet.Family) *Resolver {
	return &Resolver{Family: f, sets: map[*schema.Set]Set{}, lists: map[*schema.Sources]Set{}}
}

// Every returns the set of all addresses of the family.
func (r *Resolver) Every() Set {
	if r.Family == packet.IPv6 {
		return every6
	}
	return every4
}

var (
	every4 = Set{netipx.RangeOfPrefix(netip.MustParsePrefix("0.0.0.0/0"))}
	every6 = Set{netipx.RangeOfPrefix(netip.MustParsePrefix("::/0"))}
)

// Sources returns the addresses of a list of sources; nil means every address.
func (r *Resolver) Sources(s *schema.Sources) Set {
	if s == nil || s.Any {
		return r.Every()
	}
	if len(s.Lists) == 0 && len(s.Sets) == 1 {
		return r.Set(s.Sets[0].Set)
	}
	if got, ok := r.lists[s]; ok {
		return got
	}
	got := r.union(s)
	r.lists[s] = got
	return got
}

func (r *Resolver) union(s *schema.Sources) Set {
	size := 0
	for _, list := range s.Lists {
		size += len(list.Spans)
	}
	ranges := make([]netipx.IPRange, 0, size)
	for _, list := range s.Lists {
		for i := range list.Spans {
			span := &list.Spans[i]
			if span.First.Is4() == (r.Family == packet.IPv4) {
				ranges = append(ranges, netipx.IPRangeFrom(span.First, span.Last))
			}
		}
	}
	all := normal(ranges)
	for _, ref := range s.Sets {
		if ref.Set.Filled() {
			continue // who is in it is not known
		}
		all = Union(all, r.Set(ref.Set))
	}
	return all
}

// Set returns the addresses of a set block.
func (r *Resolver) Set(s *schema.Set) Set {
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

// Of returns the addresses of the family that are in an IPSet.
func (r *Resolver) Of(s *netipx.IPSet) Set { return Both(Set(s.Ranges()), r.Every()) }
