//go:build linux

package lab

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"testing"
)

var (
	long       = flag.Bool("lab.long", false, "run the lab for ten minutes, with many more policies")
	reportFile = flag.String("lab.report", "", "write the lab's report, in Markdown, to this `file`")
)

// report counts probes by scenario.
type report struct {
	mu   sync.Mutex
	rows map[string]*row
}

type row struct{ probes, disagreements int }

var results = &report{rows: map[string]*row{}}

// add counts probes of a scenario.
func (r *report) add(scenario string, probes, disagreements int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rows[scenario] == nil {
		r.rows[scenario] = &row{}
	}
	r.rows[scenario].probes += probes
	r.rows[scenario].disagreements += disagreements
}

// markdown is the report as a table.
func (r *report) markdown() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for n := range r.rows {
		names = append(names, n)
	}
	sort.Strings(names)
	var b strings.Builder
	b.WriteString("| scenario | probes sent | disagreements |\n| --- | ---: | ---: |\n")
	var total row
	for _, n := range names {
		x := r.rows[n]
		fmt.Fprintf(&b, "| %s | %d | %d |\n", n, x.probes, x.disagreements)
		total.probes += x.probes
		total.disagreements += x.disagreements
	}
	fmt.Fprintf(&b, "| **all** | **%d** | **%d** |\n", total.probes, total.disagreements)
	return b.String()
}

// reportName is where the report goes: the flag's file, or that of $LAB_REPORT,
// for runs of many packages that cannot be given a flag of one.
func reportName() string {
	if *reportFile != "" {
		return *reportFile
	}
	return os.Getenv("LAB_REPORT")
}

// oneBackEnd skips one of both back ends in a short run: which one, the name of the test
// says, so that either is used by half of the tests.
func oneBackEnd(t *testing.T, b Backend) {
	t.Helper()
	sum := 0
	for _, c := range t.Name()[:strings.LastIndex(t.Name(), "/")] {
		sum += int(c)
	}
	if !*long && b != Backends[sum%len(Backends)] {
		t.Skip("a short run takes one back end of each test")
	}
}

// waiting is how many tests run at a time, at least.
const waiting = 4

func TestMain(m *testing.M) {
	flag.Parse()
	// These tests wait more than they compute: for answers that do not come, for daemons.
	if p := flag.Lookup("test.parallel"); p.Value.String() == p.DefValue && runtime.NumCPU() < waiting {
		_ = p.Value.Set(fmt.Sprint(waiting))
	}
	removeStaleCgroups()
	removeStaleBuilds()
	code := m.Run()
	_ = os.RemoveAll(builtDir(os.Getpid())) // a run that leaves it is tidied up by the next
	if len(results.rows) > 0 {
		text := results.markdown()
		fmt.Print(text)
		if name := reportName(); name != "" {
			if err := os.WriteFile(name, []byte("# The lab's report\n\n"+text), 0o644); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
	}
	os.Exit(code)
}
