package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// userJump checks the jump from FORWARD: it must exist exactly once, and come first. Rule numbers
// in its commands account for the earlier fixes.
func (d *doctor) userJump(l *docker.Layout) {
	now := *l
	now.Tables = d.fixedChains(l.Tables)
	c := now.Tables.Filter.Chain("FORWARD")
	if c == nil || now.Tables.Filter.Chain(iptables.DockerUser) == nil {
		return
	}
	if carried := d.carried[l.Tables.Family]; len(carried) > 0 && edited(l.Tables.Filter, l.Tables.Family, carried) == nil {
		return // the position of the jump is not known; it is checked once the chains exist
	}
	at := jumps(now.Tables.Filter)
	if len(at) > 1 {
		line := 0
		if was := jumps(l.Tables.Filter); len(was) > 1 {
			line = int(l.Tables.Filter.Chain("FORWARD").Rules()[was[1]].Line)
		}
		var edits []edit
		for _, n := range slices.Backward(at[1:]) {
			edits = append(edits, edit{"-D", "FORWARD", fmt.Sprint(n + 1)})
		}
		f := Finding{Code: "SD003", Summary: "FORWARD jumps to DOCKER-USER more than once", Place: place(l.Tables.Family, "FORWARD", line),
			Detail:  "Every jump traverses the rules again: it costs time, and LOG rules log twice.",
			Traffic: []string{"no verdict changes; each packet traverses the rules twice"}, Advice: "keep only the first of these jumps"}
		if after, _ := d.provedWhole(now.Tables.Filter, now.Tables.Family, edits, changesNothing); after != nil {
			f.Fix, f.Advice = commands(now.Tables.Family, edits), ""
			d.carry(now.Tables.Family, edits)
			now.Tables.Filter = after
		}
		d.add(f)
	}
	if len(at) > 0 {
		d.beforeJump(&now, now.Tables.Filter.Chain("FORWARD"), at[0])
	}
}

// notAsked finds rules in DOCKER-USER of a family that Docker leaves alone, as IPv6 without
// ip6tables in its configuration: it makes no jump to them there.
func (d *doctor) notAsked(l *docker.Layout) {
	t := l.Tables.Filter
	if !d.runsDocker() || t.Chain("FORWARD") == nil || len(jumps(t)) > 0 || !hasRules(t) {
		return
	}
	fix := []string{command(l.Tables.Family) + " -I FORWARD -j " + iptables.DockerUser}
	d.add(Finding{Code: "SD002", Summary: "FORWARD does not jump to DOCKER-USER, which has rules", Place: place(l.Tables.Family, "FORWARD", 0),
		Detail:  fmt.Sprintf("Docker has no rules of IPv%d here, so it does not make the jump. For IPv6 it does with \"ip6tables\": true in daemon.json, the default from Docker 27 on.", l.Tables.Family),
		Traffic: []string{"clients of containers with addresses of their own, which the host routes to: let in, whatever DOCKER-USER denies"}, Fix: fix})
}

// jumps are the rules in FORWARD that jump to DOCKER-USER.
func jumps(t *iptables.Table) []int {
	var at []int
	if c := t.Chain("FORWARD"); c != nil {
		for i, r := range c.Rules() {
			if r.Target.Name == iptables.DockerUser {
				at = append(at, i)
			}
		}
	}
	return at
}

// beforeJump finds a FORWARD rule before the jump to DOCKER-USER that lets packets from outside
// pass to containers. The fix adds the jump at the top before it deletes the old one by number,
// so there is always a jump.
func (d *doctor) beforeJump(l *docker.Layout, c *iptables.Chain, jump int) {
	for i, r := range c.Rules()[:jump] {
		if passes, _ := d.passesBy(l, c, jump, i); !passes {
			continue
		}
		first, last := append(edit{"-I", "FORWARD", "1"}, spec(c.Rules()[jump])...), edit{"-D", "FORWARD", fmt.Sprint(jump + 2)}
		edits := []edit{first, last}
		f := Finding{Code: "SD004", Summary: "a rule before the jump to DOCKER-USER can accept packets: " + r.String("FORWARD"),
			Place:   d.placeOf(l, "FORWARD", r),
			Detail:  "Packets it accepts never reach DOCKER-USER. The jump has to be the first rule in FORWARD.",
			Traffic: d.afterJump(l, edits, d.deadBehind(l, c, jump, i)), Advice: "make the jump the first rule in FORWARD; note that DOCKER-USER then lets in packets that an earlier rule denies now"}
		if twice, _ := d.provedWhole(l.Tables.Filter, l.Tables.Family, []edit{first}, asksUser); twice != nil {
			if after, _ := d.provedWhole(twice, l.Tables.Family, []edit{last}, changesNothing); after != nil {
				f.Fix, f.Advice = commands(l.Tables.Family, edits), ""
				d.carry(l.Tables.Family, edits)
			}
		}
		d.add(f)
		return
	}
}

// afterJump describes the effect of a rule that sees packets before DOCKER-USER, one of
// which that chain denies: nil where it denies none of them.
func (d *doctor) afterJump(l *docker.Layout, edits []edit, denied *prove.Change) []string {
	changed := d.changed(l, edited(l.Tables.Filter, l.Tables.Family, edits))
	switch {
	case len(changed) != 1 || changed[0] != noTraffic:
		return changed
	case denied != nil:
		return []string{fmt.Sprintf("none to the containers here, but others that DOCKER-USER denies are accepted, for example %v", denied.Example)}
	}
	return []string{"none that DOCKER-USER denies now; but anything it denies later, this rule accepts first"}
}

// passesBy reports whether the FORWARD rule at an index, before the jump, lets new connections
// from outside reach containers without DOCKER-USER: some would get in even if that chain denied
// them all. Rules of other tools for their own networks (Tailscale, libvirt, Podman) or for
// packets that they marked (kube-proxy) do not count. may reports that it does if a match that
// cannot be evaluated holds.
func (d *doctor) passesBy(l *docker.Layout, c *iptables.Chain, jump, i int) (passes, may bool) {
	if r := c.Rules()[i]; r.Target.Name != "ACCEPT" && l.Tables.Filter.Chain(r.Target.Name) == nil || toOthers(l, r) {
		return false, false
	}
	with := edited(l.Tables.Filter, l.Tables.Family, append(d.closedUser(l), alone(c, jump, i)...))
	without := edited(with, l.Tables.Family, []edit{{"-D", c.Name, "1"}})
	if with == nil || without == nil {
		return false, false
	}
	changes, err := prove.Changes(d.ctx, prove.Side{Rules: without}, prove.Side{Rules: with}, l.Tables.Family, d.limits)
	if err != nil {
		return false, false
	}
	if d.deadBehind(l, c, jump, i) != nil {
		return true, false
	}
	own := ownNetworks(l)
	for _, c := range changes {
		if !c.Old.IsClosed() || c.New.IsClosed() || c.Example.State != packet.New || c.Example.Mark != 0 ||
			!c.AllBut && ofNetworks(c.Sources, own) || ofNetworks([]string{c.Example.Dest.String()}, own) {
			continue
		}
		passes, may = passes || c.New.IsOpen() && c.New.Known(), may || !c.New.Known()
	}
	return passes, may
}

// deadBehind returns new connections that the FORWARD rule at an index accepts, before the
// jump, and that DOCKER-USER denies, so that a user's rule never applies; nil for none.
func (d *doctor) deadBehind(l *docker.Layout, c *iptables.Chain, jump, i int) *prove.Change {
	now := l.Tables.Filter
	if others := alone(c, jump, i); len(others) > 0 {
		now = edited(now, l.Tables.Family, others)
	}
	then := edited(now, l.Tables.Family, []edit{append(edit{"-I", c.Name, "1"}, spec(c.Rules()[jump])...)})
	if now == nil || then == nil {
		return nil
	}
	changes, err := prove.Changes(d.ctx, prove.Side{Rules: now, Whole: true}, prove.Side{Rules: then, Whole: true}, l.Tables.Family, d.limits)
	if err != nil {
		return nil
	}
	for _, c := range changes {
		if closes(c) && c.Old.Known() && c.New.Known() && c.Example.State == packet.New && c.Example.Mark == 0 && slices.Contains(c.Hooks, packet.Forward) {
			return c
		}
	}
	return nil
}

// alone returns the edits that keep only one rule of a chain before the jump.
func alone(c *iptables.Chain, jump, i int) []edit {
	var list []edit
	for n := range c.Rules()[:jump] {
		if n = jump - 1 - n; n != i {
			list = append(list, edit{"-D", c.Name, fmt.Sprint(n + 1)})
		}
	}
	return list
}

// toOthers reports whether a rule is about a destination that no container can have. The subnets
// of all networks must be known.
func toOthers(l *docker.Layout, r *iptables.Rule) bool {
	if !r.Dest.Prefix.IsValid() || r.Dest.Not {
		return false
	}
	for _, n := range l.Networks {
		if len(n.Subnets) == 0 || slices.ContainsFunc(n.Subnets, r.Dest.Prefix.Overlaps) {
			return false
		}
	}
	return len(l.Networks) > 0
}

// ownNetworks are the networks other than Docker's that the host masquerades: its own containers,
// machines and tunnels, whose addresses nobody outside has.
func ownNetworks(l *docker.Layout) []netip.Prefix {
	if l.Tables.Nat == nil || l.Tables.Nat.Chain("POSTROUTING") == nil {
		return nil
	}
	var list []netip.Prefix
	container := func(p netip.Prefix) bool {
		return slices.ContainsFunc(l.Networks, func(n *docker.Network) bool { return slices.ContainsFunc(n.Subnets, p.Overlaps) })
	}
	for _, r := range l.Tables.Nat.Chain("POSTROUTING").Rules() {
		if r.Source.Prefix.IsValid() && !r.Source.Not && r.Source.Prefix.Bits() > 0 && !container(r.Source.Prefix) {
			list = append(list, r.Source.Prefix)
		}
	}
	return list
}

// ofNetworks reports whether all sources belong to some networks.
func ofNetworks(sources []string, networks []netip.Prefix) bool {
	return len(sources) > 0 && !slices.ContainsFunc(sources, func(text string) bool {
		p, err := netip.ParsePrefix(text)
		if a, notPrefix := netip.ParseAddr(text); notPrefix == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		return err != nil || !slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Bits() <= p.Bits() && n.Contains(p.Addr()) })
	})
}

// closedUser returns the edits that make DOCKER-USER deny everything from outside to containers,
// and nothing else.
func (d *doctor) closedUser(l *docker.Layout) []edit {
	list := []edit{{"-F", iptables.DockerUser}}
	for _, in := range d.interfaces() {
		for _, n := range l.Networks {
			list = append(list, edit{"-A", iptables.DockerUser, "-i", in, "-o", n.Bridge, "-j", "DROP"})
		}
		if len(l.Networks) == 0 {
			list = append(list, edit{"-A", iptables.DockerUser, "-i", in, "-j", "DROP"})
		}
	}
	return list
}
