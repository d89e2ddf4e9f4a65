// Package playground tests the playground: that its compiler says what the commands say, and
// that its page works in a browser.
package playground

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// temp is a folder for what all tests share.
var temp string

func TestMain(m *testing.M) {
	var err error
	if temp, err = os.MkdirTemp("", "playground"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(temp)
	os.Exit(code)
}

var (
	siteOnce = sync.OnceValues(func() (string, error) {
		dir := filepath.Join(temp, "site")
		return dir, run("go", "run", "./build", "-repo", "../..", "-version", "of a test", dir)
	})
	commandOnce = sync.OnceValues(func() (string, error) {
		program := filepath.Join(temp, "seawall")
		return program, run("go", "build", "-o", program, "../../cmd/seawall")
	})
)

// site is the playground as it is served.
func site(t *testing.T) string {
	t.Helper()
	dir, err := siteOnce()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// command is the program.
func command(t *testing.T) string {
	t.Helper()
	program, err := commandOnce()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func run(name string, args ...string) error {
	c := exec.Command(name, args...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	return c.Run()
}

// needs finds a program; without it the test is skipped, unless CI is set.
func needs(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatalf("this test needs %s, and CI must have it", name)
	default:
		t.Skipf("this test needs %s", name)
	}
	return path
}

// The wasm program has nothing of what only a host has, and is small enough to be fetched.
func TestSize(t *testing.T) {
	info, err := os.Stat(filepath.Join(site(t), "seawall.wasm.gz"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes compressed", info.Size())
	if info.Size() > 6<<20 {
		t.Errorf("the compiler has %d bytes compressed", info.Size())
	}
	c := exec.Command("go", "list", "-deps", "./wasm")
	c.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"net/http", "os/exec", "github.com/seawall/seawall/compiler/docker", "github.com/seawall/seawall/compiler/host", "github.com/spf13/cobra", "github.com/moby/moby/client"} {
		if contains(out, name) {
			t.Errorf("it has %s in it", name)
		}
	}
}

// Two builds are the same.
func TestReproducible(t *testing.T) {
	again := filepath.Join(t.TempDir(), "again")
	if err := run("go", "run", "./build", "-repo", "../..", "-version", "of a test", again); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(again)
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		a, errA := os.ReadFile(filepath.Join(again, f.Name()))
		b, errB := os.ReadFile(filepath.Join(site(t), f.Name()))
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Errorf("%s differs (%v, %v)", f.Name(), errA, errB)
		}
	}
}
