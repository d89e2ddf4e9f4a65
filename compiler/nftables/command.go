package nftables

import (
	"slices"
	"strconv"
)

// commands reads commands to the end of the text, and does what they do.
func (p *parser) commands() {
	for p.tok.kind != endOfFile {
		if p.tok.separates() {
			p.next()
			continue
		}
		p.command()
		p.separator()
		p.resolve()
		p.table = nil
	}
}

// command reads one command. Without a verb, it adds.
func (p *parser) command() {
	if p.definition() {
		return
	}
	verb := "add"
	switch p.tok.text {
	case "add", "create", "insert", "replace", "delete", "destroy", "flush", "rename":
		if p.tok.kind == word {
			verb = p.tok.text
			p.next()
		}
	case "list", "get", "describe", "reset":
		p.ignore()
		return
	}
	switch verb {
	case "add", "create":
		p.add(verb == "create")
	case "insert":
		p.accept("rule")
		p.ruleCommand(true)
	case "replace":
		p.fail("a rule is replaced by its handle, which only the kernel knows; read the output of \"nft list ruleset\" instead")
	case "delete", "destroy":
		p.delete(verb == "destroy")
	case "flush":
		p.flush()
	case "rename":
		p.fail("nft cannot rename a chain that the same file creates; create it with its last name")
	}
}

// ignore goes past a command that changes nothing.
func (p *parser) ignore() {
	for !p.tok.separates() {
		p.next()
	}
}

// objects are the kinds of objects that have a declaration of their own.
var objects = map[string]bool{"counter": true, "quota": true, "limit": true, "ct": true, "secmark": true, "synproxy": true, "flowtable": true, "tunnel": true}

func (p *parser) add(create bool) {
	kind := p.tok
	if kind.kind != word {
		p.unexpected("a command")
	}
	switch kind.text {
	case "table":
		p.next()
		p.addTable(create)
	case "chain":
		p.next()
		p.openTable()
		p.chain(create)
	case "set", "map":
		p.next()
		p.openTable()
		p.set(kind.text == "map", create)
	case "element":
		p.next()
		p.openTable()
		s := p.namedSet()
		s.Elements = p.elementList(s.Elements, p.keyTypes(s), s)
		p.fitOptions(s)
		p.fitElements(s)
	case "rule":
		p.next()
		p.ruleCommand(false)
	case "counter", "quota", "limit", "ct", "secmark", "synproxy", "flowtable", "tunnel":
		p.next()
		p.objectCommand(kind.text)
	default:
		if !families[kind.text] && keywords[kind.text] {
			p.unexpected("a command")
		}
		p.ruleCommand(false)
	}
}

// objectCommand adds an object outside of a table's braces.
func (p *parser) objectCommand(kind string) {
	kind = p.objectKind(kind)
	p.openTable()
	p.object(kind)
}

var families = map[string]bool{"ip": true, "ip6": true, "inet": true, "arp": true, "bridge": true, "netdev": true}

// family reads a family; without one it is ip.
func (p *parser) family() Family {
	if p.tok.kind == word && families[p.tok.text] {
		f := Family(p.tok.text)
		p.next()
		return f
	}
	return IP
}

// openTable reads the family and name of a table that must exist.
func (p *parser) openTable() {
	family, line := p.family(), p.tok.line
	name := p.name("table")
	if p.table = p.file.Table(family, name); p.table == nil {
		p.failAt(line, "the table %s %s does not exist: no command before this one creates it", family, name)
	}
}

func (p *parser) addTable(create bool) {
	family, line := p.family(), p.tok.line
	name := p.name("table")
	t := p.file.Table(family, name)
	if t != nil && create {
		p.failAt(line, "the table %s %s exists already", family, name)
	}
	if t == nil {
		t = &Table{Family: family, Name: name, Line: line}
		p.file.Tables = append(p.file.Tables, t)
	}
	p.table = t
	if p.is("{") {
		p.tableBlock()
	}
}

// ruleCommand reads a rule with the chain that it goes into, and with its place.
func (p *parser) ruleCommand(insert bool) {
	p.openTable()
	c := p.namedChain()
	at := len(c.Rules)
	if insert {
		at = 0
	}
	switch {
	case p.is("index"):
		p.next()
		at = p.number(0, 1<<31)
		if at >= len(c.Rules) {
			p.fail("the chain %s has no rule with the index %d", c.Name, at)
		}
		if !insert {
			at++
		}
	case p.is("handle"), p.is("position"):
		p.fail("a place that is a handle is only known to the kernel; read the output of \"nft list ruleset\" instead")
	}
	c.Rules = slices.Insert(c.Rules, at, p.rule())
}

// number reads a number from low to high.
func (p *parser) number(low, high int) int {
	text := p.tok.text
	n, err := strconv.ParseInt(cInteger(text), 0, 64)
	if p.tok.kind != constant || err != nil || int(n) < low || int(n) > high {
		p.unexpected("a number from " + strconv.Itoa(low) + " to " + strconv.Itoa(high))
	}
	p.next()
	return int(n)
}

// namedChain reads the name of a chain that must exist in the table.
func (p *parser) namedChain() *Chain {
	line := p.tok.line
	name := p.name("chain")
	c := p.table.Chain(name)
	if c == nil {
		p.failAt(line, "the table %s %s has no chain %s", p.table.Family, p.table.Name, name)
	}
	return c
}

// namedSet reads the name of a set that must exist in the table.
func (p *parser) namedSet() *Set {
	line := p.tok.line
	name := p.name("set")
	s := p.table.Set(name)
	if s == nil {
		p.failAt(line, "the table %s %s has no set %s", p.table.Family, p.table.Name, name)
	}
	return s
}

func (p *parser) delete(quiet bool) {
	kind := p.tok
	switch {
	case p.accept("table"):
		p.noHandle()
		family := p.family()
		name := p.name("table")
		// One that the file has not created is what the kernel has from before.
		p.file.Tables = slices.DeleteFunc(p.file.Tables, func(t *Table) bool { return t.Family == family && t.Name == name })
	case p.accept("chain"):
		p.deleteChain(quiet)
	case p.accept("set"), p.accept("map"):
		p.openTable()
		p.noHandle()
		name := p.tok
		p.next()
		s := p.table.Set(name.text)
		if s == nil && !quiet {
			p.failAt(name.line, "the table %s %s has no set %s", p.table.Family, p.table.Name, name.text)
		}
		if s != nil && p.table.uses(func(e *Expr) bool { return e.Kind == Named && e.Text == s.Name }) {
			p.failAt(name.line, "the set %s is in use and cannot be deleted", s.Name)
		}
		p.table.Sets = slices.DeleteFunc(p.table.Sets, func(other *Set) bool { return other == s })
	case p.accept("element"):
		p.openTable()
		s := p.namedSet()
		p.deleteElements(s, quiet)
	case p.accept("rule"):
		p.failAt(kind.line, "a rule is deleted by its handle, which only the kernel knows; read the output of \"nft list ruleset\" instead")
	case p.tok.kind == word && objects[kind.text]:
		p.next()
		object := p.objectKind(kind.text)
		p.openTable()
		p.noHandle()
		name := p.name(object)
		t := p.table
		n := len(t.Objects)
		t.Objects = slices.DeleteFunc(t.Objects, func(o *Object) bool { return o.Kind == object && o.Name == name })
		if len(t.Objects) == n && !quiet {
			p.failAt(kind.line, "the table %s %s has no %s %s", t.Family, t.Name, object, name)
		}
	default:
		p.unexpected("table, chain, set, map or element")
	}
}

func (p *parser) noHandle() {
	if p.is("handle") {
		p.fail("what a handle names is only known to the kernel; read the output of \"nft list ruleset\" instead")
	}
}

func (p *parser) deleteChain(quiet bool) {
	p.openTable()
	p.noHandle()
	name := p.tok
	p.next()
	c := p.table.Chain(name.text)
	if c == nil {
		if !quiet {
			p.failAt(name.line, "the table %s %s has no chain %s", p.table.Family, p.table.Name, name.text)
		}
		return
	}
	rules := c.Rules
	c.Rules = nil
	if p.table.leadsTo(c.Name) {
		c.Rules = rules
		p.failAt(name.line, "rules lead to the chain %s, so it cannot be deleted", c.Name)
	}
	p.table.Chains = slices.DeleteFunc(p.table.Chains, func(other *Chain) bool { return other == c })
}

func (p *parser) flush() {
	switch {
	case p.accept("ruleset"):
		if p.tok.separates() {
			p.file.Tables, p.file.Flushes = nil, true
			return
		}
		family := p.family()
		p.file.Tables = slices.DeleteFunc(p.file.Tables, func(t *Table) bool { return t.Family == family })
	case p.accept("table"):
		p.openTable()
		for _, c := range p.table.Chains {
			c.Rules = nil
		}
	case p.accept("chain"):
		p.openTable()
		p.namedChain().Rules = nil
	case p.accept("set"), p.accept("map"), p.accept("meter"):
		p.openTable()
		p.namedSet().Elements = nil
	default:
		p.unexpected("ruleset, table, chain, set or map")
	}
}
