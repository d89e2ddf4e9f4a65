package prove

import (
	"github.com/seawall/seawall/compiler/rules"
)

// A tree of chains over the sources is the commonest thing in a large file. A
// chain in it asks for the source alone, and is gone to for a part of the
// addresses alone. Read as any other chain, it would be a function of all
// addresses, and each level would copy what is below it. So such chains are
// not read by themselves: the sweep over their caller's sources walks into them,
// within the span at hand, and each rule is met once.

// sourceChain is a chain of few rules that ask for the source alone.
type sourceChain struct {
	rules []*rules.Rule
	size  int // of the rules that can be met in it
	full  ref
	known bool // full was worked out
}

// maxSourceRules is how many rules such a chain may have. In each interval they
// are walked from the first on, which is no way to read long lists.
const maxSourceRules = 64

// sourceChain gives a chain as one that asks for the source alone, or nil. A
// verdict in it is the policy's own: it is not looked for elsewhere.
func (r *chainReader) sourceChain(chain *rules.Chain) *sourceChain {
	if c, ok := r.trees[chain]; ok {
		return c
	}
	r.trees[chain] = nil // a chain that calls itself is none
	if chain == nil || len(chain.Rules) > maxSourceRules || chain.Name == rules.DockerUser || chain.Name == rules.SeawallInput {
		return nil
	}
	for _, rule := range chain.Rules {
		if !r.sourceOnly(rule) {
			return nil
		}
	}
	c := &sourceChain{rules: chain.Rules, size: len(chain.Rules)}
	for _, rule := range chain.Rules {
		if _, verdict := sourceVerdict(&rule.Target); verdict {
			continue
		}
		if next := r.trees[r.table.Leads(&rule.Target)]; next != nil {
			c.size = min(c.size+next.size, r.rules) // shared chains count once for each way
		}
	}
	r.trees[chain] = c
	return c
}

// sourceOnly tells whether a rule asks for the source alone, and leads to a
// verdict or goes to a chain of such rules.
func (r *chainReader) sourceOnly(rule *rules.Rule) bool {
	t := &rule.Target
	if passing[t.Name] {
		return true
	}
	if !asksNothing(rule.Body) {
		return false
	}
	if _, ok := sourceVerdict(t); ok {
		return true
	}
	return t.Goto && r.sourceChain(r.table.Leads(t)) != nil
}

// sourceVerdict is a target's verdict, for a chain of the policy.
func sourceVerdict(t *rules.Target) (ref, bool) {
	switch t.Name {
	case "RETURN":
		return leaf(vReturn), true
	case "DROP":
		return leaf(vDeny), true
	case "ACCEPT":
		return leaf(vAccept), true
	case "REJECT":
		return leaf(rejectBits(*t)), true
	}
	return 0, false
}

// expand writes what the rules of a chain say of the addresses from lo to hi, in
// order: the first rule that meets them decides where it does, and those after
// it decide beside it. At the end of the chain a packet goes back.
func (s *sourceSweep) expand(list []*rules.Rule, lo, hi value) {
	for i, rule := range list {
		if passing[rule.Target.Name] {
			continue
		}
		if rule.Source.Not {
			s.beside(list[i:], lo, hi)
			return
		}
		at := s.d.spanOf(rule.Source)
		if hi.less(at.lo) || at.hi.less(lo) {
			continue
		}
		from, to := lo, hi
		if from.less(at.lo) {
			from = at.lo
			s.expand(list[i+1:], lo, from.prev())
		}
		if at.hi.less(to) {
			to = at.hi
		}
		s.meet(rule, from, to)
		if to == hi {
			return
		}
		lo = to.next()
	}
	s.push(lo, leaf(vReturn))
}

// beside is expand for a first rule that is negated: what it says holds on both
// sides of its span, and what comes after it inside.
func (s *sourceSweep) beside(list []*rules.Rule, lo, hi value) {
	at := s.d.spanOf(list[0].Source)
	if hi.less(at.lo) || at.hi.less(lo) {
		s.meet(list[0], lo, hi)
		return
	}
	if lo.less(at.lo) {
		s.meet(list[0], lo, at.lo.prev())
		lo = at.lo
	}
	if !at.hi.less(hi) {
		s.expand(list[1:], lo, hi)
		return
	}
	s.expand(list[1:], lo, at.hi)
	s.meet(list[0], at.hi.next(), hi)
}

// meet writes what a rule says of addresses that it matches.
func (s *sourceSweep) meet(rule *rules.Rule, lo, hi value) {
	if v, ok := sourceVerdict(&rule.Target); ok {
		s.push(lo, v)
		return
	}
	s.expand(s.reader.table.Leads(&rule.Target).Rules, lo, hi)
}

// spanOf is the addresses of a source, negated or not.
func (d *diagrams) spanOf(s rules.Source) span {
	if !s.Prefix.IsValid() {
		return span{value{}, d.max(pSrc)}
	}
	return prefixSpan(s.Prefix)
}

// whole is the chain as a function of all addresses.
func (d *chainReader) whole(c *sourceChain) ref {
	if !c.known {
		size := 2*c.size + 2
		s := &sourceSweep{d: d.diagrams, reader: d, starts: make([]value, 0, size), kids: make([]ref, 0, size)}
		s.expand(c.rules, value{}, d.max(pSrc))
		c.full, c.known = d.make(pSrc, s.starts, s.kids), true
	}
	return c.full
}
