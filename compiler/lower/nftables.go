package lower

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// The table of nftables: a packet from outside meets a lookup of its port, and then
// the sources of one policy. One table has both families, and FORWARD and INPUT lead
// to the same chains of policies.
//
//	forward          what the host block says of every interface, forward blocks; what
//	                 comes from outside goes on to
//	forward_outside  ports, ICMP errors, answers, guard, unlisted
//	input            what comes from outside goes on to
//	input_outside    ports, and INVALID packets to
//	input_invalid    the same ports, which are dropped (nftinvalid.go)
//	policy_NAME      guard, then the policy's sources (nftsources.go)
//
// Ports are verdict maps or, when they are few, rules (nftports.go). A rule's accept
// only ends the table's own say: Docker's rules and the host's come after it, so it
// is a policy's pass. A policy's accept is the packet mark that Docker honours.

// priority is that of the base chains: before Docker's and the host's own, so that a
// reject is seen by the client (NETFILTER.md section 8).
const nftPriority = -5

// rejectAll is the chain that answers as the language's reject does.
const rejectAll = "reject_all"

type nft struct {
	*lowering // of IPv4; what both families share
	v6        *lowering
	table     *nftables.Table
	sets      map[string]string // names by content
	names     map[string]bool   // of sets that are taken
	chains    map[string]*nftables.Chain
	rejects   bool
}

// NFTables returns the table of a document. An accept of it needs the host's
// accept_mark, but for those of forward blocks, which are a pass without it.
func NFTables(doc *schema.Document, opt Options) *nftables.Table {
	n := &nft{lowering: newLowering(doc, packet.IPv4, opt), v6: newLowering(doc, packet.IPv6, opt),
		table: &nftables.Table{Family: nftables.Inet, Name: nftables.TableName},
		sets:  map[string]string{}, names: map[string]bool{}, chains: map[string]*nftables.Chain{}}
	n.nameSets()
	forward, outside := n.chain("forward"), n.chain("forward_outside")
	ports := n.ports()
	n.forward(forward, outside, ports)
	if doc.Host.UserlandProxy {
		n.input(ports)
	}
	if g := doc.Guard; g != nil {
		n.guardChain(g)
	}
	if n.rejects {
		c := n.chain(rejectAll)
		c.Rules = append(c.Rules,
			rule(protocolIs("tcp"), &nftables.Reject{With: "tcp reset"}),
			rule(&nftables.Reject{With: "icmpx port-unreachable"}))
	}
	n.table.Chains = slices.DeleteFunc(n.table.Chains, func(c *nftables.Chain) bool { return c.Hook == nil && c == outside && len(c.Rules) == 0 })
	return n.table
}

// chain returns the chain of a name, which is declared when it is first asked for.
func (n *nft) chain(name string) *nftables.Chain {
	c, ok := n.chains[name]
	if !ok {
		c = &nftables.Chain{Name: name}
		n.chains[name] = c
		n.table.Chains = append(n.table.Chains, c)
	}
	return c
}

func rule(s ...nftables.Statement) *nftables.Rule { return &nftables.Rule{Statements: s} }

func add(c *nftables.Chain, s ...nftables.Statement) { c.Rules = append(c.Rules, rule(s...)) }

func is(selector string, value nftables.Expr) *nftables.Match {
	return &nftables.Match{Left: nftables.Select(selector), Right: value}
}

func protocolIs(name string) *nftables.Match { return is("meta l4proto", nftables.Const(name)) }

func direction(name string) *nftables.Match { return is("ct direction", nftables.Const(name)) }

var (
	accept = &nftables.Verdict{Kind: nftables.Accept}
	drop   = &nftables.Verdict{Kind: nftables.Drop}
)

func jump(chain string) *nftables.Verdict {
	return &nftables.Verdict{Kind: nftables.Jump, Chain: chain}
}

func goTo(chain string) *nftables.Verdict {
	return &nftables.Verdict{Kind: nftables.Goto, Chain: chain}
}

// verdict is the statements of a verdict.
func (n *nft) verdict(v schema.Verdict) []nftables.Statement {
	switch v {
	case schema.Accept:
		if m := n.doc.Host.AcceptMark; m != 0 {
			marked := nftables.Expr{Kind: nftables.Binary, Op: "|", Args: []nftables.Expr{nftables.Select("meta mark"), nftables.Const(fmt.Sprintf("0x%08x", m))}}
			return []nftables.Statement{&nftables.Assign{Left: nftables.Select("meta mark"), Right: marked}, accept}
		}
		return []nftables.Statement{accept}
	case schema.Deny:
		return []nftables.Statement{drop}
	case schema.Reject:
		n.rejects = true
		return []nftables.Statement{goTo(rejectAll)}
	}
	return []nftables.Statement{accept}
}

// interfaces is a match of interfaces; nothing for every one.
func interfaces(selector string, list []schema.Interface) []nftables.Statement {
	if len(list) == 0 || slices.ContainsFunc(list, schema.Interface.Every) {
		return nil
	}
	var names []nftables.Element
	for _, i := range list {
		name := i.Name
		if i.Prefix {
			name += "*"
		}
		names = append(names, nftables.Element{Key: nftables.Name(name)})
	}
	if len(names) == 1 {
		return []nftables.Statement{is(selector, names[0].Key)}
	}
	slices.SortFunc(names, func(a, b nftables.Element) int { return strings.Compare(a.Key.Text, b.Key.Text) })
	return []nftables.Statement{is(selector, nftables.Expr{Kind: nftables.Literal, Set: names})}
}

// hook makes a chain the base chain of a hook.
func hook(c *nftables.Chain, name string) {
	c.Hook = &nftables.Hook{Type: "filter", Hook: name, Priority: nftPriority, Policy: "accept"}
}

func (n *nft) forward(c, outside *nftables.Chain, ports []group) {
	host := n.doc.Host
	hook(c, "forward")
	n.nftByState(c)
	n.nftForwards(c)
	n.nftInternal(c)
	match := interfaces("iifname", n.outside)
	if n.bridged() {
		match = append(match, interfaces("oifname", host.Bridges)...)
	}
	n.nftKeep(outside, schema.Keep)
	n.portRules(outside, ports)
	g := n.doc.Guard
	if host.Unlisted != schema.Pass || g != nil {
		n.nftICMPErrors(outside)
	}
	if g != nil {
		outside.Rules = append(outside.Rules, n.origin("guard", rule(direction("original"), jump("guard"))))
	}
	if host.Unlisted != schema.Pass {
		if !n.answered() {
			add(outside, direction("reply"), accept)
		}
		outside.Rules = append(outside.Rules, n.origin("unlisted", rule(n.verdict(host.Unlisted)...)))
	}
	if len(outside.Rules) > 0 {
		outside.Notes = []string{fmt.Sprintf("from outside; unlisted = %q%s", blockWord(host.Unlisted), n.place(host.Range))}
		add(c, append(match, goTo(outside.Name))...)
	}
}

// blockWord is a verdict as unlisted has it.
func blockWord(v schema.Verdict) string {
	if v == schema.Pass {
		return "allow"
	}
	return v.String()
}

func (n *nft) input(ports []group) {
	c := n.chain("input")
	hook(c, "input")
	if len(ports) == 0 {
		return
	}
	n.nftInternal(c)
	outside := n.chain("input_outside")
	outside.Notes = []string{"from outside to the host itself, where docker-proxy listens"}
	n.nftKeep(outside, schema.Keep, schema.Accepted)
	n.portRules(outside, ports)
	n.nftInvalid(outside, ports)
	add(c, append(interfaces("iifname", n.outside), goTo(outside.Name))...)
}

// nftByState accepts and denies by conntrack's state alone.
func (n *nft) nftByState(c *nftables.Chain) {
	if states, words := n.treated(schema.Accepted); states != "" {
		c.Rules = append(c.Rules, n.origin(words, rule(append([]nftables.Statement{is("ct state", ctStates(states))}, n.verdict(schema.Accept)...)...)))
	}
	if n.doc.Host.DenyInvalid {
		c.Rules = append(c.Rules, n.origin(`invalid = "deny"`, rule(is("ct state", nftables.Const("invalid")), drop)))
	}
}

// ctStates is a list of states as nft lists it.
func ctStates(states string) nftables.Expr {
	if states == "RELATED,ESTABLISHED" {
		return nftables.Expr{Kind: nftables.Flags, Args: []nftables.Expr{nftables.Const("established"), nftables.Const("related")}}
	}
	return nftables.Const(strings.ToLower(states))
}

func (n *nft) nftKeep(c *nftables.Chain, ways ...schema.Treatment) {
	if states, words := n.treated(ways...); states != "" {
		c.Rules = append(c.Rules, n.origin(words, rule(is("ct state", ctStates(states)), accept)))
	}
}

// nftInternal passes what arrives on interfaces that are not external although a
// pattern of the external ones covers them.
func (n *nft) nftInternal(c *nftables.Chain) {
	var list []schema.Interface
	for _, i := range n.doc.Host.Internal {
		if slices.ContainsFunc(n.outside, func(o schema.Interface) bool { return o.Covers(i) }) {
			list = append(list, i)
		}
	}
	if len(list) > 0 {
		c.Rules = append(c.Rules, n.origin("internal", rule(append(interfaces("iifname", list), accept)...)))
	}
}

// nftICMPErrors passes ICMP errors, unless all related packets pass anyway. The
// protocol stands before the family: in the other order nft loads the rule but lists
// it without the family (NETFILTER.md section 8).
func (n *nft) nftICMPErrors(c *nftables.Chain) {
	if n.doc.Host.Related != schema.Check {
		return
	}
	related := is("ct state", nftables.Const("related"))
	add(c, protocolIs("icmp"), is("meta nfproto", nftables.Const("ipv4")), related, accept)
	add(c, protocolIs("ipv6-icmp"), is("meta nfproto", nftables.Const("ipv6")), related, accept)
}

func (n *nft) nftForwards(c *nftables.Chain) {
	for _, f := range n.doc.Forwards {
		origin := "forward " + f.Name + n.place(f.Range)
		out := append(append([]nftables.Statement{direction("original")}, interfaces("iifname", f.From)...), interfaces("oifname", f.To)...)
		back := append(append([]nftables.Statement{direction("reply")}, interfaces("iifname", f.To)...), interfaces("oifname", f.From)...)
		everybody := f.Sources == nil && f.Destinations == nil
		if everybody {
			c.Rules = append(c.Rules, n.origin(origin, rule(append(out, n.verdict(schema.Accept)...)...)))
		} else {
			for _, l := range []*lowering{n.lowering, n.v6} {
				sources, destinations := l.resolve.Sources(f.Sources), l.resolve.Sources(f.Destinations)
				if address.Empty(sources) || address.Empty(destinations) {
					continue
				}
				n.pairs(c, l, origin, "forward_"+f.Name, out, sources, destinations)
			}
		}
		c.Rules = append(c.Rules, n.origin(origin, rule(append(back, n.verdict(schema.Accept)...)...)))
	}
}

// pairs accepts packets from some addresses to some others: each way to look up the
// one with each way to look up the other.
func (n *nft) pairs(c *nftables.Chain, l *lowering, origin, owner string, match []nftables.Statement, sources, destinations address.Set) {
	from := n.lookups(l, selectorOf(l, "saddr"), owner+"/from", sources, nil)
	to := n.lookups(l, selectorOf(l, "daddr"), owner+"/to", destinations, nil)
	for _, s := range from {
		for _, d := range to {
			both := append(append(slices.Clone(match), s...), d...)
			if len(s)+len(d) == 0 {
				both = append(both, is("meta nfproto", nftables.Const(nfproto(l))))
			}
			c.Rules = append(c.Rules, n.origin(origin, rule(append(both, n.verdict(schema.Accept)...)...)))
		}
	}
}

// origin adds what a rule comes from as a comment of nft, where --comments asks for it.
func (n *nft) origin(text string, r *nftables.Rule) *nftables.Rule {
	if n.opt.Comments == Rules {
		r.Comment = text
		if len(text) > 120 { // nft takes 127 bytes
			r.Comment = text[:120]
		}
	}
	return r
}
