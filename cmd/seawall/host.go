package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/doctor"
	"github.com/seawall/seawall/compiler/live"
	"github.com/seawall/seawall/compiler/rules"
	"github.com/spf13/cobra"
)

// hostFlags are the flags of the commands that look at a host: this one, or one
// whose rules were saved.
type hostFlags struct {
	files []string
	sets  string
	in    []string
}

func (h *hostFlags) register(c *cobra.Command) {
	c.Flags().StringArrayVar(&h.files, "rules", nil, "look at saved rules, a `FILE` of iptables-save or ip6tables-save with all its tables; may be given for each family")
	c.Flags().StringArrayVar(&h.in, "in", nil, "an `INTERFACE` on which traffic from outside arrives (default that of the default route, or eth0 with --rules)")
	registerSets(c, &h.sets)
}

// read looks at the host.
func (h *hostFlags) read(c *cobra.Command) (*doctor.Host, error) {
	if len(h.files) > 0 {
		return h.saved(c)
	}
	return h.live()
}

func (h *hostFlags) saved(c *cobra.Command) (*doctor.Host, error) {
	host := &doctor.Host{Interfaces: h.in}
	if len(h.in) == 0 {
		host.Interfaces = []string{"eth0"}
	}
	sets, err := readSets(h.sets)
	if err != nil {
		return nil, err
	}
	for _, name := range h.files {
		src, shown, err := readInput(c, name)
		if err != nil {
			return nil, err
		}
		if err := addFamily(host, shown, src, rules.GuessFamily(filepath.Base(shown), src), sets); err != nil {
			return nil, err
		}
	}
	return host, nil
}

func addFamily(host *doctor.Host, shown string, src []byte, family rules.Family, sets rules.Sets) error {
	f, err := rules.Parse(src)
	var e *rules.Error
	if errors.As(err, &e) {
		return fmt.Errorf("%s:%d: %s\n\n  %d: %s", shown, e.Line, e.Detail, e.Line, strings.TrimRight(e.Text, "\r"))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", shown, err)
	}
	for _, t := range host.Families {
		if t.Family == family {
			return fmt.Errorf("%s is the second file of IPv%d; one of each family is looked at", shown, family)
		}
	}
	t := docker.TablesOf(f, family)
	if t.Filter != nil {
		t.Filter.Sets = sets
	}
	host.Families = append(host.Families, t)
	return nil
}

// live reads the rules that the kernel holds, and what the host says beside them.
func (h *hostFlags) live() (*doctor.Host, error) {
	host := &doctor.Host{Interfaces: h.in, Facts: doctor.Facts{Live: true, Forwarding: map[int]bool{}, Active: map[string]bool{}}}
	if len(h.in) == 0 {
		host.Interfaces = defaultInterfaces()
	}
	now := live.ThisHost()
	sets, err := now.Sets()
	if err != nil {
		return nil, err
	}
	for _, f := range []rules.Family{rules.IPv4, rules.IPv6} {
		src, err := now.Saved(f)
		if err != nil {
			return nil, fmt.Errorf("%w. Saved rules can be named with --rules", err)
		}
		if err := addFamily(host, "the kernel's rules", src, f, sets); err != nil {
			return nil, err
		}
	}
	return host, liveFacts(&host.Facts)
}

// defaultInterfaces are those of the default routes (proc(5), /proc/net/route).
func defaultInterfaces() []string {
	src, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return []string{"eth0"}
	}
	var list []string
	for _, line := range strings.Split(string(src), "\n")[1:] {
		fields := strings.Fields(line)
		if len(fields) > 7 && fields[1] == "00000000" && fields[7] == "00000000" {
			list = append(list, fields[0])
		}
	}
	if len(list) == 0 {
		return []string{"eth0"}
	}
	return list
}

func liveFacts(f *doctor.Facts) error {
	src, err := os.ReadFile("/etc/docker/daemon.json")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f.DaemonJSON = src
	if on, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward"); err == nil {
		f.Forwarding[4] = strings.TrimSpace(string(on)) == "1"
	}
	for _, name := range []string{"firewalld", "ufw"} {
		f.Active[name] = exec.Command("systemctl", "is-active", "--quiet", name).Run() == nil
	}
	f.OtherBackend = live.ThisHost().OtherBackend()
	return nil
}
