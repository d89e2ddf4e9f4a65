//go:build linux

package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Engine is a Docker engine that the lab can run.
type Engine struct {
	Name     string // its version, as 28.5.2
	dockerd  string
	iptables string // the folder of the iptables that it is run with, "" for the machine's
}

// engines are the one that $DOCKERD names; or else the machine's own and those that
// .ci/engines fetched into the folder that $SEAWALL_ENGINES names.
var engines = sync.OnceValue(func() []Engine {
	if path := os.Getenv("DOCKERD"); path != "" {
		return []Engine{{version(path), path, ""}}
	}
	list := []Engine{{version("dockerd"), "dockerd", ""}}
	for _, suite := range []string{"trixie", "sid"} {
		dir := filepath.Join(os.Getenv("SEAWALL_ENGINES"), suite)
		if path := filepath.Join(dir, "bin", "dockerd"); fileExists(path) {
			list = append(list, Engine{version(path), path, filepath.Join(dir, "iptables")})
		}
	}
	return list
})

// version is what a dockerd says of itself.
func version(dockerd string) string {
	out, err := exec.Command(dockerd, "--version").Output()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) < 3 {
		return "none"
	}
	number, _, _ := strings.Cut(fields[2], "+")
	return strings.TrimSuffix(number, ",")
}

// Engines are all engines that the lab can run, the machine's own first. Under CI all of
// them have to be there.
func Engines(t testing.TB) []Engine {
	t.Helper()
	list := engines()
	const all = 3
	if os.Getenv("CI") != "" && os.Getenv("DOCKERD") == "" && len(list) < all {
		t.Fatalf("the lab has %d engines, not %d: .ci/engines fetches them, and SEAWALL_ENGINES names the folder", len(list), all)
	}
	return list
}

// program is the file of an iptables of a back end, of the engine's suite.
func (e Engine) program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(filepath.Join(e.iptables, name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
