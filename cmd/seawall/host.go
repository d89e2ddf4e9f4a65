package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/doctor"
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
	sets, err := liveSets()
	if err != nil {
		return nil, err
	}
	for _, f := range []rules.Family{rules.IPv4, rules.IPv6} {
		src, err := saved(f, "")
		if err != nil {
			return nil, err
		}
		if err := addFamily(host, "the kernel's rules", src, f, sets); err != nil {
			return nil, err
		}
	}
	return host, liveFacts(&host.Facts)
}

// saved is what iptables-save prints, of a back end or of the one in use.
func saved(f rules.Family, backend string) ([]byte, error) {
	name := "iptables"
	if f == rules.IPv6 {
		name = "ip6tables"
	}
	name += backend + "-save"
	c := exec.Command(name)
	var errOut bytes.Buffer
	c.Stderr = &errOut
	out, err := c.Output()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("%s is not installed here; name saved rules with --rules", name)
	case err != nil:
		return nil, fmt.Errorf("%s: %s. Reading the host's rules needs root; saved ones are named with --rules", name, strings.TrimSpace(errOut.String()))
	}
	return out, nil
}

// liveSets are the ipsets of the kernel; none where there is no ipset.
func liveSets() (rules.Sets, error) {
	out, err := exec.Command("ipset", "save").Output()
	if err != nil {
		return nil, nil // a match of a set is then undecided, and is said to be
	}
	return parseSets("ipset save", out)
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
	version, err := exec.Command("iptables", "-V").Output()
	if err != nil {
		return nil // it was there a moment ago, to save; nothing is known of a second one
	}
	other, suffix := "legacy", "-legacy"
	if !strings.Contains(string(version), "nf_tables") {
		other, suffix = "nf_tables", "-nft"
	}
	if out, err := saved(rules.IPv4, suffix); err == nil && bytes.Contains(out, []byte("\n-A ")) {
		f.OtherBackend = other
	}
	return nil
}
