package diff

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

var marks = map[prove.Effect]string{prove.Opened: "+", prove.Closed: "-", prove.Other: "~"}

// Text is the report for a terminal: what opened to everybody first, then each
// policy's changes, then the files.
func (r *Report) Text() string {
	var b strings.Builder
	b.WriteString(r.Summary() + "\n")
	for i, l := range r.loud() {
		if i == 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "WARNING: %s\n", l)
	}
	for _, g := range r.Groups {
		fmt.Fprintf(&b, "\n%s\n", g.title())
		for _, l := range g.Lines {
			fmt.Fprintf(&b, "  %s %s\n", marks[l.Effect], l)
		}
	}
	for _, f := range r.Files {
		if f.Unified != "" {
			b.WriteString("\n" + f.Unified)
		}
	}
	return b.String()
}

// Summary is the report in one line.
func (r *Report) Summary() string {
	if r.Same() {
		if r.textChanged() {
			return "The meaning is the same; the files are written in another way."
		}
		if !r.TextCompared {
			return "The meaning is the same."
		}
		return "The meaning is the same, and so are the files."
	}
	var parts []string
	for _, e := range []prove.Effect{prove.Opened, prove.Closed, prove.Other} {
		if n := r.Count(e); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, map[prove.Effect]string{
				prove.Opened: "opened", prove.Closed: "closed", prove.Other: "decided in another way"}[e]))
		}
	}
	n := r.Count(prove.Opened) + r.Count(prove.Closed) + r.Count(prove.Other)
	return fmt.Sprintf("%s of meaning: %s.", plural(n, "change", "changes"), strings.Join(parts, ", "))
}

func (r *Report) textChanged() bool {
	for _, f := range r.Files {
		if f.Unified != "" {
			return true
		}
	}
	return false
}

// loud are the ports that everybody, or everybody but some, can reach now.
func (r *Report) loud() []string {
	var list []string
	for _, g := range r.Groups {
		for _, l := range g.Lines {
			if l.Effect == prove.Opened && l.Any && len(l.Ports) > 0 {
				list = append(list, fmt.Sprintf("%s: %s can now be reached from %s%s", g.title(), l.ports(), l.Who, l.family()))
			}
		}
	}
	return list
}

func (g *Group) title() string {
	if g.Policy == "" {
		return "what no policy names"
	}
	return "policy " + g.Policy
}

// String writes a line without its effect.
func (l *Line) String() string {
	text := fmt.Sprintf("%s%s → %s", l.Who, l.family(), l.ports())
	if len(l.Notes) > 0 {
		text += " (" + strings.Join(l.Notes, "; ") + ")"
	}
	return text
}

// family is said where the source does not show it.
func (l *Line) family() string {
	if !strings.HasPrefix(l.Who, "any") || len(l.Families) > 1 {
		return ""
	}
	return fmt.Sprintf(" IPv%d", l.Families[0])
}

func (l *Line) ports() string {
	if len(l.Ports) == 0 {
		return "every port"
	}
	return shorten(l.Ports)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// JSON is the report for programs: every change in full, with its boxes.
func (r *Report) JSON() ([]byte, error) {
	type change struct {
		Family  packet.Family       `json:"family"`
		Hooks   []packet.Hook       `json:"chains"`
		Effect  prove.Effect        `json:"effect"`
		Policy  string              `json:"policy,omitempty"`
		Sources []string            `json:"sources"`
		AllBut  bool                `json:"all_but,omitempty"`
		Ports   []string            `json:"ports,omitempty"`
		Bounds  map[string][]string `json:"bounds,omitempty"`
		Old     string              `json:"old"`
		New     string              `json:"new"`
		Example string              `json:"example"`
	}
	out := struct {
		Same     bool              `json:"same"`
		Families []packet.Family   `json:"families"`
		Changes  []change          `json:"changes"`
		Files    map[string]string `json:"files,omitempty"`
	}{Same: r.Same(), Families: r.Families, Changes: []change{}}
	for _, c := range r.Changes {
		x := change{c.Family, c.Hooks, c.Effect, c.Policy, c.Sources, c.AllBut, c.Ports, nil, c.Old.String(), c.New.String(), c.Example.String()}
		for _, f := range c.Fields {
			if x.Bounds == nil {
				x.Bounds = map[string][]string{}
			}
			x.Bounds[f.Name] = f.Values
		}
		out.Changes = append(out.Changes, x)
	}
	for _, f := range r.Files {
		if f.Unified != "" {
			if out.Files == nil {
				out.Files = map[string]string{}
			}
			out.Files[f.Name] = f.Unified
		}
	}
	text, err := json.MarshalIndent(out, "", "  ")
	return append(text, '\n'), err
}
