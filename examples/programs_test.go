package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// program is seawall, built once for the tests of this folder.
func program(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		dir, err := os.MkdirTemp("", "seawall-")
		if err != nil {
			t.Fatal(err)
		}
		builtAt = filepath.Join(dir, "seawall")
		if out, err := exec.Command("go", "build", "-o", builtAt, "../cmd/seawall").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
	return builtAt
}

var (
	built   sync.Once
	builtAt string
)

// needs skips a test without these programs, and fails it in CI.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, p+" is missing")
		}
	}
}

// missing skips a test, and fails it in CI.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}
