// Package nftables is the dialect of nft: the text, and what rulesets mean.
//
//	model.go     the types: file, table, chain, set, rule
//	expression.go what a rule compares, and with what
//	statement.go what a rule does
//	json.go      reading the output of nft -j; json_rule.go its rules
//	print.go     tables as text
//	part.go      some chains of a ruleset, for import
//
// Text is read by
//
//	parse.go     the reader: its errors, and where it is in the text
//	lexer.go     words, numbers, addresses and signs
//	keyword.go   which words cannot be names
//	define.go    variables
//	command.go   add, delete, flush: what is left after all commands
//	declare.go   what stands in the braces of a table and of a chain
//	element.go   what stands in the braces of a set, and elements
//	plain.go     the same for addresses of IPv4, fast
//	options.go   what elements may have beside their values
//	interval.go  which elements cannot stand together
//	clause.go    the statements of a rule
//	compare.go   the two sides of a comparison
//	selector.go  the names of what is compared
//	datatype.go  the values that each of them has
//	flow.go      which protocols a rule is about
//	reference.go chains and sets that are named, and loops
//
// The reader loses nothing: a rule keeps the words it was written in. An
// expression or statement that it does not know is kept as text, and leaves its
// rule undecided.
package nftables

// TableName is the name of the table that Seawall fills, in the family inet.
const TableName = "seawall"

// BridgeName is the name of the table that is there as well while that one is replaced.
const BridgeName = TableName + "-next"

// File is a file of nft, or a listing, after all of its commands.
type File struct {
	Source []byte
	Tables []*Table // in the order in which they are created
	// Flushes says that the file empties the whole ruleset first.
	Flushes bool
	// JSON says that the file is the output of nft -j.
	JSON bool
}

// Table returns the table of a family and name, or nil.
func (f *File) Table(family Family, name string) *Table {
	for _, t := range f.Tables {
		if t.Family == family && t.Name == name {
			return t
		}
	}
	return nil
}

// Family is a family of tables: ip, ip6, inet, arp, bridge or netdev.
type Family string

// The families. A table of inet sees the packets of ip and of ip6.
const (
	IP     Family = "ip"
	IP6    Family = "ip6"
	Inet   Family = "inet"
	ARP    Family = "arp"
	Bridge Family = "bridge"
	Netdev Family = "netdev"
)

// Table is one table.
type Table struct {
	Family  Family
	Name    string
	Chains  []*Chain
	Sets    []*Set    // sets and maps
	Objects []*Object // what else a table has: counters, limits, flowtables and the like
	Flags   []string  // dormant, owner, persist
	Comment string
	Line    int // where it is declared, from 1; 0 for a generated table
}

// Chain returns the chain of a name, or nil.
func (t *Table) Chain(name string) *Chain {
	for _, c := range t.Chains {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Set returns the set or map of a name, or nil.
func (t *Table) Set(name string) *Set {
	for _, s := range t.Sets {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Chain is a chain; with a hook it is a base chain.
type Chain struct {
	Name    string
	Hook    *Hook
	Rules   []*Rule
	Comment string
	Notes   []string // of a generated chain: lines of comment before it
	Line    int
}

// Hook is where the kernel calls a base chain.
type Hook struct {
	Type     string // filter, nat or route
	Hook     string // prerouting, input, forward, output, postrouting, ingress or egress
	Priority int    // filter is 0; lower ones are called first
	Policy   string // accept or drop
	Devices  []string
	// Unread is what the declaration says beyond that, such as a priority that is not
	// a number and has no name. Nothing is known of such a chain.
	Unread string
}

// Set is a named set, or with Map a map.
type Set struct {
	Name string
	Map  bool
	// Key are the parts of the key: selectors of a set that is declared by typeof
	// ("ip saddr", "th dport"), or the names of types ("ipv4_addr").
	Key []string
	// Typeof says that Key are selectors.
	Typeof bool
	// Value is what a map maps to: "verdict", or another type or selector.
	Value string
	Flags []string // constant, dynamic, interval, timeout
	// AutoMerge says that elements may overlap, and are merged.
	AutoMerge bool
	Size      int // 0: not written
	Elements  []Element
	Comment   string
	Notes     []string // of a generated set: lines of comment before it
	Line      int
	// Unread is what the declaration says beyond that, such as a timeout or a
	// stateful statement. Such a set is filled or emptied at run time, perhaps.
	Unread string
}

// Has reports whether a set has a flag.
func (s *Set) Has(flag string) bool {
	for _, f := range s.Flags {
		if f == flag {
			return true
		}
	}
	return false
}

// Element is an element of a set, or with a verdict one of a verdict map.
type Element struct {
	Key     Expr
	Verdict *Verdict
	Line    int32
	// Unread is what an element says beyond that: a timeout, or after a colon the
	// value of a map to something else than verdicts. Comments and counters of
	// elements are not kept.
	Unread string
}

// Object is a stateful object, a flowtable or the like: kept, not understood.
type Object struct {
	Kind string // counter, quota, limit, ct helper, flowtable and so on
	Name string
	Line int
}

// Rule is one rule.
type Rule struct {
	Statements []Statement
	Comment    string
	Text       string // as it was written, blanks reduced; "" for a generated rule
	Line       int
}

// String returns the rule's text.
func (r *Rule) String() string {
	if r.Text != "" {
		return r.Text
	}
	return string(appendRule(nil, r))
}
