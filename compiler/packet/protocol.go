package packet

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Protocol is an IANA protocol number, 0 to 255.
type Protocol uint8

// The protocols that rules treat apart.
const (
	ICMP    Protocol = 1
	TCP     Protocol = 6
	UDP     Protocol = 17
	DCCP    Protocol = 33
	ESP     Protocol = 50
	AH      Protocol = 51
	ICMPv6  Protocol = 58
	IPComp  Protocol = 108
	SCTP    Protocol = 132
	MH      Protocol = 135
	UDPLite Protocol = 136
)

// names are the protocols that have a name: first the one that iptables-save
// prints, then all that iptables reads. They are those of libxtables
// (xtables_chain_protos) and of Debian's /etc/protocols, which other systems
// have parts of, with the same numbers. Every other number stands for itself.
var names = map[Protocol][]string{
	0:   {"all", "ip", "IP", "hopopt", "HOPOPT"},
	1:   {"icmp", "ICMP"},
	2:   {"igmp", "IGMP"},
	3:   {"ggp", "GGP"},
	4:   {"ipencap", "IP-ENCAP"},
	5:   {"st", "ST"},
	6:   {"tcp", "TCP"},
	8:   {"egp", "EGP"},
	9:   {"igp", "IGP"},
	12:  {"pup", "PUP"},
	17:  {"udp", "UDP"},
	20:  {"hmp", "HMP"},
	22:  {"xns-idp", "XNS-IDP"},
	27:  {"rdp", "RDP"},
	29:  {"iso-tp4", "ISO-TP4"},
	33:  {"dccp", "DCCP"},
	36:  {"xtp", "XTP"},
	37:  {"ddp", "DDP"},
	38:  {"idpr-cmtp", "IDPR-CMTP"},
	41:  {"ipv6", "IPv6"},
	43:  {"ipv6-route", "IPv6-Route"},
	44:  {"ipv6-frag", "IPv6-Frag"},
	45:  {"idrp", "IDRP"},
	46:  {"rsvp", "RSVP"},
	47:  {"gre", "GRE"},
	50:  {"esp", "IPSEC-ESP"},
	51:  {"ah", "IPSEC-AH"},
	57:  {"skip", "SKIP"},
	58:  {"ipv6-icmp", "icmpv6", "IPv6-ICMP"},
	59:  {"ipv6-nonxt", "IPv6-NoNxt"},
	60:  {"ipv6-opts", "IPv6-Opts"},
	73:  {"rspf", "RSPF", "CPHB"},
	81:  {"vmtp", "VMTP"},
	88:  {"eigrp", "EIGRP"},
	89:  {"ospf", "OSPFIGP"},
	93:  {"ax.25", "AX.25"},
	94:  {"ipip", "IPIP"},
	97:  {"etherip", "ETHERIP"},
	98:  {"encap", "ENCAP"},
	103: {"pim", "PIM"},
	108: {"ipcomp", "IPCOMP"},
	112: {"vrrp", "VRRP"},
	115: {"l2tp", "L2TP"},
	124: {"isis", "ISIS"},
	132: {"sctp", "SCTP"},
	133: {"fc", "FC"},
	135: {"mobility-header", "ipv6-mh", "mh", "Mobility-Header"},
	136: {"udplite", "UDPLite"},
	137: {"mpls-in-ip", "MPLS-in-IP"},
	138: {"manet"},
	139: {"hip", "HIP"},
	140: {"shim6", "Shim6"},
	141: {"wesp", "WESP"},
	142: {"rohc", "ROHC"},
	143: {"ethernet", "Ethernet"},
}

// numbers are the protocols by name.
var numbers = func() map[string]Protocol {
	m := map[string]Protocol{}
	for n, list := range names {
		for _, name := range list {
			m[name] = n
		}
	}
	return m
}()

// ParseProtocol parses a protocol as -p does: a name in any case, or a number in
// decimal, octal (017) or hexadecimal (0x11). Zero (all, ip, 0) is every protocol.
func ParseProtocol(text string) (Protocol, bool) { return ParseProtocolExactly(strings.ToLower(text)) }

// ParseProtocolExactly parses a protocol as --ctproto does: like ParseProtocol, but a
// name must be spelled as in /etc/protocols.
func ParseProtocolExactly(text string) (Protocol, bool) {
	if n, err := strconv.ParseUint(cNumber(text), 0, 8); err == nil && !strings.Contains(text, "_") {
		return Protocol(n), true
	}
	n, ok := numbers[text]
	return n, ok
}

// cNumber writes C's octal as Go's, without the sign and the blanks that
// strtoul takes as well.
func cNumber(text string) string {
	text = strings.TrimPrefix(strings.TrimLeft(text, " \t"), "+")
	if len(text) > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9' {
		return "0o" + text[1:]
	}
	if len(text) > 1 && text[0] == '0' && text[1] != 'x' && text[1] != 'X' {
		return "" // 0b1 and 0o1 are Go's numbers and not C's
	}
	return text
}

// String returns the protocol as iptables-save prints it: a name, or the number.
func (p Protocol) String() string {
	if list := names[p]; len(list) > 0 {
		return list[0]
	}
	return strconv.Itoa(int(p))
}

// Number is the protocol of a packet for --protocol: String, but 0 for the protocol
// of that number, where a rule's "all" is every one.
func (p Protocol) Number() string {
	if p == 0 {
		return "0"
	}
	return p.String()
}

// ProtocolNames returns all names that ParseProtocol accepts, sorted.
func ProtocolNames() []string {
	list := make([]string, 0, len(numbers))
	for name := range numbers {
		list = append(list, name)
	}
	slices.SortFunc(list, func(a, b string) int {
		return cmp.Or(cmp.Compare(numbers[a], numbers[b]), cmp.Compare(a, b))
	})
	return list
}

// ExtensionHeader reports whether a protocol is one of IPv6's extension headers.
// The kernel looks for the header behind them (ip6_tables.c, ipv6_find_hdr), so no
// packet is of such a protocol to ip6tables, which says so when it reads "-p".
func (p Protocol) ExtensionHeader() bool {
	switch p {
	case 43, 44, 51, 60: // routing, fragment, authentication, destination options
		return true
	}
	return false
}
