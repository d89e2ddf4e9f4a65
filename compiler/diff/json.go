package diff

import (
	"encoding/json"
	"slices"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// jsonItem is an item; Changes are indices into the list of changes.
type jsonItem struct {
	Effect   prove.Effect  `json:"effect"`
	Verdicts string        `json:"verdicts,omitempty"`
	Who      []jsonSources `json:"who"`
	Targets  []jsonTarget  `json:"targets"`
	Changes  []int         `json:"changes"`
}

type jsonSources struct {
	Family packet.Family `json:"family"`
	Text   string        `json:"text"`
	Parts  []jsonPart    `json:"parts"`
}

type jsonPart struct {
	Base   string   `json:"base"`
	Except []string `json:"except,omitempty"`
}

type jsonTarget struct {
	Policy string     `json:"policy,omitempty"`
	What   []jsonWhat `json:"what"`
}

type jsonWhat struct {
	Ports string   `json:"ports"`
	Notes []string `json:"notes,omitempty"`
}

func (r *Report) jsonItems() []jsonItem {
	list := []jsonItem{}
	for _, x := range r.Items {
		item := jsonItem{Effect: x.Effect, Verdicts: x.Verdicts}
		for _, s := range x.Who {
			item.Who = append(item.Who, sourcesOf(s))
		}
		for _, t := range x.Targets {
			item.Targets = append(item.Targets, targetOf(t))
		}
		for _, c := range x.Changes {
			item.Changes = append(item.Changes, slices.Index(r.Changes, c))
		}
		slices.Sort(item.Changes)
		list = append(list, item)
	}
	return list
}

// sourcesOf are sources in full.
func sourcesOf(s Sources) jsonSources {
	out := jsonSources{Family: s.Family, Text: s.Phrase.String()}
	for _, p := range s.Phrase {
		part := jsonPart{Base: address.Word(p.Base)}
		if net, ok := p.Base.Prefix(); ok && net.Bits() == 0 {
			part.Base = net.String() // "everybody" is for people
		}
		for _, e := range p.Except {
			part.Except = append(part.Except, address.Word(e))
		}
		out.Parts = append(out.Parts, part)
	}
	return out
}

func targetOf(t Target) jsonTarget {
	if t.All {
		return jsonTarget{What: []jsonWhat{{Ports: t.String()}}}
	}
	out := jsonTarget{Policy: t.Policy}
	for _, w := range t.What {
		out.What = append(out.What, jsonWhat(w))
	}
	return out
}

// JSON is the report for programs: every change in full, and how they are counted.
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
		Summary  string            `json:"summary"`
		Items    []jsonItem        `json:"items"`
		Changes  []change          `json:"changes"`
		Files    map[string]string `json:"files,omitempty"`
		Beside   []string          `json:"not_judged,omitempty"`
	}{Beside: r.Beside, Same: r.Same(), Families: r.Families, Summary: r.Summary(), Items: r.jsonItems(), Changes: []change{}}
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
