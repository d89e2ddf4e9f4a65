package lower

import (
	"net/netip"
	"slices"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/schema"
)

// label is what a rule does with a packet: a verdict, and the log prefix.
type label struct {
	verdict schema.Verdict
	log     string
	// next is the label of what a guard does not match: no verdict yet. A rule
	// cannot say it; only matching less can.
	next bool
}

// clause is one allow or deny block: the first clause that matches decides.
type clause struct {
	include, except address.Set
	label           label
	origin          string // for comments: "allow"
	// ipsets are filled by others: the clause is about the members of these, and not
	// about those of the others.
	ipsets, exceptIPSets []string
}

// entry is one source match to be written, with its label. An entry whose
// source is the zero Source matches everybody.
type entry struct {
	source iptables.Source
	set    setRef // in place of source
	// members are the ipsets, filled by others, that must hold the source as well, and
	// with "!" those that must not.
	members string
	goto_   string // the chain to go to, in place of a label
	label   label
	origin  string
}

// setRef names a set that has the source, or with not one that has it not.
type setRef struct {
	name string
	not  bool
}

func (e entry) everybody() bool {
	return e.source == (iptables.Source{}) && e.set == (setRef{}) && e.members == ""
}

// sourceList writes ordered clauses and a last label as a list of entries of
// which the first that matches decides. It is exact, and it is where negation
// is known about:
//
//   - An except is never one negated rule beside another, for two negated
//     rules together match everybody. It is either cut out of the clause's
//     prefixes, or decided first, by entries that say what the later clauses
//     say of it; whichever takes fewer entries.
//   - What is all of the family but one prefix is one entry with "! -s".
//   - With fallthrough, packets that no entry matches get that label anyway.
//     So entries at the end that say it are left out, and "X: fallthrough,
//     everybody: deny" is "all but X: deny", one entry with "! -s".
func sourceList(r *address.Resolver, clauses []clause, last label, fallthrough_ *label) []entry {
	b := &sourceBuilder{resolve: r, clauses: clauses, last: last}
	for n := range clauses {
		if b.everybody {
			break
		}
		b.clause(n)
	}
	if !b.everybody && !last.next {
		b.entries = append(b.entries, entry{label: last, origin: "default"})
	}
	if fallthrough_ != nil {
		b.entries = withFallthrough(b.entries, *fallthrough_)
	}
	return b.entries
}

// long reports whether clauses take more than so many entries, as far as can be
// seen without writing them.
func long(clauses []clause, most int) bool {
	return len(clauses) > 0 && len(address.Without(clauses[0].include, clauses[0].except)) > most+1
}

type sourceBuilder struct {
	resolve   *address.Resolver
	clauses   []clause
	last      label
	entries   []entry
	decided   address.Set // by the entries so far
	everybody bool        // the entries so far decide for everybody
}

func (b *sourceBuilder) clause(n int) {
	c := b.clauses[n]
	if c.byMembership() {
		b.members(c)
		return
	}
	matched := address.Without(c.include, c.except)
	if b.decided != nil && address.Empty(address.Without(matched, b.decided)) || address.Empty(matched) {
		return // never reached, or of the other family
	}
	direct := b.cover(matched)
	carved := b.carve(n, len(direct))
	if carved != nil {
		b.entries = append(b.entries, carved...)
		matched, direct = c.include, b.cover(c.include)
	}
	for _, s := range direct {
		b.entries = append(b.entries, entry{source: s, label: c.label, origin: c.origin})
	}
	b.decided = address.Union(b.decided, matched)
	b.everybody = b.decided.Equal(b.resolve.Every())
}

// cover writes a set as source matches: nothing for everybody, "! -s" for all
// but one prefix, else the fewest prefixes.
func (b *sourceBuilder) cover(set address.Set) []iptables.Source {
	every := b.resolve.Every()
	if set.Equal(every) {
		return []iptables.Source{{}}
	}
	prefixes := set.Prefixes()
	if len(prefixes) > 1 {
		if rest := address.Without(every, set).Prefixes(); len(rest) == 1 {
			return []iptables.Source{{Prefix: rest[0], Not: true}}
		}
	}
	list := make([]iptables.Source, len(prefixes))
	for i, p := range prefixes {
		list[i] = iptables.Source{Prefix: p}
	}
	return list
}

// carve decides what clause n excepts before the clause itself, so that the
// clause can be written whole. It gives nil when that would take no fewer
// entries than cutting the except out, or cannot be said.
func (b *sourceBuilder) carve(n, direct int) []entry {
	c := b.clauses[n]
	rest := address.Both(c.include, c.except)
	if b.decided != nil {
		rest = address.Without(rest, b.decided)
	}
	if address.Empty(rest) {
		return nil
	}
	if slices.ContainsFunc(b.clauses[n+1:], clause.byMembership) {
		return nil
	}
	whole := len(b.cover(c.include))
	var entries []entry
	for _, later := range b.clauses[n+1:] {
		part := address.Both(rest, address.Without(later.include, later.except))
		if address.Empty(part) {
			continue
		}
		for _, p := range part.Prefixes() {
			entries = append(entries, entry{source: iptables.Source{Prefix: p}, label: later.label, origin: later.origin})
		}
		rest = address.Without(rest, part)
		if whole+len(entries) >= direct {
			return nil
		}
	}
	if !address.Empty(rest) {
		if b.last.next {
			return nil
		}
		for _, p := range rest.Prefixes() {
			entries = append(entries, entry{source: iptables.Source{Prefix: p}, label: b.last, origin: "default"})
		}
	}
	if whole+len(entries) >= direct {
		return nil
	}
	return entries
}

// withFallthrough leaves out what packets that no entry matches get anyway.
func withFallthrough(entries []entry, l label) []entry {
	for len(entries) > 0 && entries[len(entries)-1].label == l {
		entries = entries[:len(entries)-1]
	}
	if n := len(entries); n >= 2 {
		but, rest := entries[n-2], entries[n-1]
		// With several entries that say it, none is folded: "all but two" reads
		// better as two exceptions and a rest than as one and a negation.
		alone := n == 2 || entries[n-3].label != l
		if alone && but.label == l && rest.everybody() && !but.source.Not && !but.set.not && but.members == "" && but.goto_ == "" {
			if but.set.name != "" {
				rest.set = setRef{but.set.name, true}
			} else {
				rest.source = iptables.Source{Prefix: but.source.Prefix, Not: true}
			}
			entries = append(entries[:n-2:n-2], rest)
		}
	}
	return entries
}

// wholeFamily is the prefix of all addresses, which a rule leaves out.
func wholeFamily(p netip.Prefix) bool { return p.Bits() == 0 }
