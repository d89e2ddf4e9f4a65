package meaning

import (
	"cmp"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
	"go4.org/netipx"
)

// Scope returns a policy's scope in this family as boxes, one per protocol.
func (r *Reader) Scope(p *schema.Policy) []diagram.Box {
	addresses := r.addresses(p)
	if addresses != nil && len(addresses) == 0 {
		return nil
	}
	var boxes []diagram.Box
	for _, proto := range []schema.Protocol{schema.TCP, schema.UDP, schema.SCTP} {
		if ports := portsOf(p, proto); len(ports) > 0 {
			boxes = append(boxes, diagram.Box{packet.Proto: diagram.One(diagram.Small(int(proto))), packet.OrigPort: ports,
				packet.OrigDest: addresses, packet.In: r.outside(p.External)})
		}
	}
	return boxes
}

var invalid = packet.ClassSet(func(c packet.Class) bool { return c.State == packet.Invalid })

// InvalidIn returns the INVALID packets of a scope. They have no original destination, so
// their own one counts.
func InvalidIn(scope diagram.Box) diagram.Box {
	b := scope
	b[packet.Conntrack] = invalid
	b[packet.Dest], b[packet.DestPort] = scope[packet.OrigDest], scope[packet.OrigPort]
	b[packet.OrigDest], b[packet.OrigPort] = nil, nil
	return b
}

func portsOf(p *schema.Policy, proto schema.Protocol) diagram.Set {
	var spans []diagram.Span
	for _, r := range p.Ports {
		if r.Protocol == proto {
			spans = append(spans, diagram.Span{Lo: diagram.Small(int(r.First)), Hi: diagram.Small(int(r.Last))})
		}
	}
	return diagram.Normal(spans)
}

func (r *Reader) addresses(p *schema.Policy) diagram.Set {
	if len(p.Address) == 0 {
		return nil
	}
	spans := []diagram.Span{}
	for _, a := range p.Address {
		if a.Addr().Is4() == (r.space.Family == packet.IPv4) {
			spans = append(spans, spanOf(a))
		}
	}
	return diagram.Normal(spans)
}

// NarrowFirst orders policies so that one whose scope lies strictly inside
// another's comes before it. Scopes are products, and of two nested products
// each part is at most as large, and one of them smaller; so sorting by the
// sizes of the parts, one after the other, is enough.
func (r *Reader) NarrowFirst() []*schema.Policy {
	type sized struct {
		p     *schema.Policy
		parts [3]count
	}
	var list []sized
	for _, p := range r.doc.Policies {
		var ports count
		for _, proto := range []schema.Protocol{schema.TCP, schema.UDP, schema.SCTP} {
			ports = ports.plus(countOf(portsOf(p, proto)))
		}
		list = append(list, sized{p, [3]count{ports, addressCount(p), countOf(r.patterns(p.External))}})
	}
	slices.SortStableFunc(list, func(a, b sized) int {
		return cmp.Or(slices.Compare(a.parts[0][:], b.parts[0][:]), slices.Compare(a.parts[1][:], b.parts[1][:]), slices.Compare(a.parts[2][:], b.parts[2][:]))
	})
	out := make([]*schema.Policy, len(list))
	for i, s := range list {
		out[i] = s.p
	}
	return out
}

// spanOf returns the addresses of a CIDR, even of one with host bits.
func spanOf(p netip.Prefix) diagram.Span {
	g := netipx.RangeOfPrefix(p)
	return diagram.Span{Lo: diagram.OfAddr(g.From()), Hi: diagram.OfAddr(g.To())}
}

// count is a number of values, of 192 bits, the highest first.
type count [3]uint64

// countOf counts the values of a set that is not every value.
func countOf(s diagram.Set) count {
	var n count
	for _, p := range s {
		lo, borrow := bits.Sub64(p.Hi.Lo, p.Lo.Lo, 0)
		hi, _ := bits.Sub64(p.Hi.Hi, p.Lo.Hi, borrow)
		n = n.plus(count{0, hi, lo}).plus(count{0, 0, 1})
	}
	return n
}

func (n count) plus(m count) count {
	var sum count
	carry := uint64(0)
	for i := range slices.Backward(n[:]) {
		sum[i], carry = bits.Add64(n[i], m[i], carry)
	}
	return sum
}

// addressCount returns how many host addresses of both families a policy covers. Both
// families count: of two policies that are the same in one, the other family decides which
// is narrower.
func addressCount(p *schema.Policy) count {
	if len(p.Address) == 0 {
		return count{1 << 2} // more than both families have
	}
	var four, six []diagram.Span
	for _, a := range p.Address {
		if a.Addr().Is4() {
			four = append(four, spanOf(a))
		} else {
			six = append(six, spanOf(a))
		}
	}
	return countOf(diagram.Normal(four)).plus(countOf(diagram.Normal(six)))
}
