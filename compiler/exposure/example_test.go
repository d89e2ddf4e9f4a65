package exposure_test

import (
	"context"
	"fmt"
	"log"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/exposure"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// tables parses the tables in a text.
func tables(text string, family packet.Family) docker.Tables {
	f, err := iptables.Parse([]byte(text), iptables.Options{Family: family})
	if err != nil {
		log.Fatal(err)
	}
	return docker.TablesOf(f)
}

// DOCKER-USER keeps everybody except one network from port 8080 over IPv4. Over IPv6 there is no
// DNAT, and docker-proxy serves everybody.
func ExampleOf() {
	four := tables(`*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP
COMMIT
`, packet.IPv4)
	six := tables("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n", packet.IPv6)
	host := exposure.Host{Families: []docker.Tables{four, six}, Interfaces: []string{"eth0"}}
	report, err := exposure.Of(context.Background(), host, prove.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(report.Text())
	// Output:
	// 8080/tcp → 172.17.0.2:80 on docker0
	//   eth0, IPv4, over DNAT: 192.0.2.0/24
	// ! eth0, IPv6, over docker-proxy: everybody
	//
	// Note: clients that route to a container's own address through eth0 bypass DNAT: 172.17.0.2:80.
}
