package editor

import (
	"bytes"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/seawall/seawall/compiler/lint"
	"github.com/seawall/seawall/schema"
	"github.com/zclconf/go-cty/cty"
)

// Fix is a change that fixes what a diagnostic is about.
type Fix struct {
	Name  string
	Of    *hcl.Diagnostic
	Edits []Edit
	Best  bool // it most likely is what is wanted
}

// Fixes are those of the mistakes and findings that a range of a file touches.
func (p *Policy) Fixes(file string, from, to int) []Fix {
	var list []Fix
	touches := func(r *hcl.Range) bool {
		return r != nil && r.Filename == file && r.Start.Byte <= to && from <= r.End.Byte
	}
	for _, d := range p.Mistakes {
		if fix, ok := d.Extra.(*schema.Fix); ok && touches(d.Subject) {
			list = append(list, Fix{fix.Name, d, []Edit{{fix.At, fix.Text}}, true})
		}
	}
	for _, f := range p.Findings() {
		if !touches(&f.At) {
			continue
		}
		d := f.Diagnostic()
		if fix, ok := p.change(f); ok {
			fix.Of, fix.Best = d, true
			list = append(list, fix)
		}
		if fix, ok := p.ignore(f); ok {
			fix.Of = d
			list = append(list, fix)
		}
	}
	return list
}

// change is the one that a finding asks for, where there is only one.
func (p *Policy) change(f lint.Finding) (Fix, bool) {
	t := p.trees[f.At.Filename]
	if t == nil {
		return Fix{}, false
	}
	native := !strings.HasSuffix(f.At.Filename, ".json")
	b := t.at(f.At.Start.Byte)
	switch f.Code {
	case "SW000":
		return Fix{Name: "Remove the comment", Edits: []Edit{{t.lines(f.At, true), ""}}}, true
	case "SW001", "SW003", "SW005":
		named := b.kind == "set" && (len(p.names.used[name{Set, b.label}]) > 0 || len(p.names.whole[Set]) > 0)
		if native && !named && b.parent != nil && b.header.Start.Byte == f.At.Start.Byte {
			return Fix{Name: "Remove the block", Edits: []Edit{{t.lines(b.whole, false), ""}}}, true
		}
	case "SW002":
		for _, a := range b.attributes {
			if native && a.name == "except" && inside(a.whole, f.At.Start.Byte) {
				return Fix{Name: "Remove except", Edits: []Edit{{t.lines(a.whole, false), ""}}}, true
			}
		}
	case "SW006", "SW010":
		if at, ok := t.element(b, f.At); ok && native {
			return Fix{Name: "Remove " + string(t.src[f.At.Start.Byte:f.At.End.Byte]), Edits: []Edit{{at, ""}}}, true
		}
	case "SW009":
		return t.internal(b)
	}
	return Fix{}, false
}

// lines widens a range to whole lines where nothing else stands on them. Of a comment, what
// precedes it on its line stays.
func (t *tree) lines(r hcl.Range, comment bool) hcl.Range {
	start := bytes.LastIndexByte(t.src[:r.Start.Byte], '\n') + 1
	end := len(t.src)
	if i := bytes.IndexByte(t.src[r.End.Byte:], '\n'); i >= 0 {
		end = r.End.Byte + i + 1
	}
	before, after := bytes.TrimSpace(t.src[start:r.Start.Byte]), bytes.TrimSpace(t.src[r.End.Byte:end])
	switch {
	case len(before) == 0 && (len(after) == 0 || comment):
		r.Start.Byte, r.End.Byte = start, end
	case comment:
		r.Start.Byte -= len(t.src[start:r.Start.Byte]) - len(bytes.TrimRight(t.src[start:r.Start.Byte], " \t"))
		r.End.Byte = end
		if end > r.Start.Byte && t.src[end-1] == '\n' {
			r.End.Byte--
		}
	}
	return r
}

// element is the range that removes an element of a list, with the comma that it needs.
func (t *tree) element(b *block, at hcl.Range) (hcl.Range, bool) {
	for _, a := range b.attributes {
		if !inside(a.expr.Range(), at.Start.Byte) {
			continue
		}
		elements, diags := hcl.ExprList(a.expr)
		if diags.HasErrors() || len(elements) < 2 {
			return at, false
		}
		i := slices.IndexFunc(elements, func(e hcl.Expression) bool {
			return e.Range().Start.Byte == at.Start.Byte && e.Range().End.Byte == at.End.Byte
		})
		switch {
		case i < 0 || !isText(elements[i]):
			return at, false // what it names may be more than what is found
		case i > 0:
			at.Start = elements[i-1].Range().End
		default:
			at.End = elements[1].Range().Start
		}
		return at, true
	}
	return at, false
}

// isText reports whether an expression is a string as it is written.
func isText(e hcl.Expression) bool {
	v, diags := e.Value(nil)
	_, ok := e.(*hclsyntax.TemplateExpr)
	return ok && !diags.HasErrors() && len(e.Variables()) == 0 && v.Type() == cty.String
}

// internal adds lo to the internal interfaces of a host.
func (t *tree) internal(b *block) (Fix, bool) {
	const fixName = "Add \"lo\" to internal"
	for _, a := range b.attributes {
		if a.name != "internal" {
			continue
		}
		elements, diags := hcl.ExprList(a.expr)
		if diags.HasErrors() || len(elements) == 0 {
			return Fix{}, false
		}
		end := elements[len(elements)-1].Range()
		end.Start = end.End
		return Fix{Name: fixName, Edits: []Edit{{end, ", \"lo\""}}}, true
	}
	for _, a := range b.attributes {
		if a.name == "external" && !strings.HasSuffix(t.file, ".json") {
			end := a.whole
			end.Start = end.End
			indent := strings.Repeat(" ", max(a.nameAt.Start.Column-1, 0))
			return Fix{Name: fixName, Edits: []Edit{{end, "\n" + indent + "internal = [\"lo\"]"}}}, true
		}
	}
	return Fix{}, false
}

// ignore writes the comment that silences a finding.
func (p *Policy) ignore(f lint.Finding) (Fix, bool) {
	src, ok := p.Text(f.At.Filename)
	if !ok || f.Code == "SW000" || strings.HasSuffix(f.At.Filename, ".json") {
		return Fix{}, false
	}
	start := bytes.LastIndexByte(src[:f.At.Start.Byte], '\n') + 1
	indent := src[start : start+len(src[start:])-len(bytes.TrimLeft(src[start:], " \t"))]
	at := hcl.Range{Filename: f.At.Filename, Start: hcl.Pos{Byte: start}, End: hcl.Pos{Byte: start}}
	return Fix{Name: "Ignore " + f.Code + " here, with a reason", Edits: []Edit{{at, string(indent) + "# seawall:ignore " + f.Code + " say why\n"}}}, true
}
