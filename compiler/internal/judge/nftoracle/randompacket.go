package nftoracle

import (
	"math/rand/v2"
	"net/netip"
)

// RandomPacket returns a packet for a random ruleset: most of its values stand
// in the text or next to one that does.
func RandomPacket(r *rand.Rand, f File) Packet {
	m := &maker{Rand: r, file: &f}
	family := pick(m, 4, 6)
	p := Packet{
		In: m.interfaceNear(), Out: m.interfaceNear(), Protocol: pick(m, f.Protocols...),
		Src: m.addressNear(family), Dst: m.addressNear(family), Mark: m.markNear(), Fragment: m.chance(50),
	}
	if m.chance(8) {
		p.Protocol = 1 + m.IntN(255)
	}
	switch {
	case p.ported():
		p.Sport, p.Dport = m.portNear(), m.portNear()
	case p.Protocol == protoICMP || p.Protocol == protoICMPv6:
		p.ICMPType, p.ICMPCode = pick(m, f.ICMP...), pick(m, 0, 0, 1, 3, m.IntN(256))
	}
	if p.Protocol == protoTCP {
		p.TCPFlags = pick(m, 2, 2, 0x12, 0x10, 0x18, 4, 0x11, 0, m.IntN(256))
	}
	m.connection(&p, family)
	return p
}

// connection chooses what conntrack knows of a packet.
func (m *maker) connection(p *Packet, family int) {
	p.State = pick(m, "INVALID", "UNTRACKED", "NEW", "NEW", "NEW", "NEW", "ESTABLISHED", "ESTABLISHED", "ESTABLISHED", "RELATED")
	p.Known = p.State != "INVALID" && p.State != "UNTRACKED"
	if !p.Known {
		return
	}
	p.Reply = p.State != "NEW" && m.chance(2)
	p.SNAT, p.DNAT = m.chance(5), m.chance(2)
	if m.chance(3) {
		p.ConnMark = m.markNear()
	}
	p.OrigSrc, p.OrigDst, p.OrigSport, p.OrigDport = p.Src, p.Dst, p.Sport, p.Dport
	if p.Reply {
		p.OrigSrc, p.OrigDst, p.OrigSport, p.OrigDport = p.Dst, p.Src, p.Dport, p.Sport
	}
	if !p.ported() {
		p.OrigSport, p.OrigDport = Unknown, Unknown
	}
	if p.DNAT {
		p.OrigDst = m.addressNear(family)
		if p.ported() {
			p.OrigDport = m.portNear()
		}
	}
}

func (m *maker) interfaceNear() string {
	if m.chance(8) {
		return pick(m, "lo", "wlan0", "eth", "docker00", "eth0x", "br-2")
	}
	return m.interfaceName()
}

// addressNear returns an address of the text, or one beside it.
func (m *maker) addressNear(family int) netip.Addr {
	a := m.addressOf(family)
	other := a
	switch m.IntN(5) {
	case 0:
		other = a.Next()
	case 1:
		other = a.Prev()
	}
	if !other.IsValid() {
		return a
	}
	return other
}

func (m *maker) portNear() int {
	if m.chance(10) {
		return 1 + m.IntN(65535)
	}
	return min(65535, max(1, pick(m, m.file.Ports...)+pick(m, 0, 0, 0, 1, -1, 10)))
}

func (m *maker) markNear() uint32 {
	if m.chance(2) {
		return 0
	}
	n := pick(m, m.file.Marks...)
	return pick(m, n, n, n|0x100, n+1, n&0xff)
}
