package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// A policy with a million sources is compiled and proved in 300 MiB, on two cores.
func TestMillionSourcesIn300MiB(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "seawall")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	random, list := rand.New(rand.NewPCG(1, 2)), bytes.Buffer{}
	for range 1_000_000 {
		bits := 24 + random.IntN(9)
		a := (1<<24 + random.Uint32N(223<<24)) &^ (1<<(32-bits) - 1)
		fmt.Fprintf(&list, "%d.%d.%d.%d/%d\n", a>>24, a>>16&255, a>>8&255, a&255, bits)
	}
	policy := "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\npolicy \"web\" {\n  ports = \"80/tcp\"\n  allow { sources = set.list }\n}\nset \"list\" { files = [\"list.txt\"] }\n"
	for name, text := range map[string][]byte{"list.txt": list.Bytes(), "policy.hcl": []byte(policy)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command(program, "compile", "policy.hcl", "--format", "restore", "--out-dir", "out")
	c.Dir, c.Env = dir, append(os.Environ(), "GOMAXPROCS=2", "GOGC=", "GOMEMLIMIT=")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	usage := c.ProcessState.SysUsage().(*syscall.Rusage)
	if took := usage.Maxrss >> 10; took > 300 {
		t.Errorf("it took %d MiB", took)
	} else {
		t.Logf("%d MiB", took)
	}
}
