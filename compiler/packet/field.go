package packet

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"go4.org/netipx"
)

// Field is one property of a box, in words.
type Field struct {
	Name   string
	Values []string
}

// fieldOrder is the order of a rule.
var fieldOrder = []int{In, Out, Source, Proto, OrigDest, OrigPort, Dest, SourcePort, DestPort, TCPFlags, ICMPType, Mark0, Mark1, Mark2, Mark3, Conntrack}

// Fields names what binds a box, in the order of a rule; a property that is not
// there is any.
func (s *Space) Fields(b *diagram.Box) []Field {
	var list []Field
	for _, p := range fieldOrder {
		if b[p] != nil {
			list = append(list, Field{propertyNames[p], s.propertyWords(p, b[p])})
		}
	}
	return append(list, s.memberFields(b)...)
}

func (s *Space) propertyWords(property int, set diagram.Set) []string {
	switch property {
	case Conntrack:
		return ClassWords(set)
	case Source, Dest, OrigDest:
		return s.addressWords(set)
	}
	var list []string
	for _, x := range set {
		switch {
		case property == In || property == Out:
			list = append(list, s.atomWords(x)...)
		case property == Proto && x.Lo == x.Hi && x.Lo.Lo != 0: // 0 has the name "all" in a rule
			list = append(list, Protocol(x.Lo.Lo).String())
		default:
			list = append(list, portWords(x)...)
		}
	}
	return list
}

// addressWords writes a set of addresses as CIDRs, or as all but some when that
// is shorter.
func (s *Space) addressWords(set diagram.Set) []string {
	these, others := s.CIDRs(set), s.CIDRs(set.Complement(MaxAddress(s.Family)))
	if len(others) > 0 && len(others) < len(these) {
		others[0] = "all but " + others[0]
		return others
	}
	return these
}

// CIDRs writes addresses in the fewest CIDRs, single ones without a length.
func (s *Space) CIDRs(set diagram.Set) []string {
	list := []string{}
	for _, x := range set {
		list = append(list, s.spanCIDRs(x)...)
	}
	return list
}

func (s *Space) spanCIDRs(x diagram.Span) []string {
	var list []string
	v6 := s.Family == IPv6
	for _, p := range netipx.IPRangeFrom(x.Lo.Addr(v6), x.Hi.Addr(v6)).Prefixes() {
		list = append(list, prefixText(p))
	}
	return list
}

// prefixText writes a single address without its length.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// Shorten lists values, the first few of many.
func Shorten(values []string) string {
	const most = 8
	if len(values) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(values[:most], ", "), len(values)-most)
	}
	return strings.Join(values, ", ")
}
