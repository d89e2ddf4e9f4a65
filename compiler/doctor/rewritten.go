package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
)

// originals are the rules that match on the original destination what a rule matches on the
// current one, bound to the outside. They serve SD007: rules that match a published port or host
// address where the packet already has the container's. The rule itself stays, since it is right
// for packets that are not rewritten; one that matches the original destination is put before it.
func (d *doctor) originals(l *docker.Layout, c *iptables.Chain, r *iptables.Rule, what asked) [][]string {
	var list [][]string
	for _, words := range asOriginal(r, what) {
		list = append(list, d.outsideRules(words, r.In.Name != "" || boundByCallers(l, c))...)
	}
	return list
}

// misdirected describes what is wrong with a rule's destination, with the rules that belong
// before it; nil if nothing is wrong. A rule that neither denies nor lets in, nor jumps to a
// user's chain, is not examined.
func (d *doctor) misdirected(l *docker.Layout, c *iptables.Chain, i int) *proposal {
	r := c.Rules()[i]
	if !closed(r) && r.Target.Name != "RETURN" && r.Target.Name != "ACCEPT" && !leadsToPeople(l, r) {
		return nil
	}
	elsewhere := func(r *iptables.Rule) bool {
		return ofContainers(l, r) || !r.Out.Not && slices.Contains(d.interfaces(), r.Out.Name) || ofAnswers(r)
	}
	if elsewhere(r) || everyCaller(l, c, elsewhere) {
		return nil
	}
	if p := d.rewrittenPort(l, c, i); p != nil {
		return p
	}
	return d.rewrittenAddress(l, c, i)
}

// denied finds such rules that deny, or jump to a chain that does.
func (d *doctor) denied(l *docker.Layout, c *iptables.Chain, i int) *proposal {
	r := c.Rules()[i]
	if !closed(r) && !leadsToPeople(l, r) {
		return nil
	}
	p := d.misdirected(l, c, i)
	if p == nil {
		return nil
	}
	p.as, p.denies, p.moot = closes, r, true
	if other := d.negatedBeside(l, c, r, p.rules); other != nil {
		p.edits, p.Advice = nil, "together with "+other.Spec()+", a rule that matches would deny everybody: let each source through with its own rule, and deny the rest after them"
	}
	if closed(r) {
		return p
	}
	// The rules in that chain may match the same port: then only all edits together have an
	// effect.
	if d.idle(l, p.edits) {
		inner := d.denialsIn(l, r.Target.Name)
		if len(inner) == 0 || d.idle(l, append(inner, p.edits...)) {
			return nil
		}
		p.edits = append(inner, p.edits...)
	}
	if strings.HasPrefix(r.Target.Name, "f2b-") {
		p.edits, p.Advice = nil, "configure fail2ban with the container's port: it adds this rule, and removes its chain again"
	}
	return p
}

// negatedBeside finds another rule in the chain that denies all but one source. Together with
// these words it would deny everybody (SD009).
func (d *doctor) negatedBeside(l *docker.Layout, c *iptables.Chain, r *iptables.Rule, rules [][]string) *iptables.Rule {
	if !r.Source.Not || !closed(r) {
		return nil
	}
	for j, other := range c.Rules() {
		if !other.Source.Not || !closed(other) || other.Source == r.Source {
			continue
		}
		says := [][]string{spec(other)}
		if q := d.misdirected(l, c, j); q != nil {
			says = append(says, q.rules...)
		}
		if slices.ContainsFunc(says, func(theirs []string) bool {
			return slices.ContainsFunc(rules, func(own []string) bool { return slices.Equal(butSource(own), butSource(theirs)) })
		}) {
			return other
		}
	}
	return nil
}

// butSource returns the words of a rule after "! -s X".
func butSource(words []string) []string {
	if len(words) > 3 && words[0] == "!" && words[1] == "-s" {
		return words[3:]
	}
	return words
}

// rewrittenPort finds rules that match a published port.
func (d *doctor) rewrittenPort(l *docker.Layout, c *iptables.Chain, i int) *proposal {
	r := c.Rules()[i]
	ports, parts := about(l, r, true)
	if len(ports) == 0 || ofServers(r, ports[0]) {
		return nil
	}
	first := ports[0]
	numbers, inside := make([]string, len(ports)), make([]string, len(ports))
	for n, p := range ports {
		numbers[n], inside[n] = fmt.Sprint(p.Port), fmt.Sprint(p.To.Port())
	}
	p := &proposal{Finding: Finding{Code: "SD007",
		Summary: fmt.Sprintf("a rule in %s matches the published port%s %s, but DNAT has already rewritten it: %s", inWords(c), plural(ports), list(numbers), r.String(c.Name)),
		Place:   d.placeOf(l, c.Name, r),
		Detail:  fmt.Sprintf("After DNAT, packets carry the container's port, %s. Only conntrack still knows the original port.", list(slices.Compact(inside))) + inRanges(parts),
		Traffic: []string{"the rule matches no connection to " + portNames(ports)},
		Advice:  "add a rule before this one that matches -m conntrack --ctorigdstport with --ctdir ORIGINAL"}}
	p.rules = d.originals(l, c, r, asked{ports: parts, address: r.Dest.Prefix.IsValid() && !r.Dest.Prefix.Contains(first.To.Addr())})
	p.edits = insert(c.Name, i, p.rules)
	return p
}

// ofContainers reports whether a rule is about traffic sent by containers.
func ofContainers(l *docker.Layout, r *iptables.Rule) bool {
	return slices.ContainsFunc(l.Networks, func(n *docker.Network) bool {
		return r.In.Name == n.Bridge && !r.In.Not || slices.ContainsFunc(n.Subnets, func(s netip.Prefix) bool { return within(r.Source, s) })
	})
}

// within reports whether all of a rule's sources are in a network.
func within(s iptables.Source, network netip.Prefix) bool {
	return s.Prefix.IsValid() && !s.Not && s.Prefix.Bits() >= network.Bits() && network.Contains(s.Prefix.Addr())
}

// ofAnswers reports whether a rule matches the source port of a server elsewhere: clients have no
// fixed port.
func ofAnswers(r *iptables.Rule) bool {
	for _, m := range r.Matches {
		for _, o := range m.Options {
			if (o.Name == "--sport" || o.Name == "--sports") && len(o.Values) == 1 && !o.Not && !strings.Contains(o.Values[0], ":") {
				return true
			}
		}
	}
	return false
}

// ofServers reports whether a rule with a destination port is about servers elsewhere: it
// matches, from anywhere, a network that the published port's container is not in.
func ofServers(r *iptables.Rule, port *docker.Published) bool {
	to := r.Dest.Prefix
	return to.IsValid() && !r.Dest.Not && r.In.Name == "" && !to.IsSingleIP() && !to.Contains(port.To.Addr())
}

// asksContainerPort reports whether a rule may match packets to a container's port, whatever
// their address.
func asksContainerPort(r *iptables.Rule, port *docker.Published) bool {
	parts := portsOf(r)
	return parts == nil || slices.ContainsFunc(parts, func(p string) bool { return holds(p, int(port.To.Port())) })
}

// rewrittenAddress finds rules that match the host address of a published port.
func (d *doctor) rewrittenAddress(l *docker.Layout, c *iptables.Chain, i int) *proposal {
	r := c.Rules()[i]
	if !r.Dest.Prefix.IsValid() || r.Dest.Not {
		return nil
	}
	for _, port := range l.Published {
		if !port.Address.IsValid() || !r.Dest.Prefix.Contains(port.Address) || r.Dest.Prefix.Contains(port.To.Addr()) || !asksContainerPort(r, port) {
			continue
		}
		host := bareHost(r)
		p := &proposal{Finding: Finding{Code: "SD007",
			Summary: fmt.Sprintf("a rule in %s matches the host address %s, but DNAT has already rewritten it: %s", inWords(c), host, r.String(c.Name)),
			Place:   d.placeOf(l, c.Name, r),
			Detail:  fmt.Sprintf("After DNAT, packets carry the container's address, %s. Only conntrack still knows the original address.", port.To.Addr()),
			Traffic: []string{fmt.Sprintf("the rule matches no connection to %d/%s", port.Port, port.Protocol)},
			Advice:  "add a rule before this one that matches -m conntrack --ctorigdst with --ctdir ORIGINAL"}}
		p.rules = d.originals(l, c, r, asked{address: true})
		p.edits = insert(c.Name, i, p.rules)
		return p
	}
	return nil
}

// denialsIn returns the edits for the denying rules in a chain; none if together they would deny
// everybody.
func (d *doctor) denialsIn(l *docker.Layout, chain string) []edit {
	var list []edit
	c := l.Tables.Filter.Chain(chain)
	if calledBeside(l, c) {
		return nil
	}
	for i, r := range slices.Backward(c.Rules()) {
		if !closed(r) {
			continue
		}
		p := d.misdirected(l, c, i)
		if p == nil {
			continue
		}
		if d.negatedBeside(l, c, r, p.rules) != nil {
			return nil
		}
		list = append(list, p.edits...)
	}
	return list
}

// idle reports whether edits change nobody's access.
func (d *doctor) idle(l *docker.Layout, edits []edit) bool {
	after := edited(l.Tables.Filter, l.Tables.Family, edits)
	return after != nil && d.same(l.Tables.Filter, after, l.Tables.Family)
}
