package doctor

import (
	"context"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

func nftFile(t *testing.T, text string) *nftables.File {
	t.Helper()
	f, err := nftables.Parse([]byte(text), nftables.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return f
}

func nftHost(t *testing.T, text string, known *docker.Known) *Host {
	t.Helper()
	h := &Host{Interfaces: []string{"eth0"}}
	for _, f := range packet.Families {
		x := docker.TablesOfNFT(nftFile(t, text), f)
		x.Known = known
		h.Families = append(h.Families, x)
	}
	return h
}

func nftCapture(t *testing.T) string {
	t.Helper()
	src, err := os.ReadFile("../../testdata/captures/engine-29-nftables-modes.nft")
	if err != nil {
		t.Fatal(err)
	}
	return string(src)
}

var (
	nftElement = regexp.MustCompile(`"[^"]+" : jump [^ ,]+(,\s*| )?`)
	nftRule    = regexp.MustCompile(`^\t\t(ip6? |iifname|oifname|fib|ct |counter)`)
)

// deletion is the capture without one rule or one element of a map.
type deletion struct{ what, chain, text string }

func deletions(src string) []deletion {
	var list []deletion
	lines := strings.Split(src, "\n")
	chain := ""
	for i, line := range lines {
		if f := strings.Fields(line); len(f) == 3 && (f[0] == "chain" || f[0] == "map") {
			chain = f[1]
		}
		without := func(line string) string {
			return strings.Join(append(append(append([]string{}, lines[:i]...), line), lines[i+1:]...), "\n")
		}
		switch {
		case nftRule.MatchString(line):
			list = append(list, deletion{strings.TrimSpace(line), chain, without("")})
		case nftElement.MatchString(line):
			text := without(nftElement.ReplaceAllString(line, ""))
			text = regexp.MustCompile(`([{,])\s*\n\s+"`).ReplaceAllString(text, `$1 "`)
			text = regexp.MustCompile(`,\s*}`).ReplaceAllString(text, " }") // it was the last
			text = regexp.MustCompile(`\n\s*elements = \{\s*\}`).ReplaceAllString(text, "")
			list = append(list, deletion{strings.TrimSpace(line), chain, text})
		}
	}
	return list
}

// sameForward reports whether two rulesets do the same with every forwarded packet.
func sameForward(t *testing.T, a, b string) bool {
	t.Helper()
	for _, f := range packet.Families {
		x, y := nftFile(t, a).Rules(f, nftables.RuleOptions{}), nftFile(t, b).Rules(f, nftables.RuleOptions{})
		s := packet.NewSpace(f, append(x.Patterns(), "eth0")...)
		store := s.Store()
		var refs []diagram.Ref
		for _, r := range []*nftables.Rules{x, y} {
			ref, err := r.Reader(store, s).Whole(packet.Forward)
			if err != nil {
				t.Fatal(err)
			}
			refs = append(refs, ref)
		}
		if refs[0] != refs[1] {
			return false
		}
	}
	return true
}

// The captured host is healthy. Of every rule and map element of Docker's tables, doctor reports
// the deletion, or nothing changes: what the forward hook does is the same function of packets,
// or a map leads to a chain without rules.
func TestNFTDeletions(t *testing.T) {
	src, ctx := nftCapture(t), context.Background()
	if found := Run(ctx, nftHost(t, src, nil), prove.Limits{}); len(found) > 0 {
		t.Fatalf("a healthy host: %s", Text(found))
	}
	empty := map[string]bool{}
	for _, table := range nftFile(t, src).Tables {
		for _, c := range table.Chains {
			if len(c.Rules) == 0 {
				empty[c.Name] = true
			}
		}
	}
	reported, noted, nothing := 0, 0, 0
	for _, x := range deletions(src) {
		h := nftHost(t, x.text, nil)
		found := Run(ctx, h, prove.Limits{})
		m := regexp.MustCompile(`jump (nat-postrouting-\S+?)[, ]*(}|,|$)`).FindStringSubmatch(x.what)
		switch {
		case len(found) > 0:
			reported++
		case strings.Contains(x.what, "masquerade"):
			notes := strings.Join(Notes(ctx, h, prove.Limits{}), "\n")
			if !strings.Contains(notes, "no rule masquerades what the containers of "+strings.TrimPrefix(x.chain, "nat-postrouting-out__")) {
				t.Errorf("%s: no note\n%s", x.what, notes)
			}
			noted++
		case strings.Contains(x.what, "dport 5433"), strings.Contains(x.what, "172.22.0.2"):
			// A second port of one container, and a port on a routed network: only Docker knows.
			noted++
		case m != nil && empty[m[1]], x.what == "oifname vmap @nat-postrouting-in-jumps":
			nothing++ // all of the chains that it leads to are empty
		case strings.HasPrefix(x.chain, "filter-") && sameForward(t, src, x.text):
			nothing++
		default:
			t.Errorf("nothing is reported without %s in %s", x.what, x.chain)
		}
	}
	t.Logf("%d reported, %d that only Docker knows, %d change nothing", reported, noted, nothing)
	if reported < 60 || noted != 7 {
		t.Errorf("%d reported, %d noted", reported, noted)
	}
}

// With what Docker reports, a second published port of a container is missed as well, and so are
// the ports on a routed network and what is masqueraded.
func TestNFTKnown(t *testing.T) {
	subnet := netip.MustParsePrefix("172.22.0.0/16")
	known := &docker.Known{Networks: []docker.KnownNetwork{
		{Name: "rt", Bridge: "br-483185e8c09a", Driver: "bridge", Subnets: []netip.Prefix{subnet}, Options: map[string]string{"com.docker.network.bridge.gateway_mode_ipv4": "routed"}},
		{Name: "bridge", Bridge: "docker0", Driver: "bridge", Subnets: []netip.Prefix{netip.MustParsePrefix("172.17.0.0/16")}},
	}, Containers: []docker.KnownContainer{{Name: "web", Running: true, Addresses: []netip.Addr{netip.MustParseAddr("172.22.0.2")},
		Ports: []docker.KnownPort{{Protocol: "tcp", Container: 80}}}, {Name: "db", Running: true, Addresses: []netip.Addr{netip.MustParseAddr("172.18.0.2")},
		Ports: []docker.KnownPort{{Protocol: "tcp", Container: 80, Host: 5433, IPv4: true, Address: netip.MustParseAddr("198.51.100.2")}}}}}
	src := nftCapture(t)
	if found := Run(context.Background(), nftHost(t, src, known), prove.Limits{}); len(found) > 0 {
		t.Fatal(Text(found))
	}
	for _, x := range deletions(src) {
		for what, want := range map[string]string{"dport 5433": "the rule for the published port 5433/tcp of db", "172.22.0.2": "the rule that accepts packets to 172.22.0.2:80/tcp",
			"172.17.0.0/16": "the rule that masquerades 172.17.0.0/16"} {
			if !strings.Contains(x.what, what) {
				continue
			}
			if text := Text(Run(context.Background(), nftHost(t, x.text, known), prove.Limits{})); !strings.Contains(text, want) {
				t.Errorf("%s\nwant %s", text, want)
			}
		}
	}
}

// The host's own tables, and what is left of iptables.
func TestNFTOwn(t *testing.T) {
	const own = "table inet own {\n\tchain forward {\n\t\ttype filter hook forward priority -10; policy %s;\n\t\t%s\n\t}\n}\n"
	table := func(policy, rules string) string {
		return strings.Replace(strings.Replace(own, "%s", policy, 1), "%s", rules, 1)
	}
	for _, test := range []struct{ what, text, code, want string }{
		{"it drops established packets", table("accept", "ct state established,related drop"), "SD017", "table inet own cuts traffic of containers: ct state established,related drop"},
		{"a policy", table("drop", "ct state established,related accept"), "SD017", "the policy of chain forward, drop"},
		{"from outside, without replies", table("accept", `iifname "eth0" drop`), "SD017", "replies to the containers of docker0: denied"},
		{"from outside, new connections alone", table("accept", "iifname \"eth0\" ct state new drop"), "", ""},
		{"one source", table("accept", "ip saddr 192.0.2.0/24 drop"), "", ""},
		{"DOCKER-USER", "table ip filter {\n\tchain DOCKER-USER {\n\t\tip saddr 192.0.2.1 counter packets 0 bytes 0 drop\n\t}\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy accept;\n\t\tjump DOCKER-USER\n\t}\n}\n", "SD013", "DOCKER-USER has rules"},
		{"DOCKER-USER of an older engine", "table ip filter {\n\tchain DOCKER-USER {\n\t\tcounter packets 0 bytes 0 return\n\t}\n}\n", "", ""},
		{"FORWARD's policy", "table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n", "SD013", "FORWARD's policy in iptables is still DROP for IPv4"},
	} {
		t.Run(test.what, func(t *testing.T) {
			found := Run(context.Background(), nftHost(t, nftCapture(t)+test.text, nil), prove.Limits{})
			text := Text(found)
			none := test.code == "" && (strings.Contains(text, "SD017") || strings.Contains(text, "SD013") || strings.Contains(text, "SD002"))
			if none || !strings.Contains(text, test.code) || !strings.Contains(text, test.want) {
				t.Errorf("%s\nwant %s: %s", text, test.code, test.want)
			}
		})
	}
}
