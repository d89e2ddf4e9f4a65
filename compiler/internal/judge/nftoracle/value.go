package nftoracle

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// A tri is the answer to a question: no, nobody knows, or yes.
type tri int

const (
	no tri = iota
	maybe
	yes
)

func triOf(b bool) tri {
	if b {
		return yes
	}
	return no
}

// not inverts where asked.
func (t tri) not(invert bool) tri {
	if invert {
		return yes - t
	}
	return t
}

// A kind is the data type of an expression: how wide it is, and which words
// stand for which numbers.
type kind struct {
	width int // in octets
	words map[string]uint64
	form  form
}

type form int

const (
	number form = iota
	bits        // a bit mask: "==" and "in" differ
	address
	name // of an interface: a text of 16 octets, filled with zeros
)

// A value is what an expression loads into a register, in the order of the
// network. Bits that are not known are 0 in known.
type value struct{ data, known []byte }

func exactly(data []byte) value {
	return value{data, bytes.Repeat([]byte{0xff}, len(data))}
}

// unknownOf returns a value that may be anything.
func unknownOf(k kind) value { return value{make([]byte, k.width), make([]byte, k.width)} }

// encode returns a number in the kind's width.
func (k kind) encode(n uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, n)
	if k.width <= 8 {
		return b[8-k.width:]
	}
	return append(make([]byte, k.width-8), b...)
}

func (k kind) number(n uint64) value { return exactly(k.encode(n)) }

func (v value) exact() bool {
	for _, b := range v.known {
		if b != 0xff {
			return false
		}
	}
	return true
}

// is compares with a constant.
func (v value) is(c []byte) tri {
	result := yes
	for i := range v.data {
		if (v.data[i]^c[i])&v.known[i] != 0 {
			return no
		}
		if v.known[i] != 0xff {
			result = maybe
		}
	}
	return result
}

// any reports whether a bit of the mask is set.
func (v value) any(mask []byte) tri {
	result := no
	for i := range v.data {
		if v.data[i]&v.known[i]&mask[i] != 0 {
			return yes
		}
		if mask[i]&^v.known[i] != 0 {
			result = maybe
		}
	}
	return result
}

// A span is a constant as nft prints it: one value, a prefix, a range, or the
// beginning of an interface's name.
type span struct{ first, last []byte }

func (s span) single() bool { return bytes.Equal(s.first, s.last) }

// holds reports whether a value is in the span.
func (s span) holds(v value) tri {
	if s.single() {
		return v.is(s.first)
	}
	if !v.exact() {
		return maybe
	}
	return triOf(bytes.Compare(s.first, v.data) <= 0 && bytes.Compare(v.data, s.last) <= 0)
}

// span reads a constant of the kind.
func (k kind) span(v any) (span, bool) {
	switch tag, arg := only(v); tag {
	case "range":
		ends := list(arg)
		if len(ends) != 2 {
			return span{}, false
		}
		first, ok1 := k.constant(ends[0])
		last, ok2 := k.constant(ends[1])
		return span{first, last}, ok1 && ok2
	case "prefix":
		return k.prefix(arg)
	}
	if s, ok := v.(string); ok && k.form == name && strings.HasSuffix(s, "*") && !strings.HasSuffix(s, `\*`) {
		s = strings.TrimSuffix(s, "*")
		if len(s) > k.width {
			return span{}, false
		}
		rest := bytes.Repeat([]byte{0xff}, k.width-len(s))
		return span{k.text(s), append([]byte(s), rest...)}, true
	}
	c, ok := k.constant(v)
	return span{c, c}, ok
}

func (k kind) text(s string) []byte { return append([]byte(s), make([]byte, k.width-len(s))...) }

func (k kind) prefix(arg any) (span, bool) {
	o, _ := arg.(map[string]any)
	first, ok := k.constant(o["addr"])
	length, isNumber := o["len"].(float64)
	if !ok || !isNumber || int(length) > 8*k.width {
		return span{}, false
	}
	last := bytes.Clone(first)
	for i := int(length); i < 8*k.width; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	return span{first, last}, true
}

// constant reads one value: a number, a word, a text, an address, or several
// of them of which the bits count together.
func (k kind) constant(v any) ([]byte, bool) {
	switch v := v.(type) {
	case float64:
		return k.encode(uint64(v)), true
	case bool:
		return k.encode(map[bool]uint64{true: 1}[v]), true
	case string:
		return k.word(v)
	case []any:
		return k.together(v)
	}
	if tag, arg := only(v); tag == "|" {
		return k.together(list(arg))
	}
	return nil, false
}

func (k kind) together(parts []any) ([]byte, bool) {
	result := make([]byte, k.width)
	for _, part := range parts {
		c, ok := k.constant(part)
		if !ok || len(c) != k.width {
			return nil, false
		}
		for i := range c {
			result[i] |= c[i]
		}
	}
	return result, true
}

func (k kind) word(s string) ([]byte, bool) {
	switch k.form {
	case address:
		a, err := netip.ParseAddr(s)
		if err != nil || a.BitLen() != 8*k.width {
			return nil, false
		}
		return a.AsSlice(), true
	case name:
		s = strings.ReplaceAll(s, `\*`, "*")
		if len(s) > k.width {
			return nil, false
		}
		return k.text(s), true
	}
	if n, ok := k.words[s]; ok {
		return k.encode(n), true
	}
	n, err := strconv.ParseUint(s, 0, min(64, 8*k.width))
	return k.encode(n), err == nil
}
