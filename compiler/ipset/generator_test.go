package ipset_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// generator makes texts near the edge of what ipset takes. Most of their lines
// are right, so that many texts are taken as a whole; each wrong one is of a kind
// of its own. It makes no host names, no line that ends a restore early, no
// entries of types that Parse does not read, and no set with a netmask and
// entries: what Parse says of these differs on purpose.
type generator struct {
	*rand.Rand
	out   strings.Builder
	sets  map[string]*made
	names []string
	wrong int  // one line in so many may be wrong
	plain bool // the line must have no words more

	others []string // types that are not read, with the options that they need
}

// others are such types; a kernel may not have all of them.
var others = []string{"list:set", "bitmap:ip range 10.0.0.0/24", "bitmap:port range 1-10", "hash:ip,port",
	"hash:ip,mark", "hash:net,net", "hash:net,iface", "hash:net,port", "hash:ip,port,net"}

// made is what a generator knows of a set: roughly, as it does not know which
// lines are taken.
type made struct {
	kind     string
	six      bool
	comment  bool
	counters bool
	timeout  bool
	masked   bool
	values   []string
}

func (g *generator) one(choices ...string) string { return choices[g.IntN(len(choices))] }
func (g *generator) in(n int) bool                { return g.IntN(n) == 0 }
func (g *generator) bad() bool                    { return g.in(g.wrong) }

func (g *generator) text() string {
	g.sets = map[string]*made{}
	g.wrong = []int{12, 40, 100, 1000}[g.IntN(4)]
	if g.in(3) {
		g.line("create z hash:net -exist")
		g.sets["z"], g.names = &made{kind: "hash:net"}, append(g.names, "z")
	}
	for range 2 + g.IntN(30) {
		g.command()
	}
	text := g.out.String()
	if g.in(10) {
		text = strings.TrimSuffix(text, "\n")
	}
	return text
}

// line writes words, with blanks, quotes, options and an end of its own.
func (g *generator) line(text string) {
	words := strings.Split(text, " ")
	if g.in(10) {
		option := g.one("-exist", "-!", "--exist", "-q", "-s", "-quiet", "--sorted", "-r", "-n", "-t", "-terse", "-o save", "--output plain", "-o xml")
		if !g.plain && g.bad() {
			option = g.one("-o", "-o foo", "---exist", "-x", "-exists", "foo", "--", "-o -q", "\"-exist \"")
		}
		i := g.IntN(len(words) + 1)
		if strings.Count(strings.Join(words[:i], " "), `"`)%2 == 0 {
			words = slices.Insert(words, i, option)
		}
	}
	for i, w := range words {
		if !strings.Contains(strings.Join(words, " "), `"`) && g.in(30) && w != "" {
			cut := g.IntN(len(w))
			words[i] = w[:cut] + `"` + w[cut:] + `"`
		}
	}
	sep := " "
	if g.in(20) {
		sep = g.one("  ", "\t", " \t ", " \"\" ")
	}
	text = g.one("", "", "", "", "", " ", "\t", "\v ") + strings.Join(words, sep)
	if g.in(60) {
		// Blanks so that the line is about as long as ipset reads at once.
		text += strings.Repeat(" ", max(0, 1016+g.IntN(14)-len(text)))
		if !g.plain && g.in(2) {
			text += g.one("# x", "COMMIT", "flush", "nomatch")
		}
	}
	switch {
	case g.plain:
	case g.bad() && g.in(2):
		text += g.one(`"`, `"foo`, ` "" x`, "\f", "\x00", " \x00 x", strings.Repeat(" counters", 28))
	case g.in(60):
		text += "\x00" + g.one("", "x", " y")
	case g.in(60) && !strings.Contains(text, `"`):
		text += " \"lost"
	}
	g.out.WriteString(text + g.one("\n", "\n", "\n", "\n", "\r\n", " \n"))
}

func (g *generator) noise() {
	if g.bad() {
		g.out.WriteString(g.one("COMMIT \n", "commit\n", "COMMITx\n", "x\n", "-exist\n", "--\n", "\"\"\n"))
		return
	}
	g.out.WriteString(g.one("COMMIT\n", "COMMIT\n", "  COMMIT\r\n", "\n", " \t\n", "# add a 1.1.1.1\n", "\v\f# x\n", "\x00COMMIT\n",
		"#"+strings.Repeat("x", 1010+g.IntN(12))+"\n", "#"+strings.Repeat("x", 1022)+"COMMIT\n"))
}

func (g *generator) name() string {
	if len(g.names) == 0 || g.bad() {
		return g.one("a", "b", "c", "none")
	}
	return g.names[g.IntN(len(g.names))]
}

func (g *generator) command() {
	switch n := g.IntN(40); {
	case n < 5 || len(g.names) == 0:
		g.create()
	case n < 7:
		g.noise()
	case n < 10:
		g.whole()
	case n < 15:
		g.entry(g.one("del", "del", "-D", "d", "de", "--del"), true)
	default:
		g.entry(g.one("add", "add", "add", "-A", "a", "ad", "--add"), false)
	}
}

func (g *generator) create() {
	name := g.one("a", "b", "c", "d", "x", "a-b", "12345678901234567890123456789ab")
	if g.sets[name] != nil && !g.in(4) && !g.bad() {
		return
	}
	m := &made{kind: g.one("hash:net", "hash:net", "hash:ip"), six: g.in(3)}
	kind, options := m.kind, []string{}
	if m.kind == "hash:net" && g.in(5) {
		kind = "nethash"
	} else if g.in(5) && m.kind == "hash:ip" {
		kind = "iphash"
	}
	if len(g.others) > 0 && g.in(14) {
		m.kind = g.one(g.others...)
		m.six, kind = false, m.kind
	}
	if strings.HasPrefix(m.kind, "hash:net") && !strings.Contains(m.kind, ",") || m.kind == "hash:ip" {
		options = g.options(m)
	}
	g.plain = kind == m.kind && m.kind != "hash:net" && m.kind != "hash:ip"
	g.line(strings.TrimSpace(g.one("create", "create", "-N", "n", "c", "new", "cre", "--create") + " " + name + " " + kind + " " + strings.Join(options, " ")))
	g.plain = false
	if g.sets[name] == nil {
		g.names = append(g.names, name)
		g.sets[name] = m
	}
}

func (g *generator) options(m *made) []string {
	var o []string
	switch {
	case m.six:
		o = append(o, g.one("family inet6", "-6", "family ipv6", "family -6", "--family inet6"))
	case g.in(3):
		o = append(o, g.one("family inet", "-4", "family ipv4", "family -4"))
	}
	if g.in(3) {
		o = append(o, g.one("", "--")+"maxelem "+g.one("2", "3", "5", "0x10", "017", "65536", "1000000", "4294967295", "0"))
	}
	if g.in(4) {
		o = append(o, "hashsize "+g.one("1", "0", "64", "100", "1024"))
	}
	if m.comment = g.in(4); m.comment {
		o = append(o, "comment")
	}
	if m.counters = g.in(4); m.counters {
		o = append(o, "counters")
	}
	if m.timeout = g.in(10); m.timeout {
		o = append(o, "timeout "+g.one("0", "5000", "2147483"))
	}
	if m.masked = m.kind == "hash:ip" && g.in(12); m.masked {
		o = append(o, g.one("netmask 24", "netmask 8", "netmask 32"))
	}
	if g.in(10) {
		o = append(o, g.one("bucketsize 4", "initval 0x5", "bucketsize 255", "counters"))
		m.counters = m.counters || o[len(o)-1] == "counters"
	}
	if g.in(40) {
		o = append(o, strings.TrimSpace(strings.Repeat("counters ", 28-g.IntN(12))))
		m.counters = true
	}
	if g.bad() {
		o = append(o, g.one("hashsize 134217729", "maxelem 4294967296", "maxelem -1", "maxelem", "family", "family any", "family inet", "-6", "-4", "---4",
			"netmask 0", "netmask 33", "timeout 2147484", "foo", "maxelem 5", "bucketsize 256", "maxelem 5x", "nomatch", "bitmask 0.0.0.0", "timeout"))
	}
	g.Shuffle(len(o), func(i, j int) { o[i], o[j] = o[j], o[i] })
	return o
}

func (g *generator) whole() {
	a, b := g.name(), g.name()
	switch g.IntN(8) {
	case 0:
		g.line(g.one("destroy", "x", "-X", "des") + " " + a)
	case 1:
		g.line(g.one("flush", "f", "-F", "flush") + " " + a)
	case 2, 3:
		if x, y := g.sets[a], g.sets[b]; x != nil && y != nil && (x.kind != y.kind || x.six != y.six) && !g.bad() {
			return
		}
		g.line(g.one("swap", "w", "-W", "sw") + " " + a + " " + b)
		g.sets[a], g.sets[b] = g.sets[b], g.sets[a]
		if g.sets[a] == nil || g.sets[b] == nil {
			delete(g.sets, a)
			delete(g.sets, b)
		}
	case 4:
		b = g.one("r", "s", b)
		g.line(g.one("rename", "e", "-E", "ren") + " " + a + " " + b)
		if x := g.sets[a]; x != nil && g.sets[b] == nil {
			g.sets[b] = x
			delete(g.sets, a)
			g.names = append(slices.DeleteFunc(g.names, func(n string) bool { return n == a }), b)
		}
	case 5:
		g.line(g.one("list", "save", "-L", "-S", "l") + g.one("", " "+a))
	case 6:
		if g.bad() {
			g.line(g.one("flush a b", "destroy a b", "swap a", "rename a", "re a b", "restore", "help", "version", "create a", "add a", "swap a b c", "v", "h"))
		}
	case 7:
		if g.in(4) {
			g.line(g.one("flush", "destroy"))
		}
	}
}

func (g *generator) entry(verb string, del bool) {
	name := g.name()
	m := g.sets[name]
	switch {
	case m == nil && !g.bad():
		return
	case m == nil:
		m = &made{kind: "hash:net"}
	case m.masked:
		return
	}
	if m.kind == "list:set" {
		g.line(verb + " " + name + " " + g.name())
		return
	}
	if m.kind != "hash:net" && m.kind != "hash:ip" {
		return
	}
	value := g.value(m)
	if del && len(m.values) > 0 && !g.bad() {
		i := g.IntN(len(m.values))
		value = m.values[i]
		m.values = slices.Delete(m.values, i, i+1)
	}
	text := verb + " " + name + " " + value
	if del {
		if g.bad() {
			text += g.one(" nomatch", " timeout 5", " comment x", " foo")
		}
		g.line(text)
		return
	}
	if len(m.values) > 0 && g.in(12) {
		// Again, with -exist or after it; or by mistake.
		value = m.values[g.IntN(len(m.values))]
		g.line(verb + " " + name + " " + value + g.one(" -exist", " -!", " -exist", ""))
	}
	m.values = append(m.values, value)
	g.line(text + g.entryOptions(m))
}

func (g *generator) entryOptions(m *made) string {
	var o []string
	if m.kind == "hash:net" && g.in(4) {
		o = append(o, g.one("nomatch", "nomatch", "--nomatch", "nomatch nomatch"))
	}
	if m.comment && g.in(2) {
		o = append(o, "comment "+g.one(`"a nomatch b"`, "x", `"timeout 5"`, "nomatch", `"# -exist"`, `"a"b`, strings.Repeat("y", 255)))
	}
	if m.counters && g.in(2) {
		o = append(o, g.one("packets 5", "bytes 0x10", "packets 1 bytes 18446744073709551614"))
	}
	if m.timeout && g.in(2) {
		o = append(o, g.one("timeout 5000", "timeout 0"))
	}
	if g.bad() {
		o = append(o, g.one("timeout 5000", "comment x", "comment", "packets 1", "foo", "nomatch", "skbmark 0x1", `comment "-exist"`,
			"comment "+strings.Repeat("y", 256), "bytes 18446744073709551615", "family inet", `comment ""`, "before a", "1.1.1.1"))
	}
	g.Shuffle(len(o), func(i, j int) { o[i], o[j] = o[j], o[i] })
	if len(o) == 0 {
		return ""
	}
	return " " + strings.Join(o, " ")
}

func (g *generator) value(m *made) string {
	if g.bad() {
		return g.one("1.2.3.4/0", "1.2.3.4/33", "1.2.3.4/", "/24", "1.2.3.256", "1.2.3.4.5", "0x1.2.3.4", "08.1.1.1", "1.2.3.4-", "-1.2.3.4",
			"1.2.3.4,5", "1.2.3.4/24/1", "1.2.3.4-1.2.3.9/24", "[1.2.3.4", "1.2.3.4]", "[1.2.3.4]x", "[1.2.3.4-1.2.3.5]", "::1", "::", "::/0", "0.0.0.0",
			"::1-::2", "::1/129", "::1/64", "[::1]-", "[::1]-::2", "::1%lo", "1:2", "1::2::3", ":::", "::01.2.3.4", "::1.2.3", "10.1.1.1/255.0.0.0",
			"0.0.0.0-255.255.255.255", "1.2.3.4/2x", "1.2.3.4/0x", "1..2", "1.2.3.4.", "4294967296", "1.2.3.4-1.2.3", "16777216.1", "1.65536.1", "::1/0x80",
			"[]", "[", "]", "1.2.3.4/-1", "1.2.3.4/256", "1.2.3.4/", "0.0.0.0/8", "::ffff:1.2.3.4", "2001:db8::g", "12345::", ",1.2.3.4", "[1.2.3.4],")
	}
	if m.six {
		return g.value6(m.kind)
	}
	return g.value4(m.kind)
}

// value4 makes values of few addresses, so that they meet.
func (g *generator) value4(kind string) string {
	v := fmt.Sprintf("10.0.%d.%d", g.IntN(2), g.IntN(64))
	switch g.IntN(12) {
	case 0:
		v = g.one("10.1", "012.1", "167772161", "10.0.300", "0.1", "255.255.255.255", "00000012.0.0.1", "10.00.000.01", "192.168.257", "[10.0.0.9]")
	case 1:
		v = fmt.Sprintf("%d.%d.%d.%d", 1+g.IntN(254), g.IntN(256), g.IntN(256), g.IntN(256))
	case 2, 3:
		w := fmt.Sprintf("10.0.%d.%d", g.IntN(2), g.IntN(64))
		if g.in(4) {
			w = "[" + w + "]"
		}
		if kind == "hash:net" && g.in(6) {
			return g.one("128.0.0.0-255.255.255.255", "0.0.0.0-0.0.0.5", "0.0.0.5-128.0.0.9", "1.0.0.0-129.0.0.9", "0.255.255.250-128.255.255.255", "0.0.0.250-128.0.1.9", "127.255.255.255-255.255.255.254")
		}
		return v + "-" + w
	case 4, 5, 6, 7:
		bits := 22 + g.IntN(11)
		if kind == "hash:net" && g.in(3) {
			bits = 1 + g.IntN(32)
		}
		return v + "/" + g.bits(bits)
	}
	return v
}

func (g *generator) bits(n int) string {
	return fmt.Sprintf([]string{"%d", "%d", "%d", "%d", "0x%x", "+%d", "0%o", "0X%X"}[g.IntN(8)], n)
}

func (g *generator) value6(kind string) string {
	v := fmt.Sprintf("2001:db8::%x", g.IntN(12))
	switch g.IntN(8) {
	case 0:
		v = g.one("2001:DB8:0:0::A", "::FFFF:1.2.3.4", "::ffff:102:304", "::1.2.3.4", "fe80::1", "[2001:db8::5]", "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:8", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "0001::0")
	case 1, 2, 3:
		if kind == "hash:net" {
			return v + "/" + g.bits([]int{1, 8, 32, 64, 96, 100, 124, 126, 127, 128}[g.IntN(10)])
		}
		return v + "/128"
	}
	return v
}
