package match

import (
	"fmt"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// iprange matches a range of addresses for either side
// (net/netfilter/xt_iprange.c).
func init() {
	register(Module{Name: "iprange", Kind: MatchKind, Means: iprange, Exact: true,
		Refuse: func(_ Head, u *Use) string {
			if len(u.Options) == 0 {
				return "iprange needs --src-range or --dst-range"
			}
			return ""
		},
		Options: []Option{
			{Name: "src-range", Value: Own, Not: true, Valid: validAddressRange, Kept: keptAddressRange},
			{Name: "dst-range", Value: Own, Not: true, Valid: validAddressRange, Kept: keptAddressRange},
		}})
}

func addressRange(f packet.Family, text string) (diagram.Span, bool) {
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	a, ok := Address(f, from)
	b, okToo := Address(f, to)
	return diagram.Span{Lo: diagram.OfAddr(a), Hi: diagram.OfAddr(b)}, ok && okToo
}

func keptAddressRange(f packet.Family, values []string) (string, bool) {
	x, ok := addressRange(f, values[0])
	return fmt.Sprint(x), ok
}

func validAddressRange(f packet.Family, values []string) bool {
	_, ok := addressRange(f, values[0])
	return ok
}

// iprange: a reversed range contains no address (iptables warns, and loads it).
func iprange(r *Reader, u *Use) Cases {
	var b diagram.Box
	for _, g := range u.Options {
		p := packet.Source
		if g.Name == "--dst-range" {
			p = packet.Dest
		}
		x, _ := addressRange(r.Family, g.Values[0])
		s := diagram.Set{x}
		if x.Hi.Less(x.Lo) {
			s = diagram.None
		}
		b[p] = b[p].Intersect(r.Not(g.Not, p, s))
	}
	return in(b)
}
