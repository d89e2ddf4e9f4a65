package iptables

import (
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/packet"
)

// Evaluator says which packets the rules of a table match, one rule at a time, for
// those who walk the chains themselves: packets of which everything but the source is
// known.
type Evaluator struct {
	table      *Table
	conditions *conditions
}

// NewEvaluator returns an evaluator of a table, one of several that packets cross: a
// rule in one of them may change a set that a rule in another asks for. DestType is the
// kind of the packets' destination, LOCAL or UNICAST, or "" where it is not known.
func NewEvaluator(s *packet.Space, t *Table, tables []*Table, destType string) *Evaluator {
	e := &Evaluator{t, newConditions(s, t)}
	e.conditions.DestType = destType
	var changes map[match.Thing]string
	e.conditions.Changed = func(thing match.Thing) string {
		if thing == match.MarkThing {
			return "" // Match is told
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

// Unknown says why parts of a packet are not known; "" for one that is.
type Unknown struct{ Mark, Dest, In string }

// of is why a property is not known.
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

// Match returns the sources with which a packet matches a rule, and those with which
// it may, with the words that cannot be evaluated.
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

// AsksSource reports whether a rule's body, all of it but -s, asks for the source.
func (e *Evaluator) AsksSource(b *Body) bool {
	for _, c := range e.conditions.of(b).cases {
		if c.Box[packet.Source] != nil {
			return true
		}
	}
	return false
}

// Sources is the set of a rule's -s.
func (e *Evaluator) Sources(r *Rule) diagram.Set {
	return e.conditions.address(r.Source, packet.Source)
}

// Leads returns the chain that a rule jumps or goes to, nil for none.
func (t *Table) Leads(r *Rule) *Chain { return t.leads(r) }

// Goes reports whether a rule goes to its chain (-g), so that what returns from there
// returns to this chain's own caller.
func (r *Rule) Goes() bool { return r.To != nil || r.Target.Goto }

// Use is an extension target as package match sees it; nil for a chain, a verdict of
// the kernel's own, and a name that is not known.
func (t *Target) Use() *match.Use {
	if t.Module == nil {
		return nil
	}
	return t.use()
}
