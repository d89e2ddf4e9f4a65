// Package inventory reads the published ports of a host from its containers,
// and writes a first policy for them: every port stays as open as it is today, and is
// marked for a decision.
//
//	inventory.go  from docker inspect's JSON
//	compose.go    from a compose file
//	check.go      mismatches between a policy and the published ports
//	part.go       the part of a port's addresses and interfaces that no policy names
//	write.go      the first policy
package inventory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Port is one published port, or a range of them.
type Port struct {
	Container   string // or service of a compose file
	Image       string
	Address     netip.Addr // the host address; 0.0.0.0 or :: for every address of a family, the zero Addr for every address
	First, Last int
	Protocol    string
	// Routed marks a port on a routed network: Address and port are the container's own.
	Routed bool
}

// Name is the port as written in a policy.
func (p Port) Name() string {
	text := fmt.Sprint(p.First)
	if p.Last != p.First {
		text += fmt.Sprintf("-%d", p.Last)
	}
	return text + "/" + p.Protocol
}

// Outside reports whether clients from outside can reach the port: false if it is only published
// on a loopback address.
func (p Port) Outside() bool { return !p.Address.IsLoopback() }

// container holds what is read from docker inspect.
type container struct {
	Name   string
	Config struct{ Image string }
	State  struct{ Running bool }
	IPAM   *struct{} // set for a network, which docker inspect prints as well
	// The ports of a running container, and those it was created with.
	NetworkSettings *struct {
		Ports    map[string][]binding
		Networks map[string]struct{ IPAddress, GlobalIPv6Address string }
	}
	HostConfig struct {
		PortBindings map[string][]binding
		NetworkMode  string
	}
}

// published are the container's bindings. A container on the host's network publishes nothing,
// whatever it was created with.
func (c container) published() map[string][]binding {
	switch {
	case c.HostConfig.NetworkMode == "host":
		return nil
	case c.NetworkSettings != nil && len(c.NetworkSettings.Ports) > 0:
		return c.NetworkSettings.Ports
	}
	return c.HostConfig.PortBindings
}

type binding struct{ HostIp, HostPort string }

// routed returns the ports of a binding without a host port: those of a running container on a
// routed network. A stopped container gets its port when it starts.
func (c container) routed(target string, b binding) []Port {
	number, _, _ := strings.Cut(target, "/")
	protocol := protocolOf(target)
	first, last, ok := portRange(number)
	if !ok || !c.State.Running || c.NetworkSettings == nil {
		return nil
	}
	bound := hostAddress(b.HostIp)
	var list []Port
	for _, n := range c.NetworkSettings.Networks {
		for _, text := range []string{n.IPAddress, n.GlobalIPv6Address} {
			if a, err := netip.ParseAddr(text); err == nil && (!bound.IsValid() || bound.Is4() == a.Is4()) {
				list = append(list, Port{Container: strings.TrimPrefix(c.Name, "/"), Image: c.Config.Image, Address: a, First: first, Last: last, Protocol: protocol, Routed: true})
			}
		}
	}
	return list
}

// notContainers is the error for text that is not docker inspect output for containers.
func notContainers(src []byte, err error) error {
	const not = "this is not the output of docker inspect, a JSON list of containers"
	var syntax *json.SyntaxError
	switch {
	case len(bytes.TrimSpace(src)) == 0:
		return errors.New(not + ": it is empty")
	case errors.As(err, &syntax) && int(syntax.Offset) >= len(src):
		return errors.New(not + ": it is truncated")
	case errors.As(err, &syntax):
		return fmt.Errorf("%s: %w, at byte %d", not, syntax, syntax.Offset)
	}
	return errors.New(not)
}

// FromInspect reads the JSON of docker inspect, a list of containers.
func FromInspect(src []byte) ([]Port, error) {
	var containers []container
	if err := json.Unmarshal(src, &containers); err != nil {
		return nil, notContainers(src, err)
	}
	var list []Port
	if slices.ContainsFunc(containers, func(c container) bool { return c.IPAM == nil }) {
		containers = slices.DeleteFunc(containers, func(c container) bool { return c.IPAM != nil })
	}
	for _, c := range containers {
		if c.NetworkSettings == nil && c.HostConfig.PortBindings == nil {
			return nil, errors.New("this is a JSON list, but not of containers; use the output of docker inspect $(docker ps -q)")
		}
		for target, bindings := range c.published() {
			protocol := protocolOf(target)
			if !slices.Contains([]string{"tcp", "udp", "sctp"}, protocol) {
				return nil, fmt.Errorf("the container %q publishes %q, whose protocol is not tcp, udp or sctp", strings.TrimPrefix(c.Name, "/"), target)
			}
			for _, b := range bindings {
				first, last, ok := portRange(b.HostPort)
				if !ok {
					list = append(list, c.routed(target, b)...)
					continue
				}
				list = append(list, Port{Container: strings.TrimPrefix(c.Name, "/"), Image: c.Config.Image, Address: hostAddress(b.HostIp), First: first, Last: last, Protocol: protocol})
			}
		}
	}
	return tidy(list), nil
}

// protocolOf is the protocol of a container's port, such as 80/udp; TCP if it names none, as in
// Docker.
func protocolOf(target string) string {
	if _, protocol, named := strings.Cut(target, "/"); named {
		return protocol
	}
	return "tcp"
}

// hostAddress parses a host address; the zero Addr, for every address, if there is none.
func hostAddress(text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

func portRange(text string) (first, last int, ok bool) {
	lo, hi, isRange := strings.Cut(text, "-")
	if !isRange {
		hi = lo
	}
	first, err1 := strconv.Atoi(lo)
	last, err2 := strconv.Atoi(hi)
	return first, last, err1 == nil && err2 == nil && first > 0 && first <= last && last <= 65535
}

// tidy sorts ports, removes duplicates and joins adjacent ones. A port that is published on every
// address is listed for IPv4 and for IPv6, and becomes one.
func tidy(list []Port) []Port {
	return join(bothFamilies(list))
}

// bothFamilies merges two ports that only differ in their family.
func bothFamilies(list []Port) []Port {
	listed := map[Port]bool{}
	for _, p := range list {
		listed[p] = true
	}
	on := func(p Port, a netip.Addr) Port {
		p.Address = a
		return p
	}
	var out []Port
	for _, p := range list {
		every := on(p, netip.Addr{})
		four, six := listed[on(p, netip.IPv4Unspecified())], listed[on(p, netip.IPv6Unspecified())]
		if wide := !p.Address.IsValid() || p.Address.IsUnspecified(); wide && (four && six || listed[every]) {
			p = every
		}
		out = append(out, p)
	}
	return out
}

// join sorts ports and merges adjacent ones into ranges.
func join(list []Port) []Port {
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if a.Container != b.Container {
			return a.Container < b.Container
		}
		if a.Protocol != b.Protocol {
			return a.Protocol < b.Protocol
		}
		if c := a.Address.Compare(b.Address); c != 0 {
			return c < 0
		}
		return a.First < b.First
	})
	list = slices.Compact(list)
	var out []Port
	for _, p := range list {
		if n := len(out); n > 0 {
			last := out[n-1]
			if last.Container == p.Container && last.Protocol == p.Protocol && last.Address == p.Address && p.First <= last.Last+1 {
				out[n-1].Last = max(last.Last, p.Last)
				continue
			}
		}
		out = append(out, p)
	}
	return out
}
