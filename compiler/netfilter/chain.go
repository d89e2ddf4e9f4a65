package netfilter

import (
	"context"
	"fmt"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// walk is one packet's path through the tables.
type walk struct {
	*Follower
	ctx   context.Context
	limit int64
	steps int64
	ends  Ends
	err   error
	hook  hook
	open  map[*iptables.Chain]bool
	// nftOpen is the same of a ruleset, and sees how a packet looks at the current hook.
	nftOpen map[*nftables.Chain]bool
	sees    func(state) packet.Packet
	passed  flows // what the current built-in chain has let through
}

func newWalk(f *Follower, ctx context.Context, limits prove.Limits) *walk {
	if limits.Steps == 0 {
		limits.Steps = diagram.DefaultSteps
	}
	return &walk{Follower: f, ctx: ctx, limit: limits.Steps, open: map[*iptables.Chain]bool{}, nftOpen: map[*nftables.Chain]bool{}}
}

// through takes flows through a built-in chain and returns those that continue to the next one.
func (w *walk) through(in flows, h hook) flows {
	c := h.table.Chain(h.chain)
	if c == nil || len(in) == 0 {
		return in
	}
	w.hook, w.passed = h, nil
	for _, x := range w.chain(c, in) {
		if c.Policy == "DROP" {
			w.end(x, packet.Deny, Place{})
		} else {
			w.passed.add(x)
		}
	}
	return w.passed
}

// chain takes flows through a chain and returns those that return to its caller.
func (w *walk) chain(c *iptables.Chain, in flows) (back flows) {
	if w.open[c] {
		w.fail(fmt.Errorf("the chain %s jumps to itself; the kernel would reject that", c.Name))
		return nil
	}
	w.open[c] = true
	defer delete(w.open, c)
	at := in
	for i := 0; i < c.Len() && len(at) > 0 && w.err == nil; {
		n := w.run(c.Rules()[i:])
		at = w.rule(c, c.Rules()[i], n, at, &back)
		i += n.rules
	}
	for _, x := range at {
		back.add(x)
	}
	return back
}

// run is consecutive rules that only differ in their sources and that packets do not return from.
type run struct {
	rules   int
	sources diagram.Set // of all of them together
}

// run returns the consecutive rules that can be evaluated as one, at least the first.
func (w *walk) run(rules []*iptables.Rule) *run {
	if r := w.runs[rules[0]]; r != nil {
		return r
	}
	r := &run{rules: 1}
	first := rules[0]
	if first.Unread == "" && !first.Goes() && final(&first.Target) {
		for r.rules < len(rules) && rules[r.rules].Body == first.Body {
			r.rules++
		}
	}
	if r.rules > 1 {
		e := w.evaluator("UNICAST")
		var list []diagram.Span
		for _, x := range rules[:r.rules] {
			list = append(list, e.Sources(x).OrAll(w.all[0].Hi)...)
		}
		r.sources = diagram.Normal(list)
		if e.AsksSource(first.Body) {
			*r = run{rules: 1}
		}
	}
	w.runs[first] = r
	return r
}

// final reports whether a target ends the chain for every packet that reaches it.
func final(t *iptables.Target) bool {
	switch t.Name {
	case "DROP", "ACCEPT", "RETURN":
		return true
	}
	u := t.Use()
	return u != nil && u.Effect().Verdict.Known()
}

// rule takes flows past a rule and returns those that continue to the next one.
func (w *walk) rule(c *iptables.Chain, r *iptables.Rule, n *run, in flows, back *flows) flows {
	if !w.acts(r) {
		return in
	}
	place := Place{Table: w.hook.table.Name, Chain: c.Name, Rule: r}
	var next, hit flows
	for _, x := range in {
		sure, unsure, words := w.match(r, n, x)
		w.spend(len(x.sources)+len(sure)+len(unsure), place)
		doubted := place
		doubted.Words = words
		next.add(flow{minus(minus(x.sources, sure), unsure), x.state, x.doubt})
		next.add(flow{x.sources.Intersect(unsure), x.state, doubted})
		hit.add(x.of(sure))
		hit.add(flow{x.sources.Intersect(unsure), x.state, doubted})
	}
	if len(hit) > 0 && w.err == nil {
		w.target(place, hit, &next, back)
	}
	return next
}

// match returns the sources of a flow for which its packets match a rule.
func (w *walk) match(r *iptables.Rule, n *run, x flow) (sure, unsure diagram.Set, words string) {
	seen := w.hook.sees(x.state)
	var unknown iptables.Unknown
	if x.noMark.known() {
		unknown.Mark = "the packet's mark, after " + x.noMark.String()
	}
	if x.redirected {
		unknown.Dest = "the host address, after " + x.rewrittenBy.String()
	}
	if w.hook.chain == "POSTROUTING" {
		unknown.In = "the packet's input interface, which not every kernel knows in POSTROUTING"
	}
	e, point := w.evaluator(x.destType()), w.space.Point(seen)
	if n.rules == 1 {
		return e.Match(r, point, unknown)
	}
	sure, _, words = e.Match(&iptables.Rule{Body: r.Body}, point, unknown)
	switch {
	case words != "":
		return diagram.None, n.sources, words
	case len(sure) > 0:
		sure = n.sources
	}
	return sure, diagram.None, ""
}

func (w *walk) evaluator(destType string) *iptables.Evaluator {
	key := evaluatorKey{w.hook.table, destType}
	if w.evaluators[key] == nil {
		w.evaluators[key] = iptables.NewEvaluator(w.space, key.table, w.tables, destType)
	}
	return w.evaluators[key]
}

// spend counts work, and ends the walk when it exceeds its limit.
func (w *walk) spend(steps int, at Place) {
	w.steps += int64(steps)
	if w.steps > w.limit {
		w.fail(&prove.HardError{Line: at.Line(), Rule: at.Text(), Err: &diagram.LimitError{}})
	}
	if err := w.ctx.Err(); err != nil {
		w.fail(err)
	}
}

// fail keeps the first error.
func (w *walk) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}
