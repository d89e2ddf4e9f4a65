package iptables

import (
	"testing"

	"github.com/seawall/seawall/compiler/packet"
)

// Targets of the nat table that make another packet of one are not part of the answer, so
// they are named; Docker's own are not.
func TestUnjudgedTranslations(t *testing.T) {
	for rule, named := range map[string]bool{
		"-A PREROUTING -d 198.51.100.0/24 -j NETMAP --to 10.0.0.0/24":                  true,
		"-A PREROUTING -p tcp -m tcp --dport 9999 -j REDIRECT --to-ports 8080":         true,
		"-A PREROUTING -p tcp -m tcp --dport 9999 -j DNAT --to-destination 172.17.0.2": true,
		"-A DOCKER -p tcp -m tcp --dport 9999 -j DNAT --to-destination 172.17.0.2":     false,
		"-A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE":                                false,
	} {
		file, err := Parse([]byte("*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n"+rule+"\nCOMMIT\n"), Options{Family: packet.IPv4})
		if err != nil {
			t.Fatalf("%s: %v", rule, err)
		}
		if list := file.Unjudged(); (len(list) == 1) != named {
			t.Errorf("%s: not judged are %q", rule, list)
		}
	}
}
