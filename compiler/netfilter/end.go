package netfilter

import (
	"cmp"
	"slices"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
)

// Place is a rule in a table; the zero Place is no rule.
type Place struct {
	Table, Chain string
	Rule         *iptables.Rule
	NFT          *nftables.Rule // in place of Rule, in a table of nft: Table is "ip NAME" then
	Words        string         // the part of the rule that cannot be evaluated
}

// String is the rule as an iptables command line, -t nat -A DOCKER …, or as the commands of nft
// name it: ip TABLE CHAIN …
func (p Place) String() string {
	switch {
	case p.NFT != nil:
		return p.Table + " " + p.Text()
	case p.Rule == nil:
		return ""
	}
	return "-t " + p.Table + " " + p.Text()
}

// Text is the rule with its chain, "" for none.
func (p Place) Text() string {
	switch {
	case p.NFT != nil:
		return p.Chain + " " + p.NFT.String()
	case p.Rule == nil:
		return ""
	}
	return p.Rule.String(p.Chain)
}

// Line is the rule's line in its file, 0 for none.
func (p Place) Line() int {
	switch {
	case p.NFT != nil:
		return p.NFT.Line
	case p.Rule == nil:
		return 0
	}
	return int(p.Rule.Line)
}

// known reports whether it is a rule.
func (p Place) known() bool { return p.Rule != nil || p.NFT != nil }

// End is the outcome of the packet for some sources.
type End struct {
	Sources diagram.Set
	// Packet is the packet where it ended, with all rewrites; Hook is "" if it got no further
	// than PREROUTING.
	Packet packet.Packet
	// Verdict is Accept if it is delivered, and Unknown if it cannot be evaluated.
	Verdict packet.Verdict
	By      Place // the rule that ended it; none for a chain's policy or the kernel itself
	Doubt   Place // the last rule on the path that cannot be evaluated
	// Rewritten is the rule that changed its destination.
	Rewritten Place
}

// Ends are the outcomes of a packet for every source. A source with several outcomes is
// undecided: it depends on rules that cannot be evaluated.
type Ends []End

func (w *walk) end(x flow, v packet.Verdict, by Place) {
	for i := range w.ends {
		e := &w.ends[i]
		if e.Packet == x.packet && e.Verdict == v && e.Doubt == x.doubt && e.By == by {
			e.Sources = e.Sources.Union(x.sources)
			return
		}
	}
	w.ends = append(w.ends, End{Sources: x.sources, Packet: x.packet, Verdict: v, By: by, Doubt: x.doubt, Rewritten: x.rewrittenBy})
}

// Sources are those with an outcome for which a condition holds.
func (l Ends) Sources(holds func(End) bool) diagram.Set {
	all := diagram.None
	for _, e := range l {
		if holds(e) {
			all = all.Union(e.Sources)
		}
	}
	return all
}

// Doubts are the rules that cannot be evaluated and that decide for some of the sources, in the
// order of the tables.
func (l Ends) Doubts(of diagram.Set) []Place {
	var list []Place
	for _, e := range l {
		same := func(p Place) bool { return p.Table == e.Doubt.Table && p.Rule == e.Doubt.Rule && p.NFT == e.Doubt.NFT }
		if e.Doubt.known() && len(e.Sources.Intersect(of)) > 0 && !slices.ContainsFunc(list, same) {
			list = append(list, e.Doubt)
		}
	}
	order := []string{"raw", "mangle", "nat", "filter", "security"}
	slices.SortStableFunc(list, func(a, b Place) int {
		return cmp.Or(slices.Index(order, a.Table)-slices.Index(order, b.Table), cmp.Compare(a.Line(), b.Line()))
	})
	return list
}
