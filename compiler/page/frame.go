package page

import (
	_ "embed"
	"html/template"
	"strings"
)

//go:embed frame.html
var frameText string

// Template is a page in HTML. Its text begins with {{template "head" TITLE}} and ends
// with {{template "foot"}}; between them it has headings from h1 on.
func Template(name, text string, funcs template.FuncMap) *template.Template {
	t := template.New(name).Funcs(template.FuncMap{
		"list": List, "phrase": Phrase, "fold": Fold, "anchor": Anchor, "prose": Prose, "visible": Visible,
		"count": Count, "plural": Plural,
	}).Funcs(funcs)
	return template.Must(template.Must(t.Parse(frameText)).Parse(text))
}

// Write fills a page.
func Write(t *template.Template, data any) (string, error) {
	var b strings.Builder
	err := t.Execute(&b, data)
	return Document(b.String()), err
}
