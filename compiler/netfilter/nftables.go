package netfilter

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// base takes flows through a base chain and returns those that continue to the next one.
// A chain of type nat sees tracked packets alone, and none whose destination has been
// decided (net/netfilter/nf_nat_core.c, nf_nat_inet_fn).
func (w *walk) base(in flows, b nftables.BaseChain, sees func(state) packet.Packet) flows {
	var seen, past flows
	for _, x := range in {
		if b.Hook.Type == "nat" && (x.packet.State == packet.Untracked || x.rewrittenBy.known()) {
			past.add(x)
		} else {
			seen.add(x)
		}
	}
	w.sees, w.passed = sees, nil
	for _, x := range w.nftChain(b.Table, b.Chain, seen) {
		switch {
		case b.Hook.Unread != "":
			at := Place{Table: tableName(b.Table), Chain: b.Name, Words: b.Hook.Unread}
			w.end(x, packet.Unknown, at)
			w.passed.add(x)
		case b.Hook.Policy == "drop":
			w.end(x, packet.Deny, Place{Table: tableName(b.Table), Chain: b.Name})
		default:
			w.passed.add(x)
		}
	}
	for _, x := range w.passed {
		past.add(x)
	}
	return past
}

func tableName(t *nftables.Table) string { return string(t.Family) + " " + t.Name }

// nftChain takes flows through a chain and returns those that return to its caller.
func (w *walk) nftChain(t *nftables.Table, c *nftables.Chain, in flows) (back flows) {
	if w.nftOpen[c] {
		w.fail(fmt.Errorf("the chain %s jumps to itself; the kernel would reject that", c.Name))
		return nil
	}
	w.nftOpen[c] = true
	defer delete(w.nftOpen, c)
	at := in
	for _, r := range c.Rules {
		if len(at) == 0 || w.err != nil {
			break
		}
		at = w.nftRule(t, c, r, at, &back)
	}
	for _, x := range at {
		back.add(x)
	}
	return back
}

// nftRule takes flows past a rule and returns those that continue to the next one.
func (w *walk) nftRule(t *nftables.Table, c *nftables.Chain, r *nftables.Rule, in flows, back *flows) flows {
	place := Place{Table: tableName(t), Chain: c.Name, NFT: r}
	var next flows
	for _, x := range in {
		left, vague, doubted := x, diagram.None, place
		for _, m := range w.stepper.Meet(t, r, w.sees(x.state), x.local, w.unknownTo(x)) {
			w.spend(len(x.sources)+len(m.Sources), place)
			hit := left.of(m.Sources)
			if m.Unsure != "" {
				doubted.Words = m.Unsure
				hit.doubt = doubted
				vague = vague.Union(hit.sources)
			} else {
				left.sources = minus(left.sources, m.Sources)
			}
			if len(hit.sources) > 0 && w.err == nil {
				w.nftDo(t, place, m, hit, &next, back)
			}
		}
		if sure := left.of(minus(left.sources, vague)); len(sure.sources) > 0 {
			next.add(sure)
		}
		if left = left.of(vague); len(left.sources) > 0 {
			left.doubt = doubted
			next.add(left)
		}
	}
	return next
}

// unknownTo are the properties of a packet that its path has made unknown.
func (w *walk) unknownTo(x flow) map[string]string {
	list := map[string]string{}
	if x.noMark.known() {
		list["meta mark"], list["mark"] = "changed by: "+x.noMark.String(), "changed by: "+x.noMark.String()
	}
	if x.redirected {
		list["ip daddr"], list["ip6 daddr"] = "the host address, after "+x.rewrittenBy.String(), "the host address, after "+x.rewrittenBy.String()
	}
	return list
}

// nftDo applies what a rule does to the packets that match it.
func (w *walk) nftDo(t *nftables.Table, at Place, m nftables.Met, x flow, next, back *flows) {
	if at.NFT.Untracks() {
		x.packet.State = packet.Untracked
		x.packet.OrigDst, x.packet.OrigPort = netip.Addr{}, 0
	}
	if mark, ok := at.NFT.Mark(x.packet.Mark); !ok {
		x.noMark = at
	} else if !x.noMark.known() {
		x.packet.Mark = mark
	}
	switch m.Does {
	case nftables.Accepts:
		w.passed.add(x)
	case nftables.Denies:
		w.end(x, m.Verdict, at)
	case nftables.Returns:
		back.add(x)
	case nftables.Proceeds:
		next.add(x)
	case nftables.Jumps, nftables.Goes:
		to := next
		if m.Does == nftables.Goes {
			to = back
		}
		for _, y := range w.nftChain(t, m.Chain, flows{x}) {
			to.add(y)
		}
	case nftables.Rewrites:
		w.passed.add(w.nftRewritten(at, m.To, x))
	default:
		at.Words = m.Words
		x.doubt = at
		w.end(x, packet.Unknown, at)
		x.noMark = at
		next.add(x)
	}
}

// nftRewritten is a packet after dnat or redirect.
func (w *walk) nftRewritten(at Place, to nftables.Destination, x flow) flow {
	a, port := x.packet.Dest, x.packet.Dport
	if to.Address.IsValid() {
		a = to.Address
	}
	if to.Port != 0 {
		port = to.Port
	}
	x.redirected = to.Host
	x.local = to.Host || x.local && a == x.packet.Dest
	x.packet.Dest, x.packet.Dport, x.packet.DNAT, x.rewrittenBy = a, port, true, at
	return x
}

// everyInterface are the names of interfaces that the rules and the routes have.
func (f *Follower) everyInterface(interfaces []string) []string {
	patterns := slices.Clone(interfaces)
	for _, t := range f.tables {
		patterns = append(patterns, t.Patterns()...)
	}
	if f.nft != nil {
		patterns = append(patterns, f.nft.Patterns()...)
	}
	for _, r := range f.host.Routes {
		patterns = append(patterns, r.Interface)
	}
	return patterns
}

// Forwarded takes one packet, with every source that it may have, through the base chains at
// forward of some tables of nft; only is nil for all of them. The packet is as it is there, of a connection in any state.
func (f *Follower) Forwarded(ctx context.Context, p packet.Packet, only func(*nftables.Table) bool, limits prove.Limits) (Ends, error) {
	p.Hook = packet.Forward
	f.only = only
	defer func() { f.only = nil }()
	w := newWalk(f, ctx, limits)
	at := flows{{sources: f.all, state: state{packet: p}}}
	for _, hook := range []string{"forward", "postrouting"} {
		for _, s := range w.ofNFT(hook) {
			at = s.take(at)
		}
	}
	for _, x := range at {
		w.end(x, packet.Accept, Place{})
	}
	return w.ends, w.err
}
