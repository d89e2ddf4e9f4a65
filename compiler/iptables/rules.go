package iptables

import (
	"slices"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/packet"
)

// A table answers what the proof asks of rules. A nil table is one without chains.
var _ dialect.Rules = (*Table)(nil)

// Reader returns a reader of the table.
func (t *Table) Reader(d *diagram.Store, s *packet.Space) dialect.Reader { return NewReader(d, s, t) }

// FinalAccept reports that ACCEPT ends a packet's way through a table.
func (t *Table) FinalAccept() bool { return true }

// Patterns returns the interface names that a table's rules use.
func (t *Table) Patterns() []string {
	var names []string
	t.eachBody(func(b *Body) {
		if b.In.Name != "" || b.Out.Name != "" {
			names = append(names, b.In.Name, b.Out.Name)
		}
	})
	return names
}

// IPSets returns the ipsets that a table's rules match a source against, and whose
// contents are not known.
func (t *Table) IPSets() []string {
	var names []string
	t.eachBody(func(b *Body) {
		for _, m := range b.Matches {
			if m.Name != "set" || len(m.Options) != 1 || len(m.Options[0].Values) != 2 || m.Options[0].Values[1] != "src" {
				continue
			}
			if name := m.Options[0].Values[0]; t.Sets[name] == nil || t.Sets[name].Unknown != "" {
				names = append(names, name)
			}
		}
	})
	return names
}

// eachBody calls f for each body of a table's rules that asks for anything, once; long
// lists share few.
func (t *Table) eachBody(f func(*Body)) {
	if t == nil {
		return
	}
	seen := map[*Body]bool{}
	for _, c := range t.Chains {
		if c.bare || c.packing != nil {
			continue
		}
		for _, r := range c.Rules() {
			if !seen[r.Body] {
				seen[r.Body] = true
				f(r.Body)
			}
		}
	}
}

// UpTo returns the table with only the rules up to a line of its file.
func (t *Table) UpTo(line int) dialect.Rules {
	part := &Table{Name: t.Name, Sections: t.Sections, Sets: t.Sets}
	copies := make(map[*Chain]*Chain, len(t.Chains))
	for _, c := range t.Chains {
		copied := *c
		copies[c] = &copied
		part.Add(&copied)
	}
	for _, c := range t.Chains {
		var list []*Rule
		for _, r := range c.Rules() {
			if int(r.Line) > line {
				continue
			}
			if to := copies[r.To]; to != nil {
				copied := *r
				copied.To, r = to, &copied
			}
			list = append(list, r)
		}
		copies[c].SetRules(list)
	}
	return part
}

// Lines returns the lines of a table's rules, in order.
func (t *Table) Lines() []int {
	if t == nil {
		return nil
	}
	var lines []int
	for _, c := range t.Chains {
		for i := range c.Len() {
			lines = append(lines, c.line(i))
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// Text returns the rule of a line.
func (t *Table) Text(line int) string {
	for _, c := range t.Chains {
		for _, r := range c.Rules() {
			if int(r.Line) == line {
				return r.String(c.Name)
			}
		}
	}
	return ""
}
