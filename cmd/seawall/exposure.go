package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/doctor"
	"github.com/seawall/seawall/compiler/exposure"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/spf13/cobra"
)

func exposureCommand() *cobra.Command {
	h := &hostFlags{}
	format := ""
	c := &cobra.Command{
		Use:   "exposure [--rules FILE]",
		Short: "Show every published port and who can reach it, as the chains stand",
		Long: `Show every port that Docker opens on this host, or in saved rules, and who can reach
it from each interface: published ports, ports of routed and unprotected networks,
and those of a swarm. seawall follows the first packet of a connection through raw,
mangle, nat and filter of iptables and the base chains of nftables, as the kernel does,
over DNAT to FORWARD, or to docker-proxy and INPUT. A drop in any of them is final, and
an accept is not. Sources are exact, and rules of other software count. A rule that
cannot be evaluated is named.

Containers are named if the Docker daemon answers, or with --inspect.

Without --rules it reads the host's rules, which needs root: those of iptables, and
with nft the tables of nftables. What could not be read is noted.`,
		Example: `  seawall exposure
  iptables-save > v4; ip6tables-save > v6; nft list ruleset > nft
  docker inspect $(docker ps -q) > inspect.json
  seawall exposure --rules v4 --rules v6 --rules nft --inspect inspect.json --in eth0 --format markdown`,
		Args: noPath("Saved rules are named with --rules, the output of docker inspect with --inspect"),
		RunE: func(c *cobra.Command, args []string) error {
			host, err := h.read(c)
			if err != nil {
				return err
			}
			report, err := exposure.Of(c.Context(), exposure.Host{Families: host.Families, Interfaces: host.Interfaces, RouteLocalnet: routeLocalnet(host), Unseen: host.Facts.Unseen}, prove.Limits{})
			if err != nil {
				return err
			}
			text, err := writeExposure(report, format)
			if err != nil {
				return err
			}
			_, err = io.WriteString(formatted(c, format), text)
			return err
		},
	}
	h.register(c)
	c.Flags().StringVar(&format, "format", "text", "text, markdown, html or json")
	choices(c, "format", "text", "markdown", "html", "json")
	return c
}

// routeLocalnet are the interfaces of a live host on which the kernel takes packets to the
// loopback: it does where the interface says so, or all do (include/linux/inetdevice.h,
// IN_DEV_ORCONF).
func routeLocalnet(h *doctor.Host) []string {
	if !h.Facts.Live {
		return nil
	}
	on := func(name string) bool {
		text, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + name + "/route_localnet")
		return err == nil && strings.TrimSpace(string(text)) == "1"
	}
	return slices.DeleteFunc(slices.Clone(h.Interfaces), func(name string) bool { return !on("all") && !on(name) })
}

// writeExposure is the report in a format.
func writeExposure(r *exposure.Report, format string) (string, error) {
	switch format {
	case "text":
		return r.Text(), nil
	case "markdown":
		return r.Markdown(), nil
	case "html":
		return r.HTML()
	case "json":
		text, err := r.JSON()
		return string(text), err
	}
	return "", fmt.Errorf("--format is text, markdown, html or json, not %q", format)
}
