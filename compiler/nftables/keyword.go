package nftables

import "strings"

// keywords are the words that cannot be names. Later versions reserve a few more;
// a listing of those has no such names either.
var keywords = func() map[string]bool {
	list := map[string]bool{}
	for _, name := range strings.Fields(`accept add ah all and arp auto-merge bridge cgroup chain comment comp constant
		continue counter cpu create ct day dccp define delete describe device devices dnat drop dst dup dynamic ecn
		element elements eq esp ether exists expires export exthdr fib flags flow flowtable flush frag fwd
		gc-interval ge get goto gt handle hbh hook hour ibriport ibrname icmp icmpv6 igmp iif iifgroup iifname
		iiftype import include index inet insert interval ip ip6 ipsec jhash jump le limit list log lshift lt map
		mark masquerade meta meter mh missing monitor ne netdev nftrace not notrack numgen obriport obrname
		offload oif oifgroup oifname oiftype or osf pkttype policy position priority queue quota random redefine
		redirect reject rename replace reset return rshift rt rt0 rt2 rtclassid rule ruleset sctp secmark set size
		skgid skuid snat socket srh symhash synproxy table tcp th time timeout tproxy type typeof udp udplite
		undefine update vlan vmap xor xt`) {
		list[name] = true
	}
	return list
}()

// maxName is the maximum length of a name.
const maxName = 255

// name reads the name of a table, chain, set or object.
func (p *parser) name(of string) string {
	name := p.tok.text
	switch {
	case p.tok.kind != word:
		p.unexpected("the name of a " + of)
	case keywords[name]:
		p.fail("%q is a word of nft, and cannot be the name of a %s", name, of)
	case len(name) > maxName:
		p.fail("the name of a %s has at most %d bytes; this one has %d", of, maxName, len(name))
	}
	p.next()
	return name
}
