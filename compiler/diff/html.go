package diff

import (
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/page"
	"github.com/seawall/seawall/compiler/prove"
)

//go:embed page.html
var pageText string

//go:embed changes.html
var changesText string

var pageTemplate = page.Template("diff", pageText+changesText, pageFuncs)

var pageFuncs = template.FuncMap{
	"compared": func(r *shown, f int) bool { return r.Compared(packet.Family(f)) },
	"diff":     unifiedHTML,
	"first":    func(k kind) []*entry { return k.Entries[:min(len(k.Entries), mostInSummary)] },
	"whoIn": func(r *shown, e *entry, f int) whoIn {
		return whoIn{r.Compared(packet.Family(f)), e.Of(packet.Family(f))}
	},
}

// shown is a report as the page has it.
type shown struct {
	*Report
	Kinds  []kind
	Prefix string // of its anchors, where it is one of several on a page
}

// whoIn is who gained or lost in a family.
type whoIn struct {
	Compared bool
	Who      address.Phrase
}

// mostInSummary is how many changes of a kind the summary names.
const mostInSummary = 8

// HTML is the report as a page of its own: what opened, the widest first, then what
// closed, and last the files.
func (r *Report) HTML() (string, error) {
	return page.Write(pageTemplate, &shown{r, kinds(r.Items), ""})
}

// Texts are the files whose text changed.
func (r *shown) Texts() []File {
	return slices.DeleteFunc(slices.Clone(r.Files), func(f File) bool { return f.Unified == "" })
}

// Compared reports whether both sides have a family.
func (r *shown) Compared(f packet.Family) bool { return slices.Contains(r.Families, f) }

// entry is a change as the page has it.
type entry struct {
	*Item
	Number int // as in the text
}

// kind is the changes that do the same.
type kind struct {
	Title, Anchor string
	Entries       []*entry
}

// kinds are the changes by what they do: what opens to everybody first.
func kinds(items []*Item) []kind {
	list := []kind{{Title: "Opened to everybody", Anchor: "opened-to-everybody"}, {Title: "Opened to everybody with exceptions", Anchor: "opened-with-exceptions"},
		{Title: "Opened to some", Anchor: "opened-to-some"}, {Title: "Opened for packets that open no connection", Anchor: "opened-for-others"},
		{Title: "Closed", Anchor: "closed"}, {Title: "Decided in another way", Anchor: "another-way"}}
	for i, x := range items {
		k := &list[5]
		switch {
		case x.Effect == prove.Closed:
			k = &list[4]
		case x.Effect == prove.Opened && x.Kind == prove.OpensNew:
			k = &list[x.width()]
		case x.Effect == prove.Opened:
			k = &list[3]
		}
		k.Entries = append(k.Entries, &entry{x, i + 1})
	}
	return slices.DeleteFunc(list, func(k kind) bool { return len(k.Entries) == 0 })
}

// width is 0 for everybody of some family, 1 for everybody with exceptions, 2 for some.
func (x *Item) width() int {
	width := 2
	for _, s := range x.Who {
		switch {
		case page.Everybody(s.Phrase):
			width = 0
		case s.Phrase.Everybody():
			width = min(width, 1)
		}
	}
	return width
}

// Of is who gains or loses of a family.
func (e *entry) Of(f packet.Family) address.Phrase {
	for _, s := range e.Who {
		if s.Family == f {
			return s.Phrase
		}
	}
	return nil
}

// In says in few words whom a change is about.
func (e *entry) In() string { return e.sources() }

// Title is the policy of a target.
func (t Target) Title() string {
	if t.All {
		return "all forwarded traffic that no policy names"
	}
	return t.title()
}

// Before and After say what becomes of the packets.
func (e *entry) Before() string {
	return e.fates(func(c *prove.Change) packet.Verdict { return c.Old })
}

// After says it of the new side.
func (e *entry) After() string {
	return e.fates(func(c *prove.Change) packet.Verdict { return c.New })
}

func (e *entry) fates(of func(*prove.Change) packet.Verdict) string {
	var list []string
	for _, c := range e.Changes {
		if text := fate(of(c)); !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return strings.Join(list, " or ")
}

// Example is a packet that the change is about.
func (e *entry) Example() string { return e.Changes[0].Example.String() }

// fate says what becomes of packets.
func fate(v packet.Verdict) string {
	switch v {
	case packet.Pass:
		return "let through"
	case packet.Accept:
		return "let through, past Docker's own rules"
	case packet.Deny:
		return "dropped"
	case packet.Reset, packet.Unreachable:
		return "rejected"
	}
	return v.String()
}

// mostOfFile is how much of a file's change a page has.
const mostOfFile = 1 << 20

// unifiedHTML is a unified diff with its lines set off.
func unifiedHTML(text string) template.HTML {
	cut := ""
	if len(text) > mostOfFile {
		at := strings.LastIndexByte(text[:mostOfFile], '\n') + 1
		cut = fmt.Sprintf("%s more lines are too many for a page; the text format has them all.\n", page.Count(strings.Count(text[at:], "\n")))
		text = text[:at]
	}
	var b strings.Builder
	for i, l := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		class := ""
		switch {
		case i < 2 || strings.HasPrefix(l, "@@"):
			class = "soft"
		case strings.HasPrefix(l, "+"):
			class = "good"
		case strings.HasPrefix(l, "-"):
			class = "bad"
		}
		l = template.HTMLEscapeString(page.Visible(l))
		if class != "" {
			l = "<span class=\"" + class + "\">" + l + "</span>"
		}
		b.WriteString(l + "\n")
	}
	return template.HTML(b.String() + cut)
}
