package main

import (
	"fmt"
	"io"
	"time"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/doctor"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/spf13/cobra"
)

// settles is how long Docker takes to write the rules of a container or a network.
const settles = time.Second

// examined looks at a host, and at one that is live a second time where something is
// wrong: its rules and what Docker says are not read at one moment, and a container that
// starts in between is nothing that is wrong.
func examined(c *cobra.Command, h *hostFlags) (*doctor.Host, []doctor.Finding, error) {
	host, err := h.read(c)
	if err != nil {
		return nil, nil, err
	}
	found := doctor.Run(c.Context(), host, prove.Limits{})
	if len(found) == 0 || !host.Facts.Live || h.inspect != "" {
		return host, found, nil
	}
	select {
	case <-c.Context().Done():
		return nil, nil, c.Context().Err()
	case <-time.After(settles):
	}
	if host, err = h.read(c); err != nil {
		return nil, nil, err
	}
	return host, doctor.Run(c.Context(), host, prove.Limits{}), nil
}

func doctorCommand() *cobra.Command {
	h := &hostFlags{}
	c := &cobra.Command{
		Use:   "doctor [--rules FILE]",
		Short: "Find what is wrong with a host's Docker chains, and how to fix it",
		Long: `Find what is wrong with the Docker chains of this host, or of saved rules: chains and
rules of Docker that are missing, a jump to DOCKER-USER that does not work, rules
that do something other than what their author meant, and published ports that can
be reached past DOCKER-USER. Each finding states which traffic it affects, worked out
from the chains, and the commands that fix it.

Without --rules it reads the host's rules, which needs root: those of iptables, of both
its back ends, and with nft the tables of nftables, Seawall's own, Docker's and others.
A drop in any of them is final, so a finding about an open port is none where a table
closes it. It asks the Docker daemon for its networks and containers. For saved rules,
--inspect supplies them: some missing rules can be found only that way. What could not
be read is noted. Exit 0 when nothing is wrong, 2 with findings.`,
		Example: `  seawall doctor
  iptables-save > v4; ip6tables-save > v6; nft list ruleset > nft
  docker network inspect $(docker network ls -q) > known; docker inspect $(docker ps -q) >> known
  seawall doctor --rules v4 --rules v6 --rules nft --inspect known`,
		Args: noPath("Saved rules are named with --rules"),
		RunE: func(c *cobra.Command, args []string) error {
			host, found, err := examined(c, h)
			if err != nil {
				return err
			}
			if _, err := io.WriteString(c.OutOrStdout(), doctor.Text(found)); err != nil {
				return err
			}
			if len(found) > 0 {
				for _, n := range doctor.NotesBeside(c.Context(), host, prove.Limits{}) {
					fmt.Fprintf(c.OutOrStdout(), "\nNote: %s\n", n)
				}
				return exitCode(exitDiffers)
			}
			for _, n := range doctor.Notes(c.Context(), host, prove.Limits{}) {
				fmt.Fprintf(c.OutOrStdout(), "Note: %s\n", n)
			}
			for _, t := range host.Families {
				fmt.Fprintf(c.OutOrStdout(), "IPv%d: %s, nothing wrong.\n", t.Family, docker.Look(t).Engine)
			}
			return nil
		},
	}
	h.register(c)
	return c
}
