package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/diff"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

// fleetSide is one side of a comparison for many hosts.
type fleetSide struct {
	policy *schema.Several // nil for one without a policy
	hosts  map[string]fleetHost
	rename func(string) string // of texts that name its files; nil for none
}

// runHosts says what a change means for each host.
func (f *diffFlags) runHosts(c *cobra.Command, args []string) error {
	for _, name := range []string{"files", "family", "noflush", "ipset"} {
		if flag := c.Flag(name); flag != nil && flag.Changed {
			return fmt.Errorf("--%s is for files. Leave it out with --hosts, which compares policies, or compare for one host with --var-file", name)
		}
	}
	before, after, done, err := f.fleetSides(c, args)
	if err != nil {
		return err
	}
	defer done()
	hosts := allHosts(before.hosts, after.hosts)
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.name
	}
	gathering, memory := diff.Gather(names), compiler.NewMemory()
	all := severalAtOnce(c, hosts, func(ctx context.Context, i int) said {
		sides, s := diff.Sides{}, said{}
		old := before.of(hosts[i].name, &s)
		fresh := after.of(hosts[i].name, &s)
		if s.err != nil {
			gathering.Fail(i)
			return s
		}
		for _, family := range packet.Families {
			sides[family] = [2]prove.Side{old[family], fresh[family]}
		}
		report, err := compiler.DiffHost(ctx, sides, prove.Limits{}, memory)
		if s.err = err; err == nil {
			gathering.Add(i, report)
		} else {
			gathering.Fail(i)
		}
		return s
	})
	told := tell(c, hosts, all)
	r := gathering.Hosts()
	if told != nil && (r.Count == 0 || c.Context().Err() != nil) {
		return told // there is nothing to report
	}
	r.New, r.Gone = moved(after.hosts, before.hosts), moved(before.hosts, after.hosts)
	if err := f.printReport(c, r, r.Changed() == 0); told == nil {
		return err
	}
	return told
}

// of is what a side has for a host. Mistakes are what the host is told.
func (s *fleetSide) of(name string, told *said) map[packet.Family]prove.Side {
	h, ok := s.hosts[name]
	if !ok || s.policy == nil {
		return noRules().families
	}
	loaded, diags := s.policy.Load(h.file)
	for _, text := range printed(loaded.Files, diags) {
		if s.rename != nil {
			text = s.rename(text)
		}
		told.texts = append(told.texts, text)
	}
	if diags.HasErrors() {
		told.err = exitCode(exitError)
		return nil
	}
	sides := map[packet.Family]prove.Side{}
	for _, family := range packet.Families {
		sides[family] = prove.Side{Policy: loaded.Document}
	}
	return sides
}

// allHosts are the hosts of both sides, by name.
func allHosts(before, after map[string]fleetHost) []fleetHost {
	var hosts []fleetHost
	for _, h := range after {
		hosts = append(hosts, h)
	}
	for name, h := range before {
		if _, ok := after[name]; !ok {
			hosts = append(hosts, h)
		}
	}
	slices.SortFunc(hosts, func(a, b fleetHost) int { return cmp.Compare(a.name, b.name) })
	return hosts
}

// moved are the hosts that only one side has.
func moved(has, lacks map[string]fleetHost) []string {
	var names []string
	for name := range has {
		if _, ok := lacks[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// fleetSides are both sides, and what removes the files that they need.
func (f *diffFlags) fleetSides(c *cobra.Command, args []string) (before, after *fleetSide, done func(), err error) {
	if f.git != "" {
		return f.gitFleet(c, policyPath(args))
	}
	if before, err = f.fleetSide(c, args[0], f.hosts, f.varFiles); err != nil {
		return nil, nil, nil, err
	}
	if after, err = f.fleetSide(c, args[1], f.hosts, f.varFiles); err != nil {
		return nil, nil, nil, err
	}
	return before, after, func() {}, nil
}

// fleetSide is a policy and the folder of its hosts; without a path it has no policy, and
// without a folder no hosts.
func (f *diffFlags) fleetSide(c *cobra.Command, path, dir string, varFiles []string) (*fleetSide, error) {
	if path == "-" {
		return nil, errors.New("--hosts compares policies that are files or folders: standard input can be read only once")
	}
	side := &fleetSide{hosts: map[string]fleetHost{}}
	if dir != "" {
		list, err := hostsOf(dir)
		if err != nil {
			return nil, err
		}
		for _, h := range list {
			side.hosts[h.name] = h
		}
	}
	if path == "" {
		return side, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, cannotRead(path, err, takesEither)
	}
	if !info.IsDir() && !schema.IsPolicyFile(filepath.Base(path)) || info.IsDir() && len(compiledFolder(path)) > 0 {
		return nil, fmt.Errorf("%s is not a policy. --hosts compares policies, which mean something else for each host", path)
	}
	p := policyFlags{vars: f.vars, varFiles: varFiles, anyFiles: f.anyFiles}
	side.policy = schema.NewSeveral(path, p.options(c))
	return side, nil
}

// gitFleet reads a policy and its hosts as they are at a revision, and as they are now.
func (f *diffFlags) gitFleet(c *cobra.Command, path string) (before, after *fleetSide, done func(), err error) {
	if path == "-" {
		return nil, nil, nil, errors.New("--git needs a path, and standard input has no revision")
	}
	top, inside, err := gitPlace(path)
	if err != nil {
		return nil, nil, nil, err
	}
	dir, err := os.MkdirTemp("", "seawall-diff")
	if err != nil {
		return nil, nil, nil, err
	}
	remove := func() { _ = os.RemoveAll(dir) }
	defer func() {
		if err != nil {
			remove()
		}
	}()
	if err := gitExtract(top, f.git, dir); err != nil {
		return nil, nil, nil, err
	}
	old, err := f.gitOld(c, top, dir, inside)
	if err != nil {
		return nil, nil, nil, err
	}
	if before, err = f.fleetThen(c, top, dir, old); err != nil {
		return nil, nil, nil, errors.New(strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), f.git+":"))
	}
	now := path
	if _, err := os.Lstat(path); err != nil && old != "" {
		fmt.Fprintf(c.ErrOrStderr(), "Note: %s is gone; what was there is compared with no rules.\n", path)
		now = ""
	}
	hosts := f.hosts
	if !anyHosts(hosts) && len(before.hosts) > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "Note: %s has no variable files any more.\n", hosts)
		hosts = ""
	}
	if after, err = f.fleetSide(c, now, hosts, f.varFiles); err != nil {
		return nil, nil, nil, err
	}
	return before, after, remove, nil
}

// fleetThen is the side of a revision, whose files are in a folder.
func (f *diffFlags) fleetThen(c *cobra.Command, top, dir, policy string) (*fleetSide, error) {
	hosts, err := f.gitThen(c, top, dir, f.hosts, true)
	if err != nil {
		return nil, err
	}
	if hosts != "" && !anyHosts(hosts) {
		hosts = "" // each host is new
	}
	varFiles, err := f.gitVarFiles(c, top, dir)
	if err != nil {
		return nil, err
	}
	side, err := f.fleetSide(c, policy, hosts, varFiles)
	if err == nil {
		side.rename = func(text string) string {
			return strings.ReplaceAll(text, dir+string(filepath.Separator), f.git+":")
		}
	}
	return side, err
}
