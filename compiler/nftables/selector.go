package nftables

import "strings"

// fields are the selectors of two words, by the first: the parts of headers, and
// what the kernel knows of a packet.
var fields = func() map[string]map[string]string {
	list := map[string]map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(`
ether saddr=ether_addr daddr=ether_addr type=ether_type
vlan id cfi dei pcp type=ether_type
arp htype ptype hlen plen operation
ip version=4 hdrlength=4 dscp ecn length=16 id=16 frag-off=16 ttl=8 protocol=inet_proto checksum=16 saddr=ipv4_addr daddr=ipv4_addr
icmp type=icmp_type code=icmp_code checksum=16 id=16 sequence=16 mtu=16 gateway
igmp type mrt=8 checksum=16 group=ipv4_addr
ip6 version=4 dscp ecn flowlabel=20 length=16 nexthdr=inet_proto hoplimit=8 saddr=ipv6_addr daddr=ipv6_addr
icmpv6 type=icmpv6_type code=icmpv6_code checksum=16 parameter-problem param-problem packet-too-big mtu id=16 sequence=16 max-delay=16 taddr=ipv6_addr daddr=ipv6_addr
ah nexthdr=inet_proto hdrlength=8 reserved=16 spi=32 sequence=32
esp spi=32 sequence=32
comp nexthdr=inet_proto flags=8 cpi=16
udp sport=inet_service dport=inet_service length=16 checksum=16
udplite sport=inet_service dport=inet_service csumcov=16 checksum=16
tcp sport=inet_service dport=inet_service sequence=32 ackseq=32 doff=4 reserved=4 flags=tcp_flag window=16 checksum=16 urgptr=16
sctp sport=inet_service dport=inet_service vtag=32 checksum=32
dccp sport=inet_service dport=inet_service type
th sport=inet_service dport=inet_service
gre flags version protocol
vxlan vni flags
geneve vni type
hbh nexthdr=inet_proto hdrlength=8
rt0 nexthdr
rt2 addr=ipv6_addr
srh last-entry flags tag
dst nexthdr=inet_proto hdrlength=8
mh nexthdr=inet_proto hdrlength=8 type reserved checksum
frag nexthdr=inet_proto reserved frag-off reserved2 more-fragments id
meta length=32 protocol=ether_type priority mark=mark random iif=iface_index iifname=ifname iiftype oif=iface_index oifname=ifname oiftype skuid skgid nftrace rtclassid ibriport obriport ibrname=ifname obrname=ifname ibridgename obridgename pkttype cpu iifgroup oifgroup cgroup nfproto=nf_proto l4proto=inet_proto secpath ipsec iifkind oifkind time hour day secmark sdif=iface_index sdifname=ifname broute ibrpvid ibrvproto ibrhwaddr
ct state=ct_state direction=ct_dir status=ct_status mark=mark expiration helper l3proto=nf_proto protocol=inet_proto proto-src=inet_service proto-dst=inet_service label zone=16 event secmark id=32 packets bytes avgpkt
rt classid nexthop mtu ipsec nexthdr=inet_proto hdrlength type seg-left
socket transparent mark=mark wildcard
tunnel id path
`), "\n") {
		words := strings.Fields(line)
		of := map[string]string{}
		for _, w := range words[1:] {
			name, datatype, _ := strings.Cut(w, "=")
			of[name] = datatype
		}
		list[words[0]] = of
	}
	return list
}()

// directed are the selectors after ct original and ct reply.
var directed = map[string]string{
	"ip saddr": "ipv4_addr", "ip daddr": "ipv4_addr", "ip6 saddr": "ipv6_addr", "ip6 daddr": "ipv6_addr",
	"saddr": "", "daddr": "", "l3proto": "nf_proto", "protocol": "inet_proto", "proto-src": "inet_service", "proto-dst": "inet_service",
	"packets": "", "bytes": "", "avgpkt": "", "zone": "16",
}

// alone are the keys of meta that are written without it. Those with true are
// listed so.
var alone = map[string]bool{
	"iif": true, "oif": true, "iifname": true, "oifname": true, "iifgroup": true, "oifgroup": true,
	"mark": false, "iiftype": false, "oiftype": false, "skuid": false, "skgid": false, "nftrace": false, "rtclassid": false,
	"ibriport": false, "obriport": false, "ibrname": false, "obrname": false, "pkttype": false, "cpu": false, "cgroup": false,
}

// datatypeOf returns the type of a selector's values: the name of one, a number of
// bits, or "" for one that is not checked.
func datatypeOf(selector string) string {
	if _, ok := alone[selector]; ok {
		return fields["meta"][selector]
	}
	first, rest, _ := strings.Cut(selector, " ")
	if first == "ct" {
		for _, way := range []string{"original ", "reply "} {
			if key, ok := strings.CutPrefix(rest, way); ok {
				return directed[key]
			}
		}
	}
	if strings.HasPrefix(selector, "fib ") {
		if strings.HasSuffix(selector, " type") {
			return "fib_addrtype"
		}
		return ""
	}
	return fields[first][rest]
}

// startsSelector reports whether the current token begins a selector.
func (p *parser) startsSelector() bool {
	if p.is("@") {
		return true
	}
	if p.tok.kind != word {
		return false
	}
	switch p.tok.text {
	case "fib", "numgen", "symhash", "osf", "ipsec", "exthdr":
		return true
	}
	_, key := alone[p.tok.text]
	return key || fields[p.tok.text] != nil
}

// selector reads a selector. Its text is the name as nft lists it.
func (p *parser) selector() Expr {
	first := p.tok
	if first.is("@") {
		return p.raw()
	}
	p.next()
	switch first.text {
	case "fib":
		return p.fib()
	case "numgen":
		return p.generator(first)
	case "symhash":
		return p.generator(first)
	case "osf", "ipsec", "exthdr":
		return p.several(first)
	}
	if listed, ok := alone[first.text]; ok {
		if listed {
			return Select(first.text)
		}
		return Select("meta " + first.text)
	}
	key := p.tok.text
	known := fields[first.text]
	_, ok := known[key]
	if p.tok.kind != word && p.tok.kind != constant {
		ok = false
	}
	switch {
	case first.text == "ct" && (key == "original" || key == "reply"):
		return p.directed()
	case first.text == "ct" && key == "labels", first.text == "ct" && key == "label":
		p.next()
		return Select("ct label")
	case key == "option" || key == "options" || key == "chunk":
		return p.option(first)
	case first.text == "rt" && (key == "ip" || key == "ip6"):
		p.next()
		p.expect("nexthop")
		return Select("rt " + key + " nexthop")
	case first.text == "rt0" && key == "addr":
		return p.several(first)
	case first.text == "socket" && key == "cgroupv2":
		p.next()
		p.expect("level")
		return Select("socket cgroupv2 level " + p.take())
	case (first.text == "gre" || first.text == "vxlan" || first.text == "geneve" || first.text == "gretap") && !ok && fields[key] != nil:
		inner := p.selector()
		inner.Text = first.text + " " + inner.Text
		return inner
	case !ok:
		p.fail("%q is not a key of %s", key, first.text)
	}
	p.next()
	switch {
	case first.text == "meta" && alone[key]:
		return Select(key)
	case first.text == "meta" && key == "ibridgename":
		key = "ibrname"
	case first.text == "meta" && key == "obridgename":
		key = "obrname"
	case first.text == "meta" && key == "secpath":
		key = "ipsec"
	}
	return Select(first.text + " " + key)
}

// take returns the text of the current token and goes past it.
func (p *parser) take() string {
	if p.tok.separates() || p.tok.kind == junk {
		p.unexpected("")
	}
	text := p.src[p.tok.at:p.tok.end]
	p.next()
	return text
}

// directed reads what follows ct: original or reply, and a key.
func (p *parser) directed() Expr {
	way := p.take()
	key := p.take()
	if key == "ip" || key == "ip6" {
		key += " " + p.take()
	} else if family := p.table.Family; (key == "saddr" || key == "daddr") && (family == IP || family == IP6) {
		key = string(family) + " " + key
	}
	if _, ok := directed[key]; !ok {
		p.fail("%q is not a key of ct %s", key, way)
	}
	if key == "saddr" || key == "daddr" {
		p.fail("write \"ct %s ip %s\" or \"ct %s ip6 %s\": the table has both families", way, key, way, key)
	}
	return Select("ct " + way + " " + key)
}

// raw reads bits at a place: @th,16,16.
func (p *parser) raw() Expr {
	p.next()
	base := p.tok.text
	if p.tok.kind != word || base != "ll" && base != "nh" && base != "th" && base != "ih" {
		p.unexpected("ll, nh or th")
	}
	p.next()
	p.expect(",")
	at := p.take()
	p.expect(",")
	return Select("@" + base + "," + at + "," + p.take())
}

// fib reads a lookup of routes: fib saddr . iif oif.
func (p *parser) fib() Expr {
	text := "fib"
	for {
		switch p.tok.text {
		case "saddr", "daddr", "mark", "iif", "oif":
		default:
			p.unexpected("saddr, daddr, mark, iif or oif")
		}
		text += " " + p.take()
		if !p.accept(".") {
			break
		}
		text += " ."
	}
	switch p.tok.text {
	case "oif", "oifname", "type", "check":
		return Select(text + " " + p.take())
	}
	p.unexpected("oif, oifname or type")
	return Expr{}
}

// generator reads numgen random mod 2 offset 3 and symhash mod 2.
func (p *parser) generator(first token) Expr {
	text := first.text
	if first.text == "numgen" {
		if !p.is("inc") && !p.is("random") {
			p.unexpected("inc or random")
		}
		text += " " + p.take()
	}
	p.expect("mod")
	text += " mod " + p.take()
	if p.accept("offset") {
		text += " offset " + p.take()
	}
	return Select(text)
}

// option reads an option of a header: tcp option maxseg size.
func (p *parser) option(first token) Expr {
	text := first.text + " " + p.take() + " " + p.take()
	if p.accept(",") {
		text += "," + p.take()
		p.expect(",")
		return Select(text + "," + p.take())
	}
	if p.tok.kind == word && optionFields[p.tok.text] {
		text += " " + p.take()
	}
	return Select(text)
}

// optionFields are the parts of options and chunks.
var optionFields = func() map[string]bool {
	list := map[string]bool{}
	for _, name := range strings.Fields(`kind length size left right tsval tsecr count subtype type flags ptr value addr
		tsn stream ssn ppid init-tag a-rwnd num-outbound-streams num-inbound-streams initial-tsn cum-tsn-ack
		num-gap-ack-blocks num-dup-tsns lowest-tsn seqno new-cum-tsn`) {
		list[name] = true
	}
	return list
}()

// several reads selectors of several words.
func (p *parser) several(first token) Expr {
	text := first.text
	switch first.text {
	case "osf":
		if p.accept("ttl") {
			text += " ttl " + p.take()
		}
		if !p.is("name") && !p.is("version") {
			p.unexpected("name or version")
		}
		return Select(text + " " + p.take())
	case "ipsec":
		if !p.is("in") && !p.is("out") {
			p.unexpected("in or out")
		}
		text += " " + p.take()
		if p.accept("spnum") {
			text += " spnum " + p.take()
		}
		if p.is("ip") || p.is("ip6") {
			text += " " + p.take()
		}
		return Select(text + " " + p.take())
	case "exthdr":
		return Select(text + " " + p.take())
	}
	text += " " + p.take()
	p.expect("[")
	text += "[" + p.take() + "]"
	p.expect("]")
	return Select(text)
}
