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
