//go:build linux

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The README's four commands close a host: they are run as they stand there, in one
// shell, on a host with a running engine and boot files of somebody else.
func TestReadmeClosesAHost(t *testing.T) {
	t.Parallel()
	Need(t, "unshare")
	w := newWorld(t, Backends[0])
	w.docker.Run("plain", []string{"-p", "8080:80"}, "80/tcp")
	w.docker.WaitRunning("plain")
	w.both2("README", "before", Open)

	text, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)## Close a host in four commands\n\n```sh\n(.*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatal("the README does not show how to close a host")
	}
	commands := strings.Split(strings.TrimSpace(string(m[1])), "\n")
	if len(commands) != 4 || !strings.HasPrefix(commands[1], "seawall apply ") {
		t.Fatalf("the README shows %q", commands)
	}
	foreign, err := filepath.Abs("testdata/foreign")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := fmt.Sprintf(`set -e
mkdir -p /etc/sysconfig
mount -t tmpfs tmpfs /etc/sysconfig; mount -t tmpfs tmpfs /run
cp %[1]s/iptables %[1]s/ip6tables /etc/sysconfig/
cd %[2]s
mkdir bin; ln -s %[3]s bin/seawall; PATH=$PWD/bin:$PATH; export PATH
%[4]s
sed -i 's/default = "allow"/allow { sources = ["%[8]s", "%[9]s"] }/' policy.hcl  # the decision
(echo yes; sleep 3; echo yes; sleep 3) | %[5]s
%[6]s
%[7]s
seawall verify policy.hcl --rules /etc/sysconfig/iptables
seawall verify policy.hcl --rules /etc/sysconfig/ip6tables
grep -c . /etc/sysconfig/iptables
`, foreign, dir, mustSeawall(t), commands[0], commands[1], commands[2], commands[3], friend, friend6)
	c := w.top.Host.Command("unshare", "--mount", "sh", "-c", script)
	c.Env = append(w.seawallOn().Env, "DOCKER_HOST=unix://"+w.docker.socket())
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("the README's commands end with %v", err)
	}
	w.both("README", "after")
}
