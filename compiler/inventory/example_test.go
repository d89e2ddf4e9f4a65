package inventory_test

import (
	"fmt"
	"log"

	"github.com/seawall/seawall/compiler/inventory"
)

// What docker inspect prints of two containers, as a first policy to decide about.
func ExamplePolicy() {
	ports, err := inventory.FromInspect([]byte(`[
  {"Name": "/web", "Config": {"Image": "nginx:1.29"}, "NetworkSettings": {"Ports": {
    "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}]}}},
  {"Name": "/db", "Config": {"Image": "postgres:17"}, "NetworkSettings": {"Ports": {
    "5432/tcp": [{"HostIp": "127.0.0.1", "HostPort": "5432"}]}}}
]`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", inventory.Policy(ports, []string{"eth0"}))
	// Output:
	// # The published ports of this host, as they are open today. Decide about each.
	// host {
	//   external = ["eth0"]
	//   # "deny" closes what no policy below names, once all is named.
	//   unlisted = "allow"
	// }
	//
	// policy "web" {
	//   description = "nginx:1.29"
	//   ports       = ["8080/tcp"]
	//   # Everybody reaches it today. Decide: "deny", and allow { sources = [...] } for those who may.
	//   default = "allow"
	// }
	//
	// # Published on the loopback alone, which nobody outside reaches:
	// #   db: 5432/tcp on 127.0.0.1
}
