package page

import (
	"html"
	"strings"
	"testing"
	"unicode"

	"github.com/seawall/seawall/compiler/page/pagetest"
	xhtml "golang.org/x/net/html"
	"pgregory.net/rapid"
)

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"web":                        "web",
		"Büro — 東京":                  "Büro — 東京",
		"\x1b[31mred\x07":            `\u001b[31mred\u0007`,
		"abc\u202egnp.exe":           `abc\u202egnp.exe`,
		"pay\u200bpal":               `pay\u200bpal`,
		"\ufeffx":                    `\ufeffx`,
		"a\nb\tc\r":                  `a\nb\tc\r`,
		"\x80\xff":                   `\x80\xff`,
		"a\u00a0b":                   `a\u00a0b`,
		"\u3164\u115f\u2800\u034f":   `\u3164\u115f\u2800\u034f`,
		"\U000e0041\ufe0f":           `\U000e0041\ufe0f`,
		"\u2028\u2029\u0085\u2066":   `\u2028\u2029\u0085\u2066`,
		"the real \ufffd stays":      "the real \ufffd stays",
		"\U0001f600 and \U000f0000.": "\U0001f600 and " + `\U000f0000.`,
	} {
		if got := Visible(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := Document("a\n\x1bb\r\n"); got != "a\n\\u001bb\\r\n" {
		t.Errorf("a document: %q", got)
	}
	if got := Prose(" a\n  b\u2028c\x1b"); got != `a b c\u001b` {
		t.Errorf("prose: %q", got)
	}
}

// hostile draws texts of what HTML and Markdown are made of.
func hostile(t *rapid.T) string {
	return strings.Join(rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom([]string{"|", "\\", "`", "``", "*", "**", "_", "[a](b)", "![a](b)", "<b>", "</td>", "<!--", "-->", "&amp;", "&#124;",
		"#", "\n", "\n\n", "\r", " ", "-", "1.", "+ ", "> ", "~~", "$", "http://x.example", "www.x.example", "@team", "\u202e", "\x1b", "\x00", "\xff", "word", ":100:"}), rapid.String()), 0, 8).Draw(t, "parts"), "")
}

// Whatever people write stays the text that it is, in a paragraph, in a heading, in a list and in
// the cell of a table; and it stays one cell.
func TestMarkdownStaysText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := hostile(t)
		page := "# " + Text("t "+text) + "\n\n" + Text("p "+text) + "\n\n- " + Text("i "+text) + "\n\n| a | b |\n| --- | --- |\n| " + Text("c "+text) + " | end |\n| " + Code("d "+text+" d") + " | end |\n"
		rendered := pagetest.Rendered(page)
		want := normal(text)
		var got []string
		for _, name := range []string{"h1", "p", "li", "td"} {
			got = append(got, pagetest.Text(rendered, func(n *xhtml.Node) bool { return n.Data == name })...)
		}
		for i, w := range []string{"t " + want, "p " + want, "i " + want, "c " + want, "end", "d " + normal(Visible("d " + text + " d"))[2:], "end"} {
			w = strings.TrimSpace(w)
			if i >= len(got) || got[i] != w && !strings.Contains(text, "://") {
				t.Fatalf("%q became\n%s\nwhich reads %q, want %q in place %d", text, rendered, got, w, i)
			}
		}
	})
}

// normal is how a text reads in HTML.
func normal(text string) string { return strings.Join(strings.Fields(Prose(text)), " ") }

// A text that stands by itself is no list, rule or heading, whatever it begins with.
func TestTextAtTheStartOfALine(t *testing.T) {
	for _, text := range []string{"- a", "+ a", "* a", "1. a", "1) a", "# a", "> a", "===", "---", "    a", "```", "~~~", "| a |", ": a", "[a]: b"} {
		want := "<main><p>" + html.EscapeString(normal(text)) + "</p>\n</main>"
		if got := pagetest.Rendered(Text(text)); html.UnescapeString(got) != html.UnescapeString(want) {
			t.Errorf("%q became %s", text, got)
		}
	}
}

// A name of a place is of characters that need no escape, and no two names have the same.
func TestAnchor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		if strings.ContainsFunc(Anchor("policy", a), func(r rune) bool { return r > unicode.MaxASCII || strings.ContainsRune(" \"'#%<>&", r) }) {
			t.Errorf("%q: %q", a, Anchor("policy", a))
		}
		if (Anchor("policy", a) == Anchor("policy", b)) != (a == b) {
			t.Errorf("%q and %q: %q", a, b, Anchor("policy", a))
		}
	})
	if got := Anchor("policy", `web["a"]`); got != "policy-web_5b_22a_22_5d" {
		t.Errorf("%q", got)
	}
}
