//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/doctor"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// broken is a host of the capture engine-20.10-two-networks, which publishes 8080 to
// port 80, 5353/udp to 53, and 198.51.100.2:5432 to 5432, with rules of people in
// it.
type broken struct {
	user, input, forward string // rules of DOCKER-USER before its RETURN, of INPUT, and of FORWARD before the jump
	after                string // rules of DOCKER-USER after its RETURN
	codes                string // what doctor finds
	left                 string // what it finds after the commands: findings without a command
	change               string // what the commands change, by hand: effects and ports
}

// A fix of SD008 and SD009 opens, one of SD004, SD006 and SD007 closes, and those of
// SD003 and of rules that are never met change nothing or close. Expectations are
// written by hand.
var brokenHosts = []broken{
	// SD006: INPUT and a published port.
	{input: "-A INPUT -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", codes: "SD006", change: "closed 8080/tcp"},
	{input: "-A INPUT -p tcp -m tcp --dport 8080 -j DROP\n", codes: "SD006", change: "closed 8080/tcp"},
	{input: "-A INPUT ! -s 10.0.0.0/8 -i eth0 -p tcp -m tcp --dport 8080 -j REJECT --reject-with tcp-reset\n", codes: "SD006", change: "closed 8080/tcp"},
	{input: "-A INPUT -i eth0 -p udp -m udp --dport 5353 -j DROP\n", codes: "SD006", change: "closed 5353/udp"},
	{input: "-A INPUT -i eth0 -p tcp -m multiport --dports 22,5432,8080 -m comment --comment \"$(touch /tmp/x) 'y'\" -j DROP\n", codes: "SD006", change: "closed 5432/tcp 8080/tcp"},
	{input: "-A INPUT -s 10.1.1.1/32 -i eth0 -p tcp -m tcp --dport 8080 -j ACCEPT\n-A INPUT -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", codes: "SD006", left: "SD006"},
	// SD007: a port or an address that packets no longer have.
	{user: "-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", codes: "SD007", change: "closed 8080/tcp"},
	{user: "-A DOCKER-USER -i eth0 -p tcp -m multiport --dports 8080,3000 -j DROP\n", codes: "SD007", change: "closed 8080/tcp"},
	{user: "-A DOCKER-USER -i eth0 -p tcp -m multiport --dports 8000,8080 -m comment --comment \"`id`; it's\" -j DROP\n", codes: "SD007", change: "closed 8080/tcp"},
	{user: "-A DOCKER-USER -i eth0 -p tcp -m multiport ! --dports 443,8080 -j DROP\n", codes: "SD008", change: "opened tcp"},
	{user: "-A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -p tcp -m tcp --dport 8000:8100 -j DROP\n", codes: "SD007", change: "closed 8000-8100/tcp"},
	{user: "-A DOCKER-USER -i eth0 -p udp -m udp --dport 5353 -m conntrack --ctstate NEW -j REJECT --reject-with icmp-port-unreachable\n", codes: "SD007", change: "closed 5353/udp"},
	{user: "-A DOCKER-USER -d 198.51.100.2/32 -i eth0 -p tcp -m conntrack --ctdir ORIGINAL -j DROP\n", codes: "SD007", change: "closed tcp"},
	{user: "-A DOCKER-USER -d 198.51.100.2/32 -i eth0 -p tcp -m tcp --dport 5432 -j DROP\n", codes: "SD007", change: "closed 5432/tcp"},
	{user: "-A DOCKER-USER -d 10.0.0.0/8 -p tcp -m tcp --dport 8080 -j DROP\n"},
	// SD008: answers are cut; what is meant is left alone.
	{user: "-A DOCKER-USER ! -s 192.0.2.0/24 -p tcp -m conntrack --ctorigdstport 8080 -j DROP\n", codes: "SD008", change: "opened 8080/tcp"},
	{user: "-A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 -j DROP\n", codes: "SD008", change: "opened 8080/tcp"},
	{user: "-A DOCKER-USER -i eth0 ! -s 192.0.2.0/24 -j DROP\n", codes: "SD008", change: "opened every port"},
	{user: "-A DOCKER-USER -p tcp -m comment --comment \"a 'b' $c\" -j REJECT --reject-with tcp-reset\n", codes: "SD008", change: "opened tcp"},
	{user: "-A DOCKER-USER ! -s 192.0.2.0/24 -j DROP\n", codes: "SD008", change: "opened every port"},
	{user: "-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -j DROP\n", codes: "SD008", change: "opened every port"},
	{user: "-A DOCKER-USER -s 10.0.0.0/8 -j DROP\n", codes: "SD008", change: "opened every port"},
	{user: "-A DOCKER-USER -s 172.16.0.0/12 -j REJECT --reject-with icmp-port-unreachable\n", codes: "SD008", change: "opened every port"},
	{user: "-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -p udp -m comment --comment \"the `lan`\" -j DROP\n", codes: "SD008", change: "opened udp"},
	{user: "-A DOCKER-USER -i eth0 -m iprange --src-range 10.0.0.5-10.0.9.255 -j DROP\n", codes: "SD008", change: "opened every port"},
	{user: "-A DOCKER-USER -s 10.1.0.0/16 -j RETURN\n-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -j DROP\n-A DOCKER-USER -s 192.168.0.0/16 -i eth0 -j DROP\n", codes: "SD008 SD008", change: "opened every port"},
	{user: "-A DOCKER-USER -o eth0 -j DROP\n", codes: "SD008", change: "opened every port"},
	{user: "-A DOCKER-USER -s 10.0.0.0/8 -j RETURN\n-A DOCKER-USER -j DROP\n", codes: "SD008", change: "opened every port"},
	{user: "-A DOCKER-USER -d 203.0.113.0/24 -j DROP\n"},
	{user: "-A DOCKER-USER -s 10.1.2.3/32 -j DROP\n"},
	{user: "-A DOCKER-USER -m set --match-set bad src -j DROP\n"},
	{user: "-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -m conntrack --ctstate NEW -j DROP\n"},
	{user: "-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP\n"},
	{user: "-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN\n-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -j DROP\n"},
	{user: "-A DOCKER-USER -d 10.0.0.0/8 -j DROP\n-A DOCKER-USER -s 10.0.0.0/8 -j DROP\n"},
	{user: "-A DOCKER-USER -d 172.17.0.0/16 -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP\n"},
	{user: "-A DOCKER-USER -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -i eth0 -j DROP\n"},
	{user: "-A DOCKER-USER -m set --match-set bad dst -j DROP\n"},
	// SD009: all but one, and all but another.
	{user: "-A DOCKER-USER ! -s 192.0.2.1/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n-A DOCKER-USER ! -s 192.0.2.2/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n", codes: "SD009", change: "opened 8080/tcp"},
	{user: "-A DOCKER-USER ! -s 192.0.2.1/32 -i eth0 -m conntrack --ctdir ORIGINAL -j DROP\n-A DOCKER-USER ! -s 192.0.2.2/32 -i eth0 -m conntrack --ctdir ORIGINAL -j DROP\n-A DOCKER-USER ! -s 10.0.0.0/8 -i eth0 -m conntrack --ctdir ORIGINAL -j DROP\n", codes: "SD009", change: "opened every port"},
	{user: "-A DOCKER-USER ! -s 192.0.2.1/32 -i eth0 -p tcp -m conntrack --ctdir ORIGINAL -j REJECT --reject-with tcp-reset\n-A DOCKER-USER ! -s 192.0.2.2/32 -i eth0 -p tcp -m conntrack --ctdir ORIGINAL -j REJECT --reject-with tcp-reset\n", codes: "SD009", change: "opened tcp"},
	{user: "-A DOCKER-USER ! -s 192.0.2.1/32 -i eth0 -p udp -m conntrack --ctorigdstport 5353 --ctdir ORIGINAL -m comment --comment \"x y\" -j DROP\n-A DOCKER-USER ! -s 192.0.2.2/32 -i eth0 -p udp -m conntrack --ctorigdstport 5353 --ctdir ORIGINAL -m comment --comment \"x y\" -j DROP\n", codes: "SD009", change: "opened 5353/udp"},
	{user: "-A DOCKER-USER ! -s 192.0.2.1/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n-A DOCKER-USER -s 203.0.113.0/24 -i eth0 -m conntrack --ctdir ORIGINAL -j DROP\n-A DOCKER-USER ! -s 192.0.2.2/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n", codes: "SD009", change: "opened 8080/tcp"},
	// SD010: never met. Several keep their order; what would deny everything is not moved.
	{after: "-A DOCKER-USER -i eth0 -p udp -m conntrack --ctorigdstport 5353 --ctdir ORIGINAL -j DROP\n", codes: "SD010", change: "closed 5353/udp"},
	{after: "-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n-A DOCKER-USER -s 11.0.0.0/8 -i eth0 -p tcp -m conntrack --ctorigdstport 8000 --ctdir ORIGINAL -j DROP\n", codes: "SD010 SD010", change: "closed 8000/tcp 8080/tcp"},
	{after: "-A DOCKER-USER -s 10.1.2.3/32 -i eth0 -j RETURN\n-A DOCKER-USER -j DROP\n", codes: "SD010 SD010", left: "SD010"},
	{after: "-A DOCKER-USER -j RETURN\n", codes: "SD010"},
	{after: "-A DOCKER-USER -s 10.1.2.3/32 -i eth0 -m conntrack --ctdir ORIGINAL -m comment --comment \"a'; reboot\" -j DROP\n", codes: "SD010", change: "closed every port"},
	// SD003 and SD004: the jump.
	{forward: "-A FORWARD -j DOCKER-USER\n", codes: "SD003"},
	{forward: "-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-USER\n", codes: "SD003"},
	{user: "-A DOCKER-USER -j LOG\n", forward: "-A FORWARD -j DOCKER-USER\n", codes: "SD003"},
	{user: "-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -j DROP\n", forward: "-A FORWARD -j DOCKER-USER\n", codes: "SD003 SD008", change: "opened every port"},
	{forward: "-A FORWARD -j DOCKER-USER\n-A FORWARD -o lo -j DROP\n", codes: "SD003"},
	{user: "-A DOCKER-USER -i eth0 -m conntrack --ctdir ORIGINAL -j DROP\n", forward: "-A FORWARD -p tcp -m tcp --dport 80 -j ACCEPT\n", codes: "SD004", change: "closed tcp"},
	{user: "-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -p udp -m conntrack --ctorigdstport 5353 --ctdir ORIGINAL -j REJECT --reject-with icmp-port-unreachable\n", forward: "-A FORWARD -m comment --comment \"mine: $(x)\" -j ACCEPT\n", codes: "SD004", change: "closed 5353/udp"},
	{user: "-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n", forward: "-A FORWARD -i eth0 -j ACCEPT\n", codes: "SD004", change: "closed 8080/tcp"},
	{user: "-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n", forward: "-A FORWARD -s 10.0.0.0/8 -j ACCEPT\n", codes: "SD004", change: "closed 8080/tcp"},
	{user: "-A DOCKER-USER -i eth0 -m conntrack --ctorigdstport 8000 --ctdir ORIGINAL -p tcp -j ACCEPT\n", forward: "-A FORWARD -s 6.6.6.6/32 -j DROP\n-A FORWARD -p udp -j ACCEPT\n", codes: "SD004", left: "SD004"},
	// Several, in the order in which they are printed.
	{user: "-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n-A DOCKER-USER ! -s 192.0.2.0/24 -p udp -j DROP\n", input: "-A INPUT -i eth0 -p udp -m udp --dport 5353 -j DROP\n", after: "-A DOCKER-USER -s 11.0.0.0/8 -i eth0 -p tcp -m conntrack --ctorigdstport 8000 --ctdir ORIGINAL -j DROP\n",
		codes: "SD007 SD008 SD010 SD006", change: "closed 5353/udp 8000/tcp 8080/tcp, opened udp"},
}

// Each command that doctor prints is run in a namespace. The rules then mean what the
// finding says and nothing else, and doctor is silent.
func TestFixes(t *testing.T) {
	Need(t)
	healthy, err := os.ReadFile("../../../testdata/captures/engine-20.10-two-networks.iptables-save")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			t.Parallel()
			n := NewNamespace(t, "fixes")
			n.Must("ipset", "create", "bad", "hash:ip")
			bin := t.TempDir()
			for _, f := range packet.Families {
				path, err := n.Run(nil, "sh", "-c", "command -v "+b.Command(f, ""))
				if err != nil {
					t.Fatal(err)
				}
				name := strings.Replace(b.Command(f, ""), "-"+string(b), "", 1)
				script := "#!/bin/sh\nexec " + strings.TrimSpace(path) + " \"$@\"\n"
				if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for i, x := range brokenHosts {
				wrong := fixed(t, n, b, bin, string(healthy), x)
				if wrong != "" {
					t.Errorf("%d: %+v\n%s", i, x, wrong)
				}
				results.add("fixes, "+string(b), 1, map[bool]int{true: 1}[wrong != ""])
			}
		})
	}
}

// host builds the rules of a broken host.
func (x broken) host(healthy string) string {
	text := strings.Replace(healthy, "-A DOCKER-USER -j RETURN\n", x.user+"-A DOCKER-USER -j RETURN\n"+x.after, 1)
	return strings.Replace(text, "-A FORWARD -j DOCKER-USER\n", x.input+x.forward+"-A FORWARD -j DOCKER-USER\n", 1)
}

// fixed loads a host, runs what doctor prints, and says what is wrong then.
func fixed(t *testing.T, n *Namespace, b Backend, bin, healthy string, x broken) string {
	t.Helper()
	if said, err := n.Run(strings.NewReader(x.host(healthy)), b.Command(packet.IPv4, "-restore")); err != nil {
		return said
	}
	read := func() (*iptables.File, []doctor.Finding) {
		f, err := iptables.Parse([]byte(n.Must(b.Command(packet.IPv4, "-save"))), iptables.Options{Family: packet.IPv4})
		if err != nil {
			t.Fatal(err)
		}
		h := &doctor.Host{Families: []docker.Tables{docker.TablesOf(f)}, Interfaces: []string{"eth0"}}
		return f, doctor.Run(context.Background(), h, prove.Limits{})
	}
	before, found := read()
	var codes, commands, left []string
	for _, f := range found {
		codes = append(codes, f.Code)
		commands = append(commands, f.Fix...)
	}
	if got := strings.Join(codes, " "); got != x.codes {
		return fmt.Sprintf("found %q\n%s", got, doctor.Text(found))
	}
	c := n.Command("sh", "-e", "-c", strings.Join(commands, "\n"))
	c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	if said, err := c.CombinedOutput(); err != nil {
		return fmt.Sprintf("%v: %s\n%s", err, said, doctor.Text(found))
	}
	after, again := read()
	for _, f := range again {
		left = append(left, f.Code)
	}
	if got := strings.Join(left, " "); got != x.left {
		return fmt.Sprintf("then finds %q\n%s\nthen\n%s", got, doctor.Text(found), doctor.Text(again))
	}
	if got := meaningChanged(t, before, after); got != x.change {
		return fmt.Sprintf("changes %q\n%s", got, doctor.Text(found))
	}
	return ""
}

// meaningChanged is what changed in the filter table: effects, and ports or protocols.
func meaningChanged(t *testing.T, before, after *iptables.File) string {
	t.Helper()
	list, err := prove.Changes(context.Background(), prove.Side{Table: before.Table("filter")}, prove.Side{Table: after.Table("filter")}, packet.IPv4, prove.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	effects := map[string][]string{}
	for _, c := range list {
		if c.Old.IsOpen() && c.New.IsOpen() {
			continue // accepted before DOCKER-USER, or by the same rule after it
		}
		ports := c.Ports
		if len(ports) == 0 {
			ports = []string{"every port"}
			if f := fmt.Sprint(c.Fields); strings.Contains(f, "rotocol") {
				ports = []string{c.Example.Protocol.String()}
			}
		}
		effects[string(c.Effect)] = append(effects[string(c.Effect)], ports...)
	}
	var text []string
	for _, e := range []string{"closed", "opened", "other"} {
		if p := effects[e]; p != nil {
			slices.Sort(p)
			text = append(text, e+" "+strings.Join(slices.Compact(p), " "))
		}
	}
	return strings.Join(text, ", ")
}
