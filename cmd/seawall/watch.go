package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/moby/moby/client"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/host"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

type watchFlags struct {
	policyFlags
	format   string
	interval time.Duration
	run      string
	asJSON   bool
	once     bool
	docker   string
	allow    bool // what is stricter than the policy
}

func watchCommand() *cobra.Command {
	f := &watchFlags{}
	c := &cobra.Command{
		Use:   "watch [PATH]",
		Short: "Report when the live rules no longer implement the policy",
		Long: `Compare the rules in the kernel with a policy, at an interval and whenever Docker
starts or stops containers, changes networks, or restarts. On drift, exit with 2, or
with --exec run a command instead and go on; the command can be the policy's script.
Drift that is gone after half a second, as while Docker writes its rules, is ignored.

Each line of the log is an event, reported once per change:

  watching      seawall has started
  holds         the rules implement the policy, at first or again; with --allow-stricter,
                in which way they are stricter
  drift         a difference between the rules and the policy
  persists      the drift is the same after the command ran
  ran           the command of --exec succeeded
  failed        the command failed, or the rules could not be read
  connected     Docker's events arrive
  disconnected  they do not arrive, and only the interval counts

The command runs once per drift. While the same drift persists it runs again after
the interval, then after twice as long each time, up to 10 minutes or the interval,
whichever is longer. For another drift it runs within 5 seconds.

With --format nftables the table inet seawall is compared, and also as soon as somebody
changes or removes it: "nft flush ruleset", which Debian's nftables.service runs when it
starts, stops and reloads, does.

` + allowStricter + `
Such rules are no drift.

If the rules cannot be read, because another program holds the xtables lock, seawall
tries again after a second, then less often. If the daemon is gone, seawall waits for
it. Neither ends the watch. Missing root privileges, iptables or nft do, with exit 1; with
--once every failure does.

TERM, INT and HUP end the watch with exit 0. A running command gets the same signal,
and is killed after two seconds.`,
		Example: `  seawall watch policy.hcl
  seawall watch policy.hcl --exec 'sh /etc/seawall/seawall.sh' --json
  seawall watch policy.hcl --allow-stricter
  seawall watch policy.hcl --format nftables --exec 'nft -f /etc/seawall/seawall.nft'
  seawall watch policy.hcl --once`,
		Args: onePath,
		RunE: func(c *cobra.Command, args []string) error { return f.watch(c, args) },
	}
	f.register(c)
	flags := c.Flags()
	registerBackend(c, &f.format, "which rules are compared")
	registerStricter(c, &f.allow)
	flags.DurationVar(&f.interval, "interval", 30*time.Second, "the time between two comparisons")
	flags.StringVar(&f.run, "exec", "", "a shell `COMMAND` to run on drift instead of exiting")
	flags.BoolVar(&f.asJSON, "json", false, "log as JSON, one line per event")
	flags.BoolVar(&f.once, "once", false, "compare once, and once more after --exec; exit 0 or 2")
	flags.StringVar(&f.docker, "docker", "", "the daemon's `ADDRESS` (default as for docker)")
	return c
}

// logged is a line of the log.
type logged struct {
	Time   string         `json:"time"`
	Event  host.EventName `json:"event"`
	Family int            `json:"family,omitempty"`
	What   string         `json:"what,omitempty"`
}

func (f *watchFlags) log(w io.Writer, e host.Event) {
	now := time.Now().UTC().Format(time.RFC3339)
	if f.asJSON {
		// A struct of texts and a number is always JSON.
		line, _ := json.Marshal(logged{Time: now, Event: e.Name, Family: int(e.Family), What: e.What})
		fmt.Fprintf(w, "%s\n", line)
		return
	}
	text := fmt.Sprintf("%s %s", now, e.Name)
	if e.What != "" {
		text += ": " + logLine(e.What)
	}
	fmt.Fprintln(w, text)
}

// logLine keeps what commands and daemons say on its line, and off the terminal's
// controls.
func logLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.TrimSpace(text))
}

func (f *watchFlags) watch(c *cobra.Command, args []string) error {
	if err := checkBackend(f.format); err != nil {
		return err
	}
	if f.interval <= 0 {
		return fmt.Errorf("--interval is a time such as 30s, not %s", f.interval)
	}
	if c.Flags().Changed("exec") && strings.TrimSpace(f.run) == "" {
		return errors.New("--exec is blank. Give it a command, or leave it out")
	}
	loaded, err := f.load(c, args)
	if err != nil {
		return err
	}
	if f.format == nftablesBackend {
		if err := fits(c, loaded, emit.NFTables); err != nil {
			return err
		}
	}
	ctx, stop := untilStopped(c.Context())
	defer stop()
	out := c.OutOrStdout()
	if f.asJSON {
		out = write(c, jsonForm)
	}
	w := f.watcher(out, loaded.Document)
	w.Log(host.Event{Name: host.Watching, What: policyPath(args)})
	if f.once {
		return drifted(w.Once(ctx))
	}
	if err := f.subscribe(ctx, w); err != nil {
		return err
	}
	if err = w.Run(ctx); ctx.Err() != nil {
		return nil // it was asked to end
	}
	return drifted(err)
}

// drifted is how drift ends the program: what it is was logged.
func drifted(err error) error {
	if errors.Is(err, host.ErrDrift) {
		return exitCode(exitDiffers)
	}
	return err
}

// watcher is the watch that the flags ask for.
func (f *watchFlags) watcher(out io.Writer, doc *schema.Document) *host.Watch {
	now, by := host.ThisHost(), backends[f.format].of
	stricter := "" // at the last look
	w := &host.Watch{
		Interval: f.interval,
		Look: func(ctx context.Context) (drift []host.Drift, err error) {
			drift, stricter, err = f.look(ctx, by(now.Within(ctx), doc), doc)
			return drift, err
		},
		Log: func(e host.Event) {
			if e.Name == host.Holds && stricter != "" {
				e.What = "stricter than the policy: " + stricter
			}
			f.log(out, e)
		},
	}
	if f.run != "" {
		w.Fixes, w.Fix = f.run, f.react
	}
	return w
}

// subscribe makes a watch look when Docker changes something.
func (f *watchFlags) subscribe(ctx context.Context, w *host.Watch) error {
	connect := func() (*client.Client, error) { return dockerClient(f.docker) }
	api, err := connect()
	if err != nil {
		return fmt.Errorf("the address of the Docker daemon: %w", err)
	}
	w.Docker = host.Subscribe(ctx, connect)
	if f.format == nftablesBackend {
		w.Kernel = host.ThisHost().Monitor(ctx)
	}
	return api.Close()
}

// look compares once. What is stricter than the policy is no drift where that is allowed,
// and said in a line.
func (f *watchFlags) look(ctx context.Context, now host.Backend, doc *schema.Document) (drift []host.Drift, stricter string, err error) {
	list, err := liveDifferences(ctx, now, doc)
	var allowed []*prove.Difference
	for _, d := range list {
		if f.allow && d.Stricter() {
			allowed = append(allowed, d.Difference)
			continue
		}
		drift = append(drift, host.Drift{
			Family: d.Family,
			What:   fmt.Sprintf("%s: the policy says %s, the kernel says %s", d, d.Policy, d.File),
			Where:  lastStep(dialect.Trace(d.rules, d.Example)),
		})
	}
	return drift, briefly(allowed), err
}

// react runs the command of --exec.
func (f *watchFlags) react(ctx context.Context) error {
	out, err := shell(ctx, f.run)
	if said := strings.TrimSpace(string(out)); err != nil && said != "" {
		return fmt.Errorf("%w: %s", err, said)
	}
	return err
}
