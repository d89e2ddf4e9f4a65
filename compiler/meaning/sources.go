package meaning

import (
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
	files  *memory.Of[read, diagram.Set]
	layers *memory.Of[string, partition]
}

// read are list files, and of which family their addresses are.
type read struct {
	lists  schema.Readings
	family packet.Family
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
	return &Memory{memory.New[read, diagram.Set](most), memory.New[string, partition](most)}
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
	files, ok := schema.ReadingsOf(s.Lists)
	if !ok || len(s.Sets) > 0 {
		return r.sorted(s)
	}
	set, ok := r.memory.files.Get(read{files, r.family})
	if !ok {
		set = r.sorted(s)
		r.memory.files.Put(read{files, r.family}, set, len(set))
	}
	return set
}

func (r *Lists) sorted(s *schema.Sources) diagram.Set {
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
