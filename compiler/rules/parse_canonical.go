package rules

import (
	"bytes"
	"net/netip"
)

// Nearly all lines of a large file are rules as iptables-save prints them, and
// they differ in their sources alone. They are read here, without cutting them
// into words: the source, and the rest of the line, which is read once however
// many rules have it. What is not of this form is left to the parser, which
// reads every line.

// canonical appends the rule of a canonical line to its chain, or does nothing
// and gives false.
func (p *parser) canonical(line []byte) bool {
	if p.chainsOnly && len(line) > 0 && line[0] == '#' {
		return true
	}
	rest, ok := bytes.CutPrefix(line, []byte("-A "))
	if !ok || p.table == nil {
		return false
	}
	name, rest, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return false
	}
	c := p.last // nearly always the chain of the line before
	if c == nil || c.Name != string(name) {
		if c = p.table.byName[string(name)]; c == nil {
			return false
		}
		p.last = c
	}
	source, tail, ok := cutSource(rest)
	if !ok {
		return false
	}
	body := p.tail(tail)
	if body == nil {
		return false
	}
	if len(p.slab) == 0 {
		p.slab = make([]Rule, 256)
	}
	r := &p.slab[0]
	p.slab = p.slab[1:]
	*r = Rule{Source: source, Body: body, Line: p.line}
	if c.Rules == nil {
		c.Rules = make([]*Rule, 0, 6)
	}
	p.append(c, r)
	return true
}

// tail gives the body that the rest of a line means, nil when it is not
// canonical.
func (p *parser) tail(tail []byte) *Body {
	if b, ok := p.bodies[string(tail)]; ok {
		return b
	}
	// A tree of chains has a goto of its own for each of them.
	if name, ok := bytes.CutPrefix(tail, []byte("-g ")); ok {
		if c := p.table.byName[string(name)]; c != nil {
			return &Body{Target: Target{Name: c.Name, Goto: true, chain: c}}
		}
	}
	list, err := p.parseRule(split(string(tail)))
	if err != nil || len(list) != 1 || list[0].Source.Prefix.IsValid() {
		return nil
	}
	p.bodies[string(tail)] = list[0].Body
	return list[0].Body
}

// cutSource takes a canonical source from the front of a rule's options; false
// when one stands there that is not canonical.
func cutSource(rest []byte) (Source, []byte, bool) {
	var s Source
	if t, ok := bytes.CutPrefix(rest, []byte("! -s ")); ok {
		s.Not, rest = true, t
	} else if t, ok := bytes.CutPrefix(rest, []byte("-s ")); ok {
		rest = t
	} else {
		return s, rest, true
	}
	value, tail, _ := bytes.Cut(rest, []byte(" "))
	prefix, ok := prefix4(value)
	if !ok {
		var err error
		if prefix, err = netip.ParsePrefix(string(value)); err != nil {
			return s, rest, false
		}
	}
	if prefix != prefix.Masked() {
		return s, rest, false
	}
	s.Prefix = prefix
	return s, tail, true
}

// prefix4 reads an IPv4 CIDR as netip.ParsePrefix does, without a string, and
// leaves every other text, also every wrong one, to that.
func prefix4(text []byte) (netip.Prefix, bool) {
	var octets [4]byte
	i := 0
	number := func(most int, end byte) (int, bool) {
		n, start := 0, i
		for i < len(text) && text[i] >= '0' && text[i] <= '9' && i-start < 3 {
			n = n*10 + int(text[i]-'0')
			i++
		}
		if i == start || n > most || i-start > 1 && text[start] == '0' {
			return 0, false
		}
		if end == 0 {
			return n, i == len(text)
		}
		if i == len(text) || text[i] != end {
			return 0, false
		}
		i++
		return n, true
	}
	for k, end := range []byte(".../") {
		n, ok := number(255, end)
		if !ok {
			return netip.Prefix{}, false
		}
		octets[k] = byte(n)
	}
	bits, ok := number(32, 0)
	return netip.PrefixFrom(netip.AddrFrom4(octets), bits), ok
}
