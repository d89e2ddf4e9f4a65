// Package emit turns a filter table's chains into the files that load them:
// sysconfig.go for a boot file, restore.go for iptables-restore --noflush,
// shell.go for a script, base.go for a boot file that is there already, sets.go
// for the ipsets that rules of any format may ask for. It knows nothing of
// policies: the chains come in as rules.
package emit

import (
	"bytes"
	"fmt"

	"github.com/seawall/seawall/compiler/rules"
)

// Format is one of the ways to put rules on a host.
type Format string

// The formats of DESIGN section 4.
const (
	Sysconfig Format = "sysconfig"
	Restore   Format = "restore"
	Shell     Format = "shell"
)

// Formats are all formats, the default first.
var Formats = []Format{Sysconfig, Restore, Shell}

// File is one file to be written.
type File struct {
	Name       string
	Bytes      []byte
	Executable bool
	// Families are those whose rules the file has.
	Families []rules.Family
	Sets     bool // it is for ipset restore, and has no rules
}

// Chains are the chains of both families, with what their files say at the top.
type Chains struct {
	Source string // what the chains were made from, for the first comment
	Layout string // which layout was picked, and why; "" when it was asked for
	V4, V6 *rules.Table
	// ToHost tells whether INPUT must call SEAWALL-INPUT.
	ToHost bool
}

// Table gives the chains of a family.
func (c *Chains) Table(f rules.Family) *rules.Table {
	if f == rules.IPv6 {
		return c.V6
	}
	return c.V4
}

// Files gives the files of a format, IPv4 before IPv6.
func Files(format Format, c *Chains) []File {
	files := rulesFiles(format, c)
	if text := sets(c); text != nil && format != Shell {
		files = append(files, File{Name: "ipset", Bytes: text, Sets: true})
	}
	return files
}

func rulesFiles(format Format, c *Chains) []File {
	switch format {
	case Shell:
		return []File{{Name: "seawall.sh", Bytes: shell(c), Executable: true, Families: []rules.Family{rules.IPv4, rules.IPv6}}}
	case Restore:
		return []File{
			{Name: "rules.v4", Bytes: restore(c, rules.IPv4), Families: []rules.Family{rules.IPv4}},
			{Name: "rules.v6", Bytes: restore(c, rules.IPv6), Families: []rules.Family{rules.IPv6}}}
	}
	return []File{
		{Name: "iptables", Bytes: sysconfig(c, rules.IPv4), Families: []rules.Family{rules.IPv4}},
		{Name: "ip6tables", Bytes: sysconfig(c, rules.IPv6), Families: []rules.Family{rules.IPv6}}}
}

// head is the first comment of every file.
func head(c *Chains) []string {
	list := []string{fmt.Sprintf("Made by seawall from %s. Change that and compile again, not this file.", c.Source)}
	if c.Layout != "" {
		list = append(list, "Layout: "+c.Layout+".")
	}
	return list
}

// command is the name of a family's iptables.
func command(f rules.Family) string {
	if f == rules.IPv6 {
		return "ip6tables"
	}
	return "iptables"
}

// declare writes the declarations of a table's own chains, but for those that
// stand among the rules.
func declare(b *bytes.Buffer, t *rules.Table) {
	for _, c := range t.Chains {
		if !c.InText {
			fmt.Fprintf(b, ":%s - [0:0]\n", c.Name)
		}
	}
}

// jumps are the calls of the policy's chains from the built-in ones.
func jumps(c *Chains) []string {
	list := []string{"FORWARD -j " + rules.DockerUser}
	if c.ToHost {
		list = append([]string{"INPUT -j " + rules.SeawallInput}, list...)
	}
	return list
}
