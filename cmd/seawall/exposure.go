package main

import (
	"fmt"
	"io"

	"github.com/seawall/seawall/compiler/exposure"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/spf13/cobra"
)

func exposureCommand() *cobra.Command {
	h := &hostFlags{}
	format := ""
	c := &cobra.Command{
		Use:   "exposure [--rules FILE]",
		Short: "Show every published port, and who reaches it, as the chains stand",
		Long: `Show every published port of this host, or of saved rules, and who reaches it
from each interface: over DNAT and the whole of FORWARD, and over docker-proxy
and the whole of INPUT, as the chains stand. The sources are worked out
exactly, other software's rules included.

Without --rules it reads the host's rules, for which it needs root.`,
		Example: `  seawall exposure
  iptables-save > v4; ip6tables-save > v6
  seawall exposure --rules v4 --rules v6 --in eth0 --format markdown`,
		Args: noPath("Saved rules are named with --rules"),
		RunE: func(c *cobra.Command, args []string) error {
			host, err := h.read(c)
			if err != nil {
				return err
			}
			ports, err := exposure.Of(c.Context(), host.Families, host.Interfaces, prove.Limits{})
			if err != nil {
				return err
			}
			text := ""
			switch format {
			case "text":
				text = exposure.Text(ports)
			case "markdown":
				text = exposure.Markdown(ports)
			case "html":
				text, err = exposure.HTML(ports)
			case "json":
				var raw []byte
				raw, err = exposure.JSON(ports)
				text = string(raw)
			default:
				return fmt.Errorf("--format is text, markdown, html or json, not %q", format)
			}
			if err != nil {
				return err
			}
			_, err = io.WriteString(c.OutOrStdout(), text)
			return err
		},
	}
	h.register(c)
	c.Flags().StringVar(&format, "format", "text", "text, markdown, html or json")
	choices(c, "format", "text", "markdown", "html", "json")
	return c
}
