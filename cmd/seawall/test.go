package main

import (
	"fmt"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/spf13/cobra"
)

func testCommand() *cobra.Command {
	p := &policyFlags{}
	format := ""
	c := &cobra.Command{
		Use:   "test [PATH]",
		Short: "Prove the test blocks of a policy",
		Long: `Prove the test blocks of a policy, for every address of their sources and not only
for samples. For a test that fails, show the sources for which it fails and the line
that decides. Exit 2 when a test fails.`,
		Example: `  seawall test
  seawall test policies --var-file db1.vars.hcl
  seawall test --format sarif > tests.sarif`,
		Args: onePath,
		RunE: func(c *cobra.Command, args []string) error {
			if err := textOrSARIF(format); err != nil {
				return err
			}
			loaded, err := p.load(c, args)
			if err != nil {
				return err
			}
			results, err := compiler.Test(c.Context(), loaded.Document, prove.Limits{})
			if err != nil {
				return err
			}
			if format == "sarif" {
				failed := ofTests(results, loaded.Files)
				if err := printSARIF(c, failed); err != nil || len(failed) == 0 {
					return err
				}
				return exitCode(exitDiffers)
			}
			return runTests(c, results)
		},
	}
	p.register(c)
	c.Flags().StringVar(&format, "format", "text", "text or sarif")
	choices(c, "format", "text", "sarif")
	return c
}

func runTests(c *cobra.Command, results []*prove.TestResult) error {
	w, failed := c.OutOrStdout(), 0
	for _, r := range results {
		if len(r.Failures) == 0 {
			fmt.Fprintf(w, "ok    %s\n", oneLine(r.Test.Name))
			continue
		}
		failed++
		fmt.Fprintf(w, "FAIL  %s (%s:%d)\n", oneLine(r.Test.Name), r.Test.Range.Filename, r.Test.Range.Start.Line)
		for _, f := range r.Failures {
			fmt.Fprintf(w, "      %s\n      decided by %s (%s:%d)\n", f, f.Rule, f.At.Filename, f.At.Start.Line)
		}
	}
	fmt.Fprintf(w, "%s, %d failed\n", count(len(results), "test", "tests"), failed)
	if failed > 0 {
		return exitCode(exitDiffers)
	}
	return nil
}
