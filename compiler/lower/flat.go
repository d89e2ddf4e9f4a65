package lower

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// forwarded fills DOCKER-USER: the verdict function for packets that the host
// forwards.
func (l *lowering) forwarded() {
	chain := l.table.Declare(l.root(), "-")
	l.byState(chain)
	l.forwards(chain)
	mark := markOf(chain)
	l.internal(chain)
	if where := l.bridges(chain); where != chain {
		chain, mark = where, markOf(where)
	}
	host := l.doc.Host
	if host.Unlisted != schema.Pass || l.doc.Guard != nil {
		l.icmpErrors(chain)
	}
	l.keep(chain, schema.Keep)
	kept := markOf(chain)
	if l.doc.Guard != nil {
		l.guard(chain)
	}
	var through *label
	if host.Unlisted == schema.Pass {
		through = &label{}
	}
	for _, p := range l.policies {
		l.policy(chain, p, l.clauses(p.Rules), through)
	}
	if host.Unlisted != schema.Pass {
		l.unlisted(chain)
	} else if chain.Len() == kept.rules && l.doc.Guard == nil {
		mark.dropTo(kept, chain)
	}
}

// mark is a place in a chain while it is written.
type mark struct{ rules, notes int }

func markOf(c *iptables.Chain) mark { return mark{c.Len(), len(c.Notes())} }

// dropTo takes back the rules and comments from here to a later mark: they
// prepared for rules that did not come. Comments after it stay.
func (m mark) dropTo(kept mark, c *iptables.Chain) {
	after := slices.Clone(c.Notes()[kept.notes:])
	c.Truncate(m.rules, m.notes)
	for _, n := range after {
		c.Remark(n.Text)
	}
}

// toHost fills SEAWALL-INPUT: the same for packets to the host itself, where
// docker-proxy listens, and only within the scopes of policies. ACCEPT would
// leave INPUT and skip the host's own rules, so accept is pass here.
//
// Beyond the policies' scopes the guard must not act here. So with a guard,
// SEAWALL-INPUT sends what lies in a scope to SEAWALL-HOST, and the guard
// stands there once, not once for each port. It is a goto: a RETURN in
// SEAWALL-HOST leads back to INPUT (NETFILTER.md section 3).
func (l *lowering) toHost() {
	input := l.table.Declare(iptables.SeawallInput, "-")
	policies := func(chain *iptables.Chain) {
		for _, p := range l.policies {
			l.policy(chain, p, asPass(l.clauses(p.Rules)), &label{})
		}
	}
	if l.doc.Guard != nil {
		l.toHostGuarded(input, policies)
		return
	}
	mark := markOf(input)
	l.internal(input)
	l.keep(input, schema.Keep, schema.Accepted)
	kept := markOf(input)
	policies(input)
	l.invalid(input)
	if input.Len() == kept.rules {
		mark.dropTo(kept, input)
	}
}

// toHostGuarded fills SEAWALL-INPUT and SEAWALL-HOST; what comes after the guard
// is the caller's.
func (l *lowering) toHostGuarded(input *iptables.Chain, policies func(*iptables.Chain)) {
	l.internal(input)
	l.keep(input, schema.Keep, schema.Accepted)
	g := l.doc.Guard
	host := l.table.Declare(iptables.SeawallHost, "-")
	input.Remark("the ports that policies name")
	for _, p := range l.policies {
		for _, b := range l.scope(p) {
			input.Append(&iptables.Rule{Body: l.body(action{box: b, goto_: iptables.SeawallHost, origin: p.Name})})
		}
	}
	host.Remark("guard" + l.place(g.Range))
	l.guardEntries(host, box{}, asPass(l.clauses(g.Rules)))
	policies(host)
	l.invalid(input)
}

// asPass turns accept into pass.
func asPass(clauses []clause) []clause {
	for i := range clauses {
		if clauses[i].label.verdict == schema.Accept {
			clauses[i].label.verdict = schema.Pass
		}
	}
	return clauses
}

func (l *lowering) icmp() string {
	if l.family == packet.IPv6 {
		return "ipv6-icmp"
	}
	return "icmp"
}

func (l *lowering) forwards(chain *iptables.Chain) {
	for _, f := range l.doc.Forwards {
		chain.Remark("forward " + f.Name + l.place(f.Range))
		origin := "forward " + f.Name
		sources := prefixesOrAll(l.resolve.Sources(f.Sources))
		dests := prefixesOrAll(l.resolve.Sources(f.Destinations))
		for _, i := range f.From {
			for _, o := range f.To {
				from, to := named(i), named(o)
				for _, s := range sources {
					for _, d := range dests {
						a := action{box: box{in: from, out: to, dest: d, dir: "ORIGINAL"}, target: "ACCEPT", origin: origin}
						chain.Append(&iptables.Rule{Source: iptables.Source{Prefix: s}, Body: l.body(a)})
					}
				}
				a := action{box: box{in: to, out: from, dir: "REPLY"}, target: "ACCEPT", origin: origin}
				chain.Append(&iptables.Rule{Body: l.body(a)})
			}
		}
	}
}

// prefixesOrAll returns a set's prefixes, or for every address one prefix that a
// rule leaves out.
func prefixesOrAll(set address.Set) []netip.Prefix {
	list := set.Prefixes()
	if len(list) == 1 && wholeFamily(list[0]) {
		return []netip.Prefix{{}}
	}
	return list
}

func (l *lowering) clauses(written []*schema.Rule) []clause {
	var list []clause
	for _, r := range written {
		c := clause{include: l.resolve.Sources(r.Sources), label: label{verdict: r.Verdict, log: r.Log}}
		if r.Except != nil {
			c.except = l.resolve.Sources(r.Except)
		}
		v6 := l.family == packet.IPv6
		c.ipsets, c.exceptIPSets = r.Sources.IPSets(v6), r.Except.IPSets(v6)
		c.origin = blockName(r.Verdict) + l.place(r.Range)
		list = append(list, c)
	}
	return list
}

// blockName is the word that begins a block of this verdict.
func blockName(v schema.Verdict) string {
	if v == schema.Pass || v == schema.Accept {
		return "allow"
	}
	return "deny"
}

func (l *lowering) guard(chain *iptables.Chain) {
	g := l.doc.Guard
	chain.Remark("guard" + l.place(g.Range))
	for _, i := range l.outside {
		l.guardEntries(chain, box{in: named(i), dir: "ORIGINAL"}, l.clauses(g.Rules))
	}
}

func (l *lowering) guardEntries(chain *iptables.Chain, b box, clauses []clause) {
	for _, e := range l.entries("guard", clauses, label{next: true}) {
		e.origin = "guard " + e.origin
		for _, b.protocol = range l.protocols(e.label.verdict) {
			l.entry(chain, b, e)
		}
	}
}

// protocols are those that a verdict needs rules of their own for: a reject
// answers tcp in another way than the rest.
func (l *lowering) protocols(v schema.Verdict) []string {
	if v == schema.Reject {
		return []string{"tcp", ""}
	}
	return []string{""}
}

// policy adds a policy's rules: for each part of its scope the same sources.
func (l *lowering) policy(chain *iptables.Chain, p *schema.Policy, clauses []clause, through *label) {
	if l.nested[p] {
		through = nil // what follows is the wider policy
	}
	scope := l.scope(p)
	entries := sourceList(l.resolve, clauses, label{verdict: p.Default}, through)
	l.introduce(chain, p, len(entries) > 0)
	for _, b := range scope {
		for _, e := range entries {
			e.origin = p.Name + " " + e.origin
			l.entry(chain, b, e)
		}
	}
}

// introduce writes the comment above a policy's rules. Where there is none, it says why.
func (l *lowering) introduce(chain *iptables.Chain, p *schema.Policy, rules bool) {
	text := "policy " + p.Name + l.place(p.Range)
	switch {
	case len(l.scope(p)) == 0:
		text += ": it names no address of this family"
	case !rules:
		text += ": no source is denied"
	}
	chain.Remark(text)
}

// scope is the boxes of a policy: interface × protocol and port × address.
func (l *lowering) scope(p *schema.Policy) []box {
	addresses := prefixesOrAll(l.resolve.Of(p.AddressSet))
	var boxes []box
	for _, i := range p.External {
		for _, ports := range mergePorts(p.Ports) {
			for _, a := range addresses {
				boxes = append(boxes, box{in: named(i), protocol: ports.Protocol.String(), origDst: a, origPorts: ports, dir: "ORIGINAL"})
			}
		}
	}
	return boxes
}

// mergePorts sorts ports by protocol and number, and joins what touches.
func mergePorts(ports []schema.Ports) []schema.Ports {
	sorted := append([]schema.Ports{}, ports...)
	sort.Slice(sorted, func(i, j int) bool {
		a, b := sorted[i], sorted[j]
		return a.Protocol < b.Protocol || a.Protocol == b.Protocol && a.First < b.First
	})
	var merged []schema.Ports
	for _, p := range sorted {
		p = schema.Ports{Protocol: p.Protocol, First: p.First, Last: p.Last}
		if n := len(merged); n > 0 && merged[n-1].Protocol == p.Protocol && int(p.First) <= int(merged[n-1].Last)+1 {
			merged[n-1].Last = max(merged[n-1].Last, p.Last)
			continue
		}
		merged = append(merged, p)
	}
	return merged
}

// entry adds the rule of one entry in one box, and its log rule before it.
func (l *lowering) entry(chain *iptables.Chain, b box, e entry) {
	b.set, b.members = e.set, e.members
	if e.goto_ != "" {
		chain.Append(&iptables.Rule{Body: l.body(action{box: b, goto_: e.goto_, origin: e.origin})})
		return
	}
	if e.label.log != "" {
		a := action{box: b, target: "LOG", log: e.label.log, origin: e.origin}
		chain.Append(&iptables.Rule{Source: e.source, Body: l.body(a)})
	}
	a := action{box: b, target: targets[e.label.verdict], origin: e.origin}
	chain.Append(&iptables.Rule{Source: e.source, Body: l.body(a)})
}

// unlisted ends DOCKER-USER: answers pass, and the rest from outside gets the
// host's verdict. Packets that conntrack does not know are among the rest.
func (l *lowering) unlisted(chain *iptables.Chain) {
	host := l.doc.Host
	what := fmt.Sprintf("unlisted = %q%s", host.Unlisted, l.place(host.Range))
	if l.answered() {
		chain.Remark(what)
	} else {
		chain.Remark("answers pass; then " + what)
		l.each(chain, action{box: box{dir: "REPLY"}, target: "RETURN"})
	}
	for _, protocol := range l.protocols(host.Unlisted) {
		l.each(chain, action{box: box{protocol: protocol}, target: targets[host.Unlisted], origin: "unlisted"})
	}
}
