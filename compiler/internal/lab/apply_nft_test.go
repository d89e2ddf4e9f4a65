//go:build linux

package lab

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tables is a host whose policy is a table of nft.
type tables struct {
	*Namespace
	t   *testing.T
	run string // of --run-dir
	nft string // what NFT names
}

func newTables(t *testing.T) *tables {
	t.Helper()
	Need(t, "nft")
	n := &tables{NewNamespace(t, "host"), t, t.TempDir(), "nft"}
	// Tables of others are nobody's concern.
	n.loadText("table ip others { chain c { type filter hook forward priority 0; policy accept; ip saddr 192.0.2.7 drop; }; }\n")
	return n
}

func (n *tables) loadText(text string) {
	n.t.Helper()
	if said, err := n.Run(strings.NewReader(text), "nft", "-f", "-"); err != nil {
		n.t.Fatalf("%v: %s", err, said)
	}
}

func (n *tables) state() string { return n.Must("nft", "list", "ruleset") }

func (n *tables) seawall(args ...string) *exec.Cmd {
	n.t.Helper()
	c := n.Command(mustSeawall(n.t), args...)
	c.Env = append(os.Environ(), "NFT="+n.nft, "NO_COLOR=1")
	return c
}

func (n *tables) args(policy, within string) []string {
	return []string{"apply", policy, "--format", "nftables", "--yes", "--force", "--confirm-within", within, "--run-dir", n.run}
}

// loaded is the state after an apply that is kept.
func (n *tables) loaded(policy string) string {
	n.t.Helper()
	if said, err := n.seawall(n.args(policy, "0")...).CombinedOutput(); err != nil {
		n.t.Fatalf("%v\n%s", err, said)
	}
	return n.state()
}

// reset loads a state again.
func (n *tables) reset(state string) {
	n.t.Helper()
	n.loadText("flush ruleset\n" + state)
	if now := n.state(); now != state {
		n.t.Fatalf("not reset:\n%s\nthen:\n%s", state, now)
	}
}

// settle waits until nobody holds the lock.
func (n *tables) settle() {
	n.t.Helper()
	f, err := os.OpenFile(filepath.Join(n.run, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for range 300 {
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	n.t.Error("the lock is held for ever")
}

// apply with nft is kept when it is confirmed, and taken back when it is not, to no table
// where there was none; and it asks before it replaces what others made.
func TestApplyTable(t *testing.T) {
	t.Parallel()
	n := newTables(t)
	policy, other := policyFile(t, 2), policyFile(t, 1)
	empty := n.state()
	expect := func(what, policy, stdin string, code int, says string, more ...string) {
		t.Helper()
		c := n.seawall(append([]string{"apply", policy, "--format", "nftables", "--run-dir", n.run}, more...)...)
		c.Stdin = strings.NewReader(stdin)
		said, _ := c.CombinedOutput() // the exit code is looked at
		if c.ProcessState.ExitCode() != code || !strings.Contains(string(said), says) {
			t.Errorf("%s: exit %d\n%s", what, c.ProcessState.ExitCode(), said)
		}
	}
	is := func(what, want string) {
		t.Helper()
		if now := n.state(); now != want {
			t.Errorf("%s:\n%s\nnot:\n%s", what, now, want)
		}
	}
	expect("a dry run", policy, "", 0, "Dry run: nothing was changed.", "--dry-run")
	expect("a no to the question", policy, "no\n", 2, "Nothing was changed.")
	expect("silence", policy, "", 2, "Not confirmed: the previous rules are back.", "--yes", "--confirm-within", "1s")
	is("nothing is kept", empty)
	expect("two times yes", policy, "yes\nyes\n", 0, "Kept.")
	kept := n.state()
	expect("the same again", policy, "", 0, "The kernel holds this policy already.", "--yes")
	expect("another, and a no", other, "yes\nno\n", 2, "Not confirmed: the previous rules are back.")
	is("a no to another", kept)

	n.Must("nft", "add", "rule", "inet", "seawall", "forward", "ip", "saddr", "10.9.9.9", "drop")
	added := n.state()
	expect("a rule of somebody else", other, "", 1, "  forward ip saddr 10.9.9.9 drop\n", "--yes")
	expect("a rule of somebody else comes back", other, "", 2, "Not confirmed", "--yes", "--force", "--confirm-within", "1s")
	is("with a rule of somebody else", added)

	n.Must("nft", "delete", "table", "inet", "seawall")
	n.loadText("table inet seawall { chain mine { ct state == established,related accept; }; }\n")
	inOtherWords := n.state()
	expect("a table that nft lists in other words", policy, "", 1, "Error: nothing was changed: the table inet seawall could not be restored exactly if this failed", "--yes", "--force")
	is("a table that nft lists in other words", inOtherWords)

	n.Must("nft", "delete", "table", "inet", "seawall")
	n.loadText("table inet seawall { chain mine { tcp dport 22 accept; }; }\n")
	byHand := n.state()
	expect("a table of somebody else", policy, "", 1, "  mine tcp dport 22 accept\n", "--yes")
	is("a table of somebody else", byHand)
	expect("a table of somebody else, replaced", policy, "", 0, "Loaded, and proved in the kernel.", "--yes", "--force", "--confirm-within", "0")
	is("a table of somebody else, replaced", kept)
	if left, _ := filepath.Glob(filepath.Join(n.run, "apply-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Boot: the files of --persist are what systemd takes, and a reload of nftables.service
// with them, which flushes everything first, ends with the policy.
func TestApplyTablePersists(t *testing.T) {
	t.Parallel()
	n := newTables(t)
	etc := t.TempDir()
	units := filepath.Join(etc, "systemd", "system")
	if err := os.MkdirAll(units, 0o755); err != nil {
		t.Fatal(err)
	}
	policy := policyFile(t, 2)
	said, err := n.seawall(append(n.args(policy, "0"), "--persist", filepath.Join(etc, "seawall"))...).CombinedOutput()
	if err != nil || !strings.Contains(string(said), "systemctl enable seawall.service") {
		t.Fatalf("%v\n%s", err, said)
	}
	table := filepath.Join(etc, "seawall", "seawall.nft")
	if _, err := exec.LookPath("systemd-analyze"); err == nil {
		if said, err := exec.Command("systemd-analyze", "verify", filepath.Join(units, "seawall.service")).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, said)
		}
	}
	dropIn, err := os.ReadFile(filepath.Join(units, "nftables.service.d", "seawall.conf"))
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(etc, "nftables.conf")
	if err := os.WriteFile(conf, []byte("#!/usr/sbin/nft -f\n\nflush ruleset\n\ntable inet filter {\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	reload := ""
	for line := range strings.Lines(string(dropIn)) {
		if command, ok := strings.CutPrefix(line, "ExecReload="); ok && command != "\n" {
			command, mayFail := strings.CutPrefix(command, "-")
			reload += strings.ReplaceAll(strings.ReplaceAll(command, "$$", "$"), "/etc/nftables.conf", conf)
			if mayFail {
				reload = strings.TrimSuffix(reload, "\n") + " || true\n"
			}
		}
	}
	if strings.Count(reload, "\n") != 2 || !strings.Contains(reload, conf) || !strings.Contains(reload, table) {
		t.Fatalf("the drop-in:\n%s", dropIn)
	}
	before := n.Must("nft", "list", "table", "inet", "seawall")
	n.Must("sh", "-ec", reload)
	n.Must("nft", "list", "table", "inet", "filter") // the configuration's own
	if after := n.Must("nft", "list", "table", "inet", "seawall"); after != before {
		t.Errorf("after a reload:\n%s\nnot\n%s", after, before)
	}
	if tables := n.Must("nft", "list", "tables"); strings.Contains(tables, "seawall-next") {
		t.Errorf("after a reload there are\n%s", tables)
	}
	if said, err := n.seawall("watch", policy, "--format", "nftables", "--once").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
}

// Each call of nft fails once, in turn: the exit code says which table there is then.
func TestApplyTableWithEveryFault(t *testing.T) {
	t.Parallel()
	n := newTables(t)
	second, first := policyFile(t, 2), policyFile(t, 1)
	previous := n.loaded(first)
	want := n.loaded(second)
	dir := t.TempDir()
	n.nft = filepath.Join(dir, "nft")
	script := fmt.Sprintf(`#!/bin/sh
exec 9>>%[1]s/lock
flock 9
n=$(($(cat %[1]s/count) + 1))
echo "$n" >%[1]s/count
exec 9>&-
if [ "$n" = "$(cat %[1]s/fails)" ]; then
	echo "an injected fault" >&2
	exit 1
fi
exec nft "$@"
`, dir)
	if err := os.WriteFile(filepath.Join(dir, "nft"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	set := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, within := range []string{"0", "1s"} {
		for i := 1; ; i++ {
			n.reset(previous)
			set("count", "0")
			set("fails", strconv.Itoa(i))
			c := n.seawall(n.args(second, within)...)
			said, _ := c.CombinedOutput() // the exit code is looked at
			code, now := c.ProcessState.ExitCode(), n.state()
			left, _ := filepath.Glob(filepath.Join(n.run, "apply-*"))
			right := code == 0 && now == want && within == "0" || code > 0 && now == previous
			if !right || len(left) > 0 || code == 1 && !strings.Contains(string(said), "Error: ") {
				t.Errorf("call %d fails, --confirm-within %s: exit %d, left %v\n%s\n%s", i, within, code, left, said, now)
			}
			results.add("apply with a fault, nft", 1, map[bool]int{false: 1}[right])
			count, err := os.ReadFile(filepath.Join(dir, "count"))
			if err != nil {
				t.Fatal(err)
			}
			if calls, _ := strconv.Atoi(strings.TrimSpace(string(count))); calls < i {
				if i < 10 {
					t.Errorf("apply ran only %d commands", calls)
				}
				break
			} else if !*long && within == "1s" {
				i += 3
			}
		}
	}
}

// apply with nft is stopped at any moment, by kill -9, Ctrl-C or a hang-up. It ends with
// the previous table, byte for byte, or with one that was kept.
func TestApplyTableIsStopped(t *testing.T) {
	t.Parallel()
	n := newTables(t)
	second, first := policyFile(t, 2), policyFile(t, 1)
	previous := n.loaded(first)
	want := n.loaded(second)
	runs, ends := 10, map[string]int{}
	if *long {
		runs = 150
	}
	for i := range runs {
		n.reset(previous)
		r := rand.New(rand.NewPCG(uint64(i), 27))
		within := []string{"0", "1s"}[r.IntN(2)]
		how := []os.Signal{syscall.SIGKILL, os.Interrupt, syscall.SIGHUP}[r.IntN(3)]
		after := time.Duration(r.IntN(400)) * time.Millisecond
		c := n.seawall(n.args(second, within)...)
		var said bytes.Buffer
		c.Stdout, c.Stderr, c.SysProcAttr = &said, &said, &syscall.SysProcAttr{Setsid: true}
		stdin, err := c.StdinPipe() // nobody answers
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(after)
		if err := c.Process.Signal(how); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		_ = c.Wait() // the exit code is looked at
		_ = stdin.Close()
		n.settle()
		code, now := c.ProcessState.ExitCode(), n.state()
		end := map[string]string{previous: "previous", want: "second"}[now]
		right := end == "previous" && code != 0 || end == "second" && within == "0" && code <= 0
		left, _ := filepath.Glob(filepath.Join(n.run, "apply-*"))
		if ends[end]++; !right || len(left) > 0 {
			t.Errorf("--confirm-within %s, %v after %v: exit %d, %q, left %v\n%s\n%s", within, how, after, code, end, left, said.Bytes(), now)
		}
		results.add("apply, stopped, nft", 1, map[bool]int{false: 1}[right])
	}
	t.Logf("%d runs: %v", runs, ends)
}

// A watch that would look once an hour looks when somebody flushes the ruleset, and when
// somebody adds a rule that opens.
func TestWatchTable(t *testing.T) {
	t.Parallel()
	n := newTables(t)
	policy := policyFile(t, 2)
	n.loaded(policy)
	file := filepath.Join(t.TempDir(), "seawall.nft")
	out, err := exec.Command(mustSeawall(t), "compile", policy, "--format", "nftables").Output()
	if err == nil {
		err = os.WriteFile(file, out, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := n.seawall("watch", policy, "--format", "nftables", "--interval", "1h", "--docker", "unix:///nowhere", "--exec", "nft -f "+file)
	log, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(25*time.Second, func() { _ = c.Process.Kill() }).Stop()
	said, holds, ran := "", 0, 0
	for s := bufio.NewScanner(log); s.Scan(); {
		said += s.Text() + "\n"
		switch {
		case strings.Contains(s.Text(), " ran: "):
			ran++
		case strings.HasSuffix(s.Text(), " holds"):
			switch holds++; holds {
			case 1:
				time.Sleep(300 * time.Millisecond) // nft monitor listens by then
				n.Must("nft", "flush", "ruleset")
			case 2:
				n.Must("nft", "insert", "rule", "inet", "seawall", "forward", "accept")
			case 3:
				_ = c.Process.Signal(syscall.SIGTERM)
			}
		}
	}
	if err := c.Wait(); err != nil || holds != 3 || ran != 2 || !strings.Contains(said, "drift: IPv6 ") {
		t.Errorf("%v, holds %d, ran %d\n%s", err, holds, ran, said)
	}
}

// The process that loads the table is killed when it has, or the program hangs then. The
// previous table comes back, at once where seawall is there to notice, and says so.
func TestApplyTableLosesItsGuard(t *testing.T) {
	t.Parallel()
	n := newTables(t)
	second, first := policyFile(t, 2), policyFile(t, 1)
	previous := n.loaded(first)
	dir := t.TempDir()
	n.nft = filepath.Join(dir, "nft")
	for _, x := range []struct {
		then, within string // after the table is loaded
		interrupt    bool
		code         int
		says         string
	}{
		{`kill -9 $(ps -o ppid= -p $(ps -o ppid= -p $PPID))`, "0", false, 1, "Error: the policy was not loaded: the process that loads them was stopped; the previous rules are back"},
		{`kill -9 $(ps -o ppid= -p $PPID)`, "0", false, 1, "Error: the policy was not loaded: the process that loads them was stopped"},
		{`kill -9 $PPID`, "2s", false, 1, "Error: the policy was not loaded: "},
		{`sleep 300`, "1s", true, 2, "Interrupted: the previous rules are back."},
	} {
		n.reset(previous)
		text := "#!/bin/sh\ncase \"$*\" in '-f new.nft') ;; *) exec nft \"$@\" ;; esac\nnft \"$@\"\ntouch " + dir + "/hangs\n" + x.then + "\n"
		if err := os.WriteFile(n.nft, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		c := n.seawall(n.args(second, x.within)...)
		var said bytes.Buffer
		c.Stdout, c.Stderr = &said, &said
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if x.interrupt {
			for range 200 {
				if time.Sleep(50 * time.Millisecond); fileExists(filepath.Join(dir, "hangs")) {
					break
				}
			}
			_ = c.Process.Signal(os.Interrupt)
		}
		_ = c.Wait() // the exit code is looked at
		_ = os.Remove(filepath.Join(dir, "hangs"))
		left, _ := filepath.Glob(filepath.Join(n.run, "apply-*"))
		if code, now := c.ProcessState.ExitCode(), n.state(); code != x.code || now != previous || len(left) > 0 || !strings.Contains(said.String(), x.says) {
			t.Errorf("%s: exit %d, left %v\n%s\n%s", x.then, code, left, said.Bytes(), now)
		}
		results.add("apply without its guard, nft", 1, 0)
	}
}
