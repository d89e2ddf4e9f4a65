package editor

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/json"
	"github.com/seawall/seawall/schema"
)

// tree is the blocks and attributes of a file, as far as it could be parsed.
type tree struct {
	file string
	src  []byte
	root *block
}

// block is a block, or the whole file.
type block struct {
	kind       string // policy, or what a dynamic block makes; "" for the file
	label      string
	labelAt    hcl.Range // without its quotes; empty for none
	header     hcl.Range
	whole      hcl.Range
	parent     *block
	iterator   string // what a dynamic block calls its element; "" for any other
	attributes []attribute
	blocks     []*block
}

type attribute struct {
	name   string
	nameAt hcl.Range
	whole  hcl.Range
	expr   hcl.Expression
}

func parse(name string, src []byte) *hcl.File {
	f, _ := parsed(name, src)
	return f
}

func parsed(name string, src []byte) (*hcl.File, hcl.Diagnostics) {
	if strings.HasSuffix(name, ".json") {
		return json.Parse(src, name)
	}
	return hclsyntax.ParseConfig(src, name, hcl.InitialPos)
}

// mistakesIn are those that keep a text from being read as a whole.
func mistakesIn(name string, src []byte) hcl.Diagnostics {
	_, diags := parsed(name, src)
	return diags
}

func treeOf(f *hcl.File) *tree {
	if f == nil || f.Body == nil {
		return nil
	}
	t := &tree{src: f.Bytes, root: &block{}}
	if body, ok := f.Body.(*hclsyntax.Body); ok {
		t.file = body.SrcRange.Filename
		t.root.whole = hcl.Range{Filename: t.file, Start: hcl.InitialPos, End: hcl.Pos{Byte: len(f.Bytes)}}
		t.native(t.root, body)
		return t
	}
	t.file = f.Body.MissingItemRange().Filename
	t.root.whole = hcl.Range{Filename: t.file, Start: hcl.InitialPos, End: hcl.Pos{Byte: len(f.Bytes)}}
	t.generic(t.root, f.Body, 0)
	return t
}

// native reads a body of HCL's own syntax.
func (t *tree) native(to *block, body *hclsyntax.Body) {
	for _, a := range body.Attributes {
		to.attributes = append(to.attributes, attribute{a.Name, a.NameRange, a.SrcRange, a.Expr})
	}
	slices.SortFunc(to.attributes, func(a, b attribute) int { return a.nameAt.Start.Byte - b.nameAt.Start.Byte })
	for _, b := range body.Blocks {
		one := &block{kind: b.Type, header: b.DefRange(), whole: hcl.RangeBetween(b.TypeRange, b.CloseBraceRange), parent: to}
		if b.CloseBraceRange.End.Byte < b.TypeRange.Start.Byte { // the text ends inside it
			one.whole = hcl.RangeBetween(b.TypeRange, b.Body.SrcRange)
		}
		if len(b.Labels) > 0 {
			one.label, one.labelAt = b.Labels[0], t.unquoted(b.LabelRanges[0])
		}
		if b.Type == "dynamic" && one.label != "" {
			one.kind, one.iterator = one.label, one.label
			if a := b.Body.Attributes["iterator"]; a != nil {
				one.iterator = hcl.ExprAsKeyword(a.Expr)
			}
		} else if b.Type == "content" && to.kind != "" && blockOf("content") == nil {
			one.kind = to.kind
		}
		to.blocks = append(to.blocks, one)
		t.native(one, b.Body)
	}
}

// generic reads a body of JSON, for which the language's table says what is a block.
func (t *tree) generic(to *block, body hcl.Body, depth int) {
	const deepest = 8
	if depth > deepest {
		return
	}
	known := &hcl.BodySchema{}
	for _, b := range schema.Language {
		if to.kind == "" && b.In == "" || to.kind != "" && slices.Contains(blockOf(to.kind).Blocks, b.Name) {
			h := hcl.BlockHeaderSchema{Type: b.Name}
			if b.Labelled {
				h.LabelNames = []string{"name"}
			}
			known.Blocks = append(known.Blocks, h)
		}
	}
	if to.kind == "locals" {
		attributes, _ := body.JustAttributes()
		for _, a := range attributes {
			to.attributes = append(to.attributes, attribute{a.Name, t.unquoted(a.NameRange), a.Range, a.Expr})
		}
	} else if to.kind != "" {
		for _, a := range blockOf(to.kind).Attributes {
			known.Attributes = append(known.Attributes, hcl.AttributeSchema{Name: a.Name})
		}
	}
	content, _, _ := body.PartialContent(known)
	if content == nil {
		return
	}
	for _, a := range content.Attributes {
		to.attributes = append(to.attributes, attribute{a.Name, t.unquoted(a.NameRange), a.Range, a.Expr})
	}
	slices.SortFunc(to.attributes, func(a, b attribute) int { return a.nameAt.Start.Byte - b.nameAt.Start.Byte })
	for _, b := range content.Blocks {
		one := &block{kind: b.Type, header: b.DefRange, whole: hcl.RangeOver(b.TypeRange, b.DefRange), parent: to}
		if at := b.Body.MissingItemRange(); at.Filename != "" {
			one.whole = hcl.RangeOver(one.whole, at)
		}
		if len(b.Labels) > 0 {
			one.label, one.labelAt = b.Labels[0], t.unquoted(b.LabelRanges[0])
		}
		to.blocks = append(to.blocks, one)
		t.generic(one, b.Body, depth+1)
	}
}

// unquoted is a range without the quotes around it.
func (t *tree) unquoted(r hcl.Range) hcl.Range {
	if r.End.Byte <= len(t.src) && r.End.Byte-r.Start.Byte >= 2 && t.src[r.Start.Byte] == '"' && t.src[r.End.Byte-1] == '"' {
		r.Start.Byte, r.Start.Column = r.Start.Byte+1, r.Start.Column+1
		r.End.Byte, r.End.Column = r.End.Byte-1, r.End.Column-1
	}
	return r
}

// at returns the innermost block around a byte.
func (t *tree) at(offset int) *block {
	b := t.root
	for {
		i := slices.IndexFunc(b.blocks, func(c *block) bool { return inside(c.whole, offset) })
		if i < 0 {
			return b
		}
		b = b.blocks[i]
	}
}

// each calls f for every block of the file, from the outside in.
func (t *tree) each(f func(*block)) {
	var walk func(*block)
	walk = func(b *block) {
		f(b)
		for _, c := range b.blocks {
			walk(c)
		}
	}
	walk(t.root)
}

// inside reports whether a byte is in a range or right after it, where the cursor of an
// editor stands after the last letter.
func inside(r hcl.Range, offset int) bool {
	return r.Filename != "" && r.Start.Byte <= offset && offset <= r.End.Byte
}
