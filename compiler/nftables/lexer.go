package nftables

import "strings"

// tokenKind is the kind of a token.
type tokenKind uint8

const (
	endOfFile tokenKind = iota
	newline
	word     // a name or a keyword: letters, digits, - _ . /
	constant // a number, an address or a time: never a keyword
	starred  // a word with a trailing *
	quoted   // text in quotes; the token's text is without them
	sign     // a character or two of punctuation
	junk     // what nft knows no word for
)

// token is one word of a text. It keeps its place, so that the text between two of
// them can be taken as it was written.
type token struct {
	kind    tokenKind
	text    string
	at, end int
	line    int
}

// is reports whether a token is this punctuation or this word without quotes.
func (t *token) is(text string) bool {
	return t.text == text && (t.kind == sign || t.kind == word)
}

// separates reports whether a token ends a statement.
func (t *token) separates() bool {
	return t.kind == newline || t.kind == endOfFile || t.kind == sign && t.text == ";"
}

// lexer cuts a text into tokens. Of the tokens that could stand at a place, the
// longest does, as in nft.
type lexer struct {
	src  string
	at   int
	line int
}

const (
	isDigit = 1 << iota
	isHex
	isLetter
	inWord // may stand in a word
)

var class = func() (c [256]uint8) {
	for b := '0'; b <= '9'; b++ {
		c[b] |= isDigit | isHex | inWord
	}
	for b := 'a'; b <= 'z'; b++ {
		c[b] |= isLetter | inWord
		c[b-'a'+'A'] |= isLetter | inWord
	}
	for b := 'a'; b <= 'f'; b++ {
		c[b] |= isHex
		c[b-'a'+'A'] |= isHex
	}
	for _, b := range "/-_." {
		c[b] |= inWord
	}
	return c
}()

// next returns the next token.
func (l *lexer) next() token {
	l.blanks()
	if l.at >= len(l.src) {
		return token{kind: endOfFile, at: len(l.src), end: len(l.src), line: l.line}
	}
	b := l.src[l.at]
	switch {
	case b == '\n':
		l.line++
		return l.take(newline, 1, l.line-1)
	case b == '"':
		return l.quote()
	}
	length, kind := l.constant(l.at)
	if n := l.word(l.at); n > length {
		length, kind = n, word
	}
	if n := l.star(l.at); n > length {
		length, kind = n, starred
	}
	if length == 0 || length == 1 && b == '.' {
		length, kind = l.sign(b)
	}
	return l.take(kind, length, l.line)
}

func (l *lexer) take(kind tokenKind, length, line int) token {
	t := token{kind: kind, text: l.src[l.at : l.at+length], at: l.at, end: l.at + length, line: line}
	l.at += length
	return t
}

// blanks skips blanks, comments and lines that are continued.
func (l *lexer) blanks() {
	for l.at < len(l.src) {
		switch b := l.src[l.at]; {
		case b == ' ' || b == '\t':
			l.at++
		case b == '#':
			l.comment()
		case b == '\\' && l.at+1 < len(l.src) && l.src[l.at+1] == '\n':
			l.at += 2
			l.line++
		default:
			return
		}
	}
}

// comment skips a comment. One that has a line of its own ends with the line.
func (l *lexer) comment() {
	before := strings.TrimRight(l.src[:l.at], " \t")
	end := strings.IndexByte(l.src[l.at:], '\n')
	if end < 0 {
		l.at = len(l.src)
		return
	}
	l.at += end
	if before == "" || before[len(before)-1] == '\n' {
		l.at++
		l.line++
	}
}

// quote takes text in quotes; it may contain anything but a quote.
func (l *lexer) quote() token {
	line := l.line
	end := strings.IndexByte(l.src[l.at+1:], '"')
	if end < 0 {
		return l.take(junk, 1, line)
	}
	t := l.take(quoted, end+2, line)
	l.line += strings.Count(t.text, "\n")
	t.text = t.text[1 : len(t.text)-1]
	return t
}

func (l *lexer) sign(b byte) (int, tokenKind) {
	if l.at+1 < len(l.src) {
		switch l.src[l.at : l.at+2] {
		case "==", "!=", "<=", ">=", "<<", ">>":
			return 2, sign
		}
	}
	if strings.IndexByte("{}()[],.:;/-*@$=+!&|^<>", b) >= 0 {
		return 1, sign
	}
	return 1, junk
}

// word returns how long the word at a place is.
func (l *lexer) word(at int) int {
	b := l.src[at]
	if class[b]&isLetter == 0 && b != '_' && b != '.' {
		return 0
	}
	end := at + 1
	for end < len(l.src) && class[l.src[end]]&inWord != 0 {
		end++
	}
	return end - at
}

// star returns how long the word with an asterisk at a place is: eth*, eth\*, eth\*x
// and \*.
func (l *lexer) star(at int) int {
	n := l.word(at)
	rest := l.src[at+n:]
	switch {
	case strings.HasPrefix(rest, `\*`):
		n += 2
		if at+n < len(l.src) && n > 2 {
			n += l.word(at + n)
		}
		return n
	case n > 0 && strings.HasPrefix(rest, "*"):
		return n + 1
	}
	return 0
}

// constant returns how long the longest number, address or time at a place is.
func (l *lexer) constant(at int) (int, tokenKind) {
	b := l.src[at]
	if class[b]&isHex == 0 && b != ':' && b != '[' {
		return 0, constant
	}
	longest := l.ipv6(at)
	if class[b]&isDigit != 0 {
		longest = max(longest, l.number(at), l.ipv4(at), l.time(at), l.vlanProtocol(at))
	}
	if class[b]&isHex != 0 {
		longest = max(longest, l.colons(at))
	}
	return longest, constant
}

// vlanProtocol is 8021q or 8021ad.
func (l *lexer) vlanProtocol(at int) int {
	for _, name := range []string{"8021ad", "8021q"} {
		if strings.HasPrefix(l.src[at:], name) {
			return len(name)
		}
	}
	return 0
}

func (l *lexer) run(at int, of uint8) int {
	end := at
	for end < len(l.src) && class[l.src[end]]&of != 0 {
		end++
	}
	return end - at
}

func (l *lexer) number(at int) int {
	n := l.run(at, isDigit)
	if n == 1 && l.src[at] == '0' && at+1 < len(l.src) && l.src[at+1]|0x20 == 'x' {
		if hex := l.run(at+2, isHex); hex > 0 {
			return 2 + hex
		}
	}
	return n
}

func (l *lexer) ipv4(at int) int {
	end := at
	for part := range 4 {
		if part > 0 {
			if end >= len(l.src) || l.src[end] != '.' {
				return 0
			}
			end++
		}
		n := min(l.run(end, isDigit), 3)
		if n == 0 {
			return 0
		}
		end += n
	}
	return end - at
}

// time returns how long a time such as 1d2h3m4s5ms is.
func (l *lexer) time(at int) int {
	end := at
	for _, unit := range []string{"d", "h", "m", "s", "ms"} {
		n := l.run(end, isDigit)
		if n == 0 || !strings.HasPrefix(l.src[end+n:], unit) {
			continue
		}
		if unit == "m" && strings.HasPrefix(l.src[end+n:], "ms") {
			continue
		}
		end += n + len(unit)
	}
	return end - at
}

// colons returns how long an address of Ethernet or a class such as 1:10 is.
func (l *lexer) colons(at int) int {
	end, parts, short := at, 0, true
	for parts < 6 {
		n := l.run(end, isHex)
		if n == 0 || n > 4 {
			break
		}
		short = short && n <= 2
		end += n
		parts++
		if parts == 6 && short {
			return end - at
		}
		if parts == 2 && end < len(l.src) && strings.IndexByte(" \t\n:-},", l.src[end]) >= 0 && l.src[end] != ':' {
			return end - at
		}
		if end >= len(l.src) || l.src[end] != ':' {
			break
		}
		end++
	}
	return 0
}

// ipv6 returns how long the longest IPv6 address at a place is, with its brackets
// if it stands in some.
func (l *lexer) ipv6(at int) int {
	start := at
	if l.src[at] == '[' {
		start++
	}
	end, colons := start, 0
	for end < len(l.src) && end-start < 46 && (class[l.src[end]]&isHex != 0 || l.src[end] == ':' || l.src[end] == '.') {
		if l.src[end] == ':' {
			colons++
		}
		end++
	}
	if colons < 2 {
		return 0
	}
	if start > at { // the bracket must follow
		if end < len(l.src) && l.src[end] == ']' && isIPv6(l.src[start:end]) {
			return end + 1 - at
		}
		return 0
	}
	for ; end-start >= 2; end-- {
		if isIPv6(l.src[start:end]) {
			return end - at
		}
	}
	return 0
}
