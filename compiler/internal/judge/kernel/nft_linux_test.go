package kernel

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// eachNft runs a test of LoadNft on every back end and family.
func eachNft(t *testing.T, test func(t *testing.T, h *Host, family int)) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip(err)
	}
	each(t, test)
}

func askNft(t *testing.T, h *Host, text string, questions []question) {
	t.Helper()
	if err := h.LoadNft(text); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	packets := make([]Packet, len(questions))
	for i, q := range questions {
		packets[i] = q.packet
	}
	outcomes, err := h.Send(packets)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for i, q := range questions {
		if got := outcomes[i].Verdict; got != q.want {
			t.Errorf("%+v: %s, want %s\n%s", q.packet, got, q.want, text)
		}
	}
}

// forward makes a table of one chain.
func forward(policy, rules string) string {
	return "table inet t {\n\tchain c {\n\t\ttype filter hook forward priority filter; policy " + policy + ";\n" + rules + "\n\t}\n}\n"
}

func TestNft(t *testing.T) {
	eachNft(t, func(t *testing.T, h *Host, family int) {
		askNft(t, h, forward("drop", "tcp dport 80 accept\nudp dport 53 reject with icmpx admin-prohibited\n"), []question{
			{tcp(family, 80), Accept}, {tcp(family, 81), Drop},
			{udp(family, 53), "reject " + map[int]string{4: "icmp-admin-prohibited", 6: "icmp6-adm-prohibited"}[family]},
		})
		askNft(t, h, "", []question{{tcp(family, 81), Accept}})
		// A text that empties everything itself, as Debian's does.
		askNft(t, h, "#!/usr/sbin/nft -f\nflush ruleset\n"+forward("drop", ""), []question{{tcp(family, 81), Drop}})
	})
}

// TestNftHarness has what the harness does for packets: marks, states, and the
// original destination.
func TestNftHarness(t *testing.T) {
	eachNft(t, func(t *testing.T, h *Host, family int) {
		marked := tcp(family, 80).with(func(p *Packet) { p.Mark = 7 })
		dnat := tcp(family, 80).with(func(p *Packet) { p.OrigDst, p.OrigDport = addr(family, 3, 1), 8080 })
		old := tcp(family, 80).with(func(p *Packet) { p.State, p.TCPFlags = StateEstablished, ACK })
		invalid := tcp(family, 80).with(func(p *Packet) { p.State, p.TCPFlags = StateInvalid, FIN })
		conn := tcp(family, 80).with(func(p *Packet) { p.ConnMark = 9 })
		for rule, yes := range map[string]Packet{
			"meta mark 7": marked, "ct state established": old, "ct state invalid": invalid, "ct mark 9": conn,
			"meta l4proto tcp ct original proto-dst 8080 ct status dnat": dnat,
		} {
			var questions []question
			for _, p := range []Packet{marked, dnat, old, invalid, conn} {
				want := Accept
				if p == yes {
					want = Drop
				}
				questions = append(questions, question{p, want})
			}
			askNft(t, h, forward("accept", rule+" drop"), questions)
		}
	})
}

// TestNftAndIptables loads files of both by turns.
func TestNftAndIptables(t *testing.T) {
	eachNft(t, func(t *testing.T, h *Host, family int) {
		sets := expand(family, "create s hash:net family inet \nadd s NET1.1\n")
		deny := file(family, "DROP", "-A FORWARD -m set --match-set s src -j ACCEPT\n")
		dnat := tcp(family, 80).with(func(p *Packet) { p.OrigDst, p.OrigDport, p.Mark = addr(family, 3, 1), 8080, 5 })
		original := file(family, "DROP", "-A FORWARD -p tcp -m mark --mark 5 -m conntrack --ctorigdstport 8080 -j ACCEPT\n")
		for range 2 {
			ask(t, h, family, deny, sets, []question{{tcp(family, 80), Accept}})
			ask(t, h, family, file(family, "DROP", ""), "", []question{{tcp(family, 80), Drop}})
			askNft(t, h, forward("accept", "tcp dport 81 drop"), []question{{tcp(family, 80), Accept}, {tcp(family, 81), Drop}})
			ask(t, h, family, original, "", []question{{dnat, Accept}, {tcp(family, 80), Drop}})
			askNft(t, h, "table ip filter {\n}\ntable ip6 filter {\n}\n", []question{{tcp(family, 80), Accept}})
			ask(t, h, family, "*filter\nCOMMIT\n", "", []question{{tcp(family, 81), Accept}})
		}
	})
}

func TestNftRefusal(t *testing.T) {
	eachNft(t, func(t *testing.T, h *Host, family int) {
		err := h.LoadNft("table inet t {\n\tnonsense\n}\n")
		if _, ok := errors.AsType[*Refusal](err); !ok || !strings.Contains(err.Error(), "2:") {
			t.Errorf("%v is not a refusal of line 2", err)
		}
		if _, err := h.Send([]Packet{tcp(family, 80)}); err == nil {
			t.Error("packets are sent through a text that was refused")
		}
		askNft(t, h, forward("drop", ""), []question{{tcp(family, 80), Drop}})
	})
}

// TestNftEqualPriority has base chains of equal priority that all reject: the
// client sees the first that the packet meets. That is the chain that was made
// last (nf_hook_entries_grow), whatever its table.
func TestNftEqualPriority(t *testing.T) {
	eachNft(t, func(t *testing.T, h *Host, family int) {
		own := map[int]string{4: "ip", 6: "ip6"}[family]
		kind := map[int]string{4: "icmp", 6: "icmpv6"}[family]
		chain := func(name, with string) string {
			return fmt.Sprintf("\tchain %s {\n\t\ttype filter hook forward priority 0;\n\t\treject with %s\n\t}\n", name, with)
		}
		table := func(family, name, chains string) string {
			return "table " + family + " " + name + " {\n" + chains + "}\n"
		}
		first, second := chain("x", "icmpx admin-prohibited"), chain("y", "icmpx port-unreachable")
		for name, text := range map[string]string{
			"two tables":                  table("inet", "a", first) + table("inet", "b", second),
			"two tables, other names":     table("inet", "b", first) + table("inet", "a", second),
			"one table":                   table("inet", "a", first+second),
			"one table, later":            table("inet", "a", first) + table("inet", "a", second),
			"a table of the family last":  table("inet", "a", first) + table(own, "a", chain("y", kind+" port-unreachable")),
			"a table of the family first": table(own, "a", chain("x", kind+" admin-prohibited")) + table("inet", "a", second),
			"a table made again":          table("inet", "a", first) + table("inet", "b", "") + "delete table inet a\n" + table("inet", "a", second),
		} {
			t.Run(name, func(t *testing.T) {
				want := map[int]string{4: "reject icmp-port-unreachable", 6: "reject icmp6-port-unreachable"}[family]
				askNft(t, h, text, []question{{udp(family, 80), want}})
			})
		}
	})
}
