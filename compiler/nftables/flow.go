package nftables

import "strings"

// flow is what a rule has said so far about the protocols of its packets. nft
// refuses a rule that says two different things.
type flow struct {
	network   string // ip or ip6
	transport string // tcp, udp and so on
}

var transports = map[string]bool{"tcp": true, "udp": true, "udplite": true, "sctp": true, "dccp": true, "icmp": true, "icmpv6": true, "igmp": true, "esp": true, "ah": true, "comp": true}

// reaches notes which protocols the parts of an expression are of.
func (p *parser) reaches(e *Expr, line int) {
	for i := range e.Args {
		p.reaches(&e.Args[i], line)
	}
	if e.Kind != Selector {
		return
	}
	header, field, _ := strings.Cut(e.Text, " ")
	switch {
	case header == "ip" || header == "ip6":
		if p.flow.network != "" && p.flow.network != header {
			p.failAt(line, "%s is of another protocol than the rest of the rule, which is for %s", e.Text, p.flow.network)
		}
		p.flow.network = header
	case transports[header] && field != "":
		if p.flow.transport != "" && p.flow.transport != header {
			p.failAt(line, "%s is of another protocol than the rest of the rule, which is for %s", e.Text, p.flow.transport)
		}
		p.flow.transport = header
	}
}

// learn notes what a comparison says about the protocols.
func (f *flow) learn(m *Match) {
	if m.Left.Kind != Selector || m.Right.Kind != Value || m.Op != "" && m.Op != "==" {
		return
	}
	switch m.Left.Text {
	case "meta nfproto":
		f.network = map[string]string{"ipv4": "ip", "ipv6": "ip6"}[m.Right.Text]
	case "meta protocol", "ether type":
		if m.Right.Text == "ip" || m.Right.Text == "ip6" {
			f.network = m.Right.Text
		}
	case "meta l4proto", "ip protocol", "ip6 nexthdr":
		f.transport = transportName(m.Right.Text)
	}
}

// transportName is the header's name of a protocol, which may be written as a number
// or as /etc/protocols has it.
func transportName(text string) string {
	n, ok := parseProtocol(text)
	if !ok {
		return ""
	}
	for name := range transports {
		if other, ok := parseProtocol(name); ok && other == n {
			return name
		}
	}
	return text
}

// ordered are the operators that compare sizes.
func ordered(op string) bool { return op == "<" || op == "<=" || op == ">" || op == ">=" }

// checkMatch refuses a right side that does not fit the left one.
func (p *parser) checkMatch(m *Match, types []*datatype, line int) {
	switch m.Right.Kind {
	case Literal:
		return // its elements have been checked as they were read
	case Named:
		p.lookups = append(p.lookups, mention{name: m.Right.Text, line: line, check: func(s *Set) { p.sameTypes(types, p.keyTypes(s), line) }})
		return
	case Prefix, Range:
		if ordered(m.Op) {
			p.failAt(line, "%s compares with one value, not with %s", m.Op, text(&m.Right))
		}
	case Concat:
		p.failAt(line, "values joined by dots can only be looked up in a set; write { … } around them")
	}
	p.fits(types, &m.Right, line)
}
