package match_test

import (
	"fmt"

	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/packet"
)

// A known match determines exactly which packets match, and what iptables would
// refuse. An unknown one may match any packet.
func ExampleUse_Means() {
	multiport := match.Lookup(match.MatchKind, "multiport", packet.IPv4)
	use := &match.Use{Name: "multiport", Module: multiport, Options: []match.Given{
		{Not: true, Name: "--dports", Values: []string{"80,443"}}}}

	reader := &match.Reader{Space: packet.NewSpace(packet.IPv4)}
	for _, c := range use.Means(reader) {
		for _, f := range reader.Fields(&c.Box) {
			fmt.Println(use, "matches", f.Name, f.Values)
		}
	}

	use.Options = append(use.Options, match.Given{Name: "--sports", Values: []string{"53"}})
	fmt.Println("refused:", multiport.Refuses(match.Head{Family: packet.IPv4}, use))

	unknown := &match.Use{Name: "mystery"}
	fmt.Println("unsure:", unknown.Means(reader)[0].Unsure)
	// Output:
	// -m multiport ! --dports 80,443 matches destination port [0-79 81-442 444-65535]
	// refused: multiport needs exactly one of --sports, --dports and --ports
	// unsure: -m mystery
}
