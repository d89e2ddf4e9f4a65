// Package page has what the pages that Seawall writes have in common: how text that
// other people wrote gets into HTML, Markdown and SVG (text.go, markdown.go), how a
// set of addresses is listed (list.go), and an HTML file's frame (frame.go).
package page

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible shows what a text has that a reader would not see, or that would change
// how the text around it is read: control characters, the marks that turn the
// direction of writing, characters without width, and bytes that are not UTF-8. They
// are written as in Go and JSON, \u202e.
func Visible(text string) string { return visible(text, false) }

// Prose is a text of several lines as one, and visible.
func Prose(text string) string { return Visible(strings.Join(strings.Fields(text), " ")) }

// Document is a whole page, with the same characters made visible but for the ends
// of lines. Every page goes through it, whatever its parts did.
func Document(text string) string { return visible(text, true) }

func visible(text string, lines bool) string {
	shows := func(r rune) bool { return r == '\n' && lines || unicode.IsPrint(r) && !unicode.In(r, unseen...) }
	i := strings.IndexFunc(text, func(r rune) bool { return r == utf8.RuneError || !shows(r) })
	if i < 0 {
		return text
	}
	var b strings.Builder
	b.WriteString(text[:i])
	for text = text[i:]; text != ""; {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case shows(r):
			b.WriteRune(r)
		case r == '\n' || r == '\r' || r == '\t':
			b.WriteString(map[rune]string{'\n': `\n`, '\r': `\r`, '\t': `\t`}[r])
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		text = text[size:]
	}
	return b.String()
}

// unseen are characters that count as letters, marks or symbols, and that nobody
// sees. What unicode.IsPrint leaves out, such as U+202E and U+200B, is not among them.
var unseen = []*unicode.RangeTable{unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, {
	R16: []unicode.Range16{{Lo: 0x2800, Hi: 0x2800, Stride: 1}}, // the blank of Braille
}}

// Anchor is the name of a place on a page; it stays the same while the name does.
func Anchor(kind, name string) string {
	var b strings.Builder
	b.WriteString(kind)
	b.WriteByte('-')
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}
