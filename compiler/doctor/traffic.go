package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// traffic is what commands would change for the packets that Docker cares
// about: connections to published ports, their answers, and what containers
// start themselves. Each is evaluated over the chains as they stand and as they
// would be. What rules of other tables do is said.
func (d *doctor) traffic(l *docker.Layout, fix []string, rules ...docker.Expected) []string {
	after := edited(l.Tables.Filter, l.Tables.Family, words(fix))
	if after == nil {
		return trafficElsewhere(rules)
	}
	return d.changed(l, after)
}

// trafficElsewhere is what becomes of packets without rules of raw and nat.
func trafficElsewhere(rules []docker.Expected) []string {
	var list []string
	for _, e := range rules {
		text := "clients of published ports: they end at docker-proxy, past DOCKER-USER, or find nobody"
		switch at := e.Table + " " + e.Chain; {
		case e.Table == "raw" && strings.Contains(e.Rule, "! -i lo "):
			text = "a client on the same link that sends to the loopback address: only the kernel's own check keeps it out"
		case e.Table == "raw":
			text = "a client that routes to the container's own address: raw lets it pass, and FORWARD alone decides"
		case at == "nat OUTPUT":
			text = "connections of the host itself to published ports: docker-proxy serves them, if it runs"
		case at == "nat POSTROUTING" && strings.Contains(e.Rule, "! -o "):
			text = "connections of containers to the outside: they leave with an address that nobody can answer"
		case at == "nat POSTROUTING":
			text = "connections of the host or of a container to its own published port: nothing answers them"
		case strings.HasSuffix(e.Rule, "-j RETURN"):
			text = "connections of containers to published ports: they go past docker-proxy"
		}
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	if len(list) == 0 {
		return []string{"clients of published ports: they end at docker-proxy, past DOCKER-USER, or find nobody"}
	}
	return list
}

const noTraffic = "none as the chains stand now; with FORWARD's policy DROP, or other networks beside these, it may"

// changed is what another filter table would change for them.
func (d *doctor) changed(l *docker.Layout, after *iptables.Table) []string {
	before := l.Tables.Filter
	if after == nil {
		return nil
	}
	var list []string
	for _, x := range d.flows(l, d.interfaces()[0]) {
		was, now := d.verdict(before, x.packet, l.Tables.Family), d.verdict(after, x.packet, l.Tables.Family)
		if said(was) != said(now) && was != 0 && now != 0 {
			list = append(list, fmt.Sprintf("%s: %s now, %s when it is fixed", x.what, said(was), said(now)))
		}
	}
	if len(list) == 0 {
		return []string{noTraffic}
	}
	return list
}

// flowKind is what a packet is to Docker.
type flowKind int

const (
	inwards    flowKind = iota // a client's to a published port
	answer                     // the container's to that client
	outwards                   // a container's to the outside
	answerBack                 // to that container
	unasked                    // from outside to a port that is not published
	across                     // between networks
	neighbours                 // between the containers of one network
)

type packetFlow struct {
	kind    flowKind
	what    string
	packet  packet.Packet
	opening *packet.Packet // of an answer: the packet that opened its connection
}

// overUDP is a packet of a container's connection, to a resolver.
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

// atPort is a packet of a container's connection to a port of a server.
func (x packetFlow) atPort(port int) packetFlow {
	x.what += fmt.Sprintf(", at port %d", port)
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

// flows are the packets that matter, for each published port and each bridge, with
// one interface to the outside.
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
		list = append(list, packetFlow{inwards, "new connections to " + name, in, nil}, packetFlow{answer, "answers from " + name, back, &in})
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
		list = append(list, packetFlow{outwards, "connections of the containers of " + n.Bridge + " to the outside", out, nil},
			packetFlow{answerBack, "answers to the containers of " + n.Bridge, answer, &out},
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

// echo is the type of an echo request, as a packet has it.
func echo(f packet.Family) int {
	const codes = 256
	if f == packet.IPv6 {
		return 128 * codes
	}
	return 8 * codes
}

// publishedOn is a published port of a network.
func publishedOn(l *docker.Layout, bridge string) *docker.Published {
	for _, p := range l.Published {
		if p.Bridge == bridge && p.Port > 0 {
			return p
		}
	}
	return nil
}

// verdict is what the whole chain says of a packet; 0 when that cannot be said.
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

// said is a verdict in words; of those that let a packet through one is enough.
func said(v packet.Verdict) string {
	if v.IsOpen() {
		return "let in"
	}
	return strings.NewReplacer("deny", "denied", "reject", "rejected").Replace(v.String())
}

func protocolOf(name string) packet.Protocol {
	p, _ := packet.ParseProtocol(name)
	return p
}
