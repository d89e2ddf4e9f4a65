package oracle

import (
	"math/rand/v2"
	"net/netip"
)

// RandomPacket returns a packet for a random file: most of its values stand in
// the file or next to one that does.
func RandomPacket(r *rand.Rand, f File) Packet {
	m := &maker{Rand: r, Options: Options{Family: f.Family}, file: f}
	p := Packet{
		In: m.interfaceNear(), Out: m.interfaceNear(), Protocol: m.protocolNear(),
		Src: m.addressNear(), Dst: m.addressNear(), OrigDst: m.addressNear(), OrigDport: m.portNear(),
		Mark: m.markNear(), Fragment: m.chance(40),
	}
	switch p.Protocol {
	case protoTCP, protoUDP, protoUDPLite, protoSCTP, protoDCCP:
		p.Sport, p.Dport = m.portNear(), m.portNear()
	case protoICMP, protoICMPv6:
		p.ICMPType, p.ICMPCode = m.icmpNear()
	}
	if p.Protocol == protoTCP {
		p.TCPFlags = pick(m, 2, 2, 0x12, 0x10, 0x18, 4, 0, m.IntN(64))
	}
	m.connection(&p)
	return p
}

// connection chooses what conntrack knows of a packet.
func (m *maker) connection(p *Packet) {
	p.Known = !m.chance(6)
	if !p.Known {
		p.State = pick(m, "INVALID", "INVALID", "UNTRACKED")
		return
	}
	p.State = pick(m, "NEW", "NEW", "ESTABLISHED", "ESTABLISHED", "RELATED")
	p.Reply = p.State != "NEW" && m.chance(2)
	p.SNAT, p.DNAT = m.chance(4), m.chance(2)
	if !p.DNAT && !p.Reply {
		p.OrigDst, p.OrigDport = p.Dst, p.Dport
	}
	if !p.DNAT && p.Reply {
		p.OrigDst, p.OrigDport = p.Src, p.Sport
	}
}

func (m *maker) interfaceNear() string {
	if m.chance(8) {
		return pick(m, "lo", "wlan0", "eth", "docker00", "eth0x")
	}
	return pick(m, m.file.Interfaces...)
}

func (m *maker) protocolNear() int {
	if m.chance(8) {
		return 1 + m.IntN(255)
	}
	return pick(m, m.file.Protocols...)
}

// addressNear returns an address of the file, or one beside it.
func (m *maker) addressNear() netip.Addr {
	if len(m.file.Addresses) == 0 || m.chance(10) {
		return m.address()
	}
	a := pick(m, m.file.Addresses...)
	other := a
	switch m.IntN(4) {
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
	if len(m.file.Ports) == 0 || m.chance(10) {
		return m.IntN(65536)
	}
	return min(65535, max(0, pick(m, m.file.Ports...)+pick(m, 0, 0, 1, -1)))
}

func (m *maker) icmpNear() (kind, code int) {
	if len(m.file.ICMP) == 0 || m.chance(4) {
		return pick(m, 0, 3, 8, 11, 128, 1, 255), m.IntN(5)
	}
	n := pick(m, m.file.ICMP...)
	return n >> 8, min(255, max(0, n&255+pick(m, 0, 0, 1, -1)))
}

func (m *maker) markNear() uint32 {
	if len(m.file.Marks) == 0 || m.chance(3) {
		return pick(m, uint32(0), 1, 0x10, m.Uint32())
	}
	n := pick(m, m.file.Marks...)
	return pick(m, n, n, n&0xff, n|0x100, n+1, n-1)
}
