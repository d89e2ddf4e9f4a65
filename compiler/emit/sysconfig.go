package emit

import (
	"bytes"
	"fmt"

	"github.com/seawall/seawall/compiler/rules"
)

// sysconfig is a whole filter table for a boot-time load, which flushes what is
// there. Docker starts later, keeps DOCKER-USER, and has one jump to it (FACTS
// section 7). The built-in chains' policies are the kernel's own; Docker sets
// FORWARD to DROP by itself.
func sysconfig(c *Chains, f rules.Family) []byte {
	t := c.Table(f)
	var b bytes.Buffer
	b.Grow(1<<12 + rules.Size(t.Lines))
	for _, line := range head(c) {
		fmt.Fprintf(&b, "# %s\n", line)
	}
	b.WriteString("*filter\n")
	for _, name := range []string{"INPUT", "FORWARD", "OUTPUT"} {
		fmt.Fprintf(&b, ":%s ACCEPT [0:0]\n", name)
	}
	declare(&b, t)
	for _, j := range jumps(c) {
		fmt.Fprintf(&b, "-A %s\n", j)
	}
	rules.PrintLines(&b, t.Lines)
	b.WriteString("COMMIT\n")
	return b.Bytes()
}
