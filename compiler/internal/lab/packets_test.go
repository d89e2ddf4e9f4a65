//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/packet"
)

// scene is an example with what must happen to clients, written by hand from
// the policy's text.
type scene struct {
	example   string
	externals []string
	published map[string]int // addresses of the host beside its links', by outside interface
	ports     []string       // published ports
	probes    []try
}

// try is a client's try over outside interface via, to an address of the host
// ("" is the interface's own).
type try struct {
	from, port, to string
	via            int
	want           Outcome
}

var scenes = []scene{
	{"one-port", []string{"eth0"}, nil, []string{"8080/tcp"}, []try{
		{"192.168.0.1", "8080/tcp", "", 0, Open},
		{"192.168.0.2", "8080/tcp", "", 0, Silent},
		{"2001:db8::9", "8080/tcp", "", 0, Silent},
	}},
	{"web", []string{"eth0"}, nil, []string{"80/tcp", "443/tcp", "443/udp", "9443/tcp", "8080/tcp"}, []try{
		{"8.8.8.8", "80/tcp", "", 0, Open},
		{"2001:db8:99::1", "443/udp", "", 0, Open},
		{"198.51.100.77", "9443/tcp", "", 0, Open},
		{"198.51.101.77", "9443/tcp", "", 0, Silent},
		{"2001:db8:40::5", "9443/tcp", "", 0, Open},
		{"2001:db8:41::5", "9443/tcp", "", 0, Silent},
		{"198.51.100.77", "8080/tcp", "", 0, Silent},
	}},
	{"database", []string{"eth0"}, map[string]int{"203.0.113.7": 0, "203.0.113.8": 0, "2001:db8::7": 0}, []string{"5432/tcp"}, []try{
		{"10.8.1.1", "5432/tcp", "203.0.113.7", 0, Open},
		{"10.8.9.4", "5432/tcp", "203.0.113.7", 0, Silent},
		{"10.8.13.9", "5432/tcp", "203.0.113.7", 0, Silent},
		{"10.8.1.1", "5432/tcp", "203.0.113.8", 0, Silent},
		{"2001:db8:8::1", "5432/tcp", "2001:db8::7", 0, Open},
		{"2001:db8:9::1", "5432/tcp", "2001:db8::7", 0, Silent},
	}},
	{"mail", []string{"eth0"}, nil, []string{"25/tcp", "587/tcp", "9154/tcp"}, []try{
		{"8.8.4.4", "25/tcp", "", 0, Open},
		{"203.0.113.25", "587/tcp", "", 0, Open},
		{"203.0.113.26", "587/tcp", "", 0, Silent},
		{"198.51.100.135", "25/tcp", "", 0, Silent},
		{"198.51.100.136", "25/tcp", "", 0, Open},
		{"192.0.2.10", "9154/tcp", "", 0, Open},
		{"192.0.2.11", "9154/tcp", "", 0, Refused},
		{"2001:db8:bad::5", "25/tcp", "", 0, Silent},
		{"2001:db8:b::5", "25/tcp", "", 0, Open},
		{"2001:db8:b::5", "9154/tcp", "", 0, Refused},
	}},
	{"two-interfaces", []string{"eth0", "eth1"}, nil, []string{"80/tcp", "9100/tcp", "9105/tcp", "7000/udp"}, []try{
		{"9.9.9.9", "80/tcp", "", 0, Open},
		{"9.9.9.9", "80/tcp", "", 1, Open},
		{"172.20.5.9", "9100/tcp", "", 1, Open},
		{"172.20.6.9", "9100/tcp", "", 1, Silent},
		{"172.20.5.9", "9100/tcp", "", 0, Refused},
		{"172.20.5.10", "9105/tcp", "", 1, Open},
		{"172.20.5.9", "9105/tcp", "", 1, Silent},
		{"fd12:3456:789a:5::9", "9100/tcp", "", 1, Open},
		{"fd12:3456:789a:5::9", "9105/tcp", "", 1, Silent},
		{"9.9.9.9", "7000/udp", "", 0, Refused},
		{"2001:db8::9", "7000/udp", "", 0, Refused},
	}},
	{"ipv6", []string{"eth0"}, nil, []string{"8443/tcp", "8080/tcp"}, []try{
		{"2001:db8:101::1", "8443/tcp", "", 0, Open},
		{"2001:db8:102::d", "8443/tcp", "", 0, Silent},
		{"2001:db8:104::1", "8443/tcp", "", 0, Silent},
		{"192.0.2.44", "8080/tcp", "", 0, Open},
		{"192.0.2.45", "8080/tcp", "", 0, Silent},
		{"2001:db8:101::1", "8080/tcp", "", 0, Silent},
	}},
	{"router", []string{"wan0"}, nil, []string{"443/tcp", "8080/tcp"}, []try{
		{"9.9.9.9", "443/tcp", "", 0, Open},
		{"2001:db8::9", "443/tcp", "", 0, Open},
		{"198.51.100.9", "8080/tcp", "", 0, Open},
		{"198.51.101.9", "8080/tcp", "", 0, Silent},
	}},
	{"fleet/web1", []string{"eth0"}, nil, []string{"80/tcp", "9100/tcp"}, []try{
		{"9.9.9.9", "80/tcp", "", 0, Open},
		{"203.0.113.9", "80/tcp", "", 0, Silent},
		{"192.0.2.11", "9100/tcp", "", 0, Open},
		{"192.0.2.12", "9100/tcp", "", 0, Silent},
		{"2001:db8:10::3", "9100/tcp", "", 0, Open},
		{"2001:db8:11::3", "9100/tcp", "", 0, Silent},
	}},
	{"fleet/db1", []string{"ens3"}, nil, []string{"5432/tcp", "6379/tcp"}, []try{
		{"10.8.3.3", "5432/tcp", "", 0, Open},
		{"10.9.3.3", "5432/tcp", "", 0, Silent},
		{"10.8.2.3", "6379/tcp", "", 0, Open},
		{"10.8.3.3", "6379/tcp", "", 0, Silent},
	}},
}

// compiledFolder is where an example's, or one of its hosts', files are.
func compiledFolder(example string) string {
	dir, host, _ := strings.Cut(example, "/")
	return filepath.Join("../../../examples", dir, "compiled", host)
}

// Real packets agree with every example, in every format and back end: who is
// allowed gets through, who is denied does not, answers flow, also those that
// need an ICMP error, and a container's own connection to somebody's port of
// the same number works.
func TestExamplesFilterPackets(t *testing.T) {
	t.Parallel()
	Need(t)
	if len(scenes) != len(compiledFolders(t)) {
		t.Fatalf("%d scenes for %d compiled examples", len(scenes), len(compiledFolders(t)))
	}
	for _, s := range scenes {
		for _, b := range Backends {
			for _, format := range emit.Formats() {
				if format.Hook != "" {
					continue // a part of another program's files
				}
				if format.NFT && !fileExists(filepath.Join(compiledFolder(s.example), "seawall.nft")) {
					continue // a policy with an accept
				}
				t.Run(s.example+"/"+string(b)+"/"+format.Name, func(t *testing.T) {
					t.Parallel()
					s.run(t, b, format)
				})
			}
		}
	}
}

func (s scene) run(t *testing.T, b Backend, format *emit.Format) {
	top := NewTopology(t, s.externals...)
	top.LinkContainer()
	for _, p := range s.probes {
		top.Clients(p.from)
	}
	for address, i := range s.published {
		top.Publish(i, address)
	}
	dir := compiledFolder(s.example)
	if format == emit.Sysconfig { // as at boot: the policy, then Docker
		load(t, b, top.Host, format.Name, dir)
		dockerRules(t, top, b, s.ports)
	} else {
		dockerRules(t, top, b, s.ports)
		load(t, b, top.Host, format.Name, dir)
	}
	if format == emit.Restore {
		jumpsByHand(t, top.Host, b)
	}
	for _, port := range s.ports {
		number, network := portOf(port)
		top.Ctr.Serve(network, inside(number))
		top.Far.Serve(network, number)
	}
	var all sync.WaitGroup
	for _, p := range s.probes {
		all.Go(func() { p.check(t, top) })
		if p.want == Open && strings.HasSuffix(p.port, "/tcp") {
			all.Go(func() { p.checkLarge(t, top) })
		}
	}
	for _, port := range s.ports { // the container's own connections
		number, network := portOf(port)
		for _, ends := range [][2]string{{ContainerV4, FarV4}, {ContainerV6, FarV6}} {
			p := Probe{From: netip.MustParseAddr(ends[0]), To: netip.MustParseAddr(ends[1]), Port: number, Network: network}
			all.Go(func() {
				if got := top.Ctr.probeOpen(p, Open); got != Open {
					t.Errorf("the container's own connection %s is %s", p, got)
				}
			})
		}
	}
	all.Wait()
}

func (p try) probe(top *Topology) Probe {
	from := netip.MustParseAddr(p.from)
	to := p.to
	if to == "" {
		f := packet.IPv4
		if from.Is6() {
			f = packet.IPv6
		}
		to = HostAddress(p.via, f)
	}
	number, network := portOf(p.port)
	return Probe{From: from, To: netip.MustParseAddr(to), Port: number, Network: network}
}

func (p try) check(t *testing.T, top *Topology) {
	if got := top.Far.probeOpen(p.probe(top), p.want); got != p.want {
		t.Errorf("%s is %s, want %s", p.probe(top), got, p.want)
	}
}

// probeOpen asks again where an answer is expected and none came: a busy machine may
// lose one; rules that deny do so twice.
func (n *Namespace) probeOpen(p Probe, want Outcome) Outcome {
	got := n.Probe(p)
	if want == Open && got == Silent {
		got = n.Probe(p)
	}
	return got
}

func (p try) checkLarge(t *testing.T, top *Topology) {
	probe := p.probe(top)
	probe.Large = true
	if got := top.Far.probeOpen(probe, Open); got != Open {
		t.Errorf("%s: a large answer, which needs an ICMP error on its way, is %s", probe, got)
	}
}

func portOf(text string) (int, string) {
	number, network, _ := strings.Cut(text, "/")
	n := 0
	if _, err := fmt.Sscan(number, &n); err != nil {
		panic("a port in a scene: " + text)
	}
	return n, network
}

// inside is the container's port behind a published one: another number, so
// that a rule about the wrong one shows.
func inside(port int) int { return port + 20000 }

// jumpsByHand runs the commands that a restore file names at its top.
func jumpsByHand(t *testing.T, n *Namespace, b Backend) {
	t.Helper()
	for _, f := range families {
		for _, line := range emit.Restore.SwitchOn(&emit.Chains{ToHost: true}, f) {
			line = strings.ReplaceAll(line, strings.Fields(line)[0]+" ", b.Command(f, "")+" ")
			n.Must("sh", "-c", line)
		}
	}
}

// dockerRules makes the rules that Docker makes for published ports, in both
// families: the engine's own text, with its chains and its FORWARD policy.
func dockerRules(t *testing.T, top *Topology, b Backend, ports []string) {
	t.Helper()
	for _, f := range families {
		container, any := ContainerV4+"/32", "127.0.0.0/8"
		if f == packet.IPv6 {
			container, any = ContainerV6+"/128", "::1/128"
		}
		to := strings.Split(container, "/")[0]
		if f == packet.IPv6 {
			to = "[" + to + "]"
		}
		var text bytes.Buffer
		fmt.Fprintf(&text, "*nat\n:DOCKER - [0:0]\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n-A OUTPUT ! -d %s -m addrtype --dst-type LOCAL -j DOCKER\n", any)
		fmt.Fprintf(&text, "-A POSTROUTING -s %s ! -o docker0 -j MASQUERADE\n", container)
		for _, p := range ports {
			number, network := portOf(p)
			fmt.Fprintf(&text, "-A DOCKER ! -i docker0 -p %s -m %s --dport %d -j DNAT --to-destination %s:%d\n", network, network, number, to, inside(number))
		}
		fmt.Fprintf(&text, "COMMIT\n*filter\n:FORWARD DROP [0:0]\n:DOCKER - [0:0]\n")
		for _, p := range ports {
			number, network := portOf(p)
			fmt.Fprintf(&text, "-A DOCKER -d %s ! -i docker0 -o docker0 -p %s -m %s --dport %d -j ACCEPT\n", container, network, network, inside(number))
		}
		text.WriteString("-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -o docker0 -j DOCKER\n-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\nCOMMIT\n")
		if out, err := top.Host.Run(&text, b.Command(f, "-restore"), "--noflush"); err != nil || out != "" {
			t.Fatalf("Docker's rules: %v\n%s", err, out)
		}
		// DOCKER-USER is there, and the first of FORWARD, as Docker has it.
		user := fmt.Sprintf("%[1]s -N DOCKER-USER 2>/dev/null; %[1]s -C FORWARD -j DOCKER-USER 2>/dev/null || %[1]s -I FORWARD -j DOCKER-USER", b.Command(f, ""))
		top.Host.Must("sh", "-c", user)
	}
}
