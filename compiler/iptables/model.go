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
//	ahead.go     the second half of a long text, read beside the first
//	packed.go    rules that ask for a source alone, in little memory
//	address.go   the values of -s and -d
//	same.go      whether iptables considers two rules the same, as for -D
//	print.go     rules as text
//	loads.go     what in a file may not load
//	family.go    which family a file is for
//	owned.go     the chains that Seawall fills
//	rules.go     what the proof asks of a table
//	meaning.go   what a chain does with packets, as a diagram
//	sourcetree.go a tree of chains over the sources, walked in place
//	steps.go     the rules of such a chain, and what each does
//	condition.go a rule's conditions as packets
//	trace.go     one packet's path through a table
//
// The parser loses nothing: a rule keeps the words it was written in, and is
// printed with them. It accepts what iptables-restore accepts, and refuses what
// iptables-restore refuses (NETFILTER.md sections 4 and 9). What a match or target
// means is defined in package match; a word that is unknown there leaves its rule
// undecided.
package iptables

import (
	"net/netip"
	"slices"

	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/memory"
	"github.com/seawall/seawall/compiler/packet"
)

// File is a rules file: its tables in the order in which they first appear in it.
type File struct {
	Source []byte // the text that was read, and that Print returns
	Family packet.Family
	Tables []*Table
	// NoFlush says that the file adds to what is in the kernel; see Options.
	NoFlush bool
	// versions are lines that some versions of iptables refuse.
	versions []string
	before   int // lines that precede the text in its file
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

// Table is a table after all lines of a file, or one generated for printing.
type Table struct {
	Name     string
	Sections int      // how often it occurs in the file
	Chains   []*Chain // in order of declaration
	// Late are chains of a generated table that come before those of Chains: they
	// are declared where their rules are.
	Late    []Generator
	Sets    ipset.Sets
	SetText []byte   // lines for ipset restore that create the sets of a generated table
	Awaited []string // ipsets that a generated table matches and others fill
	byName  map[string]*Chain
	memory  *Memory // of what its chains are; nil for none
}

// Chain returns the chain of this name, or nil.
func (t *Table) Chain(name string) *Chain {
	if t == nil {
		return nil
	}
	return t.byName[name]
}

// Declare adds a chain, or returns the existing one.
func (t *Table) Declare(name, policy string) *Chain {
	if c := t.byName[name]; c != nil {
		return c
	}
	c := &Chain{Name: name, Policy: policy}
	t.Add(c)
	return c
}

// Add adds a chain that was created elsewhere.
func (t *Table) Add(c *Chain) {
	if t.byName == nil {
		t.byName = map[string]*Chain{}
	}
	t.byName[c.Name] = c
	t.Chains = append(t.Chains, c)
}

// Chain is a chain after all lines of its table.
type Chain struct {
	Name   string
	Policy string // ACCEPT or DROP of a built-in chain, "-" of a user-defined chain
	rules  []*Rule
	// packing has the rules in less memory, from first on, or is nil; beside it, rules are the
	// same, or nil.
	packing      *packing
	first, count int32
	Line         int // where it is declared, from 1; 0 for a chain of a generated table
	// Partial says that the chain may have rules that are not in the file: the file
	// adds to a chain that it neither declares nor flushes. The first of its rules then
	// stands for them.
	Partial bool
	// Shifted says that the numbers of the rules are not known, because it is not
	// clear which rule a command deleted.
	Shifted   bool
	announced bool // a line such as ":LOG -" created it
	shared    bool // tables of other texts have it too: it must not be changed
	bare      bool // its rules ask for nothing but the source
	// Late is for a generated chain: it is declared where its rules are.
	Late     bool
	comments *comments // of a generated chain
}

// comments are those of a generated chain. Chains that were read, of which there are many,
// have none.
type comments struct {
	heading string // before a chain that is Late
	notes   []Note
}

// Note is a comment before a rule of a generated chain.
type Note struct {
	Before int // the index of the rule; Len is the end
	Text   string
}

// Append adds a rule at the end of the chain.
func (c *Chain) Append(r *Rule) { c.SetRules(append(c.Rules(), r)) }

// Remark adds a comment line, without its "# ", after the current last rule.
func (c *Chain) Remark(text string) {
	list := c.ofComments()
	list.notes = append(list.notes, Note{c.Len(), text})
}

// Head sets the comment line, without its "# ", before the declaration of a chain that is
// Late.
func (c *Chain) Head(text string) { c.ofComments().heading = text }

func (c *Chain) ofComments() *comments {
	if c.comments == nil {
		c.comments = &comments{}
	}
	return c.comments
}

func (c *Chain) heading() string {
	if c.comments == nil {
		return ""
	}
	return c.comments.heading
}

// Notes are the comments before the chain's rules.
func (c *Chain) Notes() []Note {
	if c.comments == nil {
		return nil
	}
	return c.comments.notes
}

// Truncate removes everything after the given number of rules and notes.
func (c *Chain) Truncate(rules, notes int) {
	c.SetRules(c.Rules()[:rules])
	if c.comments != nil {
		c.comments.notes = c.comments.notes[:notes]
	}
}

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

// Rule is one rule. Rules that differ only in their source share one Body,
// because most of a large file is long lists of sources.
type Rule struct {
	Source Source
	*Body
	// To is the chain to go to (-g) of a rule that shares its Body with others, or
	// nil if the Body's Target names it.
	To   *Chain
	Line int32   // in the file, from 1
	spec *string // its own words; nil for a generated rule
}

// Source is the value of -s. The zero Source matches every address.
type Source struct {
	Prefix netip.Prefix
	Not    bool
}

// Body is a rule without its source.
type Body struct {
	Dest     Source // -d
	In, Out  Interface
	Protocol Protocol
	Fragment string   // "-f", "! -f" or ""
	Masks    []Masked // -s and -d with a netmask that has holes
	Matches  []Match
	Target   Target
	// Unread is the rest of the rule from the word that could not be parsed, such
	// as an option of an unknown module. Such a rule may do anything.
	Unread string
}

// Masked is an address with a netmask that has holes.
type Masked struct {
	Dest          bool // from -d, not -s
	Address, Mask netip.Addr
	Not           bool
}

// Interface is the value of -i or -o; a Name ending in + is a prefix. The zero
// Interface matches every interface.
type Interface struct {
	Name string
	Not  bool
}

// Protocol is the value of -p, by the name that iptables-save prints. The zero
// Protocol matches every protocol.
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
	// Module is the extension that -j loads; nil for a chain, a verdict of the
	// kernel's own, or an unknown name.
	Module *match.Module
}

// use returns the target as package match sees it.
func (t *Target) use() *match.Use {
	return &match.Use{Name: t.Name, Options: t.Options, Module: t.Module}
}

// Generator generates chains one after the other, each before those that lead to
// it. The trees of a long list have more rules than should be in memory along
// with their text.
type Generator struct {
	Rules int // about how many it generates
	// Parts returns its parts, in order. They may be made at once.
	Parts func() []Part
	// Key is all that its text depends on, and Memory has the texts of others; nil for none.
	Key    string
	Memory *memory.Of[string, []byte]
}

// Part is neighbouring chains of a Generator.
type Part struct {
	Rules int // about how many it has
	// Make calls yield for each chain, which is valid until yield returns.
	Make func(yield func(*Chain))
}

// each calls yield for all chains.
func (g Generator) each(yield func(*Chain)) {
	for _, part := range g.Parts() {
		part.Make(yield)
	}
}

// Whole returns the table with all chains of its generators in memory.
func (t *Table) Whole() *Table {
	if len(t.Late) == 0 {
		return t
	}
	whole := &Table{Name: t.Name, Sections: t.Sections, Sets: t.Sets, SetText: t.SetText}
	made := map[string]*Chain{}
	for _, g := range t.Late {
		g.each(func(c *Chain) {
			copied := *c
			list := make([]*Rule, c.Len())
			for i, r := range c.Rules() {
				rule := *r
				if to := made[toName(r)]; to != nil {
					rule.To = to
				}
				list[i] = &rule
			}
			copied.SetRules(list)
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

// Names returns the names of all chains, those declared at the top first.
func (t *Table) Names() []string {
	var top, late []string
	for _, g := range t.Late {
		g.each(func(c *Chain) { late = append(late, c.Name) })
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

// Forget releases what a printed table was generated from.
func (t *Table) Forget() { t.Chains, t.Late, t.byName = nil, nil, nil }
