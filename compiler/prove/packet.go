package prove

import (
	"fmt"
	"net/netip"

	"github.com/seawall/seawall/compiler/rules"
)

// Packet is one packet with all that a policy or a file can ask of it.
type Packet struct {
	Hook       Hook
	In, Out    string // interfaces; Out is empty in INPUT
	Protocol   int    // the packet's own
	State      string // INVALID, UNTRACKED, NEW, ESTABLISHED or RELATED
	Reply      bool   // ctdir REPLY
	SNAT, DNAT bool
	Source     netip.Addr
	Dest       netip.Addr // as the hook sees it, after DNAT
	Sport      int
	Dport      int        // after DNAT
	OrigDst    netip.Addr // where the connection was sent, before DNAT
	OrigPort   int
}

// Family is the packet's address family.
func (p Packet) Family() rules.Family {
	if p.Source.Is4() {
		return rules.IPv4
	}
	return rules.IPv6
}

// Known tells whether conntrack has an entry for the packet.
func (p Packet) Known() bool { return p.State != "INVALID" && p.State != "UNTRACKED" }

// ProtocolName is tcp, udp, sctp, icmp, ipv6-icmp or a number.
func (p Packet) ProtocolName() string { return protocolName(p.Protocol) }

func protocolName(n int) string {
	for _, name := range []string{"tcp", "udp", "sctp", "icmp", "ipv6-icmp"} {
		if protocolNames[name] == n {
			return name
		}
	}
	return fmt.Sprint(n)
}

// String writes the packet in one line, as verify and explain show it.
func (p Packet) String() string {
	text := fmt.Sprintf("%s %s from %s", p.Hook, p.ProtocolName(), p.Source)
	if p.Known() {
		text += fmt.Sprintf(" to %s (originally)", netip.AddrPortFrom(p.OrigDst, uint16(p.OrigPort)))
	} else {
		text += fmt.Sprintf(" to %s", p.Dest)
	}
	text += fmt.Sprintf(", in %s", p.In)
	if p.Hook == Forward {
		text += fmt.Sprintf(", out %s", p.Out)
	}
	c := class{p.State, p.Reply, p.SNAT, p.DNAT}
	return text + ", " + c.String()
}

// values places a packet in a space.
func (s *space) values(p Packet) [properties]value {
	var v [properties]value
	for i, c := range classes {
		if c == (class{p.State, p.Reply, p.SNAT, p.DNAT}) {
			v[pClass] = small(i)
		}
	}
	v[pProtocol] = small(p.Protocol)
	v[pIn], v[pOut] = small(s.atomOf(p.In)), small(s.atomOf(p.Out))
	v[pSport], v[pDport], v[pOrigPort] = small(p.Sport), small(p.Dport), small(p.OrigPort)
	v[pOrigDst], v[pDst], v[pSrc] = ofAddr(p.OrigDst), ofAddr(p.Dest), ofAddr(p.Source)
	return v
}

// packet makes a packet of a box, one that a person would think of first where
// the box leaves a choice.
func (s *space) packet(hook Hook, b *box) Packet {
	v6 := s.family == rules.IPv6
	pick := func(p int, liked ...value) value {
		for _, v := range liked {
			if b[p].has(v) {
				return v
			}
		}
		return b[p][0].lo
	}
	address := func(p int, four, six string) netip.Addr {
		like := four
		if v6 {
			like = six
		}
		return pick(p, ofAddr(netip.MustParseAddr(like))).addr(v6)
	}
	fresh := classSet(func(c class) bool { return c == class{state: "NEW", dnat: hook == Forward} })
	estab := classSet(func(c class) bool { return c == class{state: "ESTABLISHED", reply: true, dnat: true} })
	c := classes[pick(pClass, fresh[0].lo, estab[0].lo).lo]
	p := Packet{Hook: hook, State: c.state, Reply: c.reply, SNAT: c.snat, DNAT: c.dnat,
		Protocol: int(pick(pProtocol, small(6), small(17)).lo),
		In:       s.atoms[pick(pIn, small(1)).lo].sample,
		Sport:    int(pick(pSport, small(40000)).lo),
		OrigPort: int(pick(pOrigPort, small(443)).lo),
		OrigDst:  address(pOrigDst, "198.51.100.2", "2001:db8::2"),
		Source:   address(pSrc, "203.0.113.9", "2001:db8:ffff::9"),
	}
	if hook == Forward {
		p.Out = s.atoms[pick(pOut, small(0)).lo].sample
		p.Dest = address(pDst, "172.17.0.2", "fd00::2")
		p.Dport = int(pick(pDport, small(80)).lo)
	} else {
		p.Dest = pick(pDst, ofAddr(p.OrigDst)).addr(v6)
		p.Dport = int(pick(pDport, small(p.OrigPort)).lo)
	}
	return p
}
