package address

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// Set is a set of addresses, as sorted ranges that neither overlap nor touch. All are
// of one family, except for those passed to a Resolver. nil is the empty set.
//
// It is like netipx.IPSet, but without the copies: for a million sources IPSet makes
// eight, which took half of the time of a whole compile.
type Set []netipx.IPRange

// key4 is an IPv4 range as a number that sorts by its start. Sorting numbers is four times
// as fast as sorting ranges, and takes a sixth of the memory.
func key4(first, last netip.Addr) uint64 {
	a, b := first.As4(), last.As4()
	return uint64(binary.BigEndian.Uint32(a[:]))<<32 | uint64(binary.BigEndian.Uint32(b[:]))
}

// ofKeys4 returns the addresses of ranges that key4 made, which it sorts.
func ofKeys4(keys []uint64) Set {
	if !slices.IsSorted(keys) {
		slices.Sort(keys)
	}
	const half = 32
	joined := keys[:1]
	for _, k := range keys[1:] {
		end := &joined[len(joined)-1]
		if k>>half > *end&(1<<half-1)+1 {
			joined = append(joined, k)
			continue
		}
		if last := k & (1<<half - 1); last > *end&(1<<half-1) {
			*end = *end&^(1<<half-1) | last
		}
	}
	out := make(Set, len(joined))
	for i, k := range joined {
		out[i] = netipx.IPRangeFrom(addr4(uint32(k>>half)), addr4(uint32(k)))
	}
	return out
}

func addr4(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// normal sorts ranges of one family and joins those that overlap or touch. It may do so in
// place.
func normal(list []netipx.IPRange) Set {
	byStart := func(a, b netipx.IPRange) int { return a.From().Compare(b.From()) }
	if len(list) > 0 && list[0].From().Is4() && !slices.IsSortedFunc(list, byStart) {
		keys := make([]uint64, len(list))
		for i, r := range list {
			keys[i] = key4(r.From(), r.To())
		}
		return ofKeys4(keys)
	}
	if !slices.IsSortedFunc(list, byStart) {
		slices.SortFunc(list, byStart)
	}
	out := list[:0]
	for _, r := range list {
		out = Append(out, r)
	}
	return out
}

// Append adds a range that starts no earlier than those before it.
func Append(out Set, r netipx.IPRange) Set {
	n := len(out)
	if n == 0 || out[n-1].To().Less(r.From()) && out[n-1].To().Next() != r.From() {
		return append(out, r)
	}
	if out[n-1].To().Less(r.To()) {
		out[n-1] = netipx.IPRangeFrom(out[n-1].From(), r.To())
	}
	return out
}

// Empty reports whether a set has no address.
func Empty(s Set) bool { return len(s) == 0 }

// Equal reports whether two sets have the same addresses.
func (s Set) Equal(t Set) bool { return slices.Equal(s, t) }

// Prefixes returns the set as the fewest prefixes.
func (s Set) Prefixes() []netip.Prefix {
	if len(s) == 0 {
		return nil
	}
	list := make([]netip.Prefix, 0, len(s))
	for _, r := range s {
		list = r.AppendPrefixes(list)
	}
	return list
}

// Without returns the addresses of a that are not in b.
func Without(a, b Set) Set {
	if len(b) == 0 {
		return a
	}
	count := 0
	without(a, b, func(from, to netip.Addr) { count++ })
	if count == 0 {
		return nil
	}
	out := make(Set, 0, count)
	without(a, b, func(from, to netip.Addr) { out = append(out, netipx.IPRangeFrom(from, to)) })
	return out
}

// without calls put for each range of a that is not in b.
func without(a, b Set, put func(from, to netip.Addr)) {
	j := 0
	for _, r := range a {
		from, gone := r.From(), false
		for j < len(b) && b[j].To().Less(from) {
			j++
		}
		for k := j; k < len(b) && !r.To().Less(b[k].From()); k++ {
			if from.Less(b[k].From()) {
				put(from, b[k].From().Prev())
			}
			if gone = !b[k].To().Less(r.To()); gone {
				break
			}
			from = b[k].To().Next()
		}
		if !gone {
			put(from, r.To())
		}
	}
}

// Overlap reports whether any address is in both a and b.
func Overlap(a, b Set) bool { return len(Both(a, b)) > 0 }

// Covers reports whether every address of a prefix is in a set.
func Covers(s Set, p netip.Prefix) bool {
	r := netipx.RangeOfPrefix(p)
	i, found := slices.BinarySearchFunc(s, r.From(), func(x netipx.IPRange, a netip.Addr) int { return x.From().Compare(a) })
	if !found {
		i--
	}
	return i >= 0 && !s[i].To().Less(r.To())
}

// Both returns the addresses that are in both a and b.
func Both(a, b Set) Set {
	var out Set
	for i, j := 0, 0; i < len(a) && j < len(b); {
		from, to := a[i].From(), a[i].To()
		if from.Less(b[j].From()) {
			from = b[j].From()
		}
		if b[j].To().Less(to) {
			to = b[j].To()
		}
		if !to.Less(from) {
			out = append(out, netipx.IPRangeFrom(from, to))
		}
		if a[i].To().Less(b[j].To()) {
			i++
		} else {
			j++
		}
	}
	return out
}

// UnionOf returns the addresses of any number of sets, in the time that sorting them
// takes.
func UnionOf(sets ...Set) Set {
	var all []netipx.IPRange
	for _, s := range sets {
		all = append(all, s...)
	}
	return normal(all)
}

// Union returns the addresses that are in a or in b.
func Union(a, b Set) Set {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	out := make(Set, 0, len(a)+len(b))
	for i, j := 0, 0; i < len(a) || j < len(b); {
		if j == len(b) || i < len(a) && a[i].From().Less(b[j].From()) {
			out = Append(out, a[i])
			i++
		} else {
			out = Append(out, b[j])
			j++
		}
	}
	return out
}
