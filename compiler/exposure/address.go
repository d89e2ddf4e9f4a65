package exposure

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// hostTables are the tables whose rules may name the host's addresses.
func (f *family) hostTables() []*iptables.Table {
	t := f.Layout.Tables
	list := []*iptables.Table{t.Raw, t.Mangle, t.Nat, t.Filter, t.Security}
	if t.Other != nil {
		list = append(list, t.Other.Tables...)
	}
	return slices.DeleteFunc(list, func(t *iptables.Table) bool { return t == nil })
}

// namedAddresses are the host addresses that rules match as the current or original destination,
// in order.
func (f *family) namedAddresses() []netip.Prefix {
	var list []netip.Prefix
	add := func(p netip.Prefix) {
		if slices.ContainsFunc(f.routes, func(r docker.Route) bool { return r.To.Overlaps(p) }) {
			return // a container's
		}
		if a := p.Addr(); p.Bits() > 0 && !a.IsLoopback() && !a.IsMulticast() && !a.IsUnspecified() && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	for _, t := range f.hostTables() {
		for _, c := range t.Chains {
			for _, r := range c.Rules() {
				if r.Dest.Prefix.IsValid() {
					add(r.Dest.Prefix)
				}
				for _, p := range originals(r, f.Family) {
					add(p)
				}
			}
		}
	}
	for _, p := range f.nftNamed().addresses {
		add(p)
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return list
}

// originals are the addresses of a rule's --ctorigdst.
func originals(r *iptables.Rule, f packet.Family) []netip.Prefix {
	var list []netip.Prefix
	for _, m := range r.Matches {
		for _, o := range m.Options {
			if o.Name != "--ctorigdst" || len(o.Values) != 1 {
				continue
			}
			p, err := netip.ParsePrefix(o.Values[0])
			if a, notPrefix := netip.ParseAddr(o.Values[0]); notPrefix == nil {
				p, err = netip.PrefixFrom(a, a.BitLen()), nil
			}
			if err == nil && p.Addr().Is4() == (f == packet.IPv4) {
				list = append(list, p)
			}
		}
	}
	return list
}

// anywhere is an address that no rule names, standing for all other addresses of the host.
func (f *family) anywhere() netip.Addr {
	list := []string{"198.51.100.2", "203.0.113.2", "192.0.2.2", "100.64.0.2", "9.9.9.2"}
	if f.Family == packet.IPv6 {
		list = []string{"2001:db8::2", "2001:db8:1::2", "3fff::2", "2a00::2"}
	}
	for _, text := range list {
		a := netip.MustParseAddr(text)
		if !slices.ContainsFunc(f.named, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return a
		}
	}
	return netip.MustParseAddr(list[0])
}

// firstPort is the first port that is usually not assigned to a service.
const (
	firstPort = 1024
	maxPort   = 65535
)

// portRange is a range of ports that every rule treats alike.
type portRange struct{ first, last int }

// namedPorts splits the ports that rules name where one of their ranges begins or ends.
func (f *family) namedPorts() []portRange {
	var named [][2]int
	var starts []int
	for _, t := range f.hostTables() {
		for _, c := range t.Chains {
			for _, r := range c.Rules() {
				for _, p := range portsOf(r) {
					if p[0] <= p[1] && p[1] <= maxPort {
						named, starts = append(named, p), append(starts, p[0], p[1]+1)
					}
				}
			}
		}
	}
	for _, p := range f.nftNamed().ports {
		named, starts = append(named, p), append(starts, p[0], p[1]+1)
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	var list []portRange
	for i := range max(len(starts)-1, 0) {
		x := portRange{starts[i], starts[i+1] - 1}
		if x.first > 0 && slices.ContainsFunc(named, func(p [2]int) bool { return p[0] <= x.first && x.last <= p[1] }) {
			list = append(list, x)
		}
	}
	return list
}

// unnamedPort is a port that no rule matches, standing for all such ports.
func (f *family) unnamedPort() int {
	var list [][2]int
	for _, t := range f.hostTables() {
		for _, c := range t.Chains {
			for _, r := range c.Rules() {
				list = append(list, portsOf(r)...)
			}
		}
	}
	list = append(list, f.nftNamed().ports...)
	slices.SortFunc(list, func(a, b [2]int) int { return a[0] - b[0] })
	port := firstPort
	for _, p := range list {
		if port >= p[0] && port <= p[1] {
			port = p[1] + 1
		}
	}
	if port > maxPort {
		return firstPort
	}
	return port
}

// portsOf are the port ranges that a rule names.
func portsOf(r *iptables.Rule) (list [][2]int) {
	for _, m := range r.Matches {
		for _, o := range m.Options {
			if !strings.HasSuffix(o.Name, "port") && !strings.HasSuffix(o.Name, "ports") || len(o.Values) != 1 {
				continue
			}
			for _, text := range strings.Split(o.Values[0], ",") {
				first, last, isRange := strings.Cut(text, ":")
				if !isRange {
					last = first
				}
				a, err := strconv.Atoi(first)
				b, err2 := strconv.Atoi(last)
				if err == nil && err2 == nil {
					list = append(list, [2]int{a, b})
				}
			}
		}
	}
	return list
}

// noSubnet is a placeholder subnet for the route to a bridge whose addresses are not known.
func (f *family) noSubnet(bridge string) netip.Prefix {
	a := netip.MustParseAddr("192.0.0.8") // IPv4's dummy address (RFC 7600)
	if f.Family == packet.IPv6 {
		a = netip.MustParseAddr("100::2") // from the discard prefix (RFC 6666)
	}
	for slices.ContainsFunc(f.routes, func(r docker.Route) bool { return r.To.Contains(a) && r.Bridge != bridge }) {
		a = a.Next()
	}
	return netip.PrefixFrom(a, a.BitLen())
}
