package docker

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
)

// Names in the tables of Docker's nftables back end. The chains of a bridge end in its name.
const (
	tableBridges  = "docker-bridges"
	chainIn       = "filter-forward-in__"
	chainOut      = "filter-forward-out__"
	chainNatIn    = "nat-postrouting-in__"
	chainNatOut   = "nat-postrouting-out__"
	chainNatPorts = "nat-prerouting-and-output"
	chainRaw      = "raw-PREROUTING"
)

// bridgesTable is Docker's table of a family.
type bridgesTable struct {
	*nftables.Table
	// direct reports whether any family drops packets to containers' own addresses.
	direct bool
}

// rule is what one of Docker's rules has.
type rule struct {
	in, notIn, out, notOut string
	source, dest           netip.Prefix
	protocol               string
	port                   int
	established, icmp      bool
	verdict                string // accept, drop, jump CHAIN, masquerade or snat
	to                     netip.AddrPort
	other                  bool // it has a match beyond these
}

// only reports whether a rule matches every packet.
func (r rule) only() bool {
	return r.in+r.notIn+r.out+r.notOut+r.protocol == "" && !r.source.IsValid() && !r.dest.IsValid() && !r.established && !r.icmp && !r.other
}

// ruleOf reads one of Docker's rules.
func ruleOf(r *nftables.Rule) rule {
	x := rule{}
	if d, ok := r.Destination(); ok && d.Address.IsValid() {
		x.to = netip.AddrPortFrom(d.Address, uint16(d.Port))
	}
	for _, s := range r.Statements {
		switch s := s.(type) {
		case *nftables.Match:
			x.match(s)
		case *nftables.Verdict:
			x.verdict = [...]string{"accept", "drop", "return", "continue", "jump " + s.Chain, "goto " + s.Chain}[s.Kind]
		case *nftables.Foreign:
			x.verdict, _, _ = strings.Cut(s.Text, " ")
		}
	}
	return x
}

func (r *rule) match(m *nftables.Match) {
	not := m.Op == "!="
	text := m.Right.Text
	switch name := m.Left.Text; {
	case name == "iifname" && not:
		r.notIn = text
	case name == "iifname":
		r.in = text
	case name == "oifname" && not:
		r.notOut = text
	case name == "oifname":
		r.out = text
	case (name == "ip saddr" || name == "ip6 saddr") && not && text == "fe80::":
		// Docker excludes link-local sources
	case (name == "ip saddr" || name == "ip6 saddr") && !not:
		r.source = prefixOf(&m.Right)
	case (name == "ip daddr" || name == "ip6 daddr") && !not:
		r.dest = prefixOf(&m.Right)
	case strings.HasSuffix(name, " dport") && !not:
		port, err := strconv.Atoi(text)
		r.protocol, r.port, r.other = strings.TrimSuffix(name, " dport"), port, r.other || err != nil
	case name == "ct state" && !not:
		r.established = true
	case (name == "ip protocol" || name == "meta l4proto" || name == "ip6 nexthdr") && strings.Contains(text, "icmp"):
		r.icmp = true
	default:
		r.other = true
	}
}

func prefixOf(e *nftables.Expr) netip.Prefix {
	a, err := netip.ParseAddr(e.Text)
	if err != nil {
		return netip.Prefix{}
	}
	if e.Kind == nftables.Prefix {
		return netip.PrefixFrom(a, int(e.Bits))
	}
	return netip.PrefixFrom(a, a.BitLen())
}

// docksOf is Docker's table of a family, or nil.
func docksOf(f *nftables.File, family packet.Family) *nftables.Table {
	name := nftables.IP
	if family == packet.IPv6 {
		name = nftables.IP6
	}
	return f.Table(name, tableBridges)
}

// nftables reads the table of Docker's nftables back end.
func (l *Layout) nftables() {
	l.Engine = NoEngine
	t := docksOf(l.Tables.NFT, l.Tables.Family)
	if t == nil {
		return
	}
	l.Engine, l.nft = NFTables29, &bridgesTable{Table: t}
	for _, f := range packet.Families {
		eachNFT(docksOf(l.Tables.NFT, f), chainRaw, func(r rule) { l.nft.direct = l.nft.direct || r.notIn != "" && r.notIn != "lo" && r.protocol == "" })
	}
	for _, bridge := range l.nft.bridges() {
		n := l.nftNetwork(bridge)
		if n.Kind.Mode == GatewayNone {
			l.Internal = append(l.Internal, n)
		} else {
			l.Networks = append(l.Networks, n)
		}
	}
	for _, p := range l.nftPorts() {
		if p.Opened != Unprotected {
			l.Published = append(l.Published, &p.Published)
		}
	}
}

// eachNFT calls f for the rules of a chain, which may be missing.
func eachNFT(t *nftables.Table, chain string, f func(rule)) {
	if t == nil {
		return
	}
	if c := t.Chain(chain); c != nil {
		for _, r := range c.Rules {
			f(ruleOf(r))
		}
	}
}

// bridges are the bridges that chains, maps and rules of the table name.
func (t *bridgesTable) bridges() []string {
	var list []string
	add := func(name string) {
		if name != "" && name != "lo" && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	for _, c := range t.Chains {
		for _, prefix := range []string{chainIn, chainOut, chainNatIn, chainNatOut} {
			if name, ok := strings.CutPrefix(c.Name, prefix); ok {
				add(name)
			}
		}
	}
	for _, m := range t.Sets {
		for _, e := range m.Elements {
			if e.Verdict != nil && strings.Contains(e.Verdict.Chain, "__") {
				add(e.Key.Text)
			}
		}
	}
	slices.Sort(list)
	return list
}

// nftNetwork is the network of a bridge, with its kind as the rules of its chains show it.
func (l *Layout) nftNetwork(bridge string) *Network {
	n := &Network{Bridge: bridge, Kind: Kind{ICC: true}}
	eachNFT(l.nft.Table, chainIn+bridge, func(r rule) {
		switch {
		case r.icmp && r.verdict == "accept":
			n.Kind.Mode = GatewayRouted
		case r.notIn == bridge && r.verdict == "drop":
			n.Kind.Mode = GatewayNone
		case r.only() && r.verdict == "accept" && n.Kind.Mode == GatewayNAT:
			n.Kind.Mode = GatewayUnprotected
		case r.in == bridge && r.verdict == "drop" && !r.dest.IsValid():
			n.Kind.ICC = false
		}
	})
	eachNFT(l.nft.Table, chainOut+bridge, func(r rule) {
		if r.notOut == bridge && r.verdict == "drop" {
			n.Kind.Mode = GatewayNone
		}
	})
	eachNFT(l.nft.Table, chainNatOut+bridge, func(r rule) {
		if (r.verdict == "masquerade" || r.verdict == "snat") && r.source.IsValid() {
			n.Kind.Masquerade = true
			n.Subnets = append(n.Subnets, r.source)
		}
	})
	if n.Kind.Mode == GatewayNAT && !n.Kind.Masquerade && l.opensDirectly(bridge) {
		n.Kind.Mode = GatewayRouted // without its rule about ICMP
	}
	if l.Tables.Known != nil {
		for _, k := range l.Tables.Known.Networks {
			if k.Bridge == bridge {
				k.fill(n, l.Tables.Family == packet.IPv6, Docker29)
				if len(n.kinds) > 0 {
					n.Kind = n.kinds[0]
				}
			}
		}
	}
	return n
}

// opensDirectly reports whether a bridge has rules that accept packets to published ports, and
// none that rewrites to them or closes its containers' own addresses.
func (l *Layout) opensDirectly(bridge string) bool {
	open, closed := false, false
	eachNFT(l.nft.Table, chainIn+bridge, func(r rule) { open = open || r.verdict == "accept" && r.dest.IsSingleIP() })
	eachNFT(l.nft.Table, chainNatPorts, func(r rule) { closed = closed || r.notIn == bridge })
	eachNFT(l.nft.Table, chainRaw, func(r rule) { closed = closed || r.notIn == bridge })
	return open && !closed
}

// nftPorts are the ports that Docker opens: those that it rewrites, and those that the chain
// of a bridge accepts without that.
func (l *Layout) nftPorts() []*Port {
	var list []*Port
	eachNFT(l.nft.Table, chainNatPorts, func(r rule) {
		if !r.to.IsValid() || r.port == 0 {
			return
		}
		p := &Port{Published: Published{Protocol: r.protocol, Port: r.port, To: r.to, Bridge: r.notIn, Proxied: r.notIn != ""}}
		if r.dest.IsSingleIP() {
			p.Address = r.dest.Addr()
		}
		if p.Bridge == "" {
			p.Bridge = leadsTo(l.nftRoutes(), p.To.Addr())
		}
		list = append(list, p)
	})
	for _, bridge := range l.nft.bridges() {
		eachNFT(l.nft.Table, chainIn+bridge, func(r rule) {
			to := netip.AddrPortFrom(r.dest.Addr(), uint16(r.port))
			switch {
			case r.verdict != "accept":
			case r.dest.IsSingleIP() && r.port > 0:
				if !slices.ContainsFunc(list, func(q *Port) bool { return q.To == to && q.Protocol == r.protocol }) {
					list = append(list, &Port{Published{Protocol: r.protocol, Bridge: bridge, To: to}, Routed})
				}
			case r.only() && slices.ContainsFunc(l.Networks, func(n *Network) bool { return n.Bridge == bridge && n.Kind.Mode == GatewayUnprotected }):
				list = append(list, &Port{Published{Bridge: bridge}, Unprotected})
			}
		})
	}
	return list
}

// nftRoutes are the networks behind bridges, from every rule that names both.
func (l *Layout) nftRoutes() []Route {
	var list []Route
	add := func(to netip.Prefix, bridge string) {
		if x := (Route{to, bridge}); to.IsValid() && bridge != "" && bridge != "lo" && !slices.Contains(list, x) {
			list = append(list, x)
		}
	}
	for _, bridge := range l.nft.bridges() {
		eachNFT(l.nft.Table, chainNatOut+bridge, func(r rule) { add(r.source, bridge) })
		eachNFT(l.nft.Table, chainIn+bridge, func(r rule) { add(r.dest, bridge) })
	}
	eachNFT(l.nft.Table, chainNatPorts, func(r rule) {
		if r.to.IsValid() {
			add(netip.PrefixFrom(r.to.Addr(), r.to.Addr().BitLen()), r.notIn)
		}
	})
	eachNFT(l.nft.Table, chainRaw, func(r rule) {
		if r.protocol == "" {
			add(r.dest, r.notIn)
		}
	})
	return list
}

// OnIPTables reports whether a ruleset has Docker's rules of iptables-nft, and no tables of its
// nftables back end.
func OnIPTables(f *nftables.File) bool {
	found := false
	for _, t := range f.Tables {
		if t.Dockers() {
			return false
		}
		kept := (t.Family == nftables.IP || t.Family == nftables.IP6) && (t.Name == "filter" || t.Name == "nat")
		found = found || kept && t.Chain(chainDocker) != nil
	}
	return found
}
