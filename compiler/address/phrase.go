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

// Phrase is a set of addresses as a person writes it: "198.51.100.7, and 10.8.0.0/16
// except 10.8.13.0/24". The parts without exceptions come first, each kind in order;
// no address is in two parts.
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
	var p Phrase
	if len(s) <= mostPlanned {
		best, _ := w.plan(every[0])
		p = w.write(best, nil)
		slices.SortStableFunc(p, func(a, b Part) int { return min(len(a.Except), 1) - min(len(b.Except), 1) })
	} else if w.out.price(every[0]) < w.in.price(every[0]) {
		p = Phrase{{every[0], w.out.list(every[0])}}
	} else {
		p = parts(w.in.list(every[0]))
	}
	return p
}

// mostPlanned is up to how many ranges the shortest phrase is searched for. Nobody
// reads a longer one to its end.
const mostPlanned = 1000

// Set is the addresses that a phrase is about.
func (p Phrase) Set() Set {
	var all Set
	for _, part := range p {
		all = Union(all, Without(Set{part.Base}, part.Except))
	}
	return all
}

// Everybody reports whether a phrase is about everybody, or about everybody with
// exceptions.
func (p Phrase) Everybody() bool {
	return slices.ContainsFunc(p, func(part Part) bool { return IsEvery(part.Base) })
}

// Equal reports whether two phrases are the same.
func (p Phrase) Equal(q Phrase) bool {
	return slices.EqualFunc(p, q, func(a, b Part) bool { return a.Base == b.Base && slices.Equal(a.Except, b.Except) })
}

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
	left := max(most, 1)
	var text strings.Builder
	for i, part := range p {
		if left == 0 {
			fmt.Fprintf(&text, "%s%d more", between(p[:i], nil), p[i:].Len())
			break
		}
		text.WriteString(between(p[:i], &part) + Word(part.Base))
		left--
		if n := len(part.Except); n > 0 {
			shown := min(n, max(left, 1))
			text.WriteString(" except " + inWords(part.Except[:shown], n-shown))
			left = max(left-shown, 0)
		}
	}
	return text.String()
}

// between is what stands before a part of a phrase, after others; nil stands for the
// number of those that are left out.
func between(before Phrase, next *Part) string {
	switch n := len(before); {
	case n == 0:
		return ""
	case len(before[n-1].Except) > 0:
		return "; and "
	case next == nil:
		return " and "
	case len(next.Except) > 0:
		return ", and "
	}
	return ", "
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
	case IsEvery(r):
		return "everybody"
	case ok && p.IsSingleIP():
		return p.Addr().String()
	case ok:
		return p.String()
	}
	return r.From().String() + "-" + r.To().String()
}

// IsEvery reports whether a range is the whole of its family.
func IsEvery(r netipx.IPRange) bool { return r == every4[0] || r == every6[0] }

// phraseWriter finds the cheapest phrase. It divides the family in halves, again and
// again. What is in a network is a list, or the network with exceptions, or what its
// halves are. An exception may be too wide, when what it takes away by mistake is
// written as well: "10.8.9.4, and everybody except 10.8.0.0/16".
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
	if _, _, ok := twoNets(r); ok {
		return 2 * priceNet
	}
	return priceRange
}

// twoNets are the two networks that a range is, where it is two.
func twoNets(r netipx.IPRange) (left, right netipx.IPRange, ok bool) {
	n := commonBits(r.From(), r.To())
	if n == r.From().BitLen() {
		return left, right, false
	}
	middle := netip.PrefixFrom(r.To(), n+1).Masked().Addr()
	left, right = netipx.IPRangeFrom(r.From(), middle.Prev()), netipx.IPRangeFrom(middle, r.To())
	_, isNet := left.Prefix()
	_, isNetToo := right.Prefix()
	return left, right, isNet && isNetToo
}

// commonBits is how many bits two addresses begin with in common.
func commonBits(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for i := range x {
		if d := x[i] ^ y[i]; d != 0 {
			return 8*i + bits.LeadingZeros8(d) - (128 - a.BitLen())
		}
	}
	return a.BitLen()
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
		left, right, _ := twoNets(r)
		list = append(list, left, right)
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

// phrasePlan is how to write what is in a network, or what is not.
type phrasePlan struct {
	net    netipx.IPRange
	price  int
	how    how
	halves [2]*phrasePlan
	other  *phrasePlan
}

// how is the form of a plan.
type how int

const (
	asList how = iota
	asHalves
	asNet   // the network, with other as its exceptions
	tooMuch // the network as an exception, with other as what is in it after all
)

// plan finds the cheapest ways to write what is in a network, and what is not.
func (w *phraseWriter) plan(net netipx.IPRange) (in, out *phrasePlan) {
	in = &phrasePlan{net: net, how: asList, price: w.in.price(net)}
	out = &phrasePlan{net: net, how: asList, price: w.out.price(net)}
	if in.price == 0 || out.price == 0 {
		return in, out
	}
	left, right := halves(net)
	inL, outL := w.plan(left)
	inR, outR := w.plan(right)
	switch price := inL.price + inR.price; {
	case inL.price == 0: // the network that counts is the smallest around what is in it
		in = inR
	case inR.price == 0:
		in = inL
	case price < in.price:
		in = &phrasePlan{net, price, asHalves, [2]*phrasePlan{inL, inR}, nil}
	}
	switch price := outL.price + outR.price; {
	case outL.price == 0:
		out = outR
	case outR.price == 0:
		out = outL
	case price < out.price:
		out = &phrasePlan{net, price, asHalves, [2]*phrasePlan{outL, outR}, nil}
	}
	except := priceNet + out.price
	if !IsEvery(net) {
		except += priceExcept
	}
	list, exceptions := in, out
	if except <= in.price {
		in = &phrasePlan{net: net, price: except, how: asNet, other: exceptions}
	}
	if price := priceNet + list.price; price < out.price {
		out = &phrasePlan{net: net, price: price, how: tooMuch, other: list}
	}
	return in, out
}

// write adds the parts of a plan for what is in its network.
func (w *phraseWriter) write(p *phrasePlan, to Phrase) Phrase {
	switch p.how {
	case asList:
		return append(to, parts(w.in.list(p.net))...)
	case asHalves:
		return w.write(p.halves[1], w.write(p.halves[0], to))
	}
	except, after := w.exceptions(p.other)
	return append(append(to, Part{p.net, except}), after...)
}

// exceptions are those of a plan for what is not in its network, and the parts that
// they take away by mistake.
func (w *phraseWriter) exceptions(p *phrasePlan) (except []netipx.IPRange, after Phrase) {
	switch p.how {
	case asList:
		return w.out.list(p.net), nil
	case asHalves:
		except, after = w.exceptions(p.halves[0])
		more, moreAfter := w.exceptions(p.halves[1])
		return append(except, more...), append(after, moreAfter...)
	}
	return []netipx.IPRange{p.net}, w.write(p.other, nil)
}

func parts(list []netipx.IPRange) Phrase {
	p := make(Phrase, len(list))
	for i, r := range list {
		p[i].Base = r
	}
	return p
}

// halves are the halves of a network of more than one address.
func halves(net netipx.IPRange) (left, right netipx.IPRange) {
	p, _ := net.Prefix()
	left = netipx.RangeOfPrefix(netip.PrefixFrom(net.From(), p.Bits()+1))
	right = netipx.RangeOfPrefix(netip.PrefixFrom(net.To(), p.Bits()+1).Masked())
	return left, right
}
