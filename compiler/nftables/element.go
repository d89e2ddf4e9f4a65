package nftables

import (
	"slices"
	"strconv"
	"strings"
)

// set reads a set's or map's name, and what stands in its braces.
func (p *parser) set(isMap, create bool) {
	line := p.tok.line
	name := p.name("set")
	s := &Set{Name: name, Map: isMap, Line: line}
	if !p.is("{") {
		p.unexpected("\"{\"")
	}
	p.next()
	p.scopes = append(p.scopes, scope{})
	for !p.is("}") {
		if p.tok.separates() {
			if p.tok.kind == endOfFile {
				p.unexpected("\"}\"")
			}
			p.next()
			continue
		}
		p.setItem(s)
	}
	p.scopes = p.scopes[:len(p.scopes)-1]
	p.next()
	if s.Key == nil {
		p.failAt(line, "the set %s has no type", name)
	}
	if s.AutoMerge && !s.Has("interval") {
		p.failAt(line, "the set %s has auto-merge without \"flags interval\"", name)
	}
	p.keep(s, create)
}

// keep adds a set to its table, or its elements to the same set that is there.
func (p *parser) keep(s *Set, create bool) {
	p.fitOptions(s)
	old := p.table.Set(s.Name)
	if old == nil {
		p.table.Sets = append(p.table.Sets, s)
		p.fitElements(s)
		return
	}
	same := old.Map == s.Map && old.Value == s.Value && slices.Equal(p.keyTypes(old), p.keyTypes(s))
	for _, flag := range []string{"interval", "constant", "timeout", "dynamic"} {
		same = same && old.Has(flag) == s.Has(flag)
	}
	if !same || create {
		p.failAt(s.Line, "the set %s exists already", s.Name)
	}
	old.Elements = append(old.Elements, s.Elements...)
	p.fitElements(old)
}

func (p *parser) setItem(s *Set) {
	from := p.tok.at
	switch {
	case p.definition():
	case p.accept("type"):
		s.Typeof = false
		p.key(s, p.typeName)
	case p.accept("typeof"):
		s.Typeof = true
		p.key(s, p.typeofName)
	case p.accept("flags"):
		s.Flags = p.flags(s.Flags, "constant", "dynamic", "interval", "timeout")
	case p.accept("size"):
		s.Size = p.number(0, 1<<32-1)
	case p.accept("policy"):
		if !p.accept("memory") && !p.accept("performance") {
			p.unexpected("memory or performance")
		}
	case p.accept("auto-merge"):
		s.AutoMerge = true
	case p.accept("comment"):
		s.Comment = p.text("comment")
	case p.accept("elements"):
		p.expect("=")
		s.Elements = p.elementList(s.Elements, p.keyTypes(s), s)
		return // another item may follow on the line
	case p.accept("timeout"), p.accept("gc-interval"):
		p.take()
		s.unread(p.words(from))
	case p.is("counter"):
		p.counter()
		s.unread(p.words(from))
	case p.is("limit"), p.is("quota"):
		p.limit()
		s.unread(p.words(from))
	case p.is("last"):
		p.next()
		s.unread("last")
	case p.is("ct"):
		p.next()
		p.expect("count")
		p.accept("over")
		p.amount()
		s.unread(p.words(from))
	default:
		p.unexpected("type, typeof, flags or elements")
	}
	p.separator()
}

func (s *Set) unread(text string) {
	if s.Unread != "" {
		text = s.Unread + "; " + text
	}
	s.Unread = text
}

// key reads the type of a set, and for a map the one of what it maps to.
func (p *parser) key(s *Set, part func() string) {
	s.Key = nil
	for {
		s.Key = append(s.Key, part())
		if !p.accept(".") {
			break
		}
	}
	if !s.Map {
		return
	}
	p.expect(":")
	s.Value = ""
	if p.accept("interval") {
		s.Value = "interval "
	}
	switch p.tok.text {
	case "counter", "quota", "limit", "secmark", "synproxy", "verdict":
		s.Value += p.take()
		return
	case "ct":
		if t := p.peek(); t.text == "helper" || t.text == "timeout" || t.text == "expectation" {
			s.Value += p.take() + " " + p.take()
			return
		}
	}
	s.Value += part()
	for p.accept(".") {
		s.Value += " . " + part()
	}
}

// typeName reads the name of a type.
func (p *parser) typeName() string {
	name := p.tok.text
	d := datatypes[name]
	if p.tok.kind != word || !otherTypes[name] && (d == nil || !d.symbolic()) && !keywords[name] {
		p.fail("%q is not a type", name)
	}
	p.next()
	return name
}

func (p *parser) typeofName() string {
	if !p.startsSelector() {
		p.unexpected("what the type is the one of, such as \"ip saddr\"")
	}
	return p.selector().Text
}

// elementList reads elements in braces, or a variable with some, after list.
func (p *parser) elementList(list []Element, types []*datatype, s *Set) []Element {
	if p.accept("$") {
		e := p.variable()
		if e.Kind != Literal {
			p.fail("the variable has one value; elements stand in braces")
		}
		return p.flatten(list, &e, types, s, p.tok.line)
	}
	these := p.literal(types, s)
	if len(list) == 0 {
		return these // without a copy: there may be a million
	}
	return append(list, these...)
}

// literal reads elements in braces. A named set or map is known; for one of a rule
// m is nil, or says that it is a map.
func (p *parser) literal(types []*datatype, m *Set) []Element {
	defer p.deeper()()
	if !p.is("{") {
		p.unexpected("\"{\"")
	}
	line := p.tok.line
	end := strings.IndexByte(p.src[p.at:], '}') // a guess: a quote may contain one
	if end < 0 {
		end = len(p.src) - p.at
	}
	list := make([]Element, 0, strings.Count(p.src[p.at:p.at+end], ",")+1)
	p.next()
	for {
		list = p.plain(list, types, m)
		p.optionalNewline()
		if p.is("}") && len(list) > 0 {
			break
		}
		list = p.element(list, types, m)
		p.optionalNewline()
		if !p.accept(",") {
			break
		}
	}
	if !p.is("}") {
		p.unexpected("a comma or \"}\"")
	}
	p.next()
	if m == nil || m.Name == "" {
		p.conflicts(types, list, m, line)
	}
	return list
}

// optionalNewline goes past one newline: nft takes no empty line between elements.
func (p *parser) optionalNewline() {
	if p.tok.kind == newline {
		p.next()
	}
}

// element reads one element, or all of those that a variable has.
func (p *parser) element(list []Element, types []*datatype, m *Set) []Element {
	e := Element{Line: int32(p.tok.line)}
	line := p.tok.line
	switch {
	case p.accept("*"):
		e.Key = Expr{Kind: Any}
	case p.is("{"): // elements in elements are those
		inner := p.literal(types, m)
		return append(list, inner...)
	default:
		e.Key = p.values()
	}
	if e.Key.Kind == Literal {
		return p.flatten(list, &e.Key, types, m, line)
	}
	if types != nil {
		p.fitElement(types, &e.Key, line)
	}
	if !p.is(",") && !p.is("}") {
		e.Unread = p.elementOptions(&e, m)
		p.mapped(&e, m)
	} else if m != nil && m.Map && m.Name == "" {
		p.unexpected("\":\"")
	}
	return append(list, e)
}

// flatten adds the elements of a variable.
func (p *parser) flatten(list []Element, e *Expr, types []*datatype, m *Set, line int) []Element {
	for i := range e.Set {
		if types != nil {
			p.fitElement(types, &e.Set[i].Key, line)
		}
	}
	return append(list, e.Set...)
}

// fitElement refuses an element that is not of the types of a set.
func (p *parser) fitElement(types []*datatype, key *Expr, line int) {
	switch key.Kind {
	case Any:
		return
	case Value, Prefix, Range: // the most frequent, without memory
		if len(types) == 1 {
			p.spanOf(types[0], key, line)
			return
		}
	}
	p.fits(types, key, line)
}

// elementOptions reads what an element says after its key. Comments and counters
// have no effect and are not kept.
func (p *parser) elementOptions(e *Element, m *Set) string {
	var kept []string
	has := elementOptions{element: e.Key, line: int(e.Line)}
	for {
		from, word := p.tok.at, p.tok.text
		switch {
		case p.accept("comment"):
			p.text("comment")
			continue
		case p.is("counter"):
			p.counter()
			has.statements = append(has.statements, word)
			continue
		case p.accept("timeout"), p.accept("expires"):
			p.take()
			has.timed = true
		case p.is("limit"), p.is("quota"):
			p.limit()
			has.statements = append(has.statements, word)
		case p.accept("last"):
			if p.accept("used") {
				p.take()
			}
			has.statements = append(has.statements, word)
			continue
		case p.accept("ct"):
			p.expect("count")
			p.accept("over")
			p.amount()
			has.statements = append(has.statements, word)
		default:
			p.keepOptions(m, has)
			return strings.Join(kept, " ")
		}
		kept = append(kept, p.words(from))
	}
}

// mapped reads what an element of a map maps to.
func (p *parser) mapped(e *Element, m *Set) {
	if !p.is(":") {
		if m != nil && m.Map && m.Name == "" {
			p.unexpected("\":\"")
		}
		return
	}
	if m == nil || !m.Map {
		p.fail("an element of a set maps to nothing")
	}
	from := p.tok.at
	p.next()
	if m.Value == "verdict" || m.Value == "interval verdict" {
		e.Verdict = p.verdict()
		return
	}
	p.values()
	e.Unread = strings.TrimSpace(e.Unread + " " + p.words(from))
}

// fitElements refuses elements that a named set cannot have.
func (p *parser) fitElements(s *Set) {
	interval := s.Has("interval")
	for i := range s.Elements {
		e := &s.Elements[i]
		if s.Map && e.Verdict == nil && !strings.Contains(e.Unread, ": ") {
			p.failAt(int(e.Line), "the element %s of a map maps to nothing", text(&e.Key))
		}
		if !interval && needsInterval(&e.Key) {
			p.failAt(int(e.Line), "%s is more than one value: the set needs \"flags interval\"", text(&e.Key))
		}
	}
	distinct := p.conflicts(p.keyTypes(s), s.Elements, s, s.Line)
	if s.Size > 0 && distinct > s.Size {
		p.failAt(s.Line, "the set %s has %s elements, which is more than its size", s.Name, strconv.Itoa(len(s.Elements)))
	}
}

func needsInterval(e *Expr) bool {
	switch e.Kind {
	case Prefix, Range:
		return true
	case Value:
		return strings.HasSuffix(e.Text, "*") && !strings.HasSuffix(e.Text, `\*`)
	case Concat:
		return slices.ContainsFunc(e.Args, func(part Expr) bool { return needsInterval(&part) })
	}
	return false
}

// deleteElements removes elements that are in a set just so.
func (p *parser) deleteElements(s *Set, quiet bool) {
	line := p.tok.line
	if s.Has("interval") && len(s.Elements) > 0 {
		// nft 1.0.6 to 1.1.7 delete none of those that the same file declares with the set.
		p.fail("nft does not delete what the same file declares of a set of intervals; take the element out of the declaration of %s instead", s.Name)
	}
	loose := *s
	loose.Map = false
	if s.Map {
		loose.Map, loose.Name = true, s.Name
	}
	for _, e := range p.elementList(nil, p.keyTypes(s), &loose) {
		key := text(&e.Key)
		n := len(s.Elements)
		s.Elements = slices.DeleteFunc(slices.Clone(s.Elements), func(x Element) bool { return text(&x.Key) == key })
		if len(s.Elements) == n && !quiet {
			p.failAt(line, "the set %s has no element %s", s.Name, key)
		}
	}
}
