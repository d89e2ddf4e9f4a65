package diagram_test

import (
	"fmt"
	"net/netip"

	"github.com/seawall/seawall/compiler/diagram"
)

// Two lists of rules that mean the same are the same node. Where they do not,
// their difference is a list of boxes.
func Example() {
	const port, source = 0, 1
	const pass, deny = 1, 2
	words := []string{pass: "pass", deny: "deny"}
	d := diagram.New(diagram.Small(65535), diagram.OfAddr(netip.MustParseAddr("255.255.255.255")))

	ssh := diagram.One(diagram.Small(22))
	vpn := diagram.Set{diagram.OfPrefix(netip.MustParsePrefix("10.0.0.0/8"))}
	others := vpn.Complement(d.Max(source))
	allowVPN := diagram.Item{Box: &diagram.Box{port: ssh, source: vpn}, Target: diagram.Leaf(pass)}
	denyOthers := diagram.Item{Box: &diagram.Box{port: ssh, source: others}, Target: diagram.Leaf(deny)}
	denyAll := diagram.Item{Box: &diagram.Box{port: ssh}, Target: diagram.Leaf(deny)}
	rest := diagram.Item{Box: &diagram.Box{}, Target: diagram.Leaf(pass)}

	two := d.Build([]diagram.Item{allowVPN, denyAll, rest})
	negated := d.Build([]diagram.Item{denyOthers, rest})
	swapped := d.Build([]diagram.Item{denyAll, allowVPN, rest})
	fmt.Println("negated:", two == negated)
	fmt.Println("swapped:", two == swapped)
	same := func(a, b uint32) bool { return a == b }
	d.Disagree(two, swapped, same).Boxes(func(b *diagram.Box, leaf diagram.Pair) {
		from := b[source][0]
		fmt.Printf("port %d from %s to %s: %s became %s\n", b[port][0].Lo.Lo, from.Lo.Addr(false), from.Hi.Addr(false), words[leaf.A], words[leaf.B])
	})
	// Output:
	// negated: true
	// swapped: false
	// port 22 from 10.0.0.0 to 10.255.255.255: pass became deny
}
