// Package rules is the model of an iptables rules file: what iptables-save
// prints, iptables-restore reads, and iptables -S lists. It reads such text,
// prints it in iptables-save's canonical form, and knows nothing of policies.
//
//	model.go    the types: file, table, chain, rule, match, target
//	parse.go    text to model
//	options.go  which match owns an option, when a line does not say
//	print.go    model to text; quote.go alone knows quoting
//
// The reader keeps what it does not know: an unknown match or target stands in
// the model with its words, in order, and is printed as it was.
package rules

import (
	"net/netip"
	"slices"
)

// Family is an address family: 4 or 6.
type Family int

// The two families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// Bits is the length of the family's addresses.
func (f Family) Bits() int {
	if f == IPv6 {
		return 128
	}
	return 32
}

// File is a rules file: tables in order, and the comments before and between
// them.
type File struct {
	Tables []*Table
	// Final holds the comment lines after the last table.
	Final []string
}

// Table gives the table of this name, or nil.
func (f *File) Table(name string) *Table {
	for _, t := range f.Tables {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// Table is the text from *name to COMMIT.
type Table struct {
	Name     string
	Comments []string // the comment lines before it
	Chains   []*Chain // in order of declaration
	Lines    []Line   // rules and comments, in the order of the file
	Sets     Sets     // the ipsets that its rules ask for, as far as they are known
	SetText  []byte   // lines for ipset restore that make them
	byName   map[string]*Chain
}

// Chain gives the chain of this name, or nil.
func (t *Table) Chain(name string) *Chain {
	if t == nil {
		return nil
	}
	return t.byName[name]
}

// Declare adds a chain, or gives the one that is there.
func (t *Table) Declare(name, policy string) *Chain {
	if c := t.byName[name]; c != nil {
		return c
	}
	if t.byName == nil {
		t.byName = map[string]*Chain{}
	}
	c := &Chain{Name: name, Policy: policy}
	t.byName[name] = c
	t.Chains = append(t.Chains, c)
	return c
}

// Append adds a rule at the end of its chain.
func (t *Table) Append(c *Chain, r *Rule) {
	c.Rules = append(c.Rules, r)
	t.Lines = append(t.Lines, Line{Chain: c, Rule: r})
}

// DeclareInText adds chains whose declarations and rules stand in the Text of
// lines.
func (t *Table) DeclareInText(names []string) {
	chains := make([]Chain, len(names))
	t.Chains = slices.Grow(t.Chains, len(names))
	for i, name := range names {
		chains[i] = Chain{Name: name, Policy: "-", InText: true}
		t.Chains = append(t.Chains, &chains[i])
	}
}

// Comment adds a comment line, without its "# ".
func (t *Table) Comment(text string) {
	t.Lines = append(t.Lines, Line{Comment: text})
}

// Line is a rule of a chain, a comment, or, with Text, many lines that were
// printed when they were made: rules that nobody needs but for their text.
type Line struct {
	Chain   *Chain
	Rule    *Rule
	Comment string
	Text    []byte
}

// Chain is a chain as it stands after all lines of its table.
type Chain struct {
	Name     string
	Policy   string // ACCEPT or DROP of a built-in chain, "-" of a user's
	Counters string // "[0:0]" as read, or ""
	Rules    []*Rule
	Line     int  // where it is declared
	Implied  bool // no line declares it: its rules are for a chain that must be there
	InText   bool // it is declared, with its rules, in the Text of a Line
}

// Builtin tells whether the chain is one that netfilter itself calls.
func (c *Chain) Builtin() bool {
	switch c.Name {
	case "INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING":
		return true
	}
	return c.Policy != "" && c.Policy != "-"
}

// Rule is one rule. Rules that differ in their source alone share one Body:
// long lists of sources are the commonest thing in a large file.
type Rule struct {
	Source Source
	*Body
	Line     int    // in the file that was read, from 1
	Counters string // "[4:240]" before -A, or ""
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
	Fragment string // "-f", "! -f" or ""
	Matches  []Match
	Target   Target
}

// Interface is the match of -i or -o; a Name ending in + is a prefix. The zero
// Interface matches every one.
type Interface struct {
	Name string
	Not  bool
}

// Protocol is the match of -p. The zero Protocol matches every one.
type Protocol struct {
	Name string // as written: tcp, icmp, ipv6-icmp, 47
	Not  bool
}

// Match is one -m with its options.
type Match struct {
	Name    string
	Options []Option
}

// Option is one option of a match or target, with its values.
type Option struct {
	Not    bool
	Name   string // with its dashes: --ctorigdstport
	Values []string
}

// Target is what a rule does: jump (-j) or goto (-g). A rule without a target
// has an empty Name.
type Target struct {
	Name    string
	Goto    bool
	Options []Option
	chain   *Chain // where the reader has looked it up already
}

// Leads gives the chain that a target of this table leads to, nil when it is a
// verdict or a target of iptables.
func (t *Table) Leads(to *Target) *Chain {
	if to.chain != nil {
		return to.chain
	}
	return t.byName[to.Name]
}
