//go:build linux

package lab

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// A real engine, real containers and real clients agree with SPEC.md section 2,
// for the examples and for random policies, on both back ends: every corner
// client at every published port and some others, in both families; answers,
// also large ones that need an ICMP error; and what containers do themselves.
func TestConformance(t *testing.T) {
	t.Parallel()
	NeedDocker(t)
	for i, e := range Engines(t) {
		for j, b := range Backends {
			t.Run(e.Name+"/"+string(b), func(t *testing.T) {
				if !*long && (i == 1 || i > 0 && (i+j)%2 == 0) {
					t.Skip("a short run takes the oldest engine, and one back end of the newest")
				}
				t.Parallel()
				conforms(t, e, b, i == 0)
			})
		}
	}
}

// conforms runs one engine; all is for the engine with which a short run tries several
// policies.
func conforms(t *testing.T, e Engine, b Backend, all bool) {
	on := e.Name + ", " + string(b)
	w := newWorldOf(t, e, b, "--experimental", "--ip6tables")
	w.containers()
	w.measureBaseline()
	w.top.Far.Serve("tcp", 8080)
	w.top.Far.Serve("udp", 5353)
	examples := examplePolicies(t)
	for i, name := range slices.Sorted(maps.Keys(examples)) {
		if part := 3; !*long {
			if all {
				part = len(Backends) // the first engine's two back ends try them all
			}
			if i%part != len(e.Name+string(b))%part {
				continue
			}
		}
		doc := examples[name]
		w.apply(doc, emit.Shell)
		w.probeAll("examples, "+on, "example "+name, doc)
		w.containersConnect("containers' own connections, " + on)
	}
	policies, end := len(chainFormats), time.Now().Add(time.Hour)
	switch {
	case *long:
		policies, end = 1<<30, time.Now().Add(9*time.Minute)
	case !all:
		policies = 1
	}
	r := rand.New(rand.NewPCG(11, uint64(len(b))))
	for n := 0; n < policies && time.Now().Before(end); n++ {
		doc, text := randomPolicy(r)
		format := chainFormats[n%len(chainFormats)]
		if format == emit.Sysconfig {
			w.reboot(doc)
		} else {
			w.apply(doc, format)
		}
		w.probeAll(fmt.Sprintf("random policies, %s, %s", format.Name, on), text, doc)
		w.containersConnect("containers' own connections, " + on)
	}
}

// reboot loads a policy as a host does that comes up: the boot file, which
// replaces the whole filter table, and then the engine with its containers.
//
// Engine 20.10 with its experimental ip6tables knows no DOCKER-USER for IPv6,
// and puts its own rules before the jump to it: there the script has to be
// loaded once more, and verify has to notice.
func (w *world) reboot(doc *schema.Document) {
	w.t.Helper()
	w.docker.StopDaemon()
	load(w.t, w.backend, w.top.Host, "sysconfig", w.compile(doc, emit.Sysconfig))
	w.docker.StartDaemon()
	w.docker.WaitRunning("plain", "db", "shop", "six", "second")
	if ok, why := w.means(doc, packet.IPv4); !ok {
		w.t.Errorf("after the boot the kernel does not hold the policy: %s", why)
	}
	if ok, why := w.means(doc, packet.IPv6); !ok {
		if strings.HasPrefix(w.docker.engine.Name, "20.") {
			w.apply(doc, emit.Shell)
		} else {
			w.t.Errorf("after the boot the kernel does not hold the policy: %s", why)
		}
	}
	// The containers may have other addresses now, and answer as before.
	before := w.targets
	w.targets = nil
	w.listTargets()
	for i, x := range w.targets {
		x.baseline = before[i].baseline
	}
}

// containersConnect: what containers start themselves goes on, to a stranger's
// port of a published number, to another network's published port over the
// host's address, and to themselves that way (hairpin).
func (w *world) containersConnect(scenario string) {
	w.t.Helper()
	for _, x := range []struct{ from, network, address string }{
		{"plain", "tcp", FarV4 + ":8080"},
		{"plain", "udp", FarV4 + ":5353"},
		{"shop", "tcp", FarV4 + ":8080"},
		{"shop", "tcp", HostAddress(0, packet.IPv4) + ":8080"},
		{"plain", "tcp", HostAddress(0, packet.IPv4) + ":8080"},
	} {
		got, err := w.ask(x.from, "dial "+x.network+" "+x.address)
		for try := 1; try < 4 && got != "open"; try++ { // a busy machine may lose one
			time.Sleep(time.Duration(try) * 500 * time.Millisecond)
			got, err = w.ask(x.from, "dial "+x.network+" "+x.address)
		}
		wrong := 0
		if err != nil || got != "open" {
			wrong = 1
			w.t.Errorf("container %s to %s/%s: %s, %v", x.from, x.address, x.network, got, err)
		}
		results.add(scenario, 1, wrong)
	}
}

// ask speaks with a container from the host, whose own packets no policy names.
func (w *world) ask(container, question string) (string, error) {
	port := map[string]string{"plain": "80", "shop": "8000"}[container]
	address := net.JoinHostPort(w.docker.Address(container, packet.IPv4), port)
	answer := ""
	err := w.top.Host.Do(func() error {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		if err := conn.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(conn, question); err != nil {
			return err
		}
		buf := make([]byte, 64)
		n, err := conn.Read(buf)
		answer = strings.TrimSpace(string(buf[:n]))
		return err
	})
	return answer, err
}

const openWorld = `
host {
  external    = ["eth0", "eth1"]
  unlisted    = "deny"
  established = "check"
}
policy "all" {
  ports   = [8080, "8000-8003", 8443, 9100, 5432, "1-65535/udp"]
  default = "allow"
}
`

// A change of the policy cuts connections under "check" and keeps them under
// "keep" and "accept"; new ones are denied under each. A large answer arrives, which an ICMP
// error has to make possible.
func TestEstablishedConnections(t *testing.T) {
	t.Parallel()
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			w := newWorld(t, b)
			w.containers()
			w.measureBaseline()
			scenario := "established connections, " + string(b)
			for i, established := range []string{"check", "keep", "accept"} {
				if !*long && b == Legacy && i > 0 {
					continue // a short run takes one of them on the second back end
				}
				open := strings.Replace(openWorld, "check", established, 1)
				closed := strings.Replace(open, `"allow"`, `"deny"`, 1)
				w.apply(parsePolicy(open), emit.Restore)
				for _, x := range w.targets[:2] {
					p := Probe{From: netip.MustParseAddr("192.0.2.9"), To: x.to, Port: x.port, Network: "tcp", Large: true}
					w.want(scenario, "a large answer", w.top.Far.Expect(p, Open), Open)
				}
				conns := map[string]net.Conn{}
				for _, x := range []*target{w.find("published"), w.find("IPv6 to a network without it")} {
					conns[x.name] = w.dial(x)
					w.want(scenario, x.name+", before", talk(conns[x.name], false), Open)
				}
				w.apply(parsePolicy(closed), emit.Shell)
				after := map[string]Outcome{"check": Silent, "keep": Open, "accept": Open}[established]
				for name, conn := range conns {
					w.want(scenario, name+", "+established+", after the policy was closed", talk(conn, false), after)
					_ = conn.Close()
					x := w.find(name)
					w.want(scenario, name+", a new connection", w.top.Far.Probe(w.probe(x)), Silent)
				}
			}
		})
	}
}

func (w *world) find(name string) *target {
	for _, x := range w.targets {
		if x.name == name {
			return x
		}
	}
	w.t.Fatalf("no target %q", name)
	return nil
}

// probe is a client's try at a target, from a source that policies do not name.
func (w *world) probe(x *target) Probe {
	from := "192.0.2.10"
	if x.to.Is6() {
		from = "2001:db8:77::8"
	}
	return Probe{From: netip.MustParseAddr(from), To: x.to, Port: x.port, Network: x.network}
}

func (w *world) dial(x *target) net.Conn {
	w.t.Helper()
	var conn net.Conn
	p := w.probe(x)
	err := w.top.Far.Do(func() error {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: p.From.AsSlice()}, Timeout: time.Second}
		var err error
		conn, err = d.Dial("tcp", netip.AddrPortFrom(p.To, uint16(p.Port)).String())
		return err
	})
	if err != nil {
		w.t.Fatalf("%s: %v", p, err)
	}
	return conn
}

// want counts one probe, and reports one that went otherwise.
func (w *world) want(scenario, what string, got, want Outcome) {
	w.t.Helper()
	wrong := 0
	if got != want {
		wrong = 1
		w.t.Errorf("%s: %s is %s, want %s", scenario, what, got, want)
	}
	results.add(scenario, 1, wrong)
}

// Without docker-proxy, hairpin included, the same holds.
func TestWithoutUserlandProxy(t *testing.T) {
	t.Parallel()
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			w := newWorld(t, b, "--userland-proxy=false")
			w.containers()
			w.measureBaseline()
			r := rand.New(rand.NewPCG(5, 6))
			policies := 1
			if *long {
				policies = 2
			}
			for range policies {
				doc, text := randomPolicy(r)
				doc.Host.UserlandProxy = false
				w.apply(doc, emit.Shell)
				w.probeAll("no docker-proxy, "+string(b), text, doc)
			}
		})
	}
}
