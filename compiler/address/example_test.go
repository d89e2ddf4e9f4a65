package address_test

import (
	"fmt"
	"log"
	"net/netip"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// A set block, as the fewest prefixes of each family.
func ExampleResolver_Set() {
	loaded, diags := schema.Parse("policy.hcl", []byte(`
host {
  external = ["eth0"]
  unlisted = "deny"
}
set "office" {
  sources = ["192.0.2.0/29", "2001:db8:40::/48"]
  except  = ["192.0.2.3"]
}
`), schema.Options{})
	if diags.HasErrors() {
		log.Fatal(diags)
	}
	office := loaded.Document.Sets[0]
	fmt.Println(address.NewResolver(packet.IPv6, nil).Set(office).Prefixes())
	four := address.NewResolver(packet.IPv4, nil).Set(office)
	fmt.Println(four.Prefixes())
	fmt.Println(address.Covers(four, netip.MustParsePrefix("192.0.2.0/30")))
	// Output:
	// [2001:db8:40::/48]
	// [192.0.2.0/31 192.0.2.2/32 192.0.2.4/30]
	// false
}
