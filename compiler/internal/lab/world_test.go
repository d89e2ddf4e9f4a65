//go:build linux

package lab

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/meaning"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// world is a host with a real engine, containers that are published in every
// way, and clients at the corners of the sources that policies name.
type world struct {
	t       *testing.T
	top     *Topology
	docker  *Docker
	backend Backend
	targets []*target

	compiled int // how many policies were compiled
}

// target is something that clients try to reach.
type target struct {
	name     string
	to       netip.Addr
	port     int
	network  string
	via      int            // the outside interface that it is reached over
	hook     packet.Hook    // where its packets meet the policy
	inside   netip.AddrPort // after DNAT
	baseline Outcome        // without a policy
	must     Outcome        // what the baseline has to be, "" for what the engine does
	raw      bool           // the engine drops it in the raw table, before any policy
}

// The clients: first, last and next beyond of the prefixes in worldSources.
var (
	worldSources = []string{"198.51.100.0/24", "198.51.100.128/25", "192.0.2.9", "10.8.0.0/16", "10.8.9.0/24",
		"2001:db8:40::/48", "2001:db8:40:1::/64", "2001:db8:77::7"}
	worldClients = []string{"198.51.99.255", "198.51.100.1", "198.51.100.127", "198.51.100.128", "198.51.100.254", "198.51.101.0",
		"192.0.2.8", "192.0.2.9", "192.0.2.10", "10.7.255.255", "10.8.0.1", "10.8.8.255", "10.8.9.1", "10.8.9.254", "10.8.10.0", "10.9.0.1",
		"2001:db8:3f:ffff::1", "2001:db8:40::1", "2001:db8:40:1::1", "2001:db8:40:1:ffff:ffff:ffff:ffff", "2001:db8:40:2::1",
		"2001:db8:41::1", "2001:db8:77::6", "2001:db8:77::7", "2001:db8:77::8"}
)

func newWorld(t *testing.T, b Backend, flags ...string) *world {
	t.Helper()
	return newWorldOf(t, engines()[0], b, flags...)
}

func newWorldOf(t *testing.T, e Engine, b Backend, flags ...string) *world {
	t.Helper()
	NeedDocker(t)
	w := &world{t: t, backend: b, top: NewTopology(t, "eth0", "eth1")}
	w.top.Clients(worldClients...)
	for address, via := range map[string]int{"203.0.113.7": 0, "203.0.113.8": 1, "2001:db8::7": 0} {
		w.top.Publish(via, address)
	}
	w.top.Wan.Must("ip", "route", "add", "172.16.0.0/12", "via", HostAddress(0, packet.IPv4))
	w.docker = StartEngine(t, w.top, e, b, flags...)
	return w
}

// containers starts the containers, and lists what can be reached.
func (w *world) containers() {
	w.t.Helper()
	d := w.docker
	d.Must("network", "create", "--subnet", "172.30.0.0/24", "-o", "com.docker.network.bridge.name=br-shop", "shop")
	d.Must("network", "create", "--ipv6", "--subnet", "172.31.0.0/24", "--subnet", "fd18::/64", "-o", "com.docker.network.bridge.name=br-six", "six")
	d.Run("plain", []string{"-p", "8080:80", "-p", "5353:53/udp"}, "80/tcp", "53/udp")
	d.Run("db", []string{"-p", "203.0.113.7:5432:5432"}, "5432/tcp")
	d.Run("shop", []string{"--network", "shop", "-p", "8000-8003:8000-8003"}, "8000/tcp", "8001/tcp", "8002/tcp", "8003/tcp")
	d.Run("six", []string{"--network", "six", "-p", "8443:80", "-p", "5354:53/udp"}, "80/tcp", "53/udp")
	d.Run("second", []string{"-p", "203.0.113.8:9100:80"}, "80/tcp")
	w.listTargets()
}

func (w *world) listTargets() {
	four, six := netip.MustParseAddr(HostAddress(0, packet.IPv4)), netip.MustParseAddr(HostAddress(0, packet.IPv6))
	other, other6 := netip.MustParseAddr(HostAddress(1, packet.IPv4)), netip.MustParseAddr(HostAddress(1, packet.IPv6))
	in := func(name string, f packet.Family, port int) netip.AddrPort {
		a, _ := netip.ParseAddr(w.docker.Address(name, f))
		return netip.AddrPortFrom(a, uint16(port))
	}
	add := func(name string, to netip.Addr, port, network string, via int, hook packet.Hook, inside netip.AddrPort, must Outcome) {
		n, _ := portOf(port)
		w.targets = append(w.targets, &target{name: name, to: to, port: n, network: network, via: via, hook: hook, inside: inside, must: must})
	}
	published := func(name string, to netip.Addr, port, network string, via int, inside netip.AddrPort) {
		add(name, to, port, network, via, packet.Forward, inside, Open)
	}
	published("published", four, "8080", "tcp", 0, in("plain", 4, 80))
	published("published on the other interface", other, "8080", "tcp", 1, in("plain", 4, 80))
	published("published udp", four, "5353", "udp", 0, in("plain", 4, 53))
	published("on one address", netip.MustParseAddr("203.0.113.7"), "5432", "tcp", 0, in("db", 4, 5432))
	published("all addresses, the second", netip.MustParseAddr("203.0.113.7"), "8080", "tcp", 0, in("plain", 4, 80))
	published("on an address of the other interface", netip.MustParseAddr("203.0.113.8"), "9100", "tcp", 1, in("second", 4, 80))
	for _, port := range []string{"8000", "8001", "8003"} {
		n, _ := portOf(port)
		published("a range, user-defined network", four, port, "tcp", 0, in("shop", 4, n))
	}
	published("a network with IPv6, over IPv4", four, "8443", "tcp", 0, in("six", 4, 80))
	published("a network with IPv6, over IPv4, udp", four, "5354", "udp", 0, in("six", 4, 53))
	add("nobody listens", four, "9999", "tcp", 0, packet.Input, netip.AddrPort{}, Refused)
	add("not published on this address", four, "5432", "tcp", 0, packet.Input, netip.AddrPort{}, Refused)
	add("a container's own address", in("plain", 4, 80).Addr(), "80", "tcp", 0, packet.Forward, in("plain", 4, 80), "")
	add("a container's own address, a closed port", in("plain", 4, 80).Addr(), "81", "tcp", 0, packet.Forward, in("plain", 4, 81), "")
	hook, proxied := w.hookOfIPv6(), Open
	if slices.Contains(w.docker.flags, "--userland-proxy=false") {
		proxied = ""
	}
	add("IPv6 to a network without it", six, "8080", "tcp", 0, packet.Input, netip.AddrPort{}, proxied)
	add("IPv6 to a network without it, the other interface", other6, "8080", "tcp", 1, packet.Input, netip.AddrPort{}, proxied)
	add("IPv6 to a network without it, the second address", netip.MustParseAddr("2001:db8::7"), "8001", "tcp", 0, packet.Input, netip.AddrPort{}, proxied)
	add("IPv6 to a network without it, udp", six, "5353", "udp", 0, packet.Input, netip.AddrPort{}, "")
	add("IPv6 to a network with it", six, "8443", "tcp", 0, hook, in("six", 6, 80), proxied)
	add("IPv6 to a network with it, udp", six, "5354", "udp", 0, hook, in("six", 6, 53), "")
	add("IPv6, nobody listens", six, "9999", "tcp", 0, packet.Input, netip.AddrPort{}, Refused)
	raw := w.backend.Save(w.top.Host, packet.IPv4, "raw")
	for _, x := range w.targets {
		x.raw = strings.Contains(raw, "-A PREROUTING -d "+x.to.String()+"/32 ! -i ")
	}
}

// hookOfIPv6 is where packets to a network with IPv6 go: with ip6tables the
// engine makes a DNAT, and they are forwarded.
func (w *world) hookOfIPv6() packet.Hook {
	nat := w.backend.Save(w.top.Host, packet.IPv6, "nat")
	if strings.Contains(nat, "DNAT") {
		return packet.Forward
	}
	return packet.Input
}

// measureBaseline finds out what every target answers without a policy.
func (w *world) measureBaseline() {
	w.t.Helper()
	for _, x := range w.targets {
		from := "192.0.2.10"
		if x.to.Is6() {
			from = "2001:db8:77::8"
		}
		x.baseline = w.top.Far.Expect(Probe{From: netip.MustParseAddr(from), To: x.to, Port: x.port, Network: x.network}, cmp.Or(x.must, Open))
		if x.must != "" && x.baseline != x.must {
			w.t.Fatalf("the world is not in order: %s (%s:%d/%s) is %s without a policy", x.name, x.to, x.port, x.network, x.baseline)
		}
	}
}

// packet is a client's first packet to a target, as the policy sees it.
func (w *world) packet(from netip.Addr, x *target) packet.Packet {
	p := packet.Packet{Hook: x.hook, In: w.top.Externals[x.via], Protocol: map[string]packet.Protocol{"tcp": packet.TCP, "udp": packet.UDP}[x.network],
		State: packet.New, Source: from, Dest: x.to, Sport: 40000, Dport: x.port, OrigDst: x.to, OrigPort: x.port}
	if x.hook == packet.Forward {
		p.Out, p.Dest, p.Dport = bridgeOf(x.inside.Addr()), x.inside.Addr(), int(x.inside.Port())
		p.DNAT = x.inside.Addr() != x.to
	}
	return p
}

// bridgeOf is the interface of the network that a container's address is in.
func bridgeOf(a netip.Addr) string {
	for network, bridge := range map[string]string{"172.30.0.0/24": "br-shop", "172.31.0.0/24": "br-six", "fd18::/64": "br-six"} {
		if netip.MustParsePrefix(network).Contains(a) {
			return bridge
		}
	}
	return "docker0"
}

// expected is what a client sees by SPEC.md section 2; "" where the engine's own
// rules say what accept leads to.
func (w *world) expected(doc *schema.Document, from netip.Addr, x *target) (Outcome, *meaning.Way) {
	way := meaning.Explain(doc, w.packet(from, x))
	switch {
	case x.raw:
		return Silent, way
	case way.Verdict == packet.Pass:
		return x.baseline, way
	case way.Verdict == packet.Deny:
		return Silent, way
	case way.Verdict == packet.Accept && x.baseline == Open:
		return Open, way
	case way.Verdict == packet.Accept:
		return "", way
	}
	return Refused, way
}

// probeAll tries every client at every target, and compares.
func (w *world) probeAll(scenario, policy string, doc *schema.Document) {
	w.t.Helper()
	var all sync.WaitGroup
	places := make(chan struct{}, 96)
	var mu sync.Mutex
	probes, wrong := 0, 0
	for _, x := range w.targets {
		for _, client := range worldClients {
			from := netip.MustParseAddr(client)
			if from.Is4() != x.to.Is4() {
				continue
			}
			want, way := w.expected(doc, from, x)
			if want == "" {
				continue
			}
			places <- struct{}{}
			all.Go(func() {
				defer func() { <-places }()
				p := Probe{From: from, To: x.to, Port: x.port, Network: x.network}
				got := w.top.Far.Expect(p, want)
				mu.Lock()
				defer mu.Unlock()
				probes++
				if got != want {
					wrong++
					w.t.Errorf("%s: %s (%s) is %s, want %s: %s says %s\n%s", scenario, p, x.name, got, want, way.Rule, way.Verdict, policy)
				}
			})
		}
	}
	all.Wait()
	results.add(scenario, probes, wrong)
}

// apply compiles a policy, and loads it in a format that is safe while Docker
// runs.
func (w *world) apply(doc *schema.Document, format *emit.Format) {
	w.t.Helper()
	dir := w.compile(doc, format)
	load(w.t, w.backend, w.top.Host, format.Name, dir)
	if format == emit.Restore {
		jumpsByHand(w.t, w.top.Host, w.backend)
	}
}

// compile writes a policy's files, in one layout after the other. The limits are
// low, so that the short lists of the lab are trees and sets.
func (w *world) compile(doc *schema.Document, format *emit.Format) string {
	w.t.Helper()
	layout := []lower.Layout{lower.Indexed, lower.Flat, lower.IPSet}[w.compiled%3]
	w.compiled++
	out, err := compiler.Compile(context.Background(), doc, compiler.Options{Format: format, Layout: layout, Sizes: lower.Sizes{Leaf: 1, Inline: 1, Linear: 2}, Source: "policy.hcl"})
	if err != nil {
		w.t.Fatal(err)
	}
	dir := w.t.TempDir()
	if _, err := emit.Write(dir, out.Files); err != nil {
		w.t.Fatal(err)
	}
	return dir
}

// parsePolicy loads a policy from its text; nil when it has a mistake.
func parsePolicy(text string) *schema.Document {
	loaded, diags := schema.Load("-", schema.Options{Stdin: strings.NewReader(text)})
	if diags.HasErrors() {
		return nil
	}
	return loaded.Document
}

// randomPolicy makes a policy about what the world publishes.
func randomPolicy(r *rand.Rand) (*schema.Document, string) {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	sources := func() string {
		if r.IntN(6) == 0 {
			return "any"
		}
		var list []string
		for range 1 + r.IntN(3) {
			list = append(list, fmt.Sprintf("%q", worldSources[r.IntN(len(worldSources))]))
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	blocks := func(most int) string {
		var b strings.Builder
		for range r.IntN(most + 1) {
			kind, flag := "allow", "accept"
			if r.IntN(2) == 0 {
				kind, flag = "deny", "reject"
			}
			fmt.Fprintf(&b, "  %s {\n    sources = %s\n", kind, sources())
			if r.IntN(3) == 0 {
				fmt.Fprintf(&b, "    except = %s\n", sources())
			}
			if r.IntN(4) == 0 {
				fmt.Fprintf(&b, "    %s = true\n", flag)
			}
			if r.IntN(6) == 0 {
				b.WriteString("    log = \"lab\"\n")
			}
			b.WriteString("  }\n")
		}
		return b.String()
	}
	// What containers send passes under every policy: they connect in each.
	text := fmt.Sprintf("host {\n  external = %s\n  unlisted = %q\n  established = %q\n  related = %q\n", pick(`["eth0", "eth1"]`, `["eth+"]`, `["eth0"]`,
		"[\"+\"]\n  internal = [\"lo\", \"docker0\", \"br-+\"]", "[\"eth+\"]\n  internal = [\"eth1\"]"),
		pick("deny", "deny", "reject", "allow"), pick("check", "keep", "accept"), pick("check", "check", "keep", "accept"))
	text += pick("", "", `  bridges = ["docker0", "br-+"]`, `  bridges = ["docker0", "br-six"]`) + pick("", "\n  invalid = \"deny\"") + "\n}\n"
	if r.IntN(3) == 0 {
		text += "guard {\n" + blocks(2) + "}\n"
	}
	for n := range 3 + r.IntN(4) {
		policy := fmt.Sprintf("policy \"p%d\" {\n  ports = [%s]\n", n, pick(`8080`, `"5353/udp"`, `"8000-8003"`, `8001`, `5432`, `8443, "5354/udp"`, `9100`, `80`, `9999`, `"1-65535/udp"`, `"8000-8443"`))
		if r.IntN(4) == 0 {
			policy += fmt.Sprintf("  address = [%s]\n", pick(`"203.0.113.7"`, `"203.0.113.0/24"`, `"100.64.0.2", "fd64::2"`))
		}
		policy += fmt.Sprintf("  default = %q\n", pick("deny", "deny", "reject", "allow")) + blocks(3) + "}\n"
		if parsePolicy(text+policy) != nil {
			text += policy
		}
	}
	return parsePolicy(text), text
}

// examplePolicies are the examples whose outside interface the world has.
func examplePolicies(t *testing.T) map[string]*schema.Document {
	t.Helper()
	docs := map[string]*schema.Document{}
	dirs, _ := filepath.Glob("../../../examples/*/policy.hcl")
	for _, policy := range dirs {
		opt := schema.Options{}
		if vars := filepath.Join(filepath.Dir(policy), "web1.vars.hcl"); fileExists(vars) {
			opt.VarFiles = []string{vars}
		}
		loaded, diags := schema.Load(filepath.Dir(policy), opt)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		// The world's engine has its proxy.
		loaded.Document.Host.UserlandProxy = true
		docs[filepath.Base(filepath.Dir(policy))] = loaded.Document
	}
	return docs
}
