//go:build linux

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/packet"
)

// Each command that apply runs fails once, in turn: the exit code says which rules
// there are then, the previous ones or the new. In a short run each back end and each
// time to confirm takes a sixth of the commands.
func TestApplyWithEveryFault(t *testing.T) {
	t.Parallel()
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			for k, within := range []string{"0", "1s"} {
				first, step := 1, 1
				if !*long {
					first, step = 1+(k+len(b))%3, 12
				}
				s := newStops(t, b)
				f := newFailing(t, b)
				for n := first; ; n += step {
					s.reset()
					calls := f.set(n)
					c := s.seawallOn(s.args(s.second, within)...)
					c.Env = append(c.Env, "IPTABLES="+filepath.Join(f.dir, "iptables"), "IP6TABLES="+filepath.Join(f.dir, "ip6tables"), "IPSET="+filepath.Join(f.dir, "ipset"))
					said, _ := c.CombinedOutput() // the exit code is looked at
					code, now := c.ProcessState.ExitCode(), s.state()
					right := code == 0 && now == s.p2 && within == "0" || code > 0 && now == s.previous
					left, _ := filepath.Glob(filepath.Join(s.dir, "apply-*"))
					if !right || len(left) > 0 || code == 1 && !strings.Contains(string(said), "Error: ") {
						t.Errorf("call %d fails, --confirm-within %s: exit %d, left %v\n%s\n%s", n, within, code, left, said, now)
					}
					results.add("apply with a fault, "+string(b), 1, map[bool]int{false: 1}[right])
					if calls() < n {
						if n < 12 {
							t.Errorf("apply ran only %d commands", n)
						}
						break
					}
				}
			}
		})
	}
}

// failing are commands of which one call fails.
type failing struct{ dir string }

func newFailing(t *testing.T, b Backend) *failing {
	f := &failing{t.TempDir()}
	wrap := func(name, program string) {
		script := fmt.Sprintf(`#!/bin/sh
exec 9>>%[1]s/lock
flock 9
n=$(($(cat %[1]s/count) + 1))
echo "$n" >%[1]s/count
exec 9>&-
if [ "$n" = "$(cat %[1]s/fails)" ]; then
	echo "%[2]s: an injected fault" >&2
	exit 1
fi
exec %[3]s "$@"
`, f.dir, name, program)
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, suffix := range []string{"", "-save", "-restore"} {
		wrap("iptables"+suffix, b.Command(packet.IPv4, suffix))
		wrap("ip6tables"+suffix, b.Command(packet.IPv6, suffix))
	}
	wrap("ipset", "ipset")
	return f
}

// set makes the n-th call fail, and returns how many there were.
func (f *failing) set(n int) func() int {
	_ = os.WriteFile(filepath.Join(f.dir, "fails"), []byte(strconv.Itoa(n)), 0o600) // the commands would fail without it
	_ = os.WriteFile(filepath.Join(f.dir, "count"), []byte("0"), 0o600)
	return func() int {
		text, _ := os.ReadFile(filepath.Join(f.dir, "count")) // 0 without it
		count, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return count
	}
}
