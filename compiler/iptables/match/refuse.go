package match

import (
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

// What iptables and the kernel detect once they have all options of a use
// (x6_fcheck in libxtables' extensions, checkentry in net/netfilter).

// refuseECN is for both the match and the target: TCP flags need -p tcp.
func refuseECN(h Head, u *Use) string {
	for _, name := range []string{"--ecn-tcp-cwr", "--ecn-tcp-ece", "--ecn-tcp-remove"} {
		if u.Option(name) != nil && !h.Is(packet.TCP) {
			return name + " needs -p tcp"
		}
	}
	return ""
}

// refuseStatistic does what statistic_check does.
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
			return "--packet must be below --every"
		}
	}
	return ""
}

// refusePolicy does what policy_check does, and the part of policy_parse that is
// about an element: the options up to a --next.
func refusePolicy(_ Head, u *Use) string {
	if pol := u.Option("--pol"); pol != nil && pol.Values[0] == "none" {
		for _, name := range []string{"--strict", "--next"} {
			if u.Option(name) != nil {
				return "--pol none and " + name + " cannot be used together"
			}
		}
		return ""
	}
	elements := policyElements(u)
	if len(elements) > 4 {
		return "policy can have at most 4 elements"
	}
	for _, e := range elements {
		if why := refuseElement(e, u.Option("--strict") != nil); why != "" {
			return why
		}
	}
	return ""
}

// policyElements returns the options of each element.
func policyElements(u *Use) []*Use {
	elements := []*Use{{}}
	for _, g := range u.Options {
		switch g.Name {
		case "--next":
			elements = append(elements, &Use{})
		case "--dir", "--pol", "--strict":
		default:
			e := elements[len(elements)-1]
			e.Options = append(e.Options, g)
		}
	}
	return elements
}

func refuseElement(e *Use, strict bool) string {
	if strict && len(e.Options) == 0 {
		return "--strict needs --reqid, --spi, --tunnel-src, --tunnel-dst, --proto or --mode in each element"
	}
	for _, g := range e.Options {
		if e.times(g.Name) > 1 {
			return g.Name + " can be given only once in an element"
		}
		if g.Name == "--proto" {
			if p, _ := packet.ParseProtocolExactly(g.Values[0]); p != packet.ESP && p != packet.AH && p != packet.IPComp {
				return "--proto must be ah, esp or ipcomp"
			}
		}
	}
	if e.Option("--tunnel-src") == nil && e.Option("--tunnel-dst") == nil {
		return ""
	}
	if mode := e.Option("--mode"); mode == nil || (mode.Values[0] == "tunnel") == mode.Not {
		return "--tunnel-src and --tunnel-dst need --mode tunnel"
	}
	return ""
}

// refuseCluster does what cluster_check does.
func refuseCluster(_ Head, u *Use) string {
	total, _, _ := Number(u.Option("--cluster-total-nodes").Values[0])
	if g := u.Option("--cluster-local-node"); g != nil {
		if n, _, _ := Number(g.Values[0]); n > total {
			return "--cluster-local-node cannot be above --cluster-total-nodes"
		}
	}
	if g := u.Option("--cluster-local-nodemask"); g != nil {
		if n, _, _ := Number(g.Values[0]); n >= 1<<total {
			return "--cluster-local-nodemask has nodes above --cluster-total-nodes"
		}
	}
	return ""
}

// refuseRecent does what recent_mt_check does.
func refuseRecent(_ Head, u *Use) string {
	for _, name := range []string{"--set", "--remove"} {
		for _, other := range []string{"--seconds", "--hitcount"} {
			if g := u.Option(other); g != nil && u.Option(name) != nil {
				if n, _, _ := Number(g.Values[0]); n > 0 {
					return name + " and " + other + " cannot be used together"
				}
			}
		}
	}
	return ""
}

// refuseString does what string_mt_check does.
func refuseString(_ Head, u *Use) string {
	from, to := u.Option("--from"), u.Option("--to")
	if from == nil || to == nil {
		return ""
	}
	a, _, _ := Number(from.Values[0])
	b, _, _ := Number(to.Values[0])
	if a > b {
		return "--from cannot be above --to"
	}
	return ""
}

// refuseTime does what time_check does: a span across midnight stops before it starts.
func refuseTime(_ Head, u *Use) string {
	if u.Option("--contiguous") == nil {
		return ""
	}
	start, stop := 0, 24*60*60-1
	if g := u.Option("--timestart"); g != nil {
		start = clock(g.Values[0])
	}
	if g := u.Option("--timestop"); g != nil {
		stop = clock(g.Values[0])
	}
	if start < stop {
		return "--contiguous needs a --timestop that is earlier than --timestart"
	}
	return ""
}

func refuseCgroup(_ Head, u *Use) string {
	if (u.Option("--path") == nil) == (u.Option("--cgroup") == nil) {
		return "cgroup needs exactly one of --path and --cgroup"
	}
	return ""
}

// refuseOwner: --suppl-groups applies to the group before it.
func refuseOwner(_ Head, u *Use) string {
	group := false
	for _, g := range u.Options {
		switch {
		case g.Name == "--gid-owner":
			group = true
		case g.Name == "--suppl-groups" && !group:
			return "--suppl-groups needs --gid-owner before it"
		}
	}
	return ""
}

// refusePrefixes does what ip6t_npt_checkentry does: both prefixes must have the same length.
func refusePrefixes(_ Head, u *Use) string {
	var lengths []string
	for _, name := range []string{"--src-pfx", "--dst-pfx"} {
		_, length, slash := strings.Cut(u.Option(name).Values[0], "/")
		if n, ok := WholeNumber(length, 0, 128); slash && ok {
			length = strconv.Itoa(int(n))
		} else if !slash {
			length = "128"
		}
		lengths = append(lengths, length)
	}
	if lengths[0] != lengths[1] {
		return "--src-pfx and --dst-pfx need prefixes of the same length"
	}
	return ""
}

// refuseCT: the kernel looks up a helper or a timeout by protocol (xt_CT.c,
// xt_ct_tg_check).
func refuseCT(h Head, u *Use) string {
	if u.Option("--notrack") != nil {
		return ""
	}
	for _, name := range []string{"--helper", "--timeout"} {
		if u.Option(name) != nil && (h.Protocol == 0 || h.Not) {
			return name + " needs -p PROTOCOL"
		}
	}
	return ""
}

// refuseHashlimit does what hashlimit_mt_check does.
func refuseHashlimit(_ Head, u *Use) string {
	rate := ""
	for _, name := range []string{"--hashlimit-upto", "--hashlimit-above", "--hashlimit"} {
		if g := u.Option(name); g != nil {
			rate = g.Values[0]
		}
	}
	burst := u.Option("--hashlimit-burst")
	if burst == nil {
		return ""
	}
	n, unit, _ := Number(burst.Values[0])
	bytes, inBytes := byteRate(rate)
	switch n *= factor(unit); {
	case inBytes && n < bytes:
		return "--hashlimit-burst cannot be below the rate in bytes"
	case !inBytes && n > maxBurst:
		return "--hashlimit-burst must be at most 1000000"
	}
	return ""
}
