package diagram

import (
	"encoding/binary"
	"slices"
)

// Item is one step of a list in which the first step that decides counts: in its
// box, Target; elsewhere, and where Target goes on, the items after it.
type Item struct {
	Box    *Box
	Target Ref
}

// Build returns the diagram of a list of items, by dividing on one property after
// the other. For each, a sweep over the boundaries of all items keeps the list of
// those that match in the current interval, and equal lists are built once. Where no
// item decides, the leaf is Continue.
func (d *Store) Build(items []Item) Ref { return d.build(items, 0) }

// open reports whether the item is bound by no property from p on.
func (d *Store) open(it Item, p int) bool {
	for ; p < len(d.max); p++ {
		if it.Box[p] != nil {
			return false
		}
	}
	return true
}

func (d *Store) build(items []Item, p int) Ref {
	d.spend(len(items))
	for i, it := range items {
		if it.Target.IsLeaf() && !it.Target.has(Continue) && d.open(it, p) {
			items = items[:i+1]
			break
		}
	}
	p, bound := d.firstProperty(items, p)
	switch {
	case !bound: // no box binds any more
		result := Leaf(Continue)
		for i := len(items) - 1; i >= 0; i-- {
			result = d.Overlay(items[i].Target, result)
		}
		return result
	case p == d.last():
		if sets, targets := d.largeSets(items, p); len(sets) > 0 {
			rest := Leaf(Continue)
			if n := len(sets); n < len(items) {
				rest = d.build(items[n:], p)
			}
			return d.Overlay(d.Layers(sets, targets, Leaf(Continue)), rest)
		}
		return d.Sources(d.entriesOf(items))
	}
	return d.sweep(items, p)
}

// firstProperty returns the first property from p on that an item's box or target
// depends on, and whether any box is bound at all.
func (d *Store) firstProperty(items []Item, p int) (int, bool) {
	first, bound := len(d.max), false
	for _, it := range items {
		for q := p; q < len(d.max); q++ {
			if it.Box[q] != nil {
				bound = true
				first = min(first, q)
				break
			}
		}
		first = min(first, d.Property(it.Target))
	}
	return first, bound
}

// event is a boundary of one item.
type event struct {
	at   Value
	item int
}

func (d *Store) events(items []Item, p int) []event {
	size := 0
	for _, it := range items {
		size += 1 + 2*len(it.Box[p])
	}
	events, limit := make([]event, 0, size), d.max[p]
	for i, it := range items {
		events = append(events, event{Value{}, i})
		for _, s := range it.Box[p] {
			events = append(events, event{s.Lo, i})
			if s.Hi != limit {
				events = append(events, event{s.Hi.Next(), i})
			}
		}
		if d.Property(it.Target) == p {
			starts := &d.nodes[it.Target].Starts
			for k := range starts.Len() {
				events = append(events, event{starts.At(k), i})
			}
		}
	}
	slices.SortFunc(events, func(a, b event) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return a.item - b.item
	})
	return events
}

func (d *Store) sweep(items []Item, p int) Ref {
	events := d.events(items, p)
	d.spend(len(events))
	parts := 0
	for i := range events {
		if i == 0 || events[i].at != events[i-1].at {
			parts++
		}
	}
	starts, kids := newStarts(parts, d.max[p]), make([]Ref, 0, parts)
	active := make([]int, 0, len(items)) // items that hold here, in order
	targets := make([]Ref, len(items))
	known, key := map[string]Ref{}, []byte(nil)
	for i := 0; i < len(events); {
		at := events[i].at
		for ; i < len(events) && events[i].at == at; i++ {
			active = d.update(items, events[i].item, at, p, active, targets)
		}
		d.spend(len(active))
		key = key[:0]
		for _, n := range active {
			key = binary.LittleEndian.AppendUint32(key, uint32(n))
			key = binary.LittleEndian.AppendUint32(key, uint32(targets[n]))
		}
		kid, ok := known[string(key)]
		if !ok {
			part := make([]Item, len(active))
			for j, n := range active {
				part[j] = Item{items[n].Box, targets[n]}
			}
			kid = d.build(part, p+1)
			known[string(key)] = kid
		}
		starts.Append(at)
		kids = append(kids, kid)
	}
	return d.Make(p, starts, kids)
}

// update works out anew whether an item holds at a value, and what is left of
// its target there.
func (d *Store) update(items []Item, n int, at Value, p int, active []int, targets []Ref) []int {
	pos, found := slices.BinarySearch(active, n)
	if !items[n].Box[p].Has(at) {
		if found {
			return slices.Delete(active, pos, pos+1)
		}
		return active
	}
	targets[n] = d.Fix(items[n].Target, p, at)
	if !found {
		return slices.Insert(active, pos, n)
	}
	return active
}

// largeSets returns the sets of the last property that come first in a list and decide, and
// what they lead to, where they are few and large: such a list needs no entry for each span.
func (d *Store) largeSets(items []Item, last int) (sets []Set, targets []Ref) {
	const few, large = 16, 1000
	spans := 0
	for _, it := range items {
		if len(sets) == few || !it.Target.IsLeaf() || it.Target.has(Continue) {
			break
		}
		set := it.Box[last].OrAll(d.max[last])
		sets, targets, spans = append(sets, set), append(targets, it.Target), spans+len(set)
	}
	if spans < large*len(sets) {
		return nil, nil
	}
	return sets, targets
}

func (d *Store) entriesOf(items []Item) []Entry {
	var list []Entry
	last := d.last()
	for i, it := range items {
		for _, s := range it.Box[last].OrAll(d.max[last]) {
			list = append(list, Entry{Span: s, Order: int32(i), Target: it.Target})
		}
	}
	return list
}
