//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/seawall/seawall/compiler/packet"
)

// Two applies, a watch that applies as well, and a person who adds rules, all at the
// same moment: each apply is loaded whole or refused, no rule of the person is lost,
// and in the end the kernel holds a policy that somebody was told is loaded.
func TestApplyBesideOthers(t *testing.T) {
	t.Parallel()
	runs := 5
	if *long {
		runs = 60
	}
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			w, _, state := faultWorld(t, b)
			dir := t.TempDir()
			policies := []string{policyFile(t, 2), policyFile(t, 3)}
			args := func(policy string) []string {
				return []string{"apply", policy, "--yes", "--force", "--confirm-within", "0", "--run-dir", dir}
			}
			var texts []string
			for _, p := range policies {
				if said, err := w.seawallOn(args(p)...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, said)
				}
				texts = append(texts, ownPart(state()))
			}
			for run := range runs {
				wrong := w.together(run, args, policies, texts, state, dir)
				if wrong != "" {
					t.Errorf("run %d: %s", run, wrong)
				}
				results.add("apply beside others, "+string(b), 1, map[bool]int{true: 1}[wrong != ""])
			}
		})
	}
}

// ownPart is the rules of Seawall's chains.
func ownPart(saved string) string {
	var b strings.Builder
	for line := range strings.Lines(saved) {
		if strings.HasPrefix(line, "-A DOCKER-USER ") || strings.HasPrefix(line, "-A SEAWALL-") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func (w *world) together(run int, args func(string) []string, policies, texts []string, state func() string, dir string) string {
	var wait sync.WaitGroup
	told := make([]bool, len(policies))
	said := make([][]byte, len(policies))
	for i, p := range policies {
		wait.Go(func() {
			c := w.seawallOn(args(p)...)
			said[i], _ = c.CombinedOutput() // the exit code is looked at
			told[i] = c.ProcessState.ExitCode() == 0
		})
	}
	added := make([]string, 0, 10)
	wait.Go(func() {
		for n := range 10 {
			rule := fmt.Sprintf("-A INPUT -s 10.%d.%d.1/32 -j ACCEPT", run, n)
			if _, err := w.top.Host.Run(nil, w.backend.Command(packet.IPv4, ""), append([]string{"-w"}, strings.Fields(rule)...)...); err == nil {
				added = append(added, rule)
			}
		}
	})
	wait.Go(func() {
		c := w.seawallOn("watch", policies[0], "--once", "--docker", "unix:///nowhere", "--exec", mustSeawall(w.t)+" "+strings.Join(args(policies[0]), " "))
		_, _ = c.CombinedOutput() // what it finds depends on the moment
	})
	wait.Wait()
	now := state()
	for _, rule := range added {
		if !strings.Contains(now, rule) {
			return "lost: " + rule
		}
	}
	for i, s := range said {
		if !told[i] && !bytes.Contains(s, []byte("another seawall apply")) {
			return fmt.Sprintf("an apply fails: %s", s)
		}
	}
	if !told[0] && !told[1] && ownPart(now) != texts[0] {
		return "no apply was loaded"
	}
	if own := ownPart(now); own != texts[0] && own != texts[1] {
		return "the kernel holds neither policy:\n" + now
	}
	if left, _ := exec.Command("ls", dir).Output(); strings.Contains(string(left), "apply-") {
		return "left behind: " + string(left)
	}
	return ""
}
