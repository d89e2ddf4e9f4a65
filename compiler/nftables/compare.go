package nftables

import "strings"

// levels are the operators of expressions, from the loosest to the tightest.
var levels = []map[string]string{
	{"|": "|", "or": "|"},
	{"^": "^", "xor": "^"},
	{"&": "&", "and": "&"},
	{"<<": "<<", ">>": ">>", "lshift": "<<", "rshift": ">>"},
}

// left reads the left side of a comparison, or what is assigned.
func (p *parser) left() Expr {
	defer p.deeper()()
	first := p.operators(0, (*parser).leftPart)
	if !p.is(".") {
		return first
	}
	parts := []Expr{first}
	for p.accept(".") {
		parts = append(parts, p.operators(0, (*parser).leftPart))
	}
	return Expr{Kind: Concat, Args: parts}
}

// operators reads operands and operators of a level and of those above.
func (p *parser) operators(level int, operand func(*parser) Expr) Expr {
	if level == len(levels) {
		return operand(p)
	}
	e := p.operators(level+1, operand)
	for {
		if p.tok.kind != sign && p.tok.kind != word {
			return e
		}
		op := levels[level][p.tok.text]
		if op == "" {
			return e
		}
		p.next()
		e = Expr{Kind: Binary, Op: op, Args: []Expr{e, p.operators(level+1, operand)}}
	}
}

func (p *parser) leftPart() Expr {
	switch {
	case p.accept("("):
		defer p.deeper()()
		e := p.operators(0, (*parser).leftPart)
		p.expect(")")
		return e
	case p.startsSelector():
		return p.selector()
	}
	return p.rightPart()
}

// right reads the right side of a comparison: a set, or values that fit types.
func (p *parser) right(types []*datatype) Expr {
	defer p.deeper()()
	switch {
	case p.is("{"):
		return Expr{Kind: Literal, Set: p.literal(types, nil)}
	case p.is("@"):
		p.next()
		return Ref(p.name("set"))
	}
	first := p.values()
	if !p.is(",") {
		return first
	}
	list := []Expr{first}
	for p.accept(",") {
		list = append(list, p.operators(0, (*parser).rightPart))
	}
	return Expr{Kind: Flags, Args: list}
}

// values reads a value, prefix or range, or several that are joined by dots.
func (p *parser) values() Expr {
	first := p.value()
	if !p.is(".") {
		return first
	}
	parts := make([]Expr, 1, 4)
	parts[0] = first
	for p.accept(".") {
		parts = append(parts, p.value())
	}
	return Expr{Kind: Concat, Args: parts}
}

func (p *parser) value() Expr {
	var e Expr
	if p.tok.kind == constant && p.followedBy(",\n/-}") { // no operator follows
		e = p.rightPart()
	} else {
		e = p.operators(0, (*parser).rightPart)
	}
	if p.tok.kind != sign {
		return e
	}
	switch {
	case p.is("/") && e.Kind == Value:
		if (p.followedBy("0123456789") || p.peek().kind == constant) && p.accept("/") {
			return Expr{Kind: Prefix, Text: e.Text, Quoted: e.Quoted, Bits: int16(p.number(0, 255))}
		}
	case p.accept("-"):
		return Expr{Kind: Range, Args: []Expr{e, p.operators(0, (*parser).rightPart)}}
	}
	return e
}

// followedBy reports whether one of some characters follows the current token at once.
func (p *parser) followedBy(any string) bool {
	return p.at < len(p.src) && strings.IndexByte(any, p.src[p.at]) >= 0
}

// constants are keywords that are values as well.
var constants = map[string]bool{
	"tcp": true, "udp": true, "udplite": true, "esp": true, "ah": true, "icmp": true, "igmp": true, "icmpv6": true, "comp": true,
	"dccp": true, "sctp": true, "redirect": true, "ether": true, "ip": true, "ip6": true, "vlan": true, "arp": true, "dnat": true,
	"snat": true, "ecn": true, "reset": true, "destroy": true, "exists": true, "missing": true,
}

// rightPart reads one value.
func (p *parser) rightPart() Expr {
	t := p.tok
	switch t.kind {
	case word:
		if keywords[t.text] && !constants[t.text] {
			p.unexpected("a value")
		}
		p.next()
		return Const(t.text)
	case constant:
		p.next()
		if t.text[0] == '[' {
			return Const(t.text[1 : len(t.text)-1])
		}
		return Const(t.text)
	case starred:
		p.next()
		return Const(t.text)
	case quoted:
		p.next()
		return Name(t.text)
	}
	switch {
	case p.accept("$"):
		return p.variable()
	case p.accept("("):
		defer p.deeper()()
		e := p.operators(0, (*parser).rightPart)
		p.expect(")")
		return e
	}
	p.unexpected("a value")
	return Expr{}
}
