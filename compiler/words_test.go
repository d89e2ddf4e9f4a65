package compiler_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/meaning"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// Of each word of the host block, the packets for which its rules would be wrong
// if they were written the obvious wrong way. A line is
//
//	IN>OUT STATE [reply] PORT/PROTOCOL: VERDICT
//
// with ">host" for a packet to the host itself. It holds in both families, by the
// policy and by the rules of every layout.
func TestWordsOfHost(t *testing.T) {
	const policies = `
policy "open" {
  ports   = [80]
  default = "allow"
}
policy "shut" {
  ports = [443, "53/udp"]
}
`
	for _, test := range []struct{ name, host, rest, packets string }{
		{"a plain host, to compare with", `external = ["eth0"]`, policies, `
			eth0>docker0 new 80/tcp: pass
			eth0>docker0 new 443/tcp: deny
			eth0>docker0 new 22/tcp: deny
			tun7>docker0 new 443/tcp: pass
			eth0>docker0 established 443/tcp: deny
			eth0>docker0 established reply 443/tcp: pass
			eth0>docker0 related 443/tcp: deny
			eth0>docker0 related 0/icmp: pass
			eth0>docker0 invalid 443/tcp: deny
			docker0>eth0 invalid 443/tcp: pass
			eth0>host established 443/tcp: deny
			eth0>host related 443/tcp: deny`},
		{"+ is every interface, one without a name of its own as well", `external = ["+"]`, policies, `
			eth0>docker0 new 443/tcp: deny
			tun7>docker0 new 443/tcp: deny
			tun7>docker0 new 80/tcp: pass
			docker0>eth0 new 22/tcp: deny
			docker0>eth0 established reply 22/tcp: pass
			lo>host new 443/tcp: deny
			lo>host new 22/tcp: pass
			tun7>docker0 invalid 80/tcp: deny
			tun7>docker0 untracked 80/tcp: deny
			tun7>docker0 related 0/icmp: pass`},
		{"a policy on one interface beside one on every interface", `external = ["+"]`, policies + `
policy "vpn" {
  ports    = [443]
  external = ["wg+"]
  default  = "allow"
}`, `
			wg0>docker0 new 443/tcp: pass
			wg>docker0 new 443/tcp: pass
			wx0>docker0 new 443/tcp: deny
			wg0>docker0 new 53/udp: deny
			wg0>host new 443/tcp: pass
			wx0>host new 443/tcp: deny`},
		{"internal: the name itself, and not what starts with it", `
			external = ["+"]
			internal = ["lo", "docker0", "br-+"]`, policies, `
			docker0>eth0 new 22/tcp: pass
			docker0>br-a new 443/tcp: pass
			docker01>eth0 new 22/tcp: deny
			docker1>docker0 new 443/tcp: deny
			br-a>eth0 new 443/tcp: pass
			br->eth0 new 443/tcp: pass
			br>eth0 new 443/tcp: deny
			docker0>eth0 invalid 22/tcp: pass
			lo>host new 443/tcp: pass
			docker0>host new 443/tcp: pass
			docker01>host new 443/tcp: deny
			eth0>docker0 new 443/tcp: deny`},
		{"internal comes before the guard, and after forwards", `
			external = ["+"]
			internal = ["lan+"]`, policies + `
guard {
  deny { sources = any }
}
forward "lan" {
  from = "lan0"
  to   = "eth0"
}`, `
			lan0>docker0 new 443/tcp: pass
			lan0>eth0 new 443/tcp: accept
			eth0>lan0 established reply 443/tcp: accept
			eth0>docker0 new 80/tcp: deny
			lan0>host new 443/tcp: pass
			eth0>host new 80/tcp: deny`},
		{"a policy that names an internal interface beside others has them alone", `
			external = ["eth+"]
			internal = ["eth1"]`, `
policy "p" {
  ports    = [443]
  external = ["eth0", "eth1"]
}`, `
			eth0>docker0 new 443/tcp: deny
			eth1>docker0 new 443/tcp: pass
			eth1>docker0 new 22/tcp: pass
			eth10>docker0 new 22/tcp: deny
			eth1>host new 443/tcp: pass
			eth0>host new 443/tcp: deny`},
		{"bridges: what leaves elsewhere passes the guard, policies and unlisted", `
			external = ["eth0"]
			bridges  = ["docker0", "br-+"]`, policies + `
guard {
  deny { sources = any }
}`, `
			eth0>docker0 new 80/tcp: deny
			eth0>br-x new 80/tcp: deny
			eth0>eth1 new 80/tcp: pass
			eth0>docker1 new 443/tcp: pass
			eth0>docker01 new 443/tcp: pass
			eth0>eth0 new 443/tcp: pass
			eth0>eth1 invalid 443/tcp: pass
			eth0>docker0 invalid 443/tcp: deny
			eth0>docker0 untracked 443/tcp: deny
			docker0>br-x new 443/tcp: pass
			eth0>host new 80/tcp: deny
			eth0>host new 22/tcp: pass`},
		{"bridges: a packet that comes back from their chain is not judged again", `
			external = ["eth0"]
			bridges  = ["docker0", "docker+"]`, policies + `
forward "lan" {
  from = "eth0"
  to   = "docker0"
  sources = ["10.9.0.0/16", "fd09::/16"]
}`, `
			eth0>docker0 new 80/tcp: pass
			eth0>docker1 new 80/tcp: pass
			eth0>docker0 new 443/tcp: deny
			eth0>docker0 established reply 443/tcp: pass`},
		{"bridges = + is none", `
			external = ["eth0"]
			bridges  = ["docker0", "+"]`, policies, `
			eth0>docker0 new 443/tcp: deny
			eth0>eth1 new 443/tcp: deny
			eth0>eth1 new 80/tcp: pass`},
		{"established = accept: both directions, every interface, and no other state", `
			external    = ["eth0"]
			internal    = ["eth0.7"]
			established = "accept"`, policies + `
guard {
  deny { sources = any }
}`, `
			eth0>docker0 established 443/tcp: accept
			docker0>eth0 established reply 443/tcp: accept
			docker0>br-x established 22/tcp: accept
			eth0>docker0 new 80/tcp: deny
			eth0>docker0 related 443/tcp: deny
			eth0>docker0 related reply 443/tcp: pass
			eth0>docker0 related 0/icmp: pass
			eth0>docker0 untracked 443/tcp: deny
			eth0>host established 443/tcp: pass
			eth0>host new 443/tcp: deny
			eth0>host related 443/tcp: deny`},
		{"related = keep: every protocol, from outside, and no established packet", `
			external = ["eth0"]
			related  = "keep"`, policies, `
			eth0>docker0 related 443/tcp: pass
			eth0>docker0 related 53/udp: pass
			eth0>docker0 related 0/icmp: pass
			eth0>docker0 established 443/tcp: deny
			eth0>docker0 established reply 443/tcp: pass
			eth0>docker0 new 443/tcp: deny
			eth0>host related 443/tcp: pass
			eth0>host established 443/tcp: deny`},
		{"related = accept: ICMP errors as well, every interface", `
			external = ["eth0"]
			related  = "accept"`, policies, `
			eth0>docker0 related 443/tcp: accept
			docker0>eth0 related 443/tcp: accept
			eth0>docker0 related 0/icmp: accept
			docker0>eth0 related 0/icmp: accept
			eth0>docker0 established 443/tcp: deny
			eth0>docker0 established reply 443/tcp: pass
			eth0>host related 443/tcp: pass
			eth0>host related 0/icmp: pass`},
		{"one kept and one accepted", `
			external    = ["eth0"]
			established = "keep"
			related     = "accept"`, policies, `
			eth0>docker0 established 443/tcp: pass
			eth0>docker0 related 443/tcp: accept
			eth0>docker0 established reply 22/tcp: pass
			eth0>host established 443/tcp: pass
			eth0>host related 443/tcp: pass
			eth0>docker0 new 443/tcp: deny`},
		{"invalid = deny: every interface, by a bridge or not, and no untracked packet", `
			external = ["+"]
			internal = ["docker0"]
			bridges  = ["docker0"]
			invalid  = "deny"
			established = "accept"
			related  = "accept"`, policies, `
			docker0>eth1 invalid 22/tcp: deny
			eth0>docker0 invalid 80/tcp: deny
			eth0>eth1 invalid 80/tcp: deny
			docker0>eth1 untracked 22/tcp: pass
			eth0>docker0 untracked 80/tcp: deny
			eth0>host invalid 443/tcp: pass
			eth0>docker0 new 443/tcp: deny
			docker0>eth1 new 443/tcp: pass`},
		{"a large guard and many ports, which the indexed layout searches", `
			external = ["+"]
			internal = ["docker0", "eth1"]
			bridges  = ["docker0", "br-+"]
			related  = "keep"`, manyPolicies(), `
			eth0>docker0 new 1007/tcp: deny
			eth0>docker0 new 1008/tcp: pass
			eth0>br-9 new 1007/tcp: deny
			eth0>eth1 new 1007/tcp: pass
			eth1>docker0 new 1007/tcp: pass
			eth0>docker0 related 1007/tcp: pass
			eth0>docker0 new 22/tcp: deny
			eth1>host new 1007/tcp: pass
			eth0>host new 1007/tcp: deny
			eth0>host new 22/tcp: pass`},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := "host {\n unlisted = \"deny\"\n" + test.host + "\n}\n" + test.rest
			loaded, diags := schema.Load("-", schema.Options{Stdin: strings.NewReader(text)})
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			for _, layout := range []lower.Layout{lower.Flat, lower.Indexed, lower.IPSet, lower.Auto} {
				tables := tablesOf(t, loaded.Document, layout)
				for _, line := range strings.Split(strings.TrimSpace(test.packets), "\n") {
					for family, table := range tables {
						what, want, _ := strings.Cut(strings.TrimSpace(line), ": ")
						p := packetOf(t, what, family)
						if got := meaning.Explain(loaded.Document, p).Verdict.String(); got != want {
							t.Errorf("%s: the policy says %s", line, got)
						}
						if got := dialect.Trace(table, p).Verdict.String(); got != want {
							t.Errorf("%s: the rules of %v, %s, say %s", line, family, layout, got)
						}
					}
				}
			}
		})
	}
}

// manyPolicies are a guard of many sources and policies for a port each, the even
// ones open.
func manyPolicies() string {
	var b strings.Builder
	b.WriteString("guard {\n  deny {\n    sources = [for n in range(40) : \"198.18.${n * 2}.0/24\"]\n  }\n}\n")
	for n := range 40 {
		fmt.Fprintf(&b, "policy \"p%d\" {\n  ports = [%d]\n  default = %q\n  deny { sources = [\"10.%d.0.0/16\"] }\n}\n", n, 1000+n, []string{"allow", "deny"}[n%2], n)
	}
	return b.String()
}

// tablesOf compiles a policy, and reads back what was written.
func tablesOf(t *testing.T, doc *schema.Document, layout lower.Layout) map[packet.Family]*iptables.Table {
	t.Helper()
	out, err := compiler.Compile(context.Background(), doc, compiler.Options{Format: emit.Restore, Layout: layout, Source: "policy.hcl"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := emit.SetsOf(out.Files)
	if err != nil {
		t.Fatal(err)
	}
	sets, err := ipset.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	tables := map[packet.Family]*iptables.Table{}
	for _, f := range out.Files {
		if f.Sets {
			continue
		}
		file, err := iptables.Parse(f.Bytes, iptables.Options{Family: f.Families[0]})
		if err != nil {
			t.Fatal(err)
		}
		tables[f.Families[0]] = file.Table("filter")
		tables[f.Families[0]].Sets = sets
	}
	return tables
}

// packetOf is the packet of a line of TestWordsOfHost.
func packetOf(t *testing.T, text string, family packet.Family) packet.Packet {
	t.Helper()
	words := strings.Fields(text)
	in, out, _ := strings.Cut(words[0], ">")
	p := packet.Packet{Hook: packet.Forward, In: in, Out: out, State: packet.State(strings.ToUpper(words[1])), Reply: words[2] == "reply",
		Sport: 40000, Dport: 8080, TCPFlags: packet.ACK}
	if out == "host" {
		p.Hook, p.Out = packet.Input, ""
	}
	var protocol string
	if _, err := fmt.Sscanf(strings.Replace(words[len(words)-1], "/", " ", 1), "%d %s", &p.OrigPort, &protocol); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	p.Protocol = map[string]packet.Protocol{"tcp": packet.TCP, "udp": packet.UDP, "icmp": family.ICMP()}[protocol]
	addresses := map[packet.Family][3]string{packet.IPv4: {"192.0.2.9", "203.0.113.7", "172.17.0.2"}, packet.IPv6: {"2001:db8::9", "2001:db8::7", "fd00::2"}}[family]
	p.Source, p.OrigDst, p.Dest = netip.MustParseAddr(addresses[0]), netip.MustParseAddr(addresses[1]), netip.MustParseAddr(addresses[2])
	return p
}
