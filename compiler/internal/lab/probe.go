//go:build linux

package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Outcome is what a client sees of its try.
type Outcome string

// The outcomes. A denied client hears nothing, a rejected one an error.
const (
	Open    Outcome = "open"
	Refused Outcome = "refused"
	Silent  Outcome = "silent"
)

// patience is how long a client waits. Answers in the lab take a few
// milliseconds.
const patience = 800 * time.Millisecond

// Large is how much a server sends when it is asked for a large answer.
const Large = 300_000

// Probe is one try of a client.
type Probe struct {
	From, To netip.Addr
	Port     int
	Network  string // tcp or udp
	Large    bool   // ask for an answer that does not fit the narrow link
}

func (p Probe) String() string {
	return fmt.Sprintf("%s → %s/%s", p.From, netip.AddrPortFrom(p.To, uint16(p.Port)), p.Network)
}

var lastPort atomic.Uint32

// freshPort is a source port that no probe has used for the last 50,000. Left to the
// kernel, a probe over UDP now and then gets the port of one that an earlier policy let
// in, and belongs to that connection: with established = "keep" it passes, and rightly.
func freshPort() int {
	return 10_000 + int(lastPort.Add(1)%50_000)
}

// Probe makes one try from a namespace.
func (n *Namespace) Probe(p Probe) Outcome {
	outcome := Silent
	err := n.Do(func() error {
		var local net.Addr = &net.TCPAddr{IP: p.From.AsSlice()}
		if p.Network == "udp" {
			local = &net.UDPAddr{IP: p.From.AsSlice(), Port: freshPort()}
		}
		d := net.Dialer{LocalAddr: local, Timeout: patience}
		conn, err := d.Dial(p.Network, netip.AddrPortFrom(p.To, uint16(p.Port)).String())
		if err != nil {
			outcome = failed(err)
			return nil
		}
		defer func() { _ = conn.Close() }()
		outcome = talk(conn, p.Large)
		return nil
	})
	if err != nil {
		n.t.Errorf("%s: %v", p, err)
	}
	return outcome
}

// Expect makes a try, and some more while the outcome is not the expected one: a busy
// machine may lose a packet, and rules that deny do so each time. Where silence is
// expected there is one try.
func (n *Namespace) Expect(p Probe, want Outcome) Outcome {
	got := n.Probe(p)
	for try := 1; try < 4 && got != want && want != Silent; try++ {
		time.Sleep(time.Duration(try) * 500 * time.Millisecond)
		got = n.Probe(p)
	}
	return got
}

func failed(err error) Outcome {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EACCES):
		return Refused
	}
	return Silent
}

// talk asks the server at the other end, and waits for its answer.
func talk(conn net.Conn, large bool) Outcome {
	wait := patience
	if large {
		wait = 3 * time.Second
	}
	_ = conn.SetDeadline(time.Now().Add(wait)) // a deadline on a socket cannot fail
	question := "ping\n"
	if large {
		question = "large\n"
	}
	if _, err := io.WriteString(conn, question); err != nil {
		return failed(err)
	}
	if large {
		if n, err := io.Copy(io.Discard, conn); err != nil || n != Large {
			return Silent
		}
		return Open
	}
	buf := make([]byte, 64)
	k, err := conn.Read(buf)
	if err != nil {
		return failed(err)
	}
	if !strings.HasPrefix(string(buf[:k]), "pong") {
		return Silent
	}
	return Open
}

// Serve answers on a port of a namespace, in both families, until the test
// ends.
func (n *Namespace) Serve(network string, port int) {
	n.t.Helper()
	err := n.Do(func() error {
		if network == "udp" {
			conn, err := net.ListenPacket("udp", fmt.Sprintf("[::]:%d", port))
			if err == nil {
				n.t.Cleanup(func() { _ = conn.Close() })
				go answerPackets(conn)
			}
			return err
		}
		l, err := net.Listen("tcp", fmt.Sprintf("[::]:%d", port))
		if err == nil {
			n.t.Cleanup(func() { _ = l.Close() })
			go answerConnections(l)
		}
		return err
	})
	if err != nil {
		n.t.Fatalf("%s: cannot serve %d/%s: %v", n.name, port, network, err)
	}
}

func answerPackets(conn net.PacketConn) {
	buf := make([]byte, 64)
	for {
		_, from, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = conn.WriteTo([]byte("pong"), from) // a lost answer is what the lab measures
		}
	}
}

func answerConnections(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			r := bufio.NewReader(conn)
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if line == "large\n" {
					_, _ = conn.Write(make([]byte, Large))
					return
				}
				_, _ = io.WriteString(conn, "pong")
			}
		}()
	}
}
