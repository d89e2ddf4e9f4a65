package lsp

import (
	"bytes"
	"sort"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"go.lsp.dev/protocol"
)

// text is a file's text with where its lines begin. A position of the protocol is a line and
// how many 16-bit units of UTF-16 precede it there.
type text struct {
	src    []byte
	starts []int
}

// newText finds the lines of a text: a line ends with LF, CR LF or CR.
func newText(src []byte) *text {
	t := &text{src, make([]int, 1, bytes.Count(src, []byte("\n"))+1)}
	for at := 0; ; {
		i := bytes.IndexAny(src[at:], "\r\n")
		if i < 0 {
			return t
		}
		if at += i + 1; src[at-1] == '\r' && at < len(src) && src[at] == '\n' {
			at++
		}
		t.starts = append(t.starts, at)
	}
}

// offset is the byte of a position. One beyond the end of its line is at the line's end, as
// the protocol has it, and one beyond the text at the text's end.
func (t *text) offset(p protocol.Position) int {
	if int64(p.Line) >= int64(len(t.starts)) {
		return len(t.src)
	}
	at, end := t.starts[p.Line], len(t.src)
	if int(p.Line)+1 < len(t.starts) {
		end = t.starts[p.Line+1] - 1
		if end > at && t.src[end] == '\n' && t.src[end-1] == '\r' {
			end--
		}
	}
	for units := uint32(0); at < end; {
		r, size := utf8.DecodeRune(t.src[at:end])
		if units += unitsOf(r); units > p.Character {
			break
		}
		at += size
	}
	return at
}

// position is the position of a byte.
func (t *text) position(offset int) protocol.Position {
	offset = min(max(offset, 0), len(t.src))
	line := sort.SearchInts(t.starts, offset+1) - 1
	units := uint32(0)
	for at := t.starts[line]; at < offset; {
		r, size := utf8.DecodeRune(t.src[at:])
		if at+size > offset {
			break // in the middle of a character
		}
		at, units = at+size, units+unitsOf(r)
	}
	return protocol.Position{Line: uint32(line), Character: units}
}

func (t *text) rangeOf(r hcl.Range) protocol.Range {
	end := max(r.Start.Byte, r.End.Byte)
	return protocol.Range{Start: t.position(r.Start.Byte), End: t.position(end)}
}

// unitsOf is how many units of UTF-16 a character takes.
func unitsOf(r rune) uint32 {
	if r > 0xffff {
		return 2
	}
	return 1
}
