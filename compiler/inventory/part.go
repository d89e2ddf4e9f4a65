package inventory

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/schema"
	"go4.org/netipx"
)

// Part is a set of host addresses, reached over some interfaces, on which no policy names a port.
type Part struct {
	Interfaces []string // "eth1", or "eth+ except eth0"; none for every external one
	addresses  *netipx.IPSet
	of         *netipx.IPSet // all addresses on which the port is published
}

func (p Part) equal(q Part) bool {
	return slices.Equal(p.Interfaces, q.Interfaces) && p.addresses.Equal(q.addresses)
}

// String describes the part, to follow "which no policy names".
func (p Part) String() string {
	over := strings.Join(p.Interfaces, " and ")
	switch {
	case over == "":
		return p.where("on ")
	case p.where("for ") == "":
		return "on " + over
	}
	return "on " + over + " " + p.where("for ")
}

// where lists the addresses, each kind with a preposition; "" for all on which the port is
// published.
func (p Part) where(preposition string) string {
	if p.addresses.Equal(p.of) {
		return ""
	}
	var whole, partly []string
	for _, six := range []bool{false, true} {
		left, all := family(p.addresses, six), family(p.of, six)
		name := map[bool]string{false: "IPv4", true: "IPv6"}[six]
		switch {
		case len(left.Ranges()) == 0:
		case left.Equal(all):
			whole = append(whole, "any "+name+" address")
		default:
			partly = append(partly, some(left, without(all, left), name))
		}
	}
	list := append(whole, partly...)
	for i := range list {
		list[i] = preposition + list[i]
	}
	return strings.Join(list, ", or ")
}

// some describes part of a family's addresses in the shorter of two ways.
func some(left, rest *netipx.IPSet, name string) string {
	if len(left.Prefixes()) < len(rest.Prefixes()) {
		return shown(left)
	}
	return fmt.Sprintf("%s addresses other than %s", name, shown(rest))
}

// shown lists the first few addresses of a set.
func shown(s *netipx.IPSet) string {
	const most = 4
	var list []string
	for _, x := range s.Prefixes() {
		if x.IsSingleIP() {
			list = append(list, x.Addr().String())
			continue
		}
		list = append(list, x.String())
	}
	if n := len(list); n > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), n-most)
	}
	return strings.Join(list, ", ")
}

func family(s *netipx.IPSet, six bool) *netipx.IPSet {
	var b netipx.IPSetBuilder
	for _, r := range s.Ranges() {
		if r.From().Is6() == six {
			b.AddRange(r)
		}
	}
	return set(&b)
}

func without(s, t *netipx.IPSet) *netipx.IPSet {
	var b netipx.IPSetBuilder
	b.AddSet(s)
	b.RemoveSet(t)
	return set(&b)
}

// unnamed returns the parts of a port, one piece of cut, that no policy names, and whether there
// are none. A port that is not named at all has one gap without parts.
func unnamed(p Port, policies []*schema.Policy, external []schema.Interface) (parts []Part, named bool) {
	of := addresses(p)
	all, cells := true, cellsOf(policies, external)
	for _, c := range cells {
		left := of
		for _, policy := range policies {
			if c.coveredBy(policy.External) && slices.ContainsFunc(policy.Ports, func(r schema.Ports) bool { return meets(p, r) }) {
				left = without(left, policy.AddressSet)
			}
		}
		all = all && left.Equal(of)
		if len(left.Ranges()) == 0 {
			continue
		}
		same := slices.IndexFunc(parts, func(x Part) bool { return x.addresses.Equal(left) })
		if same < 0 {
			parts, same = append(parts, Part{addresses: left, of: of}), len(parts)
		}
		parts[same].Interfaces = append(parts[same].Interfaces, c.name)
	}
	if all {
		return nil, false
	}
	if len(parts) == 1 && len(parts[0].Interfaces) == len(cells) {
		parts[0].Interfaces = nil
	}
	return parts, len(parts) == 0
}

// cell is the interfaces that one pattern matches and no narrower one does.
type cell struct {
	schema.Interface
	name string
}

func (c cell) coveredBy(list []schema.Interface) bool {
	return slices.ContainsFunc(list, func(i schema.Interface) bool { return i.Covers(c.Interface) })
}

// cellsOf splits the host's external interfaces by the interfaces of the policies.
func cellsOf(policies []*schema.Policy, external []schema.Interface) []cell {
	patterns := slices.Clone(external)
	for _, p := range policies {
		for _, i := range p.External {
			if !slices.ContainsFunc(patterns, func(x schema.Interface) bool { return x.Covers(i) && i.Covers(x) }) {
				patterns = append(patterns, i)
			}
		}
	}
	var list []cell
	for _, i := range patterns {
		name, except := i.String(), []string(nil)
		for _, j := range patterns {
			if i.Covers(j) && !j.Covers(i) {
				except = append(except, j.String())
			}
		}
		if len(except) > 0 {
			name += " except " + strings.Join(except, ", ")
		}
		list = append(list, cell{i, name})
	}
	return list
}
