package nftoracle

import (
	"net/netip"
)

// An operand is what one expression loads: a part of a concatenation.
type operand struct {
	kind
	value
}

// load evaluates an expression to its operands, of which a concatenation has
// several. The answer is no when an expression has nothing to load, which ends
// the rule (NFT_BREAK), and maybe when nobody knows.
func (e env) load(x any) ([]operand, tri) {
	tag, arg := only(x)
	switch tag {
	case "concat":
		return e.concat(list(arg))
	case "&", "|", "^", "<<", ">>":
		return e.binary(tag, list(arg))
	}
	o, _ := arg.(map[string]any)
	var k kind
	var v value
	result := maybe
	switch tag {
	case "payload":
		k, v, result = e.payload(o)
	case "meta":
		k, v, result = e.meta(o)
	case "ct":
		k, v, result = e.ct(o)
	}
	if result == maybe {
		v = unknownOf(k)
	}
	return []operand{{k, v}}, result
}

func (e env) concat(parts []any) ([]operand, tri) {
	var operands []operand
	result := yes
	for _, part := range parts {
		one, ok := e.load(part)
		result = min(result, ok)
		operands = append(operands, one...)
	}
	return operands, result
}

// binary evaluates an operation of an expression and a constant. Bits that are
// not known stay so unless the constant decides them.
func (e env) binary(op string, args []any) ([]operand, tri) {
	if len(args) < 2 {
		return []operand{{anythingKind, unknownOf(anythingKind)}}, maybe
	}
	left, ok := e.load(args[0])
	for _, arg := range args[1:] {
		if ok == no || len(left) != 1 {
			return left, min(ok, maybe)
		}
		right, isConstant := left[0].constant(arg)
		if !isConstant || len(right) != left[0].width {
			return []operand{{left[0].kind, unknownOf(left[0].kind)}}, min(ok, maybe)
		}
		left[0].value = left[0].operate(op, right)
	}
	return left, ok
}

func (v value) operate(op string, c []byte) value {
	result := value{make([]byte, len(c)), make([]byte, len(c))}
	for i := range c {
		d, k := v.data[i]&v.known[i], v.known[i]
		switch op {
		case "&":
			result.data[i], result.known[i] = d&c[i], k|^c[i]
		case "|":
			result.data[i], result.known[i] = d|c[i], k|c[i]
		case "^":
			result.data[i], result.known[i] = (d^c[i])&k, k
		}
	}
	if op == "<<" || op == ">>" {
		n := int(c[len(c)-1])
		if op == ">>" {
			n = -n
		}
		result.data, result.known = shift(v.data, n, 0), shift(v.known, n, 1)
	}
	return result
}

// shift moves bits to the left (or by a negative number to the right) and fills
// up with a bit.
func shift(b []byte, n int, fill byte) []byte {
	result := make([]byte, len(b))
	bit := func(i int) byte {
		if i < 0 || i >= 8*len(b) {
			return fill
		}
		return b[i/8] >> (7 - i%8) & 1
	}
	for i := range 8 * len(b) {
		result[i/8] |= bit(i+n) << (7 - i%8)
	}
	return result
}

// payload loads a field of the packet's headers. nft puts a check of the
// protocol before it, and leaves the check out of its listing: in an inet table
// also one of the family, before ip, ip6, icmp and icmpv6. No further fragment
// has a transport header (nft_payload_eval).
func (e env) payload(o map[string]any) (kind, value, tri) {
	p := e.packet
	protocol, _ := o["protocol"].(string)
	field, _ := o["field"].(string)
	if result := e.protocolIs(protocol); result == no {
		return anythingKind, value{}, no
	}
	k, v, result := p.field(protocol, field)
	if e.memory.mangled {
		result = min(result, maybe)
	}
	return k, v, result
}

// protocolIs reports whether the packet has the header at all.
func (e env) protocolIs(protocol string) tri {
	p, inet := e.packet, e.table.family == "inet"
	transport := map[string]int{"tcp": protoTCP, "udp": protoUDP, "udplite": protoUDPLite, "sctp": protoSCTP,
		"dccp": protoDCCP, "icmp": protoICMP, "icmpv6": protoICMPv6, "esp": 50, "ah": 51, "comp": 108, "igmp": 2}
	switch protocol {
	case "ip":
		return triOf(p.family() == 4)
	case "ip6":
		return triOf(p.family() == 6)
	case "th":
		return triOf(!p.Fragment)
	case "icmp", "igmp":
		if inet && p.family() != 4 {
			return no
		}
	case "icmpv6":
		if inet && p.family() != 6 {
			return no
		}
	}
	n, ok := transport[protocol]
	if !ok {
		return maybe
	}
	return triOf(p.Protocol == n && !p.Fragment)
}

// field returns what is in a header that the packet has.
func (p Packet) field(protocol, field string) (kind, value, tri) {
	switch protocol + " " + field {
	case "ip saddr", "ip6 saddr":
		return loadAddress(p.Src)
	case "ip daddr", "ip6 daddr":
		return loadAddress(p.Dst)
	case "ip protocol":
		return loadNumber(protocolKind, p.Protocol)
	case "ip6 nexthdr":
		if p.Fragment {
			return protocolKind, value{}, maybe // the fragment header's number, or another's
		}
		return loadNumber(protocolKind, p.Protocol)
	case "tcp flags":
		return loadNumber(flagsKind, p.TCPFlags)
	case "icmp type":
		return loadNumber(icmpKind, p.ICMPType)
	case "icmpv6 type":
		return loadNumber(icmpv6Kind, p.ICMPType)
	case "icmp code":
		return loadNumber(icmpCodes, p.ICMPCode)
	case "icmpv6 code":
		return loadNumber(icmpv6Codes, p.ICMPCode)
	}
	switch field {
	case "sport", "dport":
		return p.port(field)
	}
	return anythingKind, value{}, maybe
}

// port loads a port. "th" has no check of the protocol: where a packet of ICMP
// has its type and code, "th sport" finds them; what others have there is not
// known.
func (p Packet) port(field string) (kind, value, tri) {
	icmp := p.Protocol == protoICMP || p.Protocol == protoICMPv6
	switch {
	case p.ported() && field == "sport":
		return loadNumber(portKind, p.Sport)
	case p.ported():
		return loadNumber(portKind, p.Dport)
	case icmp && field == "sport":
		return loadNumber(portKind, p.ICMPType<<8|p.ICMPCode)
	}
	return portKind, value{}, maybe
}

func loadAddress(a netip.Addr) (kind, value, tri) {
	switch {
	case !a.IsValid():
		return ipv6Kind, value{}, maybe
	case a.Is4():
		return ipv4Kind, exactly(a.AsSlice()), yes
	}
	return ipv6Kind, exactly(a.AsSlice()), yes
}

func loadNumber(k kind, n int) (kind, value, tri) {
	if n < 0 {
		return k, value{}, maybe
	}
	return k, k.number(uint64(n)), yes
}

// meta loads what nft_meta.c knows of the packet. An interface that the hook
// does not have is loaded as an empty name, so that "!=" matches.
func (e env) meta(o map[string]any) (kind, value, tri) {
	p := e.packet
	key, _ := o["key"].(string)
	six := p.family() == 6
	switch key {
	case "l4proto":
		return loadNumber(protocolKind, p.Protocol)
	case "nfproto":
		return loadNumber(familyKind, map[bool]int{false: 2, true: 10}[six])
	case "protocol":
		return loadNumber(etherKind, map[bool]int{false: 0x0800, true: 0x86dd}[six])
	case "iifname", "iif":
		return nameKind, exactly(nameKind.text(p.In)), yes
	case "oifname", "oif":
		return nameKind, exactly(nameKind.text(p.Out)), yes
	case "mark":
		m := e.memory.mark
		return markKind, m.value(), yes
	}
	return anythingKind, value{}, maybe
}

// ct loads what conntrack knows (nft_ct_get_eval). Only the state can be loaded
// of a packet without an entry.
func (e env) ct(o map[string]any) (kind, value, tri) {
	p := e.packet
	key, _ := o["key"].(string)
	dir, _ := o["dir"].(string)
	if key == "state" {
		return stateKind, stateKind.number(stateKind.words[e.state()]), yes
	}
	if !p.Known {
		return anythingKind, value{}, no
	}
	switch key {
	case "direction":
		return loadNumber(dirKind, map[bool]int{true: 1}[p.Reply])
	case "status":
		return statusKind, p.status(), yes
	case "mark":
		m := e.memory.connMark
		return markKind, m.value(), yes
	case "l3proto":
		return loadNumber(familyKind, map[bool]int{false: 2, true: 10}[p.family() == 6])
	case "protocol":
		return loadNumber(protocolKind, p.tracked())
	}
	return p.tuple(key, dir)
}

// status knows the bits of address translation only.
func (p Packet) status() value {
	v := unknownOf(statusKind)
	copy(v.known, statusKind.encode(snatBit|dnatBit))
	n := uint64(0)
	if p.SNAT {
		n |= snatBit
	}
	if p.DNAT {
		n |= dnatBit
	}
	copy(v.data, statusKind.encode(n))
	return v
}

// tuple loads a part of one of the two tuples. "ct original ip saddr" has
// nothing to load from a connection of IPv6, "ct original saddr" (which nft
// takes in ip and ip6 tables) has.
func (p Packet) tuple(key, dir string) (kind, value, tri) {
	six := p.family() == 6
	switch key {
	case "ip saddr", "ip daddr":
		if six {
			return ipv4Kind, value{}, no
		}
		key = key[len("ip "):]
	case "ip6 saddr", "ip6 daddr":
		if !six {
			return ipv6Kind, value{}, no
		}
		key = key[len("ip6 "):]
	}
	t := p.tupleOf(dir)
	switch key {
	case "saddr":
		return familyAddress(t.src, six)
	case "daddr":
		return familyAddress(t.dst, six)
	case "proto-src":
		return loadNumber(portKind, t.sport)
	case "proto-dst":
		return loadNumber(portKind, t.dport)
	}
	return anythingKind, value{}, maybe
}

func familyAddress(a netip.Addr, six bool) (kind, value, tri) {
	if !a.IsValid() && !six {
		return ipv4Kind, value{}, maybe
	}
	return loadAddress(a)
}

// tuple is one direction of a connection, as far as it is known.
type tuple struct {
	src, dst     netip.Addr
	sport, dport int
}

// tupleOf returns the original or the reply tuple. The reply one comes from
// where the packet goes to after DNAT, and goes to where it came from; after
// SNAT that is not known, nor are the ports of what has none.
func (p Packet) tupleOf(dir string) tuple {
	switch dir {
	case "original":
		return tuple{p.OrigSrc, p.OrigDst, p.OrigSport, p.OrigDport}
	case "reply":
	default:
		return tuple{sport: Unknown, dport: Unknown}
	}
	t := tuple{p.Dst, p.Src, p.Dport, p.Sport}
	if p.Reply {
		t = tuple{p.Src, p.Dst, p.Sport, p.Dport}
	}
	if p.SNAT {
		t.dst, t.dport = netip.Addr{}, Unknown
	}
	if !p.ported() {
		t.sport, t.dport = Unknown, Unknown
	}
	return t
}
