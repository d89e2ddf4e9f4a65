package exposure

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// swarm is what Docker 28 writes for a service on port 8090 (NETFILTER.md section 1).
const swarm = `*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-INGRESS - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER-INGRESS
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -o docker_gwbridge -m addrtype --src-type LOCAL -j MASQUERADE
-A POSTROUTING -s 172.18.0.0/16 ! -o docker_gwbridge -j MASQUERADE
-A DOCKER-INGRESS -p tcp -m tcp --dport 8090 -j DNAT --to-destination 172.18.0.2:8090
-A DOCKER-INGRESS -j RETURN
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-INGRESS - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i docker_gwbridge -o docker_gwbridge -j DROP
-A DOCKER-BRIDGE -o docker_gwbridge -j DOCKER
-A DOCKER-CT -o docker_gwbridge -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-INGRESS
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker_gwbridge -o docker_gwbridge -j DROP
-A DOCKER-FORWARD -i docker_gwbridge ! -o docker_gwbridge -j ACCEPT
-A DOCKER-INGRESS -p tcp -m tcp --dport 8090 -j ACCEPT
-A DOCKER-INGRESS -p tcp -m tcp --sport 8090 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-INGRESS -j RETURN
COMMIT
`

// unprotected is a network of mode nat-unprotected with one published port, which has no ACCEPT
// of its own; raw does not protect its containers.
const unprotected = `*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.23.0.0/16 ! -o br-open -j MASQUERADE
-A DOCKER ! -i br-open -p tcp -m tcp --dport 8070 -j DNAT --to-destination 172.23.0.2:70
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i br-open -o br-open -j ACCEPT
-A DOCKER-BRIDGE -o br-open -j DOCKER
-A DOCKER-CT -o br-open -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i br-open -j ACCEPT
COMMIT
`

// openContainers are two of its containers, and a stopped one.
const openContainers = `[
 {"Name": "/api", "State": {"Running": true}, "NetworkSettings": {"Networks": {"open": {"IPAddress": "172.23.0.2"}},
  "Ports": {"70/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8070"}, {"HostIp": "::", "HostPort": "8070"}]}}},
 {"Name": "/queue", "State": {"Running": true}, "NetworkSettings": {"Networks": {"open": {"IPAddress": "172.23.0.3"}}, "Ports": {}}},
 {"Name": "/old", "State": {"Running": false}, "NetworkSettings": {"Networks": {"open": {"IPAddress": "172.23.0.4"}}, "Ports": {}}}
]`

const noIPv6 = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\nCOMMIT\n"

// user returns rules in DOCKER-USER.
func user(rules string) []string {
	return []string{"-A FORWARD -j DOCKER-USER\n", "-A FORWARD -j DOCKER-USER\n" + rules}
}

// table returns an additional table.
func table(name, rules string) []string {
	chains := map[string]string{"raw": ":PREROUTING ACCEPT [0:0]\n", "mangle": ":PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n"}
	return []string{"*nat\n", "*" + name + "\n" + chains[name] + rules + "COMMIT\n*nat\n"}
}

// Foreign rules send packets to a published port of the host, on which docker-proxy listens, and
// to a container, bypassing Docker's own rules: the first is known, and both are reported.
func TestSentByOthers(t *testing.T) {
	nat := func(rule string) string {
		return strings.Replace(unprotected, "-A PREROUTING", "-A PREROUTING "+rule+"\n-A PREROUTING", 1)
	}
	for _, test := range []struct{ rule, want string }{
		{"-p tcp -m tcp --dport 8070 -j REDIRECT --to-ports 8070", "! eth0, IPv4, over REDIRECT to port 8070 on the host: everybody\n"},
		{"-p tcp -m tcp --dport 8070 -j REDIRECT --to-ports 9", "at most everybody"},
		{"-p tcp -m tcp --dport 9000 -j DNAT --to-destination 172.23.0.2:90",
			"a rule that is not Docker's sends IPv4 packets to 172.23.0.2:90; anything it opens apart from Docker's ports is not listed: -t nat -A PREROUTING -p tcp -m tcp --dport 9000 -j DNAT --to-destination 172.23.0.2:90"},
		{"-p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8070", "sends IPv4 packets to port 8070 on the host; anything"},
	} {
		h := Host{Families: []docker.Tables{tables(t, nat(test.rule), packet.IPv4), tables(t, noIPv6, packet.IPv6)}, Interfaces: []string{"eth0"}}
		report, err := Of(context.Background(), h, prove.Limits{})
		if err != nil || !strings.Contains(report.Text(), test.want) {
			t.Errorf("%s: %v\n%s", test.rule, err, report.Text())
		}
	}
}

// A port published on the loopback is local, unless the kernel accepts such packets from an
// interface and no Docker rule drops them.
func TestRouteLocalnet(t *testing.T) {
	local := strings.Replace(unprotected, "-A DOCKER ! -i br-open -p tcp", "-A DOCKER -d 127.0.0.1/32 ! -i br-open -p tcp", 1)
	for _, test := range []struct {
		four string
		on   []string
		want string
	}{
		{local, nil, "127.0.0.1:8070/tcp → 172.23.0.2:70 on br-open\n  local only\n"},
		{local, []string{"eth0"}, "127.0.0.1:8070/tcp → 172.23.0.2:70 on br-open\n! eth0, IPv4, over DNAT: everybody\n"},
		{strings.Replace(local, "*nat\n", "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -d 127.0.0.1/32 ! -i lo -p tcp -m tcp --dport 8070 -j DROP\nCOMMIT\n*nat\n", 1), []string{"eth0"},
			"127.0.0.1:8070/tcp → 172.23.0.2:70 on br-open\n  local only\n"},
	} {
		h := Host{Families: []docker.Tables{tables(t, test.four, packet.IPv4), tables(t, noIPv6, packet.IPv6)}, Interfaces: []string{"eth0"}, RouteLocalnet: test.on}
		report, err := Of(context.Background(), h, prove.Limits{})
		if err != nil || !strings.Contains(report.Text(), test.want) {
			t.Errorf("%v: %v\n%s", test.on, err, report.Text())
		}
	}
}

// Who reaches each kind of port, worked out by hand.
func TestKinds(t *testing.T) {
	for _, test := range []struct {
		what, four, six, inspect string
		edit                     []string
		want                     string
	}{
		{"swarm", swarm, noIPv6, "", nil, "8090/tcp → 172.18.0.2:8090 on docker_gwbridge\n! eth0, IPv4, over swarm ingress: everybody\n"},
		{"swarm, and DOCKER-USER", swarm, noIPv6, "", user("-A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 8090 --ctdir ORIGINAL -j DROP\n"),
			"8090/tcp → 172.18.0.2:8090 on docker_gwbridge\n  eth0, IPv4, over swarm ingress: 192.0.2.0/24\n"},
		{"unprotected", unprotected, noIPv6, "", nil,
			"8070/tcp → 172.23.0.2:70 on br-open\n! eth0, IPv4, over DNAT: everybody\n! eth0, IPv6, over docker-proxy: everybody\n\n" +
				"every port of 172.23.0.0/16 on br-open\n! eth0, IPv4, unprotected: everybody\n\n" + direct("172.23.0.2:70")},
		{"unprotected, with names", unprotected, noIPv6, openContainers, nil,
			"8070/tcp → api (172.23.0.2:70) on br-open\n! eth0, IPv4, over DNAT: everybody\n! eth0, IPv6, over docker-proxy: everybody\n\n" +
				"every port of 172.23.0.2 → api on br-open\n! eth0, IPv4, unprotected: everybody\n\n" +
				"every port of 172.23.0.3 → queue on br-open\n! eth0, IPv4, unprotected: everybody\n\n" + direct("172.23.0.2:70")},
		{"unprotected, with tcp closed except for one network", unprotected, noIPv6, "", user("-A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -p tcp -j DROP\n"),
			"8070/tcp → 172.23.0.2:70 on br-open\n  eth0, IPv4, over DNAT: 192.0.2.0/24\n! eth0, IPv6, over docker-proxy: everybody\n\n" +
				"every tcp port of 172.23.0.0/16 on br-open\n  eth0, IPv4, unprotected: 192.0.2.0/24\n\n" +
				"every udp port of 172.23.0.0/16 on br-open\n! eth0, IPv4, unprotected: everybody\n\n" + direct("172.23.0.2:70")},
		{"unprotected, closed except for a range that has one port for one network", unprotected, noIPv6, openContainers,
			user("-A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -p tcp -m tcp --dport 85 -j DROP\n-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 80:90 -j RETURN\n-A DOCKER-USER -i eth0 -p tcp -j DROP\n"),
			"80-84/tcp of 172.23.0.2 → api on br-open\n! eth0, IPv4, unprotected: everybody\n\n80-84/tcp of 172.23.0.3 → queue on br-open\n! eth0, IPv4, unprotected: everybody\n\n" +
				"85/tcp of 172.23.0.2 → api on br-open\n  eth0, IPv4, unprotected: 192.0.2.0/24\n\n85/tcp of 172.23.0.3 → queue on br-open\n  eth0, IPv4, unprotected: 192.0.2.0/24\n\n" +
				"86-90/tcp of 172.23.0.2 → api on br-open\n! eth0, IPv4, unprotected: everybody\n\n86-90/tcp of 172.23.0.3 → queue on br-open\n! eth0, IPv4, unprotected: everybody\n\n" +
				"8070/tcp → api (172.23.0.2:70) on br-open\n  eth0, IPv4, over DNAT: nobody\n! eth0, IPv6, over docker-proxy: everybody\n\n" +
				"every tcp port of 172.23.0.2 → api on br-open\n  eth0, IPv4, unprotected: nobody\n\nevery udp port of 172.23.0.2 → api on br-open\n! eth0, IPv4, unprotected: everybody\n\n" +
				"every tcp port of 172.23.0.3 → queue on br-open\n  eth0, IPv4, unprotected: nobody\n\nevery udp port of 172.23.0.3 → queue on br-open\n! eth0, IPv4, unprotected: everybody\n"},
		{"unprotected, without masquerade, and one port is closed", unprotected, noIPv6, "", append(user("-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 1024 -j DROP\n"),
			"-A POSTROUTING -s 172.23.0.0/16 ! -o br-open -j MASQUERADE\n", ""),
			"1024/tcp on br-open\n  eth0, IPv4, unprotected: nobody\n\n" +
				"8070/tcp → 172.23.0.2:70 on br-open\n! eth0, IPv4, over DNAT: everybody\n! eth0, IPv6, over docker-proxy: everybody\n\n" +
				"every port on br-open\n! eth0, IPv4, unprotected: everybody\n\n" + direct("172.23.0.2:70")},
	} {
		t.Run(test.what, func(t *testing.T) {
			h := Host{Families: []docker.Tables{tables(t, strings.NewReplacer(test.edit...).Replace(test.four), packet.IPv4), tables(t, test.six, packet.IPv6)}}
			if test.inspect != "" {
				k, err := docker.ParseInspect([]byte(test.inspect))
				if err != nil {
					t.Fatal(err)
				}
				h.Known = k
			}
			if diff := cmp.Diff(test.want, ofHost(t, h).Text()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// direct is the note about ways that bypass DNAT.
func direct(list string) string {
	return "Note: clients that route to a container's own address through eth0 bypass DNAT: " + list + ".\n"
}

// How other tables affect port 8080 on a Docker 29 host, over DNAT and docker-proxy.
func TestTables(t *testing.T) {
	const name = "8080/tcp → 172.17.0.2:80 on docker0\n"
	const six = "! eth0, IPv6, over docker-proxy: everybody\n"
	raw := func(rules string) *strings.Replacer {
		return strings.NewReplacer("*raw\n", "*raw\n", "-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP\n", rules)
	}
	more := func(name, rules string) *strings.Replacer { return strings.NewReplacer(table(name, rules)...) }
	nat := func(rules string) *strings.Replacer {
		const first = "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n"
		return strings.NewReplacer(first, rules+first)
	}
	for _, test := range []struct {
		what      string
		four, six *strings.Replacer
		want      string
	}{
		{"raw drops by the port before DNAT", raw("-A PREROUTING -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n"), nil, "  eth0, IPv4, over DNAT: nobody\n" + six},
		{"raw drops a network", raw("-A PREROUTING -s 192.0.2.0/24 -i eth0 -j DROP\n"), nil, "  eth0, IPv4, over DNAT: everybody except 192.0.2.0/24\n" + six},
		{"mangle drops", more("mangle", "-A PREROUTING ! -s 192.0.2.0/24 -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n"), nil, "  eth0, IPv4, over DNAT: 192.0.2.0/24\n" + six},
		{"mangle FORWARD drops by the port after DNAT", more("mangle", "-A FORWARD -i eth0 -p tcp -m tcp --dport 80 -j DROP\n"), nil, "  eth0, IPv4, over DNAT: nobody\n" + six},
		{"untracked packets reach docker-proxy", raw("-A PREROUTING -s 192.0.2.0/24 -p tcp -m tcp --dport 8080 -j CT --notrack\n"), nil,
			"! eth0, IPv4, over DNAT: everybody except 192.0.2.0/24\n! eth0, IPv4, over docker-proxy: 192.0.2.0/24\n" + six},
		{"untracked packets bypass DOCKER-USER", strings.NewReplacer(append(user("-A DOCKER-USER -i eth0 -j DROP\n"), "-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP\n", "-A PREROUTING -s 192.0.2.0/24 -p tcp -m tcp --dport 8080 -j CT --notrack\n")...), nil,
			"  eth0, IPv4, over DNAT: nobody\n! eth0, IPv4, over docker-proxy: 192.0.2.0/24\n" + six},
		{"DNAT only for some sources", nat("-A PREROUTING -s 192.0.2.0/24 -j ACCEPT\n"), nil, "! eth0, IPv4, over DNAT: everybody except 192.0.2.0/24\n! eth0, IPv4, over docker-proxy: 192.0.2.0/24\n" + six},
		{"DNAT to another container", nat("-A PREROUTING -s 192.0.2.0/24 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.9:80\n"),
			nil, "  eth0, IPv4, over DNAT: everybody except 192.0.2.0/24\n" + six},
		{"REDIRECT", nat("-A PREROUTING -s 192.0.2.0/24 -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 9090\n"), nil,
			"! eth0, IPv4, over DNAT: everybody except 192.0.2.0/24\n  eth0, IPv4, over REDIRECT to port 9090 on the host: at most 192.0.2.0/24\n    cannot be evaluated: it is not known what listens on port 9090 on the host\n" + six},
		{"one host address in raw", raw("-A PREROUTING -d 203.0.113.7/32 -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n"), nil, "! eth0, IPv4, over DNAT: everybody\n  eth0, IPv4, to 203.0.113.7, over DNAT: nobody\n" + six},
		{"an unknown match in raw, of some sources", raw("-A PREROUTING -s 192.0.2.0/24 -i eth0 -m geoip --src-cc XX -j DROP\n"), nil,
			"  eth0, IPv4, over DNAT: at most everybody\n    cannot be evaluated: -t raw -A PREROUTING -s 192.0.2.0/24 -i eth0 -m geoip --src-cc XX -j DROP\n" + six},
		{"two that cannot be evaluated, one of them unreachable", strings.NewReplacer(user("-A DOCKER-USER -i eth0 -m limit --limit 1/sec -j RETURN\n-A DOCKER-USER -i eth0 -j DROP\n-A DOCKER-USER -m limit --limit 1/sec -j DROP\n")...), nil,
			"  eth0, IPv4, over DNAT: at most everybody\n    cannot be evaluated: -t filter -A DOCKER-USER -i eth0 -m limit --limit 1/sec -j RETURN\n" + six},
		{"a mark that decides", strings.NewReplacer(append(user("-A DOCKER-USER -m mark --mark 0x1 -j DROP\n"), table("mangle", "-A PREROUTING -s 192.0.2.0/24 -j MARK --set-xmark 0x1/0xffffffff\n")...)...), nil,
			"  eth0, IPv4, over DNAT: everybody except 192.0.2.0/24\n" + six},
		{"a mark that is not known", strings.NewReplacer(append(user("-A DOCKER-USER -m mark --mark 0x1 -j DROP\n"), table("mangle", "-A PREROUTING -s 192.0.2.0/24 -j CONNMARK --restore-mark\n")...)...), nil,
			"  eth0, IPv4, over DNAT: at most everybody\n    cannot be evaluated: -t filter -A DOCKER-USER -m mark --mark 0x1 -j DROP\n" + six},
		{"no jumps in FORWARD", strings.NewReplacer("-A FORWARD -j DOCKER-USER\n", "", "-A FORWARD -j DOCKER-FORWARD\n", ""), nil, "! eth0, IPv4, over DNAT: everybody\n" + six},
		{"IPv6 in mangle", nil, strings.NewReplacer("*nat\n", "*mangle\n:INPUT ACCEPT [0:0]\n-A INPUT ! -s 2001:db8::/32 -p tcp -m tcp --dport 8080 -j DROP\nCOMMIT\n*nat\n"), "! eth0, IPv4, over DNAT: everybody\n  eth0, IPv6, over docker-proxy: 2001:db8::/32\n"},
	} {
		t.Run(test.what, func(t *testing.T) {
			got := ofHost(t, capture(t, "engine-29-published-8080", test.four, test.six)).Text()
			got, _, _ = strings.Cut(got, "\nNote: ")
			if diff := cmp.Diff(name+test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// docker-proxy listens where Docker says that it does.
func TestProxyListens(t *testing.T) {
	inspect := func(bindings string) string {
		return `[{"Name": "/web\u001b[31m", "State": {"Running": true}, "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}, "Ports": {"80/tcp": [` + bindings + `]}}}]`
	}
	const four, six = `{"HostIp": "0.0.0.0", "HostPort": "8080"}`, `{"HostIp": "::", "HostPort": "8080"}`
	const title, dnat = "8080/tcp → \"web\\x1b[31m\" (172.17.0.2:80) on docker0\n", "! eth0, IPv4, over DNAT: everybody\n"
	noRules := strings.NewReplacer("-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\n", "")
	noProxy := strings.NewReplacer("-A DOCKER ! -i docker0 -p tcp", "-A DOCKER -p tcp")
	const unknown = "    cannot be evaluated: no rule shows whether docker-proxy runs\n"
	for _, test := range []struct {
		what, bindings string
		four           *strings.Replacer
		want           string
	}{
		{"both families", four + "," + six, nil, title + dnat + "! eth0, IPv6, over docker-proxy: everybody\n"},
		{"only IPv4", four, nil, title + dnat},
		{"no docker-proxy", four + "," + six, noProxy, title + dnat},
		{"no DNAT either", four + "," + six, noRules, strings.Replace(title, " on docker0", "", 1) +
			"  eth0, IPv4, over docker-proxy: at most everybody\n" + unknown + "  eth0, IPv6, over docker-proxy: at most everybody\n" + unknown},
	} {
		t.Run(test.what, func(t *testing.T) {
			h := capture(t, "engine-29-published-8080", test.four, nil)
			var err error
			if h.Known, err = docker.ParseInspect([]byte(inspect(test.bindings))); err != nil {
				t.Fatal(err)
			}
			got := ofHost(t, h).Text()
			if test.four == noRules { // the container's ACCEPT is present, and raw keeps others out
				_, got, _ = strings.Cut(got, "\n\n")
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
