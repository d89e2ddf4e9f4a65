package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/exposure"
	"github.com/seawall/seawall/compiler/iptables"
)

// user looks at the rules of DOCKER-USER that people wrote.
func (d *doctor) user(l *docker.Layout) {
	c := l.Tables.Filter.Chain(iptables.DockerUser)
	if c == nil {
		return
	}
	tables, over := command(l.Tables.Family), ""
	for i, r := range c.Rules {
		if over != "" {
			d.add(Finding{Code: "SD010", Summary: "a rule of DOCKER-USER is never met: " + r.String(c.Name), Place: place(l.Tables.Family, c.Name, int(r.Line)),
				Detail: "The rule before it, " + over + ", ends the chain for every packet.", Traffic: []string{"none"},
				Mend: []string{fmt.Sprintf("%s -D DOCKER-USER %d", tables, i+1), fmt.Sprintf("%s -I DOCKER-USER 1 %s", tables, r.Spec())}})
			continue
		}
		if unconditional(r) {
			over = r.String(c.Name)
		}
		d.rewritten(l, c, i)
		d.rewrittenAddress(l, c, i)
		d.cuts(l, c, i)
		d.negatedPair(l, c, i)
	}
}

// unconditional reports whether a rule ends its chain for every packet.
func unconditional(r *iptables.Rule) bool {
	b := r.Body
	ends := slices.Contains([]string{"RETURN", "ACCEPT", "DROP", "REJECT"}, b.Target.Name)
	return ends && !r.Source.Prefix.IsValid() && !b.Dest.Prefix.IsValid() && b.In.Name == "" && b.Out.Name == "" && b.Protocol.Name == "" && len(b.Matches) == 0
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

// rewritten finds rules that ask for a published port or address where the
// packet has the container's already.
func (d *doctor) rewritten(l *docker.Layout, c *iptables.Chain, i int) {
	r := c.Rules[i]
	port, asks := option(r.Body, "--dport", "--dports")
	if !asks {
		return
	}
	for _, p := range l.Published {
		if p.Port == 0 || p.Protocol != r.Protocol.Name || p.Port == int(p.To.Port()) || !slices.Contains(strings.Split(port, ","), fmt.Sprint(p.Port)) {
			continue
		}
		meant := strings.NewReplacer(fmt.Sprintf(" -m %s --dport %s", p.Protocol, port), fmt.Sprintf(" -m conntrack --ctorigdstport %d --ctdir ORIGINAL", p.Port),
			fmt.Sprintf(" -m multiport --dports %s", port), fmt.Sprintf(" -m conntrack --ctorigdstport %d --ctdir ORIGINAL", p.Port)).Replace(r.Spec())
		if r.In.Name == "" {
			meant = insertInterface(meant, d.outside())
		}
		tables := command(l.Tables.Family)
		d.add(Finding{Code: "SD007", Summary: fmt.Sprintf("a rule of DOCKER-USER asks for the published port %d, which packets no longer have there", p.Port),
			Place:   place(l.Tables.Family, c.Name, int(r.Line)),
			Detail:  fmt.Sprintf("After DNAT they have the container's port, %d. Only conntrack still knows the original one.", p.To.Port()),
			Traffic: []string{fmt.Sprintf("the rule matches no connection to %d/%s", p.Port, p.Protocol)},
			Mend:    []string{fmt.Sprintf("%s -R DOCKER-USER %d %s", tables, i+1, meant)}})
		return
	}
}

// rewrittenAddress finds rules that ask for the host address of a published port,
// where the packet has the container's already.
func (d *doctor) rewrittenAddress(l *docker.Layout, c *iptables.Chain, i int) {
	r := c.Rules[i]
	if !r.Dest.Prefix.IsValid() || r.Dest.Not {
		return
	}
	for _, p := range l.Published {
		if !p.Address.IsValid() || !r.Dest.Prefix.Contains(p.Address) || r.Dest.Prefix.Contains(p.To.Addr()) {
			continue
		}
		prefix := r.Dest.Prefix.String()
		original := strings.TrimSuffix(prefix, fmt.Sprintf("/%d", p.Address.BitLen()))
		meant := strings.Replace(r.Spec(), "-d "+prefix+" ", "", 1)
		if strings.Contains(meant, "-m conntrack ") {
			meant = strings.Replace(meant, "-m conntrack ", "-m conntrack --ctorigdst "+original+" ", 1)
		} else {
			meant = strings.Replace(meant, "-j ", "-m conntrack --ctorigdst "+original+" --ctdir ORIGINAL -j ", 1)
		}
		d.add(Finding{Code: "SD007", Summary: fmt.Sprintf("a rule of DOCKER-USER asks for the host address %s, which packets no longer have there", original),
			Place:   place(l.Tables.Family, c.Name, int(r.Line)),
			Detail:  fmt.Sprintf("After DNAT they have the container's address, %s. Only conntrack still knows the original one.", p.To.Addr()),
			Traffic: []string{fmt.Sprintf("the rule matches no connection to %d/%s", p.Port, p.Protocol)},
			Mend:    []string{fmt.Sprintf("%s -R DOCKER-USER %d %s", command(l.Tables.Family), i+1, meant)}})
		return
	}
}

// insertInterface puts -i where iptables-save has it, after the addresses.
func insertInterface(rule, name string) string {
	words := strings.Fields(rule)
	at := 0
	for at+1 < len(words) && (words[at] == "-s" || words[at] == "-d" || words[at] == "!") {
		if words[at] == "!" {
			at++
			continue
		}
		at += 2
	}
	return strings.Join(slices.Insert(words, at, "-i", name), " ")
}

func (d *doctor) outside() string {
	if len(d.host.Interfaces) > 0 {
		return d.host.Interfaces[0]
	}
	return "eth0"
}

// cuts finds rules that keep strangers out and cut answers, or what containers
// start themselves, as well: they are bound to no interface or no direction.
func (d *doctor) cuts(l *docker.Layout, c *iptables.Chain, i int) {
	r := c.Rules[i]
	dir, bound := option(r.Body, "--ctdir")
	if r.Target.Name != "DROP" && r.Target.Name != "REJECT" || bound && dir == "ORIGINAL" && r.In.Name != "" || unconditional(r) {
		return
	}
	for _, n := range l.Networks {
		if r.In.Name == n.Bridge || r.Out.Name == n.Bridge {
			return // about containers' own traffic: it is meant
		}
	}
	without := mended(l.Tables.Filter, l.Tables.Family, []string{fmt.Sprintf("iptables -D DOCKER-USER %d", i+1)})
	var cut []string
	for _, x := range d.cuttable(l) {
		if was, now := d.verdict(l.Tables.Filter, x.packet, l.Tables.Family), d.verdict(without, x.packet, l.Tables.Family); !was.IsOpen() && now.IsOpen() {
			cut = append(cut, x.what+": "+said(was)+" by this rule")
		}
	}
	if len(cut) == 0 {
		return
	}
	meant := r.Spec()
	if !bound {
		if strings.Contains(meant, "-m conntrack ") {
			meant = strings.Replace(meant, " -j ", " --ctdir ORIGINAL -j ", 1)
		} else {
			meant = strings.Replace(meant, " -j ", " -m conntrack --ctdir ORIGINAL -j ", 1)
		}
	}
	if r.In.Name == "" {
		meant = insertInterface(meant, d.outside())
	}
	d.add(Finding{Code: "SD008", Summary: "a rule of DOCKER-USER cuts more than new connections from outside: " + r.String(c.Name),
		Place:   place(l.Tables.Family, c.Name, int(r.Line)),
		Detail:  "Both directions of every connection pass here, and what containers start themselves. A rule about published ports needs -i with the outside interface, and --ctdir ORIGINAL.",
		Traffic: cut, Mend: []string{fmt.Sprintf("%s -R DOCKER-USER %d %s", command(l.Tables.Family), i+1, meant)}})
}

// cuttable are the packets that a rule about published ports must leave alone.
func (d *doctor) cuttable(l *docker.Layout) []packetFlow {
	var list []packetFlow
	for _, x := range d.flows(l) {
		if strings.HasPrefix(x.what, "answers") || strings.HasPrefix(x.what, "connections of the containers") {
			list = append(list, x)
		}
		if strings.HasPrefix(x.what, "connections of the containers") || strings.HasPrefix(x.what, "answers to the containers") {
			for _, p := range l.Published {
				if p.Port > 0 {
					same := x
					same.what += fmt.Sprintf(", at port %d", p.Port)
					same.packet.OrigPort = p.Port
					list = append(list, same)
				}
			}
		}
	}
	return list
}

// negatedPair finds two rules that deny all but one source each: together they
// deny everybody.
func (d *doctor) negatedPair(l *docker.Layout, c *iptables.Chain, i int) {
	r := c.Rules[i]
	if !r.Source.Not || r.Target.Name != "DROP" && r.Target.Name != "REJECT" {
		return
	}
	same := func(a, b *iptables.Rule) bool {
		return a.WithSource(iptables.Source{}).Spec() == b.WithSource(iptables.Source{}).Spec()
	}
	for j, other := range c.Rules[:i] {
		if other.Source.Not && other.Source.Prefix != r.Source.Prefix && same(other, r) {
			tables := command(l.Tables.Family)
			rest := r.WithSource(iptables.Source{})
			d.add(Finding{Code: "SD009", Summary: fmt.Sprintf("two negated rules deny everybody: all but %s, and all but %s", other.Source.Prefix, r.Source.Prefix),
				Place:   place(l.Tables.Family, c.Name, int(r.Line)),
				Detail:  "Each drops what the other lets through. Let the sources in one by one, and deny the rest with one rule.",
				Traffic: []string{fmt.Sprintf("every source is denied, %s and %s as well", other.Source.Prefix, r.Source.Prefix)},
				Mend: []string{
					fmt.Sprintf("%s -R DOCKER-USER %d %s", tables, i+1, rest.Spec()),
					fmt.Sprintf("%s -R DOCKER-USER %d -s %s %s", tables, j+1, other.Source.Prefix, strings.Replace(rest.Spec(), "-j "+r.Target.Name, "-j RETURN", 1)),
					fmt.Sprintf("%s -I DOCKER-USER %d -s %s %s", tables, j+2, r.Source.Prefix, strings.Replace(rest.Spec(), "-j "+r.Target.Name, "-j RETURN", 1))}})
			return
		}
	}
}

// input finds rules of INPUT that are about a published port: clients whose
// packets are rewritten never come there.
func (d *doctor) input(l *docker.Layout) {
	c := l.Tables.Filter.Chain("INPUT")
	if c == nil {
		return
	}
	for i, r := range c.Rules {
		port, asks := option(r.Body, "--dport", "--dports")
		if !asks || r.Target.Name != "DROP" && r.Target.Name != "REJECT" {
			continue
		}
		for _, p := range l.Published {
			if p.Port == 0 || p.Protocol != r.Protocol.Name || !slices.Contains(strings.Split(port, ","), fmt.Sprint(p.Port)) {
				continue
			}
			tables := command(l.Tables.Family)
			d.add(Finding{Code: "SD006", Summary: fmt.Sprintf("a rule of INPUT is about the published port %d/%s, and does nothing to its clients", p.Port, p.Protocol),
				Place:   place(l.Tables.Family, "INPUT", int(r.Line)),
				Detail:  "Their packets are rewritten to the container's address and pass FORWARD, never INPUT.",
				Traffic: []string{fmt.Sprintf("connections to %d/%s are served as if the rule were not there", p.Port, p.Protocol)},
				Mend: []string{fmt.Sprintf("%s -I DOCKER-USER 1 -i %s -p %s -m conntrack --ctorigdstport %d --ctdir ORIGINAL -j %s", tables, d.outside(), p.Protocol, p.Port, r.Target.Name),
					fmt.Sprintf("%s -D INPUT %d", tables, i+1)}})
			break
		}
	}
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
			if !w.Proxy || !w.Everybody() || !restricted(p, w.Interface) {
				continue
			}
			tables := command(w.Family)
			d.add(Finding{Code: "SD005", Summary: fmt.Sprintf("the published port %s is not open to everybody over DNAT, but is over docker-proxy", p.Name()),
				Place:   place(w.Family, "INPUT", 0),
				Detail:  fmt.Sprintf("A container network without IPv%d gets no DNAT in that family: its clients end at docker-proxy on the host itself, in INPUT, past DOCKER-USER.", w.Family),
				Traffic: []string{fmt.Sprintf("every IPv%d client on %s reaches %s", w.Family, w.Interface, p.Container)},
				Mend: []string{fmt.Sprintf("%s -I INPUT -i %s -p %s -m conntrack --ctorigdstport %d --ctdir ORIGINAL -j DROP", tables, w.Interface, p.Protocol, p.Port),
					"# or a policy of seawall, which covers both ways"}})
		}
	}
}

// restricted reports whether somebody is kept from a port over DNAT on an
// interface.
func restricted(p *exposure.Port, in string) bool {
	return slices.ContainsFunc(p.Ways, func(w exposure.Way) bool { return !w.Proxy && w.Interface == in && !w.Everybody() })
}
