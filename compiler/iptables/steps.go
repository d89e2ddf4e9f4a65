package iptables

import (
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// steps are rules of a chain as a source tree asks for them, packed or not.
type steps struct {
	reader *Reader
	rules  []*Rule

	packing      *packing  // nil where they are not packed
	first, count int32     // of them
	outcomes     []outcome // of the bodies in the packing
}

// outcome is what a rule does with a packet that has its source.
type outcome struct {
	to      *Chain      // where the packet goes; nil for nowhere
	leaf    diagram.Ref // what decides about it else
	nothing bool        // it goes on to the next rule
	unfit   bool        // the rule does not belong into a tree
}

// steps returns the rules of a chain of which treeSize knows.
func (r *Reader) steps(c *Chain) steps {
	s := steps{reader: r, rules: c.rules}
	if k := c.packing; k != nil {
		s = steps{reader: r, packing: k, first: c.first, count: c.count, outcomes: r.outcomes[k]}
	}
	return s
}

// know works out what the bodies of a packing do, before the rules of its chains are asked
// for by several at once. A chain that is gone to may be one of another table: a part of
// this one (UpTo) has the packed chains of the whole.
func (r *Reader) know(k *packing) {
	if _, known := r.outcomes[k]; k == nil || known {
		return
	}
	list := make([]outcome, len(k.bodies))
	for i, body := range k.bodies {
		list[i] = r.outcome(&Rule{Body: body})
	}
	r.outcomes[k] = list
}

// outcome returns what a rule does.
func (r *Reader) outcome(rule *Rule) outcome {
	if to := r.leads(rule); to != nil {
		return outcome{to: to, unfit: rule.To == nil && !rule.Target.Goto || !asksNothing(rule.Body)}
	}
	v, decides := rule.verdict()
	switch {
	case !decides:
		return outcome{nothing: true, unfit: rule.Unread != ""}
	case v == packet.Unknown || !asksNothing(rule.Body):
		return outcome{unfit: true}
	case v == 0:
		return outcome{leaf: diagram.Leaf(returned)}
	}
	return outcome{leaf: leaf(v)}
}

func (s *steps) len() int { return max(len(s.rules), int(s.count)) }

func (s *steps) packed(i int) *packedRule { return s.packing.at(s.first + int32(i)) }

// outcome returns what a rule does.
func (s *steps) outcome(i int) outcome {
	if s.packing == nil {
		return s.reader.outcome(s.rules[i])
	}
	p := s.packed(i)
	if p.to != 0 {
		return outcome{to: s.packing.chains[p.to]}
	}
	return s.outcomes[p.body]
}

// span returns the addresses of a rule's source, and whether the rule is for all others.
func (s *steps) span(i int) (at diagram.Span, not bool) {
	if s.packing != nil {
		p := s.packed(i)
		return p.span(), p.not
	}
	source := s.rules[i].Source
	if !source.Prefix.IsValid() {
		return diagram.Span{Hi: s.reader.Max(packet.Source)}, source.Not
	}
	return diagram.OfPrefix(source.Prefix), source.Not
}

// from are the steps from one on.
func (s steps) from(i int) steps {
	if s.packing != nil {
		s.first, s.count = s.first+int32(i), s.count-int32(i)
	} else {
		s.rules = s.rules[i:]
	}
	return s
}
