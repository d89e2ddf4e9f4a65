package exttest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sourceLines returns the test lines of the iptables source package that the
// environment variable names.
func sourceLines(t *testing.T) []Line {
	t.Helper()
	source := os.Getenv("IPTABLES_SOURCE")
	if source == "" {
		t.Skip("IPTABLES_SOURCE does not name an unpacked iptables source package")
	}
	lines, err := Lines(source)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// needKernel skips a test that has nothing to load rules into.
func needKernel(t *testing.T) {
	t.Helper()
	if os.Getenv("IPTABLES_SOURCE") == "" {
		t.Skip("IPTABLES_SOURCE is not set: nothing is loaded into this kernel")
	}
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	for _, name := range []string{"unshare", "nsenter", "iptables-nft-restore", "iptables-legacy-restore"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
}

// harness runs iptables-test.py's own reader over its own files. It takes the
// place of the functions that load rules, and prints what they are called with.
const harness = `
import glob, importlib.util, json, os, sys
spec = importlib.util.spec_from_file_location("harness", "iptables-test.py")
m = importlib.util.module_from_spec(spec)
spec.loader.exec_module(m)
calls = []
def run_test(iptables, rule, rule_save, res, filename, lineno, netns):
    calls.append([m.EXECUTABLE, os.path.basename(filename), lineno, iptables, rule.strip(), rule_save.strip(), res])
    return 0
m.run_test = run_test
m.execute_cmd = lambda *args: 0
m.fast_run_possible = lambda filename: False
sys.stdout = sys.stderr
for m.EXECUTABLE in ["xtables-nft-multi", "xtables-legacy-multi"]:
    for name in sorted(glob.glob("extensions/*.t")):
        if "libebt_" not in name and "libarpt_" not in name:
            m.run_test_file(name, None)
json.dump(calls, sys.__stdout__)
`

// TestLinesAgainstScript compares Lines with what iptables-test.py reads.
func TestLinesAgainstScript(t *testing.T) {
	lines := sourceLines(t)
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	cmd := exec.Command("python3", "-B", "-c", harness)
	cmd.Dir = os.Getenv("IPTABLES_SOURCE")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var want [][]any
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, backend := range []string{NFT, Legacy} {
		for _, l := range lines {
			if l.Upstream {
				got = append(got, scriptCall(l, backend))
			}
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d lines, iptables-test.py reads %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if w := fmt.Sprint(want[i]...); got[i] != w {
			t.Fatalf("line %d:\n got %s\nwant %s", i, got[i], w)
		}
	}
	t.Logf("%d calls of run_test are the same, argument by argument", len(got))
}

// scriptCall returns the arguments of run_test for a line.
func scriptCall(l Line, backend string) string {
	iptables, table, save := "iptables", " -t "+l.Table, l.Rule
	if l.Family == 6 {
		iptables = "ip6tables"
	}
	if l.Table == "filter" && l.File != "libip6t_eui64.t" {
		table = "" // no "*" line: the script adds no option
	}
	if l.Expected != "" || l.Result == Fail && !strings.Contains(sourceLine(l), ";=;") {
		save = l.Expected
	}
	return fmt.Sprint("xtables-"+backend+"-multi", l.File, float64(l.Number), iptables,
		strings.TrimSpace(l.Chain+table+" "+l.Rule), strings.TrimSpace(l.Chain+" "+save), string(l.Want(backend)))
}

// sourceLine returns the line of the file that a Line was read from.
func sourceLine(l Line) string {
	text, err := os.ReadFile(filepath.Join(os.Getenv("IPTABLES_SOURCE"), "extensions", l.File))
	if err != nil {
		return ""
	}
	return strings.Split(string(text), "\n")[l.Number-1]
}

// TestCounts prints how many lines there are, and fails for none.
func TestCounts(t *testing.T) {
	lines := sourceLines(t)
	files := make(map[string]bool)
	for _, l := range lines {
		files[l.File] = true
	}
	t.Logf("%d files", len(files))
	for _, family := range []int{4, 6} {
		all := pick(lines, func(l Line) bool { return l.Family == family })
		valid := pick(all, func(l Line) bool { return l.Valid })
		upstream := pick(all, func(l Line) bool { return l.Upstream })
		t.Logf("IPv%d: %d lines in %d lines of files: %d valid, %d invalid; iptables-test.py runs %d of them",
			family, len(all), texts(all), len(valid), len(all)-len(valid), len(upstream))
		if len(valid) == 0 || len(valid) == len(all) {
			t.Errorf("IPv%d: %d of %d lines are valid", family, len(valid), len(all))
		}
	}
}

// texts returns the number of different lines in the files.
func texts(lines []Line) int {
	seen := make(map[string]bool)
	for _, l := range lines {
		seen[fmt.Sprint(l.File, l.Number)] = true
	}
	return len(seen)
}

// pick returns the elements that a function is true for.
func pick[T any](all []T, keep func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(x T) bool { return !keep(x) })
}

// TestSaved loads every line with both back ends and prints where this kernel or
// this version of iptables differs from the expectation. A difference is no
// failure, for kernels lack modules; that most lines agree is what it asserts.
func TestSaved(t *testing.T) {
	lines := sourceLines(t)
	needKernel(t)
	for _, backend := range []string{NFT, Legacy} {
		results, err := Saved(backend, lines)
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range []int{4, 6} {
			logCounts(t, fmt.Sprintf("%s IPv%d", backend, family),
				pick(results, func(r Result) bool { return r.Family == family && r.Upstream }))
		}
		logCounts(t, backend+" IPv6, files of libxt_ and iptables.t",
			pick(results, func(r Result) bool { return !r.Upstream }))
		logDifferences(t, results)
	}
}

// logCounts prints the counts of some results.
func logCounts(t *testing.T, name string, results []Result) {
	t.Helper()
	valid := pick(results, func(r Result) bool { return r.Want(r.Backend) != Fail })
	loaded := pick(valid, func(r Result) bool { return r.Loaded })
	agree := pick(loaded, Result.Agrees)
	exact := pick(loaded, Result.Exact)
	invalid := len(results) - len(valid)
	refused := pick(results, func(r Result) bool { return r.Want(r.Backend) == Fail && !r.Loaded })
	t.Logf("%s: %d valid, %d of them loaded, %d saved as expected, %d of them exactly; %d invalid, %d of them refused",
		name, len(valid), len(loaded), len(agree), len(exact), invalid, len(refused))
	if upstream := len(results) > 0 && results[0].Upstream; upstream && len(agree)*10 < len(valid)*7 {
		t.Errorf("%s: only %d of %d valid lines are saved as expected", name, len(agree), len(valid))
	}
}

// logDifferences prints each line that differs from the expectation once, with
// all the chains that it differs in.
func logDifferences(t *testing.T, results []Result) {
	t.Helper()
	type key struct {
		file           string
		number, family int
		what           string
	}
	chains := make(map[key][]string)
	for _, r := range results {
		if !r.Agrees() {
			k := key{r.File, r.Number, r.Family, difference(r)}
			chains[k] = append(chains[k], r.Chain)
		}
	}
	var all []string
	for k, in := range chains {
		all = append(all, fmt.Sprintf("%s:%d IPv%d %s: %s", k.file, k.number, k.family, strings.Join(in, ","), k.what))
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(a, b) })
	t.Logf("%s: %d differences", results[0].Backend, len(all))
	for _, s := range all {
		t.Log(results[0].Backend, s)
	}
}

// difference returns how a result differs from the expectation.
func difference(r Result) string {
	switch {
	case !r.Loaded:
		msg, _, _ := strings.Cut(r.Message, "\n\n")
		msg = strings.TrimSuffix(msg, ": rule in chain "+r.Chain)
		return fmt.Sprintf("%q refused (unsupported: %v): %q", r.Line.Rule, r.Unsupported(), msg)
	case r.Want(r.Backend) == Fail:
		return fmt.Sprintf("%q taken", r.Line.Rule)
	}
	chain := "-A " + r.Chain + " "
	return fmt.Sprintf("%q saved as %q, not %q", r.Line.Rule, strings.TrimPrefix(r.Rule, chain), strings.TrimPrefix(r.Saves(), chain))
}

// TestSavedAlone compares lines that were loaded together with the same lines
// loaded one by one: neither the rule nor the saved text depends on company.
func TestSavedAlone(t *testing.T) {
	lines := pick(sourceLines(t), func(l Line) bool {
		return l.Valid && l.Number%5 == 0 && len(l.External) == 0
	})
	needKernel(t)
	for _, backend := range []string{NFT, Legacy} {
		together, err := Saved(backend, lines)
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for i, l := range lines {
			if i%7 != 0 {
				continue
			}
			count++
			alone, err := Saved(backend, lines[i:i+1])
			if err != nil {
				t.Fatal(err)
			}
			if a, b := withoutTime(alone[0]), withoutTime(together[i]); a != b {
				t.Errorf("%s: alone\n%s\ntogether\n%s", l, a, b)
			}
		}
		t.Logf("%s: %d lines are the same alone and in company", backend, count)
	}
}

// withoutTime returns what a result says but for the time of day.
func withoutTime(r Result) string {
	lines := pick(strings.Split(r.Saved, "\n"), func(s string) bool { return !strings.HasPrefix(s, "#") })
	return fmt.Sprint(r.Loaded, r.Message, r.Rule, lines)
}

// TestSavedCases checks Saved with lines whose outcome is known.
func TestSavedCases(t *testing.T) {
	needKernel(t)
	base := Line{File: "case.t", Family: 4, Table: "filter", Chain: "INPUT", Result: OK, Valid: true,
		External: []string{"iptables -A INPUT -i lo -j ACCEPT", "touch /nowhere"}}
	line := func(rule string) Line { l := base; l.Rule = rule; return l }
	lines := []Line{line("-p tcp --dport 1 -j DROP"), line("-s 10.0.0.1,10.0.0.2 -j DROP"), line("-j nowhere")}
	for _, backend := range []string{NFT, Legacy} {
		results, err := Saved(backend, lines)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			"-A INPUT -p tcp -m tcp --dport 1 -j DROP",
			"-A INPUT -s 10.0.0.1/32 -j DROP\n-A INPUT -s 10.0.0.2/32 -j DROP",
			"",
		}
		for i, r := range results {
			if r.Rule != want[i] || r.Loaded != (want[i] != "") {
				t.Errorf("%s: %v: loaded %v, saved %q, message %q", backend, r.Line, r.Loaded, r.Rule, r.Message)
			}
			text := "\n-A INPUT -i lo -j ACCEPT\n" + r.Rule + "\nCOMMIT\n"
			if r.Loaded && !strings.Contains(r.Saved, text) {
				t.Errorf("%s: saved text is\n%s", backend, r.Saved)
			}
		}
		if m := results[2].Message; !strings.Contains(m, "touch /nowhere: not a command that is run here") {
			t.Errorf("%s: message %q", backend, m)
		}
	}
}

// TestNamespaceEnds checks that the process that holds a namespace is gone once
// the namespace is closed.
func TestNamespaceEnds(t *testing.T) {
	needKernel(t)
	ns, err := newNamespace()
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if got, msg, err := ns.run("", "readlink", "/proc/self/ns/net"); err != nil || strings.TrimSpace(got) == own {
		t.Errorf("namespace %q, own %q: %v %s", got, own, err, msg)
	}
	holder := fmt.Sprintf("/proc/%d/ns/net", ns.holder.Process.Pid)
	ns.close()
	if _, err := os.Stat(holder); err == nil {
		t.Errorf("%s is still there", holder)
	}
}

// TestParser checks the forms of a line that the files of one version may lack.
func TestParser(t *testing.T) {
	p := parser{current: Line{Table: "filter"}}
	for _, s := range []string{":INPUT,OUTPUT", "# -j X;=;OK", "", "-j A;=;OK", "*nat", "@nfacct add test", "-j B ;-j C;FAIL;NFT", "-j D;=;OK;LEGACY;NOMATCH"} {
		if err := p.line(s); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, l := range p.lines {
		got = append(got, fmt.Sprint(l.Table, " ", l.Saves(), " ", l.Valid, " ", l.Want(NFT), " ", l.Want(Legacy), l.External))
	}
	want := []string{
		"filter -A INPUT -j A true OK OK[]",
		"filter -A OUTPUT -j A true OK OK[]",
		"nat -A INPUT -j C false FAIL OK[nfacct add test]",
		"nat -A OUTPUT -j C false FAIL OK[nfacct add test]",
		"nat -A INPUT -j D true NOMATCH OK[nfacct add test]",
		"nat -A OUTPUT -j D true NOMATCH OK[nfacct add test]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, s := range []string{"-j A;=", "-j A;=;YES", "-j A;=;OK;BOTH", "-j A;=;OK;NFT;FAIL;x", "-j A;;OK"} {
		if err := p.line(s); err == nil {
			t.Errorf("%q: no error", s)
		}
	}
	if err := new(parser).line("-j A;=;OK"); err == nil {
		t.Error("a rule before the first chains: no error")
	}
}

// TestWords checks the splitting of rules.
func TestWords(t *testing.T) {
	got := words(`-m  comment --comment "it\'s \"quoted\" \\ back" ""` + "\t-j X")
	want := []string{"-m", "comment", "--comment", `it's "quoted" \ back`, "", "-j", "X"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
