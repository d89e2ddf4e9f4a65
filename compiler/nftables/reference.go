package nftables

import "strings"

// mention is a name that must exist when the command that has it is complete.
type mention struct {
	name  string
	line  int
	check func(*Set) // of a set: whether it fits
}

// jump notes that something leads to a chain.
func (p *parser) jump(name string, line int) {
	if n := len(p.jumps); n == 0 || p.jumps[n-1].name != name {
		p.jumps = append(p.jumps, mention{name: name, line: line})
	}
}

// resolve checks the names that a command has mentioned. In a table's braces a name
// may stand before what it names.
func (p *parser) resolve() {
	for _, m := range p.lookups {
		s := p.table.Set(m.name)
		if s == nil {
			p.failAt(m.line, "the table %s %s has no set %s", p.table.Family, p.table.Name, m.name)
		}
		m.check(s)
	}
	known := map[string]*Chain{}
	for _, m := range p.jumps {
		c := known[m.name]
		if c == nil {
			c = p.table.Chain(m.name)
			known[m.name] = c
		}
		if c == nil {
			p.failAt(m.line, "the table %s %s has no chain %s", p.table.Family, p.table.Name, m.name)
		}
		if c.Hook != nil {
			p.failAt(m.line, "the kernel calls the chain %s by its hook; no rule can lead to it", m.name)
		}
	}
	p.jumps, p.lookups = p.jumps[:0], p.lookups[:0]
}

// maxChains is how many chains, the base chain among them, can lead from one to the
// next: NFT_JUMP_STACK_SIZE of the kernel, which counts a goto as a jump.
const maxChains = 16

// finish refuses chains that lead to themselves, or through too many others, and can be
// reached from one that the kernel calls, as the kernel does.
func (p *parser) finish() {
	for _, t := range p.file.Tables {
		chains := make(map[string]*Chain, len(t.Chains))
		for _, c := range t.Chains {
			chains[c.Name] = c
		}
		state := map[*Chain]int{}  // 1 while a chain is open, 2 when it is done
		levels := map[*Chain]int{} // of a chain that is done: the longest way through it, in chains
		var walk func(c *Chain)
		walk = func(c *Chain) {
			state[c], levels[c] = 1, 1
			for _, r := range c.Rules {
				t.leads(r, func(v *Verdict) {
					next := chains[v.Chain]
					switch {
					case next == nil:
						return
					case state[next] == 1:
						p.failAt(max(r.Line, 1), "the chain %s leads to itself", next.Name)
					case state[next] == 0:
						walk(next)
					}
					levels[c] = max(levels[c], levels[next]+1)
					if c.Hook != nil && levels[c] > maxChains {
						p.failAt(max(r.Line, 1), "from the chain %s rules lead through %d chains, and the kernel allows %d", c.Name, levels[c], maxChains)
					}
				})
			}
			state[c] = 2
		}
		for _, c := range t.Chains {
			if c.Hook != nil && state[c] == 0 {
				walk(c)
			}
		}
	}
}

// leads calls do with each verdict that a rule may carry out.
func (t *Table) leads(r *Rule, do func(*Verdict)) {
	for _, s := range r.Statements {
		switch s := s.(type) {
		case *Verdict:
			do(s)
		case *Lookup:
			elements := s.Map.Set
			if m := t.Set(s.Map.Text); s.Map.Kind == Named && m != nil {
				elements = m.Elements
			}
			for i := range elements {
				if v := elements[i].Verdict; v != nil {
					do(v)
				}
			}
		}
	}
}

// verdicts calls do with each verdict of a table, once.
func (t *Table) verdicts(do func(*Verdict)) {
	each := func(list []Element) {
		for i := range list {
			if v := list[i].Verdict; v != nil {
				do(v)
			}
		}
	}
	for _, s := range t.Sets {
		each(s.Elements)
	}
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			for _, s := range r.Statements {
				switch s := s.(type) {
				case *Verdict:
					do(s)
				case *Lookup:
					each(s.Map.Set)
				}
			}
		}
	}
}

func (t *Table) leadsTo(chain string) bool {
	found := false
	t.verdicts(func(v *Verdict) { found = found || v.Chain == chain })
	return found
}

// uses reports whether a rule of the table has an expression for which holds is true.
func (t *Table) uses(holds func(*Expr) bool) bool {
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			for _, s := range r.Statements {
				if statementUses(s, holds) {
					return true
				}
			}
		}
	}
	return false
}

func statementUses(s Statement, holds func(*Expr) bool) bool {
	switch s := s.(type) {
	case *Match:
		return holds(&s.Right)
	case *Lookup:
		return holds(&s.Map)
	case *Foreign: // its names are not looked up
		for _, w := range strings.Fields(s.Text) {
			if w[0] == '@' && holds(&Expr{Kind: Named, Text: w[1:]}) {
				return true
			}
		}
	case *Assign:
		for _, w := range strings.Fields(s.Right.Text) {
			if w[0] == '@' && holds(&Expr{Kind: Named, Text: w[1:]}) {
				return true
			}
		}
	}
	return false
}
