package editor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/schema"
)

// Completion is something that may be written at the cursor.
type Completion struct {
	Label   string
	Kind    CompletionKind
	Detail  string // in a few words
	Doc     string // Markdown
	Text    string // what to insert
	Snippet string // the same with places to fill in, as ${1:name}; "" for none
}

// CompletionKind is what a completion is.
type CompletionKind int

// The kinds of completions.
const (
	OfBlock CompletionKind = iota
	OfAttribute
	OfName
	OfValue
	OfFunction
)

// Complete returns what may be written at a byte of a file, and the range that it replaces.
func (p *Policy) Complete(file string, offset int) ([]Completion, hcl.Range) {
	src, ok := p.Text(file)
	at := hcl.Range{Filename: file, Start: hcl.Pos{Byte: offset}, End: hcl.Pos{Byte: offset}}
	if !ok || offset > len(src) {
		return nil, at
	}
	if strings.HasSuffix(file, ".json") {
		list, from := p.completeJSON(src, offset)
		at.Start.Byte = from
		return list, at
	}
	c := cursorAt(src, offset)
	at.Start.Byte = c.from
	switch {
	case c.comment:
		return nil, at
	case c.root != "":
		return p.completeNames(c.root, c.attribute), at
	case c.quoted:
		return completeWords(c, false), at
	case c.attribute != "":
		return p.completeValue(c), at
	case c.label:
		return nil, at
	}
	return completeBody(c), at
}

// completeBody are the attributes and blocks that a block may have.
func completeBody(c cursor) []Completion {
	var list []Completion
	if c.block() == "dynamic" {
		return []Completion{
			{"for_each", OfAttribute, "a collection", "One block is made for each of its elements. Required.", "for_each = ", "for_each = $0"},
			{"iterator", OfAttribute, "a name", "What the element is called; the block's name without it.", "iterator = ", "iterator = $0"},
			{"content", OfBlock, "exactly 1", "What each block has.", "content", "content {\n\t$0\n}"},
		}
	}
	if b := blockOf(c.block()); b != nil {
		for _, a := range b.Attributes {
			if !c.present[a.Name] {
				list = append(list, Completion{a.Name, OfAttribute, a.Type, attributeDoc(&a), a.Name + " = ", a.Name + " = $0"})
			}
		}
	}
	for _, b := range schema.Language {
		if b.In == "" && len(c.blocks) == 0 || len(c.blocks) > 0 && blockOf(c.block()) != nil && slices.Contains(blockOf(c.block()).Blocks, b.Name) {
			list = append(list, Completion{b.Name, OfBlock, b.Count, b.Doc, b.Name, snippetOf(b)})
		}
	}
	return list
}

// snippetOf is a block with places to fill in: its name and what it must have.
func snippetOf(b schema.Block) string {
	n := 1
	hole := func(text string) string {
		n++
		return fmt.Sprintf("${%d:%s}", n-1, text)
	}
	text := b.Name
	if b.Labelled {
		text += " \"" + hole("name") + "\""
	}
	text += " {\n"
	for _, a := range b.Attributes {
		if a.Required || a.Name == "sources" && b.Name != "forward" {
			text += "\t" + a.Name + " = " + hole(example(a)) + "\n"
		}
	}
	if b.Name == "policy" {
		text += "\n\tallow {\n\t\tsources = " + hole("any") + "\n\t}\n"
	}
	if n == 1 || b.Labelled && n == 2 {
		text += "\t$0\n"
	}
	return text + "}"
}

func example(a schema.Attribute) string {
	switch {
	case a.Name == "external":
		return "[\"eth0\"]"
	case a.Name == "ports":
		return "[443]"
	case a.Name == "sources":
		return "any"
	case len(a.Words()) > 0:
		return "\"" + a.Words()[0] + "\""
	case strings.HasPrefix(a.Type, "list"):
		return "[]"
	case a.Type == "bool":
		return "true"
	}
	return "\"\""
}

// completeNames are the names after set., var. and local., and after each.
func (p *Policy) completeNames(root, attribute string) []Completion {
	var list []Completion
	if root == "each" {
		return []Completion{{"key", OfName, "for_each", "", "key", ""}, {"value", OfName, "for_each", "", "value", ""}}
	}
	kind, ok := roots[root]
	if !ok || kind == Set && attribute != "" && !holdsSources(attribute) {
		return nil
	}
	for _, n := range p.names.of(kind) {
		if afterADot.MatchString(n) {
			list = append(list, Completion{n, OfName, string(kind), p.about(name{kind, n}), n, ""})
		}
	}
	return list
}

// holdsSources reports whether an attribute's value is a list of sources, or may hold one.
func holdsSources(attribute string) bool {
	for _, b := range schema.Language {
		for _, a := range b.Attributes {
			if a.Name == attribute {
				return strings.Contains(a.Type, "sources") || a.Type == "any" || strings.HasPrefix(a.Type, "map")
			}
		}
	}
	return true // a local, which may be anything
}

// completeTypes are the types that a variable may have.
func completeTypes() []Completion {
	var list []Completion
	for _, t := range []string{"string", "number", "bool", "list(string)", "set(string)", "map(string)", "list(number)", "any"} {
		list = append(list, Completion{t, OfValue, "type", "", t, ""})
	}
	return list
}

// completeValue is what the value of an attribute may begin with.
func (p *Policy) completeValue(c cursor) []Completion {
	if c.block() == "variable" && c.attribute == "type" {
		return completeTypes()
	}
	list := completeWords(c, true)
	a := attributeOf(c.block(), c.attribute)
	if len(list) > 0 && a != nil {
		return list
	}
	sources := holdsSources(c.attribute)
	if a != nil && a.Type == "bool" {
		list = append(list, Completion{"true", OfValue, "", "", "true", ""}, Completion{"false", OfValue, "", "", "false", ""})
	}
	if sources && a != nil {
		list = append(list, Completion{"any", OfValue, "everybody", "Every source, of both families.", "any", ""})
	}
	for _, root := range []string{"set", "var", "local"} {
		if root == "set" && !sources {
			continue
		}
		for _, n := range p.names.of(roots[root]) {
			text := root + "." + n
			if !afterADot.MatchString(n) {
				text = fmt.Sprintf("%s[%q]", root, n)
			}
			list = append(list, Completion{text, OfName, string(roots[root]), p.about(name{roots[root], n}), text, ""})
		}
	}
	for _, f := range schema.Functions() {
		word, _, _ := strings.Cut(f.Signature, "(")
		list = append(list, Completion{word, OfFunction, f.Signature, f.Doc, word, word + "($0)"})
	}
	return list
}

// completeWords are the words that an attribute takes.
func completeWords(c cursor, quotes bool) []Completion {
	a := attributeOf(c.block(), c.attribute)
	if a == nil {
		return nil
	}
	var list []Completion
	for _, w := range a.Words() {
		text := w
		if quotes {
			text = "\"" + w + "\""
		}
		list = append(list, Completion{text, OfValue, a.Name, attributeDoc(a), text, ""})
	}
	return list
}

// completeJSON completes the names in a string's interpolation, which JSON has for every
// expression.
func (p *Policy) completeJSON(src []byte, offset int) ([]Completion, int) {
	line := src[:offset]
	line = line[strings.LastIndexByte(string(line), '\n')+1:]
	open := strings.LastIndex(string(line), "${")
	if open < 0 || strings.ContainsAny(string(line[open:]), "}\"") {
		return nil, offset
	}
	word := strings.TrimLeft(string(line[open+2:]), " ")
	root, rest, ok := strings.Cut(word, ".")
	if !ok || strings.ContainsAny(rest, ". ([") {
		return nil, offset
	}
	return p.completeNames(root, ""), offset - len(rest)
}
