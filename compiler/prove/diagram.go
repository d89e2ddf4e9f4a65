package prove

import (
	"slices"
	"sort"

	"github.com/seawall/seawall/compiler/rules"
)

// Verdict bits. A leaf is a set of them: one bit when the verdict is known,
// several when a match that cannot be decided chooses among them.
const (
	vPass        = 1 << iota // back to Docker's own rules, or the host's in INPUT
	vAccept                  // ACCEPT
	vDeny                    // DROP
	vReset                   // REJECT with tcp-reset
	vUnreachable             // REJECT with port-unreachable
	vRejectOther             // REJECT with another answer
	vOther                   // a target that this package does not know
	vHost                    // dropped or rejected by the host's own INPUT rules
	vContinue                // no rule so far has decided
	vReturn                  // back to the rule after the call of this chain
)

// ref is a node of a diagram, or with the top bit a leaf.
type ref uint32

const leafBit = 1 << 31

func leaf(bits uint32) ref      { return ref(bits) | leafBit }
func (r ref) isLeaf() bool      { return r&leafBit != 0 }
func (r ref) bits() uint32      { return uint32(r &^ leafBit) }
func (r ref) has(b uint32) bool { return r.isLeaf() && r.bits()&b != 0 }

// node asks for one property. Interval i goes from starts[i] to just before
// starts[i+1], and the diagram kids[i] decides there.
type node struct {
	property int
	starts   []value
	kids     []ref
	goesOn   bool // some leaf has vContinue
}

// diagrams holds nodes, each content once.
type diagrams struct {
	*space
	nodes  []node
	byHash map[uint64][]ref
	memo   map[[2]ref]ref // of overlay

	readers map[*rules.Table]*chainReader
	lists   map[listKey]ref // policies' rules
}

func newDiagrams(s *space) *diagrams {
	return &diagrams{space: s, byHash: map[uint64][]ref{}, memo: map[[2]ref]ref{},
		readers: map[*rules.Table]*chainReader{}, lists: map[listKey]ref{}}
}

func (d *diagrams) property(r ref) int {
	if r.isLeaf() {
		return properties
	}
	return d.nodes[r].property
}

// make gives the node of this content. Neighbours with the same kid become one
// interval, and a node of one interval is its kid. The slices become the
// node's own when it is new; the bool says whether they did.
func (d *diagrams) make(property int, starts []value, kids []ref) ref {
	n := 0
	for i := range kids {
		if n > 0 && kids[n-1] == kids[i] {
			continue
		}
		if n < i {
			starts[n], kids[n] = starts[i], kids[i]
		}
		n++
	}
	if n == 1 {
		return kids[0]
	}
	starts, kids = starts[:n], kids[:n]
	h := d.hash(property, starts, kids)
	for _, r := range d.byHash[h] {
		old := &d.nodes[r]
		if old.property == property && slices.Equal(old.kids, kids) && slices.Equal(old.starts, starts) {
			return r
		}
	}
	r := ref(len(d.nodes))
	goesOn := slices.ContainsFunc(kids, d.goesOn)
	d.nodes = append(d.nodes, node{property, slices.Clip(starts), slices.Clip(kids), goesOn})
	d.byHash[h] = append(d.byHash[h], r)
	return r
}

// goesOn tells whether some packet is not decided by a diagram for certain.
func (d *diagrams) goesOn(r ref) bool {
	if r.isLeaf() {
		return r.has(vContinue)
	}
	return d.nodes[r].goesOn
}

func (d *diagrams) hash(property int, starts []value, kids []ref) uint64 {
	const prime = 0x9E3779B97F4A7C15
	h := uint64(property) + 1
	for i, v := range starts {
		h = (h ^ v.lo) * prime
		h ^= h >> 29
		h = (h ^ v.hi ^ uint64(kids[i])<<17) * prime
		h ^= h >> 32
	}
	return h
}

// at is the index of the interval that v lies in.
func (n *node) at(v value) int {
	return sort.Search(len(n.starts), func(i int) bool { return v.less(n.starts[i]) }) - 1
}

// overlay is the function that a decides, and b where a goes on. Where a may go
// on or not, both are possible.
func (d *diagrams) overlay(a, b ref) ref {
	if a.isLeaf() {
		switch {
		case !a.has(vContinue):
			return a
		case a.bits() == vContinue:
			return b
		case b.isLeaf():
			return leaf(a.bits()&^vContinue | b.bits())
		}
	}
	if a == b || b == leaf(vContinue) || !d.goesOn(a) {
		return a
	}
	key := [2]ref{a, b}
	if r, ok := d.memo[key]; ok {
		return r
	}
	r := d.split(a, b, d.overlay)
	d.memo[key] = r
	return r
}

// split applies op to the parts of a and b on the first property that either
// of them asks for.
func (d *diagrams) split(a, b ref, op func(a, b ref) ref) ref {
	p := min(d.property(a), d.property(b))
	as, bs := d.parts(a, p), d.parts(b, p)
	size := len(as.starts) + len(bs.starts)
	starts, kids := make([]value, 0, size), make([]ref, 0, size)
	for i, j := 0, 0; ; {
		from := as.starts[i]
		if from.less(bs.starts[j]) {
			from = bs.starts[j]
		}
		starts, kids = append(starts, from), append(kids, op(as.kids[i], bs.kids[j]))
		moreA, moreB := i+1 < len(as.starts), j+1 < len(bs.starts)
		switch {
		case !moreA && !moreB:
			return d.make(p, starts, kids)
		case !moreB || moreA && as.starts[i+1].less(bs.starts[j+1]):
			i++
		case !moreA || bs.starts[j+1].less(as.starts[i+1]):
			j++
		default:
			i, j = i+1, j+1
		}
	}
}

// parts is a diagram as intervals of a property, one when it does not ask for
// it.
func (d *diagrams) parts(r ref, property int) node {
	if d.property(r) == property {
		return d.nodes[r]
	}
	return node{property: property, starts: []value{{}}, kids: []ref{r}}
}

// relabel changes the leaves of a diagram.
func (d *diagrams) relabel(r ref, change func(bits uint32) uint32) ref {
	memo := map[ref]ref{}
	var walk func(ref) ref
	walk = func(r ref) ref {
		if r.isLeaf() {
			return leaf(change(r.bits()))
		}
		if got, ok := memo[r]; ok {
			return got
		}
		n := d.nodes[r]
		kids := make([]ref, len(n.kids))
		for i, k := range n.kids {
			kids[i] = walk(k)
		}
		starts := n.starts
		for i := range kids {
			if i > 0 && kids[i] == kids[i-1] {
				starts = slices.Clone(starts) // make joins the two
				break
			}
		}
		got := d.make(n.property, starts, kids)
		memo[r] = got
		return got
	}
	return walk(r)
}

// eval follows a diagram for one packet.
func (d *diagrams) eval(r ref, packet *[properties]value) uint32 {
	for !r.isLeaf() {
		n := &d.nodes[r]
		r = n.kids[n.at(packet[n.property])]
	}
	return r.bits()
}
