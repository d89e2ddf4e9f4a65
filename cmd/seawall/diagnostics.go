package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/mitchellh/go-wordwrap"
	"github.com/seawall/seawall/compiler/lint"
	"github.com/zclconf/go-cty/cty"
)

// How many diagnostics are shown: a reader fixes the first ones first.
const (
	maxErrors      = 50
	maxOfCode      = 30 // findings of one code
	maxSourceLines = 6
	maxSourceWidth = 160
	maxDetail      = 2000
	textWidth      = 78
)

// printDiagnostics writes diagnostics for people: each with its lines, and carets under
// its subject. If there are many, the first are shown and the others counted.
func printDiagnostics(w io.Writer, files map[string]*hcl.File, diags hcl.Diagnostics) {
	shown := map[string]int{}
	for _, d := range diags {
		kind, most := kindOf(d)
		if shown[kind]++; shown[kind] <= most {
			printDiagnostic(w, files, placed(files, d))
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(shown)) {
		most := maxOfCode
		if kind == kindError {
			most = maxErrors
		}
		if more := shown[kind] - most; more > 0 && kind == kindError {
			fmt.Fprintf(w, "and %s.\n", count(more, "more error", "more errors"))
		} else if more > 0 {
			fmt.Fprintf(w, "and %s %s.\n", count(more, "more finding", "more findings"), kind)
		}
	}
}

// kindError is the kind of all errors; a finding's is its code.
const kindError = "error"

// kindOf is what a diagnostic is counted with, and how many of it are shown.
func kindOf(d *hcl.Diagnostic) (string, int) {
	if f, ok := d.Extra.(lint.Finding); ok {
		return f.Code, maxOfCode
	}
	if d.Severity == hcl.DiagWarning {
		return "warning", maxOfCode
	}
	return kindError, maxErrors
}

func printDiagnostic(w io.Writer, files map[string]*hcl.File, d *hcl.Diagnostic) {
	s := severityOf(d)
	paint(w, s.colour, s.title)
	fmt.Fprintf(w, ": %s\n\n", oneLine(shortened(d.Summary, maxDetail)))
	if d.Subject != nil {
		printPlace(w, files[d.Subject.Filename], d)
	}
	if d.Detail == "" {
		return
	}
	for _, line := range strings.Split(shortened(d.Detail, maxDetail), "\n") {
		if !strings.HasPrefix(line, "  ") { // that is to be copied
			line = wordwrap.WrapString(line, textWidth)
		}
		fmt.Fprintln(w, line)
	}
	fmt.Fprintln(w)
}

// printPlace writes where a diagnostic is, its lines, and the values in it.
func printPlace(w io.Writer, file *hcl.File, d *hcl.Diagnostic) {
	at := *d.Subject
	fmt.Fprintf(w, "  on %s line %d", oneLine(at.Filename), at.Start.Line)
	if file == nil || file.Bytes == nil {
		fmt.Fprint(w, ":\n  (source code not available)\n\n")
		return
	}
	if nav, ok := file.Nav.(interface{ ContextString(int) string }); ok {
		if context := nav.ContextString(at.Start.Byte); context != "" {
			fmt.Fprintf(w, ", in %s", oneLine(context))
		}
	}
	fmt.Fprintln(w, ":")
	lines := at
	if d.Context != nil {
		lines = hcl.RangeOver(at, *d.Context)
	}
	printSource(w, file.Bytes, lines, at)
	fmt.Fprintln(w)
	if values := valuesIn(d); len(values) > 0 {
		fmt.Fprintf(w, "with %s.\n\n", strings.Join(values, ",\n     "))
	}
}

// printSource writes the lines of a range, with carets under the first line of its subject.
func printSource(w io.Writer, src []byte, lines, subject hcl.Range) {
	start := lineStart(src, lines.Start.Byte)
	for i, number := 0, lines.Start.Line; start <= min(lines.End.Byte, len(src)); i, number = i+1, number+1 {
		if i == maxSourceLines {
			fmt.Fprintln(w, "      …")
			return
		}
		line, _, _ := bytes.Cut(src[start:], []byte("\n"))
		if number == subject.Start.Line {
			printMarked(w, number, line, subject.Start.Byte-start, subject.End.Byte-start)
		} else if len(bytes.TrimSpace(line)) > 0 || i > 0 {
			fmt.Fprintf(w, "%4d: %s\n", number, shortened(trimmed(line), maxSourceWidth))
		}
		if start += len(line) + 1; start >= lines.End.Byte {
			return
		}
	}
}

// printMarked writes the line that a subject starts on, and the carets under it.
func printMarked(w io.Writer, number int, line []byte, from, to int) {
	text := trimmed(line)
	if strings.TrimSpace(text) == "" {
		return // nothing is shown of it
	}
	from = min(max(from, 0), len(text))
	to = min(max(to, from), len(text))
	before, subject, after := text[:from], text[from:to], text[to:]
	if len(before) > maxSourceWidth {
		before = "…" + strings.ToValidUTF8(before[len(before)-maxSourceWidth/2:], "")
	}
	subject = shortened(subject, maxSourceWidth)
	after = shortened(after, maxSourceWidth)
	before, subject = string(escaped([]byte(before), false)), string(escaped([]byte(subject), false))
	gutter := fmt.Sprintf("%4d: ", number)
	fmt.Fprint(w, gutter, before)
	paint(w, "1;4", subject)
	fmt.Fprintf(w, "%s\n%s%s%s\n", after, blank(gutter), blank(before), strings.Repeat("^", max(1, len([]rune(subject)))))
}

func trimmed(line []byte) string { return strings.TrimSuffix(string(line), "\r") }

// lineStart is where the line of an offset starts.
func lineStart(src []byte, at int) int {
	return bytes.LastIndexByte(src[:min(max(at, 0), len(src))], '\n') + 1
}

// valuesIn are the values of the names in an expression that could not be evaluated: it
// may have been evaluated several times.
func valuesIn(d *hcl.Diagnostic) []string {
	if d.Expression == nil || d.EvalContext == nil {
		return nil
	}
	var list []string
	for _, t := range d.Expression.Variables() {
		val, diags := t.TraverseAbs(d.EvalContext)
		if diags.HasErrors() || !val.IsKnown() || val.IsMarked() {
			continue
		}
		if text := nameOf(t) + " " + valueInWords(val); !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	slices.Sort(list)
	return list[:min(len(list), maxSourceLines)]
}

// nameOf is a name as it is written: each.key, var.list[0].
func nameOf(t hcl.Traversal) string {
	var b strings.Builder
	for _, step := range t {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			b.WriteString(step.Name)
		case hcl.TraverseAttr:
			b.WriteString("." + step.Name)
		case hcl.TraverseIndex:
			key := "..."
			if ty := step.Key.Type(); ty == cty.Number {
				key = step.Key.AsBigFloat().Text('g', 10)
			} else if ty == cty.String {
				key = fmt.Sprintf("%q", step.Key.AsString())
			}
			b.WriteString("[" + key + "]")
		}
	}
	return b.String()
}

// valueInWords is a value in short, after its name.
func valueInWords(val cty.Value) string {
	ty := val.Type()
	switch {
	case val.IsNull():
		return "set to null"
	case ty == cty.Bool:
		return fmt.Sprintf("as %t", val.True())
	case ty == cty.Number:
		return "as " + val.AsBigFloat().Text('g', 10)
	case ty == cty.String:
		return fmt.Sprintf("as %q", shortened(val.AsString(), maxSourceWidth))
	case ty.IsCollectionType() || ty.IsTupleType():
		return fmt.Sprintf("as %s with %s", ty.FriendlyName(), count(val.LengthInt(), "element", "elements"))
	}
	return "as " + ty.FriendlyName()
}

// placed narrows a diagnostic that has only the line of a list file to the entry there.
func placed(files map[string]*hcl.File, d *hcl.Diagnostic) *hcl.Diagnostic {
	at := d.Subject
	if at == nil || at.Start.Line <= 1 || at.Start.Byte != 0 || files[at.Filename] == nil {
		return d
	}
	copied := *d
	copied.Subject = entryOf(files[at.Filename].Bytes, *at)
	return &copied
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
