// Package restore judges which texts iptables-restore loads. It generates
// texts near the edge between what the program accepts and what it refuses,
// asks the installed iptables about them, and returns what iptables-save
// prints after a load. Every program runs in a network namespace of its own,
// never in the caller's.
//
// The package shares no code with the compiler whose reader it judges.
package restore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Verdict is what iptables-restore answered to one text.
type Verdict struct {
	// Accepted reports whether the program exited with status 0. A line with
	// -h or -V ends the program with status 0 before anything is committed,
	// so such a text is accepted without being loaded: see EndedEarly.
	Accepted bool

	// Message is what the program printed to its standard error, cut at 4096
	// bytes. Warnings occur with accepted texts as well.
	Message string

	// Printed is what the program printed to its standard output, cut at 4096
	// bytes: the output of -L, -S, -h and -V lines.
	Printed string

	// Status is the exit status, -1 when a signal ended the program.
	Status int

	// Signal is the signal that ended the program, 0 if it exited.
	Signal syscall.Signal
}

// Crashed reports whether a signal ended the program.
func (v Verdict) Crashed() bool { return v.Signal != 0 }

// EndedEarly reports whether an accepted text ended the program early, by a line
// with -h or -V: everything after that line, and the section it stands in,
// is silently not loaded (iptables/xshared.c, do_parse).
func (v Verdict) EndedEarly() bool {
	return v.Accepted && (strings.Contains(v.Printed, "\n\nUsage: ") ||
		strings.Contains(v.Printed, "tables-restore v") || strings.Contains(v.Printed, "tables-nft-restore v") ||
		strings.Contains(v.Printed, "Not 1."))
}

// limit is how long one program may run.
const limit = 30 * time.Second

// parallel is how many programs run at once. The nf_tables back end spends
// most of its time asleep in the kernel, so this exceeds the number of cores.
const parallel = 8

// Accepts runs iptables-restore --test of the back end ("nft" or "legacy") and
// family (4 or 6) on each text and returns the verdicts in the same order. All
// runs start from an empty ruleset.
//
// --test commits nothing, and the back ends notice different things before a
// commit: legacy applies each line to a copy of the kernel's table, so it
// misses only what the kernel itself refuses; nf_tables only parses, so it
// misses every missing chain, rule and jump target too. Loads asks for both.
func Accepts(backend string, family int, noflush bool, texts []string) ([]Verdict, error) {
	return judge(backend, family, noflush, "--test", texts)
}

// Loads is like Accepts, but loads each text for real, into a fresh network
// namespace.
func Loads(backend string, family int, noflush bool, texts []string) ([]Verdict, error) {
	return judge(backend, family, noflush, "", texts)
}

func judge(backend string, family int, noflush bool, mode string, texts []string) ([]Verdict, error) {
	program, err := find(backend, family, "restore")
	if err != nil {
		return nil, err
	}
	args := []string{program}
	if mode != "" {
		args = append(args, mode)
	}
	if noflush {
		args = append(args, "--noflush")
	}
	verdicts := make([]Verdict, len(texts))
	err = each(len(texts), mode == "", func(w *worker, i int) error {
		v, err := w.run(args, texts[i])
		verdicts[i] = v
		return err
	})
	return verdicts, err
}

// find returns the path of a program such as ip6tables-legacy-save.
func find(backend string, family int, suffix string) (string, error) {
	if backend != "nft" && backend != "legacy" {
		return "", fmt.Errorf("back end %q is neither nft nor legacy", backend)
	}
	name := map[int]string{4: "iptables", 6: "ip6tables"}[family]
	if name == "" {
		return "", fmt.Errorf("family %d is neither 4 nor 6", family)
	}
	return exec.LookPath(name + "-" + backend + "-" + suffix)
}

// A Saved is one result of SaveAll.
type Saved struct {
	Text string // what iptables-save printed, all tables
	Err  error  // why the text or its sets did not load, or save failed
}

// Save loads the sets (the text of an ipset save, or "") and then the text for
// real into a fresh network namespace, and returns what iptables-save prints
// of all tables.
func Save(backend string, family int, text, sets string) (string, error) {
	saved, err := SaveAll(backend, family, []string{text}, sets)
	if err != nil {
		return "", err
	}
	return saved[0].Text, saved[0].Err
}

// SaveAll is Save for many texts, each in a fresh network namespace that holds
// the same sets. The error is about the means; what was wrong with one text
// stands in its Saved.
func SaveAll(backend string, family int, texts []string, sets string) ([]Saved, error) {
	load, err := find(backend, family, "restore")
	if err != nil {
		return nil, err
	}
	save, err := find(backend, family, "save")
	if err != nil {
		return nil, err
	}
	ipset := ""
	if sets != "" {
		if ipset, err = exec.LookPath("ipset"); err != nil {
			return nil, err
		}
	}
	saved := make([]Saved, len(texts))
	err = each(len(texts), true, func(w *worker, i int) error {
		saved[i] = w.save(ipset, load, save, texts[i], sets)
		return nil
	})
	return saved, err
}

// save carries out one Save in the namespace the worker is in.
func (w *worker) save(ipset, load, save, text, sets string) Saved {
	if ipset != "" {
		if err := w.must([]string{ipset, "restore"}, sets); err != nil {
			return Saved{Err: err}
		}
	}
	if err := w.must([]string{load}, text); err != nil {
		return Saved{Err: err}
	}
	if err := w.must([]string{save}, ""); err != nil {
		return Saved{Err: err}
	}
	out, err := printed(w.stdout, 64<<20)
	return Saved{Text: out, Err: err}
}

// must runs a program and returns its failure as an error.
func (w *worker) must(args []string, stdin string) error {
	v, err := w.run(args, stdin)
	if err == nil && !v.Accepted {
		err = fmt.Errorf("%s: %s (status %d, signal %d)", args[0], strings.TrimSpace(v.Message), v.Status, v.Signal)
	}
	return err
}

// each calls f for 0 to n-1, spread over workers that are each in a network
// namespace of their own, or, if fresh is set, in a new one for every call. A
// namespace has no name: it ends with the thread and the programs in it, even
// when this process is killed.
func each(n int, fresh bool, f func(w *worker, i int) error) error {
	dir, err := os.MkdirTemp("", "judge-restore-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var next atomic.Int64
	errs := make([]error, min(n, parallel))
	var wg sync.WaitGroup
	for k := range errs {
		wg.Go(func() { errs[k] = work(dir, n, fresh, &next, f) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// work is one worker's share of each. It never unlocks its thread, which
// therefore ends with the goroutine and takes the namespace with it. The
// process's first thread cannot end, so it is kept out of this.
func work(dir string, n int, fresh bool, next *atomic.Int64, f func(w *worker, i int) error) error {
	runtime.LockOSThread()
	if syscall.Gettid() == syscall.Getpid() {
		defer runtime.UnlockOSThread()
		result := make(chan error)
		go func() { result <- work(dir, n, fresh, next, f) }()
		return <-result
	}
	w, err := newWorker(dir)
	if err != nil {
		return err
	}
	defer w.close()
	for first := true; ; first = false {
		i := int(next.Add(1)) - 1
		if i >= n {
			return nil
		}
		if first || fresh {
			if err := isolate(); err != nil {
				return err
			}
		}
		if err := f(w, i); err != nil {
			return err
		}
	}
}

// isolate puts the calling thread into a new network namespace and makes sure
// that it is one: a program must never meet the machine's own rules.
func isolate() error {
	const self = "/proc/thread-self/ns/net"
	before, err := os.Readlink(self)
	if err != nil {
		return err
	}
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		return fmt.Errorf("cannot make a network namespace: %w", err)
	}
	after, err := os.Readlink(self)
	if err != nil {
		return err
	}
	if before == after {
		return errors.New("the network namespace did not change")
	}
	return nil
}

// A worker runs programs from one thread, one after the other, with files for
// their input and output.
type worker struct {
	stdin, stdout, stderr *os.File
	env                   []string
}

func newWorker(dir string) (*worker, error) {
	w := &worker{}
	for _, f := range []**os.File{&w.stdin, &w.stdout, &w.stderr} {
		file, err := os.CreateTemp(dir, "")
		if err != nil {
			w.close()
			return nil, err
		}
		*f = file
	}
	w.env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "XTABLES_LOCKFILE=" + w.stdin.Name() + ".lock"}
	return w, nil
}

func (w *worker) close() {
	for _, f := range []*os.File{w.stdin, w.stdout, w.stderr} {
		if f != nil {
			f.Close()
		}
	}
}

// run runs one program with the given standard input. The error is about the
// means: a program that fails is a Verdict.
func (w *worker) run(args []string, stdin string) (Verdict, error) {
	if err := refill(w.stdin, stdin); err != nil {
		return Verdict{}, err
	}
	for _, f := range []*os.File{w.stdout, w.stderr} {
		if err := refill(f, ""); err != nil {
			return Verdict{}, err
		}
	}
	p, err := os.StartProcess(args[0], args, &os.ProcAttr{
		Env: w.env, Files: []*os.File{w.stdin, w.stdout, w.stderr},
	})
	if err != nil {
		return Verdict{}, err
	}
	timer := time.AfterFunc(limit, func() { p.Kill() })
	state, err := p.Wait()
	if !timer.Stop() && err == nil {
		err = fmt.Errorf("%s ran for more than %v on %q", args[0], limit, stdin)
	}
	if err != nil {
		return Verdict{}, err
	}
	return w.verdict(state)
}

func (w *worker) verdict(state *os.ProcessState) (Verdict, error) {
	v := Verdict{Accepted: state.Success(), Status: state.ExitCode()}
	if ws := state.Sys().(syscall.WaitStatus); ws.Signaled() {
		v.Signal = ws.Signal()
	}
	var err error
	if v.Message, err = printed(w.stderr, 4096); err != nil {
		return v, err
	}
	v.Printed, err = printed(w.stdout, 4096)
	return v, err
}

// refill makes the file hold the text and sets its offset, which the program
// shares, to the start.
func refill(f *os.File, text string) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// printed returns the first max bytes of the file.
func printed(f *os.File, max int64) (string, error) {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, max))
	return string(b), err
}
