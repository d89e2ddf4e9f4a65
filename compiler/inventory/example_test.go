package inventory_test

import (
	"fmt"
	"log"

	"github.com/seawall/seawall/compiler/inventory"
)

// The output of docker inspect for two containers becomes a first policy to decide about.
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
	// # The published ports of this host, as open as they are today. Decide on each.
	// host {
	//   external = ["eth0"]
	//   # Once every port is named below, "deny" closes all other forwarded traffic. A port that is not named stays open through docker-proxy.
	//   unlisted = "allow"
	// }
	//
	// policy "web" {
	//   description = "nginx:1.29"
	//   ports       = ["8080/tcp"]
	//   # Open to everybody today. To restrict it: "deny", and allow { sources = [...] } for those who may reach it.
	//   default = "allow"
	// }
	//
	// # Published only on the loopback address, which nobody outside can reach:
	// #   db: 5432/tcp on 127.0.0.1
}
