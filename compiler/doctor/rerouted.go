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

// rerouted finds foreign rules in raw, mangle and nat that keep clients' packets from the
// container to which Docker sends them, or containers' packets from the outside or from an
// address of the host; and rules that let in what Docker's raw rules keep out. A rule for certain
// ports or sources is taken to be intended.
func (d *doctor) rerouted(l *docker.Layout) {
	list := elsewhere(l)
	if len(list) == 0 {
		return
	}
	list = slices.DeleteFunc(list, func(f docker.Foreign) bool {
		changed := append(unpublished(f), answersCut(l, d.interfaces(), f)...)
		if len(changed) > 0 {
			d.reroutedBy(l, f, changed)
		}
		return len(changed) > 0
	})
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

// unpublished describes a DNAT rule in Docker's own chain that is not Docker's.
func unpublished(f docker.Foreign) []string {
	if f.Table != "nat" || !f.Own || f.Rule.Target.Name != "DNAT" {
		return nil
	}
	clients := "clients of other ports"
	if port, ok := option(f.Rule.Body, "--dport"); ok {
		clients = fmt.Sprintf("clients of port %s/%s", port, f.Rule.Protocol.Name)
	}
	return []string{clients + ": they are sent where Docker does not send them"}
}

// answersCut describes a mangle rule that drops packets of established connections: a packet that
// opens one does not match it.
func answersCut(l *docker.Layout, outside []string, f docker.Foreign) []string {
	r := f.Rule
	state, ok := option(r.Body, "--ctstate", "--state")
	if dir, isDir := option(r.Body, "--ctdir"); isDir {
		state, ok = strings.Replace(dir, "REPLY", "ESTABLISHED", 1), true
	}
	if f.Table != "mangle" || f.Chain == "INPUT" || f.Chain == "OUTPUT" || !closed(r) || particular(r) || !ok || !strings.Contains(state, "ESTABLISHED") {
		return nil
	}
	about := func(i iptables.Interface) bool {
		return i.Name == "" || !i.Not && (slices.Contains(outside, i.Name) || l.NetworkOf(i.Name) != nil)
	}
	if !about(r.In) || !about(r.Out) {
		return nil
	}
	return []string{"replies, and all later packets of a container's connection: they are dropped"}
}

// elsewhere are the foreign rules in raw, mangle and nat.
func elsewhere(l *docker.Layout) []docker.Foreign {
	list := slices.DeleteFunc(l.Foreign(), func(f docker.Foreign) bool { return f.Table == "filter" })
	if t := l.Tables.Mangle; t != nil {
		for _, c := range t.Chains {
			for i, r := range c.Rules() {
				list = append(list, docker.Foreign{Table: "mangle", Chain: c.Name, Index: i, Rule: r})
			}
		}
	}
	return list
}

// takenOut deletes a rule from the tables; false if the result does not load.
func takenOut(t *docker.Tables, f docker.Foreign) bool {
	for _, table := range []**iptables.Table{&t.Raw, &t.Mangle, &t.Nat} {
		if *table != nil && (*table).Name == f.Table {
			*table = edited(*table, t.Family, []edit{{"-D", f.Chain, fmt.Sprint(f.Index + 1)}})
			return *table != nil
		}
	}
	return false
}

// passage is a path through raw, mangle and nat that Docker's rules rely on.
type passage struct {
	what  string // the problem if it is not right
	right bool
	meant func(*iptables.Rule) bool // reports whether a rule that breaks it is intended to
}

// passages are the paths of a client's packet to each published port, of packets from each
// network's containers to the outside, and of packets to the container addresses that Docker
// closes in raw. All versions of a host's tables have the same passages.
func (d *doctor) passages(t docker.Tables, l *docker.Layout) []passage {
	w := d.traveller(t, l)
	var list []passage
	for _, p := range l.Published {
		if p.Port > 0 && !p.Said && !p.Address.IsLoopback() { // otherwise nothing is sent there
			list = append(list, w.inwards(p))
		}
	}
	for _, n := range l.Networks {
		if len(n.Subnets) > 0 {
			list = append(list, w.outwards(n))
		}
	}
	for _, r := range closedInRaw(l) {
		list = append(list, w.direct(r.Dest.Prefix.Addr()))
	}
	return list
}

// traveller sends packets through a family's tables, except filter.
type traveller struct {
	*doctor
	*netfilter.Follower
	in     string     // an outside interface
	client netip.Addr // a host there
	self   netip.Addr // the host's own address, or a server's
}

func (d *doctor) traveller(t docker.Tables, l *docker.Layout) *traveller {
	w := &traveller{doctor: d, in: d.interfaces()[0], client: netip.MustParseAddr("203.0.113.9"), self: netip.MustParseAddr("198.51.100.2")}
	everywhere := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if t.Family == packet.IPv6 {
		everywhere = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		w.client, w.self = netip.MustParseAddr("2001:db8:ffff::9"), netip.MustParseAddr("2001:db8::2")
	}
	host := netfilter.Host{Family: t.Family, Raw: t.Raw, Mangle: t.Mangle, Nat: t.Nat, Routes: []netfilter.Route{{To: everywhere, Interface: w.in}}}
	for _, r := range l.Routes() {
		host.Routes = append(host.Routes, netfilter.Route{To: r.To, Interface: r.Bridge})
	}
	w.Follower = netfilter.New(host, w.in)
	return w
}

// ends reports whether a packet from a source may end as wanted. If that cannot be evaluated, it
// reports true.
func (w *traveller) ends(x packet.Packet, local bool, from netip.Addr, wanted func(netfilter.End) bool) bool {
	ends, err := w.Follow(w.ctx, x, local, w.limits)
	return err != nil || slices.ContainsFunc(ends, func(e netfilter.End) bool { return wanted(e) && e.Sources.Has(diagram.OfAddr(from)) })
}

func (w *traveller) inwards(p *docker.Published) passage {
	x := packet.Packet{In: w.in, Protocol: protocolOf(p.Protocol), TCPFlags: packet.SYN, Sport: 40000, Dest: w.self, Dport: p.Port}
	if p.Address.IsValid() {
		x.Dest = p.Address
	}
	there := w.ends(x, true, w.client, func(e netfilter.End) bool {
		return e.Packet.Dest == p.To.Addr() && e.Packet.Dport == int(p.To.Port()) && !e.Verdict.IsClosed()
	})
	return passage{fmt.Sprintf("new connections to %d/%s: they do not reach %s, or they bypass DOCKER-USER", p.Port, p.Protocol, p.To), there, closesSome}
}

func (w *traveller) outwards(n *docker.Network) passage {
	x := packet.Packet{In: n.Bridge, Protocol: packet.TCP, TCPFlags: packet.SYN, Sport: 40000, Dest: w.self, Dport: 443}
	out := w.ends(x, false, n.Subnets[0].Addr().Next().Next(), func(e netfilter.End) bool {
		return !e.Verdict.IsClosed() && e.Packet.State != packet.Untracked && e.Packet.Dest == x.Dest
	})
	return passage{"connections from the containers of " + n.Bridge + " to the outside, and their replies to clients: they are dropped, sent elsewhere, or not tracked", out, closesSome}
}

func (w *traveller) direct(container netip.Addr) passage {
	x := packet.Packet{In: w.in, Protocol: packet.TCP, TCPFlags: packet.SYN, Sport: 40000, Dest: container, Dport: 80}
	open := w.ends(x, false, w.client, func(e netfilter.End) bool { return e.Verdict.IsOpen() })
	return passage{"connections from outside to " + container.String() + " by its own address: let through despite Docker's rule in raw", !open, particular}
}

// closesSome reports whether a rule closes certain ports or sources.
func closesSome(r *iptables.Rule) bool { return closed(r) && particular(r) }

// closedInRaw are Docker's raw rules that keep others from a container's address.
func closedInRaw(l *docker.Layout) []*iptables.Rule {
	if l.Tables.Raw == nil || l.Tables.Raw.Chain("PREROUTING") == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(l.Tables.Raw.Chain("PREROUTING").Rules()), func(r *iptables.Rule) bool {
		return r.Target.Name != "DROP" || !r.Dest.Prefix.IsSingleIP() || r.Dest.Not || !r.In.Not || l.NetworkOf(r.In.Name) == nil || len(r.Matches) > 0
	})
}

// particular reports whether a rule matches more than an interface, a protocol and a state.
func particular(r *iptables.Rule) bool {
	asks := func(m iptables.Match) bool {
		return slices.ContainsFunc(m.Options, func(o iptables.Option) bool {
			return o.Name != "--ctstate" && o.Name != "--state" && o.Name != "--ctdir"
		})
	}
	return r.Source.Prefix.IsValid() || r.Dest.Prefix.IsValid() || slices.ContainsFunc(r.Matches, asks) || len(r.Masks) > 0 || r.Unread != ""
}

// unmasqueraded are the networks whose packets keep their own addresses because of a rule before
// Docker's.
func unmasqueraded(l *docker.Layout, f docker.Foreign) []string {
	r := f.Rule
	if f.Table != "nat" || f.Chain != "POSTROUTING" || r.Target.Name != "ACCEPT" && r.Target.Name != "RETURN" || r.Dest.Prefix.IsValid() || len(r.Matches) > 0 || r.Unread != "" || r.Source.Not || r.Out.Not {
		return nil
	}
	var list []string
	for i, m := range l.Tables.Nat.Chain("POSTROUTING").Rules() {
		covered := m.Source.Prefix.IsValid() && (!r.Source.Prefix.IsValid() || r.Source.Prefix.Bits() <= m.Source.Prefix.Bits() && r.Source.Prefix.Contains(m.Source.Prefix.Addr()))
		if n := l.NetworkOf(m.Out.Name); i > f.Index && m.Target.Name == "MASQUERADE" && m.Out.Not && n != nil && covered && r.Out.Name != n.Bridge {
			list = append(list, fmt.Sprintf("connections from the containers of %s to the outside: they leave with a source address that nobody can reply to", n.Bridge))
		}
	}
	return list
}

func (d *doctor) reroutedBy(l *docker.Layout, f docker.Foreign, changed []string) {
	if n := len(changed) - maxTraffic; n > 1 {
		changed = append(changed[:maxTraffic], fmt.Sprintf("and %d more", n))
	}
	words := []string{command(l.Tables.Family), "-t", f.Table, "-D", f.Chain}
	for _, w := range spec(f.Rule) {
		words = append(words, ShellWord(w))
	}
	d.carryCommands(l.Tables.Family, []string{strings.Join(append([]string{command(l.Tables.Family), "-t", f.Table, "-D", f.Chain}, f.Rule.Spec()), " ")})
	d.add(Finding{Code: "SD015", Summary: fmt.Sprintf("a rule in %s of the %s table changes what Docker's rules do: %s", f.Chain, f.Table, f.Rule.String(f.Chain)),
		Place:  place(l.Tables.Family, "table "+f.Table+", "+f.Chain, int(f.Rule.Line)),
		Detail: "It sees packets before Docker's rules do. Rules about who may reach a published port belong in DOCKER-USER.", Traffic: changed, Fix: []string{strings.Join(words, " ")}})
}
