package render_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/page"
	"github.com/seawall/seawall/compiler/page/pagetest"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/compiler/render"
	"github.com/seawall/seawall/schema"
	"golang.org/x/net/html"
)

// made is the page of a policy.
func made(t *testing.T, name, src string) *render.Page {
	t.Helper()
	loaded, diags := schema.Parse(name, []byte(src), schema.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return of(t, loaded)
}

func of(t *testing.T, loaded *schema.Loaded) *render.Page {
	t.Helper()
	p, err := render.Make(context.Background(), loaded.Document, loaded.Inputs, prove.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sound holds a page in each format against parsers, and returns the HTML.
func sound(t *testing.T, p *render.Page) string {
	t.Helper()
	text, err := p.HTML()
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range pagetest.HTML(text) {
		t.Errorf("HTML: %s", wrong)
	}
	for _, wrong := range pagetest.Markdown(p.Markdown()) {
		t.Errorf("Markdown: %s", wrong)
	}
	for _, wrong := range pagetest.HTML("<main>" + p.SVG() + "</main>") {
		t.Errorf("SVG: %s", wrong)
	}
	// Each policy says who gets in over IPv4 and over IPv6, in the table and in its entry.
	for _, family := range []string{"IPv4", "IPv6"} {
		cells := pagetest.Text(text, func(n *html.Node) bool { return n.Data == "td" && pagetest.Attr(n, "data-label") == family })
		entries := pagetest.Text(text, func(n *html.Node) bool {
			return n.Data == "dd" && before(n) == family && strings.HasPrefix(pagetest.Attr(n.Parent.Parent, "id"), "policy-")
		})
		for what, list := range map[string][]string{"the table": cells, "the entries": entries} {
			if len(list) != len(p.Policies) || slices.Contains(list, "") {
				t.Errorf("%s of %d policies have %q of %s", what, len(p.Policies), list, family)
			}
		}
	}
	return text
}

// before is the text of the element before another.
func before(n *html.Node) string {
	for n = n.PrevSibling; n != nil; n = n.PrevSibling {
		if n.Type == html.ElementNode && n.FirstChild != nil {
			return n.FirstChild.Data
		}
	}
	return ""
}

// Every example's page is sound.
func TestExamples(t *testing.T) {
	list, err := filepath.Glob("../../examples/*/policy.hcl")
	if err != nil || len(list) < 8 {
		t.Fatalf("%q, %v", list, err)
	}
	for _, name := range list {
		opt := schema.Options{}
		opt.VarFiles, _ = filepath.Glob(filepath.Join(filepath.Dir(name), "*1.vars.hcl"))
		opt.VarFiles = opt.VarFiles[:min(1, len(opt.VarFiles))]
		loaded, diags := schema.Load(filepath.Dir(name), opt)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		sound(t, of(t, loaded))
	}
}

const evil = "<script>alert(1)</script></title><!-- \x1b[31m\x07 \u202egnp\u200b\n# h | a | b |\n| --- | --- |\n```\n[x](javascript:x) ![y](z) @team $x$ ` \\| \"' &lt; --> \xff"

// What people write stays text, wherever it stands: names, descriptions, log prefixes, file
// names, ports, interfaces.
func TestHostileTexts(t *testing.T) {
	p := made(t, "policy.hcl", manyPolicies(3))
	p.Title = evil
	p.Host.External = []string{evil}
	p.Settings[0].Value = evil
	p.Guard = []render.Row{{Verdict: "deny", Who: render.Sources{{Text: evil}, {Text: evil, Set: evil}}, Except: render.Sources{{Text: evil}}, Log: evil}}
	p.Sets = []render.Set{{Name: evil, Who: render.Sources{{Text: evil}}, Except: render.Sources{{Text: "any", Any: true}}}}
	p.Forwards = []render.Forward{{Name: evil, From: []string{evil}, To: []string{evil}, Sources: render.Sources{{Text: evil}}}}
	for i, x := range p.Policies {
		x.Name = fmt.Sprint(evil, i)
		x.Description, x.Place, x.Ports, x.Addresses, x.External = evil, evil, []string{evil}, []string{evil}, []string{evil}
		x.Narrower, x.Wider = []string{evil + "0"}, []string{evil + "1"}
		x.Rows = append(x.Rows, render.Row{Verdict: "allow", Who: render.Sources{{Text: evil}}, Log: evil})
	}
	text := sound(t, p)
	read := page.Prose(evil)
	if got := pagetest.Text(text, func(n *html.Node) bool { return n.Data == "bdi" }); len(got) != 3 || got[0] != read {
		t.Errorf("the description reads %q", got)
	}
	rendered := pagetest.Rendered(p.Markdown())
	if got := pagetest.Text(rendered, func(n *html.Node) bool { return n.Data == "h1" }); len(got) != 1 || got[0] != "Who may reach what: "+read {
		t.Errorf("the title reads %q", got)
	}
	if got := pagetest.Text(rendered, func(n *html.Node) bool { return n.Data == "p" }); !slices.Contains(got, read) {
		t.Errorf("no paragraph of %q reads %q", got, read)
	}
	tables := func(text string) int {
		return len(pagetest.Text(pagetest.Rendered(text), func(n *html.Node) bool { return n.Data == "table" }))
	}
	if got := tables(p.Markdown()); got != 8 { // who reaches what, guard, three policies, forwards, sets, host
		t.Errorf("%d tables", got)
	}
	if strings.Count(p.Markdown(), "\n```") != 2 {
		t.Errorf("the drawing is not alone in its fence:\n%s", p.Markdown())
	}
}

// What decides elsewhere than in a policy is said: narrower policies that cover it, the guard,
// and sets whose contents nobody knows.
func TestDecidedElsewhere(t *testing.T) {
	const head = "host {\n  external = [\"eth0\"]\n  unlisted = \"%s\"\n}\n"
	for _, test := range []struct{ what, unlisted, policy, has, not string }{
		{"covered by narrower policies", "deny", "policy \"mixed\" {\n ports = [80, 81]\n allow { sources = any }\n}\npolicy \"p80\" {\n ports = [80]\n}\npolicy \"p81\" {\n ports = [81]\n}\n",
			"narrower policies decide about all of it: [p80](#policy-p80), [p81](#policy-p81)", ""},
		{"a guard that lets in", "deny", "guard {\n allow { sources = [\"192.0.2.1\"] }\n}\n",
			"dropped on its way to a container, in IPv4 and IPv6, for sources about which the guard does not decide", ""},
		{"a guard that denies", "allow", "guard {\n deny { sources = [\"192.0.2.1\"] }\n}\npolicy \"w\" {\n ports = [80]\n address = [\"198.51.100.1\"]\n}\n",
			"no policy names it, so it is left to Docker, for sources about which the guard does not decide", ""},
		{"a guard that denies what is denied", "deny", "guard {\n deny { sources = [\"192.0.2.1\"] }\n}\n", "Before every policy", "about which the guard"},
		{"a set that is filled at run time", "deny", "set \"crowd\" { ipset = \"crowd\" }\nguard {\n deny { sources = set.crowd }\n}\npolicy \"w\" {\n ports = [80]\n allow { sources = any }\n}\n",
			"not known, and they count as empty: crowd.", ""},
		{"no such set", "deny", "policy \"w\" {\n ports = [80]\n allow { sources = any }\n}\n", "outcome of all rules", "count as empty"},
	} {
		p := made(t, "policy.hcl", fmt.Sprintf(head, test.unlisted)+test.policy)
		sound(t, p)
		if text := p.Markdown(); !strings.Contains(text, test.has) || test.not != "" && strings.Contains(text, test.not) {
			t.Errorf("%s:\n%s", test.what, text)
		}
		if text := p.SVG(); strings.Contains(test.has, "dropped") && !strings.Contains(strings.Join(strings.Fields(text), " "), "about which the guard") {
			t.Errorf("%s:\n%s", test.what, text)
		}
		if _, err := p.Site(); err != nil {
			t.Errorf("%s: %v", test.what, err)
		}
	}
}

// Generators of sites find none of their own marks in what people wrote.
func TestNoTemplates(t *testing.T) {
	p := made(t, "policy.hcl", manyPolicies(1))
	p.Title, p.Policies[0].Place, p.Policies[0].Description = "{% y %}{{ x }}.hcl", "{% y %}:1", "100%} {%% off {# z #}"
	for _, mark := range []string{"{%", "{{", "{#", "%}", "}}"} {
		if text := p.Markdown(); strings.Contains(text, mark) {
			t.Errorf("%s is in\n%s", mark, text)
		}
	}
}

// Files of a site differ in more than the case of letters.
func TestSiteFilesInAnyCase(t *testing.T) {
	p := made(t, "policy.hcl", "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\nset \"office\" { sources = [\"192.0.2.1\"] }\nset \"Office\" { sources = [\"192.0.2.2\"] }\nset \"OFFICE\" { sources = [\"192.0.2.3\"] }\n")
	files, err := p.Site()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, f := range files {
		if other := seen[strings.ToLower(f.Name)]; other != "" {
			t.Errorf("%s and %s", other, f.Name)
		}
		seen[strings.ToLower(f.Name)] = f.Name
	}
	if len(seen) < 6 {
		t.Errorf("%v", seen)
	}
}

// manyPolicies are so many, of all degrees of openness.
func manyPolicies(n int) string {
	var b strings.Builder
	b.WriteString("host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\n")
	for i := range n {
		fmt.Fprintf(&b, "policy \"p%d\" {\n  ports = [%d]\n  %s\n}\n", i, 1000+i, []string{
			"allow { sources = any }", "allow { sources = [\"192.0.2.0/24\"] }", "", "default = \"allow\"\n deny { sources = [\"192.0.2.7\", \"2001:db8::7\"] }",
			"address = [\"203.0.113.7\"]\n allow { sources = any }"}[i%5])
	}
	return b.String()
}

// A hundred policies: each is listed in the contents by its kind, in the table and as an entry
// that is folded.
func TestHundredPolicies(t *testing.T) {
	text := sound(t, made(t, "policy.hcl", manyPolicies(100)))
	names := pagetest.Text(text, func(n *html.Node) bool {
		return n.Data == "a" && n.Parent.Data == "li" && pagetest.Attr(n.Parent.Parent, "class") == "names"
	})
	entries := pagetest.Text(text, func(n *html.Node) bool { return n.Data == "h3" })
	folded := pagetest.Text(text, func(n *html.Node) bool {
		return n.Data == "details" && pagetest.Attr(n, "class") == "entry" && !slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "open" })
	})
	if len(names) != 100 || len(entries) != 100 || len(folded) != 100 {
		t.Errorf("%d names, %d entries, %d folded", len(names), len(entries), len(folded))
	}
	groups := pagetest.Text(text, func(n *html.Node) bool { return pagetest.Attr(n, "scope") == "rowgroup" })
	want := []string{"Open to everybody (40)", "Open to everybody with exceptions (20)", "Open to some (20)", "Open to nobody (20)"}
	if !slices.Equal(groups, want) {
		t.Errorf("groups %q, want %q", groups, want)
	}
	if len(text) > 200_000 {
		t.Errorf("the page has %d bytes", len(text))
	}
}

// A long list is there in full: the first few at once, the others to be opened.
func TestLongLists(t *testing.T) {
	var list []string
	for i := range 300 {
		list = append(list, fmt.Sprintf("10.%d.%d.1", i/200, i%200))
	}
	dir := t.TempDir()
	for name, src := range map[string]string{"list.txt": strings.Join(list[150:], "\n"),
		"policy.hcl": "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\nset \"s\" {\n  files = [\"list.txt\"]\n}\npolicy \"p\" {\n  ports = [80]\n  allow { sources = [set.s, \"" + strings.Join(list[:150], `", "`) + "\"] }\n}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	loaded, diags := schema.Load(dir, schema.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	p := of(t, loaded)
	text := sound(t, p)
	who := pagetest.Text(text, func(n *html.Node) bool { return n.Data == "dd" && before(n) == "IPv4" })
	rules := pagetest.Text(text, func(n *html.Node) bool { return n.Data == "dd" && before(n) == "Rules" })
	sets := pagetest.Text(text, func(n *html.Node) bool { return n.Data == "dd" && before(n) == "s" })
	cells := pagetest.Text(pagetest.Rendered(p.Markdown()), func(n *html.Node) bool { return n.Data == "tr" })
	has := func(what string, text string, wanted []string) {
		words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
		for _, a := range wanted {
			if !slices.Contains(words, a) {
				t.Errorf("%s: %s is not in %s", what, a, text)
				return
			}
		}
	}
	has("who", strings.Join(who, " "), list)
	has("rules", strings.Join(rules, " "), list[:150])
	has("the set", strings.Join(sets, " "), list[150:])
	has("Markdown", strings.Join(cells, " "), list)
	if !strings.Contains(text, "<summary>and 292 more</summary>") {
		t.Error("292 addresses are not to be opened")
	}
}
