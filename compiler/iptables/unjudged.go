package iptables

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/packet"
)

// A policy covers the filter table's FORWARD and INPUT. A packet also passes
// through other tables, and an answer about the filter table does not cover what
// they do, so it has to say so.

// Unjudged returns, one per line, the rules and chain policies of a file that
// affect packets but are not part of the answer: those of other tables that can
// drop packets, hide them from conntrack, redirect them or hand them to a program;
// the host's own drops in INPUT, which may be stricter than a policy; drops in
// OUTPUT; and what iptables-save says that it does not show. Docker's own rules in
// the nat table do none of this.
func (f *File) Unjudged() []string {
	list := append(f.notShown(), f.notChecked()...)
	for _, t := range f.Tables {
		if t.Name == "filter" {
			list = append(list, t.drops("INPUT", "the host's own rules in INPUT can drop what the policy lets through")...)
			list = append(list, t.drops("OUTPUT", "OUTPUT can drop what the host sends, including replies")...)
			continue
		}
		for _, c := range t.Chains {
			if t.Builtin(c.Name) && c.Policy == "DROP" {
				list = append(list, fmt.Sprintf("table %s, line %d: the policy of %s is DROP", t.Name, c.Line, c.Name))
			}
			for _, r := range c.Rules() {
				if t.bears(r) || t.Name == "nat" && redirects(c, r) {
					list = append(list, fmt.Sprintf("table %s, line %d: %s", t.Name, r.Line, r.String(c.Name)))
				}
			}
		}
	}
	return list
}

// notShown returns the comments in which iptables-save says that there is more than
// it prints.
func (f *File) notShown() []string {
	var list []string
	for line := range bytes.Lines(f.Source) {
		text := strings.TrimSpace(string(line))
		switch {
		case strings.HasPrefix(text, "# Table ") && strings.Contains(text, "incompatible base-chains"):
			list = append(list, "a comment in the file says that there are nft chains besides those of iptables: "+text)
		case strings.HasPrefix(text, "# Warning: iptables-legacy tables present"), strings.HasPrefix(text, "# Warning: ip6tables-legacy tables present"):
			list = append(list, "a comment in the file says that there are also rules of the legacy back end: "+text)
		}
	}
	return list
}

// drops returns one line that names the rules of a built-in chain of the filter
// table that can drop packets.
func (t *Table) drops(chain, what string) []string {
	c := t.Chain(chain)
	if c == nil {
		return nil
	}
	var lines []string
	if c.Policy == "DROP" {
		lines = append(lines, fmt.Sprint(c.Line))
	}
	for _, r := range c.Rules() {
		if t.canDrop(r, map[*Chain]bool{}) {
			lines = append(lines, fmt.Sprint(r.Line))
		}
	}
	switch n := len(lines); {
	case n == 0:
		return nil
	case n > 5:
		lines = append(lines[:5], fmt.Sprintf("and %d more", n-5))
	}
	return []string{fmt.Sprintf("table filter: %s (line %s)", what, strings.Join(lines, ", "))}
}

// canDrop reports whether a rule, or the chain that it leads to, can drop packets.
// Seawall's own chains are judged elsewhere.
func (t *Table) canDrop(r *Rule, seen map[*Chain]bool) bool {
	if r.Unread != "" {
		return true
	}
	to := r.To
	if to == nil && r.Target.Module == nil {
		to = t.Chain(r.Target.Name)
	}
	if to == nil {
		v, _ := r.verdict()
		return v.IsClosed() || v == packet.Unknown
	}
	if Owned(to.Name) || seen[to] {
		return false
	}
	seen[to] = true
	return slices.ContainsFunc(to.Rules(), func(r *Rule) bool { return t.canDrop(r, seen) })
}

// redirects reports whether a rule of the nat table redirects packets and is not
// Docker's.
func redirects(c *Chain, r *Rule) bool {
	switch r.Target.Name {
	case "REDIRECT", "NETMAP":
		return true
	case "DNAT":
		return !strings.HasPrefix(c.Name, "DOCKER")
	}
	return false
}

// bears reports whether a rule of another table affects what the filter table
// decides.
func (t *Table) bears(r *Rule) bool {
	switch r.Target.Name {
	case "", "RETURN", "ACCEPT":
		return r.Unread != ""
	case "NOTRACK", "CT":
		return true
	case "TTL", "HL":
		return true // a packet with no hops left is not forwarded
	}
	if r.Unread != "" || t.unknownTarget(r) {
		return true
	}
	if v, standard := match.Standard[r.Target.Name]; standard {
		return v != 0
	}
	if r.Target.Module == nil || t.Name == "nat" {
		return false
	}
	return r.Target.use().Effect().Verdict != 0
}
