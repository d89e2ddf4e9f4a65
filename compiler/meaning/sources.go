package meaning

import (
	"fmt"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/memory"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// Lists are the addresses of one family in a policy's lists of sources, each worked out once.
type Lists struct {
	family packet.Family
	lists  map[*schema.Sources]diagram.Set
	blocks map[*schema.Set]diagram.Set
	memory *Memory
}

// Memory is what the readers of several documents share.
type Memory struct {
	lists  *memory.Of[string, remembered]
	layers *memory.Of[string, partition]
}

// remembered is a set, with what it was made of, so that the places in its key stay theirs.
type remembered struct {
	set    diagram.Set
	lists  []schema.List
	blocks []diagram.Set
}

// partition is what sets and targets mean for each source, with the sets, so that the
// places in their key stay theirs.
type partition struct {
	node diagram.Node
	sets []diagram.Set
}

// NewMemory returns an empty memory, for some millions of addresses.
func NewMemory() *Memory {
	const most = 4 << 20
	return &Memory{memory.New[string, remembered](most), memory.New[string, partition](most)}
}

// NewLists returns the lists of one family, none of them read yet. What several documents
// share is in the memory; nil is for none.
func NewLists(f packet.Family, m *Memory) *Lists {
	if m == nil {
		m = &Memory{}
	}
	return &Lists{f, map[*schema.Sources]diagram.Set{}, map[*schema.Set]diagram.Set{}, m}
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
	var blocks []diagram.Set
	for _, named := range s.Sets {
		if named.Set.Filled() {
			continue // who is in it is not a matter of addresses
		}
		inner := r.block(named.Set)
		if inner == nil {
			return nil
		}
		blocks = append(blocks, inner)
	}
	key := ""
	if r.memory.lists != nil {
		key = r.key(s.Lists, blocks)
	}
	if known, ok := r.memory.lists.Get(key); ok && key != "" {
		return known.set
	}
	set := r.sorted(s, blocks)
	if key != "" {
		r.memory.lists.Put(key, remembered{set, s.Lists, blocks}, len(set))
	}
	return set
}

// key identifies the addresses of lists and of the blocks of sets, each of which has its
// place in memory; "" for what is not worth keeping.
func (r *Lists) key(lists []schema.List, blocks []diagram.Set) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v ", r.family)
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

func (r *Lists) sorted(s *schema.Sources, blocks []diagram.Set) diagram.Set {
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
	for _, b := range blocks {
		spans = append(spans, b...)
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
	most, not := packet.MaxAddress(r.family), r.Of(except)
	if r.memory.lists == nil || len(s) == 0 || len(not) == 0 {
		return s.OrAll(most).Intersect(not.Complement(most))
	}
	key := fmt.Sprintf("%v %p+%d without %p+%d", r.family, &s[0], len(s), &not[0], len(not))
	known, ok := r.memory.lists.Get(key)
	if !ok {
		known = remembered{set: s.Intersect(not.Complement(most)), blocks: []diagram.Set{s, not}}
		r.memory.lists.Put(key, known, len(known.set))
	}
	return known.set
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
func Read(doc *schema.Document, m *Memory) map[packet.Family]*Lists {
	all := map[packet.Family]*Lists{}
	for _, f := range packet.Families {
		lists := NewLists(f, m)
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
