package diagram

// Pair is the leaf of a diagram of differences: the leaf of each side.
type Pair struct{ A, B uint32 }

// pairShift is how many bits the leaves of compared diagrams may have.
const pairShift = 12

func pairOf(bits uint32) Pair { return Pair{bits & (1<<pairShift - 1), bits >> pairShift} }

// Differences is where two diagrams disagree.
type Differences struct {
	d *Store
	r Ref
}

// Disagree finds where the leaves of two diagrams do not agree. Leaves use the
// lower twelve bits.
func (d *Store) Disagree(a, b Ref, agree func(a, b uint32) bool) Differences {
	memo := map[[2]Ref]Ref{}
	var walk func(a, b Ref) Ref
	walk = func(a, b Ref) Ref {
		switch {
		case a == b:
			return Leaf(0)
		case a.IsLeaf() && b.IsLeaf() && agree(a.Bits(), b.Bits()):
			return Leaf(0)
		case a.IsLeaf() && b.IsLeaf():
			return Leaf(a.Bits() | b.Bits()<<pairShift)
		}
		key := [2]Ref{a, b}
		if r, ok := memo[key]; ok {
			return r
		}
		r := d.split(a, b, false, walk)
		memo[key] = r
		return r
	}
	return Differences{d, walk(a, b)}
}

// None reports whether there is no difference.
func (x Differences) None() bool { return x.r == Leaf(0) }

// Boxes calls f for each box on which the sides differ. The box is valid until f
// returns.
func (x Differences) Boxes(f func(*Box, Pair)) {
	x.d.Boxes(x.r, func(b *Box, bits uint32) { f(b, pairOf(bits)) })
}

// Boxes calls f for each box of a diagram whose leaf is not zero: at each node
// the intervals with the same rest belong together. The box holds until f
// returns.
func (d *Store) Boxes(r Ref, f func(*Box, uint32)) {
	var b Box
	var walk func(Ref)
	walk = func(r Ref) {
		d.spend(1)
		if r.IsLeaf() {
			if r.Bits() != 0 {
				f(&b, r.Bits())
			}
			return
		}
		n := d.nodes[r]
		for _, g := range d.Groups(n) {
			b[n.Property] = g.Spans
			walk(g.Kid)
		}
		b[n.Property] = nil
	}
	walk(r)
}

// Within calls f for each box of a diagram, as far as it lies in b.
func (d *Store) Within(r Ref, b Box, f func(*Box, uint32)) {
	d.spend(1)
	if r.IsLeaf() {
		f(&b, r.Bits())
		return
	}
	n := d.nodes[r]
	for _, g := range d.Groups(n) {
		part := b
		part[n.Property] = part[n.Property].Intersect(g.Spans)
		if len(part[n.Property]) > 0 {
			d.Within(g.Kid, part, f)
		}
	}
}

// Group is intervals of a node with the same rest.
type Group struct {
	Kid   Ref
	Spans Set
}

// Groups groups the intervals of a node by the diagram that decides the rest.
func (d *Store) Groups(n Node) []Group {
	var list []Group
	index := map[Ref]int{}
	d.spend(len(n.Kids))
	for i, k := range n.Kids {
		end := d.End(&n, i)
		at, ok := index[k]
		if !ok {
			at = len(list)
			index[k] = at
			list = append(list, Group{Kid: k})
		}
		list[at].Spans = append(list[at].Spans, Span{n.Starts.At(i), end})
	}
	return list
}

// End returns the last value of a node's interval i.
func (d *Store) End(n *Node, i int) Value {
	if i+1 < n.Starts.Len() {
		return n.Starts.At(i + 1).Prev()
	}
	return d.max[n.Property]
}
