//go:build linux

package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seawall/seawall/compiler/packet"
	"golang.org/x/sys/unix"
)

// apply is stopped at any moment, by kill -9, Ctrl-C, a hang-up or a terminal that
// closes, or confirmed, and half of the time another apply follows at once. Every run ends with
// the previous rules, which are those of others byte for byte, or with rules that an
// apply kept; nothing that was kept is undone, and nothing is left behind.
func TestApplyIsStopped(t *testing.T) {
	t.Parallel()
	runs := 6
	if *long {
		runs = 150
	}
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			s := newStops(t, b)
			for i := range runs {
				s.run(rand.New(rand.NewPCG(uint64(i), 12)))
				if t.Failed() {
					return
				}
			}
			t.Logf("%d runs: %v", runs, s.ends)
		})
	}
}

// stops is a host whose applies are stopped.
type stops struct {
	*world
	dir, second, third string                   // of --run-dir, and two policies
	before             map[packet.Family]string // what iptables-save prints of the previous rules
	state              func() string
	previous, p2, p3   string // the states
	ends               map[string]int
}

func newStops(t *testing.T, b Backend) *stops {
	w, _, state := faultWorld(t, b)
	s := &stops{world: w, dir: t.TempDir(), second: policyFile(t, 2), third: policyFile(t, 3), state: state, ends: map[string]int{}}
	n := 0
	w.top.Host.Must("ipset", "create", "one", "hash:net")
	w.top.Host.Must("ipset", "create", "two", "hash:ip", "timeout", "600")
	for _, rule := range foreignRules(t) {
		if _, err := w.top.Host.Run(nil, b.Command(packet.IPv4, ""), append([]string{"-w", "-I", "DOCKER-USER"}, strings.Fields(rule)...)...); err == nil {
			n++
		}
	}
	if n < 40 {
		t.Fatalf("only %d rules of others load", n)
	}
	s.before = map[packet.Family]string{packet.IPv4: b.Save(w.top.Host, packet.IPv4, "filter"), packet.IPv6: b.Save(w.top.Host, packet.IPv6, "filter")}
	s.previous = state()
	s.p2 = s.loaded(s.second)
	s.p3 = s.loaded(s.third)
	s.reset()
	return s
}

// foreignRules are rules that people and tools write: those of the reader's tests
// that load in the filter table.
func foreignRules(t *testing.T) []string {
	text, err := os.ReadFile("../../iptables/testdata/checks.txt")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(string(text)) {
		if rule, ok := strings.CutPrefix(strings.TrimSpace(line), "filter FORWARD "); ok && !strings.Contains(rule, `"`) && !strings.Contains(rule, "--weekdays 8") { // iptables-save prints no day
			list = append(list, rule)
		}
	}
	return append(list, "-m comment --comment it's-$(odd)-`x`\\\" -s 10.9.9.9 -j DROP", "-j LOG --log-prefix a'b\\c",
		"-m set --match-set one src -m set ! --match-set two src,dst -j DROP", "-m iprange --src-range 10.0.0.1-10.0.0.9 -m iprange ! --src-range 10.0.0.5-10.0.0.6 -j DROP",
		"-j SET --add-set two src --exist", "-p tcp -m multiport --dports 1,2 -m multiport --dports 2,3 -m comment --comment a -m comment --comment b -j RETURN")
}

// loaded is the state after an apply that is kept.
func (s *stops) loaded(policy string) string {
	s.t.Helper()
	if said, err := s.seawallOn(s.args(policy, "0")...).CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s", err, said)
	}
	return s.state()
}

func (s *stops) args(policy, within string) []string {
	return []string{"apply", policy, "--yes", "--force", "--confirm-within", within, "--run-dir", s.dir}
}

// reset loads the previous rules.
func (s *stops) reset() {
	s.t.Helper()
	for _, f := range packet.Families {
		if said, err := s.top.Host.Run(strings.NewReader(s.before[f]), s.backend.Command(f, "-restore"), "-w", "10"); err != nil {
			s.t.Fatalf("%v: %s", err, said)
		}
	}
	if now := s.state(); now != s.previous {
		s.t.Fatalf("not reset:\n%s\nthen:\n%s", s.previous, now)
	}
}

// terminal is a pseudo terminal (pty(7)).
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// run is one apply that is stopped.
func (s *stops) run(r *rand.Rand) {
	s.t.Helper()
	s.reset()
	within := []string{"0", "1s", "2s"}[r.IntN(3)]
	how := []string{"KILL", "INT", "HUP", "the terminal closes", "confirmed", "QUIT"}[r.IntN(6)]
	after := time.Duration(r.IntN(1200)) * time.Millisecond
	another := r.IntN(2) == 0
	what := fmt.Sprintf("--confirm-within %s, %s after %v, another %v", within, how, after, another)

	master, slave := terminal(s.t)
	c := s.seawallOn(s.args(s.second, within)...)
	c.Stdin, c.Stdout, c.Stderr = slave, slave, slave
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	_ = slave.Close()
	var said bytes.Buffer
	read := make(chan error, 1)
	go func() { _, err := io.Copy(&said, master); read <- err }() // ends with EIO
	time.Sleep(after)
	s.stop(how, c, master)
	second, saidSecond := -1, []byte(nil)
	if another {
		next := s.seawallOn(s.args(s.third, "0")...)
		saidSecond, _ = next.CombinedOutput() // the exit code is looked at
		second = next.ProcessState.ExitCode()
	}
	_ = c.Wait() // the exit code is looked at
	_ = master.Close()
	<-read
	s.settle(what)
	first, now := c.ProcessState.ExitCode(), s.state()
	end := map[string]string{s.previous: "previous", s.p2: "second", s.p3: "third"}[now]
	right := false
	switch {
	case second == 0:
		right = end == "third"
	case second > 0 && !bytes.Contains(saidSecond, []byte("another seawall apply")):
	case first == 0:
		right = end == "second"
	case first > 0:
		right = end == "previous"
	default: // killed by a signal
		right = end == "previous" || end == "second" && within == "0"
		if second == 0 {
			right = end == "third"
		}
	}
	left, err := os.ReadDir(s.dir)
	for _, e := range left {
		right = right && (e.Name() == "lock" || strings.HasPrefix(e.Name(), "loaded-"))
	}
	s.ends[end]++
	s.t.Logf("%s: exit %d and %d, %s", what, first, second, end)
	results.add("apply, stopped, "+string(s.backend), 1, map[bool]int{false: 1}[right])
	if !right || err != nil {
		s.t.Errorf("%s: exit %d and %d, %q: %v, left %v\n%s\n%s\n%s", what, first, second, end, err, left, said.Bytes(), saidSecond, now)
	}
}

// stop stops an apply. What ended before cannot be stopped.
func (s *stops) stop(how string, c *exec.Cmd, master *os.File) {
	signals := map[string]os.Signal{"KILL": syscall.SIGKILL, "INT": os.Interrupt, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT}
	var err error
	switch how {
	case "the terminal closes":
		err = master.Close()
	case "confirmed": // from elsewhere, where there is a folder by now
		folders, _ := filepath.Glob(filepath.Join(s.dir, "apply-*")) // the pattern is right
		for _, f := range folders {
			_ = os.WriteFile(filepath.Join(f, "confirmed"), nil, 0o600) // it may be gone
		}
	default:
		err = c.Process.Signal(signals[how])
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Error(err)
	}
}

// settle waits until nobody holds the lock.
func (s *stops) settle(what string) {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for range 300 {
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Errorf("%s: the lock is held for ever", what)
}
