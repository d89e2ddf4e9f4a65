package prove

import (
	"encoding/binary"
	"slices"
)

// item is one step of a list of which the first that decides counts: in its
// box, target; elsewhere, and where target goes on, the items after it.
type item struct {
	box    *box
	target ref
}

// open tells whether the item is bound by no property from p on.
func (it item) open(p int) bool {
	for ; p < properties; p++ {
		if it.box[p] != nil {
			return false
		}
	}
	return true
}

// build makes the diagram of a list of items, by dividing on one property
// after the other. At each, a sweep over the boundaries of all items keeps the
// list of those that hold in the interval at hand, and the same list is built
// once.
func (d *diagrams) build(items []item) ref { return d.buildFrom(items, 0) }

func (d *diagrams) buildFrom(items []item, p int) ref {
	for i, it := range items {
		if it.target.isLeaf() && !it.target.has(vContinue) && it.open(p) {
			items = items[:i+1]
			break
		}
	}
	p, bound := d.firstProperty(items, p)
	switch {
	case !bound: // no box binds any more
		result := leaf(vContinue)
		for i := len(items) - 1; i >= 0; i-- {
			result = d.overlay(items[i].target, result)
		}
		return result
	case p == pSrc:
		return d.sources(entriesOf(items, d.max(pSrc)), nil)
	}
	return d.sweep(items, p)
}

// firstProperty is the first property from p on that an item's box or target
// asks for, and whether any box binds at all.
func (d *diagrams) firstProperty(items []item, p int) (int, bool) {
	first, bound := properties, false
	for _, it := range items {
		for q := p; q < properties; q++ {
			if it.box[q] != nil {
				bound = true
				first = min(first, q)
				break
			}
		}
		first = min(first, d.property(it.target))
	}
	return first, bound
}

// event is a boundary of one item.
type event struct {
	at   value
	item int
}

func (d *diagrams) events(items []item, p int) []event {
	var events []event
	limit := d.max(p)
	for i, it := range items {
		events = append(events, event{value{}, i})
		for _, s := range it.box[p] {
			events = append(events, event{s.lo, i})
			if s.hi != limit {
				events = append(events, event{s.hi.next(), i})
			}
		}
		if d.property(it.target) == p {
			for _, v := range d.nodes[it.target].starts {
				events = append(events, event{v, i})
			}
		}
	}
	slices.SortFunc(events, func(a, b event) int {
		if c := a.at.compare(b.at); c != 0 {
			return c
		}
		return a.item - b.item
	})
	return events
}

func (d *diagrams) sweep(items []item, p int) ref {
	events := d.events(items, p)
	var starts []value
	var kids []ref
	var active []int // items that hold here, in order
	targets := make([]ref, len(items))
	known := map[string]ref{}
	for i := 0; i < len(events); {
		at := events[i].at
		for ; i < len(events) && events[i].at == at; i++ {
			active = d.update(items, events[i].item, at, p, active, targets)
		}
		key := make([]byte, 0, 8*len(active))
		for _, n := range active {
			key = binary.LittleEndian.AppendUint32(key, uint32(n))
			key = binary.LittleEndian.AppendUint32(key, uint32(targets[n]))
		}
		kid, ok := known[string(key)]
		if !ok {
			part := make([]item, len(active))
			for j, n := range active {
				part[j] = item{items[n].box, targets[n]}
			}
			kid = d.buildFrom(part, p+1)
			known[string(key)] = kid
		}
		starts, kids = append(starts, at), append(kids, kid)
	}
	return d.make(p, starts, kids)
}

// update works out anew whether an item holds at a value, and what is left of
// its target there.
func (d *diagrams) update(items []item, n int, at value, p int, active []int, targets []ref) []int {
	pos, found := slices.BinarySearch(active, n)
	if !items[n].box[p].has(at) {
		if found {
			return slices.Delete(active, pos, pos+1)
		}
		return active
	}
	targets[n] = items[n].target
	if d.property(targets[n]) == p {
		from := &d.nodes[targets[n]]
		targets[n] = from.kids[from.at(at)]
	}
	if !found {
		return slices.Insert(active, pos, n)
	}
	return active
}

// entry is a step of a list that is bound by the source alone: in its span,
// target.
type entry struct {
	span
	order  int32
	target ref
	chain  *sourceChain // in place of target: what a chain says
}

// decides tells whether nothing after the entry counts in its span.
func (e *entry) decides() bool {
	return e.chain != nil || e.target.isLeaf() && !e.target.has(vContinue)
}

func entriesOf(items []item, max value) []entry {
	var list []entry
	for i, it := range items {
		spans := it.box[pSrc]
		if spans == nil {
			spans = set{{value{}, max}}
		}
		for _, s := range spans {
			list = append(list, entry{span: s, order: int32(i), target: it.target})
		}
	}
	return list
}

// layers makes the partition of the source addresses in which the first set that
// has an address decides, and last for those that none has.
func (d *diagrams) layers(sets []set, targets []ref, last ref) ref {
	next := make([]int, len(sets)) // the first span of each set that is not past
	size := 1
	for _, s := range sets {
		size += 2 * len(s)
	}
	out := &sourceSweep{d: d, starts: make([]value, 0, size), kids: make([]ref, 0, size)}
	at, limit := value{}, d.max(pSrc)
	for {
		target, end := last, limit
		for i, s := range sets {
			for next[i] < len(s) && s[next[i]].hi.less(at) {
				next[i]++
			}
			if next[i] == len(s) {
				continue
			}
			x := s[next[i]]
			if at.less(x.lo) {
				end = lower(end, x.lo.prev())
				continue
			}
			target, end = targets[i], lower(end, x.hi)
			break
		}
		out.push(at, target)
		if end == limit {
			return d.make(pSrc, out.starts, out.kids)
		}
		at = end.next()
	}
}

func lower(a, b value) value {
	if b.less(a) {
		return b
	}
	return a
}

// sources makes the partition of the source addresses that a list of entries
// means. Targets are leaves, or partitions of sources themselves. Entries are
// sorted by where they start; those that hold at the moment are few, since
// CIDRs nest at most as deep as an address is long.
func (d *diagrams) sources(list []entry, r *chainReader) ref {
	byStart := func(a, b entry) int { return a.lo.compare(b.lo) }
	if !slices.IsSortedFunc(list, byStart) {
		slices.SortStableFunc(list, byStart)
	}
	s := &sourceSweep{d: d, reader: r, starts: make([]value, 0, 2*len(list)+1), kids: make([]ref, 0, 2*len(list)+1)}
	limit := d.max(pSrc)
	at, next := value{}, 0
	for {
		for next < len(list) && list[next].lo == at {
			s.open(list[next])
			next++
		}
		end := s.end(limit)
		if next < len(list) && !end.less(list[next].lo) {
			end = list[next].lo.prev()
		}
		s.emit(at, end)
		if end == limit {
			return d.make(pSrc, s.starts, s.kids)
		}
		at = end.next()
		s.active = slices.DeleteFunc(s.active, func(e entry) bool { return e.hi.less(at) })
	}
}

type sourceSweep struct {
	d      *diagrams
	reader *chainReader // of the chains that entries have
	active []entry      // in order
	starts []value
	kids   []ref
}

func (s *sourceSweep) open(e entry) {
	i := len(s.active)
	for i > 0 && s.active[i-1].order > e.order {
		i--
	}
	s.active = slices.Insert(s.active, i, e)
}

// end is where the first of the active entries ends.
func (s *sourceSweep) end(limit value) value {
	for _, e := range s.active {
		if e.hi.less(limit) {
			limit = e.hi
		}
	}
	return limit
}

// emit writes the interval from lo to hi, over which the active entries stay
// the same.
func (s *sourceSweep) emit(lo, hi value) {
	result := leaf(vContinue)
	last := len(s.active)
	for i := range s.active {
		if s.active[i].decides() {
			last = i + 1
			break
		}
	}
	if last == 1 && s.active[0].chain != nil {
		s.expand(s.active[0].chain.rules, lo, hi)
		return
	}
	for i := last - 1; i >= 0; i-- {
		target := s.active[i].target
		if c := s.active[i].chain; c != nil {
			target = s.reader.whole(c)
		}
		result = s.d.overlay(target, result)
	}
	if result.isLeaf() {
		s.push(lo, result)
		return
	}
	n := &s.d.nodes[result]
	first := n.at(lo)
	s.push(lo, n.kids[first])
	for i := first + 1; i < len(n.starts) && !hi.less(n.starts[i]); i++ {
		s.push(n.starts[i], n.kids[i])
	}
}

func (s *sourceSweep) push(at value, kid ref) {
	if n := len(s.kids); n > 0 && s.kids[n-1] == kid {
		return
	}
	s.starts, s.kids = append(s.starts, at), append(s.kids, kid)
}
