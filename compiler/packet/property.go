package packet

import "github.com/seawall/seawall/compiler/diagram"

// The properties of a packet that a rule can match on, in the order of the diagrams.
// To add one, add a line here, its name and its largest value below, and a field of
// Packet; diagram.MaxProperties bounds their number.
const (
	Conntrack  = iota // an index into Classes
	Proto             // the packet's own protocol
	In                // the interface it came in on, as an atom of the space
	Out               // the interface it leaves on; of a packet to the host itself there is none
	SourcePort        // of tcp, udp, sctp and dccp
	DestPort          // after DNAT
	TCPFlags          // FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32
	ICMPType          // type × 256 + code
	Mark0             // the packet's mark, its lowest byte: a mask of any form is a set of each
	Mark1             // byte, and not of the whole
	Mark2
	Mark3
	OrigPort // the original destination port; of other protocols, that key of conntrack's
	OrigDest // the original destination address
	Dest     // the destination after DNAT
	// FirstMember is whether the first of the space's ipsets holds the source, and so on
	// for MaxMembers of them.
	FirstMember
	Source     = FirstMember + MaxMembers // last: nearly all of a large file is sources
	properties = Source + 1
)

// propertyNames are the names of the properties in a difference.
var propertyNames = [properties]string{
	Conntrack: "conntrack", Proto: "protocol", In: "in", Out: "out", SourcePort: "source port",
	DestPort: "destination port", TCPFlags: "tcp flags", ICMPType: "icmp type",
	Mark0: "mark, byte 0", Mark1: "mark, byte 1", Mark2: "mark, byte 2", Mark3: "mark, byte 3", OrigPort: "original port",
	OrigDest: "original address", Dest: "destination", Source: "source",
}

// max returns the largest value of each property.
func (s *Space) max() []diagram.Value {
	list := make([]diagram.Value, properties)
	for p := range list {
		if isMember(p) {
			list[p] = diagram.Small(1)
			continue
		}
		switch p {
		case Conntrack:
			list[p] = diagram.Small(len(Classes) - 1)
		case Proto:
			list[p] = diagram.Small(255)
		case In, Out:
			list[p] = diagram.Small(len(s.Atoms) - 1)
		case TCPFlags:
			list[p] = diagram.Small(63)
		case Mark0, Mark1, Mark2, Mark3:
			list[p] = diagram.Small(255)
		case OrigDest, Dest, Source:
			list[p] = MaxAddress(s.Family)
		default:
			list[p] = diagram.Small(65535)
		}
	}
	return list
}

// MaxAddress returns a family's last address.
func MaxAddress(f Family) diagram.Value {
	if f == IPv6 {
		return diagram.Value{Hi: ^uint64(0), Lo: ^uint64(0)}
	}
	return diagram.Value{Lo: 1<<32 - 1}
}
