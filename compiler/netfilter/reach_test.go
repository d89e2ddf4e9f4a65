package netfilter_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/netfilter"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// made is a random filter table, with consecutive rules that only differ in their source, chains
// that jump to others, and matches that cannot be evaluated.
func made(r *rand.Rand) string {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	var b strings.Builder
	b.WriteString("*filter\n:INPUT " + pick("ACCEPT", "DROP") + "\n:FORWARD " + pick("ACCEPT", "DROP") + "\n:ONE -\n:TWO -\n")
	targets := map[string][]string{"FORWARD": {"-j ONE", "-g ONE", "-j TWO"}, "INPUT": {"-j ONE", "-j TWO"}, "ONE": {"-j TWO", "-g TWO", "-j RETURN"}, "TWO": {"-j RETURN"}}
	for _, c := range []string{"FORWARD", "INPUT", "ONE", "TWO"} {
		for range r.IntN(5) {
			text := pick("", " -i eth0", " ! -i eth1") + pick("", " -p tcp", " -p udp") + pick("", "", " -m conntrack --ctstate NEW", " -m conntrack --ctorigdstport 8080", " -m mark --mark 0x1", " -m limit --limit 5/min", " -m iprange --src-range 10.0.0.5-10.0.0.9")
			target := pick(append(targets[c], "-j ACCEPT", "-j DROP", "-j DROP", "-j REJECT", "-j LOG")...)
			for range 1 + r.IntN(3) {
				source := pick("", "-s ", "-s ", "! -s ")
				if source != "" {
					source += fmt.Sprintf("10.0.0.%d/%d", r.IntN(16), 24+r.IntN(9))
				}
				fmt.Fprintf(&b, "-A %s %s%s %s\n", c, source, text, target)
			}
		}
	}
	return b.String() + "COMMIT\n"
}

// In a single filter table, Follow agrees with the diagrams of package prove.
func TestFollowAndThrough(t *testing.T) {
	ctx, parts := context.Background(), 0
	for seed := range uint64(600) {
		text := made(rand.New(rand.NewPCG(seed, 3)))
		h := hostOf(t, packet.IPv4, text)
		local := seed%2 == 0
		p := packet.Packet{Hook: packet.Forward, In: "eth0", Out: "docker0", Protocol: packet.TCP, State: packet.New, Dest: netip.MustParseAddr("172.17.0.2"), Dport: 8080, Sport: 40000, TCPFlags: packet.SYN}
		if local {
			p.Hook, p.Out, p.Dest = packet.Input, "", netip.MustParseAddr("192.0.2.1")
		}
		p.OrigDst, p.OrigPort, p.Source = p.Dest, p.Dport, p.Dest
		want, err := prove.Through(ctx, h.Filter, p, packet.IPv4, prove.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		ends, err := netfilter.New(h, "eth0").Follow(ctx, p, local, prove.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range want {
			for _, a := range []netip.Addr{part.First, part.Last} {
				var got packet.Verdict
				for _, e := range ends {
					if e.Sources.Has(diagram.OfAddr(a)) {
						got |= e.Verdict
					}
				}
				if got != part.Verdict {
					t.Fatalf("seed %d: %s: %s, want %s\n%s", seed, a, got, part.Verdict, text)
				}
				parts++
			}
		}
	}
	t.Logf("%d sources", parts)
}
