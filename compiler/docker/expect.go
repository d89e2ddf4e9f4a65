package docker

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// Expected is a rule that Docker's configuration calls for.
type Expected struct {
	Table, Chain string
	Rule         string // its canonical text after "-A CHAIN "
	At           int    // its required position: from 1, or 0 for the end
	Why          string // what it is for
	// Forms are equivalent forms, each as all of its rules.
	Forms [][]string
	// Untold is set if the remaining rules do not determine all of its words: only Docker knows
	// them.
	Untold bool
}

// Command is the iptables command that adds the rule.
func (e Expected) Command(iptables string) string {
	table := ""
	if e.Table != "filter" {
		table = " -t " + e.Table
	}
	if e.At > 0 {
		return fmt.Sprintf("%s%s -I %s %d %s", iptables, table, e.Chain, e.At, e.Rule)
	}
	return fmt.Sprintf("%s%s -A %s %s", iptables, table, e.Chain, e.Rule)
}

// Expected lists all chains and rules of the engine, its networks and its published ports, as far
// as at least one other rule shows them or Docker reports them.
func (l *Layout) Expected() (chains map[string][]string, list []Expected) {
	chains = map[string][]string{}
	if l.Engine == NoEngine || l.Engine == Flushed {
		return chains, nil
	}
	chains["filter"] = l.Engine.Chains()
	list = l.top()
	if l.Tables.Nat != nil {
		chains["nat"] = []string{chainDocker}
		if !l.withoutNat() {
			list = append(list, l.natTop()...)
		}
	}
	if l.withoutUser() {
		chains["filter"] = slices.DeleteFunc(chains["filter"], func(c string) bool { return c == iptables.DockerUser })
		list = slices.DeleteFunc(list, func(e Expected) bool { return strings.HasSuffix(e.Rule, "-j "+iptables.DockerUser) })
	}
	for _, n := range l.all() {
		list = append(list, l.rules(n, n.Kind)...)
	}
	if l.swarm() {
		chains["filter"] = append(chains["filter"], chainIngress)
		list = append(list, l.ingress()...)
		if l.Tables.Nat != nil {
			chains["nat"] = append(chains["nat"], chainIngress)
		}
	}
	for i := range list {
		list[i].Untold = list[i].Untold || strings.Contains(list[i].Rule, unknownSubnet)
		list[i].At = l.place(list[i])
	}
	return chains, list
}

// idle reports whether these are the IPv6 tables of an older engine without an IPv6 network so
// far: it adds the jumps with the first one.
func (l *Layout) idle() bool {
	return l.Engine == Classic && l.Tables.Family == packet.IPv6 && len(l.Networks)+len(l.Internal) == 0
}

// withoutNat reports whether these are the IPv6 tables of an older engine whose IPv6 networks so
// far are all internal: it adds the nat jumps with the first network that has a way out, and
// keeps them.
func (l *Layout) withoutNat() bool {
	if l.Engine != Classic || l.Tables.Family != packet.IPv6 || jumpsTo(l.Tables.Nat, "PREROUTING", chainDocker) || jumpsTo(l.Tables.Nat, "OUTPUT", chainDocker) {
		return l.idle()
	}
	return !slices.ContainsFunc(l.all(), func(n *Network) bool { return n.Kind.Mode != GatewayNone && n.Kind.Mode != elsewhere })
}

// withoutUser reports whether these are IPv6 tables and the engine may be one without DOCKER-USER
// there: 20.10 has none, 26 has one.
func (l *Layout) withoutUser() bool {
	if l.Engine != Classic || l.Tables.Family != packet.IPv6 || l.Tables.Filter.Chain(iptables.DockerUser) != nil {
		return false
	}
	return l.Tables.Known == nil || l.Tables.Known.Version < "26"
}

// place is the position of a rule that belongs at the end: before an unconditional rule that ends
// the chain.
func (l *Layout) place(e Expected) int {
	c := l.Tables.Chain(e.Table, e.Chain)
	if e.At > 0 || c == nil || c.Len() == 0 {
		return e.At
	}
	if words := strings.Fields(c.Rules()[c.Len()-1].Spec()); len(words) >= 2 && words[0] == "-j" {
		return c.Len()
	}
	return 0
}

// top are the jumps, from FORWARD down, that every host of the engine has.
func (l *Layout) top() []Expected {
	list := []Expected{filter("FORWARD", "-j DOCKER-USER", 1, "it sends forwarded packets to the user's rules")}
	const apart = "it jumps to the rules that isolate networks"
	switch l.Engine {
	case Classic:
		if l.idle() {
			return list
		}
		return append(list, filter("FORWARD", "-j DOCKER-ISOLATION-STAGE-1", 2, apart))
	case First28:
		set := fmt.Sprintf("-m set --match-set %sv%d dst", extBridges, l.Tables.Family)
		return append(list,
			filter("FORWARD", set+" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", 2, "it accepts replies to containers"),
			filter("FORWARD", "-j DOCKER-ISOLATION-STAGE-1", 3, apart),
			filter("FORWARD", set+" -j DOCKER", 4, "it jumps to the rules for published ports"))
	}
	first := 1
	if l.there[key("filter", chainForward, "-j "+chainIngress)] {
		first = 2
	}
	between := chainInternal
	if l.Engine == Docker28 {
		between = chainStage1
	}
	return append(list,
		filter("FORWARD", "-j DOCKER-FORWARD", 2, "it jumps to the rules for Docker's networks"),
		filter(chainForward, "-j DOCKER-CT", first, "it jumps to the rules that accept replies"),
		filter(chainForward, "-j "+between, first+1, apart),
		filter(chainForward, "-j DOCKER-BRIDGE", first+2, "it jumps to the rules for published ports"))
}

// outputJump is the jump to DOCKER in nat OUTPUT if docker-proxy is off.
const outputJump = "-m addrtype --dst-type LOCAL -j DOCKER"

// natTop are the jumps of the nat table.
func (l *Layout) natTop() []Expected {
	loopback := "127.0.0.0/8"
	if l.Tables.Family == packet.IPv6 {
		loopback = "::1/128"
	}
	out := nat("OUTPUT", fmt.Sprintf("! -d %s %s", loopback, outputJump), 0, "it lets the host itself use published ports")
	if l.options.hairpin {
		out.Rule = outputJump
	}
	return []Expected{nat("PREROUTING", outputJump, 0, "it jumps to the DNAT rules of published ports"), out}
}

// name describes a published port, or the container's port if that is not known.
func (p *Published) name() string {
	if p.Port == 0 {
		return fmt.Sprintf("the container's port %d/%s", p.To.Port(), p.Protocol)
	}
	return fmt.Sprintf("the published port %d/%s", p.Port, p.Protocol)
}

func host(a netip.Addr) string { return netip.PrefixFrom(a, a.BitLen()).String() }

// find returns the keys of the existing rules for an expected one, in any of its forms; nil if
// there are none.
func (l *Layout) find(e Expected) []string {
	if e.Untold {
		return nil
	}
	for _, form := range append([][]string{{e.Rule}}, e.Forms...) {
		var keys []string
		for _, rule := range form {
			if id := key(e.Table, e.Chain, rule); l.there[id] {
				keys = append(keys, id)
			}
		}
		if len(form) > 0 && len(keys) == len(form) {
			return keys
		}
	}
	return nil
}

// Has reports whether a rule exists, in any of its forms.
func (l *Layout) Has(e Expected) bool { return l.find(e) != nil }

func (t Tables) table(name string) *iptables.Table {
	return map[string]*iptables.Table{"filter": t.Filter, "nat": t.Nat, "raw": t.Raw}[name]
}

// Chain returns a chain in one of the tables, or nil.
func (t Tables) Chain(table, name string) *iptables.Chain { return t.table(table).Chain(name) }

// NetworkOf is the network with a way out that a bridge belongs to, or nil.
func (l *Layout) NetworkOf(bridge string) *Network {
	i := slices.IndexFunc(l.Networks, func(n *Network) bool { return n.Bridge == bridge })
	if i < 0 {
		return nil
	}
	return l.Networks[i]
}
