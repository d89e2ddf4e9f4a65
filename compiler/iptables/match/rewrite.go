package match

import (
	"net/netip"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

// Destination is where DNAT or REDIRECT sends a connection (libxt_NAT.c).
type Destination struct {
	// Host is for REDIRECT: the address is that of the interface on which the
	// connection came in.
	Host bool
	// Addresses are the first and the last of a range; the zero Addr if the address
	// does not change.
	Addresses [2]netip.Addr
	// Ports are the first and the last of a range; 0 if the port does not change.
	Ports [2]int
	// Shifted says that the port is not simply taken from the range, because of
	// --random or a /BASE.
	Shifted bool
}

// Destination returns where a target sends connections; false for a target that does
// not redirect them, or if the destination is not known.
func (u *Use) Destination(f packet.Family) (Destination, bool) {
	switch u.Name {
	case "DNAT":
		if g := u.Option("--to-destination"); g != nil {
			return destination(f, g.Values[0], u.Option("--random") != nil)
		}
	case "REDIRECT":
		d := Destination{Host: true, Shifted: u.Option("--random") != nil}
		g := u.Option("--to-ports")
		if g == nil {
			return d, true
		}
		return d, d.ports(g.Values[0])
	}
	return Destination{}, false
}

func destination(f packet.Family, text string, random bool) (Destination, bool) {
	d := Destination{Shifted: random}
	addresses, ports, hasPorts, ok := natParts(text)
	if !ok || hasPorts && !d.ports(ports) {
		return d, false
	}
	if addresses == "" {
		return d, hasPorts
	}
	first, last, isRange := strings.Cut(addresses, "-")
	if !isRange {
		last = first
	}
	for i, a := range []string{first, last} {
		addr, err := netip.ParseAddr(a)
		if err != nil || addr.Is4() != (f == packet.IPv4) {
			return d, false
		}
		d.Addresses[i] = addr
	}
	return d, true
}

// ports parses PORT[-PORT[/BASE]]; false for a service name.
func (d *Destination) ports(text string) bool {
	text, _, based := strings.Cut(text, "/")
	d.Shifted = d.Shifted || based
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	for i, p := range []string{first, last} {
		n, ok := WholeNumber(p, 0, 65535)
		if !ok {
			return false
		}
		d.Ports[i] = int(n)
	}
	return true
}

// Mark returns the mark of a packet after the target MARK (net/netfilter/xt_mark.c,
// mark_tg); false for any other target.
func (u *Use) Mark(mark uint32) (uint32, bool) {
	if u.Name != "MARK" || len(u.Options) != 1 {
		return 0, false
	}
	value, mask, ok := markChange(u.Options[0])
	return mark&^mask ^ value, ok
}
