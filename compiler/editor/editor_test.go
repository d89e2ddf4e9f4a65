package editor_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler/editor"
	"github.com/seawall/seawall/schema"
	"pgregory.net/rapid"
)

// mark is where the cursor stands in a text of a test.
const mark = "‸"

// opened is a policy of one file with the cursor in it.
func opened(t *testing.T, name, text string) (p *editor.Policy, file string, at int) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, name)
	at = strings.Index(text, mark)
	src := strings.Replace(text, mark, "", 1)
	if err := os.WriteFile(file, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	return editor.Read(dir, schema.Options{}), file, at
}

const host = "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\n"

func TestComplete(t *testing.T) {
	const names = `
variable "port" { default = 80 }
locals { lan = ["10.0.0.0/8"] }
set "office" { sources = ["192.0.2.0/24"] }
`
	for _, test := range []struct{ what, text, want, not string }{
		{"a block at the top", names + "‸", "host variable locals set guard policy forward test", "allow ports"},
		{"a block at the top, begun", names + "pol‸", "policy", "allow"},
		{"attributes and blocks", "policy \"web\" {\n  ‸\n}", "ports address external description default for_each allow deny", "policy sources"},
		{"not what is there", "policy \"web\" {\n  ports = [80]\n  ‸\n}", "default allow", "ports"},
		{"a block of a block", "policy \"web\" {\n  ports = [80]\n  allow {\n    ‸\n  }\n}", "sources except log accept", "ports reject"},
		{"after a block", "policy \"web\" {\n  ports = [80]\n  allow {\n    sources = any\n  }\n  ‸", "default deny", "ports sources"},
		{"in an unfinished block", "policy \"web\" {\n  ports = [80]\n  deny {\n    re‸", "reject sources", "ports"},
		{"a dynamic block", "policy \"web\" {\n  dynamic \"allow\" {\n    for_each = []\n    content {\n      ‸", "sources except", "ports"},
		{"words", "host {\n  unlisted = ‸", `"deny" "reject" "allow"`, "any set.office true"},
		{"words in quotes", "host {\n  unlisted = \"‸\"\n}", "deny reject allow", `"deny"`},
		{"words in quotes that are not closed", "host {\n  established = \"ke‸", "check keep accept", ""},
		{"a boolean", "host {\n  userland_proxy = ‸", "true false", "any"},
		{"sources", names + "policy \"web\" {\n  ports = [80]\n  allow {\n    sources = ‸", "any set.office var.port local.lan concat", `"deny"`},
		{"sources in a list", names + "policy \"web\" {\n  allow {\n    sources = [\"10.0.0.1\", ‸", "any set.office local.lan", "true"},
		{"a set", names + "policy \"web\" {\n  allow {\n    sources = set.‸", "office", "port lan any"},
		{"a set, begun", names + "policy \"web\" {\n  allow {\n    sources = [set.of‸", "office", "port"},
		{"a variable", names + "policy \"web\" {\n  ports = [var.‸", "port", "office lan"},
		{"a local in a call", names + "policy \"web\" {\n  allow {\n    sources = concat(local.‸", "lan", "office"},
		{"a name in a string", names + "policy \"web\" {\n  description = \"port ${var.‸", "port", "office"},
		{"each", "policy \"web\" {\n  for_each = {}\n  ports = [each.‸", "key value", "office"},
		{"no ports from a set", names + "policy \"web\" {\n  ports = [set.‸", "", "office"},
		{"not in a comment", names + "# pol‸", "", "policy host"},
		{"not in a label", "policy \"w‸", "", "policy host"},
		{"not between label and brace", "policy \"web\" ‸", "", "policy host"},
		{"after an object", names + "locals {\n  m = {\n    a = 1\n  }\n  n = ‸", "local.lan set.office var.port", "true"},
		{"after a comment with a brace", names + "# policy {\n‸", "policy host", "ports"},
		{"after a string with a brace", "locals { x = \"{\" }\n‸", "policy host", "ports"},
		{"in an open comment", names + "/* set.‸", "", "office"},
		{"no name that cannot follow a dot", names + "set \"a.b\" {}\npolicy \"web\" {\n  allow {\n    sources = set.‸", "office", "a.b"},
		{"such a name in brackets", names + "set \"a.b\" {}\npolicy \"web\" {\n  allow {\n    sources = ‸", "set.office set[\"a.b\"]", "set.a.b"},
		{"types", "variable \"x\" {\n  type = ‸", "string list(string) bool", "abs var.x"},
		{"in a heredoc", "locals {\n x = <<E\n pol‸", "", "policy"},
	} {
		t.Run(test.what, func(t *testing.T) {
			p, file, at := opened(t, "policy.hcl", test.text)
			list, replaced := p.Complete(file, at)
			var labels []string
			for _, c := range list {
				labels = append(labels, c.Label)
			}
			for _, want := range strings.Fields(test.want) {
				if !slices.Contains(labels, want) {
					t.Errorf("no %s among %q", want, labels)
				}
			}
			for _, not := range strings.Fields(test.not) {
				if slices.Contains(labels, not) {
					t.Errorf("%s is there", not)
				}
			}
			src, _ := p.Text(file)
			if word := string(src[replaced.Start.Byte:replaced.End.Byte]); replaced.End.Byte != at || strings.ContainsAny(word, " \n.=[") {
				t.Errorf("%q is replaced", word)
			}
		})
	}
}

// Whatever is completed in a place where something may stand leads to a text without a new
// syntax error, once its snippet is filled in.
func TestCompletedTextParses(t *testing.T) {
	for _, text := range []string{host + "‸\n", host + "policy \"web\" {\n  ports = [80]\n  ‸\n}\n", host + "policy \"web\" {\n  ports = [80]\n  allow {\n    ‸\n  }\n}\n"} {
		p, file, at := opened(t, "policy.hcl", text)
		src, _ := p.Text(file)
		list, _ := p.Complete(file, at)
		for _, c := range list {
			if c.Kind != editor.OfBlock {
				continue
			}
			filled := strings.NewReplacer("$0", "", "${1:", "", "${2:", "", "${3:", "", "}\"", "\"", "[443]}", "[443]", "any}", "any", "[]}", "[]", "\"]}", "\"]", "\"deny\"}", "\"deny\"", "\"\"}", "\"\"", "true}", "true").Replace(c.Snippet)
			whole := string(src[:at]) + filled + string(src[at:])
			if _, diags := schema.Format("policy.hcl", []byte(whole)); diags.HasErrors() {
				t.Errorf("%s: %v\n%s", c.Label, diags, filled)
			}
		}
	}
}

func TestHover(t *testing.T) {
	const policy = host + `
variable "port" {
  type        = number
  default     = 8080
  description = "where the site is"
}
locals { lan = ["10.0.0.0/8"] }
set "office" { sources = ["192.0.2.0/28", "198.51.100.7"] }
policy "web" {
  ports = [var.port]
  allow { sources = concat([set.office], ["203.0.113.0/24"]) }
}
policy "api" {
  ports = [9090]
  allow { sources = ["203.0.113.0/25"] }
  deny { sources = local.lan }
}
`
	for _, test := range []struct{ at, want string }{
		{"pol‸icy \"web\"", "**policy** (any number)"},
		{"policy \"w‸eb\"", "Reached over IPv4 by 192.0.2.0/28, 198.51.100.7, 203.0.113.0/24."},
		{"por‸ts = [var.port]", "Published ports: `443`"},
		{"[var.po‸rt]", "where the site is"},
		{"variable \"por‸t\"", "8080"},
		{"set.off‸ice", "IPv4: 17 addresses of 2 networks, 192.0.2.0/28, 198.51.100.7\n- IPv6: nobody"},
		{"local.la‸n", "[\"10.0.0.0/8\"]"},
		{"conc‸at(", "Concatenates"},
		{"\"203.0.113‸.0/25\"", "policy web, allow: within 203.0.113.0/24"},
		{"unlis‸ted", "Required."},
	} {
		before, after, _ := strings.Cut(test.at, mark)
		i := strings.Index(policy, before+after)
		if i < 0 {
			t.Fatalf("%q is not in the policy", test.at)
		}
		text := policy[:i+len(before)] + mark + policy[i+len(before):]
		p, file, at := opened(t, "policy.hcl", text)
		got, _, err := p.Hover(context.Background(), file, at)
		if err != nil || !strings.Contains(strings.ToLower(got), strings.ToLower(test.want)) {
			t.Errorf("%s: %v\n%s\nwant %s", test.at, err, got, test.want)
		}
	}
}

// renamed applies edits to the text of a policy's file.
func renamed(t *testing.T, src []byte, file string, edits []editor.Edit) string {
	t.Helper()
	edits = slices.Clone(edits)
	slices.SortFunc(edits, func(a, b editor.Edit) int { return b.At.Start.Byte - a.At.Start.Byte })
	for _, e := range edits {
		if e.At.Filename == file {
			src = slices.Concat(src[:e.At.Start.Byte], []byte(e.Text), src[e.At.End.Byte:])
		}
	}
	return string(src)
}

func TestRename(t *testing.T) {
	for _, test := range []struct{ what, name, text, to, want, fails string }{
		{"a set where it is used", "policy.hcl", host + "set \"office\" { sources = [\"10.0.0.1\"] }\npolicy \"p\" {\n ports = [80]\n allow { sources = [set.off‸ice, set[\"office\"]] }\n}\n", "hq",
			host + "set \"hq\" { sources = [\"10.0.0.1\"] }\npolicy \"p\" {\n ports = [80]\n allow { sources = [set.hq, set[\"hq\"]] }\n}\n", ""},
		{"a local", "policy.hcl", "locals {\n  a‸ = 1\n  b = \"x${local.a}\"\n}\n", "first", "locals {\n  first = 1\n  b = \"x${local.first}\"\n}\n", ""},
		{"a policy", "policy.hcl", "policy \"w‸eb\" {}\n", "site", "policy \"site\" {}\n", ""},
		{"in JSON", "policy.hcl.json", "{\"set\": {\"off‸ice\": {\"sources\": [\"10.0.0.1\"]}}, \"policy\": {\"p\": {\"ports\": [80], \"allow\": {\"sources\": \"${set.office}\"}}}}", "hq",
			"{\"set\": {\"hq\": {\"sources\": [\"10.0.0.1\"]}}, \"policy\": {\"p\": {\"ports\": [80], \"allow\": {\"sources\": \"${set.hq}\"}}}}", ""},
		{"nothing", "policy.hcl", "ho‸st {}\n", "x", "", "no name here"},
		{"a name that does not exist", "policy.hcl", "locals { a = set.no‸ne }\n", "x", "", "no name here"},
		{"to a name that is taken", "policy.hcl", "set \"a‸\" {}\nset \"b\" {}\n", "b", "", "already defined"},
		{"to what is no name", "policy.hcl", "set \"a‸\" {}\n", "no name", "", "not a valid name"},
		{"to a name with a dot", "policy.hcl", "set \"a‸\" {}\n", "a.b", "", "cannot stand after a dot"},
		{"to a long name", "policy.hcl", "set \"a‸\" {}\n", strings.Repeat("a", 64), "", "too long"},
		{"used by a name that is worked out", "policy.hcl", "set \"a‸\" {}\npolicy \"p\" {\n  for_each = toset([\"a\"])\n  allow { sources = try(set[each.key], any) }\n}\n", "b", "", "policy.hcl:4 uses a set by a name that is worked out"},
		{"looked up", "policy.hcl", "variable \"a‸\" {}\nlocals { x = lookup(var, \"a\", 1) }\n", "b", "", "policy.hcl:2 uses a variable"},
		{"among all", "policy.hcl", "locals {\n  a‸ = 1\n  b = [for k, v in local : v]\n}\n", "c", "", "policy.hcl:3 uses a local"},
		{"an element that is called set", "policy.hcl", "set \"value\" {}\nset \"b‸\" {}\npolicy \"p\" {\n  dynamic \"deny\" {\n    for_each = [\"10.0.0.1\"]\n    iterator = set\n    content { sources = [set.value] }\n  }\n}\n", "c",
			"set \"value\" {}\nset \"c\" {}\npolicy \"p\" {\n  dynamic \"deny\" {\n    for_each = [\"10.0.0.1\"]\n    iterator = set\n    content { sources = [set.value] }\n  }\n}\n", ""},
		{"at an element that is called set", "policy.hcl", "set \"value\" {}\npolicy \"p\" {\n  dynamic \"deny\" {\n    for_each = [\"10.0.0.1\"]\n    iterator = set\n    content { sources = [set.val‸ue] }\n  }\n}\n", "c", "", "no name here"},
		{"in a text that does not parse", "policy.hcl", "set \"a‸\" {}\nset \"b\" { sources = [set.a, }\n", "c", "", "cannot be read as a whole"},
		{"to nothing", "policy.hcl", "set \"a‸\" {}\n", "", "", "not a valid name"},
	} {
		t.Run(test.what, func(t *testing.T) {
			p, file, at := opened(t, test.name, test.text)
			edits, err := p.Rename(file, at, test.to)
			if test.fails != "" {
				if err == nil || !strings.Contains(err.Error(), test.fails) {
					t.Errorf("%v, want %q", err, test.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			src, _ := p.Text(file)
			if diff := cmp.Diff(test.want, renamed(t, src, file, edits)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A variable is renamed in the variable files too.
func TestRenameInVariableFiles(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"policy.hcl":         host + "variable \"net\" {}\npolicy \"p\" {\n  ports = [80]\n  allow { sources = [var.net] }\n}\n",
		"db1.vars.hcl":       "net = \"10.0.0.1\"\n",
		"db2.vars.json":      "{\"net\": \"10.0.0.2\"}\n",
		"hosts/db3.vars.hcl": "net = \"10.0.0.3\"\n",
	}
	if err := os.Mkdir(filepath.Join(dir, "hosts"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := editor.Read(dir, schema.Options{VarFiles: []string{filepath.Join(dir, "db1.vars.hcl")}})
	file := filepath.Join(dir, "policy.hcl")
	edits, err := p.Rename(file, strings.Index(files["policy.hcl"], "var.net")+5, "network")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		want := strings.NewReplacer("\"net\" {", "\"network\" {", "var.net", "var.network", "net = \"", "network = \"", "\"net\":", "\"network\":").Replace(text)
		if got := renamed(t, []byte(text), filepath.Join(dir, name), edits); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := p.References(file, edits[0].At.Start.Byte, true); len(got) != len(edits) {
		t.Errorf("%d references, %d edits", len(got), len(edits))
	}
	given := editor.Read(dir, schema.Options{Vars: []string{"net=10.0.0.9"}})
	if _, err := given.Rename(file, strings.Index(files["policy.hcl"], "var.net")+5, "network"); err == nil {
		t.Error("a variable that the settings give a value is renamed")
	}
}

func TestDefinitionAndReferences(t *testing.T) {
	p, file, at := opened(t, "policy.hcl", host+"set \"a\" { sources = [\"10.0.0.1\"] }\nset \"b\" { sources = [set.a] }\npolicy \"p\" {\n  ports = [80]\n  allow { sources = [set.‸a, set.b] }\n}\n")
	src, _ := p.Text(file)
	if got := p.Definition(file, at); len(got) != 1 || got[0].Start.Line != 5 || string(src[got[0].Start.Byte:got[0].End.Byte]) != "a" {
		t.Errorf("definition %v", got)
	}
	if got := p.References(file, at, true); len(got) != 3 {
		t.Errorf("references %v", got)
	}
}

// The edits of Format make what seawall fmt makes.
func TestFormatIsFmt(t *testing.T) {
	line := rapid.SampledFrom([]string{"host {", "}", "  a=1", "a = [1,2,\n 3]", "", "  # x", "set \"a\" { sources=[\"10.0.0.1\"] }", "bb  = \"é😀\"", "\t x = 1 // y"})
	rapid.Check(t, func(t *rapid.T) {
		src := strings.Join(rapid.SliceOf(line).Draw(t, "lines"), "\n")
		want, diags := schema.Format("p.hcl", []byte(src))
		edits := editor.Format("p.hcl", []byte(src))
		if diags.HasErrors() {
			if edits != nil {
				t.Fatal("a text that does not parse was changed")
			}
			return
		}
		got := src
		for _, e := range edits {
			got = src[:e.At.Start.Byte] + e.Text + src[e.At.End.Byte:]
		}
		if got != string(want) {
			t.Fatalf("%q\n%q\n%q", src, got, want)
		}
	})
}

func TestFixes(t *testing.T) {
	const web = "policy \"p\" {\n  ports = [80]\n  allow { sources = any }\n}\n"
	for _, test := range []struct{ what, text, fix, want string }{
		{"a mistyped name", host + "set \"office\" { sources = [\"10.0.0.1\"] }\npolicy \"p\" {\n  ports = [80]\n  allow { sources = set.ofice }\n}\n", `Replace "ofice" with "office"`,
			host + "set \"office\" { sources = [\"10.0.0.1\"] }\npolicy \"p\" {\n  ports = [80]\n  allow { sources = set.office }\n}\n"},
		{"a mistyped word", "host {\n  external = [\"eth0\"]\n  unlisted = \"denny\"\n}\n" + web, `Replace "denny" with "deny"`, host + web},
		{"an unused set", host + "set \"office\" {\n  sources = [\"10.0.0.1\"]\n}\n" + web, "Remove the block", host + web},
		{"a block without effect", host + "policy \"p\" {\n  ports = [80]\n  allow { sources = any }\n  deny { sources = [\"10.0.0.1\"] }\n}\n", "Remove the block", host + web},
		{"an except without effect", host + "policy \"p\" {\n  ports = [80]\n  allow {\n    sources = [\"10.0.0.1\"]\n    except = [\"10.0.0.2\"]\n  }\n}\n", "Remove except",
			host + "policy \"p\" {\n  ports = [80]\n  allow {\n    sources = [\"10.0.0.1\"]\n  }\n}\n"},
		{"a source that no packet has", host + "policy \"p\" {\n  ports = [80]\n  allow { sources = [\"10.0.0.1\", \"127.0.0.1\", \"10.0.0.2\"] }\n}\n", `Remove "127.0.0.1"`,
			host + "policy \"p\" {\n  ports = [80]\n  allow { sources = [\"10.0.0.1\", \"10.0.0.2\"] }\n}\n"},
		{"the first source", host + "policy \"p\" {\n  ports = [80]\n  allow { sources = [\"127.0.0.1\", \"10.0.0.2\"] }\n}\n", `Remove "127.0.0.1"`,
			host + "policy \"p\" {\n  ports = [80]\n  allow { sources = [\"10.0.0.2\"] }\n}\n"},
		{"a comment without effect", host + "# seawall:ignore\n" + web, "Remove the comment", host + web},
		{"a comment after something", host + "policy \"p\" { # seawall:ignore\n  ports = [80]\n  allow { sources = any }\n}\n", "Remove the comment", host + web},
		{"an interface that is not external", "host {\n  external = [\"eth+\"]\n  internal = [\"wg0\", \"eth9\"]\n  unlisted = \"deny\"\n}\n" + web, `Remove "wg0"`,
			"host {\n  external = [\"eth+\"]\n  internal = [\"eth9\"]\n  unlisted = \"deny\"\n}\n" + web},
		{"the host's own connections", "host {\n  external = [\"+\"]\n  unlisted = \"deny\"\n}\n" + web, `Add "lo" to internal`, "host {\n  external = [\"+\"]\n  internal = [\"lo\"]\n  unlisted = \"deny\"\n}\n" + web},
		{"a finding that is meant", host + "policy \"db\" {\n  ports = [5432]\n  allow { sources = any }\n}\n", "Ignore SW007 here, with a reason",
			host + "# seawall:ignore SW007 say why\npolicy \"db\" {\n  ports = [5432]\n  allow { sources = any }\n}\n"},
	} {
		t.Run(test.what, func(t *testing.T) {
			p, file, _ := opened(t, "policy.hcl", test.text)
			fixes := p.Fixes(file, 0, len(test.text))
			var names []string
			for _, f := range fixes {
				names = append(names, f.Name)
				if f.Name != test.fix {
					continue
				}
				got := renamed(t, []byte(test.text), file, f.Edits)
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Error(diff)
				}
				after, file, _ := opened(t, "policy.hcl", got)
				if after.Mistakes.HasErrors() {
					t.Error(after.Mistakes)
				}
				for _, again := range after.Fixes(file, 0, len(got)) {
					if again.Of.Summary == f.Of.Summary && again.Of.Subject.Start.Byte == f.Of.Subject.Start.Byte {
						t.Errorf("still there: %s", again.Of.Summary)
					}
				}
				return
			}
			t.Errorf("no fix %q among %q", test.fix, names)
		})
	}
}

// What a fix would remove must be all that the finding is about, and named nowhere else.
func TestNoFixes(t *testing.T) {
	const deny = "policy \"p\" {\n  ports = [80]\n  deny { sources = [%s, \"198.51.100.7\"] }\n  allow { sources = any }\n}\n"
	locals := "locals { bad = [\"127.0.0.1\", \"203.0.113.0/24\"] }\n"
	for _, test := range []struct{ what, text string }{
		{"a list by its name", locals + fmt.Sprintf(deny, "local.bad")},
		{"what a function makes", locals + fmt.Sprintf(deny, "concat(local.bad)...")},
		{"a list that is made", locals + fmt.Sprintf(deny, "[for x in local.bad : x]")},
		{"a list in a list", fmt.Sprintf(deny, "[\"127.0.0.1\", \"203.0.113.0/24\"]")},
		{"a text that is put together", fmt.Sprintf(deny, "\"${\"127.0.0.1\"}\"") + "locals { x = 1 }\n"},
		{"an unused set that another names", "set \"a\" { sources = [\"192.0.2.1\"] }\nlocals { x = [set.a] }\npolicy \"p\" {\n  ports = [80]\n  allow { sources = any }\n}\n"},
	} {
		p, file, _ := opened(t, "policy.hcl", host+test.text)
		for _, f := range p.Fixes(file, 0, len(host+test.text)) {
			if strings.HasPrefix(f.Name, "Remove") {
				t.Errorf("%s: %s", test.what, f.Name)
			}
		}
	}
}

func TestLenses(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"allow { sources = any }", "reachable by everybody"},
		{"", "reachable by nobody"},
		{"allow { sources = [\"192.0.2.0/28\", \"198.51.100.7\"] }", "reachable by 17 addresses of 2 networks over IPv4; everybody: no"},
		{"allow { sources = [\"192.0.2.7\"] }", "reachable by 1 address over IPv4; everybody: no"},
		{"allow { sources = [\"2001:db8::/64\"] }", "reachable by 1 network over IPv6; everybody: no"},
		{"allow { sources = [\"2001:db8::/64\", \"192.0.2.0/24\"] }", "reachable by 256 addresses of 1 network over IPv4 and 1 network over IPv6; everybody: no"},
		{"allow { sources = [\"0.0.0.0/0\"] }", "reachable by everybody over IPv4 alone"},
		{"default = \"allow\"\n  deny { sources = [\"192.0.2.7\"] }", "reachable by everybody except 1 network over IPv4 and everybody over IPv6"},
	} {
		p, file, _ := opened(t, "policy.hcl", host+"policy \"p\" {\n  ports = [80]\n  "+test.text+"\n}\n")
		lenses, err := p.Lenses(context.Background(), file)
		if err != nil || len(lenses) != 1 || lenses[0].Text != test.want {
			t.Errorf("%s: %v %v, want %s", test.text, lenses, err, test.want)
		}
	}
	for forward, want := range map[string]string{
		"from = \"eth0\"\n  to = \"docker0\"": "reachable by everybody", "from = \"eth0\"\n  to = \"+\"": "reachable by everybody",
		"from = \"eth0\"\n  to = \"br-1234\"\n  sources = [\"10.0.0.0/24\"]": "reachable by 256 addresses of 1 network over IPv4; everybody: no",
		"from = \"eth0\"\n  to = \"wg0\"":                                    "reachable by nobody", // which leads to no container
	} {
		p, file, _ := opened(t, "policy.hcl", host+"forward \"f\" {\n  "+forward+"\n}\npolicy \"p\" {\n  ports = [80]\n}\n")
		if lenses, err := p.Lenses(context.Background(), file); err != nil || len(lenses) != 1 || lenses[0].Text != want {
			t.Errorf("%s: %v %v, want %s", forward, lenses, err, want)
		}
	}
	p, file, _ := opened(t, "policy.hcl", host+"policy \"p\" {\n  for_each = { a = 80, b = 81 }\n  ports = [each.value]\n  allow { sources = any }\n}\n")
	lenses, _ := p.Lenses(context.Background(), file)
	if len(lenses) != 2 || lenses[0].Text != `p["a"]: reachable by everybody` {
		t.Errorf("%v", lenses)
	}
}

// A file with a host block of its own is a policy of its own beside another such file.
func TestPathOf(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := write("a.hcl", host)
	b := write("b.hcl", "policy \"p\" {}\n")
	if got := editor.PathOf(a, schema.Options{}); got != dir {
		t.Error(got)
	}
	unsaved := schema.Options{Unsaved: map[string][]byte{b: []byte(host)}}
	if got := editor.PathOf(a, unsaved); got != a {
		t.Error(got)
	}
	if got := editor.PathOf(b, unsaved); got != b {
		t.Error(got)
	}
	fresh := filepath.Join(dir, "new.hcl")
	p := editor.Read(dir, schema.Options{Unsaved: map[string][]byte{fresh: []byte("set \"s\" { sources = [\"10.0.0.1\"] }")}})
	if !p.Has(fresh) || len(p.Symbols(fresh)) != 1 {
		t.Error("a file that is only in the editor is not one of its folder")
	}
}

func TestIsForeign(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, host: false, "policy \"p\" {}": false, "set ": false,
		"variable \"x\" {}\n": true, "variable \"x\" {}\ntarget \"app\" {}\n": true, "locals { a = 1 }\nset \"a\" {}\n": false,
		"terraform {\n  source = \"x\"\n}\ninputs = {}\n": true, "job \"x\" {}\n": true, "inputs = {}\n": true, "job \"x\" {}\nhost {}\n": false,
	} {
		p, file, _ := opened(t, "x.hcl", text)
		if got := p.IsForeign([]string{file}); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
