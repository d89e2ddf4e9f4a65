package iptables

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/packet"
)

// A policy is about the filter table's FORWARD and INPUT. A packet meets other
// tables on its way, and what they do is no part of an answer about the filter
// table: so the answer has to say that it did not look there.

// Unjudged are rules and policies of a file that bear on a packet and are no part
// of the answer, one line each: those of other tables that can drop packets, hide
// them from conntrack, send them elsewhere or hand them to a program; the host's
// own drops in INPUT, which may be stricter than a policy; drops in OUTPUT; and
// what iptables-save says that it does not show. Docker's own rules of the nat
// table do none of that.
func (f *File) Unjudged() []string {
	list := append(f.notShown(), f.notChecked()...)
	for _, t := range f.Tables {
		if t.Name == "filter" {
			list = append(list, t.drops("INPUT", "the host's own rules of INPUT can drop what the policy lets pass")...)
			list = append(list, t.drops("OUTPUT", "OUTPUT can drop what the host sends, answers among it")...)
			continue
		}
		for _, c := range t.Chains {
			if t.Builtin(c.Name) && c.Policy == "DROP" {
				list = append(list, fmt.Sprintf("table %s, line %d: the policy of %s is DROP", t.Name, c.Line, c.Name))
			}
			for _, r := range c.Rules {
				if t.bears(r) || t.Name == "nat" && redirects(c, r) {
					list = append(list, fmt.Sprintf("table %s, line %d: %s", t.Name, r.Line, r.String(c.Name)))
				}
			}
		}
	}
	return list
}

// notShown are the comments in which iptables-save says that there is more than it
// prints.
func (f *File) notShown() []string {
	var list []string
	for line := range bytes.Lines(f.Source) {
		text := strings.TrimSpace(string(line))
		switch {
		case strings.HasPrefix(text, "# Table ") && strings.Contains(text, "incompatible base-chains"):
			list = append(list, "the file's comment says that there are chains of nft beside those of iptables: "+text)
		case strings.HasPrefix(text, "# Warning: iptables-legacy tables present"), strings.HasPrefix(text, "# Warning: ip6tables-legacy tables present"):
			list = append(list, "the file's comment says that there are rules of the legacy back end as well: "+text)
		}
	}
	return list
}

// drops says in one line which rules of a built-in chain of the filter table itself
// can drop packets.
func (t *Table) drops(chain, what string) []string {
	c := t.Chain(chain)
	if c == nil {
		return nil
	}
	var lines []string
	if c.Policy == "DROP" {
		lines = append(lines, fmt.Sprint(c.Line))
	}
	for _, r := range c.Rules {
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
	return slices.ContainsFunc(to.Rules, func(r *Rule) bool { return t.canDrop(r, seen) })
}

// redirects reports whether a rule of the nat table sends packets elsewhere and is
// not Docker's.
func redirects(c *Chain, r *Rule) bool {
	switch r.Target.Name {
	case "REDIRECT":
		return true
	case "DNAT":
		return !strings.HasPrefix(c.Name, "DOCKER")
	}
	return false
}

// bears reports whether a rule of another table bears on what the filter table
// decides.
func (t *Table) bears(r *Rule) bool {
	switch r.Target.Name {
	case "", "RETURN", "ACCEPT":
		return r.Unread != ""
	case "NOTRACK", "CT":
		return true
	case "TTL", "HL":
		return true // what has no hops left is not forwarded
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
