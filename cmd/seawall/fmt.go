package main

import (
	"bytes"
	"fmt"
	"path/filepath"

	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/schema"
	"github.com/sergi/go-diff/diffmatchpatch"
	"github.com/spf13/cobra"
)

func fmtCommand() *cobra.Command {
	check, diff := false, false
	c := &cobra.Command{
		Use:   "fmt [PATH]",
		Short: "Format policy files",
		Long: `Rewrite policy files in the canonical format: indentation, alignment and spacing.
The meaning of a file does not change. The names of changed files are printed;
standard input is formatted to standard output.`,
		Example: `  seawall fmt
  seawall fmt --check policies
  seawall fmt --diff policy.hcl`,
		Args: onePath,
		RunE: func(c *cobra.Command, args []string) error {
			path := policyPath(args)
			if path == "-" {
				return fmtStdin(c, check, diff)
			}
			return fmtFiles(c, path, check, diff)
		},
	}
	c.Flags().BoolVar(&check, "check", false, "write nothing; exit 2 when a file would change")
	c.Flags().BoolVar(&diff, "diff", false, "print the changes; with --check, do not make them")
	return c
}

func fmtStdin(c *cobra.Command, check, diff bool) error {
	src, _, err := readInput(c, "-", takesPolicy)
	if err != nil {
		return err
	}
	out, diags := schema.Format("stdin", src)
	if diags.HasErrors() {
		printDiagnostics(c.ErrOrStderr(), schema.FilesOf("stdin", src), diags)
		return exitCode(exitError)
	}
	switch {
	case diff:
		printDiff(c, src, out)
	case !check:
		if _, err := write(c, byteForm).Write(out); err != nil {
			return err
		}
	}
	if check && !bytes.Equal(src, out) {
		return exitCode(exitDiffers)
	}
	return nil
}

func fmtFiles(c *cobra.Command, path string, check, diff bool) error {
	names, err := schema.PolicyFiles(path)
	if err != nil {
		return cannotRead(path, err, takesPolicy)
	}
	failed, changed := false, false
	for _, name := range names {
		if err := emit.CheckRegular(name); err != nil && !check {
			return fmt.Errorf("cannot format: %w", err)
		}
		src, err := readFile(name)
		if err != nil {
			return cannotRead(name, err, takesPolicy)
		}
		out, diags := schema.Format(name, src)
		if diags.HasErrors() {
			printDiagnostics(c.ErrOrStderr(), schema.FilesOf(name, src), diags)
			failed = true
			continue
		}
		if bytes.Equal(src, out) {
			continue
		}
		changed = true
		fmt.Fprintln(c.OutOrStdout(), name)
		if diff {
			printDiff(c, src, out)
		}
		if !check {
			if err := emit.Replace(name, out, 0o644); err != nil {
				return cannotWrite(filepath.Dir(name), err, takesFmt)
			}
		}
	}
	switch {
	case failed:
		return exitCode(exitError)
	case check && changed:
		return exitCode(exitDiffers)
	}
	return nil
}

// printDiff writes the lines that change, removed lines before added ones.
func printDiff(c *cobra.Command, before, after []byte) {
	dmp := diffmatchpatch.New()
	a, b, lines := dmp.DiffLinesToChars(string(before), string(after))
	for _, d := range dmp.DiffCharsToLines(dmp.DiffMain(a, b, false), lines) {
		sign := map[diffmatchpatch.Operation]string{diffmatchpatch.DiffInsert: "+", diffmatchpatch.DiffDelete: "-", diffmatchpatch.DiffEqual: " "}[d.Type]
		for _, line := range bytes.SplitAfter([]byte(d.Text), []byte("\n")) {
			if len(line) > 0 {
				fmt.Fprintf(c.OutOrStdout(), "%s%s\n", sign, bytes.TrimSuffix(line, []byte("\n")))
			}
		}
	}
}
