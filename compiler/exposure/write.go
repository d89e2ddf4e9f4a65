package exposure

import (
	"encoding/json"
	"fmt"
	"html/template"
	"strings"
)

// How says over which way a client gets in.
func (w Way) How() string {
	text := fmt.Sprintf("%s, IPv%d", w.Interface, w.Family)
	if w.Address != "" {
		text += ", to " + w.Address
	}
	if w.Proxy {
		text += ", over docker-proxy"
	}
	return text
}

// Text is the report for a terminal.
func Text(ports []*Port) string {
	var b strings.Builder
	if len(ports) == 0 {
		return "No port is published.\n"
	}
	for i, p := range ports {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s → %s", p.Name(), p.Container)
		if p.Bridge != "" {
			fmt.Fprintf(&b, " on %s", p.Bridge)
		}
		b.WriteByte('\n')
		for _, w := range p.Ways {
			mark := " "
			if w.Everybody() {
				mark = "!"
			}
			fmt.Fprintf(&b, "%s %s: %s\n", mark, w.How(), w.Who())
		}
	}
	return b.String()
}

// Markdown is the report as a table.
func Markdown(ports []*Port) string {
	var b strings.Builder
	b.WriteString("| port | container | from | who gets in |\n| --- | --- | --- | --- |\n")
	for _, p := range ports {
		for _, w := range p.Ways {
			who := w.Who()
			if w.Everybody() {
				who = "**" + who + "**"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", p.Name(), p.Container, w.How(), who)
		}
	}
	return b.String()
}

// JSON is the report for programs.
func JSON(ports []*Port) ([]byte, error) {
	type way struct {
		Interface string   `json:"interface"`
		Family    int      `json:"family"`
		Address   string   `json:"address,omitempty"`
		Proxy     bool     `json:"docker_proxy,omitempty"`
		Who       string   `json:"who"`
		AllBut    bool     `json:"all_but,omitempty"`
		Sources   []string `json:"sources"`
		Undecided bool     `json:"undecided,omitempty"`
	}
	type port struct {
		Port      int    `json:"port"`
		Protocol  string `json:"protocol"`
		Address   string `json:"address,omitempty"`
		Container string `json:"container"`
		Bridge    string `json:"bridge,omitempty"`
		Ways      []way  `json:"ways"`
	}
	out := []port{}
	for _, p := range ports {
		x := port{p.Port, p.Protocol, p.Address, p.Container, p.Bridge, []way{}}
		for _, w := range p.Ways {
			x.Ways = append(x.Ways, way{w.Interface, int(w.Family), w.Address, w.Proxy, w.Who(), w.AllBut, append([]string{}, w.Sources...), w.Undecided})
		}
		out = append(out, x)
	}
	text, err := json.MarshalIndent(out, "", "  ")
	return append(text, '\n'), err
}

var page = template.Must(template.New("exposure").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Published ports</title>
<style>
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid; padding: .4rem .8rem .4rem 0; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
@media print { body { margin: 0; max-width: none; } }
</style>
</head>
<body>
<main>
<h1>Published ports, and who gets in</h1>
<table>
<thead><tr><th scope="col">Port</th><th scope="col">Container</th><th scope="col">From</th><th scope="col">Who gets in</th></tr></thead>
<tbody>
{{- range $p := .}}{{range .Ways}}
<tr><td>{{$p.Name}}</td><td>{{$p.Container}}</td><td>{{.How}}</td><td>{{if .Everybody}}<strong>{{.Who}}</strong>{{else}}{{.Who}}{{end}}</td></tr>
{{- end}}{{end}}
</tbody>
</table>
</main>
</body>
</html>
`))

// HTML is the report as a page of its own.
func HTML(ports []*Port) (string, error) {
	var b strings.Builder
	err := page.Execute(&b, ports)
	return b.String(), err
}
