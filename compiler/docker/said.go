package docker

import (
	"net/netip"
	"slices"

	"github.com/seawall/seawall/compiler/packet"
)

// said adds the published ports that Docker reports for running containers but that are not in
// any rule. If a container has several addresses to which a port could be sent, the port is left
// out: Docker does not say which one it is.
func (l *Layout) said() {
	if l.Tables.Known == nil {
		return
	}
	for _, c := range l.Tables.Known.Containers {
		if !c.Running {
			continue
		}
		for _, p := range c.Ports {
			if l.Tables.Family == packet.IPv4 && p.IPv4 || l.Tables.Family == packet.IPv6 && p.IPv6 {
				l.saidPort(c, p)
			}
		}
	}
}

func (l *Layout) saidPort(c KnownContainer, p KnownPort) {
	var to []netip.Addr
	var networks []*Network
	for _, a := range c.Addresses {
		if n := l.networkOf(a); n != nil && (n.Kind.Mode == GatewayRouted) == (p.Host == 0) {
			to, networks = append(to, a), append(networks, n)
		}
	}
	for _, x := range l.Published {
		if x.Protocol != p.Protocol || int(x.To.Port()) != p.Container || !slices.Contains(c.Addresses, x.To.Addr()) {
			continue
		}
		switch {
		case x.Port == p.Host && x.Address == p.Address:
			return // a rule has it
		case x.Port == 0 && slices.Contains(to, x.To.Addr()):
			// It is accepted, but nothing is sent there.
			x.Port, x.Address, x.Said, x.Proxied = p.Host, p.Address, true, !l.options.hairpin
			return
		}
	}
	if len(to) == 1 {
		l.Published = append(l.Published, &Published{Protocol: p.Protocol, Address: p.Address, Port: p.Host, Bridge: networks[0].Bridge,
			To: netip.AddrPortFrom(to[0], uint16(p.Container)), Proxied: !l.options.hairpin && p.Host > 0, Said: true})
	}
}

// unsaid reports whether, according to Docker, the container of a rule publishes no such port, or
// its network has no container at that address.
func (l *Layout) unsaid(p *Published) bool {
	if l.Tables.Known == nil {
		return false
	}
	for _, c := range l.Tables.Known.Containers {
		if !c.Running || !slices.Contains(c.Addresses, p.To.Addr()) {
			continue
		}
		return !slices.ContainsFunc(c.Ports, func(q KnownPort) bool {
			return q.Protocol == p.Protocol && q.Container == int(p.To.Port()) && (p.Port == 0 || p.Port == q.Host)
		})
	}
	for _, n := range l.Tables.Known.Networks {
		if n.Driver == "bridge" && n.Members != nil && slices.ContainsFunc(n.Subnets, func(s netip.Prefix) bool { return s.Contains(p.To.Addr()) }) {
			return !slices.Contains(n.Members, p.To.Addr())
		}
	}
	return false
}

// networkOf is the network with a way out that has an address, or nil.
func (l *Layout) networkOf(a netip.Addr) *Network {
	for _, n := range l.Networks {
		if slices.Contains(n.Members, a) || slices.ContainsFunc(n.Subnets, func(s netip.Prefix) bool { return s.Contains(a) }) {
			return n
		}
	}
	return nil
}
