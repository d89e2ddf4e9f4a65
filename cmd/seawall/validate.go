package main

import (
	"encoding/json"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"os"

	"github.com/seawall/seawall/schema"
)

func validateCommand() *cobra.Command {
	f := &policyFlags{}
	asJSON := false
	c := &cobra.Command{
		Use:   "validate [PATH]",
		Short: "Find the mistakes in a policy",
		Long:  "Find the mistakes in a policy: every one of them, each with its place and what to do.",
		Example: `  seawall validate
  seawall validate policy.hcl --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			loaded, diags := schema.Load(policyPath(args), schema.Options{
				Vars: f.vars, VarFiles: f.varFiles, Env: os.Environ(), Stdin: c.InOrStdin()})
			if asJSON {
				if err := printJSON(c, diags); err != nil {
					return err
				}
			} else {
				printDiagnostics(c.ErrOrStderr(), loaded.Files, diags)
			}
			if diags.HasErrors() {
				return exitCode(exitError)
			}
			if !asJSON {
				d := loaded.Document
				fmt.Fprintf(c.OutOrStdout(), "The policy is valid: %s, %s.\n",
					count(len(d.Policies), "policy", "policies"), count(len(d.Tests), "test", "tests"))
			}
			return nil
		},
	}
	f.register(c)
	c.Flags().BoolVar(&asJSON, "json", false, "write the findings as JSON")
	return c
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// finding is a diagnostic as --json writes it.
type finding struct {
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail,omitempty"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
}

func printJSON(c *cobra.Command, diags hcl.Diagnostics) error {
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
	e := json.NewEncoder(c.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(list)
}
