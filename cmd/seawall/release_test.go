package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var release = flag.Bool("release", false, "build the packages and install the deb, as CI does")

// The packages are the same at every build; the deb installs, and what it
// installs works.
func TestRelease(t *testing.T) {
	if !*release && os.Getenv("CI") == "" {
		t.Skip("the packages are built in CI, or with -release: it takes a minute")
	}
	for _, p := range []string{"dpkg", "rpm", "git"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("this test needs %s", p)
		}
	}
	out := t.TempDir()
	var sums [2]string
	for i := range sums {
		output(t, "../../.ci/release", out)
		text, err := os.ReadFile(filepath.Join(out, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = string(text)
	}
	if sums[0] != sums[1] || strings.Count(sums[0], "\n") != 7 {
		t.Errorf("two builds differ, or are not complete:\n%s\n%s", sums[0], sums[1])
	}

	list := output(t, "tar", "-tzf", filepath.Join(out, "seawall-playground.tar.gz"))
	for _, name := range []string{"index.html", "playground.js", "wasm_exec.js", "seawall.wasm.gz"} {
		if !strings.Contains(list, "seawall-playground/"+name+"\n") {
			t.Errorf("the playground has no %s:\n%s", name, list)
		}
	}

	root := t.TempDir()
	for _, dir := range []string{"var/lib/dpkg/updates", "var/lib/dpkg/info"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	arch := strings.TrimSpace(output(t, "dpkg", "--print-architecture"))
	output(t, "dpkg", "--root="+root, "--force-not-root", "--force-script-chrootless", "--log=/dev/null", "-i", filepath.Join(out, "seawall_"+arch+".deb"))
	tag := strings.TrimSpace(output(t, "git", "describe", "--tags", "--always", "--dirty"))
	if got := output(t, filepath.Join(root, "usr/bin/seawall"), "version"); got != "seawall "+tag+"\n" {
		t.Errorf("the installed program says %q, want version %s", got, tag)
	}
	for _, name := range []string{"usr/share/man/man1/seawall-compile.1.gz", "usr/lib/systemd/system/seawall.service",
		"usr/share/bash-completion/completions/seawall", "etc/seawall", "usr/share/doc/seawall/copyright"} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
	compiled := output(t, filepath.Join(root, "usr/bin/seawall"), "compile", "../../examples/one-port", "--format", "shell")
	if want, err := os.ReadFile("../../examples/one-port/compiled/seawall.sh"); err != nil || compiled != string(want) {
		t.Errorf("the installed program compiles to something else: %v", err)
	}
	if files := output(t, "rpm", "-qpl", filepath.Join(out, "seawall_arm64.rpm")); !strings.Contains(files, "/usr/bin/seawall\n") ||
		!strings.Contains(files, "/usr/lib/systemd/system/seawall.service\n") {
		t.Errorf("the rpm has:\n%s", files)
	}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	var errOut strings.Builder
	c.Stderr = &errOut
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s%s", name, args, err, out, errOut.String())
	}
	return string(out)
}
