package editor

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/schema"
	"github.com/zclconf/go-cty/cty"
)

// Kind is what a name is the name of.
type Kind string

// The kinds of names. Only the first three can be referred to.
const (
	Variable Kind = "variable"
	Local    Kind = "local"
	Set      Kind = "set"
	Named    Kind = "policy" // or another block with a name
)

// roots are the first steps of references.
var roots = map[string]Kind{"var": Variable, "local": Local, "set": Set}

// name is a name that is defined or used.
type name struct {
	kind Kind
	text string
}

// place is where a name stands.
type place struct {
	name
	at    hcl.Range
	block *block // which defines it; nil for a use
}

// names is where the names of a policy are defined, and where they are used.
type names struct {
	defined map[name][]place
	used    map[name][]place
	// whole are the uses of all names of a kind at once, as in set[each.key]: which name is
	// meant shows only when the policy is read.
	whole map[Kind][]hcl.Range
}

func namesOf(p *Policy) *names {
	n := &names{map[name][]place{}, map[name][]place{}, map[Kind][]hcl.Range{}}
	for _, file := range slices.Sorted(maps.Keys(p.trees)) {
		p.trees[file].each(n.add)
	}
	return n
}

func (n *names) add(b *block) {
	switch {
	case b.labelAt.Filename == "":
	case b.kind == "variable":
		n.define(name{Variable, b.label}, b.labelAt, b)
	case b.kind == "set":
		n.define(name{Set, b.label}, b.labelAt, b)
	case blockOf(b.kind) != nil && blockOf(b.kind).Labelled:
		n.define(name{Named, b.kind + " " + b.label}, b.labelAt, b)
	}
	for _, a := range b.attributes {
		if b.kind == "locals" {
			n.define(name{Local, a.name}, a.nameAt, b)
		}
		if b.iterator != "" && a.name == "iterator" {
			continue // which is a name and no use of one
		}
		for _, t := range a.expr.Variables() {
			if !b.binds(t.RootName()) {
				n.use(t)
			}
		}
	}
}

func (n *names) define(x name, at hcl.Range, b *block) {
	n.defined[x] = append(n.defined[x], place{x, at, b})
}

// binds reports whether a dynamic block around a block calls its element by a name.
func (b *block) binds(word string) bool {
	for x := b.parent; x != nil; x = x.parent {
		if x.iterator == word {
			return true
		}
	}
	return false
}

func (n *names) use(t hcl.Traversal) {
	kind, ok := roots[t.RootName()]
	if !ok {
		return
	}
	if len(t) < 2 {
		n.whole[kind] = append(n.whole[kind], t.SourceRange())
		return
	}
	text := ""
	switch step := t[1].(type) {
	case hcl.TraverseAttr:
		text = step.Name
	case hcl.TraverseIndex:
		if step.Key.Type() == cty.String && step.Key.IsKnown() && !step.Key.IsNull() {
			text = step.Key.AsString()
		}
	}
	if text == "" {
		n.whole[kind] = append(n.whole[kind], t.SourceRange())
		return
	}
	x := name{kind, text}
	n.used[x] = append(n.used[x], place{x, schema.NameOf(t[1]), nil})
}

// at returns the name at a byte of a file.
func (n *names) at(file string, offset int) (place, bool) {
	for _, list := range []map[name][]place{n.used, n.defined} {
		for _, places := range list {
			for _, x := range places {
				if x.at.Filename == file && inside(x.at, offset) {
					return x, true
				}
			}
		}
	}
	return place{}, false
}

// of lists the names of a kind in order.
func (n *names) of(kind Kind) []string {
	var list []string
	for x := range n.defined {
		if x.kind == kind {
			list = append(list, x.text)
		}
	}
	slices.Sort(list)
	return list
}

// Definition returns where the name at a byte of a file is defined, or the list file that is
// named there.
func (p *Policy) Definition(file string, offset int) []hcl.Range {
	if x, ok := p.names.at(file, offset); ok {
		return ranges(p.names.defined[x.name])
	}
	if path, _, ok := p.listAt(file, offset); ok {
		return []hcl.Range{{Filename: path, Start: hcl.InitialPos, End: hcl.InitialPos}}
	}
	return nil
}

// References returns every place at which the name at a byte is used, and where it is
// defined too if asked for.
func (p *Policy) References(file string, offset int, definition bool) []hcl.Range {
	x, ok := p.names.at(file, offset)
	if !ok {
		return nil
	}
	var list []hcl.Range
	if definition {
		list = ranges(p.names.defined[x.name])
	}
	list = append(list, ranges(p.names.used[x.name])...)
	if x.kind == Variable {
		list = append(list, p.inVariableFiles(x.text)...)
	}
	return list
}

func ranges(places []place) []hcl.Range {
	var list []hcl.Range
	for _, x := range places {
		list = append(list, x.at)
	}
	return list
}

// listAt returns the list file that is named at a byte of a file: an element of files.
func (p *Policy) listAt(file string, offset int) (path string, at hcl.Range, ok bool) {
	t := p.trees[file]
	if t == nil {
		return "", at, false
	}
	for _, a := range t.at(offset).attributes {
		if a.name != "files" || !inside(a.expr.Range(), offset) {
			continue
		}
		elements, _ := hcl.ExprList(a.expr)
		for _, e := range append(elements, a.expr) {
			text, diags := e.Value(nil)
			if !inside(e.Range(), offset) || diags.HasErrors() || text.Type() != cty.String || !text.IsKnown() || text.IsNull() {
				continue
			}
			path := text.AsString()
			if !filepath.IsAbs(path) {
				path = filepath.Join(filepath.Dir(file), path)
			}
			return path, e.Range(), true
		}
	}
	return "", at, false
}

// variableFiles are the variable files of a policy: those that were given, those beside its
// files, and those in a folder beside them, as --hosts takes one.
func (p *Policy) variableFiles() []string {
	list := slices.Clone(p.options.VarFiles)
	seen := map[string]bool{}
	for file := range p.trees {
		dir := filepath.Dir(file)
		if seen[dir] {
			continue
		}
		seen[dir] = true
		entries, _ := os.ReadDir(dir) // a folder that cannot be read has none
		list = append(list, variableFilesIn(dir, entries)...)
		for _, e := range entries {
			if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
				inside, _ := os.ReadDir(filepath.Join(dir, e.Name()))
				list = append(list, variableFilesIn(filepath.Join(dir, e.Name()), inside)...)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func variableFilesIn(dir string, entries []os.DirEntry) []string {
	var list []string
	for _, e := range entries {
		if isVariableFile(e.Name()) && e.Type().IsRegular() {
			list = append(list, filepath.Join(dir, e.Name()))
		}
	}
	return list
}

func isVariableFile(name string) bool {
	return strings.HasSuffix(name, ".vars.hcl") || strings.HasSuffix(name, ".vars.json")
}
