package main

import (
	"errors"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

// fitsNFTables prints what of a policy a table of nftables cannot carry out, and ends
// the command.
func fitsNFTables(c *cobra.Command, loaded *schema.Loaded) error {
	err := compiler.FitsNFTables(loaded.Document)
	e, ok := errors.AsType[*compiler.NFTablesError](err)
	if !ok {
		return err
	}
	at := e.At
	printDiagnostics(c.ErrOrStderr(), loaded.Files, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: e.Summary, Detail: e.Detail, Subject: &at}})
	return exitCode(exitError)
}
