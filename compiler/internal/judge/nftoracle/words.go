package nftoracle

// The kinds of what expressions load, with nft's words ("nft describe").
var (
	ipv4Kind     = kind{width: 4, form: address}
	ipv6Kind     = kind{width: 16, form: address}
	portKind     = kind{width: 2}
	markKind     = kind{width: 4}
	nameKind     = kind{width: 16, form: name}
	protocolKind = kind{width: 1, words: protocols}
	familyKind   = kind{width: 1, words: map[string]uint64{"ipv4": 2, "ipv6": 10}}
	etherKind    = kind{width: 2, words: map[string]uint64{"ip": 0x0800, "ip6": 0x86dd, "arp": 0x0806, "vlan": 0x8100}}
	dirKind      = kind{width: 1, words: map[string]uint64{"original": 0, "reply": 1}}
	stateKind    = kind{width: 4, form: bits, words: map[string]uint64{
		"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}}
	statusKind = kind{width: 4, form: bits, words: map[string]uint64{
		"expected": 1, "seen-reply": 2, "assured": 4, "confirmed": 8, "snat": snatBit, "dnat": dnatBit, "dying": 0x200}}
	flagsKind = kind{width: 1, form: bits, words: map[string]uint64{
		"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128}}
	icmpKind     = kind{width: 1, words: icmpTypes}
	icmpv6Kind   = kind{width: 1, words: icmpv6Types}
	icmpCodes    = kind{width: 1, words: rejectCodes["icmp"]}
	icmpv6Codes  = kind{width: 1, words: rejectCodes["icmpv6"]}
	anythingKind = kind{width: 0}
)

const (
	snatBit = 0x10
	dnatBit = 0x20
)

var icmpTypes = map[string]uint64{
	"echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
	"router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
	"timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16,
	"address-mask-request": 17, "address-mask-reply": 18,
}

var icmpv6Types = map[string]uint64{
	"destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
	"echo-request": 128, "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131,
	"mld-listener-done": 132, "mld-listener-reduction": 132, "nd-router-solicit": 133, "nd-router-advert": 134,
	"nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137, "router-renumbering": 138,
	"ind-neighbor-solicit": 141, "ind-neighbor-advert": 142, "mld2-listener-report": 143,
}

var rejectCodes = map[string]map[string]uint64{
	"icmp": {"net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3,
		"frag-needed": 4, "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13},
	"icmpv6": {"no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4,
		"policy-fail": 5, "reject-route": 6},
}

// protocols are the names of Debian's /etc/protocols, from which nft prints.
var protocols = map[string]uint64{
	"ip": 0, "hopopt": 0, "icmp": 1, "igmp": 2, "ggp": 3, "ipencap": 4, "st": 5, "tcp": 6, "egp": 8, "igp": 9,
	"pup": 12, "udp": 17, "hmp": 20, "xns-idp": 22, "rdp": 27, "iso-tp4": 29, "dccp": 33, "xtp": 36, "ddp": 37,
	"idpr-cmtp": 38, "ipv6": 41, "ipv6-route": 43, "ipv6-frag": 44, "idrp": 45, "rsvp": 46, "gre": 47, "esp": 50,
	"ah": 51, "skip": 57, "ipv6-icmp": 58, "icmpv6": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "rspf": 73, "vmtp": 81,
	"eigrp": 88, "ospf": 89, "ax.25": 93, "ipip": 94, "etherip": 97, "encap": 98, "pim": 103, "ipcomp": 108,
	"comp": 108, "vrrp": 112, "l2tp": 115, "isis": 124, "sctp": 132, "fc": 133, "mobility-header": 135,
	"udplite": 136, "mpls-in-ip": 137, "manet": 138, "hip": 139, "shim6": 140, "wesp": 141, "rohc": 142,
	"ethernet": 143,
}

// rejectNames are the verdicts of reject, as iptables' --reject-with names them.
var rejectNames = map[string]map[string]string{
	"icmp": {"net-unreachable": "icmp-net-unreachable", "host-unreachable": "icmp-host-unreachable",
		"prot-unreachable": "icmp-proto-unreachable", "port-unreachable": "icmp-port-unreachable",
		"net-prohibited": "icmp-net-prohibited", "host-prohibited": "icmp-host-prohibited",
		"admin-prohibited": "icmp-admin-prohibited"},
	"icmpv6": {"no-route": "icmp6-no-route", "admin-prohibited": "icmp6-adm-prohibited",
		"addr-unreachable": "icmp6-addr-unreachable", "port-unreachable": "icmp6-port-unreachable",
		"policy-fail": "icmp6-policy-fail", "reject-route": "icmp6-reject-route"},
}

// icmpx are the types of an inet table's "icmpx" in each family
// (nft_reject_icmp_code, nft_reject_icmpv6_code).
var icmpx = map[string]map[int]string{
	"no-route":         {4: "icmp-net-unreachable", 6: "icmp6-no-route"},
	"port-unreachable": {4: "icmp-port-unreachable", 6: "icmp6-port-unreachable"},
	"host-unreachable": {4: "icmp-host-unreachable", 6: "icmp6-addr-unreachable"},
	"admin-prohibited": {4: "icmp-admin-prohibited", 6: "icmp6-adm-prohibited"},
}
