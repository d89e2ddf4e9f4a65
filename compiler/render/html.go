package render

import (
	_ "embed"
	"fmt"
	"html/template"
	"strings"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"join": joined, "list": func(values []string) string { return strings.Join(values, ", ") },
	"way": (*Page).wayHTML, "bars": Strip.html,
}).Parse(pageText))

// HTML is the page as one file that needs no other and no network.
func (p *Page) HTML() (string, error) {
	var b strings.Builder
	if err := pageTemplate.Execute(&b, p); err != nil {
		return "", fmt.Errorf("the page cannot be written: %w", err)
	}
	return b.String(), nil
}

// UnlistedText says in a sentence what happens to what no policy names.
func (h Host) UnlistedText() string { return h.unlisted() }

// Remarks says what else holds for the whole host.
func (h Host) Remarks() string { return h.remarks(joined) }

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

// html is a strip as a drawing.
func (s Strip) html() template.HTML {
	return template.HTML(fmt.Sprintf("<svg class=\"strip\" viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"%s\">%s</svg>",
		stripWidth, stripHeight, template.HTMLEscapeString(s.Summary()), s.bars()))
}
