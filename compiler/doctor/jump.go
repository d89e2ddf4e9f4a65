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

// userJump looks at the jump from FORWARD: it must be there once, and come
// first. The numbers of its commands are those after the fixes of what was found
// before.
func (d *doctor) userJump(l *docker.Layout) {
	now := *l
	now.Tables = d.fixedChains(l.Tables)
	c := now.Tables.Filter.Chain("FORWARD")
	if c == nil || now.Tables.Filter.Chain(iptables.DockerUser) == nil {
		return
	}
	if carried := d.carried[l.Tables.Family]; len(carried) > 0 && edited(l.Tables.Filter, l.Tables.Family, carried) == nil {
		return // where the jump will stand cannot be said; it is found when the chains are there
	}
	at := jumps(now.Tables.Filter)
	if len(at) > 1 {
		line := 0
		if was := jumps(l.Tables.Filter); len(was) > 1 {
			line = int(l.Tables.Filter.Chain("FORWARD").Rules[was[1]].Line)
		}
		var edits []edit
		for _, n := range slices.Backward(at[1:]) {
			edits = append(edits, edit{"-D", "FORWARD", fmt.Sprint(n + 1)})
		}
		f := Finding{Code: "SD003", Summary: "FORWARD jumps to DOCKER-USER more than once", Place: place(l.Tables.Family, "FORWARD", line),
			Detail:  "The rules are walked again for each jump: it costs time, and log rules log twice.",
			Traffic: []string{"no verdict changes; each packet meets the rules twice"}, Advice: "leave the first of these jumps"}
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

// jumps are the rules of FORWARD that lead to DOCKER-USER.
func jumps(t *iptables.Table) []int {
	var at []int
	if c := t.Chain("FORWARD"); c != nil {
		for i, r := range c.Rules {
			if r.Target.Name == iptables.DockerUser {
				at = append(at, i)
			}
		}
	}
	return at
}

// beforeJump finds a rule of FORWARD before the jump to DOCKER-USER that lets packets
// from outside pass to containers. The jump is put first, and then the other one taken
// out by its number: at no moment is there none.
func (d *doctor) beforeJump(l *docker.Layout, c *iptables.Chain, jump int) {
	for i, r := range c.Rules[:jump] {
		if passes, _ := d.passesBy(l, c, jump, i); !passes {
			continue
		}
		first, last := append(edit{"-I", "FORWARD", "1"}, spec(c.Rules[jump])...), edit{"-D", "FORWARD", fmt.Sprint(jump + 2)}
		edits := []edit{first, last}
		f := Finding{Code: "SD004", Summary: "a rule before the jump to DOCKER-USER can accept packets: " + r.String("FORWARD"),
			Place:   d.placeOf(l, "FORWARD", r),
			Detail:  "What it accepts never meets the user's rules. The jump has to be the first rule of FORWARD.",
			Traffic: d.afterJump(l, edits), Advice: "make the jump the first rule of FORWARD; DOCKER-USER then lets in what a rule before it denies"}
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

// afterJump is what a rule changes that comes to packets before DOCKER-USER.
func (d *doctor) afterJump(l *docker.Layout, edits []edit) []string {
	changed := d.changed(l, edited(l.Tables.Filter, l.Tables.Family, edits))
	if len(changed) == 1 && changed[0] == noTraffic {
		return []string{"none that DOCKER-USER denies now; whatever it is to deny, this rule accepts before"}
	}
	return changed
}

// passesBy reports whether the rule of FORWARD at an index, before the jump, lets new
// connections from outside reach containers past DOCKER-USER: some would get in if that
// chain denied them all. What other tools accept for networks of their own (Tailscale,
// libvirt, Podman) and for packets that they marked (kube-proxy) does not. may reports
// that it does if a match holds that cannot be evaluated.
func (d *doctor) passesBy(l *docker.Layout, c *iptables.Chain, jump, i int) (passes, may bool) {
	if r := c.Rules[i]; r.Target.Name != "ACCEPT" && l.Tables.Filter.Chain(r.Target.Name) == nil || toOthers(l, r) {
		return false, false
	}
	with := edited(l.Tables.Filter, l.Tables.Family, append(d.closedUser(l), alone(c, jump, i)...))
	without := edited(with, l.Tables.Family, []edit{{"-D", c.Name, "1"}})
	if with == nil || without == nil {
		return false, false
	}
	changes, err := prove.Changes(d.ctx, prove.Side{Table: without}, prove.Side{Table: with}, l.Tables.Family, d.limits)
	if err != nil {
		return false, false
	}
	if d.deadBehind(l, c, jump, i) {
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

// deadBehind reports whether DOCKER-USER denies new connections that the rule of FORWARD
// at an index accepts before the jump: a person's rule is never met then.
func (d *doctor) deadBehind(l *docker.Layout, c *iptables.Chain, jump, i int) bool {
	now := l.Tables.Filter
	if others := alone(c, jump, i); len(others) > 0 {
		now = edited(now, l.Tables.Family, others)
	}
	then := edited(now, l.Tables.Family, []edit{append(edit{"-I", c.Name, "1"}, spec(c.Rules[jump])...)})
	if now == nil || then == nil {
		return false
	}
	changes, err := prove.Changes(d.ctx, prove.Side{Table: now, Whole: true}, prove.Side{Table: then, Whole: true}, l.Tables.Family, d.limits)
	return err == nil && slices.ContainsFunc(changes, func(c *prove.Change) bool {
		return closes(c) && c.Old.Known() && c.New.Known() && c.Example.State == packet.New && c.Example.Mark == 0 && slices.Contains(c.Hooks, packet.Forward)
	})
}

// alone are the edits that leave one rule of a chain before the jump.
func alone(c *iptables.Chain, jump, i int) []edit {
	var list []edit
	for n := range c.Rules[:jump] {
		if n = jump - 1 - n; n != i {
			list = append(list, edit{"-D", c.Name, fmt.Sprint(n + 1)})
		}
	}
	return list
}

// toOthers reports whether a rule is about a destination that no container has, as the
// subnets of all networks are known.
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

// ownNetworks are the networks beside Docker's whose packets the host rewrites on their
// way out: its own containers, machines and tunnels, which nobody has on the outside.
func ownNetworks(l *docker.Layout) []netip.Prefix {
	if l.Tables.Nat == nil || l.Tables.Nat.Chain("POSTROUTING") == nil {
		return nil
	}
	var list []netip.Prefix
	container := func(p netip.Prefix) bool {
		return slices.ContainsFunc(l.Networks, func(n *docker.Network) bool { return slices.ContainsFunc(n.Subnets, p.Overlaps) })
	}
	for _, r := range l.Tables.Nat.Chain("POSTROUTING").Rules {
		if r.Source.Prefix.IsValid() && !r.Source.Not && r.Source.Prefix.Bits() > 0 && !container(r.Source.Prefix) {
			list = append(list, r.Source.Prefix)
		}
	}
	return list
}

// ofNetworks reports whether all sources are of some networks.
func ofNetworks(sources []string, networks []netip.Prefix) bool {
	return len(sources) > 0 && !slices.ContainsFunc(sources, func(text string) bool {
		p, err := netip.ParsePrefix(text)
		if a, notPrefix := netip.ParseAddr(text); notPrefix == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		return err != nil || !slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Bits() <= p.Bits() && n.Contains(p.Addr()) })
	})
}

// closedUser are the edits by which DOCKER-USER denies everything from outside to
// containers, and nothing else.
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
