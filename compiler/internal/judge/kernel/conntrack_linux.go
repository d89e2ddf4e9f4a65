package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// Numbers of linux/netfilter/nfnetlink_conntrack.h.
const (
	ctNew    = 1 << 8
	ctDelete = 1<<8 | 2

	ctaTupleOrig   = 1
	ctaTupleReply  = 2
	ctaStatus      = 3
	ctaProtoInfo   = 4
	ctaTimeout     = 7
	ctaMark        = 8
	ctaNATDst      = 13
	ctaTupleMaster = 14

	ctaTupleIP    = 1
	ctaTupleProto = 2

	ctaProtoInfoTCP  = 1
	ctaProtoInfoSCTP = 3

	tcpEstablished  = 3
	sctpEstablished = 4

	ipsSeenReply = 1 << 1
	ipsAssured   = 1 << 2
	ipsConfirmed = 1 << 3
)

// attributes is a list of netlink attributes.
type attributes []byte

func (a attributes) add(kind uint16, value []byte) attributes {
	a = binary.NativeEndian.AppendUint16(a, uint16(4+len(value)))
	a = binary.NativeEndian.AppendUint16(a, kind)
	a = append(a, value...)
	for len(a)%4 != 0 {
		a = append(a, 0)
	}
	return a
}

func (a attributes) nest(kind uint16, inner attributes) attributes {
	return a.add(kind|syscall.NLA_F_NESTED, inner)
}

func (a attributes) byte(kind uint16, v byte) attributes { return a.add(kind, []byte{v}) }

func (a attributes) uint16(kind uint16, v int) attributes {
	return a.add(kind, binary.BigEndian.AppendUint16(nil, uint16(v)))
}

func (a attributes) uint32(kind uint16, v uint32) attributes {
	return a.add(kind, binary.BigEndian.AppendUint32(nil, v))
}

// tuple is one direction of a connection, as conntrack keeps it.
type tuple struct {
	protocol     int
	src, dst     netip.Addr
	sport, dport int
	id           uint16 // of ICMP
	kind, code   byte   // of ICMP
}

// invert returns the other direction's tuple.
func (t tuple) invert() tuple {
	t.src, t.dst, t.sport, t.dport = t.dst, t.src, t.dport, t.sport
	t.kind = invertICMP(t.protocol, t.kind)
	return t
}

// invertICMP returns the type that answers the type, and back.
func invertICMP(protocol int, kind byte) byte {
	pairs := [][2]byte{{8, 0}, {13, 14}, {15, 16}, {17, 18}}
	if protocol == protoICMPv6 {
		pairs = [][2]byte{{128, 129}, {139, 140}}
	}
	for _, pair := range pairs {
		switch kind {
		case pair[0]:
			return pair[1]
		case pair[1]:
			return pair[0]
		}
	}
	return kind
}

func (t tuple) attributes() attributes {
	first := uint16(1)
	if t.src.Is6() {
		first = 3
	}
	ip := attributes{}.add(first, t.src.AsSlice()).add(first+1, t.dst.AsSlice())
	proto := attributes{}.byte(1, byte(t.protocol))
	switch {
	case t.protocol == protoICMP && t.src.Is4():
		proto = proto.uint16(4, int(t.id)).byte(5, t.kind).byte(6, t.code)
	case t.protocol == protoICMPv6 && t.src.Is6():
		proto = proto.uint16(7, int(t.id)).byte(8, t.kind).byte(9, t.code)
	default:
		proto = proto.uint16(2, t.sport).uint16(3, t.dport)
	}
	return attributes{}.nest(ctaTupleIP, ip).nest(ctaTupleProto, proto)
}

// original returns the tuple of the direction in which the packet's connection
// was opened: for an ICMP error, of the TCP connection that it is about.
func (p Packet) original(id uint32) tuple {
	dst, dport := p.wireDst()
	t := tuple{protocol: p.Protocol, src: p.Src, dst: dst}
	switch {
	case p.icmpError():
		t.protocol = protoTCP
		t.sport, t.dport = p.Sport, dport
	case p.icmp():
		t.id, t.kind, t.code = uint16(id), p.ICMPType, p.ICMPCode
	case p.tracksPorts():
		t.sport, t.dport = p.Sport, dport
	}
	if p.reply() || p.State == StateInvalid {
		t = t.invert()
	}
	if p.reply() && p.DNAT() {
		t.dst = p.OrigDst
		if t.protocol != protoGRE && t.dport != 0 {
			t.dport = p.origPort(t.dport)
		}
	}
	return t
}

// translated returns the destination after DNAT, with a port where there is one.
func (p Packet) translated() (netip.Addr, int) {
	addr, port := p.Dst, p.Dport
	if p.reply() {
		addr, port = p.Src, p.Sport
	}
	if p.tracksPorts() || p.icmpError() {
		return addr, port
	}
	return addr, 0
}

func (p Packet) status() uint32 {
	if p.State == StateNew || p.State == StateRelated && !p.icmpError() {
		return ipsConfirmed
	}
	return ipsConfirmed | ipsSeenReply | ipsAssured
}

// entryAttributes describes the entry that puts the packet in its state. An
// entry without IPS_SEEN_REPLY is NEW, one with a master is RELATED
// (nf_conntrack_core.c, resolve_normal_ct).
func (p Packet) entryAttributes(id uint32, master *tuple) attributes {
	orig := p.original(id)
	a := attributes{}.nest(ctaTupleOrig, orig.attributes()).nest(ctaTupleReply, orig.invert().attributes())
	a = a.uint32(ctaTimeout, 300).uint32(ctaStatus, p.status())
	if p.ConnMark != 0 {
		a = a.uint32(ctaMark, p.ConnMark)
	}
	if p.DNAT() {
		a = a.nest(ctaNATDst, p.natAttributes())
	}
	if p.status() != ipsConfirmed {
		a = append(a, protoInfo(orig.protocol)...)
	}
	if master != nil {
		a = a.nest(ctaTupleMaster, master.attributes())
	}
	return a
}

func (p Packet) natAttributes() attributes {
	addr, port := p.translated()
	first := uint16(1)
	if addr.Is6() {
		first = 4
	}
	a := attributes{}.add(first, addr.AsSlice()).add(first+1, addr.AsSlice())
	if port != 0 {
		a = a.nest(3, attributes{}.uint16(1, port).uint16(2, port))
	}
	return a
}

// protoInfo says that the connection is open.
func protoInfo(protocol int) attributes {
	var a attributes
	switch protocol {
	case protoTCP:
		a = a.nest(ctaProtoInfo, attributes{}.nest(ctaProtoInfoTCP, attributes{}.byte(1, tcpEstablished)))
	case protoSCTP:
		sctp := attributes{}.byte(1, sctpEstablished).uint32(2, sctpTag).uint32(3, sctpTag)
		a = a.nest(ctaProtoInfo, attributes{}.nest(ctaProtoInfoSCTP, sctp))
	}
	return a
}

// masterOf returns the tuple of the connection that an expected one belongs to.
func (p Packet) masterOf(id uint32) *tuple {
	if p.State != StateRelated || p.icmpError() {
		return nil
	}
	t := tuple{protocol: protoUDP, src: own4.Addr(), dst: own4.Addr().Next(), sport: int(uint16(id)), dport: 9}
	if p.Family == 6 {
		t.src, t.dst = own6.Addr(), own6.Addr().Next()
	}
	return &t
}

// insert makes the entries in conntrack that the packet needs.
func (h *Host) insert(p Packet, id uint32) error {
	if !p.entry() {
		return nil
	}
	master := p.masterOf(id)
	if master != nil {
		a := attributes{}.nest(ctaTupleOrig, master.attributes()).nest(ctaTupleReply, master.invert().attributes())
		a = a.uint32(ctaTimeout, 300).uint32(ctaStatus, ipsConfirmed|ipsSeenReply|ipsAssured)
		if err := h.conntrack(ctNew, p.Family, a); err != nil {
			return fmt.Errorf("conntrack master: %w", err)
		}
	}
	if err := h.conntrack(ctNew, p.Family, p.entryAttributes(id, master)); err != nil {
		return fmt.Errorf("conntrack entry, protocol %d: %w", p.Protocol, err)
	}
	return nil
}

// forget removes what the packet and insert left in conntrack.
func (h *Host) forget(p Packet, id uint32) error {
	if !p.entry() && p.State != StateNew {
		return nil
	}
	tuples := []tuple{p.original(id)}
	if m := p.masterOf(id); m != nil {
		tuples = append(tuples, *m)
	}
	for _, t := range tuples {
		err := h.conntrack(ctDelete, p.Family, attributes{}.nest(ctaTupleOrig, t.attributes()))
		if err != nil && !errors.Is(err, syscall.ENOENT) {
			return fmt.Errorf("conntrack delete, protocol %d: %w", t.protocol, err)
		}
	}
	return nil
}

// conntrack sends one message and waits for its acknowledgement.
func (h *Host) conntrack(kind uint16, family int, a attributes) error {
	flags := uint16(syscall.NLM_F_REQUEST | syscall.NLM_F_ACK)
	if kind == ctNew {
		flags |= syscall.NLM_F_CREATE | syscall.NLM_F_EXCL
	}
	h.sequence++
	b := binary.NativeEndian.AppendUint32(nil, uint32(20+len(a)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, h.sequence)
	b = append(b, 0, 0, 0, 0, addressFamily(family), 0, 0, 0)
	if err := syscall.Sendto(h.netlink, append(b, a...), 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return err
	}
	return h.acknowledged()
}

func (h *Host) acknowledged() error {
	buf := make([]byte, 8192)
	for {
		n, _, err := syscall.Recvfrom(h.netlink, buf, 0)
		if err != nil {
			return err
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return err
		}
		for _, m := range messages {
			if m.Header.Seq != h.sequence || m.Header.Type != syscall.NLMSG_ERROR {
				continue
			}
			if errno := int32(binary.NativeEndian.Uint32(m.Data)); errno != 0 {
				return syscall.Errno(-errno)
			}
			return nil
		}
	}
}

func addressFamily(family int) byte {
	if family == 6 {
		return syscall.AF_INET6
	}
	return syscall.AF_INET
}
