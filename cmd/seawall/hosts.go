package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/progress"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

// fleetHost is a host of --hosts: one variable file.
type fleetHost struct {
	name string
	file string // its variable file
}

// registerHosts adds the flag --hosts.
func registerHosts(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "hosts", "", "do it for every host that has a variable file (*.vars.hcl or *.vars.json) in `DIR`")
}

// noHostsError is the error for a folder without a variable file.
type noHostsError struct{ dir string }

func (e noHostsError) Error() string {
	return fmt.Sprintf("%s has no variable file. --hosts takes a folder with one for each host, such as db1.vars.hcl", e.dir)
}

// anyHosts reports whether a folder is there and has a variable file, or what looks like
// one.
func anyHosts(dir string) bool {
	_, err := hostsOf(dir)
	_, none := errors.AsType[noHostsError](err)
	return !none && fileExists(dir)
}

// varSuffixes are the ends of the names of variable files.
var varSuffixes = []string{".vars.hcl", ".vars.json"}

// hostsOf returns the hosts of a folder, by name.
func hostsOf(dir string) ([]fleetHost, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, badFolder("read", dir, err, takesHosts)
	}
	var hosts []fleetHost
	for _, e := range entries {
		for _, suffix := range varSuffixes {
			name, ok := strings.CutSuffix(e.Name(), suffix)
			if !ok || e.IsDir() || strings.HasPrefix(name, ".") {
				continue // hidden files are those of editors, and . and .. are no hosts
			}
			if strings.ContainsFunc(name, unicode.IsControl) {
				return nil, fmt.Errorf("the name %q in %s has a control character, which no host has. Rename the file", e.Name(), dir)
			}
			if name == "" || name == indexName {
				return nil, fmt.Errorf("%s is for no host: the name before %s is the host's, and its folder's", filepath.Join(dir, e.Name()), suffix)
			}
			hosts = append(hosts, fleetHost{name, filepath.Join(dir, e.Name())})
		}
	}
	if len(hosts) == 0 {
		return nil, noHostsError{dir}
	}
	slices.SortFunc(hosts, func(a, b fleetHost) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.file, b.file))
	})
	for i := range hosts[1:] {
		if a, b := hosts[i], hosts[i+1]; a.name == b.name {
			return nil, fmt.Errorf("%s and %s are both for the host %s. Delete one of them", a.file, b.file, a.name)
		}
	}
	return hosts, nil
}

// takesHosts says what --hosts takes.
const takesHosts = "--hosts takes a folder of variable files, one for each host"

// said is what one host was told, or why it failed.
type said struct {
	texts []string // diagnostics, as they are printed
	err   error    // an exitCode for one whose diagnostics have errors
}

// eachHost loads the policy for each host and does something with it, several hosts at a
// time. What hosts are told is the result, in their order.
func (p *policyFlags) eachHost(c *cobra.Command, args []string, hosts []fleetHost, do func(context.Context, int, *schema.Loaded) error) []said {
	several := schema.NewSeveral(policyPath(args), p.options(c))
	return severalAtOnce(c, hosts, func(ctx context.Context, i int) said {
		return oneHost(ctx, several, hosts[i], func(l *schema.Loaded) error { return do(ctx, i, l) })
	})
}

// severalAtOnce does something for each host, several at a time, and returns what hosts
// are told.
func severalAtOnce(c *cobra.Command, hosts []fleetHost, do func(context.Context, int) said) []said {
	// Each host makes much garbage and keeps nothing.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	all, quiet := make([]said, len(hosts)), progress.With(c.Context(), func(progress.Step) {}) // the steps of many at a time say nothing
	work := make(chan int)
	var workers sync.WaitGroup
	var lock sync.Mutex
	done := 0
	for range runtime.GOMAXPROCS(0) + waiting {
		workers.Go(func() {
			for i := range work {
				all[i] = do(quiet, i)
				lock.Lock()
				done++
				progress.Report(c.Context(), "hosts", fmt.Sprintf("%d of %d", done, len(hosts)))
				lock.Unlock()
			}
		})
	}
	for i := range hosts {
		if c.Context().Err() != nil {
			all[i].err = c.Context().Err()
			continue
		}
		work <- i
	}
	close(work)
	workers.Wait()
	return all
}

// waiting is how many hosts beside those that are worked on may wait for the disk.
const waiting = 2

func oneHost(ctx context.Context, several *schema.Several, h fleetHost, do func(*schema.Loaded) error) said {
	loaded, diags := several.Load(h.file)
	s := said{texts: printed(loaded.Files, diags)}
	switch {
	case diags.HasErrors():
		s.err = exitCode(exitError)
	case ctx.Err() != nil:
		s.err = ctx.Err()
	default:
		s.err = do(loaded)
	}
	return s
}

// printed are diagnostics as they are printed, each by itself: hosts may share some.
func printed(files map[string]*hcl.File, diags hcl.Diagnostics) []string {
	var list []string
	for _, d := range diags {
		var b strings.Builder
		printDiagnostics(&b, files, hcl.Diagnostics{d})
		list = append(list, b.String())
	}
	return list
}

// tell prints what hosts were told, the same text once with the hosts that it is for, and
// ends the command with an error if one failed.
func tell(c *cobra.Command, hosts []fleetHost, all []said) error {
	if err := c.Context().Err(); err != nil {
		return err
	}
	w, failed, texts := c.ErrOrStderr(), 0, make([][]string, len(all))
	for i, s := range all {
		texts[i] = s.texts
		if s.err != nil {
			failed++
			if code := exitCode(0); !errors.As(s.err, &code) {
				texts[i] = append(texts[i], fmt.Sprintf("Error: %s\n\n", s.err))
			}
		}
	}
	printEach(w, hosts, texts)
	if failed > 0 {
		fmt.Fprintf(w, "%s of %d failed.\n", count(failed, "host", "hosts"), len(hosts))
		return exitCode(exitError)
	}
	return nil
}

// printEach prints the texts of hosts, each once, in the order of the first host that has
// it, below the names of all that have it.
func printEach(w io.Writer, hosts []fleetHost, texts [][]string) {
	var order []string
	of := map[string][]string{}
	for i, list := range texts {
		for _, text := range list {
			if of[text] == nil {
				order = append(order, text)
			}
			if n := len(of[text]); n == 0 || of[text][n-1] != hosts[i].name {
				of[text] = append(of[text], hosts[i].name)
			}
		}
	}
	before := ""
	for _, text := range order {
		if names := nameHosts(of[text], len(hosts)); names != before {
			fmt.Fprintf(w, "For %s:\n\n", names)
			before = names
		}
		fmt.Fprint(w, text)
	}
}

// nameHosts names some hosts of many.
func nameHosts(names []string, all int) string {
	const most = 3
	switch {
	case len(names) == all && all > 1:
		return fmt.Sprintf("all %d hosts", all)
	case len(names) > most+1:
		return fmt.Sprintf("%d hosts (%s and %d more)", len(names), strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
