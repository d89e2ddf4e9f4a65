package docker

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
)

// Missing is something that the tables of Docker's nftables back end call for and do not have.
type Missing struct {
	What    string // such as: the rule that accepts packets to 172.17.0.2:80/tcp
	Chain   string // where it belongs: a chain, or a map
	Gone    bool   // the whole chain is missing
	Traffic string
}

// Table is Docker's table as nft names it.
func (l *Layout) Table() string { return string(l.nft.Family) + " " + l.nft.Name }

// MissingNFT lists what is missing, as far as something else shows it or Docker reports it. What
// only says again what the end of its chain says is not expected: the rules of a bridge that
// accept what its containers send, say.
func (l *Layout) MissingNFT() []Missing {
	if l.nft == nil {
		return nil
	}
	m := &missing{Layout: l}
	m.base("filter-FORWARD", "forward", "Docker's rules for forwarded packets: unpublished ports are open, and networks are not isolated")
	m.leads("filter-FORWARD", "oifname", "filter-forward-in-jumps", "unpublished ports of all containers are open to whoever routes to them")
	m.leads("filter-FORWARD", "iifname", "filter-forward-out-jumps", "containers of internal networks reach the outside")
	m.base("nat-POSTROUTING", "postrouting", "containers cannot reach the outside")
	m.leads("nat-POSTROUTING", "iifname", "nat-postrouting-out-jumps", "containers cannot reach the outside")
	m.jump("nat-PREROUTING", "prerouting", "clients from outside reach published ports over docker-proxy alone, or not at all")
	m.jump("nat-OUTPUT", "output", "the host itself reaches published ports over docker-proxy alone, or not at all")
	for _, n := range l.all() {
		m.network(n)
	}
	m.loopback()
	m.said()
	return m.list
}

type missing struct {
	*Layout
	list []Missing
}

func (m *missing) add(chain, traffic, format string, args ...any) {
	m.list = append(m.list, Missing{What: fmt.Sprintf(format, args...), Chain: chain, Traffic: traffic})
}

// has reports whether a chain has a rule.
func (m *missing) has(chain string, is func(rule) bool) bool {
	found := false
	eachNFT(m.nft.Table, chain, func(r rule) { found = found || is(r) })
	return found
}

// base checks a base chain.
func (m *missing) base(chain, hook, traffic string) {
	if c := m.nft.Chain(chain); c == nil || c.Hook == nil || c.Hook.Hook != hook {
		m.add(chain, traffic, "the chain %s", chain)
		m.list[len(m.list)-1].Gone = true
	}
}

// leads checks the rule of a base chain that looks up a map.
func (m *missing) leads(chain, key, name, traffic string) {
	c := m.nft.Chain(chain)
	if c == nil {
		return
	}
	for _, r := range c.Rules {
		for _, s := range r.Statements {
			if x, ok := s.(*nftables.Lookup); ok && x.Key.Text == key && x.Map.Text == name {
				return
			}
		}
	}
	m.add(chain, traffic, "the rule %s vmap @%s", key, name)
}

// jump checks the base chain that leads to the rules of published ports, if there are any.
func (m *missing) jump(chain, hook, traffic string) {
	if c := m.nft.Chain(chainNatPorts); c == nil || len(c.Rules) == 0 {
		return
	}
	before := len(m.list)
	if m.base(chain, hook, traffic); len(m.list) == before && !m.has(chain, func(r rule) bool { return r.verdict == "jump "+chainNatPorts }) {
		m.add(chain, traffic, "the jump to %s", chainNatPorts)
	}
}

// element checks the element of a map that leads to a chain of a bridge.
func (m *missing) element(name, chain, bridge, traffic string) {
	c := m.nft.Chain(chain)
	if s := m.nft.Set(name); s != nil && slices.ContainsFunc(s.Elements, func(e nftables.Element) bool {
		return e.Key.Text == bridge && e.Verdict != nil && e.Verdict.Chain == chain
	}) && c != nil {
		return
	}
	if c == nil {
		m.add(chain, traffic, "the chain %s", chain)
		m.list[len(m.list)-1].Gone = true
		return
	}
	m.add(name, traffic, "the element of %s", bridge)
}

func (m *missing) network(n *Network) {
	if n.Kind.Mode == elsewhere {
		return
	}
	b := n.Bridge
	m.element("filter-forward-in-jumps", chainIn+b, b, "every port of the containers of "+b+" is open to whoever routes to them")
	if n.Kind.Mode == GatewayNone {
		m.element("filter-forward-out-jumps", chainOut+b, b, "containers of the internal network "+b+" reach the outside")
		m.internal(b)
		return
	}
	if c := m.nft.Chain(chainNatOut + b); n.Kind.Masquerade && (c == nil || len(c.Rules) > 0) {
		m.element("nat-postrouting-out-jumps", chainNatOut+b, b, "connections of the containers of "+b+" to the outside get no replies")
	}
	if m.nft.Chain(chainIn+b) == nil {
		return
	}
	in := chainIn + b
	if n.Kind.Mode != GatewayUnprotected {
		if !m.has(in, func(r rule) bool { return r.established && r.verdict == "accept" }) {
			m.add(in, "connections of the containers of "+b+" to the outside get no replies", "the rule that accepts established connections to %s", b)
		}
		if !m.has(in, func(r rule) bool { return r.only() && r.verdict == "drop" }) {
			m.add(in, "unpublished ports of the containers of "+b+" are open to whoever routes to them", "the rule that drops packets to unpublished ports of %s", b)
		}
	}
	if !m.has(in, func(r rule) bool { return r.in == b }) {
		m.add(in, "packets between containers of "+b+" that the host filters", "the rule for packets between containers of %s", b)
	}
	if n.Kind.Mode == GatewayRouted && !m.has(in, func(r rule) bool { return r.icmp && r.verdict == "accept" }) {
		m.add(in, "ICMP to the containers of "+b+": denied", "the rule that accepts ICMP to %s", b)
	}
	if n.Kind.Masquerade {
		for _, s := range n.Subnets {
			if !m.has(chainNatOut+b, func(r rule) bool { return r.source == s && (r.verdict == "masquerade" || r.verdict == "snat") }) {
				m.add(chainNatOut+b, "connections of the containers of "+b+" to the outside get no replies", "the rule that masquerades %s", s)
			}
		}
	}
	m.ports(n)
}

// internal checks the rules that isolate an internal network.
func (m *missing) internal(b string) {
	for _, chain := range []string{chainIn + b, chainOut + b} {
		if m.nft.Chain(chain) != nil && !m.has(chain, func(r rule) bool { return r.established && r.verdict == "accept" }) {
			m.add(chain, "packets of established connections between "+b+" and anything else: denied", "the rule that accepts established connections of %s", b)
		}
	}
	if m.nft.Chain(chainIn+b) != nil && !m.has(chainIn+b, func(r rule) bool { return r.notIn == b && r.verdict == "drop" }) {
		m.add(chainIn+b, "containers of the internal network "+b+" can be reached from outside", "the rule that keeps everybody else out of %s", b)
	}
	if m.nft.Chain(chainOut+b) != nil && !m.has(chainOut+b, func(r rule) bool { return r.notOut == b && r.verdict == "drop" }) {
		m.add(chainOut+b, "containers of the internal network "+b+" reach the outside", "the rule that keeps the containers of %s in", b)
	}
}

// ports checks the rules of a network's published ports and of the containers that have some.
func (m *missing) ports(n *Network) {
	b := n.Bridge
	var accepts []string
	var direct []netip.Addr
	for _, p := range m.Published {
		if p.Bridge != b {
			continue
		}
		to := p.To.String() + "/" + p.Protocol
		open := func(r rule) bool {
			return r.verdict == "accept" && r.protocol == p.Protocol && r.port == int(p.To.Port()) && r.dest.IsSingleIP() && r.dest.Addr() == p.To.Addr()
		}
		if n.Kind.Mode != GatewayUnprotected && !slices.Contains(accepts, to) && !m.has(chainIn+b, open) {
			accepts = append(accepts, to)
			m.add(chainIn+b, "clients of "+p.name()+": denied", "the rule that accepts packets to %s", to)
		}
		if n.Kind.Mode == GatewayNAT && p.Port == 0 {
			m.add(chainNatPorts, "clients of the port that is published for "+to+" reach it over docker-proxy alone, or not at all", "the rule that sends clients to %s", to)
		}
		a := p.To.Addr()
		if n.Kind.Mode == GatewayNAT && m.nft.direct && !slices.Contains(direct, a) {
			direct = append(direct, a)
			if !m.has(chainRaw, func(r rule) bool {
				return r.verdict == "drop" && r.notIn == b && r.dest.IsSingleIP() && r.dest.Addr() == a
			}) {
				m.add(chainRaw, "published ports of "+a.String()+" are open, by its own address, to whoever routes to it", "the rule that keeps others from reaching the container %s by its own address", a)
			}
		}
	}
}

// loopback checks the two rules of a port that is published on the loopback alone: each shows the
// other.
func (m *missing) loopback() {
	type port struct {
		protocol string
		number   int
	}
	dropped, sent := map[port]bool{}, map[port]bool{}
	eachNFT(m.nft.Table, chainRaw, func(r rule) {
		if r.notIn == "lo" && r.verdict == "drop" {
			dropped[port{r.protocol, r.port}] = true
			if !slices.ContainsFunc(m.Published, func(p *Published) bool { return p.Port == r.port && p.Protocol == r.protocol }) {
				m.add(chainNatPorts, "the host itself reaches the port over docker-proxy alone, or not at all", "the rule for %d/%s, which is published on %s", r.port, r.protocol, r.dest.Addr())
			}
		}
	})
	for _, p := range m.Published {
		key := port{p.Protocol, p.Port}
		if p.Address.IsLoopback() && p.Address.Is4() && !dropped[key] && !sent[key] {
			sent[key] = true
			m.add(chainRaw, "neighbours that route 127.0.0.0/8 to this host reach "+p.name()+", where the kernel lets them", "the rule that keeps others from reaching %s, which is only published on the loopback address", p.name())
		}
	}
}

// said checks the ports that Docker reports.
func (m *missing) said() {
	if m.Tables.Known == nil {
		return
	}
	for i := range m.Tables.Known.Containers {
		m.routed(&m.Tables.Known.Containers[i])
	}
	for _, c := range m.Tables.Known.Containers {
		for _, p := range c.Ports {
			if !c.Running || p.Host == 0 || m.Tables.Family == packet.IPv4 && !p.IPv4 || m.Tables.Family == packet.IPv6 && !p.IPv6 || !m.translates(c.Addresses) {
				continue
			}
			if !slices.ContainsFunc(m.Published, func(q *Published) bool {
				return q.Port == p.Host && q.Protocol == p.Protocol && (q.Address == p.Address || !q.Address.IsValid() || !p.Address.IsValid())
			}) {
				m.add(chainNatPorts, "its clients reach it over docker-proxy alone, or not at all", "the rule for the published port %d/%s of %s", p.Host, p.Protocol, c.Name)
			}
		}
	}
}

// routed checks the ports of a container on networks where they are open on its own address.
func (m *missing) routed(c *KnownContainer) {
	for _, n := range m.Networks {
		for _, a := range c.Addresses {
			if !c.Running || n.Kind.Mode != GatewayRouted || !slices.ContainsFunc(n.Subnets, func(s netip.Prefix) bool { return s.Contains(a) }) {
				continue
			}
			for _, p := range c.Ports {
				if !m.has(chainIn+n.Bridge, func(r rule) bool {
					return r.verdict == "accept" && r.protocol == p.Protocol && r.port == p.Container && r.dest.IsSingleIP() && r.dest.Addr() == a
				}) {
					m.add(chainIn+n.Bridge, "clients of "+c.Name+" at "+a.String()+": denied", "the rule that accepts packets to %s/%s", netip.AddrPortFrom(a, uint16(p.Container)), p.Protocol)
				}
			}
		}
	}
}

// translates reports whether one of a container's addresses is on a network that publishes ports
// by rewriting addresses.
func (m *missing) translates(list []netip.Addr) bool {
	return slices.ContainsFunc(m.Networks, func(n *Network) bool {
		return (n.Kind.Mode == GatewayNAT || n.Kind.Mode == GatewayUnprotected) && slices.ContainsFunc(n.Subnets, func(s netip.Prefix) bool { return slices.ContainsFunc(list, s.Contains) })
	})
}

// Unmasked are the bridges without a rule that masquerades what their containers send, where
// Docker does not report whether there should be one.
func (l *Layout) Unmasked() []string {
	var list []string
	for _, n := range l.Networks {
		if l.nft != nil && !n.Known && !n.Kind.Masquerade && (n.Kind.Mode == GatewayNAT || n.Kind.Mode == GatewayUnprotected) {
			list = append(list, n.Bridge)
		}
	}
	return list
}
