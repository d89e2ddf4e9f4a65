package address

import (
	"net/netip"
	"testing"

	"go4.org/netipx"
	"pgregory.net/rapid"
)

// drawn returns a set of a few adjacent addresses, at the start, in the middle or at
// the end of a family, and the same set as an IPSet.
func drawn(t *rapid.T, name string) (Set, *netipx.IPSet) {
	bases := []netip.Addr{netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("10.0.0.250"), netip.MustParseAddr("255.255.255.240")}
	var ranges []netipx.IPRange
	var b netipx.IPSetBuilder
	for range rapid.IntRange(0, 6).Draw(t, name) {
		from := rapid.SampledFrom(bases).Draw(t, "base")
		for range rapid.IntRange(0, 12).Draw(t, "offset") {
			from = from.Next()
		}
		to := from
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			to = to.Next()
		}
		ranges = append(ranges, netipx.IPRangeFrom(from, to))
		b.AddRange(netipx.IPRangeFrom(from, to))
	}
	set, err := b.IPSet()
	if err != nil {
		t.Fatal(err)
	}
	return normal(ranges), set
}

// Set operations agree with netipx.
func TestSetsAgreeWithNetipx(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, wantA := drawn(t, "a")
		b, wantB := drawn(t, "b")
		check := func(what string, got Set, fill func(*netipx.IPSetBuilder)) {
			var build netipx.IPSetBuilder
			build.AddSet(wantA)
			fill(&build)
			want, err := build.IPSet()
			if err != nil {
				t.Fatal(err)
			}
			if !got.Equal(want.Ranges()) {
				t.Errorf("%s of %v and %v: %v, netipx says %v", what, a, b, got, want.Ranges())
			}
			prefixes := want.Prefixes()
			mine := got.Prefixes()
			if len(mine) != len(prefixes) {
				t.Errorf("%v as prefixes: %v, netipx says %v", got, mine, prefixes)
			}
		}
		check("itself", a, func(*netipx.IPSetBuilder) {})
		check("union", Union(a, b), func(x *netipx.IPSetBuilder) { x.AddSet(wantB) })
		check("without", Without(a, b), func(x *netipx.IPSetBuilder) { x.RemoveSet(wantB) })
		check("both", Both(a, b), func(x *netipx.IPSetBuilder) { x.Intersect(wantB) })
	})
}
