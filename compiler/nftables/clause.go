package nftables

import (
	"strings"
)

// rule reads a rule to its end.
func (p *parser) rule() *Rule {
	if len(p.slab) == cap(p.slab) {
		p.slab = make([]Rule, 0, min(1024, 2*cap(p.slab)+8))
	}
	p.slab = append(p.slab, Rule{Line: p.tok.line})
	r := &p.slab[len(p.slab)-1]
	p.flow = flow{}
	if f := p.table.Family; f == IP || f == IP6 {
		p.flow.network = string(f)
	}
	from := p.tok.at
	list := make([]Statement, 0, 4)
	last := false
	for {
		if p.is("comment") {
			p.next()
			r.Comment = p.text("comment")
			if p.tok.separates() || !p.table.iptables() {
				break
			}
			continue // nft 1.1 lists it where iptables put it, and does not load that itself
		}
		if last {
			p.fail("nothing can follow a statement that ends the rule")
		}
		var s Statement
		s, last = p.statement()
		list = append(list, s)
		if p.tok.separates() {
			break
		}
	}
	if !p.tok.separates() {
		p.unexpected("a newline or a semicolon")
	}
	r.Statements = list
	if !p.ChainsOnly {
		r.Text = p.words(from)
	}
	return r
}

// statement reads one statement, and reports whether it ends the rule.
func (p *parser) statement() (s Statement, last bool) {
	from := p.tok.at
	if p.tok.kind == word {
		switch p.tok.text {
		case "accept", "drop", "return", "continue", "jump", "goto":
			v := p.verdict()
			return v, v.Kind != Continue
		case "reject":
			p.next()
			return p.reject(), true
		case "counter":
			p.counter()
			return &Note{Text: p.words(from)}, false
		case "last":
			p.next()
			if p.accept("used") {
				p.take()
			}
			return &Note{Text: p.words(from)}, false
		case "notrack":
			p.next()
			return &Note{Text: p.words(from)}, false
		case "limit", "quota":
			p.limit()
			return &Limit{Text: p.words(from)}, false
		case "log":
			p.next()
			return p.log(), false
		case "dup":
			if p.table.Family == Inet || p.table.Family == Bridge {
				p.fail("nft has no dup in a table of the family %s", p.table.Family)
			}
			p.next()
			p.dup()
			return &Note{Text: p.words(from)}, false
		case "add", "update", "delete":
			p.next()
			p.dynamic()
			return &Foreign{Text: p.words(from)}, false
		case "queue", "synproxy", "tproxy", "fwd", "dnat", "snat", "masquerade", "redirect", "set", "meter", "flow", "xt", "reset", "jhash":
			p.rest()
			return &Foreign{Text: p.words(from)}, false
		case "ct":
			if s := p.connection(from); s != nil {
				return s, false
			}
		}
	}
	if !p.startsSelector() && !p.is("(") {
		p.unexpected("a statement")
	}
	return p.comparison(from), false
}

// rest goes past the rest of a rule, but for its comment.
func (p *parser) rest() {
	for !p.tok.separates() && !p.is("}") {
		switch {
		case p.is("{"):
			p.braces()
			continue
		case p.is("comment"):
			if p.endsAfterText() {
				return
			}
		case p.tok.kind == junk:
			p.unexpected("")
		}
		p.next()
	}
}

var verdictKinds = map[string]VerdictKind{"accept": Accept, "drop": Drop, "return": Return, "continue": Continue, "jump": Jump, "goto": Goto}

// final are the verdicts without a chain; many elements share one.
var final = func() (list [Goto + 1]*Verdict) {
	for kind := range list {
		list[kind] = &Verdict{Kind: VerdictKind(kind)}
	}
	return list
}()

// verdict reads a verdict.
func (p *parser) verdict() *Verdict {
	kind, ok := verdictKinds[p.tok.text]
	if !ok || p.tok.kind != word {
		p.unexpected("a verdict")
	}
	p.next()
	if kind != Jump && kind != Goto {
		return final[kind]
	}
	line := p.tok.line
	var name string
	if p.accept("$") {
		name = p.variable().Text
	} else {
		name = p.name("chain")
	}
	p.jump(name, line)
	return &Verdict{Kind: kind, Chain: name}
}

func (p *parser) reject() *Reject {
	if !p.accept("with") {
		return &Reject{}
	}
	kind := p.tok.text
	switch {
	case p.accept("tcp"):
		p.expect("reset")
		if t := p.flow.transport; t != "" && t != "tcp" {
			p.fail("reject with tcp reset is for tcp, and the rule is for %s", t)
		}
		return &Reject{With: "tcp reset"}
	case p.accept("icmp"), p.accept("icmpv6"), p.accept("icmpx"):
	default:
		p.unexpected("icmp, icmpv6, icmpx or tcp")
	}
	p.accept("type")
	code := p.tok
	if n := p.flow.network; n == "ip" && kind == "icmpv6" || n == "ip6" && kind == "icmp" {
		p.fail("reject with %s does not fit a rule for %s", kind, n)
	}
	if code.kind != word && code.kind != constant && code.kind != quoted {
		p.unexpected("a code of " + kind)
	}
	if _, ok := datatypes[kind+"_code"].parse(code.text); !ok {
		p.fail("%q is not a code of %s", code.text, kind)
	}
	p.next()
	return &Reject{With: kind + " " + code.text}
}

// counter reads counter, counter packets 1 bytes 2 and counter name x.
func (p *parser) counter() {
	p.next()
	if p.accept("name") {
		p.text("name")
		return
	}
	for p.is("packets") || p.is("bytes") {
		p.next()
		p.amount()
	}
}

func (p *parser) amount() {
	if p.tok.kind != constant {
		p.unexpected("a number")
	}
	p.next()
}

// units and times are the words of limits and quotas.
var (
	units = map[string]bool{"bytes": true, "kbytes": true, "mbytes": true}
	times = map[string]bool{"second": true, "minute": true, "hour": true, "day": true, "week": true}
)

// limit reads limit rate over 5/minute burst 3 packets, limit name x and quota over
// 5 mbytes used 3 bytes.
func (p *parser) limit() {
	quota := p.is("quota")
	p.next()
	if p.accept("name") {
		p.text("name")
		return
	}
	if !quota {
		p.expect("rate")
	}
	if !p.accept("over") {
		p.accept("until")
	}
	if !quota {
		p.notZero()
	}
	bytes := p.size(quota)
	if unit, time, joined := strings.Cut(p.tok.text, "/"); !quota && !bytes && joined && units[unit] && times[time] {
		p.next() // kbytes/second is one word
		p.burst(true)
		return
	}
	if quota {
		if p.accept("used") {
			p.size(true)
		}
		return
	}
	p.expect("/")
	if !times[p.tok.text] {
		p.unexpected("second, minute, hour, day or week")
	}
	p.next()
	p.burst(bytes)
}

// burst reads how much more a limit of packets or of bytes lets through at first.
func (p *parser) burst(bytes bool) {
	if p.accept("burst") {
		if !bytes {
			p.notZero()
			p.amount()
			p.expect("packets")
			return
		}
		p.amount()
		p.unit()
	}
}

// notZero refuses 0, which no packet stays within.
func (p *parser) notZero() {
	if n, ok := integer(p.tok.text); ok && n.low == 0 {
		p.fail("a limit and its burst are at least 1")
	}
}

// size reads a number, with a unit of bytes if it has to have one, and reports
// whether it has.
func (p *parser) size(unit bool) bool {
	p.amount()
	if !unit && !units[p.tok.text] {
		return false
	}
	p.unit()
	return true
}

func (p *parser) unit() {
	if !units[p.tok.text] {
		p.unexpected("bytes, kbytes or mbytes")
	}
	p.next()
}

// log reads the options of log, in any order.
func (p *parser) log() *Log {
	l := &Log{}
	var rest []string
	level, group := false, false
	line := p.tok.line
	for {
		from := p.tok.at
		switch {
		case p.accept("prefix"):
			l.Prefix = p.prefix()
			continue
		case p.accept("level"):
			level = true
			switch p.tok.text {
			case "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "audit":
			default:
				p.fail("%q is not a level of log", p.tok.text)
			}
			p.next()
		case p.accept("group"):
			group = true
			p.amount()
		case p.accept("snaplen"), p.accept("queue-threshold"):
			group = true
			p.amount()
		case p.accept("flags"):
			p.logFlags()
		default:
			if level && group {
				p.failAt(line, "log has a level or a group, not both")
			}
			l.Text = strings.Join(rest, " ")
			return l
		}
		rest = append(rest, p.words(from))
	}
}

// maxPrefix is the maximum length of the prefix of log.
const maxPrefix = 127

// prefix reads the prefix of log. A $NAME in it stands for the value of a variable.
func (p *parser) prefix() string {
	line := p.tok.line
	text := p.text("prefix")
	if strings.Contains(text, "$") {
		text = p.expand(text, line)
	}
	if len(text) > maxPrefix {
		p.failAt(line, "the prefix of log has at most %d bytes; this one has %d", maxPrefix, len(text))
	}
	return text
}

func (p *parser) expand(text string, line int) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		l := lexer{src: after}
		n := 0
		if after != "" {
			n = l.word(0)
		}
		value := p.lookup(after[:n])
		if value == nil || value.Kind != Value {
			p.failAt(line, "the prefix uses the variable %q, which is not defined", after[:n])
		}
		b.WriteString(value.Text)
		text = after[n:]
	}
}

func (p *parser) logFlags() {
	switch {
	case p.accept("all"), p.accept("skuid"), p.accept("ether"):
	case p.accept("tcp"):
		for {
			if !p.is("sequence") && !p.is("options") {
				p.unexpected("sequence or options")
			}
			p.next()
			if !p.accept(",") {
				return
			}
		}
	case p.accept("ip"):
		p.expect("options")
	default:
		p.unexpected("all, tcp, ip, skuid or ether")
	}
}

// dup reads dup to ADDRESS device NAME.
func (p *parser) dup() {
	if p.accept("to") {
		p.left()
	}
	if p.accept("device") {
		p.text("device")
	}
}

// dynamic reads @set { key timeout 1m } after add, update or delete.
func (p *parser) dynamic() {
	p.expect("@")
	line := p.tok.line
	name := p.name("set")
	p.lookups = append(p.lookups, mention{name: name, line: line, check: func(*Set) {}})
	if !p.is("{") {
		p.unexpected("\"{\"")
	}
	p.braces()
}

// connection reads a statement that begins with ct and is no comparison, or returns
// nil.
func (p *parser) connection(from int) Statement {
	start := p.mark()
	p.next()
	switch {
	case p.accept("count"):
		p.accept("over")
		p.amount()
		return &Limit{Text: p.words(from)}
	case p.is("helper"), p.is("timeout"), p.is("expectation"), p.is("event"):
		p.next()
		if p.accept("set") {
			p.right(nil)
			return &Note{Text: p.words(from)}
		}
	}
	p.back(start)
	return nil
}

// comparison reads a match, a verdict map or an assignment.
func (p *parser) comparison(from int) Statement {
	line := p.tok.line
	left := p.left()
	types := typesOf(&left)
	switch {
	case p.accept("vmap"):
		p.reaches(&left, line)
		return &Lookup{Key: left, Map: p.verdictMap(types)}
	case p.is("set") && left.Kind == Selector:
		p.next()
		return p.assign(left, types)
	}
	p.reaches(&left, line)
	m := &Match{Left: left}
	negated := false
	switch {
	case p.accept("=="), p.accept("eq"):
		m.Op = "=="
	case p.accept("!="), p.accept("ne"):
		m.Op = "!="
	case p.accept("<"), p.accept("lt"):
		m.Op = "<"
	case p.accept("<="), p.accept("le"):
		m.Op = "<="
	case p.accept(">"), p.accept("gt"):
		m.Op = ">"
	case p.accept(">="), p.accept("ge"):
		m.Op = ">="
	case p.accept("!"), p.accept("not"):
		negated = true
	}
	line = p.tok.line
	m.Right = p.right(types)
	if p.is("/") { // flags / mask
		if len(types) != 1 || types[0] == nil || !types[0].mask {
			p.unexpected("")
		}
		p.next()
		mask := p.right(types)
		p.fits(types, &mask, line)
		m.Left = Expr{Kind: Binary, Op: "&", Args: []Expr{m.Left, union(mask)}}
		m.Right = union(m.Right)
		if m.Op == "" {
			m.Op = "=="
		}
	}
	p.checkMatch(m, types, line)
	if negated {
		if m.Right.Kind != Value && m.Right.Kind != Flags || len(types) != 1 || types[0] == nil || !types[0].mask {
			p.failAt(line, "a \"!\" is for flags; write != here")
		}
		m = none(m.Left, m.Right)
	}
	p.flow.learn(m)
	if m.Op == "" && m.Right.Kind == Binary && stepOf[m.Right.Op] == "|" && p.file.Source != nil {
		// As nft reads it, any of the flags; as nft lists it, exactly these (NETFILTER.md
		// section 8). A text does not say which of both it is.
		return &Foreign{Text: p.words(from)}
	}
	return m
}

// none returns the match of a value that has none of the flags.
func none(left, flags Expr) *Match {
	return &Match{Left: Expr{Kind: Binary, Op: "&", Args: []Expr{left, union(flags)}}, Op: "==", Right: Const("0")}
}

// union returns a list of flags as one value with all of their bits.
func union(e Expr) Expr {
	if e.Kind != Flags {
		return e
	}
	all := e.Args[0]
	for _, part := range e.Args[1:] {
		all = Expr{Kind: Binary, Op: "|", Args: []Expr{all, part}}
	}
	return all
}

// verdictMap reads what follows vmap.
func (p *parser) verdictMap(types []*datatype) Expr {
	if p.is("{") {
		return Expr{Kind: Literal, Set: p.literal(types, &Set{Map: true, Value: "verdict"})}
	}
	p.expect("@")
	line := p.tok.line
	name := p.name("map")
	p.lookups = append(p.lookups, mention{name: name, line: line, check: func(s *Set) {
		if !s.Map || s.Value != "verdict" && s.Value != "interval verdict" {
			p.failAt(line, "%s is not a map to verdicts", name)
		}
		p.sameTypes(types, p.keyTypes(s), line)
	}})
	return Ref(name)
}

// assign reads what follows set.
func (p *parser) assign(left Expr, types []*datatype) *Assign {
	from, line := p.tok.at, p.tok.line
	right := p.left()
	if !p.is("map") {
		if right.Kind == Value || right.Kind == Flags {
			p.fits(types, &right, line)
		}
		if p.is(",") {
			p.rest()
			right = Expr{Kind: Other, Text: p.words(from)}
		}
		return &Assign{Left: left, Right: right}
	}
	p.next()
	if p.is("{") {
		p.braces()
	} else {
		p.expect("@")
		line := p.tok.line
		p.lookups = append(p.lookups, mention{name: p.name("map"), line: line, check: func(*Set) {}})
	}
	return &Assign{Left: left, Right: Expr{Kind: Other, Text: p.words(from)}}
}
