package match

import (
	"fmt"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// multiport matches a list of ports, of either side or of both
// (net/netfilter/xt_multiport.c, ports_match_v1).
func init() {
	register(Module{Name: "multiport", Kind: MatchKind, Means: multiport, Exact: true, Early: true,
		Protocols: []packet.Protocol{packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP, packet.DCCP},
		Refuse: func(_ Head, u *Use) string {
			if len(u.Options) != 1 {
				return "multiport needs exactly one of --sports, --dports and --ports"
			}
			return ""
		},
		Options: []Option{
			{Name: "sports", Value: Own, Not: true, Valid: validPortList, Kept: keptPortList},
			{Name: "source-ports", Same: "sports", Value: Own, Not: true, Valid: validPortList, Kept: keptPortList},
			{Name: "dports", Value: Own, Not: true, Valid: validPortList, Kept: keptPortList},
			{Name: "destination-ports", Same: "dports", Value: Own, Not: true, Valid: validPortList, Kept: keptPortList},
			{Name: "ports", Value: Own, Not: true, Valid: validPortList, Kept: keptPortList},
		}})
}

// maxPorts is how many ports a list may have; a range counts twice.
const maxPorts = 15

// portList parses the list. known is false if it contains a name.
func portList(text string) (list []diagram.Span, known, ok bool) {
	known = true
	room := maxPorts
	for _, part := range strings.Split(text, ",") {
		a, b, isRange := strings.Cut(part, ":")
		first, firstKnown, ok := portWord(a)
		last, lastKnown := first, firstKnown
		if room--; isRange && ok {
			room--
			last, lastKnown, ok = portWord(b)
			ok = ok && (!firstKnown || !lastKnown || first < last)
		}
		if !ok || room < 0 {
			return nil, false, false
		}
		known = known && firstKnown && lastKnown
		list = append(list, diagram.Span{Lo: diagram.Small(first), Hi: diagram.Small(last)})
	}
	return list, known, true
}

func keptPortList(_ packet.Family, values []string) (string, bool) {
	list, known, ok := portList(values[0])
	text := ""
	for i, part := range strings.Split(values[0], ",") {
		if ok && known {
			text += fmt.Sprintf("%v %t,", list[i], strings.Contains(part, ":")) // a port and a range of one port are kept differently
		}
	}
	return text, ok && known
}

func validPortList(_ packet.Family, values []string) bool {
	_, _, ok := portList(values[0])
	return ok
}

// multiport matches --ports against either port, as two disjoint boxes.
func multiport(r *Reader, u *Use) Cases {
	if len(u.Options) != 1 {
		return Unsure(u.String())
	}
	g := u.Options[0]
	list, known, ok := portList(g.Values[0])
	if !ok || !known {
		return Unsure(u.String())
	}
	these := diagram.Normal(list)
	others := these.Complement(r.Max(packet.DestPort))
	if g.Not {
		these, others = others, these
	}
	var x, y diagram.Box
	switch {
	case g.Name == "--dports":
		return property(packet.DestPort, these)
	case g.Name == "--sports":
		return property(packet.SourcePort, these)
	case g.Not:
		x[packet.SourcePort], x[packet.DestPort] = these, these
		return in(x)
	}
	x[packet.SourcePort] = these
	y[packet.SourcePort], y[packet.DestPort] = others, these
	return append(in(x), in(y)...)
}
