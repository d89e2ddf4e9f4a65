package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// "Let one in and drop the rest" is often written as two rules that match the published port.
// Fixing only the second would lock out whom the first lets in. So rules that let clients in are
// fixed first, judged on the chains with all other fixes applied; if that cannot be proved, no
// fix is printed that denies whom they let in.

// standing identifies a rule by its position among the rules of its chain with the same words.
type standing struct {
	chain, spec string
	nth         int
}

// standingOf identifies the rule at an index.
func standingOf(c *iptables.Chain, i int) standing {
	s := standing{chain: c.Name, spec: c.Rules()[i].Spec()}
	for _, r := range c.Rules()[:i] {
		if r.Spec() == s.spec {
			s.nth++
		}
	}
	return s
}

// in finds the rule in another table.
func (s standing) in(t *iptables.Table) (*iptables.Chain, int) {
	c, nth := t.Chain(s.chain), s.nth
	if c == nil {
		return nil, -1
	}
	for i, r := range c.Rules() {
		if r.Spec() != s.spec {
			continue
		}
		if nth == 0 {
			return c, i
		}
		nth--
	}
	return nil, -1
}

// allowances finds the rules that let clients in, or would once other fixes close the rest, and
// returns the tables with their fixes. A rule is judged on the tables with all other fixes
// applied.
func (d *doctor) allowances(t docker.Tables) docker.Tables {
	var list []standing
	l := docker.Look(t)
	for _, c := range userChains(l) {
		for i, r := range c.Rules() {
			if !closed(r) && d.misdirected(l, c, i) != nil {
				list = append(list, standingOf(c, i))
			}
		}
	}
	if len(list) == 0 {
		return t
	}
	foresight := &doctor{ctx: d.ctx, limits: d.limits, host: d.host, foresees: true}
	end := foresight.walk(t)
	for _, s := range list {
		t.Filter, end.Filter = d.allowance(t, end, s)
	}
	return t
}

// allowance examines one of them, and returns the current and the final filter table with its
// fix.
func (d *doctor) allowance(t, end docker.Tables, s standing) (now, then *iptables.Table) {
	now, then = t.Filter, end.Filter
	l, later := docker.Look(t), docker.Look(end)
	c, i := s.in(now)
	cEnd, iEnd := s.in(then)
	if i < 0 || iEnd < 0 {
		return now, then
	}
	p, pEnd := d.misdirected(l, c, i), d.misdirected(later, cEnd, iEnd)
	if p == nil || pEnd == nil {
		return now, then
	}
	after := edited(then, t.Family, pEnd.edits)
	if after == nil {
		return now, then // conntrack cannot match it; it is considered when a rule denies
	}
	changes, err := prove.Changes(d.ctx, prove.Side{Rules: then}, prove.Side{Rules: after}, t.Family, d.limits)
	lets := slices.ContainsFunc(changes, func(c *prove.Change) bool { return opens(c) || !c.New.Known() })
	if err == nil && !lets {
		return now, then // it would let nobody in, whatever else is fixed
	}
	d.tell(p)
	p.Traffic = append(p.Traffic, "a later rule denies the clients that this one lets in, now or once that rule is fixed")
	p.as = opens
	p.edits = insert(c.Name, i+1, returning(p.rules))
	soft := edited(then, t.Family, insert(cEnd.Name, iEnd+1, returning(pEnd.rules)))
	if soft != nil && d.same(after, soft, t.Family) {
		after = soft
	} else {
		p.edits = insert(c.Name, i, p.rules)
	}
	if err != nil || slices.ContainsFunc(changes, func(c *prove.Change) bool { return !c.New.Known() }) {
		p.edits = nil // otherwise a fix for later rules that deny could not be proved
	}
	fixed, _ := d.propose(l, calledBeside(l, c).leaves(p))
	if fixed != now {
		then = after
	}
	return fixed, then
}

// returning rewrites rules that accept to return: what passes DOCKER-USER continues to Docker's
// own rules, which let in published ports. They come after the accepting rule, which keeps
// accepting what it does now.
func returning(rules [][]string) [][]string {
	var list [][]string
	for _, words := range rules {
		words = slices.Clone(words)
		if at := slices.Index(words, "-j"); at >= 0 && words[at+1] == "ACCEPT" {
			words[at+1] = "RETURN"
		}
		list = append(list, words)
	}
	return list
}

// same reports whether two filter tables let in the same packets.
func (d *doctor) same(a, b *iptables.Table, f packet.Family) bool {
	changes, err := prove.Changes(d.ctx, prove.Side{Rules: a}, prove.Side{Rules: b}, f, d.limits)
	return err == nil && !slices.ContainsFunc(changes, func(c *prove.Change) bool {
		return c.Old.IsOpen() != c.New.IsOpen() || !c.Old.Known() || !c.New.Known()
	})
}

// tell keeps a finding from being reported twice.
func (d *doctor) tell(p *proposal) {
	if d.told == nil {
		d.told = map[string]bool{}
	}
	d.told[p.Code+p.Summary] = true
}

// mayAllow reports whether a rule may let a client past the rules after it.
func mayAllow(t *iptables.Table, r *iptables.Rule, depth int) bool {
	c := chainOf(t, r)
	switch {
	case r.Target.Goto || r.Target.Name == "ACCEPT" || r.Target.Name == "RETURN" && depth == 0:
		return true
	case c == nil || depth > longList:
		return c != nil
	}
	return slices.ContainsFunc(c.Rules(), func(r *iptables.Rule) bool { return mayAllow(t, r, depth+1) })
}

// shutsOut returns a rule that is meant to let in someone whom a fix denies but that does not
// match as intended; nil if there is none. All rules are checked at once: nobody may be denied
// whom the chains would let in if every rule matched as intended.
func (d *doctor) shutsOut(l *docker.Layout, p *proposal, after *iptables.Table) *iptables.Rule {
	t, family := l.Tables.Filter, l.Tables.Family
	if a := d.unclearBefore(l, p); a != nil {
		return a
	}
	var first *iptables.Rule
	for _, c := range userChains(l) {
		for i, a := range c.Rules() {
			if first == nil && a != p.denies && !closed(a) && mayAllow(t, a, 0) && d.misdirected(l, c, i) != nil {
				first = a
			}
		}
	}
	if first == nil {
		return nil
	}
	next := *l
	next.Tables.Filter = after
	meant := d.both(l, d.asMeant(&next))
	if meant == nil {
		return first
	}
	changes, err := prove.Changes(d.ctx, prove.Side{Rules: meant}, prove.Side{Rules: after}, family, d.limits)
	if err != nil || slices.ContainsFunc(changes, func(c *prove.Change) bool { return closes(c) || !c.Old.Known() || !c.New.Known() }) {
		return first
	}
	return nil
}

// unclearBefore returns such a rule if it cannot be rewritten to match the original destination.
func (d *doctor) unclearBefore(l *docker.Layout, p *proposal) *iptables.Rule {
	for _, c := range userChains(l) {
		for i, a := range c.Rules() {
			if a != p.denies && !closed(a) && mayAllow(l.Tables.Filter, a, 0) && before(c, i, p) && d.unclear(l, c, i, p.denies) {
				return a
			}
		}
	}
	return nil
}

// before reports whether a rule comes before the rule of a proposal, as far as that is known:
// rules of other chains may.
func before(c *iptables.Chain, i int, p *proposal) bool {
	return p.chain == nil || c.Name != p.chain.Name || i < slices.Index(p.chain.Rules(), p.denies)
}

// asMeant is the filter table with every user's rule matching as intended; nil if it does not
// load.
func (d *doctor) asMeant(l *docker.Layout) *iptables.Table {
	var edits []edit
	for _, c := range userChains(l) {
		for i := range slices.Backward(c.Rules()) {
			if p := d.misdirected(l, c, i); p != nil {
				edits = append(edits, p.edits...)
			}
		}
	}
	if len(edits) == 0 {
		return l.Tables.Filter
	}
	return edited(l.Tables.Filter, l.Tables.Family, edits)
}

// both is a filter table that lets in only what both tables let in; nil if it does not load. The
// chains of the other table are copied, and where they accept, they jump to the first table's
// rules.
func (d *doctor) both(l *docker.Layout, other *iptables.Table) *iptables.Table {
	if other == nil {
		return nil
	}
	t := l.Tables.Filter
	own, accepted := freeChain(t, "OWN"), freeChain(t, "ACCEPTED")
	edits := []edit{{"-N", own}, {"-N", accepted}, {"-A", accepted, "-j", own}, {"-A", accepted, "-j", "ACCEPT"}}
	for _, r := range t.Chain(iptables.DockerUser).Rules() {
		edits = append(edits, append(edit{"-A", own}, spec(r)...))
	}
	meant := *l
	meant.Tables.Filter = other
	copies := map[string]string{}
	for n, c := range userChains(&meant) {
		copies[c.Name] = freeChain(t, fmt.Sprintf("MEANT-%d", n))
		edits = append(edits, edit{"-N", copies[c.Name]})
	}
	for _, c := range userChains(&meant) {
		for _, r := range c.Rules() {
			words := spec(r)
			if at := slices.IndexFunc(words, func(w string) bool { return w == "-j" || w == "-g" }); at >= 0 {
				if r.Target.Name == "ACCEPT" {
					words[at+1] = accepted
				} else if name := copies[r.Target.Name]; name != "" {
					words[at+1] = name
				}
			}
			edits = append(edits, append(edit{"-A", copies[c.Name]}, words...))
		}
	}
	return edited(t, l.Tables.Family, append(edits, edit{"-F", iptables.DockerUser},
		edit{"-A", iptables.DockerUser, "-j", copies[iptables.DockerUser]}, edit{"-A", iptables.DockerUser, "-j", own}))
}

// unclear reports whether a rule matches the same ports as a denying rule, in a way that
// conntrack cannot express and that packets no longer match.
func (d *doctor) unclear(l *docker.Layout, c *iptables.Chain, i int, denies *iptables.Rule) bool {
	a := c.Rules()[i]
	if a.Protocol.Name != "" && denies.Protocol.Name != "" && a.Protocol != denies.Protocol {
		return false
	}
	if p := d.misdirected(l, c, i); p != nil {
		return p.rules == nil
	}
	for _, m := range a.Matches {
		for _, o := range m.Options {
			switch {
			case o.Name == "--match-set" && !o.Not && strings.Contains(o.Values[1], "dst"):
				set := l.Tables.Filter.Sets[o.Values[0]]
				if set == nil || strings.Contains(set.Type, "port") || set.Unknown != "" && set.Type == "" {
					return true
				}
			case slices.Contains(destinationPorts, o.Name) && o.Not:
				for _, p := range l.Published {
					has := func(port int) bool {
						return slices.ContainsFunc(strings.Split(o.Values[0], ","), func(part string) bool { return holds(part, port) })
					}
					if p.Port > 0 && has(int(p.To.Port())) && !has(p.Port) {
						return true
					}
				}
			}
		}
	}
	return false
}
