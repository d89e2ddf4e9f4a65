package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/schema"
	"github.com/sergi/go-diff/diffmatchpatch"
	"github.com/spf13/cobra"
)

func fmtCommand() *cobra.Command {
	check, diff := false, false
	c := &cobra.Command{
		Use:   "fmt [PATH]...",
		Short: "Format policy files",
		Long: `Rewrite policy files in the canonical format: indentation, alignment and spacing.
The meaning of a file does not change. The names of changed files are printed;
standard input is formatted to standard output. With several PATHs, a file that cannot
be formatted does not keep the others from it.`,
		Example: `  seawall fmt
  seawall fmt --check policies
  seawall fmt --diff policy.hcl
  seawall fmt policies hosts/*.vars.hcl`,
		Args: inputAlone,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				args = []string{policyPath(args)}
			case args[0] == "-":
				return fmtStdin(c, check, diff)
			}
			return fmtFiles(c, args, check, diff)
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

// inputAlone takes any number of paths, or - for standard input.
func inputAlone(_ *cobra.Command, args []string) error {
	if len(args) > 1 && slices.Contains(args, "-") {
		return errors.New("- is standard input, which is formatted by itself. Leave out the other PATHs")
	}
	return nil
}

// fmtFiles formats each file that it can, and reports the others.
func fmtFiles(c *cobra.Command, paths []string, check, diff bool) error {
	failed, changed := false, false
	report := func(err error) {
		failed = true
		if _, reported := errors.AsType[exitCode](err); !reported {
			fmt.Fprintf(c.ErrOrStderr(), "Error: %s\n", shortened(err.Error(), longest))
		}
	}
	done := map[string]bool{}
	for _, path := range paths {
		names, err := schema.PolicyFiles(path)
		if err != nil {
			report(cannotRead(path, err, takesPolicy))
		}
		for _, name := range names {
			if done[filepath.Clean(name)] {
				continue // it was named twice
			}
			done[filepath.Clean(name)] = true
			differs, err := fmtFile(c, name, check, diff)
			changed = changed || differs
			if err != nil {
				report(err)
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

// fmtFile reports whether the format changes a file, and writes it unless check is set.
func fmtFile(c *cobra.Command, name string, check, diff bool) (differs bool, err error) {
	if err := emit.CheckRegular(name); err != nil && !check {
		return false, fmt.Errorf("cannot format: %w", err)
	}
	src, err := readFile(name)
	if err != nil {
		return false, cannotRead(name, err, takesPolicy)
	}
	out, diags := schema.Format(name, src)
	if diags.HasErrors() {
		printDiagnostics(c.ErrOrStderr(), schema.FilesOf(name, src), diags)
		return false, exitCode(exitError)
	}
	if bytes.Equal(src, out) {
		return false, nil
	}
	fmt.Fprintln(c.OutOrStdout(), name)
	if diff {
		printDiff(c, src, out)
	}
	if check {
		return true, nil
	}
	if err := emit.Replace(name, out, 0o644); err != nil {
		return true, cannotWrite(filepath.Dir(name), err, takesFmt)
	}
	return true, nil
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
