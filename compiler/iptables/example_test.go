package iptables_test

import (
	"fmt"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// Parse refuses what iptables-restore would refuse, and names the line.
func ExampleParse() {
	text := "*filter\n:DOCKER-USER - [0:0]\n-A DOCKER-USER -i eth0 -i eth0 -j DROP\nCOMMIT\n"
	_, err := iptables.Parse([]byte(text), iptables.Options{Family: packet.IPv4})
	fmt.Println(err)
	// Output: line 3: -i can be given only once in a rule
}
