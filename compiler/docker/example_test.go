package docker_test

import (
	"fmt"
	"log"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// A host's networks and published ports can be read from the rules that Docker adds for them;
// here from part of the output of iptables-save.
func ExampleLook() {
	f, err := iptables.Parse([]byte(`*filter
:DOCKER-FORWARD - [0:0]
-A DOCKER-FORWARD -i docker0 -j ACCEPT
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
`), iptables.Options{Family: packet.IPv4})
	if err != nil {
		log.Fatal(err)
	}
	layout := docker.Look(docker.TablesOf(f))
	fmt.Println(layout.Engine)
	for _, n := range layout.Networks {
		fmt.Println(n.Bridge, n.Subnets)
	}
	for _, p := range layout.Published {
		fmt.Printf("port %d/%s is published for %s on %s\n", p.Port, p.Protocol, p.To, p.Bridge)
	}
	// Output:
	// Docker 29 or later
	// docker0 [172.17.0.0/16]
	// port 8080/tcp is published for 172.17.0.2:80 on docker0
}
