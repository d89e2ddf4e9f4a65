package nftables

import (
	"iter"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// field is something of a packet that rules compare.
type field struct {
	name string
	of   kindOf
	// guard is the packets that have it. Any other ends the rule without a match,
	// whatever it is compared with (NFT_BREAK; and what nft itself puts before).
	guard cases
	// place returns the packets whose value passes a test. nil: not evaluated.
	place func(steps []step, x test, words string) cases
	// direct says that the values are those of property.
	direct   bool
	property int
}

func (f *field) number(e *Expr) (diagram.Value, bool) { return f.of.number(e) }

type fieldKey struct {
	family Family
	name   string
}

// field returns what a selector reads in a table.
func (c *conditions) field(t *Table, name string) *field {
	key := fieldKey{t.Family, name}
	if f := c.fields[key]; f != nil {
		return f
	}
	f := c.newField(t, name)
	f.name = name
	c.fields[key] = f
	return f
}

// known are the packets that conntrack has an entry for. For all others every key
// of ct but the state ends the rule (net/netfilter/nft_ct.c, nft_ct_get_eval).
func known() cases { return within(packet.Conntrack, packet.ClassSet(packet.Class.Known)) }

// family is every packet in the space of a family, and none in the other's.
func (c *conditions) family(f packet.Family) cases {
	if c.Family != f {
		return nil
	}
	return always()
}

func protocols(list ...packet.Protocol) cases {
	var spans []diagram.Span
	for _, p := range list {
		spans = append(spans, diagram.Span{Lo: diagram.Small(int(p)), Hi: diagram.Small(int(p))})
	}
	return within(packet.Proto, diagram.Normal(spans))
}

// withPorts are the protocols whose header begins with the ports.
var withPorts = map[string]packet.Protocol{"tcp": packet.TCP, "udp": packet.UDP, "sctp": packet.SCTP, "dccp": packet.DCCP, "udplite": packet.UDPLite}

func (c *conditions) newField(t *Table, name string) *field {
	switch name {
	case "ip saddr":
		return c.whole(addr4, packet.Source, c.family(packet.IPv4))
	case "ip daddr":
		return c.whole(addr4, packet.Dest, c.family(packet.IPv4))
	case "ip6 saddr":
		return c.whole(addr6, packet.Source, c.family(packet.IPv6))
	case "ip6 daddr":
		return c.whole(addr6, packet.Dest, c.family(packet.IPv6))
	case "iifname", "meta iifname":
		return c.whole(ifname, packet.In, always())
	case "oifname", "meta oifname":
		// A packet to the host has no interface out, which the kernel compares as
		// the empty name (nft_meta.c, nft_meta_store_ifname).
		return c.whole(ifname, packet.Out, always())
	case "iif", "meta iif":
		return c.whole(ifindex, packet.In, always())
	case "oif", "meta oif":
		return c.whole(ifindex, packet.Out, always())
	case "meta mark", "mark":
		return &field{of: markType, guard: always(), place: c.placeMark}
	case "meta l4proto", "l4proto":
		return c.listed(protocol, packet.Proto, always(), 256, c.l4proto)
	case "ip protocol":
		return c.listed(protocol, packet.Proto, c.family(packet.IPv4), 256, itself)
	case "ip6 nexthdr":
		return c.listed(protocol, packet.Proto, c.family(packet.IPv6), 256, nextHeader)
	case "meta nfproto", "nfproto":
		return c.fixed(nfproto, always(), map[packet.Family]uint64{packet.IPv4: 2, packet.IPv6: 10}[c.Family])
	case "meta protocol", "protocol":
		return c.fixed(etherType, always(), map[packet.Family]uint64{packet.IPv4: 0x0800, packet.IPv6: 0x86dd}[c.Family])
	case "tcp flags":
		return c.listed(tcpFlag, packet.TCPFlags, protocols(packet.TCP), 64, flagBits)
	}
	if f := c.icmpField(name); f != nil {
		return f
	}
	if rest, ok := strings.CutPrefix(name, "ct "); ok {
		return c.ctField(t, rest)
	}
	return c.portField(name)
}

// portField is a field of a header behind IP's: a port, or one that is not
// evaluated.
func (c *conditions) portField(name string) *field {
	header, rest, _ := strings.Cut(name, " ")
	property, isPort := map[string]int{"sport": packet.SourcePort, "dport": packet.DestPort}[rest]
	if p, ok := withPorts[header]; ok {
		f := &field{guard: protocols(p)}
		if isPort {
			f = c.whole(service, property, f.guard)
		}
		return f
	}
	switch {
	case header == "th" && isPort:
		return c.anyPort(property)
	case header == "ip":
		return &field{guard: c.family(packet.IPv4)}
	case header == "ip6":
		return &field{guard: c.family(packet.IPv6)}
	}
	return &field{guard: always()}
}

// anyPort is "th dport": the bytes at that place of any header, which are ports for
// protocols that have some.
func (c *conditions) anyPort(property int) *field {
	f := c.whole(service, property, always())
	var list []packet.Protocol
	for _, p := range withPorts {
		list = append(list, p)
	}
	ports := protocols(list...)
	others := within(packet.Proto, ports[0].Box[packet.Proto].Complement(c.Max(packet.Proto)))
	place := f.place
	f.direct = false
	f.place = func(steps []step, x test, words string) cases {
		return append(place(steps, x, words).and(ports), others.and(unsure(words))...)
	}
	return f
}

func (c *conditions) icmpField(name string) *field {
	types := map[string]kindOf{"icmp type": icmpType, "icmp code": icmpCode, "icmpv6 type": icmp6Type, "icmpv6 code": icmp6Code}
	of, ok := types[name]
	switch {
	case !ok && strings.HasPrefix(name, "icmp "):
		return &field{guard: c.family(packet.IPv4).and(protocols(packet.ICMP))}
	case !ok && strings.HasPrefix(name, "icmpv6 "):
		return &field{guard: c.family(packet.IPv6).and(protocols(packet.ICMPv6))}
	case !ok:
		return nil
	}
	guard := c.family(packet.IPv4).and(protocols(packet.ICMP))
	if of == icmp6Type || of == icmp6Code {
		guard = c.family(packet.IPv6).and(protocols(packet.ICMPv6))
	}
	f := &field{of: of, guard: guard}
	f.place = func(steps []step, x test, words string) cases {
		return sorted(256, packet.ICMPType, steps, x, words, itself, func(v int) []diagram.Span {
			if of == icmpType || of == icmp6Type {
				return []diagram.Span{{Lo: diagram.Small(v * 256), Hi: diagram.Small(v*256 + 255)}}
			}
			var list []diagram.Span
			for t := range 256 {
				list = append(list, diagram.Span{Lo: diagram.Small(t*256 + v), Hi: diagram.Small(t*256 + v)})
			}
			return list
		})
	}
	return f
}

// ctField is a field of conntrack's entry.
func (c *conditions) ctField(t *Table, name string) *field {
	classes := len(packet.Classes)
	switch name {
	case "state":
		return c.state()
	case "direction":
		return c.listed(ctDir, packet.Conntrack, known(), classes, func(v int) iter.Seq[uint64] {
			if packet.Classes[v].Reply {
				return itself(1)
			}
			return itself(0)
		})
	case "status":
		return c.listed(ctStatus, packet.Conntrack, known(), classes, statusBits)
	case "original ip daddr":
		return c.whole(addr4, packet.OrigDest, known().and(c.family(packet.IPv4)))
	case "original ip6 daddr":
		return c.whole(addr6, packet.OrigDest, known().and(c.family(packet.IPv6)))
	case "original daddr": // of a table of one family
		switch t.Family {
		case IP:
			return c.whole(addr4, packet.OrigDest, known())
		case IP6:
			return c.whole(addr6, packet.OrigDest, known())
		}
	case "original proto-dst":
		return c.whole(service, packet.OrigPort, known())
	case "original protocol", "protocol":
		return c.ctProtocol()
	}
	switch {
	case strings.HasSuffix(name, " ip saddr"), strings.HasSuffix(name, " ip daddr"):
		return &field{guard: known().and(c.family(packet.IPv4))}
	case strings.HasSuffix(name, " ip6 saddr"), strings.HasSuffix(name, " ip6 daddr"):
		return &field{guard: known().and(c.family(packet.IPv6))}
	case name == "mark", strings.HasPrefix(name, "original "), strings.HasPrefix(name, "reply "):
		return &field{guard: known()}
	}
	return &field{guard: always()}
}

// state is conntrack's state. Where a rule has notrack, an INVALID packet may have become
// UNTRACKED; a packet with an entry keeps it.
func (c *conditions) state() *field {
	f := c.listed(ctState, packet.Conntrack, always(), len(packet.Classes), func(v int) iter.Seq[uint64] { return itself(stateBits[packet.Classes[v].State]) })
	if by := c.changed["notrack"]; by != "" {
		others := within(packet.Conntrack, packet.ClassSet(func(x packet.Class) bool { return !x.Known() }))
		place := f.place
		f.place = func(steps []step, x test, words string) cases {
			return append(place(steps, x, words).and(known()), others.and(unsure(words+" ("+by+")"))...)
		}
	}
	return f
}

// ctProtocol is the protocol of the connection, which is the packet's own but for
// an ICMP error, that has the entry of the connection it concerns.
func (c *conditions) ctProtocol() *field {
	f := c.listed(protocol, packet.Proto, known(), 256, itself)
	icmp := protocols(c.Family.ICMP())
	related := within(packet.Conntrack, packet.ClassSet(func(x packet.Class) bool { return x.State == packet.Related }))
	errors := related.and(icmp)
	own := append(within(packet.Conntrack, related[0].Box[packet.Conntrack].Complement(c.Max(packet.Conntrack))),
		related.and(within(packet.Proto, icmp[0].Box[packet.Proto].Complement(c.Max(packet.Proto))))...)
	place := f.place
	f.place = func(steps []step, x test, words string) cases {
		return append(place(steps, x, words).and(own), errors.and(unsure(words))...)
	}
	return f
}

var stateBits = map[packet.State]int{packet.Invalid: 1, packet.Established: 2, packet.Related: 4, packet.New: 8, packet.Untracked: 64}

// itself is a value that is known.
func itself(v int) iter.Seq[uint64] {
	return func(yield func(uint64) bool) { yield(uint64(v)) }
}

// l4proto is the protocol behind IPv6's extension headers, which no packet is of
// (net/ipv6/exthdrs_core.c, ipv6_find_hdr).
func (c *conditions) l4proto(v int) iter.Seq[uint64] {
	if c.Family == packet.IPv6 && packet.Protocol(v).ExtensionHeader() {
		return itself(256) // equal to none
	}
	return itself(v)
}

// nextHeader is the first header behind IPv6's own: the protocol, or an extension
// header before it.
func nextHeader(v int) iter.Seq[uint64] {
	return slices.Values([]uint64{uint64(v), 0, 43, 44, 51, 60, 135, 139, 140})
}

// flagBits are TCP's flags. Those of congestion (ECN, CWR) are not known.
func flagBits(v int) iter.Seq[uint64] { return some(uint64(v), 6, 7) }

// statusBits are the bits of ct status, of which those of NAT are known.
func statusBits(v int) iter.Seq[uint64] {
	k, bits := packet.Classes[v], uint64(0)
	if k.SNAT {
		bits |= 16
	}
	if k.DNAT {
		bits |= 32
	}
	return some(bits, 0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
}

// some is a value with each choice of some more bits.
func some(v uint64, more ...int) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for n := range uint64(1) << len(more) {
			w := v
			for i, at := range more {
				w |= n >> i & 1 << at
			}
			if !yield(w) {
				return
			}
		}
	}
}

// whole is a field whose values are those of a property.
func (c *conditions) whole(of kindOf, property int, guard cases) *field {
	f := &field{of: of, guard: guard, direct: true, property: property}
	f.place = func(steps []step, x test, words string) cases {
		x, ok := c.before(f, steps, x)
		if !ok {
			return unsure(words)
		}
		yes := c.within(x.in, property)
		if x.not {
			if x.maybe != nil {
				yes = yes.Union(c.within(x.maybe, property))
			}
			yes = yes.Complement(c.Max(property))
		}
		list := within(property, yes)
		if len(x.maybe) > 0 {
			for _, k := range within(property, x.maybe) {
				k.Unsure = words
				list = append(list, k)
			}
		}
		return list
	}
	return f
}

// within is the values of a set that a property can have: a constant may be larger.
func (c *conditions) within(s diagram.Set, property int) diagram.Set {
	return s.Intersect(diagram.Set{{Hi: c.Max(property)}})
}

// listed is a field that depends on a property of few values: each reads as one
// value, or as one of several.
func (c *conditions) listed(of kindOf, property int, guard cases, n int, reads func(int) iter.Seq[uint64]) *field {
	f := &field{of: of, guard: guard}
	f.place = func(steps []step, x test, words string) cases {
		return sorted(n, property, steps, x, words, reads, func(v int) []diagram.Span {
			return []diagram.Span{{Lo: diagram.Small(v), Hi: diagram.Small(v)}}
		})
	}
	return f
}

// fixed is a field that is the same for all packets of the space.
func (c *conditions) fixed(of kindOf, guard cases, value uint64) *field {
	f := &field{of: of, guard: guard}
	f.place = func(steps []step, x test, words string) cases {
		switch yes, no := passes(steps, x, itself(int(value))); {
		case yes && no:
			return unsure(words)
		case yes:
			return always()
		}
		return nil
	}
	return f
}

// sorted tests the values of a property one by one: those that pass, those that do
// not, and those that may.
func sorted(n, property int, steps []step, x test, words string, reads func(int) iter.Seq[uint64], spans func(int) []diagram.Span) cases {
	var yes, maybe []diagram.Span
	for v := range n {
		switch passed, failed := passes(steps, x, reads(v)); {
		case passed && failed:
			maybe = append(maybe, spans(v)...)
		case passed:
			yes = append(yes, spans(v)...)
		}
	}
	list := within(property, diagram.Normal(yes))
	for _, k := range within(property, diagram.Normal(maybe)) {
		k.Unsure = words
		list = append(list, k)
	}
	return list
}

// passes reports whether some of the values pass a test, and whether some do not.
func passes(steps []step, x test, values iter.Seq[uint64]) (yes, no bool) {
	for v := range values {
		w := diagram.Value{Lo: v}
		for _, s := range steps {
			w = apply(s.op, w, s.by)
		}
		y, n := x.takes(w)
		yes, no = yes || y, no || n
		if yes && no {
			break
		}
	}
	return yes, no
}

// placeMark places a test of the packet's mark, whose bytes are properties of their
// own.
func (c *conditions) placeMark(steps []step, x test, words string) cases {
	mask := diagram.Value{Lo: 1<<32 - 1}
	if len(steps) > 1 || len(steps) == 1 && steps[0].op != "&" || len(x.maybe) > 0 || x.vague || x.any != nil {
		return unsure(words)
	}
	if len(steps) == 1 {
		mask = steps[0].by
	}
	list := cases(nil)
	if x.not {
		list = always()
	}
	for _, s := range x.in {
		same, other, ok := c.markSpan(s, mask.Lo)
		switch {
		case !ok:
			return unsure(words)
		case x.not:
			list = list.and(other)
		default:
			list = append(list, same...)
		}
	}
	return list
}

// markSpan returns the packets whose mark is in a span under a mask, and those
// whose mark is not.
func (c *conditions) markSpan(s diagram.Span, mask uint64) (same, other cases, ok bool) {
	if s.Lo != s.Hi {
		if mask != 1<<32-1 {
			return nil, nil, false
		}
		same = markRange(s.Lo.Lo, s.Hi.Lo)
		if s.Lo.Lo > 0 {
			other = markRange(0, s.Lo.Lo-1)
		}
		if s.Hi.Lo < 1<<32-1 {
			other = append(other, markRange(s.Hi.Lo+1, 1<<32-1)...)
		}
		return same, other, true
	}
	value := s.Lo.Lo
	if value&^mask != 0 {
		return nil, always(), true
	}
	var box diagram.Box
	for i, p := range []int{packet.Mark0, packet.Mark1, packet.Mark2, packet.Mark3} {
		byteMask, byteValue := int(mask>>(8*i)&255), int(value>>(8*i)&255)
		if byteMask == 0 {
			continue
		}
		// Eight bits never have too many holes.
		these, _ := diagram.Masked(diagram.Small(byteValue), diagram.Small(byteMask), 8)
		differs := box // the previous bytes agree, and this one does not
		differs[p] = these.Complement(c.Max(p))
		other = append(other, in(differs)...)
		box[p] = these
	}
	return in(box), other, true
}

// markRange returns the packets whose mark is from lo to hi.
func markRange(lo, hi uint64) cases {
	var list cases
	var walk func(byteAt int, lo, hi uint64, box diagram.Box)
	bytes := []int{packet.Mark0, packet.Mark1, packet.Mark2, packet.Mark3}
	walk = func(at int, lo, hi uint64, box diagram.Box) {
		size := uint64(1) << (8 * at) // of what one value of this byte covers
		first, last := lo/size, hi/size
		part := func(a, b uint64) diagram.Box {
			next := box
			next[bytes[at]] = diagram.Range(int(a), int(b))
			return next
		}
		if at == 0 {
			list = append(list, Case{Box: part(first, last)})
			return
		}
		if first == last {
			walk(at-1, lo%size, hi%size, part(first, first))
			return
		}
		if lo%size != 0 {
			walk(at-1, lo%size, size-1, part(first, first))
			first++
		}
		if hi%size != size-1 {
			walk(at-1, 0, hi%size, part(last, last))
			last--
		}
		if first <= last {
			list = append(list, Case{Box: part(first, last)})
		}
	}
	walk(3, lo, hi, diagram.Box{})
	return list
}
