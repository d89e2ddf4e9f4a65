package render

import (
	"fmt"
	"strings"
)

// Markdown is the page as hosting sites show it, with the way of a packet as a
// picture that they draw (Mermaid).
func (p *Page) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Who may reach what: %s\n\n", plain(p.Title))
	fmt.Fprintf(&b, "Traffic from outside arrives on %s%s. %s%s\n", code(p.Host.External), but(p.Host.Internal, code), p.Host.unlisted(), p.Host.remarks(code))
	if len(p.Guard) > 0 {
		b.WriteString("\n## Before every policy\n\n| | who | but not | log |\n| --- | --- | --- | --- |\n")
		for _, r := range p.Guard {
			fmt.Fprintf(&b, "| **%s** | %s | %s | %s |\n", r.Verdict, list(r.Who), list(r.Except), plain(r.Log))
		}
	}
	b.WriteString("\n## Ports\n\n| policy | port | | who | log |\n| --- | --- | --- | --- | --- |\n")
	for _, x := range p.Policies {
		x.markdown(&b)
	}
	p.forwardsMarkdown(&b)
	b.WriteString("\n## Who gets in, all rules taken together\n\n| policy | IPv4 | IPv6 |\n| --- | --- | --- |\n")
	for _, x := range p.Policies {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", plain(x.Name), x.in(4), x.in(6))
	}
	p.setsMarkdown(&b)
	b.WriteString("\n## The way of a packet\n\n```mermaid\n" + p.mermaid() + "```\n")
	return b.String()
}

func (h Host) unlisted() string {
	return map[string]string{
		"allow": "What no policy names is left to Docker.", "deny": "What no policy names is dropped.",
		"reject": "What no policy names is rejected."}[h.Unlisted]
}

// but is the part of a sentence that excepts some names; "" for none.
func but(names []string, write func([]string) string) string {
	if len(names) == 0 {
		return ""
	}
	return ", except " + write(names)
}

// remarks are sentences about what else the host block says, each with a space before
// it.
func (h Host) remarks(write func([]string) string) string {
	var text string
	if len(h.Bridges) > 0 {
		text += " What the host forwards elsewhere than to " + write(h.Bridges) + " passes."
	}
	if what := h.treated("accept"); what != "" {
		text += " Packets of " + what + " are accepted on every interface."
	}
	if h.Invalid != "" {
		text += " Packets that conntrack finds invalid are dropped on every interface."
	}
	return text
}

func (x Policy) markdown(b *strings.Builder) {
	name := "**" + plain(x.Name) + "**"
	if x.Description != "" {
		name += "<br>" + plain(x.Description)
	}
	where := list(x.Ports)
	if len(x.Addresses) > 0 {
		where += "<br>on " + list(x.Addresses)
	}
	if len(x.External) > 0 {
		where += "<br>over " + list(x.External)
	}
	for _, r := range x.Rows {
		who := list(r.Who)
		if len(r.Except) > 0 {
			who += "<br>but not " + list(r.Except)
		}
		fmt.Fprintf(b, "| %s | %s | **%s** | %s | %s |\n", name, where, r.Verdict, who, plain(r.Log))
		name, where = "", ""
	}
	if x.Everybody() {
		return
	}
	rest := "everybody else"
	if len(x.Rows) == 0 {
		rest = "everybody"
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s | |\n", name, where, x.Default, rest)
}

// in says who gets in over a family.
func (x Policy) in(family int) string {
	for _, s := range x.Strips {
		if s.Family == family {
			_, text, _ := strings.Cut(s.Summary(), ": ")
			return text
		}
	}
	return "its address is of the other family, or narrower policies decide"
}

func (p *Page) forwardsMarkdown(b *strings.Builder) {
	if len(p.Forwards) == 0 {
		return
	}
	b.WriteString("\n## Routed for others\n\n| | from | to | sources | destinations |\n| --- | --- | --- | --- | --- |\n")
	for _, f := range p.Forwards {
		fmt.Fprintf(b, "| **%s** | %s | %s | %s | %s |\n", plain(f.Name), list(f.From), list(f.To), orAny(f.Sources), orAny(f.Destinations))
	}
}

func orAny(values []string) string {
	if len(values) == 0 {
		return "any"
	}
	return list(values)
}

func (p *Page) setsMarkdown(b *strings.Builder) {
	if len(p.Sets) == 0 {
		return
	}
	b.WriteString("\n## Sets\n\n| set | sources | but not |\n| --- | --- | --- |\n")
	for _, s := range p.Sets {
		fmt.Fprintf(b, "| **%s** | %s | %s |\n", plain(s.Name), list(s.Sources), list(s.Except))
	}
}

// plain keeps what people wrote from being read as Markdown or HTML.
func plain(text string) string {
	return strings.NewReplacer("\\", `\\`, "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", "&lt;", "&", "&amp;",
		"`", "\\`", "|", `\|`, "\n", " ", "#", `\#`).Replace(text)
}

func list(values []string) string {
	var out []string
	for _, v := range values {
		out = append(out, plain(v))
	}
	return strings.Join(out, ", ")
}

func code(values []string) string {
	var out []string
	for _, v := range values {
		out = append(out, "`"+v+"`")
	}
	return strings.Join(out, ", ")
}

// mermaid is the way of a packet as a Mermaid flow chart.
func (p *Page) mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart TD\n")
	last := ""
	for i, s := range p.way(forwardWay) {
		id := fmt.Sprintf("f%d", i)
		fmt.Fprintf(&b, "  %s[\"%s\"]\n", id, mermaidText(s))
		if last != "" {
			fmt.Fprintf(&b, "  %s --> %s\n", last, id)
		}
		last = id
	}
	if !p.Host.UserlandProxy {
		return b.String()
	}
	last = "f0"
	for i, s := range p.way(inputWay)[1:] {
		id := fmt.Sprintf("i%d", i)
		fmt.Fprintf(&b, "  %s[\"%s\"]\n  %s --> %s\n", id, mermaidText(s), last, id)
		last = id
	}
	return b.String()
}

func mermaidText(s station) string {
	text := "<b>" + s.Name + "</b>"
	for _, l := range s.Lines {
		text += "<br>" + strings.NewReplacer(`"`, "#quot;", "<", "#lt;", "[", "#91;", "]", "#93;").Replace(l)
	}
	return text
}
