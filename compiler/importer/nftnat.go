package importer

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
)

// nat reads Docker's rules that rewrite, of its own back end or of iptables. Everything
// else in prerouting that may change a packet's destination makes it inexact.
func (x *nftRules) nat() *natTable {
	n := &natTable{}
	var ports []*docker.Port
	sources := map[*nftables.Table]bool{}
	rewrites := 0
	for _, b := range x.all.At("prerouting") {
		n.known = n.known || b.Hook.Type == "nat"
		w := &natWalk{table: b.Table, nat: b.Hook.Type == "nat", seen: map[*nftables.Chain]bool{}}
		w.chain(b.Chain)
		rewrites += w.rewrites
		if len(w.ports) > 0 {
			sources[b.Table] = true
		}
		if !b.Table.Dockers() {
			ports = append(ports, w.ports...)
		}
	}
	if len(sources) > 1 {
		rewrites++ // which comes first is not looked at
	}
	ports = append(ports, docker.Look(docker.TablesOfNFT(x.chain.NFT, x.chain.Family)).Ports()...)
	n.fill(ports, rewrites)
	n.exact = n.exact && n.known
	return n
}

// natWalk walks a base chain of prerouting.
type natWalk struct {
	table    *nftables.Table
	nat      bool
	seen     map[*nftables.Chain]bool
	rewrites int // a rule that is not plainly of Docker's form counts twice
	ports    []*docker.Port
}

func (w *natWalk) chain(c *nftables.Chain) {
	if c == nil || w.seen[c] {
		return
	}
	w.seen[c] = true
	for _, r := range c.Rules {
		w.rule(c, r)
	}
}

func (w *natWalk) rule(c *nftables.Chain, r *nftables.Rule) {
	plain := true // but for "fib daddr type local", it has no condition
	for _, s := range r.Statements {
		switch s := s.(type) {
		case *nftables.Note:
		case *nftables.Verdict:
			w.leads(s, plain)
		case *nftables.Match:
			plain = plain && s.Left.Text == "fib daddr type" && s.Op != "!=" && s.Right.Text == "local"
		case *nftables.Lookup:
			for _, v := range (nftables.Stands{Table: w.table, Chain: c, Rule: &nftables.Rule{Statements: []nftables.Statement{s}}}).Verdicts() {
				w.leads(v, false)
			}
		case *nftables.Foreign:
			w.foreign(c, r)
		case *nftables.Assign:
			if to, _, _ := strings.Cut(s.Left.Text, " "); to != "meta" && to != "ct" && to != "mark" {
				w.rewrites += 2
			}
		}
	}
}

// leads follows a jump. In a chain of type nat it must lead all packets to the host's
// addresses.
func (w *natWalk) leads(v *nftables.Verdict, plain bool) {
	if v.Kind != nftables.Jump && v.Kind != nftables.Goto {
		return
	}
	before := w.rewrites
	w.chain(w.table.Chain(v.Chain))
	if !plain && w.rewrites > before {
		w.rewrites++
	}
}

func (w *natWalk) foreign(c *nftables.Chain, r *nftables.Rule) {
	p, ok := dnatOf(r)
	home := w.table.Dockers() && c.Name == "nat-prerouting-and-output" || w.table.IPTables() && (c.Name == "DOCKER" || c.Name == "DOCKER-INGRESS")
	if !ok || !home || !w.nat {
		w.rewrites += 2
		return
	}
	if c.Name == "DOCKER-INGRESS" {
		p.Opened = docker.Swarm
	}
	w.rewrites++
	w.ports = append(w.ports, p)
}

// dnatOf reads a rule of the form that Docker's have: [iifname != BRIDGE] [ip daddr
// ADDRESS] tcp dport PORT dnat to CONTAINER:PORT.
func dnatOf(r *nftables.Rule) (*docker.Port, bool) {
	d, ok := r.Destination()
	p := &docker.Port{Published: docker.Published{To: netip.AddrPortFrom(d.Address, uint16(d.Port))}}
	ok = ok && !d.Host && d.Address.IsValid() && d.Port > 0
	for i, s := range r.Statements {
		switch s := s.(type) {
		case *nftables.Note:
		case *nftables.Match:
			ok = ok && dnatMatch(p, s)
		case *nftables.Foreign:
			ok = ok && i == len(r.Statements)-1
		default:
			ok = false
		}
	}
	return p, ok && p.Port > 0
}

func dnatMatch(p *docker.Port, m *nftables.Match) bool {
	name, text, not := m.Left.Text, m.Right.Text, m.Op == "!="
	if m.Op != "" && m.Op != "==" && !not || m.Left.Kind != nftables.Selector {
		return false
	}
	switch {
	case name == "ip6 saddr" && not && m.Right.Kind == nftables.Prefix && text == "fe80::":
		return true // Docker excludes link-local sources
	case m.Right.Kind != nftables.Value:
		return false
	case name == "iifname" && not:
		p.Bridge, p.Proxied = text, true
		return !strings.HasSuffix(text, "*")
	case not:
		return false
	case name == "ip daddr", name == "ip6 daddr":
		var err error
		p.Address, err = netip.ParseAddr(text)
		return err == nil
	case name == "meta l4proto", name == "ip protocol":
		_, ok := packet.ParseProtocol(text)
		return ok && (p.Protocol == "" || p.Protocol == text)
	case slices.Contains([]string{"tcp dport", "udp dport", "sctp dport"}, name):
		port, err := strconv.ParseUint(text, 10, 16)
		p.Protocol, p.Port = strings.TrimSuffix(name, " dport"), int(port)
		return err == nil
	}
	return false
}
