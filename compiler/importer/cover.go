package importer

import (
	"net/netip"
	"slices"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// cover is addresses as a person would write them: networks, and what is not meant of
// them. "All but one network" is two entries and not the thirty networks around it.
type cover struct{ sources, except []string }

// coverer finds the shortest cover of a set, where some addresses may be in it or not.
type coverer struct {
	family   packet.Family
	want     diagram.Set          // must be in it
	notThere diagram.Set          // must not
	known    map[netip.Prefix]int // of including
}

// coverOf covers the addresses of a set. For those of free it does not matter: another
// block decides about them before.
func coverOf(family packet.Family, set, free diagram.Set) cover {
	most := packet.MaxAddress(family)
	c := &coverer{family, set.Intersect(free.Complement(most)), set.Union(free).Complement(most), map[netip.Prefix]int{}}
	var out cover
	root := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if family == packet.IPv6 {
		root = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	c.include(root, &out)
	return out
}

// include adds what is wanted within a network.
func (c *coverer) include(p netip.Prefix, out *cover) {
	span := diagram.OfPrefix(p)
	switch {
	case !meets(c.want, span):
	case !meets(c.notThere, span):
		out.sources = append(out.sources, text(p))
	case 1+c.excluding(p) < c.halved(p):
		out.sources = append(out.sources, text(p))
		c.exclude(p, out)
	default:
		for _, half := range halves(p) {
			c.include(half, out)
		}
	}
}

// exclude adds what must not be in a network that is included.
func (c *coverer) exclude(p netip.Prefix, out *cover) {
	span := diagram.OfPrefix(p)
	switch {
	case !meets(c.notThere, span):
	case !meets(c.want, span):
		out.except = append(out.except, text(p))
	default:
		for _, half := range halves(p) {
			c.exclude(half, out)
		}
	}
}

// including is how many entries it takes at least.
func (c *coverer) including(p netip.Prefix) int {
	span := diagram.OfPrefix(p)
	switch {
	case !meets(c.want, span):
		return 0
	case !meets(c.notThere, span):
		return 1
	}
	n, known := c.known[p]
	if !known {
		n = min(1+c.excluding(p), c.halved(p))
		c.known[p] = n
	}
	return n
}

// halved is including without the network itself.
func (c *coverer) halved(p netip.Prefix) int {
	n := 0
	for _, half := range halves(p) {
		n += c.including(half)
	}
	return n
}

// excluding is how many exceptions a network takes.
func (c *coverer) excluding(p netip.Prefix) int { return count(p, c.notThere, c.want) }

// count is how many networks within p hold all of some addresses and none of others.
func count(p netip.Prefix, these, others diagram.Set) int {
	span := diagram.OfPrefix(p)
	these, others = within(these, span), within(others, span)
	switch {
	case len(these) == 0:
		return 0
	case len(others) == 0:
		return 1
	}
	n := 0
	for _, half := range halves(p) {
		n += count(half, these, others)
	}
	return n
}

func halves(p netip.Prefix) [2]netip.Prefix {
	low := netip.PrefixFrom(p.Addr(), p.Bits()+1)
	bytes := p.Addr().AsSlice()
	bytes[p.Bits()/8] |= 1 << (7 - p.Bits()%8)
	high, _ := netip.AddrFromSlice(bytes)
	return [2]netip.Prefix{low, netip.PrefixFrom(high, p.Bits()+1)}
}

// within is the spans of a set that meet another one.
func within(s diagram.Set, x diagram.Span) diagram.Set {
	first, _ := slices.BinarySearchFunc(s, x.Lo, func(a diagram.Span, v diagram.Value) int { return a.Hi.Compare(v) })
	last := first
	for last < len(s) && !x.Hi.Less(s[last].Lo) {
		last++
	}
	return s[first:last]
}

func meets(s diagram.Set, x diagram.Span) bool { return len(within(s, x)) > 0 }

func text(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
