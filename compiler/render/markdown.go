package render

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/page"
)

// Markdown is the page as hosting sites show it, with the way of a packet as a
// picture that they draw (Mermaid).
func (p *Page) Markdown() string {
	return p.markdown(fmt.Sprintf("# Who may reach what: %s\n\n", page.Text(p.Title)))
}

// MarkdownForSite is the page for the generator of a documentation site, which writes the
// heading itself: its title and description are front matter, in YAML.
func (p *Page) MarkdownForSite() string {
	quoted := func(text string) string { return strconv.Quote(page.Prose(text)) } // ASCII escapes are YAML's too
	return p.markdown(fmt.Sprintf("---\ntitle: %s\ndescription: %s\n---\n\n", quoted("Who may reach what: "+p.Title), quoted(p.Lead())))
}

func (p *Page) markdown(start string) string {
	var b strings.Builder
	b.WriteString(start)
	fmt.Fprintf(&b, "%s Traffic from outside arrives %s.\n\n", p.Lead(), p.Host.arrival(page.Codes))
	p.summaryMarkdown(&b)
	p.contentsMarkdown(&b)
	p.glanceMarkdown(&b)
	if len(p.Guard) > 0 {
		b.WriteString("\n## Before every policy\n\n| | who | log |\n| --- | --- | --- |\n")
		for _, r := range p.Guard {
			fmt.Fprintf(&b, "| **%s** | %s | %s |\n", r.Verdict, r.who(), page.Code(r.Log))
		}
	}
	if len(p.Policies) > 0 {
		b.WriteString("\n## Policies\n")
	}
	for _, x := range p.Policies {
		p.policyMarkdown(&b, x)
	}
	p.forwardsMarkdown(&b)
	p.setsMarkdown(&b)
	b.WriteString("\n## Host settings\n\n| setting | value | what it does |\n| --- | --- | --- |\n")
	for _, s := range p.Settings {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", page.Code(s.Name), page.Code(s.Value), page.Text(s.Meaning))
	}
	b.WriteString("\n## The way of a packet\n\n```mermaid\n" + p.mermaid() + "```\n")
	return page.Document(b.String())
}

func (p *Page) summaryMarkdown(b *strings.Builder) {
	for _, g := range p.Groups() {
		fmt.Fprintf(b, "- **%s**, %s: ", g.Openness, g.PortsText())
		var list []string
		for _, x := range some(g.Policies) {
			text := linkMarkdown("policy", x.Name) + " " + page.Code(short(x.Ports))
			if only := x.Only(); only != "" {
				text += " (" + only + " only)"
			}
			list = append(list, text)
		}
		if rest := len(g.Policies) - len(list); rest > 0 {
			list = append(list, fmt.Sprintf("[and %d more](#who-reaches-what)", rest))
		}
		b.WriteString(strings.Join(list, "; ") + "\n")
	}
	fmt.Fprintf(b, "- **Any other port**: %s\n", p.Host.UnlistedText())
	if len(p.Guard) > 0 {
		b.WriteString("- **Before every policy**: [a guard](#before-every-policy) decides about some sources\n")
	}
	if len(p.Forwards) > 0 {
		var list []string
		for _, f := range p.Forwards {
			list = append(list, page.Text(f.Name))
		}
		fmt.Fprintf(b, "- **[Routed for others](#routed-for-others)**: %s\n", strings.Join(list, ", "))
	}
}

func linkMarkdown(kind, name string) string {
	return "[" + page.Text(name) + "](#" + page.Anchor(kind, name) + ")"
}

// contentsMarkdown lists the policies of a long page: the hosting site lists the headings
// of a short one.
func (p *Page) contentsMarkdown(b *strings.Builder) {
	if !p.Many() {
		return
	}
	b.WriteString("\n## Contents\n\n[Who reaches what](#who-reaches-what)")
	if len(p.Guard) > 0 {
		b.WriteString(" · [Before every policy](#before-every-policy)")
	}
	b.WriteString(" · [Policies](#policies)")
	if len(p.Forwards) > 0 {
		b.WriteString(" · [Routed for others](#routed-for-others)")
	}
	if len(p.Sets) > 0 {
		b.WriteString(" · [Sets](#sets)")
	}
	b.WriteString(" · [Host settings](#host-settings) · [The way of a packet](#the-way-of-a-packet)\n")
	for _, g := range p.Groups() {
		fmt.Fprintf(b, "\n**%s** (%d): ", g.Openness, len(g.Policies))
		var list []string
		for _, x := range g.Policies {
			list = append(list, linkMarkdown("policy", x.Name))
		}
		b.WriteString(strings.Join(list, " · ") + "\n")
	}
}

func (p *Page) glanceMarkdown(b *strings.Builder) {
	if len(p.Policies) == 0 {
		return
	}
	b.WriteString("\n## Who reaches what\n\n| policy | ports | IPv4 | IPv6 | everybody else |\n| --- | --- | --- | --- | --- |\n")
	for _, g := range p.Groups() {
		for _, x := range g.Policies {
			fmt.Fprintf(b, "| %s | %s ", linkMarkdown("policy", x.Name), page.Code(short(x.Ports)))
			for _, f := range packet.Families {
				fmt.Fprintf(b, "| %s ", p.cellMarkdown(x, f))
			}
			fmt.Fprintf(b, "| %s |\n", x.Rest())
		}
	}
	b.WriteString("\n" + page.Text(p.Outcome()) + "\n")
}

func (p *Page) cellMarkdown(x *Policy, f packet.Family) string {
	r := x.reach(f)
	if r == nil {
		return page.Text(x.absent(f).Short(p.Host))
	}
	text := page.MarkdownPhraseLinked(r.Phrase, page.Anchor("policy", x.Name))
	if r.openness() == ToEverybody {
		return "**" + text + "**"
	}
	return text
}

func (p *Page) policyMarkdown(b *strings.Builder, x *Policy) {
	fmt.Fprintf(b, "\n<a id=\"%s\"></a>\n\n### %s\n\n", page.Anchor("policy", x.Name), page.Text(x.Name))
	if x.Description != "" {
		b.WriteString(page.Text(x.Description) + "\n\n")
	}
	b.WriteString("| | |\n| --- | --- |\n")
	row := func(title, text string) { fmt.Fprintf(b, "| %s | %s |\n", title, text) }
	row("ports", page.MarkdownList(x.Ports))
	if len(x.Addresses) > 0 {
		row("host addresses", page.MarkdownList(x.Addresses))
	}
	if len(x.External) > 0 {
		row("interfaces", page.MarkdownList(x.External))
	}
	for _, f := range packet.Families {
		if r := x.reach(f); r != nil {
			row(f.String(), page.MarkdownPhrase(r.Phrase))
		} else {
			o := x.absent(f)
			row(f.String(), o.Where+": "+p.decidesMarkdown(*o))
		}
	}
	if rest := x.Rest(); rest != "" {
		row("everybody else", rest)
	}
	if len(p.Guard) > 0 {
		row("before it", "[the guard](#before-every-policy) decides about some sources")
	}
	for _, o := range x.Elsewhere() {
		row(o.Title(), p.decidesMarkdown(o))
	}
	if len(x.Narrower) > 0 {
		row("narrower policies", linksMarkdown(x.Narrower))
	}
	if len(x.Wider) > 0 {
		row("inside of", linksMarkdown(x.Wider))
	}
	row("rules", x.rulesMarkdown())
	row("defined at", page.Code(x.Place))
}

// rulesMarkdown are the rules in order, in one cell.
func (p *Policy) rulesMarkdown() string {
	var list []string
	for _, r := range p.Rows {
		text := "**" + r.Verdict + "** " + r.who()
		if r.Log != "" {
			text += ", logged as " + page.Code(r.Log)
		}
		list = append(list, text)
	}
	if !p.Everybody() {
		list = append(list, "**"+p.Default+"** "+p.Else())
	}
	return strings.Join(list, "<br>")
}

func (p *Page) decidesMarkdown(o Outside) string {
	if o.Unlisted {
		return p.Host.NotListed()
	}
	return linksMarkdown(o.Policies) + o.rest(p.Host)
}

func linksMarkdown(policies []string) string {
	var list []string
	for _, name := range policies {
		list = append(list, linkMarkdown("policy", name))
	}
	return strings.Join(list, ", ")
}

func (r Row) who() string {
	text := r.Who.markdown()
	if len(r.Except) > 0 {
		text += " except " + r.Except.markdown()
	}
	return text
}

func (list Sources) markdown() string {
	var out []string
	for _, s := range list.Named() {
		switch {
		case s.Any:
			out = append(out, "everybody")
		case s.Set != "":
			out = append(out, "set "+linkMarkdown("set", s.Set))
		default:
			out = append(out, page.MarkdownFold(s.Text, s.Lines.Len(), s.Entries()))
		}
	}
	if written := list.Written(); len(written) > 0 {
		out = append(out, page.MarkdownList(written))
	}
	return strings.Join(out, ", ")
}

func (p *Page) forwardsMarkdown(b *strings.Builder) {
	if len(p.Forwards) == 0 {
		return
	}
	b.WriteString("\n## Routed for others\n\n| name | from | to | sources | destinations |\n| --- | --- | --- | --- | --- |\n")
	for _, f := range p.Forwards {
		fmt.Fprintf(b, "| **%s** | %s | %s | %s | %s |\n", page.Text(f.Name), page.Codes(f.From), page.Codes(f.To), orAny(f.Sources), orAny(f.Destinations))
	}
}

func orAny(list Sources) string {
	if len(list) == 0 {
		return "any"
	}
	return list.markdown()
}

func (p *Page) setsMarkdown(b *strings.Builder) {
	if len(p.Sets) == 0 {
		return
	}
	b.WriteString("\n## Sets\n\n| set | sources |\n| --- | --- |\n")
	for _, s := range p.Sets {
		fmt.Fprintf(b, "| <a id=\"%s\"></a>**%s** | %s |\n", page.Anchor("set", s.Name), page.Text(s.Name), Row{Who: s.Who, Except: s.Except}.who())
	}
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
	text := "<b>" + mermaidEscaped(s.Name) + "</b>"
	for _, l := range s.Lines {
		text += "<br>" + mermaidEscaped(l)
	}
	return text
}

// mermaidEscaped keeps a text from being read as Mermaid, HTML or the end of the drawing.
func mermaidEscaped(text string) string {
	var b strings.Builder
	for _, c := range page.Visible(text) {
		if strings.ContainsRune("\"<>&#;[]{}()`\\|@*_~$", c) {
			fmt.Fprintf(&b, "#%d;", c)
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}
