package render

import (
	"fmt"
	"html"
	"math/big"
	"net/netip"
	"strings"
)

// The measures of the drawings, in units of their view boxes. A station's
// column is as wide as a phone, so that its text stays legible there.
const (
	columnWidth = 340
	lineHeight  = 17
	textInset   = 10
	lineChars   = 50 // characters of a line at its font size
	arrowHeight = 22
	stripWidth  = 680
	stripHeight = 22
)

// style is for the drawing alone; a page has the same names in its own style.
const style = `<style>
text{font:12px system-ui,"DejaVu Sans",sans-serif;fill:#1b1f24}.b{font-weight:600}.n{font-size:13px;font-weight:600}
.box{fill:#fff;stroke:#57606a}.acts{fill:#ddf4ff;stroke:#0550ae}.arrow{stroke:#57606a;fill:none}.tip{fill:#57606a}
.open{fill:#1a7f37}.shut{fill:#d0d7de}.mixed{fill:#7d8590}.ground{fill:#fff}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.box{fill:#161b22;stroke:#8b949e}.acts{fill:#0c2d6b;stroke:#79c0ff}
.arrow{stroke:#8b949e}.tip{fill:#8b949e}.open{fill:#3fb950}.shut{fill:#3d444d}.mixed{fill:#8b949e}.ground{fill:#0d1117}}
</style>
`

// SVG is the whole drawing for itself: the way of a packet, and every policy's
// sources.
func (p *Page) SVG() string {
	left, leftHeight := p.column(forwardWay)
	height := leftHeight
	right := ""
	if p.Host.UserlandProxy {
		text, h := p.column(inputWay)
		right = fmt.Sprintf("<g transform=\"translate(%d 0)\">%s</g>\n", columnWidth, text)
		height = max(height, h)
	}
	var strips strings.Builder
	y := height + 28
	fmt.Fprintf(&strips, "<text class=\"n\" x=\"0\" y=\"%d\">Who gets in, over the whole address space</text>\n", y)
	for _, x := range p.Policies {
		for _, s := range x.Strips {
			y += 24
			for i, line := range wrap(x.Name+", "+short(x.Ports)+". "+s.Summary(), 2*lineChars) {
				if i > 0 {
					y += lineHeight
				}
				fmt.Fprintf(&strips, "<text x=\"0\" y=\"%d\">%s</text>\n", y, html.EscapeString(line))
			}
			fmt.Fprintf(&strips, "<g transform=\"translate(0 %d)\">%s</g>\n", y+6, s.bars())
			y += 6 + stripHeight
		}
	}
	width := 2 * columnWidth
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-8 -8 %d %d\" role=\"img\" aria-label=\"%s\">\n%s<rect class=\"ground\" x=\"-8\" y=\"-8\" width=\"100%%\" height=\"100%%\"/>\n%s%s%s</svg>\n",
		width+16, y+16, html.EscapeString("Who may reach what: "+p.Title), style, left, right, strips.String())
}

// column draws the stations of a way, one below the other, and gives its
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
			lines = append(lines, wrap(l, lineChars)...)
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

// mostParts is how many parts of an address space are drawn one beside the
// other, each as wide as the next; more are drawn to scale, in so many buckets.
const mostParts, buckets = 40, 256

// bars are a strip's rectangles.
func (s Strip) bars() string {
	var b strings.Builder
	bar := func(i, of int, class, title string) {
		x, next := i*stripWidth/of, (i+1)*stripWidth/of
		fmt.Fprintf(&b, "<rect class=\"%s\" x=\"%d\" y=\"0\" width=\"%d\" height=\"%d\"><title>%s</title></rect>", class, x, next-x-1, stripHeight, html.EscapeString(title))
	}
	if len(s.Parts) <= mostParts {
		for i, p := range s.Parts {
			class := "shut"
			if p.Verdict.IsOpen() {
				class = "open"
			}
			bar(i, len(s.Parts), class, fmt.Sprintf("%s to %s: %s", p.First, p.Last, p.Verdict))
		}
		return b.String()
	}
	for i, share := range s.shares() {
		class := "mixed"
		switch {
		case share == 0:
			class = "shut"
		case share >= 1:
			class = "open"
		}
		bar(i, buckets, class, fmt.Sprintf("bucket %d of %d: %.1f%% gets in", i+1, buckets, 100*share))
	}
	return b.String()
}

// shares is the part of each bucket of the address space that gets in.
func (s Strip) shares() [buckets]float64 {
	var list [buckets]float64
	bits := uint(32)
	if s.Family == 6 {
		bits = 128
	}
	size := new(big.Int).Lsh(big.NewInt(1), bits-8)
	for _, p := range s.Parts {
		if !p.Verdict.IsOpen() {
			continue
		}
		first, last := number(p.First), number(p.Last)
		last.Add(last, big.NewInt(1))
		for i := new(big.Int).Div(first, size).Int64(); i < buckets; i++ {
			lo := new(big.Int).Mul(big.NewInt(i), size)
			hi := new(big.Int).Add(lo, size)
			if lo.Cmp(last) >= 0 {
				break
			}
			if first.Cmp(lo) > 0 {
				lo = first
			}
			if last.Cmp(hi) < 0 {
				hi = last
			}
			share, _ := new(big.Rat).SetFrac(new(big.Int).Sub(hi, lo), size).Float64()
			list[i] += share
		}
	}
	return list
}

func number(a netip.Addr) *big.Int { return new(big.Int).SetBytes(a.AsSlice()) }
