package doctor

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/exposure"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// maxFindings stops the search on a host where every rule is wrong.
const maxFindings = 100

// user examines users' rules in DOCKER-USER, in the chains that it calls, and in INPUT. Each fix
// is applied before the search for the next finding, so that the commands are right in the order
// in which they are printed: those that let clients in come first.
func (d *doctor) user(t docker.Tables) {
	after := d.walk(d.allowances(t))
	if d.fixed == nil {
		d.fixed = map[packet.Family]*iptables.Table{}
	}
	d.fixed[t.Family] = after.Filter
}

// walk finds everything except the rules that let clients in, and returns the tables with the
// fixes applied.
func (d *doctor) walk(t docker.Tables) docker.Tables {
	seen, moot := map[string]bool{}, map[string]bool{}
	again := false
	for range maxFindings {
		after, found := d.next(docker.Look(t), seen, moot)
		switch {
		case found:
			t.Filter, again = after, true
		case again:
			clear(moot) // a fix may have given effect to a rule that had none
			again = false
		default:
			return t
		}
	}
	return t
}

// next adds the first finding not seen yet, and returns the table with its fix applied. Moot
// proposals are not tried again.
func (d *doctor) next(l *docker.Layout, seen, moot map[string]bool) (*iptables.Table, bool) {
	for p := range d.proposals(l) {
		key := p.Code + p.Summary
		if seen[key] || moot[key] || d.told[key] {
			continue
		}
		if after, found := d.propose(l, p); found {
			seen[key] = true
			return after, true
		}
		moot[key] = true
	}
	return nil, false
}

// proposals yields everything that may be wrong, DOCKER-USER first. Each is computed on demand.
func (d *doctor) proposals(l *docker.Layout) iter.Seq[*proposal] {
	return func(yield func(*proposal) bool) {
		for _, c := range userChains(l) {
			if !d.proposeUser(l, c, yield) {
				return
			}
		}
		d.proposeInput(l, yield)
	}
}

// proposeUser returns false when the iteration has ended.
func (d *doctor) proposeUser(l *docker.Layout, c *iptables.Chain, yield func(*proposal) bool) bool {
	over, own := -1, calledBeside(l, c)
	for i, r := range c.Rules() {
		if over >= 0 {
			p := d.neverMet(l, c, over, i)
			if p.chain = c; !yield(own.leaves(p)) {
				return false
			}
			continue
		}
		if unconditional(r) {
			over = i
		}
		for _, look := range []func(*docker.Layout, *iptables.Chain, int) *proposal{d.negated, d.denied, d.cuts} {
			p := look(l, c, i)
			if p == nil {
				continue
			}
			if p.chain = c; !yield(own.leaves(p)) {
				return false
			}
		}
	}
	return true
}

func (d *doctor) proposeInput(l *docker.Layout, yield func(*proposal) bool) {
	c := l.Tables.Filter.Chain("INPUT")
	if c == nil {
		return
	}
	for i := range c.Rules() {
		if p := d.input(l, c, i); p != nil && !yield(p) {
			return
		}
	}
}

// placeOf is the position of a rule in the input, without a line if a fix added the rule.
func (d *doctor) placeOf(l *docker.Layout, chain string, r *iptables.Rule) string {
	line := 0
	for _, t := range d.host.Families {
		if t.Family != l.Tables.Family || t.Filter == nil || t.Filter.Chain(chain) == nil {
			continue
		}
		for _, x := range t.Filter.Chain(chain).Rules() {
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

// neverMet reports a rule after one that ends the chain. A rule that denies from outside in the
// original direction is moved before that one; a rule that would do the same as that one is
// deleted. For the rest, the intention is unknown.
func (d *doctor) neverMet(l *docker.Layout, c *iptables.Chain, end, i int) *proposal {
	r, last := c.Rules()[i], c.Rules()[end]
	p := &proposal{as: changesNothing, Finding: Finding{Code: "SD010", Summary: "a rule in " + inWords(c) + " is unreachable: " + r.String(c.Name), Place: d.placeOf(l, c.Name, r),
		Detail: "An earlier rule, " + last.String(c.Name) + ", ends the chain for every packet.", Traffic: []string{"none"},
		Advice: "move it before that rule if it is needed, or delete it"}}
	number := fmt.Sprint(i + 1)
	dir, _ := option(r.Body, "--ctdir")
	switch {
	case closed(r) && !closed(last) && dir == "ORIGINAL" && r.In.Name != "" && !r.In.Not:
		p.edits = []edit{{"-D", c.Name, number}, append(edit{"-I", c.Name, fmt.Sprint(end + 1)}, spec(r)...)}
		p.as, p.denies = closes, r
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

// portsOf splits a rule's list of destination ports; nil if it has none or is negated.
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

// holds reports whether a port or range, in iptables syntax, includes a port.
func holds(part string, port int) bool {
	low, high, two := strings.Cut(part, ":")
	if !two {
		high = low
	}
	first, err := strconv.Atoi(low)
	last, err2 := strconv.Atoi(high)
	return err == nil && err2 == nil && first <= port && port <= last
}

// about returns the published ports of the rule's protocol that its port list covers, and the
// parts of the list that cover one. With rewritten, it only returns those whose packets the rule
// does not match by the container's port.
func about(l *docker.Layout, r *iptables.Rule, rewritten bool) (ports []*docker.Published, parts []string) {
	if r.Protocol.Not {
		return nil, nil
	}
	for _, part := range portsOf(r) {
		found := false
		for _, p := range l.Published {
			if p.Port == 0 || p.Protocol != r.Protocol.Name || rewritten && asksContainerPort(r, p) || !holds(part, p.Port) {
				continue
			}
			found = true
			if !slices.ContainsFunc(ports, func(q *docker.Published) bool { return q.Port == p.Port }) {
				ports = append(ports, p)
			}
		}
		if found {
			parts = append(parts, part)
		}
	}
	return ports, parts
}

// portNames lists published ports in a sentence.
func portNames(ports []*docker.Published) string {
	names := make([]string, len(ports))
	for i, p := range ports {
		names[i] = fmt.Sprintf("%d/%s", p.Port, p.Protocol)
	}
	return list(names)
}

// inRanges says that a fix covers more than the published ports if the rule matches ranges.
func inRanges(parts []string) string {
	ranges := slices.DeleteFunc(slices.Clone(parts), func(p string) bool { return !strings.Contains(p, ":") })
	if len(ranges) == 0 {
		return ""
	}
	return " The fix covers all ports in " + list(ranges) + ", like the rule."
}

// list joins names in a sentence.
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// plural is the plural "s" for more than one port.
func plural(ports []*docker.Published) string {
	if len(ports) > 1 {
		return "s"
	}
	return ""
}

// negated finds rules that each deny all but one source: together they deny everybody. The fix is
// a chain in which each source returns and the rest is denied.
func (d *doctor) negated(l *docker.Layout, c *iptables.Chain, i int) *proposal {
	r := c.Rules()[i]
	if !r.Source.Not || !closed(r) {
		return nil
	}
	same := []int{i}
	for j := i + 1; j < c.Len(); j++ {
		other := c.Rules()[j]
		if other.Source.Not && other.WithSource(iptables.Source{}).Spec() == r.WithSource(iptables.Source{}).Spec() && other.Source.Prefix != r.Source.Prefix {
			same = append(same, j)
		}
	}
	if len(same) == 1 {
		return nil
	}
	var sources []string
	for _, j := range same {
		sources = append(sources, c.Rules()[j].Source.Prefix.String())
	}
	p := &proposal{as: opens, Finding: Finding{Code: "SD009", Summary: fmt.Sprintf("%d negated rules together deny everybody: all but %s", len(same), strings.Join(sources, ", and all but ")),
		Place:   d.placeOf(l, c.Name, c.Rules()[same[1]]),
		Detail:  "Each rule drops what the others let through. Let each source in with its own rule, and deny the rest with one rule.",
		Traffic: []string{"every source is denied, including " + strings.Join(sources, " and ")},
		Advice:  "let each source through with its own rule, and deny the rest after them"}}
	words := spec(r.WithSource(iptables.Source{}))
	rules := [][]string{words}
	if cut, own := d.cutTogether(l, c, same); len(cut) > 0 {
		// The chain would cut replies just as the rules do.
		p.Detail += " Both directions of every connection traverse this chain, and so do connections opened by containers: a rule for inbound connections needs -i with the outside interface, and --ctdir ORIGINAL."
		p.Traffic = append(p.Traffic, cut...)
		bare, ok := original(words)
		if !ok {
			return p
		}
		rules = d.outsideRules(bare, r.In.Name != "" || r.Out.Name != "" || !own || boundByCallers(l, c))
	}
	target := slices.Index(words, "-j")
	if target < 0 {
		return p
	}
	chain := freeChain(l.Tables.Filter, "DENY-OTHERS")
	p.edits = []edit{{"-N", chain}}
	for _, s := range sources {
		p.edits = append(p.edits, edit{"-A", chain, "-s", s, "-j", "RETURN"})
	}
	p.edits = append(p.edits, append(edit{"-A", chain}, append(slices.Clone(protocolWords(words)), words[target:]...)...))
	for n, rule := range rules {
		how := edit{"-R", c.Name, fmt.Sprint(i + 1)}
		if n > 0 {
			how = edit{"-I", c.Name, fmt.Sprint(i + 1 + n)}
		}
		p.edits = append(p.edits, append(append(how, rule[:slices.Index(rule, "-j")]...), "-j", chain))
	}
	for _, j := range slices.Backward(same[1:]) {
		p.edits = append(p.edits, edit{"-D", c.Name, fmt.Sprint(j + len(rules))})
	}
	return p
}

// protocolWords returns "-p NAME" of a rule, which --reject-with tcp-reset requires.
func protocolWords(words []string) []string {
	if at := slices.Index(words, "-p"); at >= 0 && slices.Contains(words, "tcp-reset") {
		return words[at : at+2]
	}
	return nil
}

// freeChain is a chain name that is not in use.
func freeChain(t *iptables.Table, name string) string {
	free := name
	for n := 2; t.Chain(free) != nil; n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	return free
}

// input finds INPUT rules about a published port: clients whose packets are rewritten never get
// there. The rule stays, because it is right for docker-proxy's clients.
func (d *doctor) input(l *docker.Layout, c *iptables.Chain, i int) *proposal {
	r := c.Rules()[i]
	ports, parts := about(l, r, false)
	if len(ports) == 0 || !closed(r) || l.Tables.NFT != nil && !d.servesStrangers(l, ports) && d.closedBeside(l, ports) {
		return nil
	}
	its := "its"
	if len(ports) > 1 {
		its = "their"
	}
	p := &proposal{as: closes, moot: true, denies: r, Finding: Finding{Code: "SD006",
		Summary: fmt.Sprintf("a rule in INPUT matches the published port%s %s, but does not affect %s clients: %s", plural(ports), portNames(ports), its, r.String(c.Name)),
		Place:   d.placeOf(l, c.Name, r),
		Detail:  "DNAT rewrites their packets to the container's address, so they traverse FORWARD, never INPUT." + inRanges(parts),
		Traffic: []string{"connections to " + portNames(ports) + " are served as if the rule were not there"},
		Advice:  "add the rule to DOCKER-USER, with -m conntrack --ctorigdstport and --ctdir ORIGINAL"}}
	if l.Tables.Filter.Chain(iptables.DockerUser) == nil {
		p.Advice = "such a rule belongs in DOCKER-USER, but that chain is missing"
		return p
	}
	rules := d.originals(l, c, r, asked{address: true, ports: parts})
	user := l.Tables.Filter.Chain(iptables.DockerUser).Rules()
	end := slices.IndexFunc(user, unconditional)
	if end < 0 {
		end = len(user)
	}
	p.edits = insert(iptables.DockerUser, end, rules)
	if other := d.negatedBeside(l, l.Tables.Filter.Chain(iptables.DockerUser), r, rules); other != nil {
		p.edits, p.Advice = nil, "together with "+other.Spec()+" in DOCKER-USER, the same rule would deny everybody there: let each source through with its own rule, and deny the rest after them"
		return p
	}
	let := "INPUT lets some sources in before this rule"
	if !excepted(c.Rules()[:i], parts) {
		// What DOCKER-USER lets in with its own rules must stay allowed.
		if !d.idle(l, p.edits) || !d.servesStrangers(l, ports) {
			return p
		}
		p.edits, let = insert(iptables.DockerUser, 0, rules), "DOCKER-USER lets these clients in"
	}
	// Check anyway that there is something to report.
	if _, changed := d.proved(l.Tables.Filter, l.Tables.Family, p.edits, closes); !changed && len(p.edits) > 0 {
		return nil
	}
	p.edits, p.Advice = nil, let+": write all of it in DOCKER-USER, with -m conntrack --ctorigdstport and --ctdir ORIGINAL"
	return p
}

// servesStrangers reports whether an address that no rule names can reach one of the ports.
func (d *doctor) servesStrangers(l *docker.Layout, ports []*docker.Published) bool {
	for _, in := range d.interfaces() {
		for _, x := range d.flows(l, in) {
			if x.packet.DNAT && !x.packet.Reply && slices.ContainsFunc(ports, func(p *docker.Published) bool { return x.packet.OrigPort == p.Port }) &&
				d.onHost(l, l.Tables.Filter, x.packet).IsOpen() {
				return true
			}
		}
	}
	return false
}

// closedBeside reports whether a table of nft closes one of the ports to an address that no rule
// names, where the rules of iptables leave it open.
func (d *doctor) closedBeside(l *docker.Layout, ports []*docker.Published) bool {
	bare := l.Tables
	bare.NFT = nil
	return d.servesStrangers(docker.Look(bare), ports)
}

// excepted reports whether rules before a given one let anyone in to its ports.
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

// overlap reports whether two ports or ranges have a port in common.
func overlap(a, b string) bool {
	first, _, _ := strings.Cut(a, ":")
	other, _, _ := strings.Cut(b, ":")
	n, err := strconv.Atoi(first)
	m, err2 := strconv.Atoi(other)
	return err != nil || err2 != nil || holds(a, m) || holds(b, n)
}

// proxy finds published ports that are restricted in FORWARD, and open to everybody through
// docker-proxy. A port that is closed because a Docker rule is missing is not meant to be, so the
// chains are examined with the earlier findings fixed.
func (d *doctor) proxy() {
	var families []docker.Tables
	for _, t := range d.host.Families {
		t = d.fixedTables(t)
		if fixed := d.fixed[t.Family]; fixed != nil {
			t.Filter = fixed
		}
		families = append(families, t)
	}
	if slices.ContainsFunc(d.found, func(f Finding) bool { return slices.Contains(f.Fix, restart) }) {
		return // only Docker knows which rules come back
	}
	report, err := exposure.Of(d.ctx, exposure.Host{Families: families, Interfaces: d.host.Interfaces}, d.limits)
	if err != nil {
		return
	}
	for _, p := range report.Ports {
		for _, w := range p.Ways {
			if w.Proxy() && w.Everybody() && restricted(p, w.Interface) {
				d.openProxy(p, w)
			}
		}
	}
}

func (d *doctor) openProxy(p *exposure.Port, w exposure.Way) {
	f := Finding{Code: "SD005", Summary: fmt.Sprintf("the published port %s is restricted over DNAT, but open to everybody through docker-proxy", p.Name()),
		Place:   place(w.Family, "INPUT", 0),
		Detail:  fmt.Sprintf("Docker adds no IPv%d DNAT rule for a network without that family: clients reach docker-proxy on the host through INPUT and bypass DOCKER-USER.", w.Family),
		Traffic: []string{fmt.Sprintf("every IPv%d client on %s reaches %s", w.Family, w.Interface, p.Container)},
		Advice:  "a Seawall policy covers both paths"}
	i := slices.IndexFunc(d.host.Families, func(t docker.Tables) bool { return t.Family == w.Family })
	skipped := slices.ContainsFunc(p.Ways, func(x exposure.Way) bool { return !x.Proxy() && x.Family == w.Family && x.Interface == w.Interface })
	switch {
	case skipped: // no rule can ask for the original port of what conntrack does not track
		f.Detail = "Docker's DNAT rule is there, and does not see these packets: another rule takes them out of conntrack, or rewrites them before it. They reach docker-proxy on the host through INPUT and bypass DOCKER-USER."
		f.Advice = "look for notrack, NOTRACK, CT --notrack and rewriting in the raw tables and in the tables of nft, and delete it for this port"
	case i >= 0 && d.host.Families[i].Filter != nil:
		edits := []edit{{"-I", "INPUT", "-i", w.Interface, "-p", p.Protocol, "-m", "conntrack", "--ctorigdstport", fmt.Sprint(p.Port), "--ctdir", "ORIGINAL", "-j", "DROP"}}
		if after, changed := d.provedWhole(d.host.Families[i].Filter, w.Family, edits, closes); after != nil && changed {
			f.Fix = commands(w.Family, edits)
		}
	}
	d.add(f)
}

// restricted reports whether a port, over DNAT on an interface, is open only to some sources, or
// to nobody. A port closed only to some sources is open to strangers: those rules are bans.
func restricted(p *exposure.Port, in string) bool {
	return slices.ContainsFunc(p.Ways, func(w exposure.Way) bool { return !w.Proxy() && w.Interface == in && !w.Open() && !w.AllBut })
}
