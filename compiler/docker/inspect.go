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

// Known is what Docker itself says of its networks and containers, beside the rules:
// the JSON of docker inspect and docker network inspect, or the API's. A nil Known
// says nothing.
type Known struct {
	Version    string // of the engine, as 28.5.2; "" where it is not known
	Nftables   bool   // the engine's firewall back end is nftables: it has no rules of iptables
	Networks   []KnownNetwork
	Containers []KnownContainer
	// Raw and Direct are set where the daemon is known to drop in the raw table, as 28 and
	// later do unless they are told otherwise: what comes for ports of the loopback from
	// elsewhere, and what comes for containers by their own addresses.
	Raw, Direct bool
}

// KnownNetwork is a network as docker network inspect has it.
type KnownNetwork struct {
	Name     string
	Bridge   string // the bridge's interface; "" for other drivers than bridge
	Driver   string // bridge, host, none, overlay, macvlan, …
	Internal bool
	Subnets  []netip.Prefix // of both families
	Options  map[string]string
	Members  []netip.Addr // the containers' addresses in it, of both families; nil where it is not said
}

// KnownContainer is a container as docker inspect has it.
type KnownContainer struct {
	Name      string
	Running   bool
	Addresses []netip.Addr // in all of its networks, of both families
	Ports     []KnownPort
}

// KnownPort is one published port of a container; a routed network has those without a
// port of the host.
type KnownPort struct {
	Protocol  string
	Container int        // the container's port
	Address   netip.Addr // the host address, the zero Addr for every one
	Host      int        // the host's port, 0 for none
	// IPv4 and IPv6 are the families of the host's addresses on which it is published.
	IPv4, IPv6 bool
}

// inspected is what is read of an object of either command.
type inspected struct {
	Name   string
	Id     string
	Driver string
	// A network has these.
	IPAM     *struct{ Config []struct{ Subnet string } }
	Internal bool
	Options  map[string]string
	// Containers of a network, by their ID.
	Containers map[string]struct{ IPv4Address, IPv6Address string }
	// A container has these.
	State           *struct{ Running bool }
	NetworkSettings *struct {
		Ports    map[string][]inspectedBinding
		Networks map[string]struct{ IPAddress, GlobalIPv6Address string }
	}
}

type inspectedBinding struct{ HostIp, HostPort string }

// ParseInspect reads what docker inspect or docker network inspect printed: JSON lists
// of containers, of networks, or of both, one after the other. It keeps what it
// understands, and needs no field but those that say which of the two an object is.
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
		return nil, errors.New("this is a JSON list, but of neither containers nor networks, as docker inspect prints them")
	}
	return k, nil
}

// notInspected is what is wrong with JSON that docker inspect did not print.
func notInspected(err error) error {
	const not = "this is not what docker inspect prints, a JSON list of containers or networks"
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		return errors.New(not + ": it is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New(not + ": it ends in the middle")
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

// publish adds a published port. One of every address is listed once for each family.
func (c *KnownContainer) publish(protocol string, port int, b inspectedBinding) {
	p := KnownPort{Protocol: protocol, Container: port}
	if host, err := strconv.ParseUint(b.HostPort, 10, 16); err == nil { // none, on a routed network
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

// bridgeName is the option that names a network's bridge.
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

// NameOf is the name of the running container that has an address, or "".
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

// Within are the addresses of running containers that a network has, in order.
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

// Network is the network of a bridge, or nil.
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
