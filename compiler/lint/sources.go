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

// nowhere are addresses that no packet from outside has as its source, with the reason.
var nowhere = []struct {
	prefix netip.Prefix
	what   string
}{
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
	seen := map[string]bool{}
	inFile := map[string][]hcl.Range{}
	check := func(s *schema.Sources) {
		if s == nil {
			return
		}
		for _, list := range s.Lists {
			for _, e := range list.Spans {
				for _, n := range nowhere {
					if !n.prefix.Contains(e.First) || !n.prefix.Contains(e.Last) {
						continue
					}
					at := spanRange(list.File, e)
					if !seen[at.String()] {
						seen[at.String()] = true
						if e.Range == nil {
							inFile[list.File] = append(inFile[list.File], at)
						}
						if len(inFile[list.File]) > maxOfList && e.Range == nil {
							continue
						}
						l.add(nil, Finding{Code: "SW006", Summary: "A source that no packet can have", At: at,
							Detail: fmt.Sprintf("%s is %s.", e, n.what)})
					}
				}
			}
		}
	}
	ofRules := func(list []*schema.Rule) {
		for _, r := range list {
			check(r.Sources)
		}
	}
	if l.doc.Guard != nil {
		ofRules(l.doc.Guard.Rules)
	}
	for _, p := range l.doc.Policies {
		ofRules(p.Rules)
	}
	for _, s := range l.doc.Sets {
		check(s.Sources)
	}
	for _, file := range slices.Sorted(maps.Keys(inFile)) {
		if n := len(inFile[file]) - maxOfList; n > 0 {
			l.add(nil, Finding{Code: "SW006", Summary: "Sources that no packet can have", At: inFile[file][maxOfList],
				Detail: fmt.Sprintf("%d more lines of %s have such a source.", n, file)})
		}
	}
}

// maxOfList is the number of findings reported per list file.
const maxOfList = 20

// spanRange is the position of a span: its expression, or its line in a list file.
func spanRange(file string, s schema.Span) hcl.Range {
	if s.Range != nil {
		return *s.Range
	}
	at := hcl.Pos{Line: s.Line, Column: 1}
	return hcl.Range{Filename: file, Start: at, End: at}
}
