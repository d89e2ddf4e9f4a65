// Package inventory is the published ports of a host as its containers say them,
// and a first policy for them: every port open to whom it is open today, and
// marked for a decision.
//
//	inventory.go  from docker inspect's JSON, and held against a policy
//	compose.go    from a compose file
//	write.go      the first policy
package inventory

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/seawall/seawall/schema"
)

// Port is one published port, or a range of them.
type Port struct {
	Container   string // or the service of a compose file
	Image       string
	Address     netip.Addr // the host address, the zero Addr for every one
	First, Last int
	Protocol    string
}

// Name is the port as a policy has it.
func (p Port) Name() string {
	text := fmt.Sprint(p.First)
	if p.Last != p.First {
		text += fmt.Sprintf("-%d", p.Last)
	}
	return text + "/" + p.Protocol
}

// Outside reports whether clients from outside can reach the port: not one that is
// published on the loopback alone.
func (p Port) Outside() bool { return !p.Address.IsLoopback() }

// container is what is read of docker inspect.
type container struct {
	Name   string
	Config struct{ Image string }
	State  struct{ Running bool }
	// The ports of a running container, and those it was made with.
	NetworkSettings struct{ Ports map[string][]binding }
	HostConfig      struct{ PortBindings map[string][]binding }
}

type binding struct{ HostIp, HostPort string }

// FromInspect reads the JSON of docker inspect, a list of containers.
func FromInspect(src []byte) ([]Port, error) {
	var containers []container
	if err := json.Unmarshal(src, &containers); err != nil {
		return nil, fmt.Errorf("this is not what docker inspect prints, a JSON list of containers: %w", err)
	}
	var list []Port
	for _, c := range containers {
		ports := c.NetworkSettings.Ports
		if len(ports) == 0 {
			ports = c.HostConfig.PortBindings
		}
		for target, bindings := range ports {
			_, protocol, _ := strings.Cut(target, "/")
			for _, b := range bindings {
				first, last, ok := portRange(b.HostPort)
				if !ok {
					continue // published on a port that the engine picks when it starts
				}
				list = append(list, Port{Container: strings.TrimPrefix(c.Name, "/"), Image: c.Config.Image, Address: hostAddress(b.HostIp), First: first, Last: last, Protocol: protocol})
			}
		}
	}
	return tidy(list), nil
}

// hostAddress is the zero Addr for every address.
func hostAddress(text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	if err != nil || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a.Unmap()
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

// tidy sorts ports, leaves out what is listed twice (a port published on every
// address is listed for IPv4 and for IPv6), and joins neighbours.
func tidy(list []Port) []Port {
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

// Gaps are what a policy and a host's published ports have no match for.
type Gaps struct {
	Unnamed     []Port           // published, and no policy names it
	Unpublished []*schema.Policy // no container publishes a port of it
}

// Check holds published ports against a policy. A port counts as named when some
// policy has all of it in its scope, on the address on which it is published.
func Check(ports []Port, doc *schema.Document) Gaps {
	var g Gaps
	used := map[*schema.Policy]bool{}
	for _, p := range ports {
		named := false
		for _, policy := range doc.Policies {
			if !onAddress(policy, p.Address) {
				continue
			}
			for _, r := range policy.Ports {
				if r.Protocol.String() != p.Protocol || int(r.Last) < p.First || p.Last < int(r.First) {
					continue
				}
				used[policy] = true
				named = named || int(r.First) <= p.First && p.Last <= int(r.Last)
			}
		}
		if !named && p.Outside() {
			g.Unnamed = append(g.Unnamed, p)
		}
	}
	for _, policy := range doc.Policies {
		if !used[policy] {
			g.Unpublished = append(g.Unpublished, policy)
		}
	}
	return g
}

// onAddress reports whether a policy is about a host address; one that is published
// on every address is on any.
func onAddress(p *schema.Policy, a netip.Addr) bool {
	return !a.IsValid() || p.AddressSet.Contains(a)
}
