//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seawall/seawall/compiler/packet"
)

// meanwhile is something that others do while apply waits for its confirmation,
// which nobody gives.
var meanwhile = []struct {
	name   string
	before string // on a host with the policy; a shell's lines, with $four and $six
	others string // while apply waits
	adds   string // the lines of the filter table that this leaves behind
	says   string
}{
	{"nothing", "", "", "", "Not confirmed: the previous rules are back."},
	{
		"a rule that leads to a chain which was not there",
		"$four -D INPUT -j SEAWALL-INPUT; $four -F SEAWALL-INPUT; $four -X SEAWALL-INPUT",
		"$four -N MINE; $four -A MINE -j SEAWALL-INPUT",
		"-A MINE -j SEAWALL-INPUT\n:MINE - [0:0]\n:SEAWALL-INPUT - [0:0]\n",
		"IPv4: a chain that did not exist before is in use by other rules. It stays, but empty: SEAWALL-INPUT\nNot confirmed: the previous rules are back.",
	},
	{
		"a chain that is gone, to which a rule of DOCKER-USER led",
		"$four -N f2b; $four -I DOCKER-USER -j f2b",
		"$four -F f2b; $four -X f2b",
		"",
		"Not confirmed: the previous rules are back.",
	},
	{
		"rules in FORWARD and INPUT",
		"$four -I FORWARD -i lan0 -j ACCEPT; $six -I INPUT -i lan0 -j ACCEPT",
		"$four -A FORWARD -s 7.7.7.7 -j DROP; $six -A FORWARD -o lan0 -j DROP",
		"-A FORWARD -o lan0 -j DROP\n-A FORWARD -s 7.7.7.7/32 -j DROP\n",
		"IPv4: other rules in FORWARD changed meanwhile; the jump to DOCKER-USER now comes first.",
	},
}

// What others do in their own chains while apply waits stays, and the previous
// rules come back all the same, in both families.
func TestApplyMeanwhile(t *testing.T) {
	t.Parallel()
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			for _, x := range meanwhile {
				w, _, state := faultWorld(t, b)
				w.shell(x.before)
				was := lineCounts(state())
				said, code := w.unconfirmed(t.TempDir(), func() { w.shell(x.others) })
				wrong := 0
				if code != 2 || !strings.Contains(said, x.says) {
					wrong = 1
					t.Errorf("%s: exit %d: %s", x.name, code, said)
				}
				if got, want := linesChanged(was, lineCounts(state())), x.adds; got != want {
					wrong = 1
					t.Errorf("%s: the rules differ by\n%swant\n%s", x.name, got, want)
				}
				results.add("apply meanwhile, "+string(b), 1, wrong)
			}
		})
	}
}

// A way back that failed is tried again by the next apply, which is not started to
// throw it away.
func TestApplyTriesAgain(t *testing.T) {
	t.Parallel()
	Need(t, "ipset")
	w, _, state := faultWorld(t, NFT)
	w.shell("ipset create theirs hash:ip; $four -I DOCKER-USER -m set --match-set theirs src -j DROP")
	before, dir := state(), t.TempDir()
	said, code := w.unconfirmed(dir, func() {
		w.shell("$four -D DOCKER-USER -m set --match-set theirs src -j DROP 2>/dev/null; ipset destroy theirs; ipset create theirs hash:ip family inet6")
	})
	for _, want := range []string{"the previous rules of IPv4 do not load, so its new ones stay; IPv6 has its previous rules", "and the next apply tries again"} {
		if code != 1 || !strings.Contains(said, want) {
			t.Errorf("exit %d, want %q: %s", code, want, said)
		}
	}
	next := func(want string) {
		t.Helper()
		c := w.seawallOn("apply", policyFile(t, 3), "--run-dir", dir)
		c.Stdin = strings.NewReader("no\n")
		if out, _ := c.CombinedOutput(); !strings.Contains(string(out), want) {
			t.Errorf("want %q: %s", want, out)
		}
	}
	next("an earlier apply was neither confirmed nor rolled back, and its previous rules, in " + dir)
	w.shell("ipset destroy theirs; ipset create theirs hash:ip")
	next("The rules from before an earlier apply, which could not be restored at the time, are now restored.")
	if after := state(); after != before {
		t.Errorf("the previous rules are not there:\n%s\nthen:\n%s", before, after)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "apply-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A rule that somebody inserts between the script's look at the rules and its load
// moves the numbers of all others, and none of them is lost.
func TestARuleInBetween(t *testing.T) {
	t.Parallel()
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			w, script, _ := faultWorld(t, b)
			w.shell("$four -D FORWARD -j DOCKER-USER; $four -A FORWARD -i lan0 -j ACCEPT; $four -A FORWARD -j DOCKER-USER; $four -A FORWARD -i wan9 -j DROP")
			four := b.Command(packet.IPv4, "")
			path, err := exec.LookPath(four)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			inserts := fmt.Sprintf("#!/bin/sh\n%[1]s \"$@\" || exit\n[ \"$*\" != '-w 10 -S' ] || %[1]s -w -I FORWARD -s 7.7.7.7 -j DROP\n", path)
			for name, text := range map[string]string{"between": inserts, "between-restore": "#!/bin/sh\nexec " + path + "-restore \"$@\"\n", "between-save": "#!/bin/sh\nexec " + path + "-save \"$@\"\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			c := w.top.Host.Command("sh", script)
			c.Env = append(os.Environ(), "IPTABLES="+filepath.Join(dir, "between"), "IP6TABLES="+b.Command(packet.IPv6, ""))
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			now := string(w.top.Host.Must(four, "-w", "-S", "FORWARD"))
			want := "-A FORWARD -j DOCKER-USER\n-A FORWARD -s 7.7.7.7/32 -j DROP\n-A FORWARD -s 7.7.7.7/32 -j DROP\n-A FORWARD -i lan0 -j ACCEPT\n-A FORWARD -i wan9 -j DROP\n"
			if _, rules, _ := strings.Cut(now, "\n"); rules != want {
				t.Errorf("FORWARD is\n%swant\n%s", rules, want)
			}
		})
	}
}

// An entry that somebody took out of one of Seawall's sets before an apply stays
// out when that is taken back.
func TestApplyBringsEntriesBack(t *testing.T) {
	t.Parallel()
	Need(t, "ipset")
	w, _, _ := faultWorld(t, NFT)
	var sources []string
	for i := range 200 {
		sources = append(sources, fmt.Sprintf("%q", fmt.Sprintf("10.9.%d.1", i)))
	}
	policy := filepath.Join(t.TempDir(), "policy.hcl")
	text := "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\n\npolicy \"many\" {\n  ports = [8080]\n  allow { sources = [" + strings.Join(sources, ", ") + "] }\n}\n"
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"apply", policy, "--layout", "ipset", "--yes", "--force"}
	if out, err := w.seawallOn(append(args, "--confirm-within", "0", "--run-dir", t.TempDir())...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	sets := func() string { return string(w.top.Host.Must("sh", "-c", "ipset save | grep '^add ' | sort")) }
	entry := strings.Fields(sets())
	w.top.Host.Must("ipset", "del", entry[1], entry[2])
	before := sets()
	c := w.seawallOn(append(args, "--confirm-within", "1s", "--run-dir", t.TempDir())...)
	if out, _ := c.CombinedOutput(); c.ProcessState.ExitCode() != 2 {
		t.Fatalf("%s", out)
	}
	if after := sets(); after != before {
		t.Errorf("the entries were\n%sand are\n%s", before, after)
	}
}

// shell runs lines on the host with the back end's commands.
func (w *world) shell(lines string) {
	w.t.Helper()
	if lines == "" {
		return
	}
	c := w.top.Host.Command("sh", "-c", lines)
	c.Env = append(os.Environ(), "four="+w.backend.Command(packet.IPv4, ""), "six="+w.backend.Command(packet.IPv6, ""))
	if out, err := c.CombinedOutput(); err != nil {
		w.t.Fatalf("%s: %v: %s", lines, err, out)
	}
}

// A confirmation keeps what is loaded, and is no second proof of it: what others changed
// before it is said, and the exit code says so too. A change elsewhere is no such one.
func TestApplyProvesAfterTheConfirmation(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		others, says string
		code         int
	}{
		{"$four -A OUTPUT -d 7.7.7.7 -j DROP", "Kept.\n", 0},
		{"$four -I DOCKER-USER -s 203.0.113.9 -j ACCEPT", "Kept. But the kernel's rules were changed meanwhile, and no longer implement the policy: ", 2},
		{"$six -D INPUT -j SEAWALL-INPUT", "Kept. But the kernel's rules were changed meanwhile, and no longer implement the policy: ", 2},
	} {
		w, _, _ := faultWorld(t, NFT)
		dir := t.TempDir()
		said, code := w.unconfirmed(dir, func() {
			w.shell(x.others)
			asked, _ := filepath.Glob(filepath.Join(dir, "apply-*"))
			for _, folder := range asked {
				if err := os.WriteFile(filepath.Join(folder, "confirmed"), nil, 0o600); err != nil {
					t.Error(err)
				}
			}
		})
		if code != x.code || !strings.Contains(said, x.says) {
			t.Errorf("%s: exit %d, want %d and %q:\n%s", x.others, code, x.code, x.says, said)
		}
	}
}

// unconfirmed is an apply that nobody confirms; others do something as soon as it
// waits.
func (w *world) unconfirmed(dir string, others func()) (said string, code int) {
	w.t.Helper()
	c := w.seawallOn("apply", policyFile(w.t, 2), "--yes", "--force", "--confirm-within", "2s", "--run-dir", dir)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	in, err := c.StdinPipe() // a terminal at which nobody types
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if asked, _ := filepath.Glob(filepath.Join(dir, "apply-*", "asked")); len(asked) > 0 {
			break
		}
	}
	others()
	_ = c.Wait() // the exit code is looked at
	return out.String(), c.ProcessState.ExitCode()
}

// lineCounts are the lines of a text with how often they stand there.
func lineCounts(text string) map[string]int {
	counts := map[string]int{}
	for _, line := range strings.Split(text, "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			counts[line]++
		}
	}
	return counts
}

// linesChanged are the lines that came, in order, and with a "-" those that went.
func linesChanged(was, is map[string]int) string {
	var list []string
	for line, n := range is {
		if n > was[line] {
			list = append(list, line+"\n")
		}
	}
	for line, n := range was {
		if n > is[line] {
			list = append(list, "- "+line+"\n")
		}
	}
	return strings.Join(slices.Sorted(slices.Values(list)), "")
}
