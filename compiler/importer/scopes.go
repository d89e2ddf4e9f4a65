package importer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// outcome is what a block says of a source.
type outcome struct {
	verdict schema.Verdict
	log     string
}

// function is what each source of one family gets.
type function map[outcome]diagram.Set

// key is equal for equal functions.
func (f function) key() string {
	var list []string
	for o, s := range f {
		list = append(list, fmt.Sprint(o, s))
	}
	slices.Sort(list)
	return strings.Join(list, ";")
}

// most is the outcome that most sources get.
func (f function) most(last diagram.Value) outcome {
	var best outcome
	for _, o := range f.outcomes() {
		if f[best] == nil || f[o].Size(last).Cmp(f[best].Size(last)) > 0 {
			best = o
		}
	}
	return best
}

// outcomes are those of a function, in an order that does not depend on anything else.
func (f function) outcomes() []outcome {
	var list []outcome
	for o := range f {
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b outcome) int { return cmp.Or(int(a.verdict)-int(b.verdict), strings.Compare(a.log, b.log)) })
	return list
}

// function reads a diagram over the sources.
func (r *reading) function(f diagram.Ref) function {
	n := r.Parts(f, packet.Source)
	out := function{}
	for _, g := range r.Groups(n) {
		o := r.outcome(g.Kid.Bits())
		if known, there := out[o]; there {
			out[o] = known.Union(g.Spans)
		} else {
			out[o] = g.Spans
		}
	}
	return out
}

// outcome is a leaf in the language's terms. A verdict that the language does not have is
// deny: the comparison will say so.
func (r *reading) outcome(bits uint32) outcome {
	o := outcome{verdict: schema.Deny}
	switch v := packet.Verdict(bits & verdictBits); {
	case v == packet.Pass:
		o.verdict = schema.Pass
	case v == packet.Accept:
		o.verdict = schema.Accept
	case v.IsClosed() && v != packet.Deny && v != packet.HostDeny:
		o.verdict = schema.Reject
	}
	for i, l := range r.logs {
		if i < maxLogs && bits&(1<<(logShift+i)) != 0 {
			o.log = l.prefix
			break
		}
	}
	return o
}

// place is an original destination that is treated alike: a port of a protocol on one
// interface.
type place struct {
	protocol packet.Protocol
	span     diagram.Span // ports
	in       int          // an index into the external interfaces
	parts    []addressPart
}

// addressPart is what sources get on some host addresses; none is for every other one.
type addressPart struct {
	addresses []string
	functions map[packet.Family]function
	named     bool // INPUT decides there as well
}

func (p *place) key() string {
	var b strings.Builder
	for _, x := range p.parts {
		fmt.Fprintf(&b, "%v%v", x.addresses, x.named)
		for _, f := range packet.Families {
			fmt.Fprintf(&b, "|%s", x.functions[f].key())
		}
	}
	return b.String()
}

// ported are the protocols that a policy can name.
var ported = []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP}

// portFunction is what one family says of the ports of a protocol that are treated alike.
type portFunction struct {
	ports diagram.Set
	f     diagram.Ref // over the original address and the source
}

// portFunctions reads what a family says of a protocol on an interface, by original port.
// The packets go to a container that no rule names; where DNAT is known, those to a
// published port go to its own. With direct, what is sent to a container's own address
// counts as well.
func (r *reading) portFunctions(c candidate, protocol packet.Protocol, pattern string) []portFunction {
	in, direct := r.atomOf(pattern), c.direct
	base := r.restrict(r.sure[packet.Forward], r.fresh(protocol, in))
	functions := map[diagram.Value]diagram.Ref{}
	var taken []diagram.Span
	for _, p := range r.nat.ports {
		if p.protocol != protocol || !r.translated(p, in) || !r.decides(c, p) {
			continue
		}
		at := diagram.Small(p.port)
		if _, there := functions[at]; !there {
			functions[at] = r.published(protocol, in, p.port, base, direct)
			taken = append(taken, diagram.Span{Lo: at, Hi: at})
		}
	}
	for port, f := range r.directOnly(protocol, in, functions, base, direct) {
		functions[port] = f
		taken = append(taken, diagram.Span{Lo: port, Hi: port})
	}
	named := r.named(protocol, in)
	base = r.Overlay(named, base)
	for at, f := range functions {
		functions[at] = r.Overlay(r.Restrict(named, packet.OrigPort, at), f)
	}
	others := diagram.Normal(slices.Clone(taken)).Complement(r.Max(packet.OrigPort))
	var list []portFunction
	for _, g := range r.Groups(r.Parts(base, packet.OrigPort)) {
		if s := g.Spans.Intersect(others); len(s) > 0 {
			list = append(list, portFunction{s, g.Kid})
		}
	}
	for _, x := range taken {
		list = append(list, portFunction{diagram.Set{x}, functions[x.Lo]})
	}
	return list
}

// namedBit marks a leaf where the chains of INPUT decide, so that a policy must name the
// port: what unlisted says does not hold there.
const namedBit = 1 << 26

// named is where INPUT decides about new connections from some source or about INVALID
// packets, by original port and address.
func (r *reading) named(protocol packet.Protocol, in int) diagram.Ref {
	var items []diagram.Item
	if f, there := r.sure[packet.Input]; there {
		p := r.fresh(protocol, in)
		p.class.DNAT, p.out = false, 0
		f = r.Relabel(f, func(b uint32) uint32 { return b & verdictBits &^ uint32(packet.Pass) })
		r.Boxes(r.restrictBut(f, p), func(b *diagram.Box, closed uint32) {
			x := diagram.Box{packet.OrigPort: b[packet.OrigPort].Intersect(b[packet.DestPort]), packet.OrigDest: b[packet.OrigDest].Intersect(b[packet.Dest])}
			if closed != 0 && !x.Empty() {
				items = append(items, diagram.Item{Box: &x, Target: diagram.Leaf(namedBit | diagram.Continue)})
			}
		})
		p.class = packet.Class{State: packet.Invalid}
		items = append(items, r.invalid(r.restrictBut(f, p))...)
	}
	f := r.Build(append(items, diagram.Item{Box: &diagram.Box{}, Target: diagram.Leaf(0)}))
	return r.Relabel(f, func(b uint32) uint32 { return b&namedBit | diagram.Continue })
}

// invalid is where INVALID packets are closed for their port: f is about those of a protocol
// on an interface. No policy names port 0, so what is closed there as well is not.
func (r *reading) invalid(f diagram.Ref) []diagram.Item {
	var items []diagram.Item
	none := r.Restrict(f, packet.DestPort, diagram.Value{})
	r.Disagree(f, none, func(a, b uint32) bool { return a == b }).Boxes(func(b *diagram.Box, closed diagram.Pair) {
		if closed.A != 0 && closed.B == 0 {
			x := diagram.Box{packet.OrigPort: b[packet.DestPort], packet.OrigDest: b[packet.Dest]}
			items = append(items, diagram.Item{Box: &x, Target: diagram.Leaf(namedBit | diagram.Continue)})
		}
	})
	return items
}

// isNamed reports whether a function over the sources is one of a port that INPUT decides
// about.
func (r *reading) isNamed(f diagram.Ref) bool {
	return slices.ContainsFunc(r.Groups(r.Parts(f, packet.Source)), func(g diagram.Group) bool { return g.Kid.Bits()&namedBit != 0 })
}

// decides reports whether a policy decides about the packets of a published port: what
// leaves by none of the bridges passes it.
func (r *reading) decides(c candidate, p published) bool {
	return len(c.bridges) == 0 || p.bridge == "" || slices.ContainsFunc(c.bridges, func(name string) bool {
		return r.space.Interfaces(name).Has(diagram.Small(r.space.AtomOf(p.bridge)))
	})
}

// translated reports whether DNAT rewrites what comes in on an interface.
func (r *reading) translated(p published, in int) bool {
	return p.notFrom == "" || !r.space.Interfaces(p.notFrom).Has(diagram.Small(in))
}

// published is what the chain says of an original port whose packets DNAT rewrites, as a
// function of the original address and the source. The first rule that takes an address
// rewrites it.
func (r *reading) published(protocol packet.Protocol, in, port int, base diagram.Ref, direct bool) diagram.Ref {
	at := diagram.Small(port)
	var items []diagram.Item
	if direct {
		items = r.directItems(protocol, in, port)
	}
	for _, p := range r.nat.ports {
		if p.protocol != protocol || p.port != port || !r.translated(p, in) {
			continue
		}
		to := r.fresh(protocol, in)
		to.dest, to.destPort = p.to.Addr(), int(p.to.Port())
		if p.bridge != "" {
			to.out = r.space.AtomOf(p.bridge)
		}
		f := r.Restrict(r.restrict(r.sure[packet.Forward], to), packet.OrigPort, at)
		b := &diagram.Box{}
		if p.address.IsValid() {
			b[packet.OrigDest] = diagram.One(diagram.OfAddr(p.address))
		}
		items = append(items, diagram.Item{Box: b, Target: f})
	}
	return r.Build(append(items, diagram.Item{Box: &diagram.Box{}, Target: r.Restrict(base, packet.OrigPort, at)}))
}

// directItems are what is said of packets to containers' own addresses, at a port.
func (r *reading) directItems(protocol packet.Protocol, in, port int) []diagram.Item {
	var items []diagram.Item
	for _, p := range r.nat.containers() {
		if p.protocol != protocol || int(p.to.Port()) != port {
			continue
		}
		to := r.fresh(protocol, in)
		to.class.DNAT = false
		to.dest, to.destPort = p.to.Addr(), port
		if p.bridge != "" {
			to.out = r.space.AtomOf(p.bridge)
		}
		f := r.Restrict(r.restrict(r.sure[packet.Forward], to), packet.OrigPort, diagram.Small(port))
		f = r.Restrict(f, packet.OrigDest, diagram.OfAddr(to.dest))
		items = append(items, diagram.Item{Box: &diagram.Box{packet.OrigDest: diagram.One(diagram.OfAddr(to.dest))}, Target: f})
	}
	return items
}

// directOnly are the ports of containers that are not published by the same number.
func (r *reading) directOnly(protocol packet.Protocol, in int, known map[diagram.Value]diagram.Ref, base diagram.Ref, direct bool) map[diagram.Value]diagram.Ref {
	out := map[diagram.Value]diagram.Ref{}
	if !direct {
		return out
	}
	for _, p := range r.nat.containers() {
		at := diagram.Small(int(p.to.Port()))
		if _, there := known[at]; p.protocol != protocol || there {
			continue
		}
		items := append(r.directItems(protocol, in, int(p.to.Port())), diagram.Item{Box: &diagram.Box{}, Target: r.Restrict(base, packet.OrigPort, at)})
		out[at] = r.Build(items)
	}
	return out
}

// places are all original destinations, in every family, cut where any of them is treated
// in another way.
func (m *imported) places(c candidate) []place {
	var list []place
	for in, pattern := range c.arrivals {
		for _, protocol := range ported {
			list = append(list, m.placesOf(c, in, pattern, protocol)...)
		}
	}
	return list
}

func (m *imported) placesOf(c candidate, in int, pattern string, protocol packet.Protocol) []place {
	functions := make([][]portFunction, len(m.readings))
	var starts []diagram.Value
	for i, r := range m.readings {
		functions[i] = r.portFunctions(c, protocol, pattern)
		for _, x := range functions[i] {
			for _, s := range x.ports {
				starts = append(starts, s.Lo)
			}
		}
	}
	slices.SortFunc(starts, diagram.Value.Compare)
	starts = slices.Compact(starts)
	var list []place
	for k, lo := range starts {
		hi := diagram.Small(65535)
		if k+1 < len(starts) {
			hi = starts[k+1].Prev()
		}
		if hi == (diagram.Value{}) {
			continue // a policy names no port 0
		}
		p := place{protocol: protocol, span: diagram.Span{Lo: lo, Hi: hi}, in: in}
		p.parts = m.addressParts(functions, lo)
		list = append(list, p)
	}
	return list
}

// addressParts are what every family says of a port, by host address: first what most
// addresses get, without one, then the others.
func (m *imported) addressParts(functions [][]portFunction, port diagram.Value) []addressPart {
	parts := []addressPart{{functions: map[packet.Family]function{}}}
	var others [][]addressPart
	for i, r := range m.readings {
		family := r.chain.Family
		for _, x := range functions[i] {
			if !x.ports.Has(port) {
				continue
			}
			widest := r.widest(x.f, packet.OrigDest)
			parts[0].functions[family] = r.function(widest)
			parts[0].named = parts[0].named || r.isNamed(widest)
			var own []addressPart
			for _, g := range r.Groups(r.Parts(x.f, packet.OrigDest)) {
				if g.Kid != widest {
					own = append(own, addressPart{r.space.CIDRs(g.Spans), map[packet.Family]function{family: r.function(g.Kid)}, r.isNamed(g.Kid)})
				}
			}
			others = append(others, own)
		}
	}
	// One address of each family is one service's, more often than not.
	if len(others) == 2 && len(others[0]) == 1 && len(others[1]) == 1 {
		for family, f := range others[1][0].functions {
			others[0][0].functions[family] = f
		}
		others[0][0].named = others[0][0].named || others[1][0].named
		others[0][0].addresses = append(others[0][0].addresses, others[1][0].addresses...)
		others = others[:1]
	}
	for _, own := range others {
		parts = append(parts, own...)
	}
	return parts
}
