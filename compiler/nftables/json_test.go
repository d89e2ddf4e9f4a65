package nftables_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/nftables"
)

// listed are the rules of a listing as text: those of a chain by its table and name.
// A rule with a chain of its own in braces is one line.
func listed(text string) map[string][]string {
	rules := map[string][]string{}
	table, chain, depth := "", "", 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case strings.HasPrefix(line, "table "):
			table, depth = strings.Fields(line)[2], 1
		case depth == 1 && strings.HasPrefix(line, "chain "):
			chain, depth = table+" "+strings.Fields(line)[1], 2
			rules[chain] = nil
		case depth == 1 && strings.HasSuffix(line, "{"):
			chain, depth = "", 2
		case depth == 2 && line == "}":
			depth = 1
		case depth == 1 && line == "}":
			depth = 0
		case depth == 3:
			last := len(rules[chain]) - 1
			if rules[chain][last] += " " + line; line == "}" {
				depth = 2
			}
		case depth == 2 && chain != "" && !strings.HasPrefix(line, "type ") && !strings.HasPrefix(line, "comment "):
			rules[chain] = append(rules[chain], line)
			if strings.HasSuffix(line, "{") {
				depth = 3
			}
		}
	}
	return rules
}

// asText is how the text of nft has what JSON has otherwise, by version.
var asText = map[string]map[string]string{
	"1.0.6": {
		"tcp flags & (((fin | syn) | rst) | ack) == syn accept": "tcp flags syn / fin,syn,rst,ack accept",
		"tcp flags & (fin | syn) == fin | syn drop":             "tcp flags fin,syn / fin,syn drop",
		// 1.0.6 leaves the usual burst out of the text.
		"icmp type echo-request limit rate 5/second burst 5 packets accept": "icmp type echo-request limit rate 5/second accept",
	},
	"1.1.7": {
		"tcp flags & (((fin | syn) | rst) | ack) == syn accept":                                         "tcp flags & (fin | syn | rst | ack) == syn accept",
		"fib saddr . iif oif missing drop":                                                              "fib saddr . iif check missing drop",
		"ip frag-off & 8191 != 0 drop":                                                                  "ip frag-off & 0x1fff != 0x0 drop",
		`update @b { ip saddr {"stmt":[{"limit":{"burst":5,"per":"minute","rate":3}}],"timeout":300} }`: "update @b { ip saddr timeout 5m limit rate 3/minute burst 5 packets }",
		"last": "last used never",
	},
	"": { // both
		"meta mark set (meta mark & 0xffffff05) | 0x00000005":                                           "meta mark set meta mark & 0xffffff05 | 0x00000005",
		`update @b { ip saddr {"stmt":[{"limit":{"burst":5,"per":"minute","rate":3}}],"timeout":300} }`: "update @b { ip saddr timeout 5m limit rate 3/minute }",
		`{"numgen":{"mod":2,"mode":"random","offset":0}} 0 accept`:                                      "numgen random mod 2 0 accept",
		`{"jhash":{"expr":{"payload":{"field":"saddr","protocol":"ip"}},"mod":2}} 0 accept`:             "jhash ip saddr mod 2 0 accept",
		"ct state & established == 0 accept":                                                            "ct state ! established accept",
		"ct state & invalid == 0 accept":                                                                "ct state ! invalid accept",
		"tcp flags & syn == 0 drop":                                                                     "tcp flags ! syn drop",
		"ct expiration 10 accept":                                                                       "ct expiration 10s accept",
		"iifname @ww drop":                                                                              `iifname "@ww" drop`, // JSON cannot tell
		`tcp dport 80 {"dnat":{"addr":"10.0.0.1","family":"ip","port":8080}}`:                           "tcp dport 80 dnat ip to 10.0.0.1:8080",
		`tcp dport 80 {"redirect":{"port":8080}}`:                                                       "tcp dport 80 redirect to :8080",
		`{"masquerade":null}`:                                                                           "masquerade",
		`ip saddr 1.2.3.4 {"snat":{"addr":"5.6.7.8","family":"ip"}}`:                                    "ip saddr 1.2.3.4 snat ip to 5.6.7.8",
	},
}

// same reports whether a rule read from JSON is one of the text.
func same(version, json, text string) bool {
	return json == text || asText[version][json] == text || asText[""][json] == text
}

// A ruleset of every statement is the same rules in the JSON and in the text of one
// version of nft, word for word but for what asText names.
func TestJSONIsTheText(t *testing.T) {
	names, _ := filepath.Glob("testdata/listings/[ms]*.json") // the pattern is right
	if len(names) < 4 {
		t.Fatalf("only %d listings", len(names))
	}
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(strings.TrimSuffix(name, ".json") + ".nft")
		if err != nil {
			t.Fatal(err)
		}
		f, err := nftables.ParseJSON(src)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		version := name[strings.LastIndex(name, "-")+1 : len(name)-len(".json")]
		want := listed(string(text))
		for _, table := range f.Tables {
			for _, c := range table.Chains {
				key := table.Name + " " + c.Name
				if len(c.Rules) != len(want[key]) {
					t.Errorf("%s: %s has %d rules, in the text %d", name, key, len(c.Rules), len(want[key]))
					continue
				}
				for i, r := range c.Rules {
					if !same(version, r.String(), want[key][i]) {
						t.Errorf("%s: %s:\n%s\nin the text:\n%s", name, key, r, want[key][i])
					}
				}
				delete(want, key)
			}
		}
		if len(want) > 0 {
			t.Errorf("%s: not read: %v", name, want)
		}
	}
}

// Sets of a listing, and what JSON has instead of their words.
func TestJSONSets(t *testing.T) {
	for _, version := range []string{"1.0.6", "1.1.7"} {
		src, err := os.ReadFile("testdata/listings/statements-" + version + ".json")
		if err != nil {
			t.Fatal(err)
		}
		f, err := nftables.ParseJSON(src)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		nftables.Print(&b, &nftables.Table{Family: nftables.Inet, Name: "x", Sets: f.Table(nftables.Inet, "x").Sets})
		text := b.String()
		for _, want := range []string{
			"set c {\n\t\ttype ipv4_addr . inet_service\n\t\tflags interval\n\t\telements = { 10.0.0.0/8 . 1-1024 }\n",
			"set e {\n\t\ttype ifname\n\t\tflags interval\n\t\telements = { \"eth*\", \"lo\" }\n",
			"set f {\n\t\ttype mark\n\t\telements = { 0x00000010, 0x00000020 }\n",
			"map m1 {\n\t\ttype ipv4_addr : ipv4_addr\n\t\telements = { 10.0.0.1 : 10.0.0.2 }\n",
			" 10.0.0.0/8 . 1-2 : accept, * : drop }\n",
			"0x00000002 : goto other,\n", "\t\t\t0x00000004 : return,\n",
			"elements = { \"eth0\" : jump other }\n",
			"\t\tcomment \"setcomment\"\n",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", version, want, text)
			}
		}
		x := f.Table(nftables.Inet, "x")
		if b := x.Set("b"); !b.Has("dynamic") || !b.Has("timeout") || b.Unread != `{"timeout":60}` || b.Size != 100 {
			t.Errorf("%s: a set that rules fill: %+v", version, b)
		}
		if d := x.Set("d"); !strings.Contains(d.Unread, "counter") || !strings.Contains(d.Elements[0].Unread, "timeout") {
			t.Errorf("%s: a set with timeouts: %+v", version, d)
		}
		if a := x.Set("a"); a.Typeof != (version == "1.1.7") || len(a.Key) != 2 {
			t.Errorf("%s: a set by typeof: %+v", version, a)
		}
		if m := x.Set("m2"); version == "1.1.7" && !slices.Equal(m.Key, []string{"ip saddr", "th dport"}) {
			t.Errorf("the key of m2: %q", m.Key)
		}
	}
}

// What is not a listing, or cannot be one, is an error; what is not known is kept, and
// leaves its rule foreign.
func TestJSONUnknown(t *testing.T) {
	const table = `{"table": {"family": "inet", "name": "x"}}, {"chain": {"family": "inet", "table": "x", "name": "c"}}`
	rule := func(expr string) string {
		return `{"nftables": [` + table + `, {"rule": {"family": "inet", "table": "x", "chain": "c", "expr": [` + expr + `]}}]}`
	}
	for src, want := range map[string]string{
		``:                    "not the output of nft -j: EOF",
		`table inet x {}`:     "not the output of nft -j: invalid character",
		`{}`:                  `not the output of nft -j: the list "nftables" is missing`,
		`{"nftables": []} {}`: "something follows the list",
		`{"nftables": [{"add": {"table": {"family": "inet", "name": "x"}}}]}`:                                 "entry 0, add: this is a list of commands",
		`{"nftables": [{"table": {"family": "inet", "name": "x", "flags": "inet"}}]}`:                         "has flags that this version of nft does not print in JSON",
		`{"nftables": [{"chain": {"family": "inet", "table": "x", "name": "c"}}]}`:                            "entry 0, chain: the table inet x is not in the list",
		`{"nftables": [` + table + `, {"rule": {"family": "inet", "table": "x", "chain": "d", "expr": []}}]}`: "entry 2, rule: the chain d is not in the list",
	} {
		if _, err := nftables.ParseJSON([]byte(src)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", src, err)
		}
	}
	for expr, want := range map[string]string{
		`{"frobnicate": {"a": 1}}, {"drop": null}`:                                                                `{"frobnicate":{"a":1}} drop`,
		`{"drop": null, "accept": null}`:                                                                          `{"accept":null,"drop":null}`,
		`{"jump": {"target": "c", "when": 5}}`:                                                                    `{"jump":{"target":"c","when":5}}`,
		`{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 5, "mask": 7}}`:                       `{"match":{"left":{"meta":{"key":"mark"}},"mask":7,"op":"==","right":5}}`,
		`{"match": {"op": "!", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "192.0.2.1"}}`: `ip saddr ! 192.0.2.1`,
		`{"reject": {"type": "icmpx", "expr": "port-unreachable", "x": 1}}`:                                       `{"reject":{"expr":"port-unreachable","type":"icmpx","x":1}}`,
		`"jump {\n\t\t\taccept\n\t\t}"`:                                                                           `jump { accept }`,
		`{"set": {"op": "delete", "elem": 5, "set": "@s"}}`:                                                       `delete @s { 5 }`,
	} {
		f, err := nftables.ParseJSON([]byte(rule(expr)))
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		r := f.Tables[0].Chains[0].Rules[0]
		if _, foreign := r.Statements[0].(*nftables.Foreign); !foreign || r.String() != want || r.Line != 2 {
			t.Errorf("%s: line %d, %T %s", expr, r.Line, r.Statements[0], r)
		}
	}
	// Bits in a set are no pair of a map.
	flags, err := nftables.ParseJSON([]byte(rule(`{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": {"set": ["syn", ["syn", "ack"]]}}}`)))
	if err != nil {
		t.Fatal(err)
	}
	if got := flags.Tables[0].Chains[0].Rules[0].String(); got != "tcp flags { syn, syn,ack }" {
		t.Errorf("bits in a set: %s", got)
	}
	// A selector with a word that is not known is no selector that is known.
	f, err := nftables.ParseJSON([]byte(rule(`{"match": {"op": "==", "left": {"payload": {"tunnel": "vxlan", "protocol": "ip", "field": "saddr"}}, "right": "192.0.2.1"}}`)))
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := f.Tables[0].Chains[0].Rules[0].Statements[0].(*nftables.Match); !ok || m.Left.Kind != nftables.Other {
		t.Errorf("a tunnel's address: %v", f.Tables[0].Chains[0].Rules[0])
	}
}
