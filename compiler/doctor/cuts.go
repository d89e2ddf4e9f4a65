package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// cuts finds rules that keep strangers out but also cut replies, because they are not bound to an
// interface or a direction. A rule with a destination is meant for what containers send there, a
// ban for everything, and a rule that matches no reply cuts none.
func (d *doctor) cuts(l *docker.Layout, c *iptables.Chain, i int) *proposal {
	r := c.Rules()[i]
	if !closed(r) || meant(l, r) || everyCaller(l, c, func(r *iptables.Rule) bool { return meant(l, r) }) || fromNetwork(r) && listed(c) {
		return nil
	}
	off := edited(l.Tables.Filter, l.Tables.Family, []edit{{"-D", c.Name, fmt.Sprint(i + 1)}})
	cut, own := d.cutBy(l, r, off)
	if len(cut) == 0 {
		return d.cutsContainers(l, c, i, off)
	}
	p := &proposal{as: opens, Finding: Finding{Code: "SD008", Summary: "a rule in " + inWords(c) + " cuts more than new connections from outside: " + r.String(c.Name),
		Place:   d.placeOf(l, c.Name, r),
		Detail:  "Both directions of every connection traverse this chain, and so do connections opened by containers. A rule for inbound connections needs -i with the outside interface, and --ctdir ORIGINAL.",
		Traffic: cut, Advice: "bind the rule to the outside interface and to --ctdir ORIGINAL of -m conntrack"}}
	if cutsStanding(r) {
		p.Advice = "delete the rule: it cuts established connections, including ones it was not meant for; access is decided on the first packet of a connection"
	} else if words, ok := original(spec(r)); ok {
		bound := r.In.Name != "" || r.Out.Name != "" || !own || boundByCallers(l, c) // matching the direction is enough to spare replies
		rules := d.outsideRules(words, bound)
		p.edits = append([]edit{append(edit{"-R", c.Name, fmt.Sprint(i + 1)}, rules[0]...)}, insert(c.Name, i+1, rules[1:])...)
	}
	return p
}

// meant reports whether a rule is meant to cut what it cuts: it names replies explicitly, or is
// about what containers send, or is a ban; or it matches no replies because of --ctdir ORIGINAL.
func meant(l *docker.Layout, r *iptables.Rule) bool {
	_, directed := option(r.Body, "--ctdir")
	return directed || toDestination(r) || ofContainers(l, r) || banned(r) ||
		slices.ContainsFunc(l.Networks, func(n *docker.Network) bool { return r.Out.Name == n.Bridge })
}

// cutTogether describes what is cut by rules that deny the same except for one source each.
func (d *doctor) cutTogether(l *docker.Layout, c *iptables.Chain, same []int) (cut []string, own bool) {
	r := c.Rules()[same[0]]
	if meant(l, r) || everyCaller(l, c, func(r *iptables.Rule) bool { return meant(l, r) }) {
		return nil, false
	}
	var edits []edit
	for _, j := range slices.Backward(same) {
		edits = append(edits, edit{"-D", c.Name, fmt.Sprint(j + 1)})
	}
	cut, own = d.cutBy(l, r, edited(l.Tables.Filter, l.Tables.Family, edits))
	for i := range cut {
		cut[i] = strings.Replace(cut[i], "by this rule", "by these rules", 1)
	}
	return cut, own
}

// cutBy describes what a rule cuts besides new connections from outside; nothing if it cuts no
// replies. own reports whether that includes connections opened by containers. off is the table
// without the rule.
func (d *doctor) cutBy(l *docker.Layout, r *iptables.Rule, off *iptables.Table) (cut []string, own bool) {
	t, family := l.Tables.Filter, l.Tables.Family
	answers := false
	for _, x := range d.cuttable(l, r) {
		if atEveryPort(cut, x) {
			continue
		}
		if unconditional(r) && x.packet.Reply {
			// A rule that closes everything may be intended, unless something gets in.
			opened := false
			if x, opened = d.answered(t, x, family); !opened {
				continue
			}
		}
		was, now := d.verdict(t, x.packet, family), d.verdict(off, x.packet, family)
		if was.IsOpen() || !now.IsOpen() {
			continue
		}
		cut = append(cut, x.what+": "+said(was)+" by this rule")
		own, answers = own || !x.packet.Reply, answers || x.packet.Reply
	}
	if answers {
		return cut, own
	}
	return d.cutNetwork(l, r, off), false
}

// cutsStanding reports whether a rule is about the packets of a connection after the first: bound
// to the original direction, it would cut just as much.
func cutsStanding(r *iptables.Rule) bool {
	for _, m := range r.Matches {
		for _, o := range m.Options {
			switch {
			case o.Name == "--ctstate" || o.Name == "--state":
				if isNew := strings.Contains(o.Values[0], "NEW"); isNew == o.Not {
					return true
				}
			case o.Name == "--tcp-flags" && o.Not && strings.HasSuffix(o.Values[1], "SYN"):
				return true
			}
		}
	}
	return false
}

// cutsContainers reports a general rule that cuts connections opened by containers if no earlier
// rule is about those. It may be intended, so no fix is printed that would let containers out.
func (d *doctor) cutsContainers(l *docker.Layout, c *iptables.Chain, i int, off *iptables.Table) *proposal {
	r := c.Rules()[i]
	outgoing := func(r *iptables.Rule) bool { return toDestination(r) || ofContainers(l, r) || r.Out.Name != "" }
	if !aboutNobody(r) || slices.ContainsFunc(c.Rules()[:i], outgoing) {
		return nil
	}
	var cut []string
	for _, x := range d.flows(l, d.outsideOf(r)) {
		if x.kind == outwards && d.verdict(l.Tables.Filter, x.packet, l.Tables.Family).IsClosed() && d.verdict(off, x.packet, l.Tables.Family).IsOpen() {
			cut = append(cut, x.what+": denied by this rule")
		}
	}
	if len(cut) == 0 {
		return nil
	}
	return &proposal{as: opens, Finding: Finding{Code: "SD008", Summary: "a rule in " + inWords(c) + " cuts connections opened by containers: " + r.String(c.Name),
		Place:   d.placeOf(l, c.Name, r),
		Detail:  "Traffic from containers traverses this chain as well: without a rule that lets it out, containers cannot reach any server, resolver or registry.",
		Traffic: cut, Advice: "bind the rule to the outside interface with -i, and to --ctdir ORIGINAL of -m conntrack; or, to deny only the rest, add rules with -i BRIDGE before it for what may get out"}}
}

// aboutNobody reports whether a rule matches all packets, or all new connections: nobody writes
// such a rule just to keep containers off the outside.
func aboutNobody(r *iptables.Rule) bool {
	b := *r.Body
	if state, ok := option(r.Body, "--ctstate", "--state"); ok && len(b.Matches) == 1 && len(b.Matches[0].Options) == 1 && strings.Contains(state, "NEW") {
		b.Matches = nil
	}
	return unconditional(&iptables.Rule{Body: &b, Source: r.Source})
}

// atEveryPort reports whether a packet to one port is covered by one to any port that is cut.
func atEveryPort(cut []string, x packetFlow) bool {
	base, _, one := strings.Cut(x.what, " on port")
	return one && slices.ContainsFunc(cut, func(c string) bool { return strings.HasPrefix(c, base+": ") || strings.HasPrefix(c, base+" from ") })
}

// answered returns a reply to a client that gets in, or a reply on a connection that the
// container may open; false if there is none.
func (d *doctor) answered(t *iptables.Table, x packetFlow, f packet.Family) (packetFlow, bool) {
	if !x.opening.DNAT || d.opened(t, x, f) {
		return x, d.opened(t, x, f)
	}
	parts, err := prove.Through(d.ctx, t, *x.opening, f, d.limits)
	i := slices.IndexFunc(parts, func(p prove.ReachPart) bool { return p.Verdict.IsOpen() })
	if err != nil || i < 0 {
		return x, false
	}
	x.packet.Dest = parts[i].First
	return x, true
}

// cutNetwork lists the replies cut by a rule that keeps a network out, if containers may open
// connections to it. A rule that matches no replies, or is next to one that lets containers open
// nothing there, cuts none.
func (d *doctor) cutNetwork(l *docker.Layout, r *iptables.Rule, off *iptables.Table) []string {
	if !fromNetwork(r) {
		return nil
	}
	var cut []string
	t, family := l.Tables.Filter, l.Tables.Family
	for _, x := range d.containerFlows(l, r) {
		if !x.packet.Reply || atEveryPort(cut, x) {
			continue
		}
		for _, part := range d.closedSources(t, off, x.packet, family) {
			at := slices.IndexFunc([]netip.Addr{part.First, part.Last}, func(a netip.Addr) bool { return d.opened(t, x.from(a), family) })
			if part.First != part.Last && at >= 0 {
				cut = append(cut, fmt.Sprintf("%s from %s: %s by this rule", x.what, networkOf(r, part), said(part.Verdict)))
				break
			}
		}
	}
	return cut
}

// banned reports whether a rule keeps out one address, or the addresses on a maintained list:
// nobody misses their replies.
func banned(r *iptables.Rule) bool {
	if r.Source.Prefix.IsSingleIP() && !r.Source.Not {
		return true
	}
	for _, m := range r.Matches {
		for _, o := range m.Options {
			if o.Name == "--match-set" && !o.Not && strings.Contains(o.Values[1], "src") {
				return true
			}
		}
	}
	return false
}

// blocklist is the number of networks from which a called chain is taken to be a list of them.
const blocklist = 10

// listed reports whether a chain that DOCKER-USER calls is a maintained list of networks to keep
// out: nobody misses their replies.
func listed(c *iptables.Chain) bool {
	n := 0
	for _, r := range c.Rules() {
		if closed(r) && fromNetwork(r) {
			n++
		}
	}
	return c.Name != iptables.DockerUser && n >= blocklist
}

// fromNetwork reports whether a rule matches the sources of a network.
func fromNetwork(r *iptables.Rule) bool {
	if r.Source.Prefix.IsValid() && !r.Source.Not {
		return true
	}
	for _, m := range r.Matches {
		for _, o := range m.Options {
			if o.Name == "--src-range" && !o.Not {
				return true
			}
		}
	}
	return false
}

// networkOf writes the sources of a part as the rule does.
func networkOf(r *iptables.Rule, part prove.ReachPart) string {
	if r.Source.Prefix.IsValid() {
		return r.Source.Prefix.String()
	}
	return part.First.String() + "-" + part.Last.String()
}

// closedSources returns the sources of a packet that are denied, and would be let through without
// the rule that off lacks.
func (d *doctor) closedSources(t, off *iptables.Table, p packet.Packet, f packet.Family) []prove.ReachPart {
	was, err := prove.Through(d.ctx, t, p, f, d.limits)
	if err != nil {
		return nil
	}
	now, err := prove.Through(d.ctx, off, p, f, d.limits)
	if err != nil {
		return nil
	}
	var list []prove.ReachPart
	for len(was) > 0 && len(now) > 0 {
		a, b := was[0], now[0]
		both := prove.ReachPart{First: later(a.First, b.First), Last: earlier(a.Last, b.Last), Verdict: a.Verdict}
		if a.Verdict.Known() && !a.Verdict.IsOpen() && b.Verdict.IsOpen() {
			list = append(list, both)
		}
		if a.Last == both.Last {
			was = was[1:]
		}
		if b.Last == both.Last {
			now = now[1:]
		}
	}
	return list
}

func later(a, b netip.Addr) netip.Addr {
	if a.Less(b) {
		return b
	}
	return a
}

func earlier(a, b netip.Addr) netip.Addr {
	if a.Less(b) {
		return a
	}
	return b
}

// opened reports whether the connection of a reply gets through.
func (d *doctor) opened(t *iptables.Table, x packetFlow, f packet.Family) bool {
	return x.opening != nil && d.verdict(t, *x.opening, f).IsOpen()
}

// from is a reply from another server, and the connection to it.
func (x packetFlow) from(server netip.Addr) packetFlow {
	opening := *x.opening
	opening.Dest, opening.OrigDst = server, server
	x.packet.Source, x.packet.OrigDst, x.opening = server, server, &opening
	return x
}

// toDestination reports whether a rule matches where packets go: an address, or a set of them.
func toDestination(r *iptables.Rule) bool {
	return r.Dest.Prefix.IsValid() || asksElsewhere(r)
}

// asksElsewhere reports whether a rule matches where packets go other than by a -d prefix.
func asksElsewhere(r *iptables.Rule) bool {
	if slices.ContainsFunc(r.Masks, func(m iptables.Masked) bool { return m.Dest }) {
		return true
	}
	for _, m := range r.Matches {
		for _, o := range m.Options {
			if o.Name == "--dst-range" || o.Name == "--dst-type" || o.Name == "--match-set" && strings.Contains(o.Values[1], "dst") {
				return true
			}
		}
	}
	return false
}

// cuttable are the packets that a rule about inbound connections must not cut.
func (d *doctor) cuttable(l *docker.Layout, r *iptables.Rule) []packetFlow {
	var list []packetFlow
	for _, x := range d.flows(l, d.outsideOf(r)) {
		if strings.HasPrefix(x.what, "replies from") {
			list = append(list, x)
		}
	}
	return append(list, d.containerFlows(l, r)...)
}

// containerFlows are connections opened by containers to the outside, and their replies,
// including ones on the ports that are published here. For a rule that only matches udp, only
// those over udp.
func (d *doctor) containerFlows(l *docker.Layout, r *iptables.Rule) []packetFlow {
	var list []packetFlow
	for _, x := range d.flows(l, d.outsideOf(r)) {
		if !strings.HasPrefix(x.what, "connections from the containers") && !strings.HasPrefix(x.what, "replies to the containers") {
			continue
		}
		if r.Protocol.Name == packet.UDP.String() && !r.Protocol.Not {
			x = x.overUDP()
		}
		list = append(list, x)
		for _, p := range l.Published {
			if p.Port > 0 {
				list = append(list, x.atPort(p.Port))
			}
		}
	}
	return list
}

// outsideOf returns the outside interface that a rule is about.
func (d *doctor) outsideOf(r *iptables.Rule) string {
	if !r.In.Not && slices.Contains(d.interfaces(), r.In.Name) {
		return r.In.Name
	}
	return d.interfaces()[0]
}
