package editor

import (
	"github.com/hashicorp/hcl/v2"
)

// Symbol is a part of a file's outline.
type Symbol struct {
	Name   string
	Kind   string // the block's, or "local"
	Detail string
	Whole  hcl.Range
	At     hcl.Range // its name
	Inside []Symbol
}

// Symbols is the outline of a file: its blocks in order, and what each has.
func (p *Policy) Symbols(file string) []Symbol {
	t := p.trees[file]
	if t == nil {
		return nil
	}
	return t.symbols(t.root)
}

func (t *tree) symbols(of *block) []Symbol {
	var list []Symbol
	for _, b := range of.blocks {
		s := Symbol{Name: b.kind, Kind: b.kind, Whole: b.whole, At: b.header, Inside: t.symbols(b)}
		if b.label != "" {
			s.Name, s.Detail, s.At = b.label, b.kind, b.labelAt
		}
		for _, a := range b.attributes {
			switch {
			case b.kind == "locals":
				s.Inside = append(s.Inside, Symbol{Name: a.name, Kind: "local", Whole: a.whole, At: a.nameAt})
			case a.name == "ports" || a.name == "sources":
				s.Detail = joined(s.Detail, t.line(a.expr.Range()))
			}
		}
		list = append(list, s)
	}
	return list
}

func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + " " + b
}

// line is the text of a range that lies on one line, shortened.
func (t *tree) line(r hcl.Range) string {
	const most = 40
	if r.Start.Line != r.End.Line || r.Start.Byte > r.End.Byte || r.End.Byte > len(t.src) {
		return ""
	}
	text := []rune(string(t.src[r.Start.Byte:r.End.Byte]))
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}
