package schema

import (
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"strings"
)

// List holds the spans of one expression or of one list file, in the order in which they
// are written. The lines of a list file are nearly always IPv4, and there may be millions:
// such a span takes 12 bytes in a List, and 64 by itself.
type List struct {
	File string
	// Read is the one reading of a list file that this is; several loads may share it. nil
	// for the list of an expression.
	Read  *Reading
	lines []line4
	rest  []placed
}

// Reading is one reading of a list file.
type Reading struct{ _ byte }

// Key identifies what a list holds while its Reading is kept: a list file by its reading,
// the short list of an expression by its sources. It is "" for a long list of an expression.
func (l *List) Key() string {
	const short = 16
	if l.Read != nil {
		return fmt.Sprintf("%p;", l.Read)
	}
	if l.Len() > short {
		return ""
	}
	var b strings.Builder
	for s := range l.All() {
		fmt.Fprintf(&b, "%s-%s;", s.First, s.Last)
	}
	return b.String()
}

// line4 is a span of IPv4 that is a line of a list file.
type line4 struct {
	first, last uint32
	line        int32
}

// placed is any other span.
type placed struct {
	Span
	before int // how many of the lines precede it
}

// Len returns how many spans a list has.
func (l *List) Len() int { return len(l.lines) + len(l.rest) }

// OfFile reports whether a list is a list file's.
func (l *List) OfFile() bool { return len(l.lines) > 0 || len(l.rest) > 0 && l.rest[0].Range == nil }

// Count returns how many of a list's spans are IPv4, or else IPv6.
func (l *List) Count(ipv4 bool) int {
	n := 0
	if ipv4 {
		n = len(l.lines)
	}
	for i := range l.rest {
		if l.rest[i].First.Is4() == ipv4 {
			n++
		}
	}
	return n
}

// All returns a list's spans.
func (l *List) All() iter.Seq[Span] {
	return func(yield func(Span) bool) {
		next := 0
		for i := range l.rest {
			for ; next < l.rest[i].before; next++ {
				if !yield(l.lines[next].span()) {
					return
				}
			}
			if !yield(l.rest[i].Span) {
				return
			}
		}
		for ; next < len(l.lines); next++ {
			if !yield(l.lines[next].span()) {
				return
			}
		}
	}
}

// add adds a span.
func (l *List) add(s Span) {
	if s.Range == nil && s.First.Is4() {
		l.lines = append(l.lines, line4{number4(s.First), number4(s.Last), int32(s.Line)})
		return
	}
	l.rest = append(l.rest, placed{s, len(l.lines)})
}

// join adds the spans of another list.
func (l *List) join(other *List) {
	for _, s := range other.rest {
		s.before += len(l.lines)
		l.rest = append(l.rest, s)
	}
	l.lines = append(l.lines, other.lines...)
}

func (x line4) span() Span {
	return Span{First: address4(x.first), Last: address4(x.last), Line: int(x.line)}
}

func number4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func address4(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}
