package diagram_test

import (
	"math/big"
	"testing"

	"github.com/seawall/seawall/compiler/diagram"
	"pgregory.net/rapid"
)

// The size of a set is the sum over its spans of last - first + 1, as whole numbers have
// it, up to all of IPv6, which is one more than two words hold.
func TestSize(t *testing.T) {
	number := func(v diagram.Value) *big.Int {
		n := new(big.Int).Lsh(new(big.Int).SetUint64(v.Hi), 64)
		return n.Add(n, new(big.Int).SetUint64(v.Lo))
	}
	every := diagram.Value{Hi: 1<<64 - 1, Lo: 1<<64 - 1}
	if got, want := diagram.Set(nil).Size(every), new(big.Int).Lsh(big.NewInt(1), 128); got.Cmp(want) != 0 {
		t.Errorf("all of IPv6 are %s, want %s", got, want)
	}
	word := rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, 1, 1<<64 - 1}))
	rapid.Check(t, func(t *rapid.T) {
		var set diagram.Set
		for range rapid.IntRange(0, 6).Draw(t, "spans") {
			a := diagram.Value{Hi: word.Draw(t, "hi"), Lo: word.Draw(t, "lo")}
			b := diagram.Value{Hi: word.Draw(t, "hi"), Lo: word.Draw(t, "lo")}
			if b.Less(a) {
				a, b = b, a
			}
			set = append(set, diagram.Span{Lo: a, Hi: b})
		}
		if set = diagram.Normal(set); set == nil {
			set = diagram.None
		}
		want := new(big.Int)
		for _, s := range set {
			n := new(big.Int).Sub(number(s.Hi), number(s.Lo))
			want.Add(want, n.Add(n, big.NewInt(1)))
		}
		if got := set.Size(every); got.Cmp(want) != 0 {
			t.Fatalf("%v has %s values, want %s", set, got, want)
		}
	})
}

// What is in both of two sets, and in neither, is so for every value, wherever the sets end.
func TestIntersectAndComplement(t *testing.T) {
	span := rapid.Custom(func(t *rapid.T) diagram.Span {
		lo := rapid.IntRange(0, 30).Draw(t, "lo")
		return diagram.Span{Lo: diagram.Small(lo), Hi: diagram.Small(lo + rapid.IntRange(0, 6).Draw(t, "size"))}
	})
	set := rapid.Custom(func(t *rapid.T) diagram.Set { return diagram.Normal(rapid.SliceOfN(span, 1, 5).Draw(t, "spans")) })
	rapid.Check(t, func(t *rapid.T) {
		a, b := set.Draw(t, "a"), set.Draw(t, "b")
		most := rapid.IntRange(0, 40).Draw(t, "most")
		both, rest := a.Intersect(b), a.Complement(diagram.Small(most))
		for _, s := range []diagram.Set{both, rest, a.Intersect(rest)} {
			for i, x := range s {
				if x.Hi.Less(x.Lo) || i > 0 && !s[i-1].Hi.Less(x.Lo) {
					t.Fatalf("%v is not a set", s)
				}
			}
		}
		for n := range 45 {
			v := diagram.Small(n)
			if both.Has(v) != (a.Has(v) && b.Has(v)) {
				t.Fatalf("%d of %v and %v: %v", n, a, b, both)
			}
			if rest.Has(v) != (!a.Has(v) && n <= most) {
				t.Fatalf("%d of all up to %d without %v: %v", n, most, a, rest)
			}
		}
	})
}
