package exttest

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// A Result is what iptables and the running kernel made of a line.
type Result struct {
	Line
	// Backend is NFT or Legacy.
	Backend string
	// Loaded reports whether the rule was taken.
	Loaded bool
	// Message is what iptables said when it refused the rule, and what went wrong
	// with the external commands of the file before that.
	Message string
	// Saved is the text that iptables-save printed of the table, with this rule
	// and those of the file's external commands in it and no other.
	Saved string
	// Rule is the rule in Saved, as in "-A INPUT -j ACCEPT"; the rule as written
	// is Line.Rule. A line that became several rules has them all, each on a line
	// of its own. It is empty where the rule was refused.
	Rule string
}

// Agrees reports whether the result is the expected one, as iptables-test.py
// decides it: the expected form has to be found in what was saved, where more
// may stand after it.
func (r Result) Agrees() bool {
	switch r.Want(r.Backend) {
	case OK:
		return r.Loaded && strings.Contains(r.Rule, r.Saves())
	case NoMatch:
		return r.Loaded && !strings.Contains(r.Rule, r.Saves())
	}
	return !r.Loaded
}

// Exact reports whether the rule was saved as expected, byte for byte.
func (r Result) Exact() bool { return r.Loaded && r.Rule == r.Saves() }

// Unsupported reports whether iptables says that the kernel lacks what the rule
// needs. Where this is false, a refused rule may still have been refused by the
// kernel: some extensions answer "Invalid argument" to what they do not have.
func (r Result) Unsupported() bool {
	for _, sign := range []string{"missing kernel module", "No chain/target/match by that name",
		"failed (No such file or directory)", "failed (Operation not supported)", "does not exist (do you need to insmod?)"} {
		if !r.Loaded && strings.Contains(r.Message, sign) {
			return true
		}
	}
	return false
}

// Saved loads each line with a back end, NFT or Legacy, and reads it back with
// iptables-save. The results are in the order of the lines, in which those of one
// file and family stand together, in the order of the file. All of it happens in
// network namespaces of its own, one for each file and family, which are gone
// when Saved returns. It needs root, iptables of that back end, and unshare and
// nsenter of util-linux.
//
// Lines that the file expects to load are loaded together, and one by one only
// where iptables refuses some of them. A rule thus stands beside other rules of
// its file when it is saved; Result.Saved is that text without them.
//
// An error means that the lines could not be tried; a rule that is refused, or
// that the kernel has no module for, is no error.
func Saved(backend string, lines []Line) ([]Result, error) {
	if backend != NFT && backend != Legacy {
		return nil, fmt.Errorf("%q is not a back end of iptables", backend)
	}
	results := make([]Result, len(lines))
	for i, l := range lines {
		results[i] = Result{Line: l, Backend: backend}
	}
	for rest := results; len(rest) > 0; {
		n := prefix(rest, func(a, b *Result) bool { return a.File == b.File && a.Family == b.Family })
		if err := tryFile(rest[:n]); err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	return results, nil
}

// prefix returns the number of results at the beginning that are the same as
// the first.
func prefix(all []Result, same func(a, b *Result) bool) int {
	for i := range all {
		if !same(&all[0], &all[i]) {
			return i
		}
	}
	return len(all)
}

// tryFile tries the lines of one file in one family, in a namespace.
func tryFile(all []Result) error {
	ns, err := newNamespace()
	if err != nil {
		return err
	}
	defer ns.close()
	t := &trial{ns: ns, command: command(all[0].Family, all[0].Backend)}
	for rest := all; len(rest) > 0; {
		n := prefix(rest, func(a, b *Result) bool {
			return a.Table == b.Table && len(a.External) == len(b.External)
		})
		if err := t.segment(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// command returns the name of iptables for a family and back end, which
// "-restore" and "-save" may follow.
func command(family int, backend string) string {
	if family == 6 {
		return "ip6tables-" + backend
	}
	return "iptables-" + backend
}

// A trial is a file that is being tried.
type trial struct {
	ns      *namespace
	command string
	// external holds the external commands that have been run.
	external []string
	// trouble is what went wrong with them.
	trouble string
	// table is the table in use, and base what was saved of it before any line
	// was loaded: the rules of the external commands.
	table string
	base  saved
}

// A saved is the output of iptables-save for one table.
type saved struct {
	head, rules, tail []string
}

// parseSaved splits the output of iptables-save at its rules.
func parseSaved(text string) saved {
	var s saved
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "-A "):
			s.rules = append(s.rules, line)
		case len(s.tail) > 0 || line == "COMMIT":
			s.tail = append(s.tail, line)
		default:
			s.head = append(s.head, line)
		}
	}
	return s
}

// of returns the rules of one chain.
func (s saved) of(chain string) []string {
	var all []string
	for _, rule := range s.rules {
		if strings.HasPrefix(rule+" ", "-A "+chain+" ") {
			all = append(all, rule)
		}
	}
	return all
}

// text returns the output with other rules in it, chain by chain as
// iptables-save prints them.
func (s saved) text(rules []string) string {
	order := func(rule string) int {
		return slices.IndexFunc(s.head, func(line string) bool {
			return strings.HasPrefix(line, ":"+strings.Fields(rule)[1]+" ")
		})
	}
	rules = slices.Clone(rules)
	slices.SortStableFunc(rules, func(a, b string) int { return order(a) - order(b) })
	return strings.Join(slices.Concat(s.head, rules, s.tail), "\n") + "\n"
}

// segment tries lines of one table between which no external command stands.
func (t *trial) segment(all []Result) error {
	t.prepare(all[0].Line)
	for rest := all; len(rest) > 0; {
		n := 1
		if rest[0].Want(rest[0].Backend) != Fail {
			n = prefix(rest, func(_, b *Result) bool { return b.Want(b.Backend) != Fail })
		}
		if err := t.load(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	_, err := t.restore(nil) // the external commands start from their own state
	return err
}

// prepare runs the external commands before a line and saves its table. A kernel
// without the table has no rules in it: it is the lines that fail then.
func (t *trial) prepare(l Line) {
	for len(t.external) < len(l.External) {
		next := l.External[len(t.external)]
		t.external = append(t.external, next)
		if trouble := t.runExternal(next); trouble != "" {
			t.trouble += fmt.Sprintf("%s: %s\n", next, trouble)
		}
	}
	t.table = l.Table
	t.base, _ = t.save()
}

// runExternal runs an external command of a test file and returns what went
// wrong. It knows the commands that work on the namespace alone, and refuses
// every other: the files come from outside.
func (t *trial) runExternal(line string) string {
	args := words(line)
	switch {
	case len(args) == 0:
		return ""
	case args[0] == "iptables" || args[0] == "ip6tables":
		args[0] = t.command
	case args[0] != "nfct" && args[0] != "nfacct" && args[0] != "ipset":
		return "not a command that is run here"
	}
	if _, err := exec.LookPath(args[0]); err != nil {
		return "not installed"
	}
	if _, msg, err := t.ns.run("", args...); err != nil {
		return reason(msg, err)
	}
	return ""
}

// load loads lines together and sets their results. If iptables refuses them, or
// if one of them becomes any other number of rules than one, it halves them.
func (t *trial) load(all []Result) error {
	msg, err := t.restore(all)
	if err != nil {
		return err
	}
	if msg == "" {
		ok, err := t.readBack(all)
		if ok || err != nil {
			return err
		}
	} else if len(all) == 1 {
		all[0].Message = strings.TrimSpace(t.trouble + t.explain(all[0].Line, msg))
		return nil
	}
	if err := t.load(all[:len(all)/2]); err != nil {
		return err
	}
	return t.load(all[len(all)/2:])
}

// restore replaces the table by its base and the lines, and returns the message
// with which iptables-restore refused them.
func (t *trial) restore(all []Result) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%s\n", t.table)
	for _, rule := range t.base.rules {
		fmt.Fprintln(&b, rule)
	}
	for _, r := range all {
		fmt.Fprintf(&b, "-A %s %s\n", r.Chain, r.Line.Rule)
	}
	fmt.Fprintln(&b, "COMMIT")
	_, msg, err := t.ns.run(b.String(), t.command+"-restore")
	if err == nil {
		return "", nil
	}
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		return "", err
	}
	return reason(msg, err), nil
}

// save reads the table.
func (t *trial) save() (saved, error) {
	out, msg, err := t.ns.run("", t.command+"-save", "-t", t.table)
	if err != nil {
		return saved{}, fmt.Errorf("%s-save -t %s: %s", t.command, t.table, reason(msg, err))
	}
	return parseSaved(out), nil
}

// readBack sets the results of lines that were loaded from what was saved. It
// returns false if the rules in a chain are not as many as the lines; a single
// line may be any number of rules.
func (t *trial) readBack(all []Result) (bool, error) {
	now, err := t.save()
	if err != nil {
		return false, err
	}
	lines, added := make(map[string]int), make(map[string][]string)
	for _, r := range all {
		lines[r.Chain]++
		added[r.Chain] = now.of(r.Chain)[len(t.base.of(r.Chain)):]
	}
	if len(all) == 1 {
		all[0].set(t, now, added[all[0].Chain])
		return true, nil
	}
	for chain, n := range lines {
		if len(added[chain]) != n {
			return false, nil
		}
	}
	for i := range all {
		chain := all[i].Chain
		all[i].set(t, now, added[chain][:1])
		added[chain] = added[chain][1:]
	}
	return true, nil
}

// set makes the result that of a line that was loaded.
func (r *Result) set(t *trial, now saved, rules []string) {
	r.Loaded = true
	r.Rule = strings.Join(rules, "\n")
	r.Saved = now.text(slices.Concat(t.base.rules, rules))
}

// explain returns the message for a line that was refused. iptables-restore of
// the legacy back end says no more of a refusal by the kernel than the line
// number, so the kernel's answer is that of iptables itself.
func (t *trial) explain(l Line, msg string) string {
	if !strings.HasSuffix(t.command, "-"+Legacy) || !strings.HasSuffix(msg, " failed") {
		return msg
	}
	args := append([]string{t.command, "-t", t.table, "-A", l.Chain}, words(l.Rule)...)
	_, more, err := t.ns.run("", args...)
	if err == nil || more == "" {
		return msg
	}
	return more
}

// reason returns the message of a failed command, or how it ended.
func reason(msg string, err error) string {
	if msg == "" {
		return err.Error()
	}
	return msg
}
