package render

import (
	"fmt"
	"html"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/page"
)

// The measures of the drawings, in units of their view boxes. A station's
// column is as wide as a phone, so that its text stays legible there.
const (
	columnWidth = 340
	lineHeight  = 17
	textInset   = 10
	lineChars   = 50 // characters of a line at its font size
	arrowHeight = 22
)

// style is for the drawing alone; a page has the same names in its own style.
const style = `<style>
text{font:12px system-ui,"DejaVu Sans",sans-serif;fill:#1b1f24}.n{font-size:13px;font-weight:600}
.box{fill:#fff;stroke:#57606a}.acts{fill:#fff;stroke:#0550ae;stroke-width:1.5}.arrow{stroke:#57606a;fill:none}.tip{fill:#57606a}.ground{fill:#fff}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.box{fill:#161b22;stroke:#8b949e}.acts{fill:#0d1117;stroke:#79c0ff}
.arrow{stroke:#8b949e}.tip{fill:#8b949e}.ground{fill:#0d1117}}
</style>
`

// SVG is the whole drawing for itself: who gets in by each policy, and the way of a
// packet.
func (p *Page) SVG() string {
	var list strings.Builder
	y := 8
	write := func(class, text string) {
		for _, line := range wrap(page.Visible(text), 2*lineChars) {
			fmt.Fprintf(&list, "<text%s x=\"0\" y=\"%d\">%s</text>\n", class, y, html.EscapeString(line))
			y += lineHeight
		}
	}
	write(" class=\"n\"", "Who may reach what: "+p.Title)
	for _, x := range p.Policies {
		y += 6
		write(" class=\"n\"", x.Name+": "+short(x.Ports))
		for _, f := range packet.Families {
			write("", f.String()+": "+p.inWords(x, f))
		}
		if rest := x.Rest(); rest != "" {
			write("", "everybody else: "+rest)
		}
	}
	y += 6
	write(" class=\"n\"", "Any other port")
	write("", p.Host.UnlistedText())
	y += 12
	left, height := p.column(forwardWay)
	right := ""
	if p.Host.UserlandProxy {
		text, h := p.column(inputWay)
		right = fmt.Sprintf("<g transform=\"translate(%d %d)\">%s</g>\n", columnWidth, y, text)
		height = max(height, h)
	}
	return page.Document(fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-8 -8 %d %d\" role=\"img\" aria-label=\"%s\">\n%s<rect class=\"ground\" x=\"-8\" y=\"-8\" width=\"100%%\" height=\"100%%\"/>\n%s<g transform=\"translate(0 %d)\">%s</g>\n%s</svg>\n",
		2*columnWidth+16, y+height+16, html.EscapeString("Who may reach what: "+p.Title), style, list.String(), y, left, right))
}

// mostInDrawing is how many sources of a policy a drawing names: nothing can be opened in it.
const mostInDrawing = 24

// inWords says who gets in over a family.
func (p *Page) inWords(x *Policy, f packet.Family) string {
	if r := x.reach(f); r != nil {
		return r.Phrase.Shorten(mostInDrawing)
	}
	o := x.absent(f)
	if o.Unlisted {
		return o.Where + ": " + p.Host.NotListed()
	}
	return o.Where + ": " + joined(o.Policies) + o.rest(p.Host)
}

// column draws the stations of a way, one below the other, and returns its
// height.
func (p *Page) column(side waySide) (text string, height int) {
	var b strings.Builder
	y := 0
	for i, s := range p.way(side) {
		if i > 0 {
			fmt.Fprintf(&b, "<path class=\"arrow\" d=\"M%d %dV%d\"/><path class=\"tip\" d=\"M%d %dl-4 -7h8z\"/>\n",
				columnWidth/2, y, y+arrowHeight, columnWidth/2, y+arrowHeight)
			y += arrowHeight
		}
		var lines []string
		for _, l := range s.Lines {
			lines = append(lines, wrap(page.Visible(l), lineChars)...)
		}
		h := 2*textInset + lineHeight*(1+len(lines)) - 4
		class := "box"
		if strings.Contains(s.Name, "DOCKER-USER") || strings.Contains(s.Name, "SEAWALL") {
			class = "acts"
		}
		fmt.Fprintf(&b, "<rect class=\"%s\" x=\"1\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\"/>\n<text class=\"n\" x=\"%d\" y=\"%d\">%s</text>\n",
			class, y+1, columnWidth-12, h, textInset, y+textInset+11, html.EscapeString(s.Name))
		for n, l := range lines {
			fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\">%s</text>\n", textInset, y+textInset+11+lineHeight*(n+1), html.EscapeString(l))
		}
		y += h
	}
	return b.String(), y + 2
}

// wrap breaks a text into lines of so many characters at most, where it can at
// a space.
func wrap(text string, chars int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		for len([]rune(word)) > chars {
			lines = append(lines, string([]rune(word)[:chars]))
			word = string([]rune(word)[chars:])
		}
		if line != "" && len([]rune(line))+1+len([]rune(word)) > chars {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
