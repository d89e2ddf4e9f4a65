package prove_test

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
	"pgregory.net/rapid"
)

// The pools are small and full of neighbours, so that scopes nest and collide,
// excepts cut into what they except from, and boundaries meet.
var (
	sourcePool = []string{"10.0.0.0/8", "10.8.0.0/16", "10.8.9.0/24", "10.8.9.128/25", "10.8.9.1", "10.8.9.254-10.8.10.3",
		"0.0.0.0/1", "0.0.0.0/0", "128.0.0.0/1", "255.255.255.255", "192.168.0.1", "198.51.100.0/24",
		"2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::7", "2001:db8:1::f-2001:db8:1::1f", "::/0", "::/1", "fc00::/7", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}
	portPool     = []string{`80`, `81`, `443`, `"8000-8010"`, `"8005"`, `"8004-8006/tcp"`, `"53/udp"`, `"80/udp"`, `"1-65535/udp"`, `"9/sctp"`, `65535`, `1`}
	addressPool  = []string{"198.51.100.2", "198.51.100.0/24", "198.51.100.128/25", "2001:db8::2", "2001:db8::/64", "0.0.0.0/0"}
	externalPool = []string{`["eth0"]`, `["eth0", "eth1"]`, `["eth+"]`, `["eth+", "ppp0"]`, `["+"]`}
	internalPool = []string{"docker0", "br-+", "eth1", "eth1+", "eth10", "ethx", "lo", "eth+", "ppp0"}
	bridgePool   = []string{"docker0", "br-+", "eth1", "br-1", "+"}
	narrowPool   = map[string][]string{`["eth0"]`: {`["eth0"]`}, `["eth0", "eth1"]`: {`["eth0"]`, `["eth1"]`},
		`["eth+"]`: {`["eth0"]`, `["eth1+"]`}, `["eth+", "ppp0"]`: {`["ppp0"]`, `["eth0", "ppp0"]`, `["eth+"]`},
		`["+"]`: {`["eth0"]`, `["eth+", "docker0"]`, `["+"]`}}
)

type generator struct {
	t     *rapid.T
	plain bool // no ipsets that others fill, which nft cannot match
	// shared is docker_user, which takes no accept.
	shared bool
}

func (g generator) of(label string, list []string) string {
	return rapid.SampledFrom(list).Draw(g.t, label)
}

func (g generator) chance(label string, percent int) bool {
	return rapid.IntRange(0, 99).Draw(g.t, label) < percent
}

func (g generator) list(label string, pool []string, most int) string {
	var items []string
	for range rapid.IntRange(1, most).Draw(g.t, label+" count") {
		items = append(items, fmt.Sprintf("%q", g.of(label, pool)))
	}
	return "[" + strings.Join(items, ", ") + "]"
}

func (g generator) sources() string {
	switch {
	case g.chance("any", 15):
		return "any"
	case g.chance("set", 15):
		return "[set.s]"
	}
	return g.list("source", sourcePool, 3)
}

// filled draws ipsets that others fill into a list of sources, where they are allowed.
func (g generator) filled(sources string) string {
	if g.plain || !g.chance("filled", 30) || sources == "any" {
		return sources
	}
	names := []string{"set.r", "set.r4", "set.r6"}
	return fmt.Sprintf("[%s, %s]", g.of("filled by others", names), sources)
}

func (g generator) rules() string {
	var b strings.Builder
	for range rapid.IntRange(0, 4).Draw(g.t, "rules") {
		kind, flag := "allow", "accept"
		if g.chance("deny", 50) {
			kind, flag = "deny", "reject"
		}
		sources, except := g.sources(), g.sources()
		if kind == "deny" {
			sources = g.filled(sources)
		} else {
			except = g.filled(except)
		}
		fmt.Fprintf(&b, "  %s {\n    sources = %s\n", kind, sources)
		if g.chance("except", 35) {
			fmt.Fprintf(&b, "    except = %s\n", except)
		}
		if g.chance("log", 20) {
			b.WriteString("    log = \"x y\"\n")
		}
		if g.chance(flag, 25) && !(g.shared && flag == "accept") {
			fmt.Fprintf(&b, "    %s = true\n", flag)
		}
		b.WriteString("  }\n")
	}
	return b.String()
}

func (g generator) policy(n int, external string) string {
	var b strings.Builder
	var ports []string
	for range rapid.IntRange(1, 2).Draw(g.t, "ports") {
		ports = append(ports, g.of("port", portPool))
	}
	fmt.Fprintf(&b, "policy \"p%d\" {\n  ports = [%s]\n", n, strings.Join(ports, ", "))
	if g.chance("address", 40) {
		fmt.Fprintf(&b, "  address = %s\n", g.list("address", addressPool, 2))
	}
	if g.chance("narrow", 25) {
		fmt.Fprintf(&b, "  external = %s\n", g.of("narrow to", narrowPool[external]))
	}
	if g.chance("default", 50) {
		fmt.Fprintf(&b, "  default = %q\n", g.of("default", []string{"deny", "reject", "allow"}))
	}
	return b.String() + g.rules() + "}\n"
}

func (g generator) host(external string) string {
	treatments := []string{"check", "keep", "accept"}
	if g.shared {
		treatments = treatments[:2]
	}
	text := fmt.Sprintf("  external = %s\n  unlisted = %q\n  established = %q\n  related = %q\n  userland_proxy = %t\n", external,
		g.of("unlisted", []string{"deny", "reject", "allow"}), g.of("established", treatments), g.of("related", treatments), g.chance("proxy", 70))
	if g.chance("internal", 40) {
		text += "  internal = " + g.list("internal", internalPool, 3) + "\n"
	}
	if g.chance("bridges", 40) {
		text += "  bridges = " + g.list("bridges", bridgePool, 3) + "\n"
	}
	if g.shared {
		text += "  docker_user = \"shared\"\n"
	}
	if g.chance("invalid", 40) {
		text += "  invalid = \"deny\"\n"
	}
	return "host {\n" + text + "}\n"
}

// document draws a policy that is valid: a block that would collide with those
// before it is left out.
func document(t *rapid.T) (*schema.Document, string) { return generator{t: t}.document() }

// plainDocument is document without ipsets that others fill.
func plainDocument(t *rapid.T) (*schema.Document, string) {
	return generator{t: t, plain: true}.document()
}

func (g generator) document() (*schema.Document, string) {
	t := g.t
	external := g.of("external", externalPool)
	g.shared = g.chance("shared", 30) // without an accept, which would get past others' bans
	text := g.host(external)
	if load(text) == nil {
		t.Skip("internal leaves no external interface")
	}
	text += fmt.Sprintf("set \"s\" {\n  sources = %s\n  except = %s\n}\n", g.list("set", sourcePool, 3), g.list("set except", sourcePool, 2))
	text += "set \"r\" {\n  ipset = \"bans\"\n  ipset6 = \"bans6\"\n}\nset \"r4\" { ipset = \"f2b\" }\nset \"r6\" { ipset6 = \"f2b6\" }\n"
	if g.chance("guard", 30) {
		if more := text + "guard {\n" + g.rules() + "}\n"; load(more) != nil {
			text = more
		}
	}
	if g.chance("forward", 25) {
		text += fmt.Sprintf("forward \"f\" {\n  from = %q\n  to = %q\n", g.of("from", []string{"eth0", "eth1", "lan0", "lan+"}), g.of("to", []string{"eth0", "lan0", "wan+"}))
		if g.chance("forward sources", 50) {
			text += "  sources = " + g.sources() + "\n"
		}
		if g.chance("forward destinations", 50) {
			text += "  destinations = " + g.sources() + "\n"
		}
		text += "}\n"
	}
	doc := load(text)
	if doc == nil {
		t.Fatalf("the generator made a policy that is not valid:\n%s", text)
	}
	for n := range rapid.IntRange(0, 5).Draw(t, "policies") {
		more := text + g.policy(n, external)
		if got := load(more); got != nil {
			doc, text = got, more
		}
	}
	return doc, text
}

func load(text string) *schema.Document {
	loaded, diags := schema.Load("-", schema.Options{Stdin: strings.NewReader(text)})
	if diags.HasErrors() {
		for _, d := range diags {
			if d.Summary != "Two policies claim the same port" && d.Summary != "No external interface is left" && d.Summary != "A set that could open something" && !strings.Contains(d.Detail, "The host's internal") {
				panic(d.Error() + "\n" + text)
			}
		}
		return nil
	}
	return loaded.Document
}

// corners are the values at and beside every boundary of a policy.
type corners struct {
	family    packet.Family
	sources   []netip.Addr
	addresses []netip.Addr
	ports     []int
	ins       []string
}

func around(list []netip.Addr, first, last netip.Addr) []netip.Addr {
	for _, a := range []netip.Addr{first.Prev(), first, last, last.Next()} {
		if a.IsValid() {
			list = append(list, a)
		}
	}
	return list
}

// cornersOf collects the boundaries of a policy, and of tables that are
// compared with it.
func cornersOf(doc *schema.Document, family packet.Family, tables ...*iptables.Table) *corners {
	c := &corners{family: family, ports: []int{0, 1, 65535, 22}, ins: []string{"eth0", "eth1", "eth10", "ppp0", "docker0", "ethx", "br-1", "lo"}}
	for _, list := range [][]*schema.Rule{guardRules(doc)} {
		c.ofRules(list)
	}
	c.ofInterfaces(doc.Host.External)
	c.ofInterfaces(doc.Host.Internal)
	c.ofInterfaces(doc.Host.Bridges)
	for _, p := range doc.Policies {
		c.ofRules(p.Rules)
		c.ofInterfaces(p.External)
		for _, r := range p.Ports {
			c.ports = append(c.ports, int(r.First)-1, int(r.First), int(r.Last), min(65535, int(r.Last)+1))
		}
		for _, a := range p.Address {
			if c.ours(a.Addr()) {
				c.addresses = around(c.addresses, a.Addr(), lastOf(a))
			}
		}
	}
	for _, f := range doc.Forwards {
		c.ofInterfaces(f.From)
		c.ofInterfaces(f.To)
		c.ofSources(f.Sources)
		c.ofSources(f.Destinations)
	}
	for _, t := range tables {
		c.ofTable(t)
	}
	for _, text := range []string{"0.0.0.0", "192.0.2.200", "255.255.255.255", "::", "2001:db8:77::7"} {
		if a := netip.MustParseAddr(text); c.ours(a) {
			c.sources, c.addresses = append(c.sources, a), append(c.addresses, a)
		}
	}
	return c
}

func guardRules(doc *schema.Document) []*schema.Rule {
	if doc.Guard == nil {
		return nil
	}
	return doc.Guard.Rules
}

func (c *corners) ours(a netip.Addr) bool { return a.Is4() == (c.family == packet.IPv4) }

func (c *corners) ofInterfaces(list []schema.Interface) {
	for _, i := range list {
		if !i.Every() {
			c.ins = append(c.ins, i.Name, i.Name+"7")
		}
	}
}

func (c *corners) ofRules(list []*schema.Rule) {
	for _, r := range list {
		c.ofSources(r.Sources)
		c.ofSources(r.Except)
	}
}

func (c *corners) ofSources(s *schema.Sources) {
	if s == nil {
		return
	}
	for _, l := range s.Lists {
		for e := range l.All() {
			if c.ours(e.First) {
				c.sources = around(c.sources, e.First, e.Last)
			}
		}
	}
	for _, ref := range s.Sets {
		c.ofSources(ref.Set.Sources)
		c.ofSources(ref.Set.Except)
	}
}

// ofTable adds the boundaries of a table's rules: a mutant has its own.
func (c *corners) ofTable(t *iptables.Table) {
	for _, chain := range t.Chains {
		for _, r := range chain.Rules() {
			if p := r.Source.Prefix; p.IsValid() && c.ours(p.Addr()) {
				c.sources = around(c.sources, p.Addr(), lastOf(p))
			}
			if p := r.Dest.Prefix; p.IsValid() && c.ours(p.Addr()) {
				c.addresses = around(c.addresses, p.Addr(), lastOf(p))
			}
			for _, m := range r.Matches {
				for _, o := range m.Options {
					if o.Name == "--ctorigdstport" || o.Name == "--dport" {
						var lo, hi int
						if n, _ := fmt.Sscanf(o.Values[0], "%d:%d", &lo, &hi); n == 1 {
							hi = lo
						}
						c.ports = append(c.ports, max(0, lo-1), lo, hi, min(65535, hi+1))
					}
				}
			}
		}
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// packet draws a corner packet.
func (c *corners) packet(t *rapid.T) packet.Packet {
	pick := func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }
	p := packet.Packet{Hook: packet.Forward, In: c.ins[pick("in", len(c.ins))], Out: c.ins[pick("out", len(c.ins))],
		Protocol: []packet.Protocol{6, 6, 6, 17, 17, 132, 1, 58, 47}[pick("protocol", 9)],
		State:    []packet.State{packet.New, packet.New, packet.Established, packet.Related, packet.Invalid, packet.Untracked}[pick("state", 6)],
		Source:   c.sources[pick("source", len(c.sources))], Dest: c.sources[pick("dest", len(c.sources))],
		OrigDst: c.addresses[pick("address", len(c.addresses))], OrigPort: c.ports[pick("port", len(c.ports))],
		Sport: 40000, Dport: 80}
	if pick("hook", 3) == 0 {
		p.Hook, p.Out = packet.Input, ""
		p.Dest, p.Dport = c.addresses[pick("own address", len(c.addresses))], c.ports[pick("own port", len(c.ports))]
	}
	p.Members = packet.MembershipsOf([]string{"bans", "bans6", "f2b", "f2b6"}, func(string) bool { return pick("member", 3) == 0 })
	if p.Known() {
		p.Reply = p.State != packet.New && pick("reply", 4) == 0
		p.SNAT, p.DNAT = pick("snat", 2) == 0, pick("dnat", 2) == 0
	}
	return p
}
