//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// A fault is external commands of the script, by their number in the order in
// which they run, that fail.
type fault struct {
	at  []int
	how failure
}

// failure is when a command fails.
type failure string

const (
	before failure = "before it did anything"
	half   failure = "after half of its output" // before, for a command that changes something
	after  failure = "after it did its work"
)

// faulty is a folder of commands in the place of those that the script runs. Each
// counts itself, and fails when its number is asked for.
type faulty struct {
	dir string
}

func newFaulty(t *testing.T, b Backend) *faulty {
	t.Helper()
	f := &faulty{t.TempDir()}
	reads := map[string]string{"sed": "sed", "cat": "cat", "sort": "sort", "ipset": "ipset"}
	for name, family := range map[string]packet.Family{"four": packet.IPv4, "six": packet.IPv6} {
		for _, suffix := range []string{"", "-restore", "-save"} {
			reads[name+suffix] = b.Command(family, "") + suffix
		}
	}
	for name, real := range reads {
		path, err := exec.LookPath(real)
		if err != nil {
			t.Fatal(err)
		}
		half := fmt.Sprintf("out=$(%s \"$@\")\nprintf '%%s' \"${out%%%%${out#????????????????????????????????????????}}\"\n", path)
		if strings.HasSuffix(name, "-restore") || name == "ipset" {
			half = ""
		}
		text := fmt.Sprintf("#!/bin/dash\nread -r n <%[1]s/count\nn=$((n + 1))\necho $n >%[1]s/count\ncase \" $FAULTS \" in\n*\" $n \"*)\n\tcase $HOW in\n\t*half*)\n%[2]s\t;;\n\t*work*) %[3]s \"$@\" ;;\n\tesac\n\techo \"fault $n\" >&2\n\texit 4\nesac\nexec %[3]s \"$@\"\n", f.dir, half, path)
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// run runs the script in a shell, and returns what it said, its exit code and how
// many commands it ran.
func (f *faulty) run(w *world, shell, script string, x fault) (said string, code, commands int) {
	w.t.Helper()
	count := filepath.Join(f.dir, "count")
	if err := os.WriteFile(count, []byte("0\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	c := w.top.Host.Command("timeout", append(append([]string{"-s", "KILL", "60"}, strings.Fields(shell)...), script)...)
	faults := strings.Trim(fmt.Sprint(x.at), "[]")
	c.Env = append(os.Environ(), "PATH="+f.dir+":"+os.Getenv("PATH"), "IPTABLES=four", "IP6TABLES=six", "IPSET=ipset", "FAULTS="+faults, "HOW="+string(x.how))
	out, _ := c.CombinedOutput() // the code is looked at
	return string(out), c.ProcessState.ExitCode(), f.number(w.t, "count")
}

// number reads a number that the commands noted.
func (f *faulty) number(t *testing.T, name string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// scenario is two policies, of which the script of the second is loaded over the
// first.
type scenario struct {
	name     string
	old, new *schema.Document
	layout   lower.Layout
	behind   bool // other rules of FORWARD and INPUT stand before the jumps
}

func scenarios() []scenario {
	proxied := lifeText(1)
	without := strings.Replace(lifeText(2), "unlisted = \"deny\"", "unlisted = \"deny\"\n  userland_proxy = false", 1)
	return []scenario{
		{"indexed", parsePolicy(proxied), parsePolicy(lifeText(2)), lower.Indexed, false},
		{"INPUT needed no more", parsePolicy(proxied), parsePolicy(without), lower.Flat, true},
		{"INPUT needed anew", parsePolicy(strings.Replace(without, "20002", "20001", 1)), parsePolicy(lifeText(2)), lower.Flat, true},
		{"ipset", parsePolicy(proxied), parsePolicy(lifeText(2)), lower.IPSet, false},
	}
}

// shells are the shells that the script has to work with.
func shells(t *testing.T) []string {
	var list []string
	for _, s := range []string{"dash", "bash --posix", "busybox ash"} {
		if _, err := exec.LookPath(strings.Fields(s)[0]); err == nil {
			list = append(list, s)
		} else if os.Getenv("CI") != "" {
			t.Errorf("%s is not here", s)
		}
	}
	return list
}

// Whatever command of the script fails, alone or together with any other, each
// family ends with all of its previous rules or with all of its new ones, and the
// script says which.
func TestEveryFaultOfTheScript(t *testing.T) {
	t.Parallel()
	for _, b := range Backends {
		for _, s := range scenarios() {
			t.Run(string(b)+"/"+s.name, func(t *testing.T) {
				Need(t)
				if short := map[string]bool{"nft/INPUT needed no more": true, "legacy/INPUT needed anew": true, "nft/ipset": true}; !*long && !short[string(b)+"/"+s.name] {
					t.Skip("all scenarios on both back ends are for the long run")
				}
				t.Parallel()
				w := &world{t: t, backend: b, top: NewTopology(t, "eth0", "eth1")}
				everyFault(t, w, s)
			})
		}
	}
}

func everyFault(t *testing.T, w *world, s scenario) {
	f := newFaulty(t, w.backend)
	old, fresh := scriptOf(t, s.old, s.layout), scriptOf(t, s.new, s.layout)
	var saved [2]string
	reset := func() (was [2]string) {
		t.Helper()
		if saved[0] != "" && s.layout != lower.IPSet { // the sets come and go with the script
			w.restore(saved)
			return w.sortedRules()
		}
		if said, code, _ := f.run(w, "dash", old, fault{}); code != 0 {
			t.Fatalf("the first policy is not loaded: %s", said)
		}
		if s.behind {
			w.jumpsBehind()
		}
		for i, family := range packet.Families {
			saved[i] = w.backend.Save(w.top.Host, family, "filter")
		}
		return w.sortedRules()
	}
	runs, wrong := 0, 0
	list := shells(t)
	if !*long {
		list = list[runsOf(t)%len(list):][:1]
	}
	for _, shell := range list {
		reset()
		said, code, n := f.run(w, shell, fresh, fault{})
		if code != 0 || n < 10 {
			t.Fatalf("%s: without a fault: exit %d after %d commands: %s", shell, code, n, said)
		}
		try := func(x fault) (commands int) {
			was := reset()
			said, code, commands := f.run(w, shell, fresh, x)
			runs++
			if why := s.judge(w, was, said, code); why != "" {
				wrong++
				t.Errorf("%s, commands %v fail %s: %s\nexit %d: %s", shell, x.at, x.how, why, code, said)
			}
			return commands
		}
		eachFault(n, runsOf(t), try)
	}
	results.add("faults of the script, "+string(w.backend)+", "+s.name, runs, wrong)
}

// runsOf is a number that differs from test to test, and not from run to run.
func runsOf(t *testing.T) int { return len(t.Name()) }

// eachFault tries every command alone, and with every other one that runs after it
// all the same: after most faults the script ends, and a second one is never met. A
// short run takes a quarter of the commands, another one in each scenario, one way in
// which they fail, and some of the pairs.
func eachFault(n, scenario int, try func(fault) (commands int)) {
	ways := []failure{before, half, after}
	for i := 1; i <= n; i++ {
		for k, how := range ways {
			if !*long && (k != i%3 || (i+scenario)%4 != 0) {
				continue
			}
			for j := try(fault{[]int{i}, how}); j > i; j-- {
				switch {
				case *long:
					try(fault{[]int{i, j}, ways[(k+j)%3]})
				case (i+j)%24 == 0:
					try(fault{[]int{i, j}, how})
				}
			}
		}
	}
}

// judge compares what the script said with what the kernel holds.
func (s scenario) judge(w *world, was [2]string, said string, code int) string {
	fresh := [2]bool{} // of each family
	switch {
	case code == 0:
		fresh = [2]bool{true, true}
	case strings.Contains(said, "nothing was changed"), strings.Contains(said, "the rules were not changed"), strings.Contains(said, "both families have their previous rules"):
	case strings.Contains(said, "IPv4 could not be rolled back and has the new ones"):
		fresh = [2]bool{true, false}
	default:
		return "it does not say which rules the host has"
	}
	now := w.sortedRules()
	for i, family := range packet.Families {
		if !fresh[i] {
			if diff := cmp.Diff(was[i], now[i]); diff != "" {
				return fmt.Sprintf("%v is not as it was:\n%s", family, diff)
			}
		} else if ok, why := w.means(s.new, family); !ok {
			return fmt.Sprintf("%v: %s", family, why)
		}
	}
	return ""
}

// sortedRules are the filter rules of both families, those of each chain in their
// order: the chains may stand in another.
func (w *world) sortedRules() (text [2]string) {
	for i, family := range packet.Families {
		lines := strings.Split(counters.ReplaceAllString(w.backend.Save(w.top.Host, family, "filter"), "[0:0]"), "\n")
		lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "#") })
		slices.SortStableFunc(lines, func(a, b string) int { return strings.Compare(chainName(a), chainName(b)) })
		text[i] = strings.Join(lines, "\n")
	}
	return text
}

func chainName(line string) string {
	if f := strings.Fields(line); len(f) > 1 && f[0] == "-A" {
		return f[1]
	}
	return line
}

// restore loads what Save printed.
func (w *world) restore(saved [2]string) {
	w.t.Helper()
	for i, family := range packet.Families {
		c := w.top.Host.Command(w.backend.Command(family, "")+"-restore", "-w")
		c.Stdin = strings.NewReader(saved[i])
		if said, err := c.CombinedOutput(); err != nil {
			w.t.Fatalf("%v: %s", err, said)
		}
	}
}

// jumpsBehind puts a rule of somebody else before each jump.
func (w *world) jumpsBehind() {
	for _, family := range packet.Families {
		for from, to := range map[string]string{"FORWARD": "DOCKER-USER", "INPUT": "SEAWALL-INPUT"} {
			other := []string{from, "-i", "lan0", "-j", "ACCEPT"}
			run := func(verb string, rule ...string) bool {
				return w.top.Host.Command(w.backend.Command(family, ""), append([]string{"-w", verb}, rule...)...).Run() == nil
			}
			for run("-D", other...) {
			}
			if run("-C", from, "-j", to) {
				run("-D", from, "-j", to)
				run("-I", from, "-j", to)
				run("-I", other...)
			}
		}
	}
}

func scriptOf(t *testing.T, doc *schema.Document, layout lower.Layout) string {
	t.Helper()
	out, err := compiler.Compile(context.Background(), doc, compiler.Options{Format: emit.Shell, Layout: layout, Source: "policy.hcl"})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "seawall.sh")
	if err := os.WriteFile(path, out.Files[0].Bytes, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
