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
