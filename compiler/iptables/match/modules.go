package match

import "github.com/seawall/seawall/compiler/packet"

// The options of libxtables' extensions in iptables 1.8.9: libxt_*, libipt_* and
// libip6t_*, each in its newest revision. Those that can be evaluated have a file of
// their own and are not listed here.
//
// Names, forms, bounds, "!", repetition, exclusions and needs come from the tables
// that the extensions register (struct xt_option_entry) and, for rateest, sctp, set,
// tcp and SET, which have none, from their parsers. In detail:
//
//   - Names of one option (--sport and --source-port) share its number, so one
//     excludes the other as a repetition, and all follow the flags of the first:
//     "! --hl 1" is accepted, although only --hl-eq is marked for it.
//   - Exclusions are given on both sides, although a table may have only one.
//   - A Min without a Max leaves the form's own upper bound. For String they are
//     lengths in bytes; "cut silently" means that there is no warning.
//   - Numbers are those of strtoul: 0x10 and 010 are 16 and 8; a plus sign and
//     leading blanks are accepted.
//   - A range of numbers or ports may be open on either side (5: and :5). 1.8.9
//     accepts a range whose first number is above its second, unless the option
//     says otherwise; 1.8.13 refuses it.
//   - An unambiguous prefix of an option's name stands for the name (--dpor), among
//     the options of all modules that the rule has loaded by then.
//
// 1.8.13 has the same modules, options, flags and bounds. It differs in the ranges,
// as said above, and in the bound of NFQUEUE --queue-balance.
//
// All of these modules are in Debian's 1.8.9. It does not have ("Couldn't load
// match"): account, asn, condition, dstlimit, fuzzy, geoip, gradm, iface, ipp2p,
// ipv4options, l2tp, layer7, length2, lscan, mport, nth, pknock, psd, quota2,
// random, udplite and unclean; nor the targets ACCOUNT, BALANCE, CHAOS, DELUDE,
// DHCPMAC, DNETMAP, ECHO, FLOWOFFLOAD, FTOS, IPMARK, IPV4OPTSSTRIP, LOGMARK, MIRROR,
// NETFLOW, PROTO, ROUTE, SAME, SYSRQ, TARPIT and XOR. -m state is conntrack and -j
// NOTRACK is CT under another name, with the options listed here. An option of the
// match for the rule's protocol (-p dccp --dport 5) loads the match without -m;
// there is none for udplite.
// -m; there is none for udplite.
var modules = []Module{
	{Name: "ah", Kind: MatchKind, Families: Only4, Protocols: []packet.Protocol{packet.AH}, Options: []Option{
		{Name: "ahspi", Value: Uint32Range, Not: true},
	}},
	{Name: "ah", Kind: MatchKind, Families: Only6, Options: []Option{
		{Name: "ahspi", Value: Uint32Range, Not: true},
		{Name: "ahlen", Value: Uint32, Not: true},
		{Name: "ahres", Value: None},
	}},
	{Name: "bpf", Kind: MatchKind, Families: Both, OneOf: []string{"bytecode", "object-pinned"}, Check: "Exactly one of --bytecode and --object-pinned is needed.", Options: []Option{
		{Name: "bytecode", Value: String},      // COUNT,"CODE JT JF K" for each instruction, at most 64
		{Name: "object-pinned", Value: String}, // file of a pinned BPF object, opened while parsing; cut silently after 511 bytes
	}},
	{Name: "cgroup", Kind: MatchKind, Families: Both, Refuse: refuseCgroup, Hooks: from("INPUT", "OUTPUT", "POSTROUTING"), Options: []Option{
		{Name: "path", Value: String, Not: true}, // cut silently after 511 bytes
		{Name: "cgroup", Value: Uint32, Not: true},
	}},
	{Name: "cluster", Kind: MatchKind, Families: Both, OneOf: []string{"cluster-local-node", "cluster-local-nodemask"}, Refuse: refuseCluster, Options: []Option{
		{Name: "cluster-total-nodes", Value: Uint32, Required: true, Min: 1, Max: 32},
		{Name: "cluster-local-node", Value: Uint32, Not: true, Excludes: []string{"cluster-local-nodemask"}, Min: 1, Max: 32},
		{Name: "cluster-local-nodemask", Value: Uint32, Not: true, Excludes: []string{"cluster-local-node"}, Min: 1, Max: 32},
		{Name: "cluster-hash-seed", Value: Uint32, Required: true},
	}},
	{Name: "connbytes", Kind: MatchKind, Families: Both, Options: []Option{
		{Name: "connbytes", Value: Uint64Range, Not: true, Required: true, Valid: ascending, Kept: keptFrom},  // from > to is refused
		{Name: "connbytes-dir", Value: String, Required: true, Valid: exactly("original", "reply", "both")},   // original, reply or both
		{Name: "connbytes-mode", Value: String, Required: true, Valid: exactly("packets", "bytes", "avgpkt")}, // packets, bytes or avgpkt
	}},
	{Name: "connlabel", Kind: MatchKind, Families: Both, Options: []Option{
		{Name: "label", Value: String, Not: true, Required: true, Min: 1, Valid: validLabel}, // number or a name from connlabel.conf
		{Name: "set", Value: None},
	}},
	{Name: "connlimit", Kind: MatchKind, Families: Both, OneOf: []string{"connlimit-upto", "connlimit-above"}, Options: []Option{
		{Name: "connlimit-upto", Value: Uint32, Not: true, Excludes: []string{"connlimit-above"}},
		{Name: "connlimit-above", Value: Uint32, Not: true, Excludes: []string{"connlimit-upto"}},
		{Name: "connlimit-mask", Value: PrefixMask},
		{Name: "connlimit-saddr", Value: None, Excludes: []string{"connlimit-daddr"}},
		{Name: "connlimit-daddr", Value: None, Excludes: []string{"connlimit-saddr"}},
	}},
	{Name: "connmark", Kind: MatchKind, Families: Both, Options: []Option{
		{Name: "mark", Value: MarkMask, Not: true, Required: true},
	}},
	{Name: "cpu", Kind: MatchKind, Families: Both, Options: []Option{
		{Name: "cpu", Value: Uint32, Not: true, Required: true},
	}},
	{Name: "devgroup", Kind: MatchKind, Families: Both, Hooks: devgroupHooks, OneOf: []string{"src-group", "dst-group"}, Options: []Option{
		{Name: "src-group", Value: String, Not: true}, // number[/mask] or a name from /etc/iproute2/group
		{Name: "dst-group", Value: String, Not: true}, // as --src-group
	}},
	{Name: "dscp", Kind: MatchKind, Families: Both, OneOf: []string{"dscp", "dscp-class"}, Options: []Option{
		{Name: "dscp", Value: Uint8, Not: true, Excludes: []string{"dscp-class"}, Max: 63},
		{Name: "dscp-class", Value: String, Not: true, Excludes: []string{"dscp"}, Valid: validClass}, // BE, EF, AF11 to AF43 or CS0 to CS7, any case; text after it is ignored
	}},
	{Name: "dst", Kind: MatchKind, Families: Only6, Options: []Option{
		{Name: "dst-len", Value: Uint32, Not: true},
		{Name: "dst-opts", Value: String}, // comma list of TYPE[:LENGTH], at most 16, TYPE 0 without a length
	}},
	{Name: "ecn", Kind: MatchKind, Families: Both, OneOf: []string{"ecn-tcp-cwr", "ecn-tcp-ece", "ecn-ip-ect"}, Refuse: refuseECN, Options: []Option{
		{Name: "ecn-tcp-cwr", Value: None, Not: true},
		{Name: "ecn-tcp-ece", Value: None, Not: true},
		{Name: "ecn-ip-ect", Value: Uint8, Not: true, Max: 3},
	}},
	{Name: "esp", Kind: MatchKind, Families: Both, Protocols: []packet.Protocol{packet.ESP}, Options: []Option{
		{Name: "espspi", Value: Uint32Range, Not: true},
	}},
	{Name: "eui64", Kind: MatchKind, Families: Only6, Hooks: from("PREROUTING", "INPUT", "FORWARD")},
	{Name: "frag", Kind: MatchKind, Families: Only6, Options: []Option{
		{Name: "fragid", Value: Uint32Range, Not: true},
		{Name: "fraglen", Value: Uint32, Not: true},
		{Name: "fragres", Value: None},
		{Name: "fragfirst", Value: None},
		{Name: "fragmore", Value: None, Excludes: []string{"fraglast"}},
		{Name: "fraglast", Value: None, Excludes: []string{"fragmore"}},
	}},
	{Name: "hashlimit", Kind: MatchKind, Families: Both, OneOf: []string{"hashlimit-upto", "hashlimit-above", "hashlimit"}, Refuse: refuseHashlimit, Options: []Option{
		{Name: "hashlimit-upto", Value: String, Not: true, Excludes: []string{"hashlimit", "hashlimit-above"}, Valid: validHashRate}, // N[/second|minute|hour|day] (units may be abbreviated) or N[k|m]b/s, above 0 and at most 1000000 a second; text between N and / is ignored
		{Name: "hashlimit-above", Value: String, Not: true, Excludes: []string{"hashlimit-upto", "hashlimit"}, Valid: validHashRate}, // as --hashlimit-upto
		{Name: "hashlimit", Value: String, Not: true, Excludes: []string{"hashlimit-upto", "hashlimit-above"}, Valid: validHashRate}, // as --hashlimit-upto
		{Name: "hashlimit-srcmask", Value: PrefixLength},
		{Name: "hashlimit-dstmask", Value: PrefixLength},
		{Name: "hashlimit-burst", Value: String, Valid: validBurst}, // N, at most 1000000, or N[k|m]b with a rate in bytes
		{Name: "hashlimit-htable-size", Value: Uint32},
		{Name: "hashlimit-htable-max", Value: Uint32},
		{Name: "hashlimit-htable-gcinterval", Value: Uint32, Min: 1},
		{Name: "hashlimit-htable-expire", Value: Uint32, Min: 1},
		{Name: "hashlimit-mode", Value: String, Valid: listOf(",|", exactly("", "srcip", "srcport", "dstip", "dstport"))}, // list of srcip srcport dstip dstport, separated by , or |
		{Name: "hashlimit-name", Value: String, Required: true, Valid: validProcName},                                     // cut silently after 254 bytes
		{Name: "hashlimit-rate-match", Value: None},
		{Name: "hashlimit-rate-interval", Value: String, Valid: func(_ packet.Family, values []string) bool { return leadingNumber(values[0]) > 0 }}, // number of seconds above 0; text after it is ignored
	}},
	{Name: "hbh", Kind: MatchKind, Families: Only6, Options: []Option{
		{Name: "hbh-len", Value: Uint32, Not: true},
		{Name: "hbh-opts", Value: String}, // comma list of TYPE[:LENGTH], at most 16, TYPE 0 without a length
	}},
	{Name: "helper", Kind: MatchKind, Families: Both, Options: []Option{
		{Name: "helper", Value: String, Not: true, Required: true}, // cut silently after 29 bytes
	}},
	{Name: "hl", Kind: MatchKind, Families: Only6, OneOf: []string{"hl-eq", "hl-lt", "hl-gt", "hl"}, Options: []Option{
		{Name: "hl-lt", Value: Uint8, Excludes: []string{"hl-eq", "hl", "hl-gt"}},
		{Name: "hl-gt", Value: Uint8, Excludes: []string{"hl-eq", "hl", "hl-lt"}},
		{Name: "hl-eq", Value: Uint8, Not: true, Excludes: []string{"hl", "hl-lt", "hl-gt"}},
		{Name: "hl", Value: Uint8, Not: true, Excludes: []string{"hl-eq", "hl-lt", "hl-gt"}},
	}},
	{Name: "ipcomp", Kind: MatchKind, Families: Both, Protocols: []packet.Protocol{packet.IPComp}, Options: []Option{
		{Name: "ipcompspi", Value: Uint32Range, Not: true},
		{Name: "compres", Value: None},
	}},
	{Name: "ipv6header", Kind: MatchKind, Families: Only6, Options: []Option{
		{Name: "header", Value: String, Not: true, Required: true, Valid: validHeaders}, // comma list of hop-by-hop (hop), dst, route, frag, auth, esp, none, protocol (prot), their numbers 0 60 43 44 51 50 59 255, or their names in /etc/protocols
		{Name: "soft", Value: None},
	}},
	{Name: "ipvs", Kind: MatchKind, Families: Both, OneOf: []string{"ipvs", "vproto", "vaddr", "vport", "vdir", "vmethod", "vportctl"}, Check: "At least one option is needed, and ! --ipvs cannot be used with another option.", Options: []Option{
		{Name: "ipvs", Value: None, Not: true},
		{Name: "vproto", Value: Protocol, Not: true},
		{Name: "vaddr", Value: HostMask, Not: true},
		{Name: "vport", Value: Port, Not: true},
		{Name: "vdir", Value: String},               // ORIGINAL or REPLY, any case
		{Name: "vmethod", Value: String, Not: true}, // GATE, IPIP or MASQ, any case
		{Name: "vportctl", Value: Port, Not: true},
	}},
	{Name: "length", Kind: MatchKind, Families: Both, Options: []Option{
		{Name: "length", Value: Uint16Range, Not: true, Required: true},
	}},
	{Name: "limit", Kind: MatchKind, Families: Both, Kept: keptLimit, Options: []Option{
		{Name: "limit", Value: String, Valid: validRate}, // N[/second|minute|hour|day], above 0 and at most 10000 a second, units may be abbreviated; text between N and / is ignored
		{Name: "limit-burst", Value: Uint32, Max: 10000},
	}},
	{Name: "mac", Kind: MatchKind, Families: Both, Hooks: from("PREROUTING", "INPUT", "FORWARD"), Options: []Option{
		{Name: "mac-source", Value: EtherMAC, Not: true, Required: true},
	}},
	{Name: "mh", Kind: MatchKind, Families: Only6, Protocols: []packet.Protocol{packet.MH}, Options: []Option{
		{Name: "mh-type", Value: String, Not: true}, // TYPE[:TYPE], numbers or abbreviated names; low > high is refused
	}},
	{Name: "nfacct", Kind: MatchKind, Families: Both, Options: []Option{
		{Name: "nfacct-name", Value: String, Required: true, Min: 1}, // no newline; cut silently after 31 bytes
	}},
	{Name: "osf", Kind: MatchKind, Families: Only4, Protocols: []packet.Protocol{packet.TCP}, Hooks: from("PREROUTING", "INPUT", "FORWARD"), Options: []Option{
		{Name: "genre", Value: String, Not: true, Required: true}, // cut silently after 31 bytes
		{Name: "ttl", Value: Uint32, Max: 2},
		{Name: "log", Value: Uint32, Max: 2},
	}},
	{Name: "owner", Kind: MatchKind, Families: Both, OneOf: []string{"uid-owner", "gid-owner", "socket-exists", "suppl-groups"}, Refuse: refuseOwner, Hooks: from("OUTPUT", "POSTROUTING"), Options: []Option{
		{Name: "uid-owner", Value: String, Not: true, Valid: validOwners}, // user name, or ID[-ID] or ID[:ID] up to 4294967294
		{Name: "gid-owner", Value: String, Not: true, Valid: validOwners}, // group name, or ID[-ID] or ID[:ID] up to 4294967294
		{Name: "socket-exists", Value: None, Not: true},
		{Name: "suppl-groups", Value: None, Needs: []string{"gid-owner"}}, // must stand after --gid-owner
	}},
	{Name: "physdev", Kind: MatchKind, Families: Both, OneOf: []string{"physdev-in", "physdev-out", "physdev-is-in", "physdev-is-out", "physdev-is-bridged"}, Hooks: physdevHooks, Options: []Option{
		{Name: "physdev-in", Value: String, Not: true, Valid: shortInterface},  // interface name of at most 15 bytes, + at its end is a wildcard
		{Name: "physdev-out", Value: String, Not: true, Valid: shortInterface}, // as --physdev-in
		{Name: "physdev-is-in", Value: None, Not: true},
		{Name: "physdev-is-out", Value: None, Not: true},
		{Name: "physdev-is-bridged", Value: None, Not: true},
	}},
	{Name: "pkttype", Kind: MatchKind, Families: Both, Options: []Option{
		{Name: "pkt-type", Value: String, Not: true, Required: true, Valid: folded("unicast", "broadcast", "multicast", "otherhost", "bcast", "mcast", "host")}, // unicast, broadcast, multicast, otherhost, bcast, mcast or host, any case
	}},
	{Name: "policy", Kind: MatchKind, Families: Both, Hooks: policyHooks, Refuse: refusePolicy, Options: []Option{
		{Name: "dir", Value: String, Required: true, Valid: exactly("in", "out")}, // in or out
		{Name: "pol", Value: String, Valid: exactly("none", "ipsec")},             // none or ipsec
		{Name: "strict", Value: None},
		{Name: "reqid", Value: Uint32, Not: true, Many: true},                                       // once for each --next
		{Name: "spi", Value: Uint32, Not: true, Many: true},                                         // once for each --next
		{Name: "tunnel-src", Value: HostMask, Not: true, Many: true},                                // once for each --next
		{Name: "tunnel-dst", Value: HostMask, Not: true, Many: true},                                // once for each --next
		{Name: "proto", Value: Protocol, Not: true, Many: true},                                     // ah, esp or ipcomp; once for each --next
		{Name: "mode", Value: String, Not: true, Many: true, Valid: exactly("transport", "tunnel")}, // transport or tunnel; once for each --next
		{Name: "next", Value: None, Many: true, Needs: []string{"strict"}},                          // at most three times
	}},
	{Name: "quota", Kind: MatchKind, Families: Both, Options: []Option{
		{Name: "quota", Value: Uint64, Not: true, Required: true},
	}},
	{Name: "rateest", Kind: MatchKind, Families: Both, Check: "Nothing is refused; the word after --rateest-bps* and --rateest-pps* is optional, and taken unless it begins with - or !.", Options: []Option{
		{Name: "rateest1", Value: String, Excludes: []string{"rateest"}},                      // cut silently after 15 bytes
		{Name: "rateest", Value: String, Excludes: []string{"rateest1"}},                      // cut silently after 15 bytes
		{Name: "rateest2", Value: String},                                                     // cut silently after 15 bytes
		{Name: "rateest-bps1", Value: Own, Optional: true},                                    // optional: number[bit|kbit|Kibit|...|Bps|KBps|KiBps|...], any case
		{Name: "rateest-pps1", Value: Own, Optional: true},                                    // optional: number up to 4294967295
		{Name: "rateest-bps2", Value: Own, Optional: true, Excludes: []string{"rateest-bps"}}, // optional, as --rateest-bps1
		{Name: "rateest-pps2", Value: Own, Optional: true, Excludes: []string{"rateest-pps"}}, // optional, as --rateest-pps1
		{Name: "rateest-bps", Value: Own, Optional: true, Excludes: []string{"rateest-bps2"}}, // optional, as --rateest-bps1
		{Name: "rateest-pps", Value: Own, Optional: true, Excludes: []string{"rateest-pps2"}}, // optional, as --rateest-pps1
		{Name: "rateest-delta", Value: None},
		{Name: "rateest-lt", Value: None, Not: true}, // the last of lt, gt and eq counts
		{Name: "rateest-gt", Value: None, Not: true},
		{Name: "rateest-eq", Value: None, Not: true},
	}},
	{Name: "realm", Kind: MatchKind, Families: Only4, Hooks: from("INPUT", "FORWARD", "OUTPUT", "POSTROUTING"), Options: []Option{
		{Name: "realm", Value: String, Not: true, Required: true}, // number[/mask] or a name from /etc/iproute2/rt_realms
	}},
	{Name: "recent", Kind: MatchKind, Families: Both, OneOf: []string{"set", "rcheck", "update", "remove"}, Refuse: refuseRecent, Options: []Option{
		{Name: "set", Value: None, Not: true, Excludes: []string{"rcheck", "update", "remove", "rttl"}},
		{Name: "rcheck", Value: None, Not: true, Excludes: []string{"set", "update", "remove"}},
		{Name: "update", Value: None, Not: true, Excludes: []string{"set", "rcheck", "remove"}},
		{Name: "remove", Value: None, Not: true, Excludes: []string{"set", "rcheck", "update", "rttl"}},
		{Name: "seconds", Value: Uint32, Min: 1},
		{Name: "reap", Value: None, Needs: []string{"seconds"}},
		{Name: "hitcount", Value: Uint32, Max: 65535},
		{Name: "rttl", Value: None, Excludes: []string{"set", "remove"}},
		{Name: "name", Value: String, Valid: validProcName}, // cut silently after 199 bytes
		{Name: "rsource", Value: None},
		{Name: "rdest", Value: None},
		{Name: "mask", Value: Host},
	}},
	{Name: "rpfilter", Kind: MatchKind, Families: Both, Hooks: from("PREROUTING"), Options: []Option{
		{Name: "loose", Value: None},
		{Name: "validmark", Value: None},
		{Name: "accept-local", Value: None},
		{Name: "invert", Value: None},
	}},
	{Name: "rt", Kind: MatchKind, Families: Only6, Check: "--rt-0-res and --rt-0-addrs need --rt-type 0, without !, before them.", Options: []Option{
		{Name: "rt-type", Value: Uint32, Not: true},
		{Name: "rt-segsleft", Value: Uint32Range, Not: true},
		{Name: "rt-len", Value: Uint32, Not: true},
		{Name: "rt-0-res", Value: None, Needs: []string{"rt-type"}},           // must stand after --rt-type 0
		{Name: "rt-0-addrs", Value: String, Needs: []string{"rt-type"}},       // comma list of at most 16 addresses; must stand after --rt-type 0
		{Name: "rt-0-not-strict", Value: None, Needs: []string{"rt-0-addrs"}}, // must stand after --rt-0-addrs
	}},
	{Name: "socket", Kind: MatchKind, Families: Both, Hooks: from("PREROUTING", "INPUT"), Options: []Option{
		{Name: "transparent", Value: None},
		{Name: "nowildcard", Value: None},
		{Name: "restore-skmark", Value: None},
	}},
	{Name: "srh", Kind: MatchKind, Families: Only6, Options: []Option{
		{Name: "srh-next-hdr", Value: Uint8, Not: true},
		{Name: "srh-hdr-len-eq", Value: Uint8, Not: true},
		{Name: "srh-hdr-len-gt", Value: Uint8, Not: true},
		{Name: "srh-hdr-len-lt", Value: Uint8, Not: true},
		{Name: "srh-segs-left-eq", Value: Uint8, Not: true},
		{Name: "srh-segs-left-gt", Value: Uint8, Not: true},
		{Name: "srh-segs-left-lt", Value: Uint8, Not: true},
		{Name: "srh-last-entry-eq", Value: Uint8, Not: true},
		{Name: "srh-last-entry-gt", Value: Uint8, Not: true},
		{Name: "srh-last-entry-lt", Value: Uint8, Not: true},
		{Name: "srh-tag", Value: Uint16, Not: true},
		{Name: "srh-psid", Value: HostMask, Not: true},
		{Name: "srh-nsid", Value: HostMask, Not: true},
		{Name: "srh-lsid", Value: HostMask, Not: true},
	}},
	{Name: "statistic", Kind: MatchKind, Families: Both, Refuse: refuseStatistic, Options: []Option{
		{Name: "mode", Value: String, Required: true, Valid: exactly("random", "nth")}, // random or nth
		{Name: "probability", Value: Double, Not: true, Excludes: []string{"every", "packet"}, Max: 1},
		{Name: "every", Value: Uint32, Not: true, Excludes: []string{"probability"}, Needs: []string{"packet"}, Min: 1},
		{Name: "packet", Value: Uint32, Excludes: []string{"probability"}, Needs: []string{"every"}},
	}},
	{Name: "string", Kind: MatchKind, Families: Both, OneOf: []string{"string", "hex-string"}, Refuse: refuseString, Options: []Option{
		{Name: "from", Value: Uint16},
		{Name: "to", Value: Uint16},
		{Name: "algo", Value: String, Required: true, Valid: exactly("bm", "kmp", "fsm")},                   // bm or kmp; only the kernel checks it; cut silently after 15 bytes
		{Name: "string", Value: String, Not: true, Excludes: []string{"hex-string"}, Min: 1, Max: 128},      // at most 128 bytes
		{Name: "hex-string", Value: String, Not: true, Excludes: []string{"string"}, Valid: validHexString}, // text with |hex bytes| in it, at most 128 bytes, not empty; a backslash takes the next byte as it is
		{Name: "icase", Value: None},
	}},
	{Name: "tcpmss", Kind: MatchKind, Families: Both, Protocols: []packet.Protocol{packet.TCP}, Options: []Option{
		{Name: "mss", Value: Uint16Range, Not: true, Required: true, Valid: ascending}, // low > high is refused
	}},
	{Name: "time", Kind: MatchKind, Families: Both, Refuse: refuseTime, Options: []Option{
		{Name: "datestart", Value: String, Valid: validDate}, // YYYY[-MM[-DD[Thh[:mm[:ss]]]]], 1970 to 2038
		{Name: "datestop", Value: String, Valid: validDate},  // as --datestart
		{Name: "timestart", Value: String, Valid: validTime}, // hh:mm[:ss]
		{Name: "timestop", Value: String, Valid: validTime},  // hh:mm[:ss]
		{Name: "contiguous", Value: None},
		{Name: "weekdays", Value: String, Not: true, Valid: validWeekdays},   // comma list of Mon to Sun (first two letters count, case too) or numbers other than 0
		{Name: "monthdays", Value: String, Not: true, Valid: validMonthdays}, // comma list of numbers up to 31
		{Name: "localtz", Value: None, Excludes: []string{"utc"}},
		{Name: "utc", Value: None, Excludes: []string{"localtz", "kerneltz"}},
		{Name: "kerneltz", Value: None, Excludes: []string{"utc"}},
	}},
	{Name: "tos", Kind: MatchKind, Families: Both, Options: []Option{
		{Name: "tos", Value: TOSMask, Not: true, Required: true}, // a symbolic name has mask 0x3f
	}},
	{Name: "ttl", Kind: MatchKind, Families: Only4, OneOf: []string{"ttl-eq", "ttl-lt", "ttl-gt", "ttl"}, Options: []Option{
		{Name: "ttl-lt", Value: Uint8, Excludes: []string{"ttl-eq", "ttl", "ttl-gt"}},
		{Name: "ttl-gt", Value: Uint8, Excludes: []string{"ttl-eq", "ttl", "ttl-lt"}},
		{Name: "ttl-eq", Value: Uint8, Not: true, Excludes: []string{"ttl", "ttl-lt", "ttl-gt"}},
		{Name: "ttl", Value: Uint8, Not: true, Excludes: []string{"ttl-eq", "ttl-lt", "ttl-gt"}},
	}},
	{Name: "u32", Kind: MatchKind, Families: Both, Options: []Option{
		{Name: "u32", Value: String, Not: true, Required: true}, // START [OP NUMBER]... = LOW[:HIGH][,...] [&& ...], OP one of & << >> @; at most 10 of each
	}},
	{Name: "AUDIT", Kind: TargetKind, Families: Both, Options: []Option{
		{Name: "type", Value: String, Required: true, Valid: folded("accept", "drop", "reject")}, // accept, drop or reject, any case
	}},
	{Name: "CHECKSUM", Kind: TargetKind, Families: Both, Options: []Option{
		{Name: "checksum-fill", Value: None, Required: true},
	}},
	{Name: "CLASSIFY", Kind: TargetKind, Families: Both, Hooks: from("FORWARD", "OUTPUT", "POSTROUTING"), Options: []Option{
		{Name: "set-class", Value: String, Required: true, Valid: validClassID}, // MAJOR:MINOR, hexadecimal
	}},
	{Name: "CLUSTERIP", Kind: TargetKind, Families: Only4, Check: "Either no option, or all of --new, --hashmode, --clustermac, --total-nodes and --local-node.", Options: []Option{
		{Name: "new", Value: None},
		{Name: "hashmode", Value: String},     // sourceip, sourceip-sourceport or sourceip-sourceport-destport
		{Name: "clustermac", Value: EtherMAC}, // multicast addresses only
		{Name: "total-nodes", Value: Uint16, Max: 16},
		{Name: "local-node", Value: Uint16, Max: 16},
		{Name: "hash-init", Value: Uint32, Max: 4294967295},
	}},
	{Name: "CONNMARK", Kind: TargetKind, Families: Both, OneOf: []string{"set-xmark", "set-mark", "and-mark", "or-mark", "xor-mark", "save-mark", "restore-mark"}, Options: []Option{
		{Name: "set-xmark", Value: MarkMask, Excludes: []string{"set-mark", "save-mark", "restore-mark", "and-mark", "or-mark", "xor-mark"}},
		{Name: "set-mark", Value: MarkMask, Excludes: []string{"save-mark", "restore-mark", "and-mark", "or-mark", "xor-mark", "set-xmark"}},
		{Name: "and-mark", Value: Uint32, Excludes: []string{"set-mark", "save-mark", "restore-mark", "or-mark", "xor-mark", "set-xmark"}},
		{Name: "or-mark", Value: Uint32, Excludes: []string{"set-mark", "save-mark", "restore-mark", "and-mark", "xor-mark", "set-xmark"}},
		{Name: "xor-mark", Value: Uint32, Excludes: []string{"set-mark", "save-mark", "restore-mark", "and-mark", "or-mark", "set-xmark"}},
		{Name: "save-mark", Value: None, Excludes: []string{"set-mark", "restore-mark", "and-mark", "or-mark", "xor-mark", "set-xmark"}},
		{Name: "restore-mark", Value: None, Excludes: []string{"set-mark", "save-mark", "and-mark", "or-mark", "xor-mark", "set-xmark"}},
		{Name: "left-shift-mark", Value: Uint8, Max: 32},
		{Name: "right-shift-mark", Value: Uint8, Max: 32},
		{Name: "ctmask", Value: Uint32, Excludes: []string{"mask"}},
		{Name: "nfmask", Value: Uint32, Excludes: []string{"mask"}},
		{Name: "mask", Value: Uint32, Excludes: []string{"ctmask", "nfmask"}},
	}},
	{Name: "CONNSECMARK", Kind: TargetKind, Families: Both, OneOf: []string{"save", "restore"}, Options: []Option{
		{Name: "save", Value: None, Excludes: []string{"restore"}},
		{Name: "restore", Value: None, Excludes: []string{"save"}},
	}},
	{Name: "CT", Kind: TargetKind, Families: Both, Refuse: refuseCT, Options: []Option{
		{Name: "notrack", Value: None},
		{Name: "helper", Value: String},  // cut silently after 15 bytes
		{Name: "timeout", Value: String}, // cut silently after 31 bytes
		{Name: "ctevents", Value: String, Valid: listOf(",", exactly("new", "related", "destroy", "reply", "assured", "protoinfo", "helper", "mark", "natseqinfo", "secmark"))}, // comma list of new related destroy reply assured protoinfo helper mark natseqinfo secmark
		{Name: "expevents", Value: String, Valid: listOf(",", exactly("new"))},                                                                                                  // new
		{Name: "zone-orig", Value: String, Valid: validZone},                                                                                                                    // mark (any case) or 0 to 65535
		{Name: "zone-reply", Value: String, Valid: validZone},                                                                                                                   // as --zone-orig
		{Name: "zone", Value: String, Valid: validZone},                                                                                                                         // as --zone-orig
	}},
	{Name: "DNAT", Kind: TargetKind, Families: Both, Hooks: from("PREROUTING", "OUTPUT"), Options: []Option{
		{Name: "to-destination", Value: String, Required: true, Valid: validNATTarget, Ports: namesPort}, // [ADDRESS[-ADDRESS]][:PORT[-PORT[/BASE]]], IPv6 addresses with ports in []
		{Name: "random", Value: None},
		{Name: "persistent", Value: None},
	}},
	{Name: "DNPT", Kind: TargetKind, Families: Only6, Refuse: refusePrefixes, Hooks: from("PREROUTING", "OUTPUT"), Options: []Option{
		{Name: "src-pfx", Value: HostMask, Required: true},
		{Name: "dst-pfx", Value: HostMask, Required: true},
	}},
	{Name: "DSCP", Kind: TargetKind, Families: Both, OneOf: []string{"set-dscp", "set-dscp-class"}, Options: []Option{
		{Name: "set-dscp", Value: Uint8, Excludes: []string{"set-dscp-class"}, Max: 63},
		{Name: "set-dscp-class", Value: String, Excludes: []string{"set-dscp"}, Valid: validClass}, // BE, EF, AF11 to AF43 or CS0 to CS7, any case; text after it is ignored
	}},
	{Name: "ECN", Kind: TargetKind, Families: Only4, OneOf: []string{"ecn-tcp-remove", "ecn-tcp-cwr", "ecn-tcp-ece", "ecn-ip-ect"}, Refuse: refuseECN, Options: []Option{
		{Name: "ecn-tcp-remove", Value: None, Excludes: []string{"ecn-tcp-cwr", "ecn-tcp-ece"}},
		{Name: "ecn-tcp-cwr", Value: Uint8, Excludes: []string{"ecn-tcp-remove"}, Max: 1},
		{Name: "ecn-tcp-ece", Value: Uint8, Excludes: []string{"ecn-tcp-remove"}, Max: 1},
		{Name: "ecn-ip-ect", Value: Uint8, Max: 3},
	}},
	{Name: "HL", Kind: TargetKind, Families: Only6, OneOf: []string{"hl-set", "hl-dec", "hl-inc"}, Options: []Option{
		{Name: "hl-set", Value: Uint8, Excludes: []string{"hl-inc", "hl-dec"}},
		{Name: "hl-dec", Value: Uint8, Excludes: []string{"hl-set", "hl-inc"}, Min: 1},
		{Name: "hl-inc", Value: Uint8, Excludes: []string{"hl-set", "hl-dec"}, Min: 1},
	}},
	{Name: "HMARK", Kind: TargetKind, Families: Both, Check: "--hmark-tuple or a prefix or mask option is needed; what --hmark-tuple names counts as its prefix or mask option: that option is refused after it as a repetition, and spi in it excludes the port masks and sport and dport in it.", Options: []Option{
		{Name: "hmark-tuple", Value: String}, // comma list of ct src dst sport dport proto spi; any case, abbreviations take the first that fits; each counts as its mask option
		{Name: "hmark-src-prefix", Value: PrefixMask},
		{Name: "hmark-dst-prefix", Value: PrefixMask},
		{Name: "hmark-sport-mask", Value: Uint16, Excludes: []string{"hmark-spi-mask"}},
		{Name: "hmark-dport-mask", Value: Uint16, Excludes: []string{"hmark-spi-mask"}},
		{Name: "hmark-spi-mask", Value: Uint32, Excludes: []string{"hmark-sport-mask", "hmark-dport-mask"}},
		{Name: "hmark-sport", Value: Uint16},
		{Name: "hmark-dport", Value: Uint16},
		{Name: "hmark-spi", Value: Uint32},
		{Name: "hmark-proto-mask", Value: Uint16},
		{Name: "hmark-rnd", Value: Uint32, Required: true},
		{Name: "hmark-mod", Value: Uint32, Required: true, Min: 1},
		{Name: "hmark-offset", Value: Uint32},
	}},
	{Name: "IDLETIMER", Kind: TargetKind, Families: Both, Options: []Option{
		{Name: "timeout", Value: Uint32, Required: true, Min: 1, Max: 2147482},
		{Name: "label", Value: String, Required: true, Min: 1}, // cut silently after 27 bytes
		{Name: "alarm", Value: None},
	}},
	{Name: "LED", Kind: TargetKind, Families: Both, Check: "Few kernels have it.", Options: []Option{
		{Name: "led-trigger-id", Value: String, Required: true, Max: 16},
		{Name: "led-delay", Value: String}, // milliseconds, or a word that begins with inf
		{Name: "led-always-blink", Value: None},
	}},
	{Name: "LOG", Kind: TargetKind, Families: Both, Kept: keptLog, Options: []Option{
		{Name: "log-level", Value: SyslogLevel},
		{Name: "log-prefix", Value: Line, Min: 1}, // cut silently after 29 bytes
		{Name: "log-tcp-sequence", Value: None},
		{Name: "log-tcp-options", Value: None},
		{Name: "log-ip-options", Value: None},
		{Name: "log-uid", Value: None},
		{Name: "log-macdecode", Value: None},
	}},
	{Name: "MARK", Kind: TargetKind, Families: Both, Kept: keptMark, OneOf: []string{"set-xmark", "set-mark", "and-mark", "or-mark", "xor-mark"}, Options: []Option{
		{Name: "set-xmark", Value: MarkMask, Excludes: []string{"set-mark", "and-mark", "or-mark", "xor-mark"}},
		{Name: "set-mark", Value: MarkMask, Excludes: []string{"and-mark", "or-mark", "xor-mark", "set-xmark"}},
		{Name: "and-mark", Value: Uint32, Excludes: []string{"set-mark", "or-mark", "xor-mark", "set-xmark"}},
		{Name: "or-mark", Value: Uint32, Excludes: []string{"set-mark", "and-mark", "xor-mark", "set-xmark"}},
		{Name: "xor-mark", Value: Uint32, Excludes: []string{"set-mark", "and-mark", "or-mark", "set-xmark"}},
	}},
	{Name: "MASQUERADE", Kind: TargetKind, Families: Both, Hooks: from("POSTROUTING"), Options: []Option{
		{Name: "to-ports", Value: String, Valid: validNATPorts, Ports: always}, // PORT[-PORT]; a /BASE is accepted and means nothing
		{Name: "random", Value: None},
		{Name: "random-fully", Value: None},
	}},
	{Name: "NETMAP", Kind: TargetKind, Families: Both, Options: []Option{
		{Name: "to", Value: HostMask, Required: true},
	}},
	{Name: "NFLOG", Kind: TargetKind, Families: Both, Options: []Option{
		{Name: "nflog-group", Value: Uint16},
		{Name: "nflog-prefix", Value: Line, Min: 1},                            // cut silently after 63 bytes
		{Name: "nflog-range", Value: Uint32, Excludes: []string{"nflog-size"}}, // accepted with a warning, does nothing
		{Name: "nflog-size", Value: Uint32, Excludes: []string{"nflog-range"}},
		{Name: "nflog-threshold", Value: Uint16},
	}},
	{Name: "NFQUEUE", Kind: TargetKind, Families: Both, Options: []Option{
		{Name: "queue-num", Value: Uint16, Excludes: []string{"queue-balance"}},
		{Name: "queue-balance", Value: Uint16Range, Excludes: []string{"queue-num"}, Valid: validQueues}, // LOW < HIGH; 1.8.13 refuses a HIGH above 65534
		{Name: "queue-bypass", Value: None},
		{Name: "queue-cpu-fanout", Value: None, Needs: []string{"queue-balance"}},
	}},
	{Name: "NOTRACK", Kind: TargetKind, Families: Both},
	{Name: "RATEEST", Kind: TargetKind, Families: Both, Check: "--rateest-interval is at most 8 s, and --rateest-ewmalog must be long enough for it (an exponent of 1 to 30).", Options: []Option{
		{Name: "rateest-name", Value: String, Required: true},     // cut silently after 15 bytes
		{Name: "rateest-interval", Value: String, Required: true}, // number[s|sec|secs|ms|msec|msecs|us|usec|usecs], any case
		{Name: "rateest-ewmalog", Value: String, Required: true},  // as --rateest-interval
	}},
	{Name: "REDIRECT", Kind: TargetKind, Families: Both, Hooks: from("PREROUTING", "OUTPUT"), Options: []Option{
		{Name: "to-ports", Value: String, Valid: noBase, Ports: always}, // PORT[-PORT]; a /BASE is refused
		{Name: "random", Value: None},
	}},
	{Name: "SECMARK", Kind: TargetKind, Families: Both, Options: []Option{
		{Name: "selctx", Value: String, Required: true}, // cut silently after 255 bytes
	}},
	{Name: "SET", Kind: TargetKind, Families: Both, OneOf: []string{"add-set", "del-set", "map-set"}, Check: "One of --add-set, --del-set and --map-set is needed; --exist and --timeout need --add-set; --map-mark, --map-prio and --map-queue need --map-set, which needs one of them; the sets must exist and be of the rule's family, or of none.", Options: []Option{
		{Name: "add-set", Value: Own, Values: 2, Not: true},                             // SET and a comma list of at most 6 of src and dst; ! is accepted and ignored
		{Name: "del-set", Value: Own, Values: 2, Not: true},                             // SET and a comma list of at most 6 of src and dst; ! is accepted and ignored
		{Name: "exist", Value: None, Not: true, Many: true, Needs: []string{"add-set"}}, // ! is accepted and ignored, here and below
		{Name: "timeout", Value: Uint32, Not: true, Many: true, Needs: []string{"add-set"}, Max: 4294967294},
		{Name: "map-set", Value: Own, Values: 2, Not: true}, // as --add-set
		{Name: "map-mark", Value: None, Not: true, Many: true, Needs: []string{"map-set"}},
		{Name: "map-prio", Value: None, Not: true, Many: true, Needs: []string{"map-set"}},
		{Name: "map-queue", Value: None, Not: true, Many: true, Needs: []string{"map-set"}},
	}},
	{Name: "SNAT", Kind: TargetKind, Families: Both, Hooks: from("POSTROUTING", "INPUT"), Options: []Option{
		{Name: "to-source", Value: String, Required: true, Valid: validNATTarget, Ports: namesPort}, // [ADDRESS[-ADDRESS]][:PORT[-PORT]], IPv6 addresses with ports in []; a /BASE is accepted and means nothing
		{Name: "random", Value: None},
		{Name: "random-fully", Value: None},
		{Name: "persistent", Value: None},
	}},
	{Name: "SNPT", Kind: TargetKind, Families: Only6, Refuse: refusePrefixes, Hooks: from("INPUT", "POSTROUTING"), Options: []Option{
		{Name: "src-pfx", Value: HostMask, Required: true},
		{Name: "dst-pfx", Value: HostMask, Required: true},
	}},
	{Name: "SYNPROXY", Kind: TargetKind, Families: Both, Protocols: []packet.Protocol{packet.TCP}, Hooks: from("INPUT", "FORWARD"), Options: []Option{
		{Name: "sack-perm", Value: None},
		{Name: "timestamp", Value: None},
		{Name: "wscale", Value: Uint32},
		{Name: "mss", Value: Uint32},
		{Name: "ecn", Value: None},
	}},
	{Name: "TCPMSS", Kind: TargetKind, Families: Only4, Protocols: []packet.Protocol{packet.TCP}, OneOf: []string{"set-mss", "clamp-mss-to-pmtu"}, Hooks: clampHooks, Options: []Option{
		{Name: "set-mss", Value: Uint16, Max: 65515},
		{Name: "clamp-mss-to-pmtu", Value: None},
	}},
	{Name: "TCPMSS", Kind: TargetKind, Families: Only6, Protocols: []packet.Protocol{packet.TCP}, OneOf: []string{"set-mss", "clamp-mss-to-pmtu"}, Hooks: clampHooks, Options: []Option{
		{Name: "set-mss", Value: Uint16, Max: 65495},
		{Name: "clamp-mss-to-pmtu", Value: None},
	}},
	{Name: "TCPOPTSTRIP", Kind: TargetKind, Families: Both, Protocols: []packet.Protocol{packet.TCP}, Options: []Option{
		{Name: "strip-options", Value: String, Valid: validStrip}, // comma list of wscale mss sack-permitted sack timestamp md5 or 2 to 255, none twice
	}},
	{Name: "TEE", Kind: TargetKind, Families: Both, Options: []Option{
		{Name: "gateway", Value: Host, Required: true},
		{Name: "oif", Value: String}, // cut silently after 15 bytes
	}},
	{Name: "TOS", Kind: TargetKind, Families: Both, OneOf: []string{"set-tos", "and-tos", "or-tos", "xor-tos"}, Options: []Option{
		{Name: "set-tos", Value: TOSMask, Excludes: []string{"and-tos", "or-tos", "xor-tos"}}, // a symbolic name has mask 0x3f
		{Name: "and-tos", Value: Uint8, Excludes: []string{"set-tos", "or-tos", "xor-tos"}},
		{Name: "or-tos", Value: Uint8, Excludes: []string{"set-tos", "and-tos", "xor-tos"}},
		{Name: "xor-tos", Value: Uint8, Excludes: []string{"set-tos", "and-tos", "or-tos"}},
	}},
	{Name: "TPROXY", Kind: TargetKind, Families: Both, Protocols: []packet.Protocol{packet.TCP, packet.UDP}, Hooks: from("PREROUTING"), Options: []Option{
		{Name: "on-port", Value: Port, Required: true},
		{Name: "on-ip", Value: Host},
		{Name: "tproxy-mark", Value: MarkMask},
	}},
	{Name: "TRACE", Kind: TargetKind, Families: Both},
	{Name: "TTL", Kind: TargetKind, Families: Only4, OneOf: []string{"ttl-set", "ttl-dec", "ttl-inc"}, Options: []Option{
		{Name: "ttl-set", Value: Uint8, Excludes: []string{"ttl-inc", "ttl-dec"}},
		{Name: "ttl-dec", Value: Uint8, Excludes: []string{"ttl-set", "ttl-inc"}, Min: 1},
		{Name: "ttl-inc", Value: Uint8, Excludes: []string{"ttl-set", "ttl-dec"}, Min: 1},
	}},
	{Name: "ULOG", Kind: TargetKind, Families: Only4, Check: "The kernel no longer has it.", Options: []Option{
		{Name: "ulog-nlgroup", Value: Uint8, Min: 1, Max: 32},
		{Name: "ulog-prefix", Value: Line, Min: 1}, // cut silently after 31 bytes
		{Name: "ulog-cprange", Value: Uint64},
		{Name: "ulog-qthreshold", Value: Uint64, Min: 1, Max: 50},
	}},
}
