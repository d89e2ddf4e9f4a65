package lsp

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/lint"
	"github.com/seawall/seawall/schema"
	"go.lsp.dev/protocol"
	"go.lsp.dev/uri"
)

// patience is how long mistakes wait for findings, so that both are shown at once. A policy
// with a million addresses takes longer, and its findings come after its mistakes.
const patience = 15 * time.Millisecond

// Findings that took slow to work out are worked out again only after nothing was typed for
// as long as quiet: they would slow down what is typed.
const (
	slow  = 100 * time.Millisecond
	quiet = 500 * time.Millisecond
)

// publishing publishes the diagnostics of every policy that changed, until the context ends.
func (s *server) publishing(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		for {
			x := s.nextDirty()
			if x == nil {
				break
			}
			s.diagnose(ctx, x)
		}
	}
}

// nextDirty returns a policy that nobody has published as it is.
func (s *server) nextDirty() *policy {
	s.lock.Lock()
	defer s.lock.Unlock()
	for _, x := range s.policies {
		if x.dirty {
			x.dirty = false
			return x
		}
	}
	return nil
}

// diagnose reads a policy, and publishes its mistakes and findings.
func (s *server) diagnose(ctx context.Context, x *policy) {
	r := s.current(x)
	s.lint(ctx, x)
	select {
	case <-r.findings:
		s.publish(ctx, x, r, true)
	case <-time.After(patience):
		s.publish(ctx, x, r, false)
	}
}

// lint works out the findings of a policy, one edition at a time: while it is slow, those
// that were typed over meanwhile are passed by.
func (s *server) lint(ctx context.Context, x *policy) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if x.linting {
		return
	}
	x.linting = true
	go func() {
		for {
			r := s.settled(ctx, x)
			start := time.Now()
			r.Findings()
			x.took = time.Since(start)
			late := s.findingsOf(r)
			s.lock.Lock()
			again := x.edition != r.edition && ctx.Err() == nil
			x.linting = again
			s.lock.Unlock()
			if late {
				s.publish(ctx, x, r, true)
			}
			if !again {
				return
			}
		}
	}()
}

// settled returns a policy as it is, or where its findings are slow, once nobody types.
func (s *server) settled(ctx context.Context, x *policy) reading {
	r := s.current(x)
	for x.took > slow && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(quiet):
		}
		next := s.current(x)
		if next.edition == r.edition {
			break
		}
		r = next
	}
	return r
}

// findingsOf says that the findings of a reading are known. It returns false where they were.
func (s *server) findingsOf(r reading) bool {
	select {
	case <-r.findings:
		return false
	default:
		close(r.findings)
		return true
	}
}

// publish sends the diagnostics of each file of a policy that has or had some.
func (s *server) publish(ctx context.Context, x *policy, r reading, findings bool) {
	s.publishes.Lock()
	defer s.publishes.Unlock()
	if x.gone || s.outdated(x, r) {
		return
	}
	of := map[string][]protocol.Diagnostic{}
	texts := map[string]*text{}
	add := func(d *hcl.Diagnostic) {
		at := r.placeOf(d)
		src, ok := r.Text(at.Filename)
		if !ok || r.elsewhere[at.Filename] {
			return
		}
		if texts[at.Filename] == nil {
			texts[at.Filename] = newText(src)
		}
		of[at.Filename] = append(of[at.Filename], diagnosticOf(d, texts[at.Filename].rangeOf(at)))
	}
	if !r.foreign() {
		for _, d := range r.Mistakes {
			add(d)
		}
		if findings {
			for _, f := range r.Findings() {
				add(f.Diagnostic())
			}
		}
	}
	for file := range x.shown {
		if _, ok := of[file]; !ok && !r.elsewhere[file] { // another policy says what is in it now
			of[file] = []protocol.Diagnostic{}
		}
	}
	for _, file := range r.open {
		if _, ok := of[file]; !ok {
			of[file] = []protocol.Diagnostic{}
		}
	}
	x.shown = map[string]bool{}
	for file, list := range of {
		x.shown[file] = len(list) > 0
		p := &protocol.PublishDiagnosticsParams{URI: uri.File(file), Diagnostics: list}
		if v, ok := r.versions[file]; ok {
			p.Version = protocol.NewOptional(v)
		}
		_ = s.client.PublishDiagnostics(ctx, p) // the editor is gone where this fails
	}
}

// outdated reports whether a policy has changed since it was read, and will be published
// again.
func (s *server) outdated(x *policy, r reading) bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	return x.edition != r.edition
}

// clear takes the diagnostics of a policy away.
func (s *server) clear(x *policy) {
	s.publishes.Lock()
	defer s.publishes.Unlock()
	x.gone = true
	for file := range x.shown {
		_ = s.client.PublishDiagnostics(s.context, &protocol.PublishDiagnosticsParams{URI: uri.File(file), Diagnostics: []protocol.Diagnostic{}})
	}
}

// foreign reports whether all files of a policy are some other program's.
func (r *reading) foreign() bool { return r.IsForeign(slices.Concat(r.Loaded.Inputs, r.open)) }

// placeOf is where a diagnostic stands: what has no place of its own is about the policy,
// and stands at the start of its first file, or of one that is open where none can be read.
func (r *reading) placeOf(d *hcl.Diagnostic) hcl.Range {
	if d.Subject != nil {
		return *d.Subject
	}
	for _, file := range slices.Concat(r.Loaded.Inputs, r.open) {
		return hcl.Range{Filename: file, Start: hcl.InitialPos, End: hcl.InitialPos}
	}
	return hcl.Range{}
}

// source is the name under which an editor shows a diagnostic.
const source = "seawall"

func diagnosticOf(d *hcl.Diagnostic, at protocol.Range) protocol.Diagnostic {
	out := protocol.Diagnostic{Range: at, Severity: protocol.DiagnosticSeverityError, Source: protocol.NewOptional(source)}
	message := d.Summary
	switch extra := d.Extra.(type) {
	case lint.Finding:
		message = extra.Summary
		out.Severity = protocol.DiagnosticSeverityWarning
		if extra.Hint {
			out.Severity = protocol.DiagnosticSeverityInformation
		}
		out.Code = protocol.String(extra.Code)
		out.CodeDescription.Href = uri.URI(lint.PageURL(extra.Code))
		if extra.Idle() {
			out.Tags = protocol.NewDiagnosticTags(protocol.DiagnosticTagUnnecessary)
		}
	case schema.Unset:
		out.Severity = protocol.DiagnosticSeverityInformation
	}
	if d.Detail != "" { // on a line of its own, which some editors join
		message += ".\n" + d.Detail
	}
	out.Message = protocol.String(message)
	return out
}

// settings are what the editor may say of how its policies are read, as
// initializationOptions or as the section seawall of its configuration.
type settings struct {
	VarFiles []string `json:"varFiles"`
	Vars     []string `json:"vars"`
}

// configure reads policies as the settings have it from now on.
func (s *server) configure(given settings) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.settings = given
	s.reading.Vars = slices.Concat(s.given.Vars, given.Vars)
	for _, x := range s.policies {
		s.changed(x)
	}
}
