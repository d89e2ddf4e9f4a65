package diff

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/page"
	"github.com/seawall/seawall/compiler/prove"
	"go4.org/netipx"
)

//go:embed page.html
var pageText string

var pageTemplate = page.Template("diff", pageText, template.FuncMap{
	"compared": func(r *shown, f int) bool { return r.Compared(packet.Family(f)) },
	"diff":     unifiedHTML,
	"first":    func(k kind) []*entry { return k.Entries[:min(len(k.Entries), mostInSummary)] },
	"whoIn": func(r *shown, e *entry, f int) whoIn {
		return whoIn{r.Compared(packet.Family(f)), e.Who(packet.Family(f))}
	},
})

// shown is a report as the page has it.
type shown struct {
	*Report
	Kinds []kind
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
	return page.Write(pageTemplate, &shown{r, kinds(r.Changes)})
}

// Texts are the files whose text changed.
func (r *shown) Texts() []File {
	return slices.DeleteFunc(slices.Clone(r.Files), func(f File) bool { return f.Unified == "" })
}

// entry is changes that differ in their sources or family alone.
type entry struct {
	*prove.Change
	Anchor string
	Notes  []string
	Before string
	After  string
	who    map[packet.Family]address.Set
}

// kind is the entries that do the same.
type kind struct {
	Title, Anchor string
	Entries       []*entry
}

// kinds are the changes by what they do: what opens to everybody first.
func kinds(changes []*prove.Change) []kind {
	list := []kind{{Title: "Opened to everybody", Anchor: "opened-to-everybody"}, {Title: "Opened to everybody with exceptions", Anchor: "opened-with-exceptions"},
		{Title: "Opened to some", Anchor: "opened-to-some"}, {Title: "Closed", Anchor: "closed"}, {Title: "Decided in another way", Anchor: "another-way"}}
	for _, e := range entries(changes) {
		k := &list[4]
		switch {
		case e.Effect == prove.Closed:
			k = &list[3]
		case e.Effect == prove.Opened:
			k = &list[e.width()]
		}
		k.Entries = append(k.Entries, e)
	}
	inPolicy := map[string]int{}
	for _, k := range list {
		slices.SortStableFunc(k.Entries, func(a, b *entry) int {
			return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.width(), b.width()), cmp.Compare(b.share(), a.share()))
		})
		for _, e := range k.Entries {
			inPolicy[e.Policy]++
			e.Anchor = fmt.Sprintf("%s-%d", page.Anchor("change", e.Place()), inPolicy[e.Policy])
		}
	}
	return slices.DeleteFunc(list, func(k kind) bool { return len(k.Entries) == 0 })
}

func entries(changes []*prove.Change) []*entry {
	var list []*entry
	index := map[string]*entry{}
	for _, c := range changes {
		e := &entry{Change: c, Before: fate(c.Old), After: fate(c.New), who: map[packet.Family]address.Set{}}
		for _, f := range c.Fields {
			if f.Name != "verdict" {
				e.Notes = append(e.Notes, f.Name+" "+packet.Shorten(f.Values))
			}
		}
		if text := c.Conntrack(); text != "" {
			e.Notes = append(e.Notes, text)
		}
		if len(c.Hooks) == 1 && c.Hooks[0] == packet.Input {
			e.Notes = append(e.Notes, "to the host itself, as docker-proxy gets its traffic")
		}
		key := strings.Join([]string{string(c.Effect), c.Policy, e.Before, e.After, strings.Join(c.Ports, ","), strings.Join(e.Notes, ",")}, "\x00")
		if index[key] == nil {
			index[key] = e
			list = append(list, e)
		}
		x := index[key]
		x.who[c.Family] = address.Union(x.who[c.Family], sourcesOf(c))
	}
	return list
}

// sourcesOf are the sources of a change.
func sourcesOf(c *prove.Change) address.Set {
	every := netip.MustParsePrefix("0.0.0.0/0")
	if c.Family == packet.IPv6 {
		every = netip.MustParsePrefix("::/0")
	}
	var b netipx.IPSetBuilder
	if c.AllBut {
		b.AddPrefix(every)
	}
	for _, text := range c.Sources {
		p, err := netip.ParsePrefix(text)
		if a, single := netip.ParseAddr(text); single == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		switch {
		case err != nil: // the proof writes nothing else
		case c.AllBut:
			b.RemovePrefix(p)
		default:
			b.AddPrefix(p)
		}
	}
	set, err := b.IPSet()
	if err != nil {
		return nil
	}
	return set.Ranges()
}

// Who is who gained or lost, of a family.
func (e *entry) Who(f packet.Family) address.Phrase { return address.PhraseOf(e.who[f]) }

// Compared reports whether both sides have a family.
func (r *shown) Compared(f packet.Family) bool { return slices.Contains(r.Families, f) }

// width orders changes by how many sources they are about: 0 is everybody in some
// family, 1 everybody with exceptions, 2 some.
func (e *entry) width() int {
	width := 2
	for f := range e.who {
		switch p := e.Who(f); {
		case page.Everybody(p):
			width = 0
		case p.Everybody():
			width = min(width, 1)
		}
	}
	return width
}

// rank puts new connections before other packets.
func (e *entry) rank() int {
	switch e.Conntrack() {
	case "", "new connections":
		return 0
	}
	return 1
}

// share is the part of its family's addresses that a change is about, of the larger.
func (e *entry) share() float64 {
	share := 0.0
	for _, set := range e.who {
		sum := 0.0
		for _, p := range set.Prefixes() {
			sum += 1 / float64(uint64(1)<<min(p.Bits(), 63))
		}
		share = max(share, sum)
	}
	return share
}

// In says in few words whom a change is about.
func (e *entry) In() string {
	var list []string
	for _, f := range packet.Families {
		if p := e.Who(f); len(p) > 0 {
			list = append(list, p.Shorten(3)+" ("+f.String()+")")
		}
	}
	if len(list) == 2 && strings.TrimSuffix(list[0], " (IPv4)") == strings.TrimSuffix(list[1], " (IPv6)") {
		return strings.TrimSuffix(list[0], " (IPv4)")
	}
	return strings.Join(list, ", ")
}

// Place is the policy that a change is in.
func (e *entry) Place() string {
	if e.Policy == "" {
		return "what no policy names"
	}
	return e.Policy
}

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
