//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A compile that is stopped at any moment leaves the files of before or the new
// ones, each whole; after Ctrl-C nothing else, and after kill -9 at most a temporary
// file beside them.
func TestCompileIsStopped(t *testing.T) {
	t.Parallel()
	bin, dir := mustSeawall(t), t.TempDir()
	policy := func(name string, first int) string {
		var list strings.Builder
		for i := range 60_000 {
			fmt.Fprintf(&list, "%d.%d.%d.%d\n", first, i/32768, i/128%256, i%128*2)
		}
		where := filepath.Join(dir, name)
		text := "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\nset \"a\" {\n  files = [\"list\"]\n}\npolicy \"web\" {\n  ports = [80]\n  allow { sources = set.a }\n}\n"
		if err := os.Mkdir(where, 0o755); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"list": list.String(), "policy.hcl": text} {
			if err := os.WriteFile(filepath.Join(where, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return where
	}
	out := filepath.Join(dir, "out")
	whole := map[string]bool{}
	for i, p := range []string{policy("one", 10), policy("two", 11)} {
		if said, err := exec.Command(bin, "compile", p, "--out-dir", out).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		for _, name := range []string{"iptables", "ip6tables"} {
			text, err := os.ReadFile(filepath.Join(out, name))
			if err != nil {
				t.Fatal(err)
			}
			whole[name+string(text)] = true
		}
		if i == 1 {
			stoppedCompiles(t, bin, out, []string{filepath.Join(dir, "one"), p}, whole)
		}
	}
}

func stoppedCompiles(t *testing.T, bin, out string, policies []string, whole map[string]bool) {
	t.Helper()
	times := 12
	if *long {
		times = 200
	}
	r := rand.New(rand.NewPCG(1, 12))
	for i := range times {
		temp := t.TempDir()
		c := exec.Command(bin, "compile", policies[i%2], "--out-dir", out)
		c.Env = append(os.Environ(), "TMPDIR="+temp)
		var said bytes.Buffer
		c.Stderr = &said
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(r.IntN(400)) * time.Millisecond)
		kill := i%3 == 2
		if kill {
			_ = c.Process.Kill() // it may have ended
		} else {
			_ = c.Process.Signal(syscall.SIGINT)
		}
		_ = c.Wait() // the exit code is looked at
		// On a busy machine the signal may come before the program has begun: that is -1.
		if code := c.ProcessState.ExitCode(); !kill && code != 0 && (code != -1 || said.Len() > 0) && (code != 1 || said.String() != "Error: interrupted\n") {
			t.Errorf("Ctrl-C: exit %d, %q", code, said.String())
		}
		entries, err := os.ReadDir(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			path := filepath.Join(out, e.Name())
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if whole[e.Name()+string(text)] {
				continue
			}
			if !kill || e.Name() == "iptables" || e.Name() == "ip6tables" {
				t.Errorf("kill %v: %s with %d bytes", kill, e.Name(), len(text))
			}
			_ = os.Remove(path)
		}
		if left, _ := os.ReadDir(temp); len(left) > 0 && !kill {
			t.Errorf("left in the temporary folder: %v", left)
		}
	}
}
