// Package docker knows Docker's chains: it derives the engine's generation and what a
// host publishes from the output of iptables-save. It only covers Docker's
// own rules; it knows nothing of policies.
//
//	docker.go    the published ports, from the rules that rewrite addresses and accept
//	engine.go    the generation of the engine
//	networks.go  the networks and their kinds, from the rules that each kind has
//	kinds.go     the rules of each kind of network, on each engine
//	ports.go     every port that Docker opens, and the routes to them
//	expect.go    all rules that a host should have
//	foreign.go   foreign rules among Docker's
//	said.go      the published ports that only Docker reports
//	nftables.go  the same out of the tables of Docker's nftables back end
//	beside.go    the tables of iptables and those of nft on one host
//	inspect.go   what Docker reports about networks and containers
//
// Docker writes several rules for each network and each published port, in
// different chains and tables. If one of them is missing, what it says about a network can
// be derived from the others.
package docker

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
)

// Tables are the tables of one family; nil if a table does not exist. Docker writes to Filter,
// Nat and Raw.
type Tables struct {
	Family           packet.Family
	Filter, Nat, Raw *iptables.Table
	Mangle, Security *iptables.Table
	// Other are the tables of the other back end of iptables, where both have rules.
	Other *iptables.File
	// NFT is the ruleset of nft: in place of the tables, or beside them (beside.go).
	NFT   *nftables.File
	Known *Known // what Docker reports, nil if nothing is known
}

// TablesOf returns a file's tables.
func TablesOf(f *iptables.File) Tables {
	return Tables{Family: f.Family, Filter: f.Table("filter"), Nat: f.Table("nat"), Raw: f.Table("raw"),
		Mangle: f.Table("mangle"), Security: f.Table("security")}
}

// TablesOfNFT returns what a ruleset of nft has for a family.
func TablesOfNFT(f *nftables.File, family packet.Family) Tables {
	return Tables{Family: family, NFT: f}
}

// Published is a published port.
type Published struct {
	Protocol string
	Address  netip.Addr // the host address, or the zero Addr for every address
	Port     int        // on the host; 0 if the rule that has it is missing
	Bridge   string
	To       netip.AddrPort // the container
	Proxied  bool           // docker-proxy serves it as well
	Said     bool           // Docker reports it, but no rule rewrites to it
}

// Layout is what Docker's rules say about a host, in one family.
type Layout struct {
	Tables    Tables
	Engine    Engine
	Networks  []*Network // with a way out, by bridge
	Internal  []*Network // without a way out, by bridge
	Published []*Published
	there     map[string]bool // the existing rules, by key
	forms     map[string]bool // the keys of existing rules that some kind of network has
	options   options
	nft       *bridgesTable // Docker's table, of its nftables back end
}

// Look reads Docker's rules. What Docker reports about a network takes precedence; the rest is
// inferred from the rules.
func Look(t Tables) *Layout {
	l := &Layout{Tables: t, Engine: engine(t), there: map[string]bool{}, forms: map[string]bool{}}
	if t.ByNFT() {
		l.nftables()
		return l
	}
	if l.Engine == NoEngine {
		return l
	}
	l.index()
	l.bridges()
	l.published()
	l.infer()
	l.said()
	return l
}

// each calls f for every rule in a chain, which may be missing.
func each(t *iptables.Table, chain string, f func(*iptables.Rule)) {
	if c := t.Chain(chain); c != nil {
		for _, r := range c.Rules() {
			f(r)
		}
	}
}

// published finds the published ports from the rules that rewrite addresses and those that accept
// the rewritten packets.
func (l *Layout) published() {
	each(l.Tables.Nat, "DOCKER", func(r *iptables.Rule) {
		if p, ok := dnat(r); ok && l.publishes(r, p) {
			if p.Bridge == "" {
				p.Bridge = l.bridgeOf(p.To.Addr())
			}
			l.Published = append(l.Published, p)
		}
	})
	each(l.Tables.Filter, "DOCKER", func(r *iptables.Rule) {
		p, ok := accepts(r)
		same := func(q *Published) bool { return p.To == q.To && p.Protocol == q.Protocol }
		if ok && !l.unsaid(p) && !slices.ContainsFunc(l.Published, same) {
			l.Published = append(l.Published, p)
		}
	})
}

// publishes reports whether a DNAT rule is one of Docker's: with docker-proxy on, those have "!
// -i BRIDGE", and Docker must not contradict it.
func (l *Layout) publishes(r *iptables.Rule, p *Published) bool {
	return (r.In.Not || l.hairpin()) && !l.unsaid(p)
}

// accepts parses "-A DOCKER -d CONTAINER ! -i BRIDGE -o BRIDGE -p PROTO --dport PORT -j ACCEPT".
func accepts(r *iptables.Rule) (*Published, bool) {
	port, ok := dport(r.Body)
	if r.Target.Name != "ACCEPT" || !ok || !r.Dest.Prefix.IsSingleIP() || r.Dest.Not || !r.In.Not || r.In.Name != r.Out.Name || r.Out.Not || r.Out.Name == "" {
		return nil, false
	}
	return &Published{Protocol: r.Protocol.Name, Bridge: r.Out.Name, To: netip.AddrPortFrom(r.Dest.Prefix.Addr(), uint16(port))}, true
}

func (l *Layout) bridgeOf(a netip.Addr) string {
	for _, n := range l.all() {
		for _, s := range n.Subnets {
			if s.Contains(a) {
				return n.Bridge
			}
		}
	}
	return ""
}

// dnat parses "-A DOCKER [-d ADDRESS] [! -i BRIDGE] -p PROTO --dport PORT -j DNAT
// --to-destination CONTAINER".
func dnat(r *iptables.Rule) (*Published, bool) {
	port, ok := dport(r.Body)
	if r.Target.Name != "DNAT" || !ok {
		return nil, false
	}
	for _, o := range r.Target.Options {
		if o.Name != "--to-destination" || len(o.Values) != 1 {
			continue
		}
		to, err := netip.ParseAddrPort(o.Values[0])
		if err != nil {
			return nil, false
		}
		p := &Published{Protocol: r.Protocol.Name, Port: port, To: to}
		if r.In.Not {
			p.Bridge, p.Proxied = r.In.Name, true
		}
		if r.Dest.Prefix.IsSingleIP() && !r.Dest.Not {
			p.Address = r.Dest.Prefix.Addr()
		}
		return p, true
	}
	return nil, false
}

// dport is a rule's destination port if it has exactly one.
func dport(b *iptables.Body) (int, bool) {
	for _, m := range b.Matches {
		for _, o := range m.Options {
			if o.Name == "--dport" && !o.Not && len(o.Values) == 1 {
				n, err := strconv.Atoi(o.Values[0])
				return n, err == nil
			}
		}
	}
	return 0, false
}
