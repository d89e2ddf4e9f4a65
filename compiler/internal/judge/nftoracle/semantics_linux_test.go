package nftoracle

import (
	"net/netip"
	"testing"

	"github.com/seawall/seawall/compiler/internal/judge/kernel"
)

// semantics are rules where the kernel may surprise. Each is the body of the
// chain forward of an inet table, with what else is in the table before it.
var semantics = map[string]struct{ table, rules string }{
	"a negated match of an absent header": {"", "tcp dport != 80 drop\nip saddr != 10.0.0.1 reject with icmp host-prohibited"},
	"a negated range":                     {"", "udp dport != 50-60 drop"},
	"ct of a packet without an entry":     {"", "ct direction != reply accept\nct mark != 5 reject\nct status ! dnat reject\nct state != established drop"},
	"ct original address of one family":   {"", "ct original ip daddr != 10.9.9.9 drop\nct original ip6 daddr != 2001:db8::9 reject"},
	"l3proto":                             {"", "ct l3proto != ipv4 drop"},
	"state in a set and as bits":          {"", "ct state { new, established } meta mark set 1\nct state new,invalid drop\nct state == related reject"},
	"continue in a map":                   {"", "tcp dport vmap { 80 : continue, 81 : accept } drop\nudp dport vmap { 53 : continue } reject with icmpx host-unreachable"},
	"the rest in a map":                   {"", "meta l4proto vmap { tcp : continue, * : accept } drop"},
	"the rest in an interval map":         {"map m { typeof tcp dport : verdict; flags interval; elements = { 70-80 : accept, * : drop }; }", "tcp dport vmap @m"},
	"the rest in a set":                   {"set s { typeof tcp dport; elements = { 80, * }; }", "tcp dport @s drop\nmeta l4proto udp reject"},
	"not in a set with the rest":          {"set s { typeof tcp dport; elements = { 80, * }; }", "tcp dport != @s drop\nmeta l4proto udp reject"},
	"return of a base chain":              {"", "tcp dport 80 return\ndrop"},
	"return after goto":                   {"chain b { return; }\nchain a { goto b; drop; }", "meta l4proto tcp jump a\nmeta l4proto tcp reject\nmeta l4proto udp goto a\ndrop"},
	"end of a chain after goto":           {"chain b { tcp dport 80 counter; }\nchain a { jump b; goto b; }", "meta l4proto tcp goto a\ndrop"},
	"notrack of invalid packets":          {"", "notrack\nct state untracked drop\nct state invalid reject"},
	"a connection's mark of no entry":     {"", "ct mark set 7 meta mark set 3\nmeta mark 3 ct mark 7 drop\nmeta mark 3 reject\nmeta mark != 3 reject with icmpx host-unreachable"},
	"a mark from no entry":                {"", "meta mark set 9\nmeta mark set ct mark\nmeta mark 9 drop\nmeta mark 0 reject"},
	"th without a protocol":               {"", "th dport 80 drop\nth sport 2048 reject"},
	"tcp reset of another protocol":       {"", "reject with tcp reset\ndrop"},
	"reject of one family after a map":    {"", "tcp dport vmap { 80 : return } reject with icmpv6 no-route\ntcp dport 80 drop\nudp dport vmap { 53 : accept } reject with icmp host-prohibited\nudp dport 53 reject"},
	"reject of one family after a mark":   {"", "meta mark set 8 reject with icmp host-prohibited\nmeta mark 8 drop"},
	"a mark before a family":              {"", "meta mark set 8 ip saddr 10.0.0.1 reject with icmp host-prohibited\nmeta mark 8 drop\nmeta mark set 8 tcp dport 80 reject with tcp reset\nmeta mark 8 reject"},
	"icmp of another family":              {"", "icmp type echo-request drop\nicmpv6 type != echo-request reject"},
	"interfaces":                          {"", `iifname "eth*" oifname != "srv*" drop` + "\n" + `iifname != "eth*" reject` + "\n" + `oifname > "srv" tcp dport 80 drop`},
	"order of addresses":                  {"", "ip saddr < 10.0.0.2 drop\nip6 saddr >= 2001:db8::2 drop\nmeta mark > 0x100 reject\nct mark <= 5 reject with icmpx no-route"},
	"flags":                               {"", "tcp flags syn,ack tcp flags ! fin drop\ntcp flags == ack reject\ntcp flags != syn reject with icmpx no-route"},
	"accept is not final":                 {"chain later { type filter hook forward priority 10; tcp dport 80 drop; meta mark 4 reject; }", "tcp dport 80 accept\nmeta mark set 4 accept"},
	"equal priority, made later":          {"chain first { type filter hook forward priority 0; meta mark 0 meta mark set 1 reject with icmpx no-route; }", "meta mark 0 reject with icmpx host-unreachable"},
	"shifts":                              {"", "meta mark set meta mark << 4\nmeta mark 0x50 drop\nmeta mark set meta mark >> 8\nmeta mark 0x1 reject"},
	"a look-up of several fields":         {"set s { typeof ip saddr . tcp dport; flags interval; elements = { 10.0.0.0/30 . 70-80, 10.0.0.1 . 90 }; }", "ip saddr . tcp dport @s drop\nip saddr . tcp dport != @s reject"},
}

// TestSemantics compares single rules with the kernel.
func TestSemantics(t *testing.T) {
	needNft(t)
	h := newHost(t)
	packets := variety()
	for name, c := range semantics {
		t.Run(name, func(t *testing.T) {
			text := "table inet t {\n" + c.table + "\nchain forward {\ntype filter hook forward priority 0;\n" + c.rules + "\n}\n}\n"
			hits := map[string]bool{}
			differ, err := disagreements(h, text, packets, func(want []string, got string) {
				hits[got] = true
				if len(want) > 1 && name != "th without a protocol" {
					t.Errorf("several verdicts: %q", want)
				}
			})
			if err != nil || differ != "" {
				t.Errorf("%v%s\n%s", err, differ, text)
			}
			if len(hits) < 2 {
				t.Errorf("all packets have the verdict %v\n%s", hits, text)
			}
		})
	}
}

// variety returns packets that differ in all that the rules above ask for.
func variety() []kernel.Packet {
	var packets []kernel.Packet
	for family, a := range map[int][4]string{4: {"10.0.0.1", "10.0.0.2", "10.0.1.1", "10.9.9.9"},
		6: {"2001:db8::1", "2001:db8::2", "2001:db8:1::1", "2001:db8::9"}} {
		for _, src := range a[:2] {
			base := kernel.Packet{Family: family, Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(a[2]), Sport: 40000}
			add := func(set func(p *kernel.Packet)) {
				p := base
				set(&p)
				if p.Check() == nil {
					packets = append(packets, p)
				}
			}
			for _, port := range []int{53, 79, 80, 81, 90} {
				add(func(p *kernel.Packet) { p.Protocol, p.Dport, p.TCPFlags = protoTCP, port, kernel.SYN })
				add(func(p *kernel.Packet) { p.Protocol, p.Dport = protoUDP, port })
			}
			for _, mark := range []uint32{5, 0x101, 0x90} {
				add(func(p *kernel.Packet) { p.Protocol, p.Dport, p.Mark, p.ConnMark = protoUDP, 50, mark, mark })
			}
			for _, flags := range []byte{kernel.ACK, kernel.FIN | kernel.ACK, kernel.ACK | kernel.PSH} {
				for _, state := range []kernel.State{kernel.StateNew, kernel.StateEstablished, kernel.StateEstablishedReply} {
					add(func(p *kernel.Packet) { p.Protocol, p.Dport, p.TCPFlags, p.State = protoTCP, 80, flags, state })
				}
			}
			add(func(p *kernel.Packet) {
				p.Protocol, p.Dport, p.TCPFlags, p.State = protoTCP, 80, kernel.FIN, kernel.StateInvalid
			})
			add(func(p *kernel.Packet) {
				p.Protocol, p.Dport, p.TCPFlags, p.OrigDst, p.OrigDport = protoTCP, 80, kernel.SYN, netip.MustParseAddr(a[3]), 8080
			})
			add(func(p *kernel.Packet) {
				p.Protocol, p.Dport, p.State, p.FromServer = protoUDP, 53, kernel.StateEstablishedReply, true
			})
			add(func(p *kernel.Packet) { p.Protocol, p.Dport, p.FromServer = protoUDP, 53, true })
			add(func(p *kernel.Packet) { p.Protocol = 47 })
			add(func(p *kernel.Packet) { p.Protocol, p.Dport = protoSCTP, 80 })
			icmp := map[int]int{4: protoICMP, 6: protoICMPv6}[family]
			add(func(p *kernel.Packet) { p.Protocol, p.ICMPType = icmp, map[int]byte{4: 8, 6: 128}[family] })
			add(func(p *kernel.Packet) {
				p.Protocol, p.ICMPType, p.ICMPCode, p.State, p.Dport = icmp, map[int]byte{4: 3, 6: 1}[family], 1, kernel.StateRelated, 80
			})
		}
	}
	packets = append(packets, kernel.Packet{Family: 6, Protocol: protoICMPv6, ICMPType: 135, State: kernel.StateUntracked,
		Src: netip.MustParseAddr("2001:db8::1"), Dst: netip.MustParseAddr("2001:db8:1::1")})
	return packets
}
