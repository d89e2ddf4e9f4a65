package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/moby/moby/client"
	"github.com/seawall/seawall/compiler/host"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

type watchFlags struct {
	policyFlags
	interval time.Duration
	run      string
	asJSON   bool
	once     bool
	docker   string
}

func watchCommand() *cobra.Command {
	f := &watchFlags{}
	c := &cobra.Command{
		Use:   "watch [PATH]",
		Short: "Tell when the live rules no longer implement the policy",
		Long: `Compare the rules that the kernel holds with a policy, on an interval and when
Docker starts, stops or connects something. On drift it ends with exit 2; with
--exec it runs a command instead and goes on, such as the policy's script.

TERM, INT and HUP end it with exit 0. A command that runs gets the same signal, and
is killed two seconds later.`,
		Example: `  seawall watch policy.hcl
  seawall watch policy.hcl --exec 'sh /etc/seawall/seawall.sh' --json
  seawall watch policy.hcl --once`,
		Args: onePath,
		RunE: func(c *cobra.Command, args []string) error { return f.watch(c, args) },
	}
	f.register(c)
	flags := c.Flags()
	flags.DurationVar(&f.interval, "interval", 30*time.Second, "how often to look")
	flags.StringVar(&f.run, "exec", "", "a shell `COMMAND` to run on drift, in place of ending")
	flags.BoolVar(&f.asJSON, "json", false, "log as JSON, a line an event")
	flags.BoolVar(&f.once, "once", false, "look once: exit 0 or 2")
	flags.StringVar(&f.docker, "docker", "", "the daemon's `ADDRESS` (default as for docker); without a daemon the interval alone counts")
	return c
}

// event is a line of the log.
type event struct {
	Time   string `json:"time"`
	Event  string `json:"event"` // watching, holds, drift, ran, failed
	Family int    `json:"family,omitempty"`
	What   string `json:"what,omitempty"`
}

func (f *watchFlags) log(w io.Writer, e event) {
	e.Time = time.Now().UTC().Format(time.RFC3339)
	if f.asJSON {
		// A struct of texts and a number is always JSON.
		line, _ := json.Marshal(e)
		fmt.Fprintf(w, "%s\n", line)
		return
	}
	text := fmt.Sprintf("%s %s", e.Time, e.Event)
	if e.What != "" {
		text += ": " + e.What
	}
	fmt.Fprintln(w, text)
}

func (f *watchFlags) watch(c *cobra.Command, args []string) error {
	if f.interval <= 0 {
		return fmt.Errorf("--interval is a time such as 30s, not %s", f.interval)
	}
	loaded, err := f.load(c, args)
	if err != nil {
		return err
	}
	now, w := host.ThisHost(), c.OutOrStdout()
	ctx, stop := untilStopped(c.Context())
	defer stop()
	changes := f.events(ctx)
	tick := time.NewTicker(f.interval)
	defer tick.Stop()
	f.log(w, event{Event: "watching", What: policyPath(args)})
	held := false
	for {
		drifted, err := f.look(ctx, w, now, loaded.Document)
		switch {
		case ctx.Err() != nil:
			return f.ended(ctx)
		case err != nil:
			return err
		case !drifted && (!held || f.once):
			f.log(w, event{Event: "holds"})
			held = true
		case drifted:
			held = false
			if f.run == "" {
				return exitCode(exitDiffers)
			}
			f.react(ctx, w)
		}
		switch {
		case ctx.Err() != nil:
			return f.ended(ctx)
		case f.once:
			return nil
		}
		select {
		case <-ctx.Done():
			return f.ended(ctx)
		case <-tick.C:
		case <-changes:
			time.Sleep(time.Second) // Docker writes its rules one after the other
		}
	}
}

// ended is how a watch ends that was asked to: well, but for one that was to look
// once and has no answer.
func (f *watchFlags) ended(ctx context.Context) error {
	if f.once {
		return context.Cause(ctx)
	}
	return nil
}

// look compares once, and logs each difference.
func (f *watchFlags) look(ctx context.Context, w io.Writer, now *host.Host, doc *schema.Document) (drifted bool, err error) {
	list, err := liveDifferences(ctx, now, doc)
	for _, d := range list {
		f.log(w, event{Event: "drift", Family: int(d.Family), What: fmt.Sprintf("%s: the policy says %s, the kernel %s (%s)", d, d.Policy, d.File, lastStep(iptables.Trace(d.table, d.Example)))})
	}
	return len(list) > 0, err
}

// react runs the command of --exec, and logs how it ended.
func (f *watchFlags) react(ctx context.Context, w io.Writer) {
	out, err := shell(ctx, f.run)
	if err != nil {
		f.log(w, event{Event: "failed", What: fmt.Sprintf("%s: %v: %s", f.run, err, out)})
		return
	}
	f.log(w, event{Event: "ran", What: f.run})
}

// events tells when Docker changes something; never, where there is no daemon.
func (f *watchFlags) events(ctx context.Context) <-chan struct{} {
	changes := make(chan struct{}, 1)
	api, err := dockerClient(f.docker)
	if err != nil {
		return changes
	}
	go func() {
		defer func() { _ = api.Close() }()
		for ctx.Err() == nil {
			result := api.Events(ctx, client.EventsListOptions{})
			for open := true; open; {
				select {
				case _, more := <-result.Messages:
					if open = more; !open {
						break
					}
					select {
					case changes <- struct{}{}:
					default: // one is waiting already
					}
				case <-result.Err:
					open = false
				}
			}
			select { // the daemon is gone; its restart is a change as well
			case <-ctx.Done():
			case <-time.After(2 * time.Second):
			}
		}
	}()
	return changes
}
