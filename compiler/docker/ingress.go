package docker

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/seawall/seawall/compiler/iptables"
)

// swarm reports whether the host has rules of Swarm's ingress network.
func (l *Layout) swarm() bool {
	for _, table := range []string{"filter", "nat"} {
		t := l.Tables.table(table)
		if t.Chain(chainIngress) != nil || jumpsTo(t, "FORWARD", chainIngress) || jumpsTo(t, chainForward, chainIngress) || jumpsTo(t, "PREROUTING", chainIngress) {
			return true
		}
	}
	return false
}

// ingress are the rules of Swarm's ingress network: the jumps, and for each port one DNAT rule
// and two that accept. They do not depend on a kind of network.
func (l *Layout) ingress() []Expected {
	from, at := "FORWARD", 2
	if l.Engine.forwards() && !l.there[key("filter", "FORWARD", "-j "+chainIngress)] {
		from, at = chainForward, 1
	}
	list := []Expected{filter(from, "-j "+chainIngress, at, "it jumps to the rules for Swarm's published ports")}
	if l.Tables.Nat == nil {
		return list
	}
	const jump = "-m addrtype --dst-type LOCAL -j " + chainIngress
	list = append(list, nat("PREROUTING", jump, 1, "it jumps to the DNAT rules of Swarm's published ports"),
		nat("OUTPUT", jump, 1, "it lets the host itself use Swarm's published ports"))
	if jumpsTo(l.Tables.Nat, chainIngress, "DNAT") {
		list = append(list, nat("POSTROUTING", "-o docker_gwbridge -m addrtype --src-type LOCAL -j MASQUERADE", 0, "it lets the host itself use Swarm's published ports"))
	}
	for _, p := range l.ingressPorts() {
		list = append(list, p.rules()...)
	}
	return list
}

// ingressPort is a port that Swarm publishes on its ingress network.
type ingressPort struct {
	protocol string
	port     int
	to       netip.Addr // the ingress network's address on docker_gwbridge, the zero Addr if no rule has it
	there    bool       // its DNAT rule exists
}

// ingressPorts are the ports of the DNAT rules and of those that accept; all are rewritten to one
// address.
func (l *Layout) ingressPorts() []*ingressPort {
	var list []*ingressPort
	var to netip.Addr
	each(l.Tables.Nat, chainIngress, func(r *iptables.Rule) {
		if p, ok := dnat(r); ok {
			to = p.To.Addr()
			list = append(list, &ingressPort{p.Protocol, p.Port, to, true})
		}
	})
	each(l.Tables.Filter, chainIngress, func(r *iptables.Rule) {
		port, ok := dport(r.Body)
		same := func(p *ingressPort) bool { return p.port == port && p.protocol == r.Protocol.Name }
		if ok && r.Target.Name == "ACCEPT" && !slices.ContainsFunc(list, same) {
			list = append(list, &ingressPort{r.Protocol.Name, port, to, false})
		}
	})
	return list
}

func (p *ingressPort) rules() []Expected {
	of := fmt.Sprintf("Swarm's published port %d/%s", p.port, p.protocol)
	in := filter(chainIngress, fmt.Sprintf("-p %s -m %[1]s --dport %d -j ACCEPT", p.protocol, p.port), 1, "it accepts packets to "+of)
	back := filter(chainIngress, fmt.Sprintf("-p %s -m %[1]s --sport %d -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", p.protocol, p.port), 1, "it accepts replies from "+of)
	back.Forms = [][]string{{fmt.Sprintf("-p %s -m conntrack --ctstate RELATED,ESTABLISHED -m %[1]s --sport %d -j ACCEPT", p.protocol, p.port)},
		{fmt.Sprintf("-p %s -m state --state RELATED,ESTABLISHED -m %[1]s --sport %d -j ACCEPT", p.protocol, p.port)}}
	list := []Expected{in, back}
	if !p.there {
		to := nat(chainIngress, fmt.Sprintf("-p %s -m %[1]s --dport %d -j DNAT --to-destination %s:%[2]d", p.protocol, p.port, p.to), 1, "it sends packets to "+of+" to the ingress network")
		to.Untold = !p.to.IsValid()
		list = append(list, to)
	}
	return list
}
