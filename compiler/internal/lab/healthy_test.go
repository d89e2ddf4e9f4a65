//go:build linux

package lab

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/doctor"
	"github.com/seawall/seawall/compiler/prove"
)

// networkKind is a way to make a network, and a container in it.
type networkKind struct {
	name    string
	since   string   // the first engine that knows it, "" for all
	create  []string // options of docker network create; nil for the default network
	publish []string // options of docker run
}

const bridgeOption = "com.docker.network.bridge."

// networkKinds are the kinds of network that Docker's bridge driver knows.
var networkKinds = []networkKind{
	{"the default network", "", nil, []string{"-p", "8080:80"}},
	{"a user's network", "", []string{}, []string{"-p", "8080:80", "-p", "5353:53/udp"}},
	{"a range, and two ports for one", "", []string{}, []string{"-p", "8000-8003:8000-8003", "-p", "8080:80", "-p", "8081:80"}},
	{"no published port", "", []string{}, nil},
	{"bound to addresses", "", []string{}, []string{"-p", "127.0.0.1:5432:80", "-p", "100.64.0.2:5433:80"}},
	{"internal", "", []string{"--internal"}, []string{"-p", "8080:80"}},
	{"internal, icc=false", "", []string{"--internal", "-o", bridgeOption + "enable_icc=false"}, nil},
	{"icc=false", "", []string{"-o", bridgeOption + "enable_icc=false"}, []string{"-p", "8080:80"}},
	{"masquerade off", "", []string{"-o", bridgeOption + "enable_ip_masquerade=false"}, []string{"-p", "8080:80"}},
	{"masquerade off, icc=false", "", []string{"-o", bridgeOption + "enable_ip_masquerade=false", "-o", bridgeOption + "enable_icc=false"}, []string{"-p", "8080:80"}},
	{"host_ipv4", "", []string{"-o", "com.docker.network.host_ipv4=100.64.0.2"}, []string{"-p", "8080:80"}},
	{"IPv6", "", []string{"--ipv6", "--subnet", "fd18::/64"}, []string{"-p", "8443:80", "-p", "5354:53/udp"}},
	{"IPv6, internal", "", []string{"--ipv6", "--subnet", "fd18::/64", "--internal"}, nil},
	{"IPv6, icc=false", "", []string{"--ipv6", "--subnet", "fd18::/64", "-o", bridgeOption + "enable_icc=false"}, []string{"-p", "8443:80"}},
	{"routed", "27", []string{"-o", bridgeOption + "gateway_mode_ipv4=routed"}, []string{"-p", "8080:80"}},
	{"routed, no published port", "27", []string{"-o", bridgeOption + "gateway_mode_ipv4=routed"}, nil},
	{"routed, IPv6 too", "27", []string{"--ipv6", "--subnet", "fd18::/64", "-o", bridgeOption + "gateway_mode_ipv4=routed", "-o", bridgeOption + "gateway_mode_ipv6=routed"}, []string{"-p", "8080:80"}},
	{"nat-unprotected", "27", []string{"-o", bridgeOption + "gateway_mode_ipv4=nat-unprotected"}, []string{"-p", "8080:80"}},
	{"isolated", "28", []string{"--internal", "-o", bridgeOption + "gateway_mode_ipv4=isolated"}, nil},
	{"a trusted interface", "28", []string{"-o", bridgeOption + "trusted_host_interfaces=eth0"}, []string{"-p", "8080:80"}},
	{"IPv6 alone", "28", []string{"--ipv4=false", "--ipv6", "--subnet", "fd18::/64"}, []string{"-p", "8443:80"}},
}

// daemonKinds are ways to start the daemon; a short run takes the first.
var daemonKinds = []struct {
	since string
	flags []string
}{
	{"", []string{"--experimental", "--ip6tables"}},
	{"", []string{"--userland-proxy=false"}},
	{"", []string{"--icc=false", "--ip-masq=false"}},
	{"", []string{"--ip6tables=false"}},
	{"28", []string{"--allow-direct-routing"}},
}

// A healthy host has no finding, on any engine, with any kind of network and any of the
// daemon's options; whether Docker is asked or its rules alone are looked at.
func TestHealthyHosts(t *testing.T) {
	t.Parallel()
	NeedDocker(t)
	for i, e := range Engines(t) {
		for j, d := range daemonKinds {
			b := Backends[(i+j)%len(Backends)]
			t.Run(fmt.Sprintf("%s/%s/%s", e.Name, b, strings.Join(d.flags, " ")), func(t *testing.T) {
				if j > 0 && !*long || !e.since(d.since) {
					t.Skip("not in this run, or of a later engine")
				}
				t.Parallel()
				healthyHosts(t, e, b, d.flags)
			})
		}
	}
}

// since reports whether the engine is at least one of a version.
func (e Engine) since(version string) bool {
	return version == "" || e.Name >= version // two digits, all of them
}

func healthyHosts(t *testing.T, e Engine, b Backend, flags []string) {
	w := &world{t: t, backend: b, top: NewTopology(t, "eth0", "eth1")}
	w.docker = StartEngine(t, w.top, e, b, flags...)
	scenario := "healthy hosts, " + e.Name
	for n, k := range networkKinds {
		if !e.since(k.since) || !*long && k.since == "" && (n+len(e.Name)+int(e.Name[1]))%3 != 0 { // a short run takes a third of those that all engines know
			continue
		}
		remove := w.have(k)
		wrong := 0
		for _, known := range []*docker.Known{nil, w.known()} {
			if found := w.examinedWith(known); len(found) > 0 {
				wrong++
				t.Errorf("%s, Docker asked %v:\n%s", k.name, known != nil, doctor.Text(found))
			}
		}
		results.add(scenario, 1, wrong)
		remove()
	}
}

// have makes a network of a kind with a container, and returns what removes them.
func (w *world) have(k networkKind) (remove func()) {
	w.t.Helper()
	d := w.docker
	options := k.publish
	if k.create != nil {
		d.Must(append(append([]string{"network", "create"}, k.create...), "other")...)
		options = append([]string{"--network", "other"}, options...)
	}
	d.Run("other", options, "80/tcp", "53/udp")
	return func() {
		d.Must("rm", "-f", "other")
		if k.create != nil {
			d.Must("network", "rm", "other")
		}
	}
}

// known is what Docker says of its networks and containers.
func (w *world) known() *docker.Known {
	w.t.Helper()
	d := w.docker
	text := d.Must(append([]string{"network", "inspect"}, strings.Fields(d.Must("network", "ls", "-q"))...)...)
	if list := strings.Fields(d.Must("ps", "-q")); len(list) > 0 {
		text += d.Must(append([]string{"inspect"}, list...)...)
	}
	k, err := docker.ParseInspect([]byte(text))
	if err != nil {
		w.t.Fatal(err)
	}
	k.Direct, k.Version = true, d.engine.Name
	for _, f := range d.flags {
		k.Direct = k.Direct && f != "--allow-direct-routing"
	}
	k.Raw = true
	return k
}

func (w *world) examinedWith(known *docker.Known) []doctor.Finding {
	w.t.Helper()
	host := w.host()
	for i := range host.Families {
		host.Families[i].Known = known
	}
	return doctor.Run(context.Background(), host, prove.Limits{})
}
