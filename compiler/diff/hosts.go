package diff

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/seawall/seawall/compiler/page"
)

// Hosts says what a change means for many hosts: those for which it means the same are
// one group.
type Hosts struct {
	New, Gone []string // hosts of one side only, which is compared with no rules
	Failed    []string // hosts that could not be compared, and do not count
	Count     int      // of all hosts
	Groups    []*Group // what changes: the worst first, then what changes for the most hosts
	Same      []string // the hosts for which nothing changes
}

// Group is hosts for which a change means the same, but for the addresses of their own.
type Group struct {
	Hosts  []string
	Report *Report // of the first of them
}

// Gathering gathers the reports of hosts, for any number of goroutines. It keeps one report
// of each group.
type Gathering struct {
	lock   sync.Mutex
	names  []string
	keys   []string // "" for a host for which nothing changes
	failed []bool
	groups map[string]*first
}

type first struct {
	host   int // whose report it is
	report *Report
}

// Gather begins with hosts, in their order.
func Gather(names []string) *Gathering {
	return &Gathering{names: names, keys: make([]string, len(names)), failed: make([]bool, len(names)), groups: map[string]*first{}}
}

// Add adds the report of a host, by its place among the names.
func (g *Gathering) Add(host int, r *Report) {
	if r.Same() {
		return
	}
	key := r.key()
	g.lock.Lock()
	defer g.lock.Unlock()
	g.keys[host] = key
	if known := g.groups[key]; known == nil || host < known.host {
		g.groups[key] = &first{host, r}
	}
}

// Fail says that a host cannot be compared.
func (g *Gathering) Fail(host int) {
	g.lock.Lock()
	defer g.lock.Unlock()
	g.failed[host] = true
}

// Hosts returns the report of all.
func (g *Gathering) Hosts() *Hosts {
	all := &Hosts{}
	index := map[string]*Group{}
	for i, key := range g.keys {
		if g.failed[i] {
			all.Failed = append(all.Failed, g.names[i])
			continue
		}
		all.Count++
		if key == "" {
			all.Same = append(all.Same, g.names[i])
			continue
		}
		if index[key] == nil {
			index[key] = &Group{Report: g.groups[key].report}
			all.Groups = append(all.Groups, index[key])
		}
		index[key].Hosts = append(index[key].Hosts, g.names[i])
	}
	slices.SortStableFunc(all.Groups, func(a, b *Group) int {
		return cmp.Or(a.Report.Items[0].Compare(b.Report.Items[0].Severity), cmp.Compare(len(b.Hosts), len(a.Hosts)))
	})
	return all
}

// key is all that a report says of the changes.
func (r *Report) key() string {
	var b strings.Builder
	fmt.Fprint(&b, r.Families)
	for _, x := range r.Items {
		fmt.Fprintf(&b, "\x01%s\x01%s", x.who(), x.what())
	}
	return b.String()
}

// Changed is for how many hosts anything changes.
func (h *Hosts) Changed() int { return h.Count - len(h.Same) }

// Summary is the report in one line.
func (h *Hosts) Summary() string {
	changed := h.Changed()
	switch {
	case changed == 0 && h.Count == 1:
		return "The meaning is the same for the one host."
	case changed == 0:
		return fmt.Sprintf("The meaning is the same for all %d hosts.", h.Count)
	case h.Count == 1:
		return "It changes for the one host."
	}
	text := fmt.Sprintf("It changes for %d of %s", changed, plural(h.Count, "host", "hosts"))
	if changed == h.Count {
		text = fmt.Sprintf("It changes for all %d hosts", h.Count)
	}
	if len(h.Groups) > 1 {
		text += fmt.Sprintf(", in %d different ways", len(h.Groups))
	}
	return text + "."
}

// mostHosts is how many hosts of a group are named, and mostGroups how many groups are
// shown where not all can be.
const (
	mostHosts  = 4
	mostGroups = 50
)

// title names a group: "37 hosts (db1, db2, db3, db4 and 33 more)".
func (g *Group) title() string {
	if len(g.Hosts) == 1 {
		return g.Hosts[0]
	}
	return fmt.Sprintf("%d hosts (%s)", len(g.Hosts), someOf(g.Hosts))
}

func someOf(names []string) string {
	if len(names) > mostHosts+1 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostHosts], ", "), len(names)-mostHosts)
	}
	return strings.Join(names, ", ")
}

// Moved says which hosts have come and gone, and which could not be compared, a line each.
func (h *Hosts) Moved() []string {
	var lines []string
	if len(h.New) > 0 {
		lines = append(lines, fmt.Sprintf("New, and compared with no rules: %s.", (&Group{Hosts: h.New}).title()))
	}
	if len(h.Gone) > 0 {
		lines = append(lines, fmt.Sprintf("Gone, and compared with no rules: %s.", (&Group{Hosts: h.Gone}).title()))
	}
	if len(h.Failed) > 0 {
		lines = append(lines, fmt.Sprintf("Not compared, because of mistakes: %s.", (&Group{Hosts: h.Failed}).title()))
	}
	return lines
}

// Text is the report for a terminal.
func (h *Hosts) Text() string {
	var b strings.Builder
	b.WriteString(h.Summary() + "\n")
	for _, line := range h.Moved() {
		b.WriteString(line + "\n")
	}
	for i, g := range h.Groups {
		if i == mostGroups {
			fmt.Fprintf(&b, "\nand %s, which --format json has.\n", plural(len(h.Groups)-i, "more way", "more ways"))
			break
		}
		fmt.Fprintf(&b, "\n%s: %s", g.title(), g.Report.Text())
	}
	if len(h.Groups) > 0 && len(h.Same) > 0 {
		fmt.Fprintf(&b, "\nNothing changes for %s.\n", (&Group{Hosts: h.Same}).title())
	}
	return b.String()
}

// Markdown is the report as a comment of a pull request.
func (h *Hosts) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### Seawall: %s\n", h.Summary())
	for _, line := range h.Moved() {
		fmt.Fprintf(&b, "\n%s\n", code(line))
	}
	for i, g := range h.Groups {
		if i == openItems {
			fmt.Fprintf(&b, "\nand %s.\n", plural(len(h.Groups)-i, "more way", "more ways"))
			break
		}
		fmt.Fprintf(&b, "\n#### %s\n\n%s\n", code(g.title()), g.Report.Summary())
		if loud := g.Report.loud(); len(loud) > 0 {
			b.WriteString("\n> [!WARNING]\n")
			for _, l := range loud {
				fmt.Fprintf(&b, "> **%s**\n", code(l))
			}
		}
		g.Report.itemsMarkdown(&b)
		if len(g.Hosts) > mostHosts+1 {
			fmt.Fprintf(&b, "\n<details><summary>the hosts</summary>\n\n%s\n\n</details>\n", code(strings.Join(g.Hosts, ", ")))
		}
	}
	if len(h.Groups) > 0 && len(h.Same) > 0 {
		fmt.Fprintf(&b, "\nNothing changes for %s.\n", code((&Group{Hosts: h.Same}).title()))
	}
	return page.Document(b.String())
}
