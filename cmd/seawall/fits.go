package main

import (
	"errors"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

// fits prints what of a policy the files of a format cannot carry out, and ends the
// command.
func fits(c *cobra.Command, loaded *schema.Loaded, f *emit.Format) error {
	err := compiler.Fits(loaded.Document, f)
	e, ok := errors.AsType[*compiler.UnfitError](err)
	if !ok {
		return err
	}
	at := e.At
	printDiagnostics(c.ErrOrStderr(), loaded.Files, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: e.Summary, Detail: e.Detail, Subject: &at}})
	return exitCode(exitError)
}
