// Package emit turns a filter table's chains into the files that load them. It
// knows nothing of policies: the chains come in as rules.
//
//	format.go    what a format is
//	sysconfig.go a boot file
//	restore.go   a file for iptables-restore --noflush
//	shell.go     a script, and reading one back
//	base.go      splicing into a boot file that is there already
//	sets.go      the ipsets that rules of any format may ask for
//	write.go     files on a disk
package emit

import (
	"fmt"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// File is one file to be written.
type File struct {
	Name       string
	Bytes      []byte
	Executable bool
	// Families are those whose rules the file has.
	Families []packet.Family
	Sets     bool // it is for ipset restore, and has no rules
}

// Chains are the chains of both families, with what their files say at the top.
type Chains struct {
	Source string // what the chains were made from, for the first comment
	Layout string // which layout was picked, and why; "" when it was asked for
	V4, V6 *iptables.Table
	// ToHost says that INPUT must call SEAWALL-INPUT.
	ToHost bool
}

// Table returns the chains of a family.
func (c *Chains) Table(f packet.Family) *iptables.Table {
	if f == packet.IPv6 {
		return c.V6
	}
	return c.V4
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
func command(f packet.Family) string {
	if f == packet.IPv6 {
		return "ip6tables"
	}
	return "iptables"
}

// jumps are the calls of the policy's chains from the built-in ones.
func jumps(c *Chains) []string {
	list := []string{"FORWARD -j " + iptables.DockerUser}
	if c.ToHost {
		list = append([]string{"INPUT -j " + iptables.SeawallInput}, list...)
	}
	return list
}
