package match

import "github.com/seawall/seawall/compiler/packet"

// Where the kernel takes a use of a module depends on its options here
// (checkentry in net/netfilter/xt_NAME.c).

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

func policyHooks(u *Use) []string {
	switch dir := u.Option("--dir"); {
	case dir == nil:
		return nil
	case dir.Values[0] == "in":
		return []string{"PREROUTING", "INPUT", "FORWARD"}
	}
	return []string{"FORWARD", "OUTPUT", "POSTROUTING"}
}

// physdevHooks: the bridge that a packet leaves by is not known where the host
// sends it itself.
func physdevHooks(u *Use) []string {
	bridged := u.Option("--physdev-is-bridged")
	if (u.Option("--physdev-out") == nil && u.Option("--physdev-is-out") == nil) || bridged != nil && !bridged.Not {
		return nil
	}
	return []string{"PREROUTING", "INPUT", "FORWARD", "POSTROUTING"}
}

func clampHooks(u *Use) []string {
	if u.Option("--clamp-mss-to-pmtu") == nil {
		return nil
	}
	return []string{"FORWARD", "OUTPUT", "POSTROUTING"}
}

// refuseECN is for the match and the target: flags of TCP need -p tcp.
func refuseECN(h Head, u *Use) string {
	for _, name := range []string{"--ecn-tcp-cwr", "--ecn-tcp-ece", "--ecn-tcp-remove"} {
		if u.Option(name) != nil && !h.Is(packet.TCP) {
			return name + " needs -p tcp"
		}
	}
	return ""
}

// refuseStatistic is statistic_check.
func refuseStatistic(_ Head, u *Use) string {
	every, skip := u.Option("--every"), u.Option("--packet")
	switch mode := u.Option("--mode"); {
	case mode.Values[0] == "random" && u.Option("--probability") == nil:
		return "--mode random needs --probability"
	case mode.Values[0] == "nth" && every == nil && skip == nil:
		return "--mode nth needs --every and --packet"
	case every != nil && skip != nil:
		n, _, _ := Number(every.Values[0])
		if p, _, _ := Number(skip.Values[0]); p >= n {
			return "--packet has to be below --every"
		}
	}
	return ""
}

// refusePolicy is policy_check as far as it is about whole options.
func refusePolicy(_ Head, u *Use) string {
	if pol := u.Option("--pol"); pol != nil && pol.Values[0] == "none" {
		for _, name := range []string{"--strict", "--next"} {
			if u.Option(name) != nil {
				return "--pol none and " + name + " cannot stand together"
			}
		}
	}
	return ""
}
