package oracle

import "net/netip"

// The protocol numbers that the matches treat specially.
const (
	protoICMP    = 1
	protoTCP     = 6
	protoUDP     = 17
	protoDCCP    = 33
	protoICMPv6  = 58
	protoSCTP    = 132
	protoUDPLite = 136
)

// A Packet is what the rules of table filter see of one packet.
//
// Out and In are empty where a chain has no such interface. Known reports
// whether conntrack has an entry for the packet; a packet that is INVALID or
// UNTRACKED has none, and Reply, SNAT, DNAT, OrigDst and OrigDport then mean
// nothing. --ctproto is compared with Protocol, or with CTProtocol where that
// is not 0: the error message of another protocol's connection (an ICMP error,
// RELATED) has the protocol of its connection in conntrack.
type Packet struct {
	In, Out            string
	Protocol           int
	Src, Dst           netip.Addr
	Sport, Dport       int
	TCPFlags           int // the bits of --tcp-flags: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32
	ICMPType, ICMPCode int
	Mark               uint32
	Known              bool
	State              string // INVALID, UNTRACKED, NEW, ESTABLISHED or RELATED
	Reply, SNAT, DNAT  bool
	OrigDst            netip.Addr
	OrigDport          int
	Fragment           bool // a second or further fragment
	CTProtocol         int
}
