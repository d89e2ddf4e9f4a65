package exposure

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"go4.org/netipx"
)

// nftNames are the destinations and ports that the rules of a ruleset compare with.
type nftNames struct {
	addresses []netip.Prefix
	ports     [][2]int
}

// nftNamed collects what the rules of a ruleset name for a family; nothing without one.
func (f *family) nftNamed() *nftNames {
	n := &nftNames{}
	file := f.Layout.Tables.NFT
	if file == nil {
		return n
	}
	for _, t := range file.Tables {
		switch {
		case t.Family == nftables.IP && f.Family == packet.IPv4, t.Family == nftables.IP6 && f.Family == packet.IPv6, t.Family == nftables.Inet:
			for _, c := range t.Chains {
				for _, r := range c.Rules {
					n.rule(t, r, f.Family)
				}
			}
		}
	}
	return n
}

func (n *nftNames) rule(t *nftables.Table, r *nftables.Rule, f packet.Family) {
	for _, s := range r.Statements {
		switch s := s.(type) {
		case *nftables.Match:
			n.compared(t, &s.Left, &s.Right, f)
		case *nftables.Lookup:
			n.compared(t, &s.Key, &s.Map, f)
		}
	}
}

// compared adds what the parts of a key are compared with.
func (n *nftNames) compared(t *nftables.Table, left, right *nftables.Expr, f packet.Family) {
	parts, elements := []nftables.Expr{*left}, []nftables.Element{{Key: *right}}
	if left.Kind == nftables.Concat {
		parts = left.Args
	}
	switch right.Kind {
	case nftables.Literal:
		elements = right.Set
	case nftables.Named:
		elements = nil
		if s := t.Set(right.Text); s != nil {
			elements = s.Elements
		}
	}
	for i, p := range parts {
		for j := range elements {
			key := &elements[j].Key
			if key.Kind == nftables.Concat {
				if i >= len(key.Args) {
					continue
				}
				key = &key.Args[i]
			}
			n.value(p.Text, key, f)
		}
	}
}

func (n *nftNames) value(selector string, e *nftables.Expr, f packet.Family) {
	first, last := e, e
	if e.Kind == nftables.Range && len(e.Args) == 2 {
		first, last = &e.Args[0], &e.Args[1]
	}
	switch {
	case strings.HasSuffix(selector, "daddr"):
		a, err := netip.ParseAddr(first.Text)
		b, err2 := netip.ParseAddr(last.Text)
		if err != nil || err2 != nil || a.Is4() != (f == packet.IPv4) {
			return
		}
		if e.Kind == nftables.Prefix {
			n.addresses = append(n.addresses, netip.PrefixFrom(a, int(e.Bits)).Masked())
			return
		}
		n.addresses = append(n.addresses, netipx.IPRangeFrom(a, b).Prefixes()...)
	case strings.HasSuffix(selector, "dport"), strings.HasSuffix(selector, "proto-dst"):
		a, err := strconv.Atoi(first.Text)
		b, err2 := strconv.Atoi(last.Text)
		if err == nil && err2 == nil && a <= b && b <= maxPort {
			n.ports = append(n.ports, [2]int{a, b})
		}
	}
}

// sentByTables notes the rules of other tables that send packets to containers, or to published
// ports of the host.
func (r *reader) sentByTables(f *family) {
	for _, b := range f.Tables.NFT.Tables {
		if b.Dockers() || b.Family == nftables.IP && f.Family != packet.IPv4 || b.Family == nftables.IP6 && f.Family != packet.IPv6 {
			continue
		}
		for _, c := range b.Chains {
			for _, rule := range c.Rules {
				d, ok := rule.Destination()
				if !ok {
					continue
				}
				if to := r.destination(f, d.Host, d.Address, d.Port); to != "" {
					r.note("a rule that is not Docker's sends %v packets to %s; anything it opens apart from Docker's ports is not listed: %s %s %s %s", f.Family, to, b.Family, b.Name, c.Name, rule)
				}
			}
		}
	}
}
