package emit

import (
	"fmt"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// Sysconfig is a boot file: a whole filter table.
var Sysconfig = register(Format{
	Name: "sysconfig", Order: 1, Names: bootNames, Splice: Splice,
	Summary: "iptables and ip6tables for /etc/sysconfig, loaded at boot",
	Files:   func(c *Chains) []File { return perFamily(c, bootNames[0], bootNames[1], sysconfig) },
})

// bootNames are the names of boot files in /etc/sysconfig.
var bootNames = [2]string{"iptables", "ip6tables"}

// sysconfig is a whole filter table for a boot-time load, which flushes what is
// there. Docker starts later, keeps DOCKER-USER, and has one jump to it (NETFILTER.md
// section 7). The built-in chains' policies are the kernel's own; Docker sets
// FORWARD to DROP by itself.
func sysconfig(c *Chains, f packet.Family) []byte {
	t := c.Table(f)
	b := begun(c, t)
	b.WriteString("*filter\n")
	for _, name := range []string{"INPUT", "FORWARD", "OUTPUT"} {
		fmt.Fprintf(b, ":%s ACCEPT [0:0]\n", name)
	}
	declarations(b, c, t)
	for _, j := range jumps(c) {
		fmt.Fprintf(b, "-A %s\n", j)
	}
	iptables.PrintRules(b, t)
	b.WriteString("COMMIT\n")
	return b.Bytes()
}
