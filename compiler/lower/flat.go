package lower

import (
	"fmt"
	"net/netip"
	"sort"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/rules"
	"github.com/seawall/seawall/schema"
)

// forwarded fills DOCKER-USER: the verdict function for packets that the host
// forwards.
func (l *lowering) forwarded() {
	chain := l.table.Declare(rules.DockerUser, "-")
	l.forwards(chain)
	mark := len(l.table.Lines)
	host := l.doc.Host
	if host.Unlisted != schema.Pass || l.doc.Guard != nil {
		l.table.Comment("ICMP errors about known connections pass: path MTU discovery needs them")
		l.each(chain, host.External, action{box: box{protocol: l.icmp(), state: "RELATED"}, target: "RETURN"})
	}
	l.keep(chain)
	kept := len(l.table.Lines)
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
	} else if l.onlyComments(kept) && l.doc.Guard == nil {
		l.dropRulesFrom(mark, kept, chain)
	}
}

// onlyComments tells whether no rule follows line n.
func (l *lowering) onlyComments(n int) bool {
	for _, line := range l.table.Lines[n:] {
		if line.Rule != nil {
			return false
		}
	}
	return true
}

// dropRulesFrom takes back the lines from..to: they prepared for rules that
// did not come.
func (l *lowering) dropRulesFrom(from, to int, chain *rules.Chain) {
	for _, line := range l.table.Lines[from:to] {
		if line.Rule != nil {
			chain.Rules = chain.Rules[:len(chain.Rules)-1]
		}
	}
	l.table.Lines = append(l.table.Lines[:from:from], l.table.Lines[to:]...)
}

// toHost fills SEAWALL-INPUT: the same for packets to the host itself, where
// docker-proxy listens, and only within the scopes of policies. ACCEPT would
// leave INPUT and skip the host's own rules, so accept is pass here.
//
// Beyond the policies' scopes the guard must not act here. So with a guard,
// SEAWALL-INPUT sends what lies in a scope to SEAWALL-HOST, and the guard
// stands there once, not once for each port. It is a goto: a RETURN in
// SEAWALL-HOST leads back to INPUT (FACTS section 3).
func (l *lowering) toHost() {
	input := l.table.Declare(rules.SeawallInput, "-")
	policies := func(chain *rules.Chain) {
		for _, p := range l.policies {
			l.policy(chain, p, asPass(l.clauses(p.Rules)), &label{})
		}
	}
	if l.doc.Guard != nil {
		l.toHostGuarded(input, policies)
		return
	}
	mark := len(l.table.Lines)
	l.keep(input)
	kept := len(l.table.Lines)
	policies(input)
	if l.onlyComments(kept) {
		l.dropRulesFrom(mark, kept, input)
	}
}

// toHostGuarded fills SEAWALL-INPUT and SEAWALL-HOST; what comes after the guard
// is the caller's.
func (l *lowering) toHostGuarded(input *rules.Chain, policies func(*rules.Chain)) {
	l.keep(input)
	g := l.doc.Guard
	host := l.table.Declare(rules.SeawallHost, "-")
	l.table.Comment("the ports that policies name")
	for _, p := range l.policies {
		for _, b := range l.scope(p) {
			l.table.Append(input, &rules.Rule{Body: l.body(action{box: b, goto_: rules.SeawallHost, origin: p.Name})})
		}
	}
	l.table.Comment(fmt.Sprintf("guard (%s)", at(g.Range)))
	l.guardEntries(host, box{}, asPass(l.clauses(g.Rules)))
	policies(host)
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
	if l.family == rules.IPv6 {
		return "ipv6-icmp"
	}
	return "icmp"
}

// each adds a rule for each interface.
func (l *lowering) each(chain *rules.Chain, in []schema.Interface, a action) {
	for _, i := range in {
		a.box.in = i.String()
		l.table.Append(chain, &rules.Rule{Body: l.body(a)})
	}
}

func (l *lowering) keep(chain *rules.Chain) {
	if l.doc.Host.KeepEstab {
		l.table.Comment("established = \"keep\": a connection that was let in stays")
		l.each(chain, l.doc.Host.External, action{box: box{state: "ESTABLISHED"}, target: "RETURN"})
	}
}

func (l *lowering) forwards(chain *rules.Chain) {
	for _, f := range l.doc.Forwards {
		l.table.Comment(fmt.Sprintf("forward %s (%s)", f.Name, at(f.Range)))
		origin := "forward " + f.Name
		sources := prefixesOrAll(l.resolve.Sources(f.Sources))
		dests := prefixesOrAll(l.resolve.Sources(f.Destinations))
		for _, from := range f.From {
			for _, to := range f.To {
				for _, s := range sources {
					for _, d := range dests {
						a := action{box: box{in: from.String(), out: to.String(), dest: d, dir: "ORIGINAL"}, target: "ACCEPT", origin: origin}
						l.table.Append(chain, &rules.Rule{Source: rules.Source{Prefix: s}, Body: l.body(a)})
					}
				}
				a := action{box: box{in: to.String(), out: from.String(), dir: "REPLY"}, target: "ACCEPT", origin: origin}
				l.table.Append(chain, &rules.Rule{Body: l.body(a)})
			}
		}
	}
}

// prefixesOrAll gives a set's prefixes, or for every address one prefix that a
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
		c.origin = at(r.Range)
		list = append(list, c)
	}
	return list
}

func (l *lowering) guard(chain *rules.Chain) {
	g := l.doc.Guard
	l.table.Comment(fmt.Sprintf("guard (%s)", at(g.Range)))
	for _, i := range l.doc.Host.External {
		l.guardEntries(chain, box{in: i.String(), dir: "ORIGINAL"}, l.clauses(g.Rules))
	}
}

func (l *lowering) guardEntries(chain *rules.Chain, b box, clauses []clause) {
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
func (l *lowering) policy(chain *rules.Chain, p *schema.Policy, clauses []clause, through *label) {
	if l.nested[p] {
		through = nil // what follows is the wider policy
	}
	scope := l.scope(p)
	head := fmt.Sprintf("policy %s (%s)", p.Name, at(p.Range))
	if len(scope) == 0 {
		head += ": it names no address of this family"
	}
	l.table.Comment(head)
	if len(scope) == 0 {
		return
	}
	entries := sourceList(l.resolve, clauses, label{verdict: p.Default}, through)
	for _, b := range scope {
		for _, e := range entries {
			e.origin = p.Name + " " + e.origin
			l.entry(chain, b, e)
		}
	}
}

// scope is the boxes of a policy: interface × protocol and port × address.
func (l *lowering) scope(p *schema.Policy) []box {
	addresses := prefixesOrAll(l.resolve.Of(p.AddressSet))
	var boxes []box
	for _, i := range p.External {
		for _, ports := range mergePorts(p.Ports) {
			for _, a := range addresses {
				boxes = append(boxes, box{in: i.String(), protocol: ports.Protocol.String(), origDst: a, origPorts: ports, dir: "ORIGINAL"})
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
func (l *lowering) entry(chain *rules.Chain, b box, e entry) {
	b.set = e.set
	if e.label.log != "" {
		a := action{box: b, target: "LOG", log: e.label.log, origin: e.origin}
		l.table.Append(chain, &rules.Rule{Source: e.source, Body: l.body(a)})
	}
	a := action{box: b, target: targets[e.label.verdict], origin: e.origin}
	l.table.Append(chain, &rules.Rule{Source: e.source, Body: l.body(a)})
}

// unlisted ends DOCKER-USER: answers pass, and the rest from outside gets the
// host's verdict. Packets that conntrack does not know are among the rest.
func (l *lowering) unlisted(chain *rules.Chain) {
	host := l.doc.Host
	l.table.Comment(fmt.Sprintf("answers pass; then unlisted = %q (%s)", host.Unlisted, at(host.Range)))
	l.each(chain, host.External, action{box: box{dir: "REPLY"}, target: "RETURN"})
	for _, protocol := range l.protocols(host.Unlisted) {
		l.each(chain, host.External, action{box: box{protocol: protocol}, target: targets[host.Unlisted], origin: "unlisted"})
	}
}
