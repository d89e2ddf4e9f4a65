package lower

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/schema"
)

// DNAT does not rewrite an INVALID packet, so one for a published port comes to INPUT,
// where docker-proxy would answer it (NETFILTER.md section 2). It has no original
// destination: its own one counts.

// fewInvalid are the rules for each interface that stand in SEAWALL-INPUT itself. More
// are in a chain of their own, so that every other packet meets one rule.
const fewInvalid = 2

const invalidRemark = "INVALID packets to ports of policies: they bypass DNAT, and docker-proxy would answer them"

// invalid ends SEAWALL-INPUT: it drops INVALID packets to ports that policies name.
func (l *lowering) invalid(input *iptables.Chain) {
	drop := func(chain *iptables.Chain, b box) {
		chain.Append(&iptables.Rule{Body: l.body(action{box: b, target: targets[schema.Deny], origin: "invalid"})})
	}
	list := l.ownScopes(l.outside)
	if len(list) == 0 {
		return
	}
	input.Remark(invalidRemark + l.place(l.doc.Host.Range))
	if len(list) <= fewInvalid*len(l.outside) {
		for _, b := range list {
			b.state = "INVALID"
			drop(input, b)
		}
		return
	}
	chain := l.table.Declare(iptables.SeawallInvalid, "-")
	l.each(input, action{box: box{state: "INVALID"}, goto_: chain.Name, origin: "invalid"})
	list = l.ownScopes(nil)
	if layoutSearches := l.depths != (depths{}); layoutSearches && len(list) > l.opt.Sizes.Linear {
		x := &indexer{lowering: l, letter: "N", fallback: schema.Pass, own: true}
		x.portsTo(chain, func(*schema.Policy) target {
			return target{entries: []entry{{label: label{verdict: schema.Deny}, origin: "invalid"}}}
		})
		return
	}
	for _, b := range list {
		drop(chain, b)
	}
}

// ownScopes are the scopes of all policies for packets without an original destination,
// with what touches or overlaps as one where that is plain. A policy on all external
// interfaces is written for each of those given, and with none for no interface.
func (l *lowering) ownScopes(each []schema.Interface) []box {
	type where struct {
		in       string
		protocol schema.Protocol
		address  netip.Prefix
	}
	ports := map[where][]schema.Ports{}
	for _, p := range l.policies {
		names := p.External
		if l.onAll(p) {
			names = each
		}
		for _, in := range interfaceNames(names) {
			for _, a := range prefixesOrAll(l.resolve.Of(p.AddressSet)) {
				for _, r := range p.Ports {
					w := where{in, r.Protocol, a}
					ports[w] = append(ports[w], r)
				}
			}
		}
	}
	var order []where
	for w, list := range ports {
		ports[w] = mergePorts(list)
		order = append(order, w)
	}
	slices.SortFunc(order, func(a, b where) int {
		return cmp.Or(cmp.Compare(a.in, b.in), cmp.Compare(a.protocol, b.protocol), a.address.Addr().Compare(b.address.Addr()), cmp.Compare(a.address.Bits(), b.address.Bits()))
	})
	within := func(r schema.Ports, w where) bool {
		return slices.ContainsFunc(ports[w], func(x schema.Ports) bool { return x.First <= r.First && r.Last <= x.Last })
	}
	var boxes []box
	for _, w := range order {
		for _, r := range ports[w] {
			if w.address.IsValid() && within(r, where{w.in, w.protocol, netip.Prefix{}}) || w.in != "" && within(r, where{"", w.protocol, netip.Prefix{}}) {
				continue
			}
			boxes = append(boxes, box{in: w.in, protocol: r.Protocol.String(), own: true, origDst: w.address, origPorts: r})
		}
	}
	return boxes
}

// onAll reports whether a policy is on all external interfaces.
func (l *lowering) onAll(p *schema.Policy) bool {
	return !slices.ContainsFunc(l.outside, func(o schema.Interface) bool {
		return !slices.ContainsFunc(p.External, func(i schema.Interface) bool { return i.Covers(o) })
	})
}

// interfaceNames are interfaces as rules have them; none is one rule for every interface.
func interfaceNames(list []schema.Interface) []string {
	if len(list) == 0 {
		return []string{""}
	}
	var names []string
	for _, i := range list {
		names = append(names, named(i))
	}
	return names
}
