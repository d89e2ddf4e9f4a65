package nftables

import (
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/packet"
)

// Trace follows one packet through the base chains of its hook, up to the last that
// carries the policy. A match that cannot be evaluated is taken not to match.
func (r *reader) Trace(p packet.Packet) *dialect.Way {
	w := &walker{reader: r, point: r.conditions.Point(p), hook: p.Hook, way: &dialect.Way{}}
	before, policy := r.rules.judged(p.Hook)
	if len(policy) == 0 && len(before) == 0 {
		w.end(packet.Pass, "no chain of the policy is at this hook")
		return w.way
	}
	for i, b := range append(before, policy...) {
		if w.base(b, i < len(before)) {
			break
		}
	}
	return w.way
}

type walker struct {
	*reader
	point  *diagram.Point
	hook   packet.Hook
	way    *dialect.Way
	depth  int
	marked bool
}

func (w *walker) end(v packet.Verdict, how string) { w.way.Verdict, w.way.Ended = v, how }

// base walks a base chain; it returns true if the packet gets no further.
func (w *walker) base(b base, others bool) bool {
	verdict, done := w.chain(b.table, b.chain)
	if !done {
		verdict = 0
		w.way.Ended = "the end of chain " + b.chain.Name
		if !w.rules.calls(b) {
			w.way.Ended += ", policy " + b.chain.Hook.Policy
		}
		if b.chain.Hook.Policy == "drop" {
			verdict = packet.Deny
		}
	}
	if verdict != 0 {
		w.way.Verdict = verdict
		if others && w.hook == packet.Input && verdict.IsClosed() {
			w.way.Verdict = packet.HostDeny
		}
		return true
	}
	w.way.Verdict = packet.Pass
	w.marked = w.marked || done && w.rules.calls(b)
	if w.marked && w.hook == packet.Forward {
		w.way.Verdict = packet.Accept
	}
	return false
}

// chain walks a chain. It returns whether a rule ended the packet's way through the
// base chain, and the verdict if that is final: 0 is accept.
func (w *walker) chain(t *Table, c *Chain) (verdict packet.Verdict, done bool) {
	if w.depth++; w.depth > 1000 {
		return packet.Unknown, true
	}
	defer func() { w.depth-- }()
	for _, rule := range c.Rules {
		b, unsure := w.meets(t, rule)
		if b == nil {
			continue
		}
		w.way.Ended = ""
		w.way.Steps = append(w.way.Steps, dialect.Step{Chain: c.Name, Line: rule.Line, Rule: rule.in(c), Returns: b.act.deed == returns, Unsure: unsure})
		if unsure != "" {
			continue
		}
		switch b.act.deed {
		case accepts, marks:
			w.marked = w.marked || b.act.deed == marks
			return 0, true
		case denies:
			return b.act.verdict, true
		case returns:
			return 0, false
		case goes:
			return w.chain(t, b.act.chain)
		case jumps:
			if v, done := w.chain(t, b.act.chain); done {
				return v, true
			}
		}
	}
	return 0, false
}

// meets returns the branch of a rule that the packet is in, and the words of it that
// cannot be evaluated.
func (w *walker) meets(t *Table, r *Rule) (*branch, string) {
	list := w.conditions.branches(t, r, w.rules.opt.AcceptMark)
	for i := range list {
		b := &list[i]
		if !b.sources.Has(w.point[packet.Source]) && b.sources != nil {
			continue
		}
		for _, c := range b.cases {
			if c.Box.Has(w.point) {
				words := orElse(c.Unsure, b.act.words)
				if b.act.deed == marksOn && words == "" {
					words = "meta mark set"
				}
				return b, words
			}
		}
	}
	return nil, ""
}
