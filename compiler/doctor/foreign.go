package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/prove"
)

// foreign finds rules of people or other tools, in Docker's chains and in FORWARD, that change
// what Docker's rules do with Docker's own traffic: replies are cut, containers cannot reach
// anything, unpublished ports and other networks are open. In FORWARD, a rule about who reaches a
// published port or about a container network is taken to be intended.
func (d *doctor) foreign(l *docker.Layout) {
	list := slices.DeleteFunc(l.Foreign(), func(f docker.Foreign) bool { return f.Table != "filter" })
	t := d.fixedChains(l.Tables)
	if len(list) == 0 || t.Filter == nil {
		return
	}
	var without []edit
	for _, f := range slices.Backward(list) {
		without = append(without, edit{"-D", f.Chain, fmt.Sprint(f.Index + 1)})
	}
	inOwn := slices.ContainsFunc(list, func(f docker.Foreign) bool { return f.Own })
	if !inOwn && len(d.differences(l, without, nil, true)) == 0 {
		return
	}
	for _, f := range list {
		off := []edit{{"-D", f.Chain, fmt.Sprint(f.Index + 1)}}
		changed := d.differences(l, off, func(x packetFlow, opens bool) bool { return f.Own || d.harm(l, f, x, opens) }, f.Own)
		if len(changed) == 0 && f.Own {
			changed = d.otherwise(l, off)
		}
		if len(changed) > 0 {
			d.foreignRule(l, f, changed)
		}
	}
}

// accepted finds DOCKER-USER rules that accept packets regardless of Docker's own rules, which
// opens networks to each other and ports that are not published. A rule for certain sources,
// destinations or ports is taken to be intended. RETURN instead of ACCEPT leaves the decision to
// Docker's rules.
func (d *doctor) accepted(l *docker.Layout) {
	now := d.fixedChains(l.Tables)
	c := now.Filter.Chain(iptables.DockerUser)
	if c == nil {
		return
	}
	opensOthers := func(x packetFlow, opens bool) bool { return opens && (x.kind == unasked || x.kind == across) }
	for i, r := range c.Rules() {
		if r.Target.Name != "ACCEPT" || particular(r) || r.In.Name != "" && r.Out.Name != "" {
			continue
		}
		back := append(edit{"-R", c.Name, fmt.Sprint(i + 1)}, returned(r)...)
		changed := d.differencesOf(l, now.Filter, []edit{back}, opensOthers)
		if len(changed) == 0 {
			continue
		}
		for n := range changed {
			changed[n] = strings.Replace(changed[n], "without it", "with RETURN instead", 1)
		}
		f := Finding{Code: "SD015", Summary: "a rule in DOCKER-USER accepts packets that Docker's own rules would drop: " + r.String(c.Name), Place: d.placeOf(l, c.Name, r),
			Detail:  "ACCEPT ends FORWARD, so Docker's rules, which isolate networks and close unpublished ports, never see the packet. RETURN passes it on to them.",
			Traffic: changed, Advice: "use RETURN instead of ACCEPT"}
		if after, some := d.provedWhole(now.Filter, now.Family, []edit{back}, func(c *prove.Change) bool { return !opens(c) }); after != nil && some {
			f.Fix, f.Advice = commands(now.Family, []edit{back}), ""
			d.carry(now.Family, []edit{back})
			now.Filter = after
		}
		d.add(f)
	}
}

// returned is a rule that accepts, rewritten to RETURN.
func returned(r *iptables.Rule) []string {
	words := spec(r)
	words[len(words)-1] = "RETURN"
	return words
}

// dropsRest sets the policy of FORWARD to the one that Docker sets when it enables forwarding: its own chains
// must work with that policy as well.
var dropsRest = edit{"-P", "FORWARD", "DROP"}

// differences describes what edits change for Docker's own traffic, skipping what wanted rejects.
// If nothing differs under FORWARD's current policy, strict also tries DROP.
func (d *doctor) differences(l *docker.Layout, edits []edit, wanted func(x packetFlow, opens bool) bool, strict bool) []string {
	before := l.Tables.Filter
	if list := d.differencesOf(l, before, edits, wanted); len(list) > 0 {
		return list
	}
	forward := before.Chain("FORWARD")
	if !strict || forward == nil || forward.Policy == "DROP" {
		return nil
	}
	var list []string
	if dropping := edited(before, l.Tables.Family, []edit{dropsRest}); dropping != nil {
		for _, text := range d.differencesOf(l, dropping, edits, wanted) {
			list = append(list, text+", if FORWARD's policy is DROP")
		}
	}
	return list
}

// otherwise describes what edits change for any packet at all.
func (d *doctor) otherwise(l *docker.Layout, edits []edit) []string {
	before, with := l.Tables.Filter, ""
	for _, policy := range [][]edit{nil, {dropsRest}} {
		if policy != nil {
			before, with = edited(before, l.Tables.Family, policy), ", if FORWARD's policy is DROP"
		}
		after := edited(before, l.Tables.Family, edits)
		if before == nil || after == nil {
			return nil
		}
		changes, err := prove.Changes(d.ctx, prove.Side{Rules: before, Whole: true}, prove.Side{Rules: after, Whole: true}, l.Tables.Family, d.limits)
		if err != nil {
			return nil
		}
		for _, c := range changes {
			if c.Old.Known() && c.New.Known() && c.Old.IsOpen() != c.New.IsOpen() {
				return []string{fmt.Sprintf("packets it matches: %s now, %s without it%s", said(c.Old), said(c.New), with)}
			}
		}
	}
	return nil
}

// maxTraffic is the number of differences that a finding lists.
const maxTraffic = 6

func (d *doctor) differencesOf(l *docker.Layout, before *iptables.Table, edits []edit, wanted func(x packetFlow, opens bool) bool) []string {
	after := edited(before, l.Tables.Family, edits)
	if after == nil {
		return nil
	}
	var list []string
	for _, x := range d.flows(l, d.interfaces()[0]) {
		was, now := d.verdict(before, x.packet, l.Tables.Family), d.verdict(after, x.packet, l.Tables.Family)
		if was == 0 || now == 0 || was.IsOpen() == now.IsOpen() || !was.Known() || !now.Known() {
			continue
		}
		if wanted == nil || wanted(x, was.IsOpen()) {
			list = append(list, fmt.Sprintf("%s: %s now, %s without it", x.what, said(was), said(now)))
		}
	}
	if n := len(list) - maxTraffic; n > 1 {
		list = append(list[:maxTraffic], fmt.Sprintf("and %d more", n))
	}
	return list
}

// harm reports whether the effect of a FORWARD rule on a packet is a fault: it opens what Docker
// keeps closed, or cuts traffic that a rule about clients never targets.
func (d *doctor) harm(l *docker.Layout, f docker.Foreign, x packetFlow, opens bool) bool {
	if opens {
		return x.kind == unasked || x.kind == across
	}
	about := slices.ContainsFunc(append(slices.Clone(l.Networks), l.Internal...), func(n *docker.Network) bool {
		return f.Rule.In.Name == n.Bridge || f.Rule.Out.Name == n.Bridge
	})
	return (x.kind == answer || x.kind == outwards || x.kind == answerBack) && !about && !ofContainers(l, f.Rule) && !toDestination(f.Rule)
}

func (d *doctor) foreignRule(l *docker.Layout, f docker.Foreign, changed []string) {
	where := "Docker's chain " + f.Chain
	detail := "Only Docker writes to this chain: it flushes it when it starts, and expects to find only its own rules there. Rules for this traffic belong in DOCKER-USER."
	if !f.Own {
		where, detail = f.Chain, "It sees packets before or after Docker's rules and overrides their decision. Rules for Docker's traffic belong in DOCKER-USER."
	}
	x := Finding{Code: "SD015", Summary: fmt.Sprintf("a rule in %s changes what Docker's rules do: %s", where, f.Rule.String(f.Chain)),
		Place: d.placeOf(l, f.Chain, f.Rule), Detail: detail, Traffic: changed, Advice: "delete it, or move what it is for to DOCKER-USER"}
	words := spec(f.Rule)
	edits := []edit{append(edit{"-D", f.Chain}, words...)}
	now := d.fixedChains(l.Tables)
	as := func(c *prove.Change) bool { return !opens(c) }
	if strings.Contains(changed[0], "let in without it") {
		as = func(c *prove.Change) bool { return !closes(c) }
	}
	if after, some := d.provedWhole(now.Filter, now.Family, edits, as); after != nil && (some || f.Own) {
		x.Fix, x.Advice = commands(now.Family, edits), ""
		d.carry(now.Family, edits)
	}
	d.add(x)
}
