package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/lint"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

type validateFlags struct {
	policyFlags
	json    bool
	format  string
	explain string
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

Exit 1 for mistakes, 0 otherwise.`,
		Example: `  seawall validate
  seawall validate policy.hcl --json
  seawall validate policies --format github
  seawall validate --explain SW001`,
		Args: onePath,
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args) },
	}
	f.register(c)
	c.Flags().BoolVar(&f.json, "json", false, "write the findings as JSON")
	c.Flags().StringVar(&f.format, "format", "text", "text, json or github (annotations of a pull request)")
	c.Flags().StringVar(&f.explain, "explain", "", "show the page of a `CODE`")
	choices(c, "format", "text", "json", "github")
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
		f.format = "json"
	}
	if f.format != "text" && f.format != "json" && f.format != "github" {
		return fmt.Errorf("--format is text, json or github, not %q", f.format)
	}
	loaded, diags := schema.Load(policyPath(args), f.options(c))
	list := mistakes(diags)
	if loaded.Document != nil {
		for _, one := range lint.Run(loaded.Document, loaded.Files) {
			diags = append(diags, one.Diagnostic())
			list = append(list, ofLint(one))
		}
	}
	if err := f.print(c, loaded, diags, list); err != nil {
		return err
	}
	if diags.HasErrors() {
		return exitCode(exitError)
	}
	return nil
}

func (f *validateFlags) print(c *cobra.Command, loaded *schema.Loaded, diags hcl.Diagnostics, list []finding) error {
	switch f.format {
	case "json":
		return printJSON(c, list)
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
		one := finding{Severity: "error", Summary: d.Summary, Detail: d.Detail}
		if d.Severity == hcl.DiagWarning {
			one.Severity = "warning"
		}
		if d.Subject != nil {
			one.File, one.Line, one.Column = d.Subject.Filename, d.Subject.Start.Line, d.Subject.Start.Column
		}
		list = append(list, one)
	}
	return list
}

func ofLint(f lint.Finding) finding {
	severity := "warning"
	if f.Hint {
		severity = "hint"
	}
	return finding{severity, f.Code, f.Summary, f.Detail, f.At.Filename, f.At.Start.Line, f.At.Start.Column}
}

// github is the finding as a workflow command, which hosting sites show beside
// the line.
func (f finding) github() string {
	level := map[string]string{"error": "error", "warning": "warning", "hint": "notice"}[f.Severity]
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
	return fmt.Sprintf("::%s %stitle=%s::%s", level, place, property.Replace(title), value.Replace(f.Detail))
}

func printJSON(c *cobra.Command, list []finding) error {
	e := json.NewEncoder(write(c, jsonForm))
	e.SetIndent("", "  ")
	return e.Encode(list)
}
