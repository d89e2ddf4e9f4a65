package editor

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seawall/seawall/schema"
)

// mention is a block that names an address, or a network around it or in it.
type mention struct {
	where string // policy "web", allow
	how   string // the source there, where it is another one
}

// sourceAt is the source that is written at a byte of a file.
func (p *Policy) sourceAt(file string, offset int) (schema.Span, bool) {
	var found schema.Span
	ok := false
	p.eachSources(func(_ string, s *schema.Sources) {
		for i := range s.Lists {
			if s.Lists[i].OfFile() {
				continue
			}
			for e := range s.Lists[i].All() {
				if !ok && e.Range != nil && e.Range.Filename == file && inside(*e.Range, offset) {
					found, ok = e, true
				}
			}
		}
	})
	return found, ok
}

// eachSources calls f for all sources of a policy, with where they stand.
func (p *Policy) eachSources(f func(where string, s *schema.Sources)) {
	doc := p.Loaded.Document
	if doc == nil {
		return
	}
	call := func(where string, s *schema.Sources) {
		if s != nil {
			f(where, s)
		}
	}
	rules := func(where string, list []*schema.Rule) {
		for _, r := range list {
			word := "allow"
			if r.Verdict == schema.Deny || r.Verdict == schema.Reject {
				word = "deny"
			}
			call(where+", "+word, r.Sources)
			call(where+", except of "+word, r.Except)
		}
	}
	if doc.Guard != nil {
		rules("guard", doc.Guard.Rules)
	}
	for _, x := range doc.Policies {
		rules("policy "+x.Name, x.Rules)
	}
	for _, s := range doc.Sets {
		call("set "+s.Name, s.Sources)
		call("set "+s.Name+", except", s.Except)
	}
	for _, x := range doc.Forwards {
		call("forward "+x.Name+", sources", x.Sources)
		call("forward "+x.Name+", destinations", x.Destinations)
	}
	for _, t := range doc.Tests {
		call("test "+t.Name+", allow", t.Allow)
		call("test "+t.Name+", deny", t.Deny)
	}
}

// mentionsOf are the blocks that name a source, each once.
func (p *Policy) mentionsOf(source schema.Span) []mention {
	var list []mention
	users := map[*schema.Set][]string{}
	p.eachSources(func(where string, s *schema.Sources) {
		for _, ref := range s.Sets {
			if !slices.Contains(users[ref.Set], where) {
				users[ref.Set] = append(users[ref.Set], where)
			}
		}
	})
	p.eachSources(func(where string, s *schema.Sources) {
		for i := range s.Lists {
			for e := range s.Lists[i].All() {
				if e.First.Is4() != source.First.Is4() || source.Last.Less(e.First) || e.Last.Less(source.First) {
					continue
				}
				m := mention{where: where, how: relation(e, source)}
				if e.Range == nil {
					m.how = joined(m.how, fmt.Sprintf("%s:%d", filepath.Base(s.Lists[i].File), e.Line))
				}
				list = append(list, m)
				break
			}
		}
	})
	for i := range list {
		name, isSet := strings.CutPrefix(list[i].where, "set ")
		if !isSet {
			continue
		}
		for set, where := range users {
			if set.Name == name || strings.HasPrefix(name, set.Name+",") {
				list[i].where += " (used by " + strings.Join(where, "; ") + ")"
			}
		}
	}
	return list
}

// relation says how a source that is mentioned relates to one.
func relation(e, source schema.Span) string {
	switch {
	case e.First == source.First && e.Last == source.Last:
		return ""
	case within(source, e):
		return "within " + e.String()
	case within(e, source):
		return "has " + e.String()
	}
	return "overlaps " + e.String()
}

func within(a, b schema.Span) bool { return !a.First.Less(b.First) && !b.Last.Less(a.Last) }
