package docker

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// Expected is a rule that belongs to what Docker runs.
type Expected struct {
	Table, Chain string
	Rule         string // its canonical text after "-A CHAIN "
	At           int    // where it has to stand: from 1, or 0 for the end
	Why          string // what it is for
	// Or is another form of the same rule.
	Or string
}

// Command is the iptables command that makes the rule.
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

// Expected lists all chains and rules that belong to the engine, its networks and
// published ports, as far as they show in at least one other rule.
func (l *Layout) Expected() (chains map[string][]string, list []Expected) {
	chains = map[string][]string{}
	switch l.Engine {
	case Classic:
		chains["filter"] = []string{iptables.DockerUser, "DOCKER", "DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2"}
		list = l.classic()
	case Modern:
		chains["filter"] = []string{iptables.DockerUser, "DOCKER", "DOCKER-FORWARD", "DOCKER-CT", "DOCKER-BRIDGE", "DOCKER-INTERNAL"}
		list = l.modern()
	default:
		return chains, nil
	}
	if l.Tables.Nat != nil {
		chains["nat"] = []string{"DOCKER"}
		list = append(list, l.nat()...)
	}
	return chains, list
}

func filter(chain, rule string, at int, why string) Expected {
	return Expected{Table: "filter", Chain: chain, Rule: rule, At: at, Why: why}
}

func (l *Layout) classic() []Expected {
	list := []Expected{
		filter("FORWARD", "-j DOCKER-USER", 1, "it leads forwarded packets to the user's rules"),
		filter("FORWARD", "-j DOCKER-ISOLATION-STAGE-1", 2, "it keeps Docker's networks apart"),
	}
	for _, n := range l.Networks {
		b := n.Bridge
		list = append(list,
			filter("FORWARD", fmt.Sprintf("-o %s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", b), 0, "it lets answers to the containers of "+b+" in"),
			filter("FORWARD", fmt.Sprintf("-o %s -j DOCKER", b), 0, "it leads to the published ports of "+b),
			filter("FORWARD", fmt.Sprintf("-i %s ! -o %[1]s -j ACCEPT", b), 0, "it lets the containers of "+b+" out"))
		inside := filter("FORWARD", fmt.Sprintf("-i %s -o %[1]s -j ACCEPT", b), 0, "it lets the containers of "+b+" reach each other")
		inside.Or = strings.Replace(inside.Rule, "ACCEPT", "DROP", 1)
		list = append(list, inside,
			filter("DOCKER-ISOLATION-STAGE-1", fmt.Sprintf("-i %s ! -o %[1]s -j DOCKER-ISOLATION-STAGE-2", b), 1, "it keeps "+b+" from other networks"),
			filter("DOCKER-ISOLATION-STAGE-2", fmt.Sprintf("-o %s -j DROP", b), 1, "it keeps other networks from "+b))
	}
	return append(list, l.accepts()...)
}

func (l *Layout) modern() []Expected {
	list := []Expected{
		filter("FORWARD", "-j DOCKER-USER", 1, "it leads forwarded packets to the user's rules"),
		filter("FORWARD", "-j DOCKER-FORWARD", 2, "it leads to the rules of Docker's networks"),
		filter("DOCKER-FORWARD", "-j DOCKER-CT", 1, "it leads to the rules that let answers in"),
		filter("DOCKER-FORWARD", "-j DOCKER-INTERNAL", 2, "it leads to the rules that keep networks apart"),
		filter("DOCKER-FORWARD", "-j DOCKER-BRIDGE", 3, "it leads to the published ports"),
	}
	for _, n := range l.Networks {
		b := n.Bridge
		list = append(list,
			filter("DOCKER-CT", fmt.Sprintf("-o %s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", b), 0, "it lets answers to the containers of "+b+" in"),
			filter("DOCKER-BRIDGE", fmt.Sprintf("-o %s -j DOCKER", b), 0, "it leads to the published ports of "+b),
			filter("DOCKER-FORWARD", fmt.Sprintf("-i %s -j ACCEPT", b), 0, "it lets the containers of "+b+" out"),
			filter("DOCKER", fmt.Sprintf("! -i %s -o %[1]s -j DROP", b), 0, "it closes the ports of "+b+" that are not published"))
	}
	list = append(list, l.accepts()...)
	if l.Tables.Raw == nil {
		return list
	}
	seen := map[netip.Addr]bool{}
	for _, p := range l.Published {
		if a := p.To.Addr(); p.Bridge != "" && !seen[a] {
			seen[a] = true
			list = append(list, Expected{Table: "raw", Chain: "PREROUTING", Rule: fmt.Sprintf("-d %s ! -i %s -j DROP", host(a), p.Bridge),
				Why: fmt.Sprintf("it keeps others from the container %s by its own address", a)})
		}
	}
	return list
}

// accepts are the rules that let rewritten packets in.
func (l *Layout) accepts() []Expected {
	var list []Expected
	for _, p := range l.Published {
		if p.Bridge != "" {
			list = append(list, filter("DOCKER", fmt.Sprintf("-d %s ! -i %s -o %[2]s -p %s -m %[3]s --dport %d -j ACCEPT",
				host(p.To.Addr()), p.Bridge, p.Protocol, p.To.Port()), 1, fmt.Sprintf("it lets packets to the published port %s in", p.name())))
		}
	}
	return list
}

func (p *Published) name() string {
	if p.Port == 0 {
		return fmt.Sprintf("of the container's %d/%s", p.To.Port(), p.Protocol)
	}
	return fmt.Sprintf("%d/%s", p.Port, p.Protocol)
}

// nat are the rules that rewrite addresses.
func (l *Layout) nat() []Expected {
	nat := func(chain, rule string, at int, why string) Expected {
		return Expected{Table: "nat", Chain: chain, Rule: rule, At: at, Why: why}
	}
	loopback := "127.0.0.0/8"
	if l.Tables.Family == packet.IPv6 {
		loopback = "::1/128"
	}
	out := nat("OUTPUT", fmt.Sprintf("! -d %s -m addrtype --dst-type LOCAL -j DOCKER", loopback), 0, "it lets the host itself use published ports")
	out.Or = "-m addrtype --dst-type LOCAL -j DOCKER" // without docker-proxy
	list := []Expected{nat("PREROUTING", "-m addrtype --dst-type LOCAL -j DOCKER", 0, "it leads to the rules that rewrite published ports"), out}
	proxied := false
	for _, p := range l.Published {
		proxied = proxied || p.Proxied
	}
	for _, n := range l.Networks {
		for _, s := range n.Subnets {
			list = append(list, nat("POSTROUTING", fmt.Sprintf("-s %s ! -o %s -j MASQUERADE", s, n.Bridge), 0, "it gives the containers of "+n.Bridge+" the host's address on their way out"))
		}
		if l.Engine == Classic && proxied {
			list = append(list, nat("DOCKER", fmt.Sprintf("-i %s -j RETURN", n.Bridge), 1, "it leaves the containers of "+n.Bridge+" to docker-proxy"))
		}
	}
	if l.Engine != Classic {
		return list
	}
	for _, p := range l.Published {
		list = append(list, nat("POSTROUTING", fmt.Sprintf("-s %s -d %[1]s -p %s -m %[2]s --dport %d -j MASQUERADE", host(p.To.Addr()), p.Protocol, p.To.Port()), 0,
			"it lets the container "+p.To.Addr().String()+" reach its own published port"))
	}
	return list
}

func host(a netip.Addr) string { return netip.PrefixFrom(a, a.BitLen()).String() }

// Has reports whether a table has a rule, in one of its forms.
func (t Tables) Has(e Expected) bool {
	found := false
	each(t.table(e.Table), e.Chain, func(r *iptables.Rule) {
		text := r.Spec()
		found = found || text == e.Rule || e.Or != "" && text == e.Or
	})
	return found
}

func (t Tables) table(name string) *iptables.Table {
	return map[string]*iptables.Table{"filter": t.Filter, "nat": t.Nat, "raw": t.Raw}[name]
}

// Chain gives a chain of one of the tables, or nil.
func (t Tables) Chain(table, name string) *iptables.Chain { return t.table(table).Chain(name) }
