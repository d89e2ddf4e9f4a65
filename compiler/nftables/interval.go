package nftables

import (
	"slices"
	"strings"
)

// placed is an element with the values that it stands for.
type placed struct {
	span
	index int32
}

// conflicts refuses elements that overlap where nft does, and returns how many
// different ones there are. Two that are the same are one; in a map they must map to
// the same. In an anonymous set, and in one with auto-merge, they are merged.
func (p *parser) conflicts(types []*datatype, list []Element, m *Set, line int) int {
	if len(list) < 2 {
		return len(list)
	}
	isMap := m != nil && m.Map
	merges := !isMap && (m == nil || m.Name == "" || m.AutoMerge)
	if merges && (m == nil || m.Size == 0) {
		return len(list)
	}
	if len(types) != 1 {
		return p.conflictsOfSeveral(types, list, isMap, merges)
	}
	if types[0] == nil {
		return len(list)
	}
	places := make([]placed, 0, len(list))
	sorted := true
	for i := range list {
		s, ok := p.spanOf(types[0], &list[i].Key, int(list[i].Line))
		if !ok {
			continue
		}
		if n := len(places); n > 0 && s.low.less(places[n-1].low) {
			sorted = false
		}
		places = append(places, placed{s, int32(i)})
	}
	if !sorted {
		slices.SortFunc(places, func(a, b placed) int {
			switch {
			case a.low.less(b.low):
				return -1
			case b.low.less(a.low):
				return 1
			}
			return int(a.index - b.index)
		})
	}
	distinct := len(places)
	for i := 1; i < len(places); i++ {
		a, b := places[i-1], places[i]
		if a.high.less(b.low) {
			continue
		}
		later := &list[max(a.index, b.index)]
		if a.span == b.span && (!isMap || sameTarget(&list[a.index], &list[b.index])) {
			distinct--
			continue
		}
		if !merges {
			p.failAt(int(later.Line), "the elements %s and %s overlap", text(&list[a.index].Key), text(&list[b.index].Key))
		}
		if a.high.less(b.high) {
			continue
		}
		places[i].high = a.high
	}
	return distinct
}

// sameTarget reports whether two elements map to the same.
func sameTarget(a, b *Element) bool {
	if a.Verdict == nil || b.Verdict == nil {
		return a.Verdict == b.Verdict && strings.TrimSpace(a.Unread) == strings.TrimSpace(b.Unread)
	}
	return *a.Verdict == *b.Verdict
}

// maxPairs is how many elements of several parts are compared with each other.
const maxPairs = 2000

// conflictsOfSeveral compares elements whose keys have several parts.
func (p *parser) conflictsOfSeveral(types []*datatype, list []Element, isMap, merges bool) int {
	if merges || slices.Contains(types, nil) || len(list) > maxPairs {
		return len(list)
	}
	spans := make([][]span, len(list))
	for i := range list {
		spans[i] = p.fits(types, &list[i].Key, int(list[i].Line))
	}
	distinct := len(list)
	for i := range list {
		for j := range list[:i] {
			if spans[i] == nil || spans[j] == nil || !overlap(spans[i], spans[j]) {
				continue
			}
			if slices.Equal(spans[i], spans[j]) && (!isMap || sameTarget(&list[i], &list[j])) {
				distinct--
				break
			}
			p.failAt(int(list[i].Line), "the elements %s and %s overlap", text(&list[j].Key), text(&list[i].Key))
		}
	}
	return distinct
}

func overlap(a, b []span) bool {
	for i := range a {
		if a[i].high.less(b[i].low) || b[i].high.less(a[i].low) {
			return false
		}
	}
	return true
}
