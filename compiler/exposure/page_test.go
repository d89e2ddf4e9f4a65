package exposure

import (
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/page"
	"github.com/seawall/seawall/compiler/page/pagetest"
	"golang.org/x/net/html"
)

// sound holds the pages of a report against parsers, and returns the HTML.
func sound(t *testing.T, r *Report) string {
	t.Helper()
	text, err := r.HTML()
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range pagetest.HTML(text) {
		t.Errorf("HTML: %s", wrong)
	}
	for _, wrong := range pagetest.Markdown(r.Markdown()) {
		t.Errorf("Markdown: %s", wrong)
	}
	for _, family := range []string{"IPv4", "IPv6"} {
		cells := pagetest.Text(text, func(n *html.Node) bool { return n.Data == "td" && pagetest.Attr(n, "data-label") == family })
		if len(cells) < len(r.Ports) || slices.Contains(cells, "") {
			t.Errorf("%d ports, and %s has %q", len(r.Ports), family, cells)
		}
	}
	return text
}

// The pages of captured hosts are sound, and what is open to everybody comes first.
func TestPages(t *testing.T) {
	for _, engine := range []string{"engine-20.10-two-networks", "engine-26.1-modes", "engine-28.5-modes", "engine-29-modes", "engine-29-published-8080"} {
		t.Run(engine, func(t *testing.T) {
			text := sound(t, ofHost(t, capture(t, engine, nil, nil)))
			groups := pagetest.Text(text, func(n *html.Node) bool { return n.Data == "dt" })
			if groups[0] != "Open to everybody" {
				t.Errorf("first comes %q", groups[0])
			}
		})
	}
	if text := sound(t, &Report{}); !strings.Contains(text, "No port is published.") {
		t.Error(text)
	}
}

// The rule that keeps somebody out is there to be opened, with those it keeps out.
func TestDecidingRules(t *testing.T) {
	drop := "-A DOCKER-USER -s 192.0.2.0/24 -i eth0 -j DROP"
	r := ofHost(t, capture(t, "engine-29-published-8080", strings.NewReplacer("-A FORWARD -j DOCKER-USER\n", "-A FORWARD -j DOCKER-USER\n"+drop+"\n"), nil))
	text := sound(t, r)
	for _, want := range []string{"<dt>drops <code>192.0.2.0/24</code></dt><dd><code>-t filter " + drop + "</code></dd>",
		"<dt>Open to everybody</dt>", // over docker-proxy, IPv6
		"everybody except <code>192.0.2.0/24</code> <span class=\"soft\">over DNAT</span>"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text[strings.Index(text, "<h1>"):])
		}
	}
}

// Names of containers, comments of rules and all else that others wrote stay text.
func TestHostilePage(t *testing.T) {
	evil := "<script>x</script>|`[a](b) \x1b[31m\u202e\u200b\n\n# h\n@team \\| ``` <!--"
	r := ofHost(t, capture(t, "engine-29-modes", nil, nil))
	for i, p := range r.Ports {
		p.ContainerName, p.Bridge = evil, evil
		for j := range p.Ways {
			w := &p.Ways[j]
			w.Interface, w.Address, w.To = evil, evil, evil
			w.Doubts = []Doubt{{Table: "raw", Rule: evil}, {Why: evil}}
			w.Decided = []Decision{{Rule: evil}}
			w.Undecided = i%2 == 0
		}
	}
	r.Notes = []string{evil}
	text := sound(t, r)
	notes := pagetest.Text(pagetest.Rendered(r.Markdown()), func(n *html.Node) bool { return n.Data == "p" })
	if want := "Note: " + page.Prose(evil) + "."; !slices.Contains(notes, want) {
		t.Errorf("no paragraph of %q reads %q", notes, want)
	}
	if n := len(pagetest.Text(pagetest.Rendered(r.Markdown()), func(n *html.Node) bool { return n.Data == "table" })); n != 1 {
		t.Errorf("%d tables", n)
	}
	if !strings.Contains(text, `\u202e`) {
		t.Error("the mark of direction is not shown")
	}
}
