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
		d.noTable(l.Tables)
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

// noTable finds that Docker's table of a family is missing, beside that of the other family.
// Docker makes none for IPv6 where daemon.json says so, which a saved host does not show.
func (d *doctor) noTable(t docker.Tables) {
	name := "ip docker-bridges"
	if t.Family == packet.IPv6 {
		name = "ip6 docker-bridges"
		if !d.host.Facts.Live || d.host.Facts.noIP6Tables() {
			return
		}
	}
	if t.NFT == nil || !slices.ContainsFunc(t.NFT.Tables, (*nftables.Table).Dockers) {
		return
	}
	d.add(Finding{Code: "SD001", Summary: "Docker's table " + name + " is missing", Place: "table " + name,
		Detail:  "Docker's table of the other family is there. Docker deletes and recreates its tables when it starts, and nothing else should write to them.",
		Traffic: []string{"only docker-proxy serves published ports, and networks are not isolated"}, Fix: []string{restart}})
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

// follower follows packets through the tables of nft alone.
func (d *doctor) follower(l *docker.Layout) *netfilter.Follower {
	if f := d.followers[l.Tables.Family]; f != nil {
		return f
	}
	names := slices.Clone(d.interfaces())
	for _, n := range l.Networks {
		names = append(names, n.Bridge)
	}
	f := netfilter.New(netfilter.Host{Family: l.Tables.Family, NFT: l.Tables.NFT}, names...)
	if d.followers == nil {
		d.followers = map[packet.Family]*netfilter.Follower{}
	}
	d.followers[l.Tables.Family] = f
	return f
}

// ownTables finds base chains of tables other than Docker's that drop what containers need. A
// drop in any base chain is final.
func (d *doctor) ownTables(l *docker.Layout) {
	follower := d.follower(l)
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
	left := leftOf(l.Tables)
	if left.user && !hasTable(l.Tables.NFT, nftables.TableName) {
		d.add(Finding{Code: "SD013", Summary: fmt.Sprintf("DOCKER-USER has rules, and Docker uses its nftables backend, for IPv%d", l.Tables.Family), Place: place(l.Tables.Family, iptables.DockerUser, left.userLine),
			Detail:  "That backend has no DOCKER-USER chain. A jump to it that an earlier engine made stays until the next reboot, and is then gone without a message.",
			Traffic: []string{"every published port after the next reboot: no DOCKER-USER rule applies"},
			Advice:  "move the rules to a table of their own: seawall compile --format nftables"})
	}
	if left.drops {
		d.add(Finding{Code: "SD013", Summary: fmt.Sprintf("FORWARD's policy in iptables is still DROP for IPv%d", l.Tables.Family), Place: place(l.Tables.Family, "FORWARD", left.forwardLine),
			Detail:  "An engine that used iptables set it. A packet has to pass both iptables and Docker's tables.",
			Traffic: []string{"connections to published ports and connections from containers that no rule of FORWARD accepts: denied"},
			Advice:  command(l.Tables.Family) + " -P FORWARD ACCEPT, if this host does not route for other networks; otherwise accept container traffic in FORWARD"})
	}
}

// leavings are what is left in the filter table.
type leavings struct {
	user, drops           bool // rules in DOCKER-USER; a policy DROP of FORWARD
	userLine, forwardLine int
}

// leftOf looks at the filter table of iptables-save, or else at what nft lists of it.
func leftOf(t docker.Tables) leavings {
	if t.OfIPTables() {
		x := leavings{user: ruled(t)}
		if c := t.Filter.Chain("FORWARD"); c != nil {
			x.drops = c.Policy == "DROP"
		}
		return x
	}
	family := nftables.IP
	if t.Family == packet.IPv6 {
		family = nftables.IP6
	}
	var x leavings
	filter := t.NFT.Table(family, "filter")
	if filter == nil || !filter.IPTables() {
		return x
	}
	if c := filter.Chain(iptables.DockerUser); c != nil {
		x.userLine = c.Line
		x.user = slices.ContainsFunc(c.Rules, func(r *nftables.Rule) bool {
			return !strings.HasSuffix(r.String(), "return") || len(r.Statements) > 2
		})
	}
	if c := filter.Chain("FORWARD"); c != nil && c.Hook != nil {
		x.drops, x.forwardLine = c.Hook.Policy == "drop", c.Line
	}
	return x
}

// nftNotes are remarks about a host whose Docker uses its nftables backend.
func nftNotes(l *docker.Layout) []string {
	names := l.Unmasked()
	if len(names) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%v: no rule masquerades what the containers of %s send to the outside. Where that is not intended (enable_ip_masquerade = false), they get no replies: %s.", l.Tables.Family, strings.Join(names, ", "), restart)}
}
