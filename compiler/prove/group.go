package prove

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/meaning"
	"github.com/seawall/seawall/compiler/packet"
)

// differing is the boxes on which a policy and a file differ, of both hooks.
type differing struct {
	*question
	policy *Policy
	rules  dialect.Rules
	scopes *scopes // those of FORWARD, if a difference is there; nil before the first
	parts  []part
}

// add lists the boxes of a diagram of differences, a policy's scope at a time, and
// what comes from outside apart from the rest: other lines decide about it.
func (d *differing) add(hook packet.Hook, differ diagram.Differences) {
	at := newScopes(d.question, hook, Side{Policy: d.policy.doc}, Side{})
	if d.scopes == nil || hook == packet.Forward {
		d.scopes = at
	}
	outside := meaning.NewReader(d.Store, d.space, d.policy.doc, d.policy.lists[d.space.Family]).External()
	sides := []diagram.Box{{packet.In: outside}, {packet.In: outside.Complement(d.Max(packet.In))}}
	differ.Boxes(func(b *diagram.Box, pair diagram.Pair) {
		for _, side := range sides {
			if part, ok := b.And(side); ok {
				d.split(hook, at, part, pair)
			}
		}
	})
}

func (d *differing) split(hook packet.Hook, at *scopes, b diagram.Box, pair diagram.Pair) {
	d.Within(at.owner, b, func(b *diagram.Box, _ uint32) {
		d.parts = append(d.parts, part{d.space, hook, *b, packet.Verdict(pair.A), packet.Verdict(pair.B)})
	})
}

// mostTraced bounds how many boxes are followed to the rule and to the line that
// decide about them, in a file of so many rules: nobody reads the hundredth
// difference, and the boxes beyond belong to the one that is most like them.
func mostTraced(rules int) int { return min(1000, max(50, 3_000_000/(rules+1))) }

// grouped are the differences: of all boxes for which one rule decides, or for which
// none does for the same reason, one.
func (d *differing) grouped() []*Difference {
	severities := map[*part]Severity{}
	order := make([]*part, len(d.parts))
	for i := range d.parts {
		x := &d.parts[i]
		order[i], severities[x] = x, severityOf(d.space, &x.box, x.old, x.new)
	}
	slices.SortStableFunc(order, func(a, b *part) int { return severities[a].Compare(severities[b]) })
	g := &grouping{differing: d, index: map[string]*Difference{}}
	if len(order) > 0 {
		g.file = d.rules.Reader(d.space.Store(), d.space)
		g.lines = meaning.NewReader(d.space.Store(), d.space, d.policy.doc, d.policy.lists[d.space.Family])
		g.left = mostTraced(len(d.rules.Lines()))
	}
	for _, x := range order {
		g.put(x, severities[x])
	}
	if len(order) > 0 {
		words := &describer{question: d.question, externals: g.lines.External(), scopes: d.scopes}
		for _, x := range g.list {
			for _, l := range x.Lines {
				l.Clauses = words.both(l.parts)
			}
		}
	}
	return g.list
}

type grouping struct {
	*differing
	file  dialect.Reader
	lines *meaning.Reader
	left  int // boxes that may still be traced
	list  []*Difference
	index map[string]*Difference // by what makes packets one difference
}

// put puts a box to the difference that it belongs to. Boxes come with the worst first,
// so the first of each gives its measure and its example.
func (g *grouping) put(x *part, s Severity) {
	closes := stricter(x.old, x.new)
	like := fmt.Sprint(effectOf(x.old, x.new), "\x00", coarse(x.old), "\x00", x.new, closes)
	if found := g.index[like]; g.left <= 0 && found != nil {
		found.Lines[0].add(x)
		return
	}
	g.left--
	example := g.space.Example(x.hook, &x.box)
	way, said := g.file.Trace(example), g.lines.Explain(example)
	name := fmt.Sprint(effectOf(x.old, x.new), "\x00", x.new, closes, "\x00", decider(way, x.new))
	found := g.index[name]
	if found == nil {
		found = &Difference{Severity: s, Family: g.space.Family, Hook: x.hook, Policy: x.old, File: x.new, Way: way, Example: example, stricter: closes}
		g.index[name] = found
		g.list = append(g.list, found)
	}
	if g.index[like] == nil {
		g.index[like] = found
	}
	for _, l := range found.Lines {
		if l.Rule == said.Rule && l.At == said.At && coarse(l.Policy) == coarse(x.old) {
			l.add(x)
			return
		}
	}
	l := &Line{Severity: s, Policy: x.old, Rule: said.Rule, At: said.At, Example: example}
	l.add(x)
	found.Lines = append(found.Lines, l)
}

// decider is the rule that decides about a packet, or that cannot be evaluated, or
// what ended its way where no rule did.
func decider(w *dialect.Way, is packet.Verdict) string {
	if s := w.Unsure(); s != nil && !is.Known() {
		return fmt.Sprint(s.Chain, " ", s.Line)
	}
	if r := w.Decider(); r != nil {
		return fmt.Sprint(r.Chain, " ", r.Line)
	}
	return w.Ended
}

func (l *Line) add(x *part) {
	l.parts = append(l.parts, *x)
	if !slices.Contains(l.Hooks, x.hook) {
		l.Hooks = append(l.Hooks, x.hook)
	}
}

// String writes a difference in a line: its family and hook, and its worst packets.
func (d *Difference) String() string {
	const most = 4
	var list []string
	for _, l := range d.Lines {
		for _, c := range l.Clauses {
			list = append(list, c.String())
		}
	}
	if len(list) > most {
		list = append(list[:most], fmt.Sprintf("and %d more", len(list)-most))
	}
	return fmt.Sprintf("%v %s: %s", d.Family, d.Hook, strings.Join(list, "; "))
}
