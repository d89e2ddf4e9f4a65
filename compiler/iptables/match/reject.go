package match

import (
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

// REJECT replies with an error (libipt_REJECT.c, libip6t_REJECT.c).
func init() {
	for _, f := range packet.Families {
		register(Module{Name: "REJECT", Kind: TargetKind, Families: Families(f), Effect: rejectEffect(f), Refuse: refuseReject, Kept: keptReject,
			Options: []Option{{Name: "reject-with", Value: Own, Valid: func(f packet.Family, values []string) bool {
				_, ok := rejectKind(f, values[0])
				return ok
			}}}})
	}
}

// rejectKinds lists the replies with their aliases, in the order in which a prefix of
// either is looked up.
var rejectKinds = map[packet.Family][]struct {
	name, alias string
	verdict     packet.Verdict
}{
	packet.IPv4: {
		{"icmp-net-unreachable", "net-unreach", packet.OtherReject}, {"icmp-host-unreachable", "host-unreach", packet.OtherReject},
		{"icmp-proto-unreachable", "proto-unreach", packet.OtherReject}, {"icmp-port-unreachable", "port-unreach", packet.Unreachable},
		{"icmp-net-prohibited", "net-prohib", packet.OtherReject}, {"icmp-host-prohibited", "host-prohib", packet.OtherReject},
		{"tcp-reset", "tcp-rst", packet.Reset}, {"icmp-admin-prohibited", "admin-prohib", packet.OtherReject},
	},
	packet.IPv6: {
		{"icmp6-no-route", "no-route", packet.OtherReject}, {"icmp6-adm-prohibited", "adm-prohibited", packet.OtherReject},
		{"icmp6-addr-unreachable", "addr-unreach", packet.OtherReject}, {"icmp6-port-unreachable", "port-unreach", packet.Unreachable},
		{"tcp-reset", "tcp-reset", packet.Reset}, {"icmp6-policy-fail", "policy-fail", packet.OtherReject},
		{"icmp6-reject-route", "reject-route", packet.OtherReject},
	},
}

func begins(name, text string) bool {
	return len(text) <= len(name) && strings.EqualFold(name[:len(text)], text)
}

func rejectKind(f packet.Family, text string) (packet.Verdict, bool) {
	for _, k := range rejectKinds[f] {
		if begins(k.name, text) || begins(k.alias, text) {
			return k.verdict, true
		}
	}
	return 0, false
}

// rejectEffect: without an option the reply is port-unreachable.
func rejectEffect(f packet.Family) func(*Use) Effect {
	return func(u *Use) Effect {
		with := u.Option("--reject-with")
		if with == nil {
			return Effect{Verdict: packet.Unreachable}
		}
		v, ok := rejectKind(f, with.Values[0])
		if !ok {
			v = packet.Unknown
		}
		return Effect{Verdict: v}
	}
}

// keptReject returns the full name of the reply.
func keptReject(f packet.Family, u *Use) (string, bool) {
	with := "port-unreach"
	if o := u.Option("--reject-with"); o != nil {
		with = o.Values[0]
	}
	for _, k := range rejectKinds[f] {
		if begins(k.name, with) || begins(k.alias, with) {
			return k.name, true
		}
	}
	return "", false
}

// refuseReject: only tcp can be rejected with a reset.
func refuseReject(h Head, u *Use) string {
	with := u.Option("--reject-with")
	if with == nil {
		return ""
	}
	if v, _ := rejectKind(h.Family, with.Values[0]); v == packet.Reset && !h.Is(packet.TCP) {
		return "REJECT --reject-with " + with.Values[0] + " needs -p tcp"
	}
	return ""
}
