//go:build linux

package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/packet"
)

// What a test of the connection mark before all else would save a packet of a connection
// that was let in: a table. It asks what the word "remember" for established would be worth,
// over a stream of requests alone, and over one of requests and answers.
func TestBenchMark(t *testing.T) {
	if !*bench {
		t.Skip("a benchmark: run it with -lab.bench")
	}
	fmt.Print("| ports × CIDRs | back end | layout | stream | rules | mark first | an empty chain, ns |\n| --- | --- | --- | --- | ---: | ---: | ---: |\n")
	for _, size := range [][2]int{{1, 100}, {1, 10_000}, {1, 100_000}, {1000, 100}} {
		for _, b := range Backends {
			for _, nft := range []bool{false, true} {
				markRows(t, b, size, nft)
			}
		}
	}
}

func markRows(t *testing.T, b Backend, size [2]int, nft bool) {
	t.Helper()
	doc, flows := benchPolicy(size[1], size[0])
	format, name := emit.Restore, "iptables, auto"
	if nft {
		format, name = emit.NFTables, "nftables"
	}
	out, err := compiler.Compile(context.Background(), doc, compiler.Options{Format: format, Source: "policy.hcl"})
	if err != nil {
		t.Fatal(err)
	}
	h := newBenchHost(t, b)
	if nft {
		nftLoad(t, h.host, out.Files[0].Bytes)
	} else {
		h.load(t, b, h.host, out.Files[0].Bytes, nil, "--noflush")
	}
	iptables := b.Command(packet.IPv4, "")
	for _, answered := range []bool{false, true} {
		if answered {
			for _, n := range []*benchHost{h, h.twin} {
				n.container.Must(iptables, "-t", "raw", "-F", "PREROUTING")
				n.host.Must("ip", "route", "add", "10.0.0.0/8", "via", "198.18.0.1")
			}
		}
		var plain, marked, empty []float64
		for _, f := range flows[:5] {
			h.dial(t, f)
			stream := (*benchHost).run
			if answered {
				h.answer(t, f.port)
				h.twin.answer(t, f.port)
				stream = (*benchHost).converse
			}
			stream(h, t, 2048)
			stream(h.twin, t, 2048)
			with, without := turns(t, h, stream)
			plain, empty = append(plain, with/without), append(empty, without)
			h.host.Must(iptables, "-t", "mangle", "-A", "FORWARD", "-j", "CONNMARK", "--set-mark", "0x100000/0xfff00000")
			stream(h, t, 256)
			h.host.Must(iptables, "-t", "mangle", "-F", "FORWARD")
			undo := h.markFirst(iptables, nft)
			with, without = turns(t, h, stream)
			marked = append(marked, with/without)
			undo()
		}
		kind := "requests"
		if answered {
			kind = "requests and answers"
		}
		fmt.Printf("| %d × %d | %s | %s | %s | %.2f (%.2f to %.2f) | %.2f (%.2f to %.2f) | %.0f |\n", size[0], size[1], b, name, kind,
			median(plain), slices.Min(plain), slices.Max(plain), median(marked), slices.Min(marked), slices.Max(marked), median(empty))
	}
}

// markFirst lets packets of marked connections pass before all other rules, and returns
// what takes the rule out.
func (h *benchHost) markFirst(iptables string, nft bool) func() {
	if !nft {
		rule := []string{"-m", "connmark", "--mark", "0x100000/0xfff00000", "-j", "RETURN"}
		h.host.Must(iptables, append([]string{"-I", "DOCKER-USER"}, rule...)...)
		return func() { h.host.Must(iptables, append([]string{"-D", "DOCKER-USER"}, rule...)...) }
	}
	before := h.host.Must("nft", "list", "table", "inet", "seawall")
	h.host.Must("nft", "insert", "rule", "inet", "seawall", "forward", "ct", "mark", "and", "0xfff00000", "==", "0x100000", "return")
	return func() {
		_, _ = h.host.Run(bytes.NewReader([]byte("delete table inet seawall\n"+before)), "nft", "-f", "-")
	}
}

// turns are the medians of a packet's time on a host and on its twin, turn by turn.
func turns(t *testing.T, h *benchHost, stream func(*benchHost, *testing.T, int) float64) (with, without float64) {
	var a, b []float64
	for range 60 {
		b = append(b, stream(h.twin, t, 1024))
		a = append(a, stream(h, t, 1024))
	}
	return median(a), median(b)
}

const window = 64 // requests that wait for an answer

// answer has the container send back what comes to a port.
func (h *benchHost) answer(t *testing.T, port int) {
	t.Helper()
	if h.answering[port] {
		return
	}
	if h.answering == nil {
		h.answering = map[int]bool{}
	}
	h.answering[port] = true
	var conn net.PacketConn
	err := h.container.Do(func() (err error) {
		conn, err = net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		p, messages := ipv4.NewPacketConn(conn), buffers()
		for {
			n, err := p.ReadBatch(messages, 0)
			if err != nil {
				return
			}
			for sent := 0; sent < n; {
				k, err := p.WriteBatch(messages[sent:n], 0)
				if err != nil {
					return
				}
				sent += k
			}
		}
	}()
}

func buffers() []ipv4.Message {
	messages := make([]ipv4.Message, window)
	for i := range messages {
		messages[i].Buffers = [][]byte{make([]byte, 1)}
	}
	return messages
}

// converse is the time of a request and its answer in nanoseconds.
func (h *benchHost) converse(t *testing.T, packets int) float64 {
	t.Helper()
	conn := ipv4.NewPacketConn(h.conn.(*net.UDPConn))
	out, in := buffers(), buffers()
	start := time.Now()
	for range packets / window {
		for sent := 0; sent < window; {
			n, err := conn.WriteBatch(out[sent:], 0)
			if err != nil {
				t.Fatal(err)
			}
			sent += n
		}
		for got := 0; got < window; {
			_ = h.conn.SetReadDeadline(time.Now().Add(2 * time.Second))
			n, err := conn.ReadBatch(in, 0)
			if err != nil {
				t.Fatalf("an answer is missing: %v", err)
			}
			got += n
		}
	}
	return float64(time.Since(start).Nanoseconds()) / float64(packets/window*window)
}
