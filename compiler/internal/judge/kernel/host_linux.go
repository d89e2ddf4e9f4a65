package kernel

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A Host is a router in a network namespace, between a client and a server in
// two more. It is not for use by several goroutines at a time.
type Host struct {
	backend                 string
	host, client, server    *namespace
	netlink                 int
	outside, inside         *port // the client's and the server's ends
	sentinelOut, sentinelIn *port
	sequence, next          uint32
	magic                   [8]byte
	cpu                     int
	loaded                  int             // the family loaded last
	ready                   map[int]bool    // families whose file stands
	tables                  map[string]bool // touched, as family and name
	dirty                   map[int]bool    // families that need a reset
	denied                  map[string]bool // chains whose policy may not be ACCEPT
	sets                    bool
	nft                     bool           // LoadNft loaded last
	marks                   map[uint64]int // family and mark to source address
	closers                 []func()
}

// Refusal is a message of a program that refused its input.
type Refusal struct{ Tool, Message string }

func (r *Refusal) Error() string { return r.Tool + ": " + r.Message }

// Available reports why the kernel cannot be asked here, or nil.
func Available() error {
	if os.Geteuid() != 0 {
		return errors.New("not root")
	}
	for _, tool := range []string{"ip", "ipset", "iptables-nft-restore", "iptables-legacy-restore"} {
		if _, err := exec.LookPath(tool); err != nil {
			return err
		}
	}
	n, err := newNamespace()
	if err != nil {
		return err
	}
	defer n.close()
	return n.do(func() error { return nil })
}

// New makes a Host whose rules are loaded by the back end "nft" or "legacy".
func New(backend string) (*Host, error) {
	if backend != "nft" && backend != "legacy" {
		return nil, fmt.Errorf("%q is neither nft nor legacy", backend)
	}
	h := &Host{backend: backend, netlink: -1}
	h.ready, h.dirty, h.denied = map[int]bool{}, map[int]bool{}, map[string]bool{}
	h.tables, h.marks = map[string]bool{}, map[uint64]int{}
	if _, err := rand.Read(h.magic[:]); err != nil {
		return nil, err
	}
	h.next = binary.BigEndian.Uint32(h.magic[2:])
	if err := h.build(); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

func (h *Host) build() error {
	for _, step := range []func() error{h.makeNamespaces, h.makeLinks, h.openSockets, h.loadEmpty, h.settle} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Close removes the namespaces and all that is in them.
func (h *Host) Close() error {
	for _, c := range slices.Backward(h.closers) {
		c()
	}
	h.closers = nil
	return nil
}

func (h *Host) makeNamespaces() error {
	for _, n := range []**namespace{&h.host, &h.client, &h.server} {
		made, err := newNamespace()
		if err != nil {
			return err
		}
		*n = made
		h.closers = append(h.closers, made.close)
	}
	quiet := [][2]string{
		{"ipv6/conf/all/disable_ipv6", "1"}, {"ipv6/conf/default/disable_ipv6", "1"},
	}
	return errors.Join(h.host.set(hostSettings()), h.client.set(quiet), h.server.set(quiet))
}

// hostSettings returns what makes a router that forwards between any two
// addresses, answers without rate limits, and calls a stray ACK INVALID, but no
// sequence number. Conntrack verifies no checksums: Linux 6.18 finds fault with
// every UDP-Lite packet's.
func hostSettings() [][2]string {
	values := [][2]string{
		{"ipv4/ip_forward", "1"},
		{"ipv6/conf/all/forwarding", "1"},
		{"ipv4/icmp_ratelimit", "0"},
		{"ipv4/icmp_ratemask", "0"},
		{"ipv4/icmp_msgs_per_sec", "1000000"},
		{"ipv4/icmp_msgs_burst", "1000000"},
		{"ipv6/icmp/ratelimit", "0"},
		{"netfilter/nf_conntrack_tcp_loose", "0"},
		{"netfilter/nf_conntrack_tcp_be_liberal", "1"},
		{"netfilter/nf_conntrack_checksum", "0"},
	}
	for _, scope := range []string{"all", "default"} {
		values = append(values,
			[2]string{"ipv4/conf/" + scope + "/rp_filter", "0"},
			[2]string{"ipv4/conf/" + scope + "/accept_local", "1"},
			[2]string{"ipv4/conf/" + scope + "/send_redirects", "0"},
			[2]string{"ipv6/conf/" + scope + "/accept_dad", "0"},
			[2]string{"ipv6/conf/" + scope + "/addr_gen_mode", "1"})
	}
	return values
}

// The Ethernet addresses of the four ends. A packet with a mark is sent from
// markMAC and its mark's number.
var (
	hostOutsideMAC = [6]byte{2, 0x5e, 0, 0, 1, 1}
	clientMAC      = [6]byte{2, 0x5e, 0, 0, 1, 2}
	hostInsideMAC  = [6]byte{2, 0x5e, 0, 0, 2, 1}
	serverMAC      = [6]byte{2, 0x5e, 0, 0, 2, 2}
)

func mac(a [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", a[0], a[1], a[2], a[3], a[4], a[5])
}

// makeLinks joins the namespaces. Routes depend on the interface that a packet
// came in by and not on its addresses, so that every address can be a client's
// and a server's.
func (h *Host) makeLinks() error {
	links := fmt.Sprintf(`link set lo up
link add %s address %s type veth peer name client address %s netns %s
link add %s address %s type veth peer name server address %s netns %s
`, Outside, mac(hostOutsideMAC), mac(clientMAC), h.client.path(), Inside, mac(hostInsideMAC), mac(serverMAC), h.server.path())
	sentinel := "link add sent0 type veth peer name sent1\nlink set sent0 up\nlink set sent1 up\n"
	steps := []struct {
		n     *namespace
		stdin string
		args  []string
	}{
		{h.host, links, []string{"-batch", "-"}},
		{h.client, "link set client up\n" + sentinel, []string{"-batch", "-"}},
		{h.server, "link set server up\n", []string{"-batch", "-"}},
		{h.host, routes(4, "100.127.255.%d/32", "100.127.254.%d/32"), []string{"-4", "-batch", "-"}},
		{h.host, routes(6, "fd5e:a3a1:77c2:1::%d/128", "fd5e:a3a1:77c2:2::%d/128"), []string{"-6", "-batch", "-"}},
	}
	for _, s := range steps {
		if _, err := s.n.run(s.stdin, "ip", s.args...); err != nil {
			return err
		}
	}
	return nil
}

// routes returns the lines for ip -batch of one family. What the host itself
// sends (the answers of REJECT) goes to the client's side.
func routes(family int, outside, inside string) string {
	nodad := ""
	if family == 6 {
		nodad = " nodad"
	}
	end := func(format string, n int) string { return fmt.Sprintf(format, n) }
	bare := func(format string, n int) string { return netip.MustParsePrefix(end(format, n)).Addr().String() }
	var b strings.Builder
	for _, l := range []struct{ dev, format, mac string }{{Outside, outside, mac(clientMAC)}, {Inside, inside, mac(serverMAC)}} {
		fmt.Fprintf(&b, "link set %s up\naddr add %s dev %s%s\n", l.dev, end(l.format, 1), l.dev, nodad)
		fmt.Fprintf(&b, "neigh replace %s lladdr %s dev %s nud permanent\n", bare(l.format, 2), l.mac, l.dev)
	}
	fmt.Fprintf(&b, "route add default via %s dev %s onlink\n", bare(outside, 2), Outside)
	fmt.Fprintf(&b, "route add default via %s dev %s onlink table 101\n", bare(inside, 2), Inside)
	fmt.Fprintf(&b, "route add default via %s dev %s onlink table 102\n", bare(outside, 2), Outside)
	fmt.Fprintf(&b, "rule add pref 10 iif %s lookup 101\nrule add pref 11 iif %s lookup 102\n", Outside, Inside)
	b.WriteString("rule add pref 30 lookup local\nrule del pref 0\n")
	return b.String()
}

// loadEmpty makes the tables filter and nat of both families. The table nat
// also has the kernel translate what conntrack entries say, of the packets that
// conntrack looks at.
func (h *Host) loadEmpty() error {
	for _, family := range []int{4, 6} {
		text := emptyTable("filter") + emptyTable("nat")
		if _, err := h.host.run(text, h.tool(family, "restore")); err != nil {
			return err
		}
		h.note(family, "*filter\n*nat\n")
	}
	return nil
}

// settle waits until the links pass packets.
func (h *Host) settle() error {
	probes := []Packet{
		{Family: 4, Protocol: 253, Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("198.51.100.1")},
		{Family: 6, Protocol: 253, Src: netip.MustParseAddr("2001:db8::1"), Dst: netip.MustParseAddr("2001:db8:1::1")},
	}
	for _, p := range probes {
		p.Src, p.Dst, p.FromServer = p.Dst, p.Src, true
		probes = append(probes, p)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		outcomes, err := h.send(probes)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(outcomes, func(o Outcome) bool { return o.Verdict != Accept }) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the links do not pass packets: %v", outcomes)
		}
	}
}

// tool returns the name of the back end's program for a family.
func (h *Host) tool(family int, verb string) string {
	name := "iptables"
	if family == 6 {
		name = "ip6tables"
	}
	return name + "-" + h.backend + "-" + verb
}

// tableNames are the tables in the order in which they are emptied.
var tableNames = []string{"filter", "nat", "mangle", "raw", "security"}

// builtin names the chains of each table.
var builtin = map[string][]string{
	"filter":   {"INPUT", "FORWARD", "OUTPUT"},
	"nat":      {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"},
	"mangle":   {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"},
	"raw":      {"PREROUTING", "OUTPUT"},
	"security": {"INPUT", "FORWARD", "OUTPUT"},
}

// emptyTable returns the lines that empty a table, with policies ACCEPT.
func emptyTable(name string) string {
	var b strings.Builder
	b.WriteString("*" + name + "\n")
	for _, c := range builtin[name] {
		b.WriteString(":" + c + " ACCEPT [0:0]\n")
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

var (
	tableLine  = regexp.MustCompile(`(?m)^\*(\w+)`)
	chainLine  = regexp.MustCompile(`^:(\S+)\s+(\S+)`)
	policyLine = regexp.MustCompile(`(?m)^\s*(-P|--policy)`)
)

// tablesOf returns the names of the tables that a file is about.
func tablesOf(text string) map[string]bool {
	names := map[string]bool{}
	for _, m := range tableLine.FindAllStringSubmatch(text, -1) {
		names[m[1]] = true
	}
	return names
}

func key(family int, table string) string { return fmt.Sprint(family, table) }

// policies returns the policy in every chain line of a file, by table and
// chain; the last line counts.
func policies(family int, text string) map[string]string {
	table := ""
	declared := map[string]string{}
	for line := range strings.Lines(text) {
		if m := tableLine.FindStringSubmatch(line); m != nil {
			table = m[1]
		}
		if m := chainLine.FindStringSubmatch(line); m != nil {
			declared[key(family, table)+" "+m[1]] = m[2]
		}
	}
	return declared
}

// stale reports whether a policy of an earlier file would stay in a table that
// this one is about.
func (h *Host) stale(family int, text string) bool {
	declared := policies(family, text)
	named := tablesOf(text)
	for k := range h.denied {
		table, _, _ := strings.Cut(strings.TrimPrefix(k, fmt.Sprint(family)), " ")
		if _, ok := declared[k]; !ok && named[table] {
			return true
		}
	}
	return false
}

// note remembers which tables and policies a file may leave behind.
func (h *Host) note(family int, text string) {
	for name := range tablesOf(text) {
		if builtin[name] != nil {
			h.tables[key(family, name)] = true
		}
	}
	if policyLine.MatchString(text) {
		h.dirty[family] = true
	}
	for k, policy := range policies(family, text) {
		if policy == "DROP" {
			h.denied[k] = true
		}
	}
}

// Load replaces the rules of a family with a file for iptables-restore, and
// all sets with those of a file for ipset restore (where it is not empty).
// Chains, policies and tables that the file does not name are as in a fresh
// namespace. Where there are sets, or were before, it empties the other
// family as well. It returns a *Refusal when a program refuses its file.
func (h *Host) Load(family int, text string, sets string) error {
	if family != 4 && family != 6 {
		return fmt.Errorf("family %d is neither 4 nor 6", family)
	}
	if err := h.leaveNft(); err != nil {
		return err
	}
	h.loaded, h.ready[family] = family, false
	if err := h.replaceSets(sets); err != nil {
		return err
	}
	if h.dirty[family] || h.stale(family, text) {
		if err := h.reset(family); err != nil {
			return err
		}
	}
	whole := text + h.otherTables(family, text)
	h.note(family, text)
	if _, err := h.host.run(whole, h.tool(family, "restore")); err != nil {
		h.dirty[family] = true
		return err
	}
	h.forgetTables(family)
	h.note(family, text)
	if err := h.track(family); err != nil {
		return err
	}
	h.ready[family] = true
	return nil
}

// track has conntrack look at every packet: in a namespace it does so only
// while a rule asks for it (nf_ct_netns_get), as Docker's MASQUERADE does on a
// host.
func (h *Host) track(family int) error {
	h.tables[key(family, "mangle")] = true
	_, err := h.host.run("*mangle\n-A POSTROUTING -m conntrack --ctstate NEW\nCOMMIT\n", h.tool(family, "restore"), "--noflush")
	return err
}

// otherTables returns lines that empty the tables that earlier files touched
// and this one does not.
func (h *Host) otherTables(family int, text string) string {
	var b strings.Builder
	named := tablesOf(text)
	for _, name := range tableNames {
		if k := key(family, name); h.tables[k] && !named[name] {
			b.WriteString(emptyTable(name))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		return "\n" + b.String()
	}
	return b.String()
}

// forgetTables notes that every table of the family is empty. The marks, which
// are in the table mangle, are gone too.
func (h *Host) forgetTables(family int) {
	ofFamily := func(k string, _ bool) bool { return strings.HasPrefix(k, fmt.Sprint(family)) }
	maps.DeleteFunc(h.tables, ofFamily)
	maps.DeleteFunc(h.denied, ofFamily)
	h.forgetMarks(family)
}

func (h *Host) forgetMarks(family int) {
	for k := range h.marks {
		if int(k>>32) == family {
			delete(h.marks, k)
		}
	}
}

// reset empties every table of a family that was touched.
func (h *Host) reset(family int) error {
	if _, err := h.host.run(h.otherTables(family, ""), h.tool(family, "restore")); err != nil {
		return err
	}
	h.forgetTables(family)
	h.dirty[family] = false
	return nil
}

// replaceSets removes all sets, which no rule may name meanwhile, and makes
// new ones.
func (h *Host) replaceSets(sets string) error {
	if h.sets {
		if err := errors.Join(h.reset(4), h.reset(6)); err != nil {
			return err
		}
		h.ready = map[int]bool{}
		if err := h.destroySets(); err != nil {
			return err
		}
	}
	if sets == "" {
		return nil
	}
	h.sets = true
	_, err := h.host.run(sets, "ipset", "restore")
	return err
}

// destroySets tries for a while: nf_tables lets go of a set only some time
// after the rule is gone.
func (h *Host) destroySets() error {
	var err error
	for range 200 {
		if _, err = h.host.run("", "ipset", "destroy"); err == nil {
			h.sets = false
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return err
}

// Counters returns what iptables-save -c says of the filter table of the
// family that was loaded last.
func (h *Host) Counters() (string, error) {
	if h.loaded == 0 {
		return "", errors.New("no file is loaded")
	}
	return h.host.run("", h.tool(h.loaded, "save"), "-c", "-t", "filter")
}

// number returns the number by which a packet with the mark is recognized, and
// the rule for it when it is new.
func (h *Host) number(family int, mark uint32) (int, string) {
	k := uint64(family)<<32 | uint64(mark)
	if n, ok := h.marks[k]; ok {
		return n, ""
	}
	n := len(h.marks) + 1
	h.marks[k] = n
	return n, fmt.Sprintf("-I PREROUTING -m mac --mac-source %s -j MARK --set-xmark %#x/0xffffffff\n", mac(markMAC(n)), mark)
}

func markMAC(n int) [6]byte { return [6]byte{2, 0x5e, 1, byte(n >> 16), byte(n >> 8), byte(n)} }

// addMarks makes the rules that mark the packets, before any of the file's.
func (h *Host) addMarks(packets []Packet) error {
	if h.nft {
		return h.addNftMarks(packets)
	}
	rules := map[int]string{}
	for _, p := range packets {
		if p.Mark != 0 {
			_, rule := h.number(p.Family, p.Mark)
			rules[p.Family] += rule
		}
	}
	for family, text := range rules {
		if text == "" {
			continue
		}
		h.tables[key(family, "mangle")] = true
		if _, err := h.host.run("*mangle\n"+text+"COMMIT\n", h.tool(family, "restore"), "--noflush"); err != nil {
			h.forgetMarks(family)
			return err
		}
	}
	return nil
}

// pinned runs fn on one processor, on which packets are then handled in the
// order in which they were sent.
func (h *Host) pinned(fn func() error) error {
	return own(func() error {
		var mask [128]byte
		mask[h.cpu/8] = 1 << (h.cpu % 8)
		if err := affinity(syscall.SYS_SCHED_SETAFFINITY, &mask); err != nil {
			return err
		}
		return fn()
	})
}
