package main

import (
	"fmt"
	"runtime/debug"

	"github.com/seawall/seawall/compiler/lsp"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func lspCommand() *cobra.Command {
	p := &policyFlags{}
	c := &cobra.Command{
		Use:   "lsp",
		Short: "Serve an editor: mistakes and findings while you type, completion, rename and more",
		Long: `Serve an editor as a language server, over standard input and output. An editor
starts it; examples/editors has the settings of VS Code, Neovim, Helix and Emacs.

It shows mistakes and findings while you type, completes names, attributes and
words, says what stands under the cursor and who mentions an address, finds and
renames names, formats, fixes findings, and says over each policy who reaches it.

A policy is the folder of the file, or the file alone where several files of the
folder have a host block. What --var and --var-file set, the editor may set too:
varFiles and vars of initializationOptions, or of the section seawall of its
settings, with paths relative to the folder that is open around the policy.`,
		Example: `  seawall lsp
  seawall lsp --var-file hosts/db1.vars.hcl`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f, ok := c.InOrStdin().(interface{ Fd() uintptr }); ok && term.IsTerminal(int(f.Fd())) {
				return fmt.Errorf("seawall lsp is started by an editor and speaks its protocol, not by hand. examples/editors has the settings")
			}
			defer debug.SetGCPercent(debug.SetGCPercent(400)) // each letter makes garbage of little that stays
			reading := p.options(c)
			reading.Stdin = nil
			return lsp.Serve(c.Context(), c.InOrStdin(), write(c, byteForm), lsp.Options{Version: versionText(), Reading: reading})
		},
	}
	p.register(c)
	return c
}
