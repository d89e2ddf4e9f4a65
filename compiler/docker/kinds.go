package docker

import (
	"fmt"
	"net/netip"

	"github.com/seawall/seawall/compiler/packet"
)

// rules are all rules of a network of a kind on this host's engine: its own, and those of its
// containers and published ports.
func (l *Layout) rules(n *Network, k Kind) []Expected {
	switch k.Mode {
	case GatewayNone:
		return l.internalRules(n, k)
	case elsewhere:
		return l.stageRules(n, k)
	}
	var list []Expected
	switch l.Engine {
	case Classic:
		list = l.classicRules(n, k)
	case First28:
		list = append(l.wayOut("FORWARD", n, k), l.endOfDocker(n, k)...)
	case Docker28, Docker29:
		list = l.forwardRules(n, k)
	}
	if l.Engine.stages() {
		list = append(list, l.stageRules(n, k)...)
	}
	if l.Tables.Nat != nil {
		list = append(list, l.natRules(n, k)...)
	}
	return append(list, l.portRules(n, k)...)
}

func filter(chain, rule string, at int, why string) Expected {
	return Expected{Table: "filter", Chain: chain, Rule: rule, At: at, Why: why}
}

func nat(chain, rule string, at int, why string) Expected {
	return Expected{Table: "nat", Chain: chain, Rule: rule, At: at, Why: why}
}

// classicRules are the rules of one bridge in FORWARD. 27 closes the end of DOCKER for each
// network, or opens it; earlier engines leave that to FORWARD.
func (l *Layout) classicRules(n *Network, k Kind) []Expected {
	b := n.Bridge
	list := []Expected{
		filter("FORWARD", fmt.Sprintf("-o %s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", b), 3, "it accepts replies to the containers of "+b),
		filter("FORWARD", fmt.Sprintf("-o %s -j DOCKER", b), 0, "it jumps to the rules for the published ports of "+b),
		filter("FORWARD", fmt.Sprintf("-i %s ! -o %[1]s -j ACCEPT", b), 0, "it lets the containers of "+b+" out"),
		iccRule("FORWARD", b, k),
	}
	if l.options.ends {
		list = append(list, l.endOfDocker(n, k)...)
	}
	return list
}

// iccRule decides on traffic between a network's own containers.
func iccRule(chain, b string, k Kind) Expected {
	if k.ICC {
		return filter(chain, fmt.Sprintf("-i %s -o %[1]s -j ACCEPT", b), 0, "it lets the containers of "+b+" reach each other")
	}
	return filter(chain, fmt.Sprintf("-i %s -o %[1]s -j DROP", b), 0, "it isolates the containers of "+b+" from each other")
}

// endOfDocker decides on packets that no published port of a network has accepted.
func (l *Layout) endOfDocker(n *Network, k Kind) []Expected {
	b := n.Bridge
	if k.Mode == GatewayUnprotected {
		return []Expected{filter(chainDocker, fmt.Sprintf("! -i %s -o %[1]s -j ACCEPT", b), 0, "it opens all ports of "+b+", as its mode nat-unprotected requires")}
	}
	list := []Expected{filter(chainDocker, fmt.Sprintf("! -i %s -o %[1]s -j DROP", b), 0, "it closes the unpublished ports of "+b)}
	if k.Mode == GatewayRouted {
		icmp := "icmp"
		if l.Tables.Family == packet.IPv6 {
			icmp = "ipv6-icmp"
		}
		list = append(list, filter(chainDocker, fmt.Sprintf("-o %s -p %s -j ACCEPT", b, icmp), 1, "it accepts ICMP to the containers of "+b))
	}
	return list
}

// wayOut lets the containers of a network out. Some releases of 28 have two rules for this, one
// of them for traffic within the network.
func (l *Layout) wayOut(chain string, n *Network, k Kind) []Expected {
	b := n.Bridge
	if k.ICC {
		e := filter(chain, fmt.Sprintf("-i %s -j ACCEPT", b), 0, "it lets the containers of "+b+" out")
		e.Forms = [][]string{{fmt.Sprintf("-i %s ! -o %[1]s -j ACCEPT", b), fmt.Sprintf("-i %s -o %[1]s -j ACCEPT", b)}}
		return []Expected{e}
	}
	return []Expected{iccRule(chain, b, k),
		filter(chain, fmt.Sprintf("-i %s ! -o %[1]s -j ACCEPT", b), 0, "it lets the containers of "+b+" out")}
}

// forwardRules are the rules of engines with DOCKER-FORWARD.
func (l *Layout) forwardRules(n *Network, k Kind) []Expected {
	b := n.Bridge
	list := []Expected{
		filter(chainCT, fmt.Sprintf("-o %s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", b), 0, "it accepts replies to the containers of "+b),
		filter(chainBridge, fmt.Sprintf("-o %s -j DOCKER", b), 0, "it jumps to the rules for the published ports of "+b)}
	list = append(list, l.wayOut(chainForward, n, k)...)
	return append(list, l.endOfDocker(n, k)...)
}

// stageRules isolate a network from others. Since 28, packets routed into a routed network pass,
// and so do the replies.
func (l *Layout) stageRules(n *Network, k Kind) []Expected {
	b := n.Bridge
	list := []Expected{
		filter(chainStage1, fmt.Sprintf("-i %s ! -o %[1]s -j DOCKER-ISOLATION-STAGE-2", b), 0, "it keeps the containers of "+b+" out of other networks"),
		filter(chainStage2, fmt.Sprintf("-o %s -j DROP", b), 1, "it keeps other networks out of "+b)}
	if k.Mode == GatewayRouted {
		routed := []Expected{
			filter(chainStage1, fmt.Sprintf("-o %s -j RETURN", b), 1, "it lets other networks reach the published ports of "+b),
			filter(chainStage1, fmt.Sprintf("-i %s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", b), 1, "it lets replies from "+b+" into other networks")}
		if l.Engine != Classic || l.find(routed[0]) != nil || l.find(routed[1]) != nil {
			list = append(list, routed...)
		}
	}
	return list
}

// internalRules isolate an internal network.
func (l *Layout) internalRules(n *Network, k Kind) []Expected {
	b, chain, forward := n.Bridge, chainInternal, chainForward
	if l.Engine != Docker29 {
		chain = chainStage1
	}
	if !l.Engine.forwards() {
		forward = "FORWARD"
	}
	var list []Expected
	for _, s := range subnets(n) {
		out, in := fmt.Sprintf("! -s %s -o %s -j DROP", s, b), fmt.Sprintf("! -d %s -i %s -j DROP", s, b)
		four := [2]string{out, in} // older engines use them for IPv6 as well
		if l.Tables.Family == packet.IPv6 {
			out, in = fmt.Sprintf("! -s %s ! -i %s -o %[2]s -j DROP", s, b), fmt.Sprintf("! -d %s -i %s ! -o %[2]s -j DROP", s, b)
		}
		shut := []Expected{filter(chain, out, 1, "it keeps everybody else out of the internal network "+b),
			filter(chain, in, 1, "it keeps the containers of the internal network "+b+" in")}
		if l.Engine == Classic {
			shut[0].Forms, shut[1].Forms = [][]string{{four[0]}}, [][]string{{four[1]}}
		}
		list = append(list, shut...)
	}
	return append(list, iccRule(forward, b, k))
}

// unknownSubnet stands for a subnet that is not known: it equals no rule's.
const unknownSubnet = "SUBNET"

func subnets(n *Network) []string {
	if len(n.Subnets) == 0 {
		return []string{unknownSubnet}
	}
	var list []string
	for _, s := range n.Subnets {
		list = append(list, s.String())
	}
	return list
}

// natRules give a network's packets an address of the host, and leave its containers' connections
// to the host's own ports to docker-proxy.
func (l *Layout) natRules(n *Network, k Kind) []Expected {
	var list []Expected
	b, target := n.Bridge, "MASQUERADE"
	if k.SNAT.IsValid() {
		target = "SNAT --to-source " + k.SNAT.String()
	}
	if k.Masquerade {
		for _, s := range subnets(n) {
			list = append(list, nat("POSTROUTING", fmt.Sprintf("-s %s ! -o %s -j %s", s, b, target), 0, "it gives the containers of "+b+" the host's address on their way out"))
		}
	}
	if l.options.hairpin {
		list = append(list, nat("POSTROUTING", fmt.Sprintf("-o %s -m addrtype --src-type LOCAL -j %s", b, target), 0, "it lets the host itself use the published ports of "+b))
	}
	if l.Engine != Docker29 && !l.options.hairpin && (k.Mode == GatewayRouted || k.Masquerade) {
		list = append(list, nat(chainDocker, fmt.Sprintf("-i %s -j RETURN", b), 1, "it leaves the containers of "+b+" to docker-proxy"))
	}
	return list
}

// portRules are the rules of a network's published ports and containers.
func (l *Layout) portRules(n *Network, k Kind) []Expected {
	var list []Expected
	done := map[string]bool{}
	add := func(e Expected) {
		if id := key(e.Table, e.Chain, e.Rule); !done[id] {
			done[id] = true
			list = append(list, e)
		}
	}
	for _, p := range l.Published {
		if p.Bridge != n.Bridge {
			continue
		}
		switch {
		case k.Mode == GatewayRouted:
		case p.Said:
			add(l.dnatRule(p))
		case p.Port == 0:
			add(Expected{Table: "nat", Chain: chainDocker, Rule: "-p " + p.Protocol + " -j DNAT --to-destination " + p.To.String(), Why: "it sends clients to " + p.name(), Untold: true})
		}
		if k.Mode != GatewayUnprotected {
			add(l.acceptRule(p))
		}
		if k.Mode == GatewayRouted || l.Tables.Nat == nil {
			continue
		}
		if l.Engine == Classic || l.options.hairpin {
			add(nat("POSTROUTING", fmt.Sprintf("-s %s -d %[1]s -p %s -m %[2]s --dport %d -j MASQUERADE", host(p.To.Addr()), p.Protocol, p.To.Port()), 0,
				"it lets the container "+p.To.Addr().String()+" reach its own published port"))
		}
	}
	if l.Engine != Classic && l.Tables.Raw != nil {
		for _, e := range l.rawRules(n, k) {
			add(e)
		}
	}
	return list
}

// dnatRule sends packets for a published port to its container. Since 27, IPv6 excludes
// link-local sources.
func (l *Layout) dnatRule(p *Published) Expected {
	const linkLocal = "! -s fe80::/10 "
	rule := fmt.Sprintf("-p %s -m %[1]s --dport %d -j DNAT --to-destination %s", p.Protocol, p.Port, p.To)
	if !l.options.hairpin {
		rule = "! -i " + p.Bridge + " " + rule
	}
	if p.Address.IsValid() {
		rule = "-d " + host(p.Address) + " " + rule
	}
	e := nat(chainDocker, rule, 0, "it sends clients of "+p.name()+" to its container")
	if l.Tables.Family == packet.IPv6 {
		e.Rule, e.Forms = linkLocal+rule, [][]string{{rule}}
	}
	return e
}

// acceptRule accepts the rewritten packets of a published port.
func (l *Layout) acceptRule(p *Published) Expected {
	return filter(chainDocker, fmt.Sprintf("-d %s ! -i %s -o %[2]s -p %s -m %[3]s --dport %d -j ACCEPT", host(p.To.Addr()), p.Bridge, p.Protocol, p.To.Port()), 1,
		"it accepts packets to "+p.name())
}

// rawRules drop packets to containers' own addresses, and packets to loopback ports from
// elsewhere. A daemon may be configured to add neither, so they are only expected if some of them
// exist. The first releases of 28 had one for each port.
func (l *Layout) rawRules(n *Network, k Kind) []Expected {
	var list []Expected
	raw := func(rule, why string, forms ...[]string) {
		list = append(list, Expected{Table: "raw", Chain: "PREROUTING", Rule: rule, Why: why, Forms: forms})
	}
	direct := func(a netip.Addr, forms ...[]string) {
		raw(fmt.Sprintf("-d %s ! -i %s -j DROP", host(a), n.Bridge), fmt.Sprintf("it keeps others from reaching the container %s by its own address", a), forms...)
	}
	seen := map[netip.Addr]bool{}
	for _, p := range l.Published {
		if p.Bridge != n.Bridge {
			continue
		}
		if a := p.To.Addr(); k.Mode == GatewayNAT && l.options.direct && !seen[a] {
			seen[a] = true
			direct(a, l.rawPorts(n, a))
		}
		if l.options.raw && p.Address.IsLoopback() && p.Address.Is4() && p.Port > 0 {
			raw(fmt.Sprintf("-d %s ! -i lo -p %s -m %[2]s --dport %d -j DROP", host(p.Address), p.Protocol, p.Port),
				"it keeps others from reaching "+p.name()+", which is only published on the loopback address")
		}
	}
	for _, a := range n.Members {
		if k.Mode == GatewayNAT && l.options.direct && l.Engine.forwards() && !seen[a] {
			direct(a, l.rawPorts(n, a))
		}
	}
	return list
}

// rawPorts are the rules for a container in the first releases of 28.
func (l *Layout) rawPorts(n *Network, a netip.Addr) []string {
	var list []string
	for _, p := range l.Published {
		if p.To.Addr() == a {
			list = append(list, fmt.Sprintf("-d %s ! -i %s -p %s -m %[3]s --dport %d -j DROP", host(a), n.Bridge, p.Protocol, p.To.Port()))
		}
	}
	return list
}
