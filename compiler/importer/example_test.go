package importer_test

import (
	"context"
	"fmt"
	"log"

	"github.com/seawall/seawall/compiler/importer"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// chain is DOCKER-USER with some rules.
func chain(family packet.Family, rules string) importer.Chain {
	f, err := iptables.Parse([]byte("*filter\n:DOCKER-USER - [0:0]\n"+rules+"COMMIT\n"), iptables.Options{Family: family})
	if err != nil {
		log.Fatal(err)
	}
	return importer.Chain{Family: family, Table: f.Table("filter")}
}

// Rules that deny become a policy that allows, and means the same.
func ExampleImport() {
	four := chain(packet.IPv4, `-A DOCKER-USER -s 192.0.2.13 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP
-A DOCKER-USER ! -s 192.0.2.12/30 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP
`)
	six := chain(packet.IPv6, `-A DOCKER-USER ! -s 2001:db8:40::/48 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP
`)
	result, err := importer.Import(context.Background(), []importer.Chain{four, six}, []string{"eth0"}, prove.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\ndifferences: %d\n", result.Policy, len(result.Missing))
	// Output:
	// # Imported from DOCKER-USER. docker-proxy's way in, over the host's INPUT, is not in
	// # that chain: userland_proxy = true closes it as well.
	// host {
	//   external       = ["eth0"]
	//   unlisted       = "allow"
	//   userland_proxy = false
	// }
	//
	// policy "8080-tcp" {
	//   ports = ["8080/tcp"]
	//   allow {
	//     sources = ["192.0.2.12", "192.0.2.14/31", "2001:db8:40::/48"]
	//   }
	// }
	//
	// differences: 0
}
