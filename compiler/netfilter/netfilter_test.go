package netfilter_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/netfilter"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// hostOf is a host with these tables; container addresses are behind docker0.
func hostOf(t testing.TB, family packet.Family, text string) netfilter.Host {
	t.Helper()
	f, err := iptables.Parse([]byte(text), iptables.Options{Family: family})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return netfilter.Host{Family: family, Raw: f.Table("raw"), Mangle: f.Table("mangle"), Nat: f.Table("nat"), Filter: f.Table("filter"), Security: f.Table("security"),
		Routes: []netfilter.Route{{To: netip.MustParsePrefix("172.17.0.0/16"), Interface: "docker0"}, {To: netip.MustParsePrefix("fd17::/64"), Interface: "docker0"}}}
}

// words lists the ends of a packet in short: verdict, destination, sources.
func words(h netfilter.Host, ends netfilter.Ends) []string {
	s := packet.NewSpace(h.Family)
	var list []string
	for _, e := range ends {
		text := fmt.Sprintf("%s %s %s", e.Verdict, e.Packet.Hook, netip.AddrPortFrom(e.Packet.Dest, uint16(e.Packet.Dport)))
		if e.Packet.Hook == "" {
			text = e.Verdict.String()
		}
		text += ": " + strings.Join(s.CIDRs(e.Sources), " ")
		if e.Doubt.Rule != nil {
			text += " ? " + e.Doubt.String()
		}
		list = append(list, text)
	}
	slices.Sort(list)
	return list
}

const dockerNat = `*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
`

// What the kernel does with a packet to port 8080 of the host, table by table. Each result was
// worked out by hand.
func TestFollow(t *testing.T) {
	filter := func(rules string) string {
		return "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n" + rules + "COMMIT\n"
	}
	raw := func(rules string) string { return "*raw\n:PREROUTING ACCEPT [0:0]\n" + rules + "COMMIT\n" }
	mangle := func(rules string) string {
		return "*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n" + rules + "COMMIT\n"
	}
	nat := func(rules string) string { return "*nat\n:PREROUTING ACCEPT [0:0]\n" + rules + "COMMIT\n" }
	const served, all = "accept FORWARD 172.17.0.2:80: ", "0.0.0.0/0"
	for _, test := range []struct {
		what, rules string
		want        []string
	}{
		{"no rules", "", []string{"accept INPUT 192.0.2.1:8080: " + all}},
		{"DNAT", dockerNat, []string{served + all}},
		{"raw drops a source", dockerNat + raw("-A PREROUTING -s 10.0.0.0/8 -j DROP\n"), []string{served + "0.0.0.0/5 8.0.0.0/7 11.0.0.0/8 12.0.0.0/6 16.0.0.0/4 32.0.0.0/3 64.0.0.0/2 128.0.0.0/1", "deny: 10.0.0.0/8"}},
		{"raw sees the port before DNAT, and no state", dockerNat + raw("-A PREROUTING -p tcp -m tcp --dport 80 -j DROP\n-A PREROUTING -m conntrack --ctstate NEW -j DROP\n"), []string{served + all}},
		{"raw sees a packet that conntrack does not know yet", dockerNat + raw("-A PREROUTING -m conntrack --ctstate INVALID -j DROP\n"), []string{"deny: " + all}},
		{"not tracked, so not rewritten", dockerNat + raw("-A PREROUTING -s 128.0.0.0/1 -j CT --notrack\n"), []string{served + "0.0.0.0/1", "accept INPUT 192.0.2.1:8080: 128.0.0.0/1"}},
		{"not tracked, and INPUT matches the state", dockerNat + raw("-A PREROUTING -j CT --notrack\n") + filter("-A INPUT -m conntrack --ctstate UNTRACKED -j DROP\n"), []string{"deny INPUT 192.0.2.1:8080: " + all}},
		{"a helper leaves it tracked", dockerNat + raw("-A PREROUTING -p tcp -j CT --helper ftp\n"), []string{served + all}},
		{"mangle PREROUTING drops", dockerNat + mangle("-A PREROUTING -p tcp -m tcp --dport 8080 -j DROP\n"), []string{"deny: " + all}},
		{"mangle PREROUTING sees the port before DNAT", dockerNat + mangle("-A PREROUTING -p tcp -m tcp --dport 80 -j DROP\n"), []string{served + all}},
		{"mangle FORWARD sees it after", dockerNat + mangle("-A FORWARD -p tcp -m tcp --dport 80 -j DROP\n"), []string{"deny FORWARD 172.17.0.2:80: " + all}},
		{"mangle POSTROUTING drops", dockerNat + mangle("-A POSTROUTING -o docker0 -j DROP\n"), []string{"deny FORWARD 172.17.0.2:80: " + all}},
		{"a mark, and a rule that matches it", dockerNat + mangle("-A PREROUTING -s 128.0.0.0/1 -j MARK --set-xmark 0x10/0xff\n") + filter("-A FORWARD -m mark --mark 0x10/0xf0 -j DROP\n"), []string{served + "0.0.0.0/1", "deny FORWARD 172.17.0.2:80: 128.0.0.0/1"}},
		{"an unknown mark", dockerNat + mangle("-A PREROUTING -j CONNMARK --restore-mark\n") + filter("-A FORWARD -m mark --mark 0x10/0xf0 -j DROP\n"), []string{
			served + all + " ? -t filter -A FORWARD -m mark --mark 0x10/0xf0 -j DROP", "deny FORWARD 172.17.0.2:80: " + all + " ? -t filter -A FORWARD -m mark --mark 0x10/0xf0 -j DROP"}},
		{"FORWARD knows the original destination, and that it was rewritten", dockerNat + filter("-A FORWARD -m conntrack --ctstate DNAT --ctorigdst 192.0.2.1 --ctorigdstport 8080 -d 172.17.0.2 -o docker0 -j REJECT\n"), []string{"reject with port-unreachable FORWARD 172.17.0.2:80: " + all}},
		{"security comes last", dockerNat + "*security\n:FORWARD DROP [0:0]\nCOMMIT\n", []string{"deny FORWARD 172.17.0.2:80: " + all}},
		{"INPUT does not affect a forwarded packet", dockerNat + filter("-A INPUT -j DROP\n"), []string{served + all}},
		{"DNAT depends on the source", nat("-A PREROUTING ! -s 128.0.0.0/1 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\n"), []string{served + "0.0.0.0/1", "accept INPUT 192.0.2.1:8080: 128.0.0.0/1"}},
		{"the first DNAT counts", nat("-A PREROUTING -p tcp -j DNAT --to-destination 172.17.0.3\n-A PREROUTING -p tcp -j DNAT --to-destination 172.17.0.2:80\n"), []string{"accept FORWARD 172.17.0.3:8080: " + all}},
		{"ACCEPT in nat leaves it alone", nat("-A PREROUTING -s 10.0.0.1/32 -j ACCEPT\n-A PREROUTING -p tcp -j DNAT --to-destination :80\n"), []string{
			"accept INPUT 192.0.2.1:8080: 10.0.0.1", "accept INPUT 192.0.2.1:80: 0.0.0.0/5 8.0.0.0/7 10.0.0.0 10.0.0.2/31 10.0.0.4/30 10.0.0.8/29 10.0.0.16/28 10.0.0.32/27 10.0.0.64/26 10.0.0.128/25 10.0.1.0/24 10.0.2.0/23 10.0.4.0/22 10.0.8.0/21 10.0.16.0/20 10.0.32.0/19 10.0.64.0/18 10.0.128.0/17 10.1.0.0/16 10.2.0.0/15 10.4.0.0/14 10.8.0.0/13 10.16.0.0/12 10.32.0.0/11 10.64.0.0/10 10.128.0.0/9 11.0.0.0/8 12.0.0.0/6 16.0.0.0/4 32.0.0.0/3 64.0.0.0/2 128.0.0.0/1"}},
		{"a port of the range stays", nat("-A PREROUTING -p tcp -j DNAT --to-destination 172.17.0.2:8000-8100\n"), []string{"accept FORWARD 172.17.0.2:8080: " + all}},
		{"a range of addresses", nat("-A PREROUTING -p tcp -j DNAT --to-destination 172.17.0.2-172.17.0.3:80\n"), []string{
			"accept FORWARD 172.17.0.2:80: " + all + " ? -t nat -A PREROUTING -p tcp -j DNAT --to-destination 172.17.0.2-172.17.0.3:80", "accept FORWARD 172.17.0.3:80: " + all + " ? -t nat -A PREROUTING -p tcp -j DNAT --to-destination 172.17.0.2-172.17.0.3:80"}},
		{"chance", nat("-A PREROUTING -p tcp -m statistic --mode random --probability 0.5 -j DNAT --to-destination 172.17.0.3:80\n"), []string{
			"accept FORWARD 172.17.0.3:80: " + all + " ? -t nat -A PREROUTING -p tcp -m statistic --mode random --probability 0.5 -j DNAT --to-destination 172.17.0.3:80",
			"accept INPUT 192.0.2.1:8080: " + all + " ? -t nat -A PREROUTING -p tcp -m statistic --mode random --probability 0.5 -j DNAT --to-destination 172.17.0.3:80"}},
		{"REDIRECT", nat("-A PREROUTING -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 9090\n") + filter("-A INPUT -s 128.0.0.0/1 -p tcp -m tcp --dport 9090 -j DROP\n-A INPUT -p tcp -m tcp --dport 8080 -j DROP\n"), []string{
			"accept INPUT 192.0.2.1:9090: 0.0.0.0/1", "deny INPUT 192.0.2.1:9090: 128.0.0.0/1"}},
		{"REDIRECT, and INPUT matches the host's address", nat("-A PREROUTING -p tcp -j REDIRECT\n") + filter("-A INPUT -d 192.0.2.1/32 -p tcp -j DROP\n"), []string{
			"accept INPUT 192.0.2.1:8080: " + all + " ? -t filter -A INPUT -d 192.0.2.1/32 -p tcp -j DROP", "deny INPUT 192.0.2.1:8080: " + all + " ? -t filter -A INPUT -d 192.0.2.1/32 -p tcp -j DROP"}},
		{"a destination without a route", nat("-A PREROUTING -p tcp -j DNAT --to-destination 10.9.9.9\n"), []string{
			"a target that Seawall does not know FORWARD 10.9.9.9:8080: " + all + " ? -t nat -A PREROUTING -p tcp -j DNAT --to-destination 10.9.9.9"}},
		{"the host's loopback is only for lo", nat("-A PREROUTING -p tcp -j DNAT --to-destination 127.0.0.1\n"), []string{"deny: " + all}},
		{"goto, and RETURN from there", nat(":A - [0:0]\n:B - [0:0]\n-A PREROUTING -j A\n-A PREROUTING -p tcp -j DNAT --to-destination 172.17.0.2:80\n-A A -g B\n-A A -p tcp -j DNAT --to-destination 172.17.0.3:80\n-A B -s 128.0.0.0/1 -j RETURN\n-A B -p tcp -j DNAT --to-destination 172.17.0.4:80\n"), []string{
			served + "128.0.0.0/1", "accept FORWARD 172.17.0.4:80: 0.0.0.0/1"}},
		{"an unknown match that makes no difference", dockerNat + filter(":X - [0:0]\n-A FORWARD -m limit --limit 5/min -j X\n-A X -s 128.0.0.0/1 -j RETURN\n"), []string{
			served + all + " ? -t filter -A FORWARD -m limit --limit 5/min -j X"}},
		{"an unknown match in raw", dockerNat + raw("-A PREROUTING -s 128.0.0.0/1 -i eth0 -m rpfilter --invert -j DROP\n"), []string{
			served + "0.0.0.0/1", served + "128.0.0.0/1 ? -t raw -A PREROUTING -s 128.0.0.0/1 -i eth0 -m rpfilter --invert -j DROP", "deny: 128.0.0.0/1 ? -t raw -A PREROUTING -s 128.0.0.0/1 -i eth0 -m rpfilter --invert -j DROP"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			h := hostOf(t, packet.IPv4, test.rules)
			p := packet.Packet{In: "eth0", Protocol: packet.TCP, Dest: netip.MustParseAddr("192.0.2.1"), Dport: 8080, Sport: 40000, TCPFlags: packet.SYN}
			ends, err := netfilter.New(h, "eth0").Follow(context.Background(), p, true, prove.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, words(h, ends)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Following ends at its limit, which names the rule, and with its context.
func TestLimits(t *testing.T) {
	h := hostOf(t, packet.IPv4, dockerNat)
	p := packet.Packet{In: "eth0", Protocol: packet.TCP, Dest: netip.MustParseAddr("192.0.2.1"), Dport: 8080}
	_, err := netfilter.New(h, "eth0").Follow(context.Background(), p, true, prove.Limits{Steps: 2}) // the jump takes both
	var hard *prove.HardError
	if !errors.As(err, &hard) || hard.Line != 5 || hard.Rule != "-A DOCKER -i docker0 -j RETURN" {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := netfilter.New(h, "eth0").Follow(ctx, p, true, prove.Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
