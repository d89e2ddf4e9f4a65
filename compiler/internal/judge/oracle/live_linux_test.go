package oracle

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// TestKernelAgrees sends packets through random rules in a network namespace
// and compares what the kernel does with the evaluator. The interfaces are TUN
// devices, so each packet is written and read back by the test.
func TestKernelAgrees(t *testing.T) {
	if os.Getenv("ORACLE_INSIDE") != "" {
		t.Skip("this process is the one inside the namespace")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skipf("TUN devices are needed: %v", err)
	}
	total, hits := 0, map[string]int{}
	for i := range count(t, 2) {
		for _, family := range []int{4, 6} {
			ns := newNamespace(t)
			args := []string{"env", fmt.Sprintf("ORACLE_INSIDE=%d %d", i, family), os.Args[0], "-test.run=^TestInside$", "-test.v"}
			out, err := ns.run("", args...)
			if err != nil {
				t.Fatalf("seed %d, IPv%d: %v\n%s", i, family, err, out)
			}
			total += tally(out, hits)
		}
	}
	t.Logf("%d packets: %v", total, hits)
}

// tally counts the verdicts that the inner process reports.
func tally(out string, hits map[string]int) int {
	total := 0
	for l := range strings.Lines(out) {
		var verdicts map[string]int
		if _, text, ok := strings.Cut(l, "VERDICTS "); ok && json.Unmarshal([]byte(text), &verdicts) == nil {
			for v, n := range verdicts {
				hits[v] += n
				total += n
			}
		}
	}
	return total
}

// TestInside is the part of TestKernelAgrees that runs inside a namespace.
func TestInside(t *testing.T) {
	var seed, family int
	if _, err := fmt.Sscan(os.Getenv("ORACLE_INSIDE"), &seed, &family); err != nil {
		t.Skip("TestKernelAgrees starts this inside a namespace")
	}
	r := rand.New(rand.NewPCG(uint64(seed), 99))
	f := Random(r, Options{Family: family, Known: true, Loadable: true})
	if seed == 0 && family == 4 {
		f = walkFile()
	}
	set := rulesetOf(t, f)
	h := newHost(t, f)
	hits := map[string]int{}
	for _, backend := range []string{"nft", "legacy"} {
		h.command(f.Text, restore(family, backend))
		tables := strings.TrimSuffix(restore(family, backend), "-restore")
		h.command("", tables, "-F", "OUTPUT") // the answers of REJECT have to get out
		h.command("", tables, "-P", "OUTPUT", "ACCEPT")
		for range 60 {
			p, wire, ok := h.sendable(RandomPacket(r, f))
			if !ok {
				continue
			}
			want := set.Verdicts("FORWARD", p)
			got := h.send(p, wire)
			if len(want) != 1 || !agrees(want[0], got, p) {
				t.Errorf("%s: got %q, want %q of %+v in\n%s\n%s", backend, got, want, p, f.Sets, f.Text)
			}
			hits[want[0]]++
		}
		h.command("*filter\n:FORWARD ACCEPT\nCOMMIT\n", restore(family, backend))
	}
	text, _ := json.Marshal(hits)
	fmt.Printf("VERDICTS %s\n", text)
}

// walkFile returns a file of jumps, gotos, returns and nomatch entries, which
// random files seldom have in a place where they make a difference.
func walkFile() File {
	f := File{
		Family: 4, Interfaces: []string{"eth0", "docker0", "eth1"}, Protocols: []int{protoTCP, protoTCP, protoUDP},
		Ports: []int{1, 2, 3, 4, 5, 6, 7, 8},
		Sets:  "create nets4 hash:net\nadd nets4 192.0.2.0/24\nadd nets4 192.0.2.8/29 nomatch\nadd nets4 192.0.2.9\n",
		Text: `*filter
:INPUT ACCEPT
:FORWARD DROP
:OUTPUT ACCEPT
:DOCKER-USER -
:A -
:B -
:C -
-A FORWARD -j DOCKER-USER
-A FORWARD -s 10.1.2.0/29 -j REJECT --reject-with icmp-net-unreachable
-A FORWARD -m set --match-set nets4 dst -j REJECT --reject-with icmp-host-unreachable
-A FORWARD -g C
-A FORWARD -j ACCEPT
-A DOCKER-USER -p tcp -m multiport --dports 1:3 -g A
-A DOCKER-USER -p tcp -m multiport --dports 4:6 -j A
-A DOCKER-USER -s 192.0.2.0/25 -j B
-A DOCKER-USER -p udp -j REJECT --reject-with icmp-host-prohibited
-A A -s 192.0.2.9/255.0.255.3 -j RETURN
-A A -m set --match-set nets4 src -g B
-A A -i eth0 -j B
-A A -i docker0 -j ACCEPT
-A B -m set ! --match-set nets4 src -j RETURN
-A B -o eth1 -j REJECT --reject-with icmp-admin-prohibited
-A C -p tcp --dport 7 -j ACCEPT
-A C -p tcp ! --dport 8 -j RETURN
-A C -j REJECT --reject-with icmp-proto-unreachable
COMMIT
`,
	}
	for i := range byte(16) {
		f.Addresses = append(f.Addresses, netip.AddrFrom4([4]byte{192, 0, 2, i}), netip.AddrFrom4([4]byte{10, 1, 2, i}))
	}
	return f
}

// agrees compares a verdict with what was seen. No error message answers an
// error message or a TCP RST; a queue that nobody reads drops, unless it says
// --queue-bypass.
func agrees(want, got string, p Packet) bool {
	switch {
	case want == "drop":
		return got == "nothing"
	case want == "queue":
		return got == "nothing" || got == "accept"
	case want == got:
		return true
	}
	quiet := want == "reject tcp-reset" && p.TCPFlags&4 != 0 || p.Fragment
	return strings.HasPrefix(want, "reject") && quiet && got == "nothing"
}

// A host is the namespace seen from inside.
type host struct {
	t      *testing.T
	family int
	tuns   map[string]int // file descriptors
	used   map[string]bool
}

// newHost makes the interfaces and sets of a file.
func newHost(t *testing.T, f File) *host {
	h := &host{t: t, family: f.Family, tuns: map[string]int{}, used: map[string]bool{}}
	sysctls := map[string]string{
		"ipv4/ip_forward": "1", "ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0", "ipv4/icmp_ratelimit": "0",
		"ipv4/icmp_msgs_per_sec": "100000", "ipv6/conf/all/forwarding": "1", "ipv6/conf/default/accept_dad": "0",
	}
	for name, value := range sysctls {
		os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644)
	}
	os.WriteFile("/proc/sys/net/ipv6/icmp/ratelimit", []byte("0"), 0o644)
	names := append(slices.Clone(f.Interfaces), "wlan0", "eth", "docker00", "eth0x")
	slices.Sort(names)
	for i, name := range slices.Compact(names) {
		h.tuns[name] = h.openTUN(name)
		h.command("", "ip", "addr", "add", fmt.Sprintf("100.64.%d.1/32", i), "dev", name)
		h.command("", "ip", "addr", "add", fmt.Sprintf("fd99::%d/128", i+1), "dev", name)
		h.command("", "ip", "link", "set", name, "up")
	}
	h.command(f.Sets, "ipset", "restore")
	return h
}

func (h *host) command(stdin, name string, args ...string) {
	h.t.Helper()
	c := exec.Command(name, args...)
	c.Stdin = strings.NewReader(stdin)
	if out, err := c.CombinedOutput(); err != nil {
		h.t.Fatalf("%s %v: %v: %s\n%s", name, args, err, out, stdin)
	}
}

// openTUN makes a TUN device (IFF_TUN and IFF_NO_PI).
func (h *host) openTUN(name string) int {
	fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	var request [40]byte
	copy(request[:16], name)
	binary.NativeEndian.PutUint16(request[16:], 0x0001|0x1000)
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TUNSETIFF, uintptr(unsafe.Pointer(&request))); e != 0 {
		h.t.Fatal(e)
	}
	return fd
}

// sendable changes a packet into one that can be sent by itself, as the rules
// will see it, and returns the packet to send: that is another one where DNAT
// changes it on the way.
func (h *host) sendable(p Packet) (seen, wire Packet, ok bool) {
	p.Fragment, p.Reply, p.SNAT = false, false, false
	untracked := !p.Known && p.State == "UNTRACKED"
	p.Known, p.State, ok = conntrackOf(p)
	if untracked {
		p.Known, p.State = false, "UNTRACKED"
	}
	ports := p.Protocol == protoTCP || p.Protocol == protoUDP
	p.DNAT = p.DNAT && ports && p.Known && p.OrigDst != p.Dst && p.OrigDport > 0 && p.Dport > 0
	wire = p
	if p.DNAT {
		wire.Dst, wire.Dport = p.OrigDst, p.OrigDport
	} else {
		p.OrigDst, p.OrigDport = p.Dst, p.Dport
		if !ports {
			p.OrigDport = p.ICMPType<<8 | p.ICMPCode
		}
	}
	key := fmt.Sprint(p.Protocol, min(wire.Src.String(), wire.Dst.String()), max(wire.Src.String(), wire.Dst.String()))
	key2 := fmt.Sprint(p.Protocol, min(p.Src.String(), p.Dst.String()), max(p.Src.String(), p.Dst.String()))
	ok = ok && !h.used[key] && !h.used[key2] && h.tuns[p.In] > 0 && h.tuns[p.Out] > 0 && p.In != p.Out && p.Src != p.Dst
	for _, a := range []netip.Addr{p.Src, p.Dst, wire.Dst} {
		ok = ok && routable(a)
	}
	if ok {
		h.used[key], h.used[key2] = true, true
	}
	return p, wire, ok
}

// routable reports whether a router forwards packets from and to an address.
func routable(a netip.Addr) bool {
	if a.Is4() {
		b := a.As4()
		return b[0] != 0 && b[0] != 127 && b[0] < 224
	}
	return a.IsGlobalUnicast() && a.As16()[0] != 0
}

// conntrackOf returns what conntrack makes of the first packet of a flow.
func conntrackOf(p Packet) (known bool, state string, ok bool) {
	switch p.Protocol {
	case protoUDP, 50, 89, 93, 103, 27:
		return true, "NEW", p.Protocol != protoUDP || p.Sport > 0 && p.Dport > 0
	case protoTCP:
		fresh := p.TCPFlags == 2 || p.TCPFlags == 0x10
		return fresh, map[bool]string{true: "NEW", false: "INVALID"}[fresh], p.Sport > 0 && p.Dport > 0 && slices.Contains([]int{2, 0x10, 0x12, 4, 0}, p.TCPFlags)
	case protoICMP:
		fresh := p.ICMPType == 8
		return fresh, map[bool]string{true: "NEW", false: "INVALID"}[fresh], p.Src.Is4() && (p.ICMPType == 8 || p.ICMPType == 0)
	case protoICMPv6:
		fresh := p.ICMPType == 128
		return fresh, map[bool]string{true: "NEW", false: "INVALID"}[fresh], p.Src.Is6() && (p.ICMPType == 128 || p.ICMPType == 129)
	}
	return false, "", false
}

// send sends a packet and returns what becomes of it: "accept", "reject TYPE"
// or "nothing".
func (h *host) send(p, wire Packet) string {
	h.prepare(p, wire)
	h.drain()
	if _, err := syscall.Write(h.tuns[p.In], packetBytes(wire)); err != nil {
		h.t.Fatal(err)
	}
	buffer := make([]byte, 2000)
	for range 4 {
		for name, fd := range h.tuns {
			n, err := syscall.Read(fd, buffer)
			if err != nil || n < 20 {
				continue
			}
			if result := answer(buffer[:n], name, p, wire); result != "" {
				return result
			}
		}
		time.Sleep(time.Millisecond)
	}
	return "nothing"
}

// drain throws away what the kernel itself had to say.
func (h *host) drain() {
	buffer := make([]byte, 2000)
	for _, fd := range h.tuns {
		for {
			if _, err := syscall.Read(fd, buffer); err != nil {
				break
			}
		}
	}
}

// prepare sets the routes, the mark and the address translation for a packet.
func (h *host) prepare(p, wire Packet) {
	family := map[int]string{4: "ip", 6: "ip6"}[h.family]
	rules := []string{fmt.Sprintf("meta mark set %d", p.Mark)}
	if p.State == "UNTRACKED" {
		rules = append(rules, "notrack")
	}
	nat := "ct state new counter"
	if p.DNAT {
		target := netip.AddrPortFrom(p.Dst, uint16(p.Dport))
		nat = fmt.Sprintf("meta l4proto %d dnat to %s", p.Protocol, target)
	}
	h.command(fmt.Sprintf(`table %[1]s oracle
delete table %[1]s oracle
table %[1]s oracle {
	chain pre { type filter hook prerouting priority -350; %s; }
	chain nat { type nat hook prerouting priority -100; %s; }
}
`, family, strings.Join(rules, "; "), nat), "nft", "-f", "-")
	flag := map[int]string{4: "-4", 6: "-6"}[h.family]
	h.command(fmt.Sprintf("route flush root %[1]s\nroute replace %[2]s dev %[3]s\nroute replace %[4]s dev %[5]s\n",
		map[int]string{4: "0/0 proto 99", 6: "::/0 proto 99"}[h.family], p.Src.String()+" proto 99", p.In, p.Dst.String()+" proto 99", p.Out), "ip", flag, "-force", "-batch", "-")
}

// answer reads a packet that came out of an interface: it is the one that was
// sent, an answer to it, or nothing of interest.
func answer(b []byte, name string, p, wire Packet) string {
	var src, dst netip.Addr
	var protocol byte
	var payload []byte
	if b[0]>>4 == 4 {
		src, dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		protocol, payload = b[9], b[int(b[0]&15)*4:]
	} else if len(b) >= 40 {
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		protocol, payload = b[6], b[40:]
	}
	switch {
	case name == p.Out && src == p.Src && dst == p.Dst:
		return "accept"
	case name != p.In || dst != p.Src || len(payload) < 8:
		return ""
	case protocol == protoTCP && len(payload) > 13 && payload[13]&4 != 0:
		return "reject tcp-reset"
	case protocol == protoICMP && payload[0] == 3:
		return "reject " + map[byte]string{0: "icmp-net-unreachable", 1: "icmp-host-unreachable", 2: "icmp-proto-unreachable", 3: "icmp-port-unreachable",
			9: "icmp-net-prohibited", 10: "icmp-host-prohibited", 13: "icmp-admin-prohibited"}[payload[1]]
	case protocol == protoICMPv6 && payload[0] == 1:
		return "reject " + map[byte]string{0: "icmp6-no-route", 1: "icmp6-adm-prohibited", 3: "icmp6-addr-unreachable", 4: "icmp6-port-unreachable",
			5: "icmp6-policy-fail", 6: "icmp6-reject-route"}[payload[1]]
	}
	return ""
}

// packetBytes returns a packet with its checksums.
func packetBytes(p Packet) []byte {
	payload := make([]byte, 24)
	at := -1 // of the checksum
	binary.BigEndian.PutUint16(payload, uint16(p.Sport))
	binary.BigEndian.PutUint16(payload[2:], uint16(p.Dport))
	switch p.Protocol {
	case protoTCP:
		payload = payload[:20]
		payload[4], payload[12], payload[13], at = 1, 5<<4, byte(p.TCPFlags), 16
	case protoUDP:
		binary.BigEndian.PutUint16(payload[4:], uint16(len(payload)))
		at = 6
	case protoICMP, protoICMPv6:
		clear(payload[:4])
		payload[0], payload[1], at = byte(p.ICMPType), byte(p.ICMPCode), 2
	default:
		if p.Src.Is6() {
			at = 22 // REJECT answers only what has a sum like that of UDP, whatever the protocol
		}
	}
	pseudo := append(p.Src.AsSlice(), p.Dst.AsSlice()...)
	pseudo = append(pseudo, 0, byte(p.Protocol), 0, byte(len(payload)))
	if p.Protocol == protoICMP {
		pseudo = nil
	}
	if at >= 0 {
		binary.BigEndian.PutUint16(payload[at:], checksum(append(pseudo, payload...)))
	}
	return append(header(p, len(payload)), payload...)
}

func header(p Packet, length int) []byte {
	if p.Src.Is6() {
		h := []byte{6 << 4, 0, 0, 0, 0, byte(length), byte(p.Protocol), 64}
		return append(append(h, p.Src.AsSlice()...), p.Dst.AsSlice()...)
	}
	h := []byte{4<<4 | 5, 0, 0, byte(20 + length), 0, 1, 0, 0, 64, byte(p.Protocol), 0, 0}
	h = append(append(h, p.Src.AsSlice()...), p.Dst.AsSlice()...)
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return h
}

func checksum(b []byte) uint16 {
	sum := 0
	for i, c := range b {
		sum += int(c) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
