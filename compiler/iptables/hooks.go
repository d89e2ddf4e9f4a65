package iptables

import (
	"fmt"
	"slices"
	"strings"
)

// hooks refuses rules that a packet can reach from a built-in chain in which the
// kernel does not accept one of their modules, such as -m owner on a path from
// INPUT. The kernel checks this when a table is committed, so a chain that nothing
// leads to may contain such rules.
func (p *parser) hooks() error {
	if !p.hooked {
		return nil
	}
	for _, t := range p.file.Tables {
		for _, start := range t.Chains {
			if t.Builtin(start.Name) {
				if err := t.hooks(start.Name, start, map[*Chain]bool{}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// hooks is hooks for one chain and the chains it leads to.
func (t *Table) hooks(builtin string, c *Chain, seen map[*Chain]bool) error {
	seen[c] = true
	for _, r := range c.Rules() {
		for _, u := range r.uses() {
			if u.Module == nil || u.Module.Hooks == nil {
				continue
			}
			if in := u.Module.Hooks(u); in != nil && !slices.Contains(in, builtin) {
				return &Error{Line: int(r.Line), Text: r.String(c.Name), Detail: fmt.Sprintf("%s is not valid on a path from %s, only from %s", u, builtin, strings.Join(in, ", "))}
			}
		}
		if next := t.leads(r); next != nil && !seen[next] {
			if err := t.hooks(builtin, next, seen); err != nil {
				return err
			}
		}
	}
	return nil
}

// uses returns the modules of a rule that was read in full.
func (b *Body) uses() []*Match {
	if b.Unread != "" {
		return nil
	}
	var list []*Match
	for i := range b.Matches {
		list = append(list, &b.Matches[i])
	}
	if b.Target.Module != nil {
		list = append(list, b.Target.use())
	}
	return list
}
