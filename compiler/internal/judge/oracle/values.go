package oracle

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// protocols are the names of /etc/protocols on Debian 12 and the aliases that
// iptables adds to them. The number of mptcp does not fit into a packet: the
// nf_tables back end cuts it to that of tcp, the legacy one never matches.
var protocols = map[string]int{
	"all": 0, "ip": 0, "hopopt": 0, "icmp": 1, "igmp": 2, "ggp": 3, "ipencap": 4, "st": 5, "tcp": 6,
	"egp": 8, "igp": 9, "pup": 12, "udp": 17, "hmp": 20, "xns-idp": 22, "rdp": 27, "iso-tp4": 29,
	"dccp": 33, "xtp": 36, "ddp": 37, "idpr-cmtp": 38, "ipv6": 41, "ipv6-route": 43, "ipv6-frag": 44,
	"idrp": 45, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "skip": 57, "ipv6-icmp": 58, "icmpv6": 58,
	"ipv6-nonxt": 59, "ipv6-opts": 60, "rspf": 73, "vmtp": 81, "eigrp": 88, "ospf": 89, "ax.25": 93,
	"ipip": 94, "etherip": 97, "encap": 98, "pim": 103, "ipcomp": 108, "vrrp": 112, "l2tp": 115,
	"isis": 124, "sctp": 132, "fc": 133, "mobility-header": 135, "ipv6-mh": 135, "mh": 135,
	"udplite": 136, "mpls-in-ip": 137, "manet": 138, "hip": 139, "shim6": 140, "wesp": 141,
	"rohc": 142, "ethernet": 143, "mptcp": 262,
}

// unsigned takes away what strtoul skips before the digits.
func unsigned(s string) string { return strings.TrimPrefix(strings.TrimLeft(s, " \t"), "+") }

// number reads an integer as strtoul with base 0 does: decimal, hexadecimal
// with 0x, octal with a leading 0.
func number(s string, limit uint64) (uint64, error) {
	base, digits := 10, unsigned(s)
	switch {
	case strings.HasPrefix(digits, "0x"), strings.HasPrefix(digits, "0X"):
		base, digits = 16, digits[2:]
	case len(digits) > 1 && digits[0] == '0':
		base, digits = 8, digits[1:]
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil || n > limit {
		return 0, fmt.Errorf("%q is not a number up to %d", s, limit)
	}
	return n, nil
}

// protocol returns the number of a protocol; case does not matter.
func protocol(s string) (int, error) {
	if n, err := number(s, 255); err == nil {
		return int(n), nil
	}
	if n, ok := protocols[strings.ToLower(s)]; ok {
		return n, nil
	}
	return 0, fmt.Errorf("%q is not a protocol", s)
}

// port returns the number of a port or of a service. Some matches take numbers
// in base 0, so that 010 is 8; for others, which ask the resolver, all numbers
// are decimal, 010 is 10, and a number that is too large is cut to 16 bits.
func port(s string, decimal bool) (int, error) {
	if decimal {
		if n, err := strconv.ParseUint(unsigned(s), 10, 31); err == nil {
			return int(n & 0xffff), nil
		}
	} else if n, err := number(s, 65535); err == nil {
		return int(n), nil
	}
	for _, network := range []string{"tcp", "udp"} {
		if n, err := net.LookupPort(network, s); err == nil && strings.TrimLeft(s, " +-0123456789") != "" {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%q is not a port", s)
}

// decimalPorts reports whether a match asks the resolver for its ports.
func decimalPorts(match string) bool {
	return match == "udp" || match == "dccp" || match == "conntrack"
}

// A span is an inclusive range of numbers; one whose low end is above its high
// end contains nothing.
type span struct{ low, high int }

func (s span) contains(n int) bool { return s.low <= n && n <= s.high }

// portSpan reads PORT, LOW:HIGH, LOW: or :HIGH.
func portSpan(s string, decimal bool) (span, error) {
	low, high, isRange := strings.Cut(s, ":")
	if !isRange {
		n, err := port(s, decimal)
		return span{n, n}, err
	}
	result := span{0, 65535}
	var err error
	if low != "" {
		if result.low, err = port(low, decimal); err != nil {
			return result, err
		}
	}
	if high != "" {
		result.high, err = port(high, decimal)
	}
	return result, err
}

// portList reads the list of a multiport match.
func portList(s string) ([]span, error) {
	var result []span
	for item := range strings.SplitSeq(s, ",") {
		ports, err := portSpan(item, false)
		if err != nil {
			return nil, err
		}
		result = append(result, ports)
	}
	return result, nil
}

// A network is an address and a mask, which may have holes. One that is not
// known came from a name, which the resolver would have to be asked about.
type network struct {
	addr, mask [16]byte
	unknown    bool
}

// contains reports whether an address is equal to the network's under its mask.
func (n network) contains(a netip.Addr) bool {
	other := bytesOf(a)
	for i := range other {
		if (other[i]^n.addr[i])&n.mask[i] != 0 {
			return false
		}
	}
	return true
}

// bytesOf returns the bytes of an address, those of an IPv4 address first.
func bytesOf(a netip.Addr) (result [16]byte) {
	copy(result[:], a.AsSlice())
	return result
}

// networkOf reads ADDRESS, ADDRESS/LENGTH or ADDRESS/MASK. With a mask of
// zeros the address is ignored.
func networkOf(s string, family int) (network, error) {
	var result network
	address, mask, masked := cutLast(s, "/")
	if !masked {
		mask = strconv.Itoa(bits(family))
	}
	var err error
	if result.mask, err = maskOf(mask, family); err != nil {
		return result, err
	}
	if result.mask == ([16]byte{}) {
		return result, nil
	}
	a, err := address1(address, family)
	if err != nil {
		result.unknown = isHostName(address)
		if !result.unknown {
			return result, err
		}
	}
	result.addr = bytesOf(a)
	for i := range result.addr {
		result.addr[i] &= result.mask[i]
	}
	return result, nil
}

// isHostName reports whether an argument that is not an address may be a host's
// name.
func isHostName(s string) bool {
	letters := strings.ContainsFunc(s, func(r rune) bool { return r >= 'g' && r <= 'z' || r >= 'G' && r <= 'Z' })
	return letters && !strings.ContainsAny(s, ":/,! ")
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func bits(family int) int {
	if family == 6 {
		return 128
	}
	return 32
}

// maskOf reads a prefix length, or a mask in the form of an address.
func maskOf(s string, family int) (result [16]byte, err error) {
	if n, err := number(s, uint64(bits(family))); err == nil {
		for i := range int(n) {
			result[i/8] |= 0x80 >> (i % 8)
		}
		return result, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Is4() != (family == 4) || a.Zone() != "" {
		return result, fmt.Errorf("%q is not a mask", s)
	}
	return bytesOf(a), nil
}

// address1 reads one address. iptables completes an IPv4 address at the right
// (10.1 is 10.1.0.0) and reads its numbers in base 0 (010.0.0.1 is 8.0.0.1);
// one number above 255 is the whole address.
func address1(s string, family int) (netip.Addr, error) {
	if family == 6 {
		a, err := netip.ParseAddr(s)
		if err != nil || !a.Is6() || a.Zone() != "" {
			return netip.Addr{}, fmt.Errorf("%q is not an IPv6 address", s)
		}
		return a, nil
	}
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, fmt.Errorf("%q is not an IPv4 address", s)
	}
	var b [4]byte
	for i, part := range parts {
		n, err := number(part, 1<<32-1)
		switch {
		case err != nil, n > 255 && len(parts) > 1:
			return netip.Addr{}, fmt.Errorf("%q is not an IPv4 address", s)
		case n > 255:
			return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), nil
		}
		b[i] = byte(n)
	}
	return netip.AddrFrom4(b), nil
}

// addressRange reads ADDRESS or FIRST-LAST.
func addressRange(s string, family int) (first, last netip.Addr, err error) {
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	if first, err = address1(from, family); err != nil {
		return first, last, err
	}
	last, err = address1(to, family)
	return first, last, err
}

// markOf reads VALUE or VALUE/MASK.
func markOf(s string) (value, mask uint32, err error) {
	v, m, masked := strings.Cut(s, "/")
	n, err := number(v, 1<<32-1)
	if err != nil || !masked {
		return uint32(n), 1<<32 - 1, err
	}
	k, err := number(m, 1<<32-1)
	return uint32(n), uint32(k), err
}

// tcpFlags reads a list of TCP flags; case does not matter.
func tcpFlags(s string) (int, error) {
	values := map[string]int{"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ALL": 63, "NONE": 0}
	result := 0
	for name := range strings.SplitSeq(s, ",") {
		value, ok := values[strings.ToUpper(name)]
		if !ok && name != "" {
			return 0, fmt.Errorf("%q is not a TCP flag", name)
		}
		result |= value
	}
	return result, nil
}

// states reads a list of connection states. Each may be abbreviated, and case
// does not matter.
func states(s string) ([]string, error) {
	names := []string{"INVALID", "NEW", "ESTABLISHED", "RELATED", "UNTRACKED", "SNAT", "DNAT"}
	var result []string
	for item := range strings.SplitSeq(s, ",") {
		found := ""
		for _, name := range names {
			if item != "" && strings.HasPrefix(name, strings.ToUpper(item)) {
				found = name
				break
			}
		}
		if found == "" {
			return nil, fmt.Errorf("%q is not a state", item)
		}
		result = append(result, found)
	}
	return result, nil
}

// An icmpType is a type and a range of codes. In IPv4 type 255 is any.
type icmpType struct {
	kind  int
	codes span
}

var anyCode = span{0, 255}

var icmpNames = map[string]icmpType{
	"any": {255, anyCode}, "echo-reply": {0, anyCode}, "pong": {0, anyCode},
	"destination-unreachable": {3, anyCode}, "network-unreachable": {3, span{0, 0}}, "host-unreachable": {3, span{1, 1}},
	"protocol-unreachable": {3, span{2, 2}}, "port-unreachable": {3, span{3, 3}}, "fragmentation-needed": {3, span{4, 4}},
	"source-route-failed": {3, span{5, 5}}, "network-unknown": {3, span{6, 6}}, "host-unknown": {3, span{7, 7}},
	"network-prohibited": {3, span{9, 9}}, "host-prohibited": {3, span{10, 10}},
	"TOS-network-unreachable": {3, span{11, 11}}, "TOS-host-unreachable": {3, span{12, 12}},
	"communication-prohibited": {3, span{13, 13}}, "host-precedence-violation": {3, span{14, 14}},
	"precedence-cutoff": {3, span{15, 15}}, "source-quench": {4, anyCode}, "redirect": {5, anyCode},
	"network-redirect": {5, span{0, 0}}, "host-redirect": {5, span{1, 1}}, "TOS-network-redirect": {5, span{2, 2}},
	"TOS-host-redirect": {5, span{3, 3}}, "echo-request": {8, anyCode}, "ping": {8, anyCode},
	"router-advertisement": {9, anyCode}, "router-solicitation": {10, anyCode}, "time-exceeded": {11, anyCode},
	"ttl-exceeded": {11, anyCode}, "ttl-zero-during-transit": {11, span{0, 0}},
	"ttl-zero-during-reassembly": {11, span{1, 1}}, "parameter-problem": {12, anyCode}, "ip-header-bad": {12, span{0, 0}},
	"required-option-missing": {12, span{1, 1}}, "timestamp-request": {13, anyCode}, "timestamp-reply": {14, anyCode},
	"address-mask-request": {17, anyCode}, "address-mask-reply": {18, anyCode},
}

var icmp6Names = map[string]icmpType{
	"destination-unreachable": {1, anyCode}, "no-route": {1, span{0, 0}}, "communication-prohibited": {1, span{1, 1}},
	"beyond-scope": {1, span{2, 2}}, "address-unreachable": {1, span{3, 3}}, "port-unreachable": {1, span{4, 4}},
	"failed-policy": {1, span{5, 5}}, "reject-route": {1, span{6, 6}}, "packet-too-big": {2, anyCode},
	"time-exceeded": {3, anyCode}, "ttl-exceeded": {3, anyCode}, "ttl-zero-during-transit": {3, span{0, 0}},
	"ttl-zero-during-reassembly": {3, span{1, 1}}, "parameter-problem": {4, anyCode}, "bad-header": {4, span{0, 0}},
	"unknown-header-type": {4, span{1, 1}}, "unknown-option": {4, span{2, 2}}, "echo-request": {128, anyCode},
	"ping": {128, anyCode}, "echo-reply": {129, anyCode}, "pong": {129, anyCode}, "router-solicitation": {133, anyCode},
	"router-advertisement": {134, anyCode}, "neighbour-solicitation": {135, anyCode},
	"neighbor-solicitation": {135, anyCode}, "neighbour-advertisement": {136, anyCode},
	"neighbor-advertisement": {136, anyCode}, "redirect": {137, anyCode},
}

// icmpTypeOf reads a name, which may be abbreviated, TYPE, TYPE/CODE or
// TYPE/LOW:HIGH.
func icmpTypeOf(s string, names map[string]icmpType) (icmpType, error) {
	var found []icmpType
	for name, t := range names {
		if len(s) <= len(name) && strings.EqualFold(name[:len(s)], s) {
			found = append(found, t)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	kind, code, hasCode := strings.Cut(s, "/")
	n, err := number(kind, 255)
	if len(found) > 1 || err != nil {
		return icmpType{}, fmt.Errorf("%q is not an ICMP type", s)
	}
	if !hasCode {
		return icmpType{int(n), anyCode}, nil
	}
	low, high, isRange := strings.Cut(code, ":")
	if !isRange {
		high = low
	}
	l, err := number(low, 255)
	if err != nil {
		return icmpType{}, err
	}
	h, err := number(high, 255)
	return icmpType{int(n), span{int(l), int(h)}}, err
}

var rejectTypes = map[int][]string{
	4: {"icmp-net-unreachable", "net-unreach", "icmp-host-unreachable", "host-unreach", "icmp-proto-unreachable", "proto-unreach",
		"icmp-port-unreachable", "port-unreach", "icmp-net-prohibited", "net-prohib", "icmp-host-prohibited", "host-prohib",
		"tcp-reset", "tcp-rst", "icmp-admin-prohibited", "admin-prohib"},
	6: {"icmp6-no-route", "no-route", "icmp6-adm-prohibited", "adm-prohibited", "icmp6-addr-unreachable", "addr-unreach",
		"icmp6-port-unreachable", "port-unreach", "tcp-reset", "tcp-reset", "icmp6-policy-fail", "policy-fail",
		"icmp6-reject-route", "reject-route"},
}

// rejectType returns the full name of an argument of --reject-with: a name or
// an alias, each of which may be abbreviated; the first that fits counts.
func rejectType(s string, family int) (string, error) {
	names := rejectTypes[family]
	for i, name := range names {
		if len(s) <= len(name) && strings.EqualFold(name[:len(s)], s) {
			return names[i&^1], nil
		}
	}
	return "", fmt.Errorf("%q is not a reject type", s)
}
