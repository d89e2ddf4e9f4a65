package oracle

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// A namespace is a network namespace of a test.
type namespace string

// newNamespace makes a network namespace that the test removes. Without root
// or the tools it skips the test.
func newNamespace(t *testing.T) namespace {
	t.Helper()
	for _, tool := range []string{"ip", "nsenter", "ipset", "iptables-nft-restore", "iptables-legacy-restore"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is needed: %v", tool, err)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	name := fmt.Sprintf("oracle%d-%d", os.Getpid(), rand.IntN(1e6))
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Skipf("a network namespace cannot be made: %s", out)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
	return namespace(name)
}

// run runs a command inside the namespace and returns what it wrote.
func (n namespace) run(stdin string, args ...string) (string, error) {
	c := exec.Command("nsenter", append([]string{"--net=/var/run/netns/" + string(n)}, args...)...)
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	return string(out), err
}

// count returns how many files a test looks at: few, or as many as
// ORACLE_FILES says.
func count(t *testing.T, few int) int {
	s := os.Getenv("ORACLE_FILES")
	if s == "" {
		return few
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// restore returns the name of a restore program.
func restore(family int, backend string) string {
	return map[int]string{4: "iptables-", 6: "ip6tables-"}[family] + backend + "-restore"
}

// TestGeneratedFilesAreAccepted has both back ends test, or load, random files.
func TestGeneratedFilesAreAccepted(t *testing.T) {
	ns := newNamespace(t)
	for _, family := range []int{4, 6} {
		for i := range count(t, 8) {
			o := Options{Family: family, Known: i%3 == 0, Unknown: i%3 == 1, Loadable: i%2 == 0}
			f := Random(rand.New(rand.NewPCG(uint64(i), uint64(family))), o)
			if err := accepted(ns, f, o.Loadable); err != nil {
				t.Errorf("seed %d, IPv%d: %v\n%s\n%s", i, family, err, f.Sets, f.Text)
			}
		}
	}
}

// accepted returns an error for a file that a back end, or the evaluator, does
// not take.
func accepted(ns namespace, f File, load bool) error {
	if err := ns.loadSets(f); err != nil {
		return err
	}
	for _, backend := range []string{"nft", "legacy"} {
		args := []string{restore(f.Family, backend)}
		if !load {
			args = append(args, "--test")
		}
		if out, err := ns.run(f.Text, args...); err != nil {
			return fmt.Errorf("%s: %w: %s", backend, err, out)
		}
		if out, err := ns.run("*filter\nCOMMIT\n", args[0]); load && err != nil {
			return fmt.Errorf("%s: flush: %w: %s", backend, err, out)
		}
	}
	_, err := Parse(f.Text, f.Family)
	return err
}

// loadSets replaces the sets of the namespace.
func (n namespace) loadSets(f File) error {
	if out, err := n.run("", "ipset", "destroy"); err != nil {
		return fmt.Errorf("ipset destroy: %w: %s", err, out)
	}
	if out, err := n.run(f.Sets, "ipset", "restore"); err != nil {
		return fmt.Errorf("ipset restore: %w: %s", err, out)
	}
	_, err := ParseSets(f.Sets)
	return err
}

// TestOneVerdict has files of which everything can be evaluated: each packet
// has one verdict.
func TestOneVerdict(t *testing.T) {
	for i := range count(t, 100) {
		r := rand.New(rand.NewPCG(uint64(i), 7))
		o := Options{Family: pick(&maker{Rand: r}, 4, 6), Known: true}
		f := Random(r, o)
		set := rulesetOf(t, f)
		for range 20 {
			p := RandomPacket(r, f)
			if got := set.Verdicts("FORWARD", p); len(got) != 1 {
				t.Fatalf("seed %d: verdicts %q of %+v in\n%s\n%s", i, got, p, f.Sets, f.Text)
			}
		}
	}
}

func rulesetOf(t *testing.T, f File) *Ruleset {
	t.Helper()
	set, err := Parse(f.Text, f.Family)
	if err != nil {
		t.Fatalf("%v in\n%s", err, f.Text)
	}
	if set.Sets, err = ParseSets(f.Sets); err != nil {
		t.Fatalf("%v in\n%s", err, f.Sets)
	}
	return set
}
