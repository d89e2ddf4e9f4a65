package address

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"go4.org/netipx"
)

// Phrase is a set of addresses as a person writes it: "10.8.0.0/16 except
// 10.8.13.0/24". Its parts are in order and have no address in common.
type Phrase []Part

// Part is a range of addresses without some of them.
type Part struct {
	Base   netipx.IPRange
	Except []netipx.IPRange // all of them in Base, in order
}

// The prices of what a phrase is made of. They are such that a hole in a network
// is written as an exception, and what is two networks is written as two.
const (
	priceNet    = 2 // an address or a CIDR
	priceRange  = 5 // first-last; what is two CIDRs is written as these
	priceExcept = 1 // the word "except", but for "everybody except"
)

// PhraseOf writes a set of addresses of one family, in the shorter of two ways
// wherever there is a choice: as a list, or as a network with exceptions.
func PhraseOf(s Set) Phrase {
	if len(s) == 0 {
		return nil
	}
	every := every6
	if s[0].From().Is4() {
		every = every4
	}
	w := phraseWriter{in: priced(s), out: priced(Without(every, s))}
	return w.plan(every[0]).write(&w, nil)
}

// Set is the addresses that a phrase is about.
func (p Phrase) Set() Set {
	var all Set
	for _, part := range p {
		all = Union(all, Without(Set{part.Base}, part.Except))
	}
	return all
}

// Everybody reports whether a phrase is about the whole family, or about all of
// it but some exceptions.
func (p Phrase) Everybody() bool { return len(p) == 1 && isEvery(p[0].Base) }

// Len is how many addresses, networks and ranges a phrase names.
func (p Phrase) Len() int {
	n := 0
	for _, part := range p {
		n += 1 + len(part.Except)
	}
	return n
}

func (p Phrase) String() string { return p.Shorten(p.Len()) }

// Shorten writes a phrase with no more than this many names, and says how many
// more there are.
func (p Phrase) Shorten(most int) string {
	if len(p) == 0 {
		return "nobody"
	}
	between := ", "
	if slices.ContainsFunc(p, func(part Part) bool { return len(part.Except) > 0 }) {
		between = "; "
	}
	left := max(most, 1)
	var list []string
	for i, part := range p {
		if left == 0 {
			rest := p[i:].Len()
			return fmt.Sprintf("%s and %d more", strings.Join(list, between), rest)
		}
		left--
		text := Word(part.Base)
		if n := len(part.Except); n > 0 {
			shown := min(n, max(left, 1))
			text += " except " + inWords(part.Except[:shown], n-shown)
			left = max(left-shown, 0)
		}
		list = append(list, text)
	}
	return strings.Join(list, between)
}

// inWords lists exceptions: "a, b and c", or "a, b and 7 more".
func inWords(list []netipx.IPRange, more int) string {
	words := make([]string, len(list), len(list)+1)
	for i, r := range list {
		words[i] = Word(r)
	}
	if more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// Word writes a range as a policy does, as an address, a CIDR or first-last;
// "everybody" is the whole family.
func Word(r netipx.IPRange) string {
	switch p, ok := r.Prefix(); {
	case isEvery(r):
		return "everybody"
	case ok && p.IsSingleIP():
		return p.Addr().String()
	case ok:
		return p.String()
	}
	return r.From().String() + "-" + r.To().String()
}

func isEvery(r netipx.IPRange) bool { return r == every4[0] || r == every6[0] }

// phraseWriter finds the cheapest phrase. It divides the family in halves, again
// and again: each network is a list, or itself with exceptions, or what its halves are.
type phraseWriter struct {
	in, out pricedSet // the set, and what is not in it
}

// pricedSet is a set with the price of the ranges before each.
type pricedSet struct {
	ranges Set
	before []int
}

func priced(s Set) pricedSet {
	p := pricedSet{s, make([]int, len(s)+1)}
	for i, r := range s {
		p.before[i+1] = p.before[i] + price(r)
	}
	return p
}

// price is what a range costs in a list.
func price(r netipx.IPRange) int {
	if _, ok := r.Prefix(); ok {
		return priceNet
	}
	if len(r.Prefixes()) == 2 {
		return 2 * priceNet
	}
	return priceRange
}

// within are the indices of the ranges that have addresses in a network.
func (p *pricedSet) within(net netipx.IPRange) (from, to int) {
	from = sort.Search(len(p.ranges), func(i int) bool { return !p.ranges[i].To().Less(net.From()) })
	to = from + sort.Search(len(p.ranges)-from, func(i int) bool { return net.To().Less(p.ranges[from+i].From()) })
	return from, to
}

// price is what the part of the set in a network costs as a list.
func (p *pricedSet) price(net netipx.IPRange) int {
	from, to := p.within(net)
	switch to - from {
	case 0:
		return 0
	case 1:
		return price(clip(p.ranges[from], net))
	}
	return price(clip(p.ranges[from], net)) + p.before[to-1] - p.before[from+1] + price(clip(p.ranges[to-1], net))
}

// list is the part of the set in a network, as networks and ranges.
func (p *pricedSet) list(net netipx.IPRange) []netipx.IPRange {
	from, to := p.within(net)
	var list []netipx.IPRange
	for _, r := range p.ranges[from:to] {
		r = clip(r, net)
		if price(r) != 2*priceNet {
			list = append(list, r)
			continue
		}
		for _, half := range r.Prefixes() {
			list = append(list, netipx.RangeOfPrefix(half))
		}
	}
	return list
}

func clip(r, net netipx.IPRange) netipx.IPRange {
	from, to := r.From(), r.To()
	if from.Less(net.From()) {
		from = net.From()
	}
	if net.To().Less(to) {
		to = net.To()
	}
	return netipx.IPRangeFrom(from, to)
}

// phrasePlan is how to write what is in a network.
type phrasePlan struct {
	net    netipx.IPRange
	price  int
	except bool           // as the network with exceptions
	halves [2]*phrasePlan // or each half by itself; or else as a list
}

// plan finds the cheapest way. The network that counts is the smallest around
// what is in it: a larger one has more exceptions.
func (w *phraseWriter) plan(net netipx.IPRange) *phrasePlan {
	from, to := w.in.within(net)
	if from == to {
		return &phrasePlan{net: net}
	}
	first, last := clip(w.in.ranges[from], net), clip(w.in.ranges[to-1], net)
	left, right := halves(first.From(), last.To())
	net = netipx.IPRangeFrom(left.From(), right.To())
	p := &phrasePlan{net: net, price: w.in.price(net)}
	if to-from > 1 {
		l, r := w.plan(left), w.plan(right)
		if l.price+r.price < p.price {
			p.price, p.halves = l.price+r.price, [2]*phrasePlan{l, r}
		}
	}
	except := priceNet + w.out.price(net)
	if !isEvery(net) {
		except += priceExcept
	}
	if exact := except == priceNet+priceExcept; !exact && except <= p.price {
		p.price, p.except = except, true
	}
	return p
}

func (p *phrasePlan) write(w *phraseWriter, to Phrase) Phrase {
	switch {
	case p.except:
		return append(to, Part{p.net, w.out.list(p.net)})
	case p.halves[0] != nil:
		return p.halves[1].write(w, p.halves[0].write(w, to))
	}
	for _, r := range w.in.list(p.net) {
		to = append(to, Part{Base: r})
	}
	return to
}

// halves are the halves of the smallest network that has both addresses.
func halves(first, last netip.Addr) (left, right netipx.IPRange) {
	n := commonBits(first, last)
	if n == first.BitLen() {
		one := netipx.IPRangeFrom(first, last)
		return one, one
	}
	left = netipx.RangeOfPrefix(netip.PrefixFrom(first, n+1).Masked())
	right = netipx.RangeOfPrefix(netip.PrefixFrom(last, n+1).Masked())
	return left, right
}

// commonBits is how many bits two addresses begin with in common.
func commonBits(a, b netip.Addr) int {
	x, y := a.AsSlice(), b.AsSlice()
	for i := range x {
		if d := x[i] ^ y[i]; d != 0 {
			return 8*i + bits.LeadingZeros8(d)
		}
	}
	return a.BitLen()
}
