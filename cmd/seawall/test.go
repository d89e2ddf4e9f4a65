package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

func testCommand() *cobra.Command {
	p := &policyFlags{}
	format, hosts := "", ""
	c := &cobra.Command{
		Use:   "test [PATH]",
		Short: "Prove the test blocks of a policy",
		Long: `Prove the test blocks of a policy, for every address of their sources and not only
for samples. For a test that fails, show the sources for which it fails and the line
that decides. Exit 2 when a test fails.

--hosts DIR does it for every host that has a variable file in DIR; what fails for
several hosts is shown once.`,
		Example: `  seawall test
  seawall test policies --var-file db1.vars.hcl
  seawall test policies --hosts hosts
  seawall test --format sarif > tests.sarif`,
		Args: onePath,
		RunE: func(c *cobra.Command, args []string) error {
			if err := textOrSARIF(format); err != nil {
				return err
			}
			if hosts != "" {
				return p.testHosts(c, args, hosts, format)
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
			failed := printTests(c.OutOrStdout(), results, true)
			fmt.Fprintf(c.OutOrStdout(), "%s, %d failed\n", count(len(results), "test", "tests"), failed)
			if failed > 0 {
				return exitCode(exitDiffers)
			}
			return nil
		},
	}
	p.register(c)
	registerHosts(c, &hosts)
	c.Flags().StringVar(&format, "format", "text", "text or sarif")
	choices(c, "format", "text", "sarif")
	return c
}

// printTests prints the tests that fail, and with all those that hold, and returns how
// many fail.
func printTests(w io.Writer, results []*prove.TestResult, all bool) (failed int) {
	for _, r := range results {
		if len(r.Failures) == 0 {
			if all {
				fmt.Fprintf(w, "ok    %s\n", oneLine(r.Test.Name))
			}
			continue
		}
		failed++
		fmt.Fprintf(w, "FAIL  %s (%s:%d)\n", oneLine(r.Test.Name), r.Test.Range.Filename, r.Test.Range.Start.Line)
		for _, f := range r.Failures {
			fmt.Fprintf(w, "      %s\n      decided by %s (%s:%d)\n", f, f.Rule, f.At.Filename, f.At.Start.Line)
		}
	}
	return failed
}

// testHosts runs the tests with the variables of each host.
func (p *policyFlags) testHosts(c *cobra.Command, args []string, dir, format string) error {
	if format != "text" {
		return fmt.Errorf("--hosts has --format text only, not %s", format)
	}
	hosts, err := hostsOf(dir)
	if err != nil {
		return err
	}
	type outcome struct {
		text          string
		tests, failed int
	}
	list := make([]outcome, len(hosts))
	all := p.eachHost(c, args, hosts, func(ctx context.Context, i int, loaded *schema.Loaded) error {
		results, err := compiler.Test(ctx, loaded.Document, prove.Limits{})
		if err != nil {
			return err
		}
		var b strings.Builder
		failed := printTests(&b, results, false)
		list[i] = outcome{b.String(), len(results), failed}
		return nil
	})
	if err := tell(c, hosts, all); err != nil {
		return err
	}
	texts, tests, failed := make([][]string, len(list)), 0, 0
	for i, x := range list {
		if tests, failed = tests+x.tests, failed+x.failed; x.text != "" {
			texts[i] = []string{x.text + "\n"}
		}
	}
	w := c.OutOrStdout()
	printEach(w, hosts, texts)
	fmt.Fprintf(w, "%s: %s, %d failed\n", count(len(hosts), "host", "hosts"), count(tests, "test", "tests"), failed)
	if failed > 0 {
		return exitCode(exitDiffers)
	}
	return nil
}
