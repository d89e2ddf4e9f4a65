package schema

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// A set with ipset or ipset6 is filled by somebody else while the host runs. Nobody
// knows what will be in it, so it may only stand where its members are kept out: in
// the sources of a deny block, or in the except of an allow block.

// MaxIPSets is how many ipsets of one family a policy may name: each is a condition
// of its own to whatever works out what the policy means.
const MaxIPSets = 8

// maxIPSet is the length of the longest name of an ipset (IPSET_MAXNAMELEN, less its
// end).
const maxIPSet = 31

var goodIPSet = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:-]*$`)

// Filled reports whether the set is filled at run time.
func (s *Set) Filled() bool { return s.IPSet != "" || s.IPSet6 != "" }

// OfFamily returns the name of the ipset for a family, "" where the set has none.
func (s *Set) OfFamily(v6 bool) string {
	if v6 {
		return s.IPSet6
	}
	return s.IPSet
}

// IPSets returns the ipsets of a family that a list of sources names, in the order of
// their names. Everybody needs none.
func (s *Sources) IPSets(v6 bool) []string {
	if s == nil || s.Any {
		return nil
	}
	var list []string
	for _, ref := range s.Sets {
		if name := ref.Set.OfFamily(v6); name != "" {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Filled returns the first reference to a set that is filled at run time, or nil.
func (s *Sources) Filled() *SetRef {
	if s == nil || s.Any {
		return nil
	}
	i := slices.IndexFunc(s.Sets, func(ref SetRef) bool { return ref.Set.Filled() })
	if i < 0 {
		return nil
	}
	return &s.Sets[i]
}

// IPSets returns the ipsets of a family that a policy's blocks name, in the order of
// their names.
func (d *Document) IPSets(v6 bool) []string {
	var list []string
	add := func(rules []*Rule) {
		for _, r := range rules {
			list = append(append(list, r.Sources.IPSets(v6)...), r.Except.IPSets(v6)...)
		}
	}
	if d.Guard != nil {
		add(d.Guard.Rules)
	}
	for _, p := range d.Policies {
		add(p.Rules)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// decodeIPSet reads a set that is filled at run time.
func (s *scope) decodeIPSet(set *Set, a *body) {
	set.Sources = &Sources{Range: set.Range}
	for _, x := range []struct {
		attribute string
		to        *string
	}{{"ipset", &set.IPSet}, {"ipset6", &set.IPSet6}} {
		text, at, ok := a.text(x.attribute)
		if !ok {
			continue
		}
		*x.to = text
		s.add(checkIPSet(text, at))
	}
	if set.IPSet != "" && set.IPSet == set.IPSet6 {
		s.add(mistake(a.content["ipset6"].Expr.Range(), "One ipset for two families", "An ipset has addresses of one family. Name one for IPv4 (ipset) and another for IPv6 (ipset6), or only one of them."))
	}
	for _, name := range []string{"sources", "files", "except"} {
		if attr := a.content[name]; attr != nil {
			s.add(mistake(attr.NameRange, "A set that is filled at run time", "%s does not go with ipset: what is in the ipset is not known here. Write it into a set of its own, and name both sets in the block.", name))
		}
	}
}

// checkIPSet checks that a name can be that of an ipset, and reaches the kernel
// unchanged.
func checkIPSet(name string, at hcl.Range) *hcl.Diagnostic {
	const summary = "Not the name of an ipset"
	switch {
	case name == "":
		return mistake(at, summary, "The name is empty. Write the one that \"ipset list -name\" shows, or leave it out.")
	case len(name) > maxIPSet:
		return mistake(at, summary, "%q has %d bytes; the name of an ipset has at most %d.", name, len(name), maxIPSet)
	case !goodIPSet.MatchString(name):
		return mistake(at, summary, "%q is not the name of an ipset: here it may have letters, digits, \"_\", \"-\", \".\" and \":\", and starts with a letter, a digit or \"_\".", name)
	case strings.HasPrefix(strings.ToUpper(name), "SEAWALL-"):
		return mistake(at, summary, "%q is a name that Seawall makes for sets of its own. Give the ipset another name.", name)
	}
	return nil
}

// familiesOfIPSets reports ipsets that are named for both families, and those beyond
// the limit.
func (s *scope) familiesOfIPSets(doc *Document) {
	of := map[string]*Set{} // IPv4
	for _, x := range doc.Sets {
		if x.IPSet != "" {
			of[x.IPSet] = x
		}
	}
	for _, x := range doc.Sets {
		if other := of[x.IPSet6]; other != nil && other != x {
			s.add(mistake(x.Range, "One ipset for two families", "set.%s names the ipset %q for IPv6, and set.%s (%s) names it for IPv4. An ipset has addresses of one family.", x.Name, x.IPSet6, other.Name, place(other.Range)))
		}
	}
	for _, v6 := range []bool{false, true} {
		names := doc.IPSets(v6)
		if len(names) <= MaxIPSets {
			continue
		}
		at := doc.Sets[slices.IndexFunc(doc.Sets, func(x *Set) bool { return x.OfFamily(v6) == names[MaxIPSets] })].Range
		s.add(mistake(at, "Too many ipsets", "The policy names %d ipsets of one family that are filled at run time; the limit is %d. Let their owners fill one together, or put them into one of the type list:set.", len(names), MaxIPSets))
	}
}

// noIPSets reports sets that are filled at run time among sources in which their members
// could be let in. The list that is checked may be nil.
func (s *scope) noIPSets(sources *Sources, instead string) {
	if sources == nil {
		return
	}
	for _, ref := range sources.Sets {
		if ref.Set.Filled() {
			s.add(mistake(ref.Range, "A set that is filled at run time", "Nobody knows what set.%s will contain (%s), so it may only keep its members out: in the sources of a deny block, or in the except of an allow block. %s", ref.Set.Name, ref.Set.inWords(), instead))
		}
	}
}

// inWords names a set's ipsets.
func (s *Set) inWords() string {
	var list []string
	for _, name := range []string{s.IPSet, s.IPSet6} {
		if name != "" {
			list = append(list, "the ipset "+name)
		}
	}
	return strings.Join(list, " and ")
}

// opening reports allow blocks with such a set in their except where its members would
// get further than others: past Docker's own rules, by a later block that accepts.
func (s *scope) opening(doc *Document) {
	accepts := func(list []*Rule) *Rule {
		i := slices.IndexFunc(list, func(r *Rule) bool { return r.Verdict == Accept })
		if i < 0 {
			return nil
		}
		return list[i]
	}
	check := func(list []*Rule, beyond ...[]*Rule) {
		for i, r := range list {
			if r.Verdict != Pass || r.Except == nil || r.Except.Any {
				continue
			}
			for _, later := range append([][]*Rule{list[i+1:]}, beyond...) {
				by := accepts(later)
				if by == nil {
					continue
				}
				for _, ref := range r.Except.Sets {
					if ref.Set.Filled() {
						s.add(mistake(ref.Range, "A set that could open something", "Members of set.%s are not let in by this block, but go on to the one at %s, which has accept = true: they would get past Docker's own rules, and others would not. %s",
							ref.Set.Name, place(by.Range), fmt.Sprintf("Keep them out before: deny { sources = [set.%s] }.", ref.Set.Name)))
					}
				}
				break
			}
		}
	}
	var policies [][]*Rule
	for _, p := range doc.Policies {
		policies = append(policies, p.Rules)
		check(p.Rules)
	}
	if doc.Guard != nil {
		check(doc.Guard.Rules, policies...)
	}
}
