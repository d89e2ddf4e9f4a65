package nftoracle

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
)

// Options says what a random ruleset may hold.
type Options struct {
	// Unknown has statements that nobody can evaluate, such as fib, numgen and
	// limit.
	Unknown bool
	// Forward leaves out what changes or drops packets before the hook forward
	// and what drops the answers to rejected ones, so that the kernel can be
	// asked what becomes of forwarded packets.
	Forward bool
}

// A File is a random ruleset as a text for nft -f, with the values that stand in
// it.
type File struct {
	Text       string
	Interfaces []string
	Addresses  []netip.Addr
	Ports      []int
	Protocols  []int
	Marks      []uint32
	ICMP       []int // types
}

// Random makes a ruleset of one to three tables in the styles that people and
// tools write. nft 1.0.6 loads every one.
func Random(r *rand.Rand, o Options) File {
	m := newMaker(r, o)
	names := []string{"filter", "fw", "seawall", "host-policy", "firewalld"}
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	var b strings.Builder
	if m.chance(4) {
		b.WriteString("#!/usr/sbin/nft -f\n\nflush ruleset\n\n")
	}
	if m.chance(4) {
		fmt.Fprintf(&b, "define WAN = %q\n\n", m.interfaceName())
		m.wan = true
	}
	docker := false
	for i := range 1 + m.IntN(3) {
		switch {
		case m.chance(5) && !docker:
			docker = true
			b.WriteString(m.docker("ip") + m.docker("ip6"))
		case m.chance(4):
			b.WriteString(m.randomTable("ip", names[i]) + m.randomTable("ip6", names[i]))
		default:
			b.WriteString(m.randomTable("inet", names[i]))
		}
	}
	m.file.Text = b.String()
	return *m.file
}

// A maker makes random text from the values of its file.
type maker struct {
	*rand.Rand
	Options
	file   *File
	nets   map[int][]netip.Prefix
	wan    bool // the variable WAN is defined
	number int
}

func newMaker(r *rand.Rand, o Options) *maker {
	m := &maker{Rand: r, Options: o, file: &File{}, nets: map[int][]netip.Prefix{}}
	m.file.Interfaces = []string{"eth0", "srv0", "eth0", "srv0", "docker0", "br-1f2e3d4c5b6a"}
	for range 4 {
		m.addNet(4, netip.AddrFrom4([4]byte{pick(m, byte(10), 172, 192, 198, 203), byte(m.IntN(3)), byte(m.IntN(3)), byte(m.IntN(256))}),
			pick(m, 8, 12, 16, 22, 24, 24, 28, 32, 32, 32))
		six := [16]byte{0x20, 0x01, 0x0d, 0xb8, 0, byte(m.IntN(3)), 0, byte(m.IntN(3)), 15: byte(m.IntN(256))}
		m.addNet(6, netip.AddrFrom16(six), pick(m, 32, 48, 56, 64, 64, 124, 128, 128, 128))
	}
	for range 6 {
		m.file.Ports = append(m.file.Ports, pick(m, 22, 53, 80, 443, 5432, 8080, 1024+m.IntN(60000)))
	}
	m.file.Protocols = []int{protoTCP, protoTCP, protoTCP, protoUDP, protoUDP, protoICMP, protoICMPv6, protoSCTP, pick(m, 47, 50, 89, 33, 136)}
	m.file.Marks = []uint32{1, 2, 0x10, pick(m, 0xff, 0x100, m.Uint32())}
	m.file.ICMP = []int{8, 128, 0, 129, 3, 1}
	return m
}

// addNet notes a network: its first and last address, and one inside.
func (m *maker) addNet(family int, a netip.Addr, bits int) {
	p := netip.PrefixFrom(a, bits).Masked()
	m.nets[family] = append(m.nets[family], p)
	m.file.Addresses = append(m.file.Addresses, p.Addr(), a, lastOf(p))
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func pick[T any](m *maker, values ...T) T { return values[m.IntN(len(values))] }

// chance is true once in n times.
func (m *maker) chance(n int) bool { return m.IntN(n) == 0 }

func (m *maker) interfaceName() string { return pick(m, m.file.Interfaces...) }

// A text is a table that is being made.
type text struct {
	*maker
	family, name string
	flat         bool // "add rule" in place of braces
	sets         []namedSet
	chains       []string // that may be jumped to: each only to later ones
	at           int      // the chain that is being made, -1 for a base chain
	b            strings.Builder
}

// A namedSet is a set or a verdict map.
type namedSet struct {
	name string
	keys []key
	rule context // what its keys need of a rule
	vmap bool
}

func (m *maker) randomTable(family, name string) string {
	t := &text{maker: m, family: family, name: name, flat: m.chance(4)}
	for i := range m.IntN(4) {
		t.chains = append(t.chains, pick(m, "sub", "allow", "from-outside", "svc")+fmt.Sprint(i))
	}
	if m.chance(3) {
		fmt.Fprintf(&t.b, "table %[1]s %[2]s\ndelete table %[1]s %[2]s\n", family, name)
	}
	t.open()
	for range m.IntN(4) {
		t.addSet()
	}
	for i := len(t.chains) - 1; i >= 0; i-- {
		t.at = i
		t.chain(t.chains[i], "", m.IntN(4))
	}
	t.at = -1
	hooks := pick(m, []string{"forward"}, []string{"forward"}, []string{"input", "forward"}, []string{"forward", "forward"},
		[]string{"input", "forward", "output"})
	for i, hook := range hooks {
		t.base(pick(m, "", "my-")+hook+map[bool]string{true: "2"}[i == 1 && hook == hooks[0]], hook)
	}
	if !m.Forward && m.chance(4) {
		t.base("pre", "prerouting")
	}
	t.close()
	return t.b.String()
}

func (t *text) open() {
	if t.flat {
		fmt.Fprintf(&t.b, "add table %s %s\n", t.family, t.name)
		for _, c := range t.chains {
			fmt.Fprintf(&t.b, "add chain %s %s %s\n", t.family, t.name, c)
		}
		return
	}
	fmt.Fprintf(&t.b, "table %s %s {\n", t.family, t.name)
}

func (t *text) close() {
	if !t.flat {
		t.b.WriteString("}\n")
	}
	t.b.WriteString("\n")
}

// base makes a base chain.
func (t *text) base(name, hook string) {
	priority := pick(t.maker, "0", "0", "filter", "filter - 5", "filter + 10", "-10", "5", "security", "-150")
	policy := pick(t.maker, "accept", "accept", "drop")
	if hook != "forward" && t.Forward {
		policy = "accept"
	}
	if hook == "prerouting" {
		priority = pick(t.maker, "raw", "mangle", "-300")
	}
	head := fmt.Sprintf("type filter hook %s priority %s; policy %s;", hook, priority, policy)
	if policy == "accept" && t.chance(3) {
		head = strings.TrimSuffix(head, " policy accept;")
	}
	rules := 2 + t.IntN(7)
	if hook == "output" {
		rules = 0
	}
	t.chain(name, head, rules)
}

func (t *text) chain(name, head string, rules int) {
	switch {
	case t.flat && head == "":
	case t.flat:
		fmt.Fprintf(&t.b, "add chain %s %s %s { %s }\n", t.family, t.name, name, head)
	default:
		fmt.Fprintf(&t.b, "\tchain %s {\n", name)
		if head != "" {
			fmt.Fprintf(&t.b, "\t\t%s\n", head)
		}
	}
	if head != "" && rules > 0 && t.chance(2) {
		t.rule(name, pick(t.maker,
			"ct state vmap { established : accept, related : accept, invalid : drop }",
			"ct state established,related accept", "ct state { established, related } counter accept", "ct state invalid drop",
			"ct state established,related counter packets 0 bytes 0 accept"))
	}
	for range rules {
		t.rule(name, t.randomRule())
	}
	if !t.flat {
		t.b.WriteString("\t}\n")
	}
}

func (t *text) rule(chain, rule string) {
	if t.flat {
		fmt.Fprintf(&t.b, "add rule %s %s %s %s\n", t.family, t.name, chain, rule)
		return
	}
	fmt.Fprintf(&t.b, "\t\t%s\n", rule)
}

// docker makes a table in the style of Docker's own.
func (m *maker) docker(family string) string {
	t := &text{maker: m, family: family, name: "docker-bridges"}
	bridges := []string{"docker0", "br-1f2e3d4c5b6a"}
	if m.Forward {
		bridges = []string{pick(m, "eth0", "srv0"), "docker0"}
	}
	t.open()
	for _, way := range []string{"in", "out"} {
		var elements []string
		for _, b := range bridges {
			elements = append(elements, fmt.Sprintf("%q : jump filter-forward-%s__%s", b, way, b))
		}
		fmt.Fprintf(&t.b, "\tmap filter-forward-%s-jumps {\n\t\ttype ifname : verdict\n\t\telements = { %s }\n\t}\n\n", way, strings.Join(elements, ",\n\t\t\t     "))
	}
	t.b.WriteString("\tchain filter-FORWARD {\n\t\ttype filter hook forward priority filter; policy accept;\n" +
		"\t\toifname vmap @filter-forward-in-jumps\n\t\tiifname vmap @filter-forward-out-jumps\n\t}\n\n")
	ip := map[string]string{"ip": "ip", "ip6": "ip6"}[family]
	for _, b := range bridges {
		in := []string{"ct state established,related counter packets 0 bytes 0 accept"}
		if m.chance(2) {
			in = append(in, fmt.Sprintf("iifname %q counter packets 0 bytes 0 accept comment \"ICC\"", b))
		}
		for range m.IntN(3) {
			in = append(in, fmt.Sprintf("%s daddr %s %s dport %d counter packets 0 bytes 0 accept", ip, m.addressOf(t.addressFamily()),
				pick(m, "tcp", "udp"), pick(m, m.file.Ports...)))
		}
		in = append(in, "counter packets 0 bytes 0 drop comment \"UNPUBLISHED PORT DROP\"")
		out := []string{"ct state established,related counter packets 0 bytes 0 accept",
			pick(m, "counter packets 0 bytes 0 accept comment \"OUTGOING\"",
				fmt.Sprintf("oifname != %q counter packets 0 bytes 0 drop comment \"INTERNAL NETWORK EGRESS\"", b))}
		fmt.Fprintf(&t.b, "\tchain filter-forward-in__%s {\n\t\t%s\n\t}\n\n", b, strings.Join(in, "\n\t\t"))
		fmt.Fprintf(&t.b, "\tchain filter-forward-out__%s {\n\t\t%s\n\t}\n\n", b, strings.Join(out, "\n\t\t"))
	}
	if !m.Forward {
		to := map[string]string{"ip": "172.17.0.2:80", "ip6": "[fd64::2]:80"}[family]
		fmt.Fprintf(&t.b, "\tchain nat-PREROUTING {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n"+
			"\t\tfib daddr type local counter packets 0 bytes 0 jump nat-prerouting-and-output\n\t}\n\n"+
			"\tchain nat-prerouting-and-output {\n\t\tiifname != \"docker0\" tcp dport 8080 counter packets 0 bytes 0 dnat to %s comment \"DNAT\"\n\t}\n\n"+
			"\tchain raw-PREROUTING {\n\t\ttype filter hook prerouting priority raw; policy accept;\n"+
			"\t\t%s daddr %s iifname != \"docker0\" counter packets 0 bytes 0 drop comment \"DROP DIRECT ACCESS\"\n\t}\n",
			to, ip, m.addressOf(t.addressFamily()))
	}
	t.close()
	return t.b.String()
}

// addressFamily returns the one family of a table, or 0.
func (t *text) addressFamily() int { return map[string]int{"ip": 4, "ip6": 6}[t.family] }

// addressOf returns an address of the file.
func (m *maker) addressOf(family int) netip.Addr {
	var candidates []netip.Addr
	for _, a := range m.file.Addresses {
		if a.Is4() == (family == 4) {
			candidates = append(candidates, a)
		}
	}
	return pick(m, candidates...)
}

// randomRule makes a rule: matches, statements that let the packet pass, and
// mostly a verdict.
func (t *text) randomRule() string {
	c := &context{family: t.addressFamily()}
	var words []string
	for range t.IntN(4) {
		words = append(words, t.match(c)...)
	}
	if t.Unknown && t.chance(3) {
		words = append(words, t.unknown(c))
	}
	if t.chance(6) {
		if vmap := t.vmap(c); vmap != "" {
			words = append(words, vmap)
			if t.chance(2) {
				return strings.Join(words, " ")
			}
		}
	}
	for range t.IntN(2) {
		words = append(words, t.passing(c))
	}
	words = append(words, t.verdict(c)...)
	if len(words) == 0 {
		words = []string{"counter"}
	}
	if t.chance(8) {
		words = append(words, pick(t.maker, `comment "by hand"`, `comment "drop; accept"`))
	}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

// passing makes a statement that decides nothing.
func (t *text) passing(c *context) string {
	hex := func() string { return fmt.Sprintf("%#x", pick(t.maker, t.file.Marks...)) }
	switch t.IntN(9) {
	case 0:
		return pick(t.maker, `log prefix "[fw] " level debug`, `log prefix "x: "`, "log")
	case 1:
		return "meta mark set " + hex()
	case 2:
		return "meta mark set meta mark " + pick(t.maker, "|", "&", "^", "or", "and") + " " + hex()
	case 3:
		return pick(t.maker, "meta mark set ct mark", "ct mark set meta mark", "meta mark set meta mark << 1", "meta mark set meta mark >> 1")
	case 4:
		return "ct mark set " + pick(t.maker, hex(), "ct mark | "+hex(), "meta mark & "+hex())
	case 5:
		if f := c.pickFamily(t.maker); f != 0 && t.addressable(f) {
			values := t.twoAddresses(t.addressKey(f, "saddr"))
			return fmt.Sprintf("meta mark set %s saddr map { %s : %s, %s : %s }", ipWord(f), values[0], hex(), values[1], hex())
		}
		return "counter"
	case 6:
		if t.chance(3) {
			return "notrack"
		}
	}
	return "counter"
}

// addressable reports whether rules of the table may name addresses of a family.
func (t *text) addressable(family int) bool {
	return t.family == "inet" || t.addressFamily() == family
}

func ipWord(family int) string { return map[int]string{4: "ip", 6: "ip6"}[family] }

// verdict makes the verdict of a rule, or none.
func (t *text) verdict(c *context) []string {
	switch t.IntN(10) {
	case 0, 1, 2:
		return []string{"accept"}
	case 3, 4:
		return []string{"drop"}
	case 5, 6:
		return []string{t.reject(c)}
	case 7:
		return []string{pick(t.maker, "return", "continue")}
	case 8:
		if later := t.chains[t.at+1:]; len(later) > 0 {
			return []string{pick(t.maker, "jump", "jump", "goto") + " " + pick(t.maker, later...)}
		}
		return []string{"accept"}
	}
	return nil
}

func (t *text) reject(c *context) string {
	icmp := "reject with icmp " + pick(t.maker, "net-unreachable", "host-unreachable", "prot-unreachable", "port-unreachable",
		"net-prohibited", "host-prohibited", "admin-prohibited")
	icmpv6 := "reject with icmpv6 " + pick(t.maker, "no-route", "admin-prohibited", "addr-unreachable", "port-unreachable", "policy-fail", "reject-route")
	choices := []string{"reject"}
	if t.family == "inet" {
		choices = append(choices, "reject with icmpx "+pick(t.maker, "no-route", "port-unreachable", "host-unreachable", "admin-prohibited"))
	}
	if t.addressable(4) && c.family != 6 {
		choices = append(choices, icmp)
	}
	if t.addressable(6) && c.family != 4 {
		choices = append(choices, icmpv6)
	}
	// nft lists "meta nfproto ipv6 tcp dport 80 reject with tcp reset" without its
	// first match, so that what is listed is not what the kernel has.
	if c.transport == "tcp" && !c.nfproto {
		choices = append(choices, "reject with tcp reset")
	}
	if c.transport == "" && !c.nfproto {
		choices = append(choices, "meta l4proto tcp reject with tcp reset")
	}
	return pick(t.maker, choices...)
}
