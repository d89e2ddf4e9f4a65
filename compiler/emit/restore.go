package emit

import (
	"fmt"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// Restore is a file for iptables-restore --noflush.
var Restore = register(Format{
	Name: "restore", Order: 2,
	Summary:     "rules.v4 and rules.v6 for iptables-restore --noflush, loaded at any time",
	Files:       func(c *Chains) []File { return perFamily(c, "rules.v4", "rules.v6", restore) },
	SwitchOn:    jumpCommands,
	SwitchOnWhy: "a restore file cannot make the jumps to its chains. Run these once per host, after every boot:",
})

// restore is a file for iptables-restore --noflush: loading it twice is the same as once.
//
// Built-in chains are not flushed by --noflush, and a file cannot ask what is
// in them: a jump in the file would be there once more after each load. So
// the jumps are not in the file. They are made once per host, after every boot, by the commands
// that the file names at its top.
func restore(c *Chains, f packet.Family) []byte {
	t := c.Table(f)
	b := begun(c, t)
	fmt.Fprintf(b, "# Load: %s-restore --noflush < FILE. Needed once per host, after every boot:\n", command(f))
	for _, line := range jumpCommands(c, f) {
		fmt.Fprintf(b, "#   %s\n", line)
	}
	replacing(b, t)
	return b.Bytes()
}

// jumpCommands are the commands that make the jumps to the policy's chains
// where they are missing. They can be run any number of times.
func jumpCommands(c *Chains, f packet.Family) []string {
	var list []string
	if c.Shared {
		list = append(list, fmt.Sprintf("%[1]s -n -L %[2]s >/dev/null 2>&1 || %[1]s -N %[2]s", command(f), iptables.DockerUser))
	}
	for _, j := range jumps(c) {
		list = append(list, fmt.Sprintf("%[1]s -C %[2]s 2>/dev/null || %[1]s -I %[2]s", command(f), j))
	}
	return list
}
