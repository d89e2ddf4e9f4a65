package nftoracle

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// listing makes the JSON of tables of a family: each name with its chains.
func listing(objects ...string) []byte {
	return []byte(`{"nftables": [{"metainfo": {"json_schema_version": 1}}, ` + strings.Join(objects, ", ") + `]}`)
}

func tableJSON(family, name string) string {
	return `{"table": {"family": "` + family + `", "name": "` + name + `", "handle": 1}}`
}

func baseJSON(family, table, name, hook, priority, policy string) string {
	return `{"chain": {"family": "` + family + `", "table": "` + table + `", "name": "` + name +
		`", "type": "filter", "hook": "` + hook + `", "prio": ` + priority + `, "policy": "` + policy + `"}}`
}

func ruleJSON(family, table, chain, expr string) string {
	return `{"rule": {"family": "` + family + `", "table": "` + table + `", "chain": "` + chain + `", "expr": [` + expr + `]}}`
}

// packet returns a new TCP connection to port 80.
func packet() Packet {
	return Packet{In: "eth0", Out: "docker0", Protocol: protoTCP, Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("10.0.0.1"),
		Sport: 40000, Dport: 80, TCPFlags: 2, Known: true, State: "NEW", OrigSrc: netip.MustParseAddr("192.0.2.1"),
		OrigDst: netip.MustParseAddr("10.0.0.1"), OrigSport: 40000, OrigDport: 80}
}

// ask parses a table of one chain with rules and returns its verdicts.
func ask(t *testing.T, hook string, p Packet, rules ...string) []string {
	t.Helper()
	objects := []string{tableJSON("inet", "t"), baseJSON("inet", "t", "c", hook, "0", "accept")}
	for _, expr := range rules {
		objects = append(objects, ruleJSON("inet", "t", "c", expr))
	}
	set, err := Parse(listing(objects...))
	if err != nil {
		t.Fatal(err)
	}
	return set.Verdicts(hook, p)
}

const (
	dport80 = `{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}}`
	drop    = `{"drop": null}`
)

func TestVerdicts(t *testing.T) {
	skuid := `{"match": {"op": "!=", "left": {"meta": {"key": "skuid"}}, "right": 5}}`
	noOut := `{"match": {"op": "!=", "left": {"meta": {"key": "oifname"}}, "right": "eth0"}}`
	for _, c := range []struct {
		name, hook string
		change     func(*Packet)
		rule       string
		want       []string
	}{
		{"match", "forward", nil, dport80 + "," + drop, []string{"drop"}},
		{"another port", "forward", func(p *Packet) { p.Dport = 81 }, dport80 + "," + drop, []string{"accept"}},
		{"a later fragment has no port", "forward", func(p *Packet) { p.Fragment = true }, dport80 + "," + drop, []string{"accept"}},
		{"a chain of another hook", "input", nil, dport80 + "," + drop, []string{"drop"}},
		{"no interface to leave by", "input", func(p *Packet) { p.Out = "" }, noOut + "," + drop, []string{"drop"}},
		{"what nobody knows, negated", "forward", nil, skuid + "," + drop, []string{"accept", "drop"}},
		{"limit", "forward", nil, `{"limit": {"rate": 5}}, ` + drop, []string{"accept", "drop"}},
		{"reject", "forward", nil, `{"reject": {"type": "icmpx", "expr": "admin-prohibited"}}`, []string{"reject icmp-admin-prohibited"}},
		{"a word that is not known", "forward", nil,
			`{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "no-such-protocol"}}, ` + drop, []string{"accept", "drop"}},
		{"an operation that is not known", "forward", nil, strings.Replace(dport80, "==", "~", 1) + "," + drop, []string{"accept", "drop"}},
		{"a set that is not listed", "forward", nil, strings.Replace(dport80, "80", `"@gone"`, 1) + "," + drop, []string{"accept", "drop"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := packet()
			if c.change != nil {
				c.change(&p)
			}
			if got := ask(t, c.hook, p, c.rule); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestAnything has statements that may do anything.
func TestAnything(t *testing.T) {
	for _, s := range []string{`{"queue": null}`, `{"xt": null}`, `{"synproxy": {"mss": 5}}`, `{"never heard of": 1}`, `{"jump": {"target": "gone"}}`} {
		got := ask(t, "forward", packet(), s, drop)
		for _, want := range []string{"accept", "drop", "reject tcp-reset", "reject icmp-port-unreachable"} {
			if !slices.Contains(got, want) {
				t.Errorf("%s: %q lacks %q", s, got, want)
			}
		}
	}
}

// TestSetsThatChange has sets whose elements nobody knows.
func TestSetsThatChange(t *testing.T) {
	for _, members := range []string{`"flags": ["timeout"]`, `"flags": ["dynamic"]`, `"timeout": 60`, `"stmt": [{"limit": {"rate": 1}}]`} {
		set, err := Parse(listing(tableJSON("inet", "t"), baseJSON("inet", "t", "c", "forward", "0", "accept"),
			`{"set": {"family": "inet", "name": "s", "table": "t", "type": "inet_service", `+members+`, "elem": [80]}}`,
			ruleJSON("inet", "t", "c", strings.Replace(dport80, "80", `"@s"`, 1)+","+drop)))
		if err != nil {
			t.Fatal(err)
		}
		if got := set.Verdicts("forward", packet()); !slices.Equal(got, []string{"accept", "drop"}) {
			t.Errorf("%s: %q", members, got)
		}
	}
}

// TestMark has a mark that leaves with the packet, through the tables of both
// families.
func TestMark(t *testing.T) {
	or := `{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"|": [{"meta": {"key": "mark"}}, 16]}}}`
	any := `{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"numgen": {"mode": "inc", "mod": 4}}}}`
	set, err := Parse(listing(tableJSON("inet", "a"), tableJSON("ip", "b"), tableJSON("ip6", "c"),
		baseJSON("inet", "a", "c", "forward", "-5", "accept"), baseJSON("ip", "b", "c", "forward", "0", "accept"),
		baseJSON("ip6", "c", "c", "forward", "0", "drop"),
		ruleJSON("inet", "a", "c", or+`, {"accept": null}`), ruleJSON("ip", "b", "c", dport80+", "+any)))
	if err != nil {
		t.Fatal(err)
	}
	p := packet()
	p.Mark = 1
	if got := set.OutcomesOf("inet", "a", "forward", p); !slices.Equal(got, []Outcome{{Verdict: "accept", Mark: 0x11}}) {
		t.Errorf("one table: %v", got)
	}
	p.Dport = 81
	if got := set.Outcomes("forward", p); !slices.Equal(got, []Outcome{{Verdict: "accept", Mark: 0x11}}) {
		t.Errorf("all tables: %v", got)
	}
	p.Dport = 80
	if got := set.Outcomes("forward", p); !slices.Contains(got, Outcome{Verdict: "accept", AnyMark: true}) {
		t.Errorf("an unknown mark: %v", got)
	}
	p.Src, p.Dst = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	if got := set.Verdicts("forward", p); !slices.Equal(got, []string{"drop"}) {
		t.Errorf("IPv6: %q", got)
	}
	if got := set.VerdictsOf("inet", "a", "forward", p); !slices.Equal(got, []string{"accept"}) {
		t.Errorf("IPv6, one table: %q", got)
	}
}

// TestDormant has a table whose chains are switched off. nft 1.0.6 prints
// another word for it.
func TestDormant(t *testing.T) {
	for flags, want := range map[string][]string{
		`"dormant"`: {"accept"}, `["dormant"]`: {"accept"}, `"a"`: {"accept", "drop"}, `["owner", "persist"]`: {"drop"},
	} {
		set, err := Parse(listing(`{"table": {"family": "inet", "name": "t", "flags": `+flags+`}}`,
			baseJSON("inet", "t", "c", "forward", "0", "drop")))
		if err != nil {
			t.Fatal(err)
		}
		if got := set.Verdicts("forward", packet()); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", flags, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"", "{}", "[]", `{"nftables": 5}`,
		string(listing(baseJSON("inet", "gone", "c", "forward", "0", "drop"))),
		string(listing(tableJSON("inet", "t"), ruleJSON("inet", "t", "gone", drop)))} {
		if set, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s is read as %v", text, set)
		}
	}
}
