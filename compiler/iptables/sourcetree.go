package iptables

import (
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// Most of a large file is a tree of chains over the sources. A chain in it matches
// only on the source, and is gone to for only part of the addresses. Read like any
// other chain, it would be a function of all addresses, and each level would copy
// what is below it. So such chains are not read separately: the sweep over their
// caller's sources walks into them, within the current span, and meets each rule
// once.

// sourceTree is a chain of few rules that match only on the source.
type sourceTree struct {
	reader *Reader
	chain  *Chain
	size   int // about how many parts its function has
	full   diagram.Ref
	known  bool // full is valid
}

// maxTreeRules is how many rules such a chain may have. They are walked from the
// first on in each interval, which would be slow for long lists.
const maxTreeRules = 64

// notATree is the size of a chain that is not such a one.
const notATree = -1

// sourceTree returns a chain as one that matches only on the source, or nil. A
// verdict in it is the policy's own, so targets are not looked up elsewhere.
func (r *Reader) sourceTree(chain *Chain) *sourceTree {
	if t, ok := r.trees[chain]; ok {
		return t
	}
	var t *sourceTree
	if whole, ok := r.remembered(chain); ok {
		t = &sourceTree{reader: r, chain: chain, size: whole.Starts.Len(), full: r.Adopt(whole), known: true}
		r.adopted[t.full] = chain
	} else if size := r.treeSize(chain); size != notATree {
		t = &sourceTree{reader: r, chain: chain, size: int(size)}
	}
	r.trees[chain] = t
	return t
}

// treeSize returns about how many parts the function of a chain has that matches only on
// the source: a rule decides in one and leaves one beside it. It returns notATree for any
// other chain.
func (r *Reader) treeSize(chain *Chain) int32 {
	if size, ok := r.sizes[chain]; ok {
		return size
	}
	r.sizes[chain] = notATree // a chain that leads to itself is not one
	if chain == nil || chain.Len() > maxTreeRules || chain.Name == DockerUser || chain.Name == SeawallForward || chain.Name == SeawallInput {
		return notATree
	}
	total := 1
	r.know(chain.packing)
	list := r.steps(chain)
	for i := range list.len() {
		does := list.outcome(i)
		switch {
		case does.unfit:
			return notATree
		case does.to == nil:
			total += 2
			continue
		}
		size := r.treeSize(does.to)
		if size == notATree {
			return notATree
		}
		total = min(total+int(size), 2*r.rules+1) // shared chains count once per path
	}
	r.sizes[chain] = int32(total)
	return int32(total)
}

// Expand pushes the tree's outcome for the addresses from lo to hi.
func (t *sourceTree) Expand(s *diagram.Sweep, lo, hi diagram.Value) {
	t.expand(s, t.reader.steps(t.chain), lo, hi)
}

// expand pushes the outcome of the rules of a chain for the addresses from lo to
// hi, in order: the first rule that matches some of them decides those, and the
// rules after it decide the others. At the end of the chain a packet returns.
func (t *sourceTree) expand(s *diagram.Sweep, list steps, lo, hi diagram.Value) {
	for i := range list.len() {
		does := list.outcome(i)
		if does.nothing {
			continue
		}
		at, not := list.span(i)
		if not {
			t.beside(s, list.from(i), lo, hi)
			return
		}
		if hi.Less(at.Lo) || at.Hi.Less(lo) {
			continue
		}
		from, to := lo, hi
		if from.Less(at.Lo) {
			from = at.Lo
			t.expand(s, list.from(i+1), lo, from.Prev())
		}
		if at.Hi.Less(to) {
			to = at.Hi
		}
		t.meet(s, does, from, to)
		if to == hi {
			return
		}
		lo = to.Next()
	}
	s.Push(lo, diagram.Leaf(returned))
}

// beside is expand for a first rule that is negated: the rule decides on both sides
// of its span, and the rules after it decide inside.
func (t *sourceTree) beside(s *diagram.Sweep, list steps, lo, hi diagram.Value) {
	does := list.outcome(0)
	at, _ := list.span(0)
	if hi.Less(at.Lo) || at.Hi.Less(lo) {
		t.meet(s, does, lo, hi)
		return
	}
	if lo.Less(at.Lo) {
		t.meet(s, does, lo, at.Lo.Prev())
		lo = at.Lo
	}
	if !at.Hi.Less(hi) {
		t.expand(s, list.from(1), lo, hi)
		return
	}
	t.expand(s, list.from(1), lo, at.Hi)
	t.meet(s, does, at.Hi.Next(), hi)
}

// meet pushes the outcome of a rule for addresses that it matches.
func (t *sourceTree) meet(s *diagram.Sweep, does outcome, lo, hi diagram.Value) {
	if does.to != nil {
		t.expand(s, t.reader.steps(does.to), lo, hi)
		return
	}
	s.Push(lo, does.leaf)
}

// Whole returns the tree as a function of all addresses.
func (t *sourceTree) Whole() diagram.Ref {
	if !t.known {
		t.full = t.reader.InHalves(t.size, func(s *diagram.Sweep, lo, hi diagram.Value) { t.expand(s, t.reader.steps(t.chain), lo, hi) })
		t.known = true
		if n, ok := t.reader.OfLeaves(t.full, packet.Source); ok && t.chain.shared {
			t.reader.table.memory.whole.Put(relabeling{chain: t.chain}, n, n.Starts.Len())
		}
	}
	return t.full
}

// remembered returns what a tree means that is of more than one table.
func (r *Reader) remembered(chain *Chain) (diagram.Node, bool) {
	if chain == nil || !chain.shared {
		return diagram.Node{}, false
	}
	return r.table.memory.whole.Get(relabeling{chain: chain})
}
