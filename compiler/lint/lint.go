// Package lint finds what is valid in a policy and yet most likely not meant:
// rules that can never match, sets that nobody uses, a database open to
// everybody. Each finding has a stable code, with a page under codes/, and can
// be silenced where it stands by a comment on its line or the one before:
//
//	# seawall:ignore SW007 the honeypot is meant to be found
//
//	rules.go     SW001 to SW003: rules and excepts that do nothing
//	policies.go  SW004, SW007, SW008: a policy as a whole
//	sources.go   SW005, SW006: sets and sources
//	host.go      SW009, SW010: the host's interfaces
//	ignore.go    the comments that silence, and SW000 for those that do not
package lint

import (
	"embed"
	"fmt"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// Finding is one thing that was most likely not meant.
type Finding struct {
	Code    string
	Hint    bool // worth a look; a warning says that something has no effect
	Summary string
	Detail  string
	At      hcl.Range
}

// Diagnostic is the finding as hcl writes it.
func (f Finding) Diagnostic() *hcl.Diagnostic {
	at := f.At
	return &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: f.Code + ": " + f.Summary, Detail: f.Detail, Subject: &at}
}

//go:embed codes
var pages embed.FS

// Page is the documentation of a code, in Markdown; false when there is no such
// code.
func Page(code string) (string, bool) {
	text, err := pages.ReadFile("codes/" + code + ".md")
	return string(text), err == nil
}

// Codes are all codes, in order.
func Codes() []string {
	entries, err := pages.ReadDir("codes")
	if err != nil {
		return nil // the folder is compiled in
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name()[:len(e.Name())-len(".md")])
	}
	return list
}

// Run finds all there is to find in a document, by place. The files are those
// it was read from, for the comments in them.
func Run(doc *schema.Document, files map[string]*hcl.File) []Finding {
	l := &linter{doc: doc, held: map[key]int{}, known: map[key]Finding{}}
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		l.resolve = append(l.resolve, address.NewResolver(f))
	}
	if doc.Guard != nil {
		l.rules(nil)
	}
	for _, p := range doc.Policies {
		l.rules(p)
		l.openPorts(p)
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
	found   []Finding
	held    map[key]int // in how many instances of a policy a finding holds
	known   map[key]Finding
	order   []key
}

type key struct {
	code string
	at   string
}

// add records a finding about a policy, or with nil about anything else. Of a
// policy with for_each, a finding counts only when it holds for every instance.
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

// collect takes the findings that hold for every instance of their policy.
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
