package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/client"
	"github.com/seawall/seawall/compiler/doctor"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/host"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

// The values of --format of the commands that read or change the kernel's rules.
const (
	iptablesBackend = "iptables"
	nftablesBackend = "nftables"
)

// backend is a value of --format.
type backend struct {
	of    func(*host.Host, *schema.Document) host.Backend
	file  *emit.Format             // what it loads
	place string                   // where its rules are
	diff  func(path string) string // the command that shows all changes
}

var backends = map[string]backend{
	iptablesBackend: {
		of:   func(h *host.Host, _ *schema.Document) host.Backend { return h.IPTables() },
		file: emit.Shell, place: "DOCKER-USER",
		diff: func(path string) string {
			return "iptables-save | seawall diff - " + doctor.ShellWord(path) + ", and the same with ip6tables-save"
		},
	},
	nftablesBackend: {
		of: func(h *host.Host, doc *schema.Document) host.Backend {
			return h.NFT(nftables.RuleOptions{AcceptMark: doc.Host.AcceptMark})
		},
		file: emit.NFTables, place: "the table inet seawall",
		diff: func(path string) string { return "nft list ruleset | seawall diff - " + doctor.ShellWord(path) },
	},
}

func registerBackend(c *cobra.Command, format *string, what string) {
	names := []string{iptablesBackend, nftablesBackend}
	c.Flags().StringVar(format, "format", iptablesBackend, what+": "+strings.Join(names, " or "))
	choices(c, "format", names...)
}

func checkBackend(name string) error {
	if _, ok := backends[name]; ok {
		return nil
	}
	hint := ""
	if slices.Contains(emit.Names(), name) {
		hint = ". The other formats are files; compile writes them"
	}
	return fmt.Errorf("--format is %s or %s, not %q%s", iptablesBackend, nftablesBackend, name, hint)
}

// checkDocker refuses to load rules for DOCKER-USER where Docker has none, unless the
// user has asked for them.
func (a *applying) checkDocker() error {
	if a.c.Flags().Changed("format") || a.format != iptablesBackend {
		return nil
	}
	api, err := dockerClient("")
	if err != nil {
		return nil // there is none that could be asked
	}
	defer func() { _ = api.Close() }()
	ctx, cancel := context.WithTimeout(a.c.Context(), daemonAnswers)
	defer cancel()
	info, err := api.Info(ctx, client.InfoOptions{})
	if err != nil || info.Info.FirewallBackend == nil || info.Info.FirewallBackend.Driver != "nftables" {
		return nil
	}
	return errors.New("this host's Docker runs with its nftables firewall backend, which has no chain DOCKER-USER. Use --format nftables; or --format iptables, to have that chain called by iptables all the same")
}

// warnOfFirewalld says that rules in DOCKER-USER do not hold beside firewalld.
func (a *applying) warnOfFirewalld() {
	if a.format == iptablesBackend && host.Firewalld() {
		fmt.Fprintln(a.c.ErrOrStderr(), "Warning: firewalld runs here. When it reloads, Docker puts its own rules before DOCKER-USER, and what the policy denies gets in. A table of its own holds: --format nftables")
	}
}
