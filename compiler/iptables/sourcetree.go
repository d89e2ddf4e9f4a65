package iptables

import (
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// A tree of chains over the sources is the commonest thing in a large file. A
// chain in it asks for the source alone, and is gone to for a part of the
// addresses alone. Read as any other chain, it would be a function of all
// addresses, and each level would copy what is below it. So such chains are
// not read by themselves: the sweep over their caller's sources walks into them,
// within the span at hand, and each rule is met once.

// sourceTree is a chain of few rules that ask for the source alone.
type sourceTree struct {
	reader *Reader
	rules  []*Rule
	size   int // of the rules that can be met in it
	full   diagram.Ref
	known  bool // full was worked out
}

// maxTreeRules is how many rules such a chain may have. In each interval they
// are walked from the first on, which is no way to read long lists.
const maxTreeRules = 64

// sourceTree returns a chain as one that asks for the source alone, or nil. A
// verdict in it is the policy's own: it is not looked for elsewhere.
func (r *Reader) sourceTree(chain *Chain) *sourceTree {
	if t, ok := r.trees[chain]; ok {
		return t
	}
	r.trees[chain] = nil // a chain that leads to itself is none
	if chain == nil || len(chain.Rules) > maxTreeRules || chain.Name == DockerUser || chain.Name == SeawallInput {
		return nil
	}
	for _, rule := range chain.Rules {
		if !r.sourceOnly(rule) {
			return nil
		}
	}
	t := &sourceTree{reader: r, rules: chain.Rules, size: len(chain.Rules)}
	for _, rule := range chain.Rules {
		if next := r.trees[r.leads(rule)]; next != nil {
			t.size = min(t.size+next.size, r.rules) // shared chains count once for each way
		}
	}
	r.trees[chain] = t
	return t
}

// sourceOnly reports whether a rule asks for the source alone, and leads to a
// verdict or goes to a chain of such rules.
func (r *Reader) sourceOnly(rule *Rule) bool {
	if r.leads(rule) != nil {
		return (rule.To != nil || rule.Target.Goto) && asksNothing(rule.Body) && r.sourceTree(r.leads(rule)) != nil
	}
	v, decides := rule.verdict()
	if !decides {
		return rule.Unread == ""
	}
	return asksNothing(rule.Body) && v != packet.Unknown
}

// Expand pushes what the tree says of the addresses from lo to hi.
func (t *sourceTree) Expand(s *diagram.Sweep, lo, hi diagram.Value) { t.expand(s, t.rules, lo, hi) }

// expand writes what the rules of a chain say of the addresses from lo to hi, in
// order: the first rule that meets them decides where it does, and those after
// it decide beside it. At the end of the chain a packet goes back.
func (t *sourceTree) expand(s *diagram.Sweep, list []*Rule, lo, hi diagram.Value) {
	for i, rule := range list {
		if _, decides := rule.verdict(); !decides && t.reader.leads(rule) == nil {
			continue
		}
		if rule.Source.Not {
			t.beside(s, list[i:], lo, hi)
			return
		}
		at := t.spanOf(rule.Source)
		if hi.Less(at.Lo) || at.Hi.Less(lo) {
			continue
		}
		from, to := lo, hi
		if from.Less(at.Lo) {
			from = at.Lo
			t.expand(s, list[i+1:], lo, from.Prev())
		}
		if at.Hi.Less(to) {
			to = at.Hi
		}
		t.meet(s, rule, from, to)
		if to == hi {
			return
		}
		lo = to.Next()
	}
	s.Push(lo, diagram.Leaf(returned))
}

// beside is expand for a first rule that is negated: what it says holds on both
// sides of its span, and what comes after it inside.
func (t *sourceTree) beside(s *diagram.Sweep, list []*Rule, lo, hi diagram.Value) {
	at := t.spanOf(list[0].Source)
	if hi.Less(at.Lo) || at.Hi.Less(lo) {
		t.meet(s, list[0], lo, hi)
		return
	}
	if lo.Less(at.Lo) {
		t.meet(s, list[0], lo, at.Lo.Prev())
		lo = at.Lo
	}
	if !at.Hi.Less(hi) {
		t.expand(s, list[1:], lo, hi)
		return
	}
	t.expand(s, list[1:], lo, at.Hi)
	t.meet(s, list[0], at.Hi.Next(), hi)
}

// meet writes what a rule says of addresses that it matches.
func (t *sourceTree) meet(s *diagram.Sweep, rule *Rule, lo, hi diagram.Value) {
	if c := t.reader.leads(rule); c != nil {
		t.expand(s, c.Rules, lo, hi)
		return
	}
	v, _ := rule.verdict()
	if v == 0 {
		s.Push(lo, diagram.Leaf(returned))
		return
	}
	s.Push(lo, leaf(v))
}

// spanOf is the addresses of a source, negated or not.
func (t *sourceTree) spanOf(s Source) diagram.Span {
	if !s.Prefix.IsValid() {
		return diagram.Span{Hi: t.reader.Max(packet.Source)}
	}
	return diagram.OfPrefix(s.Prefix)
}

// Whole is the tree as a function of all addresses.
func (t *sourceTree) Whole() diagram.Ref {
	if !t.known {
		s := t.reader.NewSweep(2*t.size + 2)
		t.expand(s, t.rules, diagram.Value{}, t.reader.Max(packet.Source))
		t.full, t.known = s.Done(), true
	}
	return t.full
}
