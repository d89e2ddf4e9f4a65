package diff

import (
	"fmt"
	"strings"

	"github.com/seawall/seawall/compiler/prove"
)

// What a comment shows at once; more is folded.
const (
	openLines = 12     // lines of one policy
	mostLines = 200    // lines of one policy, also folded
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
	for _, g := range r.Groups {
		g.markdown(&b)
	}
	r.filesMarkdown(&b)
	return b.String()
}

// code keeps what people named from being read as Markdown.
func code(text string) string {
	return strings.NewReplacer("*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", "&lt;", "`", "\\`", "|", `\|`).Replace(text)
}

func (g *Group) markdown(b *strings.Builder) {
	folded := len(g.Lines) > openLines
	title := code(g.title())
	if folded {
		fmt.Fprintf(b, "\n<details><summary><b>%s</b>: %s</summary>\n\n", title, g.counts())
	} else {
		fmt.Fprintf(b, "\n**%s**\n\n", title)
	}
	b.WriteString("| | who | port | |\n| --- | --- | --- | --- |\n")
	for i, l := range g.Lines {
		if i == mostLines {
			fmt.Fprintf(b, "| | and %d more | | |\n", len(g.Lines)-i)
			break
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", map[prove.Effect]string{prove.Opened: "🟢 opened", prove.Closed: "🔴 closed",
			prove.Other: "🟡 other"}[l.Effect], code(l.Who+l.family()), code(l.ports()), code(strings.Join(l.Notes, "; ")))
	}
	if folded {
		b.WriteString("\n</details>\n")
	}
}

func (g *Group) counts() string {
	n := map[prove.Effect]int{}
	for _, l := range g.Lines {
		n[l.Effect]++
	}
	var parts []string
	for _, e := range []prove.Effect{prove.Opened, prove.Closed, prove.Other} {
		if n[e] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[e], e))
		}
	}
	return strings.Join(parts, ", ")
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
