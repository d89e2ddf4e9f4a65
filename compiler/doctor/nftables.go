package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/netfilter"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
)

// ofNFT examines a family of a host whose Docker uses its nftables backend.
func (d *doctor) ofNFT(l *docker.Layout) {
	if l.Engine == docker.NoEngine {
		return
	}
	for _, m := range l.MissingNFT() {
		f := Finding{Code: "SD002", Summary: "missing in Docker's table " + l.Table() + ": " + m.What, Place: fmt.Sprintf("table %s, %s", l.Table(), m.Chain),
			Detail:  "The rest of Docker's tables still refers to it. Docker deletes and recreates its tables when it starts, and nothing else should write to them.",
			Traffic: []string{m.Traffic}, Fix: []string{restart}}
		if m.Gone {
			f.Code = "SD001"
		}
		d.add(f)
	}
	d.ownTables(l)
	d.leftOver(l)
}

// crossing is a packet that a host with containers has to forward.
type crossing struct {
	what string
	packet.Packet
}

// crossings are what the containers of a network need, besides the published ports.
func (d *doctor) crossings(n *docker.Network, f packet.Family) []crossing {
	out, client := d.interfaces()[0], netip.MustParseAddr("203.0.113.9")
	icmp := packet.ICMP
	if f == packet.IPv6 {
		client, icmp = netip.MustParseAddr("2001:db8::9"), packet.ICMPv6
	}
	container := client
	if len(n.Subnets) > 0 {
		container = n.Subnets[0].Addr().Next().Next()
	}
	tcp := func(in, out string, to netip.Addr, s packet.State, reply bool) packet.Packet {
		return packet.Packet{In: in, Out: out, Protocol: packet.TCP, State: s, Reply: reply, Dest: to, Sport: 443, Dport: 40000, TCPFlags: packet.UsualFlags(s), OrigDst: client, OrigPort: 443}
	}
	start := tcp(n.Bridge, out, client, packet.New, false)
	start.Sport, start.Dport = 40000, 443
	related := tcp(out, n.Bridge, container, packet.Related, true)
	related.Protocol, related.Sport, related.Dport, related.TCPFlags, related.ICMPType = icmp, 0, 0, 0, 3
	return []crossing{
		{"replies from the containers of " + n.Bridge + " to their clients", tcp(n.Bridge, out, client, packet.Established, true)},
		{"replies to the containers of " + n.Bridge, tcp(out, n.Bridge, container, packet.Established, true)},
		{"ICMP errors about connections of the containers of " + n.Bridge, related},
		{"connections from the containers of " + n.Bridge + " to the outside", start},
	}
}

// ownTables finds base chains of tables other than Docker's that drop what containers need. A
// drop in any base chain is final.
func (d *doctor) ownTables(l *docker.Layout) {
	h := netfilter.Host{Family: l.Tables.Family, NFT: l.Tables.NFT}
	var names []string
	for _, n := range l.Networks {
		names = append(names, n.Bridge)
	}
	follower := netfilter.New(h, append(names, d.interfaces()...)...)
	cut, order := map[string][]string{}, []netfilter.Place{}
	for _, n := range l.Networks {
		for _, x := range d.crossings(n, l.Tables.Family) {
			ends, err := follower.Forwarded(d.ctx, x.Packet, func(t *nftables.Table) bool { return !t.Dockers() }, d.limits)
			if err != nil || slices.ContainsFunc(ends, func(e netfilter.End) bool { return !e.Verdict.IsClosed() }) {
				continue
			}
			by := ends[0].By
			if !slices.Contains(order, by) {
				order = append(order, by)
			}
			key := by.Table + " " + by.Chain + " " + by.Text()
			cut[key] = append(cut[key], x.what+": denied")
		}
	}
	for _, by := range order {
		what := "the policy of chain " + by.Chain + ", drop"
		if by.Text() != "" {
			what = by.NFT.String()
		}
		if l.Tables.Family == packet.IPv6 && strings.HasPrefix(by.Table, "inet ") && d.told["SD017 "+by.String()+what] {
			continue // reported for IPv4
		}
		if d.told == nil {
			d.told = map[string]bool{}
		}
		d.told["SD017 "+by.String()+what] = true
		f := Finding{Code: "SD017", Summary: fmt.Sprintf("table %s cuts traffic of containers: %s", by.Table, what),
			Place:   fmt.Sprintf("table %s, chain %s", by.Table, by.Chain),
			Detail:  "A drop in any base chain is final, in whichever table; an accept only ends its own chain. Both directions of every connection traverse the forward hook.",
			Traffic: cut[by.Table+" "+by.Chain+" "+by.Text()],
			Advice:  "accept \"ct state established,related\" first in that chain, and what comes from the bridges; or bind the drop to the outside interface and to \"ct direction original\""}
		if by.Line() > 0 {
			f.Place += fmt.Sprintf(", line %d", by.Line())
		}
		d.add(f)
	}
}

// leftOver finds what an engine that used iptables has left: rules in DOCKER-USER, and the policy
// of FORWARD.
func (d *doctor) leftOver(l *docker.Layout) {
	family := nftables.IP
	if l.Tables.Family == packet.IPv6 {
		family = nftables.IP6
	}
	t := l.Tables.NFT.Table(family, "filter")
	if t == nil || !t.IPTables() {
		return
	}
	if c := t.Chain(iptables.DockerUser); c != nil && slices.ContainsFunc(c.Rules, func(r *nftables.Rule) bool {
		return !strings.HasSuffix(r.String(), "return") || len(r.Statements) > 2
	}) {
		d.add(Finding{Code: "SD013", Summary: fmt.Sprintf("DOCKER-USER has rules, and Docker uses its nftables backend, for IPv%d", l.Tables.Family), Place: place(l.Tables.Family, iptables.DockerUser, c.Line),
			Detail:  "That backend has no DOCKER-USER chain. A jump to it that an earlier engine made stays until the next reboot, and is then gone without a message.",
			Traffic: []string{"every published port after the next reboot: no DOCKER-USER rule applies"},
			Advice:  "move the rules to a table of their own: seawall compile --format nftables"})
	}
	if c := t.Chain("FORWARD"); c != nil && c.Hook != nil && c.Hook.Policy == "drop" {
		d.add(Finding{Code: "SD013", Summary: fmt.Sprintf("FORWARD's policy in iptables is still DROP for IPv%d", l.Tables.Family), Place: place(l.Tables.Family, "FORWARD", c.Line),
			Detail:  "An engine that used iptables set it. A packet has to pass both iptables and Docker's tables.",
			Traffic: []string{"connections to published ports and connections from containers that no rule of FORWARD accepts: denied"},
			Advice:  command(l.Tables.Family) + " -P FORWARD ACCEPT, if this host does not route for other networks; otherwise accept container traffic in FORWARD"})
	}
}

// nftNotes are remarks about a host whose Docker uses its nftables backend.
func nftNotes(l *docker.Layout) []string {
	var list []string
	if names := l.Unmasked(); len(names) > 0 {
		list = append(list, fmt.Sprintf("%v: no rule masquerades what the containers of %s send to the outside. Where that is not intended (enable_ip_masquerade = false), they get no replies: %s.", l.Tables.Family, strings.Join(names, ", "), restart))
	}
	t := l.Tables.NFT.Table(nftables.IP, "filter")
	if l.Tables.Family == packet.IPv4 && l.Tables.NFT.Table(nftables.Inet, nftables.TableName) != nil && t != nil && slices.ContainsFunc(t.Chains, func(c *nftables.Chain) bool { return strings.HasPrefix(c.Name, "SEAWALL") }) {
		list = append(list, "the host has Seawall's rules in both formats, iptables and nftables. That is safe, and needless: a packet has to pass both.")
	}
	return list
}
