// Package explain traces one packet through a policy and through the rules that the policy
// compiles to, and writes both ways down for people and as JSON.
package explain

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/meaning"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// Explanation is all that can be said of a packet.
type Explanation struct {
	Packet  packet.Packet
	Policy  *meaning.Way
	Emitted *dialect.Way
	File    *dialect.Way // through a file of rules as well; nil for none
	Name    string       // of that file
}

// Trace follows a packet through a policy and the rules that it compiles to. The error is
// that of compiler.Compile.
func Trace(ctx context.Context, loaded *schema.Loaded, p packet.Packet) (*Explanation, error) {
	out, err := compiler.Compile(ctx, loaded.Document, compiler.Options{Format: emit.Restore, Source: compiler.SourceName(loaded)})
	if err != nil {
		return nil, err
	}
	f := out.Files[0]
	if p.Family() == packet.IPv6 {
		f = out.Files[1]
	}
	emitted, err := compiler.ReadRules(f.Name, f.Bytes, compiler.ReadOptions{Family: p.Family()})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, err) // it was read back before, for the proof
	}
	return &Explanation{Packet: p, Policy: meaning.Explain(loaded.Document, p), Emitted: dialect.Trace(emitted[0].Table, p)}, nil
}

// Text is the answer for people. The files are those that the policy was read from, for the
// line that decides.
func (e *Explanation) Text(files map[string]*hcl.File) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nThe policy says %s:\n", e.Packet, e.Policy.Verdict)
	for _, s := range e.Policy.Steps {
		mark := " "
		if s.Decides {
			mark = "→"
		}
		number := "  "
		if s.Number != meaning.Note {
			number = fmt.Sprintf("%d.", s.Number)
		}
		fmt.Fprintf(&b, " %s %s %s\n", mark, number, s.Said)
	}
	at := e.Policy.At
	fmt.Fprintf(&b, "\n  on %s line %d:\n", at.Filename, at.Start.Line)
	if f := files[at.Filename]; f != nil {
		fmt.Fprintf(&b, "%4d: %s\n", at.Start.Line, sourceLine(f.Bytes, at.Start.Line))
	}
	if e.Policy.Log != "" {
		fmt.Fprintf(&b, "\nIt is logged as %q.\n", e.Policy.Log)
	}
	fmt.Fprintf(&b, "\nThe compiled rules say %s:\n", e.Emitted.Verdict)
	writeWay(&b, e.Emitted)
	if e.File != nil {
		fmt.Fprintf(&b, "\n%s says %s:\n", e.Name, e.File.Verdict)
		writeWay(&b, e.File)
	}
	return b.String()
}

func writeWay(b *strings.Builder, way *dialect.Way) {
	for _, s := range way.Steps {
		fmt.Fprintf(b, "  line %d: %s\n", s.Line, s.Rule)
		if s.Unsure != "" {
			fmt.Fprintf(b, "          \"%s\" cannot be evaluated; what follows is for when it does not match\n", s.Unsure)
		}
	}
	if way.Ended != "" {
		fmt.Fprintf(b, "  %s\n", way.Ended)
	}
}

// sourceLine is a line of a file, from 1.
func sourceLine(src []byte, n int) string {
	lines := strings.Split(string(src), "\n")
	if n < 1 || n > len(lines) {
		return ""
	}
	return strings.TrimRight(lines[n-1], "\r")
}

// The JSON form: one object, verdicts in the words of the text.
type (
	stepJSON struct {
		Step    *int   `json:"step,omitempty"` // none for a note
		Said    string `json:"said"`
		Decides bool   `json:"decides,omitempty"`
	}
	ruleJSON struct {
		Line   int    `json:"line"`
		Rule   string `json:"rule"`
		Unsure string `json:"undecided,omitempty"`
	}
	wayJSON struct {
		Verdict string     `json:"verdict"`
		Rules   []ruleJSON `json:"rules"`
		Ended   string     `json:"ended,omitempty"`
	}
	explainJSON struct {
		Packet  string     `json:"packet"`
		Verdict string     `json:"verdict"`
		Rule    string     `json:"rule"`
		File    string     `json:"file"`
		Line    int        `json:"line"`
		Log     string     `json:"log,omitempty"`
		Steps   []stepJSON `json:"steps"`
		Emitted wayJSON    `json:"compiled"`
		Rules   *wayJSON   `json:"rules_file,omitempty"`
	}
)

// JSON writes the answer as one object.
func (e *Explanation) JSON(w io.Writer) error {
	out := explainJSON{Packet: e.Packet.String(), Verdict: e.Policy.Verdict.String(), Rule: e.Policy.Rule,
		File: e.Policy.At.Filename, Line: e.Policy.At.Start.Line, Log: e.Policy.Log, Emitted: asJSON(e.Emitted)}
	for _, s := range e.Policy.Steps {
		x := stepJSON{Said: s.Said, Decides: s.Decides}
		if s.Number != meaning.Note {
			x.Step = &s.Number
		}
		out.Steps = append(out.Steps, x)
	}
	if e.File != nil {
		way := asJSON(e.File)
		out.Rules = &way
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

func asJSON(way *dialect.Way) wayJSON {
	out := wayJSON{Verdict: way.Verdict.String(), Ended: way.Ended, Rules: []ruleJSON{}}
	for _, s := range way.Steps {
		out.Rules = append(out.Rules, ruleJSON{s.Line, s.Rule, s.Unsure})
	}
	return out
}
