package main

import (
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
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

func explainCommand() *cobra.Command {
	p, text := &policyFlags{}, &packetText{}
	r := &rulesFlags{}
	file, asJSON := "", false
	c := &cobra.Command{
		Use:   "explain [PATH] --from ADDRESS --to [ADDRESS:]PORT[/PROTOCOL]",
		Short: "Trace one packet through a policy and its rules",
		Long: `Show the way of one packet: each step of the policy, the line that decides, and the
rules that implement it. With --rules, also the way through the chains of that
file.

The packet is a new connection to a published port unless flags say otherwise.`,
		Example: `  seawall explain --from 203.0.113.9 --to 8080
  seawall explain policy.hcl --from 2001:db8::1 --to '[2001:db8::7]:443/tcp' --chain input
  seawall explain policy.hcl --from 10.8.9.1 --to 5432 --rules /etc/sysconfig/iptables`,
		Args: onePath,
		RunE: func(c *cobra.Command, args []string) error {
			loaded, err := p.load(c, args)
			if err != nil {
				return err
			}
			packet, err := text.packet(loaded.Document)
			if err != nil {
				return err
			}
			if text.note != "" {
				fmt.Fprintf(c.ErrOrStderr(), "Note: %s.\n", text.note)
			}
			e, err := explain(c, loaded, packet, file, r)
			if err != nil {
				return err
			}
			if asJSON {
				return e.json(write(c, jsonForm))
			}
			return e.text(c.OutOrStdout(), loaded.Files)
		},
	}
	p.register(c)
	text.register(c)
	c.Flags().StringVar(&file, "rules", "", "also show the way through this rules `FILE`")
	r.register(c)
	c.Flags().BoolVar(&asJSON, "json", false, "write the answer as JSON")
	return c
}

// explanation is all that explain says of a packet.
type explanation struct {
	packet  packet.Packet
	policy  *meaning.Way
	emitted *dialect.Way
	file    *dialect.Way // nil without --rules
	name    string
}

func explain(c *cobra.Command, loaded *schema.Loaded, p packet.Packet, file string, flags *rulesFlags) (*explanation, error) {
	out, err := compiler.Compile(c.Context(), loaded.Document, compiler.Options{Format: emit.Restore, Source: sourceName(loaded)})
	if err != nil {
		return nil, unproved(err)
	}
	f := out.Files[0]
	if p.Family() == packet.IPv6 {
		f = out.Files[1]
	}
	emitted, err := readRules(f.Name, f.Bytes, compiler.ReadOptions{Family: p.Family()})
	if err != nil {
		return nil, err
	}
	e := &explanation{packet: p, policy: meaning.Explain(loaded.Document, p), emitted: dialect.Trace(emitted[0].Table, p), name: file}
	if file == "" {
		return e, nil
	}
	flags.family = fmt.Sprint(int(p.Family()))
	list, err := flags.read(c, file)
	if err != nil {
		return nil, err
	}
	e.file = dialect.Trace(list[0].For(loaded.Document), p)
	if e.file.Unsure() != nil {
		e.file.Verdict, err = prove.At(c.Context(), list[0].For(loaded.Document), p, prove.Limits{})
	}
	return e, err
}

func (e *explanation) text(w io.Writer, files map[string]*hcl.File) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nThe policy says %s:\n", e.packet, e.policy.Verdict)
	for _, s := range e.policy.Steps {
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
	at := e.policy.At
	fmt.Fprintf(&b, "\n  on %s line %d:\n", at.Filename, at.Start.Line)
	if f := files[at.Filename]; f != nil {
		fmt.Fprintf(&b, "%4d: %s\n", at.Start.Line, sourceLine(f.Bytes, at.Start.Line))
	}
	if e.policy.Log != "" {
		fmt.Fprintf(&b, "\nIt is logged as %q.\n", e.policy.Log)
	}
	fmt.Fprintf(&b, "\nThe compiled rules say %s:\n", e.emitted.Verdict)
	writeWay(&b, e.emitted)
	if e.file != nil {
		fmt.Fprintf(&b, "\n%s says %s:\n", e.name, e.file.Verdict)
		writeWay(&b, e.file)
	}
	_, err := io.WriteString(w, b.String())
	return err
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

func (e *explanation) json(w io.Writer) error {
	out := explainJSON{Packet: e.packet.String(), Verdict: e.policy.Verdict.String(), Rule: e.policy.Rule,
		File: e.policy.At.Filename, Line: e.policy.At.Start.Line, Log: e.policy.Log, Emitted: asJSON(e.emitted)}
	for _, s := range e.policy.Steps {
		x := stepJSON{Said: s.Said, Decides: s.Decides}
		if s.Number != meaning.Note {
			x.Step = &s.Number
		}
		out.Steps = append(out.Steps, x)
	}
	if e.file != nil {
		way := asJSON(e.file)
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
