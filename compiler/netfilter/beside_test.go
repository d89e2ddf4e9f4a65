package netfilter_test

import (
	"context"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/netfilter"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// A packet to port 8080 of a host with tables of iptables, of its other back end, and of nft: each
// chain is met in the order of its priority, a drop is final, and an accept ends its own chain
// alone. Each result was worked out by hand.
func TestFollowBesideNFT(t *testing.T) {
	const (
		served = "accept FORWARD 172.17.0.2:80: 0.0.0.0/0"
		denied = "deny FORWARD 172.17.0.2:80: 0.0.0.0/0"
		filter = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n"
		mangle = "*mangle\n:PREROUTING ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
		mark   = mangle + "-A PREROUTING -p tcp -m tcp --dport 8080 -j MARK --set-xmark 0x1/0xffffffff\nCOMMIT\n"
	)
	table := func(hook, rules string) string {
		return "table inet own {\n\tchain c {\n\t\ttype filter hook " + hook + "; policy accept;\n\t\t" + rules + "\n\t}\n}\n"
	}
	for _, test := range []struct {
		what, iptables, other, nft string
		want                       []string
	}{
		{"both accept", dockerNat + filter + "COMMIT\n", "", table("forward priority -5", "accept"), []string{served}},
		{"nft drops before", dockerNat + filter + "-A FORWARD -j ACCEPT\nCOMMIT\n", "", table("forward priority -5", "drop"), []string{denied}},
		{"nft drops after iptables has accepted", dockerNat + filter + "-A FORWARD -j ACCEPT\nCOMMIT\n", "", table("forward priority 5", "drop"), []string{denied}},
		{"iptables drops after nft has accepted", dockerNat + filter + "-A FORWARD -j DROP\nCOMMIT\n", "", table("forward priority -5", "accept"), []string{denied}},
		{"the other back end drops", dockerNat + filter + "-A FORWARD -j ACCEPT\nCOMMIT\n", filter + "-A FORWARD -d 172.17.0.2/32 -j DROP\nCOMMIT\n", "", []string{denied}},
		{"before conntrack nobody knows the connection", dockerNat, "", table("prerouting priority -300", "ct state new drop"), []string{served}},
		{"after it", dockerNat, "", table("prerouting priority -199", "ct state new drop"), []string{"deny: 0.0.0.0/0"}},
		{"nft sees the original port before nat", dockerNat, "", table("prerouting priority -101", "tcp dport 8080 drop"), []string{"deny: 0.0.0.0/0"}},
		{"and the container's after it", dockerNat, "", table("prerouting priority -99", "tcp dport 8080 drop"), []string{served}},
		{"a mark of iptables is there for nft", dockerNat + mark, "", table("forward priority -5", "meta mark 0x1 drop"), []string{denied}},
		{"but not before it is set", dockerNat + mark, "", table("prerouting priority -151", "meta mark 0x1 drop"), []string{served}},
		{"a mark of nft is there for iptables", dockerNat + filter + "-A FORWARD -m mark --mark 0x2 -j DROP\nCOMMIT\n", "", table("forward priority -5", "meta mark set 0x2"), []string{denied}},
		{"but not for a table before", dockerNat + mangle + "-A FORWARD -m mark --mark 0x2 -j DROP\nCOMMIT\n", "", table("forward priority -5", "meta mark set 0x2"), []string{served}},
		{"nft untracks it, and nothing rewrites it", dockerNat + filter + "-A INPUT -j DROP\nCOMMIT\n", "", table("prerouting priority -300", "notrack"), []string{"deny INPUT 198.51.100.2:8080: 0.0.0.0/0"}},
		{"what the other back end has sent is not sent again", dockerNat, "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.9:80\nCOMMIT\n", "", []string{served}},
		{"a drop after the routing decision", dockerNat, "", table("postrouting priority 0", "oifname \"docker0\" drop"), []string{denied}},
		{"a reject", dockerNat, "", table("forward priority -5", "ip saddr 10.0.0.0/8 reject"), []string{
			"accept FORWARD 172.17.0.2:80: 0.0.0.0/5 8.0.0.0/7 11.0.0.0/8 12.0.0.0/6 16.0.0.0/4 32.0.0.0/3 64.0.0.0/2 128.0.0.0/1", "reject with port-unreachable FORWARD 172.17.0.2:80: 10.0.0.0/8"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			h := hostOf(t, packet.IPv4, test.iptables)
			if test.other != "" {
				f, err := iptables.Parse([]byte(test.other), iptables.Options{Family: packet.IPv4})
				if err != nil {
					t.Fatal(err)
				}
				h.Other = netfilter.Tables{Nat: f.Table("nat"), Filter: f.Table("filter")}
			}
			var err error
			if h.NFT, err = nftables.Parse([]byte(test.nft), nftables.Options{}); err != nil {
				t.Fatal(err)
			}
			p := packet.Packet{In: "eth0", Protocol: packet.TCP, TCPFlags: packet.SYN, Sport: 40000, Dest: netip.MustParseAddr("198.51.100.2"), Dport: 8080}
			ends, err := netfilter.New(h, "eth0").Follow(context.Background(), p, true, prove.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, words(h, ends)); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}
