package nftables

// scope is the variables of a file, a table or a chain.
type scope map[string]*Expr

// definition reads define, redefine or undefine if one of them is next.
func (p *parser) definition() bool {
	if p.tok.kind != word {
		return false
	}
	verb := p.tok.text
	switch verb {
	case "include":
		p.fail("include reads another file; give the ruleset as nft lists it after loading: \"nft list ruleset\"")
	case "define", "redefine", "undefine":
	default:
		return false
	}
	p.next()
	name := p.tok
	if name.kind != word || keywords[name.text] {
		p.unexpected("the name of a variable")
	}
	p.next()
	here := p.scopes[len(p.scopes)-1]
	if verb == "undefine" {
		delete(here, name.text)
		return true
	}
	p.expect("=")
	if verb == "define" && p.lookup(name.text) != nil {
		p.failAt(name.line, "the variable %s is defined already", name.text)
	}
	e := p.initializer()
	here[name.text] = &e
	return true
}

// initializer reads the value of a variable.
func (p *parser) initializer() Expr {
	if p.is("{") && func() bool { t := p.peek(); return t.is("}") }() {
		p.next()
		p.next()
		return Expr{Kind: Literal}
	}
	if p.accept("-") {
		n := p.tok.text
		p.number(0, 1<<31)
		return Const("-" + n)
	}
	return p.right(nil)
}

// variable returns the value of the variable whose name is next.
func (p *parser) variable() Expr {
	name := p.tok
	if name.kind != word {
		p.unexpected("the name of a variable")
	}
	e := p.lookup(name.text)
	if e == nil {
		p.fail("the variable %s is not defined", name.text)
	}
	p.next()
	return *e
}

// lookup returns the value of a variable, or nil.
func (p *parser) lookup(name string) *Expr {
	for i := len(p.scopes) - 1; i >= 0; i-- {
		if e := p.scopes[i][name]; e != nil {
			return e
		}
	}
	return nil
}
