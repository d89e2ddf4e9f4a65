// Package playground answers what the playground's page asks: a policy in memory, and all that
// can be said of it, as values that are JSON. It decides nothing itself. It calls what the
// commands call, so that the page says what they say, to the byte.
//
//	request.go  what is asked
//	answer.go   the answer, part by part
//	finding.go  mistakes and findings, with their places in the text
package playground

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/diff"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/lint"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/page"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/compiler/render"
	"github.com/seawall/seawall/schema"
)

// Answer is all that is said of a policy. Of one with mistakes it has only those.
type Answer struct {
	Findings []Finding `json:"findings"`
	Summary  string    `json:"summary,omitempty"` // the sentence of validate; "" for a policy with mistakes
	Files    []File    `json:"files,omitempty"`
	Proof    string    `json:"proof,omitempty"` // what is proved of the files
	Failure  string    `json:"failure,omitempty"`
	Notes    []string  `json:"notes,omitempty"`
	SwitchOn *Commands `json:"switch_on,omitempty"`
	Tests    []Test    `json:"tests,omitempty"`
	Page     string    `json:"page,omitempty"` // of render, HTML
	Explain  *Text     `json:"explain,omitempty"`
	Diff     *Text     `json:"diff,omitempty"`
}

// File is a compiled file.
type File struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Commands are what a host needs beside the files.
type Commands struct {
	Why   string   `json:"why"`
	Lines []string `json:"lines"`
}

// Test is the outcome of a test block.
type Test struct {
	Name     string   `json:"name"`
	Failures []string `json:"failures,omitempty"`
}

// Text is the answer of a command, or why there is none.
type Text struct {
	Text    string `json:"text,omitempty"`
	Note    string `json:"note,omitempty"`
	Failure string `json:"failure,omitempty"`
}

// JSON answers a request in JSON. It always returns an answer: what cannot be answered has a
// failure.
func JSON(ctx context.Context, request []byte) []byte {
	var r Request
	a := &Answer{Findings: []Finding{}}
	if err := json.Unmarshal(request, &r); err != nil {
		a.Failure = "The request cannot be read: " + err.Error()
	} else {
		a = r.Answer(ctx)
	}
	text, err := json.Marshal(a)
	if err != nil {
		return []byte(`{"findings":[],"failure":"The answer cannot be written."}`)
	}
	return text
}

// Answer works out all that is asked.
func (r *Request) Answer(ctx context.Context) *Answer {
	a := &Answer{Findings: []Finding{}}
	format, err := r.format()
	if err != nil {
		a.Failure = err.Error()
		return a
	}
	loaded, diags := r.Policy.load()
	if loaded.Document != nil {
		for _, f := range lint.Run(loaded.Document, loaded.Files) {
			diags = append(diags, f.Diagnostic())
		}
	}
	a.Findings = findings(diags, loaded.Files)
	if loaded.Document == nil {
		return a
	}
	doc := loaded.Document
	a.Summary = fmt.Sprintf("The policy is valid: %s, %s, %s.", page.Plural(len(doc.Policies), "policy", "policies"),
		page.Plural(len(doc.Tests), "test", "tests"), page.Plural(len(diags), "finding", "findings"))
	a.compile(ctx, loaded, compiler.Options{Format: format, Layout: lower.Layout(r.Layout), Source: compiler.SourceName(loaded)})
	a.tests(ctx, doc)
	a.render(ctx, loaded, r.Render)
	if r.Explain != nil {
		a.Explain = r.Explain.answer(ctx, loaded)
	}
	if r.Before != nil {
		a.Diff = r.Before.compared(ctx, doc, format)
	}
	return a
}

// compile fills in the files, and what is proved of them.
func (a *Answer) compile(ctx context.Context, loaded *schema.Loaded, opt compiler.Options) {
	out, err := compiler.Compile(ctx, loaded.Document, opt)
	if unfit, ok := errors.AsType[*compiler.UnfitError](err); ok {
		at := unfit.At
		a.Findings = append(a.Findings, findings(hcl.Diagnostics{{Severity: hcl.DiagError, Summary: unfit.Summary, Detail: unfit.Detail, Subject: &at}}, loaded.Files)...)
		a.Failure = fmt.Sprintf("The format %s cannot carry out this policy.", opt.Format.Name)
		return
	}
	if err != nil {
		a.Failure = "Nothing was written: " + err.Error()
		return
	}
	a.Notes = out.Notes
	for _, f := range out.Files {
		a.Files = append(a.Files, File{f.Name, string(f.Bytes)})
	}
	a.Proof = proof(out.Files)
	if opt.Format.SwitchOn == nil {
		return
	}
	a.SwitchOn = &Commands{Why: opt.Format.SwitchOnWhy}
	for _, family := range packet.Families {
		a.SwitchOn.Lines = append(a.SwitchOn.Lines, opt.Format.SwitchOn(out.Chains, family)...)
	}
}

// proof says what compiler.Compile has proved: it returns no file without.
func proof(files []emit.File) string {
	var list []string
	for _, f := range files {
		switch {
		case len(f.Families) == 1:
			list = append(list, fmt.Sprintf("%s for %v", f.Name, f.Families[0]))
		case len(f.Families) > 1:
			list = append(list, f.Name+" for IPv4 and IPv6")
		}
	}
	last := len(list) - 1
	if last < 0 {
		return ""
	}
	if last > 0 {
		return fmt.Sprintf("Proved for all packets: %s and %s implement the policy.", strings.Join(list[:last], ", "), list[last])
	}
	return fmt.Sprintf("Proved for all packets: %s implements the policy.", list[0])
}

// tests proves the policy's own tests.
func (a *Answer) tests(ctx context.Context, doc *schema.Document) {
	results, err := compiler.Test(ctx, doc, prove.Limits{})
	if err != nil {
		a.Notes = append(a.Notes, "The tests are undecided: "+err.Error())
		return
	}
	for _, r := range results {
		t := Test{Name: r.Test.Name}
		for _, f := range r.Failures {
			t.Failures = append(t.Failures, fmt.Sprintf("%s; decided by %s (%s:%d)", f, f.Rule, f.At.Filename, f.At.Start.Line))
		}
		a.Tests = append(a.Tests, t)
	}
}

// render fills in the page of who reaches what.
func (a *Answer) render(ctx context.Context, loaded *schema.Loaded, wanted bool) {
	if !wanted {
		return
	}
	p, err := render.Make(ctx, loaded.Document, loaded.Inputs, prove.Limits{})
	if err == nil {
		a.Page, err = p.HTML()
	}
	if err != nil {
		a.Notes = append(a.Notes, "Who reaches what is undecided: "+err.Error())
	}
}

// compared is what diff says of a policy and the one that came after it.
func (p *Policy) compared(ctx context.Context, after *schema.Document, format *emit.Format) *Text {
	loaded, diags := p.load()
	if loaded.Document == nil {
		return &Text{Failure: fmt.Sprintf("The pinned policy has mistakes, the first is: %s.", diags[0].Summary)}
	}
	report, err := differences(ctx, loaded.Document, after, format)
	if err != nil {
		return &Text{Failure: err.Error()}
	}
	return &Text{Text: report.Text()}
}

func differences(ctx context.Context, before, after *schema.Document, format *emit.Format) (*diff.Report, error) {
	sides := diff.Sides{}
	for _, family := range packet.Families {
		sides[family] = [2]prove.Side{{Policy: before}, {Policy: after}}
	}
	old, err := compiler.Texts(before, format)
	if err != nil {
		return nil, err
	}
	fresh, err := compiler.Texts(after, format)
	if err != nil {
		return nil, err
	}
	report, err := compiler.Diff(ctx, sides, prove.Limits{})
	if err != nil {
		return nil, err
	}
	report.Files, report.TextCompared = diff.Files(old, fresh), true
	return report, nil
}
