//go:build linux

package lab

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/packet"
)

// Topology is a Docker host and the world around it:
//
//	far ──(MTU 1300)── wan ── eth0 ── host ── docker0 ── ctr
//
// All clients live in far, with as many addresses as a test wants. wan is a
// router on the way, and the narrow link behind it makes it send ICMP errors
// about large answers. The host may have several outside interfaces.
type Topology struct {
	t                   testing.TB
	Far, Wan, Host, Ctr *Namespace
	Externals           []string
	clients             map[string]bool
}

// Addresses of the links. All are private or shared space (RFC 1918, 6598,
// 4193), and none is a source or a published address of an example.
const (
	ContainerV4 = "172.17.0.2"
	ContainerV6 = "fd17::2"
	FarV4       = "100.65.0.2"
	FarV6       = "fd65::2"
)

// HostAddress is the host's own address on its i-th outside interface.
func HostAddress(i int, f packet.Family) string {
	if f == packet.IPv6 {
		return fmt.Sprintf("fd64:%d::2", i)
	}
	return fmt.Sprintf("100.64.%d.2", i)
}

// NewTopology makes a topology whose host has these outside interfaces.
func NewTopology(t testing.TB, externals ...string) *Topology {
	t.Helper()
	top := &Topology{t: t, Externals: externals,
		clients: map[string]bool{FarV4: true, FarV6: true}, Far: NewNamespace(t, "far"), Wan: NewNamespace(t, "wan"),
		Host: NewNamespace(t, "host"), Ctr: NewNamespace(t, "ctr")}
	for _, n := range []*Namespace{top.Wan, top.Host} {
		n.Sysctl("net.ipv4.ip_forward=1")
		n.Sysctl("net.ipv6.conf.all.forwarding=1")
	}
	// A stream of probes must not run out of ports.
	top.Far.Sysctl("net.ipv4.ip_local_port_range=1024 65535")
	top.Far.Sysctl("net.ipv4.tcp_tw_reuse=1")
	top.linkFar()
	for i, name := range externals {
		top.linkHost(i, name)
	}
	return top
}

func (top *Topology) linkFar() {
	Link(top.Wan, "wf0", top.Far, "far0")
	top.Wan.Must("ip", "link", "set", "wf0", "mtu", "1300")
	top.Far.Must("ip", "link", "set", "far0", "mtu", "1300")
	top.Wan.Address("wf0", "100.65.0.1/30", "fd65::1/64")
	top.Far.Address("far0", FarV4+"/30", FarV6+"/64")
	// The clients promise to take more than the link carries: so an ICMP error
	// is needed for a large answer.
	top.Far.Must("ip", "route", "add", "default", "via", "100.65.0.1", "advmss", "1460")
	top.Far.Must("ip", "-6", "route", "add", "default", "via", "fd65::1", "advmss", "1440")
	top.Wan.Must("ip", "route", "add", "default", "via", FarV4)
	top.Wan.Must("ip", "-6", "route", "add", "default", "via", FarV6)
}

func (top *Topology) linkHost(i int, name string) {
	peer := fmt.Sprintf("w%d", i)
	Link(top.Wan, peer, top.Host, name)
	top.Wan.Address(peer, fmt.Sprintf("100.64.%d.1/30", i), fmt.Sprintf("fd64:%d::1/64", i))
	top.Host.Address(name, HostAddress(i, packet.IPv4)+"/30", HostAddress(i, packet.IPv6)+"/64")
	if i == 0 {
		top.Host.Must("ip", "route", "add", "default", "via", "100.64.0.1")
		top.Host.Must("ip", "-6", "route", "add", "default", "via", "fd64:0::1")
	}
}

// LinkContainer joins a namespace to the host the way a container is.
func (top *Topology) LinkContainer() {
	Link(top.Host, "docker0", top.Ctr, "ctr0")
	top.Host.Address("docker0", "172.17.0.1/16", "fd17::1/64")
	top.Ctr.Address("ctr0", ContainerV4+"/16", ContainerV6+"/64")
	top.Ctr.Must("ip", "route", "add", "default", "via", "172.17.0.1")
	top.Ctr.Must("ip", "-6", "route", "add", "default", "via", "fd17::1")
}

// Clients assigns far these source addresses.
func (top *Topology) Clients(addresses ...string) {
	for _, a := range addresses {
		if top.clients[a] {
			continue
		}
		top.clients[a] = true
		top.Far.Address("far0", a+length(a))
	}
}

// Publish assigns the host an address of its own, reached over outside
// interface i.
func (top *Topology) Publish(i int, address string) {
	top.Host.Address(top.Externals[i], address+length(address))
	family, via := "-4", fmt.Sprintf("100.64.%d.2", i)
	if strings.Contains(address, ":") {
		family, via = "-6", fmt.Sprintf("fd64:%d::2", i)
	}
	top.Wan.Must("ip", family, "route", "add", address+length(address), "via", via)
}

func length(address string) string {
	if strings.Contains(address, ":") {
		return "/128"
	}
	return "/32"
}
