package iptables

import (
	"fmt"

	"github.com/seawall/seawall/compiler/iptables/match"
)

// A policy is about the filter table's FORWARD and INPUT. A packet meets other
// tables on its way, and what they do is no part of an answer about the filter
// table: so the answer has to say that it did not look there.

// Unjudged are rules and policies of a file's other tables that can drop packets,
// hide them from conntrack or hand them to a program, one line each. Docker's own
// rules of the nat table do none of that.
func (f *File) Unjudged() []string {
	var list []string
	for _, t := range f.Tables {
		if t.Name == "filter" {
			continue
		}
		for _, c := range t.Chains {
			if t.Builtin(c.Name) && c.Policy == "DROP" {
				list = append(list, fmt.Sprintf("table %s, line %d: the policy of %s is DROP", t.Name, c.Line, c.Name))
			}
			for _, r := range c.Rules {
				if t.bears(r) {
					list = append(list, fmt.Sprintf("table %s, line %d: %s", t.Name, r.Line, r.String(c.Name)))
				}
			}
		}
	}
	return list
}

// bears reports whether a rule of another table bears on what the filter table
// decides.
func (t *Table) bears(r *Rule) bool {
	switch r.Target.Name {
	case "", "RETURN", "ACCEPT":
		return r.Unread != ""
	case "NOTRACK", "CT":
		return true
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
