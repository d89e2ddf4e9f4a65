// Package render writes a policy for people who never open a terminal: a table
// of who may reach which port, the way of a packet through the host's chains,
// and a picture of the sources' address space.
//
// page.go gathers what there is to say; markdown.go, html.go, svg.go and json.go
// say it. Who gets in is not worked out here: it comes from the proof's verdict
// function, so the pages cannot disagree with the rules.
package render

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// Page is a policy as it is shown.
type Page struct {
	Title    string    `json:"title"`
	Host     Host      `json:"host"`
	Guard    []Row     `json:"guard,omitempty"`
	Policies []Policy  `json:"policies"`
	Forwards []Forward `json:"forwards,omitempty"`
	Sets     []Set     `json:"sets,omitempty"`
}

// Host is what holds for the whole host.
type Host struct {
	External      []string `json:"external"`
	Internal      []string `json:"internal,omitempty"`
	Bridges       []string `json:"bridges,omitempty"`
	Unlisted      string   `json:"unlisted"`
	Established   string   `json:"established"`
	Related       string   `json:"related"`
	Invalid       string   `json:"invalid,omitempty"`
	UserlandProxy bool     `json:"userland_proxy"`
}

// Policy is one policy: its scope, and its rows in order.
type Policy struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Ports       []string `json:"ports"`
	Addresses   []string `json:"addresses,omitempty"` // none: every host address
	External    []string `json:"external,omitempty"`  // none: the host's
	Rows        []Row    `json:"rules"`
	Default     string   `json:"default"`
	Place       string   `json:"place"`
	Strips      []Strip  `json:"reach"`
}

// Row is an allow or deny block.
type Row struct {
	Verdict string   `json:"verdict"`
	Who     []string `json:"sources"`
	Except  []string `json:"except,omitempty"`
	Log     string   `json:"log,omitempty"`
}

// Forward is a forward block.
type Forward struct {
	Name         string   `json:"name"`
	From         []string `json:"from"`
	To           []string `json:"to"`
	Sources      []string `json:"sources,omitempty"`
	Destinations []string `json:"destinations,omitempty"`
}

// Set is a set block.
type Set struct {
	Name    string   `json:"name"`
	Sources []string `json:"sources"`
	Except  []string `json:"except,omitempty"`
}

// Strip is the address space of a family, as one policy sees it.
type Strip struct {
	Family int               `json:"family"`
	Open   []string          `json:"open"` // CIDRs that get in
	AllBut bool              `json:"all_but,omitempty"`
	Parts  []prove.ReachPart `json:"-"`
}

// Make gathers a page from a loaded policy. The error is a *prove.HardError, or
// the context's.
func Make(ctx context.Context, doc *schema.Document, inputs []string, limits prove.Limits) (*Page, error) {
	p := &Page{Title: title(inputs), Host: host(doc.Host)}
	if doc.Guard != nil {
		p.Guard = rows(doc.Guard.Rules)
	}
	for _, x := range doc.Policies {
		one, err := policy(ctx, doc, x, limits)
		if err != nil {
			return nil, err
		}
		p.Policies = append(p.Policies, one)
	}
	for _, f := range doc.Forwards {
		p.Forwards = append(p.Forwards, Forward{f.Name, names(f.From), names(f.To), sources(f.Sources), sources(f.Destinations)})
	}
	for _, s := range doc.Sets {
		p.Sets = append(p.Sets, Set{s.Name, sources(s.Sources), sources(s.Except)})
	}
	return p, nil
}

func title(inputs []string) string {
	var list []string
	for _, n := range inputs {
		list = append(list, filepath.Base(n))
	}
	return strings.Join(list, ", ")
}

func host(h *schema.Host) Host {
	x := Host{External: names(h.External), Internal: names(h.Internal), Bridges: names(h.Bridges), Unlisted: h.Unlisted.String(),
		Established: h.Established.String(), Related: h.Related.String(), UserlandProxy: h.UserlandProxy}
	if h.Unlisted == schema.Pass {
		x.Unlisted = "allow"
	}
	if h.DenyInvalid {
		x.Invalid = "deny"
	}
	return x
}

func names(list []schema.Interface) []string {
	var out []string
	for _, i := range list {
		out = append(out, i.String())
	}
	return out
}

func policy(ctx context.Context, doc *schema.Document, x *schema.Policy, limits prove.Limits) (Policy, error) {
	p := Policy{Name: x.Name, Description: x.Description, Rows: rows(x.Rules), Default: verdict(x.Default), Place: place(x.Range)}
	for _, r := range x.Ports {
		p.Ports = append(p.Ports, ports(r))
	}
	for _, a := range x.Address {
		p.Addresses = append(p.Addresses, prefix(a.String()))
	}
	if x.Narrowed {
		p.External = names(x.External)
	}
	reach, err := prove.ReachOf(ctx, doc, x, limits)
	for _, r := range reach {
		p.Strips = append(p.Strips, strip(r))
	}
	return p, err
}

func ports(r schema.Ports) string {
	if r.First == r.Last {
		return fmt.Sprintf("%d/%s", r.First, r.Protocol)
	}
	return fmt.Sprintf("%d-%d/%s", r.First, r.Last, r.Protocol)
}

// prefix writes a single address without its length.
func prefix(text string) string {
	if strings.Contains(text, ":") {
		return strings.TrimSuffix(text, "/128")
	}
	return strings.TrimSuffix(text, "/32")
}

func place(r hcl.Range) string { return fmt.Sprintf("%s:%d", filepath.Base(r.Filename), r.Start.Line) }

// verdict names a verdict as the language does.
func verdict(v schema.Verdict) string {
	return map[schema.Verdict]string{schema.Pass: "allow", schema.Accept: "accept", schema.Deny: "deny", schema.Reject: "reject"}[v]
}

func rows(list []*schema.Rule) []Row {
	var out []Row
	for _, r := range list {
		out = append(out, Row{verdict(r.Verdict), sources(r.Sources), sources(r.Except), r.Log})
	}
	return out
}

// Everybody reports whether some row already matches every source, so that the
// default decides about nobody.
func (p Policy) Everybody() bool {
	for _, r := range p.Rows {
		if len(r.Except) == 0 && len(r.Who) == 1 && r.Who[0] == "any" {
			return true
		}
	}
	return false
}

// mostSources is how many sources of one list are written out.
const mostSources = 16

// sources writes a list as it was written: sets by name, files by name and
// length.
func sources(s *schema.Sources) []string {
	if s == nil {
		return nil
	}
	if s.Any {
		return []string{"any"}
	}
	var out []string
	for _, named := range s.Sets {
		out = append(out, "set "+named.Set.Name)
	}
	for _, l := range s.Lists {
		if len(l.Spans) > 0 && l.Spans[0].Range == nil { // a list file's lines have none
			out = append(out, fmt.Sprintf("%s (%d entries)", filepath.Base(l.File), len(l.Spans)))
			continue
		}
		for i, e := range l.Spans {
			if i == mostSources {
				out = append(out, fmt.Sprintf("and %d more", len(l.Spans)-i))
				break
			}
			out = append(out, e.String())
		}
	}
	return out
}

func strip(r prove.Reach) Strip {
	s := Strip{Family: int(r.Family), Parts: r.Parts, Open: []string{}}
	var shut []string
	for _, p := range r.Parts {
		if p.Verdict.IsOpen() {
			s.Open = append(s.Open, p.CIDRs...)
		} else {
			shut = append(shut, p.CIDRs...)
		}
	}
	if len(shut) < len(s.Open) {
		s.Open, s.AllBut = append([]string{}, shut...), true
	}
	return s
}

// Summary says in words who gets in over a strip's family.
func (s Strip) Summary() string {
	family := fmt.Sprintf("IPv%d: ", packet.Family(s.Family))
	shown := s.Open
	more := ""
	if len(shown) > mostSources {
		more = fmt.Sprintf(" and %d more", len(shown)-mostSources)
		shown = shown[:mostSources]
	}
	list := strings.Join(shown, ", ") + more
	switch {
	case s.AllBut && len(s.Open) == 0:
		return family + "everybody"
	case s.AllBut:
		return family + "everybody but " + list
	case len(s.Open) == 0:
		return family + "nobody"
	}
	return family + list
}
