package main

import (
	"fmt"
	"io"

	"github.com/seawall/seawall/compiler/importer"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/spf13/cobra"
)

func importCommand() *cobra.Command {
	r := &rulesFlags{}
	in := ""
	c := &cobra.Command{
		Use:   "import FILE [FILE]",
		Short: "Write a policy that means what a DOCKER-USER chain means",
		Long: `Write a policy that means what an existing DOCKER-USER chain means, to standard
output. FILE is what iptables-save printed, a boot file, or ufw's after.rules;
with a second one both families are imported into one policy.

The policy is proved against the chain. What the language cannot say is listed
with the packets that it is about and the line of the file, and is never
dropped in silence. Exit 0 when the policy means the same, 2 when not wholly.`,
		Example: `  iptables-save > v4; ip6tables-save > v6
  seawall import v4 v6 > policy.hcl
  seawall import /etc/ufw/after.rules --in ens3`,
		Args: between(1, 2, "a FILE, or one of each family"),
		RunE: func(c *cobra.Command, args []string) error {
			var chains []importer.Chain
			for _, name := range args {
				list, err := r.read(c, name)
				if err != nil {
					return err
				}
				for _, f := range list {
					if len(chains) > 0 && chains[0].Family == f.Family() {
						return fmt.Errorf("%s is the second file of %v", f.Name, f.Family())
					}
					chains = append(chains, importer.Chain{Family: f.Family(), Table: f.Table})
				}
			}
			result, err := importer.Import(c.Context(), chains, in, prove.Limits{})
			if err != nil {
				return err
			}
			if _, err := c.OutOrStdout().Write(result.Policy); err != nil {
				return err
			}
			if len(result.Missing) == 0 {
				fmt.Fprintf(c.ErrOrStderr(), "The policy implements what the chain says%s.\n", ofFamilies(chains))
				return nil
			}
			writeMissing(c.ErrOrStderr(), chains, result)
			return exitCode(exitDiffers)
		},
	}
	c.Flags().StringVar(&in, "in", "eth0", "the `INTERFACE` on which traffic from outside arrives")
	r.register(c)
	return c
}

// ofFamilies says which packets the chains are about.
func ofFamilies(chains []importer.Chain) string {
	if len(chains) > 1 {
		return ", proved over all packets"
	}
	family := chains[0].Family
	other := packet.IPv4 + packet.IPv6 - family
	return fmt.Sprintf(", proved over all packets of %v. No rules for %v were given: their sources are not in it", family, other)
}

// writeMissing lists what the policy does not say.
func writeMissing(w io.Writer, chains []importer.Chain, r *importer.Result) {
	fmt.Fprintf(w, "The policy does not say all that the chain says. These packets are treated in another way:\n")
	for i, d := range r.Missing {
		fmt.Fprintf(w, "\n%d. %s\n   the chain says %s, the policy %s\n", i+1, d, d.File, d.Policy)
		for _, c := range chains {
			if c.Family != d.Family {
				continue
			}
			way := iptables.Trace(c.Table, d.Example)
			fmt.Fprintf(w, "   because of %s\n", lastStep(way))
			if d.Undecided() {
				fmt.Fprintf(w, "   it cannot be decided: %s\n", unsure(way))
			}
		}
		fmt.Fprintf(w, "   for example %s\n", d.Example)
	}
}
