package exposure

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/packet"
)

// found is a port to examine, with the rules that open it in each family.
type found struct {
	Port
	address  netip.Addr // Address, if it is a single address
	by       []opening
	proxied  bool // the rules show that docker-proxy serves it
	known    *docker.KnownPort
	onlySaid bool // only Docker reports it, no rule
}

// opening is what opens a port in one family.
type opening struct {
	family packet.Family
	to     netip.AddrPort
}

// in is the opening in a family, if there is one.
func (x *found) in(f packet.Family) (netip.AddrPort, bool) {
	for _, o := range x.by {
		if o.family == f {
			return o.to, true
		}
	}
	return netip.AddrPort{}, false
}

// find finds the ports: those in the rules, then those that only Docker reports.
func (r *reader) find() {
	for _, f := range r.families {
		for _, p := range f.Layout.Ports() {
			r.haveProxy = r.haveProxy || p.Proxied
			if p.Opened == docker.Unprotected {
				r.unprotected(f, p.Bridge)
				continue
			}
			r.add(f, p)
		}
	}
	if r.host.Known != nil {
		for i := range r.host.Known.Containers {
			r.said(&r.host.Known.Containers[i])
		}
	}
	for _, x := range r.ports {
		x.describe(r.host.Known)
	}
}

// add adds a port found in the rules, or what another family's rules say about it.
func (r *reader) add(f *family, p *docker.Port) {
	n := Port{Opened: p.Opened, Protocol: p.Protocol, Port: p.Port, Bridge: p.Bridge}
	address := p.Address
	if p.Opened == docker.Routed {
		n.Port, address = int(p.To.Port()), p.To.Addr()
	}
	if address.IsUnspecified() {
		address = netip.Addr{}
	}
	if address.IsValid() {
		n.Address, n.Local = address.String(), address.IsLoopback()
	}
	x := r.same(n)
	if x == nil {
		x = &found{Port: n, address: address}
		r.ports = append(r.ports, x)
	}
	x.proxied = x.proxied || p.Proxied
	if o := (opening{f.Family, p.To}); !slices.Contains(x.by, o) {
		x.by = append(x.by, o)
	}
}

// same returns a port that was already found, or nil.
func (r *reader) same(n Port) *found {
	for _, x := range r.ports {
		routed := x.Opened == docker.Routed || n.Opened == docker.Routed
		if x.Port.Port == n.Port && x.Protocol == n.Protocol && x.Address == n.Address && (!routed || x.Opened == n.Opened) {
			return x
		}
	}
	return nil
}

// unprotected adds every port of each container on a network, or of the network if its containers
// are not known.
func (r *reader) unprotected(f *family, bridge string) {
	type target struct {
		shown string
		netip.Addr
	}
	var networks, containers []target
	for _, x := range f.routes {
		switch {
		case x.Bridge != bridge:
		case x.To == f.noSubnet(bridge):
			networks = append(networks, target{"", x.To.Addr()})
		case !x.To.IsSingleIP():
			networks = append(networks, target{x.To.String(), x.To.Addr().Next().Next()}) // the first is the bridge's
			for _, a := range r.host.Known.Within(x.To) {
				containers = append(containers, target{a.String(), a})
			}
		}
	}
	if len(containers) > 0 {
		networks = containers
	}
	for i, x := range networks {
		for _, protocol := range []string{"tcp", "udp"} {
			if !slices.Contains(networks[:i], x) {
				r.every(f, bridge, protocol, x.shown, x.Addr)
				for _, named := range f.ports[:min(len(f.ports), most)] {
					r.some(f, bridge, protocol, x.shown, x.Addr, named)
				}
			}
		}
	}
}

func (r *reader) every(f *family, bridge, protocol, shown string, a netip.Addr) {
	r.ports = append(r.ports, &found{
		Port:    Port{Opened: docker.Unprotected, Protocol: protocol, Address: shown, Bridge: bridge},
		address: a, by: []opening{{f.Family, netip.AddrPortFrom(a, uint16(f.port))}}})
}

// some adds ports that rules name.
func (r *reader) some(f *family, bridge, protocol, shown string, a netip.Addr, named portRange) {
	x := &found{
		Port:    Port{Opened: docker.Unprotected, Protocol: protocol, Port: named.first, Address: shown, Bridge: bridge},
		address: a, by: []opening{{f.Family, netip.AddrPortFrom(a, uint16(named.first))}}}
	if named.last != named.first {
		x.Last = named.last
	}
	r.ports = append(r.ports, x)
}

// said adds the published ports of a container that no rule shows: docker-proxy may serve them.
func (r *reader) said(c *docker.KnownContainer) {
	for i := range c.Ports {
		p := &c.Ports[i]
		if !c.Running || p.Host == 0 {
			continue
		}
		n := Port{Opened: docker.ByDNAT, Protocol: p.Protocol, Port: p.Host}
		if p.Address.IsValid() {
			n.Address, n.Local = p.Address.String(), p.Address.IsLoopback()
		}
		x := r.same(n)
		if x == nil {
			x = &found{Port: n, address: p.Address, onlySaid: true}
			x.ContainerName = c.Name
			if len(c.Addresses) > 0 {
				x.Container = netip.AddrPortFrom(c.Addresses[0], uint16(p.Container)).String()
			}
			r.ports = append(r.ports, x)
		}
		x.known = p
	}
}

// describe sets what is shown for the container.
func (x *found) describe(known *docker.Known) {
	var list []string
	for _, o := range x.by {
		if x.ContainerName == "" {
			x.ContainerName = known.NameOf(o.to.Addr())
		}
		if text := o.to.String(); x.Opened != docker.Unprotected && !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	if len(list) > 0 {
		x.Container = strings.Join(list, ", ")
	}
}

// listens reports whether docker-proxy listens on the port in a family, and why that is not
// certain.
func (r *reader) listens(x *found, f packet.Family) (yes bool, doubt string) {
	if x.Opened != docker.ByDNAT {
		return false, ""
	}
	if x.known == nil {
		return x.proxied, ""
	}
	if said := f == packet.IPv4 && x.known.IPv4 || f == packet.IPv6 && x.known.IPv6; !said {
		return false, ""
	}
	switch {
	case x.proxied || r.haveProxy:
		return true, ""
	case x.onlySaid:
		return true, "no rule shows whether docker-proxy runs"
	}
	return false, ""
}
