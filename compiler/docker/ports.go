package docker

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/iptables"
)

// Opened is how Docker opens a port.
type Opened int

// The kinds: a published port reached by DNAT; a port of a container on a network whose gateway
// mode is routed, without DNAT; every port of a network whose mode is nat-unprotected; and a
// published port of a Swarm service, on the ingress network.
const (
	ByDNAT Opened = iota
	Routed
	Unprotected
	Swarm
)

func (o Opened) String() string { return [...]string{"published", "routed", "unprotected", "swarm"}[o] }

// Port is one port that Docker opens, according to its rules of one family.
type Port struct {
	Published // Port and Protocol are 0 and "" if it is every port
	Opened    Opened
}

// Ports finds every port that Docker opens, in the order of the rules. Unlike Published, it
// includes those of Swarm and does not need the filter table: if that was flushed, DNAT still
// leads to the containers.
func (l *Layout) Ports() []*Port {
	if l.nft != nil {
		return l.nftPorts()
	}
	var list []*Port
	routes := l.Routes()
	for _, chain := range []struct {
		name   string
		opened Opened
	}{{"DOCKER", ByDNAT}, {"DOCKER-INGRESS", Swarm}} {
		each(l.Tables.Nat, chain.name, func(r *iptables.Rule) {
			if p, ok := dnat(r); ok {
				if p.Bridge == "" {
					p.Bridge = leadsTo(routes, p.To.Addr())
				}
				list = append(list, &Port{*p, chain.opened})
			}
		})
	}
	each(l.Tables.Filter, "DOCKER", func(r *iptables.Rule) {
		if p, ok := accepted(r); ok && !slices.ContainsFunc(list, func(q *Port) bool { return q.To == p.To && q.Protocol == p.Protocol }) {
			list = append(list, p)
		}
	})
	return list
}

// accepted parses "-A DOCKER -d CONTAINER ! -i BRIDGE -o BRIDGE -p PROTO --dport PORT -j ACCEPT"
// and, for an unprotected network, "-A DOCKER ! -i BRIDGE -o BRIDGE -j ACCEPT".
func accepted(r *iptables.Rule) (*Port, bool) {
	if p, ok := accepts(r); ok {
		return &Port{*p, Routed}, true
	}
	if r.Target.Name != "ACCEPT" || r.Out.Name == "" || r.Out.Not || !r.In.Not || r.In.Name != r.Out.Name {
		return nil, false
	}
	every := !r.Dest.Prefix.IsValid() && !r.Source.Prefix.IsValid() && r.Protocol.Name == "" && len(r.Matches) == 0
	return &Port{Published{Bridge: r.Out.Name}, Unprotected}, every
}

// Route is a route to containers: the addresses behind a bridge.
type Route struct {
	To     netip.Prefix
	Bridge string
}

// Routes are the networks behind bridges, from every Docker rule that names both. The kernel's
// own routes are not in the output of iptables-save.
func (l *Layout) Routes() []Route {
	if l.nft != nil {
		return l.nftRoutes()
	}
	var list []Route
	add := func(to netip.Prefix, bridge string) {
		if x := (Route{to, bridge}); to.IsValid() && bridge != "" && !strings.HasSuffix(bridge, "+") && !slices.Contains(list, x) {
			list = append(list, x)
		}
	}
	each(l.Tables.Nat, "POSTROUTING", func(r *iptables.Rule) {
		if (r.Target.Name == "MASQUERADE" || r.Target.Name == "SNAT") && r.Out.Not && !r.Source.Not {
			add(r.Source.Prefix, r.Out.Name)
		}
	})
	each(l.Tables.Nat, "DOCKER", func(r *iptables.Rule) {
		if p, ok := dnat(r); ok {
			add(netip.PrefixFrom(p.To.Addr(), p.To.Addr().BitLen()), p.Bridge)
		}
	})
	each(l.Tables.Filter, "DOCKER", func(r *iptables.Rule) {
		if r.Target.Name == "ACCEPT" && !r.Out.Not && !r.Dest.Not {
			add(r.Dest.Prefix, r.Out.Name)
		}
	})
	for _, chain := range []string{"DOCKER-ISOLATION-STAGE-1", "DOCKER-INTERNAL"} {
		each(l.Tables.Filter, chain, func(r *iptables.Rule) {
			if r.Target.Name == "DROP" && r.Source.Not && !r.Out.Not {
				add(r.Source.Prefix, r.Out.Name)
			}
		})
	}
	return list
}

// leadsTo is the bridge behind which an address is, or "".
func leadsTo(routes []Route, a netip.Addr) string {
	best := Route{}
	for _, r := range routes {
		if r.To.Contains(a) && (best.Bridge == "" || r.To.Bits() > best.To.Bits()) {
			best = r
		}
	}
	return best.Bridge
}
