package prove_test

import (
	"context"
	"fmt"
	"log"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// Two addresses may reach port 8080. The file has a rule for each, and drops what
// the other lets through: nobody gets in.
func ExampleCompare() {
	loaded, diags := schema.Parse("policy.hcl", []byte(`
host {
  external       = ["eth0"]
  unlisted       = "allow"
  userland_proxy = false
}
policy "admin" {
  ports = [8080]
  allow { sources = ["192.0.2.1", "198.51.100.7"] }
}
`), schema.Options{})
	if diags.HasErrors() {
		log.Fatal(diags)
	}
	f, err := iptables.Parse([]byte(`*filter
:DOCKER-USER - [0:0]
-A DOCKER-USER ! -s 192.0.2.1 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP
-A DOCKER-USER ! -s 198.51.100.7 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP
COMMIT
`), iptables.Options{Family: packet.IPv4})
	if err != nil {
		log.Fatal(err)
	}
	result, err := prove.Compare(context.Background(), loaded.Document, f.Table("filter"), packet.IPv4, prove.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range result.Differences {
		fmt.Printf("%s\n%s by the policy, %s by the file\n", d, d.Policy, d.File)
	}
	// Output:
	// IPv4 FORWARD: 192.0.2.1, 198.51.100.7 → tcp port 8080
	// pass by the policy, deny by the file
}
