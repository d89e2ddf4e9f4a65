package nftables

import (
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// branch is packets that a rule matches, and what it does with them. The branches of
// a rule are disjoint.
type branch struct {
	cases   cases
	sources diagram.Set // nil for all
	act     action
}

// deed is the kind of what a rule does.
type deed uint8

const (
	accepts deed = iota // accept: this base chain is over
	marks               // the same, with the mark that Docker honours
	denies              // drop, or reject with one of several answers
	returns             // back to the caller
	jumps               // to a chain and back
	goes                // to a chain, and from there to the caller
	marksOn             // sets the mark, and goes on
	unknown             // anything
)

type action struct {
	deed    deed
	verdict packet.Verdict // of denies
	chain   *Chain
	words   string // of unknown
}

// branches evaluates a rule.
func (c *conditions) branches(t *Table, r *Rule, mark uint32) []branch {
	w := &ruleWalk{conditions: c, table: t, mark: mark, branch: branch{cases: c.head(t, r)}}
	for i, s := range r.Statements {
		if len(w.cases) == 0 || !w.step(s, i == len(r.Statements)-1) {
			break
		}
	}
	if w.marked && !w.ended {
		w.emit(action{deed: marksOn})
	}
	for i := range w.out {
		w.out[i].cases = c.focused(w.out[i].cases)
	}
	return w.out
}

// head is what nft puts before a rule because of what it rejects with: the answer's
// family or protocol stands before everything else (NETFILTER.md section 8).
func (c *conditions) head(t *Table, r *Rule) cases {
	list := always()
	for _, s := range r.Statements {
		reject, ok := s.(*Reject)
		if !ok {
			continue
		}
		switch answer := reject.answer(); {
		case answer == "tcp":
			list = list.and(protocols(packet.TCP))
		case answer == "icmp" && t.Family == Inet:
			list = list.and(c.family(packet.IPv4))
		case answer == "icmpv6" && t.Family == Inet:
			list = list.and(c.family(packet.IPv6))
		}
	}
	return list
}

type ruleWalk struct {
	*conditions
	table *Table
	mark  uint32
	branch
	marked bool // the mark that Docker honours was set
	vague  bool // it may have been set
	ended  bool
	out    []branch
}

func (w *ruleWalk) emit(a action) {
	b := w.branch
	b.act = a
	w.out = append(w.out, b)
}

// step carries out one statement; false if the rule is over.
func (w *ruleWalk) step(s Statement, last bool) bool {
	switch s := s.(type) {
	case *Match:
		w.matched(s)
	case *Limit:
		w.cases = w.cases.and(unsure(s.Text))
	case *Log, *Note:
	case *Assign:
		w.cases = w.cases.and(w.loads(s))
		w.assign(s)
	case *Verdict:
		if s.Kind != Continue {
			w.verdict(s)
		}
		w.ended = s.Kind != Continue
		return s.Kind == Continue
	case *Reject:
		w.ended = true
		w.emit(action{deed: denies, verdict: s.verdict()})
		return false
	case *Lookup:
		w.ended = true
		w.lookup(s, last)
		return false
	default:
		w.ended = true
		w.emit(action{deed: unknown, words: string(s.append(nil))})
		return false
	}
	return true
}

func (w *ruleWalk) matched(m *Match) {
	r := w.match(w.table, m)
	w.cases = w.cases.and(r.cases)
	if r.sources != nil {
		if w.sources == nil {
			w.sources = r.sources
		} else {
			w.sources = w.sources.Intersect(r.sources)
		}
	}
	switch {
	case !r.several:
	case r.outside:
		w.cases = w.cases.and(unsure(string(m.append(nil))))
	default:
		var list cases
		for _, e := range r.elements {
			list = append(list, w.cases.and(e)...)
		}
		w.cases = list
	}
}

// loads are the packets that a rule can assign something: for all others it ends there,
// such as where a map has no element for them, or they do not have what is read.
func (c *conditions) loads(a *Assign) cases {
	list := c.loaded(&a.Right, a)
	if to, _, _ := strings.Cut(a.Left.Text, " "); to != "meta" && to != "ct" && to != "mark" {
		list = list.and(unsure(string(a.append(nil))))
	}
	return list
}

func (c *conditions) loaded(e *Expr, a *Assign) cases {
	switch {
	case e.Kind == Value, e.Kind == Flags, e.Kind == Selector && (e.Text == "meta mark" || e.Text == "mark"):
		return always()
	case e.Kind == Selector && e.Text == "ct mark":
		return known()
	case e.Kind == Binary:
		return c.loaded(&e.Args[0], a).and(c.loaded(&e.Args[1], a))
	}
	return unsure(string(a.append(nil)))
}

// assign notes whether a rule sets the mark that Docker honours. Only "meta mark set
// meta mark | MARK" is known to; every other change may.
func (w *ruleWalk) assign(a *Assign) {
	if w.mark == 0 || a.Left.Text != "meta mark" && a.Left.Text != "mark" {
		return
	}
	w.marked = true
	right := &a.Right
	exact := right.Kind == Binary && stepOf[right.Op] == "|" && len(right.Args) == 2 && right.Args[0].Kind == Selector &&
		(right.Args[0].Text == "meta mark" || right.Args[0].Text == "mark")
	if exact {
		v, ok := markType.number(&right.Args[1])
		exact = ok && uint32(v.Lo)&w.mark == w.mark
	}
	if !exact {
		w.vague = true
	}
}

func (w *ruleWalk) verdict(v *Verdict) {
	if w.marked && (v.Kind != Accept || w.vague) {
		w.emit(action{deed: marksOn})
	}
	a := w.action(v)
	if a.deed == accepts && w.marked && !w.vague {
		a.deed = marks
	}
	w.emit(a)
}

func (w *ruleWalk) action(v *Verdict) action {
	switch v.Kind {
	case Accept:
		return action{deed: accepts}
	case Drop:
		return action{deed: denies, verdict: packet.Deny}
	case Return:
		return action{deed: returns}
	}
	to := w.table.Chain(v.Chain)
	switch {
	case to == nil || to.Hook != nil:
		return action{deed: unknown, words: string(v.append(nil))}
	case v.Kind == Goto:
		return action{deed: goes, chain: to}
	}
	return action{deed: jumps, chain: to}
}

// lookup is a verdict map: a branch for each element. A packet without one is not
// matched.
func (w *ruleWalk) lookup(l *Lookup, last bool) {
	words := string(l.append(nil))
	if w.marked {
		w.emit(action{deed: marksOn})
	}
	parts, guard, ok := w.parts(w.table, &l.Key)
	w.cases = w.cases.and(guard)
	var elements []Element
	if ok {
		elements, ok = w.elements(w.table, &l.Map, len(parts))
	}
	if !ok || w.changes(parts) != "" {
		w.emit(action{deed: unknown, words: words})
		return
	}
	all := w.branch
	left := all.cases // what no element before a "*" takes
	for i := range elements {
		e := &elements[i]
		w.branch = all
		if e.Key.Kind == Any {
			continue
		}
		k, exact := w.keyed(parts, e, words)
		w.cases = w.cases.and(k)
		if !exact {
			left = left.and(unsure(words))
		}
		w.element(e, words, last)
	}
	for i := range elements {
		if e := &elements[i]; e.Key.Kind == Any {
			w.branch = all
			w.rest(parts, elements, left, words)
			w.element(e, words, last)
		}
	}
}

// rest narrows to what no element but "*" takes: exactly for a key of one part that
// is a property, else to what it may be.
func (w *ruleWalk) rest(parts []part, elements []Element, left cases, words string) {
	w.cases = left
	p := parts[0]
	if len(parts) > 1 || !p.field.direct || len(p.steps) > 0 {
		w.cases = w.cases.and(unsure(words))
		return
	}
	var others []Element
	for _, e := range elements {
		if e.Key.Kind != Any {
			others = append(others, Element{Key: e.Key})
		}
	}
	x := test{members: w.literal(p, others), not: true}
	w.cases = w.cases.and(p.field.place(nil, x, words))
}

func (w *ruleWalk) element(e *Element, words string, last bool) {
	switch {
	case len(w.cases) == 0:
	case e.Verdict == nil, e.Verdict.Kind == Continue && !last:
		w.emit(action{deed: unknown, words: words})
	case e.Verdict.Kind == Continue:
	default:
		w.emit(w.action(e.Verdict))
	}
}

// answer is the first word of what a reject answers with.
func (r *Reject) answer() string {
	for i := range r.With {
		if r.With[i] == ' ' {
			return r.With[:i]
		}
	}
	return r.With
}

// verdict is a reject's answer as a verdict. Without words it is port-unreachable
// (libnftables, stmt_evaluate_reject_default).
func (r *Reject) verdict() packet.Verdict {
	switch r.With {
	case "tcp reset":
		return packet.Reset
	case "", "icmp port-unreachable", "icmpv6 port-unreachable", "icmpx port-unreachable",
		"icmp type port-unreachable", "icmpv6 type port-unreachable", "icmpx type port-unreachable":
		return packet.Unreachable
	}
	return packet.OtherReject
}
