// Package lower turns a policy into rules: the document in, a filter table's
// chains out, for one family. What it makes is checked by nobody here; the
// proof (package prove) reads the written bytes back and shares no code with
// this package.
//
// The order of rules in DOCKER-USER follows the verdict function of SPEC.md
// section 2 step by step, and leaves out each step that no later rule needs:
//
//	established, related    ctstate, = "accept"                ACCEPT
//	invalid                 ctstate INVALID                    DROP
//	forward blocks          -i A -o B, both directions         ACCEPT
//	internal                -i A                               RETURN
//	bridges                 -o A, to a chain with what follows
//	ICMP errors             -p icmp, ctstate RELATED           RETURN
//	established, related    ctstate, = "keep"                  RETURN
//	guard                   by source                          as written
//	policies                by original port, address, source  as written
//	answers                 ctdir REPLY                        RETURN
//	unlisted                the rest from outside              DROP or REJECT
//
// Rules of policies are bound to --ctdir ORIGINAL, so answers and packets that
// conntrack does not know run past them to the last two steps.
//
// At INPUT, INVALID packets to ports of policies are dropped last (invalid.go).
//
//	host.go       what the host block says, before all else
//	flat.go       one rule after the other, each complete in itself
//	auto.go       which of them is picked
//	ipset.go      long lists as ipsets, behind the same search
//	indexed.go    a search for the port, then a tree of sources (tree.go, pieces.go)
//	members.go    ipsets that others fill
//	clauses.go    a policy's ordered sources to few, exact -s and ! -s
//	condition.go  the options that bind a rule to a port, a state, a verdict
package lower

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// Options choose among the ways to write the same meaning.
type Options struct {
	Layout   Layout
	Comments Comments // Names when it is empty
	Sizes    Sizes
	Memory   *Memory // what several documents share; nil for none
}

// Sizes are the measured sizes of the indexed layout; tests and benchmarks try
// others. A zero is the default.
type Sizes struct {
	Leaf   int // rules that a packet meets one by one at the end of a tree
	Inline int // sources that are written where they are needed, not as a tree
	Linear int // rules that stand in one chain, not behind a search for the port
	Flat   int // rules of one chain up to which Auto writes them one after the other
}

// Every chain costs time to load, and every rule time of a packet. Of leaves
// between 1 and 8 rules, and of chains that divide in 2, 4 or 8, a packet feels
// none (all within 3%, measured); larger leaves make fewer chains. A rule costs a packet some 26 ns on
// nf_tables, and its whole way through an otherwise empty host 1,200 ns (NETFILTER.md
// section 5): up to 48 rules, one after the other at most doubles that.
var defaultSizes = Sizes{Leaf: 8, Inline: 3, Linear: 16, Flat: 48}

func (l Sizes) orDefaults() Sizes {
	return Sizes{cmp.Or(l.Leaf, defaultSizes.Leaf), cmp.Or(l.Inline, defaultSizes.Inline),
		cmp.Or(l.Linear, defaultSizes.Linear), cmp.Or(l.Flat, defaultSizes.Flat)}
}

// Comments is what the comments in a file name.
type Comments string

// With Names a line above each group of rules names its policy, and a change elsewhere
// in the policy file changes none of them. Lines adds the place in that file. With
// Rules each rule has a -m comment as well, which iptables -L shows.
const (
	Names Comments = "names"
	Lines Comments = "lines"
	Rules Comments = "rules"
)

// AllComments are all choices, the default first.
var AllComments = []Comments{Names, Lines, Rules}

// Layout is how rules are arranged.
type Layout string

// The layouts: one rule after the other, as trees, or with the sources in sets.
const (
	Flat    Layout = "flat"
	Indexed Layout = "indexed"
	IPSet   Layout = "ipset" // long lists as ipsets, which stand in a file of their own
	Auto    Layout = "auto"  // Flat while that is cheap for a packet
)

// Layouts are all layouts, the default first.
var Layouts = []Layout{Auto, Flat, Indexed, IPSet}

// Lower returns the filter table of one family with the chains DOCKER-USER and,
// when the document has docker-proxy (userland_proxy), SEAWALL-INPUT, which may
// go on to other chains.
func Lower(doc *schema.Document, family packet.Family, opt Options) *iptables.Table {
	l := newLowering(doc, family, opt)
	return l.lower(opt.Layout)
}

// Both returns the filter tables of both families. With the layout Auto (or none)
// it picks one for both, and says which and why.
func Both(doc *schema.Document, opt Options) (v4, v6 *iptables.Table, why string) {
	l4, l6 := newLowering(doc, packet.IPv4, opt), newLowering(doc, packet.IPv6, opt)
	if opt.Layout == Auto || opt.Layout == "" {
		opt.Layout, why = choose(l4, l6)
	}
	return l4.lower(opt.Layout), l6.lower(opt.Layout), why
}

func (l *lowering) lower(layout Layout) *iptables.Table {
	if layout == IPSet {
		l.sets = &setMaker{known: ipset.Sets{}}
	}
	if layout == Indexed || layout == IPSet {
		l.depths = l.planDepths()
		l.indexedForward()
		if l.doc.Host.UserlandProxy {
			l.indexedInput()
		}
		l.gather()
		if l.sets != nil {
			l.table.Sets, l.table.SetText = l.sets.known, l.sets.text
		}
		return l.table
	}
	l.forwarded()
	if l.doc.Host.UserlandProxy {
		l.toHost()
	}
	return l.table
}

// awaited are the ipsets that others fill and the rules match.
func (l *lowering) awaited() []string { return l.doc.IPSets(l.family == packet.IPv6) }

func newLowering(doc *schema.Document, family packet.Family, opt Options) *lowering {
	opt.Sizes = opt.Sizes.orDefaults()
	l := &lowering{doc: doc, outside: doc.Host.Outside(), family: family, opt: opt, resolve: address.NewResolver(family, opt.Memory.sources()), table: &iptables.Table{Name: "filter"},
		nested: map[*schema.Policy]bool{}, bodies: map[bodyKey]*iptables.Body{}, treesByKey: map[string]*iptables.Chain{}, cuts: map[string]pieces{}, treeIDs: map[string]bool{}}
	l.policies = l.narrowFirst()
	l.table.Awaited = l.awaited()
	return l
}

type lowering struct {
	doc      *schema.Document
	outside  []schema.Interface // the external interfaces that are not internal
	family   packet.Family
	opt      Options
	resolve  *address.Resolver
	table    *iptables.Table
	policies []*schema.Policy        // narrower before wider
	nested   map[*schema.Policy]bool // lies inside another one
	bodies   map[bodyKey]*iptables.Body

	// Of the indexed layout: the trees and searches that were made.
	trees      []*tree
	treesByKey map[string]*iptables.Chain
	cuts       map[string]pieces // by clausesKey
	treeIDs    map[string]bool
	searches   []*search
	depths     depths

	sets *setMaker // of the ipset layout, else nil
}

// root is the chain that DOCKER-USER is for the policy: itself, or where it is shared
// the one that it jumps to. What returns from there comes to the others' rules.
func (l *lowering) root() string {
	if l.doc.Host.Shared {
		return iptables.SeawallForward
	}
	return iptables.DockerUser
}

// narrowFirst orders the policies as written, but each after those that lie
// inside it: the first rule that matches decides.
func (l *lowering) narrowFirst() []*schema.Policy {
	inside := map[*schema.Policy][]*schema.Policy{}
	for _, pair := range schema.Nested(l.doc.Policies) {
		inside[pair[1]] = append(inside[pair[1]], pair[0])
		l.nested[pair[0]] = true
	}
	done := map[*schema.Policy]bool{}
	var order []*schema.Policy
	var put func(*schema.Policy)
	put = func(p *schema.Policy) {
		if done[p] {
			return
		}
		done[p] = true
		for _, narrower := range inside[p] {
			put(narrower)
		}
		order = append(order, p)
	}
	for _, p := range l.doc.Policies {
		put(p)
	}
	return order
}

// place is what a comment adds for a place in a policy file: nothing, or with Lines
// its name and line. The name is without its folder, so that the same policy compiles to the
// same bytes wherever it lies.
func (l *lowering) place(r hcl.Range) string {
	if l.opt.Comments != Lines {
		return ""
	}
	name := strings.Map(func(c rune) rune {
		if c <= 0x20 || c > 0x7e {
			return '?'
		}
		return c
	}, filepath.Base(r.Filename))
	return fmt.Sprintf(" (%s:%d)", name, r.Start.Line)
}
