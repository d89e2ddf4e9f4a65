package schema

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// How large a policy may be (SPEC.md section 1). The limits are far above what people
// write, and low enough that what exceeds them ends in an error before it exhausts the
// machine's memory.
const (
	// MaxFile is how many bytes a file may have: policy, list file or variable file.
	MaxFile = 128 << 20
	// MaxRules is how many bytes a rules file may have: a policy of this size compiles to
	// several times as much.
	MaxRules = 4 * MaxFile
	// maxTotal is how many bytes all files of a policy may have together.
	maxTotal = 4 * MaxFile
	// maxFiles is how many policy files a folder may have.
	maxFiles = 10_000
	// maxNesting is how deep brackets, templates, conditions and signs may nest.
	maxNesting = 500
)

// TooLargeError is the error for an input of more bytes than there may be.
type TooLargeError struct{ Most int }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("it is larger than the limit of %d MiB", e.Most>>20)
}

// ReadLimited reads everything, up to MaxFile bytes.
func ReadLimited(r io.Reader) ([]byte, error) { return readUpTo(r, MaxFile) }

// ReadRules reads everything, up to MaxRules bytes of a file and MaxFile of a pipe, which may
// have no end. The error for more is a *TooLargeError.
func ReadRules(r io.Reader) ([]byte, error) {
	if f, ok := r.(fs.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return readUpTo(r, MaxRules)
		}
	}
	return readUpTo(r, MaxFile)
}

// readUpTo reads everything, up to so many bytes. It keeps what it has read in parts until it
// reaches the end, so that an endless input costs little.
func readUpTo(r io.Reader, most int) ([]byte, error) {
	var parts [][]byte
	size := chunk
	if f, ok := r.(fs.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			if info.Size() > int64(most) {
				return nil, &TooLargeError{most}
			}
			size = int(info.Size()) + 1 // the end is seen without another part
		}
	}
	for total := 0; total <= most; size = chunk {
		part := make([]byte, size)
		n, err := io.ReadFull(r, part)
		total += n
		parts = append(parts, part[:n])
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			if len(parts) == 1 {
				return parts[0], nil
			}
			return bytes.Join(parts, nil), nil
		case err != nil:
			return nil, err
		}
	}
	return nil, &TooLargeError{most}
}

const chunk = 1 << 20

// checkText rejects what is not text, before each of its bytes becomes an error, and what
// is nested so deep that parsing it would exhaust the machine's memory.
func checkText(name string, src []byte, json bool) *hcl.Diagnostic {
	if d := notText(name, src); d != nil {
		return d
	}
	depth, at := 0, -1
	if json {
		depth, at = deepestJSON(src)
	} else {
		depth, at = deepest(src)
	}
	if depth <= maxNesting {
		return nil
	}
	pos := positionOf(src, at)
	return mistake(hcl.Range{Filename: name, Start: pos, End: pos}, "Nested too deep",
		"Brackets, templates, conditions and signs are nested deeper than %d levels here.", maxNesting)
}

// notText is the error for a file that is not UTF-8 text; nil for one that is.
func notText(name string, src []byte) *hcl.Diagnostic {
	at := bytes.IndexByte(src, 0)
	if at < 0 {
		if utf8.Valid(src) {
			return nil
		}
		for at = 0; ; {
			r, size := utf8.DecodeRune(src[at:])
			if r == utf8.RuneError && size <= 1 {
				break
			}
			at += size
		}
	}
	pos := positionOf(src, at)
	return failure("Not a text file", fmt.Sprintf("%s is not UTF-8 text: line %d, column %d has the byte 0x%02x.", shown(name), pos.Line, pos.Column, src[at]))
}

// positionOf returns the position of a byte.
func positionOf(src []byte, at int) hcl.Pos {
	start := bytes.LastIndexByte(src[:at], '\n') + 1
	return hcl.Pos{Line: bytes.Count(src[:at], []byte("\n")) + 1, Column: utf8.RuneCount(src[start:at]) + 1, Byte: at}
}
