package nftables

import (
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

// Chosen is what becomes of a chain in a part of a ruleset.
type Chosen struct {
	Kept bool
	// At makes a chain that others call, such as DOCKER-USER, one of a hook. Their own
	// rules are not in the part: an accept in it lets a packet past them.
	At packet.Hook
}

// calledKey names a chain that is read as one of a hook.
type calledKey struct {
	family Family
	table  string
	chain  string
}

// Part returns the rules of some chains, all of which carry the policy.
func (r *Rules) Part(choose func(*Table, *Chain) Chosen) *Rules {
	part := *r
	part.whole, part.called = true, map[calledKey]bool{}
	part.file = &File{Flushes: r.file.Flushes, JSON: r.file.JSON, Source: r.file.Source}
	for _, t := range r.file.Tables {
		copied := *t
		copied.Chains = nil
		for _, c := range t.Chains {
			x := choose(t, c)
			chain := *c
			switch {
			case !x.Kept:
				continue
			case x.At != "":
				chain.Hook = &Hook{Type: "filter", Hook: strings.ToLower(string(x.At)), Policy: "accept"}
				part.called[calledKey{t.Family, t.Name, c.Name}] = true
			}
			copied.Chains = append(copied.Chains, &chain)
		}
		if len(copied.Chains) > 0 {
			part.file.Tables = append(part.file.Tables, &copied)
		}
	}
	return &part
}

// calls reports whether a base chain is one that others call.
func (r *Rules) calls(b base) bool {
	return r.called[calledKey{b.table.Family, b.table.Name, b.chain.Name}]
}

// Changed returns rules of which some are others; nil leaves one out.
func (r *Rules) Changed(change func(*Rule) *Rule) *Rules {
	part := *r
	part.file = &File{Flushes: r.file.Flushes, JSON: r.file.JSON, Source: r.file.Source}
	for _, t := range r.file.Tables {
		copied := *t
		copied.Chains = nil
		for _, c := range t.Chains {
			chain := *c
			chain.Rules = nil
			for _, rule := range c.Rules {
				if rule = change(rule); rule != nil {
					chain.Rules = append(chain.Rules, rule)
				}
			}
			copied.Chains = append(copied.Chains, &chain)
		}
		part.file.Tables = append(part.file.Tables, &copied)
	}
	return &part
}

// Stands is a rule with where it stands.
type Stands struct {
	Table *Table
	Chain *Chain
	*Rule
}

// String returns the rule's text with its chain.
func (s Stands) String() string { return s.in(s.Chain) }

// Met returns the rules that packets of some hooks may come to, in the order of the file.
func (r *Rules) Met(hooks ...packet.Hook) []Stands {
	var list []Stands
	seen := r.reachable(hooks...)
	r.each(func(t *Table, c *Chain, rule *Rule) {
		if seen[c] {
			list = append(list, Stands{t, c, rule})
		}
	})
	return list
}

// Evaluates returns a function that reports whether all of a rule can be evaluated, in a
// space that tells the interfaces of the rules apart.
func (r *Rules) Evaluates(s *packet.Space) func(Stands) bool {
	c := newConditions(s, r.file)
	c.changed = changes(r.reachable(packet.Hooks...))
	return func(x Stands) bool {
		return !slices.ContainsFunc(c.branches(x.Table, x.Rule, r.opt.AcceptMark), func(b branch) bool {
			return b.act.deed == unknown || b.act.deed == marksOn || slices.ContainsFunc(b.cases, func(k Case) bool { return k.Unsure != "" })
		})
	}
}

// Compared calls f for each key that a rule compares something of a packet with. The
// verdict is that of the element of a verdict map, and else nil.
func (s Stands) Compared(f func(selector string, key *Expr, not bool, v *Verdict)) {
	for _, x := range s.Statements {
		switch x := x.(type) {
		case *Match:
			s.Table.compared(&x.Left, &x.Right, x.Op == "!=", f)
		case *Lookup:
			s.Table.compared(&x.Key, &x.Map, false, f)
		}
	}
}

func (t *Table) compared(left, right *Expr, not bool, f func(string, *Expr, bool, *Verdict)) {
	parts, elements := []Expr{*left}, []Element{{Key: *right}}
	if left.Kind == Concat {
		parts = left.Args
	}
	switch right.Kind {
	case Literal:
		elements = right.Set
	case Named:
		elements = nil
		if s := t.Set(right.Text); s != nil {
			elements = s.Elements
		}
	}
	for i := range parts {
		for j := range elements {
			key := &elements[j].Key
			if key.Kind == Concat && len(parts) > 1 {
				if i >= len(key.Args) {
					continue
				}
				key = &key.Args[i]
			}
			f(parts[i].Text, key, not, elements[j].Verdict)
		}
	}
}

// Interface is the name of an interface that a key is compared with, as policies write
// it, and the way that it is about, "in" or "out"; "" for any other key.
func Interface(selector string, key *Expr) (name, way string) {
	of := ifname
	switch strings.TrimPrefix(selector, "meta ") {
	case "iifname":
		way = "in"
	case "oifname":
		way = "out"
	case "iif":
		of, way = ifindex, "in"
	case "oif":
		of, way = ifindex, "out"
	default:
		return "", ""
	}
	if name, ok := pattern(of, key); ok {
		return name, way
	}
	return "", ""
}

// Verdicts are all verdicts that the rule may come to.
func (s Stands) Verdicts() []*Verdict { return s.verdicts(s.Table) }

// Sees reports whether the packets of the family come to a table.
func (r *Rules) Sees(t *Table) bool { return r.sees(t) }

// Own reports whether a table is Seawall's.
func (t *Table) Own() bool { return t.own() }
