//go:build linux

package main

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// Long work shows on a terminal what it is at, and takes the line away; nothing is shown in
// a CI job, nor of short work.
func TestProgressOnATerminal(t *testing.T) {
	const policy = "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\n"
	for _, x := range []struct {
		name string
		env  string
		wait time.Duration
		want bool
	}{
		{"long", "CI=", 2500 * time.Millisecond, true},
		{"in a CI job", "CI=true", 2500 * time.Millisecond, false},
		{"short", "CI=", 0, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			c := exec.Command(self, "-test.run=^TestProgressChild$")
			c.Env = append(os.Environ(), "SEAWALL_PROGRESS_CHILD=1", "TERM=xterm", "NO_COLOR=1", x.env)
			in, feed, err := os.Pipe() // standard input is what takes long
			if err != nil {
				t.Fatal(err)
			}
			c.Stdin = in
			controller, terminal, err := pty.Open()
			if err != nil && os.Getenv("CI") != "" {
				t.Fatal("this test needs a pseudo-terminal, and CI must have it: ", err)
			}
			if err != nil {
				t.Skip("no pseudo-terminal: ", err)
			}
			defer func() { _ = controller.Close() }()
			c.Stdout, c.Stderr = terminal, terminal
			started := time.Now()
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			_, _ = terminal.Close(), in.Close()
			go func() {
				time.Sleep(x.wait)
				_, _ = io.WriteString(feed, policy)
				_ = feed.Close()
			}()
			text, _ := io.ReadAll(controller) // which ends with an error when the terminal is gone
			_ = c.Wait()
			if x.wait == 0 && time.Since(started) >= patienceOfReaders {
				t.Skip("it was not short on this machine")
			}
			shown := strings.Contains(string(text), "\rreading - (1 s)\x1b[K")
			if x.want != shown || !x.want && strings.Contains(string(text), "reading") {
				t.Errorf("progress was shown: %t\n%q", shown, text)
			}
			if x.want && !strings.Contains(string(text), "\r\x1b[KThe policy is valid") {
				t.Errorf("the line is not taken away before the answer: %q", text)
			}
			if !strings.Contains(string(text), "The policy is valid") {
				t.Errorf("no answer: %q", text)
			}
		})
	}
}

// TestProgressChild is the program in a process of its own.
func TestProgressChild(t *testing.T) {
	if os.Getenv("SEAWALL_PROGRESS_CHILD") == "" {
		t.Skip("run by TestProgressOnATerminal")
	}
	os.Exit(run([]string{"validate", "-"}, os.Stdin, os.Stdout, os.Stderr))
}
