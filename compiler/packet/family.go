// Package packet says what a packet is, as far as rules can ask: its family,
// protocol and addresses, what conntrack knows of it, and what can become of it.
//
//	family.go    IPv4 and IPv6
//	protocol.go  IANA's numbers, and the names that iptables reads and prints
//	class.go     conntrack's states, directions and NAT
//	verdict.go   what can become of a packet
//	member.go    ipsets that are filled at run time
//	property.go  the properties that diagrams ask for, and their order
//	space.go     the packets of one family, with interfaces told apart by name
//	packet.go    one packet
package packet

import "strconv"

// Family is an address family: 4 or 6.
type Family int

// The two families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// Families are both, IPv4 first.
var Families = []Family{IPv4, IPv6}

// Bits is the length of the family's addresses.
func (f Family) Bits() int {
	if f == IPv6 {
		return 128
	}
	return 32
}

// ICMP is the number of the family's ICMP.
func (f Family) ICMP() Protocol {
	if f == IPv6 {
		return ICMPv6
	}
	return ICMP
}

func (f Family) String() string { return "IPv" + strconv.Itoa(int(f)) }
