//go:build linux

package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
	"golang.org/x/sys/unix"
)

// Life on a host. One client is denied by every policy here, one is allowed by
// every one; what else the policies say differs from one to the next.
const (
	friend, stranger   = "10.8.0.1", "192.0.2.10"
	friend6, stranger6 = "2001:db8:40::1", "2001:db8:77::8"
)

// lifePolicy is a policy with some other rules, so that two of them differ.
func lifePolicy(other int) *schema.Document {
	doc := parsePolicy(lifeText(other))
	if doc == nil {
		panic("the life policy is not valid")
	}
	return doc
}

func lifeText(other int) string {
	return fmt.Sprintf(`
host {
  external = ["eth0", "eth1"]
  unlisted = "deny"
}
policy "all" {
  ports = [8080, "5353/udp", "8000-8003"]
  allow { sources = ["10.8.0.1", "2001:db8:40::1", "172.20.%d.0/24"] }
}
policy "other" { ports = [%d] }
`, other%250, 20000+other)
}

// means reports whether the kernel holds a policy now, exactly.
func (w *world) means(doc *schema.Document, f packet.Family) (bool, string) {
	w.t.Helper()
	result, err := prove.Compare(context.Background(), doc, w.backend.Table(w.top.Host, f), f, prove.Limits{})
	if err != nil {
		w.t.Fatal(err)
	}
	if result.Equal() {
		return true, ""
	}
	d := result.Differences[0]
	return false, fmt.Sprintf("%s: the policy says %s, the kernel %s", d, d.Policy, d.File)
}

// holds demands that the kernel holds a policy, in both families.
func (w *world) holds(when string, doc *schema.Document) {
	w.t.Helper()
	for _, f := range families {
		if ok, why := w.means(doc, f); !ok {
			w.t.Errorf("%s: the kernel does not hold the policy: %s", when, why)
		}
	}
}

// both probes the friend and the stranger at the plain container, both
// families.
func (w *world) both(scenario, when string) {
	w.t.Helper()
	four, six := netip.MustParseAddr(HostAddress(0, packet.IPv4)), netip.MustParseAddr(HostAddress(0, packet.IPv6))
	for _, x := range []struct {
		from string
		to   netip.Addr
		want Outcome
	}{{friend, four, Open}, {stranger, four, Silent}, {friend6, six, Open}, {stranger6, six, Silent}} {
		p := Probe{From: netip.MustParseAddr(x.from), To: x.to, Port: 8080, Network: "tcp"}
		w.want(scenario, fmt.Sprintf("%s: %s", when, p), w.top.Far.Expect(p, x.want), x.want)
	}
}

// stream sends probes of one client without a pause until it is stopped.
type stream struct {
	sent, open, lost atomic.Int64
	stop             chan struct{}
	done             sync.WaitGroup
}

// connections tries TCP connections from a client, several at a time.
func (w *world) connections(from string, f packet.Family) *stream {
	s := &stream{stop: make(chan struct{})}
	p := Probe{From: netip.MustParseAddr(from), To: netip.MustParseAddr(HostAddress(0, f)), Port: 8080, Network: "tcp"}
	for range 4 {
		s.done.Go(func() {
			for {
				select {
				case <-s.stop:
					return
				default:
				}
				s.sent.Add(1)
				if w.top.Far.Probe(p) == Open {
					s.open.Add(1)
				} else {
					s.lost.Add(1)
				}
			}
		})
	}
	return s
}

// datagrams sends UDP packets of one flow, each of which has to be answered (or
// must not be): no retransmission hides a lost one.
func (w *world) datagrams(from string) *stream {
	w.t.Helper()
	s := &stream{stop: make(chan struct{})}
	var conn net.Conn
	err := w.top.Far.Do(func() error {
		d := net.Dialer{LocalAddr: &net.UDPAddr{IP: netip.MustParseAddr(from).AsSlice()}}
		var err error
		conn, err = d.Dial("udp", HostAddress(0, packet.IPv4)+":5353")
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	s.done.Go(func() {
		defer func() { _ = conn.Close() }()
		buf := make([]byte, 64)
		for {
			select {
			case <-s.stop:
				return
			default:
			}
			s.sent.Add(1)
			if _, err := conn.Write([]byte("ping")); err != nil {
				s.lost.Add(1)
				continue
			}
			_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)) // a socket takes any deadline
			if _, err := conn.Read(buf); err != nil {
				s.lost.Add(1)
			} else {
				s.open.Add(1)
				time.Sleep(500 * time.Microsecond)
			}
		}
	})
	return s
}

func (s *stream) end() {
	close(s.stop)
	s.done.Wait()
}

// (a) The host boots: the boot file is loaded, then the engine and its
// containers come up. From the first packet on, nobody gets in who may not.
func TestLifeBoot(t *testing.T) {
	t.Parallel()
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			NeedDocker(t)
			scenario := "(a) boot, " + string(b)
			doc := lifePolicy(1)
			w := &world{t: t, backend: b, top: NewTopology(t, "eth0", "eth1")}
			w.top.Clients(friend, stranger, friend6, stranger6)
			load(t, b, w.top.Host, "sysconfig", w.compile(doc, emit.Sysconfig))
			four, six := w.connections(stranger, packet.IPv4), w.connections(stranger6, packet.IPv6)
			w.docker = StartDocker(t, w.top, b)
			w.docker.Run("plain", []string{"-p", "8080:80", "-p", "5353:53/udp"}, "80/tcp", "53/udp")
			w.docker.WaitRunning("plain")
			w.both(scenario, "after the boot")
			for _, s := range []*stream{four, six} {
				s.end()
				results.add(scenario, int(s.sent.Load()), int(s.open.Load()))
				if s.open.Load() > 0 {
					t.Errorf("a stranger got in %d times of %d while the host came up", s.open.Load(), s.sent.Load())
				}
			}
			w.holds("after the boot", doc)
		})
	}
}

// (b) The engine is restarted, networks and containers come and go: the policy
// holds after each step, and Docker works.
func TestLifeOfDocker(t *testing.T) {
	t.Parallel()
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			scenario := "(b) Docker at work, " + string(b)
			w := newWorld(t, b)
			d, doc := w.docker, lifePolicy(2)
			w.apply(doc, emit.Shell)
			d.Run("plain", []string{"-p", "8080:80"}, "80/tcp")
			w.both(scenario, "a container after the policy")
			d.Must("network", "create", "--subnet", "172.30.0.0/24", "shop")
			d.Run("shop", []string{"--network", "shop", "-p", "8000:80"}, "80/tcp")
			w.both(scenario, "a new network")
			for client, want := range map[string]Outcome{friend: Open, stranger: Silent} {
				p := Probe{From: netip.MustParseAddr(client), To: netip.MustParseAddr(HostAddress(0, 4)), Port: 8000, Network: "tcp"}
				w.want(scenario, "its container: "+p.String(), w.top.Far.Expect(p, want), want)
			}
			d.StopDaemon()
			w.holds("with the engine stopped", doc)
			d.StartDaemon()
			d.WaitRunning("plain", "shop")
			w.both(scenario, "after a restart of the engine")
			d.Must("rm", "-f", "shop")
			d.Must("network", "rm", "shop")
			w.both(scenario, "after a network is gone")
			w.holds("in the end", doc)
		})
	}
}

// (c) The policy is replaced again and again while packets flow, in each format
// that promises to be safe for it: no packet of the stranger is answered, and
// none of the friend is lost.
func TestLifeReload(t *testing.T) {
	t.Parallel()
	for _, b := range Backends {
		for _, format := range []*emit.Format{emit.Restore, emit.Shell} {
			t.Run(string(b)+"/"+format.Name, func(t *testing.T) {
				if !*long && b == Legacy && format == emit.Restore {
					t.Skip("a short run takes one format on the second back end")
				}
				scenario := fmt.Sprintf("(c) reload, %s, %s", format.Name, b)
				w := newWorld(t, b)
				w.docker.Run("plain", []string{"-p", "8080:80", "-p", "5353:53/udp"}, "80/tcp", "53/udp")
				w.apply(lifePolicy(0), format)
				dirs := []string{w.compile(lifePolicy(1), format), w.compile(lifePolicy(2), format)}
				good, bad := w.datagrams(friend), w.datagrams(stranger)
				in, out := w.connections(friend, packet.IPv4), w.connections(stranger, packet.IPv4)
				in6, out6 := w.connections(friend6, packet.IPv6), w.connections(stranger6, packet.IPv6)
				loads := 20
				if *long {
					loads = 40
				}
				for n := range loads {
					load(t, b, w.top.Host, format.Name, dirs[n%2])
				}
				for _, x := range []struct {
					what  string
					s     *stream
					wrong func(*stream) int64
				}{
					{"datagrams of the friend lost", good, func(s *stream) int64 { return s.lost.Load() }},
					{"datagrams of the stranger answered", bad, func(s *stream) int64 { return s.open.Load() }},
					{"connections of the friend lost", in, func(s *stream) int64 { return s.lost.Load() }},
					{"connections of the stranger open", out, func(s *stream) int64 { return s.open.Load() }},
					{"connections of the friend over IPv6 lost", in6, func(s *stream) int64 { return s.lost.Load() }},
					{"connections of the stranger over IPv6 open", out6, func(s *stream) int64 { return s.open.Load() }},
				} {
					x.s.end()
					results.add(scenario, int(x.s.sent.Load()), int(x.wrong(x.s)))
					if n := x.wrong(x.s); n > 0 {
						t.Errorf("%d of %d %s", n, x.s.sent.Load(), x.what)
					}
				}
				w.holds("after the last reload", lifePolicy(2))
			})
		}
	}
}

// (d) What loads or writes is killed at random moments: the old policy or the
// new one holds in each family, never none, and no file is half written.
func TestLifeKilled(t *testing.T) {
	t.Parallel()
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			if !*long && b == Legacy {
				t.Skip("a short run takes one back end")
			}
			t.Parallel()
			Need(t)
			scenario := "(d) kill -9, " + string(b)
			w := &world{t: t, backend: b, top: NewTopology(t, "eth0", "eth1")}
			docs := []*schema.Document{lifePolicy(1), lifePolicy(2)}
			w.apply(docs[0], emit.Shell)
			scripts := []string{w.compile(docs[0], emit.Shell), w.compile(docs[1], emit.Shell)}
			restores := []string{w.compile(docs[0], emit.Restore), w.compile(docs[1], emit.Restore)}
			tries := 30
			if *long {
				tries = 60
			}
			for n := range tries {
				c := w.loader(n, scripts[(n+1)%2], restores[(n+1)%2])
				killAfter(t, c, time.Duration(n%30)*4*time.Millisecond)
				for _, f := range families {
					old, _ := w.means(docs[0], f)
					fresh, why := w.means(docs[1], f)
					wrong := 0
					if !old && !fresh {
						wrong = 1
						t.Errorf("killed try %d left IPv%d with neither policy: %s", n, f, why)
					}
					results.add(scenario, 1, wrong)
				}
			}
			// And in the end all of it loads.
			load(t, b, w.top.Host, "shell", scripts[1])
			w.holds("after all", docs[1])
		})
	}
}

// loader is the script or an iptables-restore, in turn.
func (w *world) loader(n int, script, restore string) *exec.Cmd {
	if n%3 == 2 {
		c := w.top.Host.Command(w.backend.Command(packet.IPv4, "-restore"), "--noflush", filepath.Join(restore, "rules.v4"))
		return c
	}
	c := w.top.Host.Command("sh", filepath.Join(script, "seawall.sh"))
	c.Env = append(os.Environ(), "IPTABLES="+w.backend.Command(packet.IPv4, ""), "IP6TABLES="+w.backend.Command(packet.IPv6, ""))
	return c
}

// killAfter starts a program and kills it and its children after a while.
func killAfter(t *testing.T, c *exec.Cmd, after time.Duration) {
	t.Helper()
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // it may have ended by itself
	_ = c.Wait()
}

// seawall builds the command once.
var seawall = sync.OnceValues(func() (string, error) {
	dir := builtDir(os.Getpid())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "seawall")
	out, err := exec.Command("go", "build", "-o", path, "../../../cmd/seawall").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// builtDir is where a run of the lab has the command, until its end or, when it
// was killed, until the next run.
func builtDir(pid int) string { return filepath.Join(os.TempDir(), fmt.Sprintf("seawall-lab-%d", pid)) }

func removeStaleBuilds() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), "seawall-lab-*"))
	for _, dir := range dirs {
		pid := strings.TrimPrefix(filepath.Base(dir), "seawall-lab-")
		if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
			_ = os.RemoveAll(dir) // nobody uses it; what stays is tried again
		}
	}
}

func mustSeawall(t *testing.T) string {
	t.Helper()
	path, err := seawall()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// writePolicies writes two policies that compile to larger files.
func writePolicies(t *testing.T, dir string) (first, second string) {
	t.Helper()
	for i, name := range []string{"first.hcl", "second.hcl"} {
		var text strings.Builder
		text.WriteString("host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\n")
		for p := range 500 {
			fmt.Fprintf(&text, "policy \"p%d\" {\n  ports = [%d]\n  allow { sources = [\"10.%d.0.0/16\"] }\n}\n", p, 1000+p, i)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "first.hcl"), filepath.Join(dir, "second.hcl")
}

// (d) seawall compile is killed at the moment at which it touches a file: each
// file is the old one or the new one.
func TestLifeCompileKilled(t *testing.T) {
	t.Parallel()
	NeedRootless(t)
	bin, dir := mustSeawall(t), t.TempDir()
	policies := largePolicies(t, dir)
	out := filepath.Join(dir, "out")
	want := map[string][2]string{}
	for i, policy := range policies {
		if said, err := exec.Command(bin, "compile", policy, "--out-dir", out).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		for _, name := range []string{"iptables", "ip6tables"} {
			text, err := os.ReadFile(filepath.Join(out, name))
			if err != nil {
				t.Fatal(err)
			}
			pair := want[name]
			pair[i] = string(text)
			want[name] = pair
		}
	}
	for n := range 16 {
		killAtWrite(t, exec.Command(bin, "compile", policies[n%2], "--out-dir", out), out, n)
		for name, pair := range want {
			text, err := os.ReadFile(filepath.Join(out, name))
			wrong := 0
			if err != nil || string(text) != pair[0] && string(text) != pair[1] {
				wrong = 1
				t.Errorf("try %d left %s half written: %d bytes of %d, %v", n, name, len(text), len(pair[0]), err)
			}
			results.add("(d) compile killed", 1, wrong)
		}
	}
}

// largePolicies writes two policies that compile to files of several megabytes,
// which take a while to write.
func largePolicies(t *testing.T, dir string) [2]string {
	t.Helper()
	var paths [2]string
	for i := range paths {
		var list strings.Builder
		for n := range 30_000 {
			fmt.Fprintf(&list, "10.%d.%d.%d\n", n>>7, n&127, 2*i+1)
		}
		paths[i] = filepath.Join(dir, fmt.Sprintf("large%d.hcl", i))
		text := fmt.Sprintf("host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\nset \"s\" {\n  files = [\"%d.txt\"]\n}\npolicy \"p\" {\n  ports = [80]\n  allow { sources = [set.s] }\n}\n", i)
		for name, content := range map[string]string{fmt.Sprintf("%d.txt", i): list.String(), filepath.Base(paths[i]): text} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return paths
}

// killAtWrite runs a program and kills it when it makes or changes a file of a
// folder, the n-th time that it does so.
func killAtWrite(t *testing.T, c *exec.Cmd, folder string, n int) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if _, err := unix.InotifyAddWatch(fd, folder, unix.IN_CREATE|unix.IN_MODIFY|unix.IN_MOVED_TO); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = c.Wait() // killed, or done before
		close(ended)
	}()
	buf := make([]byte, 64)
	for seen := 0; seen <= n%4; {
		select {
		case <-ended:
			return
		default:
		}
		if ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 20); err == nil && ready > 0 {
			_, _ = unix.Read(fd, buf) // one event, or two: any moment will do
			seen++
		}
	}
	_ = c.Process.Kill() // it may have ended by itself
	<-ended
}

// NeedRootless is for tests that need the go command alone.
func NeedRootless(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("this test needs go")
	}
}
