package exposure

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/page"
)

// From describes where a client comes in, and to which of the host's addresses.
func (w Way) From() string {
	text := fmt.Sprintf("%s, %v", w.Interface, w.Family)
	if w.Address != "" {
		text += ", to " + w.Address
	}
	return text
}

// Target is the container with its address and port, and its name if known.
func (p *Port) Target() string {
	address := p.Container
	if p.Opened == docker.Routed {
		address = "" // it is the port's own address
	}
	name := shown(p.ContainerName)
	if name != "" && address != "" {
		return name + " (" + address + ")"
	}
	return name + address
}

// title is the port and its target.
func (p *Port) title() string {
	text := p.Name()
	if t := p.Target(); t != "" {
		text += " → " + t
	}
	if p.Bridge != "" {
		text += " on " + p.Bridge
	}
	return text
}

// shown makes an untrusted name safe for a terminal.
func shown(name string) string {
	if strings.ContainsFunc(name, func(c rune) bool { return !strconv.IsPrint(c) }) {
		return strconv.Quote(name)
	}
	return name
}

const (
	localOnly       = "local only"
	notEvaluated    = "cannot be evaluated: "
	nothingOpened   = "No port is published.\n"
	markOfEverybody = "!"
)

// Text is the report for a terminal. A way in that keeps nobody out is marked.
func (r *Report) Text() string {
	var b strings.Builder
	if len(r.Ports) == 0 {
		b.WriteString(nothingOpened)
	}
	for i, p := range r.Ports {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintln(&b, p.title())
		if p.Local {
			fmt.Fprintln(&b, "  "+localOnly)
		}
		for _, w := range p.Ways {
			mark := " "
			if w.Open() {
				mark = markOfEverybody
			}
			fmt.Fprintf(&b, "%s %s, %s: %s\n", mark, w.From(), w.By(), w.Who())
			for _, d := range w.Doubts {
				fmt.Fprintf(&b, "    %s%s\n", notEvaluated, d)
			}
		}
	}
	if len(r.Notes) > 0 {
		b.WriteByte('\n')
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "Note: %s.\n", n)
	}
	return b.String()
}

// Markdown is the report as a summary and a table.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", page.Text(r.Lead()))
	for i, g := range r.Groups() {
		if i == 0 {
			b.WriteByte('\n')
		}
		var names []string
		for _, p := range g.Ports {
			names = append(names, p.Name())
		}
		fmt.Fprintf(&b, "- **%s**, %d: %s\n", g, len(g.Ports), page.MarkdownList(names))
	}
	if len(r.Ports) > 0 {
		b.WriteString("\n| port | container | from | family | way in | who gets in |\n| --- | --- | --- | --- | --- | --- |\n")
	}
	for _, g := range r.Groups() {
		for _, p := range g.Ports {
			p.markdown(&b)
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "\nNote: %s.\n", page.Text(n))
	}
	return page.Document(b.String())
}

// markdown writes the rows of a port.
func (p *Port) markdown(b *strings.Builder) {
	if len(p.Ways) == 0 {
		fmt.Fprintf(b, "| %s | %s | this host alone | | | nobody from outside |\n", page.Code(p.Name()), page.Code(p.Target()))
	}
	for _, w := range p.Ways {
		at := page.Code(w.Interface)
		if w.Address != "" {
			at += ", to " + page.Code(w.Address)
		}
		who := page.MarkdownPhrase(w.Phrase)
		switch w.degree() {
		case toEverybody:
			who = "**" + who + "**"
		case undecided:
			who = "at most " + who
		}
		for _, d := range w.Doubts {
			who += "; " + notEvaluated + page.Code(d.String())
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", page.Code(p.Name()), page.Code(p.Target()), at, w.Family, page.Text(w.By()), who)
	}
}
