package pagetest

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"
	xhtml "golang.org/x/net/html"
)

// Rendered is a text in Markdown as a hosting site shows it, in HTML.
func Rendered(text string) string {
	var b bytes.Buffer
	b.WriteString("<main>")
	if err := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(html.WithUnsafe())).Convert([]byte(text), &b); err != nil {
		return err.Error()
	}
	return b.String() + "</main>"
}

// inMarkdown are the tags that Markdown becomes, and those that pages write themselves.
var inMarkdown = strings.Fields("main h1 h2 h3 h4 h5 p a strong em code pre br table thead tbody tr th td ul ol li details summary blockquote b div")

// Markdown lists what is wrong with a page: a row of a table that has more cells or fewer
// than its header, an element that no page has, a link that leads nowhere or out of the
// page, and characters that a reader does not see.
func Markdown(text string) []string {
	c := &checker{ids: map[string]bool{}}
	c.unseen(text)
	c.tables(text)
	root, err := xhtml.Parse(strings.NewReader(Rendered(text)))
	if err != nil {
		return append(c.found, err.Error())
	}
	for n := range root.Descendants() {
		if n.Type != xhtml.ElementNode || n.Data == "html" || n.Data == "head" || n.Data == "body" {
			continue
		}
		known := false
		for _, t := range inMarkdown {
			known = known || t == n.Data
		}
		if !known {
			c.say("a <%s>", n.Data)
		}
		if n.Data[0] == 'h' && len(n.Data) == 2 {
			c.ids[slug(textOf(n))] = true
		}
		for _, a := range n.Attr {
			switch {
			case a.Key == "id" && c.ids[a.Val]:
				c.say("the id %q twice", a.Val)
			case a.Key == "id":
				c.ids[a.Val] = true
			case a.Key == "href" && strings.HasPrefix(a.Val, "#"):
				c.links = append(c.links, a.Val[1:])
			case a.Key == "class" && strings.HasPrefix(a.Val, "language-"), a.Key == "style" && strings.HasPrefix(a.Val, "text-align:"):
			default:
				c.say("an attribute %s=%q", a.Key, a.Val)
			}
		}
	}
	c.end()
	return c.found
}

// slug is what hosting sites name a heading's place.
func slug(heading string) string {
	return strings.ReplaceAll(notInSlug.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

var notInSlug = regexp.MustCompile(`[^\pL\pN _-]`)

// tables counts the cells of each row: GFM cuts a row at every | without a backslash.
func (c *checker) tables(text string) {
	want, fenced := 0, false
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if fenced || !strings.HasPrefix(line, "|") {
			want = 0
			continue
		}
		n := strings.Count(line, "|") - strings.Count(line, `\|`)
		if want == 0 {
			want = n
		}
		if n != want || !strings.HasSuffix(line, "|") {
			c.say("a row with %d bars in a table of %d: %s", n, want, line)
		}
	}
}
