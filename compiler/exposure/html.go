package exposure

import (
	"html/template"
	"strings"
)

var page = template.Must(template.New("exposure").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Published ports</title>
<style>
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid; padding: .4rem .8rem .4rem 0; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
@media print { body { margin: 0; max-width: none; } }
</style>
</head>
<body>
<main>
<h1>Published ports, and who gets in</h1>
<table>
<thead><tr><th scope="col">Port</th><th scope="col">Container</th><th scope="col">Interface</th><th scope="col">Family</th><th scope="col">Way in</th><th scope="col">Who gets in</th></tr></thead>
<tbody>
{{- range .Rows}}
<tr><td>{{.Port}}</td><td>{{.Container}}</td><td>{{.Interface}}</td><td>{{.Family}}</td><td>{{.By}}</td><td>{{if .Open}}<strong>{{.Who}}</strong>{{else}}{{.Who}}{{end}}
{{- range .Doubts}}<br>cannot be evaluated: <code>{{.}}</code>{{end}}</td></tr>
{{- end}}
</tbody>
</table>
{{- range .Notes}}
<p>Note: {{.}}.</p>
{{- end}}
</main>
</body>
</html>
`))

// HTML is the report as a page of its own.
func (r *Report) HTML() (string, error) {
	var b strings.Builder
	err := page.Execute(&b, struct {
		Rows  []row
		Notes []string
	}{r.rows(), r.Notes})
	return b.String(), err
}
