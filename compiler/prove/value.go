package prove

import (
	"cmp"
	"encoding/binary"
	"math/big"
	"net/netip"
	"slices"
)

// value is a point of a property: an address, a port, a protocol, an index. A
// 128-bit number holds each of them.
type value struct{ hi, lo uint64 }

func small(n int) value { return value{0, uint64(n)} }

func (a value) less(b value) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

func (a value) compare(b value) int {
	if c := cmp.Compare(a.hi, b.hi); c != 0 {
		return c
	}
	return cmp.Compare(a.lo, b.lo)
}

// next is a+1; the largest value has none, and callers ask first.
func (a value) next() value {
	a.lo++
	if a.lo == 0 {
		a.hi++
	}
	return a
}

func (a value) prev() value {
	if a.lo == 0 {
		a.hi--
	}
	a.lo--
	return a
}

func ofAddr(a netip.Addr) value {
	if a.Is4() {
		b := a.As4()
		return value{0, uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return value{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (a value) addr(v6 bool) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	if v6 {
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte(b[12:]))
}

// span is all values from lo to hi, both included.
type span struct{ lo, hi value }

// set is a sorted list of spans that neither meet nor touch. nil is every
// value, an empty set that is not nil is none.
type set []span

var none = set{}

// normal sorts spans and joins those that meet or touch.
func normal(list []span) set {
	if list == nil {
		return none
	}
	byLo := func(a, b span) int { return a.lo.compare(b.lo) }
	if !slices.IsSortedFunc(list, byLo) {
		slices.SortFunc(list, byLo)
	}
	out := list[:0]
	for _, s := range list {
		if n := len(out); n > 0 && !(out[n-1].hi.less(s.lo) && out[n-1].hi.next() != s.lo) {
			if out[n-1].hi.less(s.hi) {
				out[n-1].hi = s.hi
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

func one(v value) set { return set{{v, v}} }

// complement is every value up to max that is not in s.
func (s set) complement(max value) set {
	if s == nil {
		return none
	}
	out := none
	from := value{}
	for _, p := range s {
		if from.less(p.lo) {
			out = append(out, span{from, p.lo.prev()})
		}
		if p.hi == max {
			return out
		}
		from = p.hi.next()
	}
	return append(out, span{from, max})
}

// intersect is what is in both.
func (s set) intersect(t set) set {
	switch {
	case s == nil:
		return t
	case t == nil:
		return s
	}
	out := none
	for i, j := 0, 0; i < len(s) && j < len(t); {
		lo, hi := s[i].lo, s[i].hi
		if lo.less(t[j].lo) {
			lo = t[j].lo
		}
		if t[j].hi.less(hi) {
			hi = t[j].hi
		}
		if !hi.less(lo) {
			out = append(out, span{lo, hi})
		}
		if s[i].hi.less(t[j].hi) {
			i++
		} else {
			j++
		}
	}
	return out
}

func (s set) has(v value) bool {
	if s == nil {
		return true
	}
	i, found := slices.BinarySearchFunc(s, v, func(p span, v value) int { return p.lo.compare(v) })
	if found {
		return true
	}
	return i > 0 && !s[i-1].hi.less(v)
}

// size counts the values; every value of a property with the given maximum
// when s is nil.
func (s set) size(max value) *big.Int {
	if s == nil {
		s = set{{value{}, max}}
	}
	total := new(big.Int)
	for _, p := range s {
		n := new(big.Int).Sub(p.hi.big(), p.lo.big())
		total.Add(total, n.Add(n, big.NewInt(1)))
	}
	return total
}

func (a value) big() *big.Int {
	n := new(big.Int).SetUint64(a.hi)
	n.Lsh(n, 64)
	return n.Or(n, new(big.Int).SetUint64(a.lo))
}
