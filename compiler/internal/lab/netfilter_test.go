//go:build linux

package lab

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/netfilter"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// walkRounds is how many hosts TestFollowedAsByTheKernel makes up, and walkTime how long
// it goes on.
const (
	walkRounds = 300
	walkTime   = 20 * time.Second
)

// walkPorts are served by the host and by the container alike.
var walkPorts = []int{80, 81, 8080, 8081, 9090}

// walkWorld is the addresses of one family.
type walkWorld struct {
	family          packet.Family
	host, container string
	clients         []string
	sources         []string // that rules name
	all             string
}

var walkWorlds = []walkWorld{
	{packet.IPv4, "100.64.0.2", ContainerV4, []string{"10.1.2.3", "10.200.0.1", "203.0.113.9"},
		[]string{"10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "203.0.113.0/24", "10.200.0.1/32"}, "0.0.0.0/0"},
	{packet.IPv6, "fd64:0::2", ContainerV6, []string{"2001:db8:1::3", "2001:db8:1:1::1", "2001:db8:f::9"},
		[]string{"2001:db8:1::/48", "2001:db8:1::/64", "2001:db8:1::3/128", "2001:db8:f::/48", "2001:db8:1:1::1/128"}, "::/0"},
}

// The kernel does with the first packet of real connections what netfilter.Follow says,
// on hosts whose rules in all tables are made up, some of them with a table of nft beside
// those of iptables.
func TestFollowedAsByTheKernel(t *testing.T) {
	Need(t, "nft")
	top := NewTopology(t, "eth0")
	top.LinkContainer()
	top.Wan.Must("ip", "route", "add", "172.17.0.0/16", "via", "100.64.0.2")
	top.Wan.Must("ip", "-6", "route", "add", "fd17::/64", "via", "fd64:0::2")
	for _, w := range walkWorlds {
		top.Clients(w.clients...)
	}
	for _, p := range walkPorts {
		named(t, top.Host, "host", p)
		named(t, top.Ctr, "container", p)
	}
	rounds, end := walkRounds, walkTime
	if testing.Short() {
		rounds /= 10
	} else if !*long {
		rounds, end = rounds/2, end/2
	}
	started, tries, seen := time.Now(), 0, map[string]int{}
	for seed := uint64(1); seed <= uint64(rounds) && time.Since(started) < end; seed++ {
		w := walkWorlds[seed%2]
		b := Backends[seed/2%2]
		text := (&walkRules{rand.New(rand.NewPCG(seed, 7)), w, b}).file()
		if out, err := top.Host.Run(strings.NewReader(text), b.Command(w.family, "-restore")); err != nil {
			t.Fatalf("seed %d: %v\n%s\n%s", seed, err, out, text)
		}
		beside := ""
		if seed%3 == 0 {
			beside = (&walkRules{rand.New(rand.NewPCG(seed, 8)), w, b}).nft()
			if out, err := top.Host.Run(strings.NewReader(beside), "nft", "-f", "-"); err != nil {
				t.Fatalf("seed %d: %v\n%s\n%s", seed, err, out, beside)
			}
			seen["beside nft"]++
		}
		tries += w.compare(t, top, text, beside, seed, seen)
		if beside != "" {
			top.Host.Must("nft", "delete", "table", "inet", "beside")
		}
		if out, err := top.Host.Run(strings.NewReader(emptyTables), b.Command(w.family, "-restore")); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	t.Logf("%d connections: %v", tries, seen)
	if len(seen) < 5 || seen["decided"] < tries/2 {
		t.Errorf("the made-up hosts do not show enough: %v", seen)
	}
}

// emptyTables leave nothing behind for the other back end.
const emptyTables = "*raw\n:PREROUTING ACCEPT\nCOMMIT\n*mangle\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:POSTROUTING ACCEPT\nCOMMIT\n" +
	"*nat\n:PREROUTING ACCEPT\nCOMMIT\n*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\nCOMMIT\n"

// compare tries connections from every client to the host and to the container, and
// holds what they see against Follow; it returns how many.
func (w walkWorld) compare(t *testing.T, top *Topology, text, beside string, seed uint64, seen map[string]int) int {
	f, err := iptables.Parse([]byte(text), iptables.Options{Family: w.family})
	if err != nil {
		t.Fatalf("seed %d: %v\n%s", seed, err, text)
	}
	nft, err := nftables.Parse([]byte(beside), nftables.Options{})
	if err != nil {
		t.Fatalf("seed %d: %v\n%s", seed, err, beside)
	}
	text += beside
	container := netip.MustParseAddr(w.container)
	follower := netfilter.New(netfilter.Host{Family: w.family, Raw: f.Table("raw"), Mangle: f.Table("mangle"), Nat: f.Table("nat"), Filter: f.Table("filter"), NFT: nft,
		Routes: []netfilter.Route{{To: netip.PrefixFrom(container, container.BitLen()), Interface: "docker0"}}}, "eth0")
	type try struct {
		from string
		to   netip.AddrPort
		want []string
		got  string
	}
	var tries []*try
	for _, to := range []struct {
		address string
		port    int
	}{{w.host, 8080}, {w.host, 8081}, {w.container, 80}} {
		p := packet.Packet{In: "eth0", Protocol: packet.TCP, TCPFlags: packet.SYN, Sport: 40000, Dest: netip.MustParseAddr(to.address), Dport: to.port}
		ends, err := follower.Follow(context.Background(), p, to.address == w.host, prove.Limits{})
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		for _, c := range w.clients {
			tries = append(tries, &try{from: c, to: netip.AddrPortFrom(p.Dest, uint16(to.port)), want: outcomes(ends, netip.MustParseAddr(c))})
		}
	}
	var all sync.WaitGroup
	for _, x := range tries {
		all.Go(func() {
			x.got = top.Far.answers(x.from, x.to, 120*time.Millisecond)
			if !slices.Contains(x.want, x.got) { // a slow machine is no finding
				x.got = top.Far.answers(x.from, x.to, 2*time.Second)
			}
		})
	}
	all.Wait()
	for _, x := range tries {
		seen[strings.Fields(x.got)[0]]++
		if len(slices.Compact(slices.Sorted(slices.Values(x.want)))) == 1 {
			seen["decided"]++
		}
		if !slices.Contains(x.want, x.got) {
			t.Errorf("seed %d: %s to %s: the kernel says %q, Follow %q\n%s", seed, x.from, x.to, x.got, x.want, text)
		}
	}
	return len(tries)
}

// outcomes are what a client may see.
func outcomes(ends netfilter.Ends, client netip.Addr) []string {
	var list []string
	for _, e := range ends {
		if !e.Sources.Has(diagram.OfAddr(client)) {
			continue
		}
		text := "nothing"
		switch {
		case e.Verdict == packet.Accept && e.Packet.Hook == packet.Input:
			text = fmt.Sprintf("host %d", e.Packet.Dport)
		case e.Verdict == packet.Accept:
			text = fmt.Sprintf("container %d", e.Packet.Dport)
		}
		list = append(list, text)
	}
	return list
}

// answers is who answers a connection, "nothing" for nobody.
func (n *Namespace) answers(from string, to netip.AddrPort, patience time.Duration) string {
	said := "nothing"
	_ = n.Do(func() error {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
		conn, err := d.Dial("tcp", to.String())
		if err != nil {
			return nil
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(patience))
		if text, err := io.ReadAll(conn); err == nil && len(text) > 0 {
			said = string(text)
		}
		return nil
	})
	return said
}

// named serves its name and port to everybody who connects.
func named(t *testing.T, n *Namespace, name string, port int) {
	t.Helper()
	err := n.Do(func() error {
		l, err := net.Listen("tcp", fmt.Sprintf("[::]:%d", port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = fmt.Fprintf(conn, "%s %d", name, port)
				_ = conn.Close()
			}
		}()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// walkRules makes up the rules of a host. They speak of packets that come in on eth0
// alone, so answers are never dropped.
type walkRules struct {
	*rand.Rand
	walkWorld
	backend Backend
}

func (r *walkRules) pick(list ...string) string { return list[r.IntN(len(list))] }

func (r *walkRules) port() string { return fmt.Sprint(walkPorts[r.IntN(len(walkPorts))]) }

// file is all tables of a host.
func (r *walkRules) file() string {
	return r.table("raw", "PREROUTING") + r.table("mangle", "PREROUTING", "INPUT", "FORWARD", "POSTROUTING") + r.table("nat", "PREROUTING") + r.table("filter", "INPUT", "FORWARD")
}

// table is a table with two chains beside its own, one of which leads to the other.
func (r *walkRules) table(name string, builtins ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%s\n", name)
	for _, c := range builtins {
		fmt.Fprintf(&b, ":%s ACCEPT\n", c)
	}
	b.WriteString(":ONE -\n:TWO -\n")
	chains := builtins
	if name != "mangle" || r.IntN(2) == 0 {
		chains = append(slices.Clone(builtins), "ONE", "TWO")
	}
	for _, c := range chains {
		for range 1 + r.IntN(3) {
			fmt.Fprintf(&b, "-A %s %s -j %s\n", c, r.conditions(name, c), r.target(name, c))
			if text := b.String(); strings.HasSuffix(text, "GOTO\n") {
				b.Reset()
				b.WriteString(strings.TrimSuffix(text, "-j GOTO\n") + "-g TWO\n")
			}
		}
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// conditions are some of a rule. In raw a packet that was never seen is INVALID.
func (r *walkRules) conditions(table, chain string) string {
	in := "-i eth0"
	if chain == "POSTROUTING" {
		in = "-o docker0"
	}
	text := in + " -p tcp"
	if r.IntN(2) == 0 {
		text += " " + r.pick("", "! ") + "-s " + r.pick(r.sources...)
	}
	if r.IntN(3) == 0 {
		text += " " + r.pick("", "! ") + "-d " + r.pick(r.host, r.container)
	}
	if r.IntN(2) == 0 {
		text += " -m tcp " + r.pick("", "! ") + "--dport " + r.port()
	}
	if table != "raw" && r.IntN(4) == 0 {
		text += " -m conntrack " + r.pick("--ctstate NEW,ESTABLISHED", "--ctstate UNTRACKED", r.rewritten(chain), "--ctorigdst "+r.host, "! --ctorigdstport "+r.port(), "--ctorigdstport "+r.port(), "--ctdir ORIGINAL")
	}
	if table == "raw" && r.IntN(6) == 0 {
		text += " -m conntrack --ctstate " + r.pick("UNTRACKED", "INVALID,UNTRACKED")
	}
	if r.IntN(6) == 0 {
		text += " -m addrtype " + r.pick("", "! ") + "--dst-type LOCAL"
	}
	if table != "raw" && r.IntN(5) == 0 {
		text += " -m mark " + r.pick("", "! ") + "--mark " + r.pick("0x1", "0x10/0xf0", "0x0/0x1")
	}
	if r.IntN(9) == 0 {
		text += " -m limit --limit 1000/sec --limit-burst 1000" // holds, which Follow does not say
	}
	return text
}

// rewritten asks whether the destination was changed, where the later packets of a
// connection are not told another thing than the first.
func (r *walkRules) rewritten(chain string) string {
	if chain == "INPUT" || chain == "FORWARD" || chain == "POSTROUTING" {
		return "--ctstate DNAT"
	}
	return "--ctstate NEW,ESTABLISHED,DNAT"
}

// target is a target. The first packets of a connection take the same way as those that
// come after, so nothing depends on how many there were.
func (r *walkRules) target(table, chain string) string {
	list := []string{"ACCEPT", "RETURN", "DROP"}
	switch chain {
	case "ONE":
		list = append(list, "TWO", "TWO", "GOTO")
	case "TWO":
	default:
		list = append(list, "ONE", "ONE", "TWO")
	}
	switch table {
	case "raw":
		list = append(list, "CT --notrack", "CT --notrack", "CT --notrack")
	case "mangle":
		list = append(list, "MARK --set-xmark 0x1/0x1", "MARK --set-xmark 0x10/0xf0", "MARK --xor-mark 0x11")
	case "filter":
		list = append(list, "REJECT")
	case "nat":
		list = []string{"ACCEPT", "RETURN", "REDIRECT --to-ports " + r.port(), "REDIRECT", r.dnat(), r.dnat(), r.dnat()}
		if chain == "PREROUTING" {
			list = append(list, "ONE", "ONE", "ONE", "TWO")
		}
	}
	return r.pick(list...)
}

func (r *walkRules) dnat() string {
	container := r.container
	if r.family == packet.IPv6 {
		container = "[" + container + "]"
	}
	return "DNAT --to-destination " + r.pick(r.container, container+":"+r.port(), container+":"+r.port(), ":"+r.port(), container+":8080-8081")
}

// nft is a table of nft with chains before, between and after those of iptables.
func (r *walkRules) nft() string {
	var b strings.Builder
	b.WriteString("table inet beside {\n")
	for i, at := range []struct {
		hook     string
		priority int
	}{{"prerouting", -310}, {"prerouting", -180}, {"prerouting", -120}, {"prerouting", -50}, {"input", -200}, {"input", 10}, {"forward", -160}, {"forward", -5}, {"forward", 20}, {"postrouting", 0}} {
		if r.IntN(2) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\tchain c%d {\n\t\ttype filter hook %s priority %d; policy accept;\n", i, at.hook, at.priority)
		for range 1 + r.IntN(2) {
			fmt.Fprintf(&b, "\t\t%s %s\n", r.nftConditions(at.hook, at.priority), r.pick("drop", "accept", "meta mark set meta mark | 0x1", "meta mark set 0x10"))
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// nftConditions are those of conditions, in the words of nft.
func (r *walkRules) nftConditions(hook string, priority int) string {
	family, text := "ip", `iifname "eth0" meta l4proto tcp`
	if r.family == packet.IPv6 {
		family = "ip6"
	}
	if hook == "postrouting" {
		text = `oifname "docker0" meta l4proto tcp`
	}
	if r.IntN(3) > 0 {
		text += " " + family + " saddr " + r.pick("", "!= ") + r.pick(r.sources...)
	}
	if r.IntN(2) == 0 {
		text += " tcp dport " + r.pick("", "!= ") + r.port()
	}
	if priority > nftables.PlaceConntrack && r.IntN(3) == 0 {
		text += " ct original proto-dst " + r.port()
	}
	if r.IntN(5) == 0 {
		text += " meta mark & 0x1 == " + r.pick("0x0", "0x1")
	}
	return text
}
