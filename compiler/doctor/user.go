package doctor

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/exposure"
	"github.com/seawall/seawall/compiler/iptables"
)

// maxFindings ends the search on a host where every rule is wrong.
const maxFindings = 100

// user looks at the rules that people wrote, in DOCKER-USER and INPUT. Each fix is
// carried out before the next finding is looked for, so that the commands are
// right in the order in which they are printed.
func (d *doctor) user(t docker.Tables) {
	seen := map[string]bool{}
	for range maxFindings {
		l := docker.Look(t)
		after, found := d.next(l, seen)
		if !found {
			return
		}
		t.Filter = after
	}
}

// next adds the first finding that was not seen yet, and returns the table with
// its fix carried out.
func (d *doctor) next(l *docker.Layout, seen map[string]bool) (*iptables.Table, bool) {
	for p := range d.proposals(l) {
		key := p.Code + p.Summary
		if seen[key] {
			continue
		}
		seen[key] = true
		if after, found := d.propose(l, p); found {
			return after, true
		}
	}
	return nil, false
}

// proposals are all that may be wrong, first in DOCKER-USER. Each is worked out when it
// is asked for.
func (d *doctor) proposals(l *docker.Layout) iter.Seq[*proposal] {
	return func(yield func(*proposal) bool) {
		_ = d.proposeUser(l, yield) && d.proposeInput(l, yield)
	}
}

// proposeUser is false when no more is asked for.
func (d *doctor) proposeUser(l *docker.Layout, yield func(*proposal) bool) bool {
	c := l.Tables.Filter.Chain(iptables.DockerUser)
	if c == nil {
		return true
	}
	over := -1
	for i, r := range c.Rules {
		if over >= 0 {
			if p := d.neverMet(l, c, over, i); p != nil && !yield(p) {
				return false
			}
			continue
		}
		if unconditional(r) {
			over = i
		}
		for _, look := range []func(*docker.Layout, *iptables.Chain, int) *proposal{d.rewritten, d.rewrittenAddress, d.cuts, d.negated} {
			if p := look(l, c, i); p != nil && !yield(p) {
				return false
			}
		}
	}
	return true
}

func (d *doctor) proposeInput(l *docker.Layout, yield func(*proposal) bool) bool {
	c := l.Tables.Filter.Chain("INPUT")
	if c == nil {
		return true
	}
	for i := range c.Rules {
		if p := d.input(l, c, i); p != nil && !yield(p) {
			return false
		}
	}
	return true
}

// placeOf is where a rule stands in what was read, without a line for one that a fix
// has made.
func (d *doctor) placeOf(l *docker.Layout, chain string, r *iptables.Rule) string {
	line := 0
	for _, t := range d.host.Families {
		if t.Family != l.Tables.Family || t.Filter == nil || t.Filter.Chain(chain) == nil {
			continue
		}
		for _, x := range t.Filter.Chain(chain).Rules {
			if x.Spec() == r.Spec() {
				line = int(x.Line)
				break
			}
		}
	}
	return place(l.Tables.Family, chain, line)
}

// unconditional reports whether a rule ends its chain for every packet.
func unconditional(r *iptables.Rule) bool {
	b := r.Body
	ends := slices.Contains([]string{"RETURN", "ACCEPT", "DROP", "REJECT"}, b.Target.Name)
	return ends && !r.Source.Prefix.IsValid() && !b.Dest.Prefix.IsValid() && b.In.Name == "" && b.Out.Name == "" && b.Protocol.Name == "" &&
		len(b.Matches) == 0 && len(b.Masks) == 0 && b.Unread == ""
}

func closed(r *iptables.Rule) bool { return r.Target.Name == "DROP" || r.Target.Name == "REJECT" }

// neverMet is a rule after one that ends the chain. One that denies, from outside and
// in the original direction, is moved before that one; one that would do what that
// one does is taken out. What else was meant nobody can tell.
func (d *doctor) neverMet(l *docker.Layout, c *iptables.Chain, end, i int) *proposal {
	r, last := c.Rules[i], c.Rules[end]
	p := &proposal{as: changesNothing, Finding: Finding{Code: "SD010", Summary: "a rule of DOCKER-USER is never met: " + r.String(c.Name), Place: d.placeOf(l, c.Name, r),
		Detail: "The rule before it, " + last.String(c.Name) + ", ends the chain for every packet.", Traffic: []string{"none"},
		Advice: "put it before that rule if it is meant, or take it out"}}
	number := fmt.Sprint(i + 1)
	dir, _ := option(r.Body, "--ctdir")
	switch {
	case closed(r) && !closed(last) && dir == "ORIGINAL" && r.In.Name != "" && !r.In.Not:
		p.edits = []edit{{"-D", c.Name, number}, append(edit{"-I", c.Name, fmt.Sprint(end + 1)}, spec(r)...)}
		p.as = closes
	case closed(r) && closed(last), r.Target.Name == last.Target.Name:
		p.edits = []edit{{"-D", c.Name, number}}
	}
	return p
}

func option(b *iptables.Body, names ...string) (value string, found bool) {
	for _, m := range b.Matches {
		for _, o := range m.Options {
			if slices.Contains(names, o.Name) && len(o.Values) == 1 {
				return o.Values[0], true
			}
		}
	}
	return "", false
}

// portsOf are the parts of a rule's list of destination ports; none where it asks
// for none, or for all but some.
func portsOf(r *iptables.Rule) []string {
	for _, m := range r.Matches {
		for _, o := range m.Options {
			if slices.Contains(destinationPorts, o.Name) && len(o.Values) == 1 && !o.Not {
				return strings.Split(o.Values[0], ",")
			}
		}
	}
	return nil
}

// holds reports whether a port or range, as iptables has it, has a port.
func holds(part string, port int) bool {
	low, high, two := strings.Cut(part, ":")
	if !two {
		high = low
	}
	first, err := strconv.Atoi(low)
	last, err2 := strconv.Atoi(high)
	return err == nil && err2 == nil && first <= port && port <= last
}

// about is the first published port of a rule's protocol that one of the parts of
// its list holds, with those parts that hold one.
func about(l *docker.Layout, r *iptables.Rule, rewritten bool) (port *docker.Published, parts []string) {
	if r.Protocol.Not {
		return nil, nil
	}
	for _, part := range portsOf(r) {
		for _, p := range l.Published {
			if p.Port == 0 || p.Protocol != r.Protocol.Name || rewritten && p.Port == int(p.To.Port()) || !holds(part, p.Port) {
				continue
			}
			if port == nil {
				port = p
			}
			parts = append(parts, part)
			break
		}
	}
	return port, parts
}

// decides is what a rule does with packets, as the promise of another one like it;
// nil for one that does neither.
func decides(r *iptables.Rule) promise {
	switch {
	case closed(r):
		return closes
	case !r.Target.Goto && (r.Target.Name == "RETURN" || r.Target.Name == "ACCEPT"):
		return opens
	}
	return nil
}

// originals are the rules that ask what a rule asks of the original destination,
// bound to the outside.
func (d *doctor) originals(r *iptables.Rule, what asked) [][]string {
	var list [][]string
	for _, words := range asOriginal(r, what) {
		list = append(list, d.outsideRules(words, r.In.Name != "")...)
	}
	return list
}

// rewritten finds rules that ask for a published port where the packet has the
// container's already. The rule stays: it is right for packets that are not
// rewritten.
func (d *doctor) rewritten(l *docker.Layout, c *iptables.Chain, i int) *proposal {
	r := c.Rules[i]
	port, parts := about(l, r, true)
	as := decides(r)
	if port == nil || as == nil || ofContainers(l, r) || d.ofServers(r, port) {
		return nil
	}
	p := &proposal{as: as, moot: true, Finding: Finding{Code: "SD007",
		Summary: fmt.Sprintf("a rule of DOCKER-USER asks for the published port %d, which packets no longer have there: %s", port.Port, r.String(c.Name)),
		Place:   d.placeOf(l, c.Name, r),
		Detail:  fmt.Sprintf("After DNAT they have the container's port, %d. Only conntrack still knows the original one.", port.To.Port()),
		Traffic: []string{fmt.Sprintf("the rule matches no connection to %d/%s", port.Port, port.Protocol)},
		Advice:  "ask for --ctorigdstport of -m conntrack, with --ctdir ORIGINAL, in a rule before this one"}}
	p.edits = insert(c.Name, i, d.originals(r, asked{ports: parts, address: r.Dest.Prefix.IsValid() && !r.Dest.Prefix.Contains(port.To.Addr())}))
	return p
}

// ofContainers reports whether a rule is about what containers send.
func ofContainers(l *docker.Layout, r *iptables.Rule) bool {
	return slices.ContainsFunc(l.Networks, func(n *docker.Network) bool {
		return r.In.Name == n.Bridge && !r.In.Not || slices.ContainsFunc(n.Subnets, func(s netip.Prefix) bool { return within(r.Source, s) })
	})
}

// within reports whether a rule's sources are all in a network.
func within(s iptables.Source, network netip.Prefix) bool {
	return s.Prefix.IsValid() && !s.Not && s.Prefix.Bits() >= network.Bits() && network.Contains(s.Prefix.Addr())
}

// ofServers reports whether a rule with a destination port is about servers
// elsewhere: it asks for a network that the published port's container is not in,
// from anywhere, or for what leaves by an outside interface.
func (d *doctor) ofServers(r *iptables.Rule, port *docker.Published) bool {
	if !r.Out.Not && slices.Contains(d.interfaces(), r.Out.Name) {
		return true
	}
	to := r.Dest.Prefix
	return to.IsValid() && !r.Dest.Not && r.In.Name == "" && !to.IsSingleIP() && !to.Contains(port.To.Addr())
}

// asksContainerPort reports whether a rule may be met by packets to a container's
// port, whatever their address.
func asksContainerPort(r *iptables.Rule, port *docker.Published) bool {
	parts := portsOf(r)
	return parts == nil || slices.ContainsFunc(parts, func(p string) bool { return holds(p, int(port.To.Port())) })
}

// rewrittenAddress finds rules that ask for the host address of a published port,
// where the packet has the container's already.
func (d *doctor) rewrittenAddress(l *docker.Layout, c *iptables.Chain, i int) *proposal {
	r := c.Rules[i]
	as := decides(r)
	if !r.Dest.Prefix.IsValid() || r.Dest.Not || as == nil || ofContainers(l, r) {
		return nil
	}
	for _, port := range l.Published {
		if !port.Address.IsValid() || !r.Dest.Prefix.Contains(port.Address) || r.Dest.Prefix.Contains(port.To.Addr()) || !asksContainerPort(r, port) {
			continue
		}
		host := bareHost(r)
		p := &proposal{as: as, moot: true, Finding: Finding{Code: "SD007",
			Summary: fmt.Sprintf("a rule of DOCKER-USER asks for the host address %s, which packets no longer have there: %s", host, r.String(c.Name)),
			Place:   d.placeOf(l, c.Name, r),
			Detail:  fmt.Sprintf("After DNAT they have the container's address, %s. Only conntrack still knows the original one.", port.To.Addr()),
			Traffic: []string{fmt.Sprintf("the rule matches no connection to %d/%s", port.Port, port.Protocol)},
			Advice:  "ask for --ctorigdst of -m conntrack, with --ctdir ORIGINAL, in a rule before this one"}}
		p.edits = insert(c.Name, i, d.originals(r, asked{address: true}))
		return p
	}
	return nil
}

// negated finds rules that deny all but one source each: together they deny
// everybody. A chain says it: each source returns, and the rest is denied.
func (d *doctor) negated(l *docker.Layout, c *iptables.Chain, i int) *proposal {
	r := c.Rules[i]
	if !r.Source.Not || !closed(r) {
		return nil
	}
	same := []int{i}
	for j := i + 1; j < len(c.Rules); j++ {
		other := c.Rules[j]
		if other.Source.Not && other.WithSource(iptables.Source{}).Spec() == r.WithSource(iptables.Source{}).Spec() && other.Source.Prefix != r.Source.Prefix {
			same = append(same, j)
		}
	}
	if len(same) == 1 {
		return nil
	}
	var sources []string
	for _, j := range same {
		sources = append(sources, c.Rules[j].Source.Prefix.String())
	}
	p := &proposal{as: opens, Finding: Finding{Code: "SD009", Summary: fmt.Sprintf("%d negated rules deny everybody: all but %s", len(same), strings.Join(sources, ", and all but ")),
		Place:   d.placeOf(l, c.Name, c.Rules[same[1]]),
		Detail:  "Each drops what the others let through. Let the sources in one by one, and deny the rest with one rule.",
		Traffic: []string{"every source is denied, " + strings.Join(sources, " and ") + " as well"},
		Advice:  "let each source through with a rule of its own, and deny the rest after them"}}
	words := spec(r.WithSource(iptables.Source{}))
	target := slices.Index(words, "-j")
	if target < 0 {
		return p
	}
	chain := freeChain(l.Tables.Filter, "DENY-OTHERS")
	p.edits = []edit{{"-N", chain}}
	for _, s := range sources {
		p.edits = append(p.edits, edit{"-A", chain, "-s", s, "-j", "RETURN"})
	}
	p.edits = append(p.edits, append(edit{"-A", chain}, append(slices.Clone(protocolWords(words)), words[target:]...)...),
		append(append(edit{"-R", c.Name, fmt.Sprint(i + 1)}, words[:target]...), "-j", chain))
	for _, j := range slices.Backward(same[1:]) {
		p.edits = append(p.edits, edit{"-D", c.Name, fmt.Sprint(j + 1)})
	}
	return p
}

// protocolWords are "-p NAME" of a rule, which a tcp reset needs beside it.
func protocolWords(words []string) []string {
	if at := slices.Index(words, "-p"); at >= 0 && slices.Contains(words, "tcp-reset") {
		return words[at : at+2]
	}
	return nil
}

// freeChain is a name that no chain has yet.
func freeChain(t *iptables.Table, name string) string {
	free := name
	for n := 2; t.Chain(free) != nil; n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	return free
}

// input finds rules of INPUT that are about a published port: clients whose
// packets are rewritten never come there. The rule stays: it is right for
// docker-proxy's clients.
func (d *doctor) input(l *docker.Layout, c *iptables.Chain, i int) *proposal {
	r := c.Rules[i]
	port, parts := about(l, r, false)
	if port == nil || !closed(r) {
		return nil
	}
	p := &proposal{as: closes, moot: true, Finding: Finding{Code: "SD006",
		Summary: fmt.Sprintf("a rule of INPUT is about the published port %d/%s, and does nothing to its clients: %s", port.Port, port.Protocol, r.String(c.Name)),
		Place:   d.placeOf(l, c.Name, r),
		Detail:  "Their packets are rewritten to the container's address and pass FORWARD, never INPUT.",
		Traffic: []string{fmt.Sprintf("connections to %d/%s are served as if the rule were not there", port.Port, port.Protocol)},
		Advice:  "say it in DOCKER-USER, with --ctorigdstport and --ctdir ORIGINAL of -m conntrack"}}
	if l.Tables.Filter.Chain(iptables.DockerUser) == nil {
		p.Advice = "the chain DOCKER-USER, where such a rule belongs, is not there"
		return p
	}
	edits := insert(iptables.DockerUser, 0, d.originals(r, asked{address: true, ports: parts}))
	if excepted(c.Rules[:i], parts) {
		// That there is something to find is asked all the same.
		if _, changed := d.proved(l.Tables.Filter, l.Tables.Family, edits, closes); !changed && len(edits) > 0 {
			return nil
		}
		p.Advice = "INPUT lets some sources in before this rule: say all of it in DOCKER-USER, with --ctorigdstport and --ctdir ORIGINAL of -m conntrack"
		return p
	}
	p.edits = edits
	return p
}

// excepted reports whether rules before one let somebody in to its ports.
func excepted(before []*iptables.Rule, parts []string) bool {
	for _, r := range before {
		open := r.Target.Name == "ACCEPT" || r.Target.Name == "RETURN"
		if !open && r.Target.Module == nil && !closed(r) && r.Target.Name != "" {
			open = true // another chain
		}
		if !open || r.In.Name == "lo" && !r.In.Not || slices.Contains([]string{"icmp", "ipv6-icmp"}, r.Protocol.Name) && !r.Protocol.Not {
			continue
		}
		if state, ok := option(r.Body, "--ctstate", "--state"); ok && !strings.Contains(state, "NEW") {
			continue
		}
		if own := portsOf(r); own != nil && !slices.ContainsFunc(own, func(o string) bool { return slices.ContainsFunc(parts, func(p string) bool { return overlap(o, p) }) }) {
			continue
		}
		return true
	}
	return false
}

// overlap reports whether two ports or ranges share one.
func overlap(a, b string) bool {
	first, _, _ := strings.Cut(a, ":")
	other, _, _ := strings.Cut(b, ":")
	n, err := strconv.Atoi(first)
	m, err2 := strconv.Atoi(other)
	return err != nil || err2 != nil || holds(a, m) || holds(b, n)
}

// proxy finds published ports that are closed to somebody in FORWARD, and open
// to everybody over docker-proxy.
func (d *doctor) proxy() {
	ports, err := exposure.Of(d.ctx, d.host.Families, d.host.Interfaces, d.limits)
	if err != nil {
		return
	}
	for _, p := range ports {
		for _, w := range p.Ways {
			if w.Proxy && w.Everybody() && restricted(p, w.Interface) {
				d.openProxy(p, w)
			}
		}
	}
}

func (d *doctor) openProxy(p *exposure.Port, w exposure.Way) {
	f := Finding{Code: "SD005", Summary: fmt.Sprintf("the published port %s is not open to everybody over DNAT, but is over docker-proxy", p.Name()),
		Place:   place(w.Family, "INPUT", 0),
		Detail:  fmt.Sprintf("A container network without IPv%d gets no DNAT in that family: its clients end at docker-proxy on the host itself, in INPUT, past DOCKER-USER.", w.Family),
		Traffic: []string{fmt.Sprintf("every IPv%d client on %s reaches %s", w.Family, w.Interface, p.Container)},
		Advice:  "a policy of seawall covers both ways"}
	i := slices.IndexFunc(d.host.Families, func(t docker.Tables) bool { return t.Family == w.Family })
	if i >= 0 && d.host.Families[i].Filter != nil {
		edits := []edit{{"-I", "INPUT", "-i", w.Interface, "-p", p.Protocol, "-m", "conntrack", "--ctorigdstport", fmt.Sprint(p.Port), "--ctdir", "ORIGINAL", "-j", "DROP"}}
		if after, changed := d.provedWhole(d.host.Families[i].Filter, w.Family, edits, closes); after != nil && changed {
			f.Fix = commands(w.Family, edits)
		}
	}
	d.add(f)
}

// restricted reports whether somebody is kept from a port over DNAT on an
// interface.
func restricted(p *exposure.Port, in string) bool {
	return slices.ContainsFunc(p.Ways, func(w exposure.Way) bool { return !w.Proxy && w.Interface == in && !w.Everybody() })
}
