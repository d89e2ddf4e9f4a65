package diff

import (
	"fmt"
	"strings"

	"github.com/seawall/seawall/compiler/page"
	"github.com/seawall/seawall/compiler/prove"
)

// What a comment shows at once; more is folded.
const (
	openItems = 12     // changes
	mostItems = 200    // changes, also folded
	mostBytes = 20_000 // of text diffs, for hosting sites cut comments at 65,536
)

// Markdown is the report as a comment of a pull request.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### Seawall: %s\n", r.Summary())
	if loud := r.loud(); len(loud) > 0 {
		b.WriteString("\n> [!WARNING]\n")
		for _, l := range loud {
			fmt.Fprintf(&b, "> **%s**\n", code(l))
		}
	}
	r.itemsMarkdown(&b)
	r.filesMarkdown(&b)
	return page.Document(b.String())
}

// code keeps what people named from being read as Markdown.
func code(text string) string { return page.Text(text) }

// whoMarkdown is who an item is about: of a long list, the rest can be opened.
func (x *Item) whoMarkdown() string {
	if x.sources() == "everybody" {
		return "everybody"
	}
	var list []string
	for _, s := range x.Who {
		text := page.MarkdownPhrase(s.Phrase)
		if s.Phrase.Everybody() {
			text += fmt.Sprintf(" (%v)", s.Family)
		}
		list = append(list, text)
	}
	return strings.Join(list, "; ")
}

func (r *Report) itemsMarkdown(b *strings.Builder) {
	if len(r.Items) == 0 {
		return
	}
	folded := len(r.Items) > openItems
	if folded {
		b.WriteString("\n<details><summary><b>The changes</b></summary>\n")
	}
	b.WriteString("\n| | | who | what |\n| ---: | --- | --- | --- |\n")
	for i, x := range r.Items {
		if i == mostItems {
			fmt.Fprintf(b, "| | | and %d more | |\n", len(r.Items)-i)
			break
		}
		lines := x.lines()
		for j := range lines {
			lines[j] = code(lines[j])
		}
		fmt.Fprintf(b, "| %d | %s | %s | %s |\n", i+1, map[prove.Effect]string{prove.Opened: "🟢 opened", prove.Closed: "🔴 closed",
			prove.Other: "🟡 other"}[x.Effect], x.whoMarkdown(), strings.Join(lines, "<br>"))
	}
	if folded {
		b.WriteString("\n</details>\n")
	}
}

func (r *Report) filesMarkdown(b *strings.Builder) {
	for _, f := range r.Files {
		if f.Unified == "" {
			continue
		}
		text := f.Unified
		if len(text) > mostBytes {
			cut := strings.LastIndexByte(text[:mostBytes], '\n') + 1
			text = text[:cut] + fmt.Sprintf("… and %d more lines\n", strings.Count(text[cut:], "\n"))
		}
		fence := "```"
		for strings.Contains(text, fence) {
			fence += "`"
		}
		fmt.Fprintf(b, "\n<details><summary>%s</summary>\n\n%sdiff\n%s%s\n\n</details>\n", code(f.Name), fence, text, fence)
	}
}
