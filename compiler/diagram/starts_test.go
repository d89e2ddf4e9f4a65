package diagram

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawnValues are ascending values, many of them at the edges of what 32 and 64 bits hold.
func drawnValues(t *rapid.T) []Value {
	bases := []Value{{}, {0, 1<<31 - 1}, {0, 1<<32 - 2}, {0, 1 << 33}, {0, 1<<64 - 2}, {1, 0}, {1, 1<<32 - 1}, {1<<64 - 1, 1<<64 - 3}}
	var list []Value
	for range rapid.IntRange(0, 12).Draw(t, "values") {
		v := rapid.SampledFrom(bases).Draw(t, "base")
		for range rapid.IntRange(0, 2).Draw(t, "further") {
			v = v.Next()
		}
		list = append(list, v)
	}
	slices.SortFunc(list, Value.Compare)
	return slices.Compact(list)
}

func valuesOf(s *Starts) []Value {
	var list []Value
	for i := range s.Len() {
		list = append(list, s.At(i))
	}
	return list
}

// What is put into a list comes out of it, wherever it is divided and joined again.
func TestStarts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := drawnValues(t)
		s := StartsOf(values...)
		if got := valuesOf(&s); !slices.Equal(got, values) {
			t.Fatalf("%v came out as %v", values, got)
		}
		most := rapid.SampledFrom([]Value{{0, 1<<32 - 1}, {1<<64 - 1, 1<<64 - 1}}).Draw(t, "most")
		room := newStarts(rapid.IntRange(0, 20).Draw(t, "room"), most)
		low, high := room.halves()
		cut := rapid.IntRange(0, len(values)).Draw(t, "cut")
		for i, v := range values { // the two by turns, as when they are written at once
			if i < cut {
				low.Append(v)
			}
			if k := cut + i; k < len(values) {
				high.Append(values[k])
			}
		}
		both := joinedStarts(room, low, high)
		if got := valuesOf(&both); !slices.Equal(got, values) || !both.equal(&s) {
			t.Fatalf("%v, cut at %d, is joined to %v", values, cut, got)
		}
	})
}

// A node decides as its intervals were given, each neighbour once, and is the same whatever
// superfluous intervals it is made of.
func TestMake(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := append([]Value{{}}, drawnValues(t)...)
		values = slices.Compact(values)
		kids := make([]Ref, len(values))
		for i := range kids {
			kids[i] = Leaf(uint32(rapid.IntRange(0, 2).Draw(t, "kid")))
		}
		d := New(Value{1<<64 - 1, 1<<64 - 1})
		f := d.Make(0, StartsOf(values...), slices.Clone(kids))
		for i, v := range values {
			end := Value{1<<64 - 1, 1<<64 - 1}
			if i+1 < len(values) {
				end = values[i+1].Prev()
			}
			if at, last := d.Eval(f, &Point{v}), d.Eval(f, &Point{end}); at != kids[i].Bits() || last != at {
				t.Fatalf("%v %v: %v is %d, and %v is %d", values, kids, v, at, end, last)
			}
		}
		var starts Starts
		var fewest []Ref
		for i, v := range values {
			if i == 0 || kids[i] != kids[i-1] {
				starts.Append(v)
				fewest = append(fewest, kids[i])
			}
		}
		if got := d.Make(0, starts, fewest); got != f {
			t.Fatalf("%v %v: not the node without superfluous intervals", values, kids)
		}
		if !f.IsLeaf() && d.Node(f).Starts.Len() != len(d.Node(f).Kids) {
			t.Fatal("a node has other intervals than kids")
		}
	})
}
