//go:build unix

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// watched is a watch on a host that holds no rule of its policy.
type watched struct {
	*exec.Cmd
	dir string
	out bytes.Buffer
}

func startWatch(t *testing.T, args ...string) *watched {
	t.Helper()
	w := &watched{dir: t.TempDir()}
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(w.dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	save := "#!/bin/sh\nprintf '*filter\\n:INPUT ACCEPT [0:0]\\n:FORWARD ACCEPT [0:0]\\n:OUTPUT ACCEPT [0:0]\\nCOMMIT\\n'\n"
	write("fake-save", save, 0o755)
	policy := write("policy.hcl", "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\n", 0o644)
	w.Cmd = exec.Command("seawall", append([]string{"watch", policy, "--docker", "unix:///nowhere", "--interval", "100ms"}, args...)...)
	fake := filepath.Join(w.dir, "fake")
	w.Dir, w.Stdout, w.Stderr = w.dir, &w.out, &w.out
	w.Env = append(os.Environ(), "IPTABLES="+fake, "IP6TABLES="+fake, "IPSET=no-such-ipset")
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Process.Kill() })
	return w
}

// file waits for a file that the command writes, and gives what is in it.
func (w *watched) file(t *testing.T, name string) string {
	t.Helper()
	for range 200 {
		if text, err := os.ReadFile(filepath.Join(w.dir, name)); err == nil && len(text) > 0 {
			return strings.TrimSpace(string(text))
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the command did not write %s", name)
	return ""
}

// stop sends a signal, and gives the exit code and how long it took.
func (w *watched) stop(t *testing.T, s syscall.Signal) (code int, took time.Duration) {
	t.Helper()
	start := time.Now()
	if err := w.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	err := w.Wait()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return w.ProcessState.ExitCode(), time.Since(start)
}

// A watch ends when it is told to, whatever its command is at, and takes along what
// the command has started.
func TestWatchStops(t *testing.T) {
	for _, c := range []struct {
		name    string
		signal  syscall.Signal
		command string
		within  time.Duration
	}{
		{"TERM", syscall.SIGTERM, "sleep 60 & echo $! > child; wait", lastWords},
		{"INT", syscall.SIGINT, "trap 'exit 1' INT; echo $$ > child; sleep 60", lastWords},
		{"HUP", syscall.SIGHUP, "echo $$ > child; exec sleep 60", lastWords},
		{"a command that does not listen", syscall.SIGTERM, "trap '' TERM; echo $$ > child; sleep 60; sleep 60", lastWords + 3*time.Second},
		{"a child that does not listen", syscall.SIGTERM, "(trap '' TERM; sh -c 'echo $$ > child; sleep 60; sleep 60') & wait", lastWords + 3*time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := startWatch(t, "--exec", c.command)
			child := w.file(t, "child")
			code, took := w.stop(t, c.signal)
			if code != 0 || took > c.within {
				t.Errorf("exit %d after %v, want 0 within %v\n%s", code, took, c.within, &w.out)
			}
			if !gone(child) {
				t.Errorf("process %s of the command is still at work", child)
			}
		})
	}
}

// gone reports whether a process has ended, or does so soon.
func gone(pid string) bool {
	for range 20 {
		out, err := exec.Command("ps", "-o", "stat=", "-p", pid).Output()
		if state := strings.TrimSpace(string(out)); err != nil || state == "" || state[0] == 'Z' {
			return true
		}
		time.Sleep(50 * time.Millisecond)
	}
	return false
}

// The command was told which signal it was.
func TestWatchPassesTheSignalOn(t *testing.T) {
	w := startWatch(t, "--exec", "trap 'echo HUP > got; exit' HUP; echo ready > child; while :; do sleep 0.1; done")
	w.file(t, "child")
	if code, _ := w.stop(t, syscall.SIGHUP); code != 0 {
		t.Errorf("exit %d\n%s", code, &w.out)
	}
	if got := w.file(t, "got"); got != "HUP" {
		t.Errorf("the command got %s", got)
	}
}

// One that was to look once has no answer when it is stopped.
func TestWatchOnceStopped(t *testing.T) {
	w := startWatch(t, "--once", "--exec", "echo ready > child; sleep 60")
	w.file(t, "child")
	if code, _ := w.stop(t, syscall.SIGTERM); code != exitError || !strings.Contains(w.out.String(), "Error: interrupted (terminated)") {
		t.Errorf("exit %d, want %d\n%s", code, exitError, &w.out)
	}
}

// A command that leaves something running has ended.
func TestWatchGoesOnWithoutTheCommandsChildren(t *testing.T) {
	w := startWatch(t, "--exec", "sleep 8 & echo run >> child")
	w.file(t, "child")
	for range 120 {
		if strings.Count(w.file(t, "child"), "run") > 1 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if _, took := w.stop(t, syscall.SIGTERM); took > lastWords+3*time.Second {
		t.Errorf("took %v to end", took)
	}
	if !strings.Contains(w.out.String(), " ran: ") || strings.Contains(w.out.String(), "WaitDelay") {
		t.Errorf("said\n%s", &w.out)
	}
}
