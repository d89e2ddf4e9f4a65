package doctor

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// written is a host as Docker writes it, rule by rule and in Docker's order, for engines that the
// lab cannot run. It follows NETFILTER.md section 1 and Docker's documentation of its rules.
type written struct {
	engine string // "27", "28.0.0", "28.5" or "29"
	six    bool
	proxy  bool   // userland-proxy
	raw    string // "", "direct" for allow-direct-routing, "none" for no rules in raw
	chains map[string][]string
	known  docker.Known
}

// kind holds the options of a network.
type kind struct {
	mode, snat string // nat, nat-unprotected, routed, internal; an address or ""
	icc, masq  bool
}

func (k kind) String() string {
	return fmt.Sprintf("%s icc=%v masquerade=%v snat=%q", k.mode, k.icc, k.masq, k.snat)
}

func (w *written) app(chain, format string, args ...any) {
	w.chains[chain] = append(w.chains[chain], fmt.Sprintf(format, args...))
}

func (w *written) ins(chain, format string, args ...any) {
	w.chains[chain] = append([]string{fmt.Sprintf(format, args...)}, w.chains[chain]...)
}

func newWritten(engine string, six, proxy bool, raw string) *written {
	w := &written{engine: engine, six: six, proxy: proxy, raw: raw, chains: map[string][]string{}}
	w.app("nat PREROUTING", "-m addrtype --dst-type LOCAL -j DOCKER")
	loopback := "! -d 127.0.0.0/8 "
	if six {
		loopback = "! -d ::1/128 "
	}
	if !proxy {
		loopback = ""
	}
	w.app("nat OUTPUT", "%s-m addrtype --dst-type LOCAL -j DOCKER", loopback)
	w.app("filter FORWARD", "-j DOCKER-USER")
	set := "docker-ext-bridges-v4"
	if six {
		set = "docker-ext-bridges-v6"
	}
	switch engine {
	case "27":
		w.app("filter FORWARD", "-j DOCKER-ISOLATION-STAGE-1")
		w.app("filter DOCKER-ISOLATION-STAGE-1", "-j RETURN")
		w.app("filter DOCKER-ISOLATION-STAGE-2", "-j RETURN")
		w.app("filter DOCKER-USER", "-j RETURN")
	case "28.0.0":
		w.app("filter FORWARD", "-m set --match-set %s dst -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", set)
		w.app("filter FORWARD", "-j DOCKER-ISOLATION-STAGE-1")
		w.app("filter FORWARD", "-m set --match-set %s dst -j DOCKER", set)
		w.app("filter DOCKER-USER", "-j RETURN")
	default:
		w.app("filter FORWARD", "-j DOCKER-FORWARD")
		w.app("filter DOCKER-FORWARD", "-j DOCKER-CT")
		w.app("filter DOCKER-FORWARD", "-j %s", map[string]string{"28.5": "DOCKER-ISOLATION-STAGE-1", "29": "DOCKER-INTERNAL"}[engine])
		w.app("filter DOCKER-FORWARD", "-j DOCKER-BRIDGE")
	}
	return w
}

// network adds a network with one container that publishes 80 and, on the loopback, 81.
func (w *written) network(b string, n int, k kind) {
	subnet, c, self, dport := fmt.Sprintf("10.%d.0.0/16", n), fmt.Sprintf("10.%d.0.2", n), "/32", 8000+n
	if w.six {
		subnet, c, self = fmt.Sprintf("fd%02d::/64", n), fmt.Sprintf("fd%02d::2", n), "/128"
	}
	w.know(b, subnet, c, dport, k)
	own := func(chain string) string {
		if w.engine == "28.5" || w.engine == "29" {
			return "filter DOCKER-FORWARD"
		}
		return chain
	}
	if k.mode == "internal" {
		w.internal(b, subnet, own("filter FORWARD"), k)
		return
	}
	w.masquerade(b, subnet, k)
	switch w.engine {
	case "27":
		w.classic(b, k)
	default:
		switch {
		case k.icc:
			w.app(own("filter FORWARD"), "-i %s -j ACCEPT", b)
		default:
			w.app(own("filter FORWARD"), "-i %s -o %[1]s -j DROP", b)
			w.app(own("filter FORWARD"), "-i %s ! -o %[1]s -j ACCEPT", b)
		}
		if w.engine != "28.0.0" {
			w.app("filter DOCKER-CT", "-o %s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", b)
			w.app("filter DOCKER-BRIDGE", "-o %s -j DOCKER", b)
		}
		if w.engine != "29" {
			if k.mode == "routed" {
				w.ins("filter DOCKER-ISOLATION-STAGE-1", "-o %s -j RETURN", b)
				w.ins("filter DOCKER-ISOLATION-STAGE-1", "-i %s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", b)
			}
			w.app("filter DOCKER-ISOLATION-STAGE-1", "-i %s ! -o %[1]s -j DOCKER-ISOLATION-STAGE-2", b)
			w.ins("filter DOCKER-ISOLATION-STAGE-2", "-o %s -j DROP", b)
		}
	}
	if k.mode == "routed" {
		w.app("filter DOCKER", "-o %s -p %s -j ACCEPT", b, map[bool]string{false: "icmp", true: "ipv6-icmp"}[w.six])
	}
	w.app("filter DOCKER", "! -i %s -o %[1]s -j %s", b, map[bool]string{false: "DROP", true: "ACCEPT"}[k.mode == "nat-unprotected"])
	if (w.raw == "" && k.mode == "nat") && (w.engine == "28.5" || w.engine == "29") {
		w.app("raw PREROUTING", "-d %s%s ! -i %s -j DROP", c, self, b)
	}
	w.port(b, c, self, "", dport, 80, k)
	if !w.six && k.mode != "routed" {
		w.port(b, c, self, "-d 127.0.0.1/32 ", dport+1, 81, k)
	}
}

func (w *written) internal(b, subnet, forward string, k kind) {
	chain := "filter DOCKER-ISOLATION-STAGE-1"
	if w.engine == "29" {
		chain = "filter DOCKER-INTERNAL"
	}
	if w.six {
		w.ins(chain, "! -d %s -i %s ! -o %[2]s -j DROP", subnet, b)
		w.ins(chain, "! -s %s ! -i %s -o %[2]s -j DROP", subnet, b)
	} else {
		w.ins(chain, "! -d %s -i %s -j DROP", subnet, b)
		w.ins(chain, "! -s %s -o %s -j DROP", subnet, b)
	}
	w.app(forward, "-i %s -o %[1]s -j %s", b, map[bool]string{true: "ACCEPT", false: "DROP"}[k.icc])
}

func (w *written) masquerade(b, subnet string, k kind) {
	target := "MASQUERADE"
	if k.snat != "" {
		target = "SNAT --to-source " + k.snat
	}
	nat := k.mode != "routed"
	if nat && k.masq {
		w.ins("nat POSTROUTING", "-s %s ! -o %s -j %s", subnet, b, target)
	}
	if w.engine != "29" && w.proxy && (!nat || k.masq) {
		w.ins("nat DOCKER", "-i %s -j RETURN", b)
	}
	if !w.proxy {
		w.ins("nat POSTROUTING", "-o %s -m addrtype --src-type LOCAL -j %s", b, target)
	}
}

// classic are the rules of engine 27 in FORWARD, which it inserts after the jumps.
func (w *written) classic(b string, k kind) {
	f := w.chains["filter FORWARD"]
	at := 2
	rules := []string{fmt.Sprintf("-o %s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", b), fmt.Sprintf("-o %s -j DOCKER", b), fmt.Sprintf("-i %s ! -o %[1]s -j ACCEPT", b)}
	if k.icc {
		rules = append(rules, fmt.Sprintf("-i %s -o %[1]s -j ACCEPT", b))
	}
	w.chains["filter FORWARD"] = slices.Insert(f, at, rules...)
	if !k.icc {
		w.app("filter FORWARD", "-i %s -o %[1]s -j DROP", b)
	}
	w.ins("filter DOCKER-ISOLATION-STAGE-1", "-i %s ! -o %[1]s -j DOCKER-ISOLATION-STAGE-2", b)
	w.ins("filter DOCKER-ISOLATION-STAGE-2", "-o %s -j DROP", b)
}

func (w *written) port(b, c, self, on string, dport, port int, k kind) {
	if k.mode != "routed" {
		to, in, link := fmt.Sprintf("%s:%d", c, port), "! -i "+b+" ", ""
		if w.six {
			to, link = fmt.Sprintf("[%s]:%d", c, port), "! -s fe80::/10 "
		}
		if !w.proxy {
			in = ""
		}
		w.app("nat DOCKER", "%s%s%s-p tcp -m tcp --dport %d -j DNAT --to-destination %s", link, on, in, dport, to)
		if w.engine == "27" || !w.proxy {
			w.app("nat POSTROUTING", "-s %s%s -d %[1]s%[2]s -p tcp -m tcp --dport %[3]d -j MASQUERADE", c, self, port)
		}
		if on != "" && w.engine != "27" && w.raw != "none" {
			w.app("raw PREROUTING", "%s! -i lo -p tcp -m tcp --dport %d -j DROP", on, dport)
		}
		if w.engine == "28.0.0" && w.raw == "" && k.mode == "nat" {
			w.app("raw PREROUTING", "-d %s%s ! -i %s -p tcp -m tcp --dport %d -j DROP", c, self, b, port)
		}
	}
	if k.mode != "nat-unprotected" {
		w.ins("filter DOCKER", "-d %s%s ! -i %s -o %[3]s -p tcp -m tcp --dport %[4]d -j ACCEPT", c, self, b, port)
	}
}

// know records what docker inspect reports for the network.
func (w *written) know(b, subnet, c string, dport int, k kind) {
	v := "4"
	if w.six {
		v = "6"
	}
	options := map[string]string{"com.docker.network.bridge.name": b, "com.docker.network.bridge.enable_icc": fmt.Sprint(k.icc), "com.docker.network.bridge.enable_ip_masquerade": fmt.Sprint(k.masq)}
	if k.mode != "internal" {
		options["com.docker.network.bridge.gateway_mode_ipv"+v] = k.mode
	}
	if k.snat != "" {
		options["com.docker.network.host_ipv"+v] = k.snat
	}
	a := netip.MustParseAddr(c)
	w.known.Networks = append(w.known.Networks, docker.KnownNetwork{Name: b, Bridge: b, Driver: "bridge", Internal: k.mode == "internal", Subnets: []netip.Prefix{netip.MustParsePrefix(subnet)}, Options: options, Members: []netip.Addr{a}})
	x := docker.KnownContainer{Name: "c-" + b, Running: true, Addresses: []netip.Addr{a}}
	switch {
	case k.mode == "internal":
	case k.mode == "routed":
		x.Ports = []docker.KnownPort{{Protocol: "tcp", Container: 80, IPv4: !w.six, IPv6: w.six}}
	default:
		x.Ports = []docker.KnownPort{{Protocol: "tcp", Container: 80, Host: dport, IPv4: !w.six, IPv6: w.six}}
		if !w.six {
			x.Ports = append(x.Ports, docker.KnownPort{Protocol: "tcp", Container: 81, Host: dport + 1, IPv4: !w.six, IPv6: w.six, Address: netip.MustParseAddr("127.0.0.1")})
		}
	}
	w.known.Containers = append(w.known.Containers, x)
}

// text is what iptables-save prints.
func (w *written) text() string {
	chains := map[string][]string{"27": {"DOCKER", "DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2", "DOCKER-USER"}}
	chains["28.0.0"] = chains["27"]
	chains["28.5"] = append([]string{"DOCKER-BRIDGE", "DOCKER-CT", "DOCKER-FORWARD"}, chains["27"]...)
	chains["29"] = []string{"DOCKER", "DOCKER-BRIDGE", "DOCKER-CT", "DOCKER-FORWARD", "DOCKER-INTERNAL", "DOCKER-USER"}
	var b strings.Builder
	table := func(name string, builtins, own []string) {
		fmt.Fprintf(&b, "*%s\n", name)
		for _, c := range builtins {
			fmt.Fprintf(&b, ":%s ACCEPT [0:0]\n", c)
		}
		for _, c := range own {
			fmt.Fprintf(&b, ":%s - [0:0]\n", c)
		}
		for _, c := range append(slices.Clone(builtins), own...) {
			for _, r := range w.chains[name+" "+c] {
				fmt.Fprintf(&b, "-A %s %s\n", c, r)
			}
		}
		b.WriteString("COMMIT\n")
	}
	table("raw", []string{"PREROUTING", "OUTPUT"}, nil)
	table("filter", []string{"INPUT", "FORWARD", "OUTPUT"}, chains[w.engine])
	table("nat", []string{"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"}, []string{"DOCKER"})
	return b.String()
}

// kindsOfNetworks are all kinds that an engine supports.
func kindsOfNetworks(six bool) []kind {
	snat := "198.51.100.7"
	if six {
		snat = "2001:db8::7"
	}
	var list []kind
	for _, icc := range []bool{true, false} {
		for _, mode := range []string{"nat", "nat-unprotected"} {
			list = append(list, kind{mode, "", icc, true}, kind{mode, "", icc, false}, kind{mode, snat, icc, true})
		}
		list = append(list, kind{"routed", "", icc, true}, kind{"internal", "", icc, true})
	}
	return list
}

// writtenHosts calls f for hosts of every engine covered here, with the default network and one
// of each other kind, and with each option of the daemon.
func writtenHosts(f func(name string, w *written)) {
	for _, engine := range []string{"27", "28.0.0", "28.5", "29"} {
		for _, six := range []bool{false, true} {
			for _, proxy := range []bool{true, false} {
				for _, raw := range []string{"", "direct", "none"} {
					if raw != "" && (engine == "27" || six && raw == "none") {
						continue
					}
					for _, k := range kindsOfNetworks(six) {
						w := newWritten(engine, six, proxy, raw)
						w.network("docker0", 17, kind{"nat", "", true, true})
						w.network("br-other", 20, k)
						f(fmt.Sprintf("%s, IPv6 %v, docker-proxy %v, raw %q, %s", engine, six, proxy, raw, k), w)
					}
				}
			}
		}
	}
}

func (w *written) host(t *testing.T, text string, known bool) *Host {
	family := packet.IPv4
	if w.six {
		family = packet.IPv6
	}
	h := look(t, text, family)
	if known {
		w.known.Raw, w.known.Direct = w.raw != "none", w.raw == ""
		h.Families[0].Known = &w.known
	}
	return h
}

// A host with any kind of network on any engine has no findings, with or without what Docker
// reports.
func TestEveryKindOfNetworkIsHealthy(t *testing.T) {
	hosts := 0
	writtenHosts(func(name string, w *written) {
		hosts++
		for _, known := range []bool{false, true} {
			if found := Run(context.Background(), w.host(t, w.text(), known), prove.Limits{}); len(found) > 0 {
				t.Errorf("%s, Docker asked %v: %s\n%s", name, known, Text(found), w.text())
			}
		}
	})
	t.Logf("%d hosts", hosts)
	if hosts < 250 {
		t.Errorf("%d hosts", hosts)
	}
}

var every = flag.Bool("doctor.every", false, "try every deletion on every kind of network (takes minutes)")

// On each of these hosts, every deletion of a rule is found if Docker is asked. A RETURN at the
// end of a chain has no effect.
func TestEveryDeletionOnEveryKindOfNetwork(t *testing.T) {
	hosts, deletions, found, alone := 0, 0, 0, 0
	writtenHosts(func(name string, w *written) {
		if hosts++; hosts%29 != 0 && !*every {
			return
		}
		lines := strings.SplitAfter(w.text(), "\n")
		for i, line := range lines {
			if !strings.HasPrefix(line, "-A ") || strings.HasSuffix(line, " -j RETURN\n") && len(strings.Fields(line)) == 4 {
				continue
			}
			rest := strings.Join(lines[:i], "") + strings.Join(lines[i+1:], "")
			deletions++
			if len(Run(context.Background(), w.host(t, rest, true), prove.Limits{})) > 0 {
				found++
			} else if w.engine != "27" || !strings.HasPrefix(line, "-A DOCKER ! -i") { // engine 27 and earlier have no such rule
				t.Errorf("%s: not found: %s deleted", name, line)
			}
			if *every && len(Run(context.Background(), w.host(t, rest, false), prove.Limits{})) > 0 {
				alone++
			}
		}
	})
	t.Logf("%d deletions, %d found, %d by the rules alone", deletions, found, alone)
}
