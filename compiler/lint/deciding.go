package lint

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/schema"
)

// block is an allow or deny block in one family.
type block struct {
	rule           *schema.Rule
	named, without address.Set // sources; sources without except
}

// passesOn reports whether sources of a block may go on to the next one: those that an
// ipset of its except holds.
func (b block) passesOn() bool { return b.rule.Except.Filled() != nil }

// verdict is what a block does, to compare two.
type verdict struct {
	v   schema.Verdict
	log string
}

func (b block) verdict() verdict { return verdict{b.rule.Verdict, b.rule.Log} }

// deciding is which of a list of blocks decides about which addresses: the first that
// names them, unless the guard has.
//
// The starts and ends of all sources cut the addresses into segments, about each of which
// one block decides. Each segment is painted once for its first block and once for its
// second, and next leads past those that are painted, so that thousands of blocks cost no
// more than sorting their sources. The segments are not cut by the guard: of one that it
// covers in part, the policy's blocks decide about the rest.
type deciding struct {
	blocks []block
	starts []netip.Addr // of the segments; each ends where the next starts
	first  []int32      // the block that decides; none or byGuard
	second []int32      // the block that would if the first were not there
	count  []int        // segments that each block decides about
}

const (
	none    = -1
	byGuard = -2
)

// decide returns who decides about which addresses. What a guard covers is decided.
func decide(blocks []block, guard address.Set) *deciding {
	d := &deciding{blocks: blocks, count: make([]int, len(blocks))}
	for _, b := range blocks {
		for _, r := range b.without {
			d.starts = append(d.starts, r.From())
			if next := r.To().Next(); next.IsValid() {
				d.starts = append(d.starts, next)
			}
		}
	}
	slices.SortFunc(d.starts, netip.Addr.Compare)
	d.starts = slices.Compact(d.starts)
	d.first, d.second = slices.Repeat([]int32{none}, len(d.starts)), slices.Repeat([]int32{none}, len(d.starts))
	d.paint(guard)
	return d
}

func (d *deciding) paint(guard address.Set) {
	toFirst, toSecond := newSkipping(len(d.starts)), newSkipping(len(d.starts))
	for _, r := range guard {
		from, to := d.within(r.From(), r.To())
		for k := from; k < to; k++ {
			d.first[k] = byGuard
			toFirst.drop(k)
			toSecond.drop(k)
		}
	}
	for i, b := range d.blocks {
		if b.passesOn() {
			continue
		}
		for _, r := range b.without {
			from, to := d.of(r.From(), r.To())
			for k := toFirst.next(from); k < to; k = toFirst.next(k) {
				d.first[k] = int32(i)
				d.count[i]++
				toFirst.drop(k)
			}
			for k := toSecond.next(from); k < to; k = toSecond.next(k + 1) {
				if d.first[k] != int32(i) {
					d.second[k] = int32(i)
					toSecond.drop(k)
				}
			}
		}
	}
}

// of returns the segments that a range of a block's consists of.
func (d *deciding) of(first, last netip.Addr) (from, to int) {
	from, _ = slices.BinarySearchFunc(d.starts, first, netip.Addr.Compare)
	to = len(d.starts)
	if next := last.Next(); next.IsValid() {
		to, _ = slices.BinarySearchFunc(d.starts, next, netip.Addr.Compare)
	}
	return from, to
}

// within returns the segments that lie in any range as a whole.
func (d *deciding) within(first, last netip.Addr) (from, to int) {
	from, to = d.of(first, last)
	// The last segment that starts there may end behind it.
	if next := last.Next(); next.IsValid() && to > from && (to == len(d.starts) || d.starts[to] != next) {
		to--
	}
	return from, to
}

// skipping leads from a segment to the next that was not dropped.
type skipping []int32

func (list skipping) next(k int) int {
	end := k
	for int(list[end]) != end {
		end = int(list[end])
	}
	for int(list[k]) != end {
		list[k], k = int32(end), int(list[k])
	}
	return end
}

func (list skipping) drop(k int) { list[k] = int32(k + 1) }

// newSkipping leads from none of n segments to another; behind the last is an end.
func newSkipping(n int) skipping {
	s := make(skipping, n+1)
	for i := range s {
		s[i] = int32(i)
	}
	return s
}

// idle reports whether a block decides about nothing.
func (d *deciding) idle(i int) bool { return d.count[i] == 0 }

// all are the addresses about which some block decides, or the guard.
func (d *deciding) all() address.Set {
	var sets []address.Set
	for _, b := range d.blocks {
		if !b.passesOn() {
			sets = append(sets, b.without)
		}
	}
	return address.UnionOf(sets...)
}

// redundant says of each block whether the blocks after it, and the default, would decide
// the same for the addresses that it decides about.
func (d *deciding) redundant(defaults verdict) []bool {
	type rest struct{ differs, open bool }
	rests := make([]rest, len(d.blocks))
	for k, i := range d.first {
		switch {
		case i < 0:
		case d.second[k] < 0:
			rests[i].open = true
		case d.blocks[d.second[k]].verdict() != d.blocks[i].verdict():
			rests[i].differs = true
		}
	}
	same := make([]bool, len(d.blocks))
	known := true // what all later blocks decide about
	for i := len(d.blocks) - 1; i >= 0; i-- {
		same[i] = known && !rests[i].differs && (!rests[i].open || d.blocks[i].verdict() == defaults)
		known = known && !filled(d.blocks[i].rule)
	}
	return same
}

// maxWalked bounds the segments that are looked at for the text of one finding.
const maxWalked = 1000

// over returns the blocks that decide about some addresses, in their order. all reports
// that they are all, rather than those of the first maxWalked segments.
func (d *deciding) over(s address.Set) (blocks []int, all bool) {
	seen, walked := map[int]bool{}, 0
	for _, r := range s {
		from, to := d.of(r.From(), r.To())
		if from > 0 && (from == len(d.starts) || d.starts[from] != r.From()) {
			from-- // it starts before the range, and ends in it or behind it
		}
		for k := from; k < to; k++ {
			if walked++; walked > maxWalked {
				return sortedKeys(seen), false
			}
			if i := d.first[k]; i >= 0 {
				seen[int(i)] = true
			}
		}
	}
	return sortedKeys(seen), true
}

func sortedKeys(set map[int]bool) []int { return slices.Sorted(maps.Keys(set)) }

// shadows names the earlier blocks that decide about some of the sources of block i, in
// either family.
func (l *linter) shadows(p *schema.Policy, d [2]*deciding, i int) string {
	guards, own, whole := map[int]bool{}, map[int]bool{}, true
	add := func(to map[int]bool, d *deciding, s address.Set) {
		list, all := d.over(s)
		for _, n := range list {
			to[n] = true
		}
		whole = whole && all
	}
	for f := range d {
		without := d[f].blocks[i].without
		if p != nil {
			add(guards, l.guard[f].deciding, without)
		}
		add(own, d[f], without)
	}
	var list []string
	for _, n := range sortedKeys(guards) {
		list = append(list, "the guard's block at "+place(l.doc.Guard.Rules[n].Range))
	}
	for _, n := range sortedKeys(own) {
		owner := "the block at "
		if p == nil {
			owner = "the guard's block at "
		}
		list = append(list, owner+place(d[0].blocks[n].rule.Range))
	}
	const most = 3
	switch {
	case len(list) > most && whole:
		list = append(list[:most], fmt.Sprintf("and %d more", len(list)-most))
	case !whole:
		list = append(list[:min(most, len(list))], "and others")
	}
	return strings.Join(list, ", ")
}
