package exposure

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
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

// row is one way in as a table row.
type row struct {
	Port, Container, Interface, Family, By, Who string
	Doubts                                      []Doubt
	Open                                        bool
}

// rows are the ways in as a table.
func (r *Report) rows() []row {
	var list []row
	for _, p := range r.Ports {
		x := row{Port: p.Name(), Container: p.Target()}
		if p.Local {
			x.By = localOnly
			list = append(list, x)
		}
		for _, w := range p.Ways {
			y := x
			y.Interface, y.Family, y.By, y.Who, y.Doubts, y.Open = w.Interface, w.Family.String(), w.By(), w.Who(), w.Doubts, w.Open()
			if w.Address != "" {
				y.Port += " at " + w.Address
			}
			list = append(list, y)
		}
	}
	return list
}

// cell escapes text for a Markdown table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "`", "\\`", "*", `\*`).Replace(text)
}

// Markdown is the report as a table.
func (r *Report) Markdown() string {
	var b strings.Builder
	b.WriteString("| port | container | interface | family | way in | who gets in |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, x := range r.rows() {
		who := cell(x.Who)
		if x.Open {
			who = "**" + who + "**"
		}
		for _, d := range x.Doubts {
			who += "; " + notEvaluated + cell(d.String())
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", cell(x.Port), cell(x.Container), cell(x.Interface), x.Family, cell(x.By), who)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "\nNote: %s.\n", cell(n))
	}
	return b.String()
}
