package schema

import (
	"fmt"
	"net/netip"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"go4.org/netipx"
)

func netipPrefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// addressSet returns the set of a policy's addresses: every one when none is written.
func addressSet(list []netip.Prefix) *netipx.IPSet {
	if len(list) == 0 {
		return everyAddress
	}
	var b netipx.IPSetBuilder
	for _, p := range list {
		b.AddPrefix(p)
	}
	set, err := b.IPSet()
	if err != nil {
		return everyAddress // prefixes that were parsed are valid
	}
	return set
}

func coveredBy(i Interface, list []Interface) bool {
	for _, other := range list {
		if other.Covers(i) {
			return true
		}
	}
	return false
}

// A policy's scope is a product: some (protocol, port) pairs × some host
// addresses × some interfaces. Two products meet when they meet in each of the
// three, and one lies inside the other when it does in each of the three. So
// the three are compared separately:
type relation struct{ meets, aInB, bInA bool }

func (r relation) and(o relation) relation {
	return relation{r.meets && o.meets, r.aInB && o.aInB, r.bInA && o.bInA}
}

// overlaps finds every pair of policies whose scopes meet without one lying
// wholly and strictly inside the other. The line function gives the text of a
// line, for the message to show both places.
func overlaps(policies []*Policy, line func(hcl.Range) string) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, pair := range meetInPorts(policies) {
		a, b := pair[0], pair[1]
		r := relatePorts(a.Ports, b.Ports).and(relateAddresses(a, b)).and(relateInterfaces(a.External, b.External))
		if !r.meets || r.aInB != r.bInA {
			continue
		}
		diags = append(diags, collision(a, b, r.aInB, line))
	}
	return diags
}

// Nested returns every pair of policies where the first's scope lies wholly and
// strictly inside the second's, so that the first decides there.
func Nested(policies []*Policy) [][2]*Policy {
	var pairs [][2]*Policy
	for _, pair := range meetInPorts(policies) {
		a, b := pair[0], pair[1]
		r := relatePorts(a.Ports, b.Ports).and(relateAddresses(a, b)).and(relateInterfaces(a.External, b.External))
		switch {
		case r.meets && r.aInB && !r.bInA:
			pairs = append(pairs, [2]*Policy{a, b})
		case r.meets && r.bInA && !r.aInB:
			pairs = append(pairs, [2]*Policy{b, a})
		}
	}
	return pairs
}

func collision(a, b *Policy, same bool, line func(hcl.Range) string) *hcl.Diagnostic {
	how := "and neither lies inside the other, so it is not clear which one decides"
	if same {
		how = "and their scopes are the same, so it is not clear which one decides"
	}
	port := commonPort(a.Ports, b.Ports)
	return mistake(b.PortsRange, "Two policies claim the same port",
		"Policy %s and policy %s both claim %s, %s. Remove the port from one of them, or narrow one with address or external.\n\n  %s: %s\n  %s: %s",
		a.Name, b.Name, port, how, place(a.PortsRange), line(a.PortsRange), place(b.PortsRange), line(b.PortsRange))
}

func commonPort(a, b []Ports) string {
	for _, p := range a {
		for _, q := range b {
			if p.Protocol == q.Protocol && p.First <= q.Last && q.First <= p.Last {
				return fmt.Sprintf("port %d/%s", max(p.First, q.First), p.Protocol)
			}
		}
	}
	return "the same port"
}

// meetInPorts returns the pairs of policies that share a port, by a sweep over all
// ranges in order: n policies with different ports cost n log n.
func meetInPorts(policies []*Policy) [][2]*Policy {
	type claim struct {
		ports Ports
		owner int
	}
	var claims []claim
	for n, p := range policies {
		for _, r := range p.Ports {
			claims = append(claims, claim{r, n})
		}
	}
	sort.SliceStable(claims, func(i, j int) bool {
		a, b := claims[i].ports, claims[j].ports
		if a.Protocol != b.Protocol {
			return a.Protocol < b.Protocol
		}
		return a.First < b.First
	})
	seen := map[[2]int]bool{}
	var pairs [][2]int
	var open []claim
	for _, c := range claims {
		kept := open[:0]
		for _, o := range open {
			if o.ports.Protocol != c.ports.Protocol || o.ports.Last < c.ports.First {
				continue
			}
			kept = append(kept, o)
			pair := [2]int{min(o.owner, c.owner), max(o.owner, c.owner)}
			if o.owner != c.owner && !seen[pair] {
				seen[pair] = true
				pairs = append(pairs, pair)
			}
		}
		open = append(kept, c)
	}
	sort.Slice(pairs, func(i, j int) bool {
		return pairs[i][0] < pairs[j][0] || pairs[i][0] == pairs[j][0] && pairs[i][1] < pairs[j][1]
	})
	var result [][2]*Policy
	for _, p := range pairs {
		result = append(result, [2]*Policy{policies[p[0]], policies[p[1]]})
	}
	return result
}

func relatePorts(a, b []Ports) relation {
	return relation{meets: true, aInB: portsWithin(a, b), bInA: portsWithin(b, a)}
}

// portsWithin reports whether every port of a is one of b.
func portsWithin(a, b []Ports) bool {
	sorted := append([]Ports{}, b...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].First < sorted[j].First })
	for _, p := range a {
		next := int(p.First)
		for _, q := range sorted {
			if q.Protocol == p.Protocol && int(q.First) <= next && int(q.Last) >= next {
				next = int(q.Last) + 1
			}
		}
		if next <= int(p.Last) {
			return false
		}
	}
	return true
}

func relateAddresses(a, b *Policy) relation {
	if a.AddressSet == b.AddressSet {
		return relation{true, true, true}
	}
	return relation{
		meets: a.AddressSet.Overlaps(b.AddressSet),
		aInB:  addressesWithin(a.AddressSet, b.AddressSet),
		bInA:  addressesWithin(b.AddressSet, a.AddressSet),
	}
}

func addressesWithin(a, b *netipx.IPSet) bool {
	for _, r := range a.Ranges() {
		if !b.ContainsRange(r) {
			return false
		}
	}
	return true
}

func relateInterfaces(a, b []Interface) relation {
	r := relation{aInB: true, bInA: true}
	for _, i := range a {
		r.aInB = r.aInB && coveredBy(i, b)
		for _, j := range b {
			r.meets = r.meets || i.Covers(j) || j.Covers(i)
		}
	}
	for _, j := range b {
		r.bInA = r.bInA && coveredBy(j, a)
	}
	return r
}
