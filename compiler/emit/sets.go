package emit

import (
	"bytes"
	"fmt"
)

// SetsFile is the name of the file that has the ipsets of a format.
const SetsFile = "ipset"

// sets is the file for ipset restore of both families; nil when the rules
// match no set. It has to be loaded before the rules: without its sets
// iptables-restore loads none of them.
func sets(c *Chains) []byte {
	if len(c.V4.SetText)+len(c.V6.SetText) == 0 {
		return nil
	}
	return setsText(c)
}

// setsToBoot is sets for a file of its own, which is loaded at boot: it also creates the
// sets that others fill, where they are missing, for no rule loads without them. They come
// last: one that is there with other options stops ipset restore, and then it is there
// already. A script, which runs on a host where they are, leaves them alone.
func setsToBoot(c *Chains) []byte {
	if len(c.V4.SetText)+len(c.V6.SetText)+len(c.V4.Awaited)+len(c.V6.Awaited) == 0 {
		return nil
	}
	b := bytes.NewBuffer(setsText(c))
	awaited(b, c.V4.Awaited, "inet")
	awaited(b, c.V6.Awaited, "inet6")
	return b.Bytes()
}

func setsText(c *Chains) []byte {
	var b bytes.Buffer
	for _, line := range head(c) {
		fmt.Fprintf(&b, "# %s\n", line)
	}
	b.WriteString("# Load before the rules, at any time: ipset restore < FILE\n")
	b.Write(c.V4.SetText)
	b.Write(c.V6.SetText)
	return b.Bytes()
}

func awaited(b *bytes.Buffer, names []string, family string) {
	for _, name := range names {
		fmt.Fprintf(b, "# others fill it; empty until they do. Delete this line if its owner creates it with other options.\ncreate -exist %s %s\n", name, awaitedType(family))
	}
}

// awaitedType is the type of a set that others fill, where they have not created it:
// their entries may have timeouts.
func awaitedType(family string) string {
	return "hash:net family " + family + " maxelem 1048576 timeout 0"
}

// SetsOf returns the text for ipset restore that belongs to the files of a
// format; nil when there is none.
func SetsOf(files []File) ([]byte, error) {
	for _, f := range files {
		if f.Sets {
			return f.Bytes, nil
		}
		if f.Executable {
			s, err := ReadScript(f.Bytes)
			if err != nil {
				return nil, err
			}
			return s.Sets, nil
		}
	}
	return nil, nil
}
