package compiler_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/schema"
)

// A source that comes or goes changes few lines of a large file, in every layout
// but flat, where it is one rule of many that stay.
func TestSmallChangesStaySmall(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 0))
	var sources []string
	for range 10_000 {
		sources = append(sources, fmt.Sprintf("%d.%d.%d.0/24", 1+r.IntN(223), r.IntN(256), r.IntN(256)))
	}
	for _, layout := range []lower.Layout{lower.Flat, lower.Indexed, lower.IPSet} {
		before := linesOf(t, sources, layout)
		most := 0
		for n := range 12 {
			changed := append([]string{}, sources...)
			at := r.IntN(len(changed))
			if n%2 == 0 {
				changed = append(changed[:at], changed[at+1:]...)
			} else {
				changed[at] = fmt.Sprintf("%d.%d.%d.0/24", 1+r.IntN(223), r.IntN(256), r.IntN(256))
			}
			most = max(most, different(before, linesOf(t, changed, layout)))
		}
		total := 0
		for _, n := range before {
			total += n
		}
		t.Logf("%s: a change of one of 10,000 sources changes at most %d of %d lines", layout, most, total)
		if most*100 > total {
			t.Errorf("%s: %d of %d lines are more than one in a hundred", layout, most, total)
		}
	}
}

// linesOf counts the lines of all IPv4 text that a list of sources compiles to.
func linesOf(t *testing.T, sources []string, layout lower.Layout) map[string]int {
	t.Helper()
	text := fmt.Sprintf("host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\npolicy \"p\" {\n  ports = [80]\n  allow { sources = [\"%s\"] }\n}\n", strings.Join(sources, "\", \""))
	loaded, diags := schema.Load("-", schema.Options{Stdin: strings.NewReader(text)})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	out, err := compiler.Emit(loaded.Document, compiler.Options{Format: emit.Restore, Layout: layout})
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]int{}
	for _, f := range out.Files {
		if f.Name != "rules.v6" {
			for _, l := range strings.Split(string(f.Bytes), "\n") {
				lines[l]++
			}
		}
	}
	return lines
}

// different counts the lines that came and those that went.
func different(a, b map[string]int) int {
	n := 0
	for l, k := range a {
		n += max(0, k-b[l])
	}
	for l, k := range b {
		n += max(0, k-a[l])
	}
	return n
}

// A line on top of a policy file changes no line of what it compiles to, in any format and
// layout; a policy that is added changes its own lines and no other's.
func TestALineOnTopChangesNothing(t *testing.T) {
	policy := func(n int) string {
		var sources []string
		for k := range 20 {
			sources = append(sources, fmt.Sprintf("10.%d.%d.0/24", n, 2*k))
		}
		return fmt.Sprintf("policy \"p%d\" {\n  ports = [%d]\n  allow { sources = [\"%s\"] }\n}\n", n, 1000+10*n, strings.Join(sources, "\", \""))
	}
	text := "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\nguard {\n  deny { sources = [\"192.0.2.0/24\"] }\n}\n"
	for n := range 40 {
		text += policy(n)
	}
	for _, layout := range lower.Layouts {
		for _, format := range emit.Formats() {
			opt := compiler.Options{Format: format, Layout: layout, Source: "policy.hcl"}
			before := filesOf(t, text, opt)
			if after := filesOf(t, "# Who may reach what.\n\n"+text, opt); after != before {
				t.Errorf("%s, %s: a comment on top of the policy changes the file", layout, format.Name)
			}
			opt.Comments = lower.Lines
			if lines := filesOf(t, text, opt); !strings.Contains(lines, "# policy p39 (policy.hcl:164)") && layout == lower.Flat {
				t.Errorf("%s, %s: no line of the policy file is named", layout, format.Name)
			}
		}
	}
}

func filesOf(t *testing.T, text string, opt compiler.Options) string {
	t.Helper()
	loaded, diags := schema.Parse("policy.hcl", []byte(text), schema.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	out, err := compiler.Emit(loaded.Document, opt)
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for _, f := range out.Files {
		all += string(f.Bytes)
	}
	return all
}
