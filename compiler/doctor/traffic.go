package doctor

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/compiler/rules"
)

// traffic tells what commands would change for the packets that Docker cares
// about: connections to published ports, their answers, and what containers
// start themselves. Each is evaluated over the chains as they stand and as they
// would be.
func (d *doctor) traffic(l *docker.Layout, mend []string) []string {
	before, after := l.Tables.Filter, mended(l.Tables.Filter, mend)
	if after == nil {
		return []string{"packets' addresses are not rewritten as they should be"}
	}
	var list []string
	for _, x := range d.flows(l) {
		was, now := verdict(before, x.packet, l.Tables.Family), verdict(after, x.packet, l.Tables.Family)
		if was != now && was != "" && now != "" {
			list = append(list, fmt.Sprintf("%s: %s now, %s when it is mended", x.what, was, now))
		}
	}
	if len(list) == 0 {
		return []string{"none as the chains stand now; with FORWARD's policy DROP, or other networks beside these, it may"}
	}
	return list
}

// mended carries out the commands for the filter table on a copy of it; nil when
// they are all for another table.
func mended(t *rules.Table, commands []string) *rules.Table {
	if t == nil {
		return nil
	}
	text := string(rules.Print(&rules.File{Tables: []*rules.Table{t}}))
	text = strings.TrimSuffix(text, "COMMIT\n")
	some := false
	for _, c := range commands {
		_, args, ok := strings.Cut(c, "tables ")
		if !ok || strings.HasPrefix(c, "#") || strings.HasPrefix(args, "-t ") {
			continue
		}
		text += args + "\n"
		some = true
	}
	f, err := rules.Parse([]byte(text + "COMMIT\n"))
	if err != nil || !some {
		return nil
	}
	out := f.Table(t.Name)
	out.Sets = t.Sets
	return out
}

type packetFlow struct {
	what   string
	packet prove.Packet
}

// flows are the packets that matter, for each published port and each bridge.
func (d *doctor) flows(l *docker.Layout) []packetFlow {
	outside := "eth0"
	if len(d.host.Interfaces) > 0 {
		outside = d.host.Interfaces[0]
	}
	client, server := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("198.51.100.2")
	if l.Tables.Family == rules.IPv6 {
		client, server = netip.MustParseAddr("2001:db8:ffff::9"), netip.MustParseAddr("2001:db8::2")
	}
	numbers := map[string]int{"tcp": 6, "udp": 17, "sctp": 132}
	var list []packetFlow
	for _, p := range l.Published {
		if p.Port == 0 || p.Bridge == "" {
			continue
		}
		in := prove.Packet{Hook: prove.Forward, In: outside, Out: p.Bridge, Protocol: numbers[p.Protocol], State: "NEW", DNAT: true,
			Source: client, Dest: p.To.Addr(), Sport: 40000, Dport: int(p.To.Port()), OrigDst: server, OrigPort: p.Port}
		back := in
		back.In, back.Out, back.State, back.Reply = p.Bridge, outside, "ESTABLISHED", true
		back.Source, back.Dest, back.Sport, back.Dport = p.To.Addr(), client, int(p.To.Port()), 40000
		list = append(list, packetFlow{fmt.Sprintf("new connections to %d/%s", p.Port, p.Protocol), in},
			packetFlow{fmt.Sprintf("answers from %d/%s", p.Port, p.Protocol), back})
	}
	for _, n := range l.Networks {
		container := client
		if len(n.Subnets) > 0 {
			container = n.Subnets[0].Addr().Next().Next()
		}
		out := prove.Packet{Hook: prove.Forward, In: n.Bridge, Out: outside, Protocol: 6, State: "NEW",
			Source: container, Dest: server, Sport: 40000, Dport: 443, OrigDst: server, OrigPort: 443}
		answer := out
		answer.In, answer.Out, answer.State, answer.Reply = outside, n.Bridge, "ESTABLISHED", true
		answer.Source, answer.Dest, answer.Sport, answer.Dport = server, container, 443, 40000
		direct := out
		direct.In, direct.Out, direct.Dest, direct.Source = outside, n.Bridge, container, client
		direct.OrigDst = container
		list = append(list, packetFlow{"connections of the containers of " + n.Bridge + " to the outside", out},
			packetFlow{"answers to the containers of " + n.Bridge, answer},
			packetFlow{"connections from outside to unpublished ports of " + n.Bridge, direct})
		for _, m := range l.Networks {
			if m != n && len(m.Subnets) > 0 {
				across := out
				across.Out, across.Dest = m.Bridge, m.Subnets[0].Addr().Next().Next()
				across.OrigDst = across.Dest
				list = append(list, packetFlow{fmt.Sprintf("connections from %s to %s", n.Bridge, m.Bridge), across})
			}
		}
	}
	return list
}

// verdict is what the whole chain says of a packet; "" when it says no.
func verdict(t *rules.Table, p prove.Packet, f rules.Family) string {
	parts, err := prove.Through(t, p, f)
	if err != nil {
		return ""
	}
	for _, part := range parts {
		if !p.Source.Less(part.First) && !part.Last.Less(p.Source) {
			if part.Open() {
				return "let in"
			}
			return part.Verdict
		}
	}
	return ""
}
