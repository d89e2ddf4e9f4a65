package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"golang.org/x/term"
)

// The escapes with which hcl's writer marks the subject of a diagnostic.
const (
	markOn  = "\x1b[1;4m"
	markOff = "\x1b[0m"
)

// printDiagnostics writes diagnostics with hcl's own writer. Without colour
// that writer does not show where in its line a mistake is; so it is run with
// colour, and a line of carets is set under each line that it marks.
func printDiagnostics(w io.Writer, files map[string]*hcl.File, diags hcl.Diagnostics) {
	colour := coloured(w)
	diags = placed(files, diags)
	var b bytes.Buffer
	// Writing to a buffer cannot fail.
	_ = hcl.NewDiagnosticTextWriter(&b, files, 78, true).WriteDiagnostics(diags)
	marked := false
	for _, line := range strings.SplitAfter(b.String(), "\n") {
		before, rest, found := strings.Cut(line, markOn)
		if strings.TrimSpace(line) == "" {
			marked = false
		}
		if !colour {
			line = plain(line)
		}
		fmt.Fprint(w, line)
		if !found || marked {
			continue
		}
		marked = true // of a subject of several lines, the first is enough
		subject, _, _ := strings.Cut(rest, markOff)
		fmt.Fprintf(w, "%s%s\n", blank(plain(before)), strings.Repeat("^", max(1, len([]rune(subject)))))
	}
}

// placed gives diagnostics that know the line of a list file alone its entry there.
func placed(files map[string]*hcl.File, diags hcl.Diagnostics) hcl.Diagnostics {
	out := make(hcl.Diagnostics, len(diags))
	for i, d := range diags {
		out[i] = d
		if at := d.Subject; at != nil && at.Start.Line > 1 && at.Start.Byte == 0 && files[at.Filename] != nil {
			copied := *d
			copied.Subject = entryOf(files[at.Filename].Bytes, *at)
			out[i] = &copied
		}
	}
	return out
}

// entryOf is the place of the entry on a line, without the blanks and the comment around
// it.
func entryOf(src []byte, at hcl.Range) *hcl.Range {
	offset := 0
	for range at.Start.Line - 1 {
		n := bytes.IndexByte(src[offset:], '\n')
		if n < 0 {
			return &at
		}
		offset += n + 1
	}
	line, _, _ := bytes.Cut(src[offset:], []byte("\n"))
	entry, _, _ := bytes.Cut(line, []byte("#"))
	start := len(entry) - len(bytes.TrimLeft(entry, " \t"))
	width := len(bytes.TrimSpace(entry))
	at.Start = hcl.Pos{Line: at.Start.Line, Column: start + 1, Byte: offset + start}
	at.End = hcl.Pos{Line: at.Start.Line, Column: start + width + 1, Byte: offset + start + width}
	return &at
}

// blank is white space as wide as a text; tabs stay tabs.
func blank(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, text)
}

// plain is a text without escapes.
func plain(text string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, text, _ = strings.Cut(rest, "m")
	}
}

// coloured reports whether a writer shows colour: a terminal, and no NO_COLOR.
func coloured(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}
