package match

import (
	"net/netip"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// conntrack matches on what conntrack knows about a packet (libxt_conntrack.c;
// net/netfilter/xt_conntrack.c, conntrack_mt). Addresses and ports of the reply
// direction, --ctstatus and --ctexpire are not evaluated.
func init() {
	options := []Option{
		{Name: "ctstate", Value: Own, Not: true, Valid: validList(states...), Kept: keptWords(states...)},
		{Name: "ctproto", Value: Protocol, Not: true},
		{Name: "ctorigsrc", Value: HostMask, Not: true},
		{Name: "ctorigdst", Value: HostMask, Not: true},
		{Name: "ctreplsrc", Value: HostMask, Not: true},
		{Name: "ctrepldst", Value: HostMask, Not: true},
		{Name: "ctstatus", Value: Own, Not: true, Valid: validList(statuses...), Kept: keptWords(statuses...)},
		{Name: "ctexpire", Value: Uint32Range, Not: true},
		{Name: "ctdir", Value: Own, Valid: validDirection, Kept: keptWords("ORIGINAL", "REPLY")},
	}
	for _, name := range []string{"ctorigsrcport", "ctorigdstport", "ctreplsrcport", "ctrepldstport"} {
		options = append(options, Option{Name: name, Value: Own, Not: true, Valid: anyOrder, Kept: keptPorts(decimalPort)})
	}
	register(Module{Name: "conntrack", Kind: MatchKind, Exact: true, Options: options, Means: conntrack,
		Refuse: func(_ Head, u *Use) string {
			if len(u.Options) == 0 {
				return "conntrack needs at least one option"
			}
			return ""
		}})
	register(Module{Name: "state", Kind: MatchKind, Means: conntrack,
		Options: []Option{{Name: "state", Value: Own, Not: true, Required: true, Valid: validList(states[:5]...), Kept: keptWords(states[:5]...)}}})
}

// states lists the states in the order in which a prefix of them is looked up.
// -m state has the first five.
var states = []string{"INVALID", "NEW", "ESTABLISHED", "RELATED", "UNTRACKED", "SNAT", "DNAT"}

var statuses = []string{"NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED"}

// validList accepts a comma-separated list of words, in any case and possibly
// abbreviated.
func validList(words ...string) func(packet.Family, []string) bool {
	return func(_ packet.Family, values []string) bool {
		for _, part := range strings.Split(values[0], ",") {
			if _, ok := word(part, words...); !ok {
				return false
			}
		}
		return true
	}
}

func validDirection(_ packet.Family, values []string) bool {
	return strings.EqualFold(values[0], "ORIGINAL") || strings.EqualFold(values[0], "REPLY")
}

// stateSet returns the classes of a list such as RELATED,ESTABLISHED.
func stateSet(list string) diagram.Set {
	asked := map[string]bool{}
	for _, part := range strings.Split(list, ",") {
		w, _ := word(part, states...)
		asked[w] = true
	}
	return packet.ClassSet(func(c packet.Class) bool {
		return asked[string(c.State)] || c.SNAT && asked["SNAT"] || c.DNAT && asked["DNAT"]
	})
}

// conntrack: a packet without an entry matches only if the rule matches on a state
// and the state matches; all other conditions are then skipped (NETFILTER.md
// section 3).
func conntrack(r *Reader, u *Use) Cases {
	known := diagram.Box{packet.Conntrack: packet.ClassSet(packet.Class.Known)}
	states, asksState, unsure := diagram.Set(nil), false, ""
	protocols := diagram.Set(nil)
	for _, g := range u.Options {
		switch p, s, ok := ctOption(r, g); {
		case !ok, p == packet.OrigPort && g.Not && isEvery(s, 65535):
			unsure = either(unsure, u.String())
		case p == packet.Conntrack && g.Name != "--ctdir":
			asksState = true
			states = r.Not(g.Not, p, s)
		case p == packet.Proto:
			protocols = r.Not(g.Not, p, s)
		default:
			known[p] = known[p].Intersect(r.Not(g.Not, p, s))
		}
	}
	cases := Never
	if asksState {
		unknown := packet.ClassSet(func(c packet.Class) bool { return !c.Known() })
		cases = append(cases, property(packet.Conntrack, states.Intersect(unknown))...)
		known[packet.Conntrack] = known[packet.Conntrack].Intersect(states)
	}
	return append(cases, ctProtocol(r, known, protocols, unsure, u)...)
}

// ctProtocol adds --ctproto. An ICMP error has the entry of the connection that it
// concerns, whose protocol cannot be seen from the packet.
func ctProtocol(r *Reader, known diagram.Box, protocols diagram.Set, unsure string, u *Use) Cases {
	if protocols == nil {
		return withUnsure(in(known), unsure)
	}
	icmp := diagram.One(diagram.Small(int(r.Family.ICMP())))
	related := packet.ClassSet(func(c packet.Class) bool { return c.State == packet.Related })
	own := Cases{
		{Box: diagram.Box{packet.Conntrack: related.Complement(r.Max(packet.Conntrack)), packet.Proto: protocols}},
		{Box: diagram.Box{packet.Conntrack: related, packet.Proto: protocols.Intersect(icmp.Complement(r.Max(packet.Proto)))}},
		{Box: diagram.Box{packet.Conntrack: related, packet.Proto: icmp}, Unsure: u.String()},
	}
	return in(known).And(withUnsure(own, unsure))
}

func withUnsure(c Cases, unsure string) Cases {
	for i := range c {
		c[i].Unsure = either(unsure, c[i].Unsure)
	}
	return c
}

// ctOption returns the property and the set of one option before negation; false if
// it is not evaluated.
func ctOption(r *Reader, g Given) (property int, s diagram.Set, ok bool) {
	v := g.Values[0]
	switch g.Name {
	case "--ctstate", "--state":
		return packet.Conntrack, stateSet(v), true
	case "--ctdir":
		reply := strings.EqualFold(v, "REPLY")
		return packet.Conntrack, packet.ClassSet(func(c packet.Class) bool { return c.Known() && c.Reply == reply }), true
	case "--ctproto":
		n, ok := packet.ParseProtocolExactly(v)
		return packet.Proto, diagram.One(diagram.Small(int(n))), ok
	case "--ctorigdst":
		p, ok := hostMask(r.Family, v)
		if !ok {
			return 0, nil, false
		}
		return packet.OrigDest, diagram.Set{diagram.OfPrefix(p)}, true
	case "--ctorigdstport":
		s, ok = ports(v, decimalPort)
		return packet.OrigPort, s, ok
	}
	return 0, nil, false
}

// hostMask parses ADDRESS, ADDRESS/LENGTH or ADDRESS/MASK. The kernel compares both
// sides under the mask, so host bits do not matter. It returns false for a mask with
// holes, where 1.8.9 uses the single host.
func hostMask(f packet.Family, text string) (netip.Prefix, bool) {
	address, length, slash := strings.Cut(text, "/")
	a, ok := HostAddress(f, address)
	if !ok {
		return netip.Prefix{}, false
	}
	bits := uint64(f.Bits())
	if slash {
		var ok bool
		if bits, ok = WholeNumber(length, 0, bits); !ok {
			mask, known := HostAddress(f, length)
			n, contiguous := MaskLength(mask)
			if !known || !contiguous {
				return netip.Prefix{}, false
			}
			bits = uint64(n)
		}
	}
	p, err := a.Prefix(int(bits))
	return p, err == nil
}
