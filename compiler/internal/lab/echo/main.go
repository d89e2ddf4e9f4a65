// Command echo is what runs in the lab's containers: it answers on TCP and UDP
// ports, and connects out when it is told to.
//
//	echo 80/tcp 53/udp
//
// On TCP, a line "ping" is answered with "pong", "large" with 300,000 bytes, and
// "dial NETWORK ADDRESS" with what came of connecting there. It prints "ready" when
// it listens.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

func main() {
	for _, port := range os.Args[1:] {
		number, network, _ := strings.Cut(port, "/")
		if err := serve(network, ":"+number); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	fmt.Println("ready")
	select {}
}

func serve(network, address string) error {
	if network == "udp" {
		conn, err := net.ListenPacket("udp", address)
		if err == nil {
			go packets(conn)
		}
		return err
	}
	l, err := net.Listen("tcp", address)
	if err == nil {
		go connections(l)
	}
	return err
}

func packets(conn net.PacketConn) {
	buf := make([]byte, 64)
	for {
		_, from, err := conn.ReadFrom(buf)
		if err == nil {
			_, _ = conn.WriteTo([]byte("pong"), from) // whether it arrives is what the lab asks
		}
	}
}

func connections(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			continue
		}
		go answer(conn)
	}
}

func answer(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch {
		case line == "large\n":
			_, _ = conn.Write(make([]byte, 300_000))
			return
		case strings.HasPrefix(line, "dial "):
			fields := strings.Fields(line)
			_, _ = io.WriteString(conn, dial(fields[1], fields[2])+"\n")
		default:
			_, _ = io.WriteString(conn, "pong")
		}
	}
}

func dial(network, address string) string {
	conn, err := net.DialTimeout(network, address, 800*time.Millisecond)
	if err != nil {
		return "silent"
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(800 * time.Millisecond)) // a socket takes any deadline
	if _, err := io.WriteString(conn, "ping\n"); err != nil {
		return "silent"
	}
	buf := make([]byte, 16)
	if n, err := conn.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "pong") {
		return "silent"
	}
	return "open"
}
