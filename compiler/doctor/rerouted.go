package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/netfilter"
	"github.com/seawall/seawall/compiler/packet"
)

// rerouted finds rules of others in raw, mangle and nat that keep clients' packets from
// the container to which Docker sends them, or containers' packets from the outside or
// from an address of the host, and those that let others in where Docker's rules in raw
// keep them out. A rule about certain ports or sources is taken to be meant.
func (d *doctor) rerouted(l *docker.Layout) {
	list := elsewhere(l)
	if len(list) == 0 {
		return
	}
	for _, f := range list {
		if port := unpublished(f); port != "" {
			d.reroutedBy(l, f, []string{"clients of " + port + " get to a container that does not publish it"})
		}
	}
	now := d.passages(l.Tables, l)
	for _, f := range list {
		after := l.Tables
		if !takenOut(&after, f) {
			continue
		}
		if !slices.ContainsFunc(now, func(p passage) bool { return !p.right }) {
			break
		}
		var changed []string
		for i, p := range d.passages(after, l) {
			if p.right && !now[i].right && !p.meant(f.Rule) {
				changed = append(changed, p.what)
			}
		}
		if len(changed) > 0 {
			d.reroutedBy(l, f, changed)
		}
	}
	for _, f := range list {
		if changed := unmasqueraded(l, f); len(changed) > 0 {
			d.reroutedBy(l, f, changed)
		}
	}
}

// unpublished is the port of a rule among Docker's own that sends clients to a container
// that does not publish it, as Docker says; "" for another rule.
func unpublished(f docker.Foreign) string {
	if f.Table != "nat" || !f.Own || f.Rule.Target.Name != "DNAT" {
		return ""
	}
	port, ok := option(f.Rule.Body, "--dport")
	if !ok {
		return "other ports"
	}
	return fmt.Sprintf("port %s/%s", port, f.Rule.Protocol.Name)
}

// elsewhere are the rules of others in raw, mangle and nat.
func elsewhere(l *docker.Layout) []docker.Foreign {
	list := slices.DeleteFunc(l.Foreign(), func(f docker.Foreign) bool { return f.Table == "filter" })
	if t := l.Tables.Mangle; t != nil {
		for _, c := range t.Chains {
			for i, r := range c.Rules {
				list = append(list, docker.Foreign{Table: "mangle", Chain: c.Name, Index: i, Rule: r})
			}
		}
	}
	return list
}

// takenOut takes a rule out of the tables; false where they cannot be without it.
func takenOut(t *docker.Tables, f docker.Foreign) bool {
	for _, table := range []**iptables.Table{&t.Raw, &t.Mangle, &t.Nat} {
		if *table != nil && (*table).Name == f.Table {
			*table = edited(*table, t.Family, []edit{{"-D", f.Chain, fmt.Sprint(f.Index + 1)}})
			return *table != nil
		}
	}
	return false
}

// passage is a way through raw, mangle and nat that Docker's rules count on.
type passage struct {
	what  string // what is wrong where it is not right
	right bool
	meant func(*iptables.Rule) bool // a rule that makes it wrong and is meant to
}

// passages are the ways of a client's packet to each published port, of the packets of
// each network's containers to the outside, and of packets to those addresses of
// containers that Docker closes in raw. They are the same ways for all tables of a host.
func (d *doctor) passages(t docker.Tables, l *docker.Layout) []passage {
	host := netfilter.Host{Family: t.Family, Raw: t.Raw, Mangle: t.Mangle, Nat: t.Nat}
	for _, r := range l.Routes() {
		host.Routes = append(host.Routes, netfilter.Route{To: r.To, Interface: r.Bridge})
	}
	in := d.interfaces()[0]
	everywhere := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	client, self := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("198.51.100.2")
	if t.Family == packet.IPv6 {
		everywhere = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		client, self = netip.MustParseAddr("2001:db8:ffff::9"), netip.MustParseAddr("2001:db8::2")
	}
	host.Routes = append(host.Routes, netfilter.Route{To: everywhere, Interface: in})
	follower := netfilter.New(host, in)
	// comes reports whether a packet from a source ends as is wanted.
	comes := func(x packet.Packet, local bool, from netip.Addr, wanted func(netfilter.End) bool) bool {
		ends, err := follower.Follow(d.ctx, x, local, d.limits)
		return err != nil || slices.ContainsFunc(ends, func(e netfilter.End) bool { return wanted(e) && e.Sources.Has(diagram.OfAddr(from)) })
	}
	var list []passage
	for _, p := range l.Published {
		if p.Port == 0 || p.Said || p.Address.IsLoopback() {
			continue // nothing is sent there
		}
		x := packet.Packet{In: in, Protocol: protocolOf(p.Protocol), TCPFlags: packet.SYN, Sport: 40000, Dest: self, Dport: p.Port}
		if p.Address.IsValid() {
			x.Dest = p.Address
		}
		there := comes(x, true, client, func(e netfilter.End) bool {
			return e.Packet.Dest == p.To.Addr() && e.Packet.Dport == int(p.To.Port()) && !e.Verdict.IsClosed()
		})
		list = append(list, passage{fmt.Sprintf("new connections to %d/%s: they do not get to %s, or not by way of DOCKER-USER", p.Port, p.Protocol, p.To), there, closesSome})
	}
	for _, n := range l.Networks {
		if len(n.Subnets) == 0 {
			continue
		}
		x := packet.Packet{In: n.Bridge, Protocol: packet.TCP, TCPFlags: packet.SYN, Sport: 40000, Dest: self, Dport: 443}
		out := comes(x, false, n.Subnets[0].Addr().Next().Next(), func(e netfilter.End) bool {
			return !e.Verdict.IsClosed() && e.Packet.State != packet.Untracked && e.Packet.Dest == x.Dest
		})
		list = append(list, passage{"connections of the containers of " + n.Bridge + " to the outside, and their answers to clients: they are dropped, sent elsewhere, or not tracked", out, closesSome})
	}
	for _, r := range closedInRaw(l) {
		x := packet.Packet{In: in, Protocol: packet.TCP, TCPFlags: packet.SYN, Sport: 40000, Dest: r.Dest.Prefix.Addr(), Dport: 80}
		open := comes(x, false, client, func(e netfilter.End) bool { return e.Verdict.IsOpen() })
		list = append(list, passage{"connections from outside to " + x.Dest.String() + " by its own address: let past Docker's rule in raw", !open, particular})
	}
	return list
}

// closesSome reports whether a rule closes certain ports or sources.
func closesSome(r *iptables.Rule) bool { return closed(r) && particular(r) }

// closedInRaw are Docker's rules in raw that keep others from a container's address.
func closedInRaw(l *docker.Layout) []*iptables.Rule {
	if l.Tables.Raw == nil || l.Tables.Raw.Chain("PREROUTING") == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(l.Tables.Raw.Chain("PREROUTING").Rules), func(r *iptables.Rule) bool {
		return r.Target.Name != "DROP" || !r.Dest.Prefix.IsSingleIP() || r.Dest.Not || !r.In.Not || l.NetworkOf(r.In.Name) == nil || len(r.Matches) > 0
	})
}

// particular reports whether a rule asks for more than an interface and a protocol.
func particular(r *iptables.Rule) bool {
	return r.Source.Prefix.IsValid() || r.Dest.Prefix.IsValid() || len(r.Matches) > 0 || len(r.Masks) > 0 || r.Unread != ""
}

// unmasqueraded are the networks whose packets a rule before Docker's leaves with their
// own addresses.
func unmasqueraded(l *docker.Layout, f docker.Foreign) []string {
	r := f.Rule
	if f.Table != "nat" || f.Chain != "POSTROUTING" || r.Target.Name != "ACCEPT" && r.Target.Name != "RETURN" || r.Dest.Prefix.IsValid() || len(r.Matches) > 0 || r.Unread != "" || r.Source.Not || r.Out.Not {
		return nil
	}
	var list []string
	for i, m := range l.Tables.Nat.Chain("POSTROUTING").Rules {
		covered := m.Source.Prefix.IsValid() && (!r.Source.Prefix.IsValid() || r.Source.Prefix.Bits() <= m.Source.Prefix.Bits() && r.Source.Prefix.Contains(m.Source.Prefix.Addr()))
		if n := l.NetworkOf(m.Out.Name); i > f.Index && m.Target.Name == "MASQUERADE" && m.Out.Not && n != nil && covered && r.Out.Name != n.Bridge {
			list = append(list, fmt.Sprintf("connections of the containers of %s to the outside: they leave with an address that nobody can answer", n.Bridge))
		}
	}
	return list
}

func (d *doctor) reroutedBy(l *docker.Layout, f docker.Foreign, changed []string) {
	if n := len(changed) - maxTraffic; n > 1 {
		changed = append(changed[:maxTraffic], fmt.Sprintf("and %d more like these", n))
	}
	words := []string{command(l.Tables.Family), "-t", f.Table, "-D", f.Chain}
	for _, w := range spec(f.Rule) {
		words = append(words, ShellWord(w))
	}
	d.carryCommands(l.Tables.Family, []string{strings.Join(append([]string{command(l.Tables.Family), "-t", f.Table, "-D", f.Chain}, f.Rule.Spec()), " ")})
	d.add(Finding{Code: "SD015", Summary: fmt.Sprintf("a rule in %s of the %s table changes what Docker's rules do: %s", f.Chain, f.Table, f.Rule.String(f.Chain)),
		Place:  place(l.Tables.Family, "table "+f.Table+", "+f.Chain, int(f.Rule.Line)),
		Detail: "It comes to packets before Docker's rules do. Who may reach a published port belongs in DOCKER-USER.", Traffic: changed, Fix: []string{strings.Join(words, " ")}})
}
