// Package docker knows what Docker's chains look like, of which engine they are,
// and what a host publishes, from what iptables-save prints. It is about Docker's
// own rules; it knows nothing of policies.
//
//	docker.go  the engine, its networks and published ports, from their traces
//	ports.go   every port that Docker opens, and the networks that lead there
//	expect.go  all rules that belong to them, to be held against those there are
//
// Docker writes several rules for each network and each published port, in
// different chains and tables. So what one of them says of a network can be told
// from the others when it is gone.
package docker

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// Tables are the tables of one family; nil for one that is not there. Docker writes to
// Filter, Nat and Raw.
type Tables struct {
	Family           packet.Family
	Filter, Nat, Raw *iptables.Table
	Mangle, Security *iptables.Table
}

// TablesOf takes a file's tables.
func TablesOf(f *iptables.File) Tables {
	return Tables{Family: f.Family, Filter: f.Table("filter"), Nat: f.Table("nat"), Raw: f.Table("raw"),
		Mangle: f.Table("mangle"), Security: f.Table("security")}
}

// Engine is a generation of Docker's chains (NETFILTER.md section 1).
type Engine int

// The generations: none, FORWARD with rules for each bridge (20.10 to 27), and
// DOCKER-FORWARD (28 and later).
const (
	NoEngine Engine = iota
	Classic
	Modern
)

func (e Engine) String() string {
	return [...]string{"no Docker", "Docker 20.10 to 27", "Docker 28 or later"}[e]
}

// Network is a bridge network.
type Network struct {
	Bridge   string
	Subnets  []netip.Prefix // of this family, from the rules that masquerade it
	Internal bool           // it has no way out, and no rules of the usual kind
	traces   int
}

// Published is a published port.
type Published struct {
	Protocol string
	Address  netip.Addr // the host address, or the zero Addr for every one
	Port     int        // on the host; 0 when the rule that says it is gone
	Bridge   string
	To       netip.AddrPort // the container
	Proxied  bool           // docker-proxy serves it as well
}

// Layout is what Docker's rules say of a host, in one family.
type Layout struct {
	Tables    Tables
	Engine    Engine
	Networks  []*Network
	Published []*Published
}

// Look reads Docker's rules.
func Look(t Tables) *Layout {
	l := &Layout{Tables: t, Engine: engine(t)}
	if l.Engine == NoEngine {
		return l
	}
	l.networks()
	l.published()
	return l
}

// engine tells the generation from any of its own chains, so that one that is
// gone does not hide it.
func engine(t Tables) Engine {
	for _, name := range []string{"DOCKER-FORWARD", "DOCKER-CT", "DOCKER-BRIDGE", "DOCKER-INTERNAL"} {
		if t.Filter.Chain(name) != nil {
			return Modern
		}
	}
	for _, name := range []string{"DOCKER", "DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2"} {
		if t.Filter.Chain(name) != nil {
			return Classic
		}
	}
	return NoEngine
}

// each calls f for every rule of a chain, nil or not.
func each(t *iptables.Table, chain string, f func(*iptables.Rule)) {
	if c := t.Chain(chain); c != nil {
		for _, r := range c.Rules {
			f(r)
		}
	}
}

func (l *Layout) network(bridge string) *Network {
	for _, n := range l.Networks {
		if n.Bridge == bridge {
			return n
		}
	}
	n := &Network{Bridge: bridge}
	l.Networks = append(l.Networks, n)
	return n
}

// networks finds the bridges. A bridge is one of Docker's when at least two of
// its traces are there: a rule that somebody wrote about another interface is
// one alone.
func (l *Layout) networks() {
	t := l.Tables
	trace := func(bridge string) {
		if bridge != "" && !strings.HasSuffix(bridge, "+") {
			l.network(bridge).traces++
		}
	}
	out := func(targets ...string) func(*iptables.Rule) {
		return func(r *iptables.Rule) {
			if slices.Contains(targets, r.Target.Name) && !r.Out.Not && r.In.Name == "" {
				trace(r.Out.Name)
			}
		}
	}
	in := func(targets ...string) func(*iptables.Rule) {
		return func(r *iptables.Rule) {
			if slices.Contains(targets, r.Target.Name) && !r.In.Not && (r.Out.Name == "" || r.Out.Not) {
				trace(r.In.Name)
			}
		}
	}
	if l.Engine == Classic {
		each(t.Filter, "FORWARD", out("DOCKER"))
		each(t.Filter, "FORWARD", in("ACCEPT"))
		each(t.Filter, "DOCKER-ISOLATION-STAGE-1", in("DOCKER-ISOLATION-STAGE-2"))
		each(t.Filter, "DOCKER-ISOLATION-STAGE-2", out("DROP"))
	} else {
		each(t.Filter, "DOCKER-BRIDGE", out("DOCKER"))
		each(t.Filter, "DOCKER-CT", out("ACCEPT"))
		each(t.Filter, "DOCKER-FORWARD", in("ACCEPT"))
		each(t.Filter, "DOCKER", func(r *iptables.Rule) {
			if r.Target.Name == "DROP" && r.In.Not && r.In.Name == r.Out.Name {
				trace(r.Out.Name)
			}
		})
	}
	each(t.Nat, "POSTROUTING", func(r *iptables.Rule) {
		if r.Target.Name == "MASQUERADE" && r.Out.Not && r.Source.Prefix.IsValid() {
			trace(r.Out.Name)
			n := l.network(r.Out.Name)
			n.Subnets = append(n.Subnets, r.Source.Prefix)
		}
	})
	for _, chain := range []string{"DOCKER-ISOLATION-STAGE-1", "DOCKER-INTERNAL"} {
		each(t.Filter, chain, func(r *iptables.Rule) {
			if r.Target.Name == "DROP" && (r.Source.Not || r.Dest.Not) {
				l.network(r.In.Name + r.Out.Name).Internal = true
			}
		})
	}
	l.Networks = slices.DeleteFunc(l.Networks, func(n *Network) bool { return n.traces < 2 || n.Internal })
	slices.SortFunc(l.Networks, func(a, b *Network) int { return strings.Compare(a.Bridge, b.Bridge) })
}

// published finds the published ports, from the rules that rewrite addresses and
// those that let the rewritten packets in.
func (l *Layout) published() {
	each(l.Tables.Nat, "DOCKER", func(r *iptables.Rule) {
		if p, ok := dnat(r); ok {
			if p.Bridge == "" {
				p.Bridge = l.bridgeOf(p.To.Addr())
			}
			l.Published = append(l.Published, p)
		}
	})
	each(l.Tables.Filter, "DOCKER", func(r *iptables.Rule) {
		port, ok := dport(r.Body)
		if r.Target.Name != "ACCEPT" || !ok || !r.Dest.Prefix.IsSingleIP() || r.Dest.Not {
			return
		}
		to := netip.AddrPortFrom(r.Dest.Prefix.Addr(), uint16(port))
		for _, p := range l.Published {
			if p.To == to && p.Protocol == r.Protocol.Name {
				return
			}
		}
		l.Published = append(l.Published, &Published{Protocol: r.Protocol.Name, Bridge: r.Out.Name, To: to})
	})
}

func (l *Layout) bridgeOf(a netip.Addr) string {
	for _, n := range l.Networks {
		for _, s := range n.Subnets {
			if s.Contains(a) {
				return n.Bridge
			}
		}
	}
	return ""
}

// dnat reads "-A DOCKER [-d ADDRESS] [! -i BRIDGE] -p PROTO --dport PORT -j DNAT
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

// dport is a rule's one destination port.
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
