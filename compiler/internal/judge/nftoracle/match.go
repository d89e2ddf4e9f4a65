package nftoracle

import (
	"bytes"
	"strings"
)

// A mark is 32 bits of which some may not be known.
type mark struct{ bits, known uint32 }

func (m mark) value() value {
	v := markKind.number(uint64(m.bits & m.known))
	v.known = markKind.encode(uint64(m.known))
	return v
}

// A memory is what statements have changed of the packet on its way.
type memory struct {
	mark, connMark mark
	notrack        bool
	mangled        bool // its headers may not be what they were
}

// An env is what a statement is evaluated with.
type env struct {
	table  *table
	packet Packet
	memory memory
}

// state returns nft's word for the state of the packet. notrack makes one that
// was invalid untracked; one with an entry it leaves as it is (nft_notrack_eval).
func (e env) state() string {
	if !e.packet.Known && e.memory.notrack {
		return "untracked"
	}
	return strings.ToLower(e.packet.State)
}

// match evaluates a match statement.
func (e env) match(arg any) tri {
	o, _ := arg.(map[string]any)
	op, _ := o["op"].(string)
	left, loaded := e.load(o["left"])
	if loaded == no {
		return no
	}
	return min(loaded, e.compare(op, left, o["right"]))
}

// compare evaluates what follows a load. An operation without a name is "==".
func (e env) compare(op string, left []operand, right any) tri {
	if s := e.setOf(right); s != nil {
		found, _ := s.lookup(left)
		switch op {
		case "==", "in", "":
			return found
		case "!=":
			return found.not(true)
		}
		return maybe
	}
	if len(left) != 1 {
		return compareParts(op, left, right)
	}
	l := left[0]
	s, ok := l.span(right)
	if !ok || l.width == 0 || len(s.first) != l.width || len(s.last) != l.width {
		return maybe
	}
	switch op {
	case "==", "":
		return s.holds(l.value)
	case "!=":
		return s.holds(l.value).not(true)
	case "in":
		return l.any(s.first)
	case "!":
		return l.any(s.first).not(true)
	}
	return l.ordered(op, s)
}

// ordered compares numbers.
func (o operand) ordered(op string, s span) tri {
	if !o.exact() || !s.single() {
		return maybe
	}
	n := bytes.Compare(o.data, s.first)
	switch op {
	case "<":
		return triOf(n < 0)
	case ">":
		return triOf(n > 0)
	case "<=":
		return triOf(n <= 0)
	case ">=":
		return triOf(n >= 0)
	}
	return maybe
}

// compareParts compares a concatenation with one that is not in a set.
func compareParts(op string, left []operand, right any) tri {
	s := set{elements: []element{{key: right}}}
	found, _ := s.lookup(left)
	switch op {
	case "==", "":
		return found
	case "!=":
		return found.not(true)
	}
	return maybe
}

// setOf returns the set that an expression names or lists, or nil.
func (e env) setOf(x any) *set {
	if ref, ok := x.(string); ok && strings.HasPrefix(ref, "@") {
		if s := e.table.sets[ref[1:]]; s != nil {
			return s
		}
		return &set{unsure: true}
	}
	if tag, arg := only(x); tag == "set" {
		return &set{elements: elements(list(arg))}
	}
	return nil
}

// lookup returns whether the key is in the set, and the elements that it may
// be. The element "*" is found where no other is.
func (s *set) lookup(key []operand) (tri, []element) {
	result := no
	var found []element
	var rest *element
	for _, el := range s.elements {
		if el.key == "*" {
			rest = &el
			continue
		}
		t := el.holds(key)
		if t == no {
			continue
		}
		found, result = append(found, el), max(result, t)
	}
	if rest != nil && result != yes {
		found, result = append(found, *rest), max(maybe, triOf(len(found) == 0))
		if rest.unsure {
			result = maybe
		}
	}
	if s.unsure {
		return maybe, s.elements
	}
	return result, found
}

// holds reports whether the key is the element.
func (el element) holds(key []operand) tri {
	parts := []any{el.key}
	if tag, arg := only(el.key); tag == "concat" {
		parts = list(arg)
	}
	if len(parts) != len(key) {
		return maybe
	}
	result := yes
	for i, k := range key {
		s, ok := k.span(parts[i])
		if !ok || k.width == 0 || len(s.first) != k.width || len(s.last) != k.width {
			result = min(result, maybe)
			continue
		}
		result = min(result, s.holds(k.value))
	}
	if el.unsure {
		result = min(result, maybe)
	}
	return result
}
