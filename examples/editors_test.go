//go:build linux

package examples

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// editor returns the path of an editor: of the folder that SEAWALL_EDITORS names, which
// .ci/editors fills, or of PATH. Without it the test is skipped, and fails in CI.
func editor(t *testing.T, name string) string {
	t.Helper()
	if dir := os.Getenv("SEAWALL_EDITORS"); dir != "" {
		return filepath.Join(dir, "bin", name)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name+" is missing: .ci/editors fetches it, and SEAWALL_EDITORS names the folder")
	}
	return path
}

// Neovim, with the configuration as it is: findings, completion, a code lens, rename and
// formatting. What the session says is recorded beside it.
func TestNeovim(t *testing.T) {
	t.Parallel()
	nvim := editor(t, "nvim")
	c := exec.Command(nvim, "--headless", "--clean", "-u", "seawall.lua", "-l", "session.lua")
	c.Dir = "editors/neovim"
	c.Env = append(os.Environ(), "PATH="+filepath.Dir(program(t))+":"+os.Getenv("PATH"), "HOME="+t.TempDir())
	out, err := limited(time.Minute, c)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	record(t, "editors/neovim/session.txt", bytes.ReplaceAll(out, []byte("\r"), nil))
}

// Emacs, in the same way.
func TestEmacs(t *testing.T) {
	t.Parallel()
	emacs := editor(t, "emacs")
	c := exec.Command(emacs, "--batch", "-Q", "-L", ".", "-l", "session.el")
	c.Dir = "editors/emacs"
	c.Env = append(os.Environ(), "PATH="+filepath.Dir(program(t))+":"+os.Getenv("PATH"), "HOME="+t.TempDir())
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said // where it says what it loads
	late := time.AfterFunc(2*time.Minute, func() { _ = c.Process.Kill() })
	defer late.Stop()
	if err := c.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &said)
	}
	record(t, "editors/emacs/session.txt", out.Bytes())
}

// limited runs a command, and kills it after a while.
func limited(limit time.Duration, c *exec.Cmd) ([]byte, error) {
	late := time.AfterFunc(limit, func() { _ = c.Process.Kill() })
	defer late.Stop()
	return c.CombinedOutput()
}

// record compares what a session said with what is recorded, or records it with -update.
func record(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v: the session says\n%s\nwant\n%s", err, got, want)
	}
}

// screen is what a program writes to its terminal.
type screen struct {
	lock sync.Mutex
	text bytes.Buffer
	tty  *os.File
}

func (s *screen) read() {
	_, _ = io.Copy(writer(func(b []byte) {
		s.lock.Lock()
		defer s.lock.Unlock()
		s.text.Write(b)
	}), s.tty)
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

// until waits until a condition holds.
func (s *screen) until(t *testing.T, what string, holds func(shown string) bool) {
	t.Helper()
	for range 400 {
		s.lock.Lock()
		shown := s.text.String()
		s.lock.Unlock()
		if holds(shown) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	t.Fatalf("%s: not within 20 s\n%q", what, s.text.String())
}

// Helix, in a terminal: a diagnostic is on the screen, a name is renamed and the file is
// formatted.
func TestHelix(t *testing.T) {
	t.Parallel()
	hx := editor(t, "hx")
	home, dir := t.TempDir(), t.TempDir()
	config, err := os.ReadFile("editors/helix/languages.toml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(home, "helix"), 0o755); err != nil {
		t.Fatal(err)
	}
	policy := filepath.Join(dir, "policy.hcl")
	for path, text := range map[string]string{
		filepath.Join(home, "helix", "languages.toml"): string(config),
		policy: "host {\nexternal = [\"eth0\"]\n  unlisted = \"deny\"\n}\nset \"office\" { sources = [\"192.0.2.0/24\"] }\npolicy \"web\" {\n  ports = [443]\n  allow { sources = [set.office, set.none] }\n}\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command(hx, policy+":8:36")
	c.Dir = dir
	c.Env = append(os.Environ(), "PATH="+filepath.Dir(program(t))+":"+os.Getenv("PATH"), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home, "TERM=xterm-256color")
	tty, err := pty.StartWithSize(c, &pty.Winsize{Rows: 40, Cols: 160})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill() }()
	s := &screen{tty: tty}
	go s.read()
	s.until(t, "the diagnostic", func(shown string) bool { return strings.Contains(shown, "There is no set") })
	keys := func(text string) {
		for _, r := range text { // as somebody types, one after the other
			if _, err := tty.WriteString(string(r)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(30 * time.Millisecond)
		}
	}
	onDisk := func(wanted ...string) func(string) bool {
		return func(string) bool {
			text, err := os.ReadFile(policy)
			for _, w := range wanted {
				if err != nil || !strings.Contains(string(text), w) {
					return false
				}
			}
			return true
		}
	}
	keys("gg/office\rnn")
	keys(" r")
	time.Sleep(300 * time.Millisecond)
	keys("\x15headquarters\r")
	time.Sleep(500 * time.Millisecond)
	keys(":w\r")
	s.until(t, "the rename", onDisk("set \"headquarters\"", "set.headquarters"))
	keys(":format\r")
	time.Sleep(500 * time.Millisecond)
	keys(":w\r")
	s.until(t, "the formatting", onDisk("  external = [\"eth0\"]"))
	keys(":q!\r")
}

// The extension of VS Code: its grammar and a session of its protocol library with the
// server, and the package that is installed.
func TestVSCode(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"npm", "node"} {
		if _, err := exec.LookPath(name); err != nil {
			missing(t, name+" is missing")
		}
	}
	dir := filepath.Join(t.TempDir(), "vscode") // npm writes there
	if err := os.CopyFS(dir, os.DirFS("editors/vscode")); err != nil {
		t.Fatal(err)
	}
	_ = os.RemoveAll(filepath.Join(dir, "node_modules")) // of a developer
	examples, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"npm", "ci", "--no-audit", "--no-fund"}, {"npm", "test"}, {"npm", "run", "package"}} {
		c := exec.Command(command[0], command[1:]...)
		c.Dir = dir
		c.Env = append(os.Environ(), "SEAWALL="+program(t), "EXAMPLES="+examples)
		if out, err := limited(3*time.Minute, c); err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "seawall.vsix"))
	if err != nil || info.Size() > 1<<20 {
		t.Errorf("%v %v", info, err)
	}
}
