package page

import (
	"regexp"
	"strings"
)

// Code is a text as code in Markdown, also in the cell of a table. Addresses need it:
// hosting sites make a picture of the ":100:" in 2001:db8:100::1.
func Code(text string) string {
	text = Visible(text)
	switch {
	case strings.TrimSpace(text) == "":
		return Text(text)
	case strings.ContainsAny(text, "|{"): // a backslash would show; and a generator of sites may read {{ and {% as its own
		return "<code>" + Text(text) + "</code>"
	}
	fence := "`"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	if strings.Trim(text, "` ") != text {
		text = " " + text + " "
	}
	return fence + text + fence
}

// Codes lists texts as code.
func Codes(values []string) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = Code(v)
	}
	return strings.Join(out, ", ")
}

// Text is prose that other people wrote, for a line of Markdown or the cell of a
// table: none of it is read as Markdown, HTML or a template, and no @name in it is notified.
func Text(text string) string {
	text = escapes.Replace(Prose(text))
	return startOfBlock.ReplaceAllString(text, `$1\$2`)
}

var escapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "@<!-- -->",
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "{", `\{`, "}", `\}`, "[", `\[`, "]", `\]`, "#", `\#`,
	"!", `\!`, "|", `\|`, "%", "&#37;", "~", `\~`, "$", `\$`)

// startOfBlock is what begins a list or underlines a heading.
var startOfBlock = regexp.MustCompile(`^(\d*)([-+=.):])`)
