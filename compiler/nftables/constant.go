package nftables

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// kindOf is the type of a constant, by nft's name for it.
type kindOf string

// The types that are understood.
const (
	addr4     kindOf = "ipv4_addr"
	addr6     kindOf = "ipv6_addr"
	service   kindOf = "inet_service"
	protocol  kindOf = "inet_proto"
	ifname    kindOf = "ifname"
	ifindex   kindOf = "iface_index"
	markType  kindOf = "mark"
	nfproto   kindOf = "nf_proto"
	etherType kindOf = "ether_type"
	ctState   kindOf = "ct_state"
	ctDir     kindOf = "ct_dir"
	ctStatus  kindOf = "ct_status"
	tcpFlag   kindOf = "tcp_flag"
	icmpType  kindOf = "icmp_type"
	icmpCode  kindOf = "icmp_code"
	icmp6Type kindOf = "icmpv6_type"
	icmp6Code kindOf = "icmpv6_code"
)

// bits reports whether constants of a type are bits, so that "ct state new" asks
// for one of them.
func (d kindOf) bits() bool { return d == ctState || d == ctStatus || d == tcpFlag }

// symbols are the names of constants (nft describe).
var symbols = map[kindOf]map[string]int{
	nfproto:   {"ipv4": 2, "ipv6": 10},
	etherType: {"ip": 0x0800, "ip6": 0x86dd, "arp": 0x0806, "vlan": 0x8100},
	ctState:   {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64},
	ctDir:     {"original": 0, "reply": 1},
	ctStatus:  {"expected": 1, "seen-reply": 2, "assured": 4, "confirmed": 8, "snat": 16, "dnat": 32, "dying": 512},
	tcpFlag:   {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128},
	icmpType: {"echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
		"router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12, "timestamp-request": 13,
		"timestamp-reply": 14, "info-request": 15, "info-reply": 16, "address-mask-request": 17, "address-mask-reply": 18},
	icmpCode: {"net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3, "frag-needed": 4,
		"net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13},
	icmp6Type: {"destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4, "echo-request": 128,
		"echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131, "mld-listener-done": 132, "mld-listener-reduction": 132,
		"nd-router-solicit": 133, "nd-router-advert": 134, "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137,
		"router-renumbering": 138, "ind-neighbor-solicit": 141, "ind-neighbor-advert": 142, "mld2-listener-report": 143},
	icmp6Code: {"no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4, "policy-fail": 5, "reject-route": 6},
}

// limits are the largest numbers of types that are numbers.
var limits = map[kindOf]uint64{service: 65535, protocol: 255, markType: 1<<32 - 1, nfproto: 255, etherType: 65535, ctState: 1<<32 - 1,
	ctDir: 255, ctStatus: 1<<32 - 1, tcpFlag: 255, icmpType: 255, icmpCode: 255, icmp6Type: 255, icmp6Code: 255}

// number reads a constant of a type; false if it is not known.
func (d kindOf) number(e *Expr) (diagram.Value, bool) {
	switch e.Kind {
	case Value:
		return d.word(e.Text)
	case Flags:
		return d.fold("|", e.Args)
	case Binary:
		if op, ok := stepOf[e.Op]; ok {
			return d.fold(op, e.Args)
		}
	}
	return diagram.Value{}, false
}

func (d kindOf) fold(op string, list []Expr) (diagram.Value, bool) {
	var total diagram.Value
	for i := range list {
		v, ok := d.number(&list[i])
		switch {
		case !ok:
			return v, false
		case i == 0:
			total = v
		default:
			total = apply(op, total, v)
		}
	}
	return total, len(list) > 0
}

func apply(op string, a, b diagram.Value) diagram.Value {
	switch op {
	case "&":
		return diagram.Value{Hi: a.Hi & b.Hi, Lo: a.Lo & b.Lo}
	case "|":
		return diagram.Value{Hi: a.Hi | b.Hi, Lo: a.Lo | b.Lo}
	}
	return diagram.Value{Hi: a.Hi ^ b.Hi, Lo: a.Lo ^ b.Lo}
}

func (d kindOf) word(text string) (diagram.Value, bool) {
	switch d {
	case addr4, addr6:
		a, err := netip.ParseAddr(text)
		return diagram.OfAddr(a), err == nil && a.Is4() == (d == addr4) && a.Zone() == ""
	}
	if n, ok := symbols[d][text]; ok {
		return diagram.Small(n), true
	}
	limit, isNumber := limits[d]
	if !isNumber {
		return diagram.Value{}, false
	}
	if n, ok := numeral(text); ok {
		return diagram.Value{Lo: n}, n <= limit
	}
	if d == protocol { // /etc/protocols has the same numbers everywhere; "ip" is one there, "all" is not
		p, ok := packet.ParseProtocol(text)
		return diagram.Small(int(p)), ok && p != 0
	}
	return diagram.Value{}, false // a name of /etc/services is another number on another host
}

// numeral reads a number in decimal or hexadecimal. One with a leading zero is octal
// to some versions of nft.
func numeral(text string) (uint64, bool) {
	if hex, ok := strings.CutPrefix(text, "0x"); ok {
		n, err := strconv.ParseUint(hex, 16, 64)
		return n, err == nil && hex[0] != '+'
	}
	if len(text) > 1 && text[0] == '0' || text == "" || text[0] < '0' || text[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil
}

// spans appends the values that an element stands for; false if they are not known.
func (d kindOf) spans(list []diagram.Span, e *Expr) ([]diagram.Span, bool) {
	switch e.Kind {
	case Prefix:
		a, err := netip.ParseAddr(e.Text)
		if err != nil || (d != addr4 && d != addr6) || a.Is4() != (d == addr4) {
			return list, false
		}
		p, err := a.Prefix(int(e.Bits))
		if err != nil {
			return list, false
		}
		return append(list, diagram.OfPrefix(p)), true
	case Range:
		lo, ok := d.number(&e.Args[0])
		hi, okToo := d.number(&e.Args[1])
		if !ok || !okToo || hi.Less(lo) {
			return list, false
		}
		return append(list, diagram.Span{Lo: lo, Hi: hi}), true
	}
	v, ok := d.number(e)
	return append(list, diagram.Span{Lo: v, Hi: v}), ok
}
