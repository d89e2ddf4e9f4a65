package lower

import (
	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/schema"
)

// fewOwnPorts are written into a rule, more as a named set.
const fewOwnPorts = 8

// nftInvalid ends what comes from outside to the host itself: INVALID packets to ports
// that policies name are dropped (see invalid.go). Every other packet meets one rule.
func (n *nft) nftInvalid(c *nftables.Chain, groups []group) {
	var rules []*nftables.Rule
	for i := range groups {
		var match []nftables.Statement
		if !n.one(groups) {
			match = interfaces("iifname", groups[i].interfaces)
		}
		for _, protocol := range protocols {
			for _, own := range n.ownPorts(groups[i].cells[protocol]) {
				rules = append(rules, n.invalidRules(match, protocol, own, groups[i].name)...)
			}
		}
	}
	invalid := is("ct state", nftables.Const("invalid"))
	if len(rules) == 1 {
		rules[0].Statements = append([]nftables.Statement{invalid}, rules[0].Statements...)
		c.Rules = append(c.Rules, n.origin("invalid", rules[0]))
		return
	}
	chain := n.chain("input_invalid")
	chain.Notes = []string{invalidRemark}
	for _, r := range rules {
		chain.Rules = append(chain.Rules, n.origin("invalid", r))
	}
	c.Rules = append(c.Rules, n.origin("invalid", rule(invalid, goTo(chain.Name))))
}

// ownPorts are ports of one protocol that policies name for the same addresses.
type ownPorts struct {
	ports  []nftables.Element
	v4, v6 address.Set
}

// ownPorts sorts cells by the addresses that any of their policies is about.
func (n *nft) ownPorts(cells []cell) []*ownPorts {
	var list []*ownPorts
	known, last := map[string]*ownPorts{}, map[string]cell{}
	for _, c := range cells {
		var x ownPorts
		for _, p := range c.policies {
			x.v4, x.v6 = address.Union(x.v4, n.resolve.Of(p.AddressSet)), address.Union(x.v6, n.v6.resolve.Of(p.AddressSet))
		}
		key := addressKey(x.v4) + "|" + addressKey(x.v6)
		own := known[key]
		if own == nil {
			own = &x
			known[key] = own
			list = append(list, own)
		} else if before := last[key]; before.last+1 == c.first { // one range
			c.first = before.first
			own.ports = own.ports[:len(own.ports)-1]
		}
		own.ports = append(own.ports, nftables.Element{Key: portsExpr(c)})
		last[key] = c
	}
	return list
}

// invalidRules drop packets to some ports, by their own destination.
func (n *nft) invalidRules(match []nftables.Statement, protocol schema.Protocol, own *ownPorts, group string) []*nftables.Rule {
	selector := protocol.String() + " dport"
	to := nftables.Expr{Kind: nftables.Literal, Set: own.ports}
	switch {
	case len(own.ports) == 1:
		to = own.ports[0].Key
	case len(own.ports) > fewOwnPorts:
		s := &nftables.Set{Name: n.free("invalid_" + protocol.String() + group), Typeof: true, Key: []string{"th dport"}, Elements: own.ports, Flags: intervals(own.ports)}
		n.table.Sets = append(n.table.Sets, s)
		to = nftables.Ref(s.Name)
	}
	match = append(match[:len(match):len(match)], is(selector, to))
	if n.everybody(own.v4, own.v6) {
		return []*nftables.Rule{rule(append(match, drop)...)}
	}
	var rules []*nftables.Rule
	for _, l := range []*lowering{n.lowering, n.v6} {
		set := own.v4
		if l == n.v6 {
			set = own.v6
		}
		if address.Empty(set) {
			continue
		}
		for _, to := range n.lookups(l, selectorOf(l, "daddr"), "invalid_"+protocol.String()+"/address", set, l.resolve.Every()) {
			rules = append(rules, rule(append(append(match[:len(match):len(match)], to...), drop)...))
		}
	}
	return rules
}
