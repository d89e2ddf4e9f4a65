package page

import (
	"fmt"
	"html/template"
	"iter"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/address"
	"go4.org/netipx"
)

// How much of a list is seen at once, and how much of it a page has at all.
const (
	seenWords = 8
	mostWords = 5000
)

// seenInRow is how much of a list is seen in a row that links to the whole.
const seenInRow = 3

// List writes a list for HTML: a short one as it is; of a long one the rest is there
// to be opened.
func List(values []string) template.HTML {
	return template.HTML(listed(values, asHTML))
}

// Phrase writes a set of addresses for HTML, with what is long to be opened.
func Phrase(p address.Phrase) template.HTML { return template.HTML(phrase(p, asHTML)) }

// MarkdownList and MarkdownPhrase do the same for a line of Markdown, or the cell of a
// table: hosting sites show what is folded as they do in HTML.
func MarkdownList(values []string) string { return listed(values, asMarkdown) }

// MarkdownPhrase writes a set of addresses.
func MarkdownPhrase(p address.Phrase) string { return phrase(p, asMarkdown) }

// PhraseLinked is a short form of a set of addresses that links to the place where it stands
// in full.
func PhraseLinked(p address.Phrase, href string) template.HTML {
	f := asHTML
	f.seen, f.fold = seenInRow, func(title string, _ int, _ iter.Seq[string]) string {
		return "<a href=\"" + template.HTMLEscapeString(href) + "\">" + template.HTMLEscapeString(title) + "</a>"
	}
	return template.HTML(phrase(p, f))
}

// MarkdownPhraseLinked does the same in Markdown.
func MarkdownPhraseLinked(p address.Phrase, anchor string) string {
	f := asMarkdown
	f.seen, f.fold = seenInRow, func(title string, _ int, _ iter.Seq[string]) string { return "[" + title + "](#" + anchor + ")" }
	return phrase(p, f)
}

// Fold is a list file of n entries that has to be opened. It asks for no more of them than a
// page has.
func Fold(title string, n int, values iter.Seq[string]) template.HTML {
	return template.HTML(htmlForm(ofListFile).fold(title, n, values))
}

// MarkdownFold is the same in Markdown.
func MarkdownFold(title string, n int, values iter.Seq[string]) string {
	return markdownForm(ofListFile).fold(title, n, values)
}

// form is how a list is written.
type form struct {
	seen int
	code func(string) string
	fold func(title string, n int, values iter.Seq[string]) string
}

// What has all of a list that is too long for a page.
const (
	ofPage     = "the JSON format has them all"
	ofListFile = "the file has them all"
)

var asHTML, asMarkdown = htmlForm(ofPage), markdownForm(ofPage)

func htmlForm(whole string) form {
	return form{
		seen: seenWords,
		code: func(text string) string { return "<code>" + template.HTMLEscapeString(Visible(text)) + "</code>" },
		fold: func(title string, n int, values iter.Seq[string]) string {
			shown, rest := cut(n, values, whole)
			var b strings.Builder
			fmt.Fprintf(&b, "<details class=\"more\"><summary>%s</summary><div class=\"addresses\">", template.HTMLEscapeString(title))
			for _, v := range shown {
				b.WriteString(template.HTMLEscapeString(Visible(v)) + "\n")
			}
			return b.String() + rest + "</div></details>"
		},
	}
}

func markdownForm(whole string) form {
	return form{
		seen: seenWords,
		code: Code,
		fold: func(title string, n int, values iter.Seq[string]) string {
			shown, rest := cut(n, values, whole)
			var list []string
			for _, v := range shown {
				list = append(list, Code(v))
			}
			return "<details><summary>" + Text(title) + "</summary> " + strings.Join(append(list, rest), "<br>") + "</details>"
		},
	}
}

// cut leaves out what is too much for any page, and says so.
func cut(n int, values iter.Seq[string], whole string) (shown []string, rest string) {
	for v := range values {
		if len(shown) == mostWords {
			return shown, fmt.Sprintf("%s more are too many for a page; %s.", Count(n-mostWords), whole)
		}
		shown = append(shown, v)
	}
	return shown, ""
}

func listed(values []string, f form) string {
	shown := values
	if len(values) > f.seen+1 {
		shown = values[:f.seen]
	}
	list := make([]string, len(shown))
	for i, v := range shown {
		list[i] = f.code(v)
	}
	text := strings.Join(list, ", ")
	if rest := values[len(shown):]; len(rest) > 0 {
		text += " " + f.fold(andMore(len(rest)), len(rest), slices.Values(rest))
	}
	return text
}

func andMore(n int) string { return "and " + Count(n) + " more" }

// phrase writes a set of addresses. A part that is about everybody comes first: what is
// beside it are exceptions to its exceptions.
func phrase(p address.Phrase, f form) string {
	if len(p) == 0 {
		return "nobody"
	}
	if i := slices.IndexFunc(p, func(part address.Part) bool { return address.IsEvery(part.Base) }); i > 0 {
		p = slices.Concat(p[i:i+1], p[:i], p[i+1:])
	}
	shown := p
	if p.Len() > f.seen+1 {
		shown = p[:1]
		for n := shown.Len(); len(shown) < len(p) && n < f.seen; {
			shown = p[:len(shown)+1]
			n = shown.Len()
		}
	}
	text := ""
	for i, part := range shown {
		switch {
		case i > 0 && len(shown[i-1].Except) > 0:
			text += "; and "
		case i > 0 && len(part.Except) > 0:
			text += ", and "
		case i > 0:
			text += ", "
		}
		if word := address.Word(part.Base); address.IsEvery(part.Base) {
			text += word
		} else {
			text += f.code(word)
		}
		if len(part.Except) > 0 {
			text += " except " + listed(words(part.Except), f)
		}
	}
	if rest := p[len(shown):]; len(rest) > 0 {
		text += " " + f.fold(andMore(len(rest)), len(rest), func(yield func(string) bool) {
			for i := range rest {
				if !yield(rest[i : i+1].String()) {
					return
				}
			}
		})
	}
	return text
}

// Everybody reports whether a set is all of a family, without exceptions.
func Everybody(p address.Phrase) bool {
	return len(p) == 1 && p.Everybody() && len(p[0].Except) == 0
}

func words(list []netipx.IPRange) []string {
	out := make([]string, len(list))
	for i, r := range list {
		out[i] = address.Word(r)
	}
	return out
}

// Count writes a number with its thousands apart.
func Count(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Plural is a number of things.
func Plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}
