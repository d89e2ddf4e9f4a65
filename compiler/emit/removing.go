package emit

import (
	"bytes"

	"github.com/seawall/seawall/compiler/packet"
)

// Removing is a seawall.sh that also deletes rules from a DOCKER-USER that was not shared
// before: those that an earlier policy put there, as iptables-save prints them, after the
// name of the chain. It does not load where one of them is missing.
func Removing(script File, rules map[packet.Family][]string) File {
	for f, end := range map[packet.Family]string{packet.IPv4: endV4, packet.IPv6: endV6} {
		var b bytes.Buffer
		for _, r := range rules[f] {
			b.WriteString("-D DOCKER-USER " + r + "\n")
		}
		b.WriteString(end + "\n}\n")
		script.Bytes = bytes.Replace(script.Bytes, []byte(end+"\n}\n"), b.Bytes(), 1)
	}
	return script
}
