//go:build linux

package lab

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seawall/seawall/compiler/packet"
)

// watch is a seawall watch at work on the host of a topology. IPTABLES names a wrapper
// that notes each look, and that fails while somebody holds the lock.
type watch struct {
	*exec.Cmd
	t     *testing.T
	dir   string
	ended chan struct{}

	mutex sync.Mutex
	lines []string
}

// aLook is the iptables-save of a watch. iptables-save itself takes no lock, but its
// wrappers and other programs do.
const aLook = `#!/bin/sh
echo look >> %[1]s/looks
flock -n %[1]s/lock true || {
	echo "Another app is currently holding the xtables lock. Perhaps you want to use the -w option?" >&2
	exit 4
}
exec %[2]s "$@"
`

// startWatch starts a watch of a policy.
func startWatch(t *testing.T, top *Topology, b Backend, args ...string) *watch {
	t.Helper()
	w := &watch{t: t, dir: t.TempDir(), ended: make(chan struct{})}
	script := fmt.Sprintf(aLook, w.dir, b.Command(packet.IPv4, "-save"))
	if err := os.WriteFile(filepath.Join(w.dir, "wrapper-save"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	w.Cmd = top.Host.Command(mustSeawall(t), append([]string{"watch"}, args...)...)
	w.Env = append(os.Environ(), "IPTABLES="+filepath.Join(w.dir, "wrapper"), "IP6TABLES="+b.Command(packet.IPv6, ""),
		"XTABLES_LOCKFILE="+filepath.Join(w.dir, "command-lock"))
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.Stdout, w.Stderr = out, out
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	_ = out.Close() // the watch has its own
	go w.read(r)
	t.Cleanup(func() {
		_ = w.Process.Kill()
		<-w.ended
	})
	return w
}

// read keeps what the watch logs, without the times.
func (w *watch) read(r io.ReadCloser) {
	defer close(w.ended)
	for s := bufio.NewScanner(r); s.Scan(); {
		_, line, _ := strings.Cut(s.Text(), " ")
		w.mutex.Lock()
		w.lines = append(w.lines, line)
		w.mutex.Unlock()
	}
	_ = r.Close()
	_ = w.Wait() // the exit code is looked at
}

// log is what the watch has logged from the n-th line on, and how many lines there are.
func (w *watch) log(from int) (lines []string, n int) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.lines[from:], len(w.lines)
}

// until waits for a line that starts so, from the n-th line on, and returns the lines
// up to it and the number of the next.
func (w *watch) until(from int, start string) (lines []string, next int) {
	w.t.Helper()
	for range 400 {
		lines, _ := w.log(from)
		for i, line := range lines {
			if strings.HasPrefix(line, start) {
				return lines[:i+1], from + i + 1
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	lines, _ = w.log(0)
	w.t.Fatalf("no line %q from line %d on:\n%s", start, from, strings.Join(lines, "\n"))
	return nil, 0
}

// looks is how often the watch has looked.
func (w *watch) looks() int {
	text, err := os.ReadFile(filepath.Join(w.dir, "looks"))
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	return strings.Count(string(text), "\n")
}

// calm waits until the watch has not looked for longer than it waits for quiet, and
// returns how often it has looked.
func (w *watch) calm() int {
	before := -1
	for n := w.looks(); n != before; n = w.looks() {
		before = n
		time.Sleep(time.Second)
	}
	return before
}

// stops ends the watch.
func (w *watch) stops() {
	w.t.Helper()
	if err := w.Process.Signal(syscall.SIGTERM); err != nil {
		w.t.Fatal(err)
	}
	<-w.ended
	if code := w.ProcessState.ExitCode(); code != 0 {
		lines, _ := w.log(0)
		w.t.Errorf("exit %d\n%s", code, strings.Join(lines, "\n"))
	}
}

// holding holds a lock until it is released: that of the looks, "lock", or that of the
// command of --exec, "command-lock".
func (w *watch) holding(lock string) (release func()) {
	w.t.Helper()
	c := exec.Command("flock", filepath.Join(w.dir, lock), "sh", "-c", "echo held; read x")
	in, err1 := c.StdinPipe()
	out, err2 := c.StdoutPipe()
	if err1 != nil || err2 != nil || c.Start() != nil {
		w.t.Fatal("cannot hold the lock")
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		w.t.Fatal(err)
	}
	release = sync.OnceFunc(func() {
		_ = in.Close()
		_ = c.Wait() // read fails at the end of its input
	})
	w.t.Cleanup(release)
	return release
}

// watch on a host with a real engine: it looks when containers and networks come and go,
// not at health checks, and outlives the daemon.
func TestWatchAndDocker(t *testing.T) {
	t.Parallel()
	w := newWorld(t, NFT)
	socket := "unix://" + w.docker.socket()
	policy := policyFile(t, 1)
	if out, err := w.seawallOn("apply", policy, "--yes", "--force", "--confirm-within", "0", "--run-dir", t.TempDir()).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := startWatch(t, w.top, NFT, policy, "--interval", "1h", "--docker", socket,
		"--exec", w.backend.Command(packet.IPv4, "")+" -D DOCKER-USER 1")
	c.until(0, "connected")
	c.until(0, "holds")

	// Health checks are events, but no reason to look.
	w.docker.Run("sick", []string{"--health-cmd", "none", "--health-interval", "300ms", "-p", "8080:80"}, "80/tcp")
	looks := c.calm()
	since := fmt.Sprintf("%d", time.Now().Unix())
	time.Sleep(2 * time.Second)
	seen := w.docker.Must("events", "--since", since, "--until", fmt.Sprintf("%d", time.Now().Unix()))
	if n := strings.Count(seen, "exec_start"); n < 2 || c.looks() != looks {
		t.Errorf("%d looks during %d health checks", c.looks()-looks, n)
	}

	// A network is, and so is the end of a container: each at most a look.
	for _, change := range [][]string{{"network", "create", "another"}, {"kill", "sick"}} {
		before := c.calm()
		w.docker.Must(change...)
		for range 100 {
			if c.looks() > before {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if n := c.calm() - before; n < 1 || n > 2 {
			t.Errorf("%d looks after docker %s", n, strings.Join(change, " "))
		}
	}

	// The daemon restarts.
	_, line := c.log(0)
	w.docker.StopDaemon()
	_, line = c.until(line, "disconnected: the Docker daemon closed the connection; checking every 1h0m0s until Docker answers")
	before := c.looks()
	w.docker.StartDaemon()
	_, line = c.until(line, "connected")
	if n := c.calm(); n == before {
		t.Error("no look after the daemon came back")
	}

	// Somebody opens everything, and the command closes it, once.
	w.top.Host.Must(w.backend.Command(packet.IPv4, ""), "-I", "DOCKER-USER", "-j", "ACCEPT")
	w.docker.Must("network", "create", "third")
	lines, _ := c.until(line, "holds")
	said := strings.Join(lines, "\n")
	if n := strings.Count(said, "ran: "); n != 1 || !strings.Contains(said, "drift: IPv4 ") || strings.Contains(said, "persists") || strings.Contains(said, "failed") {
		t.Errorf("opened and closed:\n%s", said)
	}
	c.stops()
}

// watch while somebody holds the lock, and while drift persists.
func TestWatchBusyLock(t *testing.T) {
	t.Parallel()
	Need(t, "flock")
	top := NewTopology(t, "eth0", "eth1")
	policy, dir := policyFile(t, 2), t.TempDir()
	if out, err := exec.Command(mustSeawall(t), "compile", policy, "--out-dir", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := Legacy.Load(top.Host, "sysconfig", dir); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	iptables := Legacy.Command(packet.IPv4, "")
	c := startWatch(t, top, Legacy, policy, "--interval", "1s", "--docker", "unix:///nowhere",
		"--exec", iptables+" -w 1 -D DOCKER-USER 1")
	_, line := c.until(0, "holds")

	// Said once, and no more than once.
	release := c.holding("lock")
	_, line = c.until(line, "failed: cannot compare the rules, will retry: ")
	before := c.looks()
	for c.looks() < before+2 {
		time.Sleep(50 * time.Millisecond)
	}
	release()
	lines, line := c.until(line, "holds")
	if len(lines) != 1 {
		t.Errorf("between the busy lock and the end of it:\n%s", strings.Join(lines, "\n"))
	}

	// The command of --exec meets it: it fails, and runs again.
	release = c.holding("command-lock")
	top.Host.Must(iptables, "-I", "DOCKER-USER", "-j", "ACCEPT") // with another lock
	c.until(line, "persists: same drift as before; will run "+iptables)
	release()
	lines, _ = c.until(line, "holds")
	said := strings.Join(lines, "\n")
	if !strings.HasPrefix(said, "drift: IPv4 ") || !strings.Contains(said, "failed: "+iptables+" -w 1 -D DOCKER-USER 1: exit status 4: ") ||
		!strings.Contains(said, "Another app is currently holding the xtables lock.") || strings.Count(said, "persists: ") != 1 || strings.Count(said, "ran: ") != 1 {
		t.Errorf("opened while the lock was held:\n%s", said)
	}
	all, _ := c.log(0)
	if n := strings.Count(strings.Join(all, "\n"), "disconnected: "); n != 1 {
		t.Errorf("said %d times that there is no Docker:\n%s", n, strings.Join(all, "\n"))
	}
	c.stops()
}
