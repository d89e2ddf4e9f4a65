package render

import (
	_ "embed"
	"fmt"
	"html/template"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/page"
)

//go:embed page.html
var pageText string

var pageTemplate = page.Template("policy", pageText, template.FuncMap{
	"way": (*Page).wayHTML, "cell": (*Page).cell, "href": (*Page).href, "full": (*Policy).full, "decides": (*Page).decidesHTML,
	"sources": (*Page).sourcesHTML, "families": func() []packet.Family { return packet.Families },
	"rowOf": func(p *Page, r Row) any {
		return struct {
			Page *Page
			Row  Row
		}{p, r}
	},
	"of": func(p *Page, item any) any {
		return struct {
			Page *Page
			Item any
		}{p, item}
	},
	"short": short, "some": some, "rest": func(list []*Policy) int { return len(list) - len(some(list)) },
})

// HTML is the page as one file that needs no other and no network.
func (p *Page) HTML() (string, error) {
	text, err := page.Write(pageTemplate, p)
	if err != nil {
		return "", fmt.Errorf("the page cannot be written: %w", err)
	}
	return text, nil
}

// mostInSummary is how many policies of a kind the summary names.
const mostInSummary = 6

func some(list []*Policy) []*Policy {
	if len(list) > mostInSummary+1 {
		return list[:mostInSummary]
	}
	return list
}

// href is where a policy, a set or a forward stands: on this page, or on one of its own.
func (p *Page) href(kind, name string) template.URL {
	if p.site && kind != "forward" {
		return template.URL(fileName(page.Anchor(kind, name)))
	}
	return template.URL("#" + page.Anchor(kind, name))
}

// GuardHref is where the guard stands.
func (p *Page) GuardHref() template.URL {
	if p.site {
		return "index.html#guard"
	}
	return "#guard"
}

// cell is who gets in over a family, in the row of a table.
func (p *Page) cell(x *Policy, f packet.Family) template.HTML {
	r := x.reach(f)
	if r == nil {
		return template.HTML("<span class=\"soft\">" + template.HTMLEscapeString(x.absent(f).Short(p.Host)) + "</span>")
	}
	text := page.PhraseLinked(r.Phrase, string(p.href("policy", x.Name)))
	switch r.openness() {
	case ToEverybody:
		return "<strong>" + text + "</strong>"
	case ToNobody:
		return "<span class=\"soft\">" + text + "</span>"
	}
	return text
}

// full is the same with all there is.
func (p *Policy) full(f packet.Family, all *Page) template.HTML {
	if r := p.reach(f); r != nil {
		return page.Phrase(r.Phrase)
	}
	o := p.absent(f)
	return template.HTML(template.HTMLEscapeString(o.Where)+": ") + all.decidesHTML(*o)
}

// Short says in few words what decides.
func (o *Outside) Short(h Host) string {
	switch {
	case o == nil:
		return ""
	case o.Unlisted:
		text := "unlisted: " + h.UnlistedShort()
		if h.guarded {
			text += " after the guard"
		}
		return text
	case len(o.Policies) == 1 && o.All:
		return "policy " + o.Policies[0]
	}
	return "other policies"
}

// decidesHTML says what decides elsewhere.
func (p *Page) decidesHTML(o Outside) template.HTML {
	if o.Unlisted {
		return template.HTML(template.HTMLEscapeString(p.Host.NotListed()))
	}
	var list []string
	for _, name := range o.Policies {
		list = append(list, p.link("policy", name))
	}
	return template.HTML(strings.Join(list, ", ") + template.HTMLEscapeString(o.rest(p.Host)))
}

// rest says what is left where other policies decide about a part.
func (o Outside) rest(h Host) string {
	if o.All || strings.HasPrefix(o.Where, "narrower") {
		return ""
	}
	return ", and where none of them names the port: " + h.UnlistedShort() + h.unlessGuarded()
}

func (p *Page) link(kind, name string) string {
	return "<a href=\"" + string(p.href(kind, name)) + "\">" + template.HTMLEscapeString(name) + "</a>"
}

// sourcesHTML is a list of sources as it was written.
func (p *Page) sourcesHTML(list Sources) template.HTML {
	var out []string
	for _, s := range list.Named() {
		switch {
		case s.Any:
			out = append(out, "everybody")
		case s.Set != "":
			out = append(out, "set "+p.link("set", s.Set))
		default:
			out = append(out, string(page.Fold(s.Text, s.Lines.Len(), s.Entries())))
		}
	}
	if written := list.Written(); len(written) > 0 {
		out = append(out, string(page.List(written)))
	}
	return template.HTML(strings.Join(out, ", "))
}

// wayHTML is a column of the packet's way as a drawing of its own. All text in
// it was escaped where it was written.
func (p *Page) wayHTML(side string) template.HTML {
	which, label := forwardWay, "The way of a packet to a container: "
	if side == "input" {
		which, label = inputWay, "The way of a packet to docker-proxy: "
	}
	text, height := p.column(which)
	var stations []string
	for _, s := range p.way(which) {
		stations = append(stations, s.Name)
	}
	return template.HTML(fmt.Sprintf("<svg viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\" aria-label=\"%s\">%s</svg>",
		columnWidth-10, height, columnWidth-10, template.HTMLEscapeString(label+strings.Join(stations, ", then ")), text))
}
