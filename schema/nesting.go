package schema

import "bytes"

// The parsers of HCL and JSON are recursive, so text that is nested deep enough crashes a
// program. This measures the depth first, without recursion: it knows where strings,
// templates, heredocs and comments are, and nothing else of the language.

// within is what a part of the text is in.
type within byte

const (
	inCode     within = iota // brackets and names
	inString                 // a quoted template
	inTemplate               // ${ or %{, in a string or a heredoc
	inHeredoc
)

// level is one thing that is open.
type level struct {
	in     within
	end    byte   // of code: the bracket that closes it
	marker string // of a heredoc: the line that ends it
	extra  int    // conditions, and signs in a row, that are open in it
	signs  int
	blocks int // of a string or a heredoc: %{ if and %{ for that are open in it
}

// nesting measures HCL's native syntax.
type nesting struct {
	src   []byte
	at    int
	open  []level
	sum   int // of what is open within the levels
	worst int
	where int
}

// deepest returns how deep a text is nested, and where. It stops at the first place that
// is deeper than the limit.
func deepest(src []byte) (depth, at int) {
	n := &nesting{src: src, open: []level{{in: inCode}}}
	for n.at < len(src) && n.worst <= maxNesting {
		switch top := n.top(); top.in {
		case inString:
			n.inString(top)
		case inHeredoc:
			n.inHeredoc(top)
		default:
			n.inCode(top)
		}
	}
	return n.worst, n.where
}

func (n *nesting) top() *level { return &n.open[len(n.open)-1] }

func (n *nesting) push(l level) {
	n.open = append(n.open, l)
	n.measure()
}

func (n *nesting) pop() {
	if len(n.open) > 1 {
		l := n.top()
		n.sum -= l.extra + l.signs + l.blocks
		n.open = n.open[:len(n.open)-1]
	}
}

func (n *nesting) measure() {
	if depth := len(n.open) - 1 + n.sum; depth > n.worst {
		n.worst, n.where = depth, min(n.at, len(n.src)-1)
	}
}

func (n *nesting) has(prefix string) bool {
	return bytes.HasPrefix(n.src[n.at:], []byte(prefix))
}

// skipTo moves past the next occurrence of a text, or to the end.
func (n *nesting) skipTo(text string) {
	if i := bytes.Index(n.src[n.at:], []byte(text)); i >= 0 {
		n.at += i + len(text)
		return
	}
	n.at = len(n.src)
}

func (n *nesting) inCode(top *level) {
	for top.signs == 0 && n.at < len(n.src) && plain[n.src[n.at]] {
		n.at++
	}
	if n.at == len(n.src) {
		return
	}
	c := n.src[n.at]
	switch {
	case c == '#' || n.has("//"):
		if n.skipTo("\n"); n.src[n.at-1] == '\n' {
			n.at-- // which may end an expression
		}
		return
	case n.has("/*"):
		n.skipTo("*/")
		return
	case top.signs > 0 && c != '!' && c != '-' && c != ' ' && c != '\t' && c != '\r' && c != '\n':
		n.sum -= top.signs
		top.signs = 0
	}
	switch {
	case c == '"':
		n.push(level{in: inString})
	case n.has("<<") && n.heredoc():
		return
	case c == '(':
		n.push(level{in: inCode, end: ')'})
	case c == '[':
		n.push(level{in: inCode, end: ']'})
	case c == '{':
		n.push(level{in: inCode, end: '}'})
	case c == ')' || c == ']' || c == '}':
		if top.end == c || top.in == inTemplate && c == '}' {
			n.pop()
		}
	case c == '?':
		top.extra++
		n.sum++
		n.measure()
	case c == '!' || c == '-':
		top.signs++
		n.sum++
		n.measure()
	case c == ',' || c == '\n' && top.in == inCode && (top.end == '}' || top.end == 0):
		n.sum -= top.extra
		top.extra = 0
	}
	n.at++
}

// plain are the characters that neither open nor close anything.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c > ' ' && !bytes.ContainsRune([]byte("#/\"<()[]{}?!-,"), rune(c)) || c == ' ' || c == '\t' || c == '\r'
	}
	return t
}()

// heredoc begins one, where <<NAME or <<-NAME is.
func (n *nesting) heredoc() bool {
	rest := bytes.TrimPrefix(n.src[n.at+2:], []byte("-"))
	name, _, ends := bytes.Cut(rest, []byte("\n"))
	name = bytes.TrimRight(name, "\r")
	if !ends || len(name) == 0 || bytes.ContainsAny(name, " \t\"(){}[],") {
		return false
	}
	n.skipTo("\n")
	n.push(level{in: inHeredoc, marker: string(name)})
	return true
}

func (n *nesting) inString(top *level) {
	if n.at += max(0, bytes.IndexAny(n.src[n.at:], "\\\"\n$%")); n.at >= len(n.src) {
		return
	}
	switch c := n.src[n.at]; {
	case c == '\\':
		n.at += 2
	case c == '"' || c == '\n': // a string has one line
		n.pop()
		n.at++
	case n.template(top):
	default:
		n.at++
	}
}

func (n *nesting) inHeredoc(top *level) {
	if n.at == 0 || n.src[n.at-1] == '\n' {
		line, _, _ := bytes.Cut(n.src[n.at:], []byte("\n"))
		if string(bytes.TrimSpace(line)) == top.marker {
			n.at += len(line)
			n.pop()
			return
		}
	}
	if !n.template(top) {
		n.at++
	}
}

// template begins ${ or %{ where one is; $${ and %%{ are text.
func (n *nesting) template(top *level) bool {
	switch {
	case n.has("$${") || n.has("%%{"):
		n.at += 3
		return true
	case n.has("%{"):
		word := bytes.TrimLeft(n.src[n.at+2:], "~ \t")
		if bytes.HasPrefix(word, []byte("if")) || bytes.HasPrefix(word, []byte("for")) {
			top.blocks++
			n.sum++
		} else if bytes.HasPrefix(word, []byte("end")) && top.blocks > 0 {
			top.blocks--
			n.sum--
		}
	case !n.has("${"):
		return false
	}
	n.push(level{in: inTemplate})
	n.at += 2
	return true
}

// deepestJSON is deepest for JSON. The strings of HCL's JSON are templates: from the
// first ${ or %{ on, what is in one counts as if it were code.
func deepestJSON(src []byte) (depth, at int) {
	open, inText, code, within := 0, false, false, 0
	for i := 0; i < len(src) && depth <= maxNesting; i++ {
		c := src[i]
		switch {
		case inText && c == '\\':
			i++
		case c == '"':
			inText, code, within = !inText, false, 0
		case inText && c == '{' && (src[i-1] == '$' || src[i-1] == '%'):
			code = true
			within++
		case !inText && (c == '{' || c == '['):
			open++
		case !inText && (c == '}' || c == ']'):
			open = max(0, open-1)
		case code && bytes.IndexByte([]byte("{[(?!-"), c) >= 0:
			within++
		case code && bytes.IndexByte([]byte("}])"), c) >= 0:
			within = max(0, within-1)
		}
		if open+within > depth {
			depth, at = open+within, i
		}
	}
	return depth, at
}
