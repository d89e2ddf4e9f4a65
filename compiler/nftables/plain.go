package nftables

// Nearly all of a large file is elements of named sets that are an address of IPv4 or a
// network, each followed by a comma. This file reads them without cutting them into words;
// elements in any other form are left to the parser. An element that is read here means
// exactly what the parser would make of it (TestPlainElementsAreReadTheSame).

// noPlain leaves all elements to the parser, for tests.
var noPlain = false

// plain reads such elements from the current token on, up to the first in another form.
func (p *parser) plain(list []Element, types []*datatype, s *Set) []Element {
	if noPlain || s == nil || s.Map || s.Name == "" || len(types) != 1 || types[0] != datatypes["ipv4_addr"] {
		return list
	}
	at, line, before := p.tok.at, p.tok.line, len(list)
	for {
		e, next, ok := plainElement(p.src, at)
		if !ok {
			break
		}
		if p.src[at] == '\n' {
			line++
		}
		e.Line = int32(line)
		list, at = append(list, e), next
	}
	if len(list) > before { // on after the last comma
		p.lexer.at, p.lexer.line, p.tok.end = at, line, at
		p.next()
	}
	return list
}

// plainElement reads an element with its comma, after at most one newline and blanks.
func plainElement(src string, at int) (e Element, next int, ok bool) {
	if at < len(src) && src[at] == '\n' {
		at++
	}
	for at < len(src) && (src[at] == ' ' || src[at] == '\t') {
		at++
	}
	start := at
	for part := range 4 {
		n, end := decimal(src, at, 255)
		if n < 0 || end == len(src) || part < 3 && src[end] != '.' {
			return e, 0, false
		}
		at = end + 1
	}
	at--
	e.Key = Expr{Kind: Value, Text: src[start:at]}
	if src[at] == '/' {
		n, end := decimal(src, at+1, 32)
		if n < 0 {
			return e, 0, false
		}
		e.Key.Kind, e.Key.Bits, at = Prefix, int16(n), end
	}
	return e, at + 1, at < len(src) && src[at] == ','
}

// decimal reads a number up to a largest one, without leading zeros; -1 for anything else.
func decimal(src string, at, most int) (n, end int) {
	for end = at; end < len(src) && src[end] >= '0' && src[end] <= '9' && n <= most; end++ {
		n = 10*n + int(src[end]-'0')
	}
	if end == at || n > most || src[at] == '0' && end > at+1 {
		return -1, end
	}
	return n, end
}
