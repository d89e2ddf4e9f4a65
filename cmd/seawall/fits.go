package main

import (
	"errors"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
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
	return refuse(c, loaded, e.Summary, e.Detail, e.At)
}

// fitsShared is the same for files that would undo what others put into DOCKER-USER.
func fitsShared(c *cobra.Command, loaded *schema.Loaded, f *emit.Format) error {
	err := compiler.FitsShared(loaded.Document, f)
	e, ok := errors.AsType[*compiler.SharedError](err)
	if !ok {
		return err
	}
	return refuse(c, loaded, e.Summary, e.Detail, e.At)
}

func refuse(c *cobra.Command, loaded *schema.Loaded, summary, detail string, at hcl.Range) error {
	printDiagnostics(c.ErrOrStderr(), loaded.Files, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: &at}})
	return exitCode(exitError)
}
