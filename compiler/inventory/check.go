package inventory

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/schema"
	"go4.org/netipx"
)

// Gaps are the mismatches between a policy and a host's published ports.
type Gaps struct {
	Unnamed     []Gap // published, but not named by any policy, or not completely
	Unpublished []Unpublished
}

// Unpublished is a policy with ports that no container publishes.
type Unpublished struct {
	Policy *schema.Policy
	Ports  []schema.Ports // none if it is all of them
}

// Gap is a published port that policies do not name completely.
type Gap struct {
	Port         // for a range, the ports with the same gap
	Parts []Part // what is not named; none if nothing is named
}

// String describes the gap in one line.
func (g Gap) String() string {
	on := ""
	switch {
	case !g.Address.IsValid():
	case g.Address.Is4() && g.Address.IsUnspecified():
		on = " on every IPv4 address"
	case g.Address.IsUnspecified():
		on = " on every IPv6 address"
	default:
		on = " on " + g.Address.String()
	}
	text := fmt.Sprintf("%s publishes %s%s, which no policy names", strings.TrimSpace(oneLine(g.Container)), g.Name(), on)
	var parts []string
	for _, p := range g.Parts {
		parts = append(parts, p.String())
	}
	if len(parts) > 0 {
		text += " " + strings.Join(parts, ", or ")
	}
	return text
}

// Check compares published ports with a policy. A port counts as named if the policies together
// cover it on every address on which it is published and on every interface on which outside
// traffic arrives: the policy's external ones, and those known from the host.
func Check(ports []Port, doc *schema.Document, interfaces ...string) Gaps {
	var g Gaps
	external := slices.Clone(doc.Host.Outside())
	for _, name := range interfaces {
		if i := (schema.Interface{Name: name}); !covered(i, external) {
			external = append(external, i)
		}
	}
	for _, p := range ports {
		if p.Outside() {
			g.Unnamed = append(g.Unnamed, gaps(p, about(p, doc.Policies), external)...)
		}
	}
	for _, policy := range doc.Policies {
		if x, any := unpublished(policy, ports); any {
			g.Unpublished = append(g.Unpublished, x)
		}
	}
	return g
}

func covered(i schema.Interface, list []schema.Interface) bool {
	return slices.ContainsFunc(list, func(e schema.Interface) bool { return e.Covers(i) })
}

// Open are the container networks about whose traffic a policy decides nothing, because
// the host's bridges do not cover their interface.
func Open(networks []docker.KnownNetwork, doc *schema.Document) []docker.KnownNetwork {
	var list []docker.KnownNetwork
	for _, n := range networks {
		if len(doc.Host.Bridges) > 0 && n.Bridge != "" && !covered(schema.Interface{Name: n.Bridge}, doc.Host.Bridges) {
			list = append(list, n)
		}
	}
	return list
}

// unpublished returns the ports of a policy that no container publishes; false if there are none.
// A policy that names every port is also meant for future ones.
func unpublished(policy *schema.Policy, ports []Port) (Unpublished, bool) {
	x := Unpublished{Policy: policy}
	for _, r := range policy.Ports {
		every := r.First == 1 && r.Last == maxPort
		published := func(p Port) bool { return meets(p, r) && policy.AddressSet.Overlaps(addresses(p)) }
		if !every && !slices.ContainsFunc(ports, published) {
			x.Ports = append(x.Ports, r)
		}
	}
	all := !slices.ContainsFunc(ports, func(p Port) bool { return len(about(p, []*schema.Policy{policy})) > 0 })
	if all {
		x.Ports = nil
	}
	return x, all || len(x.Ports) > 0
}

const maxPort = 65535

// String describes it in one line, without the policy's position.
func (u Unpublished) String() string {
	if len(u.Ports) == 0 {
		return "no container publishes any of its ports"
	}
	var list []string
	for _, r := range u.Ports {
		list = append(list, Port{First: int(r.First), Last: int(r.Last), Protocol: r.Protocol.String()}.Name())
	}
	return "no container publishes " + strings.Join(list, ", ")
}

// about returns the policies whose scope includes part of a port.
func about(p Port, policies []*schema.Policy) []*schema.Policy {
	var list []*schema.Policy
	for _, policy := range policies {
		if policy.AddressSet.Overlaps(addresses(p)) && slices.ContainsFunc(policy.Ports, func(r schema.Ports) bool { return meets(p, r) }) {
			list = append(list, policy)
		}
	}
	return list
}

func meets(p Port, r schema.Ports) bool {
	return r.Protocol.String() == p.Protocol && int(r.First) <= p.Last && p.First <= int(r.Last)
}

// addresses are the host addresses on which a port is published.
func addresses(p Port) *netipx.IPSet {
	var b netipx.IPSetBuilder
	four, six := netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	switch {
	case !p.Address.IsValid():
		b.AddPrefix(four)
		b.AddPrefix(six)
	case !p.Address.IsUnspecified():
		b.Add(p.Address)
	case p.Address.Is4():
		b.AddPrefix(four)
	default:
		b.AddPrefix(six)
	}
	return set(&b)
}

// set is the result of a builder. It only fails for an invalid address, and none is added.
func set(b *netipx.IPSetBuilder) *netipx.IPSet {
	s, _ := b.IPSet()
	return s
}

// gaps are the ports of a range that policies do not name completely, with consecutive ports that
// have the same gap joined.
func gaps(p Port, policies []*schema.Policy, external []schema.Interface) []Gap {
	var list []Gap
	for _, piece := range cut(p, policies) {
		parts, named := unnamed(piece, policies, external)
		if named {
			continue
		}
		if n := len(list); n > 0 && list[n-1].Last+1 == piece.First && slices.EqualFunc(list[n-1].Parts, parts, Part.equal) {
			list[n-1].Last = piece.Last
			continue
		}
		list = append(list, Gap{Port: piece, Parts: parts})
	}
	return list
}

// cut splits a range where a policy's ports begin or end: each piece is either completely in a
// policy's ports, or not at all.
func cut(p Port, policies []*schema.Policy) []Port {
	starts := []int{p.First}
	for _, policy := range policies {
		for _, r := range policy.Ports {
			if meets(p, r) {
				starts = append(starts, max(p.First, int(r.First)), min(p.Last, int(r.Last))+1)
			}
		}
	}
	slices.SortFunc(starts, cmp.Compare[int])
	starts = slices.Compact(starts)
	var list []Port
	for i, first := range starts {
		piece := p
		piece.First = first
		if i+1 < len(starts) {
			piece.Last = starts[i+1] - 1
		}
		if piece.First <= piece.Last {
			list = append(list, piece)
		}
	}
	return list
}
