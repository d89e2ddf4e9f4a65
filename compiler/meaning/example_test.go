package meaning_test

import (
	"fmt"
	"log"
	"net/netip"

	"github.com/seawall/seawall/compiler/meaning"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// One packet's way through the steps of schema/SPEC.md, section 2.
func ExampleExplain() {
	loaded, diags := schema.Parse("policy.hcl", []byte(`host {
  external = ["eth0"]
  unlisted = "allow"
}
policy "admin" {
  ports = [8080]
  allow { sources = ["192.0.2.0/24"] }
}
`), schema.Options{})
	if diags.HasErrors() {
		log.Fatal(diags)
	}
	way := meaning.Explain(loaded.Document, packet.Packet{
		Hook: packet.Forward, In: "eth0", Out: "docker0", Protocol: packet.TCP, State: packet.New, DNAT: true,
		Source: netip.MustParseAddr("203.0.113.9"), Sport: 40000,
		OrigDst: netip.MustParseAddr("198.51.100.2"), OrigPort: 8080, // where the client sent it
		Dest: netip.MustParseAddr("172.17.0.2"), Dport: 80, // where Docker sends it
	})
	for _, s := range way.Steps {
		fmt.Printf("%d. %s\n", s.Number, s.Said)
	}
	fmt.Printf("%s: %s, line %d\n", way.Verdict, way.Rule, way.At.Start.Line)
	// Output:
	// 1. no forward block matches it
	// 2. it arrived on eth0, an external interface
	// 3. it is not an ICMP error about a known connection
	// 4. conntrack knows the packet
	// 5. it goes in the original direction of its connection: it is not a reply
	// 6. established = "check": packets of every connection are checked
	// 7. the policy has no guard
	// 8. policy admin: no block matches 203.0.113.9; it has no default, so it is denied
	// deny: policy admin, default, line 5
}

// A packet that conntrack takes for none of a connection's, to a port of a policy: DNAT
// leaves it to docker-proxy on the host, and whatever its source is, it is denied.
func ExampleExplain_invalid() {
	loaded, diags := schema.Parse("policy.hcl", []byte(`host {
  external = ["eth0"]
  unlisted = "allow"
}
policy "web" {
  ports = [8080]
  allow { sources = any }
}
`), schema.Options{})
	if diags.HasErrors() {
		log.Fatal(diags)
	}
	for _, port := range []int{8080, 22} {
		way := meaning.Explain(loaded.Document, packet.Packet{
			Hook: packet.Input, In: "eth0", Protocol: packet.TCP, State: packet.Invalid,
			Source: netip.MustParseAddr("203.0.113.9"), Sport: 40000,
			Dest: netip.MustParseAddr("198.51.100.2"), Dport: port,
		})
		last := way.Steps[len(way.Steps)-1]
		fmt.Printf("%d. %s\n%s: %s, line %d\n", last.Number, last.Said, way.Verdict, way.Rule, way.At.Start.Line)
	}
	// Output:
	// 4. the packet is INVALID to conntrack, and policy web names its port
	// deny: policy web, ports, line 5
	// 4. conntrack does not know the packet (INVALID): it continues to the host's own rules
	// pass: host, line 1
}
