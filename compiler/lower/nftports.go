package lower

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/schema"
)

const (
	// fewPorts are written as rules: each costs a packet some 90 ns, and a lookup in a
	// map 120 whatever its size (NETFILTER.md section 8).
	fewPorts = 3
	// wideRange is how many ports a range may have that is written out in a map: a map
	// of single ports is a hash, one with ranges a tree, which costs twice as much.
	wideRange = 512
	// fewAddresses of a policy are written as rules.
	fewAddresses = 3
)

// group is what happens on the interfaces on which the same policies are.
type group struct {
	interfaces []schema.Interface
	cells      map[schema.Protocol][]cell
	name       string // of its chain and its maps, with several groups
}

var protocols = []schema.Protocol{schema.TCP, schema.UDP, schema.SCTP}

// ports are the policies by interface, the narrow ones first; no groups when there
// are no policies.
func (n *nft) ports() []group {
	var groups []group
	index := map[string]int{}
	for _, in := range n.lowering.interfaces() {
		g := group{interfaces: []schema.Interface{in}, cells: map[schema.Protocol][]cell{}}
		for _, p := range protocols {
			if cells := n.cells(in, p); len(cells) > 0 {
				g.cells[p] = cells
			}
		}
		if len(g.cells) == 0 {
			continue
		}
		key := fmt.Sprint(g.cells)
		// A wide interface must not come before a narrower one of another group.
		if at, ok := index[key]; ok && !slices.ContainsFunc(groups[at+1:], func(g group) bool { return slices.ContainsFunc(g.interfaces, in.Covers) }) {
			groups[at].interfaces = append(groups[at].interfaces, in)
			continue
		}
		index[key] = len(groups)
		groups = append(groups, g)
	}
	if !n.one(groups) {
		for i := range groups {
			groups[i].name = "/" + interfaceWord(groups[i].interfaces[0])
		}
	}
	return groups
}

// one reports whether the same policies are on all external interfaces.
func (n *nft) one(groups []group) bool {
	return len(groups) == 1 && !slices.ContainsFunc(n.outside, func(o schema.Interface) bool {
		return !slices.ContainsFunc(groups[0].interfaces, func(i schema.Interface) bool { return i.Covers(o) })
	})
}

// interfaceWord is an interface as a part of a name.
func interfaceWord(i schema.Interface) string {
	switch {
	case i.Every():
		return "every"
	case i.Prefix:
		return i.Name + "/any"
	}
	return i.Name
}

// cells are the cells of both families, with neighbours of the same policies as one.
func (n *nft) cells(in schema.Interface, protocol schema.Protocol) []cell {
	var joined []cell
	for _, c := range n.cutPorts(in, protocol, func(*schema.Policy) bool { return true }, n.everywhere) {
		if k := len(joined) - 1; k >= 0 && joined[k].last+1 == c.first && slices.Equal(joined[k].policies, c.policies) {
			joined[k].last = c.last
			continue
		}
		joined = append(joined, c)
	}
	return joined
}

// everywhere reports whether a policy is about every address of the host.
func (n *nft) everywhere(p *schema.Policy) bool { return len(p.Address) == 0 || n.whole(p) }

func (n *nft) whole(p *schema.Policy) bool {
	return n.resolve.Of(p.AddressSet).Equal(n.resolve.Every()) && n.v6.resolve.Of(p.AddressSet).Equal(n.v6.resolve.Every())
}

// portRules adds the rules that send packets in original direction to the policies
// of their ports. What no policy names goes on to the next rule.
func (n *nft) portRules(c *nftables.Chain, groups []group) {
	if n.one(groups) {
		n.groupRules(c, &groups[0])
		return
	}
	for i := range groups {
		g := &groups[i]
		name := "ports" + g.name
		if _, made := n.chains[name]; !made {
			n.groupRules(n.chain(name), g)
		}
		add(c, append(interfaces("iifname", g.interfaces), jump(name))...)
	}
}

func (n *nft) groupRules(c *nftables.Chain, g *group) {
	for _, protocol := range protocols {
		cells := g.cells[protocol]
		if len(cells) == 0 {
			continue
		}
		var wide []cell
		var elements []nftables.Element
		if len(cells) > fewPorts {
			elements, wide = n.elements(cells)
		} else {
			wide = cells
		}
		if len(elements) > 0 {
			n.portLookup(c, protocol, g.name, "", elements)
		}
		if len(wide) <= fewPorts {
			for _, w := range wide {
				c.Rules = append(c.Rules, n.origin("policy "+w.policies[0].Name, rule(append(portMatch(protocol), is("ct original proto-dst", portsExpr(w)), n.lead(w.policies))...)))
			}
			continue
		}
		elements = nil
		for _, w := range wide {
			elements = append(elements, nftables.Element{Key: portsExpr(w), Verdict: n.lead(w.policies)})
		}
		n.portLookup(c, protocol, g.name, "/ranges", elements)
	}
}

// elements are the ports of cells one by one, and the cells that are too wide for that.
func (n *nft) elements(cells []cell) (list []nftables.Element, wide []cell) {
	for _, c := range cells {
		if int(c.last)-int(c.first) >= wideRange {
			wide = append(wide, c)
			continue
		}
		to := n.lead(c.policies)
		for p := int(c.first); p <= int(c.last); p++ {
			list = append(list, nftables.Element{Key: nftables.Const(strconv.Itoa(p)), Verdict: to})
		}
	}
	return list, wide
}

// portLookup adds a verdict map of ports, which both hooks share, and its rule.
func (n *nft) portLookup(c *nftables.Chain, protocol schema.Protocol, group, suffix string, elements []nftables.Element) {
	name := protocol.String() + "_ports" + suffix + group
	if !n.names[name] {
		n.names[name] = true
		m := &nftables.Set{Name: name, Map: true, Typeof: true, Key: []string{"th dport"}, Value: "verdict", Elements: elements,
			Notes: []string{fmt.Sprintf("published %s ports", protocol)}}
		if suffix != "" {
			m.Flags = []string{"interval"}
		}
		n.table.Sets = append(n.table.Sets, m)
	}
	lookup := &nftables.Lookup{Key: nftables.Select("ct original proto-dst"), Map: nftables.Ref(name)}
	c.Rules = append(c.Rules, rule(append(portMatch(protocol), lookup)...))
}

// portMatch binds a rule to packets of connections of a protocol, in their own
// direction. The protocol stands in the same rule as the port: nft 1.0.6 reads the
// port by it.
func portMatch(protocol schema.Protocol) []nftables.Statement {
	return []nftables.Statement{protocolIs(protocol.String()), direction("original")}
}

func portsExpr(c cell) nftables.Expr {
	first := nftables.Const(strconv.Itoa(int(c.first)))
	if c.first == c.last {
		return first
	}
	return nftables.Expr{Kind: nftables.Range, Args: []nftables.Expr{first, nftables.Const(strconv.Itoa(int(c.last)))}}
}

// lead is where packets to the ports of some policies go, of which those before the
// last are bound to addresses of the host.
func (n *nft) lead(policies []*schema.Policy) *nftables.Verdict {
	first := policies[0]
	if len(policies) == 1 && n.everywhere(first) {
		return goTo(n.policyChain(first))
	}
	last := policies[len(policies)-1]
	name, known := n.addressChain(policies)
	if !known {
		n.addresses(n.chain(name), name, policies)
	}
	if n.everywhere(last) {
		return goTo(name)
	}
	return jump(name)
}

// addressChain names the chain that decides by the original address.
func (n *nft) addressChain(policies []*schema.Policy) (name string, known bool) {
	key := "address "
	for _, p := range policies {
		key += p.Name + " "
	}
	if name, ok := n.sets[key]; ok {
		return name, true
	}
	name = n.free("address_" + identifier(policies[0].Name))
	n.sets[key] = name
	return name, false
}

// addresses sends packets to the policies of their original address.
func (n *nft) addresses(c *nftables.Chain, name string, policies []*schema.Policy) {
	c.Notes = []string{"by the address of the host"}
	for _, l := range []*lowering{n.lowering, n.v6} {
		n.addressesOf(c, l, name, policies)
	}
	if last := policies[len(policies)-1]; n.everywhere(last) {
		add(c, goTo(n.policyChain(last)))
	}
}

// addressesOf does so for one family: a part of each policy's addresses that no
// narrower one has, as rules or as a map.
func (n *nft) addressesOf(c *nftables.Chain, l *lowering, name string, policies []*schema.Policy) {
	selector := "ct original ip daddr"
	if l == n.v6 {
		selector = "ct original ip6 daddr"
	}
	var taken address.Set
	var elements []nftables.Element
	for _, p := range policies {
		if n.everywhere(p) {
			break
		}
		all := l.resolve.Of(p.AddressSet)
		part := address.Without(all, taken)
		taken = address.Union(taken, all)
		for _, r := range part {
			elements = append(elements, nftables.Element{Key: rangeExpr(r), Verdict: goTo(n.policyChain(p))})
		}
	}
	if len(elements) <= fewAddresses {
		for _, e := range elements {
			c.Rules = append(c.Rules, rule(is(selector, e.Key), e.Verdict))
		}
		return
	}
	m := &nftables.Set{Name: n.free(name + family(l)), Map: true, Typeof: true, Key: []string{selector}, Value: "verdict", Elements: elements, Flags: intervals(elements)}
	sortElements(m.Elements)
	n.table.Sets = append(n.table.Sets, m)
	c.Rules = append(c.Rules, rule(&nftables.Lookup{Key: nftables.Select(selector), Map: nftables.Ref(m.Name)}))
}
