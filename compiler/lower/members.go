package lower

import (
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/iptables"
)

// An ipset that others fill is matched by its name. It is never one of Seawall's own
// sets, and what is in it is not known: so it neither completes nor shortens a list.

func (c clause) byMembership() bool { return len(c.ipsets)+len(c.exceptIPSets) > 0 }

// members writes a clause that names such ipsets: first its addresses, as far as no
// excepted ipset holds them, then the members of each of its ipsets that it does not
// except by their addresses.
func (b *sourceBuilder) members(c clause) {
	matched := address.Without(c.include, c.except)
	if !address.Empty(address.Without(matched, b.decided)) {
		for _, s := range b.cover(matched) {
			b.entries = append(b.entries, entry{source: s, members: noneOf(c.exceptIPSets), label: c.label, origin: c.origin})
		}
		if len(c.exceptIPSets) == 0 {
			b.decided = address.Union(b.decided, matched)
			b.everybody = b.decided.Equal(b.resolve.Every())
		}
	}
	if b.everybody {
		return
	}
	for _, name := range c.ipsets {
		for _, s := range b.cover(address.Without(b.resolve.Every(), c.except)) {
			b.entries = append(b.entries, entry{source: s, members: name, label: c.label, origin: c.origin})
		}
	}
}

// noneOf is what an entry is bound to that no ipset of a list may hold.
func noneOf(names []string) string {
	var list []string
	for _, n := range names {
		list = append(list, "!"+n)
	}
	return strings.Join(list, " ")
}

// memberMatches are the matches for what an entry is bound to.
func (l *lowering) memberMatches(members string) []iptables.Match {
	var list []iptables.Match
	for _, word := range strings.Fields(members) {
		name, not := strings.CutPrefix(word, "!")
		list = append(list, iptables.Match{Name: "set", Module: l.module("set"),
			Options: []iptables.Option{{Not: not, Name: "--match-set", Values: []string{name, "src"}}}})
	}
	return list
}

// memberCase is clauses without ipsets, for sources that are members of some.
type memberCase struct {
	members string
	clauses []clause
}

// mostCases is how many cases are told apart: each has a tree of its own.
const mostCases = 16

// memberCases resolves the ipsets of clauses: of the cases, the first whose ipsets hold a
// source decides, and the last is for all others. There are none where they are too many.
func (l *lowering) memberCases(clauses []clause) []memberCase {
	list := l.casesOf(clauses, "", nil)
	if len(list) > mostCases {
		return nil
	}
	return list
}

func (l *lowering) casesOf(clauses []clause, members string, list []memberCase) []memberCase {
	if len(list) > mostCases {
		return list
	}
	name := ""
	for _, c := range clauses {
		if name == "" && c.byMembership() {
			name = append(slices.Clone(c.ipsets), c.exceptIPSets...)[0]
		}
		if !c.byMembership() && address.Without(c.include, c.except).Equal(l.resolve.Every()) {
			break // nothing after it is reached
		}
	}
	if name == "" {
		return append(list, memberCase{members, clauses})
	}
	list = l.casesOf(l.resolved(clauses, name, true), strings.TrimSpace(members+" "+name), list)
	return l.casesOf(l.resolved(clauses, name, false), members, list)
}

// resolved is clauses for sources that an ipset holds, or does not hold.
func (l *lowering) resolved(clauses []clause, name string, in bool) []clause {
	without := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
	}
	var list []clause
	for _, c := range clauses {
		if in && slices.Contains(c.exceptIPSets, name) {
			continue
		}
		if in && slices.Contains(c.ipsets, name) {
			c.include, c.ipsets = l.resolve.Every(), nil
		}
		c.ipsets, c.exceptIPSets = without(c.ipsets), without(c.exceptIPSets)
		list = append(list, c)
	}
	return list
}

// memberTarget is a policy's sources where they name ipsets: a case after the other, each
// as entries or as a tree.
func (x *indexer) memberTarget(name, what string, clauses []clause, last label, proto string) target {
	var t target
	for _, one := range x.memberCases(clauses) {
		if !long(one.clauses, x.opt.Sizes.Inline) {
			if entries := sourceList(x.resolve, one.clauses, last, nil); len(entries) <= x.opt.Sizes.Inline {
				for _, e := range entries {
					e.members = one.members
					t.entries = append(t.entries, e)
				}
				continue
			}
		}
		t.entries = append(t.entries, entry{members: one.members, goto_: x.tree(name, what, one.clauses, last, proto, nil).Name, label: label{next: true}})
	}
	if len(t.entries) == 0 { // too many cases
		t.entries = sourceList(x.resolve, clauses, last, nil)
	}
	return t
}

// guardTrees sends each case of the guard's clauses to a tree of its own.
func (l *lowering) guardTrees(chain *iptables.Chain, what string, clauses []clause, leads map[label]*iptables.Chain) {
	for _, one := range l.memberCases(clauses) {
		root := l.tree("guard", what, one.clauses, label{next: true}, "*", leads)
		l.each(chain, action{box: box{dir: "ORIGINAL", members: one.members}, goto_: root.Name, origin: "guard"})
	}
}
