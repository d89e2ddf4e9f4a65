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
