package nftables_test

import (
	"net/netip"
	"testing"

	"github.com/seawall/seawall/compiler/packet"
)

// to443 is a new connection to port 443, that Docker forwards to port 8443.
var to443 = packet.Packet{Hook: packet.Forward, In: "eth0", Out: "docker0", Protocol: packet.TCP, State: packet.New, DNAT: true,
	Source: netip.MustParseAddr("10.0.0.1"), Dest: netip.MustParseAddr("172.17.0.2"), Sport: 40000, Dport: 8443,
	OrigDst: netip.MustParseAddr("203.0.113.5"), OrigPort: 443, TCPFlags: 2}

// What single rules say of one packet. Each is a chain at forward that accepts what no
// rule takes.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		rules string
		want  packet.Verdict
	}{
		{"tcp dport != 80 drop", packet.Deny},
		{"tcp dport != 8443 drop", packet.Pass},
		{"tcp dport != { 80, 8443 } drop", packet.Pass},
		{"tcp dport != { 80, 443 } drop", packet.Deny},
		{"udp dport != 80 drop", packet.Pass},
		{"ip daddr != 192.0.2.0/24 drop", packet.Deny},
		{"ip daddr != 172.17.0.0/24 drop", packet.Pass},
		{"ip saddr != 192.0.2.0/24 drop", packet.Deny},
		{"ip6 saddr != 2001:db8::1 drop", packet.Pass},
		{`iifname != "eth1" drop`, packet.Deny},
		{`iifname != "eth*" drop`, packet.Pass},
		{"ct original proto-dst != 80 drop", packet.Deny},
		{"ct original ip daddr != 203.0.113.0/24 drop", packet.Pass},
		{"ct state ! invalid,untracked drop", packet.Deny},
		{"ct state ! new,invalid drop", packet.Pass},
		{"tcp flags ! fin,rst drop", packet.Deny},
		{"meta mark set 1 drop", packet.Deny},
		{"meta mark set ct mark drop", packet.Deny},
		{"ip daddr 192.0.2.1 meta mark set ct mark drop", packet.Pass},
	} {
		t.Run(c.rules, func(t *testing.T) {
			q, err := ask("table inet t {\nchain f {\ntype filter hook forward priority 0;\n"+c.rules+"\n}\n}\n", to443.Family(), "eth0", "docker0")
			if err != nil {
				t.Fatal(err)
			}
			got, err := q.eval(packet.Forward, []packet.Packet{to443})
			if err != nil || got[0] != c.want {
				t.Errorf("%v (%v), want %v", got, err, c.want)
			}
			if way := q.reader.Trace(to443); way.Verdict != c.want {
				t.Errorf("the trace ends with %v, want %v", way.Verdict, c.want)
			}
		})
	}
}

// A rule that assigns what the packet does not have, or what a map has nothing for,
// ends there: its verdict is not certain.
func TestAssignOfWhatIsMissing(t *testing.T) {
	for _, rule := range []string{"meta mark set ip6 saddr map { 2001:db8::1 : 0x1 } drop", "meta mark set ip saddr map { 192.0.2.1 : 0x1 } drop"} {
		q, err := ask("table inet t {\nchain f {\ntype filter hook forward priority 0;\n"+rule+"\n}\n}\n", to443.Family(), "eth0", "docker0")
		if err != nil {
			t.Fatal(err)
		}
		got, err := q.eval(packet.Forward, []packet.Packet{to443})
		if err != nil || got[0]&packet.Pass == 0 {
			t.Errorf("%s: %v (%v), and it must be possible that the packet passes", rule, got, err)
		}
	}
	invalid := to443
	invalid.State, invalid.DNAT = packet.Invalid, false
	q, err := ask("table inet t {\nchain f {\ntype filter hook forward priority 0;\nmeta mark set ct mark drop\n}\n}\n", to443.Family(), "eth0", "docker0")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := q.eval(packet.Forward, []packet.Packet{invalid}); err != nil || got[0] != packet.Pass {
		t.Errorf("a packet without an entry has no ct mark: %v (%v), want pass", got, err)
	}
}

// addr6 is an address of IPv6.
var addr6 = netip.MustParseAddr("2001:db8::5")
