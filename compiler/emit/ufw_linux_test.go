package emit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// before.init and the rules, as ufw loads them: in a fresh network namespace, twice, with
// Docker's jump before the second time. The jumps are there once and first, and the
// chains hold what the files say.
func TestInitMakesTheJumpsOnce(t *testing.T) {
	for _, name := range []string{"unshare", "iptables-save", "ip6tables-save"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("this test needs %s", name)
		}
	}
	if exec.Command("unshare", "-n", "iptables", "-S").Run() != nil {
		t.Skip("this test needs root, and a network namespace")
	}
	dir := t.TempDir()
	if _, err := Write(dir, UFW.Compile(testChains(true))); err != nil {
		t.Fatal(err)
	}
	start := filepath.Join(dir, UFWHook) + " start\niptables-restore -n < " + filepath.Join(dir, "after.rules") + "\nip6tables-restore -n < " + filepath.Join(dir, "after6.rules") + "\n"
	script := "set -e\n" + filepath.Join(dir, UFWHook) + " status\n" + start + filepath.Join(dir, UFWHook) + " stop\n" +
		"iptables -A INPUT -j DROP\niptables -A FORWARD -j ACCEPT\n" + start + "iptables-save -t filter\nip6tables-save -t filter\n"
	c := exec.Command("unshare", "-n", "sh", "-c", script)
	c.Env = append(os.Environ(), "LC_ALL=C")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var rules []string
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "-A ") {
			rules = append(rules, strings.TrimSpace(line))
		}
	}
	want := "-A INPUT -j SEAWALL-INPUT\n-A INPUT -j DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -j ACCEPT\n-A DOCKER-USER -i eth0 -j DROP\n" +
		"-A INPUT -j SEAWALL-INPUT\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -i eth0 -j DROP"
	if got := strings.Join(rules, "\n"); got != want {
		t.Errorf("the rules are\n%s\nwant\n%s", got, want)
	}
}

// Sets that others fill are created where they are missing, and left alone where they are
// there, whatever their options: without them ufw could not load the rules.
func TestInitCreatesFilledSets(t *testing.T) {
	for _, name := range []string{"unshare", "ipset"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("this test needs %s", name)
		}
	}
	if exec.Command("unshare", "-n", "ipset", "list").Run() != nil {
		t.Skip("this test needs root, and a network namespace")
	}
	c, six := testChains(true), *testChains(true).V6
	c.V6 = &six
	c.V4.Awaited, c.V6.Awaited = []string{"bans", "theirs"}, []string{"bans6"}
	dir := t.TempDir()
	if _, err := Write(dir, UFW.Compile(c)); err != nil {
		t.Fatal(err)
	}
	hook := filepath.Join(dir, UFWHook)
	script := "set -e\nipset create theirs hash:ip\nipset add theirs 192.0.2.1\n" + hook + " start\nipset add bans 192.0.2.2\n" + hook + " start\nipset save\n"
	out, err := exec.Command("unshare", "-n", "sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"create theirs hash:ip family inet ", "add theirs 192.0.2.1\n", "create bans hash:net family inet ", "add bans 192.0.2.2 ", "create bans6 hash:net family inet6 "} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, SetsFile)); err == nil {
		t.Error("there is a file of sets that nothing loads")
	}
}

// A file of netfilter-persistent can be loaded again and again while Docker runs: one
// jump in INPUT, and nothing of Docker's changes.
func TestPersistentReloads(t *testing.T) {
	if _, err := exec.LookPath("unshare"); err != nil || exec.Command("unshare", "-n", "iptables", "-S").Run() != nil {
		t.Skip("this test needs root, and a network namespace")
	}
	dir := t.TempDir()
	if _, err := Write(dir, Persistent.Compile(testChains(true))); err != nil {
		t.Fatal(err)
	}
	load := "iptables-restore -n < " + filepath.Join(dir, "rules.v4") + "\n"
	script := "set -e\n" + load + "iptables -I FORWARD -j DOCKER-USER\niptables -N DOCKER\niptables -A FORWARD -o docker0 -j DOCKER\n" + load + load + "iptables -S\n"
	out, err := exec.Command("unshare", "-n", "sh", "-c", script).CombinedOutput()
	want := "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n-N DOCKER\n-N DOCKER-USER\n-N SEAWALL-INPUT\n-A INPUT -j SEAWALL-INPUT\n" +
		"-A FORWARD -j DOCKER-USER\n-A FORWARD -o docker0 -j DOCKER\n-A DOCKER-USER -i eth0 -j DROP\n"
	if err != nil || string(out) != want {
		t.Errorf("%v: the rules are\n%s\nwant\n%s", err, out, want)
	}
}
