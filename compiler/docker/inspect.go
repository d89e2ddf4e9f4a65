package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Known is what Docker reports about its networks and containers, in addition to the rules: the
// JSON of docker inspect and docker network inspect, or of the API. A nil Known means that
// nothing is known.
type Known struct {
	Version    string // of the engine, such as 28.5.2; "" if not known
	Nftables   bool   // the engine uses its nftables backend and has no iptables rules
	Networks   []KnownNetwork
	Containers []KnownContainer
	// Raw and Direct are set if the daemon is known to drop packets in the raw table, as engine
	// 28 and later do by default: Raw for packets to loopback ports from elsewhere, Direct for
	// packets to containers' own addresses.
	Raw, Direct bool
}

// KnownNetwork is a network as docker network inspect reports it.
type KnownNetwork struct {
	Name     string
	Bridge   string // the bridge's interface; "" for drivers other than bridge
	Driver   string // bridge, host, none, overlay, macvlan, …
	Internal bool
	Subnets  []netip.Prefix // of both families
	Options  map[string]string
	Members  []netip.Addr // the containers' addresses in it, of both families; nil if not reported
}

// KnownContainer is a container as docker inspect reports it.
type KnownContainer struct {
	Name      string
	Running   bool
	Addresses []netip.Addr // in all of its networks, of both families
	Ports     []KnownPort
}

// KnownPort is one published port of a container; on a routed network, one without a host port.
type KnownPort struct {
	Protocol  string
	Container int        // the container's port
	Address   netip.Addr // the host address, the zero Addr for every address
	Host      int        // the host's port, 0 for none
	// IPv4 and IPv6 are the families of the host addresses on which it is published.
	IPv4, IPv6 bool
}

// inspected holds the fields read from an object of either command.
type inspected struct {
	Name   string
	Id     string
	Driver string
	// Fields of a network.
	IPAM     *struct{ Config []struct{ Subnet string } }
	Internal bool
	Options  map[string]string
	// Containers of a network by ID.
	Containers map[string]struct{ IPv4Address, IPv6Address string }
	// Fields of a container.
	State           *struct{ Running bool }
	NetworkSettings *struct {
		Ports    map[string][]inspectedBinding
		Networks map[string]struct{ IPAddress, GlobalIPv6Address string }
	}
}

type inspectedBinding struct{ HostIp, HostPort string }

// ParseInspect reads the output of docker inspect or docker network inspect: JSON lists of
// containers, of networks, or of both, one after the other. It keeps what it understands, and
// only requires the fields that tell the two kinds of objects apart.
func ParseInspect(src []byte) (*Known, error) {
	k := &Known{}
	others := 0
	d := json.NewDecoder(strings.NewReader(string(src)))
	for lists := 0; d.More() || lists == 0; lists++ {
		var list []inspected
		if err := d.Decode(&list); err != nil {
			return nil, notInspected(err)
		}
		for _, x := range list {
			switch {
			case x.NetworkSettings != nil:
				k.Containers = append(k.Containers, x.container())
			case x.IPAM != nil:
				k.Networks = append(k.Networks, x.network())
			default:
				others++
			}
		}
	}
	if others > 0 && len(k.Containers)+len(k.Networks) == 0 {
		return nil, errors.New("this is a JSON list, but not of containers or networks as docker inspect prints them")
	}
	return k, nil
}

// notInspected is the error for JSON that is not docker inspect output.
func notInspected(err error) error {
	const not = "this is not the output of docker inspect, a JSON list of containers or networks"
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		return errors.New(not + ": it is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New(not + ": it is truncated")
	case errors.As(err, &syntax):
		return fmt.Errorf("%s: %w, at byte %d", not, syntax, syntax.Offset)
	}
	return errors.New(not)
}

func (x inspected) container() KnownContainer {
	c := KnownContainer{Name: strings.TrimPrefix(x.Name, "/"), Running: x.State != nil && x.State.Running}
	for _, n := range x.NetworkSettings.Networks {
		for _, text := range []string{n.IPAddress, n.GlobalIPv6Address} {
			if a, err := netip.ParseAddr(text); err == nil {
				c.Addresses = append(c.Addresses, a)
			}
		}
	}
	slices.SortFunc(c.Addresses, netip.Addr.Compare)
	for target, bindings := range x.NetworkSettings.Ports {
		number, protocol, _ := strings.Cut(target, "/")
		port, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			continue
		}
		for _, b := range bindings {
			c.publish(protocol, int(port), b)
		}
	}
	slices.SortFunc(c.Ports, func(a, b KnownPort) int {
		if a.Protocol != b.Protocol {
			return strings.Compare(a.Protocol, b.Protocol)
		}
		if a.Container != b.Container {
			return a.Container - b.Container
		}
		if a.Host != b.Host {
			return a.Host - b.Host
		}
		return a.Address.Compare(b.Address)
	})
	return c
}

// publish adds a published port. A port on every address is listed once per family.
func (c *KnownContainer) publish(protocol string, port int, b inspectedBinding) {
	p := KnownPort{Protocol: protocol, Container: port}
	if host, err := strconv.ParseUint(b.HostPort, 10, 16); err == nil { // none on a routed network
		p.Host = int(host)
	}
	a, err := netip.ParseAddr(b.HostIp)
	a = a.Unmap()
	if err == nil && !a.IsUnspecified() {
		p.Address = a
	}
	four, six := err != nil || a.Is4(), err != nil || a.Is6()
	i := slices.IndexFunc(c.Ports, func(q KnownPort) bool {
		q.IPv4, q.IPv6 = false, false
		return q == p
	})
	if i < 0 {
		i, c.Ports = len(c.Ports), append(c.Ports, p)
	}
	c.Ports[i].IPv4, c.Ports[i].IPv6 = c.Ports[i].IPv4 || four, c.Ports[i].IPv6 || six
}

// bridgeName is the option with the name of a network's bridge.
const bridgeName = "com.docker.network.bridge.name"

func (x inspected) network() KnownNetwork {
	n := KnownNetwork{Name: x.Name, Driver: x.Driver, Internal: x.Internal, Options: x.Options}
	if x.Driver == "bridge" {
		// libnetwork names a bridge after the first twelve digits of the network's ID.
		const digits = 12
		if n.Bridge = x.Options[bridgeName]; n.Bridge == "" && len(x.Id) >= digits {
			n.Bridge = "br-" + x.Id[:digits]
		}
	}
	for _, c := range x.IPAM.Config {
		if s, err := netip.ParsePrefix(c.Subnet); err == nil {
			n.Subnets = append(n.Subnets, s.Masked())
		}
	}
	if x.Containers != nil {
		n.Members = []netip.Addr{}
	}
	for _, c := range x.Containers {
		for _, text := range []string{c.IPv4Address, c.IPv6Address} {
			if p, err := netip.ParsePrefix(text); err == nil {
				n.Members = append(n.Members, p.Addr())
			}
		}
	}
	slices.SortFunc(n.Members, netip.Addr.Compare)
	return n
}

// NameOf is the name of the running container with an address, or "".
func (k *Known) NameOf(a netip.Addr) string {
	if k == nil {
		return ""
	}
	for _, c := range k.Containers {
		if c.Running && slices.Contains(c.Addresses, a) {
			return c.Name
		}
	}
	return ""
}

// Within returns the addresses of running containers in a network, sorted.
func (k *Known) Within(network netip.Prefix) []netip.Addr {
	var list []netip.Addr
	if k != nil {
		for _, c := range k.Containers {
			for _, a := range c.Addresses {
				if c.Running && network.Contains(a) {
					list = append(list, a)
				}
			}
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

// Network returns the network of a bridge, or nil.
func (k *Known) Network(bridge string) *KnownNetwork {
	if k == nil {
		return nil
	}
	for i := range k.Networks {
		if k.Networks[i].Bridge == bridge && bridge != "" {
			return &k.Networks[i]
		}
	}
	return nil
}
