package main

import (
	"fmt"
	"io"

	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/explain"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

func explainCommand() *cobra.Command {
	p, text := &policyFlags{}, &packetText{}
	r := &rulesFlags{}
	file, asJSON := "", false
	c := &cobra.Command{
		Use:   "explain [PATH] --from ADDRESS --to [ADDRESS:]PORT[/PROTOCOL]",
		Short: "Trace one packet through a policy and its rules",
		Long: `Show the way of one packet: each step of the policy, the line that decides, and the
rules that implement it. With --rules, also the way through the chains of that
file.

The packet is a new connection to a published port unless flags say otherwise.`,
		Example: `  seawall explain --from 203.0.113.9 --to 8080
  seawall explain policy.hcl --from 2001:db8::1 --to '[2001:db8::7]:443/tcp' --chain input
  seawall explain policy.hcl --from 10.8.9.1 --to 5432 --rules /etc/sysconfig/iptables`,
		Args: onePath,
		RunE: func(c *cobra.Command, args []string) error {
			loaded, err := p.load(c, args)
			if err != nil {
				return err
			}
			packet, err := text.Packet(loaded.Document)
			if err != nil {
				return err
			}
			if text.Note != "" {
				fmt.Fprintf(c.ErrOrStderr(), "Note: %s.\n", text.Note)
			}
			e, err := trace(c, loaded, packet, file, r)
			if err != nil {
				return err
			}
			if asJSON {
				return e.JSON(write(c, jsonForm))
			}
			_, err = io.WriteString(c.OutOrStdout(), e.Text(loaded.Files))
			return err
		},
	}
	p.register(c)
	text.register(c)
	c.Flags().StringVar(&file, "rules", "", "also show the way through this rules `FILE`")
	r.register(c)
	c.Flags().BoolVar(&asJSON, "json", false, "write the answer as JSON")
	return c
}

// trace follows a packet through a policy and, with --rules, through that file too.
func trace(c *cobra.Command, loaded *schema.Loaded, p packet.Packet, file string, flags *rulesFlags) (*explain.Explanation, error) {
	e, err := explain.Trace(c.Context(), loaded, p)
	if err != nil {
		return nil, unproved(err)
	}
	if file == "" {
		return e, nil
	}
	e.Name = file
	flags.family = fmt.Sprint(int(p.Family()))
	list, err := flags.read(c, file)
	if err != nil {
		return nil, err
	}
	e.File = dialect.Trace(list[0].For(loaded.Document), p)
	if e.File.Unsure() != nil {
		e.File.Verdict, err = prove.At(c.Context(), list[0].For(loaded.Document), p, prove.Limits{})
	}
	return e, err
}
