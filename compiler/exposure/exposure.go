// Package exposure reports who can reach each port that Docker opens on a host. It follows
// packets through the raw, mangle, nat and filter tables, and the base chains of nft, with package
// netfilter. Tables in, a report out.
//
//	exposure.go  the report
//	ports.go     the ports to examine
//	address.go   the addresses and ports to send packets to
//	nftables.go  what the rules of a ruleset of nft name
//	way.go       who gets in, and how
//	write.go     the report as text, Markdown, HTML and JSON
package exposure

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/netfilter"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// Host is the host to examine.
type Host struct {
	Families   []docker.Tables
	Interfaces []string // where outside traffic arrives
	// Known is what Docker reports about its containers; nil uses what the tables have.
	Known *docker.Known
	// RouteLocalnet are the interfaces on which the kernel accepts IPv4 packets to the loopback
	// (net.ipv4.conf.*.route_localnet), as kube-proxy enables.
	RouteLocalnet []string
	// Unseen is what of the host could not be read, for the report's notes.
	Unseen []string
}

// Report is every port that Docker opens, and notes about the whole host.
type Report struct {
	Families []packet.Family // those of which there were rules
	Ports    []*Port         // sorted by port, those of whole networks last
	Notes    []string
}

// Port is one port that Docker opens, and who can reach it.
type Port struct {
	Opened   docker.Opened
	Protocol string // "" for every protocol
	Port     int    // 0 for every port, or on an unprotected network for those that no rule names
	// Last is the last of several ports, from Port on, that are treated alike; 0 for one port.
	Last int
	// Address is the host address, or "" for every address; for a routed or unprotected port, the
	// container's address or the CIDR of its network.
	Address       string
	Container     string // address and port in each family; "" if unknown
	ContainerName string // "" if unknown
	Bridge        string
	Local         bool // it is only published on the loopback, and nobody else can reach it
	Ways          []Way

	anchor string // its place on a page
}

// Name is the port as Docker writes it.
func (p *Port) Name() string {
	text := fmt.Sprintf("%d/%s", p.Port, p.Protocol)
	switch a, err := netip.ParseAddr(p.Address); {
	case p.Port == 0:
		text = "every port"
		if p.Protocol != "" {
			text = "every " + p.Protocol + " port"
		}
		if p.Address != "" {
			text += " of " + p.Address
		}
	case p.Opened == docker.Unprotected:
		if p.Last != 0 {
			text = fmt.Sprintf("%d-%d/%s", p.Port, p.Last, p.Protocol)
		}
		if p.Address != "" {
			text += " of " + p.Address
		}
	case err == nil:
		text = netip.AddrPortFrom(a, uint16(p.Port)).String() + "/" + p.Protocol
	}
	return text
}

// reader produces one report.
type reader struct {
	ctx       context.Context
	limits    prove.Limits
	host      Host
	families  []*family
	ports     []*found
	notes     []string
	haveProxy bool // rules show that docker-proxy runs
}

// family holds the rules of one family.
type family struct {
	*docker.Layout
	packet.Family
	routes   []docker.Route
	follower *netfilter.Follower
	named    []netip.Prefix // the host addresses that rules name
	port     int            // one that no rule names
	ports    []portRange    // those that rules name; each range is treated alike
}

// Of determines who can reach what, from each of the interfaces. It follows the first
// packet of a new connection, from a port that clients use, through every table.
//
// Docker's userland proxy listens on published ports, on every host address in both
// families unless Docker reports otherwise. Where the packet has not been rewritten (no
// DNAT in that family), a client gets in there and bypasses FORWARD (NETFILTER.md section 2).
//
// Tables of iptables and of nft are met in the order of their priorities. A drop in any of them is
// final, and an accept is not.
//
// The host is assumed to forward packets. Replies and other processes on the host are not
// examined.
//
// The error is for tables that iptables itself would reject, a *prove.HardError, or
// the context's.
func Of(ctx context.Context, h Host, limits prove.Limits) (*Report, error) {
	for _, t := range h.Families {
		if h.Known == nil {
			h.Known = t.Known
		}
	}
	r := &reader{ctx: ctx, limits: limits, host: h}
	for _, f := range packet.Families {
		for _, t := range h.Families {
			if t.Family == f {
				r.families = append(r.families, r.family(t))
			}
		}
	}
	r.find()
	for _, x := range r.ports {
		if err := r.ways(x); err != nil {
			return nil, err
		}
	}
	report := &Report{Ports: r.sorted()}
	for _, f := range r.families {
		report.Families = append(report.Families, f.Family)
	}
	r.notes = append(r.notes, h.Unseen...)
	r.unseen()
	r.sentByOthers()
	if err := r.direct(); err != nil {
		return nil, err
	}
	report.Notes = r.notes
	return report, nil
}

func (r *reader) family(t docker.Tables) *family {
	l := docker.Look(t)
	f := &family{Layout: l, Family: t.Family, routes: l.Routes()}
	if r.host.Known != nil {
		for _, n := range r.host.Known.Networks {
			for _, s := range n.Subnets {
				if n.Bridge != "" && s.Addr().Is4() == (t.Family == packet.IPv4) {
					f.routes = append(f.routes, docker.Route{To: s, Bridge: n.Bridge})
				}
			}
		}
	}
	for _, p := range l.Ports() {
		known := func(x docker.Route) bool { return x.Bridge == p.Bridge && !x.To.IsSingleIP() }
		if p.Opened == docker.Unprotected && !slices.ContainsFunc(f.routes, known) {
			f.routes = append(f.routes, docker.Route{To: f.noSubnet(p.Bridge), Bridge: p.Bridge})
		}
	}
	h := netfilter.Host{Family: t.Family, Raw: t.Raw, Mangle: t.Mangle, Nat: t.Nat, Filter: t.Filter, Security: t.Security, NFT: t.NFT, RouteLocalnet: r.host.RouteLocalnet}
	if o := t.Other; o != nil {
		h.Other = netfilter.Tables{Raw: o.Table("raw"), Mangle: o.Table("mangle"), Nat: o.Table("nat"), Filter: o.Table("filter"), Security: o.Table("security")}
	}
	for _, x := range f.routes {
		h.Routes = append(h.Routes, netfilter.Route{To: x.To, Interface: x.Bridge})
	}
	f.follower = netfilter.New(h, r.host.Interfaces...)
	f.named, f.port, f.ports = f.namedAddresses(), f.unnamedPort(), f.namedPorts()
	return f
}

// sorted returns the ports in order. Those of a whole network become one if tcp and udp do not
// differ.
func (r *reader) sorted() []*Port {
	r.ports = alike(r.ports)
	slices.SortStableFunc(r.ports, order)
	var list []*Port
	for _, x := range r.ports {
		if len(x.Ways) == 0 && !x.Local {
			continue // in a family without any rules
		}
		if n := len(list); n > 0 && x.Opened == docker.Unprotected && x.Port.Port == 0 {
			if last := list[n-1]; last.Opened == x.Opened && last.Bridge == x.Bridge && last.Address == x.Address && sameWays(last.Ways, x.Ways) {
				last.Protocol = ""
				continue
			}
		}
		list = append(list, &x.Port)
	}
	return list
}

// alike removes the named ports of unprotected networks that are treated like the other ports
// there, and merges adjacent ones that are treated alike.
func alike(list []*found) []*found {
	var out []*found
	var others *found // the ports of the same address that no rule names
	for _, x := range list {
		switch {
		case x.Opened != docker.Unprotected:
		case x.Port.Port == 0:
			others = x
		case sameWays(x.Ways, others.Ways):
			continue
		default:
			before := out[len(out)-1]
			if before.Opened == docker.Unprotected && before.Protocol == x.Protocol && before.address == x.address && before.last()+1 == x.Port.Port && sameWays(before.Ways, x.Ways) {
				before.Last = x.last()
				continue
			}
		}
		out = append(out, x)
	}
	return out
}

// last is the last of its ports.
func (p *Port) last() int { return max(p.Port, p.Last) }

func order(a, b *found) int {
	if whole := a.Port.Port == 0; whole != (b.Port.Port == 0) {
		if whole {
			return 1
		}
		return -1
	} else if whole {
		return cmp.Or(cmp.Compare(a.Bridge, b.Bridge), a.address.Compare(b.address), cmp.Compare(a.Protocol, b.Protocol))
	}
	return cmp.Or(cmp.Compare(a.Port.Port, b.Port.Port), cmp.Compare(a.Protocol, b.Protocol), a.address.Compare(b.address), cmp.Compare(a.Opened, b.Opened))
}

// unseen notes what could not be examined.
func (r *reader) unseen() {
	for _, f := range packet.Families {
		i := slices.IndexFunc(r.families, func(x *family) bool { return x.Family == f })
		switch {
		case i < 0:
			r.note("no %v rules were given, so the report does not cover %[1]v", f)
		case len(r.families[i].ports) > most && slices.ContainsFunc(r.ports, func(x *found) bool { return x.Opened == docker.Unprotected }):
			r.note("the %v rules name many ports; on unprotected networks, only the first %d were examined", f, most)
		case len(r.families[i].named) > most:
			r.note("the %v rules name %d addresses; of those that may be the host's own, only the first %d were examined", f, len(r.families[i].named), most)
		case r.families[i].Engine != docker.NoEngine && !r.families[i].Tables.ByNFT() && r.families[i].Tables.Nat == nil:
			r.note("the %v rules have no nat table, where Docker publishes ports", f)
		}
	}
}

// sentByOthers notes the rules in nat PREROUTING and its chains that are not Docker's and send
// packets to containers, or to other ports of the host.
func (r *reader) sentByOthers() {
	for _, f := range r.families {
		if f.Tables.NFT != nil {
			r.sentByTables(f)
		}
		if f.Tables.Nat == nil {
			continue
		}
		for _, c := range f.Tables.Nat.Chains {
			if c.Name == "DOCKER" || c.Name == "DOCKER-INGRESS" || c.Name == "OUTPUT" {
				continue
			}
			for _, rule := range c.Rules() {
				if to := r.sends(f, rule); to != "" {
					r.note("a rule that is not Docker's sends %v packets to %s; anything it opens apart from Docker's ports is not listed: -t nat %s", f.Family, to, rule.String(c.Name))
				}
			}
		}
	}
}

// sends is the container, or the published port of the host, to which a rule sends packets; ""
// for neither.
func (r *reader) sends(f *family, rule *iptables.Rule) string {
	u := rule.Target.Use()
	if u == nil {
		return ""
	}
	d, ok := u.Destination(f.Family)
	if !ok {
		return ""
	}
	return r.destination(f, d.Host, d.Addresses[0], d.Ports[0])
}

// destination is the container, or the published port of the host, at an address and port; "" for
// neither.
func (r *reader) destination(f *family, host bool, a netip.Addr, port int) string {
	switch {
	case host && slices.ContainsFunc(r.ports, func(x *found) bool { return port != 0 && x.Port.Port == port }):
		return fmt.Sprintf("port %d on the host", port)
	case a.IsValid() && slices.ContainsFunc(f.routes, func(x docker.Route) bool { return x.To.Contains(a) }):
		if port != 0 {
			return netip.AddrPortFrom(a, uint16(port)).String()
		}
		return a.String()
	}
	return ""
}

func (r *reader) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}
