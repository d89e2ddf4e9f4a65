package editor

import (
	"bytes"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// cursor is what stands around a place in a text of HCL's own syntax. It is found from the
// tokens before it, for a text that is being typed rarely parses.
type cursor struct {
	blocks    []string        // the blocks around it, the outermost first
	present   map[string]bool // attributes of the innermost block that stand before it
	attribute string          // whose value it is in; "" between attributes
	root      string          // the name before a dot, as in set.|
	from      int             // where the word that is being typed begins
	quoted    bool            // inside a string
	comment   bool
	label     bool // after a block's name and before its brace
}

// frame is an open bracket of some kind.
type frame struct {
	kind  frameKind
	block string
	makes string            // what a dynamic block makes
	words []hclsyntax.Token // of the line that is being read
	seen  map[string]bool
}

type frameKind int

const (
	bodyFrame frameKind = iota
	objectFrame
	listFrame // brackets, parentheses and what is interpolated
	stringFrame
	proseFrame // a heredoc
)

// cursorAt reads the text before a place.
func cursorAt(src []byte, at int) cursor {
	tokens, _ := hclsyntax.LexConfig(src[:at], "", hcl.InitialPos)
	stack := []*frame{{seen: map[string]bool{}}}
	c := cursor{from: at}
	for i, t := range tokens {
		if i > 0 && t.Type == hclsyntax.TokenStar && tokens[i-1].Type == hclsyntax.TokenSlash && tokens[i-1].Range.End.Byte == t.Range.Start.Byte {
			return cursor{comment: true, from: at} // one of several lines that does not end
		}
		top := stack[len(stack)-1]
		switch t.Type {
		case hclsyntax.TokenEOF:
		case hclsyntax.TokenComment:
			if !bytes.HasSuffix(t.Bytes, []byte("\n")) && !bytes.HasSuffix(t.Bytes, []byte("*/")) {
				return cursor{comment: true, from: at}
			}
			top.newline()
		case hclsyntax.TokenNewline:
			top.newline()
		case hclsyntax.TokenOBrace:
			stack = append(stack, top.brace())
		case hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			stack = append(stack, &frame{kind: listFrame})
		case hclsyntax.TokenOQuote:
			stack = append(stack, &frame{kind: stringFrame})
			c.from = t.Range.End.Byte
		case hclsyntax.TokenOHeredoc:
			stack = append(stack, &frame{kind: proseFrame})
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd, hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			if len(stack) > 1 {
				stack = stack[:len(stack)-1]
				before := stack[len(stack)-1]
				if t.Type == hclsyntax.TokenCQuote && len(top.words) == 1 {
					t = top.words[0] // a label's text
				}
				before.words = append(before.words, t)
				if t.Type == hclsyntax.TokenCBrace && before.kind == bodyFrame && before.equals() < 0 {
					before.words = nil // the end of a block
				}
			}
		default:
			top.words = append(top.words, t)
		}
	}
	return c.of(stack, at)
}

func (f *frame) newline() {
	if f.kind == bodyFrame || f.kind == objectFrame {
		if i := f.equals(); i == 1 && f.seen != nil {
			f.seen[string(f.words[0].Bytes)] = true
		}
		f.words = nil
	}
}

// equals is the index of the line's equals sign.
func (f *frame) equals() int {
	for i, t := range f.words {
		if t.Type == hclsyntax.TokenEqual {
			return i
		}
	}
	return -1
}

// brace is the frame of a brace: a block's, where words without an equals sign precede it.
func (f *frame) brace() *frame {
	if f.kind != bodyFrame || len(f.words) == 0 || f.equals() >= 0 {
		return &frame{kind: objectFrame}
	}
	inside := &frame{block: string(f.words[0].Bytes), seen: map[string]bool{}}
	switch {
	case inside.block == "dynamic" && len(f.words) > 1:
		inside.makes = string(f.words[1].Bytes)
	case inside.block == "content" && f.makes != "":
		inside.block = f.makes
	}
	return inside
}

// of reads the open brackets from the innermost on.
func (c cursor) of(stack []*frame, at int) cursor {
	for _, f := range stack {
		if f.kind == bodyFrame && f.block != "" {
			c.blocks = append(c.blocks, f.block)
		}
	}
	top := stack[len(stack)-1]
	c.quoted = top.kind == stringFrame
	if top.kind == proseFrame {
		return cursor{comment: true, from: at}
	}
	if !c.quoted {
		c.word(top, at)
	}
	for i := len(stack) - 1; i >= 0; i-- {
		f := stack[i]
		if f.kind != bodyFrame {
			continue
		}
		c.present = f.seen
		if f.equals() >= 1 {
			c.attribute = string(f.words[0].Bytes)
		} else if len(f.words) > 0 && (i < len(stack)-1 || c.from == at || len(f.words) > 1) {
			c.label = true
		}
		break
	}
	return c
}

// word finds the word that is being typed, and the name before its dot.
func (c *cursor) word(f *frame, at int) {
	words := f.words
	c.from = at
	if n := len(words); n > 0 && words[n-1].Type == hclsyntax.TokenIdent && words[n-1].Range.End.Byte == at {
		c.from = words[n-1].Range.Start.Byte
		words = words[:n-1]
	}
	if n := len(words); n > 1 && words[n-1].Type == hclsyntax.TokenDot && words[n-2].Type == hclsyntax.TokenIdent {
		c.root = string(words[n-2].Bytes)
		if n > 2 && words[n-3].Type == hclsyntax.TokenDot {
			c.root = "?" // deeper than names go
		}
	}
}

// block is the innermost block, "" at the top level.
func (c *cursor) block() string {
	if n := len(c.blocks); n > 0 {
		return c.blocks[n-1]
	}
	return ""
}
