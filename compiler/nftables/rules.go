package nftables

import (
	"cmp"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/packet"
)

// RuleOptions say how rules are read.
type RuleOptions struct {
	// AcceptMark is the packet mark with which Docker lets a packet past its own rules
	// (--bridge-accept-fwmark); 0: none. The mark is these bits, whatever the others.
	AcceptMark uint32
}

// Rules are what a file says of the packets of one family.
type Rules struct {
	file   *File
	family packet.Family
	opt    RuleOptions
	// Of a part of a ruleset: every chain carries the policy, and some are called by
	// chains that are not in it.
	whole  bool
	called map[calledKey]bool
}

var _ dialect.Rules = (*Rules)(nil)

// Rules returns what a file says of the packets of one family.
func (f *File) Rules(family packet.Family, opt RuleOptions) *Rules {
	return &Rules{file: f, family: family, opt: opt}
}

// FinalAccept reports whether a rule can let a packet past Docker's rules: by the
// mark, or by an accept in a chain that they call.
func (r *Rules) FinalAccept() bool { return r.opt.AcceptMark != 0 || len(r.called) > 0 }

// base is a base chain with its table.
type base struct {
	table *Table
	chain *Chain
}

// sees reports whether the packets of a family come to a table.
func (r *Rules) sees(t *Table) bool {
	if slices.Contains(t.Flags, "dormant") {
		return false
	}
	return t.Family == Inet || t.Family == IP && r.family == packet.IPv4 || t.Family == IP6 && r.family == packet.IPv6
}

// bases are the base chains of a hook, in the order in which packets come to them.
// Of equal priority, the one that was made last comes first (NETFILTER.md section 8).
func (r *Rules) bases(hook packet.Hook) []base {
	var list []base
	for _, t := range r.file.Tables {
		if !r.sees(t) {
			continue
		}
		for _, c := range t.Chains {
			if c.Hook != nil && c.Hook.Hook == strings.ToLower(string(hook)) {
				list = append(list, base{t, c})
			}
		}
	}
	slices.Reverse(list)
	slices.SortStableFunc(list, func(a, b base) int { return cmp.Compare(a.chain.Hook.Priority, b.chain.Hook.Priority) })
	return list
}

// own reports whether a table is Seawall's, or the bridge that a reload has left.
func (t *Table) own() bool {
	return t.Family == Inet && (t.Name == TableName || t.Name == BridgeName)
}

// judged divides the base chains of a hook: those that carry the policy, and before
// them those of others. What comes after them is not asked, unless it may change the mark
// by which Docker accepts.
//
// In a ruleset without the table of Seawall every table carries the policy, but for
// Docker's and those that iptables-nft keeps its rules in.
func (r *Rules) judged(hook packet.Hook) (before, policy []base) {
	if r.whole {
		return nil, r.bases(hook)
	}
	all := slices.DeleteFunc(r.bases(hook), func(b base) bool { return b.table.passing() })
	has := slices.ContainsFunc(r.file.Tables, (*Table).own)
	if !has {
		return nil, slices.DeleteFunc(all, func(b base) bool { return b.table.dockers() || b.table.iptables() })
	}
	last := -1
	for i, b := range all {
		if b.table.own() || r.opt.AcceptMark != 0 && !b.table.dockers() && b.marks() {
			last = i
		}
	}
	for _, b := range all[:last+1] {
		if b.table.own() || policy != nil {
			policy = append(policy, b)
		} else {
			before = append(before, b)
		}
	}
	return before, policy
}

// passing reports whether the kernel removes a table when the program that loaded it ends,
// as nft -f does at once. Such a table carries no policy.
func (t *Table) passing() bool {
	return slices.Contains(t.Flags, "owner") && !slices.Contains(t.Flags, "persist")
}

// marks reports whether a rule that packets of a base chain come to changes their mark.
func (b base) marks() bool {
	chains := map[*Chain]bool{}
	b.table.follow(b.chain, chains)
	for c := range chains {
		if slices.ContainsFunc(c.Rules, (*Rule).marks) {
			return true
		}
	}
	return false
}

func (r *Rule) marks() bool {
	return slices.ContainsFunc(r.Statements, func(s Statement) bool {
		switch s := s.(type) {
		case *Assign:
			return s.Left.Text == "meta mark" || s.Left.Text == "mark"
		case *Foreign:
			return strings.Contains(s.Text, "MARK") // a target of iptables
		}
		return false
	})
}

// dockers reports whether a table is one of Docker's nftables back end.
func (t *Table) dockers() bool {
	return t.Name == "docker-bridges" && (t.Family == IP || t.Family == IP6)
}

// iptables reports whether a table is one that iptables-nft keeps its rules in.
func (t *Table) iptables() bool {
	if t.Family != IP && t.Family != IP6 || !slices.Contains([]string{"filter", "nat", "mangle", "raw", "security"}, t.Name) {
		return false
	}
	for _, c := range t.Chains {
		if c.Hook != nil && c.Name != strings.ToUpper(c.Name) {
			return false
		}
	}
	return true
}

// reachable are the chains that packets of a hook come to.
func (r *Rules) reachable(hooks ...packet.Hook) map[*Chain]bool {
	seen := map[*Chain]bool{}
	for _, h := range hooks {
		for _, b := range r.bases(h) {
			b.table.follow(b.chain, seen)
		}
	}
	return seen
}

// follow adds a chain, and those that it leads to.
func (t *Table) follow(c *Chain, seen map[*Chain]bool) {
	if c == nil || seen[c] {
		return
	}
	seen[c] = true
	for _, rule := range c.Rules {
		for _, v := range rule.verdicts(t) {
			t.follow(t.Chain(v.Chain), seen)
		}
	}
}

// verdicts are all verdicts that a rule may come to.
func (r *Rule) verdicts(t *Table) []*Verdict {
	var list []*Verdict
	for _, s := range r.Statements {
		switch s := s.(type) {
		case *Verdict:
			list = append(list, s)
		case *Lookup:
			elements := s.Map.Set
			if m := t.Set(s.Map.Text); s.Map.Kind == Named && m != nil {
				elements = m.Elements
			}
			for i := range elements {
				if v := elements[i].Verdict; v != nil {
					list = append(list, v)
				}
			}
		}
	}
	return list
}

// each calls f for each rule of the tables that the family's packets come to.
func (r *Rules) each(f func(t *Table, c *Chain, rule *Rule)) {
	for _, t := range r.file.Tables {
		if r.sees(t) {
			for _, c := range t.Chains {
				for _, rule := range c.Rules {
					f(t, c, rule)
				}
			}
		}
	}
}

// Patterns returns the interface names that the rules use, as policies write them.
func (r *Rules) Patterns() []string {
	var names []string
	r.each(func(t *Table, _ *Chain, rule *Rule) {
		for _, s := range rule.Statements {
			switch s := s.(type) {
			case *Match:
				names = appendNames(names, t, &s.Left, &s.Right)
			case *Lookup:
				names = appendNames(names, t, &s.Key, &s.Map)
			}
		}
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// appendNames adds the interfaces that a key is compared with.
func appendNames(names []string, t *Table, left, right *Expr) []string {
	parts := []Expr{*left}
	if left.Kind == Concat {
		parts = left.Args
	}
	elements := []Element{{Key: *right}}
	switch right.Kind {
	case Literal:
		elements = right.Set
	case Named:
		s := t.Set(right.Text)
		if s == nil {
			return names
		}
		elements = s.Elements
	}
	for i, p := range parts {
		of := ifname
		switch p.Text {
		case "iifname", "oifname", "meta iifname", "meta oifname":
		case "iif", "oif", "meta iif", "meta oif":
			of = ifindex
		default:
			continue
		}
		for j := range elements {
			key := &elements[j].Key
			if key.Kind == Concat && i < len(key.Args) {
				key = &key.Args[i]
			}
			if name, ok := pattern(of, key); ok {
				names = append(names, name)
			}
		}
	}
	return names
}

// Lines returns the lines of the rules, in order.
func (r *Rules) Lines() []int {
	var lines []int
	r.each(func(_ *Table, _ *Chain, rule *Rule) { lines = append(lines, rule.Line) })
	slices.Sort(lines)
	return slices.Compact(lines)
}

// Text returns the rule of a line, with its chain.
func (r *Rules) Text(line int) string {
	text := ""
	r.each(func(_ *Table, c *Chain, rule *Rule) {
		if rule.Line == line && text == "" {
			text = rule.in(c)
		}
	})
	return text
}

// in is a rule's text with its chain.
func (r *Rule) in(c *Chain) string { return c.Name + ": " + r.String() }

// IPSets returns none: nft has no match of an ipset.
func (r *Rules) IPSets() []string { return nil }

// UpTo returns the rules up to a line.
func (r *Rules) UpTo(line int) dialect.Rules {
	part := &File{Flushes: r.file.Flushes}
	for _, t := range r.file.Tables {
		copied := *t
		copied.Chains = nil
		for _, c := range t.Chains {
			chain := *c
			chain.Rules = slices.DeleteFunc(slices.Clone(c.Rules), func(x *Rule) bool { return x.Line > line })
			copied.Chains = append(copied.Chains, &chain)
		}
		part.Tables = append(part.Tables, &copied)
	}
	return &Rules{part, r.family, r.opt, r.whole, r.called}
}

// Reader returns a reader of the rules.
func (r *Rules) Reader(d *diagram.Store, s *packet.Space) dialect.Reader { return newReader(d, s, r) }
