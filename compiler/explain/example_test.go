package explain_test

import (
	"context"
	"fmt"
	"log"

	"github.com/seawall/seawall/compiler/explain"
	"github.com/seawall/seawall/schema"
)

// One packet, on its way through a policy and through the rules.
func Example() {
	loaded, diags := schema.Parse("policy.hcl", []byte(`
host {
  external = ["eth0"]
  unlisted = "deny"
}
policy "postgres" {
  ports = [5432]
  allow { sources = ["10.8.0.0/16"] }
}
`), schema.Options{})
	if diags.HasErrors() {
		log.Fatal(diags)
	}
	q := explain.NewQuestion()
	q.From, q.To = "10.9.0.1", "5432"
	packet, err := q.Packet(loaded.Document)
	if err != nil {
		log.Fatal(err)
	}
	e, err := explain.Trace(context.Background(), loaded, packet)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(e.Text(loaded.Files))
	// Output:
	// FORWARD tcp from 10.9.0.1 to 198.51.100.2:5432 (originally), in eth0, out docker0, NEW ORIGINAL
	//
	// The policy says deny:
	//    1. no forward block matches it
	//    2. it arrived on eth0, an external interface
	//    3. it is not an ICMP error about a known connection
	//    4. conntrack knows the packet
	//    5. it goes in the original direction of its connection: it is not a reply
	//    6. established = "check": packets of every connection are checked
	//    7. the policy has no guard
	//  → 8. policy postgres: no block matches 10.9.0.1; it has no default, so it is denied
	//
	//   on policy.hcl line 6:
	//    6: policy "postgres" {
	//
	// The compiled rules say deny:
	//   line 13: -A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 5432 --ctdir ORIGINAL -j DROP
}
