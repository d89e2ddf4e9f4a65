package match

import (
	"fmt"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// icmp and icmp6 match a type and a code (libipt_icmp.c, libip6t_icmp6.c;
// net/netfilter/xt_tcpudp.c, icmp_type_code_match).
func init() {
	for _, f := range packet.Families {
		name, option := "icmp", "icmp-type"
		if f == packet.IPv6 {
			name, option = "icmp6", "icmpv6-type"
		}
		register(Module{Name: name, Kind: MatchKind, Families: Families(f), Protocols: []packet.Protocol{f.ICMP()}, Means: icmp,
			Options: []Option{{Name: option, Value: Own, Not: true, Required: true, Valid: validICMP, Kept: keptICMP}}})
	}
}

// icmpType is a type with the codes from First to Last.
type icmpType struct{ Type, First, Last int }

// icmpNames lists the names of types and codes (libxt_icmp.h), in the order in which
// a prefix of them is looked up.
var icmpNames = map[packet.Family][]struct {
	name string
	icmpType
}{
	packet.IPv4: {
		{"any", icmpType{255, 0, 255}}, {"echo-reply", icmpType{0, 0, 255}}, {"pong", icmpType{0, 0, 255}},
		{"destination-unreachable", icmpType{3, 0, 255}}, {"network-unreachable", icmpType{3, 0, 0}},
		{"host-unreachable", icmpType{3, 1, 1}}, {"protocol-unreachable", icmpType{3, 2, 2}},
		{"port-unreachable", icmpType{3, 3, 3}}, {"fragmentation-needed", icmpType{3, 4, 4}},
		{"source-route-failed", icmpType{3, 5, 5}}, {"network-unknown", icmpType{3, 6, 6}},
		{"host-unknown", icmpType{3, 7, 7}}, {"network-prohibited", icmpType{3, 9, 9}},
		{"host-prohibited", icmpType{3, 10, 10}}, {"TOS-network-unreachable", icmpType{3, 11, 11}},
		{"TOS-host-unreachable", icmpType{3, 12, 12}}, {"communication-prohibited", icmpType{3, 13, 13}},
		{"host-precedence-violation", icmpType{3, 14, 14}}, {"precedence-cutoff", icmpType{3, 15, 15}},
		{"source-quench", icmpType{4, 0, 255}}, {"redirect", icmpType{5, 0, 255}},
		{"network-redirect", icmpType{5, 0, 0}}, {"host-redirect", icmpType{5, 1, 1}},
		{"TOS-network-redirect", icmpType{5, 2, 2}}, {"TOS-host-redirect", icmpType{5, 3, 3}},
		{"echo-request", icmpType{8, 0, 255}}, {"ping", icmpType{8, 0, 255}},
		{"router-advertisement", icmpType{9, 0, 255}}, {"router-solicitation", icmpType{10, 0, 255}},
		{"time-exceeded", icmpType{11, 0, 255}}, {"ttl-exceeded", icmpType{11, 0, 255}},
		{"ttl-zero-during-transit", icmpType{11, 0, 0}}, {"ttl-zero-during-reassembly", icmpType{11, 1, 1}},
		{"parameter-problem", icmpType{12, 0, 255}}, {"ip-header-bad", icmpType{12, 0, 0}},
		{"required-option-missing", icmpType{12, 1, 1}}, {"timestamp-request", icmpType{13, 0, 255}},
		{"timestamp-reply", icmpType{14, 0, 255}}, {"address-mask-request", icmpType{17, 0, 255}},
		{"address-mask-reply", icmpType{18, 0, 255}},
	},
	packet.IPv6: {
		{"destination-unreachable", icmpType{1, 0, 255}}, {"no-route", icmpType{1, 0, 0}},
		{"communication-prohibited", icmpType{1, 1, 1}}, {"beyond-scope", icmpType{1, 2, 2}},
		{"address-unreachable", icmpType{1, 3, 3}}, {"port-unreachable", icmpType{1, 4, 4}},
		{"failed-policy", icmpType{1, 5, 5}}, {"reject-route", icmpType{1, 6, 6}},
		{"packet-too-big", icmpType{2, 0, 255}}, {"time-exceeded", icmpType{3, 0, 255}},
		{"ttl-exceeded", icmpType{3, 0, 255}}, {"ttl-zero-during-transit", icmpType{3, 0, 0}},
		{"ttl-zero-during-reassembly", icmpType{3, 1, 1}}, {"parameter-problem", icmpType{4, 0, 255}},
		{"bad-header", icmpType{4, 0, 0}}, {"unknown-header-type", icmpType{4, 1, 1}},
		{"unknown-option", icmpType{4, 2, 2}}, {"echo-request", icmpType{128, 0, 255}},
		{"ping", icmpType{128, 0, 255}}, {"echo-reply", icmpType{129, 0, 255}}, {"pong", icmpType{129, 0, 255}},
		{"router-solicitation", icmpType{133, 0, 255}}, {"router-advertisement", icmpType{134, 0, 255}},
		{"neighbour-solicitation", icmpType{135, 0, 255}}, {"neighbor-solicitation", icmpType{135, 0, 255}},
		{"neighbour-advertisement", icmpType{136, 0, 255}}, {"neighbor-advertisement", icmpType{136, 0, 255}},
		{"redirect", icmpType{137, 0, 255}},
	},
}

// icmpTypeOf parses a name, which may be abbreviated while it is unique, or
// TYPE[/CODE[:CODE]].
func icmpTypeOf(f packet.Family, text string) (t icmpType, ok bool) {
	found := 0
	for _, n := range icmpNames[f] {
		if len(text) <= len(n.name) && strings.EqualFold(n.name[:len(text)], text) {
			t = n.icmpType
			found++
		}
	}
	if found > 0 {
		return t, found == 1
	}
	types, codes, slash := strings.Cut(text, "/")
	first, last, ok := numberRange(types)
	t = icmpType{first, 0, 255}
	if ok && slash {
		t.First, t.Last, ok = numberRange(codes)
	}
	return t, ok && first == last
}

// numberRange parses N or N:M up to 255.
func numberRange(text string) (first, last int, ok bool) {
	a, b, isRange := strings.Cut(text, ":")
	x, ok := WholeNumber(a, 0, 255)
	y, okToo := x, true
	if isRange {
		y, okToo = WholeNumber(b, 0, 255)
	}
	return int(x), int(y), ok && okToo
}

func keptICMP(f packet.Family, values []string) (string, bool) {
	t, ok := icmpTypeOf(f, values[0])
	return fmt.Sprint(t), ok
}

func validICMP(f packet.Family, values []string) bool {
	_, ok := icmpTypeOf(f, values[0])
	return ok
}

// icmp: type 255 matches every type in IPv4, and only type 255 in IPv6.
func icmp(r *Reader, u *Use) Cases {
	if len(u.Options) == 0 { // an earlier match of the rule is not known, so its options are not read
		return Unsure(u.String())
	}
	g := u.Options[0]
	t, _ := icmpTypeOf(r.Family, g.Values[0])
	s := diagram.None
	switch {
	case t.Type == 255 && r.Family == packet.IPv4:
		s = nil
	case t.First <= t.Last:
		s = diagram.Range(t.Type*256+t.First, t.Type*256+t.Last)
	}
	return property(packet.ICMPType, r.Not(g.Not, packet.ICMPType, s))
}
