package editor

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/schema"
)

// Edit is a change of a file's text.
type Edit struct {
	At   hcl.Range
	Text string
}

// NameAt returns the name that a rename at a byte of a file would change.
func (p *Policy) NameAt(file string, offset int) (string, hcl.Range, bool) {
	x, ok := p.names.at(file, offset)
	if !ok || !p.says(x.at, bare(x)) || len(p.names.defined[x.name]) == 0 {
		return "", hcl.Range{}, false
	}
	return bare(x), x.at, true
}

// bare is the name itself: that of a block has its kind before it.
func bare(x place) string {
	if x.kind == Named {
		return x.block.label
	}
	return x.text
}

// goodName is what may be a name everywhere; a name after a dot may not have dots itself.
var (
	goodName  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	afterADot = regexp.MustCompile(`^[\p{L}_][\p{L}\p{N}_-]*$`)
)

// Rename returns the edits that give the name at a byte of a file another text: where it is
// defined, where it is used, and for a variable in the variable files. The error says why
// it cannot be done.
func (p *Policy) Rename(file string, offset int, to string) ([]Edit, error) {
	old, _, ok := p.NameAt(file, offset)
	if !ok {
		return nil, fmt.Errorf("there is no name here that can be changed")
	}
	x, _ := p.names.at(file, offset)
	const most = 63
	switch {
	case x.kind == Named && x.block.kind == "test":
		if to == "" || regexp.MustCompile(`["\n\\]|[$%]\{`).MatchString(to) {
			return nil, fmt.Errorf("%q cannot be the name of a test", to)
		}
	case len(to) > most:
		return nil, fmt.Errorf("%q is too long: a name has at most %d bytes", to, most)
	case !goodName.MatchString(to):
		return nil, fmt.Errorf("%q is not a valid name: it may have letters, digits, \"_\", \"-\" and \".\"", to)
	case x.kind != Named && !afterADot.MatchString(to):
		return nil, fmt.Errorf("%q cannot stand after a dot, where this name is used: it may have letters, digits, \"_\" and \"-\", and starts with a letter or \"_\"", to)
	}
	if err := p.mayRename(x); err != nil {
		return nil, err
	}
	target := name{x.kind, to}
	if x.kind == Named {
		target.text = x.block.kind + " " + to
	}
	if at := p.names.defined[target]; len(at) > 0 && to != old {
		return nil, fmt.Errorf("%q is already defined at %s:%d", to, at[0].at.Filename, at[0].at.Start.Line)
	}
	var edits []Edit
	for _, at := range slices.Concat(ranges(p.names.defined[x.name]), ranges(p.names.used[x.name])) {
		if !p.says(at, old) {
			return nil, fmt.Errorf("%s:%d writes %q in another way; change it there first", at.Filename, at.Start.Line, old)
		}
		edits = append(edits, Edit{at, to})
	}
	if x.kind == Variable {
		for _, at := range p.inVariableFiles(old) {
			edits = append(edits, Edit{at, to})
		}
	}
	return edits, nil
}

// mayRename returns an error where not all uses of a name are known.
func (p *Policy) mayRename(x place) error {
	for file, t := range p.trees {
		if diags := mistakesIn(file, t.src); diags.HasErrors() {
			return fmt.Errorf("%s cannot be read as a whole, so uses of the name may be missed; fix its mistakes first", file)
		}
	}
	for _, name := range p.Loaded.Inputs {
		if p.trees[name] == nil {
			return fmt.Errorf("%s cannot be read, so uses of the name may be missed; fix its mistakes first", name)
		}
	}
	if whole := p.names.whole[x.kind]; len(whole) > 0 {
		at := whole[0]
		return fmt.Errorf("%s:%d uses a %s by a name that is worked out, which may be %q; write the name there first", at.Filename, at.Start.Line, x.kind, bare(x))
	}
	for _, given := range p.options.Vars {
		if name, _, _ := strings.Cut(given, "="); x.kind == Variable && name == x.text {
			return fmt.Errorf("the editor's settings, or --var, give the variable %q a value; change them first", name)
		}
	}
	return nil
}

// says reports whether a range of a file is this text.
func (p *Policy) says(at hcl.Range, text string) bool {
	src, ok := p.Text(at.Filename)
	return ok && at.Start.Byte <= at.End.Byte && at.End.Byte <= len(src) && string(src[at.Start.Byte:at.End.Byte]) == text
}

// inVariableFiles are the places where variable files name a variable.
func (p *Policy) inVariableFiles(old string) []hcl.Range {
	var list []hcl.Range
	for _, path := range p.variableFiles() {
		src, ok := p.TextOf(path)
		if !ok {
			continue // it is gone
		}
		f := parse(path, src)
		if f == nil || f.Body == nil {
			continue
		}
		t := &tree{file: path, src: src}
		attributes, _ := f.Body.JustAttributes()
		for _, key := range slices.Sorted(maps.Keys(attributes)) {
			if at := t.unquoted(attributes[key].NameRange); key == old && string(src[at.Start.Byte:at.End.Byte]) == old {
				list = append(list, at)
			}
		}
	}
	return list
}

// Format is the edit that brings a file's text into canonical layout; none where it is, or
// where the text does not parse.
func Format(file string, src []byte) []Edit {
	out, diags := schema.Format(file, src)
	if diags.HasErrors() || string(out) == string(src) {
		return nil
	}
	// What the texts begin and end with in common stays, in whole lines: an editor keeps
	// marks and folds there.
	start := 0
	for i := 0; i < len(out) && i < len(src) && out[i] == src[i]; i++ {
		if out[i] == '\n' {
			start = i + 1
		}
	}
	a, b := len(src), len(out)
	for i, j := len(src), len(out); i > start && j > start && src[i-1] == out[j-1]; {
		i, j = i-1, j-1
		if i == start || src[i-1] == '\n' {
			if j == start || out[j-1] == '\n' {
				a, b = i, j
			}
		}
	}
	at := hcl.Range{Filename: file, Start: hcl.Pos{Byte: start}, End: hcl.Pos{Byte: a}}
	return []Edit{{at, string(out[start:b])}}
}
