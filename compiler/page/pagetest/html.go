// Package pagetest reads the pages that Seawall writes with parsers that have nothing of
// Seawall's, and says what is wrong with them.
package pagetest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// HTML lists what is wrong with a page: tags that are not closed in order, an id twice, a
// link that leads nowhere or out of the page, a heading that skips a level, a header of a
// table without its scope, anything that loads or runs beside the page's own script, and
// characters that a reader does not see.
func HTML(text string) []string {
	c := &checker{ids: map[string]bool{}}
	c.unseen(text)
	z := html.NewTokenizer(strings.NewReader(text))
	for {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			if err := z.Err(); !errors.Is(err, io.EOF) {
				c.say("%v", err)
			}
			c.end()
			return c.found
		case html.StartTagToken, html.SelfClosingTagToken:
			c.start(z.Token(), kind == html.SelfClosingTagToken)
		case html.EndTagToken:
			name := z.Token().Data
			if n := len(c.open); n == 0 || c.open[n-1] != name {
				c.say("</%s> closes %v", name, c.open)
				return c.found
			}
			c.open = c.open[:len(c.open)-1]
		}
	}
}

type checker struct {
	found   []string
	open    []string
	ids     map[string]bool
	links   []string
	heading int
	scripts int
}

func (c *checker) say(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

var void = []atom.Atom{atom.Meta, atom.Br, atom.Input, atom.Hr}

// tags are those that pages have.
var tags = strings.Fields("html head meta title style body main script h1 h2 h3 h4 p a bdi br strong em code pre span div dl dt dd ul ol li nav label input table thead tbody tr th td details summary svg rect text path title g ins del")

func (c *checker) start(t html.Token, closed bool) {
	if !slices.Contains(tags, t.Data) {
		c.say("a <%s>", t.Data)
	}
	if t.DataAtom == atom.Script {
		c.scripts++
	}
	if len(t.Data) == 2 && t.Data[0] == 'h' && t.Data[1] >= '1' && t.Data[1] <= '6' {
		level := int(t.Data[1] - '0')
		if level > c.heading+1 || level == 1 && c.heading > 0 {
			c.say("a heading of level %d after one of %d", level, c.heading)
		}
		c.heading = level
	}
	scope := false
	for _, a := range t.Attr {
		switch {
		case a.Key == "id":
			if c.ids[a.Val] {
				c.say("the id %q twice", a.Val)
			}
			if strings.ContainsFunc(a.Val, unicode.IsSpace) || a.Val == "" {
				c.say("the id %q", a.Val)
			}
			c.ids[a.Val] = true
		case a.Key == "href" && strings.HasPrefix(a.Val, "#"):
			c.links = append(c.links, a.Val[1:])
		case a.Key == "href" || a.Key == "src" || a.Key == "style" || strings.HasPrefix(a.Key, "on"):
			c.say("an attribute %s=%q", a.Key, a.Val)
		case a.Key == "scope":
			scope = true
		}
	}
	if t.DataAtom == atom.Th && !scope {
		c.say("a <th> without scope")
	}
	if !closed && !slices.Contains(void, t.DataAtom) {
		c.open = append(c.open, t.Data)
	}
}

func (c *checker) end() {
	if len(c.open) > 0 {
		c.say("%v not closed", c.open)
	}
	if c.scripts > 1 {
		c.say("%d scripts", c.scripts)
	}
	for _, l := range c.links {
		if !c.ids[l] {
			c.say("a link to #%s, which is not there", l)
		}
	}
}

// unseen says which characters of a text a reader does not see.
func (c *checker) unseen(text string) {
	if strings.ToValidUTF8(text, "") != text {
		c.say("bytes that are not UTF-8")
	}
	for _, r := range text {
		if r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp, unicode.Variation_Selector) || strings.ContainsRune("\u00a0\u034f\u115f\u1160\u2800\u3000\u3164\uffa0", r) {
			c.say("the character %U", r)
			return
		}
	}
}

// Text is the text of the elements of a page that pick says, each without the space around
// and between its words.
func Text(page string, pick func(*html.Node) bool) []string {
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return []string{err.Error()}
	}
	var list []string
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && pick(n) {
			list = append(list, textOf(n))
		}
	}
	return list
}

// blocks begin on a line of their own.
var blocks = []atom.Atom{atom.Div, atom.Br, atom.Li, atom.P, atom.Td, atom.Th, atom.Dt, atom.Dd, atom.Details, atom.Table}

func textOf(n *html.Node) string {
	var b strings.Builder
	for x := range n.Descendants() {
		switch {
		case x.Type == html.TextNode:
			b.WriteString(x.Data)
		case x.Type == html.ElementNode && slices.Contains(blocks, x.DataAtom):
			b.WriteByte(' ')
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// Attr is an attribute of an element, "" for none.
func Attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}
