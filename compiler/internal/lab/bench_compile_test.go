//go:build linux

package lab

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2/hclparse"
)

// parseAlone names a file that a process of this test is to parse, and no more.
const parseAlone = "SEAWALL_BENCH_PARSE"

// TestParseAlone is no test: it is what the benchmark starts to see what HCL
// itself takes.
func TestParseAlone(t *testing.T) {
	name := os.Getenv(parseAlone)
	if name == "" {
		t.Skip("it is started by the benchmark")
	}
	if _, diags := hclparse.NewParser().ParseHCLFile(name); diags.HasErrors() {
		t.Fatal(diags)
	}
}

// A whole process each, against others that write the same rules: a table.
func TestBenchCompile(t *testing.T) {
	if !*bench {
		t.Skip("a benchmark: run it with -lab.bench")
	}
	dir := t.TempDir()
	seawall := filepath.Join(dir, "seawall")
	if out, err := exec.Command("go", "build", "-o", seawall, "../../../cmd/seawall").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	compile := func(policy string) func() *exec.Cmd {
		return func() *exec.Cmd {
			out := filepath.Join(dir, "out")
			_ = os.RemoveAll(out)
			return exec.Command(seawall, "compile", policy, "--format", "restore", "--out-dir", out)
		}
	}
	lists := randomLists(100, 1000)
	hundred := writePolicy(t, filepath.Join(dir, "lists"), lists, false)
	inline := writePolicy(t, filepath.Join(dir, "inline"), lists, true)
	fmt.Print("| process | policy | wall, s | MiB |\n| --- | --- | ---: | ---: |\n")
	process(t, "seawall compile", "100 ports × 1,000 CIDRs, lists in files", compile(hundred))
	if ferm, err := exec.LookPath("ferm"); err == nil {
		conf := writeFerm(t, dir, lists)
		process(t, "ferm --noexec", "the same", func() *exec.Cmd { return exec.Command(ferm, "--noexec", "--lines", conf) })
	}
	if aclgen, err := exec.LookPath("aclgen"); err == nil {
		base := writeCapirca(t, dir, lists)
		process(t, "capirca aclgen", "the same", func() *exec.Cmd {
			return exec.Command(aclgen, "--base_directory", base+"/policies", "--definitions_directory", base+"/def", "--output_directory", base)
		})
	}
	process(t, "seawall compile", "the same, lists inline", compile(inline))
	process(t, "hclparse alone", "the same, lists inline", func() *exec.Cmd {
		c := exec.Command(os.Args[0], "-test.run", "^TestParseAlone$")
		c.Env = append(os.Environ(), parseAlone+"="+inline)
		return c
	})
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		policy := writePolicy(t, filepath.Join(dir, fmt.Sprint(n)), randomLists(1, n), false)
		process(t, "seawall compile", fmt.Sprintf("1 port × %d CIDRs", n), compile(policy))
		if iprange, err := exec.LookPath("iprange"); err == nil {
			process(t, "iprange", "the same, merged", func() *exec.Cmd { return exec.Command(iprange, filepath.Join(filepath.Dir(policy), "0.txt")) })
		}
	}
}

// process runs a command seven times, and prints the medians, and between which times all were.
func process(t *testing.T, name, what string, command func() *exec.Cmd) {
	t.Helper()
	var seconds, memory []float64
	for range 7 {
		c := command()
		start := time.Now()
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		seconds = append(seconds, time.Since(start).Seconds())
		memory = append(memory, float64(c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)/1024)
	}
	fmt.Printf("| %s | %s | %.2f (%.2f to %.2f) | %.0f |\n", name, what, median(seconds), slices.Min(seconds), slices.Max(seconds), median(memory))
}

// randomLists are so many lists of so many /24 or /28 each.
func randomLists(lists, each int) [][]string {
	r := rand.New(rand.NewPCG(uint64(lists), uint64(each)))
	out := make([][]string, lists)
	for i := range out {
		for range each {
			if lists == 1 {
				out[i] = append(out[i], fmt.Sprintf("%d.%d.%d.%d/28", 1+r.IntN(223), r.IntN(256), r.IntN(256), r.IntN(16)*16))
				continue
			}
			out[i] = append(out[i], fmt.Sprintf("%d.%d.%d.0/24", 1+r.IntN(223), r.IntN(256), r.IntN(256)))
		}
	}
	return out
}

func mustWrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// writePolicy lets each list in on a port of its own.
func writePolicy(t *testing.T, dir string, lists [][]string, inline bool) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("host {\n  external = [\"eth0\"]\n  unlisted = \"allow\"\n}\n")
	for i, list := range lists {
		sources := fmt.Sprintf("[\"%s\"]", strings.Join(list, "\", \""))
		if !inline {
			mustWrite(t, filepath.Join(dir, fmt.Sprintf("%d.txt", i)), strings.Join(list, "\n")+"\n")
			fmt.Fprintf(&b, "set \"s%d\" {\n  files = [\"%d.txt\"]\n}\n", i, i)
			sources = fmt.Sprintf("[set.s%d]", i)
		}
		fmt.Fprintf(&b, "policy \"p%d\" {\n  ports = [%d]\n  allow { sources = %s }\n}\n", i, 1000+i, sources)
	}
	path := filepath.Join(dir, "policy.hcl")
	mustWrite(t, path, b.String())
	return path
}

func writeFerm(t *testing.T, dir string, lists [][]string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("table filter chain DOCKER-USER {\n")
	for i, list := range lists {
		port := fmt.Sprintf("interface eth0 proto tcp mod conntrack ctorigdstport %d ctdir ORIGINAL", 1000+i)
		fmt.Fprintf(&b, "%s saddr (%s) RETURN;\n%s DROP;\n", port, strings.Join(list, " "), port)
	}
	b.WriteString("}\n")
	path := filepath.Join(dir, "ferm.conf")
	mustWrite(t, path, b.String())
	return path
}

func writeCapirca(t *testing.T, dir string, lists [][]string) string {
	t.Helper()
	base := filepath.Join(dir, "capirca")
	var nets, services, policy strings.Builder
	policy.WriteString("header {\n  comment:: \"bench\"\n  target:: iptables FORWARD DROP nostate\n}\n")
	for i, list := range lists {
		fmt.Fprintf(&nets, "N%d = %s\n", i, strings.Join(list, "\n     "))
		fmt.Fprintf(&services, "P%d = %d/tcp\n", i, 1000+i)
		fmt.Fprintf(&policy, "term t%d {\n  protocol:: tcp\n  destination-port:: P%d\n  source-address:: N%d\n  action:: accept\n}\n", i, i, i)
	}
	mustWrite(t, filepath.Join(base, "def", "NETWORK.net"), nets.String())
	mustWrite(t, filepath.Join(base, "def", "SERVICES.svc"), services.String())
	mustWrite(t, filepath.Join(base, "policies", "pol", "bench.pol"), policy.String())
	return base
}
