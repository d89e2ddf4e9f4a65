package nftables

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

// number is the value of a constant, in 128 bits.
type number struct{ high, low uint64 }

func (n number) less(m number) bool { return n.high < m.high || n.high == m.high && n.low < m.low }

// datatype is the type of values. A type whose values are not known takes all.
type datatype struct {
	name string
	bits int
	// mask says that a value is a set of bits, so that a list of them is one.
	mask bool
	// symbols are the names of values; nil where they depend on the host.
	symbols map[string]uint64
	read    func(string) (number, bool)
}

func (d *datatype) parse(text string) (number, bool) {
	if d.read != nil {
		return d.read(text)
	}
	if n, ok := d.symbols[text]; ok {
		return number{low: n}, true
	}
	n, ok := integer(text)
	return n, ok && (d.bits >= 64 || n.low < 1<<d.bits)
}

// datatypes are the types whose values are checked, by their names and, for plain
// numbers, by their widths.
var datatypes = func() map[string]*datatype {
	list := map[string]*datatype{
		"ipv4_addr":    {bits: 32, read: parseIPv4},
		"ipv6_addr":    {bits: 128, read: parseIPv6},
		"inet_service": {bits: 16, read: parseService},
		"inet_proto":   {bits: 8, read: parseProtocol},
		"ifname":       {bits: 128, read: parseName},
		"iface_index":  {bits: 32, read: parseIndex},
		"ether_addr":   {bits: 48, read: parseEthernet},
		"mark":         {bits: 32},
		"ct_state":     {bits: 32, mask: true, symbols: map[string]uint64{"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}},
		"ct_dir":       {bits: 8, symbols: map[string]uint64{"original": 0, "reply": 1}},
		"ct_status": {bits: 32, mask: true, symbols: map[string]uint64{"expected": 1, "seen-reply": 2, "assured": 4, "confirmed": 8, "snat": 16, "dnat": 32,
			"dying": 512}},
		"nf_proto": {bits: 8, symbols: map[string]uint64{"ipv4": 2, "ipv6": 10}},
		"tcp_flag": {bits: 8, mask: true, symbols: map[string]uint64{"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128}},
		"icmp_type": {bits: 8, symbols: map[string]uint64{"echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
			"router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12, "timestamp-request": 13, "timestamp-reply": 14,
			"info-request": 15, "info-reply": 16, "address-mask-request": 17, "address-mask-reply": 18}},
		"icmpv6_type": {bits: 8, symbols: map[string]uint64{"destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
			"echo-request": 128, "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131, "mld-listener-done": 132, "mld-listener-reduction": 132,
			"nd-router-solicit": 133, "nd-router-advert": 134, "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137, "router-renumbering": 138,
			"ind-neighbor-solicit": 141, "ind-neighbor-advert": 142, "mld2-listener-report": 143}},
		"icmp_code": {bits: 8, symbols: map[string]uint64{"net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3, "frag-needed": 4,
			"net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13}},
		"icmpv6_code": {bits: 8, symbols: map[string]uint64{"no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4, "policy-fail": 5,
			"reject-route": 6}},
		"icmpx_code": {bits: 8, symbols: map[string]uint64{"no-route": 0, "port-unreachable": 1, "host-unreachable": 2, "admin-prohibited": 3}},
		"fib_addrtype": {bits: 32, symbols: map[string]uint64{"unspec": 0, "unicast": 1, "local": 2, "broadcast": 3, "anycast": 4, "multicast": 5, "blackhole": 6,
			"unreachable": 7, "prohibit": 8}},
	}
	for _, bits := range []int{4, 8, 16, 20, 32} {
		list[strconv.Itoa(bits)] = &datatype{bits: bits}
	}
	for name, d := range list {
		d.name = name
	}
	return list
}()

// otherTypes are the names of types whose values are not checked.
var otherTypes = func() map[string]bool {
	list := map[string]bool{}
	for _, name := range strings.Fields(`lladdr ether_type arp_op dccp_pkttype mh_type time iface_type uid gid pkt_type devgroup dscp ecn boolean
		ct_event ct_label igmp_type realm classid hour day cgroupsv2 xfrm ip6_rt_hdr`) {
		list[name] = true
	}
	return list
}()

// integer reads a number in decimal, octal or hexadecimal.
func integer(text string) (number, bool) {
	if text == "" || text[0] < '0' || text[0] > '9' {
		return number{}, false
	}
	n, err := strconv.ParseUint(cInteger(text), 0, 64)
	return number{low: n}, err == nil
}

// cInteger writes C's octal as Go's.
func cInteger(text string) string {
	if len(text) > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9' {
		return "0o" + text[1:]
	}
	return text
}

// parseIPv4 reads an address. Host names are refused, and so is a part with a
// leading zero, which is octal for some and decimal for others. A number is an
// address as well.
func parseIPv4(text string) (number, bool) {
	if a, err := netip.ParseAddr(text); err == nil {
		if !a.Is4() {
			return number{}, false
		}
		four := a.As4()
		return number{low: uint64(binary.BigEndian.Uint32(four[:]))}, true
	}
	n, ok := integer(text)
	return n, ok && n.low < 1<<32
}

func parseIPv6(text string) (number, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is6() || a.Zone() != "" {
		return number{}, false
	}
	b := a.As16()
	return number{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}, true
}

func isIPv6(text string) bool {
	_, ok := parseIPv6(text)
	return ok
}

// services are the names of ports that every /etc/services has.
var services = func() map[string]uint64 {
	list := map[string]uint64{}
	for _, w := range strings.Fields(`tcpmux=1 echo=7 discard=9 daytime=13 chargen=19 ftp-data=20 ftp=21 ssh=22 telnet=23 smtp=25 time=37
		domain=53 bootps=67 bootpc=68 tftp=69 gopher=70 finger=79 http=80 kerberos=88 pop3=110 sunrpc=111 ntp=123 netbios-ns=137
		netbios-dgm=138 netbios-ssn=139 imap2=143 imap=143 snmp=161 snmp-trap=162 bgp=179 ldap=389 https=443 microsoft-ds=445 submissions=465
		isakmp=500 syslog=514 submission=587 ldaps=636 rsync=873 imaps=993 pop3s=995 socks=1080 openvpn=1194 ms-sql-s=1433 nfs=2049
		mysql=3306 ms-wbt-server=3389 ipsec-nat-t=4500 sip=5060 sip-tls=5061 mdns=5353 postgresql=5432 amqp=5672 http-alt=8080`) {
		name, port, _ := strings.Cut(w, "=")
		n, _ := strconv.ParseUint(port, 10, 16)
		list[name] = n
	}
	return list
}()

func parseService(text string) (number, bool) {
	if n, ok := services[text]; ok {
		return number{low: n}, true
	}
	n, ok := integer(text)
	return n, ok && n.low < 1<<16
}

func parseProtocol(text string) (number, bool) {
	if text == "icmpv6" {
		return number{low: 58}, true
	}
	if n, ok := integer(text); ok {
		return n, n.low < 1<<8
	}
	n, ok := packet.ParseProtocol(text)
	return number{low: uint64(n)}, ok
}

// parseName reads the name of an interface.
func parseName(text string) (number, bool) {
	if text == "" || len(text) > 15 || text == "*" {
		return number{}, false
	}
	var b [16]byte
	copy(b[:], strings.ReplaceAll(text, `\*`, "*"))
	return number{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}, true
}

// parseIndex reads the name of an interface that exists, or its number. Which
// number a name has depends on the host.
func parseIndex(text string) (number, bool) {
	if n, ok := integer(text); ok {
		return n, n.low < 1<<32
	}
	n, ok := parseName(text)
	return n, ok && !strings.ContainsAny(text, `*\`)
}

func parseEthernet(text string) (number, bool) {
	var n number
	parts := strings.Split(text, ":")
	for _, part := range parts {
		b, err := strconv.ParseUint(part, 16, 8)
		if err != nil {
			return number{}, false
		}
		n.low = n.low<<8 | b
	}
	return n, len(parts) == 6
}

// span is the values from one to another.
type span struct{ low, high number }

// last returns the last value of a prefix.
func (n number) last(free int) number {
	if free >= 64 {
		return number{n.high | (1<<(free-64) - 1), ^uint64(0)}
	}
	return number{n.high, n.low | (1<<free - 1)}
}

// first returns the first value of a prefix.
func (n number) first(free int) number {
	if free >= 64 {
		return number{n.high &^ (1<<(free-64) - 1), 0}
	}
	return number{n.high, n.low &^ (1<<free - 1)}
}

// typesOf returns the types of an expression's parts; nil for one that is not known.
func typesOf(e *Expr) []*datatype {
	if e.Kind == Concat {
		list := make([]*datatype, len(e.Args))
		for i := range e.Args {
			list[i] = typeOf(&e.Args[i])
		}
		return list
	}
	return []*datatype{typeOf(e)}
}

func typeOf(e *Expr) *datatype {
	switch e.Kind {
	case Selector:
		return datatypes[datatypeOf(e.Text)]
	case Binary:
		return typeOf(&e.Args[0])
	}
	return nil
}

// keyTypes returns the types of the parts of a set's key.
func (p *parser) keyTypes(s *Set) []*datatype {
	list := make([]*datatype, len(s.Key))
	for i, key := range s.Key {
		if s.Typeof {
			key = datatypeOf(key)
		}
		list[i] = datatypes[key]
	}
	return list
}

// sameTypes refuses to look up a key of some types in a set of others.
func (p *parser) sameTypes(key, set []*datatype, line int) {
	if len(key) != len(set) {
		p.failAt(line, "the key has %d parts, and the elements of the set have %d", len(key), len(set))
	}
	for i := range key {
		if key[i] != nil && set[i] != nil && key[i].name != set[i].name && (key[i].symbolic() || set[i].symbolic()) {
			p.failAt(line, "the set has elements of the type %s, which do not compare with %s", set[i].name, key[i].name)
		}
	}
}

// symbolic reports whether a type is more than a number.
func (d *datatype) symbolic() bool { return d.name[0] > '9' }

// fits refuses values that are not of a type, and returns their spans, if they are
// known.
func (p *parser) fits(types []*datatype, e *Expr, line int) []span {
	if e.Kind == Concat {
		if len(types) != len(e.Args) {
			p.failAt(line, "%s has %d parts, and %d are wanted", text(e), len(e.Args), len(types))
		}
		spans := make([]span, len(types))
		for i := range e.Args {
			if s, ok := p.spanOf(types[i], &e.Args[i], line); ok && spans != nil {
				spans[i] = s
			} else {
				spans = nil
			}
		}
		return spans
	}
	if len(types) != 1 {
		if e.Kind == Any {
			return nil
		}
		p.failAt(line, "%s is one value, and %d are wanted, joined by dots", text(e), len(types))
	}
	if s, ok := p.spanOf(types[0], e, line); ok {
		return []span{s}
	}
	return nil
}

// spanOf returns the values of an expression, if the type is known.
func (p *parser) spanOf(d *datatype, e *Expr, line int) (s span, ok bool) {
	if e.Kind == Range {
		low, _ := p.spanOf(d, &e.Args[0], line)
		high, known := p.spanOf(d, &e.Args[1], line)
		if known && high.high.less(low.low) {
			p.failAt(line, "%s ends before it starts", text(e))
		}
		return span{low.low, high.high}, known
	}
	if d == nil {
		return s, false
	}
	switch e.Kind {
	case Value:
		if d.name == "ifname" && strings.HasSuffix(e.Text, "*") && !strings.HasSuffix(e.Text, `\*`) {
			return p.wildcard(d, e, line), true
		}
		n, ok := d.parse(e.Text)
		if d.name == "ifname" && !e.Quoted && constants[e.Text] {
			ok = false
		}
		if !ok {
			p.failAt(line, "%s is not %s", strconv.Quote(e.Text), d.words())
		}
		return span{n, n}, true
	case Prefix:
		n, ok := d.parse(e.Text)
		if !ok || int(e.Bits) > d.bits {
			p.failAt(line, "%s is not %s with a length", strconv.Quote(text(e)), d.words())
		}
		free := d.bits - int(e.Bits)
		return span{n.first(free), n.last(free)}, true
	case Binary:
		for i := range e.Args {
			p.spanOf(d, &e.Args[i], line)
		}
	case Flags:
		if !d.mask {
			p.failAt(line, "%s is a list, which only flags can be; write { … } around it", text(e))
		}
		for i := range e.Args {
			p.spanOf(d, &e.Args[i], line)
		}
	}
	return s, false
}

// wildcard returns the names of interfaces that eth* is.
func (p *parser) wildcard(d *datatype, e *Expr, line int) span {
	stem := strings.TrimSuffix(e.Text, "*")
	n, ok := d.parse(stem)
	if !ok {
		p.failAt(line, "%q is not a pattern for names of interfaces", e.Text)
	}
	return span{n, n.last(128 - 8*len(stem))}
}

// words says what a value of a type is.
func (d *datatype) words() string {
	switch d.name {
	case "ipv4_addr":
		return "an IPv4 address"
	case "ipv6_addr":
		return "an IPv6 address"
	case "inet_service":
		return "a port; write its number"
	case "inet_proto":
		return "a protocol"
	case "ifname":
		return "the name of an interface"
	}
	if !d.symbolic() {
		return "a number of " + d.name + " bits"
	}
	return "a value of the type " + d.name
}

func text(e *Expr) string { return string(e.append(nil)) }
