// Package render writes a policy for people who never open a terminal: what the host
// lets in, who may reach which port, and the way of a packet through the host's chains.
//
//	page.go      the model: what there is to say
//	sources.go   lists of sources, as they were written
//	reach.go     who gets in, and what decides where a policy does not
//	settings.go  what the host block says
//	summary.go   the policies by how far they are open
//	site.go      the same as a site with a page for each policy and set
//	html.go, markdown.go, svg.go, json.go say it.
//
// Who gets in is not worked out here: it comes from the proof's verdict function, so the
// pages cannot disagree with the rules.
package render

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// Page is a policy as it is shown.
type Page struct {
	Title    string    `json:"title"`
	Host     Host      `json:"host"`
	Settings []Setting `json:"-"`
	Guard    []Row     `json:"guard,omitempty"`
	Policies []*Policy `json:"policies"`
	Forwards []Forward `json:"forwards,omitempty"`
	Sets     []Set     `json:"sets,omitempty"`

	site bool // policies and sets have pages of their own
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

	guarded bool // a guard may say something else of what no policy names
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
	// Reach is who gets in, of each family in which this policy decides anything.
	Reach []Reach `json:"reach"`
	// Outside is what decides where this policy does not: in a family of which it
	// names no address, and on other addresses and interfaces of the host.
	Outside []Outside `json:"outside,omitempty"`
	// Narrower are the policies inside this one, which decide there; Wider are those that
	// this one is inside of.
	Narrower []string `json:"narrower,omitempty"`
	Wider    []string `json:"wider,omitempty"`

	spans []schema.Ports
}

// Row is an allow or deny block.
type Row struct {
	Verdict string  `json:"verdict"`
	Who     Sources `json:"sources"`
	Except  Sources `json:"except,omitempty"`
	Log     string  `json:"log,omitempty"`
}

// Forward is a forward block.
type Forward struct {
	Name         string   `json:"name"`
	From         []string `json:"from"`
	To           []string `json:"to"`
	Sources      Sources  `json:"sources,omitempty"`
	Destinations Sources  `json:"destinations,omitempty"`
}

// Set is a set block.
type Set struct {
	Name   string  `json:"name"`
	Who    Sources `json:"sources"`
	Except Sources `json:"except,omitempty"`

	filled  bool
	members [2]address.Set // over IPv4 and IPv6; none of a set that others fill
}

// Make gathers a page from a loaded policy. The error is a *prove.HardError, or
// the context's.
func Make(ctx context.Context, doc *schema.Document, inputs []string, limits prove.Limits) (*Page, error) {
	p := &Page{Title: title(inputs), Host: host(doc.Host), Settings: settings(doc.Host)}
	if doc.Guard != nil {
		p.Guard = rows(doc.Guard.Rules)
		p.Host.guarded = slices.ContainsFunc(p.Guard, func(r Row) bool { return r.Verdict != p.Host.Unlisted })
	}
	nested := schema.Nested(doc.Policies)
	reaches, err := prove.Reaches(ctx, doc, doc.Policies, limits)
	if err != nil {
		return nil, err
	}
	for i, x := range doc.Policies {
		one := policy(x)
		for _, pair := range nested {
			switch x {
			case pair[0]:
				one.Wider = append(one.Wider, pair[1].Name)
			case pair[1]:
				one.Narrower = append(one.Narrower, pair[0].Name)
			}
		}
		for _, r := range reaches[i] {
			one.Reach = append(one.Reach, reached(r))
		}
		one.Outside = outside(doc, x, one)
		p.Policies = append(p.Policies, one)
	}
	for _, f := range doc.Forwards {
		p.Forwards = append(p.Forwards, Forward{f.Name, names(f.From), names(f.To), sources(f.Sources), sources(f.Destinations)})
	}
	for _, s := range doc.Sets {
		list := sources(s.Sources)
		for _, name := range []string{s.IPSet, s.IPSet6} {
			if name != "" {
				list = append(list, Source{Text: "the ipset " + name + " (filled at run time)"})
			}
		}
		p.Sets = append(p.Sets, Set{Name: s.Name, Who: list, Except: sources(s.Except), filled: s.Filled(), members: members(s)})
	}
	return p, nil
}

// members are the addresses of a set, of each family.
func members(s *schema.Set) (list [2]address.Set) {
	for i, f := range packet.Families {
		if !s.Filled() {
			list[i] = address.NewResolver(f, nil).Set(s)
		}
	}
	return list
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

func policy(x *schema.Policy) *Policy {
	p := &Policy{Name: x.Name, Description: x.Description, Rows: rows(x.Rules), Default: verdict(x.Default), Place: place(x.Range), spans: x.Ports}
	for _, r := range x.Ports {
		p.Ports = append(p.Ports, ports(r))
	}
	for _, a := range x.Address {
		p.Addresses = append(p.Addresses, prefix(a.String()))
	}
	if x.Narrowed {
		p.External = names(x.External)
	}
	return p
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
func (p *Policy) Everybody() bool {
	for _, r := range p.Rows {
		if len(r.Except) == 0 && len(r.Who) == 1 && r.Who[0].Any {
			return true
		}
	}
	return false
}

// Else is whom a policy's default decides about.
func (p *Policy) Else() string {
	if len(p.Rows) == 0 {
		return "everybody"
	}
	return "everybody else"
}
