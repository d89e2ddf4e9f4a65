// Package lint finds what is valid in a policy but most likely unintended:
// rules that can never match, unused sets, a database open to
// everybody. Each finding has a stable code, with a page under codes/, and can
// be silenced by a comment on the same line or the line before:
//
//	# seawall:ignore SW007 the honeypot is meant to be found
//
//	deciding.go  which block decides about which addresses
//	rules.go     SW001 to SW003: rules and excepts without effect
//	policies.go  SW004, SW007, SW008, SW011: policies as a whole
//	sources.go   SW005, SW006: sets and sources
//	host.go      SW009, SW010: the host's interfaces
//	ignore.go    ignore comments, and SW000 for those without effect
package lint

import (
	"embed"
	"fmt"
	"slices"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// Finding is one thing that is most likely unintended.
type Finding struct {
	Code    string
	Hint    bool // worth a look; a warning means that something has no effect
	Summary string
	Detail  string
	At      hcl.Range
}

// Diagnostic is the finding as an hcl diagnostic. hcl has no hints, so Extra carries the finding.
func (f Finding) Diagnostic() *hcl.Diagnostic {
	at := f.At
	return &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: f.Code + ": " + f.Summary, Detail: f.Detail, Subject: &at, Extra: f}
}

// Idle reports whether the finding is about a part of the policy that has no effect, and can
// go.
func (f Finding) Idle() bool {
	return slices.Contains([]string{"SW000", "SW001", "SW002", "SW003", "SW005", "SW010"}, f.Code)
}

//go:embed codes
var pages embed.FS

// Page is the documentation of a code, in Markdown; false if there is no such code.
func Page(code string) (string, bool) {
	text, err := pages.ReadFile("codes/" + code + ".md")
	return string(text), err == nil
}

// Documentation is where the project's documentation is read.
const Documentation = "https://github.com/seawall/seawall/blob/main/examples/docs/"

// PageURL is where the page of a code is read.
func PageURL(code string) string { return Documentation + "findings/" + code + ".md" }

// Codes lists all codes in order.
func Codes() []string {
	entries, err := pages.ReadDir("codes")
	if err != nil {
		return nil // cannot happen: the folder is embedded
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name()[:len(e.Name())-len(".md")])
	}
	return list
}

// Run returns all findings in a document, sorted by position. The files are those it was read
// from, for their comments.
func Run(doc *schema.Document, files map[string]*hcl.File) []Finding {
	l := &linter{doc: doc, held: map[key]int{}, known: map[key]Finding{}}
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		l.resolve = append(l.resolve, address.NewResolver(f, nil))
	}
	l.guard = l.guards()
	l.idle(nil, [2]*deciding{l.guard[0].deciding, l.guard[1].deciding})
	for _, p := range doc.Policies {
		d := l.ofPolicy(p)
		l.rules(p, d)
		l.openPorts(p, d)
		l.oneFamily(p)
	}
	l.unreachable()
	l.collect()
	l.unusedSets()
	l.unroutable()
	l.interfaces()
	found := silence(l.found, files)
	sort.SliceStable(found, func(i, j int) bool {
		a, b := found[i].At, found[j].At
		if a.Filename != b.Filename {
			return a.Filename < b.Filename
		}
		return a.Start.Line < b.Start.Line
	})
	return found
}

type linter struct {
	doc     *schema.Document
	resolve []*address.Resolver // IPv4, IPv6
	guard   [2]guarded          // the same
	found   []Finding
	held    map[key]int // the number of instances of a policy that have a finding
	known   map[key]Finding
	order   []key
}

type key struct {
	code string
	at   string
}

// add records a finding about a policy, or with nil about anything else. For a policy with
// for_each, a finding only counts if every instance has it.
func (l *linter) add(p *schema.Policy, f Finding) {
	if p == nil {
		l.found = append(l.found, f)
		return
	}
	k := key{f.Code, f.At.String()}
	if _, ok := l.known[k]; !ok {
		l.known[k] = f
		l.order = append(l.order, k)
	}
	l.held[k]++
}

// collect keeps the findings that every instance of their policy has.
func (l *linter) collect() {
	instances := map[string]int{}
	byRule := map[string]int{}
	for _, p := range l.doc.Policies {
		instances[p.Range.String()]++
		for _, r := range p.Rules {
			byRule[r.Range.String()]++
			if r.Except != nil {
				byRule[r.Except.Range.String()]++
			}
		}
	}
	for _, k := range l.order {
		if l.held[k] >= max(instances[k.at], byRule[k.at], 1) {
			l.found = append(l.found, l.known[k])
		}
	}
}

func place(r hcl.Range) string { return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line) }
