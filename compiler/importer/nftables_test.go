package importer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/importer"
	"github.com/seawall/seawall/compiler/internal/judge/nftoracle"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// foreign are tables as people write them, alone or in the listing of a host with Docker's
// nftables back end, and the scope in which each must come back proved. Worked out by hand:
// each file says why.
var foreign = map[string]importer.Scope{
	"01-original-port":     importer.AllPackets,
	"02-original-address":  importer.AllConnections,
	"03-container-port":    importer.PublishedPorts,
	"04-verdict-map":       importer.AllPackets,
	"05-policy-drop":       importer.AllPackets,
	"06-two-families":      importer.AllPackets,
	"07-block-list":        importer.AllConnections,
	"08-rate-limit":        importer.NoScope,
	"09-two-chains":        importer.AllConnections,
	"10-host-input":        importer.AllPackets,
	"11-proxy":             importer.AllConnections, // it lets INVALID packets to the port in
	"12-container-address": importer.PublishedPorts,
	"13-one-address":       importer.AllPackets,
}

// nftChains are the chains of a file of nft, in every family that it has.
func nftChains(t testing.TB, name string, src []byte) []importer.Chain {
	t.Helper()
	rules, err := compiler.ReadRules(name, src, compiler.ReadOptions{})
	if err != nil {
		t.Fatalf("%v\n%s", err, src)
	}
	var chains []importer.Chain
	for _, r := range rules {
		if importer.HasRules(r.NFT, r.Family()) {
			chains = append(chains, importer.Chain{Family: r.Family(), Name: name, NFT: r.NFT, Source: r.NFT.Source})
		}
	}
	return chains
}

func TestForeignTables(t *testing.T) {
	files, err := filepath.Glob("../../testdata/import/nft/*.nft")
	if err != nil || len(files) != len(foreign) {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".nft")
		t.Run(name, func(t *testing.T) {
			h := newNFTHost(t, path)
			result, err := importer.Import(context.Background(), nftChains(t, name, []byte(h.docker+h.table)), nil, prove.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := result.Scope(); got != foreign[name] {
				t.Errorf("proved in scope %d, want %d:\n%s", got, foreign[name], result.Policy)
			}
			golden := strings.TrimSuffix(path, ".nft") + ".hcl"
			if os.Getenv("UPDATE_IMPORTED") != "" {
				if err := os.WriteFile(golden, result.Policy, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if string(want) != string(result.Policy) {
				t.Errorf("want\n%s\ngot\n%s", want, result.Policy)
			}
			for _, x := range result.Missing {
				if x.Rule == "" {
					t.Errorf("a difference without the rule that makes it: %+v", x)
				}
			}
			if result.Scope() != importer.NoScope {
				h.judge(t, result)
			}
		})
	}
}

// nftHost is a host's ruleset: Docker's tables, if it has them, and a person's.
type nftHost struct{ docker, table string }

func newNFTHost(t *testing.T, path string) *nftHost {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	capture, _, _ := strings.Cut(strings.TrimPrefix(string(src), "# "), ":")
	h := &nftHost{table: string(src)}
	if capture != "alone" {
		docker, err := os.ReadFile("../../testdata/captures/" + capture + ".nft")
		if err != nil {
			t.Fatal(err)
		}
		h.docker = string(docker)
	}
	return h
}

// judge sends random packets through the ruleset as it was and with the compiled policy in
// place of the person's table, as nft lists both, by an evaluator that shares nothing with the
// proof: in the scope that is claimed, both let the same packets through.
func (h *nftHost) judge(t *testing.T, result *importer.Result) {
	t.Helper()
	nft := nftoracle.Nft("nft")
	if err := nft.Available(); err != nil {
		t.Skip(err)
	}
	out, err := compiler.Compile(context.Background(), result.Document, compiler.Options{Format: emit.NFTables})
	if err != nil {
		t.Fatal(err)
	}
	before, err := nft.Load(h.docker + h.table)
	if err != nil {
		t.Fatal(err)
	}
	after, err := nft.Load(h.docker + string(out.Files[0].Bytes))
	if err != nil {
		t.Fatal(err)
	}
	hooks := []string{"forward"}
	if result.Document.Host.UserlandProxy {
		hooks = append(hooks, "input")
	}
	g := h.generator(t)
	let, all := 0, 0
	for range 8_000 {
		p, hook := g.packet(result.Scope()), hooks[g.IntN(len(hooks))]
		if hook == "input" {
			p.Out, p.Dst, p.Dport, p.DNAT = "", p.OrigDst, p.OrigDport, false
		}
		was, is := open(before.Verdicts(hook, p)), open(after.Verdicts(hook, p))
		if strings.HasPrefix(was, "[") {
			continue // nft 1.0.6 lists a port in a key of several parts as no value that can be read
		}
		if was != is {
			t.Fatalf("%s %+v\nopen on the host: %s, with the policy: %s\n%s", hook, p, was, is, result.Policy)
		}
		if all++; was == "open" {
			let++
		}
	}
	t.Logf("%d of %d packets are let through", let, all)
	if let == 0 || let == all && all == 8_000 || all < 6_000 {
		t.Errorf("%d of %d packets are let through, so the comparison says little", let, all)
	}
}

// packets are the generator of packets that are likely to meet the rules of a table.
type packets struct {
	*rand.Rand
	families []packet.Family
	in       []string
	ports    map[packet.Family][]target
	near     map[packet.Family][]netip.Addr
}

// target is a published port, and the container's where DNAT is known.
type target struct {
	protocol int
	port     int
	address  netip.Addr
	to       netip.AddrPort
	bridge   string
}

func (h *nftHost) generator(t *testing.T) *packets {
	t.Helper()
	g := &packets{Rand: rand.New(rand.NewPCG(uint64(len(h.table)), 29)), ports: map[packet.Family][]target{}, near: map[packet.Family][]netip.Addr{}}
	f, err := nftables.Parse([]byte(h.docker+h.table), nftables.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range strings.FieldsFunc(h.table, func(c rune) bool { return strings.ContainsRune(" \t\n,{};\"", c) }) {
		word, _, _ = strings.Cut(word, "/")
		word, _, _ = strings.Cut(word, "-")
		if a, err := netip.ParseAddr(word); err == nil {
			family := packet.IPv4
			if a.Is6() {
				family = packet.IPv6
			}
			g.near[family] = append(g.near[family], a)
		}
	}
	for _, family := range packet.Families {
		if !importer.HasRules(f, family) {
			continue
		}
		g.families = append(g.families, family)
		for _, p := range []int{80, 443, 8080, 5432, 5433, 6379, 51820, 8443, 53, 2222, 9443, 22} {
			for _, protocol := range []int{6, 17} {
				x := target{protocol: protocol, port: p, address: netip.MustParseAddr("198.51.100.2"), to: netip.MustParseAddrPort("172.30.0.2:80"), bridge: "br-x"}
				if family == packet.IPv6 {
					x.address, x.to = netip.MustParseAddr("2001:db8::2"), netip.MustParseAddrPort("[fd77::2]:80")
				}
				for n := 1 + 6*strings.Count(h.table, fmt.Sprint(p)); h.docker == "" && n > 0; n-- {
					g.ports[family] = append(g.ports[family], x)
				}
			}
		}
	}
	for _, x := range []struct {
		port       int
		to, bridge string
	}{{8080, "172.17.0.2:80", "docker0"}, {5433, "172.18.0.2:80", "br-2bc419ee3f72"}, {8000, "172.18.0.3:8000", "br-2bc419ee3f72"},
		{8443, "172.20.0.2:80", "br-72fd6f6bb96a"}, {9000, "172.21.0.2:80", "br-cb8a7ed9423e"}, {8443, "[fd64::2]:80", "br-72fd6f6bb96a"}} {
		if h.docker != "" {
			y := target{6, x.port, netip.MustParseAddr("198.51.100.2"), netip.MustParseAddrPort(x.to), x.bridge}
			family := packet.IPv4
			if y.to.Addr().Is6() {
				family, y.address = packet.IPv6, netip.MustParseAddr("2001:db8::2")
			}
			g.ports[family] = append(g.ports[family], y)
		}
	}
	g.in = []string{"eth0", "eth0", "ens3", "eth1"}
	return g
}

// packet is a packet of a scope: one that opens a connection to a published port, and in the
// wider scopes one of any connection, or any.
func (g *packets) packet(scope importer.Scope) nftoracle.Packet {
	family := g.families[g.IntN(len(g.families))]
	x := g.ports[family][g.IntN(len(g.ports[family]))]
	p := nftoracle.Packet{In: pick(g.Rand, g.in...), Out: x.bridge, Protocol: x.protocol, Src: g.source(family), Dst: x.to.Addr(), Sport: 40000, Dport: int(x.to.Port()),
		Known: true, State: "NEW", DNAT: true, OrigDst: x.address, OrigDport: x.port, OrigSport: 40000}
	if p.Protocol == 6 {
		p.TCPFlags = 2
	}
	if scope <= importer.AllConnections {
		switch g.IntN(5) {
		case 0:
			p.State, p.TCPFlags = "ESTABLISHED", p.TCPFlags<<3
		case 1: // routed for others
			p.Out, p.DNAT, p.OrigDst = pick(g.Rand, "eth1", "lan0"), false, p.Dst
			p.Dport = p.OrigDport
		case 2:
			p.In = pick(g.Rand, "docker0", "br-y", "lan0")
		}
	}
	if scope == importer.AllPackets && g.IntN(4) == 0 {
		switch g.IntN(4) {
		case 0:
			p.Known, p.State = false, pick(g.Rand, "INVALID", "UNTRACKED")
		case 1:
			p.State, p.Reply = "ESTABLISHED", true
		case 2:
			p.State = "RELATED"
		case 3:
			p.State, p.Protocol, p.CTProtocol, p.ICMPType, p.TCPFlags = "RELATED", 1, x.protocol, 3, 0
			if family == packet.IPv6 {
				p.Protocol, p.ICMPType = 58, 1
			}
		}
	}
	p.OrigSrc = p.Src
	return p
}

// source is an address near one of the table, or any.
func (g *packets) source(family packet.Family) netip.Addr {
	if list := g.near[family]; len(list) > 0 && g.IntN(4) > 0 {
		a := list[g.IntN(len(list))].AsSlice()
		a[len(a)-1] += byte(g.IntN(5) - 2)
		if g.IntN(3) == 0 {
			a[len(a)-2] += byte(g.IntN(3) - 1)
		}
		out, _ := netip.AddrFromSlice(a)
		return out
	}
	if family == packet.IPv6 {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::%x", g.IntN(0x100), g.IntN(0x10000)))
	}
	return netip.AddrFrom4([4]byte{byte(1 + g.IntN(223)), byte(g.IntN(256)), byte(g.IntN(256)), byte(g.IntN(256))})
}

// What Seawall writes of an example comes back as a policy that implements the table, with the
// names of its policies.
func TestOwnTables(t *testing.T) {
	folders, err := filepath.Glob("../../examples/*/policy.hcl")
	if err != nil || len(folders) < 7 {
		t.Fatal(folders, err)
	}
	for _, path := range folders {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			loaded, diags := schema.Load(filepath.Dir(path), schema.Options{})
			if diags.HasErrors() {
				t.Skip("it needs variables")
			}
			if compiler.FitsNFTables(loaded.Document) != nil {
				loaded.Document.Host.AcceptMark = 0x10
			}
			back := roundTrip(t, loaded.Document)
			if loaded.Document.Host.AcceptMark != back.Document.Host.AcceptMark {
				t.Errorf("the mark is %#x", back.Document.Host.AcceptMark)
			}
			var was, is []string
			for _, p := range loaded.Document.Policies {
				was = append(was, p.Name)
			}
			for _, p := range back.Document.Policies {
				is = append(is, p.Name)
			}
			for _, name := range is {
				if !slices.Contains(was, name) {
					t.Errorf("the policy %s is not one of %v", name, was)
				}
			}
		})
	}
}

// roundTrip compiles a policy to a table, imports that, and has the result proved by Verify as
// well, for both families.
func roundTrip(t *testing.T, doc *schema.Document) *importer.Result {
	t.Helper()
	ctx := context.Background()
	out, err := compiler.Compile(ctx, doc, compiler.Options{Format: emit.NFTables, Source: "policy.hcl"})
	if err != nil {
		t.Fatal(err)
	}
	var in []string
	for _, x := range doc.Host.External {
		in = append(in, x.String())
	}
	src := out.Files[0].Bytes
	result, err := importer.Import(ctx, nftChains(t, "seawall.nft", src), in, prove.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if !result.Equal() {
		t.Fatalf("missing: %+v %v\n%s\n%s", result.Missing, result.Lost, result.Policy, src)
	}
	rules, err := compiler.ReadRules("seawall.nft", src, compiler.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		v, err := compiler.Verify(ctx, result.Document, r, prove.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if !v.Equal() {
			t.Fatalf("%v: verify finds %v\n%s", r.Family(), v.Differences[0], result.Policy)
		}
	}
	return result
}

// Random policies of the kind that people write come back whole.
func TestRandomTables(t *testing.T) {
	r := rand.New(rand.NewPCG(19, 29))
	for i := range 200 {
		text := randomPolicy(r)
		doc, diags := schema.Parse("policy.hcl", []byte(text), schema.Options{})
		if diags.HasErrors() {
			t.Fatalf("%v\n%s", diags, text)
		}
		if !t.Run(fmt.Sprint(i), func(t *testing.T) { roundTrip(t, doc.Document) }) {
			t.Log(text)
		}
	}
}

// randomPolicy is a policy with ports that do not collide.
func randomPolicy(r *rand.Rand) string {
	chance := func(n int) bool { return r.IntN(100) < n }
	var b strings.Builder
	external := pick(r, `["eth0"]`, `["eth0", "eth1"]`, `["ens3"]`)
	fmt.Fprintf(&b, "host {\n  external = %s\n  unlisted = %q\n  established = %q\n", external, pick(r, "deny", "deny", "reject", "allow"), pick(r, "check", "check", "keep"))
	if chance(20) {
		b.WriteString("  related = \"keep\"\n")
	}
	if chance(20) {
		b.WriteString("  invalid = \"deny\"\n")
	}
	if chance(30) {
		b.WriteString("  userland_proxy = false\n")
	}
	b.WriteString("}\n")
	sources := func() string {
		var list []string
		for range 1 + r.IntN(4) {
			list = append(list, fmt.Sprintf("%q", pick(r, fmt.Sprintf("10.%d.0.0/16", r.IntN(200)), fmt.Sprintf("192.0.2.%d", r.IntN(256)), fmt.Sprintf("198.51.100.%d/28", 16*r.IntN(16)),
				fmt.Sprintf("2001:db8:%x::/48", r.IntN(1000)), fmt.Sprintf("2001:db8::%x", r.IntN(1000)), "10.9.0.1-10.9.0.20")))
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	block := func(kind string) {
		fmt.Fprintf(&b, "  %s {\n    sources = %s\n", kind, pick(r, sources(), sources(), sources(), "any"))
		if chance(30) {
			fmt.Fprintf(&b, "    except = %s\n", sources())
		}
		if kind == "deny" && chance(30) {
			b.WriteString("    reject = true\n")
		}
		b.WriteString("  }\n")
	}
	if chance(30) {
		fmt.Fprintf(&b, "guard {\n  deny {\n    sources = %s\n    log = \"blocklist\"\n  }\n}\n", sources())
	}
	if chance(20) {
		b.WriteString("forward \"lan\" {\n  from = \"lan0\"\n  to = \"eth0\"\n}\n")
	}
	ports := r.Perm(60)
	for n := range r.IntN(6) {
		port := 8000 + 10*ports[n]
		fmt.Fprintf(&b, "policy \"p%d\" {\n  ports = [%s]\n", n, pick(r, fmt.Sprint(port), fmt.Sprintf("\"%d-%d\"", port, port+r.IntN(9)), fmt.Sprintf("%d, \"%d/udp\"", port, port+1), fmt.Sprintf("\"%d/sctp\"", port)))
		if chance(25) {
			b.WriteString("  address = [\"203.0.113.7\", \"2001:db8::7\"]\n")
		}
		if chance(25) && strings.Contains(external, "eth1") {
			b.WriteString("  external = [\"eth1\"]\n")
		}
		if chance(30) {
			fmt.Fprintf(&b, "  default = %q\n", pick(r, "reject", "allow"))
		}
		if chance(40) {
			block("deny")
		}
		for range r.IntN(3) {
			block("allow")
		}
		b.WriteString("}\n")
	}
	return b.String()
}
