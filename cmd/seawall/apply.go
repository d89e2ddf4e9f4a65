package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/diff"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/host"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

type applyFlags struct {
	policyFlags
	layout  string
	yes     bool
	dryRun  bool
	within  time.Duration
	persist string
	run     string
}

func applyCommand() *cobra.Command {
	f := &applyFlags{}
	c := &cobra.Command{
		Use:   "apply [PATH]",
		Short: "Load a policy now, prove what the kernel holds, and take it back unless confirmed",
		Long: `Load a policy now: compile and prove it, show what changes against the rules that
are loaded, ask, load it at one moment, read the kernel back and prove that.

Then it waits for a confirmation, and without one brings the previous rules
back. A process of its own does that: also when the terminal is lost, which a
policy may cause, and when seawall itself is killed. The confirmation is a
"yes" typed here, or the file that is named made from anywhere.

Exit 0 when the policy is loaded and kept, 2 when it was not confirmed or was
taken back.
IPTABLES, IP6TABLES and IPSET name other commands, as for seawall.sh.`,
		Example: `  seawall apply policy.hcl
  seawall apply policy.hcl --dry-run
  seawall apply policy.hcl --yes --confirm-within 0 --persist /etc/sysconfig`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return f.apply(c, args) },
	}
	f.register(c)
	flags := c.Flags()
	registerLayout(c, &f.layout)
	flags.BoolVar(&f.yes, "yes", false, "do not ask before loading")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would change, and load nothing")
	flags.DurationVar(&f.within, "confirm-within", 60*time.Second, "how long to wait for the confirmation; 0 keeps the policy without one")
	flags.StringVar(&f.persist, "persist", "", "write the boot files into `DIR` as well, once it is kept; what else is in them stays")
	flags.StringVar(&f.run, "run-dir", "/run/seawall", "the `DIR` for the lock and the way back")
	return c
}

func (f *applyFlags) apply(c *cobra.Command, args []string) error {
	if err := checkLayout(f.layout); err != nil {
		return err
	}
	if f.within < 0 || f.within > 0 && f.within < time.Second {
		return fmt.Errorf("--confirm-within is a second or longer, or 0 for no confirmation, not %s", f.within)
	}
	loaded, err := f.load(c, args)
	if err != nil {
		return err
	}
	opt := compiler.Options{Format: emit.Shell, Layout: lower.Layout(f.layout), Source: sourceName(loaded)}
	out, err := compiler.Compile(c.Context(), loaded.Document, opt)
	if err != nil {
		return unproved(err)
	}
	now := host.ThisHost()
	report, err := against(c.Context(), now, loaded.Document)
	if err != nil {
		return err
	}
	w := c.OutOrStdout()
	if report.Same() {
		fmt.Fprintln(w, "The kernel holds this policy already.")
		return f.write(c, loaded, opt)
	}
	if _, err := io.WriteString(w, report.Text()); err != nil {
		return err
	}
	if f.dryRun {
		return nil
	}
	lines := answers(c.InOrStdin())
	if !f.yes && !ask(w, lines, "Load this? Type yes: ", 0) {
		fmt.Fprintln(w, "Nothing was changed.")
		return exitCode(exitDiffers)
	}
	if err := f.loadNow(c, now, loaded.Document, out.Files[0], lines); err != nil {
		return err
	}
	return f.write(c, loaded, opt)
}

// against is what a policy changes of the rules that the kernel holds.
func against(ctx context.Context, now *host.Host, doc *schema.Document) (*diff.Report, error) {
	sides := diff.Sides{}
	for _, family := range []packet.Family{packet.IPv4, packet.IPv6} {
		t, err := now.Table(family)
		if err != nil {
			return nil, err
		}
		sides[family] = [2]prove.Side{{Table: t}, {Policy: doc}}
	}
	return diff.Meaning(ctx, sides, prove.Limits{})
}

// answers gives lines as they are typed; closed when there are no more.
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

// ask waits for an answer, at most so long; 0 is for ever.
func ask(w io.Writer, lines <-chan string, question string, within time.Duration) bool {
	fmt.Fprint(w, question)
	var late <-chan time.Time
	if within > 0 {
		late = time.After(within)
	}
	select {
	case line, open := <-lines:
		if open {
			return strings.TrimSpace(line) == "yes"
		}
		if within == 0 {
			fmt.Fprintln(w)
			return false
		}
		<-late // nobody can type here; the file may be made from elsewhere
	case <-late:
	}
	fmt.Fprintln(w)
	return false
}

// loadNow loads the script, proves what the kernel then holds, and waits for the
// confirmation.
func (f *applyFlags) loadNow(c *cobra.Command, now *host.Host, doc *schema.Document, script emit.File, lines <-chan string) error {
	if err := os.MkdirAll(f.run, 0o700); err != nil {
		return err
	}
	unlock, err := host.Lock(filepath.Join(f.run, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	dir, err := os.MkdirTemp(f.run, "apply-")
	if err != nil {
		return err
	}
	back, err := now.Prepare(dir, script, f.within)
	if err != nil {
		return err
	}
	w := c.OutOrStdout()
	if err := back.Load(now); err != nil {
		_ = back.Confirm() // the script changed nothing: there is nothing to take back
		return fmt.Errorf("the policy was not loaded: %w", err)
	}
	if why := held(c.Context(), now, doc); why != "" {
		if err := back.Back(now); err != nil {
			return err
		}
		return fmt.Errorf("the kernel does not hold the policy after loading it, so the previous rules are back: %s", why)
	}
	if f.within == 0 {
		fmt.Fprintln(w, "Loaded, and proved in the kernel.")
		return os.RemoveAll(dir)
	}
	fmt.Fprintf(w, "Loaded, and proved in the kernel. Without a confirmation within %g seconds the previous rules come back.\nFrom elsewhere: touch %s\n", f.within.Seconds(), filepath.Join(dir, "confirmed"))
	keep := ask(w, lines, "Keep it? Type yes: ", f.within)
	if _, err := os.Stat(filepath.Join(dir, "confirmed")); err == nil {
		keep = true // from elsewhere
	}
	if keep {
		if err := back.Confirm(); errors.Is(err, host.ErrTooLate) {
			fmt.Fprintln(w, "Too late: the previous rules are back.")
			return exitCode(exitDiffers)
		} else if err != nil {
			return err
		}
		fmt.Fprintln(w, "Kept.")
		return os.RemoveAll(dir)
	}
	if err := back.Back(now); err != nil {
		return err
	}
	fmt.Fprintln(w, "Not confirmed: the previous rules are back.")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return exitCode(exitDiffers)
}

// liveDifference is a difference of a policy and the rules that the kernel holds.
type liveDifference struct {
	*prove.Difference
	table *iptables.Table // of its family
}

// liveDifferences compares the kernel's rules with a policy, both families.
func liveDifferences(ctx context.Context, now *host.Host, doc *schema.Document) ([]liveDifference, error) {
	var list []liveDifference
	for _, family := range []packet.Family{packet.IPv4, packet.IPv6} {
		t, err := now.Table(family)
		if err != nil {
			return nil, err
		}
		result, err := prove.Compare(ctx, doc, t, family, prove.Limits{})
		if err != nil {
			return nil, err
		}
		for _, d := range result.Differences {
			list = append(list, liveDifference{d, t})
		}
	}
	return list, nil
}

// held says how the kernel's rules differ from a policy, "" when they do not.
func held(ctx context.Context, now *host.Host, doc *schema.Document) string {
	list, err := liveDifferences(ctx, now, doc)
	switch {
	case err != nil:
		return err.Error()
	case len(list) == 0:
		return ""
	}
	return fmt.Sprintf("%s: the policy says %s, the kernel %s", list[0], list[0].Policy, list[0].File)
}

// write writes the boot files.
func (f *applyFlags) write(c *cobra.Command, loaded *schema.Loaded, opt compiler.Options) error {
	if f.persist == "" || f.dryRun {
		return nil
	}
	// Debian's netfilter-persistent has other names than RHEL's iptables-services.
	names := map[string]string{"iptables": "iptables", "ip6tables": "ip6tables", "ipset": "ipset"}
	if filepath.Base(filepath.Clean(f.persist)) == "iptables" {
		names = map[string]string{"iptables": "rules.v4", "ip6tables": "rules.v6", "ipset": "ipsets"}
	}
	opt.Format = emit.Sysconfig
	for name, base := range map[string]*[]byte{"iptables": &opt.Base4, "ip6tables": &opt.Base6} {
		if text, err := os.ReadFile(filepath.Join(f.persist, names[name])); err == nil {
			*base = bytes.Clone(text)
		}
	}
	out, err := compiler.Compile(c.Context(), loaded.Document, opt)
	if err != nil {
		return fmt.Errorf("the policy is loaded, but the boot files were not written: %w", unproved(err))
	}
	for i := range out.Files {
		out.Files[i].Name = names[out.Files[i].Name]
	}
	written, err := emit.Write(f.persist, out.Files)
	if err != nil {
		return fmt.Errorf("the policy is loaded, but the boot files were not written: %w", err)
	}
	for _, n := range written {
		fmt.Fprintf(c.OutOrStdout(), "wrote %s\n", filepath.Join(f.persist, n))
	}
	return nil
}
