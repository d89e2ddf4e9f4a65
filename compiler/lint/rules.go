package lint

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/schema"
)

// blocks are those of a policy in one family, or of the guard.
func blocks(rules []*schema.Rule, r *address.Resolver) []block {
	list := make([]block, len(rules))
	for i, rule := range rules {
		b := block{rule: rule, named: r.Sources(rule.Sources)}
		b.without = b.named
		if rule.Except != nil {
			b.without = address.Without(b.named, r.Sources(rule.Except))
		}
		list[i] = b
	}
	return list
}

// guarded is what the guard decides about in one family.
type guarded struct {
	*deciding
	sources address.Set
}

// guards are both families' guarded. Without a guard they are empty.
func (l *linter) guards() (both [2]guarded) {
	var rules []*schema.Rule
	if l.doc.Guard != nil {
		rules = l.doc.Guard.Rules
	}
	for f, r := range l.resolve {
		d := decide(blocks(rules, r), nil)
		both[f] = guarded{d, d.all()}
	}
	return both
}

// ofPolicy is who decides for a policy, in both families.
func (l *linter) ofPolicy(p *schema.Policy) (both [2]*deciding) {
	for f, r := range l.resolve {
		both[f] = decide(blocks(p.Rules, r), l.guard[f].sources)
	}
	return both
}

// rules finds the blocks of a policy that have no effect.
func (l *linter) rules(p *schema.Policy, d [2]*deciding) {
	l.idle(p, d)
	var same [2][]bool
	for f := range d {
		same[f] = d[f].redundant(verdict{v: p.Default})
	}
	for i, rule := range p.Rules {
		if !filled(rule) && !idle(d, i) && same[0][i] && same[1][i] {
			l.add(p, Finding{Code: "SW003", Summary: "A redundant rule", At: rule.Range,
				Detail: "The blocks after this one, or the default, have the same effect on all of its sources. Remove it or change it."})
		}
	}
}

// idle finds the blocks of a policy, or of the guard, that decide about nobody, and those
// whose except is without effect.
func (l *linter) idle(p *schema.Policy, d [2]*deciding) {
	for i, b := range d[0].blocks {
		switch {
		case filled(b.rule):
		case idle(d, i):
			l.neverMatches(p, d, i)
		default:
			l.idleExcept(p, b, d[1].blocks[i])
		}
	}
}

// idle reports whether a block decides about nobody in either family.
func idle(d [2]*deciding, i int) bool { return d[0].idle(i) && d[1].idle(i) }

// filled reports whether a block names an ipset that others fill: what it decides about
// is not known.
func filled(r *schema.Rule) bool { return r.Sources.Filled() != nil || r.Except.Filled() != nil }

func (l *linter) neverMatches(p *schema.Policy, d [2]*deciding, i int) {
	detail := "Its except excludes all of its sources."
	if !address.Empty(d[0].blocks[i].without) || !address.Empty(d[1].blocks[i].without) {
		detail = "Earlier blocks already decide about all of its sources: " + l.shadows(p, d, i) + "."
	}
	l.add(p, Finding{Code: "SW001", Summary: "A rule that can never match", At: d[0].blocks[i].rule.Range, Detail: detail})
}

func (l *linter) idleExcept(p *schema.Policy, four, six block) {
	if four.rule.Except == nil {
		return
	}
	if four.named.Equal(four.without) && six.named.Equal(six.without) {
		l.add(p, Finding{Code: "SW002", Summary: "An except that excludes nothing", At: exceptRange(four.rule),
			Detail: "None of these addresses is among the block's sources."})
	}
}

func exceptRange(r *schema.Rule) hcl.Range { return r.Except.Range }
