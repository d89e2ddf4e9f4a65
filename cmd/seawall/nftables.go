package main

import (
	"errors"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

// fitsNFTables prints where a policy accepts what a table of nftables cannot accept,
// and ends the command.
func fitsNFTables(c *cobra.Command, loaded *schema.Loaded) error {
	err := compiler.FitsNFTables(loaded.Document)
	e, ok := errors.AsType[*compiler.NeedsMarkError](err)
	if !ok {
		return err
	}
	at := e.At
	printDiagnostics(c.ErrOrStderr(), loaded.Files, hcl.Diagnostics{{
		Severity: hcl.DiagError, Summary: "An accept that nftables cannot carry out", Subject: &at,
		Detail: e.What + " lets packets past Docker's own rules. In nftables an accept only ends the rules of its own table, and Docker's rules come after them. Docker lets packets with a certain mark through: start it with --bridge-accept-fwmark=0x1/0x1 (Docker 29 or later), and write accept_mark = \"0x1\" into the host block. Or leave the accept out: what Docker publishes passes without it.",
	}})
	return exitCode(exitError)
}
