package meaning

import (
	"fmt"
	"math/big"
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

// InvalidIn returns the INVALID packets of a scope. They have no original destination, so
// their own one counts.
func InvalidIn(scope diagram.Box) diagram.Box {
	b := scope
	b[packet.Conntrack] = packet.ClassSet(func(c packet.Class) bool { return c.State == packet.Invalid })
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
		parts [3]string
	}
	var list []sized
	for _, p := range r.doc.Policies {
		ports := 0
		for _, proto := range []schema.Protocol{schema.TCP, schema.UDP, schema.SCTP} {
			ports += int(portsOf(p, proto).Size(diagram.Value{}).Int64())
		}
		list = append(list, sized{p, [3]string{
			padded(int64(ports)), addressCount(p), padded(r.patterns(p.External).Size(diagram.Value{}).Int64())}})
	}
	slices.SortStableFunc(list, func(a, b sized) int { return slices.Compare(a.parts[:], b.parts[:]) })
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

// padded writes a number so that texts sort as their numbers do.
func padded(n int64) string { return fmt.Sprintf("%020d", n) }

// addressCount returns how many host addresses of both families a policy covers, in
// a form that sorts. Both families count: of two policies that are the same in
// one, the other family decides which is narrower.
func addressCount(p *schema.Policy) string {
	total := new(big.Int)
	if len(p.Address) == 0 {
		total.Lsh(big.NewInt(1), 130)
	}
	var four, six []diagram.Span
	for _, a := range p.Address {
		if a.Addr().Is4() {
			four = append(four, spanOf(a))
		} else {
			six = append(six, spanOf(a))
		}
	}
	total.Add(total, diagram.Normal(four).Size(diagram.Value{}))
	total.Add(total, diagram.Normal(six).Size(diagram.Value{}))
	return fmt.Sprintf("%050s", total)
}
