package match

import (
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

// addrtype matches the type of an address (libxt_addrtype.c;
// net/netfilter/xt_addrtype.c). It is evaluated only for the destination, and only
// if the type of the destination is given.
func init() {
	types := Option{Name: "src-type", Value: String, Not: true, Valid: validList(addressTypes...)}
	dst := types
	dst.Name = "dst-type"
	register(Module{Name: "addrtype", Kind: MatchKind, OneOf: []string{"src-type", "dst-type"}, Hooks: addrtypeHooks, Means: addrtype, Options: []Option{
		types, dst,
		{Name: "limit-iface-in", Value: None, Excludes: []string{"limit-iface-out"}},
		{Name: "limit-iface-out", Value: None, Excludes: []string{"limit-iface-in"}},
	}})
}

// addressTypes lists the address types of addrtype, in the kernel's order.
var addressTypes = []string{
	"UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT", "THROW",
	"NAT", "XRESOLVE",
}

func addrtypeHooks(u *Use) []string {
	switch {
	case u.Option("--limit-iface-in") != nil:
		return []string{"PREROUTING", "INPUT", "FORWARD"}
	case u.Option("--limit-iface-out") != nil:
		return []string{"FORWARD", "OUTPUT", "POSTROUTING"}
	}
	return nil
}

// addrtype: for IPv6, the kernel looks up each of several types differently, and
// also counts the host's own addresses as UNICAST, so only LOCAL is evaluated.
func addrtype(r *Reader, u *Use) Cases {
	if r.DestType == "" || len(u.Options) != 1 || u.Options[0].Name != "--dst-type" {
		return Unsure(u.String())
	}
	g := u.Options[0]
	holds := false
	for _, part := range strings.Split(g.Values[0], ",") {
		kind, _ := word(part, addressTypes...)
		if r.Family == packet.IPv6 && g.Values[0] != "LOCAL" {
			return Unsure(u.String())
		}
		holds = holds || kind == r.DestType
	}
	if holds == g.Not {
		return Never
	}
	return nil
}
