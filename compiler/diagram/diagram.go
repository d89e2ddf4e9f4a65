package diagram

import (
	"slices"
	"sort"
)

// Ref is a node of a store, or with the top bit a leaf.
type Ref uint32

const leafBit = 1 << 31

// Continue is the bit of a leaf on which no step so far has decided. All other
// bits below it are the caller's.
const Continue = 1 << 30

// Leaf returns the leaf with these bits.
func Leaf(bits uint32) Ref { return Ref(bits) | leafBit }

// IsLeaf reports whether r is a leaf.
func (r Ref) IsLeaf() bool { return r&leafBit != 0 }

// Bits returns a leaf's bits.
func (r Ref) Bits() uint32 { return uint32(r &^ leafBit) }

func (r Ref) has(b uint32) bool { return r.IsLeaf() && r.Bits()&b != 0 }

// Node splits one property. Interval i goes from value i of Starts to
// just before value i+1, and the diagram Kids[i] decides there.
type Node struct {
	Property int
	Starts   Starts
	Kids     []Ref
	bits     uint32 // of any leaf below it
	hash     uint64
}

// At returns the index of the interval that contains v.
func (n *Node) At(v Value) int {
	return sort.Search(n.Starts.Len(), func(i int) bool { return v.Less(n.Starts.At(i)) }) - 1
}

// Store holds nodes, each content once. It is for one goroutine.
type Store struct {
	max    []Value // of each property
	nodes  []Node
	byHash map[uint64][]Ref
	memo   map[[2]Ref]Ref // of Overlay

	meter
}

// New returns a store for properties with these largest values. The last one is the
// property in which nearly all steps of a large list differ.
func New(max ...Value) *Store {
	return &Store{max: max, byHash: map[uint64][]Ref{}, memo: map[[2]Ref]Ref{}, meter: meter{left: DefaultSteps, limit: DefaultSteps}}
}

// Max returns the largest value of a property.
func (d *Store) Max(property int) Value { return d.max[property] }

// last is the property that is swept.
func (d *Store) last() int { return len(d.max) - 1 }

// Property returns the first property that a diagram depends on; for a leaf, it is
// one beyond the last.
func (d *Store) Property(r Ref) int {
	if r.IsLeaf() {
		return len(d.max)
	}
	return d.nodes[r].Property
}

// Node returns the content of a ref that is not a leaf. It must not be changed.
func (d *Store) Node(r Ref) *Node { return &d.nodes[r] }

// OfLeaves returns the content of a node of one property that has only leaves below it: it
// means the same in any store. It must not be changed.
func (d *Store) OfLeaves(r Ref, property int) (Node, bool) {
	if r.IsLeaf() || d.nodes[r].Property != property || !allLeaves(d.nodes[r].Kids) {
		return Node{}, false
	}
	return d.nodes[r], true
}

func allLeaves(kids []Ref) bool {
	return !slices.ContainsFunc(kids, func(k Ref) bool { return !k.IsLeaf() })
}

// Make returns the node of this content. Neighbours with the same kid become
// one interval, and a node of one interval is its kid. The lists belong to the
// store afterwards.
func (d *Store) Make(property int, starts Starts, kids []Ref) Ref {
	d.spend(len(kids))
	starts, kids = merged(starts, kids)
	if len(kids) == 1 {
		return kids[0]
	}
	n := Node{property, starts.clip(), slices.Clip(kids), 0, hash(property, &starts, kids)}
	if r, ok := d.find(&n); ok {
		return r
	}
	for _, k := range kids {
		n.bits |= d.bits(k)
	}
	return d.add(n)
}

// merged makes neighbours with the same kid one interval.
func merged(starts Starts, kids []Ref) (Starts, []Ref) {
	same := 1
	for same < len(kids) && kids[same] != kids[same-1] {
		same++
	}
	if same == len(kids) {
		return starts, kids
	}
	all := starts
	starts = all.emptied()
	parts := 0
	for i, k := range kids {
		if parts > 0 && kids[parts-1] == k {
			continue
		}
		starts.Append(all.At(i))
		kids[parts] = k
		parts++
	}
	return starts, kids[:parts]
}

// Adopt returns the node with the content of one of another store, which OfLeaves returned
// there.
func (d *Store) Adopt(n Node) Ref {
	d.spend(1)
	if r, ok := d.find(&n); ok {
		return r
	}
	return d.add(n)
}

// find returns the node of a content, if there is one.
func (d *Store) find(n *Node) (Ref, bool) {
	for _, r := range d.byHash[n.hash] {
		old := &d.nodes[r]
		if old.Property != n.Property || len(old.Kids) != len(n.Kids) {
			continue
		}
		if &old.Kids[0] == &n.Kids[0] || slices.Equal(old.Kids, n.Kids) && old.Starts.equal(&n.Starts) {
			return r, true
		}
	}
	return 0, false
}

func (d *Store) add(n Node) Ref {
	r := Ref(len(d.nodes))
	d.nodes = append(d.nodes, n)
	d.byHash[n.hash] = append(d.byHash[n.hash], r)
	return r
}

// goesOn reports whether some packet is not decided by a diagram for certain.
func (d *Store) goesOn(r Ref) bool {
	return d.bits(r)&Continue != 0
}

// bits are those that any leaf of a diagram has.
func (d *Store) bits(r Ref) uint32 {
	if r.IsLeaf() {
		return r.Bits()
	}
	return d.nodes[r].bits
}

func hash(property int, starts *Starts, kids []Ref) uint64 {
	const prime = 0x9E3779B97F4A7C15
	h := uint64(property) + 1
	for i := range kids {
		v := starts.At(i)
		h = (h ^ v.Lo) * prime
		h ^= h >> 29
		h = (h ^ v.Hi ^ uint64(kids[i])<<17) * prime
		h ^= h >> 32
	}
	return h
}

// Overlay is the function that a decides, and b where a goes on. Where a may go
// on or not, both are possible.
func (d *Store) Overlay(a, b Ref) Ref {
	if a.IsLeaf() {
		switch {
		case !a.has(Continue):
			return a
		case a.Bits() == Continue:
			return b
		case b.IsLeaf():
			return Leaf(a.Bits()&^Continue | b.Bits())
		}
	}
	if a == b || b == Leaf(Continue) || !d.goesOn(a) {
		return a
	}
	key := [2]Ref{a, b}
	if r, ok := d.memo[key]; ok {
		return r
	}
	r := d.split(a, b, true, d.Overlay)
	d.memo[key] = r
	return r
}

// split applies op to the parts of a and b on the first property that either
// of them asks for. There may be as many parts as both have, or a few.
func (d *Store) split(a, b Ref, many bool, op func(a, b Ref) Ref) Ref {
	p := min(d.Property(a), d.Property(b))
	as, bs := d.Parts(a, p), d.Parts(b, p)
	size := len(as.Kids) + len(bs.Kids)
	d.spend(size)
	if !many {
		size = min(size, 8)
	}
	starts, kids := newStarts(size, d.max[p]), make([]Ref, 0, size)
	for i, j := 0, 0; ; {
		from := as.Starts.At(i)
		if other := bs.Starts.At(j); from.Less(other) {
			from = other
		}
		if kid := op(as.Kids[i], bs.Kids[j]); len(kids) == 0 || kids[len(kids)-1] != kid {
			starts.Append(from)
			kids = append(kids, kid)
		}
		moreA, moreB := i+1 < len(as.Kids), j+1 < len(bs.Kids)
		switch {
		case !moreA && !moreB:
			return d.Make(p, starts, kids)
		case !moreB || moreA && as.Starts.At(i+1).Less(bs.Starts.At(j+1)):
			i++
		case !moreA || bs.Starts.At(j+1).Less(as.Starts.At(i+1)):
			j++
		default:
			i, j = i+1, j+1
		}
	}
}

// Parts is a diagram as intervals of a property, one when it does not ask for
// it first.
func (d *Store) Parts(r Ref, property int) Node {
	if d.Property(r) == property {
		return d.nodes[r]
	}
	return Node{Property: property, Starts: StartsOf(Value{}), Kids: []Ref{r}}
}

// Fix follows a diagram over one property that has a value.
func (d *Store) Fix(r Ref, property int, v Value) Ref {
	if d.Property(r) != property {
		return r
	}
	n := &d.nodes[r]
	return n.Kids[n.At(v)]
}

// Relabel returns a diagram with changed leaves.
func (d *Store) Relabel(r Ref, change func(bits uint32) uint32) Ref {
	return d.rebuild(r, map[Ref]Ref{}, func(r Ref) (Ref, bool) {
		if r.IsLeaf() {
			return Leaf(change(r.Bits())), true
		}
		return r, false
	})
}

// Replace returns a diagram with some bits of its leaves, where they have any of these,
// replaced by others. known has what was made before in the same way.
func (d *Store) Replace(r Ref, from, to uint32, known map[Ref]Ref) Ref {
	return d.rebuild(r, known, func(r Ref) (Ref, bool) {
		switch {
		case d.bits(r)&from == 0:
			return r, true
		case r.IsLeaf():
			return Leaf(r.Bits()&^from | to), true
		}
		return r, false
	})
}

// Restrict is a diagram for points of which one property has a value.
func (d *Store) Restrict(r Ref, property int, v Value) Ref {
	return d.rebuild(r, map[Ref]Ref{}, func(r Ref) (Ref, bool) {
		if p := d.Property(r); p > property {
			return r, true
		} else if p == property {
			return d.Fix(r, property, v), true
		}
		return r, false
	})
}

// rebuild replaces what known answers for, and makes the nodes above it anew.
func (d *Store) rebuild(r Ref, memo map[Ref]Ref, known func(Ref) (Ref, bool)) Ref {
	var walk func(Ref) Ref
	walk = func(r Ref) Ref {
		if got, ok := known(r); ok {
			return got
		}
		if got, ok := memo[r]; ok {
			return got
		}
		n := d.nodes[r]
		kids := make([]Ref, len(n.Kids))
		for i, k := range n.Kids {
			if i > 1 && k == n.Kids[i-2] { // most long partitions have two kids by turns
				kids[i] = kids[i-2]
				continue
			}
			kids[i] = walk(k)
		}
		starts := n.Starts
		for i := range kids {
			if i > 0 && kids[i] == kids[i-1] {
				starts = starts.clone() // Make joins the two
				break
			}
		}
		got := d.Make(n.Property, starts, kids)
		memo[r] = got
		return got
	}
	return walk(r)
}

// Eval follows a diagram for one point.
func (d *Store) Eval(r Ref, at *Point) uint32 {
	for !r.IsLeaf() {
		n := &d.nodes[r]
		r = n.Kids[n.At(at[n.Property])]
	}
	return r.Bits()
}
