package packet

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
)

// Hook is the kernel's chain that a packet is in.
type Hook string

// The two hooks that a policy covers: packets that the host forwards, and packets to
// the host itself.
const (
	Forward Hook = "FORWARD"
	Input   Hook = "INPUT"
)

// Hooks lists both hooks.
var Hooks = []Hook{Forward, Input}

// Packet is one packet, with everything that a policy or a file can match on.
type Packet struct {
	Hook       Hook
	In, Out    string // interfaces; Out is empty in INPUT
	Protocol   Protocol
	State      State
	Reply      bool // ctdir REPLY
	SNAT, DNAT bool
	Source     netip.Addr
	Dest       netip.Addr // as the hook sees it, after DNAT
	Sport      int
	Dport      int // after DNAT
	TCPFlags   int
	ICMPType   int // type × 256 + code
	Mark       uint32
	OrigDst    netip.Addr // where the connection was sent, before DNAT
	OrigPort   int
	// Members are the ipsets filled at run time of which it is known whether they hold
	// the source.
	Members Memberships
}

// Family returns the packet's address family.
func (p Packet) Family() Family {
	if p.Source.Is4() {
		return IPv4
	}
	return IPv6
}

// Class returns what conntrack knows about the packet.
func (p Packet) Class() Class { return Class{p.State, p.Reply, p.SNAT, p.DNAT} }

// Known reports whether conntrack has an entry for the packet.
func (p Packet) Known() bool { return p.Class().Known() }

// String writes the packet in one line, as verify and explain show it.
func (p Packet) String() string {
	protocol := p.Protocol.String()
	if p.Protocol == 0 { // "all" is a rule's word
		protocol = "protocol 0"
	}
	text := fmt.Sprintf("%s %s from %s", p.Hook, protocol, p.Source)
	if p.Known() {
		text += fmt.Sprintf(" to %s (originally)", netip.AddrPortFrom(p.OrigDst, uint16(p.OrigPort)))
	} else {
		text += fmt.Sprintf(" to %s", p.Dest)
	}
	text += fmt.Sprintf(", in %s", p.In)
	if p.Hook == Forward {
		text += fmt.Sprintf(", out %s", p.Out)
	}
	text += ", " + p.Class().String()
	if in := p.Members.Holding(); len(in) > 0 {
		text += ", a member of the ipset " + strings.Join(in, " and of ")
	}
	return text
}

func markByte(mark uint32, i int) diagram.Value { return diagram.Small(int(mark >> (8 * i) & 255)) }

// Point returns the packet as a point of a space.
func (s *Space) Point(p Packet) *diagram.Point {
	at := &diagram.Point{
		Conntrack: p.Class().Value(), Proto: diagram.Small(int(p.Protocol)),
		In: diagram.Small(s.AtomOf(p.In)), Out: diagram.Small(s.AtomOf(p.Out)),
		SourcePort: diagram.Small(p.Sport), DestPort: diagram.Small(p.Dport),
		TCPFlags: diagram.Small(p.TCPFlags), ICMPType: diagram.Small(p.ICMPType),
		Mark0: markByte(p.Mark, 0), Mark1: markByte(p.Mark, 1), Mark2: markByte(p.Mark, 2), Mark3: markByte(p.Mark, 3),
		OrigPort: diagram.Small(p.OrigPort), OrigDest: diagram.OfAddr(p.OrigDst),
		Dest: diagram.OfAddr(p.Dest), Source: diagram.OfAddr(p.Source),
	}
	for i, name := range s.Members {
		if p.Members.Has(name) {
			at[FirstMember+i] = diagram.Small(1)
		}
	}
	return at
}

// TCP flags, by the bits of the header.
const (
	SYN = 2
	ACK = 16
)

// UsualFlags returns the flags of a TCP packet if none are given: SYN if it opens a
// connection, otherwise ACK.
func UsualFlags(s State) int {
	if s == New {
		return SYN
	}
	return ACK
}

// Example returns a packet in a box, the one that a person would think of first if
// the box leaves a choice. The box must not be empty.
func (s *Space) Example(hook Hook, b *diagram.Box) Packet {
	pick := func(p int, liked ...diagram.Value) diagram.Value {
		for _, v := range liked {
			if b[p].Has(v) {
				return v
			}
		}
		if b[p] == nil {
			return diagram.Value{}
		}
		return b[p][0].Lo
	}
	address := func(p int, four, six string) netip.Addr {
		like := four
		if s.Family == IPv6 {
			like = six
		}
		return pick(p, diagram.OfAddr(netip.MustParseAddr(like))).Addr(s.Family == IPv6)
	}
	number := func(p int, liked ...int) int {
		var values []diagram.Value
		for _, n := range liked {
			values = append(values, diagram.Small(n))
		}
		return int(pick(p, values...).Lo)
	}
	fresh, answer := Class{State: New, DNAT: hook == Forward}, Class{State: Established, Reply: true, DNAT: true}
	c := Classes[pick(Conntrack, fresh.Value(), answer.Value()).Lo]
	flags := []int{SYN, ACK}
	if c.State != New {
		flags = []int{ACK, SYN}
	}
	p := Packet{Hook: hook, State: c.State, Reply: c.Reply, SNAT: c.SNAT, DNAT: c.DNAT,
		Protocol: Protocol(number(Proto, int(TCP), int(UDP), int(s.Family.ICMP()))),
		In:       s.Atoms[pick(In, s.named()...).Lo].Sample,
		Sport:    number(SourcePort, 40000),
		TCPFlags: number(TCPFlags, flags...), ICMPType: number(ICMPType, 8*256, 128*256), Mark: uint32(number(Mark0, 0) | number(Mark1, 0)<<8 | number(Mark2, 0)<<16 | number(Mark3, 0)<<24),
		OrigPort: number(OrigPort, 443, 80, 8080),
		OrigDst:  address(OrigDest, "198.51.100.2", "2001:db8::2"),
		Source:   address(Source, "203.0.113.9", "2001:db8:ffff::9"),
		Members: MembershipsOf(s.Members, func(name string) bool {
			property, _ := s.Member(name)
			return number(property, 0) == 1
		}),
	}
	if hook == Forward {
		p.Out = s.Atoms[pick(Out, s.others()...).Lo].Sample
		p.Dest = address(Dest, "172.17.0.2", "fd00::2")
		p.Dport = number(DestPort, 80)
	} else {
		p.Dest = pick(Dest, diagram.OfAddr(p.OrigDst)).Addr(s.Family == IPv6)
		p.Dport = number(DestPort, p.OrigPort)
		if !c.Known() { // its own destination is all that it has
			p.OrigDst = pick(OrigDest, diagram.OfAddr(p.Dest)).Addr(s.Family == IPv6)
			p.OrigPort = number(OrigPort, p.Dport)
		}
	}
	return p
}

// named are the atoms that have a name and an example, in order; others are
// all that have an example, the unnamed first.
func (s *Space) named() []diagram.Value { return s.others()[min(1, len(s.others())):] }

func (s *Space) others() []diagram.Value {
	var list []diagram.Value
	for i, a := range s.Atoms {
		if a.Sample != "" {
			list = append(list, diagram.Small(i))
		}
	}
	return list
}
