package lint

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/schema"
)

// unusedSets finds sets that no rule, forward or test names, directly or through another set in
// use.
func (l *linter) unusedSets() {
	used := map[*schema.Set]bool{}
	var mark func(*schema.Sources)
	mark = func(s *schema.Sources) {
		if s == nil {
			return
		}
		for _, ref := range s.Sets {
			if !used[ref.Set] {
				used[ref.Set] = true
				mark(ref.Set.Sources)
				mark(ref.Set.Except)
			}
		}
	}
	l.eachSources(mark)
	for _, s := range l.doc.Sets {
		if !used[s] {
			l.add(nil, Finding{Code: "SW005", Summary: "An unused set", At: s.Range,
				Detail: fmt.Sprintf("No block uses set.%s.", s.Name)})
		}
	}
}

// eachSources calls f for all sources outside set blocks.
func (l *linter) eachSources(f func(*schema.Sources)) {
	ofRules := func(list []*schema.Rule) {
		for _, r := range list {
			f(r.Sources)
			f(r.Except)
		}
	}
	if l.doc.Guard != nil {
		ofRules(l.doc.Guard.Rules)
	}
	for _, p := range l.doc.Policies {
		ofRules(p.Rules)
	}
	for _, x := range l.doc.Forwards {
		f(x.Sources)
		f(x.Destinations)
	}
	for _, t := range l.doc.Tests {
		f(t.Allow)
		f(t.Deny)
	}
}

// unusable are addresses that are no source, with the reason.
type unusable struct {
	prefix netip.Prefix
	what   string
}

// nowhere are addresses that no packet from outside has as its source, with the reason.
var nowhere = []unusable{
	{netip.MustParsePrefix("127.0.0.0/8"), "a loopback address"},
	{netip.MustParsePrefix("::1/128"), "the loopback address"},
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address, which is never a source"},
	{netip.MustParsePrefix("ff00::/8"), "a multicast address, which is never a source"},
	{netip.MustParsePrefix("0.0.0.0/8"), "an address of \"this network\", which is never the source of a packet from outside"},
	{netip.MustParsePrefix("255.255.255.255/32"), "the broadcast address, which is never a source"},
	{netip.MustParsePrefix("::/128"), "the unspecified address, which is never the source of a packet from outside"},
}

// unroutable finds sources that no packet can have. Sources of policies and the guard count; a
// test may use them intentionally.
func (l *linter) unroutable() {
	u := &unroutable{linter: l, seen: map[string]bool{}, of: map[string][]hcl.Range{}}
	ofRules := func(list []*schema.Rule) {
		for _, r := range list {
			u.check(r.Sources)
		}
	}
	if l.doc.Guard != nil {
		ofRules(l.doc.Guard.Rules)
	}
	for _, p := range l.doc.Policies {
		ofRules(p.Rules)
	}
	for _, s := range l.doc.Sets {
		u.check(s.Sources)
	}
	u.sumUp()
}

// maxOfList is the number of findings reported for each list of sources: those of a file,
// or of one argument.
const maxOfList = 20

// unroutable are the sources found so far that no packet can have.
type unroutable struct {
	*linter
	seen map[string]bool
	of   map[string][]hcl.Range // of each list, by its file or its place
}

func (u *unroutable) check(s *schema.Sources) {
	if s == nil {
		return
	}
	for _, list := range s.Lists {
		for e := range list.All() {
			i := slices.IndexFunc(nowhere, func(n unusable) bool { return n.prefix.Contains(e.First) && n.prefix.Contains(e.Last) })
			if i < 0 {
				continue
			}
			of := s.Range.String()
			if e.Range == nil {
				of = list.File
			}
			u.one(of, spanRange(list.File, e), fmt.Sprintf("%s is %s.", e, nowhere[i].what))
		}
	}
}

// one adds a finding, unless it is there already or its list has enough.
func (u *unroutable) one(of string, at hcl.Range, detail string) {
	if u.seen[at.String()] {
		return
	}
	u.seen[at.String()] = true
	u.of[of] = append(u.of[of], at)
	if len(u.of[of]) <= maxOfList {
		u.add(nil, Finding{Code: "SW006", Summary: "A source that no packet can have", At: at, Detail: detail})
	}
}

// sumUp says how many more there are in each list.
func (u *unroutable) sumUp() {
	for _, list := range slices.Sorted(maps.Keys(u.of)) {
		more := len(u.of[list]) - maxOfList
		if more <= 0 {
			continue
		}
		detail := fmt.Sprintf("%d more sources of this list are like that.", more)
		if at := u.of[list][maxOfList]; at.Filename == list {
			detail = fmt.Sprintf("%d more lines of %s have such a source.", more, list)
		}
		u.add(nil, Finding{Code: "SW006", Summary: "Sources that no packet can have", At: u.of[list][maxOfList], Detail: detail})
	}
}

// spanRange is the position of a span: its expression, or its line in a list file.
func spanRange(file string, s schema.Span) hcl.Range {
	if s.Range != nil {
		return *s.Range
	}
	at := hcl.Pos{Line: s.Line, Column: 1}
	return hcl.Range{Filename: file, Start: at, End: at}
}
