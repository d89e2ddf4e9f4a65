//go:build linux

package lab

import (
	"os"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/internal/judge/exttest"
	"github.com/seawall/seawall/compiler/packet"
)

// DOCKER-USER holds every rule of iptables' own extension tests that loads there. An
// apply that is not confirmed brings them back, byte for byte. Those that
// iptables-save cannot print so that they load again make apply stop before it
// changes anything; they are left out here.
func TestApplyBringsEveryRuleBack(t *testing.T) {
	t.Parallel()
	source := os.Getenv("IPTABLES_SOURCE")
	if source == "" {
		t.Skip("IPTABLES_SOURCE does not name an unpacked source package of iptables")
	}
	lines, err := exttest.Lines(source)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			w, _, state := faultWorld(t, b)
			n := map[int]int{}
			for _, f := range packet.Families {
				var good []string
				for _, l := range lines {
					rule := "-A DOCKER-USER " + l.Rule
					if l.Family != int(f) || l.Table != "filter" || strings.Contains(l.Rule, "-j LOG") && strings.Contains(l.Rule, "--log-ip-options") && f == packet.IPv6 {
						continue
					}
					text := "*filter\n:TRIAL - [0:0]\n" + strings.Replace(rule, "DOCKER-USER", "TRIAL", 1) + "\nCOMMIT\n"
					if _, err := w.top.Host.Run(strings.NewReader(text), b.Command(f, "-restore"), "--noflush"); err != nil {
						continue
					}
					// What is printed has to load again.
					saved := b.Save(w.top.Host, f, "filter")
					if _, err := w.top.Host.Run(strings.NewReader(saved), b.Command(f, "-restore"), "--test"); err == nil {
						good = append(good, rule)
					}
				}
				text := "*filter\n:TRIAL - [0:0]\n-X TRIAL\n" + strings.Join(good, "\n") + "\nCOMMIT\n"
				if said, err := w.top.Host.Run(strings.NewReader(text), b.Command(f, "-restore"), "--noflush"); err != nil {
					t.Fatalf("%v: %s", err, said)
				}
				n[int(f)] = len(good)
			}
			before := state()
			c := w.seawallOn("apply", policyFile(t, 2), "--yes", "--force", "--confirm-within", "1s", "--run-dir", t.TempDir())
			said, _ := c.CombinedOutput() // the exit code is looked at
			if code := c.ProcessState.ExitCode(); code != 2 || state() != before {
				t.Errorf("exit %d\n%s", code, said[max(0, len(said)-2000):])
			}
			t.Logf("%v rules by family", n)
			results.add("apply brings every rule back, "+string(b), n[4]+n[6], map[bool]int{true: 1}[state() != before])
		})
	}
}
