//go:build linux

package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// Backend is one of the two back ends of iptables.
type Backend string

// Both back ends.
const (
	NFT    Backend = "nft"
	Legacy Backend = "legacy"
)

// Backends are both back ends.
var Backends = []Backend{NFT, Legacy}

// Command is the name of a family's program, with a suffix such as "-restore".
func (b Backend) Command(f packet.Family, suffix string) string {
	name := "iptables-"
	if f == packet.IPv6 {
		name = "ip6tables-"
	}
	return name + string(b) + suffix
}

// Save returns what iptables-save prints of a table, without the comments that
// hold the time.
func (b Backend) Save(n *Namespace, f packet.Family, table string) string {
	n.t.Helper()
	c := n.Command(b.Command(f, "-save"), "-t", table)
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	if err := c.Run(); err != nil {
		n.t.Fatalf("%s: %v\n%s", b.Command(f, "-save"), err, errOut.String())
	}
	var kept []string
	for _, line := range strings.Split(out.String(), "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n") + "\n"
}

// Table reads the filter table that the kernel holds now, with its ipsets.
func (b Backend) Table(n *Namespace, f packet.Family) *iptables.Table {
	n.t.Helper()
	file, err := iptables.Parse([]byte(b.Save(n, f, "filter")), iptables.Options{Family: f})
	if err != nil {
		n.t.Fatal(err)
	}
	sets, err := ipset.Parse([]byte(n.Must("ipset", "save")))
	if err != nil {
		n.t.Fatal(err)
	}
	t := file.Table("filter")
	if t != nil {
		t.Sets = sets
	}
	return t
}

// Load loads the files of a format from a folder, and gives all that was said.
func (b Backend) Load(n *Namespace, format, dir string) (string, error) {
	if format == "shell" {
		c := n.Command("sh", filepath.Join(dir, "seawall.sh"))
		c.Env = append(os.Environ(), "IPTABLES="+b.Command(packet.IPv4, ""), "IP6TABLES="+b.Command(packet.IPv6, ""))
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if format == "nftables" {
		return n.Run(nil, "nft", "-f", filepath.Join(dir, "seawall.nft"))
	}
	said := ""
	if sets, err := os.ReadFile(filepath.Join(dir, "ipset")); err == nil {
		out, err := n.Run(bytes.NewReader(sets), "ipset", "restore")
		if said += out; err != nil {
			return said, err
		}
	}
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		name, args := map[packet.Family]string{packet.IPv4: "iptables", packet.IPv6: "ip6tables"}[f], []string{}
		if format == "restore" {
			name, args = map[packet.Family]string{packet.IPv4: "rules.v4", packet.IPv6: "rules.v6"}[f], []string{"--noflush"}
		}
		src, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return said, err
		}
		out, err := n.Run(bytes.NewReader(src), b.Command(f, "-restore"), args...)
		said += out
		if err != nil {
			return said, err
		}
	}
	return said, nil
}
