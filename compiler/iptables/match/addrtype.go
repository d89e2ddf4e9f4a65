package match

import (
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

// addrtype asks of what kind an address is (libxt_addrtype.c;
// net/netfilter/xt_addrtype.c). It is evaluated for the destination alone, and only
// where the question says of what kind that is.
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

// addressTypes are the kinds of addresses of addrtype, in the order of the kernel.
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

// addrtype: IPv6 asks for each of several kinds in its own way, and takes the host's
// own addresses for UNICAST as well; there it is evaluated for LOCAL alone.
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
