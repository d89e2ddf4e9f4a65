package diff

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/page/pagetest"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
	"golang.org/x/net/html"
)

// between is the report on the change of one policy to another.
func between(t *testing.T, before, after string) *Report {
	t.Helper()
	sides := Sides{}
	var docs [2]*schema.Document
	for i, src := range []string{before, after} {
		loaded, diags := schema.Parse("policy.hcl", []byte(src), schema.Options{})
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		docs[i] = loaded.Document
	}
	for _, f := range packet.Families {
		sides[f] = [2]prove.Side{{Policy: docs[0]}, {Policy: docs[1]}}
	}
	r, err := Meaning(context.Background(), sides, prove.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// policies are three with these sources.
func policies(admin, db, web string) string {
	return fmt.Sprintf(`host {
  external = ["eth0"]
  unlisted = "deny"
}
policy "admin" {
  ports = [9443]
  allow { sources = %s }
}
policy "db" {
  ports = [5432]
  allow {
    sources = ["10.0.0.0/8"]
    except  = %s
  }
}
policy "web" {
  ports = [80]
  allow { sources = %s }
}
`, admin, db, web)
}

// sound is a report's page, held against a parser.
func sound(t *testing.T, r *Report) string {
	t.Helper()
	text, err := r.HTML()
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range pagetest.HTML(text) {
		t.Error(wrong)
	}
	return text
}

// What opened comes first, the widest first of all; then what closed. An exception that was
// made smaller is one row.
func TestPage(t *testing.T) {
	r := between(t, policies(`["192.0.2.0/24"]`, `["10.8.0.0/16"]`, "any"), policies("any", `["10.8.13.0/24"]`, `["198.51.100.0/24"]`))
	r.Files = []File{{"iptables", "--- old/iptables\n+++ new/iptables\n@@ -1 +1 @@\n--A OLD\n+-A NEW\n"}, {"ip6tables", ""}}
	text := sound(t, r)
	heads := pagetest.Text(text, func(n *html.Node) bool { return n.Data == "h2" })
	if want := []string{"Opened to everybody", "Opened to some", "Closed", "Files"}; !slices.Equal(heads, want) {
		t.Errorf("%q, want %q", heads, want)
	}
	var rows []string
	for _, row := range pagetest.Text(text, func(n *html.Node) bool { return n.Data == "tr" && pagetest.Attr(n, "id") != "" }) {
		row, _, _ = strings.Cut(row, " an example")
		rows = append(rows, row)
	}
	want := []string{
		"1. policy admin tcp port 9443 everybody except 192.0.2.0/24 everybody dropped let through",
		"2. policy db tcp port 5432 10.8.0.0/16 except 10.8.13.0/24 no change dropped let through",
		"3. policy web tcp port 80 everybody except 198.51.100.0/24 everybody let through dropped",
	}
	if !slices.Equal(rows, want) {
		t.Errorf("%q, want %q", rows, want)
	}
	if !strings.Contains(text, `<span class="bad">--A OLD</span>`+"\n"+`<span class="good">+-A NEW</span>`) || strings.Contains(text, ">ip6tables<") {
		t.Error("the files are not as they should be")
	}
}

// No change, a family that one side does not have, and texts that others wrote.
func TestPageOfOddities(t *testing.T) {
	same := between(t, policies("any", `["10.8.0.0/16"]`, "any"), policies("any", `["10.8.0.0/16"]`, "any"))
	same.Families = same.Families[:1]
	text := sound(t, same)
	if !strings.Contains(text, "<p>The meaning is the same. Only IPv4 was compared.</p>") {
		t.Error(text[strings.Index(text, "<h1>"):])
	}
	evil := "</pre><script>x</script>\x1b[2J\u202e|`\xff"
	odd := between(t, policies("any", `["10.8.0.0/16"]`, "any"), policies(`["192.0.2.1"]`, `["10.8.0.0/16"]`, "any"))
	odd.Files = []File{{evil, "--- a\n+++ b\n@@ -1 +1 @@\n-" + evil + "\r\n+\t" + evil + "\n"}}
	for _, x := range odd.Items {
		x.Targets = []Target{{Policy: evil, What: []What{{evil, []string{evil}}}}}
	}
	for _, wrong := range pagetest.Markdown(odd.Markdown()) {
		t.Error(wrong)
	}
	text = sound(t, odd)
	if !strings.Contains(text, `&lt;script&gt;x&lt;/script&gt;\u001b[2J\u202e|`) {
		t.Error("what others wrote is not shown")
	}
}
