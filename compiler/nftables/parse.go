package nftables

import (
	"fmt"
	"strings"
)

// Error is an error for a line that nft would refuse.
type Error struct {
	Line   int
	Text   string // the line
	Detail string // what is wrong, and what to do
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Detail) }

// Options say how a file is read.
type Options struct {
	// ChainsOnly is for callers that ask what rules do and never print them: rules
	// do not keep their words, which saves memory.
	ChainsOnly bool
}

// Parse reads a file for nft -f, or what nft list prints. The error, of type *Error,
// is for the first line that nft would refuse; nothing is skipped.
//
// Some texts that nft takes are refused, because what they mean depends on the host
// or on what its kernel has already: include, host names, names of services that
// are not well known, chains and sets that the file does not create, and handles.
// Some that nft refuses are read: names of interfaces, users, helpers and the like
// that do not exist, and words of statements that are not understood.
func Parse(src []byte, opt Options) (file *File, err error) {
	p := &parser{Options: opt, file: &File{Source: src}, lexer: lexer{src: string(src), line: 1}, scopes: []scope{{}}}
	defer func() {
		if e := recover(); e != nil {
			refused, ok := e.(*Error)
			if !ok {
				panic(e)
			}
			file, err = nil, refused
		}
	}()
	p.next()
	p.commands()
	p.finish()
	return p.file, nil
}

// parser reads a text from its first token to its last. Methods that meet something
// that nft refuses panic with an *Error, which Parse returns.
type parser struct {
	Options
	lexer
	tok    token // the current one; the lexer is behind it
	before int   // where the token before it ends
	file   *File
	table  *Table // the one that is being read
	scopes []scope
	depth  int // of parentheses and braces that are open

	flow    flow      // what the rule being read has matched so far
	jumps   []mention // chains that the current command leads to
	lookups []mention // sets that it uses
	slab    []Rule    // memory for rules, many at a time
	options map[*Set][]elementOptions
}

// maxDepth is how deep parentheses and braces may be nested.
const maxDepth = 100

func (p *parser) next() {
	p.before = p.tok.end
	p.tok = p.lexer.next()
}

// mark is a place to go back to.
type mark struct {
	lexer  lexer
	tok    token
	before int
}

func (p *parser) mark() mark       { return mark{p.lexer, p.tok, p.before} }
func (p *parser) back(to mark)     { p.lexer, p.tok, p.before = to.lexer, to.tok, to.before }
func (p *parser) peek() token      { l := p.lexer; return l.next() }
func (p *parser) is(s string) bool { return p.tok.is(s) }

// accept goes past a token if it is this one.
func (p *parser) accept(text string) bool {
	if !p.tok.is(text) {
		return false
	}
	p.next()
	return true
}

// expect goes past a token that must be this one.
func (p *parser) expect(text string) {
	if !p.accept(text) {
		p.unexpected(fmt.Sprintf("%q", text))
	}
}

// separator goes past the end of a statement.
func (p *parser) separator() {
	if !p.tok.separates() {
		p.unexpected("a newline or a semicolon")
	}
	if p.tok.kind != endOfFile {
		p.next()
	}
}

func (p *parser) newlines() {
	for p.tok.kind == newline {
		p.next()
	}
}

// unexpected refuses the current token.
func (p *parser) unexpected(wanted string) {
	found := fmt.Sprintf("%q", p.tok.text)
	switch p.tok.kind {
	case endOfFile:
		found = "the end of the file"
	case newline:
		found = "the end of the line"
	}
	if wanted == "" {
		p.fail("%s is unexpected here", found)
	}
	p.fail("%s is unexpected here; nft wants %s", found, wanted)
}

func (p *parser) fail(format string, args ...any) { p.failAt(p.tok.line, format, args...) }

func (p *parser) failAt(line int, format string, args ...any) {
	panic(&Error{Line: line, Text: p.file.Text(line), Detail: fmt.Sprintf(format, args...)})
}

// deeper refuses a text that is nested too deep, and returns what undoes it.
func (p *parser) deeper() func() {
	if p.depth++; p.depth > maxDepth {
		p.fail("this is nested too deep")
	}
	return func() { p.depth-- }
}

// Text returns a line of the file, counted from 1.
func (f *File) Text(line int) string {
	if f.JSON {
		return f.ruleAt(line)
	}
	rest := string(f.Source)
	for ; line > 1; line-- {
		_, after, ok := strings.Cut(rest, "\n")
		if !ok {
			return ""
		}
		rest = after
	}
	text, _, _ := strings.Cut(rest, "\n")
	return text
}

// words returns the text from a place to the end of the token before the current
// one, with its blanks reduced.
func (p *parser) words(from int) string {
	if p.before <= from {
		return ""
	}
	return reduced(p.src[from:p.before])
}

// reduced returns text with one blank for each run of blanks, continued lines,
// newlines and comments outside of quotes.
func reduced(text string) string {
	if plain(text) {
		return text
	}
	l := lexer{src: text}
	var b strings.Builder
	end := 0
	for t := l.next(); t.kind != endOfFile; t = l.next() {
		if t.kind == newline {
			continue
		}
		if b.Len() > 0 && t.at > end {
			b.WriteByte(' ')
		}
		b.WriteString(text[t.at:t.end])
		end = t.end
	}
	return b.String()
}

// plain reports whether text has no blanks to reduce.
func plain(text string) bool {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\t', '\n', '\\', '#':
			return false
		case ' ':
			if i+1 < len(text) && text[i+1] == ' ' {
				return false
			}
		}
	}
	return true
}
