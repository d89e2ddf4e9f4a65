package editor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/page"
	"github.com/seawall/seawall/schema"
)

// Hover says in Markdown what stands at a byte of a file, and of which range it speaks. The
// text is empty where there is nothing to say. The error is the context's.
func (p *Policy) Hover(ctx context.Context, file string, offset int) (string, hcl.Range, error) {
	t := p.trees[file]
	if t == nil {
		return "", hcl.Range{}, nil
	}
	b := t.at(offset)
	if x, ok := p.names.at(file, offset); ok {
		if x.kind == Named {
			text, err := p.aboutPolicy(ctx, x)
			return text, x.at, err
		}
		return p.about(x.name), x.at, nil
	}
	for _, a := range b.attributes {
		if inside(a.nameAt, offset) {
			if known := attributeOf(b.kind, a.name); known != nil {
				return "**" + a.name + "**: " + page.Text(known.Type) + "\n\n" + attributeDoc(known), a.nameAt, nil
			}
		}
		if text, at := function(a.expr, offset); text != "" {
			return text, at, nil
		}
		if path, at, ok := p.listAt(file, offset); ok {
			return p.aboutList(path), at, nil
		}
	}
	if span, ok := p.sourceAt(file, offset); ok {
		return p.aboutSource(span), *span.Range, nil
	}
	if kind := blockOf(b.kind); kind != nil && inside(b.header, offset) && b.labelAt.Filename == "" || kind != nil && inside(b.header, offset) && offset < b.labelAt.Start.Byte-1 {
		return "**" + b.kind + "** (" + kind.Count + ")\n\n" + kind.Doc, b.header, nil
	}
	return "", hcl.Range{}, nil
}

func attributeDoc(a *schema.Attribute) string {
	text := sentence(a.Doc)
	switch {
	case a.Required:
		text += " Required."
	case a.Default != "":
		text += " Default: " + a.Default + "."
	}
	return text
}

func sentence(text string) string {
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}

// about says what a variable, local or set is.
func (p *Policy) about(x name) string {
	text := "**" + string(x.kind) + "** " + page.Code(x.text)
	if x.kind == Set {
		if s := p.set(x.text); s != nil {
			return text + "\n\n" + p.aboutSet(s)
		}
		return text
	}
	for _, d := range p.names.defined[x] {
		if x.kind == Local {
			for _, a := range d.block.attributes {
				if a.name == x.text {
					return text + code(p.trees[d.at.Filename], a.expr.Range())
				}
			}
		}
		for _, a := range d.block.attributes {
			if a.name == "type" || a.name == "default" || a.name == "description" {
				text += "\n\n" + a.name + ":" + code(p.trees[d.at.Filename], a.expr.Range())
			}
		}
	}
	return text
}

// code is the text of a range as a block of code, the first lines of a long one.
func code(t *tree, r hcl.Range) string {
	const most = 12
	if t == nil || r.Start.Byte > r.End.Byte || r.End.Byte > len(t.src) {
		return ""
	}
	lines := strings.Split(string(t.src[r.Start.Byte:r.End.Byte]), "\n")
	if len(lines) > most {
		lines = append(lines[:most], "…")
	}
	return "\n\n```hcl\n" + strings.Join(lines, "\n") + "\n```"
}

func (p *Policy) set(text string) *schema.Set {
	if p.Loaded.Document == nil {
		return nil
	}
	for _, s := range p.Loaded.Document.Sets {
		if s.Name == text {
			return s
		}
	}
	return nil
}

// shownNetworks is how many networks of a set are shown.
const shownNetworks = 6

// aboutSet says how many addresses a set has, and the first of them.
func (p *Policy) aboutSet(s *schema.Set) string {
	if s.Filled() {
		return "Filled by others while the host runs: " + strings.TrimSpace(s.IPSet+" "+s.IPSet6) + "."
	}
	var list []string
	for _, f := range packet.Families {
		these := address.NewResolver(f, nil).Set(s)
		if len(these) == 0 {
			list = append(list, f.String()+": nobody")
			continue
		}
		list = append(list, f.String()+": "+extentOf(these).text()+", "+address.PhraseOf(these).Shorten(shownNetworks))
	}
	return "- " + strings.Join(list, "\n- ")
}

// aboutPolicy says who reaches a policy, and for another block what it is.
func (p *Policy) aboutPolicy(ctx context.Context, x place) (string, error) {
	kind := x.block.kind
	text := "**" + kind + "** " + page.Code(x.block.label)
	if kind != "policy" {
		return text + "\n\n" + blockOf(kind).Doc, nil
	}
	list, err := p.reach(ctx)
	if err != nil || list == nil {
		return text, ctx.Err()
	}
	shown := 0
	for i, policy := range p.Loaded.Document.Policies {
		if policy.Range.Filename != x.at.Filename || policy.Range.Start.Byte != x.block.header.Start.Byte {
			continue
		}
		if shown++; shown > mostLenses {
			text += "\n\n…"
			break
		}
		if policy.Name != x.block.label {
			text += "\n\n" + page.Code(policy.Name)
		}
		for _, r := range list[i] {
			open, _ := r.Open()
			text += "\n\nReached over " + r.Family.String() + " by " + address.PhraseOf(open).Shorten(shownNetworks) + "."
		}
	}
	return text, nil
}

// aboutSource says which blocks mention a source.
func (p *Policy) aboutSource(span schema.Span) string {
	const most = 20
	mentions := p.mentionsOf(span)
	var list []string
	for _, m := range mentions {
		line := "- " + page.Text(m.where)
		if m.how != "" {
			line += ": " + page.Text(m.how)
		}
		if !slices.Contains(list, line) {
			list = append(list, line)
		}
	}
	text := "**" + span.String() + "** is mentioned in:\n\n"
	if len(list) > most {
		list = append(list[:most], fmt.Sprintf("- and %d more", len(list)-most))
	}
	return text + strings.Join(list, "\n")
}

// aboutList says how long a list file is.
func (p *Policy) aboutList(path string) string {
	text := "**list file** " + page.Code(path)
	n := -1
	p.eachSources(func(_ string, s *schema.Sources) {
		for i := range s.Lists {
			if s.Lists[i].OfFile() && s.Lists[i].File == path {
				n = s.Lists[i].Len()
			}
		}
	})
	if n < 0 {
		return text
	}
	return text + "\n\n" + page.Plural(n, "entry", "entries")
}

// function says what the function does whose name stands at a byte of an expression.
func function(expr hcl.Expression, offset int) (string, hcl.Range) {
	node, ok := expr.(hclsyntax.Expression)
	if !ok || !inside(expr.Range(), offset) {
		return "", hcl.Range{}
	}
	text, at := "", hcl.Range{}
	_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
		call, ok := n.(*hclsyntax.FunctionCallExpr)
		if !ok || !inside(call.NameRange, offset) {
			return nil
		}
		for _, f := range schema.Functions() {
			if strings.HasPrefix(f.Signature, call.Name+"(") {
				text, at = "```hcl\n"+f.Signature+"\n```\n\n"+f.Doc, call.NameRange
			}
		}
		return nil
	})
	return text, at
}
