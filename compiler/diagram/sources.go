package diagram

import (
	"cmp"
	"slices"
	"sync"
)

// Entry is a step of a list that is bound by the last property alone: in its
// span, Target, or what Chain writes.
type Entry struct {
	Span
	Order  int32
	Target Ref
	Chain  Expander // in place of Target; nil for none
}

// Expander is a function of the last property that is cheaper to write for a
// part of the values than to make whole. It decides every value.
type Expander interface {
	// Expand pushes what holds from lo to hi, in order.
	Expand(s *Sweep, lo, hi Value)
	// Whole is the function of all values.
	Whole() Ref
}

// decides reports whether nothing after the entry counts in its span.
func (e *Entry) decides() bool {
	return e.Chain != nil || e.Target.IsLeaf() && !e.Target.has(Continue)
}

// Layers makes the partition of the last property in which the first set that
// has a value decides, and last for those that none has.
func (d *Store) Layers(sets []Set, targets []Ref, last Ref) Ref {
	next := make([]int, len(sets)) // the first span of each set that is not past
	size := 1
	for _, s := range sets {
		size += 2 * len(s)
	}
	d.spend(size * max(1, len(sets)))
	out := d.NewSweep(size)
	at, limit := Value{}, d.max[d.last()]
	for {
		target, end := last, limit
		for i, s := range sets {
			for next[i] < len(s) && s[next[i]].Hi.Less(at) {
				next[i]++
			}
			if next[i] == len(s) {
				continue
			}
			x := s[next[i]]
			if at.Less(x.Lo) {
				end = lower(end, x.Lo.Prev())
				continue
			}
			target, end = targets[i], lower(end, x.Hi)
			break
		}
		out.Push(at, target)
		if end == limit {
			return out.Done()
		}
		at = end.Next()
	}
}

func lower(a, b Value) Value {
	if b.Less(a) {
		return b
	}
	return a
}

// Sources makes the partition of the last property that a list of entries
// means. Targets are leaves, or partitions of the last property themselves.
// Entries are sorted by where they start; those that hold at the moment are
// few, since CIDRs nest at most as deep as an address is long.
func (d *Store) Sources(list []Entry) Ref {
	byStart := func(a, b Entry) int { return a.Lo.Compare(b.Lo) }
	if !slices.IsSortedFunc(list, byStart) {
		slices.SortStableFunc(list, byStart)
	}
	s := d.NewSweep(2*len(list) + 1)
	limit := d.max[d.last()]
	at, next := Value{}, 0
	for {
		for next < len(list) && list[next].Lo == at {
			s.open(list[next])
			next++
		}
		end := s.end(limit)
		if next < len(list) && !end.Less(list[next].Lo) {
			end = list[next].Lo.Prev()
		}
		s.emit(at, end)
		if end == limit {
			return s.Done()
		}
		at = end.Next()
		s.active = slices.DeleteFunc(s.active, func(e Entry) bool { return e.Hi.Less(at) })
	}
}

// Sweep is a partition of the last property while it is written, from the
// smallest value on.
type Sweep struct {
	d      *Store
	meter  *meter  // the store's, or one of its own
	active []Entry // in order
	starts Starts
	kids   []Ref
}

// NewSweep returns an empty partition with room for so many parts.
func (d *Store) NewSweep(size int) *Sweep {
	return &Sweep{d: d, meter: &d.meter, starts: newStarts(size, d.max[d.last()]), kids: make([]Ref, 0, size)}
}

// Push says what holds from a value on.
func (s *Sweep) Push(at Value, kid Ref) {
	s.meter.spend(1)
	if n := len(s.kids); n > 0 && s.kids[n-1] == kid {
		return
	}
	s.starts.Append(at)
	s.kids = append(s.kids, kid)
}

// InHalves makes a function of the last property that write can write for any part of the
// values, from lo to hi, without asking the store. A long one, of about so many parts, is
// written in two halves at once.
func (d *Store) InHalves(size int, write func(s *Sweep, lo, hi Value)) Ref {
	const long = 1 << 14
	all, limit := d.NewSweep(size), d.max[d.last()]
	if size < long {
		write(all, Value{}, limit)
		return all.Done()
	}
	middle, own, before := limit.half(), d.meter, d.left
	low, high := &Sweep{d: d, meter: &d.meter}, &Sweep{d: d, meter: &own}
	low.starts, high.starts = all.starts.halves()
	low.kids, high.kids = halvesOf(all.kids)
	var wait sync.WaitGroup
	var err error
	wait.Go(func() {
		err = d.Try(func() error {
			write(high, middle.Next(), limit)
			return nil
		})
	})
	lowErr := d.Try(func() error {
		write(low, Value{}, middle)
		return nil
	})
	wait.Wait()
	if err := cmp.Or(lowErr, err); err != nil {
		panic(stopped{err})
	}
	d.spend(int(before - own.left))
	d.spend(len(high.kids))
	return d.Make(d.last(), joinedStarts(all.starts, low.starts, high.starts), joined(all.kids, low.kids, high.kids))
}

// Done makes the partition a diagram.
func (s *Sweep) Done() Ref { return s.d.Make(s.d.last(), s.starts, s.kids) }

func (s *Sweep) open(e Entry) {
	i := len(s.active)
	for i > 0 && s.active[i-1].Order > e.Order {
		i--
	}
	s.active = slices.Insert(s.active, i, e)
}

// end is where the first of the active entries ends.
func (s *Sweep) end(limit Value) Value {
	for _, e := range s.active {
		if e.Hi.Less(limit) {
			limit = e.Hi
		}
	}
	return limit
}

// emit writes the interval from lo to hi, over which the active entries stay
// the same.
func (s *Sweep) emit(lo, hi Value) {
	s.d.spend(1 + len(s.active))
	result := Leaf(Continue)
	last := len(s.active)
	for i := range s.active {
		if s.active[i].decides() {
			last = i + 1
			break
		}
	}
	if last == 1 && s.active[0].Chain != nil {
		s.active[0].Chain.Expand(s, lo, hi)
		return
	}
	for i := last - 1; i >= 0; i-- {
		target := s.active[i].Target
		if c := s.active[i].Chain; c != nil {
			target = c.Whole()
		}
		result = s.d.Overlay(target, result)
	}
	if result.IsLeaf() {
		s.Push(lo, result)
		return
	}
	n := &s.d.nodes[result]
	first := n.At(lo)
	s.Push(lo, n.Kids[first])
	for i := first + 1; i < n.Starts.Len() && !hi.Less(n.Starts.At(i)); i++ {
		s.Push(n.Starts.At(i), n.Kids[i])
	}
}
