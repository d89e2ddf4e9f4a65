//go:build linux

package lab

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/packet"
)

// seawallOn prepares the command on the host, with the back end's iptables.
func (w *world) seawallOn(args ...string) *exec.Cmd {
	w.t.Helper()
	c := w.top.Host.Command(mustSeawall(w.t), args...)
	c.Env = append(os.Environ(), "IPTABLES="+w.backend.Command(packet.IPv4, ""), "IP6TABLES="+w.backend.Command(packet.IPv6, ""), "NO_COLOR=1")
	return c
}

// policyFile writes the policy of lifePolicy(n).
func policyFile(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), fmt.Sprintf("policy%d.hcl", n))
	if err := os.WriteFile(path, []byte(lifeText(n)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// apply is kept when it is confirmed, and taken back when it is not: on silence,
// on a no, and when seawall is killed in between, for the policy that cuts the
// operator off.
func TestApply(t *testing.T) {
	t.Parallel()
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			w, _, state := faultWorld(t, b)
			scenario := "apply, " + string(b)
			run := t.TempDir()
			base := []string{"apply", policyFile(t, 2), "--run-dir", run}
			before := state()
			expect := func(what string, want []string, code int, says string, stdin string) {
				t.Helper()
				c := w.seawallOn(append(append([]string{}, base...), want...)...)
				c.Stdin = strings.NewReader(stdin)
				out, _ := c.CombinedOutput() // the exit code is looked at
				wrong := 0
				if c.ProcessState.ExitCode() != code || !strings.Contains(string(out), says) {
					wrong = 1
					t.Errorf("%s: exit %d\n%s", what, c.ProcessState.ExitCode(), out)
				}
				results.add(scenario, 1, wrong)
			}
			unchanged := func(what string) {
				t.Helper()
				if after := state(); after != before {
					t.Errorf("%s: the previous rules are not there:\n%s\nthen:\n%s", what, before, after)
				}
			}
			expect("a dry run", []string{"--dry-run"}, 0, "closed", "")
			unchanged("a dry run")
			expect("nobody to answer", nil, 2, "Nothing was changed.", "")
			unchanged("nobody to answer")
			expect("a no to the question", nil, 2, "Nothing was changed.", "no\n")
			unchanged("a no to the question")
			expect("silence", []string{"--yes", "--confirm-within", "1s"}, 2, "Not confirmed: the previous rules are back.", "")
			unchanged("silence")
			expect("a no to the confirmation", []string{"--confirm-within", "30s"}, 2, "Not confirmed: the previous rules are back.", "yes\nno\n")
			unchanged("a no to the confirmation")
			w.killedApply(base)
			unchanged("killed")
			expect("a yes", []string{"--confirm-within", "30s"}, 0, "Kept.", "yes\nyes\n")
			w.holds("after a yes", lifePolicy(2))
			expect("the same again", []string{"--yes", "--confirm-within", "30s"}, 0, "The kernel holds this policy already.", "")
			expect("the same in another layout", []string{"--yes", "--confirm-within", "0", "--layout", "indexed"}, 0, "Loaded, and proved in the kernel.", "")
			w.holds("in another layout", lifePolicy(2))
			expect("and again", []string{"--yes", "--confirm-within", "0", "--layout", "indexed"}, 0, "The kernel holds this policy already.", "")
			w.top.Host.Must(b.Command(packet.IPv4, ""), "-I", "DOCKER-USER", "-s", "10.9.9.9", "-j", "DROP")
			expect("a rule of somebody else", []string{"--yes"}, 1, "  IPv4: -A DOCKER-USER -s 10.9.9.9/32 -j DROP\n", "")
			expect("a rule of somebody else, and a no", nil, 2, "Nothing was changed.", "no\n")
			expect("a rule of somebody else, and a yes", []string{"--confirm-within", "0"}, 0, "Loaded, and proved in the kernel.", "yes\n")
			boot := t.TempDir()
			expect("the boot files", []string{"--persist", boot}, 0, "wrote "+filepath.Join(boot, "ip6tables"), "")
			if left, _ := filepath.Glob(filepath.Join(run, "apply-*")); len(left) > 1 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// killWhenLoaded starts an apply, and kills seawall as soon as it says that the
// policy is loaded.
func (w *world) killWhenLoaded(args ...string) {
	w.t.Helper()
	c := w.seawallOn(args...)
	out, err := c.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	in, err := c.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	loaded := bufio.NewScanner(out)
	for loaded.Scan() && !strings.HasPrefix(loaded.Text(), "Loaded") {
	}
	_ = c.Process.Kill() // nsenter has become seawall
	_ = c.Wait()         // it was killed
}

// killedApply starts an apply and kills seawall when the policy is loaded. The
// process that waits is no child of the test: it is waited for by what it does.
func (w *world) killedApply(base []string) {
	w.t.Helper()
	w.killWhenLoaded(append(append([]string{}, base...), "--yes", "--confirm-within", "2s")...)
	if ok, why := w.means(lifePolicy(2), packet.IPv4); !ok {
		w.t.Errorf("right after the kill the new policy is not there: %s", why)
	}
	for range 60 {
		time.Sleep(100 * time.Millisecond)
		if ok, _ := w.means(lifePolicy(1), packet.IPv4); ok {
			if ok, _ := w.means(lifePolicy(1), packet.IPv6); ok {
				time.Sleep(200 * time.Millisecond) // the script tidies up
				return
			}
		}
	}
	w.t.Error("killed: the previous rules did not come back")
}

// The policy is applied again and again while packets flow, in turn with another:
// nobody who may is cut for a moment, nobody who may not gets in.
func TestApplyUnderTraffic(t *testing.T) {
	t.Parallel()
	times := 10
	if *long {
		times = 200
	}
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			scenario := "apply under traffic, " + string(b)
			w := newWorld(t, b)
			w.docker.Run("plain", []string{"-p", "8080:80", "-p", "5353:53/udp"}, "80/tcp", "53/udp")
			w.apply(lifePolicy(0), emit.Shell)
			policies := []string{policyFile(t, 1), policyFile(t, 2)}
			good, bad := w.datagrams(friend), w.datagrams(stranger)
			in, out6 := w.connections(friend, packet.IPv4), w.connections(stranger6, packet.IPv6)
			for n := range times {
				c := w.seawallOn("apply", policies[n%2], "--yes", "--confirm-within", "0", "--run-dir", t.TempDir())
				if said, err := c.CombinedOutput(); err != nil || !bytes.Contains(said, []byte("Loaded, and proved in the kernel.")) {
					t.Fatalf("%v: %s", err, said)
				}
			}
			for _, x := range []struct {
				what  string
				s     *stream
				wrong func() int64
			}{
				{"datagrams of the friend lost", good, good.lost.Load}, {"datagrams of the stranger answered", bad, bad.open.Load},
				{"connections of the friend lost", in, in.lost.Load}, {"connections of the stranger over IPv6 open", out6, out6.open.Load},
			} {
				x.s.end()
				results.add(scenario, int(x.s.sent.Load()), int(x.wrong()))
				if n := x.wrong(); n > 0 {
					t.Errorf("%d of %d %s", n, x.s.sent.Load(), x.what)
				}
			}
		})
	}
}

// From nothing to a closed host in four commands: init on the running engine, the
// decision, compile, apply, and init --check. Then watch tells when somebody
// flushes the rules.
func TestFromNothingToClosed(t *testing.T) {
	t.Parallel()
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			scenario := "init to closed, " + string(b)
			w := newWorld(t, b)
			w.docker.Run("plain", []string{"-p", "8080:80", "-p", "5353:53/udp"}, "80/tcp", "53/udp")
			w.docker.WaitRunning("plain")
			socket := "unix://" + w.docker.socket()
			must := func(args ...string) string {
				t.Helper()
				out, err := w.seawallOn(args...).Output()
				if err != nil {
					t.Fatalf("seawall %s: %v\n%s", strings.Join(args, " "), err, out)
				}
				return string(out)
			}
			first := must("init", "--docker", socket)
			if !strings.Contains(first, "policy \"plain\"") || !strings.Contains(first, "\"8080/tcp\", \"5353/udp\"") || !strings.Contains(first, "external = [\"eth0\"]") {
				t.Fatalf("init wrote:\n%s", first)
			}
			w.both2(scenario, "before", Open)
			// The decision: only the friends.
			policy := filepath.Join(t.TempDir(), "policy.hcl")
			decided := strings.Replace(first, "default = \"allow\"", fmt.Sprintf("allow { sources = [%q, %q] }", friend, friend6), 1)
			if err := os.WriteFile(policy, []byte(decided), 0o600); err != nil {
				t.Fatal(err)
			}
			w.cutOff(scenario, policy)
			must("compile", policy, "--out-dir", t.TempDir())
			must("apply", policy, "--yes", "--confirm-within", "0", "--run-dir", t.TempDir())
			must("init", "--docker", socket, "--check", policy)
			w.both(scenario, "after")
			if said := must("exposure", "--in", "eth0"); !strings.Contains(said, "  eth0, IPv4, over DNAT: "+friend+"\n") || !strings.Contains(said, "  eth0, IPv6, over docker-proxy: "+friend6+"\n") {
				t.Errorf("exposure of the closed host:\n%s", said)
			}
			if said := must("doctor", "--in", "eth0"); !strings.Contains(said, "IPv4: Docker 20.10 to 27, nothing wrong.") && os.Getenv("DOCKERD") == "" {
				t.Errorf("doctor on the closed host:\n%s", said)
			}
			must("watch", policy, "--once", "--docker", socket)
			w.top.Host.Must(b.Command(packet.IPv4, ""), "-F", "DOCKER-USER")
			c := w.seawallOn("watch", policy, "--once", "--json", "--docker", socket)
			said, _ := c.Output() // the exit code is looked at
			if c.ProcessState.ExitCode() != 2 || !bytes.Contains(said, []byte(`"event":"drift","family":4`)) {
				t.Errorf("watch after a flush: exit %d\n%s", c.ProcessState.ExitCode(), said)
			}
			must("apply", policy, "--yes", "--confirm-within", "0", "--run-dir", t.TempDir())
			w.watched(policy, socket)
		})
	}
}

// watched: a watch that would look once an hour looks when Docker changes
// something, and tells that the rules are gone.
func (w *world) watched(policy, socket string) {
	w.t.Helper()
	c := w.seawallOn("watch", policy, "--interval", "1h", "--docker", socket)
	out, err := c.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	defer time.AfterFunc(20*time.Second, func() { _ = c.Process.Kill() }).Stop()
	said := ""
	flushed := false
	for s := bufio.NewScanner(out); s.Scan(); {
		said += s.Text() + "\n"
		if strings.HasSuffix(s.Text(), " holds") && !flushed {
			flushed = true
			w.top.Host.Must(w.backend.Command(packet.IPv4, ""), "-F", "DOCKER-USER")
			w.docker.Must("network", "create", "another")
		}
	}
	_ = c.Wait() // the exit code is looked at
	if c.ProcessState.ExitCode() != 2 || !strings.Contains(said, " drift: IPv4 ") {
		w.t.Errorf("watch: exit %d\n%s", c.ProcessState.ExitCode(), said)
	}
}

// cutOff applies a policy that cuts off a stranger's standing connection, as an
// operator's may be, kills seawall, and waits for the connection to live again.
func (w *world) cutOff(scenario, policy string) {
	w.t.Helper()
	operator := w.dial(&target{to: netip.MustParseAddr(HostAddress(0, packet.IPv4)), port: 8080, network: "tcp"})
	defer func() { _ = operator.Close() }()
	w.want(scenario, "the operator's connection, before", talk(operator, false), Open)
	w.killWhenLoaded("apply", policy, "--yes", "--confirm-within", "3s", "--run-dir", w.t.TempDir())
	start := time.Now()
	w.want(scenario, "the operator's connection, cut off", talk(operator, false), Silent)
	for time.Since(start) < 15*time.Second && talk(operator, false) != Open {
	}
	w.want(scenario, "the operator's connection, after the rollback", talk(operator, false), Open)
	w.t.Logf("cut off for %.1f s of a confirmation within 3 s", time.Since(start).Seconds())
}

// both2 probes the stranger at the plain container, in both families.
func (w *world) both2(scenario, when string, want Outcome) {
	w.t.Helper()
	for _, x := range []*target{{to: netip.MustParseAddr(HostAddress(0, packet.IPv4)), port: 8080, network: "tcp"}, {to: netip.MustParseAddr(HostAddress(0, packet.IPv6)), port: 8080, network: "tcp"}} {
		w.want(scenario, when+": the stranger", w.top.Far.Expect(w.probe(x), want), want)
	}
}
