package iptables

import (
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/packet"
)

// Evaluator determines which packets the rules of a table match, one rule at a
// time, for callers that walk the chains themselves. Everything about the packets
// but the source is known.
type Evaluator struct {
	table      *Table
	conditions *conditions
}

// NewEvaluator returns an evaluator for a table, one of the tables that packets
// cross: a rule in one of them may change a set that a rule in another matches.
// DestType is the type of the packets' destination, LOCAL or UNICAST, or "" if it
// is not known.
func NewEvaluator(s *packet.Space, t *Table, tables []*Table, destType string) *Evaluator {
	e := &Evaluator{t, newConditions(s, t)}
	e.conditions.DestType = destType
	var changes map[match.Thing]string
	e.conditions.Changed = func(thing match.Thing) string {
		if thing == match.MarkThing {
			return "" // passed to Match
		}
		if changes == nil {
			changes = map[match.Thing]string{}
			for _, t := range tables {
				for thing, by := range t.changes() {
					changes[thing] = orElse(changes[thing], by)
				}
			}
		}
		return orElse(changes[thing], changes[anything])
	}
	return e
}

// Unknown says why parts of a packet are not known; "" for a part that is known.
type Unknown struct{ Mark, Dest, In string }

// of returns why a property is not known.
func (u *Unknown) of(property int) string {
	switch {
	case property == packet.Dest:
		return u.Dest
	case property == packet.In:
		return u.In
	case property >= packet.Mark0 && property <= packet.Mark3:
		return u.Mark
	}
	return ""
}

// Match returns the sources with which a packet matches a rule, and those with
// which it may match, with the words that cannot be evaluated.
func (e *Evaluator) Match(r *Rule, at *diagram.Point, unknown Unknown) (sure, unsure diagram.Set, words string) {
	sure, unsure = diagram.None, diagram.None
	own := e.conditions.address(r.Source, packet.Source)
	cases := e.conditions.of(r.Body).cases
	for i := range cases {
		c := &cases[i]
		why, holds := c.Unsure, true
		for p := range c.Box {
			switch {
			case p == packet.Source || c.Box[p] == nil:
			case unknown.of(p) != "":
				why = orElse(why, unknown.of(p))
			default:
				holds = holds && c.Box[p].Has(at[p])
			}
		}
		if !holds {
			continue
		}
		sources := c.Box[packet.Source].Intersect(own).OrAll(e.conditions.Max(packet.Source))
		switch {
		case why != "":
			unsure, words = unsure.Union(sources), orElse(words, why)
		case len(sure) == 0:
			sure = sources
		default:
			sure = sure.Union(sources)
		}
	}
	if words != "" {
		unsure = unsure.Intersect(sure.Complement(e.conditions.Max(packet.Source)))
	}
	return sure, unsure, words
}

// AsksSource reports whether a rule's body, which excludes -s, matches on the source.
func (e *Evaluator) AsksSource(b *Body) bool {
	for _, c := range e.conditions.of(b).cases {
		if c.Box[packet.Source] != nil {
			return true
		}
	}
	return false
}

// Sources returns the set of a rule's -s.
func (e *Evaluator) Sources(r *Rule) diagram.Set {
	return e.conditions.address(r.Source, packet.Source)
}

// Leads returns the chain that a rule jumps or goes to, or nil.
func (t *Table) Leads(r *Rule) *Chain { return t.leads(r) }

// Goes reports whether a rule goes to its chain (-g), so that a RETURN from there
// goes back to this chain's own caller.
func (r *Rule) Goes() bool { return r.To != nil || r.Target.Goto }

// Use returns an extension target as package match sees it, or nil for a chain, a
// verdict of the kernel's own, or an unknown name.
func (t *Target) Use() *match.Use {
	if t.Module == nil {
		return nil
	}
	return t.use()
}
