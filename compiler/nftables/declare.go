package nftables

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// tableBlock reads what stands in a table's braces.
func (p *parser) tableBlock() {
	p.expect("{")
	p.scopes = append(p.scopes, scope{})
	for !p.is("}") {
		if p.tok.separates() {
			if p.tok.kind == endOfFile {
				p.unexpected("\"}\"")
			}
			p.next()
			continue
		}
		p.tableItem()
		p.separator()
	}
	p.scopes = p.scopes[:len(p.scopes)-1]
	p.expect("}")
}

func (p *parser) tableItem() {
	if p.definition() {
		return
	}
	kind := p.tok
	if kind.kind != word {
		p.unexpected("chain, set or map")
	}
	p.next()
	switch kind.text {
	case "chain":
		p.chain(false)
	case "set", "map":
		p.set(kind.text == "map", false)
	case "flags":
		p.table.Flags = p.flags(p.table.Flags, "dormant", "owner", "persist")
	case "comment":
		p.table.Comment = p.text("comment")
	default:
		if !objects[kind.text] {
			p.failAt(kind.line, "%q is unexpected in a table; nft wants chain, set, map or an object", kind.text)
		}
		p.object(p.objectKind(kind.text))
	}
}

// text reads a string: in quotes, or one word.
func (p *parser) text(of string) string {
	t := p.tok
	if t.kind != quoted && t.kind != starred && (t.kind != word && t.kind != constant || keywords[t.text]) {
		p.unexpected("text")
	}
	if of == "comment" && len(t.text) > maxComment {
		p.fail("a comment has at most %d bytes; this one has %d", maxComment, len(t.text))
	}
	p.next()
	return t.text
}

// maxComment is the maximum length of a comment.
const maxComment = 128

// flags reads a list of flags.
func (p *parser) flags(list []string, known ...string) []string {
	for {
		if p.tok.kind != word || !slices.Contains(known, p.tok.text) {
			p.unexpected("one of " + strings.Join(known, ", "))
		}
		if !slices.Contains(list, p.tok.text) {
			list = append(list, p.tok.text)
		}
		p.next()
		if !p.accept(",") {
			return list
		}
	}
}

// objectKind reads the rest of the kind of an object, which is two words for ct.
func (p *parser) objectKind(kind string) string {
	if kind != "ct" {
		return kind
	}
	if !p.is("helper") && !p.is("timeout") && !p.is("expectation") {
		p.unexpected("helper, timeout or expectation")
	}
	kind += " " + p.tok.text
	p.next()
	return kind
}

// object reads the declaration of an object. What it says is not kept.
func (p *parser) object(kind string) {
	line := p.tok.line
	name := p.name(kind)
	if p.is("{") {
		p.braces()
	} else {
		p.ignore()
	}
	if slices.ContainsFunc(p.table.Objects, func(o *Object) bool { return o.Kind == kind && o.Name == name }) {
		return
	}
	p.table.Objects = append(p.table.Objects, &Object{Kind: kind, Name: name, Line: line})
}

// braces goes past an opening brace and everything to the one that closes it.
func (p *parser) braces() {
	for depth := 0; ; {
		switch {
		case p.tok.kind == endOfFile:
			p.unexpected("\"}\"")
		case p.tok.kind == junk:
			p.unexpected("")
		case p.is("{"):
			depth++
		case p.is("}"):
			depth--
		}
		p.next()
		if depth == 0 {
			return
		}
	}
}

// chain reads a chain's name and what stands in its braces.
func (p *parser) chain(create bool) {
	line := p.tok.line
	name := p.name("chain")
	c := p.table.Chain(name)
	if c != nil && create {
		p.failAt(line, "the chain %s exists already", name)
	}
	isNew := c == nil
	if isNew {
		c = &Chain{Name: name, Line: line}
		p.table.Chains = append(p.table.Chains, c)
	}
	if !p.accept("{") {
		return
	}
	b := chainBlock{chain: c, line: line}
	p.scopes = append(p.scopes, scope{})
	for !p.is("}") {
		if p.tok.separates() {
			if p.tok.kind == endOfFile {
				p.unexpected("\"}\"")
			}
			p.next()
			continue
		}
		p.chainItem(&b)
		p.separator()
	}
	p.scopes = p.scopes[:len(p.scopes)-1]
	p.expect("}")
	p.hooked(&b, isNew)
}

// chainBlock is what the braces of a chain have said so far.
type chainBlock struct {
	chain   *Chain
	line    int
	hook    *Hook
	policy  string
	comment bool
	offload bool
}

func (p *parser) chainItem(b *chainBlock) {
	switch {
	case p.definition():
	case p.is("type"):
		p.next()
		b.hook = p.hook()
	case p.is("policy"):
		if b.policy != "" {
			p.fail("a chain has one policy")
		}
		p.next()
		b.policy = p.policy()
	case p.is("flags"):
		p.next()
		p.expect("offload")
		b.offload = true
	case p.is("comment") && p.endsAfterText():
		if b.comment {
			p.fail("a chain has one comment")
		}
		p.next()
		b.chain.Comment, b.comment = p.text("comment"), true
	default:
		b.chain.Rules = append(b.chain.Rules, p.rule())
	}
}

// endsAfterText reports whether the statement ends after the token that follows.
func (p *parser) endsAfterText() bool {
	l := p.lexer
	l.next()
	t := l.next()
	return t.separates() || t.is("}")
}

func (p *parser) policy() string {
	if p.accept("$") {
		e := p.variable()
		return p.policyWord(e.Text)
	}
	text := p.tok.text
	if p.tok.kind != word {
		p.unexpected("accept or drop")
	}
	text = p.policyWord(text)
	p.next()
	return text
}

func (p *parser) policyWord(text string) string {
	if text != "accept" && text != "drop" {
		p.fail("%q is not a policy; use accept or drop", text)
	}
	return text
}

// hooked returns a chain the hook that its braces declare.
func (p *parser) hooked(b *chainBlock, isNew bool) {
	c := b.chain
	h := b.hook
	if h == nil {
		if (b.policy != "" || b.offload) && c.Hook == nil {
			p.failAt(b.line, "the chain %s has a policy or flags but no hook", c.Name)
		}
		if b.policy != "" {
			c.Hook.Policy = b.policy
		}
		return
	}
	h.Policy = b.policy
	if h.Policy == "" {
		h.Policy = "accept"
		if !isNew && c.Hook != nil {
			h.Policy = c.Hook.Policy
		}
	}
	if !isNew && (c.Hook == nil || c.Hook.Type != h.Type || c.Hook.Hook != h.Hook || c.Hook.Priority != h.Priority) {
		p.failAt(b.line, "the chain %s exists already, with another hook or none", c.Name)
	}
	c.Hook = h
}

// hookNames are the hooks of each family.
var hookNames = map[Family][]string{
	IP:     {"prerouting", "input", "forward", "output", "postrouting"},
	IP6:    {"prerouting", "input", "forward", "output", "postrouting"},
	Inet:   {"prerouting", "input", "forward", "output", "postrouting", "ingress"},
	Bridge: {"prerouting", "input", "forward", "output", "postrouting"},
	ARP:    {"input", "output"},
	Netdev: {"ingress", "egress"},
}

// hook reads what follows "type" in a chain.
func (p *parser) hook() *Hook {
	h := &Hook{Type: p.tok.text}
	if h.Type != "filter" && h.Type != "nat" && h.Type != "route" {
		p.fail("%q is not the type of a chain; use filter, nat or route", h.Type)
	}
	p.next()
	p.expect("hook")
	h.Hook = p.tok.text
	if !slices.Contains(hookNames[p.table.Family], h.Hook) {
		p.fail("%q is not a hook of the family %s", h.Hook, p.table.Family)
	}
	if h.Type == "nat" && (h.Hook == "forward" || h.Hook == "ingress") || h.Type == "route" && h.Hook != "output" {
		p.fail("a chain of type %s cannot have the hook %s", h.Type, h.Hook)
	}
	if h.Type != "filter" && (p.table.Family == Bridge || p.table.Family == ARP || p.table.Family == Netdev) {
		p.fail("the family %s has no chains of type %s", p.table.Family, h.Type)
	}
	line := p.tok.line
	p.next()
	h.Devices = p.devices()
	link := h.Hook == "ingress" || h.Hook == "egress"
	if h.Hook == "ingress" && h.Devices == nil && p.table.Family == Inet {
		p.failAt(line, "a chain with the hook %s names a device", h.Hook)
	}
	if !link && h.Devices != nil {
		p.failAt(line, "a chain with the hook %s cannot name a device", h.Hook)
	}
	p.expect("priority")
	line = p.tok.line
	h.Priority = p.priority(h)
	if h.Type == "nat" && h.Priority <= -200 {
		p.failAt(line, "a chain of type nat has a priority above -200, where connections are known")
	}
	if !p.tok.separates() {
		p.unexpected("a newline or a semicolon")
	}
	return h
}

func (p *parser) devices() []string {
	switch {
	case p.accept("device"):
		if p.accept("$") {
			return []string{p.variable().Text}
		}
		return []string{p.text("device")}
	case p.accept("devices"):
		p.expect("=")
		var list []string
		if p.accept("$") {
			e := p.variable()
			for i := range e.Set {
				list = append(list, e.Set[i].Key.Text)
			}
			return append(list, e.Text)
		}
		p.expect("{")
		for !p.is("}") {
			p.newlines()
			list = append(list, p.text("device"))
			p.newlines()
			if !p.accept(",") {
				break
			}
			p.newlines()
		}
		p.expect("}")
		return list
	}
	return nil
}

// priorities are the names of priorities, with the hook that each is for.
var priorities = map[string]struct {
	value int
	hooks []string // nil: all
}{
	"raw": {-300, nil}, "mangle": {-150, nil}, "dstnat": {-100, natPrerouting},
	"filter": {0, nil}, "security": {50, nil}, "srcnat": {100, natPostrouting},
}

// The hooks at which nft 1.1 lists dstnat and srcnat. 1.0.6 takes the first of each
// alone, and lists numbers elsewhere.
var (
	natPrerouting  = []string{"prerouting", "output"}
	natPostrouting = []string{"postrouting", "input"}
)

var bridgePriorities = map[string]struct {
	value int
	hooks []string
}{
	"dstnat": {-300, natPrerouting}, "filter": {-200, nil}, "out": {100, []string{"output"}}, "srcnat": {300, natPostrouting},
}

// priority reads a number, or a name with a number added or subtracted.
func (p *parser) priority(h *Hook) int {
	if p.accept("$") {
		e := p.variable()
		n, err := strconv.Atoi(e.Text)
		if known, ok := priorities[e.Text]; err != nil && ok {
			n, err = known.value, nil
		}
		if err != nil {
			p.fail("%q is not a priority", e.Text)
		}
		return n
	}
	base, named := 0, false
	if p.tok.kind == word {
		list := priorities
		if p.table.Family == Bridge {
			list = bridgePriorities
		}
		known, ok := list[p.tok.text]
		if (p.table.Family == ARP || p.table.Family == Netdev) && p.tok.text != "filter" {
			ok = false
		}
		if !ok || known.hooks != nil && !slices.Contains(known.hooks, h.Hook) {
			p.fail("%q is not a priority of the hook %s", p.tok.text, h.Hook)
		}
		base, named = known.value, true
		p.next()
	}
	switch {
	case p.accept("-"):
		return base - p.number(0, math.MaxInt32)
	case named && p.accept("+"):
		return base + p.number(0, math.MaxInt32)
	case named:
		return base
	}
	return p.number(0, math.MaxInt32)
}
