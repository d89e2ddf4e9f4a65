package iptables

import (
	"fmt"

	"github.com/seawall/seawall/compiler/iptables/match"
)

// The parser decides whether a file loads, except for three things: extensions
// that Seawall does not know, words that versions of iptables read differently,
// and the values of a few rare modules.

// Unknown returns, one per line, the rules that name an unknown extension and
// those that some versions of iptables refuse. An unknown extension is undecided
// for the packets that reach it; but if its name is a typo, iptables-restore
// refuses the whole file.
func (f *File) Unknown() []string {
	return append(f.versions, f.uses(func(kind match.Kind, u *Match) string {
		if u.Module != nil || match.OutOfTree(kind, u.Name) {
			return ""
		}
		if kind == match.TargetKind {
			return "no chain or iptables target is named " + u.Name
		}
		return "no iptables match is named " + u.Name
	})...)
}

// notChecked returns the rules with a module of which iptables or the kernel
// checks more than Seawall does.
func (f *File) notChecked() []string {
	return f.uses(func(kind match.Kind, u *Match) string {
		switch {
		case u.Module == nil && match.OutOfTree(kind, u.Name):
			return u.Name + " is not part of iptables: it loads only if that extension is installed"
		case u.Module != nil && u.Module.Check != "":
			return "whether iptables accepts these values for " + u.Name
		}
		return ""
	})
}

// uses collects what a function says about each module of each rule.
func (f *File) uses(say func(kind match.Kind, u *Match) string) []string {
	var list []string
	for _, t := range f.Tables {
		for _, c := range t.Chains {
			for _, r := range c.Rules() {
				for i := range r.Matches {
					list = appendUse(list, t, c, r, say(match.MatchKind, &r.Matches[i]))
				}
				if r.Target.Module != nil || t.unknownTarget(r) {
					list = appendUse(list, t, c, r, say(match.TargetKind, r.Target.use()))
				}
			}
		}
	}
	return list
}

func appendUse(list []string, t *Table, c *Chain, r *Rule, what string) []string {
	if what == "" {
		return list
	}
	return append(list, fmt.Sprintf("table %s, line %d: %s: %s", t.Name, r.Line, what, r.String(c.Name)))
}
