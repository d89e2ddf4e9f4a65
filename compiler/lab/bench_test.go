//go:build linux

package lab

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/rules"
	"github.com/seawall/seawall/schema"
)

var bench = flag.Bool("lab.bench", false, "measure what rules cost a packet, and what loading them takes")

// benchHost is a host whose container swallows packets: what is measured is the
// way there. One flow, one packet after the other, over DNAT and FORWARD.
type benchHost struct {
	client, host, container *Namespace
	conn                    net.Conn
}

const benchPort, benchSource = 5000, "198.18.255.77"

func newBenchHost(t *testing.T, b Backend) *benchHost {
	t.Helper()
	h := &benchHost{client: NewNamespace(t, "client"), host: NewNamespace(t, "host"), container: NewNamespace(t, "container")}
	h.host.Sysctl("net.ipv4.ip_forward=1")
	Link(h.client, "c0", h.host, "eth0")
	Link(h.host, "docker0", h.container, "e0")
	h.client.Address("c0", "198.18.0.1/16", benchSource+"/16")
	h.host.Address("eth0", "198.18.0.2/16")
	h.host.Address("docker0", "172.17.0.1/16")
	h.container.Address("e0", "172.17.0.2/16")
	h.container.Must("ip", "route", "add", "default", "via", "172.17.0.1")
	h.container.Must(b.Command(rules.IPv4, ""), "-t", "raw", "-A", "PREROUTING", "-p", "udp", "-j", "DROP")
	h.host.Must(b.Command(rules.IPv4, ""), "-t", "nat", "-A", "PREROUTING", "-i", "eth0", "-p", "udp", "-j", "DNAT", "--to-destination", "172.17.0.2")
	h.host.Must(b.Command(rules.IPv4, ""), "-N", "DOCKER-USER")
	h.host.Must(b.Command(rules.IPv4, ""), "-N", "SEAWALL-INPUT")
	h.host.Must(b.Command(rules.IPv4, ""), "-N", "EMPTY")
	h.host.Must(b.Command(rules.IPv4, ""), "-A", "FORWARD", "-j", "DOCKER-USER")
	return h
}

// dial opens the flow to a port.
func (h *benchHost) dial(t *testing.T, port int) {
	t.Helper()
	if h.conn != nil {
		_ = h.conn.Close()
	}
	err := h.client.Do(func() error {
		d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(benchSource), Port: 40000}}
		var err error
		h.conn, err = d.Dial("udp", fmt.Sprintf("198.18.0.2:%d", port))
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

// compare measures packets with an empty chain and with DOCKER-USER, turn by
// turn, for a machine is not equally fast all the time: the median of a packet's
// time over DOCKER-USER, and of the ratio.
func (h *benchHost) compare(t *testing.T, b Backend, slow bool) (nanoseconds, ratio float64) {
	t.Helper()
	packets, rounds := 20_000, 25
	if slow {
		packets, rounds = 1000, 5
	}
	var times, ratios []float64
	for range rounds {
		h.host.Must(b.Command(rules.IPv4, ""), "-R", "FORWARD", "1", "-j", "EMPTY")
		empty := h.run(t, packets)
		h.host.Must(b.Command(rules.IPv4, ""), "-R", "FORWARD", "1", "-j", "DOCKER-USER")
		with := h.run(t, packets)
		times, ratios = append(times, with), append(ratios, with/empty)
	}
	slices.Sort(times)
	slices.Sort(ratios)
	return times[rounds/2], ratios[rounds/2]
}

// benchPolicy lets everybody in but so many networks, on so many ports; the
// flow's source is none of them, so that it is looked up in full.
func benchPolicy(cidrs, ports int, deny bool) *schema.Document {
	r := rand.New(rand.NewPCG(uint64(cidrs), uint64(ports)))
	var b strings.Builder
	b.WriteString("host {\n  external = [\"eth0\"]\n  unlisted = \"allow\"\n  userland_proxy = false\n}\n")
	for p := range ports {
		port := benchPort + 3*p
		fmt.Fprintf(&b, "policy \"p%d\" {\n  ports = [\"%d/udp\"]\n  default = \"allow\"\n  deny { sources = [", p, port)
		for n := range cidrs {
			if n > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, "\"%d.%d.%d.0/24\"", 1+r.IntN(190), r.IntN(256), r.IntN(256))
		}
		b.WriteString("] }\n}\n")
	}
	return parsePolicy(b.String())
}

// What rules cost a packet, against an empty DOCKER-USER, and what loading them
// takes: a table. It says nothing about right or wrong, so it is no test unless
// it is asked for.
func TestBench(t *testing.T) {
	if !*bench {
		t.Skip("a benchmark: run it with -lab.bench")
	}
	fmt.Print("| ports × CIDRs | back end | layout | ns a packet | ratio | rules | load, ms | load --noflush, ms |\n| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |\n")
	for _, size := range [][2]int{{1, 100}, {1, 1000}, {1, 10_000}, {1, 100_000}, {100, 100}, {1000, 100}} {
		doc := benchPolicy(size[1], size[0], true)
		if doc == nil {
			t.Fatal("the policy of the benchmark is not valid")
		}
		for _, b := range Backends {
			h := newBenchHost(t, b)
			h.dial(t, benchPort+3*(size[0]*2/3))
			h.run(t, 20_000) // warm
			for _, layout := range []lower.Layout{lower.Flat, lower.Indexed} {
				if layout == lower.Flat && size[0]*size[1] > 20_000 {
					continue // known to be slow
				}
				h.row(t, b, doc, size, layout)
			}
		}
	}
}

func (h *benchHost) row(t *testing.T, b Backend, doc *schema.Document, size [2]int, layout lower.Layout) {
	t.Helper()
	out, err := compiler.Compile(doc, compiler.Options{Format: emit.Restore, Layout: layout, Source: "policy.hcl"})
	if err != nil {
		t.Fatal(err)
	}
	text := out.Files[0].Bytes
	restore := func(args ...string) float64 {
		start := time.Now()
		if said, err := h.host.Run(bytes.NewReader(text), b.Command(rules.IPv4, "-restore"), args...); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		return float64(time.Since(start).Microseconds()) / 1000
	}
	noflush := restore("--noflush")
	with, ratio := h.compare(t, b, layout == lower.Flat && size[0]*size[1] > 500)
	plainHost := NewNamespace(t, "plain")
	start := time.Now()
	if said, err := plainHost.Run(bytes.NewReader(text), b.Command(rules.IPv4, "-restore")); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	plain := float64(time.Since(start).Microseconds()) / 1000
	fmt.Printf("| %d × %d | %s | %s | %.0f | %.2f | %d | %.0f | %.0f |\n", size[0], size[1], b, layout, with, ratio,
		bytes.Count(text, []byte("\n-A ")), plain, noflush)
}
