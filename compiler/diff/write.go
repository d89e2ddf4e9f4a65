package diff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/prove"
)

var marks = map[prove.Effect]string{prove.Opened: "+", prove.Closed: "-", prove.Other: "~"}

// Text is the report for a terminal: a warning for what opened to everybody, then each
// change, then the files.
func (r *Report) Text() string { return r.Shorten(len(r.Items), "") }

// Shorten is Text with no more than this many changes. Where there are more, or a list
// of sources is cut, it names the command that shows all.
func (r *Report) Shorten(most int, all string) string {
	var b strings.Builder
	b.WriteString(r.Summary() + "\n")
	for i, l := range r.loud() {
		if i == 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "WARNING: %s\n", l)
	}
	cut := false
	for i, x := range r.Items {
		if i == 0 {
			b.WriteByte('\n')
		}
		if i == most {
			fmt.Fprintf(&b, "and %s.\n", plural(len(r.Items)-i, "more change", "more changes"))
			cut = true
			break
		}
		cut = cut || x.cut()
		fmt.Fprintf(&b, "%d. %s %s", i+1, marks[x.Effect], x.text())
	}
	if cut && all != "" {
		fmt.Fprintf(&b, "All of it: %s\n", all)
	}
	for i, line := range r.Beside {
		if i == 0 {
			b.WriteString("\nNot judged:\n")
		}
		b.WriteString("  " + line + "\n")
	}
	for _, f := range r.Files {
		if f.Unified != "" {
			b.WriteString("\n" + f.Unified)
		}
	}
	return b.String()
}

// cut reports whether not all of its sources are named.
func (x *Item) cut() bool {
	return slices.ContainsFunc(x.Who, func(s Sources) bool { return s.Phrase.Len() > mostNames })
}

// text is an item in one line, or with several targets each in its own.
func (x *Item) text() string {
	lines := x.lines()
	if len(lines) == 1 {
		return x.sources() + " → " + lines[0] + "\n"
	}
	return x.sources() + "\n     → " + strings.Join(lines, "\n     → ") + "\n"
}

// Summary is the report in one line.
func (r *Report) Summary() string {
	switch {
	case r.Undecided && len(r.Changes) == 0:
		return "FORWARD and INPUT mean the same; rules beside them differ, and what these mean is not judged."
	case r.Undecided:
		return r.changed() + " Rules beside FORWARD and INPUT differ too, and what these mean is not judged."
	}
	return r.changed()
}

// changed is the change of what was compared.
func (r *Report) changed() string {
	if len(r.Changes) == 0 {
		if r.textChanged() {
			return "The meaning is the same; the files are written in another way."
		}
		if !r.TextCompared {
			return "The meaning is the same."
		}
		return "The meaning is the same, and so are the files."
	}
	var parts []string
	for _, e := range []prove.Effect{prove.Opened, prove.Closed, prove.Other} {
		if n := r.Count(e); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, map[prove.Effect]string{
				prove.Opened: "opened", prove.Closed: "closed", prove.Other: "decided in another way"}[e]))
		}
	}
	n := r.Count(prove.Opened) + r.Count(prove.Closed) + r.Count(prove.Other)
	return fmt.Sprintf("%s in meaning: %s.", plural(n, "change", "changes"), strings.Join(parts, ", "))
}

func (r *Report) textChanged() bool {
	for _, f := range r.Files {
		if f.Unified != "" {
			return true
		}
	}
	return false
}

// loud are the changes that let everybody, or everybody with exceptions, in.
func (r *Report) loud() []string {
	var list []string
	for _, x := range r.Items {
		if x.loud() {
			list = append(list, fmt.Sprintf("%s can now reach %s", x.sources(), strings.Join(x.lines(), "; ")))
		}
	}
	return list
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
