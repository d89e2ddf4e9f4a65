package nftables_test

import (
	"testing"
	"time"

	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
)

// Whatever the reader takes has a meaning, or an error: no panic, and no end of time.
func FuzzRules(f *testing.F) {
	for _, rules := range []string{"tcp dport != 80 drop", "ct state vmap { new : continue, * : drop }", "ip saddr . tcp dport != { 10.0.0.0/8 . 1-5 } accept",
		"meta mark set ct mark | 0x1 accept", "meta mark & 0xff == 0x1 reject with icmpv6 no-route", `iifname { "eth*", "lo" } meta skuid 0 goto a`,
		"tcp flags & (fin|syn) == syn jump a", "ct state ! new,invalid limit rate 1/second drop"} {
		f.Add("table inet t {\nchain a { return; }\nchain f {\ntype filter hook forward priority 0;\n" + rules + "\n}\n}\n")
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4000 {
			t.Skip()
		}
		file, err := nftables.Parse([]byte(text), nftables.Options{})
		if err != nil {
			return
		}
		began := time.Now()
		_ = file.Unjudged(nftables.RuleOptions{})
		for _, family := range packet.Families {
			q, err := ask(text, family, "eth0", "docker0")
			if err != nil {
				t.Fatal(err)
			}
			p := to443
			if p.Family() != family {
				p.Source, p.Dest, p.OrigDst = addr6, addr6, addr6
			}
			_, _ = q.eval(packet.Forward, []packet.Packet{p})
			_ = q.reader.Trace(p)
		}
		if d := time.Since(began); d > 20*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}
