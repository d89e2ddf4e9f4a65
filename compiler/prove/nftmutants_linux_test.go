package prove_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/internal/judge/nftoracle"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
	"pgregory.net/rapid"
)

var numbersOfPorts = regexp.MustCompile(`(?:proto-dst|dport) (\d+)|^\t\t\t(\d+) :`)

// nftMutations change one line of a file of nft, each in a way in which people get
// such files wrong.
var nftMutations = []mutation{
	{"a line less", func(_ *rand.Rand, lines []string, n int) []string {
		if !strings.HasPrefix(lines[n], "\t\t") || strings.Contains(lines[n], "type ") {
			return nil
		}
		return slices.Delete(slices.Clone(lines), n, n+1)
	}},
	{"two lines swapped", func(_ *rand.Rand, lines []string, n int) []string {
		if n+1 >= len(lines) || !strings.HasPrefix(lines[n], "\t\t") || !strings.HasPrefix(lines[n+1], "\t\t") {
			return nil
		}
		out := slices.Clone(lines)
		out[n], out[n+1] = out[n+1], out[n]
		return out
	}},
	{"another verdict", swapText(" accept", " drop", " goto reject_all", " return")},
	{"another verdict alone", func(r *rand.Rand, lines []string, n int) []string {
		return replaced(lines, n, map[string]string{"\t\taccept": "\t\tdrop", "\t\tdrop": "\t\taccept"}[lines[n]]+strings.Repeat(lines[n], b2i(lines[n] != "\t\taccept" && lines[n] != "\t\tdrop")))
	}},
	{"jump and goto", swapText("jump ", "goto ")},
	{"another protocol", swapText("l4proto tcp", "l4proto udp", "l4proto sctp")},
	{"another direction", swapText("ct direction original", "ct direction reply")},
	{"no direction", dropText("ct direction original ")},
	{"another state", swapText("ct state established", "ct state related", "ct state new", "ct state invalid", "ct state untracked")},
	{"a negation more", swapText("iifname ", "iifname != ", "ip saddr ", "ip saddr != ")},
	{"another interface", swapText(`"eth0"`, `"eth1"`, `"eth*"`, `"wan*"`)},
	{"no interface", func(_ *rand.Rand, lines []string, n int) []string {
		return replaced(lines, n, regexp.MustCompile(`[io]ifname ("[^"]*"|\{[^}]*\}) `).ReplaceAllString(lines[n], ""))
	}},
	{"another family", swapText("nfproto ipv4", "nfproto ipv6")},
	{"another key", swapText("ip saddr", "ip daddr", "ct original ip daddr")},
	{"after DNAT", swapText("ct original proto-dst", "th dport")},
	{"another mask", swapText("255.255.255.0", "255.255.0.0", "255.255.255.128")},
	{"another prefix", func(r *rand.Rand, lines []string, n int) []string {
		return replaced(lines, n, regexp.MustCompile(`0\.0/16`).ReplaceAllString(lines[n], "0.0/17"))
	}},
	{"another port", func(r *rand.Rand, lines []string, n int) []string {
		at := numbersOfPorts.FindStringSubmatchIndex(lines[n])
		if at == nil {
			return nil
		}
		i := 2
		if at[2] < 0 {
			i = 4
		}
		port, _ := strconv.Atoi(lines[n][at[i]:at[i+1]])
		return replaced(lines, n, lines[n][:at[i]]+strconv.Itoa(port%65535+1)+lines[n][at[i+1]:])
	}},
	{"another priority", swapText("filter - 5", "filter + 5", "-300")},
	{"another hook", swapText("hook forward", "hook input", "hook output")},
	{"another policy", swapText("policy accept", "policy drop")},
	{"no guard", dropText("jump guard")},
	{"another chain", func(r *rand.Rand, lines []string, n int) []string {
		names := chainNames(lines)
		at := regexp.MustCompile(`(goto|jump) (\S+?)(,|$)`).FindStringSubmatchIndex(lines[n])
		if at == nil || len(names) == 0 {
			return nil
		}
		return replaced(lines, n, lines[n][:at[4]]+names[r.IntN(len(names))]+lines[n][at[5]:])
	}},
	{"a mark less", dropText("meta mark set meta mark | 0x00000010 ")},
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func dropText(text string) func(*rand.Rand, []string, int) []string {
	return func(_ *rand.Rand, lines []string, n int) []string {
		return replaced(lines, n, strings.Replace(lines[n], text, "", 1))
	}
}

func chainNames(lines []string) []string {
	var names []string
	for _, l := range lines {
		if name, ok := strings.CutPrefix(l, "\tchain "); ok {
			names = append(names, strings.TrimSuffix(name, " {"))
		}
	}
	return names
}

// A mutant of a file of nft that does something else to some packet is never proved,
// and an example of a difference is one to the oracle as well, which reads what nft
// lists of the mutant after loading it.
func TestMutantsOfNFTables(t *testing.T) {
	nft := nftoracle.Nft("nft")
	if err := nft.Available(); err != nil {
		t.Skip(err)
	}
	atLeast(t, 15)
	refused, caught, same, told := 0, 0, 0, map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		doc, _ := plainDocument(t)
		if compiler.FitsNFTables(doc) != nil {
			doc.Host.AcceptMark = 0x10
		}
		out, err := compiler.Emit(doc, compiler.Options{Format: emit.NFTables, Source: "policy.hcl"})
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(out.Files[0].Bytes), "\n")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 7))
		for range 12 {
			m := nftMutations[r.IntN(len(nftMutations))]
			var mutant []string
			for range 30 {
				if mutant = m.make(r, lines, r.IntN(len(lines))); mutant != nil {
					break
				}
			}
			if mutant == nil {
				continue
			}
			text := strings.Join(mutant, "\n")
			loaded, err := nft.Load(text)
			file, readErr := nftables.Parse([]byte(text), nftables.Options{})
			switch {
			case err != nil || readErr != nil:
				if err == nil || readErr == nil && !strings.Contains(err.Error(), "nft:") {
					t.Fatalf("%s: nft says %v, the reader %v\n%s", m.name, err, readErr, text)
				}
				refused++
				continue
			}
			equal := true
			for _, family := range packet.Families {
				rules := file.Rules(family, nftables.RuleOptions{AcceptMark: doc.Host.AcceptMark})
				result, err := prove.Compare(context.Background(), doc, rules, family, prove.Limits{})
				if err != nil {
					t.Fatalf("%s: %v\n%s", m.name, err, text)
				}
				equal = equal && result.Equal()
				for _, d := range result.Differences {
					want, got := askedOf(doc, d.Example), oracleVerdict(t, loaded, d.Example, doc)
					if d.Undecided() || d.File == packet.HostDeny {
						continue
					}
					if want == got || got != d.File || want != d.Policy {
						t.Fatalf("%s: a counterexample that is none: %s\nthe proof says %s and %s, the judges %s and %s\n%s", m.name, d.Example, d.Policy, d.File, want, got, text)
					}
				}
			}
			if !equal {
				caught++
				told[m.name]++
				continue
			}
			same++
			for _, family := range packet.Families {
				c := cornersOf(doc, family)
				for range 100 {
					p := c.random(r)
					if want, got := askedOf(doc, p), oracleVerdict(t, loaded, p, doc); want != got {
						t.Fatalf("%s: proved, but %s is %s by the policy and %s by the file\n%s", m.name, p, want, got, text)
					}
				}
			}
		}
	})
	var b bytes.Buffer
	for _, m := range nftMutations {
		fmt.Fprintf(&b, " %s %d,", m.name, told[m.name])
	}
	t.Logf("%d refused by nft, %d told from the original, %d that mean the same:%s", refused, caught, same, b.String())
}

// askedOf is what a policy asks of a table of nftables for a packet.
func askedOf(doc *schema.Document, p packet.Packet) packet.Verdict {
	v := naivePolicy(doc, p)
	if v == packet.Accept && doc.Host.AcceptMark == 0 {
		return packet.Pass
	}
	return v
}
