package schema

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Fix is a change of a text that fixes what a diagnostic is about. Diagnostics that have one
// have it as their Extra.
type Fix struct {
	At   hcl.Range // what is replaced
	Text string    // what it is replaced with
	Name string    // what the fix does, such as: Replace "ofice" with "office"
}

// replace is the fix that writes another word in the place of one.
func replace(at hcl.Range, given, word string) *Fix {
	return &Fix{At: at, Text: word, Name: fmt.Sprintf("Replace %q with %q", given, strings.Trim(word, "\""))}
}

// misspelled adds the fix of a mistyped name to its diagnostic, where a candidate is near.
func (l *loader) misspelled(d *hcl.Diagnostic, step hcl.Traverser, name string, candidates []string) *hcl.Diagnostic {
	at := NameOf(step)
	if word := nearest(name, candidates); word != "" && l.text(at) == name {
		d.Extra = replace(at, name, word)
	}
	return d
}

// NameOf returns where the name of a traversal's step stands: of .office, and of ["office"].
func NameOf(step hcl.Traverser) hcl.Range {
	at := step.SourceRange()
	before, after := 1, 0
	if _, ok := step.(hcl.TraverseIndex); ok {
		before, after = 2, 2
	}
	if at.End.Byte-at.Start.Byte <= before+after {
		return at
	}
	at.Start.Byte, at.Start.Column = at.Start.Byte+before, at.Start.Column+before
	at.End.Byte, at.End.Column = at.End.Byte-after, at.End.Column-after
	return at
}
