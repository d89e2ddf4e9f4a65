package doctor

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// letsIn reports whether a client can open a new connection to the published port 8080.
func letsIn(t *testing.T, text, client string, family packet.Family) bool {
	t.Helper()
	host := look(t, text, family)
	d := &doctor{ctx: context.Background(), host: host}
	for _, x := range d.flows(docker.Look(host.Families[0]), "eth0") {
		if x.what == "new connections to 8080/tcp" {
			x.packet.Source = netip.MustParseAddr(client)
			v := d.verdict(host.Families[0].Filter, x.packet, family)
			return v.IsOpen() || !v.Known()
		}
	}
	t.Fatal("8080/tcp is not published")
	return false
}

// Users let some clients in and drop the rest, but neither rule matches as intended. Whatever
// doctor prints, no command may lock out a client that is let in. If it prints a complete fix,
// the rest is locked out and doctor is silent afterwards; otherwise it describes both.
func TestNobodyIsShutOut(t *testing.T) {
	v4, v6 := capture(t, "engine-29-published-8080.iptables-save"), published6(t)
	const drop = "-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n"
	for _, test := range []struct {
		what, rules, chains string
		fixed               bool // by commands
		family              packet.Family
		before              string // FORWARD or INPUT
		members             bool   // only those of a set are let in
	}{
		{what: "ACCEPT", rules: "-A DOCKER-USER -s 10.0.0.1/32 -p tcp -m tcp --dport 8080 -j ACCEPT\n" + drop, fixed: true},
		{what: "RETURN", rules: "-A DOCKER-USER -s 10.0.0.1/32 -i eth0 -p tcp -m tcp --dport 8080 -j RETURN\n" + drop, fixed: true},
		{what: "several", rules: "-A DOCKER-USER -s 10.0.0.1/32 -i eth0 -p tcp -m tcp --dport 8080 -j RETURN\n-A DOCKER-USER -s 10.0.0.2/32 -p tcp -m tcp --dport 8080 -j ACCEPT\n" + drop, fixed: true},
		{what: "a network except one address", rules: "-A DOCKER-USER -s 10.0.0.9/32 -p tcp -m tcp --dport 8080 -j DROP\n-A DOCKER-USER -s 10.0.0.0/24 -p tcp -m tcp --dport 8080 -j ACCEPT\n" + drop, fixed: true},
		{what: "several ports", rules: "-A DOCKER-USER -s 10.0.0.1/32 -p tcp -m multiport --dports 22,8080 -j ACCEPT\n-A DOCKER-USER -p tcp -m multiport --dports 8000:8100,9000 -j REJECT --reject-with tcp-reset\n", fixed: true},
		{what: "all but one", rules: "-A DOCKER-USER -s 10.0.0.1/32 -p tcp -m tcp --dport 8080 -j ACCEPT\n-A DOCKER-USER ! -s 10.0.0.2/32 -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", fixed: true},
		{what: "all but one, and all but another", rules: "-A DOCKER-USER ! -s 10.0.0.1/32 -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n-A DOCKER-USER ! -s 10.0.0.2/32 -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", fixed: true},
		{what: "all but one, and all but another written differently", rules: "-A DOCKER-USER ! -s 10.0.0.1/32 -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n-A DOCKER-USER ! -s 10.0.0.2/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n"},
		{what: "a range", rules: "-A DOCKER-USER -p tcp -m iprange --src-range 10.0.0.1-10.0.0.2 -m tcp --dport 8080 -j RETURN\n" + drop, fixed: true},
		{what: "goto a chain that returns", chains: "OFFICE", rules: "-A OFFICE -s 10.0.0.0/30 -j RETURN\n-A OFFICE -j DROP\n-A DOCKER-USER -s 10.0.0.0/24 -p tcp -m tcp --dport 8080 -g OFFICE\n" + drop, fixed: true},
		{what: "goto a chain that only returns", chains: "OFFICE", rules: "-A OFFICE -j RETURN\n-A DOCKER-USER -s 10.0.0.0/24 -p tcp -m tcp --dport 8080 -g OFFICE\n" + drop, fixed: true},
		{what: "a chain that accepts", chains: "OFFICE", rules: "-A OFFICE -s 10.0.0.1/32 -j ACCEPT\n-A DOCKER-USER -p tcp -m tcp --dport 8080 -j OFFICE\n" + drop},
		{what: "a chain that accepts and drops", chains: "WEB", rules: "-A WEB -s 10.0.0.1/32 -j ACCEPT\n-A WEB -j DROP\n-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j WEB\n"},
		{what: "a chain that returns and drops", chains: "WEB", rules: "-A WEB -s 10.0.0.1/32 -j RETURN\n-A WEB -j DROP\n-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j WEB\n", fixed: true},
		{what: "both in a chain", chains: "WEB", rules: "-A WEB -s 10.0.0.1/32 -p tcp -m tcp --dport 8080 -j ACCEPT\n-A WEB -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n-A DOCKER-USER -j WEB\n", fixed: true},
		{what: "one before the chain", chains: "WEB", rules: "-A WEB -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n-A DOCKER-USER -s 10.0.0.1/32 -p tcp -m tcp --dport 8080 -j RETURN\n-A DOCKER-USER -j WEB\n", fixed: true},
		{what: "one in a chain, the drop after it", chains: "WEB", rules: "-A WEB -s 10.0.0.1/32 -p tcp -m tcp --dport 8080 -j ACCEPT\n-A DOCKER-USER -j WEB\n" + drop},
		{what: "port and chain with the port", chains: "WEB", rules: "-A WEB -s 10.0.0.1/32 -p tcp -m tcp --dport 8080 -j RETURN\n-A WEB -p tcp -m tcp --dport 8080 -j DROP\n-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j WEB\n", fixed: true},
		{what: "a set", rules: "-A DOCKER-USER -p tcp -m set --match-set office src -m tcp --dport 8080 -j RETURN\n" + drop, fixed: true, members: true},
		{what: "a set of ports", rules: "-A DOCKER-USER -s 10.0.0.1/32 -p tcp -m set --match-set web dst -j RETURN\n" + drop},
		{what: "negated ports", rules: "-A DOCKER-USER -s 10.0.0.1/32 -p tcp -m tcp ! --dport 80 -j RETURN\n" + drop},
		{what: "the wrong direction", rules: "-A DOCKER-USER -s 10.0.0.1/32 -p tcp -m tcp --dport 8080 -m conntrack --ctdir REPLY -j RETURN\n" + drop},
		{what: "unreachable", rules: "-A DOCKER-USER -s 10.0.0.1/32 -p tcp -m tcp --dport 8080 -j ACCEPT\n-A DOCKER-USER -j RETURN\n-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n", fixed: true},
		{what: "INPUT", before: "-A INPUT -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", rules: "-A DOCKER-USER -s 10.0.0.1/32 -p tcp -m tcp --dport 8080 -j ACCEPT\n", fixed: true},
		{what: "INPUT, next to a correct rule", before: "-A INPUT -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", rules: "-A DOCKER-USER -s 10.0.0.1/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j RETURN\n", fixed: true},
		{what: "INPUT, everybody is let in", before: "-A INPUT -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", rules: "-A DOCKER-USER -i eth0 -j RETURN\n"},
		{what: "IPv6", family: packet.IPv6, rules: "-A DOCKER-USER -s 2001:db8::1/128 -p tcp -m tcp --dport 8080 -j ACCEPT\n" + drop, fixed: true},
	} {
		t.Run(test.what, func(t *testing.T) {
			text, family, friend, stranger := v4, packet.IPv4, "10.0.0.1", "203.0.113.9"
			if test.family == packet.IPv6 {
				text, family, friend, stranger = v6, packet.IPv6, "2001:db8::1", "2001:db8:ffff::9"
			}
			for _, c := range strings.Fields(test.chains) {
				text = strings.Replace(text, ":DOCKER-USER - [0:0]\n", ":DOCKER-USER - [0:0]\n:"+c+" - [0:0]\n", 1)
			}
			text = strings.Replace(text, "-A FORWARD -j DOCKER-USER\n", test.before+"-A FORWARD -j DOCKER-USER\n"+test.rules, 1)
			open := letsIn(t, text, friend, family)
			found := Run(context.Background(), look(t, text, family), prove.Limits{})
			if len(found) == 0 {
				t.Fatal("found nothing")
			}
			var fix []string
			for _, f := range found {
				fix = append(fix, f.Fix...)
				if len(f.Fix) == 0 && f.Advice == "" {
					t.Errorf("neither a fix nor advice: %v", f)
				}
			}
			said := Text(found)
			for _, c := range fix {
				text = carryOut(text, []string{c})
				now := letsIn(t, text, friend, family)
				if open && !now {
					t.Errorf("%s locks %s out:\n%s", c, friend, said)
				}
				open = now
			}
			again := Run(context.Background(), look(t, text, family), prove.Limits{})
			if test.fixed != (len(again) == 0) || test.fixed && !test.members && letsIn(t, text, stranger, family) || test.fixed && !test.members && !letsIn(t, text, friend, family) {
				t.Errorf("fixed %t, want %t:\n%s\nthen:\n%s", !test.fixed, test.fixed, said, Text(again))
			}
			if !test.fixed && len(fix) > 0 && Text(again) != said {
				t.Errorf("a different finding after the commands:\n%s\nthen:\n%s", said, Text(again))
			}
		})
	}
}

// The same with random rules: no command may lock out a client that would be let in if every rule
// matched as intended.
func TestNobodyIsShutOutByAnything(t *testing.T) {
	base := strings.Replace(capture(t, "engine-20.10-two-networks.iptables-save"), ":DOCKER-USER - [0:0]\n", ":DOCKER-USER - [0:0]\n:A - [0:0]\n:B - [0:0]\n", 1)
	meant := strings.NewReplacer("-m tcp --dport 8080", "-m conntrack --ctorigdstport 8080 --ctdir ORIGINAL", "-m multiport --dports 443,8080", "-m conntrack --ctorigdstport 8080 --ctdir ORIGINAL")
	commands := 0
	for seed := range uint64(80) {
		r := rand.New(rand.NewPCG(9, seed))
		pick := func(x ...string) string { return x[r.IntN(len(x))] }
		rules := ""
		add := func(most int, chain string, targets ...string) {
			for range r.IntN(most) + 1 {
				rules += "-A " + chain + pick("", " -s 10.0.0.1/32", " -s 10.0.0.0/24", " ! -s 10.0.0.1/32", " ! -s 10.0.0.2/32", " ! -s 10.0.0.0/24") + pick("", " -i eth0") +
					pick("", " -p tcp -m tcp --dport 8080", " -p tcp -m tcp --dport 8080", " -p tcp -m multiport --dports 443,8080", " -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL", " -p tcp -m tcp --dport 80") + pick(targets...) + "\n"
			}
		}
		add(2, "B", " -j ACCEPT", " -j RETURN", " -j DROP")
		add(2, "A", " -j ACCEPT", " -j RETURN", " -j DROP", " -j B", " -g B")
		add(4, "DOCKER-USER", " -j ACCEPT", " -j RETURN", " -j DROP", " -j DROP", " -j A", " -g A", " -j B")
		text := strings.Replace(base, "-A DOCKER-USER -j RETURN\n", rules, 1)
		wanted := strings.Replace(base, "-A DOCKER-USER -j RETURN\n", meant.Replace(rules), 1)
		found := Run(context.Background(), look(t, text, packet.IPv4), prove.Limits{})
		for _, f := range found {
			for _, c := range f.Fix {
				commands++
				after := carryOut(text, []string{c})
				for _, client := range []string{"10.0.0.1", "10.0.0.2", "10.0.1.1", "203.0.113.9"} {
					if letsIn(t, text, client, packet.IPv4) && !letsIn(t, after, client, packet.IPv4) && letsIn(t, wanted, client, packet.IPv4) {
						t.Errorf("%d: %s locks %s out\n%s%s", seed, c, client, rules, Text(found))
					}
				}
				text = after
			}
		}
	}
	if commands < 40 {
		t.Errorf("only %d commands", commands)
	}
}

// published6 is a host that publishes 8080 over IPv6.
func published6(t *testing.T) string {
	t.Helper()
	text := strings.ReplaceAll(capture(t, "engine-29-published-8080.iptables-save"), "172.17.0.2/32", "fd00::2/128")
	text = strings.ReplaceAll(text, "172.17.0.2:80", "[fd00::2]:80")
	text = strings.ReplaceAll(text, "172.17.0.0/16", "fd00::/64")
	return strings.ReplaceAll(text, "127.0.0.0/8", "::1/128")
}
