package lint

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/schema"
)

// reach is an allow or deny block in one family: the sources it names, and those it decides about
// after the blocks before it.
type reach struct {
	rule           *schema.Rule
	guard          bool
	named, without address.Set // sources; sources without except
	decides        address.Set
}

// verdict is what a rule does, to compare two rules.
type verdict struct {
	v   schema.Verdict
	log string
}

// reaches computes the blocks that decide for a policy in one family, guard first; for a nil
// policy, those of the guard only.
func (l *linter) reaches(p *schema.Policy, r *address.Resolver) []reach {
	var list []reach
	var decided address.Set
	add := func(rule *schema.Rule, guard bool) {
		x := reach{rule: rule, guard: guard, named: r.Sources(rule.Sources)}
		x.without = x.named
		if rule.Except != nil {
			x.without = address.Without(x.named, r.Sources(rule.Except))
		}
		x.decides = address.Without(x.without, decided)
		if rule.Except.Filled() == nil { // else some of them go on to the next block
			decided = address.Union(decided, x.without)
		}
		list = append(list, x)
	}
	if l.doc.Guard != nil {
		for _, rule := range l.doc.Guard.Rules {
			add(rule, true)
		}
	}
	if p != nil {
		for _, rule := range p.Rules {
			add(rule, false)
		}
	}
	return list
}

// rules finds the blocks of a policy, or of the guard, that have no effect.
func (l *linter) rules(p *schema.Policy) {
	four, six := l.reaches(p, l.resolve[0]), l.reaches(p, l.resolve[1])
	for i := range four {
		if four[i].guard != (p == nil) || filled(four[i].rule) {
			continue
		}
		if address.Empty(four[i].decides) && address.Empty(six[i].decides) {
			l.neverMatches(p, four, six, i)
			continue
		}
		l.idleExcept(p, four[i], six[i])
		if p != nil && l.sameAsRest(p, four, i) && l.sameAsRest(p, six, i) {
			l.add(p, Finding{Code: "SW003", Summary: "A redundant rule", At: four[i].rule.Range,
				Detail: "The blocks after this one, or the default, have the same effect on all of its sources. Remove it or change it."})
		}
	}
}

// filled reports whether a block names an ipset that others fill: what it decides about
// is not known.
func filled(r *schema.Rule) bool { return r.Sources.Filled() != nil || r.Except.Filled() != nil }

func (l *linter) neverMatches(p *schema.Policy, four, six []reach, i int) {
	rule := four[i].rule
	detail := "Earlier blocks already decide about all of its sources: " + shadows(four, six, i) + "."
	if address.Empty(four[i].without) && address.Empty(six[i].without) {
		detail = "Its except excludes all of its sources."
	}
	l.add(p, Finding{Code: "SW001", Summary: "A rule that can never match", At: rule.Range, Detail: detail})
}

// shadows names the earlier blocks that decide about some of the sources of block i.
func shadows(four, six []reach, i int) string {
	var list []string
	for j := range i {
		if address.Overlap(four[j].decides, four[i].without) || address.Overlap(six[j].decides, six[i].without) {
			owner := "the block at "
			if four[j].guard {
				owner = "the guard's block at "
			}
			list = append(list, owner+place(four[j].rule.Range))
		}
	}
	if len(list) > 3 {
		list = append(list[:3], fmt.Sprintf("and %d more", len(list)-3))
	}
	return strings.Join(list, ", ")
}

func (l *linter) idleExcept(p *schema.Policy, four, six reach) {
	if four.rule.Except == nil {
		return
	}
	if same(four.named, four.without) && same(six.named, six.without) {
		l.add(p, Finding{Code: "SW002", Summary: "An except that excludes nothing", At: exceptRange(four.rule),
			Detail: "None of these addresses is among the block's sources."})
	}
}

func exceptRange(r *schema.Rule) hcl.Range { return r.Except.Range }

func same(a, b address.Set) bool { return a.Equal(b) }

// sameAsRest reports whether the blocks after block i and the default would decide the same for
// the sources of block i.
func (l *linter) sameAsRest(p *schema.Policy, list []reach, i int) bool {
	mine := verdict{list[i].rule.Verdict, list[i].rule.Log}
	rest := list[i].decides
	for _, later := range list[i+1:] {
		if filled(later.rule) {
			return false
		}
		if !address.Overlap(later.without, rest) {
			continue
		}
		if (verdict{later.rule.Verdict, later.rule.Log}) != mine {
			return false
		}
		rest = address.Without(rest, later.without)
	}
	return address.Empty(rest) || mine == verdict{v: p.Default}
}
