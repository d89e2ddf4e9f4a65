package emit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// The script that apply runs for a shared DOCKER-USER has the rules of the script that
// compile writes, and no way back of its own.
func TestGuarded(t *testing.T) {
	c := &Chains{Source: "policy.hcl", Shared: true, ToHost: true}
	for f, table := range map[packet.Family]**iptables.Table{packet.IPv4: &c.V4, packet.IPv6: &c.V6} {
		file, err := iptables.Parse([]byte("*filter\n:SEAWALL-FORWARD - [0:0]\n:SEAWALL-INPUT - [0:0]\n-A SEAWALL-FORWARD -i eth0 -j DROP\nCOMMIT\n"), iptables.Options{Family: f, NoFlush: true})
		if err != nil {
			t.Fatal(err)
		}
		*table = file.Table("filter")
	}
	src := Shell.Files(c)[0].Bytes
	guarded, err := Guarded(src)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"back() {": false, "kept() {": false, `"drop-${rules_of#rules_v}"`: true, "-A SEAWALL-FORWARD -i eth0 -j DROP\n": true, "\njoin() {": true} {
		if strings.Contains(string(guarded), text) != want {
			t.Errorf("%q in the script: %v, want %v", text, !want, want)
		}
	}
	if _, err := ReadScript(guarded); err == nil {
		t.Error("the script is read like one that compile has written")
	}
	c.Shared = false
	if _, err := Guarded(Shell.Files(c)[0].Bytes); err == nil {
		t.Error("a script for the whole chain is no error")
	}
	path := filepath.Join(t.TempDir(), "new.sh")
	if err := os.WriteFile(path, guarded, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, check := range [][]string{{"sh", "-n"}, {"shellcheck", "--shell=sh", "--enable=all", "--exclude=SC2250,SC2310,SC2312"}} {
		if _, err := exec.LookPath(check[0]); err != nil {
			continue
		}
		if out, err := exec.Command(check[0], append(check[1:], path)...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", check[0], err, out)
		}
	}
}

// The script takes what leads to Seawall's chains out of a shared DOCKER-USER, and no rule
// of others that only has the same words.
func TestJoinKnowsTargets(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("this test needs a shell")
	}
	c := &Chains{Source: "policy.hcl", Shared: true, ToHost: true, V4: &iptables.Table{Name: "filter"}, V6: &iptables.Table{Name: "filter"}}
	script := string(Shell.Files(c)[0].Bytes)
	functions := ""
	for _, name := range []string{"ours", "join"} {
		_, body, ok := strings.Cut(script, "\n"+name+"() {\n")
		body, _, ended := strings.Cut(body, "\n}\n")
		if !ok || !ended {
			t.Fatalf("the script has no %s:\n%s", name, script)
		}
		functions += name + "() {\n" + body + "\n}\n"
	}
	const others = `-A DOCKER-USER -s 192.0.2.7/32 -m comment --comment "my -j SEAWALL-x rule" -j DROP
-A DOCKER-USER -m comment --comment "x -j SEAWALL-FORWARD"
-A DOCKER-USER -j LOG --log-prefix "a -j SEAWALL-x "
-A DOCKER-USER -j LOG --log-prefix SEAWALL-x
`
	const own = "DOCKER-USER -m comment --comment SEAWALL-q -j SEAWALL-OLD\nDOCKER-USER -s 192.0.2.1/32 -g SEAWALL-FORWARD\nDOCKER-USER -j SEAWALL-X\n"
	state := others + "-A " + strings.ReplaceAll(strings.TrimSpace(own), "\n", "\n-A ") + "\n-A DOCKER-USER -j SEAWALL-FORWARD"
	command := exec.Command("sh", "-c", functions+"join \"$1\"", "sh", state)
	out, err := command.CombinedOutput()
	want := "-D " + strings.ReplaceAll(strings.TrimSpace(own), "\n", "\n-D ") + "\n"
	if err != nil || string(out) != want {
		t.Errorf("%v, join prints\n%s\nwant\n%s", err, out, want)
	}
}
