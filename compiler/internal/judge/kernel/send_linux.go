package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"
)

// etherTest is a protocol for experiments, which no host handles.
const etherTest = 0x88b5

// A port is a packet socket at one interface.
type port struct{ fd, index int }

// Linux's numbers that package syscall lacks.
const (
	soRcvBufForce        = 33
	packetStatistics     = 6
	packetIgnoreOutgoing = 23
)

func (h *Host) openSockets() error {
	for _, s := range []struct {
		n        *namespace
		name     string
		protocol uint16
		to       **port
	}{
		{h.client, "client", syscall.ETH_P_ALL, &h.outside},
		{h.server, "server", syscall.ETH_P_ALL, &h.inside},
		{h.client, "sent0", etherTest, &h.sentinelOut},
		{h.client, "sent1", etherTest, &h.sentinelIn},
	} {
		p, err := openPort(s.n, s.name, s.protocol)
		if err != nil {
			return err
		}
		*s.to = p
		h.closers = append(h.closers, func() { syscall.Close(p.fd) })
	}
	if err := h.openNetlink(); err != nil {
		return err
	}
	wait := syscall.Timeval{Sec: 10}
	if err := syscall.SetsockoptTimeval(h.sentinelIn.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &wait); err != nil {
		return err
	}
	return h.chooseCPU()
}

func (h *Host) openNetlink() error {
	return h.host.do(func() error {
		fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_NETFILTER)
		if err != nil {
			return err
		}
		h.netlink = fd
		h.closers = append(h.closers, func() { syscall.Close(fd) })
		wait := syscall.Timeval{Sec: 10}
		return syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &wait)
	})
}

func openPort(n *namespace, name string, protocol uint16) (*port, error) {
	p := &port{fd: -1}
	err := n.do(func() error {
		i, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		p.index = i.Index
		p.fd, err = syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return p.open(protocol)
	})
	if err != nil && p.fd >= 0 {
		syscall.Close(p.fd)
	}
	return p, err
}

func (p *port) open(protocol uint16) error {
	if err := syscall.SetsockoptInt(p.fd, syscall.SOL_PACKET, packetIgnoreOutgoing, 1); err != nil {
		return err
	}
	if err := syscall.SetsockoptInt(p.fd, syscall.SOL_SOCKET, soRcvBufForce, 8<<20); err != nil {
		return err
	}
	return syscall.Bind(p.fd, &syscall.SockaddrLinklayer{Protocol: networkOrder(protocol), Ifindex: p.index})
}

func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// affinity calls sched_setaffinity or sched_getaffinity for this thread.
func affinity(number uintptr, mask *[128]byte) error {
	_, _, errno := syscall.RawSyscall(number, 0, uintptr(len(mask)), uintptr(unsafe.Pointer(mask)))
	if errno != 0 {
		return fmt.Errorf("affinity: %w", errno)
	}
	return nil
}

// chooseCPU chooses one of the processors that this process may run on.
func (h *Host) chooseCPU() error {
	var mask [128]byte
	if err := affinity(syscall.SYS_SCHED_GETAFFINITY, &mask); err != nil {
		return err
	}
	var allowed []int
	for i := range len(mask) * 8 {
		// The kernel's mask is in words of the machine's order.
		if binary.NativeEndian.Uint64(mask[i/64*8:])>>(i%64)&1 != 0 {
			allowed = append(allowed, i)
		}
	}
	h.cpu = allowed[os.Getpid()%len(allowed)]
	return nil
}

// An Outcome is what became of a packet: "accept" when it came out at the other
// side, "reject " and a name of --reject-with when it was answered, "drop" when
// nothing happened.
type Outcome struct{ Verdict string }

// Verdicts.
const (
	Accept = "accept"
	Drop   = "drop"
)

// maxRound bounds how many packets are under way at a time; the kernel queues
// 1,000 for a processor.
const maxRound = 200

// Send sends the packets through the host and returns what became of each. No
// packet finds another's entry in conntrack. The answer to a rejected packet
// passes the chain OUTPUT: where the file drops it there, the packet counts as
// dropped.
func (h *Host) Send(packets []Packet) ([]Outcome, error) {
	for i, p := range packets {
		if err := p.Check(); err != nil {
			return nil, fmt.Errorf("packet %d: %w", i, err)
		}
		if !h.ready[p.Family] {
			return nil, fmt.Errorf("packet %d: no file for family %d is loaded", i, p.Family)
		}
	}
	if err := h.addMarks(packets); err != nil {
		return nil, err
	}
	return h.send(packets)
}

func (h *Host) send(packets []Packet) ([]Outcome, error) {
	outcomes := make([]Outcome, len(packets))
	err := h.pinned(func() error {
		for _, round := range rounds(packets) {
			if err := h.sendRound(packets, round, outcomes); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return outcomes, nil
}

// flow is a connection regardless of direction.
type flow struct {
	protocol int
	a, b     netip.AddrPort
}

func newFlow(t tuple) flow {
	if t.id != 0 {
		t.sport, t.dport = int(t.id), int(t.id)
	}
	f := flow{t.protocol, netip.AddrPortFrom(t.src, uint16(t.sport)), netip.AddrPortFrom(t.dst, uint16(t.dport))}
	if f.b.Compare(f.a) < 0 {
		f.a, f.b = f.b, f.a
	}
	return f
}

// flows returns the connections that the packet may touch, as they are before
// and after DNAT. ICMP's identifiers differ from packet to packet.
func (p Packet) flows(id uint32) []flow {
	t := p.original(id)
	fs := []flow{newFlow(t)}
	if p.DNAT() {
		t.dst, t.dport = p.translated()
		fs = append(fs, newFlow(t))
	}
	return fs
}

// rounds divides the packets into lists of indices, so that no two of a list
// touch one connection.
func rounds(packets []Packet) [][]int {
	var lists [][]int
	var busy []map[flow]bool
	for i, p := range packets {
		r, fs := 0, p.flows(uint32(i+1))
		for r < len(lists) && (len(lists[r]) == maxRound || anyBusy(busy[r], fs)) {
			r++
		}
		if r == len(lists) {
			lists, busy = append(lists, nil), append(busy, map[flow]bool{})
		}
		lists[r] = append(lists[r], i)
		for _, f := range fs {
			busy[r][f] = true
		}
	}
	return lists
}

func anyBusy(busy map[flow]bool, fs []flow) bool {
	for _, f := range fs {
		if busy[f] {
			return true
		}
	}
	return false
}

// sent is a packet of a round on its way.
type sent struct {
	crafted
	index int
	id    uint32
}

func (h *Host) sendRound(packets []Packet, round []int, outcomes []Outcome) (err error) {
	batch := make([]sent, len(round))
	for i, index := range round {
		h.next++
		batch[i] = sent{packets[index].craft(token{h.magic, h.next}), index, h.next}
		outcomes[index].Verdict = Drop
	}
	defer func() {
		for _, s := range batch {
			err = errors.Join(err, h.forget(packets[s.index], s.id))
		}
	}()
	for _, s := range batch {
		if err := h.insert(packets[s.index], s.id); err != nil {
			return fmt.Errorf("packet %d: %w", s.index, err)
		}
	}
	for _, s := range batch {
		if err := h.emit(packets[s.index], s.bytes); err != nil {
			return fmt.Errorf("packet %d: %w", s.index, err)
		}
	}
	if err := h.sentinel(); err != nil {
		return err
	}
	return errors.Join(h.collect(h.outside, packets, batch, outcomes), h.collect(h.inside, packets, batch, outcomes))
}

// emit sends one packet in an Ethernet frame.
func (h *Host) emit(p Packet, packet []byte) error {
	from, dst, src := h.outside, hostOutsideMAC, clientMAC
	if p.FromServer {
		from, dst, src = h.inside, hostInsideMAC, serverMAC
	}
	if p.Mark != 0 {
		n, _ := h.number(p.Family, p.Mark)
		src = markMAC(n)
	}
	kind := uint16(syscall.ETH_P_IP)
	if p.Family == 6 {
		kind = syscall.ETH_P_IPV6
	}
	return from.write(dst, src, kind, packet)
}

func (p *port) write(dst, src [6]byte, kind uint16, payload []byte) error {
	frame := append(dst[:len(dst):len(dst)], src[:]...)
	frame = binary.BigEndian.AppendUint16(frame, kind)
	frame = append(frame, payload...)
	to := &syscall.SockaddrLinklayer{Protocol: networkOrder(kind), Ifindex: p.index}
	return syscall.Sendto(p.fd, frame, 0, to)
}

// sentinel waits until every packet that was sent has been dealt with. The
// kernel handles what comes in on one processor in order, one hop at a time,
// so what was under way before a frame of the sentinel's is a hop further when
// that frame has arrived. A packet takes two hops, an answer too. The frames
// pass between two interfaces of the client's, where no rule sees them.
func (h *Host) sentinel() error {
	var buf [64]byte
	for range 4 {
		h.sequence++
		mark := binary.BigEndian.AppendUint32(nil, h.sequence)
		if err := h.sentinelOut.write([6]byte{255, 255, 255, 255, 255, 255}, clientMAC, etherTest, mark); err != nil {
			return err
		}
		for {
			n, _, err := syscall.Recvfrom(h.sentinelIn.fd, buf[:], 0)
			if err == syscall.EINTR {
				continue
			}
			if err != nil {
				return fmt.Errorf("sentinel: %w", err)
			}
			if n >= 18 && bytes.Equal(buf[14:18], mark) {
				break
			}
		}
	}
	return nil
}

// collect reads all frames that arrived at a port.
func (h *Host) collect(p *port, packets []Packet, batch []sent, outcomes []Outcome) error {
	buf := make([]byte, 2048)
	for {
		n, _, err := syscall.Recvfrom(p.fd, buf, syscall.MSG_DONTWAIT)
		if err == syscall.EINTR {
			continue
		}
		if err == syscall.EAGAIN {
			return p.lost()
		}
		if err != nil {
			return err
		}
		if n > 14 {
			h.judge(buf[14:n], p == h.inside, packets, batch, outcomes)
		}
	}
}

// lost reports an error when the socket had no room for a frame.
func (p *port) lost() error {
	var stats [2]uint32
	size := uint32(unsafe.Sizeof(stats))
	_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, uintptr(p.fd), syscall.SOL_PACKET, packetStatistics,
		uintptr(unsafe.Pointer(&stats)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return fmt.Errorf("statistics: %w", errno)
	}
	if stats[1] != 0 {
		return fmt.Errorf("%d frames were lost", stats[1])
	}
	return nil
}

// judge recognizes a frame and notes what it means for its packet. The packet
// itself comes out at the other side with the token where it was; an ICMP error
// quotes it behind headers of its own.
func (h *Host) judge(b []byte, inside bool, packets []Packet, batch []sent, outcomes []Outcome) {
	at := bytes.Index(b, h.magic[:])
	if at < 0 || len(b) < at+12 {
		judgeReset(b, packets, batch, outcomes)
		return
	}
	id := binary.BigEndian.Uint32(b[at+8:])
	first := batch[0].id
	if id-first >= uint32(len(batch)) {
		return
	}
	s := batch[id-first]
	switch {
	case at == s.at && inside != packets[s.index].FromServer:
		outcomes[s.index].Verdict = Accept
	case at > s.at:
		outcomes[s.index].Verdict = "reject " + errorName(b)
	}
}

// errorNames are the names of --reject-with (libipt_REJECT, libip6t_REJECT).
var errorNames = map[[2]byte]string{
	{3, 0}: "icmp-net-unreachable", {3, 1}: "icmp-host-unreachable", {3, 2}: "icmp-proto-unreachable",
	{3, 3}: "icmp-port-unreachable", {3, 9}: "icmp-net-prohibited", {3, 10}: "icmp-host-prohibited",
	{3, 13}: "icmp-admin-prohibited",
}

var errorNames6 = map[[2]byte]string{
	{1, 0}: "icmp6-no-route", {1, 1}: "icmp6-adm-prohibited", {1, 3}: "icmp6-addr-unreachable",
	{1, 4}: "icmp6-port-unreachable", {1, 5}: "icmp6-policy-fail", {1, 6}: "icmp6-reject-route",
}

// errorName names the ICMP error in an IP packet.
func errorName(b []byte) string {
	offset, names := 20, errorNames
	if b[0]>>4 == 6 {
		offset, names = 40, errorNames6
	}
	kind := [2]byte{b[offset], b[offset+1]}
	if name, ok := names[kind]; ok {
		return name
	}
	return fmt.Sprintf("icmp %d/%d", kind[0], kind[1])
}

// judgeReset recognizes a TCP reset by its number and addresses.
func judgeReset(b []byte, packets []Packet, batch []sent, outcomes []Outcome) {
	r, ok := parseReset(b)
	if !ok {
		return
	}
	for _, s := range batch {
		p := packets[s.index]
		if p.Protocol != protoTCP || int(r.dport) != p.Sport || r.dst != p.Src {
			continue
		}
		number := r.ack
		if p.TCPFlags&ACK != 0 {
			number = r.seq
		}
		if number == s.rst {
			outcomes[s.index].Verdict = "reject tcp-reset"
		}
	}
}

// reset is what identifies a TCP reset.
type reset struct {
	dst      netip.Addr
	dport    uint16
	seq, ack uint32
}

func parseReset(b []byte) (reset, bool) {
	var r reset
	var tcp []byte
	switch {
	case len(b) >= 40 && b[0] == 0x45 && b[9] == protoTCP:
		r.dst, tcp = netip.AddrFrom4([4]byte(b[16:20])), b[20:]
	case len(b) >= 60 && b[0]>>4 == 6 && b[6] == protoTCP:
		r.dst, tcp = netip.AddrFrom16([16]byte(b[24:40])), b[40:]
	default:
		return r, false
	}
	r.dport = binary.BigEndian.Uint16(tcp[2:])
	r.seq, r.ack = binary.BigEndian.Uint32(tcp[4:]), binary.BigEndian.Uint32(tcp[8:])
	return r, tcp[13]&RST != 0
}
