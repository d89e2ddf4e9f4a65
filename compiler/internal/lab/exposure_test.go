//go:build linux

package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/exposure"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// What exposure says of a host is what clients see: every port that Docker opens, from
// both interfaces, in both families, from sources at the corners of what rules name; on
// every engine, without rules of Seawall and with them, and with rules of others in all
// tables.
func TestExposure(t *testing.T) {
	t.Parallel()
	NeedDocker(t)
	for i, e := range Engines(t) {
		for j, b := range Backends {
			t.Run(e.Name+"/"+string(b), func(t *testing.T) {
				if !*long && (i == 1 || (i+j)%2 == 0) {
					t.Skip("a short run takes one back end of the oldest and the newest engine")
				}
				t.Parallel()
				w := newWorldOf(t, e, b, "--experimental", "--ip6tables")
				w.severalNetworks()
				w.exposed("exposure, " + e.Name + ", " + string(b))
			})
		}
	}
}

// others are rules that other people and tools have, by table.
var others = []string{
	"",
	"-t raw -I PREROUTING -s 198.51.100.0/24 -p tcp -m tcp --dport 8080 -j DROP",
	"-t mangle -I PREROUTING -i eth1 -p tcp -m tcp --dport 8000 -j DROP",
	"-t nat -I PREROUTING -s 10.8.0.0/16 -p tcp -m tcp --dport 8080 -j ACCEPT",
	"-t nat -I PREROUTING -i eth0 -p tcp -m tcp --dport 9000 -j REDIRECT --to-ports 8443",
	"-I FORWARD -s 192.0.2.9/32 -j DROP",
}

// exposed compares, under no policy and under some.
func (w *world) exposed(scenario string) {
	w.t.Helper()
	policies := 1
	if *long {
		policies = 12
	}
	w.compareExposure(scenario, "no policy")
	r := rand.New(rand.NewPCG(29, uint64(len(scenario))))
	for n := range policies {
		doc, text := randomPolicy(r)
		w.apply(doc, emit.Shell)
		rule := others[(n+len(scenario))%len(others)]
		v4 := w.backend.Command(packet.IPv4, "") + " -w "
		if rule != "" {
			w.top.Host.Must("sh", "-c", v4+rule)
		}
		w.compareExposure(scenario, text+"\n"+rule)
		if rule != "" {
			w.top.Host.Must("sh", "-c", v4+strings.Replace(rule, "-I ", "-D ", 1))
		}
	}
}

// exposedTarget is something to probe: a port of the host, or of a container.
type exposedTarget struct {
	to      netip.Addr
	port    int
	network string
	in      string
}

// compareExposure probes every target from every source, and compares.
func (w *world) compareExposure(scenario, what string) {
	w.t.Helper()
	host := w.host()
	report, err := exposure.Of(context.Background(), exposure.Host{Families: host.Families, Interfaces: host.Interfaces, Known: w.known()}, prove.Limits{})
	if err != nil {
		w.t.Fatal(err)
	}
	var all sync.WaitGroup
	places := make(chan struct{}, 64)
	var mu sync.Mutex
	probes, wrong := 0, 0
	for _, x := range w.exposedTargets() {
		for _, client := range worldClients {
			from := netip.MustParseAddr(client)
			if from.Is4() != x.to.Is4() {
				continue
			}
			reaches, known := reachesBy(report, x, from)
			if !known {
				continue
			}
			places <- struct{}{}
			all.Go(func() {
				defer func() { <-places }()
				p := Probe{From: from, To: x.to, Port: x.port, Network: x.network}
				got := w.top.Far.Probe(p)
				for try := 1; try < 3 && reaches && got != Open; try++ {
					time.Sleep(time.Duration(try) * 500 * time.Millisecond)
					got = w.top.Far.Probe(p) // a busy machine may lose one
				}
				mu.Lock()
				defer mu.Unlock()
				probes++
				if (got == Open) != reaches {
					wrong++
					w.t.Errorf("%s: %s over %s is %s, exposure says it reaches it: %v\n%s\n%s", scenario, p, x.in, got, reaches, report.Text(), what)
				}
			})
		}
	}
	all.Wait()
	results.add(scenario, probes, wrong)
}

// exposedTargets are every published port on the host's addresses of both interfaces,
// and what containers have by their own addresses.
func (w *world) exposedTargets() []exposedTarget {
	var list []exposedTarget
	for via, in := range []string{"eth0", "eth1"} {
		for _, f := range families {
			self := netip.MustParseAddr(HostAddress(via, f))
			for _, port := range []int{8080, 8000, 8443, 9000, 9100, 9200, 5432} {
				list = append(list, exposedTarget{self, port, "tcp", in})
			}
			if f == packet.IPv4 { // docker-proxy answers UDP from another address
				list = append(list, exposedTarget{self, 5353, "udp", in})
			}
		}
	}
	for _, name := range []string{"routed", "open", "plain"} {
		if a, err := netip.ParseAddr(w.addressOf(name)); err == nil {
			list = append(list, exposedTarget{a, 80, "tcp", "eth0"})
		}
	}
	return list
}

// addressOf is a container's address, or "" where there is none.
func (w *world) addressOf(name string) string {
	out, err := w.docker.docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(out)
}

// reachesBy reports whether a report says that a source reaches a target. known is
// false where the report says that it cannot be told, and for a container's own address
// on a network for which it speaks of the host's addresses alone.
func reachesBy(report *exposure.Report, x exposedTarget, from netip.Addr) (reaches, known bool) {
	own := netip.MustParsePrefix("172.16.0.0/12").Contains(x.to)
	asked := false
	for _, p := range report.Ports {
		if p.Port != 0 && (x.port < p.Port || x.port > max(p.Port, p.Last)) || p.Port == 0 && special(report, p, x) || p.Protocol != "" && p.Protocol != x.network || !about(p, x.to, own) {
			continue
		}
		asked = true
		for _, way := range narrowest(p.Ways, x) {
			switch {
			case way.Undecided && listed(way.Sources, from) != way.AllBut:
				return false, false
			case !way.Undecided && listed(way.Sources, from) != way.AllBut:
				reaches = true
			}
		}
	}
	return reaches, asked || !own
}

// special reports whether a report speaks of a port by itself, beside all those of an
// unprotected network.
func special(report *exposure.Report, all *exposure.Port, x exposedTarget) bool {
	return slices.ContainsFunc(report.Ports, func(p *exposure.Port) bool {
		return p.Opened == all.Opened && p.Address == all.Address && p.Protocol == x.network && p.Port != 0 && p.Port <= x.port && x.port <= max(p.Port, p.Last)
	})
}

// about reports whether a port is one of an address.
func about(p *exposure.Port, to netip.Addr, own bool) bool {
	if p.Opened == docker.Routed || p.Opened == docker.Unprotected {
		s, err := netip.ParsePrefix(p.Address)
		return p.Address == to.String() || err == nil && s.Contains(to)
	}
	return !own && (p.Address == "" || p.Address == to.String())
}

// narrowest are the ways over an interface that are about an address: those that name
// it, or else those that name none.
func narrowest(ways []exposure.Way, x exposedTarget) []exposure.Way {
	of := func(named bool) []exposure.Way {
		return slices.DeleteFunc(slices.Clone(ways), func(w exposure.Way) bool {
			s, err := netip.ParsePrefix(w.Address)
			names := w.Address == x.to.String() || err == nil && s.Contains(x.to)
			return w.Interface != x.in || w.Family != familyOf(x.to) || named && !names || !named && w.Address != ""
		})
	}
	if list := of(true); len(list) > 0 {
		return list
	}
	return of(false)
}

func familyOf(a netip.Addr) packet.Family {
	if a.Is4() {
		return packet.IPv4
	}
	return packet.IPv6
}

// listed reports whether a source is in one of the CIDRs or addresses.
func listed(list []string, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(text string) bool {
		if s, err := netip.ParsePrefix(text); err == nil {
			return s.Contains(a)
		}
		one, err := netip.ParseAddr(text)
		return err == nil && one == a || err != nil && inRange(text, a)
	})
}

// inRange reports whether a source is in a range, A-B.
func inRange(text string, a netip.Addr) bool {
	first, last, found := strings.Cut(text, "-")
	lo, err := netip.ParseAddr(first)
	hi, err2 := netip.ParseAddr(last)
	if !found || err != nil || err2 != nil {
		panic(fmt.Sprintf("%q is not a source", text))
	}
	return lo.Compare(a) <= 0 && a.Compare(hi) <= 0
}
