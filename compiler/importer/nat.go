package importer

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/packet"
)

// # Rules that match what DNAT made of a packet
//
// "-p tcp --dport 80" and "-d 172.17.0.2" in DOCKER-USER see the container's port and
// address, and a policy speaks of the published ones. Nothing is translated rule by rule.
// The nat table of the same file says exactly what Docker's rules make of an original
// destination: (protocol, host address, host port, interface) becomes one container's
// address and port, behind one bridge. So
//
//   - a policy is read at the packets that this makes: for each published port, the
//     chain is asked about the packets whose original destination is the published one
//     and whose destination is the container's; and
//   - the proof compares the policy and the chain over all packets, and leaves out those
//     alone that cannot come about: a packet in original direction whose destination was
//     rewritten by DNAT, to something else than the nat table makes of it; one whose
//     destination was not rewritten, and that yet has two destinations; and one that the
//     raw table of the file drops before.
//
// This is sound as long as the nat table is all of it. A rule that rewrites and is not
// one of Docker's form, wherever it stands, makes it inexact: then every translation is
// taken to be possible, and the packets that differ are listed.
//
// What is claimed is about connections that were made under this nat table. A connection
// that is older than it, with another translation, is not in the claim, nor is a
// container that gets another address later: the rules of the file would miss it, and
// the policy would not. RELATED and INVALID packets and answers have no translation of
// their own here, and are compared whatever their addresses are.
type natTable struct {
	known bool // the file has a nat table
	exact bool // it rewrites with rules of Docker's form alone
	ports []published
	// routed are ports that are reached at the container's own address alone.
	routed []published
}

// published is one rule that rewrites.
type published struct {
	protocol packet.Protocol
	port     int
	address  netip.Addr // the zero Addr for every address of the host
	notFrom  string     // the interface from which it does not rewrite; "" for none
	bridge   string     // "" where it is not known
	to       netip.AddrPort
}

// fill adds the ports that Docker opens. Rewrites are how many rules rewrite: it is
// exact if they are these ports' alone.
func (n *natTable) fill(ports []*docker.Port, rewrites int) {
	read := 0
	swarms := map[string]bool{} // ports, by whether Swarm's chain publishes them
	twice := false
	for _, p := range ports {
		protocol, ok := packet.ParseProtocol(p.Protocol)
		if ok && p.Opened == docker.Routed && p.To.Port() != 0 {
			n.routed = append(n.routed, published{protocol: protocol, bridge: p.Bridge, to: p.To})
		}
		if !ok || p.Port == 0 || p.Opened != docker.ByDNAT && p.Opened != docker.Swarm {
			continue
		}
		read++
		key := fmt.Sprint(p.Protocol, p.Port)
		if known, there := swarms[key]; there && known != (p.Opened == docker.Swarm) {
			twice = true // which of the two chains comes first is not looked at
		}
		swarms[key] = p.Opened == docker.Swarm
		x := published{protocol: protocol, port: p.Port, address: p.Address, bridge: p.Bridge, to: p.To}
		if p.Proxied {
			x.notFrom = p.Bridge
		}
		n.ports = append(n.ports, x)
	}
	n.exact = !twice && read == rewrites
}

// containers are all ports of containers that can be reached.
func (n *natTable) containers() []published { return slices.Concat(n.ports, n.routed) }

// bridges are the interfaces that the published ports name.
func (n *natTable) bridges() []string {
	var list []string
	for _, p := range n.containers() {
		list = append(list, p.bridge, p.notFrom)
	}
	return list
}

// tracked are connections in original direction, of which the first packet was
// translated.
func trackedClass(dnat bool) diagram.Set {
	return packet.ClassSet(func(c packet.Class) bool {
		return (c.State == packet.New || c.State == packet.Established) && !c.Reply && c.DNAT == dnat
	})
}

// translations is which published port a packet with a rewritten destination belongs to,
// from 1; 0 for none. It depends on the protocol, the interface and the original
// destination.
func (r *reading) translations() diagram.Ref {
	var items []diagram.Item
	for i, p := range r.nat.ports {
		b := diagram.Box{packet.Proto: diagram.One(diagram.Small(int(p.protocol))), packet.OrigPort: diagram.One(diagram.Small(p.port))}
		if p.address.IsValid() {
			b[packet.OrigDest] = diagram.One(diagram.OfAddr(p.address))
		}
		if p.notFrom != "" {
			b[packet.In] = r.space.Interfaces(p.notFrom).Complement(r.Max(packet.In))
		}
		items = append(items, diagram.Item{Box: &b, Target: diagram.Leaf(uint32(i + 1))})
	}
	return r.Build(append(items, diagram.Item{Box: &diagram.Box{}, Target: diagram.Leaf(0)}))
}

// arriving calls f for the parts of a box of packets to the host that can come about:
// one that was not rewritten has one destination.
func (r *reading) arriving(b diagram.Box, f func(diagram.Box)) {
	plain := trackedClass(false)
	if x, ok := b.And(diagram.Box{packet.Conntrack: plain.Complement(r.Max(packet.Conntrack))}); ok {
		f(x)
	}
	x, ok := b.And(diagram.Box{packet.Conntrack: plain})
	if !ok {
		return
	}
	x[packet.OrigDest] = x[packet.OrigDest].Intersect(x[packet.Dest])
	x[packet.Dest] = x[packet.OrigDest]
	if !x.Empty() && len(portsAlike(x)) != 0 {
		f(x)
	}
}

// possible calls f for the parts of a box of forwarded packets that can come about.
func (r *reading) possible(translations, dropped diagram.Ref, b diagram.Box, f func(diagram.Box)) {
	part := func(classes diagram.Set) (diagram.Box, bool) { return b.And(diagram.Box{packet.Conntrack: classes}) }
	rewritten, plain := trackedClass(true), trackedClass(false)
	others := rewritten.Union(plain).Complement(r.Max(packet.Conntrack))
	arrives := func(x diagram.Box) {
		r.Within(dropped, x, func(y *diagram.Box, drop uint32) {
			if drop == 0 {
				f(*y)
			}
		})
	}
	if x, ok := part(others); ok {
		r.others(dropped, x, f)
	}
	if x, ok := part(plain); ok {
		x[packet.OrigDest] = x[packet.OrigDest].Intersect(x[packet.Dest])
		x[packet.Dest] = x[packet.OrigDest]
		if ports := portsAlike(x); !x.Empty() && len(ports) != 0 {
			arrives(x)
		}
	}
	x, ok := part(rewritten)
	switch {
	case !ok:
	case !r.nat.exact:
		arrives(x)
	default:
		r.Within(translations, x, func(y *diagram.Box, n uint32) {
			if n == 0 {
				return
			}
			p := r.nat.ports[n-1]
			to := diagram.Box{packet.Dest: diagram.One(diagram.OfAddr(p.to.Addr())), packet.DestPort: diagram.One(diagram.Small(int(p.to.Port())))}
			if p.bridge != "" {
				to[packet.Out] = r.space.Interfaces(p.bridge)
			}
			if z, ok := y.And(to); ok {
				arrives(z)
			}
		})
	}
}

// twoDestinations reports whether every packet of a box was never rewritten and yet has two
// destinations, which a box that was cut further can come to.
func (r *reading) twoDestinations(b *diagram.Box) bool {
	if rest := trackedClass(false).Complement(r.Max(packet.Conntrack)); b[packet.Conntrack] == nil || len(b[packet.Conntrack].Intersect(rest)) > 0 {
		return false
	}
	disjoint := func(s diagram.Set) bool { return s != nil && len(s) == 0 }
	return disjoint(b[packet.OrigDest].Intersect(b[packet.Dest])) || len(portsAlike(*b)) == 0
}

// others calls f for packets that have no translation of their own here. Those that
// conntrack does not know are the first of their way, and the raw table sees the
// destination that they have.
func (r *reading) others(dropped diagram.Ref, b diagram.Box, f func(diagram.Box)) {
	unknown := packet.ClassSet(func(c packet.Class) bool { return !c.Known() })
	if x, ok := b.And(diagram.Box{packet.Conntrack: unknown.Complement(r.Max(packet.Conntrack))}); ok {
		f(x)
	}
	if r.tracksAll() {
		unknown = packet.ClassSet(func(c packet.Class) bool { return c.State == packet.Invalid })
	}
	x, ok := b.And(diagram.Box{packet.Conntrack: unknown})
	if !ok {
		return
	}
	address, port := x[packet.OrigDest], x[packet.OrigPort]
	x[packet.OrigDest], x[packet.OrigPort] = x[packet.Dest], x[packet.DestPort]
	r.Within(dropped, x, func(y *diagram.Box, drop uint32) {
		if drop == 0 {
			z := *y
			z[packet.Dest], z[packet.DestPort] = y[packet.OrigDest], y[packet.OrigPort]
			z[packet.OrigDest], z[packet.OrigPort] = address, port
			f(z)
		}
	})
}

// portsAlike are the ports of packets that have one destination port, before and after:
// of a protocol without ports, whatever the box says.
func portsAlike(x diagram.Box) diagram.Set {
	withPorts := diagram.Normal([]diagram.Span{{Lo: diagram.Small(6), Hi: diagram.Small(6)}, {Lo: diagram.Small(17), Hi: diagram.Small(17)},
		{Lo: diagram.Small(132), Hi: diagram.Small(132)}})
	if x[packet.Proto] != nil && len(x[packet.Proto].Intersect(withPorts)) == len(x[packet.Proto]) {
		return x[packet.OrigPort].Intersect(x[packet.DestPort]).OrAll(diagram.Small(65535))
	}
	return diagram.Range(0, 65535)
}

// rawDrops is 1 where the raw table drops a packet in original direction before conntrack
// sees it. There its destination is still the original one.
func (r *reading) rawDrops() (diagram.Ref, error) {
	f, there, err := r.rules.dropped(r.Store, r.space)
	if !there || err != nil {
		return diagram.Leaf(0), err
	}
	f = r.Restrict(f, packet.Conntrack, packet.Class{State: packet.Invalid}.Value()) // conntrack comes later
	f = r.Restrict(f, packet.Out, diagram.Value{})
	var items []diagram.Item
	r.Boxes(f, func(b *diagram.Box, v uint32) {
		if packet.Verdict(v) != packet.Deny {
			return
		}
		x := *b
		x[packet.OrigDest], x[packet.Dest] = b[packet.Dest], nil
		x[packet.OrigPort], x[packet.DestPort] = b[packet.DestPort], nil
		for p := range x {
			x[p] = slices.Clone(x[p])
		}
		items = append(items, diagram.Item{Box: &x, Target: diagram.Leaf(1)})
	})
	return r.Build(append(items, diagram.Item{Box: &diagram.Box{}, Target: diagram.Leaf(0)})), nil
}

// tracksAll reports whether conntrack sees every packet: no rule of the file's raw table
// takes one out. IPv6 has packets that the kernel itself does not track.
func (r *reading) tracksAll() bool {
	return r.nat.exact && r.chain.Family != packet.IPv6 && !r.rules.untracks()
}
