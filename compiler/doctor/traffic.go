package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// traffic describes what commands would change for the packets that matter to Docker: connections
// to published ports, their replies, and connections opened by containers. Each is evaluated over
// the current and the fixed chains. For rules of other tables, the effect is described in words.
func (d *doctor) traffic(l *docker.Layout, fix []string, rules ...docker.Expected) []string {
	after := edited(l.Tables.Filter, l.Tables.Family, words(fix))
	if after == nil {
		return trafficElsewhere(rules)
	}
	return d.changed(l, after)
}

// trafficElsewhere describes the effect of missing rules in raw and nat.
func trafficElsewhere(rules []docker.Expected) []string {
	var list []string
	for _, e := range rules {
		text := "clients of published ports: they reach docker-proxy, bypassing DOCKER-USER, or nothing at all"
		switch at := e.Table + " " + e.Chain; {
		case e.Table == "raw" && strings.Contains(e.Rule, "! -i lo "):
			text = "a client on the same link that sends to the loopback address: only the kernel's own check stops it"
		case e.Table == "raw":
			text = "a client that routes to the container's own address: raw lets it pass, and only FORWARD decides"
		case at == "nat OUTPUT":
			text = "connections from the host itself to published ports: docker-proxy serves them, if it is running"
		case at == "nat POSTROUTING" && strings.Contains(e.Rule, "! -o "):
			text = "connections from containers to the outside: they leave with a source address that nobody can reply to"
		case at == "nat POSTROUTING":
			text = "connections from the host or from a container to its own published port: they get no reply"
		case strings.HasSuffix(e.Rule, "-j RETURN"):
			text = "connections from containers to published ports: they bypass docker-proxy"
		}
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	if len(list) == 0 {
		return []string{"clients of published ports: they reach docker-proxy, bypassing DOCKER-USER, or nothing at all"}
	}
	return list
}

const noTraffic = "none with the chains as they are; it may matter if FORWARD's policy is DROP, or if there are more networks"

// changed describes what replacing the filter table would change for them.
func (d *doctor) changed(l *docker.Layout, after *iptables.Table) []string {
	before := l.Tables.Filter
	if after == nil {
		return nil
	}
	var list []string
	for _, x := range d.flows(l, d.interfaces()[0]) {
		was, now := d.onHost(l, before, x.packet), d.onHost(l, after, x.packet)
		if said(was) != said(now) && was != 0 && now != 0 {
			list = append(list, fmt.Sprintf("%s: %s now, %s once fixed", x.what, said(was), said(now)))
		}
	}
	if len(list) == 0 {
		return []string{noTraffic}
	}
	return list
}

// flowKind is the role of a packet for Docker.
type flowKind int

const (
	inwards    flowKind = iota // from a client to a published port
	answer                     // from the container back to that client
	outwards                   // from a container to the outside
	answerBack                 // back to that container
	unasked                    // from outside to an unpublished port
	across                     // between networks
	neighbours                 // between the containers of one network
)

type packetFlow struct {
	kind    flowKind
	what    string
	packet  packet.Packet
	opening *packet.Packet // for a reply: the packet that opened its connection
}

// overUDP turns a packet of a container's connection into one to a DNS resolver.
func (x packetFlow) overUDP() packetFlow {
	const dns = 53
	x.what += " over udp"
	udp := func(p *packet.Packet) {
		p.Protocol, p.TCPFlags, p.OrigPort = packet.UDP, 0, dns
		if p.Reply {
			p.Sport = dns
		} else {
			p.Dport = dns
		}
	}
	return x.changed(udp)
}

// atPort sends a packet of a container's connection to another server port.
func (x packetFlow) atPort(port int) packetFlow {
	x.what += fmt.Sprintf(" on port %d", port)
	return x.changed(func(p *packet.Packet) { p.OrigPort = port })
}

func (x packetFlow) changed(change func(*packet.Packet)) packetFlow {
	change(&x.packet)
	if x.opening != nil {
		opening := *x.opening
		change(&opening)
		x.opening = &opening
	}
	return x
}

// flows are the packets that matter, for each published port and each bridge, with one outside
// interface.
func (d *doctor) flows(l *docker.Layout, outside string) []packetFlow {
	client, server := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("198.51.100.2")
	if l.Tables.Family == packet.IPv6 {
		client, server = netip.MustParseAddr("2001:db8:ffff::9"), netip.MustParseAddr("2001:db8::2")
	}
	var list []packetFlow
	for _, p := range l.Published {
		n := l.NetworkOf(p.Bridge)
		routed := n != nil && n.Kind.Mode == docker.GatewayRouted
		if p.Bridge == "" || p.Port == 0 && !routed {
			continue
		}
		in := packet.Packet{Hook: packet.Forward, In: outside, Out: p.Bridge, Protocol: protocolOf(p.Protocol), State: packet.New, TCPFlags: packet.SYN, DNAT: true,
			Source: client, Dest: p.To.Addr(), Sport: 40000, Dport: int(p.To.Port()), OrigDst: server, OrigPort: p.Port}
		name := fmt.Sprintf("%d/%s", p.Port, p.Protocol)
		if routed {
			in.DNAT, in.OrigDst, in.OrigPort = false, in.Dest, in.Dport
			name = fmt.Sprintf("%s/%s", p.To, p.Protocol)
		}
		back := in
		back.In, back.Out, back.State, back.TCPFlags, back.Reply = p.Bridge, outside, packet.Established, packet.ACK, true
		back.Source, back.Dest, back.Sport, back.Dport = p.To.Addr(), client, int(p.To.Port()), 40000
		list = append(list, packetFlow{inwards, "new connections to " + name, in, nil}, packetFlow{answer, "replies from " + name, back, &in})
	}
	for _, n := range l.Networks {
		container := client
		if len(n.Subnets) > 0 {
			container = n.Subnets[0].Addr().Next().Next()
		}
		out := packet.Packet{Hook: packet.Forward, In: n.Bridge, Out: outside, Protocol: packet.TCP, State: packet.New, TCPFlags: packet.SYN,
			Source: container, Dest: server, Sport: 40000, Dport: 443, OrigDst: server, OrigPort: 443}
		answer := out
		answer.In, answer.Out, answer.State, answer.TCPFlags, answer.Reply = outside, n.Bridge, packet.Established, packet.ACK, true
		answer.Source, answer.Dest, answer.Sport, answer.Dport = server, container, 443, 40000
		direct := out
		direct.In, direct.Out, direct.Dest, direct.Source = outside, n.Bridge, container, client
		direct.OrigDst = container
		list = append(list, packetFlow{outwards, "connections from the containers of " + n.Bridge + " to the outside", out, nil},
			packetFlow{answerBack, "replies to the containers of " + n.Bridge, answer, &out},
			packetFlow{unasked, "connections from outside to unpublished ports of " + n.Bridge, direct, nil})
		if n.Kind.Mode == docker.GatewayRouted {
			ping := direct
			ping.Protocol, ping.TCPFlags, ping.Sport, ping.Dport, ping.OrigPort, ping.ICMPType = l.Tables.Family.ICMP(), 0, 0, 0, 0, echo(l.Tables.Family)
			list = append(list, packetFlow{unasked, "pings from outside to the containers of " + n.Bridge, ping, nil})
		}
		neighbour := out
		neighbour.Out, neighbour.Dest = n.Bridge, container.Next()
		neighbour.OrigDst = neighbour.Dest
		list = append(list, packetFlow{neighbours, "connections between the containers of " + n.Bridge, neighbour, nil})
		for _, m := range l.Networks {
			if m != n && len(m.Subnets) > 0 {
				over := out
				over.Out, over.Dest = m.Bridge, m.Subnets[0].Addr().Next().Next()
				over.OrigDst = over.Dest
				list = append(list, packetFlow{across, fmt.Sprintf("connections from %s to %s", n.Bridge, m.Bridge), over, nil})
				if p := publishedOn(l, m.Bridge); p != nil {
					over.Dest, over.OrigDst, over.Dport, over.OrigPort = p.To.Addr(), p.To.Addr(), int(p.To.Port()), int(p.To.Port())
					over.Protocol = protocolOf(p.Protocol)
					list = append(list, packetFlow{across, fmt.Sprintf("connections from %s to %s by the container's own address", n.Bridge, p.To), over, nil})
				}
			}
		}
	}
	return list
}

// echo is the ICMP type of an echo request, as stored in a packet.
func echo(f packet.Family) int {
	const codes = 256
	if f == packet.IPv6 {
		return 128 * codes
	}
	return 8 * codes
}

// publishedOn returns a published port of a network.
func publishedOn(l *docker.Layout, bridge string) *docker.Published {
	for _, p := range l.Published {
		if p.Bridge == bridge && p.Port > 0 {
			return p
		}
	}
	return nil
}

// verdict is the verdict of the whole chain on a packet; 0 if it cannot be evaluated.
func (d *doctor) verdict(t *iptables.Table, p packet.Packet, f packet.Family) packet.Verdict {
	parts, err := prove.Through(d.ctx, t, p, f, d.limits)
	if err != nil {
		return 0
	}
	for _, part := range parts {
		if !p.Source.Less(part.First) && !part.Last.Less(p.Source) {
			return part.Verdict
		}
	}
	return 0
}

// onHost is the verdict of the whole host on a forwarded packet: that of the filter table, unless a
// table of nft beside it drops the packet.
func (d *doctor) onHost(l *docker.Layout, t *iptables.Table, p packet.Packet) packet.Verdict {
	v := d.verdict(t, p, l.Tables.Family)
	if !v.IsOpen() || l.Tables.NFT == nil {
		return v
	}
	ends, err := d.follower(l).Forwarded(d.ctx, p, nil, d.limits)
	if err != nil {
		return 0
	}
	for _, e := range ends {
		switch {
		case !e.Sources.Has(diagram.OfAddr(p.Source)):
		case e.Verdict == packet.Unknown:
			return 0
		case e.Verdict.IsClosed():
			v = e.Verdict
		}
	}
	return v
}

// said puts a verdict in words; all verdicts that let a packet through share one.
func said(v packet.Verdict) string {
	switch {
	case v.IsOpen():
		return "let in"
	case !v.IsClosed():
		return "perhaps let in"
	}
	return strings.NewReplacer("deny", "denied", "reject", "rejected").Replace(v.String())
}

func protocolOf(name string) packet.Protocol {
	p, _ := packet.ParseProtocol(name)
	return p
}
