package nftoracle

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A context is what the matches of a rule have settled: nft refuses a rule that
// asks for two families or transports.
type context struct {
	family    int    // 4, 6 or 0
	transport string // tcp, udp, …, "other", or ""
	nfproto   bool   // by meta nfproto
}

// pickFamily settles the family.
func (c *context) pickFamily(m *maker) int {
	if c.family == 0 {
		c.family = pick(m, 4, 6)
	}
	return c.family
}

// A key is an expression with the data type of sets for it. Its span makes a
// random constant: a single value, or what an interval set may hold too.
type key struct {
	expr, typ string
	word      bool                 // the constants are words of which each stands for itself
	span      func(wide bool) ends // one value, or a prefix or range
}

// ends is a constant: the text and the first and the last value.
type ends struct {
	text        string
	first, last string // comparable
}

func single(text, value string) ends { return ends{text, value, value} }

func (t *text) addressKey(family int, field string) key {
	return key{ipWord(family) + " " + field, map[int]string{4: "ipv4_addr", 6: "ipv6_addr"}[family], false,
		func(wide bool) ends { return t.addressSpan(family, wide) }}
}

// comparable returns a text of an address that sorts as addresses do.
func comparable(a netip.Addr) string { return string(a.AsSlice()) }

func (t *text) addressSpan(family int, wide bool) ends {
	a := t.addressOf(family)
	if !wide || t.chance(3) {
		return single(a.String(), comparable(a))
	}
	if t.chance(3) {
		b := t.addressOf(family)
		if b.Less(a) {
			a, b = b, a
		}
		if a != b {
			return ends{a.String() + "-" + b.String(), comparable(a), comparable(b)}
		}
	}
	p := pick(t.maker, t.nets[family]...)
	return ends{p.String(), comparable(p.Addr()), comparable(lastOf(p))}
}

func (t *text) portKey(expr string) key {
	return key{expr, "inet_service", false, func(wide bool) ends {
		p := pick(t.maker, t.file.Ports...)
		if !wide || t.chance(2) {
			return single(fmt.Sprint(p), fmt.Sprintf("%05d", p))
		}
		q := min(65535, p+pick(t.maker, 1, 10, 1000))
		return ends{fmt.Sprintf("%d-%d", p, q), fmt.Sprintf("%05d", p), fmt.Sprintf("%05d", q)}
	}}
}

func (t *text) nameKey(expr string) key {
	return key{expr, "ifname", false, func(wide bool) ends {
		n := t.interfaceName()
		if wide && t.chance(3) {
			n = n[:2]
			return ends{fmt.Sprintf("%q", n+"*"), n, n + "\xff"}
		}
		return single(fmt.Sprintf("%q", n), n)
	}}
}

// wordKey has words that cannot overlap.
func (t *text) wordKey(expr, typ string, words ...string) key {
	return key{expr, typ, true, func(bool) ends {
		w := pick(t.maker, words...)
		return single(w, w)
	}}
}

func (t *text) markKey(expr string) key {
	return key{expr, "mark", false, func(wide bool) ends {
		n := pick(t.maker, t.file.Marks...)
		if wide && t.chance(3) && n < 1<<31 {
			return ends{fmt.Sprintf("%#x-%#x", n, n+3), fmt.Sprintf("%08x", n), fmt.Sprintf("%08x", n+3)}
		}
		return single(fmt.Sprintf("%#x", n), fmt.Sprintf("%08x", n))
	}}
}

var icmpWords = map[int][]string{
	4: {"echo-request", "echo-reply", "destination-unreachable", "time-exceeded", "timestamp-request"},
	6: {"echo-request", "echo-reply", "destination-unreachable", "packet-too-big", "nd-neighbor-solicit"},
}

// keys returns the keys that fit a rule, and settles what the chosen one needs.
func (t *text) key(c *context) key {
	for {
		switch t.IntN(12) {
		case 0, 1, 2:
			return t.addressKey(c.pickFamily(t.maker), pick(t.maker, "saddr", "saddr", "daddr"))
		case 3, 4:
			if c.transport == "" {
				c.transport = pick(t.maker, "tcp", "tcp", "udp", "sctp", "udplite", "dccp")
			}
			if c.ports() {
				return t.portKey(c.transport + " " + pick(t.maker, "dport", "dport", "sport"))
			}
		case 5, 6:
			return t.nameKey(pick(t.maker, "iifname", "oifname"))
		case 7:
			if c.transport == "" {
				c.transport = "other"
				return t.wordKey("meta l4proto", "inet_proto", "tcp", "udp", "icmp", "ipv6-icmp", "sctp", "47")
			}
		case 8:
			return t.markKey(pick(t.maker, "meta mark", "ct mark"))
		case 9:
			return pick(t.maker, t.wordKey("ct state", "ct_state", "new", "established", "related", "invalid", "untracked"),
				t.wordKey("ct direction", "ct_dir", "original", "reply"))
		case 10:
			f := c.pickFamily(t.maker)
			if word := map[int]string{4: "icmp", 6: "icmpv6"}[f]; c.transport == "" || c.transport == word {
				c.transport = word
				return t.wordKey(word+" type", word+"_type", icmpWords[f]...)
			}
		case 11:
			f := c.pickFamily(t.maker)
			k := t.addressKey(f, "daddr")
			k.expr = fmt.Sprintf("ct %s %s %s", pick(t.maker, "original", "reply"), ipWord(f), pick(t.maker, "saddr", "daddr"))
			return k
		}
	}
}

// ports is true where the transport has ports.
func (c *context) ports() bool {
	return slices.Contains([]string{"tcp", "udp", "sctp", "udplite", "dccp"}, c.transport)
}

// twoAddresses returns two addresses.
func (t *text) twoAddresses(k key) []string {
	texts := t.elements([]key{k}, 2, false)
	if len(texts) < 2 {
		texts = append(texts, neighbour(texts[0]))
	}
	return texts
}

// elements makes up to n elements of a set, of which no two overlap.
func (t *text) elements(keys []key, n int, wide bool) []string {
	var made [][]ends
	var texts []string
	for range 40 {
		if len(made) == n {
			break
		}
		var el []ends
		var words []string
		for _, k := range keys {
			e := k.span(wide)
			el, words = append(el, e), append(words, e.text)
		}
		if !slices.ContainsFunc(made, func(other []ends) bool { return overlap(el, other) }) {
			made, texts = append(made, el), append(texts, strings.Join(words, " . "))
		}
	}
	return texts
}

// neighbour returns the address after one.
func neighbour(text string) string {
	a := netip.MustParseAddr(text)
	if n := a.Next(); n.IsValid() {
		return n.String()
	}
	return a.Prev().String()
}

func overlap(a, b []ends) bool {
	for i := range a {
		if a[i].last < b[i].first || b[i].last < a[i].first {
			return false
		}
	}
	return true
}

// keys returns one key, or several for a concatenation.
func (t *text) keys(c *context) []key {
	keys := []key{t.key(c)}
	for t.chance(4) && len(keys) < 3 {
		k := t.key(c)
		if !slices.ContainsFunc(keys, func(o key) bool { return o.expr == k.expr }) {
			keys = append(keys, k)
		}
	}
	return keys
}

func exprOf(keys []key) string {
	var words []string
	for _, k := range keys {
		words = append(words, k.expr)
	}
	return strings.Join(words, " . ")
}

// intervals reports whether a set of the keys may be one of intervals: nft 1.0.6
// crashes when it lists one of ct state.
func intervals(keys []key) bool { return len(keys) > 1 || !keys[0].word }

// addSet makes a named set or verdict map.
func (t *text) addSet() {
	c := context{family: t.addressFamily()}
	s := namedSet{keys: t.keys(&c), rule: c, vmap: t.chance(3)}
	t.number++
	s.name = pick(t.maker, "allowed", "blocked", "services", "nets") + fmt.Sprint(t.number)
	wide := t.chance(2) && intervals(s.keys)
	elements := t.elements(s.keys, 1+t.IntN(5), wide)
	kind, data := "set", ""
	if s.vmap {
		kind, data = "map", " : verdict"
		for i := range elements {
			elements[i] += " : " + t.plainVerdict(-1)
		}
	}
	if t.chance(10) {
		elements = append(elements, "*"+map[bool]string{true: " : " + t.plainVerdict(-1)}[s.vmap])
	}
	head := "typeof " + exprOf(s.keys) + data
	if t.chance(2) {
		var types []string
		for _, k := range s.keys {
			types = append(types, k.typ)
		}
		head = "type " + strings.Join(types, " . ") + data
	}
	head += ";"
	if wide {
		head += " flags interval;"
	}
	if t.Unknown && !s.vmap && !wide && t.chance(3) {
		head += pick(t.maker, " flags timeout; timeout 1h;", " flags dynamic;")
		elements = nil
	}
	if len(elements) > 0 {
		head += " elements = { " + strings.Join(elements, ", ") + " };"
	}
	if t.flat {
		fmt.Fprintf(&t.b, "add %s %s %s %s { %s }\n", kind, t.family, t.name, s.name, head)
	} else {
		fmt.Fprintf(&t.b, "\t%s %s {\n\t\t%s\n\t}\n", kind, s.name, strings.ReplaceAll(head, "; ", ";\n\t\t"))
	}
	t.sets = append(t.sets, s)
}

// plainVerdict makes a verdict of a map, with jumps to chains after one.
func (t *text) plainVerdict(after int) string {
	if later := t.chains[after+1:]; len(later) > 0 && t.chance(3) {
		return pick(t.maker, "jump", "goto") + " " + pick(t.maker, later...)
	}
	return pick(t.maker, "accept", "accept", "drop", "return", "continue")
}

// fits reports whether a rule can use a set, and settles what it needs.
func (c *context) fits(s namedSet) bool {
	if c.family != 0 && s.rule.family != 0 && c.family != s.rule.family || c.transport != "" && s.rule.transport != "" {
		return false
	}
	if s.rule.family != 0 {
		c.family = s.rule.family
	}
	if s.rule.transport != "" {
		c.transport = s.rule.transport
	}
	return true
}

// named returns a set or map of the table that fits a rule. The maps may jump
// anywhere, so only base chains use them.
func (t *text) named(c *context, vmap bool) *namedSet {
	for i := range t.sets {
		s := &t.sets[t.IntN(i+1)]
		if s.vmap == vmap && (!vmap || t.at < 0) && c.fits(*s) {
			return s
		}
	}
	return nil
}

// vmap makes a look-up of a verdict, or nothing.
func (t *text) vmap(c *context) string {
	if s := t.named(c, true); s != nil && t.chance(2) {
		return exprOf(s.keys) + " vmap @" + s.name
	}
	keys := t.keys(c)
	wide := t.chance(3) && intervals(keys)
	elements := t.elements(keys, 1+t.IntN(4), wide)
	for i := range elements {
		elements[i] += " : " + t.plainVerdict(t.at)
	}
	if t.chance(8) {
		elements = append(elements, "* : "+t.plainVerdict(t.at))
	}
	return exprOf(keys) + " vmap { " + strings.Join(elements, ", ") + " }"
}

// match makes one match.
func (t *text) match(c *context) []string {
	switch t.IntN(12) {
	case 0, 1:
		if s := t.named(c, false); s != nil {
			return []string{exprOf(s.keys), pick(t.maker, "", "", "!="), "@" + s.name}
		}
	case 2:
		keys := t.keys(c)
		wide := t.chance(2) && intervals(keys)
		elements := strings.Join(t.elements(keys, 1+t.IntN(4), wide), ", ")
		return []string{exprOf(keys), pick(t.maker, "", "", "!="), "{ " + elements + " }"}
	case 3:
		return []string{t.bits(c)}
	case 4:
		return []string{t.original(c)}
	case 5:
		return []string{t.special(c)}
	}
	k := t.key(c)
	if k.word {
		return []string{k.expr, pick(t.maker, "", "", "!="), k.span(false).text}
	}
	if k.typ != "ifname" && t.chance(6) {
		return []string{k.expr, pick(t.maker, "<", ">", "<=", ">="), k.span(false).text}
	}
	if k.typ == "ifname" && t.wan && t.chance(4) {
		return []string{k.expr, pick(t.maker, "", "!="), "$WAN"}
	}
	return []string{k.expr, pick(t.maker, "", "", "!="), k.span(true).text}
}

// bits makes a match of a bit mask.
func (t *text) bits(c *context) string {
	hex := func() string { return fmt.Sprintf("%#x", pick(t.maker, t.file.Marks...)) }
	choices := []string{
		"ct state " + pick(t.maker, "new", "established,related", "!= established", "! new,invalid", "& (established|related) == established",
			"& (new | untracked) != 0", "established", "== new", "invalid,untracked"),
		"ct status " + pick(t.maker, "dnat", "snat,dnat", "! dnat", "& dnat == dnat", "& (snat|dnat) != 0", "& (snat | dnat) == dnat"),
		pick(t.maker, "meta", "ct") + " mark & " + hex() + " " + pick(t.maker, "==", "!=") + " " + hex(),
		pick(t.maker, "meta", "ct") + " mark " + pick(t.maker, "|", "^") + " " + hex() + " == " + hex(),
	}
	if c.transport == "" || c.transport == "tcp" {
		c.transport = "tcp"
		choices = append(choices, "tcp flags "+pick(t.maker, "syn", "& (fin|syn|rst|ack) == syn", "== syn", "!= syn", "& syn != 0",
			"& (fin | syn) == 0", "{ syn, syn | ack }", "syn,ack", "! ack", "& (syn|ack) != syn|ack", "syn / fin,syn,rst,ack", "!= { syn, ack }"))
	}
	return pick(t.maker, choices...)
}

// original makes a match of the original destination's port, with what nft
// 1.0.6 needs before it.
func (t *text) original(c *context) string {
	before := ""
	if c.transport == "" {
		c.transport = pick(t.maker, "tcp", "udp")
		before = "meta l4proto " + c.transport + " "
	}
	if !c.ports() {
		return "ct direction " + pick(t.maker, "original", "reply", "!= original")
	}
	if before == "" {
		return "ct direction original"
	}
	k := t.portKey("ct " + pick(t.maker, "original", "reply") + " " + pick(t.maker, "proto-dst", "proto-src"))
	return before + k.expr + " " + pick(t.maker, "", "!= ") + k.span(true).text
}

// special makes what is only written in one way.
func (t *text) special(c *context) string {
	switch t.IntN(7) {
	case 0:
		if t.family == "inet" && c.family == 0 {
			c.family = pick(t.maker, 4, 6)
			c.nfproto = true
			return "meta nfproto ipv" + fmt.Sprint(c.family)
		}
	case 1:
		if c.family != 6 && t.addressable(4) {
			c.family = 4
			return pick(t.maker, "ip saddr & 255.0.255.0 == 10.0.1.0", "ip daddr & 255.255.0.255 != 10.0.0.1", "ip saddr != { 10.0.0.0/8, 192.0.2.1 }")
		}
	case 2:
		if c.family != 4 && t.addressable(6) {
			c.family = 6
			return pick(t.maker, "ip6 saddr & ffff:ffff:0:ff:: == 2001:db8::", "ip6 daddr != 2001:db8::/32")
		}
	case 3:
		if c.transport == "" && c.family != 6 && t.addressable(4) {
			c.family, c.transport = 4, "other"
			return "ip protocol " + pick(t.maker, "tcp", "!= udp", "{ tcp, udp, 47 }", "icmp")
		}
	case 4:
		if c.transport == "" && c.family != 4 && t.addressable(6) {
			c.family, c.transport = 6, "other"
			return "ip6 nexthdr " + pick(t.maker, "tcp", "!= udp", "{ tcp, udp, 47 }", "ipv6-icmp")
		}
	case 5:
		if c.transport == "" {
			c.transport = "other"
			return "meta l4proto { tcp, udp } th dport " + t.portKey("").span(true).text
		}
	}
	return pick(t.maker, `iif != "lo"`, `iif "lo"`, "meta mark 0x0-0x20", "ct mark != 0x0", "ct direction != reply")
}

// unknown makes what nobody can evaluate.
func (t *text) unknown(c *context) string {
	choices := []string{
		"limit rate 5/second", "limit rate over 10/minute burst 20 packets", "meta skuid 1000", "meta skgid != 0", "numgen inc mod 3 0",
		"numgen random mod 10 < 5", "quota over 25 mbytes", "quota until 900 mbytes", "meta length > 500", "meta pkttype unicast", "ct count over 20",
		"meta cpu 0", "fib saddr . iif oif missing", "fib daddr type local", "ct bytes > 100000", "ct helper \"ftp\"", "ct expiration > 10s",
		"meta mark set numgen inc mod 4",
	}
	if f := c.family; f == 4 && t.addressable(4) {
		choices = append(choices, "ip ttl < 5", "ip dscp cs1", "ip saddr set 10.9.9.9")
	}
	for _, s := range t.sets {
		if !s.vmap && len(s.keys) == 1 && c.fits(s) {
			choices = append(choices, exprOf(s.keys)+" @"+s.name)
		}
	}
	return pick(t.maker, choices...)
}
