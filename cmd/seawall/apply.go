package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/diff"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/host"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/compiler/system"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

type applyFlags struct {
	policyFlags
	format  string
	layout  string
	yes     bool
	force   bool
	dryRun  bool
	within  time.Duration
	persist string
	run     string
}

func applyCommand() *cobra.Command {
	f := &applyFlags{}
	c := &cobra.Command{
		Use:   "apply [PATH]",
		Short: "Load a policy, prove what the kernel holds, and roll back unless confirmed",
		Long: `Load a policy into this host's kernel. apply compiles and proves it, shows what
changes compared with the current rules, asks, loads each family in one commit,
reads the kernel back, and proves what it reads.

Then it waits for a confirmation. Without one the previous rules come back, as
iptables-save and ipset save printed them. Confirm by typing "yes" here, or from
anywhere else by creating the file that is named. Ctrl-C restores the previous
rules at once. If the terminal is lost, which a policy may cause, or seawall is
killed, a separate process restores them in time.

Only one apply runs at a time. The next one rolls back an apply that was
interrupted before its confirmation, and says so.

The chain DOCKER-USER belongs to Seawall as a whole. Rules in it that are not
known to be Seawall's are listed, and removed only after a "yes" or with --force.
With docker_user = "shared" the rules of others stay in it, also when a policy is rolled
back, and may ban; apply refuses to load where one of them lets more through than the
policy.

With --format nftables the policy is loaded with nft as the table inet seawall, both
families in one transaction; no other table is touched. It holds whatever Docker and
the host's firewall do in theirs, and is the format for Docker's nftables firewall
backend and for firewalld. A table of that name that Seawall did not make is listed,
and replaced only after a "yes" or with --force.

Exit 0 when the policy is loaded and kept, 2 when it was not loaded, was rolled back,
or was kept and others had changed the rules meanwhile, 1 after an error.
IPTABLES, IP6TABLES, IPSET and NFT name other commands, as for seawall.sh.`,
		Example: `  seawall apply policy.hcl
  seawall apply policy.hcl --dry-run
  seawall apply policy.hcl --format nftables --persist /etc/seawall
  seawall apply policy.hcl --yes --confirm-within 0 --persist /etc/sysconfig`,
		Args: onePath,
		RunE: func(c *cobra.Command, args []string) error { return f.apply(c, args) },
	}
	f.register(c)
	flags := c.Flags()
	registerBackend(c, &f.format, "how the rules are loaded")
	registerLayout(c, &f.layout)
	flags.BoolVar(&f.yes, "yes", false, "do not ask before loading")
	flags.BoolVar(&f.force, "force", false, "remove other people's rules from DOCKER-USER without asking; with docker_user = \"shared\" only those that look like an earlier policy's")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would change, and load nothing")
	flags.DurationVar(&f.within, "confirm-within", 60*time.Second, "how long to wait for a confirmation; 0 keeps the policy without one")
	flags.StringVar(&f.persist, "persist", "", "once it is kept, write the boot files iptables and ip6tables (rules.v4 and rules.v6 in a folder named iptables) into `DIR`: only Seawall's chains in them are replaced. With --format nftables: seawall.nft, and a systemd unit that loads it. auto is what this host's system loads at boot")
	flags.StringVar(&f.run, "run-dir", defaultRunDir, "the `DIR` for the lock, the previous rules, and a record of the rules that were loaded")
	return c
}

// defaultRunDir is the folder of --run-dir, in which doctor looks for the record of an apply.
const defaultRunDir = "/run/seawall"

// applying is one run of apply.
type applying struct {
	*applyFlags
	c       *cobra.Command
	w       io.Writer
	path    string // of the policy
	host    *host.Host
	by      host.Backend
	doc     *schema.Document
	fresh   emit.File
	boot    []bootFile     // for --persist
	system  *system.System // of --persist auto, with files of iptables
	lines   <-chan string
	signals <-chan os.Signal
	changed bool // by others, between the proof and the confirmation

	// Where DOCKER-USER is shared: the back end once more, and what the rules of others deny
	// that the policy allows.
	sharing  *host.Sharing
	stricter []*prove.Difference
}

func (f *applyFlags) apply(c *cobra.Command, args []string) error {
	if err := errors.Join(checkBackend(f.format), checkLayout(f.layout)); err != nil {
		return err
	}
	if f.within < 0 || f.within > 0 && f.within < time.Second {
		return fmt.Errorf("--confirm-within takes one second or more, or 0 for no confirmation, not %s", f.within)
	}
	loaded, err := f.load(c, args)
	if err != nil {
		return err
	}
	if f.format == nftablesBackend && c.Flags().Changed("layout") {
		return errors.New("--layout is for --format iptables; --format nftables has only one")
	}
	if err := fits(c, loaded, backends[f.format].file); err != nil {
		return err
	}
	opt := compiler.Options{Format: backends[f.format].file, Layout: lower.Layout(f.layout), Source: compiler.SourceName(loaded)}
	out, err := compiler.Compile(c.Context(), loaded.Document, opt)
	if err != nil {
		return unproved(err)
	}
	a := &applying{applyFlags: f, c: c, w: c.OutOrStdout(), path: policyPath(args), host: host.ThisHost(), doc: loaded.Document, fresh: out.Files[0]}
	a.by = backends[f.format].of(a.host, a.doc)
	a.sharedBackend()
	if err := a.checkDocker(); err != nil {
		return err
	}
	a.warnOfFirewalld()
	if a.boot, err = a.bootFiles(loaded, opt); err != nil {
		return err
	}
	if f.dryRun {
		report, err := a.against()
		if err != nil {
			return err
		}
		if err := a.announce(report, nil); err != nil {
			return err
		}
		fmt.Fprintln(a.w, "Dry run: nothing was changed.")
		return nil
	}
	signals, stop := requests()
	defer stop()
	if err := c.Context().Err(); err != nil {
		return err // interrupted before
	}
	a.lines, a.signals = answers(c.InOrStdin()), signals
	if err := a.turn(); err != nil {
		return err
	}
	if err := a.persistNow(); err != nil || !a.changed {
		return err
	}
	return exitCode(exitDiffers)
}

// turn is what is done while no other apply may be at work.
func (a *applying) turn() error {
	if err := a.by.Check(); err != nil {
		return err // before anything is made
	}
	turn, err := a.host.Begin(a.run)
	if err != nil {
		return a.noPlace(err)
	}
	defer turn.End()
	if turn.Settled != "" {
		fmt.Fprintln(a.w, turn.Settled)
	}
	report, err := a.against()
	if err != nil {
		return err
	}
	if report.Same() {
		holds, same, err := a.holdsAlready()
		if err != nil {
			return err
		}
		if holds {
			fmt.Fprintln(a.w, "The kernel holds this policy already.")
			return a.remember(turn, same)
		}
	}
	foreign, err := a.by.Foreign(turn, a.fresh)
	if err != nil {
		return err
	}
	if len(foreign) > 0 && a.yes && !a.force {
		return fmt.Errorf("%s has rules that are not known to be Seawall's, and loading the policy would remove them:\n%sAdd them to the policy, or use --force to remove them", backends[a.format].place, listed(foreign))
	}
	if err := a.announce(report, foreign); err != nil {
		return err
	}
	if !a.yes {
		if answer := a.ask("Load this? Type yes: ", 0, nil); answer != yes {
			fmt.Fprintln(a.w, "Nothing was changed.")
			return exitCode(exitDiffers)
		}
	}
	return a.loadNow(turn)
}

// noPlace explains why the folder of the lock and the way back cannot be used, before
// anything was changed.
func (a *applying) noPlace(err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); !ok {
		return err
	}
	return fmt.Errorf("nothing was changed: %w", badFolder("keep the way back in", a.run, err, takesRunDir))
}

// mostChanges is how many changes apply shows before it asks.
const mostChanges = 20

// announce says what changes.
func (a *applying) announce(report *diff.Report, foreign []host.Rule) error {
	text := report.Shorten(mostChanges, backends[a.format].diff(a.path))
	if report.Same() {
		text = "The kernel holds this policy already, in another layout.\n"
	}
	if a.sharing != nil {
		notes, err := a.sharedNotes()
		if err != nil {
			return err
		}
		text += notes
	}
	if len(foreign) > 0 {
		text += "Rules in " + backends[a.format].place + " that are not known to be Seawall's, and that this removes:\n" + listed(foreign)
	}
	for _, file := range a.boot {
		text += "Writes " + filepath.Join(file.dir, file.Name) + " once it is kept.\n"
	}
	if _, err := io.WriteString(a.w, text); err != nil {
		return fmt.Errorf("cannot show what would change, so nothing was changed: %w", err)
	}
	return nil
}

// maxForeign is how many of other people's rules are listed.
const maxForeign = 50

func listed(rules []host.Rule) string {
	text := ""
	for i, r := range rules {
		if i == maxForeign {
			return text + fmt.Sprintf("  and %d more\n", len(rules)-i)
		}
		if r.Family == 0 {
			text += fmt.Sprintf("  %s\n", r.Text)
			continue
		}
		text += fmt.Sprintf("  %v: %s\n", r.Family, r.Text)
	}
	return text
}

// remember notes, where the rules are those of the script, that they are Seawall's.
func (a *applying) remember(turn *host.Turn, own bool) error {
	if !own {
		return nil
	}
	rules, err := a.by.Current()
	if err != nil {
		return err
	}
	a.note(turn, rules)
	return nil
}

// against returns what the policy changes in the rules that the kernel holds.
func (a *applying) against() (*diff.Report, error) {
	if err := a.lookBeside(); err != nil {
		return nil, err
	}
	rules, err := a.current()
	if err != nil {
		return nil, err
	}
	sides := diff.Sides{}
	for family, t := range rules {
		sides[family] = [2]prove.Side{{Rules: t}, {Policy: a.doc}}
	}
	return diff.Meaning(a.c.Context(), sides, prove.Limits{})
}

// answers returns lines as they are typed; it is closed when there are no more.
func answers(r io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		s := bufio.NewScanner(r)
		for s.Scan() {
			lines <- s.Text()
		}
		close(lines)
	}()
	return lines
}

// answer is how a question ended.
type answer int

const (
	no answer = iota
	yes
	silence     // nobody answered in time
	interrupted // Ctrl-C, or a request to end
)

// ask waits for an answer, at most so long; 0 is for ever. Elsewhere may answer as
// well. A lost terminal answers nothing: before anything is loaded that is a no.
func (a *applying) ask(question string, within time.Duration, elsewhere func() bool) answer {
	fmt.Fprint(a.w, question)
	var late <-chan time.Time
	if within > 0 {
		late = time.After(within)
	}
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for lines := a.lines; ; {
		select {
		case line, open := <-lines:
			switch {
			case open && strings.TrimSpace(line) == "yes":
				return yes
			case open:
				return no
			case within == 0:
				fmt.Fprintln(a.w)
				return no
			}
			lines = nil // nobody can type here; the file may be made from elsewhere
		case s := <-a.signals:
			if s != syscall.SIGHUP || within == 0 {
				fmt.Fprintln(a.w)
				return interrupted
			}
		case <-look.C:
			if elsewhere != nil && elsewhere() {
				return yes
			}
		case <-late:
			fmt.Fprintln(a.w)
			return silence
		}
	}
}

// stopped reports whether an interrupt came that was not handled yet.
func (a *applying) stopped() bool {
	for {
		select {
		case s := <-a.signals:
			if s != syscall.SIGHUP {
				return true
			}
		default:
			return false
		}
	}
}

// loadNow loads the script, proves what the kernel then holds, and waits for the
// confirmation.
func (a *applying) loadNow(turn *host.Turn) error {
	if a.stopped() {
		fmt.Fprintln(a.w, "Interrupted: nothing was changed.")
		return exitCode(exitDiffers)
	}
	back, err := turn.Prepare(a.by, a.fresh, a.within)
	if err != nil {
		return a.noPlace(err)
	}
	if o, ok := a.w.(*standardOutput); ok {
		fresh := newOutput(o.w)
		fresh.before = o.before
		a.w = fresh // from here on the exit code says what became of the rules, also where nobody can read the words
	}
	interrupted := false
	err = back.Loaded(func() bool {
		interrupted = interrupted || a.stopped()
		return interrupted
	})
	if _, lost := errors.AsType[*host.NotRestoredError](err); lost {
		return fmt.Errorf("the policy was not loaded: %w", err)
	}
	switch {
	case err != nil && interrupted:
		return a.ended(back, "Interrupted: the previous rules are back.")
	case err != nil:
		return errors.Join(fmt.Errorf("the policy was not loaded: %w", err), back.End())
	case interrupted:
		return a.notKept(turn, back, nil, "Interrupted: the previous rules are back.")
	}
	rules, err := a.by.Current()
	why := ""
	if err == nil {
		why, err = a.held(a.c.Context())
	}
	if err != nil {
		why = err.Error()
	}
	switch {
	case why != "":
		if err := a.takeBack(back); err != nil {
			return err
		}
		return fmt.Errorf("the kernel does not hold the policy after loading it, so the previous rules are back: %s", why)
	case a.stopped():
		return a.notKept(turn, back, rules, "Interrupted: the previous rules are back.")
	case a.within == 0:
		if err := a.keep(turn, back, rules); err != nil {
			return err
		}
		fmt.Fprintln(a.w, "Loaded, and proved in the kernel.")
		return nil
	}
	return a.confirm(turn, back, rules)
}

// confirm waits for the confirmation.
func (a *applying) confirm(turn *host.Turn, back *host.Rollback, rules host.Record) error {
	if err := back.Ask(); err != nil {
		return errors.Join(err, a.takeBack(back))
	}
	fmt.Fprintf(a.w, "Loaded, and proved in the kernel. Without a confirmation within %g seconds the previous rules come back.\nFrom elsewhere: touch %s\n", a.within.Seconds(), filepath.Join(back.Dir, "confirmed"))
	switch a.ask("Keep it? Type yes (Ctrl-C rolls back now): ", a.within, back.Decided) {
	case yes:
		err := a.keep(turn, back, rules)
		if errors.Is(err, host.ErrTooLate) {
			return a.ended(back, "The previous rules are back: the confirmation came too late, or somebody rolled the policy back.")
		} else if err != nil {
			return err
		}
		a.sayKept()
		return nil
	case interrupted:
		return a.notKept(turn, back, rules, "Interrupted: the previous rules are back.")
	}
	return a.notKept(turn, back, rules, "Not confirmed: the previous rules are back.")
}

// sayKept says that the policy is kept, and proves it once more: others may have changed the
// rules while this waited for an answer.
func (a *applying) sayKept() {
	why, err := a.held(a.c.Context())
	if err != nil {
		why = err.Error()
	}
	if a.changed = why != ""; !a.changed {
		fmt.Fprintln(a.w, "Kept.")
		return
	}
	fmt.Fprintf(a.w, "Kept. But the kernel's rules were changed meanwhile, and no longer implement the policy: %s\n", why)
}

// keep confirms, and notes what was loaded.
func (a *applying) keep(turn *host.Turn, back *host.Rollback, rules host.Record) error {
	if err := back.Confirm(); err != nil {
		return err
	}
	err := back.End() // which makes room for the note
	a.note(turn, rules)
	return err
}

// note notes that the rules are Seawall's. They are kept where it cannot: a later apply
// then asks before it takes them out.
func (a *applying) note(turn *host.Turn, rules host.Record) {
	if err := turn.Remember(rules); err != nil {
		fmt.Fprintf(a.c.ErrOrStderr(), "Note: the policy is kept, but the record of its rules in %s could not be written: %s. A later apply may ask about them.\n", a.run, cause(err))
	}
}

func (a *applying) takeBack(back *host.Rollback) error {
	if err := back.Back(); errors.Is(err, host.ErrConfirmed) {
		return err
	} else if err != nil {
		return err
	}
	if notes := back.Notes(); notes != "" {
		fmt.Fprintln(a.w, notes)
	}
	return back.End()
}

// notKept takes the policy back, and says why. A confirmation from elsewhere that
// comes at the last moment holds.
func (a *applying) notKept(turn *host.Turn, back *host.Rollback, rules host.Record, what string) error {
	err := a.takeBack(back)
	if errors.Is(err, host.ErrConfirmed) {
		fmt.Fprintln(a.w, "Kept: it was confirmed from elsewhere.")
		err := back.End()
		a.note(turn, rules)
		return err
	} else if err != nil {
		return err
	}
	fmt.Fprintln(a.w, what)
	return exitCode(exitDiffers)
}

func (a *applying) ended(back *host.Rollback, what string) error {
	fmt.Fprintln(a.w, what)
	if err := back.End(); err != nil {
		return err
	}
	return exitCode(exitDiffers)
}

// liveDifference is a difference of a policy and the rules that the kernel holds.
type liveDifference struct {
	*prove.Difference
	rules dialect.Rules // of its family
}

// liveDifferences compares the kernel's rules with a policy, both families.
func liveDifferences(ctx context.Context, now host.Backend, doc *schema.Document) ([]liveDifference, error) {
	rules, err := now.Rules()
	if err != nil {
		return nil, err
	}
	return differences(ctx, rules, doc)
}

func differences(ctx context.Context, rules map[packet.Family]dialect.Rules, doc *schema.Document) ([]liveDifference, error) {
	var list []liveDifference
	for _, family := range packet.Families {
		result, err := prove.Compare(ctx, doc, rules[family], family, prove.Limits{})
		if err != nil {
			return nil, err
		}
		for _, d := range result.Differences {
			list = append(list, liveDifference{d, rules[family]})
		}
	}
	return list, nil
}

// held says how the kernel's rules differ from the policy, "" when they do not.
func (a *applying) held(ctx context.Context) (string, error) {
	if a.sharing != nil {
		return a.sharedHeld(ctx)
	}
	list, err := liveDifferences(ctx, a.by, a.doc)
	return worstOf(list), err
}

// worstOf says the worst of the differences.
func worstOf(list []liveDifference) string {
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf("%s: the policy says %s, the kernel %s", list[0], list[0].Policy, list[0].File)
}
