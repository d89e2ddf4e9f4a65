//go:build linux

package lab

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seawall/seawall/compiler/packet"
)

// conntrack can hold a connection of a listener on the host as one that the host opened.
// The SYN of a new connection with the same addresses and ports is INVALID then: no rule
// that asks for a direction or an original port matches it, DNAT does not rewrite it, and
// without the rules for INVALID packets a denied client gets in (NETFILTER.md section 2).
func TestInvalidPacketsDoNotReachDockerProxy(t *testing.T) {
	t.Parallel()
	Need(t, "nft")
	for _, x := range []struct {
		file, restore string
		family        packet.Family
	}{
		{"iptables", Legacy.Command(packet.IPv4, "-restore"), packet.IPv4},
		{"iptables", NFT.Command(packet.IPv4, "-restore"), packet.IPv4},
		{"ip6tables", NFT.Command(packet.IPv6, "-restore"), packet.IPv6},
		{"seawall.nft", "nft -f -", packet.IPv4},
	} {
		t.Run(x.file+"/"+strings.Fields(x.restore)[0], func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join(compiledFolder("one-port"), x.file))
			if err != nil {
				t.Fatal(err)
			}
			before := leftOut(string(text), "INVALID", "ct state invalid")
			if before == string(text) {
				t.Fatal("the file has no rule for INVALID packets")
			}
			w := newPickedUp(t, x.family, 8080, 2)
			command := strings.Fields(x.restore)
			load := func(rules string) {
				t.Helper()
				if out, err := w.top.Host.Run(strings.NewReader(rules), command[0], command[1:]...); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			load(before)
			w.pickUp()
			if got := w.again(0); got != Open {
				t.Errorf("without the rules for INVALID packets the client is %s: the packet is not what this test is about", got)
			}
			load(string(text))
			if got := w.again(1); got != Silent {
				t.Errorf("with them it is %s", got)
			}
		})
	}
}

// leftOut is a text without the lines that contain one of some words.
func leftOut(text string, words ...string) string {
	var kept []string
	for _, line := range strings.Split(text, "\n") {
		if !strings.Contains(line, words[0]) && !strings.Contains(line, words[1]) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// pickedUp is a listener on the host with connections of a client that the current rules
// deny.
type pickedUp struct {
	t       *testing.T
	top     *Topology
	from    netip.Addr
	to      netip.AddrPort
	listen  net.Listener
	clients []net.Conn
	servers []net.Conn
}

// firstSource is the source port of the first connection.
const firstSource = 7001

func newPickedUp(t *testing.T, f packet.Family, port, connections int) *pickedUp {
	t.Helper()
	w := &pickedUp{t: t, top: NewTopology(t, "eth0"), from: netip.MustParseAddr(FarV4), to: netip.AddrPortFrom(netip.MustParseAddr(HostAddress(0, f)), uint16(port))}
	if f == packet.IPv6 {
		w.from = netip.MustParseAddr(FarV6)
	}
	err := w.top.Host.Do(func() (err error) {
		w.listen, err = net.Listen("tcp", fmt.Sprintf("[::]:%d", port))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.listen.Close() })
	for i := range connections { // before any rule: conntrack does not see them
		conn, err := w.dial(i)
		if err != nil {
			t.Fatal(err)
		}
		server, err := w.listen.Accept()
		if err != nil {
			t.Fatal(err)
		}
		w.clients, w.servers = append(w.clients, conn), append(w.servers, server)
	}
	return w
}

// dial connects from the source port of a connection.
func (w *pickedUp) dial(i int) (conn net.Conn, err error) {
	inner := w.top.Far.Do(func() error {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: w.from.AsSlice(), Port: firstSource + i}, Timeout: patience}
		conn, err = d.Dial("tcp", w.to.String())
		return nil
	})
	if inner != nil {
		w.t.Fatal(inner)
	}
	return conn, err
}

// pickUp has the host send something on each connection, so that conntrack takes it for
// the host's own, and has the client reset it.
func (w *pickedUp) pickUp() {
	w.t.Helper()
	for i, server := range w.servers {
		if _, err := io.WriteString(server, "x"); err != nil {
			w.t.Fatal(err)
		}
		_ = w.clients[i].SetReadDeadline(time.Now().Add(patience))
		if _, err := io.ReadFull(w.clients[i], make([]byte, 1)); err != nil {
			w.t.Fatalf("the client does not get what the host sends: %v", err)
		}
		if err := w.clients[i].(*net.TCPConn).SetLinger(0); err != nil {
			w.t.Fatal(err)
		}
		_ = w.clients[i].Close()
		_ = server.SetReadDeadline(time.Now().Add(patience))
		if _, err := server.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
			w.t.Fatalf("the host does not get the client's reset: %v", err)
		}
		_ = server.Close()
	}
}

// again opens a connection with the addresses and ports of an earlier one.
func (w *pickedUp) again(i int) Outcome {
	conn, err := w.dial(i)
	if err != nil {
		return failed(err)
	}
	_ = conn.Close()
	return Open
}
