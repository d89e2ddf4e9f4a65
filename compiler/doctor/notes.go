package doctor

import (
	"context"
	"fmt"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// Notes are what a healthy host's owner may want to know: they are no findings.
func Notes(ctx context.Context, h *Host, limits prove.Limits) []string {
	d := &doctor{ctx: ctx, limits: limits, host: h}
	var list, unknown []string
	for _, t := range h.Families {
		l := docker.Look(t)
		c := t.Filter.Chain("FORWARD")
		if c == nil || l.Engine == docker.NoEngine {
			continue
		}
		list = append(list, d.undecidedBefore(l, c)...)
		list = append(list, d.policy(l, c)...)
		if why := h.unknown(l); why != "" && len(unknown) == 0 {
			unknown = append(unknown, why)
		}
	}
	return append(append(list, h.Facts.firewalls()...), unknown...)
}

// policy is what FORWARD's policy means for others, or for containers.
func (d *doctor) policy(l *docker.Layout, c *iptables.Chain) []string {
	family := l.Tables.Family
	if c.Policy == "DROP" {
		return []string{fmt.Sprintf("%v: FORWARD's policy is DROP, which is Docker's own doing. If this host routes for others, their traffic needs forward blocks in the policy.", family)}
	}
	var open []string
	for _, x := range d.flows(l, d.interfaces()[0]) {
		if x.kind == unasked && x.packet.Protocol == packet.TCP && d.verdict(l.Tables.Filter, x.packet, family).IsOpen() {
			open = append(open, x.packet.Out)
		}
	}
	if len(open) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%v: FORWARD's policy is ACCEPT, and neighbours that route to containers' own addresses reach unpublished ports of %s. unlisted = \"deny\" closes that.", family, packet.Shorten(open))}
}

// unknown is what nobody has said of a host; "" for nothing.
func (h *Host) unknown(l *docker.Layout) string {
	known := l.Tables.Known
	switch {
	case known == nil && h.Facts.Live:
		return "the Docker daemon does not answer, so a rule that is gone together with all others of its container or network is not missed."
	case known == nil:
		return "Docker was not asked (--inspect), so a rule that is gone together with all others of its container or network is not missed."
	case len(known.Networks) == 0:
		return "no network is in what docker inspect printed, so of which kind each is was told by its rules alone; docker network inspect says it."
	}
	return ""
}

// undecidedBefore names the rules before the jump to DOCKER-USER of which it cannot be
// said whether they let clients pass by it.
func (d *doctor) undecidedBefore(l *docker.Layout, c *iptables.Chain) []string {
	var list []string
	at := jumps(l.Tables.Filter)
	for i := range c.Rules {
		if len(at) == 0 || i >= at[0] {
			break
		}
		if _, may := d.passesBy(l, c, at[0], i); may {
			list = append(list, fmt.Sprintf("IPv%d: a rule before the jump to DOCKER-USER has a match that cannot be evaluated, and what it accepts never meets the user's rules: %s", l.Tables.Family, c.Rules[i].String(c.Name)))
		}
	}
	return list
}
