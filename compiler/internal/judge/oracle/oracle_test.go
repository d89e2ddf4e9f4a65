package oracle

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// addr reads an address that stands in a test.
func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// base is a new TCP connection from outside to a published port, after DNAT.
func base() Packet {
	return Packet{
		In: "eth0", Out: "docker0", Protocol: protoTCP, Src: addr("192.0.2.1"), Dst: addr("172.17.0.2"),
		Sport: 40000, Dport: 80, TCPFlags: 2, Known: true, State: "NEW", DNAT: true,
		OrigDst: addr("198.51.100.1"), OrigDport: 8080,
	}
}

// base6 is the same for IPv6.
func base6() Packet {
	p := base()
	p.Src, p.Dst, p.OrigDst = addr("2001:db8::1"), addr("fd00::2"), addr("2001:db8:1::1")
	return p
}

// forward puts rules of FORWARD, and lines that stand before them, into a file
// whose policy is DROP.
func forward(lines ...string) string {
	return "*filter\n:FORWARD DROP [0:0]\n" + strings.Join(lines, "\n") + "\nCOMMIT\n"
}

// check compares the verdicts of FORWARD.
func check(t *testing.T, text string, p Packet, want ...string) {
	t.Helper()
	family := 4
	if p.Src.Is6() {
		family = 6
	}
	r, err := Parse(text, family)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if got := r.Verdicts("FORWARD", p); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q for %+v in\n%s", got, want, p, text)
	}
}

// TestMatches has one rule with -j ACCEPT each, and whether it matches the
// packet of base, as it is or changed.
func TestMatches(t *testing.T) {
	reply := func(p *Packet) { p.Reply, p.State = true, "ESTABLISHED" }
	invalid := func(p *Packet) { p.Known, p.State = false, "INVALID" }
	udp := func(p *Packet) { p.Protocol = protoUDP }
	icmp := func(p *Packet) { p.Protocol, p.ICMPType, p.ICMPCode = protoICMP, 3, 4 }
	fragment := func(p *Packet) { p.Fragment = true }
	tests := []struct {
		rule   string
		change func(*Packet)
		want   tri
	}{
		// iptables(8), the parameters.
		{"", nil, yes},
		{"-p tcp", nil, yes},
		{"-p TCP", nil, yes},
		{"--proto 0x6", nil, yes},
		{"--protocol 06", nil, yes},
		{"! -p 17", nil, yes},
		{"! -p tcp", nil, no},
		{"-p all", udp, yes},
		{"-p ip", udp, yes},
		{"-p hopopt", udp, yes},
		{"-p mptcp", nil, maybe},
		{"-s 192.0.2.1", nil, yes},
		{"-s 192.0.2.0/24", nil, yes},
		{"-s 192.0.2.1/255.255.0.255", nil, yes},
		{"-s 192.7.2.1/255.0.255.255", nil, yes},
		{"-s 192.7.2.2/255.0.255.255", nil, no},
		{"! -s 192.0.2.0/24", nil, no},
		{"--source 10.0.0.1,192.0.2.1", nil, yes},
		{"-d 172", nil, no},
		{"-d 172.17/16", nil, yes},
		{"-d 0xac110002", nil, yes},
		{"-d 0254.021.0.02", nil, yes},
		{"-d 1.2.3.4/0", nil, yes},
		{"! -d 0/0", nil, no},
		{"-s gateway.example", nil, maybe},
		{"-i eth0", nil, yes},
		{"-i eth", nil, no},
		{"-i et+", nil, yes},
		{"-i eth0+", nil, yes},
		{"! -i e+", nil, no},
		{"-i +", nil, yes},
		{"! -i +", nil, no},
		{"! -o docker0", nil, no},
		{"-f", nil, no},
		{"! -f", nil, yes},
		{"-f", fragment, yes},
		{"--frag", fragment, yes},
		// Options: abbreviated, joined, after the target, of the protocol.
		{"--sour 192.0.2.1 --destinati 172.17.0.2 --in-i eth0 --prot tcp", nil, yes},
		{"--source=192.0.2.1 -ptcp -ieth0", nil, yes},
		{"-p tcp --dport 80", nil, yes},
		{"-p 6 --dpo=80", nil, yes},
		{"-p tcp --destination-port http", nil, yes},
		{"-p tcp -m multiport --dport 80,443", nil, yes},
		{"-p tcp -m multiport -m tcp --dport 80 --dports 79:81", nil, yes},
		{"-p tcp -m multiport -m tcp --dport 80 --dports 81:82", nil, no},
		{"-c 5 6", nil, yes},
		{"-c 5,6 -4", nil, yes},
		{`-m comment --comment "-j DROP \" ! -p udp"`, nil, yes},
		{"-m comment --comment -s", nil, yes},
		// tcp and udp.
		{"-p tcp --sport :40000 --dport 80:", nil, yes},
		{"-p tcp ! --dport 80:90", nil, no},
		{"-p tcp --dport 80", udp, no},
		{"-p tcp --dport 80", fragment, no},
		{"-p tcp ! --dport 81", fragment, no},
		{"-p tcp ! --dport 0:65535", nil, maybe},
		{"-p udp --dport 90:70", udp, no},
		{"-p udp ! --dport 90:70", udp, yes},
		{"-p udp --dport 80", udp, yes},
		// Numbers of ports: base 0 for tcp, sctp and multiport, decimal and cut
		// to 16 bits for udp, dccp and conntrack.
		{"-p tcp --dport 0120", nil, yes},
		{"-p tcp --dport 0x50", nil, yes},
		{"-p tcp -m multiport --dports 0120", nil, yes},
		{"-p udp --dport 080", udp, yes},
		{"-p udp --dport 65616", udp, yes},
		{"-m conntrack --ctorigdstport 08080", nil, yes},
		{"-m conntrack --ctorigdstport 73616", nil, yes},
		{"-p tcp --syn", nil, yes},
		{"-p tcp ! --syn", nil, no},
		{"-p tcp --syn", func(p *Packet) { p.TCPFlags = 2 | 8 }, yes},
		{"-p tcp --tcp-flags SYN,ACK syn", nil, yes},
		{"-p tcp --tcp-flags SYN SYN,ACK", nil, no},
		{"-p tcp --tcp-flags ALL NONE", nil, no},
		{"-p tcp --tcp-flags ALL NONE", func(p *Packet) { p.TCPFlags = 0 }, yes},
		{"-p tcp --tcp-option 2", nil, maybe},
		{"-p tcp --tcp-option 2 --dport 81", nil, no},
		{"-p sctp --dport 80", func(p *Packet) { p.Protocol = protoSCTP }, yes},
		{"-p dccp ! --dport 0:65535", func(p *Packet) { p.Protocol = protoDCCP }, no},
		{"-p dccp --dccp-types REQUEST", func(p *Packet) { p.Protocol = protoDCCP }, maybe},
		// multiport.
		{"-p tcp -m multiport --ports 40000", nil, yes},
		{"-p tcp -m multiport --sports 1:5,40000", nil, yes},
		{"-p tcp -m multiport ! --dports 80,90:95", nil, no},
		{"-p tcp -m multiport ! --dports 80", udp, no},
		{"-p udplite -m multiport --dports 80", func(p *Packet) { p.Protocol = protoUDPLite }, yes},
		{"-p tcp -m multiport --dports 80 -m multiport ! --sports 1", nil, yes},
		// iprange, two of them in one rule.
		{"-m iprange --src-range 192.0.2.1-192.0.2.9", nil, yes},
		{"-m iprange --src-range 192.0.2.1", nil, yes},
		{"-m iprange ! --src-range 192.0.2.1-192.0.2.9", nil, no},
		{"-m iprange --src-range 192.0.2.9-192.0.2.0", nil, no},
		{"-m iprange --src-range 192.0.2.0-192.0.2.9 -m iprange --dst-range 172.17.0.3-172.17.0.9", nil, no},
		// icmp.
		{"-p icmp --icmp-type 3", icmp, yes},
		{"-p icmp --icmp-type 3/4", icmp, yes},
		{"-p icmp --icmp-type 3/5:7", icmp, no},
		{"-p icmp --icmp-type frag", icmp, yes},
		{"-p icmp ! --icmp-type Host-unreach", icmp, yes},
		{"-p icmp --icmp-type any", icmp, yes},
		{"-p icmp --icmp-type 255", icmp, yes},
		{"-p icmp ! --icmp-type any", icmp, no},
		{"-p icmp --icmp-type any", nil, no},
		// mark.
		{"-m mark --mark 0", nil, yes},
		{"-m mark --mark 0x10/0xf0", func(p *Packet) { p.Mark = 0x11 }, yes},
		{"-m mark ! --mark 0x10/0xf0", func(p *Packet) { p.Mark = 0x11 }, no},
		{"-m mark --mark 3/2", func(p *Packet) { p.Mark = 3 }, no},
		{"-m mark --mark 0/0", func(p *Packet) { p.Mark = 3 }, yes},
		// conntrack.
		{"-m conntrack --ctstate NEW,ESTABLISHED", nil, yes},
		{"-m conntrack --ctstate n,e", nil, yes},
		{"-m conntrack ! --ctstate NEW", nil, no},
		{"-m conntrack --ctstate DNAT", nil, yes},
		{"-m conntrack --ctstate SNAT", nil, no},
		{"-m conntrack ! --ctstate DNAT,RELATED", nil, no},
		{"-m state --state NEW", nil, yes},
		{"-m conntrack --ctdir ORIGINAL", nil, yes},
		{"-m conntrack --ctdir reply", nil, no},
		{"-m conntrack --ctdir REPLY", reply, yes},
		{"-m conntrack --ctproto tcp", nil, yes},
		{"-m conntrack ! --ctproto 17", nil, yes},
		{"-m conntrack --ctproto all", nil, no},
		{"-m conntrack --ctproto tcp", func(p *Packet) { p.Protocol, p.CTProtocol = protoICMP, protoTCP }, yes},
		{"-m conntrack --ctorigdst 198.51.100.0/24 --ctorigdstport 8080", nil, yes},
		{"-m conntrack --ctorigdst 198.0.100.1/255.0.255.255", nil, yes},
		{"-m conntrack ! --ctorigdst 198.51.100.1", nil, no},
		{"-m conntrack --ctorigdstport 8000:8079", nil, no},
		{"-m conntrack ! --ctorigdstport 9:8", nil, yes},
		{"-m conntrack --ctorigdstport 8080", icmp, yes},
		{"-m conntrack --ctstatus ASSURED", nil, maybe},
		{"-m conntrack --ctstatus ASSURED --ctorigdstport 1", nil, no},
		{"-m conntrack --ctorigsrc 192.0.2.1", nil, maybe},
		{"-m conntrack --ctstate NEW -m conntrack --ctstate ESTABLISHED", nil, no},
		// A packet without an entry: the state alone counts.
		{"-m conntrack --ctstate INVALID --ctorigdstport 9999 --ctdir REPLY", invalid, yes},
		{"-m conntrack ! --ctstate NEW --ctorigdstport 9999", invalid, yes},
		{"-m conntrack ! --ctstate DNAT", invalid, yes},
		{"-m conntrack --ctstate NEW", invalid, no},
		{"-m conntrack ! --ctorigdstport 9999", invalid, no},
		{"-m conntrack --ctdir ORIGINAL", invalid, no},
		{"-m conntrack --ctstatus NONE", invalid, no},
		// What is not evaluable.
		{"-m limit --limit 5/min", nil, maybe},
		{"-m limit --limit 5/min -p udp", nil, no},
		{`-m string --algo bm --string "-j ACCEPT" ! --icase`, nil, maybe},
		{"-m nosuch --foo a b ! --bar -p tcp", nil, maybe},
		{"-m nosuch --foo a b ! --bar -p udp", nil, no},
		{"-m set --match-set missing src", nil, maybe},
		{"! -p udp -m udp --dport 4", nil, maybe},
	}
	for _, test := range tests {
		p := base()
		if test.change != nil {
			test.change(&p)
		}
		want := map[tri][]string{yes: {"accept"}, no: {"drop"}, maybe: {"accept", "drop"}}[test.want]
		check(t, forward("-A FORWARD "+test.rule+" -j ACCEPT"), p, want...)
	}
}

// TestAfterTheTarget has options that stand after the target.
func TestAfterTheTarget(t *testing.T) {
	p := base()
	check(t, forward("-A FORWARD -p tcp -j ACCEPT --dport 80 -i eth0"), p, "accept")
	check(t, forward("-A FORWARD -p tcp -j ACCEPT --dport 81"), p, "drop")
	check(t, forward(`-A FORWARD -j LOG --log-prefix "-j DROP" -p udp`, "-A FORWARD -j REJECT --reject-with tcp -p tcp"), p, "reject tcp-reset")
}

func TestMatches6(t *testing.T) {
	p := base6()
	tests := []struct {
		rule string
		want string
	}{
		{"-s 2001:db8::/32", "accept"},
		{"-s 2001:0DB8:0::1", "accept"},
		{"-s ::1/::ffff", "accept"},
		{"! -s 2001:db8::1", "drop"},
		{"-m iprange --src-range 2001:db8::-2001:db8::ff", "accept"},
		{"-m conntrack --ctorigdst 2001:db8:1::/48", "accept"},
		{"-p ipv6-icmp", "drop"},
		{"-p icmpv6 ! --icmpv6-type redirect", "drop"},
		{"-j REJECT -p tcp --dport 80", "reject icmp6-port-unreachable"},
		{"-j REJECT --reject-with icmp6-adm", "reject icmp6-adm-prohibited"},
	}
	for _, test := range tests {
		rule := "-A FORWARD " + test.rule
		if !strings.Contains(rule, "-j") {
			rule += " -j ACCEPT"
		}
		check(t, forward(rule), p, test.want)
	}
	p.Protocol, p.ICMPType = protoICMPv6, 128
	check(t, forward("-A FORWARD -p icmpv6 --icmpv6-type ping -j ACCEPT"), p, "accept")
	check(t, forward("-A FORWARD -p 58 -m icmpv6 ! --icmpv6-type 128/0 -j ACCEPT"), p, "drop")
}

// TestWalk has the order in which rules are looked at.
func TestWalk(t *testing.T) {
	p := base()
	chains := ":A - [0:0]\n:B - [0:0]"
	tests := []struct {
		name  string
		lines []string
		want  []string
	}{
		{"the first rule that matches", []string{"-A FORWARD -j ACCEPT", "-A FORWARD -j DROP"}, []string{"accept"}},
		{"no target", []string{"-A FORWARD", "-A FORWARD -p tcp -m tcp --dport 80"}, []string{"drop"}},
		{"RETURN goes to the rule after the jump", []string{chains, "-A FORWARD -j A", "-A FORWARD -j ACCEPT", "-A A -j RETURN", "-A A -j DROP"}, []string{"accept"}},
		{"the end of a chain likewise", []string{chains, "-A FORWARD -j A", "-A FORWARD -j ACCEPT"}, []string{"accept"}},
		{"RETURN in a built-in chain", []string{"-A FORWARD -j RETURN", "-A FORWARD -j ACCEPT"}, []string{"drop"}},
		{"RETURN after a goto", []string{chains, "-A FORWARD -j A", "-A FORWARD -j ACCEPT", "-A A -g B", "-A A -j DROP", "-A B -j RETURN"}, []string{"accept"}},
		{"the end after a goto from a built-in chain", []string{chains, "-A FORWARD -g A", "-A FORWARD -j ACCEPT"}, []string{"drop"}},
		{"a jump inside a goto", []string{chains, "-A FORWARD -g A", "-A FORWARD -j DROP", "-A A -j B", "-A A -j ACCEPT", "-A B -j RETURN"}, []string{"accept"}},
		{"LOG goes on", []string{"-A FORWARD -j LOG --log-prefix \"-j ACCEPT\"", "-A FORWARD -j ACCEPT"}, []string{"accept"}},
		{"a chain named like a target", []string{":LOG - [0:0]", "-A FORWARD -j LOG", "-A LOG -j ACCEPT"}, []string{"accept"}},
		{"a target before the chain of its name", []string{"-A FORWARD -j LOG", ":LOG - [0:0]", "-A LOG -j ACCEPT"}, []string{"drop"}},
		{"a match nobody knows", []string{"-A FORWARD -m limit --limit 1/s -j ACCEPT", "-A FORWARD -j REJECT"}, []string{"accept", "reject icmp-port-unreachable"}},
		{"QUEUE", []string{"-A FORWARD -j QUEUE"}, []string{"queue"}},
		{"NFQUEUE", []string{"-A FORWARD -j NFQUEUE --queue-num 1 --queue-bypass"}, []string{"queue"}},
		{"the mark after MARK", []string{"-A FORWARD -j MARK --set-mark 1", "-A FORWARD -m mark --mark 2 -j ACCEPT"}, []string{"accept", "drop"}},
		{"the mark after MARK for another packet", []string{"-A FORWARD -p udp -j MARK --set-mark 1", "-A FORWARD -m mark --mark 2 -j ACCEPT"}, []string{"drop"}},
		{"the mark after CONNMARK", []string{"-A FORWARD -j CONNMARK --restore-mark", "-A FORWARD -m mark --mark 2 -j ACCEPT"}, []string{"accept", "drop"}},
		{"the mark stays", []string{"-A FORWARD -j CONNMARK --save-mark", "-A FORWARD -m mark --mark 2 -j ACCEPT"}, []string{"drop"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { check(t, forward(test.lines...), p, test.want...) })
	}
	t.Run("a user chain by itself", func(t *testing.T) {
		r, err := Parse(forward(chains, "-A A -p udp -j DROP"), 4)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Verdicts("A", p); !slices.Equal(got, []string{"return"}) {
			t.Errorf("got %q", got)
		}
		if got := r.Verdicts("C", p); got != nil {
			t.Errorf("got %q", got)
		}
	})
	t.Run("an unknown target", func(t *testing.T) {
		r, err := Parse(forward("-A FORWARD -p tcp -j TARPIT --honeypot x", "-A FORWARD -j ACCEPT"), 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"accept", "drop", "queue", "reject tcp-reset", "reject icmp-port-unreachable"} {
			if got := r.Verdicts("FORWARD", p); !slices.Contains(got, want) {
				t.Errorf("got %q without %s", got, want)
			}
		}
		p.Protocol = protoUDP
		if got := r.Verdicts("FORWARD", p); !slices.Equal(got, []string{"accept"}) {
			t.Errorf("got %q", got)
		}
	})
}

// TestCommands has files as iptables-restore reads them.
func TestCommands(t *testing.T) {
	p := base()
	tests := []struct {
		name, text string
		want       []string
	}{
		{"no filter table", "*nat\n:PREROUTING DROP\nCOMMIT\n", []string{"accept"}},
		{"-P", "*filter\n-P FORWARD DROP\nCOMMIT\n", []string{"drop"}},
		{"a second : of a built-in chain", "*filter\n:FORWARD DROP\n-A FORWARD -i eth0 -j ACCEPT\n:FORWARD DROP\nCOMMIT\n", []string{"accept"}},
		{"- keeps the policy", "*filter\n:FORWARD DROP\n:FORWARD -\nCOMMIT\n", []string{"drop"}},
		{"a second : of a user chain flushes it", "*filter\n:A -\n-A A -j DROP\n:A - [0:0]\n-A FORWARD -j A\nCOMMIT\n", []string{"accept"}},
		{"-I", "*filter\n-A FORWARD -j DROP\n-I FORWARD -j ACCEPT\nCOMMIT\n", []string{"accept"}},
		{"-I 2", "*filter\n-A FORWARD -j DROP\n-I FORWARD 2 -j ACCEPT\nCOMMIT\n", []string{"drop"}},
		{"-I of several", "*filter\n-I FORWARD -s 192.0.2.1,192.0.2.2 -j ACCEPT\n-D FORWARD 2\n:FORWARD DROP\nCOMMIT\n", []string{"drop"}},
		{"-R", "*filter\n-A FORWARD -j DROP\n-R FORWARD 1 -j ACCEPT\nCOMMIT\n", []string{"accept"}},
		{"-D by number", "*filter\n-A FORWARD -j DROP\n-D FORWARD 1\nCOMMIT\n", []string{"accept"}},
		{"-D by rule", "*filter\n-A FORWARD -s 192.0.2.1/32 -p 6 -j DROP\n--delete FORWARD -p tcp -j DROP -s 192.0.2.1\nCOMMIT\n", []string{"accept"}},
		{"-N and -F", "*filter\n-N A\n-A A -j DROP\n-A FORWARD -j A\n-F A\nCOMMIT\n", []string{"accept"}},
		{"-F of everything", "*filter\n-A FORWARD -j DROP\n-F\nCOMMIT\n", []string{"accept"}},
		{"-X", "*filter\n-N A\n-X A\n-N A\n-A A -j DROP\n-A FORWARD -j A\nCOMMIT\n", []string{"drop"}},
		{"-E", "*filter\n-N A\n-A FORWARD -j A\n-E A B\n-A B -j DROP\nCOMMIT\n", []string{"drop"}},
		{"counters", "*filter\n[5:6] -A FORWARD -j DROP\n[7:8]-I FORWARD -j ACCEPT\nCOMMIT\n", []string{"accept"}},
		{"the other family", "*filter\n-6 -A FORWARD -j DROP\n-A FORWARD -p tcp -6 --nonsense\n-4 -A FORWARD -j ACCEPT\nCOMMIT\n", []string{"accept"}},
		{"a second section flushes", "*filter\n-A FORWARD -j DROP\nCOMMIT\n*filter\nCOMMIT\n", []string{"accept"}},
		{"the policy of an earlier section", "*filter\n:FORWARD DROP\nCOMMIT\n*filter\nCOMMIT\n", []string{"accept", "drop"}},
		{"comments", "# *filter\n\n*filter\n#-A FORWARD -j DROP\nCOMMIT\n# end\n", []string{"accept"}},
		{"-Z and -L", "*filter\n-A FORWARD -j DROP\n-Z\n-Z FORWARD 1\n-L FORWARD\nCOMMIT\n", []string{"drop"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { check(t, test.text, p, test.want...) })
	}
	r, err := ParseNoflush("*filter\n-A FORWARD -j DROP\nCOMMIT\n*filter\nCOMMIT\n", 4)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Verdicts("FORWARD", p); !slices.Equal(got, []string{"drop"}) {
		t.Errorf("without a flush: %q", got)
	}
}

// TestRefused has lines that iptables-restore refuses.
func TestRefused(t *testing.T) {
	lines := []string{
		" ", " # comment", "COMMIT ", "-A NOSUCH -j DROP", "-N INPUT", "-A FORWARD ! -s 1.1.1.1,2.2.2.2 -j DROP",
		"-A FORWARD -s 1.1.1.1 -s 2.2.2.2", "-A FORWARD -j DROP -j ACCEPT", "-A FORWARD ! -j DROP", "-A FORWARD ! ! -p tcp",
		"-A FORWARD ! -p all", "-A FORWARD -p tcp !", "-A FORWARD -p nosuch", "-A FORWARD -p 256", "-A FORWARD -i 1234567890123456",
		"-A FORWARD -g ACCEPT", "-A FORWARD -j INPUT", "-A INPUT -o eth0", "-A OUTPUT -i eth0", "-A FORWARD -d ::1",
		"-A FORWARD -m conntrack --ctst NEW", "-A FORWARD -m conntrack --state NEW", "-A FORWARD -m conntrack ! --ctdir REPLY",
		"-A FORWARD -p tcp --dport 1 --sour 1.1.1.1", "-A FORWARD -p icmp --icmp-type ech", "-A FORWARD -p tcp --dport 1 --dport 2",
		"-A FORWARD --in eth0", "-A FORWARD -t filter", "-D FORWARD 1", "-I FORWARD 3 -j DROP", "-A FORWARD stray", "-j DROP",
		"-A FORWARD -m iprange", "-A FORWARD -p icmp -m icmp", ":12345678901234567890123456789 - [0:0]", ":A", "-N LOG", ":ACCEPT - [0:0]", "-A FORWARD -p udp --dport 0x50", "-A FORWARD -p tcp --dport 70000",
		"-N A\n-N A", "-N A\n-A A -j A", "-N A\n-N B\n-A A -g B\n-A B -j A", "-N A\n-A FORWARD -j A\n-X A", "*filter",
	}
	for _, l := range lines {
		if _, err := Parse("*filter\n"+l+"\nCOMMIT\n", 4); err == nil {
			t.Errorf("%q is taken", l)
		}
	}
	for _, text := range []string{"*filter\n", "*filter\nCOMMIT", "-A FORWARD\n", "*nosuch\nCOMMIT\n"} {
		if _, err := Parse(text, 4); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestSets has look-ups in ipsets.
func TestSets(t *testing.T) {
	sets, err := ParseSets(`create nets hash:net family inet hashsize 1024 maxelem 65536 comment
add nets 192.0.2.0/24 comment "add nets 10.0.0.0/8 nomatch"
add nets 192.0.2.1 nomatch
-exist add nets 198.51.100.0-198.51.100.6
create hosts hash:ip
-A hosts 172.17.0.2
add hosts 172.17.0.8/30
create timed hash:ip timeout 60
add timed 172.17.0.2
create ports hash:ip,port
create six hash:net family inet6
add six 2001:db8::/32
`)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		match    string
		src, dst string
		want     []string
	}{
		{"nets src", "192.0.2.2", "172.17.0.2", []string{"accept"}},
		{"nets src", "192.0.2.1", "172.17.0.2", []string{"drop"}},
		{"nets src", "198.51.100.6", "172.17.0.2", []string{"accept"}},
		{"nets src", "198.51.100.7", "172.17.0.2", []string{"drop"}},
		{"hosts dst", "192.0.2.2", "172.17.0.11", []string{"accept"}},
		{"hosts dst", "192.0.2.2", "172.17.0.12", []string{"drop"}},
		{"nets src -m set --match-set hosts dst", "192.0.2.2", "172.17.0.3", []string{"drop"}},
		{"timed dst", "192.0.2.2", "172.17.0.2", []string{"accept", "drop"}},
		{"ports dst,dst", "192.0.2.2", "172.17.0.2", []string{"accept", "drop"}},
		{"six src", "192.0.2.2", "172.17.0.2", []string{"accept", "drop"}},
		{"nets src --return-nomatch", "192.0.2.2", "172.17.0.2", []string{"accept", "drop"}},
	}
	for _, test := range tests {
		r, err := Parse(forward("-A FORWARD -m set --match-set "+test.match+" -j ACCEPT"), 4)
		if err != nil {
			t.Fatal(err)
		}
		r.Sets = sets
		p := base()
		p.Src, p.Dst = addr(test.src), addr(test.dst)
		if got := r.Verdicts("FORWARD", p); !slices.Equal(got, test.want) {
			t.Errorf("%s of %s and %s: %q, want %q", test.match, test.src, test.dst, got, test.want)
		}
	}
	r, err := Parse(forward("-A FORWARD -p udp -j SET --add-set nets src", "-A FORWARD -m set ! --match-set nets src -j ACCEPT"), 4)
	if err != nil {
		t.Fatal(err)
	}
	r.Sets = sets
	p := base()
	if got := r.Verdicts("FORWARD", p); !slices.Equal(got, []string{"accept"}) {
		t.Errorf("SET for another packet: %q", got)
	}
	p.Protocol = protoUDP
	if got := r.Verdicts("FORWARD", p); !slices.Equal(got, []string{"accept", "drop"}) {
		t.Errorf("after SET: %q", got)
	}
	p.Protocol, r.Live = protoTCP, true
	if got := r.Verdicts("FORWARD", p); !slices.Equal(got, []string{"accept", "drop"}) {
		t.Errorf("SET for an earlier packet: %q", got)
	}
}
