//go:build linux

package lab

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

var bench = flag.Bool("lab.bench", false, "measure what rules cost a packet, and what loading them takes")

// benchHost is a host whose container swallows packets: what is measured is the
// way there. One flow, one packet after the other, over DNAT and FORWARD. Its
// twin has an empty DOCKER-USER, and gets the same flow turn by turn.
type benchHost struct {
	client, host, container *Namespace
	conn                    net.Conn
	flows                   map[netip.Addr]bool // sources that the client has
	answering               map[int]bool        // ports on which the container sends back what comes
	twin                    *benchHost
}

const benchPort = 5000

func newBenchHost(t *testing.T, b Backend) *benchHost {
	t.Helper()
	h := oneBenchHost(t, b)
	h.twin = oneBenchHost(t, b)
	return h
}

func oneBenchHost(t *testing.T, b Backend) *benchHost {
	t.Helper()
	h := &benchHost{client: NewNamespace(t, "client"), host: NewNamespace(t, "host"), container: NewNamespace(t, "container"), flows: map[netip.Addr]bool{}}
	h.host.Sysctl("net.ipv4.ip_forward=1")
	Link(h.client, "c0", h.host, "eth0")
	Link(h.host, "docker0", h.container, "e0")
	h.client.Address("c0", "198.18.0.1/16")
	h.host.Address("eth0", "198.18.0.2/16")
	h.host.Address("docker0", "172.17.0.1/16")
	h.container.Address("e0", "172.17.0.2/16")
	h.container.Must("ip", "route", "add", "default", "via", "172.17.0.1")
	h.container.Must(b.Command(packet.IPv4, ""), "-t", "raw", "-A", "PREROUTING", "-p", "udp", "-j", "DROP")
	h.host.Must(b.Command(packet.IPv4, ""), "-t", "nat", "-A", "PREROUTING", "-i", "eth0", "-p", "udp", "-j", "DNAT", "--to-destination", "172.17.0.2")
	for _, chain := range []string{"DOCKER-USER", "SEAWALL-INPUT"} {
		h.host.Must(b.Command(packet.IPv4, ""), "-N", chain)
	}
	h.host.Must(b.Command(packet.IPv4, ""), "-A", "FORWARD", "-j", "DOCKER-USER")
	return h
}

// dial opens a flow from a source to a port.
func (h *benchHost) dial(t *testing.T, f flow) {
	t.Helper()
	if h.conn != nil {
		_ = h.conn.Close()
	}
	if h.twin != nil {
		h.twin.dial(t, f)
	}
	if !h.flows[f.source] {
		h.flows[f.source] = true
		h.client.Address("c0", f.source.String()+"/32")
	}
	err := h.client.Do(func() error {
		d := net.Dialer{LocalAddr: &net.UDPAddr{IP: f.source.AsSlice(), Port: 40000}}
		var err error
		h.conn, err = d.Dial("udp", fmt.Sprintf("198.18.0.2:%d", f.port))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// run is the time of one packet in nanoseconds, over so many packets.
func (h *benchHost) run(t *testing.T, packets int) float64 {
	t.Helper()
	messages := make([]ipv4.Message, 256)
	for i := range messages {
		messages[i].Buffers = [][]byte{[]byte("x")}
	}
	conn := ipv4.NewPacketConn(h.conn.(*net.UDPConn))
	start := time.Now()
	sent := 0
	for sent < packets {
		n, err := conn.WriteBatch(messages, 0)
		if err != nil {
			t.Fatal(err)
		}
		sent += n
	}
	return float64(time.Since(start).Nanoseconds()) / float64(sent)
}

// compare sends packets to both hosts turn by turn, for a machine is not equally
// fast all the time: the median of a packet's time, and its ratio to the median
// of the twin's.
func (h *benchHost) compare(t *testing.T, slow bool) (nanoseconds, ratio float64) {
	t.Helper()
	packets, rounds := 1024, 150
	if slow {
		packets, rounds = 256, 10
	}
	var empty, with []float64
	for range rounds {
		empty = append(empty, h.twin.run(t, packets))
		with = append(with, h.run(t, packets))
	}
	return median(with), median(with) / median(empty)
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// flow is what is measured: a source that no rule names, beside one that a rule
// does name, so that it is looked up in full.
type flow struct {
	source netip.Addr
	port   int
}

// benchPolicy lets everybody in but so many networks, on so many ports, and
// picks flows over it. The networks are spread over 10.0.0.0/8, where the flows'
// sources are too.
func benchPolicy(cidrs, ports int) (*schema.Document, []flow) {
	r := rand.New(rand.NewPCG(uint64(cidrs), uint64(ports)))
	bits := 24
	if cidrs > 10_000 {
		bits = 28
	}
	network := func(n int) netip.Prefix {
		n <<= 32 - bits
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), bits)
	}
	var b strings.Builder
	b.WriteString("host {\n  external = [\"eth0\"]\n  unlisted = \"allow\"\n  userland_proxy = false\n}\n")
	var flows []flow
	for p := range ports {
		port := benchPort + 3*p
		var names []string
		named := r.Perm(1 << (bits - 8))[:cidrs]
		for _, n := range named {
			names = append(names, fmt.Sprintf("\"%s\"", network(n)))
		}
		fmt.Fprintf(&b, "policy \"p%d\" {\n  ports = [\"%d/udp\"]\n  default = \"allow\"\n  deny { sources = [%s] }\n}\n", p, port, strings.Join(names, ","))
		if p%max(1, ports/8) == 0 {
			for _, n := range named[:min(cidrs, 20)] {
				if !slices.Contains(named, n^1) {
					flows = append(flows, flow{network(n ^ 1).Addr().Next(), port})
				}
			}
		}
	}
	r.Shuffle(len(flows), func(i, j int) { flows[i], flows[j] = flows[j], flows[i] })
	return parsePolicy(b.String()), flows[:7]
}

// mostFlat is up to how many sources a flat list is measured. It costs a packet a hundred
// times as much with ten thousand, and grows from there.
const mostFlat = 10_000

// What rules cost a packet, against an empty DOCKER-USER, and what loading them
// takes: a table. It says nothing about right or wrong, so it is no test unless
// it is asked for.
func TestBench(t *testing.T) {
	if !*bench {
		t.Skip("a benchmark: run it with -lab.bench")
	}
	fmt.Print("| ports × CIDRs | back end | layout | ns a packet | ratio | worst flow | rules | load, ms | load --noflush, ms |\n| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, size := range [][2]int{{1, 10}, {1, 100}, {1, 10_000}, {1, 100_000}, {1000, 100}} {
		doc, flows := benchPolicy(size[1], size[0])
		if doc == nil {
			t.Fatal("the policy of the benchmark is not valid")
		}
		for _, b := range Backends {
			h := newBenchHost(t, b)
			for _, layout := range []lower.Layout{lower.Flat, lower.Auto, lower.IPSet} {
				if layout != lower.Flat || size[0]*size[1] <= mostFlat {
					h.row(t, b, doc, flows, size, layout)
				}
			}
			h.nftRow(t, b, doc, flows, size)
		}
	}
}

// row measures one layout: the median over the flows.
func (h *benchHost) row(t *testing.T, b Backend, doc *schema.Document, flows []flow, size [2]int, layout lower.Layout) {
	t.Helper()
	out, err := compiler.Compile(context.Background(), doc, compiler.Options{Format: emit.Restore, Layout: layout, Source: "policy.hcl"})
	if err != nil {
		t.Fatal(err)
	}
	text, sets := out.Files[0].Bytes, setsOf(t, out.Files)
	linear := layout == lower.Flat && size[0]*size[1] > 500
	noflush := h.load(t, b, h.host, text, sets, "--noflush")
	loads := []float64{noflush}
	if layout != lower.Flat || size[0]*size[1] < 200_000 {
		for range 2 {
			loads = append(loads, h.load(t, b, h.host, text, sets, "--noflush"))
		}
	}
	var times, ratios []float64
	for _, f := range flows {
		if linear && len(times) > 0 {
			break // every flow meets all rules
		}
		h.dial(t, f)
		h.run(t, 2000) // warm
		with, ratio := h.compare(t, linear)
		times, ratios = append(times, with), append(ratios, ratio)
	}
	plain := h.load(t, b, NewNamespace(t, "plain"), text, sets)
	fmt.Printf("| %d × %d | %s | %s | %.0f | %.2f | %.2f | %d | %.0f | %.0f |\n", size[0], size[1], b, layout, median(times), median(ratios), slices.Max(ratios),
		bytes.Count(text, []byte("\n-A ")), plain, median(loads))
}

// nftRow measures the table of nftables on the same host, with an empty DOCKER-USER;
// beside it, what nft takes for a bare set of all addresses.
func (h *benchHost) nftRow(t *testing.T, b Backend, doc *schema.Document, flows []flow, size [2]int) {
	t.Helper()
	out, err := compiler.Emit(doc, compiler.Options{Format: emit.NFTables, Source: "policy.hcl"})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []*benchHost{h, h.twin} {
		n.host.Must(b.Command(packet.IPv4, ""), "-F", "DOCKER-USER")
	}
	text := out.Files[0].Bytes
	var loads, bare []float64
	list := bareSet(doc)
	for range 5 {
		plain := NewNamespace(t, "plain")
		bare = append(bare, nftLoad(t, plain, list))
		loads = append(loads, nftLoad(t, plain, text))
	}
	nftLoad(t, h.host, text)
	var times, ratios []float64
	for _, f := range flows {
		h.dial(t, f)
		h.run(t, 2000) // warm
		with, ratio := h.compare(t, false)
		times, ratios = append(times, with), append(ratios, ratio)
	}
	h.host.Must("nft", "delete", "table", "inet", "seawall")
	fmt.Printf("| %d × %d | %s | nftables | %.0f | %.2f | %.2f | %d lines | %.0f | a bare set: %.0f |\n", size[0], size[1], b, median(times), median(ratios), slices.Max(ratios),
		bytes.Count(text, []byte("\n")), median(loads), median(bare))
}

func nftLoad(t *testing.T, n *Namespace, text []byte) float64 {
	t.Helper()
	start := time.Now()
	if said, err := n.Run(bytes.NewReader(text), "nft", "-f", "-"); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return float64(time.Since(start).Microseconds()) / 1000
}

// bareSet is a table with nothing but the addresses of a policy.
func bareSet(doc *schema.Document) []byte {
	var b bytes.Buffer
	b.WriteString("table inet bare\ndelete table inet bare\ntable inet bare {\n")
	for i, p := range doc.Policies {
		fmt.Fprintf(&b, "set s%d {\n type ipv4_addr\n flags interval\n elements = {", i)
		for _, r := range p.Rules {
			for _, l := range r.Sources.Lists {
				separator := "\n"
				for s := range l.All() {
					b.WriteString(separator + s.String())
					separator = ",\n"
				}
			}
		}
		b.WriteString(" }\n}\n")
	}
	b.WriteString("}\n")
	return b.Bytes()
}

// load returns the milliseconds that loading takes, the sets included.
func (h *benchHost) load(t *testing.T, b Backend, n *Namespace, text, sets []byte, args ...string) float64 {
	t.Helper()
	start := time.Now()
	if sets != nil {
		if said, err := n.Run(bytes.NewReader(sets), "ipset", "restore"); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
	}
	if said, err := n.Run(bytes.NewReader(text), b.Command(packet.IPv4, "-restore"), args...); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return float64(time.Since(start).Microseconds()) / 1000
}

// setsOf is the text for ipset restore that belongs to the files of a format.
func setsOf(t *testing.T, files []emit.File) []byte {
	t.Helper()
	text, err := emit.SetsOf(files)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
