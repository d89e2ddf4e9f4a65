package prove

import (
	"slices"

	"github.com/seawall/seawall/compiler/rules"
)

// Scopes is what DOCKER-USER of a table says of new connections that arrive on
// one interface, to published ports: each range of ports and host addresses that
// is treated alike, with what each source gets.
type Scopes struct {
	Unlisted string // the verdict for what no scope holds
	// Guard is what sources get that are treated apart on every port and protocol;
	// empty when there are none. Scopes that say no more than it are not listed.
	Guard []ReachPart
	Keeps bool // packets of established connections pass where new ones are denied
	List  []Scope
}

// Scope is published ports that a chain treats alike.
type Scope struct {
	Protocol  int
	Ports     [][2]int
	Addresses []string // CIDRs; nil for every host address that no other scope of the ports has
	Parts     []ReachPart
}

// ScopesOf reads the chain DOCKER-USER. The packets leave on another interface, to
// a destination and a port that no rule names. The error is for a table that
// iptables itself would refuse.
//
// With guarded, sources that are treated apart on every port are the guard's;
// else each scope says all of its sources.
func ScopesOf(t *rules.Table, in string, family rules.Family, guarded bool) (*Scopes, error) {
	d := newDiagrams(newSpace(family, append(filePatterns(t), in)))
	r := d.chainReader(t)
	r.hook, r.root = Forward, rules.DockerUser
	f, err := r.call(rules.DockerUser)
	if err != nil {
		return nil, err
	}
	s := &scopeReader{diagrams: d, in: small(d.atomOf(in)), out: &Scopes{}}
	quiet := s.after(f, "NEW", 47) // a protocol without ports: what nobody names
	all := s.fix(s.parts(s.fix(quiet, pOrigPort, value{}), pOrigDst).kids[0], pDst, value{})
	none := s.widest(all)
	s.out.Unlisted = words(none.bits())
	if guarded && all != none {
		for _, p := range s.sourceParts(all) {
			if p.Verdict != s.out.Unlisted {
				s.out.Guard = append(s.out.Guard, p)
			}
		}
		none = all
	}
	for _, protocol := range []int{6, 17, 132} {
		s.ports(s.after(f, "NEW", protocol), protocol, none)
	}
	old := s.after(f, "ESTABLISHED", 6)
	s.out.Keeps = old == leaf(vPass) && s.after(f, "NEW", 6) != leaf(vPass)
	return s.out, nil
}

type scopeReader struct {
	*diagrams
	in  value
	out *Scopes
}

// fix follows a diagram over one property that has a value.
func (s *scopeReader) fix(r ref, property int, v value) ref {
	if s.property(r) != property {
		return r
	}
	n := &s.nodes[r]
	return n.kids[n.at(v)]
}

// after follows a diagram for a connection's packets up to the original port.
func (s *scopeReader) after(r ref, state string, protocol int) ref {
	var at [properties]value
	for i, c := range classes {
		if c == (class{state: state, dnat: true}) {
			at[pClass] = small(i)
		}
	}
	at[pProtocol], at[pIn], at[pSport], at[pDport] = small(protocol), s.in, small(40000), small(1)
	for p := pClass; p < pOrigPort; p++ {
		r = s.fix(r, p, at[p])
	}
	return r
}

// widest is the verdict of the most sources.
func (s *scopeReader) widest(r ref) ref {
	groups := s.groups(s.parts(r, pSrc))
	return slices.MaxFunc(groups, func(x, y group) int { return x.spans.size(s.max(pSrc)).Cmp(y.spans.size(s.max(pSrc))) }).kid
}

func (s *scopeReader) ports(r ref, protocol int, none ref) {
	n := s.parts(r, pOrigPort)
	for _, g := range s.groups(n) {
		a := s.parts(g.kid, pOrigDst)
		groups := s.groups(a)
		// What most addresses get is said without naming them.
		widest := slices.MaxFunc(groups, func(x, y group) int { return x.spans.size(s.max(pOrigDst)).Cmp(y.spans.size(s.max(pOrigDst))) })
		for _, x := range groups {
			scope := Scope{Protocol: protocol, Ports: portRanges(g.spans)}
			if x.kid != widest.kid {
				for _, span := range x.spans {
					scope.Addresses = append(scope.Addresses, cidrs(span, s.family == rules.IPv6)...)
				}
			}
			target := s.fix(x.kid, pDst, value{})
			if target == none && scope.Addresses == nil {
				continue
			}
			scope.Parts = s.sourceParts(target)
			s.out.List = append(s.out.List, scope)
		}
	}
}

func portRanges(spans set) [][2]int {
	var list [][2]int
	for _, p := range spans {
		list = append(list, [2]int{int(p.lo.lo), int(p.hi.lo)})
	}
	return list
}

func (s *scopeReader) sourceParts(r ref) []ReachPart {
	return s.reach(r, Packet{Source: s.max(pSrc).addr(s.family == rules.IPv6), Dest: s.max(pSrc).addr(s.family == rules.IPv6), OrigDst: s.max(pSrc).addr(s.family == rules.IPv6), State: "NEW"})
}
