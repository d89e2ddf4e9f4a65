package importer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/importer"
	"github.com/seawall/seawall/compiler/internal/judge/oracle"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// public are rulesets of the kinds that public repositories have, in the dump of a real host,
// and the scope in which each must come back proved. Worked out by hand: a rule that matches by
// source alone also lets packets of no connection in, which the language denies; one without
// "established" before it cuts replies, which the language never does; and a container's port
// that is matched after DNAT also closes the container's own address.
var public = map[string]importer.Scope{
	"01-docs-network":               importer.AllConnections,
	"02-docs-established":           importer.AllConnections,
	"03-docs-range":                 importer.AllConnections,
	"04-container-port":             importer.PublishedPorts,
	"05-container-port-established": importer.PublishedPorts,
	"06-drop-no-interface":          importer.AllConnections,
	"07-return-inside":              importer.AllPackets,
	"08-tailscale":                  importer.AllPackets,
	"09-out-docker0":                importer.AllConnections,
	"10-out-bridges":                importer.AllConnections,
	"11-invalid":                    importer.AllConnections,
	"12-container-address":          importer.PublishedPorts,
	"13-container-network":          importer.PublishedPorts,
	"14-original-port":              importer.AllPackets,
	"15-original-port-cuts":         importer.AllConnections,
	"16-ufw-docker":                 importer.NoScope, // source ports and TCP flags
	"17-not-in":                     importer.AllConnections,
	"18-multiport":                  importer.PublishedPorts,
	"19-original-range":             importer.AllPackets,
	"20-blocklist-set":              importer.NoScope, // a set that is filled at run time
	"21-fail2ban":                   importer.NoScope, // port-unreachable for tcp
	"22-log-drop":                   importer.AllConnections,
	"23-countries":                  importer.AllConnections,
	"24-content-network":            importer.PublishedPorts,
	"25-accept-lan":                 importer.PublishedPorts,
	"26-rate-limit":                 importer.NoScope,
	"27-new-only":                   importer.AllConnections,
	"28-two-outside":                importer.AllConnections,
}

func TestPublicRulesets(t *testing.T) {
	files, err := filepath.Glob("../../testdata/import/public/*.rules")
	if err != nil || len(files) != len(public) {
		t.Fatalf("%d files, %v", len(files), err)
	}
	proved := map[importer.Scope]int{}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".rules")
		t.Run(name, func(t *testing.T) {
			dump := newDump(t, path)
			f, err := iptables.Parse([]byte(dump.text()), iptables.Options{Family: packet.IPv4})
			if err != nil {
				t.Fatal(err)
			}
			in := []string{"eth0"}
			if strings.Contains(dump.rules, "eth1") {
				in = append(in, "eth1")
			}
			c := importer.Chain{Family: packet.IPv4, Name: name, Table: f.Table("filter"), Nat: f.Table("nat"), Raw: f.Table("raw"), Source: []byte(dump.text())}
			result, err := importer.Import(context.Background(), []importer.Chain{c}, in, prove.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			proved[result.Scope()]++
			if got := result.Scope(); got != public[name] {
				t.Errorf("proved in scope %d, want %d:\n%s", got, public[name], result.Policy)
			}
			for _, x := range result.Missing {
				if x.Rule == "" {
					t.Errorf("a difference without the rule that makes it: %+v", x)
				}
			}
			if result.Scope() != importer.NoScope {
				dump.judge(t, result)
			}
		})
	}
	t.Logf("of %d: %d over all packets, %d over all connections, %d over connections to published ports",
		len(files), proved[importer.AllPackets], proved[importer.AllConnections], proved[importer.PublishedPorts])
	if n := len(files) - proved[importer.NoScope]; n < 20 {
		t.Errorf("only %d come back proved", n)
	}
}

// dump is a host's saved rules with a person's rules in DOCKER-USER.
type dump struct {
	frame string // what iptables-save printed
	rules string
}

func newDump(t *testing.T, path string) *dump {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first, rules, _ := strings.Cut(string(src), "\n")
	capture, _, _ := strings.Cut(strings.TrimPrefix(first, "# "), ":")
	frame, err := os.ReadFile("../../testdata/captures/" + capture + ".iptables-save")
	if err != nil {
		t.Fatal(err)
	}
	return &dump{strings.Replace(string(frame), "-A DOCKER-USER -j RETURN\n", "", 1), rules}
}

// text is the dump with the person's rules.
func (d *dump) text() string { return d.with(d.rules, "ufw-user-forward") }

var inChain = regexp.MustCompile(`(?m)^-A (\S+)`)

// with is the dump with other rules, and the chains that they are in.
func (d *dump) with(rules string, more ...string) string {
	for _, m := range inChain.FindAllStringSubmatch(rules, -1) {
		if m[1] != iptables.DockerUser && !slices.Contains(more, m[1]) {
			more = append(more, m[1])
		}
	}
	text := d.frame
	for _, c := range more {
		text = strings.Replace(text, ":DOCKER-USER - [0:0]\n", ":DOCKER-USER - [0:0]\n:"+c+" - [0:0]\n", 1)
	}
	filter := strings.Index(text, "*filter\n")
	end := filter + strings.Index(text[filter:], "COMMIT\n")
	return text[:end] + rules + text[end:]
}

var dnat = regexp.MustCompile(`(?m)^-A DOCKER (?:-d (\S+)/32 )?! -i (\S+) -p (\w+) -m \w+ --dport (\d+) -j DNAT --to-destination ([\d.]+):(\d+)$`)

// judge sends random packets through the host as it was and through the host with the compiled
// policy, by an evaluator that shares nothing with the proof: in the scope that is claimed, both let
// the same packets through.
func (d *dump) judge(t *testing.T, result *importer.Result) {
	t.Helper()
	out, err := compiler.Emit(result.Document, compiler.Options{Format: emit.Restore, Layout: "flat"})
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for line := range strings.Lines(string(out.Files[0].Bytes)) {
		if strings.HasPrefix(line, "-A DOCKER-USER ") || strings.HasPrefix(line, "-A SEAWALL-") {
			rules = append(rules, line)
		}
	}
	before, err := oracle.Parse(d.text(), 4)
	if err != nil {
		t.Fatal(err)
	}
	after, err := oracle.Parse(d.with(strings.Join(rules, "")), 4)
	if err != nil {
		t.Fatal(err)
	}
	ports := dnat.FindAllStringSubmatch(d.frame, -1)
	if len(ports) < 3 {
		t.Fatalf("%d published ports", len(ports))
	}
	r := rand.New(rand.NewPCG(uint64(len(d.rules)), 14))
	let := 0
	for range 20_000 {
		p := d.packet(r, ports, result.Scope())
		was, is := open(before.Verdicts("FORWARD", p)), open(after.Verdicts("FORWARD", p))
		if was != is {
			t.Fatalf("%+v\nopen on the host: %s, with the policy: %s\n%s", p, was, is, result.Policy)
		}
		if was == "open" {
			let++
		}
	}
	if let == 0 || let == 20_000 {
		t.Errorf("%d of 20,000 packets are let through, so the comparison says little", let)
	}
}

var nets = regexp.MustCompile(`\d+\.\d+\.\d+\.\d+`)

// packet is a packet of a scope: one that opens a connection to a published port, and in the wider
// scopes one of any connection, or any.
func (d *dump) packet(r *rand.Rand, ports [][]string, scope importer.Scope) oracle.Packet {
	x := ports[r.IntN(len(ports))]
	p := oracle.Packet{In: pick(r, "eth0", "eth0", "eth0", "eth1", "tailscale0", "docker0"), Out: x[2], Protocol: map[string]int{"tcp": 6, "udp": 17}[x[3]], Src: d.source(r),
		Dst: netip.MustParseAddr(x[5]), Sport: 40000, Dport: number(x[6]), TCPFlags: 2, Known: true, State: "NEW", DNAT: true,
		OrigDst: netip.MustParseAddr("198.51.100.2"), OrigDport: number(x[4])}
	if p.Protocol != 6 {
		p.TCPFlags = 0
	}
	if x[1] != "" {
		p.OrigDst = netip.MustParseAddr(x[1])
	}
	if p.In == x[2] {
		p.In = "eth0" // DNAT does not rewrite what arrives from the port's own network
	}
	if scope <= importer.AllConnections {
		switch r.IntN(4) {
		case 0:
			p.State, p.TCPFlags = "ESTABLISHED", p.TCPFlags&^2|p.TCPFlags<<3
		case 1: // routed for others
			p.Dst, p.DNAT = netip.MustParseAddr("192.0.2.200"), false
			p.Out, p.OrigDst, p.OrigDport = pick(r, "eth1", "lan0"), p.Dst, p.Dport
		}
	}
	if scope == importer.AllPackets && r.IntN(4) == 0 {
		switch r.IntN(3) {
		case 0:
			p.Known, p.State = false, pick(r, "INVALID", "UNTRACKED")
		case 1:
			p.State, p.Reply = "ESTABLISHED", true
		case 2:
			p.State = "RELATED"
		}
	}
	return p
}

// source is an address near one of the rules, or any.
func (d *dump) source(r *rand.Rand) netip.Addr {
	list := nets.FindAllString(d.rules, -1)
	if len(list) == 0 || r.IntN(4) == 0 {
		return netip.AddrFrom4([4]byte{byte(1 + r.IntN(223)), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))})
	}
	a := netip.MustParseAddr(list[r.IntN(len(list))]).As4()
	a[3] += byte(r.IntN(5) - 2)
	if r.IntN(3) == 0 {
		a[2] += byte(r.IntN(3) - 1)
	}
	return netip.AddrFrom4(a)
}

func pick(r *rand.Rand, list ...string) string { return list[r.IntN(len(list))] }

func number(text string) (n int) {
	_, _ = fmt.Sscan(text, &n) // the expression has digits there
	return n
}

// open is whether a packet is let through, of all the verdicts that it may have.
func open(verdicts []string) string {
	if len(verdicts) != 1 {
		return fmt.Sprint(verdicts)
	}
	if verdicts[0] == "accept" {
		return "open"
	}
	return "closed"
}
