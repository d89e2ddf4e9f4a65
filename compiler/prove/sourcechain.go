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
	steps []sourceStep
	full  ref
	known bool // full was worked out
}

// sourceStep is what holds for a span: a verdict, or another such chain, which
// is gone to.
type sourceStep struct {
	span
	target ref
	chain  *sourceChain
}

// maxSteps is how many rules such a chain may have. In each interval they are
// walked from the first on, which is no way to read long lists.
const maxSteps = 64

// sourceChain gives a chain as one that asks for the source alone, or nil.
func (r *chainReader) sourceChain(name string, inside bool) *sourceChain {
	key := chainKey{name, inside}
	if c, ok := r.trees[key]; ok {
		return c
	}
	r.trees[key] = nil // a chain that calls itself is none
	chain := r.table.Chain(name)
	if chain == nil || len(chain.Rules) > maxSteps || name == r.root {
		return nil
	}
	c := &sourceChain{}
	for _, rule := range chain.Rules {
		if !r.addSteps(c, rule, inside) {
			return nil
		}
	}
	c.steps = append(c.steps, sourceStep{span: span{value{}, r.max(pSrc)}, target: leaf(vReturn)})
	r.trees[key] = c
	return c
}

// addSteps adds what a rule says; false when it asks for more than the source,
// or leads to a chain that does.
func (r *chainReader) addSteps(c *sourceChain, rule *rules.Rule, inside bool) bool {
	if passing[rule.Target.Name] {
		return true
	}
	if !r.reader.condition(rule.Body).always {
		return false
	}
	step := sourceStep{}
	switch t := rule.Target; {
	case t.Goto:
		if step.chain = r.sourceChain(t.Name, inside); step.chain == nil {
			return false
		}
	case r.table.Chain(t.Name) != nil:
		return false
	default:
		target, decides, err := r.target(rule, inside)
		if err != nil || !decides || target.has(vContinue) {
			return false
		}
		step.target = target
	}
	for _, s := range r.reader.source(rule.Source, pSrc).orAll(r.max(pSrc)) {
		step.span = s
		c.steps = append(c.steps, step)
	}
	return true
}

// expand writes what the steps say of the addresses from lo to hi, in order: the
// first step that meets them decides where it does, and those after it decide
// beside it.
func (s *sourceSweep) expand(steps []sourceStep, lo, hi value) {
	for i := range steps {
		x := &steps[i]
		if hi.less(x.lo) || x.hi.less(lo) {
			continue
		}
		from, to := lo, hi
		if from.less(x.lo) {
			from = x.lo
			s.expand(steps[i+1:], lo, from.prev())
		}
		if x.hi.less(to) {
			to = x.hi
		}
		if x.chain != nil {
			s.expand(x.chain.steps, from, to)
		} else {
			s.push(from, x.target)
		}
		if to == hi {
			return
		}
		lo = to.next()
	}
}

// whole is the chain as a function of all addresses.
func (d *diagrams) whole(c *sourceChain) ref {
	if !c.known {
		s := &sourceSweep{d: d}
		s.expand(c.steps, value{}, d.max(pSrc))
		c.full, c.known = d.make(pSrc, s.starts, s.kids), true
	}
	return c.full
}
