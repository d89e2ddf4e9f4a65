// Package netfilter follows the first packet of a new connection through all tables of
// a host, as the kernel does: raw, mangle and nat in PREROUTING, the routing decision,
// then mangle, filter and security in INPUT or FORWARD. The source is left open: the
// result is the outcome for each source.
//
//	netfilter.go  the host, and the hooks in the kernel's order
//	flow.go       packets that have been treated alike so far, by source
//	chain.go      how flows traverse a chain
//	target.go     what targets do to flows
//	end.go        the outcomes
//	nftables.go   the same through the base chains of a ruleset of nft
//
// A match that cannot be evaluated decides nothing: the packet takes both paths, and
// if their outcomes differ, the result names the rule.
package netfilter

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// Host holds the tables of one family, nil if a table does not exist, and what is behind the
// host's bridges.
type Host struct {
	Family                             packet.Family
	Raw, Mangle, Nat, Filter, Security *iptables.Table
	// Other holds the tables of the other back end of iptables, where both have rules.
	Other Tables
	// NFT is the ruleset of nft, without the tables that are here as iptables'.
	NFT    *nftables.File
	Routes []Route
	// RouteLocalnet are the interfaces on which the kernel accepts packets to the loopback
	// (net.ipv4.conf.*.route_localnet).
	RouteLocalnet []string
}

// Tables are tables of iptables, nil if a table does not exist.
type Tables struct{ Raw, Mangle, Nat, Filter, Security *iptables.Table }

// Route is a route to a network: its addresses, and the interface it is behind.
type Route struct {
	To        netip.Prefix
	Interface string
}

// Follower follows packets through a host's tables.
type Follower struct {
	host       Host
	tables     []*iptables.Table
	nft        *nftables.Rules // nil without a ruleset
	stepper    *nftables.Stepper
	only       func(*nftables.Table) bool // the tables that packets go through; nil for all
	space      *packet.Space
	all        diagram.Set // every source of the family
	evaluators map[evaluatorKey]*iptables.Evaluator
	runs       map[*iptables.Rule]*run
}

// evaluatorKey is what an evaluator depends on apart from the packet.
type evaluatorKey struct {
	table    *iptables.Table
	destType string
}

// New returns a follower for packets that arrive on the interfaces.
func New(h Host, interfaces ...string) *Follower {
	f := &Follower{host: h, evaluators: map[evaluatorKey]*iptables.Evaluator{}, runs: map[*iptables.Rule]*run{},
		all: diagram.Set{{Hi: packet.MaxAddress(h.Family)}}}
	other := &f.host.Other
	for _, t := range []**iptables.Table{&f.host.Raw, &f.host.Mangle, &f.host.Nat, &f.host.Filter, &f.host.Security,
		&other.Raw, &other.Mangle, &other.Nat, &other.Filter, &other.Security} {
		if *t != nil {
			*t = (*t).Whole()
			f.tables = append(f.tables, *t)
		}
	}
	if h.NFT != nil {
		f.nft = h.NFT.Rules(h.Family, nftables.RuleOptions{})
	}
	f.space = packet.NewSpace(h.Family, f.everyInterface(interfaces)...)
	if f.nft != nil {
		f.stepper = f.nft.Stepper(f.space)
	}
	return f
}

// hook is one of the kernel's calls into a table.
type hook struct {
	table *iptables.Table
	chain string
	// sees returns the packet with conntrack's data as visible there.
	sees func(state) packet.Packet
}

// Follow follows the first packet of a new connection to one of the host's own addresses or, with
// local false, to another address. Its source and any conntrack data are ignored. The ends are
// the outcomes for all sources: a source with several outcomes is undecided. The error is for
// tables that iptables would reject, a *prove.HardError, or the context's.
func (f *Follower) Follow(ctx context.Context, p packet.Packet, local bool, limits prove.Limits) (Ends, error) {
	p.Hook, p.Out, p.Source = "", "", netip.Addr{}
	p.State, p.Reply, p.SNAT, p.DNAT = packet.New, false, false, false
	p.OrigDst, p.OrigPort = p.Dest, p.Dport
	w := newWalk(f, ctx, limits)
	start := flows{{sources: f.all, state: state{packet: p, local: local}}}
	if f.impossible(p.Dest, p.In) && f.host.Family == packet.IPv6 {
		w.end(start[0], packet.Deny, Place{}) // before any table (net/ipv6/ip6_input.c, ip6_rcv_core)
		return w.ends, nil
	}
	at := w.stages("prerouting", start)
	for _, x := range w.routed(at) {
		w.arrive(x)
	}
	return w.ends, w.err
}

// untracked is how a packet looks in raw, which comes before conntrack.
func untracked(s state) packet.Packet {
	p := s.packet
	if p.State != packet.Untracked {
		p.State = packet.Invalid
	}
	return p
}

// tracked is how it looks after conntrack.
func tracked(s state) packet.Packet { return s.packet }

// rewritten is nat PREROUTING: the chain only sees new, tracked connections, whose destination
// nothing has decided yet.
func (w *walk) rewritten(nat *iptables.Table, in flows) flows {
	var seen, out flows
	for _, x := range in {
		if x.packet.State == packet.Untracked || x.rewrittenBy.known() {
			out.add(x)
		} else {
			seen.add(x)
		}
	}
	for _, x := range w.through(seen, hook{nat, "PREROUTING", tracked}) {
		out.add(x)
	}
	return out
}

// routed is the routing decision.
func (w *walk) routed(in flows) flows {
	var out flows
	for _, x := range in {
		switch {
		case w.impossible(x.packet.Dest, x.packet.In):
			w.end(x, packet.Deny, Place{}) // a martian destination
			continue
		case x.local:
			x.packet.Hook = packet.Input
		default:
			x.packet.Hook, x.packet.Out = packet.Forward, w.leadsTo(x.packet.Dest)
			if x.packet.Out == "" {
				x.doubt = x.rewrittenBy
				x.doubt.Words = "where " + x.packet.Dest.String() + " is"
				w.end(x, packet.Unknown, Place{})
				continue
			}
		}
		out.add(x)
	}
	return out
}

// arrive takes packets through INPUT or FORWARD, to the end of their path.
func (w *walk) arrive(x flow) {
	at := w.stages(strings.ToLower(string(x.packet.Hook)), flows{x})
	if x.packet.Hook == packet.Forward {
		at = w.stages("postrouting", at)
	}
	for _, x := range at {
		w.end(x, packet.Accept, Place{})
	}
}

// impossible reports whether the kernel drops packets to an address that arrive on an interface:
// loopback is only for lo, unless route_localnet is set.
func (f *Follower) impossible(a netip.Addr, in string) bool {
	return a.IsLoopback() && in != "lo" && !(a.Is4() && slices.Contains(f.host.RouteLocalnet, in))
}

// leadsTo is the interface that an address is behind, by the longest prefix; "" if no route is
// known.
func (f *Follower) leadsTo(a netip.Addr) string {
	best := Route{}
	for _, r := range f.host.Routes {
		if r.To.Contains(a) && (best.Interface == "" || r.To.Bits() > best.To.Bits()) {
			best = r
		}
	}
	return best.Interface
}
