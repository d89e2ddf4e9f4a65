package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/lint"
	"github.com/seawall/seawall/compiler/progress"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

type validateFlags struct {
	policyFlags
	json    bool
	format  string
	explain string
	strict  bool
	hosts   string // the folder of --hosts
}

func validateCommand() *cobra.Command {
	f := &validateFlags{}
	c := &cobra.Command{
		Use:   "validate [PATH]",
		Short: "Find the mistakes in a policy, and what was most likely not meant",
		Long: `Find the mistakes in a policy: every one of them, each with its place and what
to do. In a policy without mistakes, find what was most likely not meant: rules
that can never match, sets that nobody uses, databases that are open to
everybody. Each such finding has a code; --explain CODE shows its page, and a
comment on its line or the line before silences it:

  # seawall:ignore SW007 the honeypot is meant to be found

--hosts DIR does it for every host that has a variable file in DIR; what several hosts
have in common is shown once.

Exit 1 for mistakes, 2 with --strict for findings, 0 otherwise.`,
		Example: `  seawall validate
  seawall validate policy.hcl --json
  seawall validate policies --format github
  seawall validate --strict --format sarif > seawall.sarif
  seawall validate policies --hosts hosts
  seawall validate --explain SW001`,
		Args: onePath,
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args) },
	}
	f.register(c)
	registerHosts(c, &f.hosts)
	c.Flags().BoolVar(&f.json, "json", false, "write the findings as JSON")
	c.Flags().StringVar(&f.format, "format", "text", "text, json, github (annotations of a pull request) or sarif")
	c.Flags().BoolVar(&f.strict, "strict", false, "exit 2 when there are findings")
	c.Flags().StringVar(&f.explain, "explain", "", "show the page of a `CODE`")
	choices(c, "format", "text", "json", "github", "sarif")
	choices(c, "explain", lint.Codes()...)
	return c
}

func (f *validateFlags) run(c *cobra.Command, args []string) error {
	if f.explain != "" {
		page, ok := lint.Page(strings.ToUpper(f.explain))
		if !ok {
			return fmt.Errorf("there is no code %q: the codes are %s", f.explain, strings.Join(lint.Codes(), ", "))
		}
		_, err := fmt.Fprint(c.OutOrStdout(), page)
		return err
	}
	if f.json {
		if c.Flags().Changed("format") && f.format != "json" {
			return fmt.Errorf("--json and --format %s are two formats. Name one", f.format)
		}
		f.format = "json"
	}
	if !slices.Contains([]string{"text", "json", "github", "sarif"}, f.format) {
		return fmt.Errorf("--format is text, json, github or sarif, not %q", f.format)
	}
	if f.hosts != "" {
		return f.runHosts(c, args)
	}
	progress.Report(c.Context(), "reading", policyPath(args))
	loaded, diags := schema.Load(policyPath(args), f.options(c))
	list, found := mistakes(diags), false
	if loaded.Document != nil {
		progress.Report(c.Context(), "checking", policyPath(args))
		for _, one := range lint.Run(loaded.Document, loaded.Files) {
			diags = append(diags, one.Diagnostic())
			list, found = append(list, ofLint(one)), true
		}
	}
	if err := f.print(c, loaded, diags, list); err != nil {
		return err
	}
	switch {
	case diags.HasErrors():
		return exitCode(exitError)
	case found && f.strict:
		return exitCode(exitDiffers)
	}
	return nil
}

// runHosts validates the policy with the variables of each host; what several have in
// common is printed once.
func (f *validateFlags) runHosts(c *cobra.Command, args []string) error {
	if f.format != "text" {
		return fmt.Errorf("--hosts has --format text only, not %s", f.format)
	}
	hosts, err := hostsOf(f.hosts)
	if err != nil {
		return err
	}
	texts, found := make([][]string, len(hosts)), make([]int, len(hosts))
	all := f.eachHost(c, args, hosts, func(_ context.Context, i int, loaded *schema.Loaded) error {
		var diags hcl.Diagnostics
		for _, one := range lint.Run(loaded.Document, loaded.Files) {
			diags = append(diags, one.Diagnostic())
		}
		texts[i], found[i] = printed(loaded.Files, diags), len(diags)
		return nil
	})
	if err := tell(c, hosts, all); err != nil {
		return err
	}
	printEach(c.ErrOrStderr(), hosts, texts)
	total := 0
	for _, n := range found {
		total += n
	}
	fmt.Fprintf(c.OutOrStdout(), "The policy is valid for %s, %s.\n", count(len(hosts), "host", "hosts"), count(total, "finding", "findings"))
	if total > 0 && f.strict {
		return exitCode(exitDiffers)
	}
	return nil
}

func (f *validateFlags) print(c *cobra.Command, loaded *schema.Loaded, diags hcl.Diagnostics, list []finding) error {
	switch f.format {
	case "json":
		return printJSON(c, list)
	case "sarif":
		return printSARIF(c, ofFindings(list, loaded.Files))
	case "github":
		for _, one := range list {
			fmt.Fprintln(formatted(c, f.format), one.github())
		}
		return nil
	}
	printDiagnostics(c.ErrOrStderr(), loaded.Files, diags)
	if d := loaded.Document; d != nil {
		fmt.Fprintf(c.OutOrStdout(), "The policy is valid: %s, %s, %s.\n",
			count(len(d.Policies), "policy", "policies"), count(len(d.Tests), "test", "tests"), count(len(list), "finding", "findings"))
	}
	return nil
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// finding is a mistake or a lint finding as JSON has it.
type finding struct {
	severity severity
	Severity string `json:"severity"` // error, warning or hint
	Code     string `json:"code,omitempty"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail,omitempty"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
}

func mistakes(diags hcl.Diagnostics) []finding {
	list := []finding{}
	for _, d := range diags {
		s := severityOf(d)
		one := finding{severity: s, Severity: s.json, Summary: d.Summary, Detail: d.Detail}
		if d.Subject != nil {
			one.File, one.Line, one.Column = d.Subject.Filename, d.Subject.Start.Line, d.Subject.Start.Column
		}
		list = append(list, one)
	}
	return list
}

func ofLint(f lint.Finding) finding {
	s := severityOfFinding(f)
	return finding{s, s.json, f.Code, f.Summary, f.Detail, f.At.Filename, f.At.Start.Line, f.At.Start.Column}
}

// github is the finding as a workflow command, which hosting sites show beside
// the line.
func (f finding) github() string {
	value := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	title := f.Summary
	if f.Code != "" {
		title = f.Code + " " + title
	}
	place := ""
	if f.File != "" {
		place = fmt.Sprintf("file=%s,line=%d,col=%d,", property.Replace(f.File), f.Line, f.Column)
	}
	return fmt.Sprintf("::%s %stitle=%s::%s", f.severity.github, place, property.Replace(title), value.Replace(f.Detail))
}

func printJSON(c *cobra.Command, list []finding) error {
	e := json.NewEncoder(write(c, jsonForm))
	e.SetIndent("", "  ")
	return e.Encode(list)
}
