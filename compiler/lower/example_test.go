package lower_test

import (
	"bytes"
	"fmt"
	"log"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// A policy that names IPv4 addresses alone denies all of IPv6.
func ExampleLower() {
	loaded, diags := schema.Parse("policy.hcl", []byte(`host {
  external       = ["eth0"]
  unlisted       = "allow"
  userland_proxy = false
}
policy "admin" {
  ports = [8080]
  allow {
    sources = ["192.0.2.0/24"]
    except  = ["192.0.2.7"]
  }
}
`), schema.Options{})
	if diags.HasErrors() {
		log.Fatal(diags)
	}
	for _, family := range packet.Families {
		var b bytes.Buffer
		iptables.PrintRules(&b, lower.Lower(loaded.Document, family, lower.Options{Layout: lower.Flat}))
		fmt.Printf("%v:\n%s", family, &b)
	}
	// Output:
	// IPv4:
	// # policy admin
	// -A DOCKER-USER -s 192.0.2.7/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP
	// -A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP
	// IPv6:
	// # policy admin
	// -A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP
}
