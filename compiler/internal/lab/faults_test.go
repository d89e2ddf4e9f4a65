//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/packet"
)

// (e) A full disk and a read-only folder: a clear error, and the files of
// before.
func TestFaultsOfDisks(t *testing.T) {
	t.Parallel()
	Need(t, "unshare")
	bin, dir := mustSeawall(t), t.TempDir()
	first, second := writePolicies(t, dir)
	for _, fault := range []struct{ name, mount, want string }{
		// Room for the old files, and not for one more.
		{"a full disk", "mount -t tmpfs -o size=%dk tmpfs %s && %s compile %s --out-dir %[2]s", "no space left on device"},
		{"a read-only folder", "mount -t tmpfs -o size=%dk tmpfs %s && %s compile %s --out-dir %[2]s && mount -o remount,ro %[2]s", "read-only file system"},
	} {
		t.Run(fault.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			if err := os.Mkdir(out, 0o755); err != nil {
				t.Fatal(err)
			}
			size := compiledSize(t, bin, first)/1024 + 24
			prepare := fmt.Sprintf(fault.mount, size, out, bin, first)
			script := fmt.Sprintf("set -e; { %s; } >/dev/null; sha256sum %[2]s/* >&2; set +e; %[3]s compile %[4]s --out-dir %[2]s; echo exit $? >&2; sha256sum %[2]s/* >&2; ls -A %[2]s >&2", prepare, out, bin, second)
			said, err := exec.Command("unshare", "--mount", "sh", "-c", script).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			text := string(said)
			before, rest, _ := strings.Cut(text, "Error: ")
			message, after, found := strings.Cut(rest, "exit 1\n")
			if !found || !strings.Contains(message, fault.want) || !strings.Contains(message, "cannot write into") {
				t.Errorf("said:\n%s", text)
			}
			if !strings.HasPrefix(after, before) || strings.TrimPrefix(after, before) != "ip6tables\niptables\n" {
				t.Errorf("the previous files are not there as they were:\n%s", text)
			}
		})
	}
}

func compiledSize(t *testing.T, bin, policy string) int {
	t.Helper()
	total := 0
	for _, family := range []string{"4", "6"} {
		out, err := exec.Command(bin, "compile", policy, "--family", family).Output()
		if err != nil {
			t.Fatal(err)
		}
		total += len(out)
	}
	return total
}

// faultWorld is a host with a policy loaded by script, and the script of
// another one.
func faultWorld(t *testing.T, b Backend) (w *world, script string, state func() string) {
	t.Helper()
	Need(t)
	w = &world{t: t, backend: b, top: NewTopology(t, "eth0", "eth1")}
	w.apply(lifePolicy(1), emit.Shell)
	return w, filepath.Join(w.compile(lifePolicy(2), emit.Shell), "seawall.sh"), func() string {
		text := b.Save(w.top.Host, packet.IPv4, "filter") + b.Save(w.top.Host, packet.IPv6, "filter")
		return counters.ReplaceAllString(text, "[0:0]")
	}
}

// counters are what the kernel counts: a neighbour's greeting is enough.
var counters = regexp.MustCompile(`\[\d+:\d+\]`)

// script runs a script with commands in the place of iptables and ip6tables. A
// script that waits for ever is killed after a minute.
func (w *world) script(path, iptables, ip6tables string, env ...string) (string, error) {
	c := w.top.Host.Command("timeout", "-s", "KILL", "60", "sh", path)
	c.Env = append(append(os.Environ(), "IPTABLES="+iptables, "IP6TABLES="+ip6tables), env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

// (e) A missing iptables, and an IPv6 that fails after IPv4 was loaded: a clear
// error, and the previous rules in both families.
func TestFaultsOfTheScript(t *testing.T) {
	t.Parallel()
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			w, path, state := faultWorld(t, b)
			before := state()
			four, six := b.Command(4, ""), b.Command(6, "")

			said, err := w.script(path, four, "ip6tables-of-nowhere")
			if err == nil || said != "seawall.sh: ip6tables-of-nowhere is not installed; nothing was changed\n" {
				t.Errorf("a missing program: %q, %v", said, err)
			}
			said, err = w.script(path, four, brokenTables(t, six))
			if err == nil || !strings.Contains(said, "seawall.sh: IPv6 could not be loaded; both families have their previous rules") {
				t.Errorf("a failing IPv6: %q, %v", said, err)
			}
			if diff := cmp.Diff(before, state()); diff != "" {
				t.Errorf("the previous rules are not there:\n%s", diff)
			}
		})
	}
}

// brokenTables is an ip6tables whose restore works for --test alone.
func brokenTables(t *testing.T, real string) string {
	t.Helper()
	dir := t.TempDir()
	for suffix, body := range map[string]string{
		"": "exec " + real + " \"$@\"", "-save": "exec " + real + "-save \"$@\"",
		"-restore": "case \" $* \" in *' --test '*) exec " + real + "-restore \"$@\" ;; esac\ncat >/dev/null\necho 'no memory' >&2\nexit 4",
	} {
		if err := os.WriteFile(filepath.Join(dir, "tables"+suffix), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "tables")
}

// (e) Another program holds the lock of xtables: the script waits for it, and
// when it waits in vain it says so and changes nothing.
func TestFaultsOfTheLock(t *testing.T) {
	t.Parallel()
	w, path, state := faultWorld(t, Legacy)
	before := state()
	lock := filepath.Join(t.TempDir(), "xtables.lock")
	hold := func() *os.File {
		f, err := os.OpenFile(lock, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		return f
	}
	four, six := Legacy.Command(4, ""), Legacy.Command(6, "")
	f := hold()
	said, err := w.script(path, four, six, "XTABLES_LOCKFILE="+lock)
	if err == nil || !strings.Contains(said, "holding the xtables lock") || !strings.Contains(said, "nothing was changed") {
		t.Errorf("a lock that is never given back: %q, %v", said, err)
	}
	if diff := cmp.Diff(before, state()); diff != "" {
		t.Errorf("the previous rules are not there:\n%s", diff)
	}
	time.AfterFunc(2*time.Second, func() { _ = f.Close() })
	if said, err := w.script(path, four, six, "XTABLES_LOCKFILE="+lock); err != nil || said != "" && !onlyWaits(said) {
		t.Errorf("a lock that is given back: %q, %v", said, err)
	}
	w.holds("after the lock was given back", lifePolicy(2))
}

// onlyWaits reports whether all that was said is that somebody waits.
func onlyWaits(said string) bool {
	for _, line := range strings.Split(strings.TrimSpace(said), "\n") {
		if !strings.Contains(line, "xtables lock") && !strings.Contains(line, "waiting") {
			return false
		}
	}
	return true
}

// (f) Somebody flushes the filter table, or a chain of it: verify says so.
func TestFaultsOfFlushing(t *testing.T) {
	t.Parallel()
	bin := mustSeawall(t)
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			w, _, _ := faultWorld(t, b)
			policy := filepath.Join(t.TempDir(), "policy.hcl")
			if err := os.WriteFile(policy, []byte(lifeText(1)), 0o600); err != nil {
				t.Fatal(err)
			}
			verify := func(f packet.Family) (string, int) {
				c := exec.Command(bin, "verify", policy, "--rules", "-", "--family", fmt.Sprint(int(f)))
				c.Stdin = bytes.NewBufferString(b.Save(w.top.Host, f, "filter"))
				out, err := c.CombinedOutput()
				if err != nil && c.ProcessState == nil {
					t.Fatal(err)
				}
				return string(out), c.ProcessState.ExitCode()
			}
			for _, f := range families {
				if said, code := verify(f); code != 0 {
					t.Fatalf("before anything: %s", said)
				}
			}
			for _, fault := range []struct{ what, want string }{
				{"-F INPUT", "the file says pass: INPUT has no jump to SEAWALL-INPUT"},
				{"-F FORWARD", "the file says pass: FORWARD has no jump to DOCKER-USER"},
				{"-F DOCKER-USER", "the file says pass: returned from DOCKER-USER"},
				{"-F", "the file says pass: FORWARD has no jump to DOCKER-USER"},
			} {
				w.apply(lifePolicy(1), emit.Shell)
				for _, f := range families {
					w.top.Host.Must(b.Command(f, ""), strings.Fields(fault.what)...)
					said, code := verify(f)
					wrong := 0
					if code != 2 || !strings.Contains(said, fault.want) {
						wrong = 1
						t.Errorf("IPv%d after %s: exit %d\n%s", f, fault.what, code, said)
					}
					results.add("(f) flushed, "+string(b), 1, wrong)
				}
			}
		})
	}
}
