package schema

import (
	"bytes"
	"fmt"
	"path/filepath"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// maxListErrors is how many bad lines of one list file are shown one by one:
// whoever names the wrong file should not get a hundred thousand messages.
const maxListErrors = 20

// listFile reads a list of sources, one a line. White space around an entry,
// empty lines, and everything from a # on are passed over. The path is
// relative to the policy file that names it.
func (s *scope) listFile(path string, at hcl.Range) *List {
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(at.Filename), path)
	}
	if list, ok := s.loader.lists[path]; ok {
		return list
	}
	src, err := s.loader.readFile(path)
	if err != nil {
		s.add(mistake(at, "Cannot read a list file", "%s: %s. The path is relative to the policy file.", path, reason(err)))
		return nil
	}
	s.loader.parser.AddFile(path, &hcl.File{Bytes: src})
	list, diags := ParseList(path, src)
	s.add(diags...)
	s.loader.lists[path] = list
	return list
}

// ParseList reads the bytes of a list file. It works on the bytes alone: a
// line costs no HCL value and, for an IPv4 CIDR, no allocation.
func ParseList(path string, src []byte) (*List, hcl.Diagnostics) {
	list := &List{File: path, Spans: make([]Span, 0, bytes.Count(src, []byte("\n"))+1)}
	var diags hcl.Diagnostics
	bad := 0
	for line, offset := 1, 0; offset < len(src); line++ {
		end := len(src)
		if n := bytes.IndexByte(src[offset:], '\n'); n >= 0 {
			end = offset + n
		}
		entry, start := trimLine(src, offset, end)
		next := end + 1
		if len(entry) > 0 {
			span, ok := fastCIDR(entry)
			var p *problem
			if !ok {
				span, p = parseEntry(entry)
			}
			if p == nil {
				span.Line = line
				list.Spans = append(list.Spans, span)
			} else if bad++; bad <= maxListErrors {
				diags = append(diags, mistake(lineRange(path, line, offset, start, len(entry)), p.summary, "%s", p.detail))
			}
		}
		offset = next
	}
	if bad > maxListErrors {
		diags = append(diags, failure("More bad lines",
			fmt.Sprintf("%s has %d bad lines; the first %d are shown.", path, bad, maxListErrors)))
	}
	return list, diags
}

// trimLine cuts a line's comment and white space, and says where the rest is.
func trimLine(src []byte, offset, end int) ([]byte, int) {
	line := src[offset:end]
	if n := bytes.IndexByte(line, '#'); n >= 0 {
		line = line[:n]
	}
	trimmed := bytes.TrimLeft(line, " \t\r\ufeff")
	start := offset + len(line) - len(trimmed)
	return bytes.TrimRight(trimmed, " \t\r"), start
}

func parseEntry(entry []byte) (Span, *problem) {
	if !utf8.Valid(entry) {
		return Span{}, &problem{"Not a source", "The line is not UTF-8 text."}
	}
	return parseSpan(string(entry))
}

// fastCIDR reads the commonest line, an IPv4 address or CIDR without host
// bits, and leaves every other, also every wrong one, to parseEntry.
func fastCIDR(b []byte) (Span, bool) {
	var octets [4]byte
	i := 0
	for n := range octets {
		if n > 0 {
			if i >= len(b) || b[i] != '.' {
				return Span{}, false
			}
			i++
		}
		v, width := digits(b[i:], 3)
		if width == 0 || v > 255 {
			return Span{}, false
		}
		octets[n], i = byte(v), i+width
	}
	bits := 32
	if i < len(b) {
		if b[i] != '/' {
			return Span{}, false
		}
		v, width := digits(b[i+1:], 2)
		if width == 0 || v > 32 || i+1+width != len(b) {
			return Span{}, false
		}
		bits = v
	}
	return spanOf4(octets, bits)
}

// digits reads a number of at most max digits without a leading zero.
func digits(b []byte, max int) (value, width int) {
	for width < len(b) && width < max && b[width] >= '0' && b[width] <= '9' {
		value = value*10 + int(b[width]-'0')
		width++
	}
	if width > 1 && b[0] == '0' {
		return 0, 0
	}
	return value, width
}
