package netfilter_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/netfilter"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// A packet that raw drops never reaches DNAT.
func ExampleFollower_Follow() {
	f, err := iptables.Parse([]byte(`*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -s 128.0.0.0/1 -p tcp -m tcp --dport 8080 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 8080 -m addrtype --dst-type LOCAL -j DNAT --to-destination 172.17.0.2:80
COMMIT
`), iptables.Options{Family: packet.IPv4})
	if err != nil {
		log.Fatal(err)
	}
	host := netfilter.Host{Family: packet.IPv4, Raw: f.Table("raw"), Nat: f.Table("nat"),
		Routes: []netfilter.Route{{To: netip.MustParsePrefix("172.17.0.0/16"), Interface: "docker0"}}}
	p := packet.Packet{In: "eth0", Protocol: packet.TCP, TCPFlags: packet.SYN, Sport: 40000, Dest: netip.MustParseAddr("192.0.2.1"), Dport: 8080}
	ends, err := netfilter.New(host, "eth0").Follow(context.Background(), p, true, prove.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range ends {
		fmt.Printf("%v: %s, at %s:%d\n", packet.NewSpace(packet.IPv4).CIDRs(e.Sources), e.Verdict, e.Packet.Dest, e.Packet.Dport)
	}
	// Output:
	// [128.0.0.0/1]: deny, at 192.0.2.1:8080
	// [0.0.0.0/1]: accept, at 172.17.0.2:80
}
