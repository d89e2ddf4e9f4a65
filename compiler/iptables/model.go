// Package iptables is the dialect of iptables-save and iptables-restore: the
// text, and what tables mean.
//
//	model.go     the types: file, table, chain, rule
//	words.go     a line as words, and quoting
//	parse.go     sections, chains and comments
//	command.go   what a line of a table does to its chains
//	getopt.go    which option a word is, and of which module
//	rule.go      a rule's words as conditions and a target
//	canonical.go the same for lines as iptables-save prints them, fast
//	address.go   the values of -s and -d
//	same.go      whether iptables takes two rules for one, as -D asks
//	print.go     rules as text
//	loads.go     what of a file may not load
//	family.go    which family a file is for
//	owned.go     the chains that Seawall fills
//	meaning.go   what a chain does with packets, as a diagram
//	sourcetree.go a tree of chains over the sources, walked in place
//	condition.go a rule's conditions as packets
//	trace.go     one packet's way through a table
//
// The reader loses nothing: a rule keeps the words that it was written in, and
// is printed with them. It reads what iptables-restore reads, and refuses what
// that refuses (NETFILTER.md sections 4 and 9). What a match or target means is
// the business of package match; a word that nobody knows there leaves its rule
// undecided.
package iptables

import (
	"net/netip"
	"slices"

	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/packet"
)

// File is a rules file: its tables in the order in which they first stand in it.
type File struct {
	Source []byte // the text that was read; printing it is the identity
	Family packet.Family
	Tables []*Table
	// NoFlush says that the file adds to what the kernel has; see Options.
	NoFlush bool
	// versions are lines that some versions of iptables refuse.
	versions []string
	before   int // lines before the text in its file
}

// Table returns the table of this name, or nil.
func (f *File) Table(name string) *Table {
	for _, t := range f.Tables {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// Table is a table after all lines of a file, or one that is made to be printed.
type Table struct {
	Name     string
	Sections int      // how often it stands in the file
	Chains   []*Chain // in order of declaration
	// Late are chains of a table that is made, before those of Chains: they are
	// declared where their rules stand.
	Late    []Generator
	Sets    ipset.Sets
	SetText []byte // lines for ipset restore that make the sets of a table that is made
	byName  map[string]*Chain
}

// Chain returns the chain of this name, or nil.
func (t *Table) Chain(name string) *Chain {
	if t == nil {
		return nil
	}
	return t.byName[name]
}

// Declare adds a chain, or returns the one that is there.
func (t *Table) Declare(name, policy string) *Chain {
	if c := t.byName[name]; c != nil {
		return c
	}
	c := &Chain{Name: name, Policy: policy}
	t.Add(c)
	return c
}

// Add adds a chain that was made elsewhere.
func (t *Table) Add(c *Chain) {
	if t.byName == nil {
		t.byName = map[string]*Chain{}
	}
	t.byName[c.Name] = c
	t.Chains = append(t.Chains, c)
}

// Chain is a chain as it stands after all lines of its table.
type Chain struct {
	Name   string
	Policy string // ACCEPT or DROP of a built-in chain, "-" of a user's
	Rules  []*Rule
	Line   int // where it is declared, from 1; 0 for a chain of a table that is made
	// Partial says that rules may stand in the chain which the file does not have:
	// it adds to a chain that it neither declares nor flushes. The first of Rules
	// stands for them then.
	Partial bool
	// Shifted says that the numbers of the rules are not known: a rule was deleted
	// of which it is not clear which one it was.
	Shifted bool
	// Late is for a chain that is made: it is declared where its rules stand, with
	// Comment before it.
	Late    bool
	Comment string
	Notes   []Note
}

// Note is a comment before a rule of a chain that is made.
type Note struct {
	Before int // the index of the rule; len(Rules) is the end
	Text   string
}

// Append adds a rule at the end of the chain.
func (c *Chain) Append(r *Rule) { c.Rules = append(c.Rules, r) }

// Remark adds a comment line, without its "# ", after the rules so far.
func (c *Chain) Remark(text string) { c.Notes = append(c.Notes, Note{len(c.Rules), text}) }

// Truncate takes back what was added after the first rules and notes.
func (c *Chain) Truncate(rules, notes int) { c.Rules, c.Notes = c.Rules[:rules], c.Notes[:notes] }

// builtins are the chains that netfilter itself calls, by table.
var builtins = map[string][]string{
	"filter":   {"INPUT", "FORWARD", "OUTPUT"},
	"nat":      {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"},
	"mangle":   {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"},
	"raw":      {"PREROUTING", "OUTPUT"},
	"security": {"INPUT", "FORWARD", "OUTPUT"},
}

// Builtin reports whether netfilter itself calls a chain of this name in the
// table.
func (t *Table) Builtin(name string) bool { return slices.Contains(builtins[t.Name], name) }

// Rule is one rule. Rules that differ in their source alone share one Body:
// long lists of sources are the commonest thing in a large file.
type Rule struct {
	Source Source
	*Body
	// To is the chain to go to (-g) of a rule that shares its Body with others;
	// nil when the Body's Target says it.
	To   *Chain
	Line int32   // in the file that was read, from 1
	spec *string // its own words, of a rule that was read
}

// Source is the match of -s. The zero Source matches every address.
type Source struct {
	Prefix netip.Prefix
	Not    bool
}

// Body is all of a rule but its source.
type Body struct {
	Dest     Source // -d
	In, Out  Interface
	Protocol Protocol
	Fragment string   // "-f", "! -f" or ""
	Masks    []Masked // -s and -d with a netmask that has holes
	Matches  []Match
	Target   Target
	// Unread is the words from which on the rule could not be read: an option of
	// a module that is not known. Such a rule may do anything.
	Unread string
}

// Masked is an address under a netmask that is no prefix.
type Masked struct {
	Dest          bool // it is of -d
	Address, Mask netip.Addr
	Not           bool
}

// Interface is the match of -i or -o; a Name ending in + is a prefix. The zero
// Interface matches every one.
type Interface struct {
	Name string
	Not  bool
}

// Protocol is the match of -p, by the name that iptables-save prints. The zero
// Protocol matches every one.
type Protocol struct {
	Name string
	Not  bool
}

// Match is one -m with its options.
type Match = match.Use

// Option is one option of a match or target, with its values.
type Option = match.Given

// Target is what a rule does: jump (-j) or goto (-g). A rule without a target
// has an empty Name.
type Target struct {
	Name    string
	Goto    bool
	Options []Option
	// Module is the extension that -j loads; nil for a chain, for a verdict of the
	// kernel's own, and for a name that is not known.
	Module *match.Module
}

// use is the target as package match sees it.
func (t *Target) use() *match.Use {
	return &match.Use{Name: t.Name, Options: t.Options, Module: t.Module}
}

// UpTo is the table with the rules that stand up to a line of its file.
func (t *Table) UpTo(line int) *Table {
	part := &Table{Name: t.Name, Sections: t.Sections, Sets: t.Sets}
	for _, c := range t.Chains {
		copied := *c
		copied.Rules = slices.DeleteFunc(slices.Clone(c.Rules), func(r *Rule) bool { return int(r.Line) > line })
		part.Add(&copied)
	}
	return part
}

// Generator makes chains one after the other, each before those that lead to it.
// The trees of a long list have more rules than memory should hold beside their
// text.
type Generator struct {
	Rules int // about how many it makes
	// Make calls yield for each chain, which holds until yield returns.
	Make func(yield func(*Chain))
}

// Whole is the table with all chains of its generators in memory.
func (t *Table) Whole() *Table {
	if len(t.Late) == 0 {
		return t
	}
	whole := &Table{Name: t.Name, Sections: t.Sections, Sets: t.Sets, SetText: t.SetText}
	made := map[string]*Chain{}
	for _, g := range t.Late {
		g.Make(func(c *Chain) {
			copied := *c
			copied.Rules = make([]*Rule, len(c.Rules))
			for i, r := range c.Rules {
				rule := *r
				if to := made[toName(r)]; to != nil {
					rule.To = to
				}
				copied.Rules[i] = &rule
			}
			made[c.Name] = &copied
			whole.Add(&copied)
		})
	}
	for _, c := range t.Chains {
		whole.Add(c)
	}
	return whole
}

func toName(r *Rule) string {
	if r.To == nil {
		return ""
	}
	return r.To.Name
}

// Names are the names of all chains: first those that are declared at the top.
func (t *Table) Names() []string {
	var top, late []string
	for _, g := range t.Late {
		g.Make(func(c *Chain) { late = append(late, c.Name) })
	}
	for _, c := range t.Chains {
		if c.Late {
			late = append(late, c.Name)
		} else {
			top = append(top, c.Name)
		}
	}
	return append(top, late...)
}

// Forget lets go of what a table that was printed was made of.
func (t *Table) Forget() { t.Chains, t.Late, t.byName = nil, nil, nil }
