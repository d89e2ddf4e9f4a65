// Package address turns the sources of a policy into sets of addresses of one
// family.
package address

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/seawall/seawall/compiler/memory"
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
	memory *Memory
}

// Memory has the addresses of list files, for resolvers of several documents.
type Memory = memory.Of[string, remembered]

// remembered is a set, with what it was made of, so that the places in its key stay theirs.
type remembered struct {
	set    Set
	lists  []schema.List
	blocks []Set
}

// NewMemory returns an empty memory, for some millions of addresses.
func NewMemory() *Memory { return memory.New[string, remembered](4 << 20) }

// NewResolver returns a resolver for one family. What several resolvers share is in the
// memory; nil is for none.
func NewResolver(f packet.Family, m *Memory) *Resolver {
	return &Resolver{Family: f, sets: map[*schema.Set]Set{}, lists: map[*schema.Sources]Set{}, memory: m}
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
	var blocks []Set
	for _, ref := range s.Sets {
		if !ref.Set.Filled() { // who is in it is not known
			blocks = append(blocks, r.Set(ref.Set))
		}
	}
	key := ""
	if r.memory != nil {
		key = r.key(s.Lists, blocks)
	}
	if known, ok := r.memory.Get(key); ok && key != "" {
		return known.set
	}
	all := r.sorted(s.Lists)
	for _, b := range blocks {
		all = Union(all, b)
	}
	if key != "" {
		r.memory.Put(key, remembered{all, s.Lists, blocks}, len(all))
	}
	return all
}

// key identifies the addresses of the family in lists and in the sets of blocks, each of
// which has its place in memory; "" for what is not worth keeping.
func (r *Resolver) key(lists []schema.List, blocks []Set) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v ", r.Family)
	for i := range lists {
		key := lists[i].Key()
		if key == "" {
			return ""
		}
		b.WriteString(key)
	}
	for _, s := range blocks {
		if len(s) > 0 {
			fmt.Fprintf(&b, " %p+%d", &s[0], len(s))
		}
	}
	return b.String()
}

func (r *Resolver) sorted(lists []schema.List) Set {
	size := 0
	for i := range lists {
		size += lists[i].Count(r.Family == packet.IPv4)
	}
	switch {
	case size == 0:
		return nil
	case r.Family == packet.IPv4:
		return sorted4(lists, size)
	}
	ranges := make([]netipx.IPRange, 0, size)
	for i := range lists {
		for span := range lists[i].All() {
			if !span.First.Is4() {
				ranges = append(ranges, netipx.IPRangeFrom(span.First, span.Last))
			}
		}
	}
	return normal(ranges)
}

// sorted4 is sorted for IPv4, with so many spans.
func sorted4(lists []schema.List, size int) Set {
	keys := make([]uint64, 0, size)
	for i := range lists {
		for span := range lists[i].All() {
			if span.First.Is4() {
				keys = append(keys, key4(span.First, span.Last))
			}
		}
	}
	return ofKeys4(keys)
}

// Set returns the addresses of a set block.
func (r *Resolver) Set(s *schema.Set) Set {
	if got, ok := r.sets[s]; ok {
		return got
	}
	set := r.Sources(s.Sources)
	if s.Except != nil {
		set = r.without(set, r.Sources(s.Except))
	}
	r.sets[s] = set
	return set
}

// without is Without, done once for documents that share both sets.
func (r *Resolver) without(a, b Set) Set {
	if r.memory == nil || len(a) == 0 || len(b) == 0 {
		return Without(a, b)
	}
	key := fmt.Sprintf("%v %p+%d without %p+%d", r.Family, &a[0], len(a), &b[0], len(b))
	if known, ok := r.memory.Get(key); ok {
		return known.set
	}
	rest := Without(a, b)
	r.memory.Put(key, remembered{set: rest, blocks: []Set{a, b}}, len(rest))
	return rest
}

// Of returns the addresses of the family that are in an IPSet.
func (r *Resolver) Of(s *netipx.IPSet) Set { return Both(Set(s.Ranges()), r.Every()) }
