package oracle

import (
	"fmt"
	"strings"
)

// An optionSpec is one long option: what it is called, how many arguments it
// takes, and the option that it is a synonym of.
type optionSpec struct {
	name, canonical string
	args            int
}

// specs reads a table of options, each NAME, NAME:ARGS or NAME:ARGS:CANONICAL.
func specs(table string) []optionSpec {
	var result []optionSpec
	for entry := range strings.FieldsSeq(table) {
		parts := strings.Split(entry, ":")
		spec := optionSpec{name: parts[0], canonical: parts[0]}
		if len(parts) > 1 {
			spec.args = int(parts[1][0] - '0')
		}
		if len(parts) > 2 {
			spec.canonical = parts[2]
		}
		result = append(result, spec)
	}
	return result
}

// baseOptions are the options of iptables itself. The canonical name is the
// short option. An optional argument counts as none here: only the commands
// have them.
var baseOptions = specs(`append:1:A delete:1:D check:1:C insert:1:I replace:1:R list:0:L list-rules:0:S flush:0:F zero:0:Z
	new-chain:1:N delete-chain:0:X rename-chain:1:E policy:1:P source:1:s destination:1:d src:1:s dst:1:d protocol:1:p
	in-interface:1:i jump:1:j table:1:t match:1:m numeric:0:n out-interface:1:o verbose:0:v wait:0:w wait-interval:0:W
	exact:0:x fragments:0:f version:0:V help:0:h line-numbers:0:0 modprobe:1:M set-counters:1:c goto:1:g ipv4:0:4 ipv6:0:6`)

// shortWithArgument and shortWithout are the short options.
const (
	shortWithArgument = "ACDEINPRcdgijmopstM"
	shortWithout      = "FLSXZ46bfhnvwWx"
)

const portOptions = "source-port:1:sport sport:1 destination-port:1:dport dport:1 "

// matchOptions are the options of the matches, as their manual pages and
// --help list them.
var matchOptions = map[string][]optionSpec{
	"tcp":       specs(portOptions + "syn:0:tcp-flags tcp-flags:2 tcp-option:1"),
	"udp":       specs(portOptions),
	"sctp":      specs(portOptions + "chunk-types:2"),
	"dccp":      specs(portOptions + "dccp-types:1 dccp-option:1"),
	"icmp":      specs("icmp-type:1"),
	"icmp6":     specs("icmpv6-type:1"),
	"multiport": specs("source-ports:1:sports sports:1 destination-ports:1:dports dports:1 ports:1"),
	"iprange":   specs("src-range:1 dst-range:1"),
	"conntrack": specs(`ctstate:1 ctproto:1 ctorigsrc:1 ctorigdst:1 ctreplsrc:1 ctrepldst:1 ctorigsrcport:1 ctorigdstport:1
		ctreplsrcport:1 ctrepldstport:1 ctstatus:1 ctexpire:1 ctdir:1`),
	"state":   specs("state:1"),
	"mark":    specs("mark:1"),
	"comment": specs("comment:1"),
	"set": specs(`match-set:2 set:2:match-set return-nomatch update-counters update-subcounters packets-eq:1 packets-lt:1
		packets-gt:1 bytes-eq:1 bytes-lt:1 bytes-gt:1`),
	"addrtype":  specs("src-type:1 dst-type:1 limit-iface-in limit-iface-out"),
	"ah":        specs("ahspi:1 ahlen:1 ahres"),
	"bpf":       specs("bytecode:1 object-pinned:1"),
	"cgroup":    specs("cgroup:1 path:1"),
	"cluster":   specs("cluster-total-nodes:1 cluster-local-node:1 cluster-local-nodemask:1 cluster-hash-seed:1"),
	"connbytes": specs("connbytes:1 connbytes-dir:1 connbytes-mode:1"),
	"connlabel": specs("label:1 set"),
	"connlimit": specs("connlimit-upto:1 connlimit-above:1 connlimit-mask:1 connlimit-saddr connlimit-daddr"),
	"connmark":  specs("mark:1"),
	"cpu":       specs("cpu:1"),
	"devgroup":  specs("src-group:1 dst-group:1"),
	"dscp":      specs("dscp:1 dscp-class:1"),
	"ecn":       specs("ecn-tcp-cwr ecn-tcp-ece ecn-ip-ect:1"),
	"esp":       specs("espspi:1"),
	"frag":      specs("fragid:1 fraglen:1 fragres fragfirst fragmore fraglast"),
	"hashlimit": specs(`hashlimit:1 hashlimit-upto:1 hashlimit-above:1 hashlimit-burst:1 hashlimit-mode:1 hashlimit-srcmask:1
		hashlimit-dstmask:1 hashlimit-name:1 hashlimit-htable-size:1 hashlimit-htable-max:1 hashlimit-htable-expire:1
		hashlimit-htable-gcinterval:1 hashlimit-rate-match hashlimit-rate-interval:1`),
	"helper":    specs("helper:1"),
	"hl":        specs("hl-eq:1 hl-lt:1 hl-gt:1 hl:1:hl-eq"),
	"length":    specs("length:1"),
	"limit":     specs("limit:1 limit-burst:1"),
	"mac":       specs("mac-source:1"),
	"osf":       specs("genre:1 ttl:1 log:1"),
	"owner":     specs("uid-owner:1 gid-owner:1 socket-exists suppl-groups"),
	"physdev":   specs("physdev-in:1 physdev-out:1 physdev-is-in physdev-is-out physdev-is-bridged"),
	"pkttype":   specs("pkt-type:1"),
	"policy":    specs("dir:1 pol:1 strict reqid:1 spi:1 tunnel-src:1 tunnel-dst:1 proto:1 mode:1 next"),
	"quota":     specs("quota:1"),
	"realm":     specs("realm:1"),
	"recent":    specs("set rcheck update remove seconds:1 reap hitcount:1 rttl name:1 rsource rdest mask:1"),
	"rpfilter":  specs("loose validmark accept-local invert"),
	"socket":    specs("transparent nowildcard restore-skmark"),
	"statistic": specs("mode:1 probability:1 every:1 packet:1"),
	"string":    specs("from:1 to:1 algo:1 string:1 hex-string:1 icase"),
	"tcpmss":    specs("mss:1"),
	"time":      specs("datestart:1 datestop:1 timestart:1 timestop:1 contiguous weekdays:1 monthdays:1 localtz utc kerneltz"),
	"tos":       specs("tos:1"),
	"ttl":       specs("ttl-lt:1 ttl-gt:1 ttl-eq:1 ttl:1:ttl-eq"),
	"u32":       specs("u32:1"),
}

const natOptions = "random random-fully persistent "

// targetOptions are the options of the targets.
var targetOptions = map[string][]optionSpec{
	"ACCEPT": nil, "DROP": nil, "QUEUE": nil, "RETURN": nil, "TRACE": nil, "NOTRACK": nil,
	"REJECT":      specs("reject-with:1"),
	"NFQUEUE":     specs("queue-num:1 queue-balance:1 queue-bypass queue-cpu-fanout"),
	"LOG":         specs("log-level:1 log-prefix:1 log-tcp-sequence log-tcp-options log-ip-options log-uid log-macdecode"),
	"NFLOG":       specs("nflog-group:1 nflog-prefix:1 nflog-range:1 nflog-size:1 nflog-threshold:1"),
	"ULOG":        specs("ulog-nlgroup:1 ulog-prefix:1 ulog-cprange:1 ulog-qthreshold:1"),
	"MARK":        specs("set-mark:1 set-xmark:1 and-mark:1 or-mark:1 xor-mark:1"),
	"CONNMARK":    specs("set-mark:1 set-xmark:1 and-mark:1 or-mark:1 xor-mark:1 save-mark restore-mark ctmask:1 nfmask:1 mask:1 left-shift-mark:1 right-shift-mark:1"),
	"SET":         specs("add-set:2 del-set:2 map-set:2 exist timeout:1 map-mark map-prio map-queue"),
	"TEE":         specs("gateway:1 oif:1"),
	"TCPMSS":      specs("set-mss:1 clamp-mss-to-pmtu"),
	"TCPOPTSTRIP": specs("strip-options:1"),
	"CLASSIFY":    specs("set-class:1"),
	"AUDIT":       specs("type:1"),
	"CHECKSUM":    specs("checksum-fill"),
	"TOS":         specs("set-tos:1 and-tos:1 or-tos:1 xor-tos:1"),
	"DSCP":        specs("set-dscp:1 set-dscp-class:1"),
	"TTL":         specs("ttl-set:1 ttl-dec:1 ttl-inc:1"),
	"HL":          specs("hl-set:1 hl-dec:1 hl-inc:1"),
	"IDLETIMER":   specs("timeout:1 label:1 alarm"),
	"LED":         specs("led-trigger-id:1 led-delay:1 led-always-blink"),
	"RATEEST":     specs("rateest-name:1 rateest-interval:1 rateest-ewmalog:1"),
	"SECMARK":     specs("selctx:1"),
	"CONNSECMARK": specs("save restore"),
	"CT":          specs("notrack helper:1 timeout:1 ctevents:1 expevents:1 zone-orig:1 zone-reply:1 zone:1"),
	"SYNPROXY":    specs("sack-perm timestamp wscale:1 mss:1 ecn"),
	"TPROXY":      specs("on-port:1 on-ip:1 tproxy-mark:1"),
	"SNAT":        specs("to-source:1 " + natOptions),
	"DNAT":        specs("to-destination:1 " + natOptions),
	"MASQUERADE":  specs("to-ports:1 " + natOptions),
	"REDIRECT":    specs("to-ports:1 " + natOptions),
	"NETMAP":      specs("to:1"),
}

// protocolMatch returns the match that -p loads when an option is not known
// without it.
func protocolMatch(number, family int) string {
	names := map[int]string{protoTCP: "tcp", protoUDP: "udp", protoDCCP: "dccp", protoSCTP: "sctp", 50: "esp", 51: "ah"}
	if family == 4 {
		names[protoICMP] = "icmp"
	} else {
		names[protoICMPv6] = "icmp6"
	}
	return names[number]
}

// matchName returns the name under which a match's options are listed.
func matchName(name string) string {
	if name == "icmpv6" || name == "ipv6-icmp" {
		return "icmp6"
	}
	return name
}

// An option is one option of a match or a target as a rule has it, under its
// canonical name.
type option struct {
	name   string
	invert bool
	args   []string
}

// An extension is one -m or the target of a rule, with its options.
type extension struct {
	name    string
	options []option
}

// unknown reports whether the options of an extension are not listed here.
func (e extension) unknown(tables map[string][]optionSpec) bool {
	_, ok := tables[e.name]
	return !ok
}

// find looks a long option up as getopt_long does: an exact name first, and
// then an abbreviation that fits one option alone (synonyms count as one).
func find(name string, lists ...[]optionSpec) (list int, spec optionSpec, ok bool) {
	for i, specs := range lists {
		for _, s := range specs {
			if s.name == name {
				return i, s, true
			}
		}
	}
	for i, specs := range lists {
		for _, s := range specs {
			if !strings.HasPrefix(s.name, name) {
				continue
			}
			if ok && (list != i || spec.canonical != s.canonical || spec.args != s.args) {
				return 0, optionSpec{}, false
			}
			list, spec, ok = i, s, true
		}
	}
	return list, spec, ok
}

// words splits a line into arguments as iptables-restore does: blanks separate
// them, double quotes keep blanks, and inside quotes a backslash takes the
// next character as it is. A closing quote ends an argument.
func words(line string) ([]string, error) {
	var result []string
	var word []byte
	quoted, escaped := false, false
	for i := range len(line) {
		c := line[i]
		end := false
		switch {
		case quoted && escaped:
			word, escaped = append(word, c), false
		case quoted && c == '\\':
			escaped = true
		case quoted && c == '"':
			quoted, end = false, true
		case quoted:
			word = append(word, c)
		case c == '"':
			quoted = true
		case c == ' ' || c == '\t':
			end = len(word) > 0
		default:
			word = append(word, c)
		}
		if len(word) > 1022 {
			return nil, fmt.Errorf("an argument is too long")
		}
		if end {
			result, word = append(result, string(word)), nil
		}
	}
	if quoted {
		// The newline is then part of the argument.
		return append(result, string(word)+"\n"), nil
	}
	if len(word) > 0 {
		result = append(result, string(word))
	}
	return result, nil
}
