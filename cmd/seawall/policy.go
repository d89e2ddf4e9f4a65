package main

import (
	"os"

	"github.com/seawall/seawall/compiler/progress"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

// policyFlags are the flags of every command that reads a policy.
type policyFlags struct {
	vars     []string
	varFiles []string
	anyFiles bool
}

func (p *policyFlags) register(c *cobra.Command) {
	c.Flags().StringArrayVar(&p.vars, "var", nil, "set a variable: `NAME=VALUE`")
	c.Flags().StringArrayVar(&p.varFiles, "var-file", nil, "set variables from a `FILE` (*.vars.hcl or *.vars.json)")
	c.Flags().BoolVar(&p.anyFiles, "allow-files", false, "let a set name list files outside of the policy's repository or folder")
}

// options are the flags as the library takes them.
func (p *policyFlags) options(c *cobra.Command) schema.Options {
	return schema.Options{Vars: p.vars, VarFiles: p.varFiles, AllowFiles: p.anyFiles, Env: os.Environ(), Stdin: c.InOrStdin()}
}

// load reads the policy of a command's arguments. Mistakes are printed, and
// end the command.
func (p *policyFlags) load(c *cobra.Command, args []string) (*schema.Loaded, error) {
	path := policyPath(args)
	progress.Report(c.Context(), "reading", path)
	loaded, diags := schema.Load(path, p.options(c))
	if len(diags) > 0 {
		printDiagnostics(c.ErrOrStderr(), loaded.Files, diags)
	}
	if diags.HasErrors() {
		return nil, exitCode(exitError)
	}
	return loaded, nil
}

func policyPath(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return args[0]
}
