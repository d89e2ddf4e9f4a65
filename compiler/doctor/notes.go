package doctor

import (
	"context"
	"fmt"
	"slices"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// Notes are remarks for the owner of a healthy host. They are not findings.
func Notes(ctx context.Context, h *Host, limits prove.Limits) []string {
	d := &doctor{ctx: ctx, limits: limits, host: h}
	var list, unknown []string
	for _, t := range h.Families {
		l := docker.Look(t)
		if t.ByNFT() {
			if l.Engine != docker.NoEngine {
				list = append(list, nftNotes(l)...)
			}
			continue
		}
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
	list = append(list, d.seawallNotes()...)
	return slices.Concat(list, d.neighbours(), d.suits(), h.Facts.firewalls(), h.Facts.NotSeen(), unknown, h.Facts.system())
}

// NotesBeside are the remarks that matter on a host with findings as well: what other
// software with rules does there, what was not seen, and which system it is.
func NotesBeside(ctx context.Context, h *Host, limits prove.Limits) []string {
	d := &doctor{ctx: ctx, limits: limits, host: h}
	return slices.Concat(d.neighbours(), h.Facts.NotSeen(), h.Facts.system())
}

// policy explains what FORWARD's policy means for routed traffic and for containers.
func (d *doctor) policy(l *docker.Layout, c *iptables.Chain) []string {
	family := l.Tables.Family
	if c.Policy == "DROP" {
		return []string{fmt.Sprintf("%v: FORWARD's policy is DROP, as Docker and ufw set it. If this host routes traffic for other networks, the policy needs forward blocks for it.", family)}
	}
	var open []string
	for _, x := range d.flows(l, d.interfaces()[0]) {
		if x.kind == unasked && x.packet.Protocol == packet.TCP && d.onHost(l, l.Tables.Filter, x.packet).IsOpen() {
			open = append(open, x.packet.Out)
		}
	}
	if len(open) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%v: FORWARD's policy is ACCEPT, so hosts on the same network that route to the containers' own addresses can reach unpublished ports of %s. unlisted = \"deny\" closes that.", family, packet.Shorten(open))}
}

// unknown explains what could not be learned about the host; "" if nothing is missing.
func (h *Host) unknown(l *docker.Layout) string {
	known := l.Tables.Known
	switch {
	case known == nil && h.Facts.Live:
		return "the Docker daemon does not answer, so if all rules of a container or network are missing, nobody can notice."
	case known == nil:
		return "Docker was not asked (--inspect), so if all rules of a container or network are missing, nobody can notice."
	case len(known.Networks) == 0:
		return "the docker inspect output contains no networks, so the kind of each network was inferred from its rules; add the output of docker network inspect."
	}
	return ""
}

// undecidedBefore names the rules before the jump to DOCKER-USER for which it cannot be
// determined whether they let clients bypass it.
func (d *doctor) undecidedBefore(l *docker.Layout, c *iptables.Chain) []string {
	var list []string
	at := jumps(l.Tables.Filter)
	for i := range c.Rules() {
		if len(at) == 0 || i >= at[0] {
			break
		}
		if _, may := d.passesBy(l, c, at[0], i); may {
			list = append(list, fmt.Sprintf("IPv%d: a rule before the jump to DOCKER-USER has a match that cannot be evaluated, and packets it accepts never reach DOCKER-USER: %s", l.Tables.Family, c.Rules()[i].String(c.Name)))
		}
	}
	return list
}
