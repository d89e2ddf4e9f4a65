package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/doctor"
	"github.com/seawall/seawall/compiler/host"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/system"
	"github.com/spf13/cobra"
)

// hostFlags are the flags of the commands that look at a host: this one, or one
// whose rules were saved.
type hostFlags struct {
	files   []string
	sets    string
	in      []string
	family  string
	inspect string
}

func (h *hostFlags) register(c *cobra.Command) {
	c.Flags().StringArrayVar(&h.files, "rules", nil, "read saved rules: a `FILE` that iptables-save or ip6tables-save printed, with all tables, one for each family; and one that nft list ruleset printed, as text or JSON, for the tables of nftables")
	c.Flags().StringArrayVar(&h.in, "in", nil, "an `INTERFACE` on which traffic from outside arrives (default those of the default routes, or eth0 with --rules)")
	c.Flags().StringVar(&h.family, "family", "", "the address family of the saved rules, 4 or 6, when neither they nor the file's name show it")
	c.Flags().StringVar(&h.inspect, "inspect", "", "a `FILE` with the output of docker inspect and docker network inspect, or - for standard input (by default, and without --rules, the daemon is asked)")
	registerSets(c, &h.sets)
	choices(c, "family", "4", "6")
}

// read looks at the host.
func (h *hostFlags) read(c *cobra.Command) (*doctor.Host, error) {
	if err := checkInterfaces(h.in); err != nil {
		return nil, err
	}
	look := h.live
	if len(h.files) > 0 {
		look = h.saved
	}
	host, err := look(c)
	if err != nil {
		return nil, err
	}
	known, err := readKnown(c, h.inspect)
	if err != nil {
		return nil, err
	}
	if known == nil && host.Facts.Live {
		known = askDaemon(c.Context())
		host.Facts.Daemon = known != nil
	}
	for i := range host.Families {
		host.Families[i].Known = known
	}
	if facts := &host.Facts; facts.Live {
		facts.System = thisSystem(known != nil && known.Nftables)
	}
	return host, nil
}

// thisSystem is what loads rules at boot here; nftables says that Docker has no
// DOCKER-USER.
func thisSystem(nftables bool) *system.System {
	facts := host.SystemFacts()
	facts.NFTables = nftables
	return system.Of(facts)
}

func (h *hostFlags) saved(c *cobra.Command) (*doctor.Host, error) {
	saved := &doctor.Host{Interfaces: h.in}
	if len(h.in) == 0 {
		saved.Interfaces = []string{"eth0"}
	}
	family, err := parseFamily(h.family)
	if err != nil {
		return nil, err
	}
	sets, err := readSets(h.sets)
	if err != nil {
		return nil, err
	}
	var read hostRules
	for _, name := range h.files {
		src, shown, err := readInput(c, name, takesRules)
		if err != nil {
			return nil, err
		}
		if err := read.add(shown, src, family, sets); err != nil {
			return nil, err
		}
	}
	saved.Families, err = read.families()
	return saved, err
}

// hostRules are the rules of a host, out of one file for each family and one of nft.
type hostRules struct {
	saved []*iptables.File // of iptables-save
	other []*iptables.File // of the other back end of iptables
	nft   *nftables.File
	shown string          // the name of nft's
	only  []packet.Family // for which nft's is read
}

// add reads a file; family 0 is what the file says.
func (h *hostRules) add(shown string, src []byte, family packet.Family, sets ipset.Sets) error {
	list, err := readRules(shown, src, compiler.ReadOptions{Family: family, Sets: sets})
	if err != nil {
		return err
	}
	if list[0].NFT != nil {
		if h.nft != nil {
			return fmt.Errorf("%s is the second ruleset of nft; name one", shown)
		}
		h.nft, h.shown = list[0].NFT, shown
		for _, r := range list {
			h.only = append(h.only, r.Family())
		}
		return nil
	}
	for _, r := range list {
		if slices.ContainsFunc(h.saved, func(f *iptables.File) bool { return f.Family == r.Family() }) {
			return fmt.Errorf("%s is the second file for %v; name one file per family", shown, r.Family())
		}
		h.saved = append(h.saved, r.File)
	}
	return nil
}

// families are the tables of each family. Where iptables-save's are given, nft's are beside them;
// those of a family without such a file are only known where they are all nft's.
func (h *hostRules) families() ([]docker.Tables, error) {
	var list []docker.Tables
	for _, f := range h.saved {
		list = append(list, h.beside(docker.TablesOf(f)))
	}
	if h.nft == nil {
		return list, nil
	}
	byNFT := len(list) == 0 || list[0].ByNFT()
	for _, f := range h.only {
		given := slices.ContainsFunc(list, func(t docker.Tables) bool { return t.Family == f })
		if byNFT && !given {
			list = append(list, h.beside(docker.Tables{Family: f}))
		}
	}
	for _, t := range list {
		if !t.OfIPTables() && docker.OnIPTables(t.NFT) {
			return nil, fmt.Errorf("%s has Docker's rules of iptables, which nft prints incompletely. Save them with iptables-save and ip6tables-save instead, and name those files as well", h.shown)
		}
	}
	slices.SortStableFunc(list, func(a, b docker.Tables) int {
		return cmp.Compare(slices.Index(packet.Families, a.Family), slices.Index(packet.Families, b.Family))
	})
	return list, nil
}

// beside adds what else the host has to the tables of a family.
func (h *hostRules) beside(t docker.Tables) docker.Tables {
	for _, f := range h.other {
		if f.Family == t.Family {
			t.Other = f
		}
	}
	if h.nft != nil {
		t = t.Beside(h.nft, slices.Concat(h.saved, h.other)...)
	}
	return t
}

// checkInterfaces rejects what is not the name of an interface.
func checkInterfaces(names []string) error {
	const longest = 15 // IFNAMSIZ, without its NUL
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, "+"):
			return fmt.Errorf("--in is one interface, such as eth0, not a pattern: %q", name)
		case name == "" || len(name) > longest || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '/' || r > '~' }):
			return fmt.Errorf("--in is the name of an interface, such as eth0, of at most %d characters: %q", longest, name)
		}
	}
	return nil
}

// defaultInterfaces are those of the default routes, or eth0 where there are none.
func defaultInterfaces() []string {
	list, err := host.DefaultInterfaces()
	if err != nil || len(list) == 0 {
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
	f.UFW, f.Persistent = host.UFW(), host.Persistent()
	f.NoIPTables = !host.ThisHost().HasIPTables()
	f.Applied = host.Applied(defaultRunDir)
	unit, err := host.ReadUnit(host.UnitFolder)
	f.Unit = (*doctor.Unit)(unit)
	return err
}
