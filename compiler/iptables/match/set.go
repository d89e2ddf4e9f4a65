package match

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/packet"
)

// set matches an address against an ipset (libxt_set.c; net/netfilter/xt_set.c). It
// is evaluated for one address against a set whose entries are known, or for the source
// against one that is a member of the space, and that no rule of the table changes;
// counters and --return-nomatch are not evaluated.
func init() {
	match := Option{Name: "match-set", Value: Own, Values: 2, Not: true, Valid: validSet, Kept: keptAsIs}
	old := match
	old.Name, old.Same = "set", "match-set"
	options := []Option{match, old,
		{Name: "return-nomatch", Many: true}, {Name: "update-counters", Not: true, Many: true}, {Name: "update-subcounters", Not: true, Many: true}}
	for _, what := range []string{"packets", "bytes"} {
		for _, op := range []string{"eq", "lt", "gt"} {
			o := Option{Name: what + "-" + op, Value: Uint64, Not: op == "eq"}
			for _, other := range []string{"eq", "lt", "gt"} {
				if other != op {
					o.Excludes = append(o.Excludes, what+"-"+other)
				}
			}
			options = append(options, o)
		}
	}
	register(Module{Name: "set", Kind: MatchKind, Means: set, Kept: keptSet, Options: options,
		Refuse: func(_ Head, u *Use) string {
			if u.Option("--match-set") == nil {
				return "set needs --match-set NAME src|dst"
			}
			return ""
		}})
}

// keptSet: a use with counters is compared only by its words.
func keptSet(f packet.Family, u *Use) (string, bool) {
	return u.Options[0].String(), len(u.Options) == 1
}

// maxSetName is the maximum length of a set name (IPSET_MAXNAMELEN).
const maxSetName = 31

func validSet(_ packet.Family, values []string) bool {
	directions := strings.Split(values[1], ",")
	for _, d := range directions {
		if d != "src" && d != "dst" {
			return false
		}
	}
	return len(values[0]) <= maxSetName && len(directions) <= 6
}

func set(r *Reader, u *Use) Cases {
	if len(u.Options) != 1 || u.Options[0].Name != "--match-set" {
		return Unsure(u.String())
	}
	g := u.Options[0]
	p, ok := map[string]int{"src": packet.Source, "dst": packet.Dest}[g.Values[1]]
	s := r.Sets[g.Values[0]]
	if member, known := r.Member(g.Values[0]); known && p == packet.Source && ok {
		if by := r.Changed(SetThing(g.Values[0])); by != "" {
			return Unsure(u.String() + " (" + by + ")")
		}
		if why := neverHolds(s, r.Family); why != "" {
			return Unsure(u.String() + " (" + why + ")")
		}
		return property(member, r.Not(g.Not, member, packet.Inside))
	}
	switch {
	case !ok, s == nil:
		return Unsure(u.String())
	case s.Unknown != "":
		return Unsure(u.String() + " (" + s.Unknown + ")")
	}
	if by := r.Changed(SetThing(s.Name)); by != "" {
		return Unsure(u.String() + " (" + by + ")")
	}
	if s.Family != r.Family { // iptables refuses it
		return Unsure(u.String() + " (a set for " + s.Family.String() + ")")
	}
	return property(p, r.Not(g.Not, p, setOf(r.Family, s.Entries)))
}

// neverHolds says why a set that others fill cannot hold a packet's source, whatever is in
// it; "" where it can, or where nothing is known of it. The kernel asks a set of another
// family, or of more dimensions than the rule names, for nothing (ip_set_core.c,
// ip_set_test).
func neverHolds(s *ipset.Set, f packet.Family) string {
	switch {
	case s == nil:
		return ""
	case s.Family != 0 && s.Family != f:
		return "a set for " + s.Family.String()
	case !slices.Contains([]string{"hash:net", "hash:ip", "bitmap:ip", "list:set"}, s.Type):
		return "a set of type " + s.Type + ", which does not hold addresses alone"
	}
	return ""
}

// setOf returns the addresses that are in a set. Of the entries that contain an
// address, the longest decides (ipset(8)), so the entries are applied from the
// shortest on: addresses are added, or with nomatch removed.
func setOf(f packet.Family, entries []ipset.Entry) diagram.Set {
	if !slices.ContainsFunc(entries, func(e ipset.Entry) bool { return e.NoMatch || e.Prefix.Bits() > f.Bits() }) {
		spans := make([]diagram.Span, len(entries))
		for i, e := range entries {
			spans[i] = diagram.OfPrefix(e.Prefix)
		}
		return diagram.Normal(spans)
	}
	type length struct{ in, out []diagram.Span }
	lengths := map[int]*length{}
	for _, e := range entries {
		n := e.Prefix.Bits()
		if lengths[n] == nil {
			lengths[n] = &length{}
		}
		span := diagram.OfPrefix(netip.PrefixFrom(e.Prefix.Addr(), n))
		if e.NoMatch {
			lengths[n].out = append(lengths[n].out, span)
		} else {
			lengths[n].in = append(lengths[n].in, span)
		}
	}
	all := diagram.None
	for n := range f.Bits() + 1 {
		if l := lengths[n]; l != nil {
			all = diagram.Normal(append(append([]diagram.Span{}, all...), l.in...))
			all = all.Intersect(diagram.Normal(append([]diagram.Span{}, l.out...)).Complement(packet.MaxAddress(f)))
		}
	}
	return all
}
