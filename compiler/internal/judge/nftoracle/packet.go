package nftoracle

import "net/netip"

// The protocol numbers that expressions treat specially.
const (
	protoICMP    = 1
	protoTCP     = 6
	protoUDP     = 17
	protoDCCP    = 33
	protoICMPv6  = 58
	protoSCTP    = 132
	protoUDPLite = 136
)

// Unknown as a port of a Packet is one that cannot be known: an expression that
// loads it may have any value.
const Unknown = -1

// A Packet is what the rules of a hook see of one packet.
//
// Out is empty in the hook input. Known reports whether conntrack has an entry
// for the packet; one that is INVALID or UNTRACKED has none, and all that stands
// below State then means nothing. The original tuple is the one that opened the
// connection: for an ICMP error (RELATED) that of the connection that it is
// about, whose protocol is CTProtocol where that is not 0. The ports of an ICMP
// tuple are its identifier, and its type and code as one number.
type Packet struct {
	In, Out              string
	Protocol             int
	Src, Dst             netip.Addr
	Sport, Dport         int
	TCPFlags             int // FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128
	ICMPType, ICMPCode   int
	Fragment             bool // a second or further fragment
	Mark                 uint32
	Known                bool
	State                string // INVALID, UNTRACKED, NEW, ESTABLISHED or RELATED
	Reply, SNAT, DNAT    bool
	ConnMark             uint32
	OrigSrc, OrigDst     netip.Addr
	OrigSport, OrigDport int
	CTProtocol           int
}

// family returns 4 or 6.
func (p Packet) family() int {
	if p.Src.Is4() {
		return 4
	}
	return 6
}

// ported reports whether the packet's first four octets are its ports.
func (p Packet) ported() bool {
	switch p.Protocol {
	case protoTCP, protoUDP, protoDCCP, protoSCTP, protoUDPLite:
		return true
	}
	return false
}

// tracked returns the protocol of the packet's conntrack entry.
func (p Packet) tracked() int {
	if p.CTProtocol != 0 {
		return p.CTProtocol
	}
	return p.Protocol
}
