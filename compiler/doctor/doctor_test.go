package doctor

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/compiler/system"
	"github.com/seawall/seawall/schema"
)

// look returns a host with saved rules of one family.
func look(t *testing.T, text string, family packet.Family) *Host {
	t.Helper()
	f, err := iptables.Parse([]byte(text), iptables.Options{Family: family})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return &Host{Families: []docker.Tables{docker.TablesOf(f)}, Interfaces: []string{"eth0"}}
}

func capture(t *testing.T, name string) string {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("../../testdata/captures", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(src)
}

// Healthy hosts have no findings.
func TestHealthyHosts(t *testing.T) {
	files, err := filepath.Glob("../../testdata/captures/*-save")
	if err != nil || len(files) < 10 {
		t.Fatalf("%v, %v", files, err)
	}
	both := map[string]*Host{}
	for _, name := range files {
		family := packet.IPv4
		if strings.Contains(name, "ip6tables") {
			family = packet.IPv6
		}
		host := look(t, capture(t, filepath.Base(name)), family)
		if found := Run(context.Background(), host, prove.Limits{}); len(found) > 0 {
			t.Errorf("%s: %s", name, Text(found))
		}
		engine, _, _ := strings.Cut(filepath.Base(name), ".ip")
		if both[engine] == nil {
			both[engine] = &Host{Interfaces: []string{"eth0"}}
		}
		both[engine].Families = append(both[engine].Families, host.Families...)
	}
	for engine, host := range both {
		if found := Run(context.Background(), host, prove.Limits{}); len(found) > 0 {
			t.Errorf("%s, both families: %s", engine, Text(found))
		}
	}
}

// carryOut applies commands to the text of a file as they would apply to the kernel.
func carryOut(text string, commands []string) string {
	for _, c := range commands {
		c = strings.ReplaceAll(c, "'", "") // the shell's quotes
		_, args, ok := strings.Cut(c, "tables ")
		if !ok || strings.HasPrefix(c, "#") {
			continue
		}
		table := "filter"
		if rest, ok := strings.CutPrefix(args, "-t "); ok {
			table, args, _ = strings.Cut(rest, " ")
		}
		head, rest, _ := strings.Cut(text, "*"+table+"\n")
		inside, tail, _ := strings.Cut(rest, "COMMIT\n")
		text = head + "*" + table + "\n" + inside + args + "\nCOMMIT\n" + tail
	}
	return text
}

// knownOf is what Docker reports about a captured host: its containers, if they were captured,
// and its networks, whose kinds are written by hand in a test of package docker.
func knownOf(t *testing.T, name string, family packet.Family) *docker.Known {
	t.Helper()
	k := &docker.Known{}
	prefix, _, _ := strings.Cut(name, ".ip")
	if src, err := os.ReadFile(filepath.Join("../../testdata/captures", prefix+".inspect.json")); err == nil {
		if k, err = docker.ParseInspect(src); err != nil {
			t.Fatal(err)
		}
	}
	k.Raw, k.Direct = true, true
	l := docker.Look(look(t, capture(t, name), family).Families[0])
	for _, n := range append(slices.Clone(l.Networks), l.Internal...) {
		options, subnets := map[string]string{}, n.Subnets
		const bridge = "com.docker.network.bridge."
		if !n.Kind.ICC {
			options[bridge+"enable_icc"] = "false"
		}
		if n.Kind.Mode == docker.GatewayRouted {
			options[bridge+"gateway_mode_ipv4"] = "routed"
			subnets = []netip.Prefix{netip.MustParsePrefix("172.22.0.0/16")}
		}
		k.Networks = append(k.Networks, docker.KnownNetwork{Bridge: n.Bridge, Driver: "bridge", Internal: n.Kind.Mode == docker.GatewayNone, Subnets: subnets, Options: options})
	}
	return k
}

// Every single deletion of a Docker chain, jump or rule is found, and the printed fix repairs it.
// The only exception is a RETURN at the end of a chain, which has no effect. Docker supplies what
// the rules alone cannot tell, because a healthy host could look the same.
func TestEveryDeletionIsFound(t *testing.T) {
	for _, name := range []string{"engine-20.10-two-networks.iptables-save", "engine-26.1-modes.iptables-save", "engine-28.5-modes.iptables-save", "engine-28.5-modes.ip6tables-save",
		"engine-29-modes.iptables-save", "engine-29-modes.ip6tables-save", "engine-29-published-8080.iptables-save", "engine-29-published-8080.ip6tables-save"} {
		family := packet.IPv4
		if strings.Contains(name, "ip6tables") {
			family = packet.IPv6
		}
		whole := capture(t, name)
		lines := strings.SplitAfter(whole, "\n")
		deletions, found, fixed, restarts, alone := 0, 0, 0, 0, 0
		known := knownOf(t, name, family)
		lookAt := func(text string) *Host {
			host := look(t, text, family)
			host.Families[0].Known = known
			return host
		}
		if list := Run(context.Background(), lookAt(whole), prove.Limits{}); len(list) > 0 {
			t.Fatalf("%s is healthy: %s", name, Text(list))
		}
		for i, line := range lines {
			if !strings.HasPrefix(line, "-A ") && !strings.HasPrefix(line, ":DOCKER") || strings.HasSuffix(line, " -j RETURN\n") && !strings.Contains(line, " -i ") {
				continue
			}
			rest := strings.Join(lines[:i], "") + strings.Join(lines[i+1:], "")
			if chain, ok := strings.CutPrefix(line, ":"); ok {
				rest = withoutChain(lines, i, strings.Fields(chain)[0])
			}
			deletions++
			if *every && len(Run(context.Background(), look(t, rest, family), prove.Limits{})) > 0 {
				alone++
			}
			list := Run(context.Background(), lookAt(rest), prove.Limits{})
			if len(list) == 0 {
				t.Errorf("%s: not found: %s deleted", name, line)
				continue
			}
			found++
			var fix []string
			for _, f := range list {
				fix = append(fix, f.Fix...)
				if len(f.Traffic) == 0 || f.Detail == "" {
					t.Errorf("%s without %s: no traffic or no reason: %v", name, line, f)
				}
			}
			if slices.Contains(fix, restart) {
				restarts++ // the lab restarts a real engine
				continue
			}
			if after := Run(context.Background(), lookAt(carryOut(rest, fix)), prove.Limits{}); len(after) > 0 {
				t.Errorf("%s without %s: the fix does not work:\n%s\nthen:\n%s", name, line, Text(list), Text(after))
				continue
			}
			fixed++
		}
		t.Logf("%s: %d deletions, %d found (%d by the rules alone, in a long run), %d fixed by the printed commands, %d by a restart of Docker", name, deletions, found, alone, fixed, restarts)
		if deletions < 10 || found != deletions || fixed+restarts != deletions {
			t.Errorf("%s: not every deletion is found and fixed", name)
		}
	}
}

// A missing Docker rule is not mistaken for a port that somebody closed, leaving docker-proxy
// open.
func TestDeletionsAreNotClosedPorts(t *testing.T) {
	name := "engine-28.5-modes.iptables-save"
	known := knownOf(t, name, packet.IPv4)
	six := look(t, capture(t, "engine-28.5-modes.ip6tables-save"), packet.IPv6).Families
	lines := strings.SplitAfter(capture(t, name), "\n")
	for i, line := range lines {
		rest := strings.Join(lines[:i], "") + strings.Join(lines[i+1:], "")
		if strings.HasPrefix(line, ":DOCKER") {
			rest = withoutChain(lines, i, strings.Fields(line[1:])[0])
		} else if !strings.HasPrefix(line, "-A ") {
			continue
		}
		host := look(t, rest, packet.IPv4)
		host.Families = append(host.Families, six...)
		for n := range host.Families {
			host.Families[n].Known = known
		}
		for _, f := range Run(context.Background(), host, prove.Limits{}) {
			if f.Code == "SD005" {
				t.Errorf("without %s: %s", line, f.Summary)
			}
		}
	}
}

// If two chains are missing, alone or with a jump that is duplicate or too late, the commands
// work in the order in which they are printed: a chain is created before a rule jumps to it, and
// rule numbers account for what earlier commands added.
func TestEveryPairOfChainsIsMadeAgain(t *testing.T) {
	for _, name := range []string{"engine-20.10-two-networks.iptables-save", "engine-29-published-8080.iptables-save"} {
		pairs := 0
		for _, forward := range []string{"", "-A FORWARD -j DOCKER-USER\n", "-A FORWARD -s 10.0.0.0/8 -j ACCEPT\n"} {
			whole := strings.Replace(capture(t, name), "-A FORWARD -j DOCKER-USER\n", forward+"-A FORWARD -j DOCKER-USER\n", 1)
			names := chainsOf(whole)
			for i, first := range names {
				for _, second := range names[i+1:] {
					text := whole
					for _, chain := range []string{first, second} {
						lines := strings.SplitAfter(text, "\n")
						at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, ":"+chain+" ") })
						text = withoutChain(lines, at, chain)
					}
					pairs++
					var fix []string
					for _, f := range Run(context.Background(), look(t, text, packet.IPv4), prove.Limits{}) {
						fix = append(fix, f.Fix...)
					}
					if slices.Contains(fix, restart) {
						continue
					}
					after := carryOut(text, fix)
					if _, err := iptables.Parse([]byte(after), iptables.Options{Family: packet.IPv4}); err != nil {
						t.Errorf("%s without %s and %s: %v\n%s", name, first, second, err, strings.Join(fix, "\n"))
						continue
					}
					left := Run(context.Background(), look(t, after, packet.IPv4), prove.Limits{})
					left = slices.DeleteFunc(left, func(f Finding) bool { return len(f.Fix) == 0 || first == "DOCKER-USER" || second == "DOCKER-USER" })
					if len(left) > 0 {
						t.Errorf("%s without %s and %s:\n%s\nthen:\n%s", name, first, second, strings.Join(fix, "\n"), Text(left))
					}
				}
			}
		}
		t.Logf("%s: %d pairs", name, pairs)
	}
}

// chainsOf lists Docker's chains in the filter table.
func chainsOf(text string) []string {
	var names []string
	_, inside, _ := strings.Cut(text, "*filter\n")
	for _, line := range strings.Split(inside[:strings.Index(inside, "COMMIT")], "\n") {
		if strings.HasPrefix(line, ":DOCKER") {
			names = append(names, strings.Fields(line[1:])[0])
		}
	}
	return names
}

// withoutChain removes the chain that line i declares, with its rules and the jumps to it: a
// chain in use cannot be deleted.
func withoutChain(lines []string, i int, name string) string {
	start, end := i, i
	for !strings.HasPrefix(lines[start], "*") {
		start--
	}
	for lines[end] != "COMMIT\n" {
		end++
	}
	var b strings.Builder
	for n, line := range lines {
		inTable := n > start && n < end
		if inTable && (n == i || strings.HasPrefix(line, "-A "+name+" ") || strings.HasSuffix(line, " -j "+name+"\n")) {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}

// Typical user rules and their findings. The fixes are applied and leave nothing to find.
func TestWhatPeopleWrite(t *testing.T) {
	healthy := capture(t, "engine-20.10-two-networks.iptables-save")
	six := capture(t, "engine-20.10-two-networks.ip6tables-save")
	rule := func(lines string) string {
		return strings.Replace(healthy, "-A DOCKER-USER -j RETURN\n", lines+"-A DOCKER-USER -j RETURN\n", 1)
	}
	for _, test := range []struct{ what, text, six, code, says string }{
		{"a correct rule", rule("-A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n"), "", "", ""},
		{"the same without IPv6", rule("-A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n"), six, "SD005", "every IPv6 client on eth0 reaches 172.17.0.2:80"},
		{"no IPv6, for udp", rule("-A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -p udp -m conntrack --ctorigdstport 5353 --ctdir ORIGINAL -j DROP\n"), six, "SD005", "ip6tables -I INPUT -i eth0 -p udp -m conntrack --ctorigdstport 5353 --ctdir ORIGINAL -j DROP"},
		{"no IPv6, with a reject", rule("-A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j REJECT --reject-with tcp-reset\n"), six, "SD005", "ip6tables -I INPUT -i eth0 -p tcp"},
		{"no IPv6, with an allow list", rule("-A DOCKER-USER -s 192.0.2.0/24 -i eth0 -j RETURN\n-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n"), six, "SD005", "ip6tables -I INPUT -i eth0 -p tcp"},
		{"INPUT", strings.Replace(healthy, "-A FORWARD -j DOCKER-USER", "-A INPUT -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n-A FORWARD -j DOCKER-USER", 1), "", "SD006", "connections to 8080/tcp are served as if the rule were not there"},
		{"the published port", rule("-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n"), "", "SD007", "the rule matches no connection to 8080/tcp"},
		{"the published address", rule("-A DOCKER-USER -d 198.51.100.2/32 -i eth0 -p tcp -m conntrack --ctdir ORIGINAL -j DROP\n"), "", "SD007", "-I DOCKER-USER 1 -i eth0 -p tcp -m conntrack --ctorigdst 198.51.100.2 --ctdir ORIGINAL -j DROP"},
		{"no interface, no direction", rule("-A DOCKER-USER ! -s 192.0.2.0/24 -p tcp -m conntrack --ctorigdstport 8080 -j DROP\n"), "", "SD008", "replies from 8080/tcp: denied by this rule"},
		{"no direction", rule("-A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 -j DROP\n"), "", "SD008", "replies to the containers of br-shop on port 8080: denied by this rule"},
		{"a network is kept out", rule("-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -j DROP\n"), "", "SD008", "replies to the containers of docker0 from 10.0.0.0/8: denied by this rule"},
		{"a network is kept out, over udp", rule("-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -p udp -j DROP\n"), "", "SD008", "replies to the containers of docker0 over udp from 10.0.0.0/8: denied by this rule"},
		{"a range is kept out", rule("-A DOCKER-USER -i eth0 -m iprange --src-range 10.0.0.5-10.0.9.255 -j DROP\n"), "", "SD008", "from 10.0.0.5-10.0.9.255: denied by this rule"},
		{"a network is kept out, on every interface", rule("-A DOCKER-USER -s 10.0.0.0/8 -j DROP\n"), "", "SD008", "iptables -R DOCKER-USER 1 -s 10.0.0.0/8 -m conntrack --ctdir ORIGINAL -j DROP"},
		{"a network that includes containers is kept out", rule("-A DOCKER-USER -s 172.16.0.0/12 -j DROP\n"), "", "SD008", "iptables -R DOCKER-USER 1 -s 172.16.0.0/12 -i eth0 -m conntrack --ctdir ORIGINAL -j DROP"},
		{"part of a network is let in first", rule("-A DOCKER-USER -s 10.0.0.0/16 -j RETURN\n-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -j DROP\n"), "", "SD008", "iptables -R DOCKER-USER 2 -s 10.0.0.0/8 -i eth0 -m conntrack --ctdir ORIGINAL -j DROP"},
		{"the way out is closed", rule("-A DOCKER-USER -o eth0 -j DROP\n"), "", "SD008", "iptables -R DOCKER-USER 1 -o eth0 -m conntrack --ctdir ORIGINAL -j DROP"},
		{"one network is let in, everything else is dropped", strings.Replace(healthy, "-A DOCKER-USER -j RETURN\n", "-A DOCKER-USER -s 10.0.0.0/8 -j RETURN\n-A DOCKER-USER -j DROP\n", 1), "", "SD008", "iptables -R DOCKER-USER 2 -i eth0 -m conntrack --ctdir ORIGINAL -j DROP"},
		{"a negated pair", rule("-A DOCKER-USER ! -s 192.0.2.1/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n-A DOCKER-USER ! -s 192.0.2.2/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n"), "", "SD009", "every source is denied, including 192.0.2.1/32 and 192.0.2.2/32"},
		{"after a RETURN", strings.Replace(healthy, "-A DOCKER-USER -j RETURN\n", "-A DOCKER-USER -j RETURN\n-A DOCKER-USER -i eth0 -p udp -m conntrack --ctorigdstport 5353 --ctdir ORIGINAL -j DROP\n", 1), "", "SD010", "none"},
		{"the jump is duplicate", strings.Replace(healthy, "-A FORWARD -j DOCKER-USER\n", "-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-USER\n", 1), "", "SD003", "each packet traverses the rules twice"},
		{"an ACCEPT before the jump", strings.Replace(rule("-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n"), "-A FORWARD -j DOCKER-USER\n", "-A FORWARD -i eth0 -j ACCEPT\n-A FORWARD -j DOCKER-USER\n", 1), "", "SD004", "new connections to 8080/tcp: let in now, denied once fixed"},
	} {
		t.Run(test.what, func(t *testing.T) {
			host := look(t, test.text, packet.IPv4)
			if test.six != "" {
				host.Families = append(host.Families, look(t, test.six, packet.IPv6).Families...)
			}
			found := Run(context.Background(), host, prove.Limits{})
			text := Text(found)
			if test.code == "" {
				if len(found) > 0 {
					t.Errorf("a false alarm:\n%s", text)
				}
				return
			}
			if len(found) != 1 || found[0].Code != test.code || !strings.Contains(text, test.says) {
				t.Fatalf("want %s with %q, got:\n%s", test.code, test.says, text)
			}
			if test.code == "SD005" {
				host.Families[1] = look(t, carryOut(test.six, found[0].Fix), packet.IPv6).Families[0]
			} else {
				host.Families[0] = look(t, carryOut(test.text, found[0].Fix), packet.IPv4).Families[0]
			}
			if again := Run(context.Background(), host, prove.Limits{}); len(again) > 0 {
				t.Errorf("the fix does not work:\n%s\nthen:\n%s", text, Text(again))
			}
		})
	}
}

// Intended rules that cut replies or match a port after DNAT: what containers may reach, bans,
// and rules that no reply matches.
func TestWhatIsMeant(t *testing.T) {
	healthy := capture(t, "engine-20.10-two-networks.iptables-save")
	for _, rules := range []string{
		// New connections only.
		"-s 10.0.0.0/8 -i eth0 -m conntrack --ctstate NEW -j DROP",
		"-s 10.0.0.0/8 -i eth0 -m state --state NEW -j DROP",
		"-s 10.0.0.0/8 -i eth0 -m conntrack --ctstate INVALID,NEW -j DROP",
		"-s 10.0.0.0/8 -i eth0 -m conntrack --ctdir ORIGINAL -j DROP",
		"-s 10.0.0.0/8 -i eth0 -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP",
		"-s 10.0.0.0/8 -i eth0 -p tcp -m tcp --dport 80 -j DROP",
		// Replies were let through before.
		"-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; -s 10.0.0.0/8 -i eth0 -j DROP",
		"-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN; -s 10.0.0.0/8 -i eth0 -j RETURN; -i docker0 -j RETURN; -j DROP",
		"-s 10.0.0.0/8 -j RETURN; -d 10.0.0.0/8 -j RETURN; -j DROP",
		// Replies, explicitly.
		"-s 10.0.0.0/8 -i eth0 -m conntrack --ctdir REPLY -j DROP",
		// What containers may reach, and networks that they may not talk to in either direction.
		"-d 10.0.0.0/8 -j DROP",
		"-d 10.0.0.0/8 -o eth0 -j REJECT --reject-with icmp-port-unreachable",
		"-d 10.0.0.0/8 -j DROP; -s 10.0.0.0/8 -j DROP",
		"-s 10.0.0.0/8 -j DROP; -d 10.0.0.0/8 -j DROP",
		"-d 10.0.0.0/8 -p tcp -m tcp --dport 8080 -j DROP",
		"-o eth0 -p tcp -m tcp --dport 8080 -j DROP",
		"-s 172.17.0.0/16 -p tcp -m tcp --dport 8080 -j DROP",
		"-s 172.17.0.2/32 -j DROP",
		"-i docker0 -j DROP",
		// Bans.
		"-s 198.51.100.2/32 -j DROP",
		"-s 10.1.2.3/32 -i eth0 -j REJECT --reject-with icmp-port-unreachable",
		"-m set --match-set crowdsec-blacklists src -j DROP",
		"-i eth0 -m set --match-set crowdsec-blacklists src -j DROP",
	} {
		text := "-A DOCKER-USER " + strings.ReplaceAll(rules, "; ", "\n-A DOCKER-USER ") + "\n"
		text = strings.Replace(healthy, "-A DOCKER-USER -j RETURN\n", text, 1)
		if found := Run(context.Background(), look(t, text, packet.IPv4), prove.Limits{}); len(found) > 0 {
			t.Errorf("%s: a false alarm:\n%s", rules, Text(found))
		}
	}
}

// A ban of some IPv4 clients is no reason to close IPv6, where the ports are served without
// DOCKER-USER; nor are packets that other rules drop in raw or slow down.
func TestBansAreLeftAlone(t *testing.T) {
	six := look(t, "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\nCOMMIT\n", packet.IPv6)
	for _, rules := range []string{
		"-A DOCKER-USER -s 203.0.113.66/32 -j DROP\n",
		"-A DOCKER-USER -s 203.0.113.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n",
		"-A DOCKER-USER -s 203.0.113.66/32 -j REJECT --reject-with icmp-port-unreachable\n-A DOCKER-USER -s 203.0.113.67/32 -j REJECT --reject-with icmp-port-unreachable\n",
		"-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctstate NEW -m recent --update --seconds 60 --hitcount 20 --name DEFAULT --mask 255.255.255.255 --rsource -j DROP\n",
	} {
		host := look(t, strings.Replace(capture(t, "engine-20.10-two-networks.iptables-save"), "-A DOCKER-USER -j RETURN\n", rules, 1), packet.IPv4)
		host.Families = append(host.Families, six.Families...)
		if found := Run(context.Background(), host, prove.Limits{}); len(found) > 0 {
			t.Errorf("%s\n%s", rules, Text(found))
		}
	}
	wg := strings.Replace(capture(t, "engine-29-modes.iptables-save"), "*raw\n:PREROUTING ACCEPT [0:0]\n", "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -d 10.7.0.2/32 ! -i wg0 -m addrtype ! --src-type LOCAL -j DROP\n", 1)
	if !strings.Contains(wg, "wg0") {
		t.Fatal("the rule was not inserted")
	}
	host := look(t, wg, packet.IPv4)
	host.Families = append(host.Families, six.Families...)
	if found := Run(context.Background(), host, prove.Limits{}); len(found) > 0 {
		t.Errorf("wg-quick's own rule:\n%s", Text(found))
	}
}

// A port that Docker does not publish is not taken for a published one: a rule that opens it is
// reported.
func TestPortsThatNobodyPublishes(t *testing.T) {
	const name = "engine-28.5-modes.iptables-save"
	for _, test := range []struct{ before, rule, fix string }{
		{"-A DOCKER ", "-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 22 -j ACCEPT\n",
			"iptables -D DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 22 -j ACCEPT"},
		{"-A DOCKER ! -i docker0 -p tcp", "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 2222 -j DNAT --to-destination 172.17.0.2:80\n",
			"iptables -t nat -D DOCKER ! -i docker0 -p tcp -m tcp --dport 2222 -j DNAT --to-destination 172.17.0.2:80"},
		// No container has the address.
		{"-A DOCKER ! -i docker0 -p tcp", "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 9000 -j DNAT --to-destination 172.17.0.99:80\n",
			"iptables -t nat -D DOCKER ! -i docker0 -p tcp -m tcp --dport 9000 -j DNAT --to-destination 172.17.0.99:80"},
		{"-A DOCKER ! -i docker0 -p tcp", "-A DOCKER -i eth0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.0.5:80\n",
			"iptables -t nat -D DOCKER -i eth0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.0.5:80"},
	} {
		text := strings.Replace(capture(t, name), test.before, test.rule+test.before, 1)
		host := look(t, text, packet.IPv4)
		known := knownOf(t, name, packet.IPv4)
		for i, n := range known.Networks {
			for _, s := range n.Subnets {
				known.Networks[i].Members = append(known.Networks[i].Members, known.Within(s)...)
			}
		}
		host.Families[0].Known = known
		found := Run(context.Background(), host, prove.Limits{})
		if len(found) != 1 || found[0].Code != "SD015" || !slices.Equal(found[0].Fix, []string{test.fix}) {
			t.Errorf("%s\n%s", test.rule, Text(found))
		}
	}
}

// A rule that drops packets of established connections would still do so if bound to the original
// direction: no fix is printed.
func TestStandingConnectionsAreCut(t *testing.T) {
	for _, rule := range []string{
		"-m conntrack --ctstate ESTABLISHED -j DROP",
		"-m conntrack ! --ctstate NEW -j DROP",
		"-m state --state RELATED,ESTABLISHED -j REJECT --reject-with icmp-port-unreachable",
		"-i eth0 -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j DROP",
	} {
		text := strings.Replace(capture(t, "engine-20.10-two-networks.iptables-save"), "-A DOCKER-USER -j RETURN\n", "-A DOCKER-USER "+rule+"\n", 1)
		found := Run(context.Background(), look(t, text, packet.IPv4), prove.Limits{})
		if len(found) != 1 || found[0].Code != "SD008" || len(found[0].Fix) > 0 || !strings.Contains(found[0].Advice, "delete the rule") {
			t.Errorf("%s:\n%s", rule, Text(found))
		}
	}
}

// What other tools accept before the jump is left alone, unless a user's rule in DOCKER-USER is
// about those packets.
func TestRulesBehindOthers(t *testing.T) {
	const modes = "engine-29-modes.iptables-save"
	for _, test := range []struct{ forward, nat, user, named string }{
		{"-A FORWARD -o eth0 -j ACCEPT\n", "", "", ""},
		{"-A FORWARD -o eth0 -j ACCEPT\n", "", "-A DOCKER-USER -o eth0 -p tcp -m tcp --dport 25 -j DROP\n", "-A FORWARD -o eth0 -j ACCEPT"},
		{"-A FORWARD -i tun0 -j ACCEPT\n", "", "-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8443 --ctdir ORIGINAL -j DROP\n", ""},
		{"-A FORWARD -i tun0 -j ACCEPT\n", "", "-A DOCKER-USER -i tun0 -p tcp -m conntrack --ctorigdstport 8443 --ctdir ORIGINAL -j DROP\n", "-A FORWARD -i tun0 -j ACCEPT"},
		{"-A FORWARD -s 10.8.0.0/24 -j ACCEPT\n", "-A POSTROUTING -s 10.8.0.0/24 ! -d 10.8.0.0/24 -j SNAT --to-source 198.51.100.2\n", "", ""},
		{"-A FORWARD -s 10.8.0.0/24 -j ACCEPT\n", "-A POSTROUTING -s 10.8.0.0/24 ! -d 10.8.0.0/24 -j SNAT --to-source 198.51.100.2\n",
			"-A DOCKER-USER -s 10.8.0.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 8443 --ctdir ORIGINAL -j DROP\n", "-A FORWARD -s 10.8.0.0/24 -j ACCEPT"},
	} {
		text := strings.Replace(capture(t, modes), "-A FORWARD -j DOCKER-USER\n", test.forward+"-A FORWARD -j DOCKER-USER\n"+test.user, 1)
		text = strings.Replace(text, "-A POSTROUTING", test.nat+"-A POSTROUTING", 1)
		host := look(t, text, packet.IPv4)
		host.Families[0].Known = knownOf(t, modes, packet.IPv4)
		found := Run(context.Background(), host, prove.Limits{})
		if test.named == "" && len(found) > 0 || test.named != "" && (len(found) != 1 || !strings.HasSuffix(found[0].Summary, ": "+test.named)) {
			t.Errorf("%+v\n%s", test, Text(found))
		}
	}
}

// A rule whose fix reopens a port is no reason to close the port over docker-proxy.
func TestFixesAgree(t *testing.T) {
	host := look(t, strings.Replace(capture(t, "engine-29-published-8080.iptables-save"), "*filter\n", "*mangle\n:FORWARD ACCEPT [0:0]\n-A FORWARD -o docker0 -j DROP\nCOMMIT\n*filter\n", 1), packet.IPv4)
	host.Families = append(host.Families, look(t, "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\nCOMMIT\n", packet.IPv6).Families...)
	found := Run(context.Background(), host, prove.Limits{})
	if len(found) != 1 || found[0].Code != "SD015" {
		t.Error(Text(found))
	}
}

// A rule that matches everything and keeps containers from the outside is reported, but no fix is
// printed that would let them out: it may be intended.
func TestContainersAreCutOff(t *testing.T) {
	healthy := capture(t, "engine-20.10-two-networks.iptables-save")
	for _, rules := range []string{
		"-j DROP",
		"-m conntrack --ctstate NEW -j DROP",
		"-j REJECT --reject-with icmp-port-unreachable",
		"-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN; -s 10.0.0.0/8 -i eth0 -j RETURN; -j DROP",
	} {
		text := "-A DOCKER-USER " + strings.ReplaceAll(rules, "; ", "\n-A DOCKER-USER ") + "\n"
		text = strings.Replace(healthy, "-A DOCKER-USER -j RETURN\n", text, 1)
		found := Run(context.Background(), look(t, text, packet.IPv4), prove.Limits{})
		if len(found) != 1 || found[0].Code != "SD008" || len(found[0].Fix) > 0 || !strings.Contains(Text(found), "connections from the containers of docker0 to the outside: denied by this rule") {
			t.Errorf("%s:\n%s", rules, Text(found))
		}
	}
}

// Rules of other tools before the jump to DOCKER-USER let nobody reach containers from outside; a
// rule next to them that does is reported, and they are not. Once it comes after the jump, it may
// still open networks to each other.
func TestBeforeTheJump(t *testing.T) {
	const tailscale = "-A FORWARD -j ts-forward\n-A ts-forward -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000\n-A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT\n" +
		"-A ts-forward -s 100.64.0.0/10 -o tailscale0 -j DROP\n-A ts-forward -o tailscale0 -j ACCEPT\n"
	const libvirt = "-A FORWARD -j LIBVIRT_FWI\n-A FORWARD -j LIBVIRT_FWO\n-A LIBVIRT_FWI -d 192.168.122.0/24 -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n" +
		"-A LIBVIRT_FWI -o virbr0 -j REJECT --reject-with icmp-port-unreachable\n-A LIBVIRT_FWO -s 192.168.122.0/24 -i virbr0 -j ACCEPT\n"
	for _, engine := range []string{"engine-20.10-two-networks.iptables-save", "engine-29-published-8080.iptables-save"} {
		for _, test := range []struct{ before, named string }{
			{tailscale, ""},
			{libvirt, ""},
			{"-A FORWARD -j KUBE-FORWARD\n-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP\n-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT\n-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n", ""},
			{"-A FORWARD -j NETAVARK_FORWARD\n-A NETAVARK_FORWARD -d 10.88.0.0/16 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A NETAVARK_FORWARD -s 10.88.0.0/16 -j ACCEPT\n", ""},
			{"-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n", ""},
			{"-A FORWARD -i docker0 -o eth0 -j ACCEPT\n", ""},
			{"-A FORWARD -d 192.168.1.10/32 -p tcp -m tcp --dport 443 -j ACCEPT\n", ""},
			{"-A FORWARD -i eth0 -o eth1 -j ACCEPT\n", ""},
			{tailscale + "-A FORWARD -o docker0 -j ACCEPT\n", "-A FORWARD -o docker0 -j ACCEPT"},
			{libvirt + "-A FORWARD -p tcp -m tcp --dport 80 -j ACCEPT\n", "-A FORWARD -p tcp -m tcp --dport 80 -j ACCEPT"},
			{"-A FORWARD -d 172.17.0.2/32 -j ACCEPT\n" + tailscale, "-A FORWARD -d 172.17.0.2/32 -j ACCEPT"},
		} {
			text := strings.Replace(capture(t, engine), ":DOCKER-USER - [0:0]\n", ":DOCKER-USER - [0:0]\n:ts-forward - [0:0]\n:LIBVIRT_FWI - [0:0]\n:LIBVIRT_FWO - [0:0]\n:KUBE-FORWARD - [0:0]\n:NETAVARK_FORWARD - [0:0]\n", 1)
			if strings.Contains(test.before, "NETAVARK") { // its own network, which it masquerades
				text = strings.Replace(text, "-A POSTROUTING", "-A POSTROUTING -s 10.88.0.0/16 -j NETAVARK-1D8721804F16F\n-A POSTROUTING", 1)
				text = strings.Replace(text, "*nat\n", "*nat\n:NETAVARK-1D8721804F16F - [0:0]\n-A NETAVARK-1D8721804F16F ! -d 224.0.0.0/4 -j MASQUERADE\n", 1)
			}
			text = strings.Replace(text, "-A FORWARD -j DOCKER-USER\n", test.before+"-A FORWARD -j DOCKER-USER\n", 1)
			found := Run(context.Background(), look(t, text, packet.IPv4), prove.Limits{})
			switch {
			case test.named == "" && len(found) > 0:
				t.Errorf("%s, %s: a false alarm:\n%s", engine, test.before, Text(found))
			case test.named != "" && (len(found) == 0 || found[0].Code != "SD004" ||
				slices.ContainsFunc(found, func(f Finding) bool { return !strings.HasSuffix(f.Summary, ": "+test.named) })):
				t.Errorf("%s, %s: want SD004 about %s, got:\n%s", engine, test.before, test.named, Text(found))
			}
		}
	}
}

// A rule before the jump that accepts nothing for the containers here, but what DOCKER-USER
// denies elsewhere: that is said, with an example.
func TestDeniedElsewhere(t *testing.T) {
	healthy := capture(t, "engine-29-published-8080.iptables-save")
	for user, want := range map[string]string{
		"-A DOCKER-USER -i eth0 -j DROP\n":            "none to the containers here, but others that DOCKER-USER denies are accepted, for example FORWARD ",
		"-A DOCKER-USER -i eth0 -o docker0 -j DROP\n": "",
	} {
		text := strings.Replace(healthy, "-A FORWARD -j DOCKER-USER\n", "-A FORWARD -o tun0 -j ACCEPT\n-A FORWARD -j DOCKER-USER\n"+user, 1)
		found := Run(context.Background(), look(t, text, packet.IPv4), prove.Limits{})
		if said := Text(found); (want == "") != (len(found) == 0) || !strings.Contains(said, want) || want != "" && !strings.Contains(said, "out tun0") {
			t.Errorf("%s: want %q, got\n%s", user, want, said)
		}
	}
}

// Docker makes no jump for a family that it leaves alone, and rules in DOCKER-USER there are
// never asked.
func TestNotAsked(t *testing.T) {
	const six = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n"
	for rules, found := range map[string]bool{
		"-A DOCKER-USER -i eth0 -j DROP\n":                            true,
		"-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -i eth0 -j DROP\n": false,
		"-A DOCKER-USER -j RETURN\n":                                  false,
		"":                                                            false,
	} {
		host := look(t, capture(t, "engine-29-published-8080.iptables-save"), packet.IPv4)
		host.Families = append(host.Families, look(t, six+rules+"COMMIT\n", packet.IPv6).Families...)
		var list []Finding
		for _, f := range Run(context.Background(), host, prove.Limits{}) {
			if f.Code == "SD002" {
				list = append(list, f)
			}
		}
		if (len(list) == 1) != found || found && (list[0].Place != "IPv6, FORWARD" || !slices.Equal(list[0].Fix, []string{"ip6tables -I FORWARD -j DOCKER-USER"})) {
			t.Errorf("%q: %s", rules, Text(list))
		}
	}
}

// The jump is added at the top before the old one is deleted by number: after each command there
// is a jump.
func TestJumpIsNeverGone(t *testing.T) {
	for _, jump := range []string{"-A FORWARD -j DOCKER-USER\n", "-A FORWARD -i eth0 -j DOCKER-USER\n", "-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-USER\n"} {
		text := strings.Replace(capture(t, "engine-29-published-8080.iptables-save"), "-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-FORWARD\n", "-A FORWARD -j DOCKER-FORWARD\n"+jump, 1)
		var fix []string
		for _, f := range Run(context.Background(), look(t, text, packet.IPv4), prove.Limits{}) {
			fix = append(fix, f.Fix...)
		}
		for _, c := range fix {
			text = carryOut(text, []string{c})
			if at := jumps(look(t, text, packet.IPv4).Families[0].Filter); len(at) == 0 {
				t.Errorf("%s: no jump after %s", jump, c)
			}
		}
		if again := Run(context.Background(), look(t, text, packet.IPv4), prove.Limits{}); len(fix) == 0 || len(again) > 0 {
			t.Errorf("%s: %s, and then\n%s", jump, fix, Text(again))
		}
	}
}

// An INPUT rule whose destination conntrack cannot express gets advice instead of a fix.
func TestInputWithoutFix(t *testing.T) {
	healthy := capture(t, "engine-20.10-two-networks.iptables-save")
	for _, rule := range []string{
		"-p tcp -m addrtype --dst-type LOCAL -m tcp --dport 8080 -j DROP",
		"-p tcp -m iprange --dst-range 198.51.100.1-198.51.100.9 -m tcp --dport 8080 -j DROP",
		"! -d 198.51.100.2/32 -p tcp -m tcp --dport 8080 -j DROP",
	} {
		text := strings.Replace(healthy, "-A FORWARD -j DOCKER-USER\n", "-A INPUT "+rule+"\n-A FORWARD -j DOCKER-USER\n", 1)
		found := Run(context.Background(), look(t, text, packet.IPv4), prove.Limits{})
		if len(found) != 1 || found[0].Code != "SD006" || found[0].Fix != nil || !strings.HasPrefix(found[0].Advice, "add the rule to DOCKER-USER") {
			t.Errorf("%s: %s", rule, Text(found))
		}
	}
}

// Correct chains of other tools and of users, called by DOCKER-USER.
func TestCalledChainsAreHealthy(t *testing.T) {
	const ufw = "-A DOCKER-USER -j ufw-user-forward\n-A DOCKER-USER -s 10.0.0.0/8 -j RETURN\n-A DOCKER-USER -s 172.16.0.0/12 -j RETURN\n-A DOCKER-USER -s 192.168.0.0/16 -j RETURN\n" +
		"-A DOCKER-USER -p udp -m udp --sport 53 --dport 1024:65535 -j RETURN\n" +
		"-A DOCKER-USER -d 192.168.0.0/16 -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ufw-docker-logging-deny\n-A DOCKER-USER -d 10.0.0.0/8 -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ufw-docker-logging-deny\n" +
		"-A DOCKER-USER -d 172.16.0.0/12 -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ufw-docker-logging-deny\n-A DOCKER-USER -d 192.168.0.0/16 -p udp -m udp --dport 0:32767 -j ufw-docker-logging-deny\n" +
		"-A DOCKER-USER -d 10.0.0.0/8 -p udp -m udp --dport 0:32767 -j ufw-docker-logging-deny\n-A DOCKER-USER -d 172.16.0.0/12 -p udp -m udp --dport 0:32767 -j ufw-docker-logging-deny\n" +
		"-A ufw-docker-logging-deny -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix \"[UFW DOCKER BLOCK] \"\n-A ufw-docker-logging-deny -j DROP\n"
	for _, test := range []struct{ chains, rules string }{
		{"ufw-user-forward ufw-docker-logging-deny", "-A FORWARD -j ufw-user-forward\n" + ufw + "-A ufw-user-forward -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j ACCEPT\n"},
		{"f2b-a f2b-b", "-A DOCKER-USER -p tcp -j f2b-a\n-A DOCKER-USER -p tcp -m multiport --dports 8080,443 -j f2b-b\n-A f2b-a -s 203.0.113.7/32 -j REJECT --reject-with icmp-port-unreachable\n-A f2b-a -j RETURN\n-A f2b-b -j RETURN\n"},
		{"CROWDSEC_CHAIN", "-A DOCKER-USER -j CROWDSEC_CHAIN\n-A CROWDSEC_CHAIN -m set --match-set crowdsec-blacklists src -j DROP\n"},
		{"IN", "-A DOCKER-USER -i eth0 -m conntrack --ctdir ORIGINAL -j IN\n-A IN -s 10.0.0.0/8 -j RETURN\n-A IN -j DROP\n"},
		{"IN", "-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN\n-A DOCKER-USER -i eth0 -j IN\n-A IN -s 10.0.0.0/8 -j RETURN\n-A IN -j DROP\n"},
		{"IN", "-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -g IN\n-A IN ! -s 10.0.0.0/8 -j DROP\n"},
		{"EGRESS", "-A DOCKER-USER -i docker0 -o eth0 -j EGRESS\n-A EGRESS -d 198.51.100.0/24 -j RETURN\n-A EGRESS -j REJECT --reject-with icmp-port-unreachable\n"},
		{"LOGS", "-A DOCKER-USER -p tcp -m tcp --dport 8080 -j LOGS\n-A LOGS -j LOG --log-prefix \"web \"\n"},
		{"OPEN", "-A DOCKER-USER -p tcp -m tcp --dport 8080 -j OPEN\n-A OPEN -j ACCEPT\n"},
		{"BLOCKLIST", "-A DOCKER-USER -j BLOCKLIST\n" + strings.Repeat("-A BLOCKLIST -s 192.0.2.0/24 -j DROP\n", 10)},
		{"UNUSED", "-A UNUSED ! -s 10.0.0.0/8 -j DROP\n"},
	} {
		for _, engine := range []string{"engine-20.10-two-networks.iptables-save", "engine-29-published-8080.iptables-save"} {
			text := capture(t, engine)
			for _, c := range strings.Fields(test.chains) {
				text = strings.Replace(text, ":DOCKER-USER - [0:0]\n", ":DOCKER-USER - [0:0]\n:"+c+" - [0:0]\n", 1)
			}
			head, tail, _ := strings.Cut(text, "-A FORWARD -j DOCKER-USER\n")
			text = head + "-A FORWARD -j DOCKER-USER\n" + test.rules + tail
			if found := Run(context.Background(), look(t, text, packet.IPv4), prove.Limits{}); len(found) > 0 {
				t.Errorf("%s: a false alarm:\n%s", test.rules, Text(found))
			}
		}
	}
}

// A finding names every port that its fix changes.
func TestPortsAreNamed(t *testing.T) {
	healthy := capture(t, "engine-20.10-two-networks.iptables-save")
	for _, test := range []struct{ before, user, says string }{
		{"-A INPUT -i eth0 -p tcp -m multiport --dports 8080,5432 -j DROP\n", "", "the published ports 8080/tcp and 5432/tcp, but does not affect their clients"},
		{"-A INPUT -i eth0 -p tcp -m multiport --dports 22,5432 -j DROP\n", "", "the published port 5432/tcp, but does not affect its clients"},
		{"-A INPUT -i eth0 -p tcp -m tcp --dport 5000:9000 -j DROP\n", "", "8080/tcp and 5432/tcp"},
		{"-A INPUT -i eth0 -p tcp -m tcp --dport 5000:9000 -j DROP\n", "", "all ports in 5000:9000"},
		{"", "-A DOCKER-USER -i eth0 -p tcp -m multiport --dports 8080,5432 -j DROP\n", "the published ports 8080 and 5432"},
		{"", "-A DOCKER-USER -i eth0 -p tcp -m multiport --dports 8080,5432 -j DROP\n", "no connection to 8080/tcp and 5432/tcp"},
	} {
		text := strings.Replace(healthy, "-A FORWARD -j DOCKER-USER\n", test.before+"-A FORWARD -j DOCKER-USER\n"+test.user, 1)
		found := Run(context.Background(), look(t, text, packet.IPv4), prove.Limits{})
		if len(found) != 1 || !strings.Contains(Text(found), test.says) {
			t.Errorf("want %q, got:\n%s", test.says, Text(found))
		}
	}
}

// The facts of a live host.
func TestFacts(t *testing.T) {
	host := look(t, capture(t, "engine-29-published-8080.iptables-save"), packet.IPv4)
	host.Facts = Facts{Live: true, Forwarding: map[int]bool{4: true}}
	if found := Run(context.Background(), host, prove.Limits{}); len(found) > 0 {
		t.Errorf("a false alarm:\n%s", Text(found))
	}
	host.Facts = Facts{Live: true, DaemonJSON: []byte(`{"iptables": false, "ip6tables": false, "firewall-backend": "nftables"}`),
		Forwarding: map[int]bool{4: false}, OtherBackend: "legacy", Active: map[string]bool{"firewalld": true, "ufw": true}}
	var codes []string
	for _, f := range Run(context.Background(), host, prove.Limits{}) {
		codes = append(codes, f.Code)
	}
	if got, want := fmt.Sprint(codes), "[SD011 SD011 SD013 SD014 SD012]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// With ufw a host is healthy, and with firewalld too if DOCKER-USER has no rules.
func TestFirewalls(t *testing.T) {
	healthy := capture(t, "engine-29-published-8080.iptables-save")
	ours := strings.Replace(healthy, "-A FORWARD -j DOCKER-USER\n", "-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n", 1)
	for _, test := range []struct {
		text, active, codes, note string
	}{
		{healthy, "ufw", "", "ufw is active. Its rules do not filter published ports"},
		{ours, "ufw", "", "ufw is active."},
		{healthy, "firewalld", "", "firewalld is active. Its zones do not filter published ports"},
		{ours, "firewalld", "SD016", "firewalld is active."},
	} {
		host := look(t, test.text, packet.IPv4)
		host.Facts = Facts{Live: true, Forwarding: map[int]bool{4: true}, Active: map[string]bool{test.active: true}}
		codes := ""
		for _, f := range Run(context.Background(), host, prove.Limits{}) {
			codes += f.Code
		}
		notes := strings.Join(Notes(context.Background(), host, prove.Limits{}), "\n")
		if codes != test.codes || !strings.Contains(notes, test.note) {
			t.Errorf("%s: %q, notes:\n%s", test.active, codes, notes)
		}
	}
}

// What netfilter-persistent's files do at its next start.
func TestPersistentFiles(t *testing.T) {
	ours := []byte("# seawall: begin\n-F INPUT\n# seawall: end\n")
	const four, six = "IPTABLES_RESTORE_NOFLUSH=yes\n", "export IP6TABLES_RESTORE_NOFLUSH='yes'\n"
	healthy := capture(t, "engine-29-published-8080.iptables-save")
	for _, test := range []struct {
		defaults string
		rules    [2][]byte
		says     string
	}{
		{four + six, [2][]byte{ours, ours}, ""},
		{"", [2][]byte{}, ""},
		{"", [2][]byte{[]byte("*filter\nCOMMIT\n"), nil}, ""},
		{"# " + four + six, [2][]byte{ours, ours}, "netfilter-persistent loads /etc/iptables/rules.v4 with a flush"},
		{four + six + "IPTABLES_RESTORE_NOFLUSH=no\n", [2][]byte{ours, ours}, "loads /etc/iptables/rules.v4 with a flush"},
		{"", [2][]byte{ours, ours}, "loads /etc/iptables/rules.v4 and /etc/iptables/rules.v6 with a flush"},
		{four + six, [2][]byte{append(bytes.Clone(ours), "-A DOCKER-USER -i eth0 -j DROP\n"...), ours}, "netfilter-persistent has not loaded Seawall's rules"},
		{four + six, [2][]byte{[]byte(healthy), ours}, "Docker's own rules were saved into /etc/iptables/rules.v4"},
	} {
		host := look(t, healthy, packet.IPv4)
		host.Facts = Facts{Live: true, Forwarding: map[int]bool{4: true}, Persistent: &system.PersistentFiles{Defaults: []byte(test.defaults), Rules: test.rules}}
		found := Run(context.Background(), host, prove.Limits{})
		if test.says == "" && len(found) > 0 || test.says != "" && (len(found) != 1 || found[0].Code != "SD020" || !strings.Contains(found[0].Summary, test.says)) {
			t.Errorf("%q: want %q, got:\n%s", test.defaults, test.says, Text(found))
		}
	}
}

// What ufw's files do at its next start, which the rules do not show.
func TestUFWFiles(t *testing.T) {
	block, none := []byte("# seawall: begin\n# seawall: end\n"), []byte("*filter\nCOMMIT\n")
	good := system.UFWFiles{Hook: block, Executable: true, Rules: [2][]byte{block, block}}
	for _, test := range []struct {
		change func(*system.UFWFiles)
		says   string
	}{
		{func(*system.UFWFiles) {}, ""},
		{func(u *system.UFWFiles) { *u = system.UFWFiles{} }, ""},
		{func(u *system.UFWFiles) { u.Rules[0] = none }, "ufw no longer loads Seawall's rules: /etc/ufw/after.rules lost the block"},
		{func(u *system.UFWFiles) { u.Rules = [2][]byte{} }, "/etc/ufw/after.rules and /etc/ufw/after6.rules lost the block"},
		{func(u *system.UFWFiles) { u.Executable = false }, "/etc/ufw/before.init does not make the jumps to them"},
		{func(u *system.UFWFiles) { u.Defaults = []byte("IPV6=yes\nMANAGE_BUILTINS=yes\n") }, "ufw flushes the built-in chains at each reload"},
		{func(u *system.UFWFiles) { u.Defaults = []byte("IPV6=yes\nMANAGE_BUILTINS=no\n") }, ""},
		{func(u *system.UFWFiles) { u.Disabled = true }, "ufw has Seawall's rules, and is disabled"},
		{func(u *system.UFWFiles) {
			u.Rules[0] = []byte("# seawall: begin\n-A DOCKER-USER -i eth0 -j DROP\n# seawall: end\n")
		}, "ufw has not loaded Seawall's rules"},
		{func(u *system.UFWFiles) { u.Defaults = []byte("IPV6=no\n") }, "ufw loads nothing for IPv6"},
	} {
		host := look(t, capture(t, "engine-29-published-8080.iptables-save"), packet.IPv4)
		files := good
		test.change(&files)
		host.Facts = Facts{Live: true, Forwarding: map[int]bool{4: true}, UFW: &files, System: system.UFW}
		found := Run(context.Background(), host, prove.Limits{})
		if test.says == "" && len(found) > 0 || test.says != "" && (len(found) != 1 || found[0].Code != "SD019" || !strings.Contains(found[0].Summary, test.says)) {
			t.Errorf("want %q, got:\n%s", test.says, Text(found))
		}
		if notes := strings.Join(Notes(context.Background(), host, prove.Limits{}), "\n"); !strings.HasSuffix(notes, "this is a host with ufw. The files for its next boot: seawall compile --for ufw.") {
			t.Errorf("the notes are:\n%s", notes)
		}
	}
}

// named reports whether a finding is about a port that a policy names.
func named(doc *schema.Document, summary string) bool {
	for port, protocol := range map[int]schema.Protocol{8080: schema.TCP, 5432: schema.TCP, 5353: schema.UDP} {
		if !strings.Contains(summary, fmt.Sprintf("%d/%s ", port, protocol)) {
			continue
		}
		for _, p := range doc.Policies {
			for _, r := range p.Ports {
				if r.Protocol == protocol && int(r.First) <= port && port <= int(r.Last) && len(p.Address) == 0 {
					return true
				}
			}
		}
	}
	return false
}

// The rules that Seawall compiles satisfy doctor: no example has findings, in either layout, on
// either engine.
func TestCompiledRulesAreHealthy(t *testing.T) {
	policies, err := filepath.Glob("../../examples/*/policy.hcl")
	if err != nil || len(policies) < 8 {
		t.Fatalf("%v, %v", policies, err)
	}
	for _, policy := range policies {
		opt := schema.Options{}
		if vars, _ := filepath.Glob(filepath.Join(filepath.Dir(policy), "*.vars.hcl")); len(vars) > 0 {
			opt.VarFiles = vars[:1]
		}
		loaded, diags := schema.Load(filepath.Dir(policy), opt)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		loaded.Document.Host.UserlandProxy = true
		for _, layout := range []lower.Layout{lower.Flat, lower.Indexed} {
			out, err := compiler.Compile(context.Background(), loaded.Document, compiler.Options{Format: emit.Restore, Layout: layout})
			if err != nil {
				t.Fatal(err)
			}
			for _, engine := range []string{"engine-20.10-two-networks", "engine-29-published-8080"} {
				host := &Host{Interfaces: []string{"eth0"}}
				for i, family := range []packet.Family{packet.IPv4, packet.IPv6} {
					text := capture(t, engine+[]string{".iptables-save", ".ip6tables-save"}[i])
					_, own, _ := strings.Cut(string(out.Files[i].Bytes), "*filter\n")
					own, _, _ = strings.Cut(own, "COMMIT\n")
					head, rest, _ := strings.Cut(text, "*filter\n")
					inside, tail, _ := strings.Cut(rest, "COMMIT\n")
					if !strings.Contains(inside, "-A FORWARD -j DOCKER-USER") {
						own += "-I FORWARD -j DOCKER-USER\n"
					}
					text = head + "*filter\n" + inside + own + "-I INPUT -j SEAWALL-INPUT\nCOMMIT\n" + tail
					host.Families = append(host.Families, look(t, text, family).Families...)
				}
				for _, f := range Run(context.Background(), host, prove.Limits{}) {
					if f.Code == "SD005" && !named(loaded.Document, f.Summary) {
						continue // a port that no policy names is open over docker-proxy; that finding is correct
					}
					t.Errorf("%s, %s, over %s:\n%s", policy, layout, engine, Text([]Finding{f}))
				}
			}
		}
	}
}

// Every code in use is in the table, and vice versa.
func TestCodes(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var used strings.Builder
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		used.Write(src)
	}
	for _, x := range Codes {
		if !strings.Contains(used.String(), fmt.Sprintf("Code: %q", x.Code)) {
			t.Errorf("%s is in the table but nothing reports it", x.Code)
		}
	}
	if got := strings.Count(used.String(), "Code: \"SD"); got < len(Codes) {
		t.Errorf("%d codes are in use, but %d are in the table", got, len(Codes))
	}
}
