package diagram

import (
	"cmp"
	"encoding/binary"
	"math/big"
	"math/bits"
	"net/netip"
	"slices"
)

// Value is a point of a property: an address, a port, a protocol, an index. A
// 128-bit number holds each of them.
type Value struct{ Hi, Lo uint64 }

// Small returns a small number as a value.
func Small(n int) Value { return Value{0, uint64(n)} }

// Less reports whether a comes before b.
func (a Value) Less(b Value) bool { return a.Hi < b.Hi || a.Hi == b.Hi && a.Lo < b.Lo }

// Compare is Less for sorting.
func (a Value) Compare(b Value) int {
	if c := cmp.Compare(a.Hi, b.Hi); c != 0 {
		return c
	}
	return cmp.Compare(a.Lo, b.Lo)
}

// Next is a+1; the largest value has none, and callers ask first.
func (a Value) Next() Value {
	a.Lo++
	if a.Lo == 0 {
		a.Hi++
	}
	return a
}

// Prev is a-1; zero has none.
func (a Value) Prev() Value {
	if a.Lo == 0 {
		a.Hi--
	}
	a.Lo--
	return a
}

// OfAddr returns an address as a value.
func OfAddr(a netip.Addr) Value {
	if a.Is4() {
		b := a.As4()
		return Value{0, uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return Value{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// Addr returns a value as an address of IPv6, or of IPv4.
func (a Value) Addr(v6 bool) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
	if v6 {
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte(b[12:]))
}

// half is the largest value of the lower half of those up to a, one less than a power of 2.
func (a Value) half() Value { return Value{a.Hi >> 1, a.Lo>>1 | a.Hi<<63} }

// Span is all values from Lo to Hi, both included.
type Span struct{ Lo, Hi Value }

// OfPrefix returns the addresses of a CIDR without host bits.
func OfPrefix(p netip.Prefix) Span {
	lo := OfAddr(p.Addr())
	host := p.Addr().BitLen() - p.Bits()
	hi := lo
	if host > 64 {
		hi.Hi |= 1<<(host-64) - 1
	}
	if host > 0 {
		hi.Lo |= ^uint64(0) >> (64 - min(host, 64))
	}
	return Span{lo, hi}
}

// Set is a sorted list of spans that neither meet nor touch. nil is every
// value; an empty set that is not nil is none.
type Set []Span

// None is the set without a value.
var None = Set{}

// One is the set of a single value.
func One(v Value) Set { return Set{{v, v}} }

// Range is the set of the values from lo to hi.
func Range(lo, hi int) Set { return Set{{Small(lo), Small(hi)}} }

// Normal sorts spans, in place, and joins those that meet or touch.
func Normal(list []Span) Set {
	if list == nil {
		return None
	}
	byLo := func(a, b Span) int { return a.Lo.Compare(b.Lo) }
	if !slices.IsSortedFunc(list, byLo) && !sortSmall(list) {
		slices.SortFunc(list, byLo)
	}
	out := list[:0]
	for _, s := range list {
		if n := len(out); n > 0 && !(out[n-1].Hi.Less(s.Lo) && out[n-1].Hi.Next() != s.Lo) {
			if out[n-1].Hi.Less(s.Hi) {
				out[n-1].Hi = s.Hi
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

// sortSmall sorts many spans of values that 32 bits hold, as those of IPv4 are: two of them
// are one number, and numbers sort four times as fast. It returns false for any others.
func sortSmall(list []Span) bool {
	const many, most = 1000, 1<<32 - 1
	if len(list) < many || slices.ContainsFunc(list, func(s Span) bool { return s.Lo.Hi|s.Hi.Hi != 0 || s.Lo.Lo > most || s.Hi.Lo > most }) {
		return false
	}
	keys := make([]uint64, len(list))
	for i, s := range list {
		keys[i] = s.Lo.Lo<<32 | s.Hi.Lo
	}
	slices.Sort(keys)
	for i, k := range keys {
		list[i] = Span{Value{Lo: k >> 32}, Value{Lo: k & most}}
	}
	return true
}

// Complement is every value up to max that is not in s.
func (s Set) Complement(max Value) Set {
	if s == nil {
		return None
	}
	out := make(Set, 0, len(s)+1)
	from := Value{}
	for _, p := range s {
		if max.Less(p.Lo) {
			break
		}
		if from.Less(p.Lo) {
			out = append(out, Span{from, p.Lo.Prev()})
		}
		if !p.Hi.Less(max) {
			return out
		}
		from = p.Hi.Next()
	}
	return append(out, Span{from, max})
}

// Intersect is what is in both.
func (s Set) Intersect(t Set) Set {
	switch {
	case s == nil:
		return slices.Clip(t)
	case t == nil:
		return slices.Clip(s)
	}
	if len(s) > len(t) {
		s, t = t, s
	}
	if n := len(t); len(s) == 1 && n > 0 && !t[0].Lo.Less(s[0].Lo) && !s[0].Hi.Less(t[n-1].Hi) {
		return slices.Clip(t) // so that what is appended to one is not in the other
	}
	out := None
	for i, j := 0, 0; i < len(s) && j < len(t); {
		lo, hi := s[i].Lo, s[i].Hi
		if lo.Less(t[j].Lo) {
			lo = t[j].Lo
		}
		if t[j].Hi.Less(hi) {
			hi = t[j].Hi
		}
		if !hi.Less(lo) {
			out = append(out, Span{lo, hi})
		}
		if s[i].Hi.Less(t[j].Hi) {
			i++
		} else {
			j++
		}
	}
	return out
}

// Union is what is in either.
func (s Set) Union(t Set) Set {
	if s == nil || t == nil {
		return nil
	}
	return Normal(append(slices.Clone(s), t...))
}

// OrAll is s with every value up to max written out, for those who need spans.
func (s Set) OrAll(max Value) Set {
	if s == nil {
		return Set{{Value{}, max}}
	}
	return s
}

// Has reports whether a value is in the set.
func (s Set) Has(v Value) bool {
	if s == nil {
		return true
	}
	i, found := slices.BinarySearchFunc(s, v, func(p Span, v Value) int { return p.Lo.Compare(v) })
	if found {
		return true
	}
	return i > 0 && !s[i-1].Hi.Less(v)
}

// Size counts the values; every value up to max when s is nil. A set of many spans is
// counted without an allocation for each.
func (s Set) Size(max Value) *big.Int {
	var sum [3]uint64 // the lowest first: all of IPv6 are more than two words hold
	for _, p := range s.OrAll(max) {
		var borrow, carry uint64
		var n Value
		n.Lo, borrow = bits.Sub64(p.Hi.Lo, p.Lo.Lo, 0)
		n.Hi, _ = bits.Sub64(p.Hi.Hi, p.Lo.Hi, borrow)
		sum[0], carry = bits.Add64(sum[0], n.Lo, 1) // both ends count
		sum[1], carry = bits.Add64(sum[1], n.Hi, carry)
		sum[2] += carry
	}
	var b [24]byte
	for i, word := range sum {
		binary.BigEndian.PutUint64(b[8*(2-i):], word)
	}
	return new(big.Int).SetBytes(b[:])
}
