package diff

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/seawall/seawall/compiler/page"
)

//go:embed hosts.html
var hostsText string

var hostsTemplate = page.Template("hosts", hostsText+changesText, pageFuncs)

// shownHosts is a report as the page has it.
type shownHosts struct {
	*Hosts
	Groups []*shownGroup
	More   int // groups that are not on the page
}

type shownGroup struct {
	*Group
	Anchor string
	Shown  *shown
}

// HTML is the report as a page of its own: a section for each group.
func (h *Hosts) HTML() (string, error) {
	p := &shownHosts{Hosts: h, More: max(0, len(h.Groups)-mostGroups)}
	for i, g := range h.Groups[:len(h.Groups)-p.More] {
		anchor := fmt.Sprintf("way-%d", i+1)
		p.Groups = append(p.Groups, &shownGroup{g, anchor, &shown{g.Report, kinds(g.Report.Items), anchor + "-"}})
	}
	return page.Write(hostsTemplate, p)
}

// Title names the hosts of a group.
func (g *Group) Title() string { return g.title() }

// All are the hosts of a group.
func (g *Group) All() string { return strings.Join(g.Hosts, ", ") }

// SameHosts are those for which nothing changes.
func (h *Hosts) SameHosts() string { return strings.Join(h.Same, ", ") }

// JSON is the report for programs: each group with all its hosts, and the report of the
// first of them in full.
func (h *Hosts) JSON() ([]byte, error) {
	type group struct {
		Hosts  []string        `json:"hosts"`
		Report json.RawMessage `json:"report"`
	}
	out := struct {
		Same      bool     `json:"same"`
		Summary   string   `json:"summary"`
		Hosts     int      `json:"hosts"`
		Groups    []group  `json:"groups"`
		Unchanged []string `json:"unchanged"`
		New       []string `json:"new,omitempty"`
		Gone      []string `json:"gone,omitempty"`
		Failed    []string `json:"failed,omitempty"`
	}{h.Changed() == 0 && len(h.Failed) == 0, h.Summary(), h.Count, []group{}, append([]string{}, h.Same...), h.New, h.Gone, h.Failed}
	for _, g := range h.Groups {
		report, err := g.Report.JSON()
		if err != nil {
			return nil, err
		}
		out.Groups = append(out.Groups, group{g.Hosts, report})
	}
	text, err := json.MarshalIndent(out, "", "  ")
	return append(text, '\n'), err
}
