package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

var (
	backends = []string{"nft", "legacy"}
	families = []int{4, 6}
)

// each runs a test on every back end and family.
func each(t *testing.T, test func(t *testing.T, h *Host, family int)) {
	t.Helper()
	if err := Available(); err != nil {
		t.Skipf("the kernel cannot be asked here: %v", err)
	}
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) {
			h, err := New(backend)
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			for _, family := range families {
				t.Run(fmt.Sprint("IPv", family), func(t *testing.T) { test(t, h, family) })
			}
		})
	}
}

// addr returns the nth address of network net in the family.
func addr(family, net, n int) netip.Addr {
	if family == 4 {
		return netip.AddrFrom4([4]byte{10, byte(net), 0, byte(n)})
	}
	return netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::%x", net, n))
}

// base returns a packet from network 1 to network 2.
func base(family, protocol int) Packet {
	return Packet{Family: family, Protocol: protocol, Src: addr(family, 1, 1), Dst: addr(family, 2, 1)}
}

func tcp(family, dport int) Packet {
	p := base(family, protoTCP)
	p.Sport, p.Dport, p.TCPFlags = 40000, dport, SYN
	return p
}

func udp(family, dport int) Packet {
	p := base(family, protoUDP)
	p.Sport, p.Dport = 40000, dport
	return p
}

// icmp returns a packet of ICMP or ICMPv6.
func icmp(family int, kind4, kind6 byte) Packet {
	p := base(family, protoICMP)
	p.ICMPType = kind4
	if family == 6 {
		p.Protocol, p.ICMPType = protoICMPv6, kind6
	}
	return p
}

// with returns a copy that set has changed.
func (p Packet) with(set func(*Packet)) Packet {
	set(&p)
	return p
}

// file makes a filter table of rules, in which NETn and NETn.m stand for the
// family's network and address, ICMP for its protocol.
func file(family int, policy, rules string) string {
	return "*filter\n:FORWARD " + policy + " [0:0]\n" + expand(family, rules) + "COMMIT\n"
}

func expand(family int, rules string) string {
	var pairs []string
	for net := 1; net <= 3; net++ {
		for n := 1; n <= 9; n++ {
			pairs = append(pairs, fmt.Sprintf("NET%d.%d", net, n), addr(family, net, n).String())
		}
		bits := map[int]int{4: 16, 6: 48}[family]
		pairs = append(pairs, fmt.Sprintf("NET%d", net), netip.PrefixFrom(addr(family, net, 0), bits).Masked().String())
	}
	rules = strings.NewReplacer(pairs...).Replace(rules)
	if family == 6 {
		return strings.NewReplacer("icmp-type", "icmpv6-type", "-p icmp", "-p icmpv6", "-m icmp", "-m icmp6", "family inet ", "family inet6 ").Replace(rules)
	}
	return rules
}

// question is a packet and what becomes of it.
type question struct {
	packet Packet
	want   string
}

func ask(t *testing.T, h *Host, family int, text, sets string, questions []question) {
	t.Helper()
	if err := h.Load(family, text, sets); err != nil {
		t.Errorf("%v\n%s", err, text)
		return
	}
	packets := make([]Packet, len(questions))
	for i, q := range questions {
		packets[i] = q.packet
	}
	outcomes, err := h.Send(packets)
	if err != nil {
		t.Errorf("%v\n%s", err, text)
		return
	}
	for i, q := range questions {
		if got := outcomes[i].Verdict; got != q.want {
			t.Errorf("%+v: %s, want %s\n%s", q.packet, got, q.want, text)
		}
	}
}

func TestPolicy(t *testing.T) {
	each(t, func(t *testing.T, h *Host, family int) {
		for _, policy := range []string{"DROP", "ACCEPT"} {
			want := map[string]string{"DROP": Drop, "ACCEPT": Accept}[policy]
			ask(t, h, family, file(family, policy, ""), "", []question{
				{tcp(family, 80), want}, {udp(family, 53), want}, {icmp(family, 8, 128), want}, {base(family, 47), want},
				{base(family, 103), want}, {base(family, 132).with(func(p *Packet) { p.Dport = 5 }), want},
			})
		}
		ask(t, h, family, "*filter\nCOMMIT\n", "", []question{{tcp(family, 80), Accept}})
	})
}

// TestReset loads a file that says nothing after one that denied everything.
func TestReset(t *testing.T) {
	each(t, func(t *testing.T, h *Host, family int) {
		deny := "*raw\n-A PREROUTING -j DROP\nCOMMIT\n*mangle\n:FORWARD DROP\nCOMMIT\n" + file(family, "DROP", "")
		ask(t, h, family, deny, "", []question{{tcp(family, 80), Drop}})
		ask(t, h, family, "*filter\n-A FORWARD -p tcp --dport 81 -j DROP\nCOMMIT\n", "",
			[]question{{tcp(family, 80), Accept}, {tcp(family, 81), Drop}})
		ask(t, h, family, "*filter\n-P FORWARD DROP\nCOMMIT\n", "", []question{{tcp(family, 80), Drop}})
		ask(t, h, family, "*filter\nCOMMIT\n", "", []question{{tcp(family, 80), Accept}})
		ask(t, h, family, file(family, "DROP", ""), "", []question{{tcp(family, 80), Drop}})
		ask(t, h, family, file(family, "ACCEPT", ""), "", []question{{tcp(family, 80), Accept}})
		ask(t, h, family, file(family, "DROP", ""), "", []question{{tcp(family, 80), Drop}})
		ask(t, h, family, "*nat\nCOMMIT\n", "", []question{{tcp(family, 80), Accept}})
	})
}

func TestReject(t *testing.T) {
	names := map[int][]string{
		4: {"icmp-net-unreachable", "icmp-host-unreachable", "icmp-proto-unreachable", "icmp-port-unreachable",
			"icmp-net-prohibited", "icmp-host-prohibited", "icmp-admin-prohibited"},
		6: {"icmp6-no-route", "icmp6-adm-prohibited", "icmp6-addr-unreachable", "icmp6-port-unreachable",
			"icmp6-policy-fail", "icmp6-reject-route"},
	}
	each(t, func(t *testing.T, h *Host, family int) {
		for _, name := range names[family] {
			var questions []question
			for _, p := range variety(family) {
				want := "reject " + name
				if !p.Answered(name) {
					want = Drop
				}
				questions = append(questions, question{p, want})
			}
			ask(t, h, family, file(family, "ACCEPT", "-A FORWARD -j REJECT --reject-with "+name+"\n"), "", questions)
		}
		var questions []question
		for flags := range 256 {
			p := tcp(family, 1000+flags).with(func(p *Packet) { p.TCPFlags = byte(flags) })
			if p.Check() != nil {
				p.State = StateInvalid
			}
			want := "reject tcp-reset"
			if !p.Answered("tcp-reset") {
				want = Drop
			}
			questions = append(questions, question{p, want})
		}
		ask(t, h, family, file(family, "ACCEPT", "-A FORWARD -p tcp -j REJECT --reject-with tcp-reset\n"), "", questions)
	})
}

// variety returns a packet of every protocol and every state that it can be in,
// from both sides.
func variety(family int) []Packet {
	var packets []Packet
	for protocol := 1; protocol < 256; protocol++ {
		p := base(family, protocol)
		if p.ported() {
			p.Sport, p.Dport, p.TCPFlags = 40000, 80, SYN
		}
		if p.icmp() {
			p.ICMPType = icmp(family, 8, 128).ICMPType
		}
		for state := StateNew; state <= StateUntracked; state++ {
			packets = append(packets, p.with(func(p *Packet) { p.State = state }))
		}
	}
	for kind := range 256 {
		p := icmp(family, byte(kind), byte(kind)).with(func(p *Packet) { p.Sport, p.Dport = 40000, 80 })
		for state := StateNew; state <= StateUntracked; state++ {
			packets = append(packets, p.with(func(p *Packet) { p.State = state }))
		}
	}
	possible := packets[:0]
	for _, p := range packets {
		if p.Check() == nil {
			possible = append(possible, p)
		}
	}
	for _, p := range possible[:min(300, len(possible))] {
		possible = append(possible, p.with(func(p *Packet) { p.FromServer = true }))
	}
	return possible
}

func TestChains(t *testing.T) {
	rules := `:A - [0:0]
:B - [0:0]
:C - [0:0]
-A FORWARD -s NET1.1 -j A
-A FORWARD -s NET1.2 -g B
-A FORWARD -p tcp --dport 7 -j REJECT --reject-with tcp-reset
-A FORWARD -p tcp --dport 8 -j DROP
-A A -p tcp --dport 1 -j DROP
-A A -p tcp --dport 2 -j RETURN
-A A -p tcp --dport 7:8 -g B
-A A -p tcp --dport 3 -j ACCEPT
-A B -p tcp --dport 1 -j ACCEPT
-A B -p tcp --dport 2 -j C
-A C -j RETURN
`
	each(t, func(t *testing.T, h *Host, family int) {
		second := func(port int) Packet { return tcp(family, port).with(func(p *Packet) { p.Src = addr(family, 1, 2) }) }
		ask(t, h, family, file(family, "DROP", rules+"-A FORWARD -p tcp --dport 2 -j ACCEPT\n"), "", []question{
			{tcp(family, 1), Drop}, {tcp(family, 2), Accept}, {tcp(family, 3), Accept}, {tcp(family, 4), Drop},
			{tcp(family, 7), "reject tcp-reset"}, {tcp(family, 8), Drop},
			{second(1), Accept}, {second(2), Drop}, {second(7), Drop},
		})
	})
}

func TestMatches(t *testing.T) {
	each(t, func(t *testing.T, h *Host, family int) {
		from := func(n int) Packet { return tcp(family, 80).with(func(p *Packet) { p.Src = addr(family, 1, n) }) }
		flags := func(f byte) Packet {
			p := tcp(family, 80).with(func(p *Packet) { p.TCPFlags = f })
			if p.Check() != nil {
				p.State = StateInvalid
			}
			return p
		}
		number := func(n int) Packet { return base(family, n) }
		back := from(1).with(func(p *Packet) { p.FromServer = true })
		for _, c := range []struct {
			rule    string
			yes, no []Packet
		}{
			{"-s NET1.1", []Packet{from(1)}, []Packet{from(2)}},
			{"! -s NET1.1", []Packet{from(2)}, []Packet{from(1)}},
			{"-s NET1 -d NET2", []Packet{from(1), from(9)}, nil},
			{"-d NET1", nil, []Packet{from(1)}},
			{"-i eth0 -o srv0", []Packet{from(1)}, []Packet{back}},
			{"-i srv+", []Packet{back}, []Packet{from(1)}},
			{"! -i eth0", []Packet{back}, []Packet{from(1)}},
			{"-m iprange --src-range NET1.2-NET1.5 -m iprange ! --src-range NET1.4-NET1.9",
				[]Packet{from(2), from(3)}, []Packet{from(1), from(4), from(5), from(6)}},
			{"-p tcp -m multiport --dports 22,80:90", []Packet{from(1), tcp(family, 22), tcp(family, 90)}, []Packet{tcp(family, 91), udp(family, 80)}},
			{"-p tcp -m multiport ! --ports 80,40000", nil, []Packet{from(1)}},
			{"-p udp --sport 40000 --dport 53", []Packet{udp(family, 53)}, []Packet{udp(family, 54), tcp(family, 53)}},
			{"-p tcp --tcp-flags SYN,ACK SYN", []Packet{flags(SYN), flags(SYN | FIN)}, []Packet{flags(ACK), flags(0), flags(SYN | ACK)}},
			{"-p tcp --syn", []Packet{flags(SYN), flags(SYN | PSH)}, []Packet{flags(SYN | FIN), flags(ACK)}},
			{"-p tcp --tcp-flags ALL NONE", []Packet{flags(0)}, []Packet{flags(SYN)}},
			{"-p icmp -m icmp --icmp-type echo-request", []Packet{icmp(family, 8, 128)}, []Packet{from(1)}},
			{"-p 47", []Packet{number(47)}, []Packet{number(103), from(1)}},
			{"-p 103", []Packet{number(103)}, []Packet{number(47), number(102)}},
			{"! -p tcp", []Packet{number(47), udp(family, 1)}, []Packet{from(1)}},
			{"-p sctp --dport 80", []Packet{number(132).with(func(p *Packet) { p.Dport = 80 })}, []Packet{number(132)}},
			{"-p dccp --dport 80", []Packet{number(33).with(func(p *Packet) { p.Dport = 80 })}, []Packet{number(33)}},
			{"-m tos --tos 0x10/0xff", []Packet{from(1).with(func(p *Packet) { p.TOS = 0x10 })}, []Packet{from(1)}},
			{"-m length --length 300:310", []Packet{from(1).with(func(p *Packet) { p.Length = 300 }),
				from(1).with(func(p *Packet) { p.Length = 305 })}, []Packet{from(1)}},
			{"-m mark --mark 0x5", []Packet{from(1).with(func(p *Packet) { p.Mark = 5 })},
				[]Packet{from(1), from(2).with(func(p *Packet) { p.Mark = 0xffffffff })}},
			{"-m connmark --mark 0x7", []Packet{from(1).with(func(p *Packet) { p.ConnMark = 7 })}, []Packet{from(2)}},
		} {
			var questions []question
			for _, p := range c.yes {
				questions = append(questions, question{p, "reject " + reject(family)})
			}
			for _, p := range c.no {
				questions = append(questions, question{p, Accept})
			}
			ask(t, h, family, file(family, "ACCEPT", "-A FORWARD "+c.rule+" -j REJECT --reject-with "+reject(family)+"\n"), "", questions)
		}
	})
}

// reject returns a name of --reject-with for the family.
func reject(family int) string {
	if family == 6 {
		return "icmp6-adm-prohibited"
	}
	return "icmp-host-prohibited"
}

// TestMark sets a mark in one rule and asks for it in a later one, and one that
// the packet came with.
func TestMark(t *testing.T) {
	each(t, func(t *testing.T, h *Host, family int) {
		text := "*mangle\n-A PREROUTING -p tcp -m mark --mark 0 -j MARK --set-xmark 0x1/0xffffffff\nCOMMIT\n" +
			file(family, "DROP", "-A FORWARD -p udp -j MARK --set-xmark 0x9/0xffffffff\n-A FORWARD -m mark --mark 1 -j ACCEPT\n-A FORWARD -m mark --mark 9 -j ACCEPT\n")
		ask(t, h, family, text, "", []question{
			{tcp(family, 1), Accept}, {tcp(family, 2).with(func(p *Packet) { p.Mark = 2 }), Drop},
			{udp(family, 1), Accept}, {base(family, 47), Drop}, {base(family, 48).with(func(p *Packet) { p.Mark = 9 }), Accept},
		})
	})
}

func TestSets(t *testing.T) {
	each(t, func(t *testing.T, h *Host, family int) {
		sets := expand(family, "create s hash:net family inet \nadd s NET1.1\ncreate p bitmap:port range 0-100\nadd p 80\n")
		text := file(family, "DROP", "-A FORWARD -p tcp -m set --match-set s src -m set --match-set p dst -j ACCEPT\n")
		questions := []question{
			{tcp(family, 80), Accept}, {tcp(family, 81), Drop},
			{tcp(family, 80).with(func(p *Packet) { p.Src = addr(family, 1, 2) }), Drop},
		}
		ask(t, h, family, text, sets, questions)
		ask(t, h, family, text, sets, questions)
		if err := h.Load(family, text, ""); err == nil {
			t.Error("the sets of the previous file are still there")
		}
		ask(t, h, family, file(family, "ACCEPT", ""), "", []question{{tcp(family, 80), Accept}})
	})
}

// TestStates asks of every packet whether a rule for its state matches, and
// no rule for another.
func TestStates(t *testing.T) {
	matches := map[State]string{
		StateNew: "NEW", StateInvalid: "INVALID", StateUntracked: "UNTRACKED",
		StateEstablished: "ESTABLISHED --ctdir ORIGINAL", StateEstablishedReply: "ESTABLISHED --ctdir REPLY",
		StateRelated: "RELATED --ctdir ORIGINAL", StateRelatedReply: "RELATED --ctdir REPLY",
	}
	each(t, func(t *testing.T, h *Host, family int) {
		packets := variety(family)
		for flags := range 256 {
			for state := StateNew; state <= StateUntracked; state++ {
				p := tcp(family, 2000+flags).with(func(p *Packet) { p.TCPFlags, p.State = byte(flags), state })
				if p.Check() == nil {
					packets = append(packets, p)
				}
			}
		}
		for _, p := range packets {
			if p.State != StateInvalid && p.State != StateUntracked {
				packets = append(packets, p.with(func(p *Packet) { p.OrigDst, p.OrigDport = addr(family, 3, 1), 8080 }))
			}
		}
		for state, match := range matches {
			var questions []question
			for _, p := range packets {
				want := Drop
				if p.State == state {
					want = Accept
				}
				questions = append(questions, question{p, want})
			}
			ask(t, h, family, file(family, "DROP", "-A FORWARD -m conntrack --ctstate "+match+" -j ACCEPT\n"), "", questions)
		}
		t.Logf("%d packets in %d states", len(packets), len(matches))
	})
}

// TestOriginal compares entries with DNAT and what a rule of the table nat does.
func TestOriginal(t *testing.T) {
	each(t, func(t *testing.T, h *Host, family int) {
		orig := addr(family, 3, 1)
		dnat := func(p Packet) Packet {
			return p.with(func(p *Packet) { p.OrigDst, p.OrigDport = orig, 8080 })
		}
		reply := tcp(family, 0).with(func(p *Packet) {
			p.Src, p.Dst, p.Sport, p.Dport = p.Dst, p.Src, 80, 40000
			p.TCPFlags, p.State, p.FromServer = SYN|ACK, StateEstablishedReply, true
		})
		icmpError := icmp(family, 3, 2).with(func(p *Packet) { p.State, p.Sport, p.Dport = StateRelated, 40000, 80 })
		no := []Packet{tcp(family, 80), tcp(family, 8080), dnat(udp(family, 53)), reply,
			icmpError, dnat(tcp(family, 80)).with(func(p *Packet) { p.OrigDport = 8081 })}
		yes := []Packet{dnat(tcp(family, 80)), dnat(reply), dnat(icmpError),
			dnat(tcp(family, 80)).with(func(p *Packet) { p.TCPFlags, p.State = ACK, StateEstablished })}
		text := file(family, "DROP", "-A FORWARD -m conntrack --ctproto 6 --ctorigdst NET3.1 --ctorigdstport 8080 --ctstate DNAT -j ACCEPT\n"+
			"-A FORWARD -p icmp -m conntrack --ctorigdstport 8080 --ctorigdst NET3.1 -j ACCEPT\n")
		var questions []question
		for _, p := range yes {
			questions = append(questions, question{p, Accept})
		}
		for _, p := range no {
			questions = append(questions, question{p, Drop})
		}
		ask(t, h, family, text, "", questions)

		port := "NET2.1:80"
		if family == 6 {
			port = "[NET2.1]:80"
		}
		nat := expand(family, "*nat\n-A PREROUTING -d NET3.1 -p tcp --dport 8080 -j DNAT --to-destination "+port+"\nCOMMIT\n")
		published := tcp(family, 8080).with(func(p *Packet) { p.Dst = orig })
		ask(t, h, family, nat+text, "", []question{{published, Accept}, {tcp(family, 80), Drop}})
		ask(t, h, family, text, "", []question{{published, Drop}})
	})
}

// TestDNATReset has a reset come back from behind DNAT.
func TestDNATReset(t *testing.T) {
	each(t, func(t *testing.T, h *Host, family int) {
		p := tcp(family, 80).with(func(p *Packet) { p.OrigDst, p.OrigDport = addr(family, 3, 1), 8080 })
		ask(t, h, family, file(family, "ACCEPT", "-A FORWARD -p tcp -j REJECT --reject-with tcp-reset\n"), "",
			[]question{{p, "reject tcp-reset"}})
		ask(t, h, family, file(family, "ACCEPT", "-A FORWARD -j REJECT --reject-with "+reject(family)+"\n"), "",
			[]question{{p, "reject " + reject(family)}})
	})
}

func TestRefusal(t *testing.T) {
	each(t, func(t *testing.T, h *Host, family int) {
		err := h.Load(family, file(family, "ACCEPT", "-A FORWARD --no-such-option\n"), "")
		if _, ok := errors.AsType[*Refusal](err); !ok || !strings.Contains(err.Error(), "no-such-option") {
			t.Errorf("%v is no refusal", err)
		}
		if _, err := h.Send([]Packet{tcp(family, 80)}); err == nil {
			t.Error("packets are sent through a file that was refused")
		}
		deny := "*raw\n-A PREROUTING -j DROP\nCOMMIT\n" + file(family, "DROP", "")
		ask(t, h, family, deny, "", []question{{tcp(family, 80), Drop}})
		if err := h.Load(family, file(family, "ACCEPT", "-A FORWARD -j NOWHERE\n"), ""); err == nil {
			t.Error("a jump to nowhere is loaded")
		}
		ask(t, h, family, file(family, "ACCEPT", ""), "", []question{{tcp(family, 80), Accept}})
	})
}

func TestCounters(t *testing.T) {
	each(t, func(t *testing.T, h *Host, family int) {
		ask(t, h, family, file(family, "DROP", "-A FORWARD -p tcp --dport 80 -j ACCEPT\n"), "", []question{
			{tcp(family, 80), Accept}, {tcp(family, 80), Accept}, {tcp(family, 81), Drop}})
		got, err := h.Counters()
		if err != nil {
			t.Fatal(err)
		}
		if want := "[2:"; !strings.Contains(got, "--dport 80 -j ACCEPT") || !strings.Contains(got, "\n"+want) {
			t.Errorf("counters lack %s:\n%s", want, got)
		}
	})
}

func TestClose(t *testing.T) {
	if err := Available(); err != nil {
		t.Skipf("the kernel cannot be asked here: %v", err)
	}
	before := openFiles(t)
	h, err := New("nft")
	if err != nil {
		t.Fatal(err)
	}
	h.Close()
	if after := openFiles(t); after > before {
		t.Errorf("%d open files, %d before", after, before)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestSpeed reports how long it takes to load files and send 20 packets each.
func TestSpeed(t *testing.T) {
	each(t, func(t *testing.T, h *Host, family int) {
		for _, policy := range []string{"ACCEPT", "DROP"} {
			packets := sample(family)
			var load, send time.Duration
			const files = 50
			for i := range files {
				rules := fmt.Sprintf(":A - [0:0]\n-A FORWARD -j A\n-A A -p tcp --dport %d -j REJECT\n-A A -s NET1.1 -p udp -j ACCEPT\n", i)
				start := time.Now()
				if err := h.Load(family, file(family, policy, rules), ""); err != nil {
					t.Fatal(err)
				}
				load += time.Since(start)
				start = time.Now()
				if _, err := h.Send(packets); err != nil {
					t.Fatal(err)
				}
				send += time.Since(start)
			}
			t.Logf("policy %s: load %v, send %v: %.0f files of %d packets a second", policy, load/files, send/files,
				files/(load+send).Seconds(), len(packets))
		}
	})
}

// sample returns 20 packets.
func sample(family int) []Packet {
	var packets []Packet
	for i := range 4 {
		packets = append(packets, tcp(family, i), udp(family, i), icmp(family, 8, 128),
			tcp(family, 100+i).with(func(p *Packet) { p.TCPFlags, p.State = ACK, StateEstablished }),
			tcp(family, 200+i).with(func(p *Packet) { p.OrigDst, p.OrigDport = addr(family, 3, 1), 300+i }))
	}
	return packets
}
