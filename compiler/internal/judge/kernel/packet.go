// Package kernel asks the running Linux kernel what an iptables file does to
// packets that are forwarded. It knows nothing of rules: it loads the file
// with the system's own iptables-restore into a network namespace of its own,
// sends packets through it, and reports which of them arrived and which were
// answered. It is meant as a judge of programs that predict the same.
package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
)

// The interfaces of the host. A packet comes in on Outside and leaves by
// Inside, or the other way about with Packet.FromServer.
const (
	Outside = "eth0"
	Inside  = "srv0"
)

// Protocol numbers that the harness builds more than a filled header for.
const (
	protoICMP    = 1
	protoTCP     = 6
	protoUDP     = 17
	protoDCCP    = 33
	protoGRE     = 47
	protoESP     = 50
	protoICMPv6  = 58
	protoNoNext  = 59
	protoSCTP    = 132
	protoUDPLite = 136
)

// TCP flags, as in the fourteenth byte of the header.
const (
	FIN byte = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// State is what connection tracking makes of a packet.
type State int

// The states that the harness can put a packet in.
const (
	StateNew State = iota
	// StateEstablished is a packet in the original direction of a connection
	// that was answered.
	StateEstablished
	// StateEstablishedReply is an answer: Src is the server's address.
	StateEstablishedReply
	// StateRelated is an ICMP error about an answer of a TCP connection (whose
	// ports Sport and Dport are), or the first packet of an expected one.
	StateRelated
	// StateRelatedReply is an ICMP error about a packet of the original
	// direction.
	StateRelatedReply
	StateInvalid
	// StateUntracked is what IPv6 neighbour and listener discovery is by
	// itself (nf_conntrack_proto_icmpv6.c).
	StateUntracked
)

var stateNames = [...]string{"NEW", "ESTABLISHED", "ESTABLISHED reply", "RELATED", "RELATED reply", "INVALID", "UNTRACKED"}

func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("State(%d)", int(s))
	}
	return stateNames[s]
}

// A Packet is described as the chain FORWARD sees it: after DNAT, before SNAT.
type Packet struct {
	Family             int // 4 or 6
	Protocol           int // as in the IP header, 1 to 255
	Src, Dst           netip.Addr
	Sport, Dport       int // TCP, UDP, UDP-Lite, SCTP, DCCP; see State for ICMP errors
	TCPFlags           byte
	ICMPType, ICMPCode byte
	Mark               uint32 // set in mangle PREROUTING before the file's own rules
	ConnMark           uint32 // mark of the connection
	TOS                byte   // type of service, or traffic class
	Length             int    // of the whole IP packet; 0: as short as can be

	// OrigDst and OrigDport are the original destination of the connection
	// where it differs from the one that FORWARD sees. OrigDst that is not
	// valid means no DNAT; OrigDport 0 means the same port.
	OrigDst   netip.Addr
	OrigDport int

	State      State
	FromServer bool // in by Inside, out by Outside
}

// DNAT reports whether the packet belongs to a connection with DNAT.
func (p Packet) DNAT() bool { return p.OrigDst.IsValid() }

// reply reports whether the packet goes against its connection's direction.
func (p Packet) reply() bool { return p.State == StateEstablishedReply || p.State == StateRelatedReply }

func (p Packet) icmp() bool {
	return p.Family == 4 && p.Protocol == protoICMP || p.Family == 6 && p.Protocol == protoICMPv6
}

// alwaysInvalid reports whether conntrack calls every packet of the protocol
// invalid: the other family's ICMP (nf_conntrack_icmp_packet,
// nf_conntrack_icmpv6_packet), and no next header in IPv6.
func (p Packet) alwaysInvalid() bool {
	if p.Family == 6 {
		return p.Protocol == protoICMP || p.Protocol == protoNoNext
	}
	return p.Protocol == protoICMPv6
}

// icmpError reports whether conntrack looks into the packet for the one that
// it is about. Types above 18 in IPv4 are invalid to it.
func (p Packet) icmpError() bool {
	if !p.icmp() {
		return false
	}
	if p.Family == 6 {
		return p.ICMPType < 128
	}
	switch p.ICMPType {
	case 3, 4, 5, 11, 12:
		return true
	}
	return false
}

// icmpRequest reports whether the type may open an entry in conntrack
// (nf_conntrack_proto_icmp.c and nf_conntrack_proto_icmpv6.c, valid_new).
func (p Packet) icmpRequest() bool {
	if p.Family == 6 {
		return p.ICMPType == 128 || p.ICMPType == 139
	}
	switch p.ICMPType {
	case 8, 13, 15, 17:
		return true
	}
	return false
}

// icmpReply reports whether the type answers one of icmpRequest's.
func (p Packet) icmpReply() bool {
	if p.Family == 6 {
		return p.ICMPType == 129 || p.ICMPType == 140
	}
	switch p.ICMPType {
	case 0, 14, 16, 18:
		return true
	}
	return false
}

// icmpUntracked reports whether conntrack leaves the type alone.
func (p Packet) icmpUntracked() bool {
	if p.Family != 6 || !p.icmp() {
		return false
	}
	t := p.ICMPType
	return t >= 130 && t <= 136 || t == 143 || t == 151 || t == 152
}

// ported reports whether the protocol has ports.
func (p Packet) ported() bool {
	switch p.Protocol {
	case protoTCP, protoUDP, protoDCCP, protoSCTP, protoUDPLite:
		return true
	}
	return false
}

// tracksPorts reports whether conntrack keeps connections of the protocol
// apart by port. DCCP's tracker left the kernel in 6.17.
func (p Packet) tracksPorts() bool { return p.ported() && p.Protocol != protoDCCP }

// validFlags reports whether conntrack takes the flags of a TCP packet at all
// (nf_conntrack_proto_tcp.c, tcp_valid_flags).
func validFlags(flags byte) bool {
	switch flags &^ (PSH | ECE | CWR) {
	case SYN, SYN | URG, SYN | ACK, RST, RST | ACK, FIN | ACK, FIN | ACK | URG, ACK, ACK | URG:
		return true
	}
	return false
}

// opening reports whether the flags are those of a connection's first packet.
func opening(flags byte) bool {
	return validFlags(flags) && flags&SYN != 0 && flags&ACK == 0
}

// Check reports why the packet cannot be sent, or cannot be in its state.
// Send refuses what Check refuses.
func (p Packet) Check() error {
	if p.Family != 4 && p.Family != 6 {
		return fmt.Errorf("family %d is neither 4 nor 6", p.Family)
	}
	if err := p.checkAddresses(); err != nil {
		return err
	}
	if err := p.checkNumbers(); err != nil {
		return err
	}
	if p.DNAT() && (p.State == StateInvalid || p.State == StateUntracked) {
		return fmt.Errorf("a packet that is %v has no original destination", p.State)
	}
	if _, port := p.translated(); p.DNAT() && p.tracksPorts() && port == 0 && p.OrigDport != 0 {
		return errors.New("conntrack cannot be told of a translation to port 0")
	}
	switch {
	case p.State < StateNew || p.State > StateUntracked:
		return fmt.Errorf("%v is not a state", p.State)
	case p.icmp():
		return p.checkICMP()
	case p.alwaysInvalid():
		if p.State != StateInvalid {
			return fmt.Errorf("protocol %d in IPv%d is not %v", p.Protocol, p.Family, p.State)
		}
		return nil
	case p.State == StateUntracked || p.State == StateRelatedReply:
		return fmt.Errorf("protocol %d is not %v", p.Protocol, p.State)
	case p.Protocol == protoTCP:
		return p.checkTCP()
	case p.State == StateInvalid && !p.ported() || p.State == StateInvalid && p.Protocol == protoDCCP:
		return fmt.Errorf("conntrack calls no packet of protocol %d invalid", p.Protocol)
	}
	return nil
}

func (p Packet) checkNumbers() error {
	if p.Protocol < 1 || p.Protocol > 255 {
		return fmt.Errorf("protocol %d is not between 1 and 255", p.Protocol)
	}
	if p.Family == 6 {
		switch p.Protocol {
		case 43, 44, 51, 60:
			return fmt.Errorf("protocol %d is an extension header in IPv6", p.Protocol)
		}
	}
	for _, port := range []int{p.Sport, p.Dport, p.OrigDport} {
		if port < 0 || port > 65535 {
			return fmt.Errorf("%d is not a port", port)
		}
	}
	if p.Length < 0 || p.Length > 1400 {
		return fmt.Errorf("length %d is not between 0 and 1400", p.Length)
	}
	return nil
}

func (p Packet) checkAddresses() error {
	addresses := []netip.Addr{p.Src, p.Dst}
	if p.DNAT() {
		addresses = append(addresses, p.OrigDst)
	}
	for _, a := range addresses {
		if a.Is4() != (p.Family == 4) || !a.IsValid() {
			return fmt.Errorf("%v is not an IPv%d address", a, p.Family)
		}
		if !Forwarded(a) {
			return fmt.Errorf("%v is not an address that the kernel forwards", a)
		}
	}
	if p.Src == p.Dst {
		return fmt.Errorf("source and destination are both %v", p.Src)
	}
	return nil
}

// Forwarded reports whether Linux forwards packets from and to the address.
// It does not forward loopback, multicast, unspecified, 0.0.0.0/8 and
// broadcast addresses, nor link-local and IPv4-mapped ones of IPv6
// (ip_route_input_slow, ip6_forward, ip6_rcv_core). The harness's own few
// addresses are excluded too.
func Forwarded(a netip.Addr) bool {
	if a.IsLoopback() || a.IsMulticast() || a.IsUnspecified() || a.Is4In6() {
		return false
	}
	if a.Is4() {
		b := a.As4()
		return b[0] != 0 && b != [4]byte{255, 255, 255, 255} && !own4.Contains(a)
	}
	return !a.IsLinkLocalUnicast() && !own6.Contains(a)
}

// The harness's own addresses are in these.
var (
	own4 = netip.MustParsePrefix("100.127.254.0/23")
	own6 = netip.MustParsePrefix("fd5e:a3a1:77c2::/48")
)

func (p Packet) checkTCP() error {
	flags := p.TCPFlags
	ok := true
	switch p.State {
	case StateNew:
		ok = opening(flags) || validFlags(flags) && flags&(SYN|RST|FIN) == 0
	case StateRelated:
		ok = opening(flags)
	case StateEstablished:
		ok = validFlags(flags) && flags&(SYN|ACK) != SYN|ACK
	case StateEstablishedReply:
		ok = validFlags(flags) && !opening(flags)
	}
	if !ok {
		return fmt.Errorf("TCP flags %#02x are not %v", flags, p.State)
	}
	return nil
}

func (p Packet) checkICMP() error {
	ok := true
	switch p.State {
	case StateNew, StateEstablished:
		ok = p.icmpRequest()
	case StateEstablishedReply:
		ok = p.icmpReply()
	case StateRelated, StateRelatedReply:
		ok = p.icmpError() && p.ICMPType <= 4 && p.ICMPType >= 1 || p.Family == 4 && (p.ICMPType == 11 || p.ICMPType == 12)
	case StateInvalid:
		ok = !p.icmpRequest() && !p.icmpUntracked()
	case StateUntracked:
		ok = p.icmpUntracked()
	}
	if !ok {
		return fmt.Errorf("ICMP type %d is not %v", p.ICMPType, p.State)
	}
	return nil
}

// Answered reports whether the kernel answers the packet when a rule rejects
// it so (a name of --reject-with): where not, a REJECT looks like a DROP. No
// ICMP error is answered with another, nor are types that icmp_send counts
// among them; no reset is answered with a reset (nf_reject_ip_tcphdr_get), and
// an IPv6 packet of protocol 59 (no next header) with nothing at all. DNAT leaves
// the checksum of a protocol that it does not know as it was, so that in IPv6,
// where the addresses count, it is wrong and the packet is not answered.
func (p Packet) Answered(with string) bool {
	switch {
	case with == "tcp-reset":
		return p.Protocol == protoTCP && p.TCPFlags&RST == 0
	case p.Family == 6 && p.Protocol == protoNoNext:
		return false
	case p.Family == 6 && p.DNAT() && !p.reply() && !p.sumSurvives():
		return false
	case !p.icmp():
		return true
	case p.Family == 6:
		return p.ICMPType >= 128
	}
	return p.ICMPType == 0 || p.ICMPType == 8 || p.ICMPType >= 13 && p.ICMPType <= 18
}

// sumSurvives reports whether REJECT is content with a packet whose destination
// was changed: the translation corrects the checksum, or the protocol has none
// that depends on the addresses (l4proto_manip_pkt, nf_reject_verify_csum), or
// both addresses add up to the same.
func (p Packet) sumSurvives() bool {
	switch p.Protocol {
	case protoTCP, protoUDP, protoUDPLite, protoSCTP, protoICMPv6, protoGRE, protoESP:
		return true
	}
	before, after := fold(sum(0, p.OrigDst.AsSlice())), fold(sum(0, p.Dst.AsSlice()))
	return before%0xffff == after%0xffff
}

// entry reports whether an entry in conntrack has to be there beforehand.
func (p Packet) entry() bool {
	switch p.State {
	case StateNew:
		return p.DNAT() || p.ConnMark != 0 || p.Protocol == protoTCP && p.TCPFlags&SYN == 0
	case StateInvalid:
		// A SYN is only invalid as an answer.
		return p.Protocol == protoTCP && opening(p.TCPFlags)
	case StateUntracked:
		return false
	}
	return true
}

// wireDst returns the destination that the packet is sent to.
func (p Packet) wireDst() (netip.Addr, int) {
	if !p.DNAT() || p.reply() {
		return p.Dst, p.Dport
	}
	return p.OrigDst, p.origPort(p.Dport)
}

func (p Packet) origPort(port int) int {
	if p.OrigDport != 0 {
		return p.OrigDport
	}
	return port
}

// token identifies a packet: magic is the Host's, id the packet's.
type token struct {
	magic [8]byte
	id    uint32
}

// crafted is a packet as it is sent.
type crafted struct {
	bytes []byte // from the IP header on
	at    int    // where the token's magic is
	rst   uint32 // the number by which a reset is recognized
}

// craft builds the packet. Its payload begins with the token.
func (p Packet) craft(t token) crafted {
	body, at := p.transport(t)
	header := p.ipHeader(len(body))
	return crafted{bytes: append(header, body...), at: len(header) + at, rst: p.resetNumber(t, len(body))}
}

// resetNumber returns the sequence number of a reset that answers a packet
// with ACK, and the acknowledgement number of one that answers another.
func (p Packet) resetNumber(t token, length int) uint32 {
	if p.TCPFlags&ACK != 0 {
		return t.id
	}
	n := t.id + uint32(length-20)
	if p.TCPFlags&SYN != 0 {
		n++
	}
	if p.TCPFlags&FIN != 0 {
		n++
	}
	return n
}

func (p Packet) ipHeader(length int) []byte {
	dst, _ := p.wireDst()
	return ipHeader(p.Src, dst, p.Protocol, p.TOS, length)
}

func ipHeader(src, dst netip.Addr, protocol int, tos byte, length int) []byte {
	if src.Is4() {
		h := []byte{0x45, tos, 0, 0, 0, 1, 0, 0, 64, byte(protocol), 0, 0}
		binary.BigEndian.PutUint16(h[2:], uint16(20+length))
		h = append(append(h, src.AsSlice()...), dst.AsSlice()...)
		binary.BigEndian.PutUint16(h[10:], ^fold(sum(0, h)))
		return h
	}
	h := []byte{0x60 | tos>>4, tos << 4, 0, 0, 0, 0, byte(protocol), 64}
	binary.BigEndian.PutUint16(h[4:], uint16(length))
	return append(append(h, src.AsSlice()...), dst.AsSlice()...)
}

// transport returns what follows the IP header, and where the token is in it.
func (p Packet) transport(t token) ([]byte, int) {
	b := p.transportHeader(t)
	at := len(b)
	b = append(b, t.magic[:]...)
	b = binary.BigEndian.AppendUint32(b, t.id)
	ip := 20
	if p.Family == 6 {
		ip = 40
	}
	if fill := p.Length - ip - len(b); fill > 0 {
		b = append(b, bytes.Repeat([]byte{0}, fill)...)
	}
	p.finish(b)
	return b, at
}

func (p Packet) transportHeader(t token) []byte {
	_, dport := p.wireDst()
	ports := binary.BigEndian.AppendUint16(nil, uint16(p.Sport))
	ports = binary.BigEndian.AppendUint16(ports, uint16(dport))
	switch {
	case p.icmp():
		return p.icmpHeader(t)
	case p.Protocol == protoTCP:
		b := binary.BigEndian.AppendUint32(ports, t.id)
		b = binary.BigEndian.AppendUint32(b, t.id)
		return append(b, 0x50, p.TCPFlags, 0xff, 0xff, 0, 0, 0, 0)
	case p.Protocol == protoUDP, p.Protocol == protoUDPLite:
		return append(ports, 0, 0, 0, 0)
	case p.Protocol == protoSCTP:
		return append(ports, p.sctpRest()...)
	case p.Protocol == protoDCCP:
		return append(ports, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0)
	case p.Protocol == protoGRE:
		return []byte{0, 0, 0x08, 0}
	}
	return make([]byte, 12)
}

// sctpTag is the verification tag of every SCTP connection.
const sctpTag = 0x5ea3a112

// sctpRest returns the common header after the ports, and a chunk: INIT for a
// new connection, DATA for another.
func (p Packet) sctpRest() []byte {
	if p.State == StateNew || p.State == StateRelated {
		return []byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 20, 0, 0, 0, 9, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1}
	}
	b := binary.BigEndian.AppendUint32(nil, sctpTag)
	return append(b, 0, 0, 0, 0, 0, 3, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)
}

// icmpHeader returns the eight bytes, and for an error the packet it is about.
func (p Packet) icmpHeader(t token) []byte {
	b := []byte{p.ICMPType, p.ICMPCode, 0, 0, byte(t.id >> 8), byte(t.id), 0, 1}
	if !p.icmpError() {
		return b
	}
	b[4], b[5] = 0, 0
	return append(b, p.quoted(t)...)
}

// quoted returns the TCP packet that an ICMP error is about. It went the
// other way: from the error's destination to its source.
func (p Packet) quoted(t token) []byte {
	dst, dport := p.wireDst()
	inner := Packet{Family: p.Family, Protocol: protoTCP, Src: dst, Dst: p.Src, Sport: dport, Dport: p.Sport, TCPFlags: ACK}
	tcp := inner.transportHeader(t)
	inner.finish(tcp)
	return append(inner.ipHeader(len(tcp)), tcp...)
}

// finish fills in lengths and the checksum. The checksum of a protocol
// without one matters too: REJECT answers a packet only when its payload adds
// up (nf_reject_verify_csum exempts few protocols): with the pseudo-header in
// IPv6, and without it in IPv4 unless it is TCP or UDP. So a DCCP packet as
// DCCP wants it is not answered in IPv4; the one here is.
func (p Packet) finish(b []byte) {
	at := 0
	pseudo := p.Family == 6
	switch {
	case p.icmp():
		at = 2
	case p.Protocol == protoTCP:
		at, pseudo = 16, true
	case p.Protocol == protoUDP:
		at, pseudo = 6, true
		binary.BigEndian.PutUint16(b[4:], uint16(p.udpLength(len(b))))
	case p.Protocol == protoUDPLite:
		binary.BigEndian.PutUint16(b[4:], uint16(p.udpLength(8)))
		binary.BigEndian.PutUint16(b[6:], checksum(sum(p.pseudoSum(len(b)), b[:8])))
		return
	case p.Protocol == protoDCCP:
		at = 6
	case p.Protocol == protoSCTP:
		binary.BigEndian.PutUint16(b[14:], uint16(len(b)-12)) // of the one chunk
		binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
		return
	case p.Protocol == protoGRE:
		return
	}
	var s uint32
	if pseudo {
		s = p.pseudoSum(len(b))
	}
	binary.BigEndian.PutUint16(b[at:], checksum(sum(s, b)))
}

// udpLength returns the length in the UDP header. One that is shorter than the
// header makes the packet invalid to conntrack, and nothing else.
func (p Packet) udpLength(length int) int {
	if p.State == StateInvalid {
		return 7
	}
	return length
}

func (p Packet) pseudoSum(length int) uint32 {
	dst, _ := p.wireDst()
	s := sum(0, p.Src.AsSlice())
	s = sum(s, dst.AsSlice())
	return s + uint32(length) + uint32(p.Protocol)
}

// checksum returns the complement, never zero: in UDP that means none.
func checksum(s uint32) uint16 {
	if c := ^fold(s); c != 0 {
		return c
	}
	return 0xffff
}

func sum(s uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
