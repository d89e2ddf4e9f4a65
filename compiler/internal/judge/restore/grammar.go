package restore

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
)

// productions is the grammar of what may stand in a rule, without the chain
// names. A name in angle brackets stands for one of that name's productions,
// with the family's number appended where there is such a name (addr4, addr6).
// All of it is valid by itself; a few combinations are not.
var productions = map[string][]string{
	"not": {"", "", "", "! "},

	"addr4": {
		"10.0.0.1", "10.0.0.0/8", "10.1.2.3/8", "10.0.0.1/32", "192.168.7.9/255.255.0.0", "192.168.7.9/255.0.255.0",
		"0.0.0.0/0", "0/0", "10/8", "172.16.0.0/12", "172.16.5.4/0", "1.2.3.4/0.0.0.255", "255.255.255.255", "10.0.0.7/31", "10.0.0.7/030",
		"10.0.0.7/0x18", "10.0.0.9/0.0.0.0", "any/0", "10.1", "10.1.2/24",
	},
	"addr6": {
		"2001:db8::1", "2001:db8::/32", "2001:db8:1:2:3:4:5:6/64", "::1/128", "::/0", "fe80::1/10", "2001:db8::7/127", "2001:db8::7/0x40",
		"::ffff:1.2.3.4", "2001:DB8::A/ffff:ffff::", "2001:db8::1/ffff::ffff", "any/0", "0::0/0", "2001:db8:0:0::1/65", "::",
	},
	"addrs":  {"<addr>", "<addr>,<addr>", "<addr>,<addr>,<addr>"},
	"srcopt": {"-s", "-s", "--source", "--src", "--sour"},
	"dstopt": {"-d", "-d", "--destination", "--dst", "--dest"},
	"src":    {"<not><srcopt> <addr>", "<not><srcopt> <addr>", "<srcopt> <addrs>"},
	"dst":    {"<not><dstopt> <addr>", "<not><dstopt> <addr>", "<dstopt> <addrs>"},

	"iface": {"eth0", "lo", "eth+", "+", "br-1234567890ab", "docker0", "a.b:c@d", "wg0", "eth0/1", "tun-1"},
	"in":    {"<not>-i <iface>", "--in-interface <iface>", "<not>--in-i <iface>"},
	"out":   {"<not>-o <iface>", "--out-interface <iface>", "<not>--out <iface>"},

	"protoname": {"tcp", "udp", "icmp", "ipv6-icmp", "icmpv6", "sctp", "dccp", "udplite", "esp", "ah", "all", "mh", "gre", "TCP", "Udp",
		"pim", "l2tp", "ipencap", "ipv6", "6", "17", "0x11", "021", "0", "255", "132", "58", "1", "ospf", "vrrp"},
	"proto": {"<not>-p <nonzero>", "-p <protoname>", "--protocol <protoname>", "--proto <protoname>"},
	// Refused by 1.8.9, or read as a name that starts with a dash: do_parse
	// takes the whole word for the value (iptables/xshared.c).
	"joined":  {"-s<addr>", "--source=<addr>", "! -d<addr>", "--dst=<addrs>", "-ilo", "--in-interface=<iface>", "-o<iface>", "-ptcp", "--protocol=<protoname>", "-j<verdict>", "--jump=<verdict>", "-mtcp", "--match=comment", "-p=tcp", "-s=<addr>"},
	"nonzero": {"tcp", "udp", "icmp", "sctp", "6", "17", "47", "0x11"},

	"port":  {"80", "443", "0", "65535", "1", "0x50", "0120", "22", "8080"},
	"range": {"<port>", "<port>", "80:90", "0:65535", ":1024", "1024:", ":", "53:53"},
	"ports": {"<port>", "80,443", "80:90,443", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15", "0x50:100", "1:2,3:4,5:6"},
	"sport": {"<not>--sport <range>", "<not>--source-port <range>", "--sport=<range>", "--source-p <range>"},
	"dport": {"<not>--dport <range>", "<not>--destination-port <range>", "--dport=<range>", "--dpo <range>"},

	"tcpproto":   {"-p tcp", "-p tcp -m tcp", "-p 6", "-p 6 -m tcp", "-m tcp -p tcp", "-p TCP"},
	"tcpopt":     {"<sport>", "<dport>", "<dport>", "<not>--syn", "<not>--tcp-flags <flags> <flags>", "<not>--tcp-option <octet>"},
	"flags":      {"SYN", "SYN,ACK", "ALL", "NONE", "FIN,SYN,RST,PSH,ACK,URG", "syn", "RST,RST"},
	"octet":      {"0", "1", "7", "255", "0x10", "010"},
	"tcp":        {"<tcpproto> <tcpopt>", "<tcpproto> <sport> <dport>", "<tcpproto> <dport> <not>--syn", "<tcpproto> <not>--dport http", "<tcpproto> --sport http:https", "<tcpproto>", "<tcpproto> <mports>"},
	"udp":        {"-p udp <dport>", "-p udp -m udp <sport> <dport>", "-p 17 <sport>", "-p UDP -m udp", "-p udp <mports>"},
	"sctp":       {"-p sctp <dport>", "-p sctp -m sctp <not>--chunk-types any INIT,DATA", "-p 132 -m sctp <sport>", "-p sctp --chunk-types all DATA:Be,ABORT"},
	"dccp":       {"-p dccp -m dccp <dport>", "-p dccp -m dccp <not>--dccp-types REQUEST,RESPONSE", "-p 33 -m dccp <not>--dccp-option <dccpoption>"},
	"dccpoption": {"1", "2", "255"},
	"mports":     {"-m multiport <not>--dports <ports>", "-m multiport <not>--sports <ports>", "-m multiport --ports <ports>", "-m multiport --port <ports>", "-m multiport <not>--destination-ports <ports>"},

	"icmp4":     {"-p icmp", "-p icmp <not>--icmp-type <icmptype>", "-p icmp -m icmp --icmp-type <icmptype>", "-p 1 -m icmp --icmp-type <icmptype>", "-p icmp --icmp-type=<icmptype>"},
	"icmp6":     {"-p icmpv6", "-p ipv6-icmp <not>--icmpv6-type <icmptype>", "-p icmpv6 -m icmp6 --icmpv6-type <icmptype>", "-p 58 -m icmpv6 --icmpv6-type <icmptype>", "-p icmpv6 -m ipv6-icmp --icmpv6-type <icmptype>"},
	"icmptype4": {"8", "echo-request", "any", "3/4", "port-unreachable", "255", "255/255", "ping", "ECHO-REQUEST", "0x8", "time-ex", "destination-unreachable", "3"},
	"icmptype6": {"128", "echo-request", "1/4", "packet-too-big", "neighbour-advertisement", "neighbor-sol", "255/255", "2", "0x80", "ECHO-REPLY", "destination-unreachable"},

	"ctstate":   {"NEW", "NEW,ESTABLISHED", "ESTABLISHED,RELATED", "INVALID", "UNTRACKED", "SNAT", "DNAT,NEW", "new", "NEW,NEW", "RELATED,ESTABLISHED,INVALID"},
	"ctopt":     {"<not>--ctstate <ctstate>", "<not>--ctdir ORIGINAL", "--ctdir REPLY", "<not>--ctproto <nonzero>", "<not>--ctorigsrc <addr>", "<not>--ctorigdst <addr>", "<not>--ctreplsrc <addr>", "<not>--ctrepldst <addr>", "<not>--ctorigsrcport <ctport>", "<not>--ctorigdstport <ctport>", "<not>--ctreplsrcport <ctport>", "<not>--ctrepldstport <ctport>", "<not>--ctstatus <ctstatus>", "<not>--ctexpire <ctexpire>", "--ctorigdstp <ctport>", "--ctstate=<ctstate>"},
	"ctstatus":  {"NONE", "EXPECTED", "SEEN_REPLY,ASSURED", "CONFIRMED", "assured"},
	"ctexpire":  {"100", "1:100", "0", ":5", "5:", "4294967295"},
	"ctport":    {"80", "80:90", "0:65535", "8000:8010", "1", "65535", ":90", "90:"},
	"ct":        {"-m conntrack <ctopt>", "-m conntrack <ctopt> <ctopt>", "-m conntrack --ctstate <ctstate> --ctdir ORIGINAL", "-m conntrack --ctproto tcp --ctorigdstport <ctport> --ctdir ORIGINAL"},
	"state":     {"-m state <not>--state <statename>", "-m state --state=<statename>", "-m state --st <statename>"},
	"statename": {"NEW", "NEW,ESTABLISHED", "RELATED,ESTABLISHED", "INVALID", "UNTRACKED", "established"},

	"comment":   {`-m comment --comment x`, `-m comment --comment "two words"`, `-m comment --comment "it\'s \"quoted\" \\ back"`, `-m comment --comment=x`, `-m comment --comment "="`, `-m comment --comment "-j DROP"`, `-m comment --comment !`, `-m comment --comment -j`, `-m comment --comment "a b"`, `-mcomment --comm abc`, `-m comment --comment '#'`},
	"iprange4":  {"-m iprange <not>--src-range 10.0.0.1-10.0.0.9", "-m iprange <not>--dst-range 10.0.0.1-10.0.0.9", "-m iprange --src-range 10.0.0.1", "-m iprange --src-range 10.0.0.1-10.0.0.1 --dst-range 0.0.0.0-255.255.255.255"},
	"iprange6":  {"-m iprange <not>--src-range 2001:db8::1-2001:db8::9", "-m iprange <not>--dst-range ::-::ffff", "-m iprange --src-range 2001:db8::1"},
	"mark":      {"-m mark <not>--mark <markvalue>", "-m connmark <not>--mark <markvalue>", "-m mark --mark=<markvalue>"},
	"markvalue": {"1", "0x10", "0x1/0xff", "1/1", "0", "4294967295", "0xffffffff/0xffffffff", "010", "5/0"},
	"limit":     {"-m limit --limit <rate>", "-m limit --limit <rate> --limit-burst <burst>", "-m limit", "-m limit --limit-burst <burst>", "-m limit --limit=<rate>"},
	"rate":      {"5/s", "5/second", "3/min", "1/hour", "1/day", "10000/sec", "5", "3/m", "1/d", "2/h"},
	"burst":     {"1", "5", "10000", "0x10"},

	"match": {"<comment>", "<ct>", "<ct>", "<state>", "<mark>", "<limit>", "<iprange>", "<ct> <comment>"},
	"l4":    {"<proto>", "<tcp>", "<tcp>", "<tcp>", "<udp>", "<udp>", "<icmp>", "<sctp>", "<dccp>"},

	"loglevel": {"4", "info", "warning", "7", "0", "debug", "0x3", "emerg", "error"},
	"logopt":   {"--log-prefix x", `--log-prefix "a b: "`, "--log-level <loglevel>", "--log-tcp-options", "--log-uid", "--log-prefix=x --log-level <loglevel>", "--log-ip-options --log-tcp-sequence", "--log-macdecode"},
	"log":      {"LOG", "LOG <logopt>", `LOG --log-prefix "x: " --log-level <loglevel>`},
	"nflog":    {"NFLOG", "NFLOG --nflog-group <group>", `NFLOG --nflog-prefix "a b"`, "NFLOG --nflog-group 1 --nflog-threshold 3", "NFLOG --nflog-size 100", "NFLOG --nflog-range 100"},
	"group":    {"0", "1", "65535", "0x10"},
	"mark!":    {"MARK --set-mark <markvalue>", "MARK --set-xmark <markvalue>", "MARK --or-mark 0x1", "MARK --and-mark 0xff", "MARK --xor-mark 7", "CONNMARK --set-mark <markvalue>", "CONNMARK --save-mark", "CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff", "CONNMARK --set-xmark <markvalue>", "CONNMARK --save-mark --mask 0xff", "CONNMARK --restore-mark"},
	"reject4":  {"REJECT", "REJECT --reject-with icmp-port-unreachable", "REJECT --reject-with icmp-host-unreachable", "REJECT --reject-with=icmp-admin-prohibited", "REJECT --reject-with port-unreach", "REJECT --reject-with icmp-net-prohib"},
	"reject6":  {"REJECT", "REJECT --reject-with icmp6-port-unreachable", "REJECT --reject-with icmp6-adm-prohibited", "REJECT --reject-with=no-route", "REJECT --reject-with policy-fail", "REJECT --reject-with adm-prohibited"},
	"reset":    {"-p tcp -j REJECT --reject-with tcp-reset", "-p tcp -m tcp --dport 80 -j REJECT --reject-with tcp-reset", "-p 6 -j REJECT --reject-with tcp-rst"},
	"dnat4":    {"DNAT --to-destination 10.0.0.1:80", "DNAT --to-destination 10.0.0.1-10.0.0.5", "DNAT --to 10.0.0.1", "REDIRECT --to-ports 80", "DNAT --to-destination :80", "REDIRECT", "DNAT --to-destination 10.0.0.1:80-90 --random"},
	"dnat6":    {"DNAT --to-destination [2001:db8::1]:80", "DNAT --to-destination 2001:db8::1-2001:db8::5", "DNAT --to 2001:db8::1", "REDIRECT --to-ports 80", "REDIRECT", "DNAT --to-destination [2001:db8::1]:80-90 --persistent"},
	"snat4":    {"MASQUERADE", "SNAT --to-source 10.0.0.1", "SNAT --to-source 10.0.0.1-10.0.0.5 --random", "MASQUERADE --random", "MASQUERADE --to-ports 1024-65535", "SNAT --to 10.0.0.1:1024-65535"},
	"snat6":    {"MASQUERADE", "SNAT --to-source 2001:db8::1", "SNAT --to-source 2001:db8::1-2001:db8::5 --random", "MASQUERADE --random", "MASQUERADE --to-ports 1024-65535"},
	"ctarget":  {"NOTRACK", "CT --notrack", "CT --zone 1", "NOTRACK"},
	"verdict":  {"ACCEPT", "RETURN", "ACCEPT", "DROP", "DROP"},
	"jump":     {"-j ", "-j ", "-j ", "-j ", "--jump ", "--ju "},

	"extra":  {"-c 5 6", "-c 5,6", "--set-counters 1 2", "-v", "--verbose", "--set-counters=1,2", "-c5 6", "-c 18446744073709551615 0", "-vv"},
	"family": {"-4", "--ipv4", "-6", "--ipv6"},
}

var nonterminal = regexp.MustCompile(`<[a-z0-9!]+>`)

// pick returns one of the choices.
func pick[T any](r *rand.Rand, choices []T) T { return choices[r.IntN(len(choices))] }

// chance reports true in n of 100 cases.
func chance(r *rand.Rand, n int) bool { return r.IntN(100) < n }

// expand replaces every name in angle brackets by a production of that name.
func expand(r *rand.Rand, family int, s string) string {
	for nonterminal.MatchString(s) {
		s = nonterminal.ReplaceAllStringFunc(s, func(name string) string {
			name = name[1 : len(name)-1]
			choices := productions[name]
			if choices == nil {
				choices = productions[fmt.Sprint(name, family)]
			}
			if choices == nil {
				panic("no production for " + name)
			}
			return pick(r, choices)
		})
	}
	return s
}

// builtin lists the built-in chains of each table (iptables/nft.c,
// xtables_ipv4; the kernel's tables have the same).
var builtin = map[string][]string{
	"filter":   {"INPUT", "FORWARD", "OUTPUT"},
	"nat":      {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"},
	"mangle":   {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"},
	"raw":      {"PREROUTING", "OUTPUT"},
	"security": {"INPUT", "FORWARD", "OUTPUT"},
}

var tables = []string{"filter", "filter", "filter", "filter", "nat", "nat", "mangle", "raw", "security"}

// userChains are names of chains, plain and odd: iptables refuses blanks, a
// leading - or !, names of targets, and more than 28 bytes.
var userChains = []string{
	"A", "B", "DOCKER-USER", "SEAWALL-INPUT", "abcdefghijklmnopqrstuvwxyz12", "x.y", "chain:1", "tcp", "a/b", "12", "f2b-sshd", "ü", "accept", "a'b", "[0:0]", "*x", "#y", "+", "a=b",
}

// A section is one table of a text while it is being made.
type section struct {
	r      *rand.Rand
	family int
	table  string
	user   []string
	rules  map[string][]string // the rules of each chain, without the command
	lines  []string
}

// sectionLines returns the lines of one valid section.
func sectionLines(r *rand.Rand, family int) []string {
	s := &section{r: r, family: family, table: pick(r, tables), rules: map[string][]string{}}
	s.line("*" + s.table)
	s.declare()
	for range r.IntN(7) {
		s.command()
	}
	s.line("COMMIT")
	return s.lines
}

func (s *section) line(line string) {
	if chance(s.r, 2) {
		s.lines = append(s.lines, pick(s.r, []string{"", "# a comment", "#", "#COMMIT", "# \"quote"}))
	}
	s.lines = append(s.lines, line)
}

// declare writes chain lines for some built-in chains and for user chains.
func (s *section) declare() {
	for _, c := range builtin[s.table] {
		if chance(s.r, 60) {
			policy := "ACCEPT"
			if s.table != "nat" && chance(s.r, 30) {
				policy = "DROP"
			}
			s.line(":" + c + " " + policy + pick(s.r, []string{" [0:0]", " [12:345]", "", " [0:0]"}))
		}
	}
	for range s.r.IntN(4) {
		name := pick(s.r, userChains)
		if s.has(name) {
			continue
		}
		if chance(s.r, 15) {
			s.line(pick(s.r, []string{"-N ", "--new-chain ", "-N", "--new "}) + name)
		} else {
			s.line(":" + name + " -" + pick(s.r, []string{" [0:0]", " [0:0]", "", " [1:2]"}))
		}
		s.user = append(s.user, name)
	}
}

func (s *section) has(name string) bool {
	for _, c := range s.user {
		if c == name {
			return true
		}
	}
	return false
}

func (s *section) chain() string {
	if len(s.user) > 0 && chance(s.r, 50) {
		return pick(s.r, s.user)
	}
	return pick(s.r, builtin[s.table])
}

// command writes one line with a command.
func (s *section) command() {
	c := s.chain()
	n := len(s.rules[c])
	switch k := s.r.IntN(100); {
	case k < 72:
		s.add(c, pick(s.r, []string{"-A ", "-A ", "-A ", "-A ", "--append ", "-A", "--append=", "--app "})+c, n)
	case k < 80:
		s.insert(c)
	case k < 84 && n > 0:
		s.line(fmt.Sprintf("-R %s %d %s", c, 1+s.r.IntN(n), s.replacement(c)))
	case k < 90 && n > 0:
		s.remove(c)
	case k < 92:
		s.line(pick(s.r, []string{"-F ", "--flush ", "-F"}) + c)
		s.rules[c] = nil
	case k < 94:
		s.line(pick(s.r, []string{"-Z ", "-Z", "--zero "}) + c)
	case k < 96:
		s.line("-P " + pick(s.r, builtin[s.table]) + " ACCEPT")
	case k < 98:
		s.transient()
	default:
		s.line(pick(s.r, []string{"-F", "-Z", "-X UNUSED-" + c, "-C " + c + " -j ACCEPT"}))
	}
}

// add writes one rule for chain c, which the command puts at index n.
func (s *section) add(c, command string, n int) {
	spec := s.spec(c)
	old := s.rules[c]
	s.rules[c] = append(old[:n:n], append([]string{spec}, old[n:]...)...)
	line := command + " " + spec
	switch k := s.r.IntN(100); {
	case k < 5:
		line = pick(s.r, []string{"[1:2] ", "[0:0] ", "[18446744073709551615:1]", "[5:6]   "}) + line
	case k < 8:
		line = expand(s.r, s.family, "<family> ") + line
	case k < 11:
		line += expand(s.r, s.family, " <extra>")
	}
	s.line(strings.TrimRight(line, " "))
}

func (s *section) insert(c string) {
	n := len(s.rules[c])
	if chance(s.r, 50) {
		s.add(c, pick(s.r, []string{"-I ", "--insert ", "-I"})+c, 0)
		return
	}
	at := s.r.IntN(n + 1)
	s.add(c, fmt.Sprintf("-I %s %d", c, at+1), at)
}

// remove deletes a rule by its number or by its text.
func (s *section) remove(c string) {
	i := s.r.IntN(len(s.rules[c]))
	if chance(s.r, 50) {
		s.line(fmt.Sprintf("-D %s %d", c, i+1))
	} else {
		s.line(strings.TrimRight("-D "+c+" "+s.rules[c][i], " "))
	}
	s.rules[c] = append(s.rules[c][:i:i], s.rules[c][i+1:]...)
}

// replacement is a rule for -R, which takes one address of a kind at most.
func (s *section) replacement(c string) string {
	for {
		if spec := s.spec(c); !strings.Contains(spec, ",") && !strings.Contains(spec, "localhost") {
			return spec
		}
	}
}

// transient makes a chain and renames or deletes it.
func (s *section) transient() {
	s.line("-N TEMP")
	if chance(s.r, 50) {
		s.line("-E TEMP KEPT")
		s.line("-X KEPT")
	} else {
		s.line(pick(s.r, []string{"-X TEMP", "-XTEMP", "--delete-chain TEMP"}))
	}
}

// spec returns the conditions and the target of a rule of chain c.
func (s *section) spec(c string) string {
	var parts []string
	part := func(percent int, production string) {
		if chance(s.r, percent) {
			parts = append(parts, expand(s.r, s.family, production))
		}
	}
	part(35, "<src>")
	part(30, "<dst>")
	if c != "OUTPUT" && c != "POSTROUTING" {
		part(25, "<in>")
	}
	if c != "INPUT" && c != "PREROUTING" {
		part(20, "<out>")
	}
	part(55, "<l4>")
	part(50, "<match>")
	part(10, "<match>")
	if chance(s.r, 15) {
		s.r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	}
	target := s.target(c)
	if chance(s.r, 5) {
		parts = append([]string{target}, parts...)
	} else {
		parts = append(parts, target)
	}
	return strings.Join(strings.Fields(" "+strings.Join(parts, " ")), " ")
}

// target returns a target that fits the table and chain. User chains jump only
// to chains declared after them, which rules out loops.
func (s *section) target(c string) string {
	jump := expand(s.r, s.family, "<jump>")
	if later := s.later(c); len(later) > 0 && chance(s.r, 35) {
		return pick(s.r, []string{jump, jump, "-g ", "--goto ", "-g"}) + pick(s.r, later)
	}
	kinds := []string{"<verdict>", "<verdict>", "<verdict>", "<log>", "<nflog>", ""}
	switch {
	case s.table == "filter":
		kinds = append(kinds, "<reject>", "<reject>")
	case s.table == "nat":
		kinds = []string{"ACCEPT", "RETURN", "<log>", ""}
	case s.table == "mangle":
		kinds = append(kinds, "<mark!>", "<mark!>", "<mark!>")
	case s.table == "raw":
		kinds = append(kinds, "<ctarget>")
	}
	if s.table == "nat" && chance(s.r, 50) && (c == "PREROUTING" || c == "POSTROUTING") {
		kinds = []string{map[string]string{"PREROUTING": "<dnat>", "POSTROUTING": "<snat>"}[c]}
	}
	kind := pick(s.r, kinds)
	if kind == "" {
		return ""
	}
	return jump + expand(s.r, s.family, kind)
}

// later returns the user chains that c may jump to.
func (s *section) later(c string) []string {
	for i, u := range s.user {
		if u == c {
			return s.user[i+1:]
		}
	}
	return s.user
}
