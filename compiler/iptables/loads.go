package iptables

import (
	"fmt"

	"github.com/seawall/seawall/compiler/iptables/match"
)

// Whether a file loads is decided by the reader, but for three things: an extension
// that Seawall has never heard of, words that versions of iptables read differently,
// and the values of a few rare modules.

// Unknown are the rules that name an extension of which nobody has heard, and those
// that some versions of iptables refuse, one line each. An
// unknown extension is undecided for the packets that reach it; what is more, a
// mistyped name is none, and iptables-restore refuses the whole file.
func (f *File) Unknown() []string {
	return append(f.versions, f.uses(func(kind match.Kind, u *Match) string {
		if u.Module != nil || match.OutOfTree(kind, u.Name) {
			return ""
		}
		if kind == match.TargetKind {
			return "neither a chain nor a target of iptables has the name " + u.Name
		}
		return "no match of iptables has the name " + u.Name
	})...)
}

// notChecked are the rules with a module of which iptables or the kernel looks at
// more than is looked at here.
func (f *File) notChecked() []string {
	return f.uses(func(kind match.Kind, u *Match) string {
		switch {
		case u.Module == nil && match.OutOfTree(kind, u.Name):
			return u.Name + " is no part of iptables: it loads where that extension is installed"
		case u.Module != nil && u.Module.Check != "":
			return "whether iptables takes these values of " + u.Name
		}
		return ""
	})
}

// uses says of each module of each rule what a function has to say of it.
func (f *File) uses(say func(kind match.Kind, u *Match) string) []string {
	var list []string
	for _, t := range f.Tables {
		for _, c := range t.Chains {
			for _, r := range c.Rules {
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
