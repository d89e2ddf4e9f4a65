package exposure

import (
	_ "embed"
	"fmt"
	"html/template"

	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/page"
)

//go:embed page.html
var pageText string

var pageTemplate = page.Template("exposure", pageText, template.FuncMap{
	"families": func() []packet.Family { return packet.Families },
	"cell":     func(w Way, p *Port) template.HTML { return w.marked(page.PhraseLinked(w.Phrase, "#"+p.Anchor())) },
	"full":     func(w Way) template.HTML { return w.marked(page.Phrase(w.Phrase)) },
	"some": func(list []*Port) []*Port {
		if len(list) > mostInSummary+1 {
			return list[:mostInSummary]
		}
		return list
	},
	"rest": func(list []*Port) int {
		if len(list) > mostInSummary+1 {
			return len(list) - mostInSummary
		}
		return 0
	},
})

// mostInSummary is how many ports of a kind the summary names.
const mostInSummary = 8

// HTML is the report as a page of its own.
func (r *Report) HTML() (string, error) {
	taken := map[string]int{}
	for _, p := range r.Ports {
		p.anchor = page.Anchor("port", p.Name())
		if taken[p.anchor]++; taken[p.anchor] > 1 {
			p.anchor += fmt.Sprintf("-again%d", taken[p.anchor])
		}
	}
	return page.Write(pageTemplate, r)
}

// Anchor is where on a page the port is.
func (p *Port) Anchor() string { return p.anchor }

// Find is the text by which the filter box finds a port.
func (p *Port) Find() string {
	text := p.title()
	for _, w := range p.Ways {
		text += " " + w.From() + " " + w.Who()
	}
	return page.Visible(text)
}

// marked sets off who gets in where that is everybody, or nobody, or not certain.
func (w Way) marked(text template.HTML) template.HTML {
	switch w.degree() {
	case toEverybody:
		return "<strong>" + text + "</strong>"
	case toNobody:
		return "<span class=\"soft\">" + text + "</span>"
	case undecided:
		return "at most " + text
	}
	return text
}
