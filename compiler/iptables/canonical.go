package iptables

import (
	"bytes"
	"net/netip"

	"github.com/seawall/seawall/compiler/packet"
)

// Nearly all lines of a large file are rules as iptables-save prints them, and
// they differ only in their sources. This file parses them without splitting
// them into words: the source, and the rest of the line, which is parsed only
// once however many rules share it. Lines in any other form are left to the
// parser, which reads every line; a line that is read here means exactly what
// the parser would make of it (TestCanonicalReadsTheSame).

// canonical appends the rule of a canonical line to its chain. For any other
// line it does nothing and returns false.
func (p *parser) canonical(line []byte) bool {
	if len(line) > maxLine {
		return false
	}
	rest, ok := bytes.CutPrefix(line, []byte("-A "))
	if !ok || p.table == nil {
		return false
	}
	name, rest, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return false
	}
	c := p.last // nearly always the previous line's chain
	if c == nil || c.Name != string(name) {
		if c = p.table.byName[string(name)]; c == nil || p.table.Builtin(c.Name) {
			return false // the parser decides what a built-in chain may contain
		}
		p.last = c
	}
	if c.shared {
		return false
	}
	source, tail, ok := p.cutSource(rest)
	if !ok {
		return false
	}
	body, to := p.tail(tail)
	if body == nil {
		return false
	}
	if p.packing.add(c, source, body, to, p.line) {
		if to == unknown {
			p.goesElsewhere(tail, elsewhere{packed: len(p.packing.chains) - 1})
		}
		return true
	}
	if c.packing != nil {
		if p.isAhead { // rules may go to chains that are not known yet
			return false
		}
		c.SetRules(c.Rules())
	}
	if len(p.slab) == 0 {
		p.slab = make([]Rule, 256)
	}
	r := &p.slab[0]
	p.slab = p.slab[1:]
	*r = Rule{Source: source, Body: body, To: to, Line: int32(p.line)}
	if p.text != "" {
		at := p.start + len(line) - len(rest)
		spec := p.text[at : p.start+len(line)]
		r.spec = &spec
	}
	if to == unknown {
		p.goesElsewhere(tail, elsewhere{rule: r})
	}
	p.append(c, r)
	return true
}

// goesElsewhere remembers a rule that goes to a chain which is not known yet.
func (p *parser) goesElsewhere(tail []byte, e elsewhere) {
	e.chain = string(bytes.TrimPrefix(tail, []byte("-g ")))
	p.elsewhere = append(p.elsewhere, e)
}

// append adds a rule to a chain. The rules of one chain nearly always follow each other:
// their places are taken from one long list as long as they do.
func (p *parser) append(c *Chain, r *Rule) {
	n, k := len(p.places), len(c.rules)
	follows := k > 0 && n >= k && &p.places[n-1] == &c.rules[k-1]
	if k > 0 && !follows {
		c.rules = append(c.rules, r)
		return
	}
	if n == cap(p.places) {
		p.places = append(make([]*Rule, 0, 1<<12+2*k), c.rules...)
		n = len(p.places)
	}
	p.places = append(p.places, r)
	c.rules = p.places[n-k : n+1 : n+1]
}

// canonicalChain declares the chain of a line such as ":NAME - [0:0]" as anyLine does. For
// any other line, and for a name that it would look at closer, it does nothing and
// returns false.
func (p *parser) canonicalChain(line []byte) bool {
	if p.table == nil || p.listing || len(line) == 0 || line[0] != ':' {
		return false
	}
	name, ok := bytes.CutSuffix(line[1:], []byte(" - [0:0]"))
	if !ok || len(name) > maxChain || !bytes.HasPrefix(name, []byte(OwnedPrefix)) || !letters(name) || p.table.byName[string(name)] != nil {
		return false
	}
	text := string(name)
	if p.late(text) != nil {
		return false
	}
	if len(p.chains) == 0 {
		p.chains = make([]Chain, 64)
	}
	c := &p.chains[0]
	p.chains = p.chains[1:]
	*c = Chain{Name: text, Policy: "-", Line: p.line, announced: true}
	p.table.Add(c)
	return true
}

// letters reports whether a name has letters, digits and hyphens only.
func letters(name []byte) bool {
	for _, c := range name {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// gone is the body of rules that only go to another chain.
var gone = &Body{}

// unknown stands for a chain that a reader ahead of the parser does not know.
var unknown = &Chain{}

// tail returns the body that the rest of a line stands for, or nil if the rest
// is not canonical.
func (p *parser) tail(tail []byte) (*Body, *Chain) {
	if b, ok := p.bodies[string(tail)]; ok {
		return b, nil
	}
	// A tree of chains has a separate goto for each of them.
	if name, ok := bytes.CutPrefix(tail, []byte("-g ")); ok {
		c := p.table.byName[string(name)]
		if c == nil && p.isAhead && bytes.HasPrefix(name, []byte(OwnedPrefix)) && letters(name) {
			c = unknown
		}
		if c != nil {
			if p.ChainsOnly {
				return gone, c
			}
			return &Body{Target: Target{Name: c.Name, Goto: true}}, nil
		}
	}
	words, err := split(string(tail), false)
	if err != nil || openQuote(tail) {
		return nil, nil
	}
	r := p.reader(words)
	r.command, r.chain = 'A', "-"
	if r.read() != nil || r.other || r.versions != "" || len(r.sources) > 0 || len(r.dests) > 1 || len(words)+2 > maxWords {
		return nil, nil
	}
	list := r.rules(p.line, "")
	p.bodies[string(tail)] = list[0].Body
	return list[0].Body, nil
}

// openQuote reports whether a text ends inside quotes.
func openQuote(text []byte) bool {
	open := false
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && open:
			i++
		case text[i] == '"':
			open = !open
		}
	}
	return open
}

// cutSource cuts a canonical source from the front of a rule's options. It
// returns false if the source there is not canonical.
func (p *parser) cutSource(rest []byte) (Source, []byte, bool) {
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
	if prefix != prefix.Masked() || prefix.Bits() == 0 || prefix.Addr().Is4() != (p.Family == packet.IPv4) || prefix.Addr().Is4In6() {
		return s, rest, false
	}
	s.Prefix = prefix
	return s, tail, true
}

// prefix4 parses an IPv4 CIDR as netip.ParsePrefix does, but without allocating
// a string. It leaves every other text, including invalid ones, to that function.
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
