package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/doctor"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/system"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

type compileFlags struct {
	policyFlags
	format   string
	system   string // --for
	layout   string
	family   int
	debian   bool // the base has netfilter-persistent's names
	force    bool
	only     packet.Family // the family of --base FILE; 0 for both
	outDir   string
	base     string
	check    bool
	hosts    string // the folder of --hosts
	comments string
}

func compileCommand() *cobra.Command {
	f := &compileFlags{}
	c := &cobra.Command{
		Use:   "compile [PATH]",
		Short: "Compile a policy into files of iptables or nftables rules",
		Long: `Compile a policy into files of iptables or nftables rules.

Without --out-dir the rules of one family go to standard output; with it every
file of the format is written to that folder. Each file is read back and proved to
implement the policy before it is written. A file that cannot be proved is not
written.

  sysconfig   iptables and ip6tables for /etc/sysconfig, loaded at boot
  restore     rules.v4 and rules.v6 for iptables-restore --noflush, at any time
  shell       seawall.sh, a script that loads both families, at any time
  nftables    seawall.nft for nft -f: a table of its own with both families, at
              any time; it needs neither iptables nor DOCKER-USER
  ufw         after.rules, after6.rules and before.init of ufw, each with a marked
              block of Seawall's, loaded at boot and by ufw reload

--for SYSTEM chooses the format, the names of the files and what loads them at boot,
and prints the commands that switch it on, and what people get wrong there. Nothing
outside --out-dir is written.

--hosts DIR does it for every host that has a variable file in DIR, several at a time,
into a folder of --out-dir for each, named after its variable file. The file hosts.json
there says what each host has. With --check nothing is written.

The layout is the arrangement of iptables' rules. All layouts have the same meaning.

  flat        one rule after the other, readable without Seawall
  indexed     trees of chains, in which a packet meets few rules however long
              the policy is
  ipset       long lists of sources as ipsets; the file ipset must be loaded
              before the rules (ipset restore), the script loads it itself
  auto        flat while that is cheap for a packet, otherwise indexed

Comments name the policy that rules come from.

  names       one comment above the rules of each policy; changes elsewhere in
              the policy file do not change it
  lines       the same, with the file and line of the policy
  rules       also a -m comment on each rule, which iptables -L shows`,
		Example: `  seawall compile policy.hcl
  seawall compile policy.hcl --format restore --family 6
  seawall compile policy.hcl --out-dir /etc/sysconfig --base /etc/sysconfig/iptables
  seawall compile policy.hcl --for ufw --base /etc/ufw --out-dir /etc/ufw
  seawall compile --check --out-dir build
  seawall compile policies --hosts hosts --for debian --out-dir build`,
		Args: onePath,
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args) },
	}
	f.register(c)
	flags := c.Flags()
	flags.StringVar(&f.format, "format", emit.Names()[0], emit.NamesInWords())
	flags.StringVar(&f.system, "for", "", "the `SYSTEM` that loads the files: "+system.NamesInWords())
	registerLayout(c, &f.layout)
	flags.BoolVar(&f.force, "force", false, "replace files that Seawall did not generate, and other people's rules in DOCKER-USER of a base")
	flags.IntVar(&f.family, "family", 4, "the address family to write to standard output: 4 or 6")
	flags.StringVar(&f.outDir, "out-dir", "", "write every file of the format to `DIR`")
	flags.StringVar(&f.base, "base", "", "splice into this boot `FILE`, or into the files in this folder (iptables and ip6tables, Debian's rules.v4 and rules.v6, or those of --for)")
	registerHosts(c, &f.hosts)
	flags.BoolVar(&f.check, "check", false, "write nothing; exit 2 when a file would change")
	flags.StringVar(&f.comments, "comments", string(lower.Names), "names, lines or rules: what comments say about where rules come from")
	choices(c, "comments", commentNames()...)
	choices(c, "format", emit.Names()...)
	choices(c, "for", system.Names()...)
	choices(c, "family", "4", "6")
	return c
}

// registerLayout adds the flag --layout.
func registerLayout(c *cobra.Command, layout *string) {
	c.Flags().StringVar(layout, "layout", "auto", "auto, flat, indexed or ipset: the arrangement of the rules")
	choices(c, "layout", "auto", "flat", "indexed", "ipset")
}

func checkLayout(layout string) error {
	if !slices.Contains(lower.Layouts, lower.Layout(layout)) {
		return fmt.Errorf("--layout is auto, flat, indexed or ipset, not %q", layout)
	}
	return nil
}

// choices offers a flag's values to shell completion.
func choices(c *cobra.Command, flag string, values ...string) {
	// The flag exists: it was registered before.
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// checkFor applies --for to the format.
func (f *compileFlags) checkFor(c *cobra.Command) error {
	if f.system == "" {
		return nil
	}
	s := system.ByName(f.system)
	if s == nil {
		return fmt.Errorf("--for is %s, not %q%s", system.NamesInWords(), f.system, didYouMean(f.system, system.Names()))
	}
	if c.Flags().Changed("format") && f.format != s.Format.Name {
		return fmt.Errorf("--for %s writes --format %s, not %s; leave one of the two out", s.Name, s.Format.Name, f.format)
	}
	f.format = s.Format.Name
	return nil
}

// into returns the format of the files: a system may have its own of one name.
func (f *compileFlags) into() *emit.Format {
	if s := system.ByName(f.system); s != nil {
		return s.Format
	}
	return emit.ByName(f.format)
}

func (f *compileFlags) checkFlags() error {
	switch {
	case emit.ByName(f.format) == nil:
		return fmt.Errorf("--format is %s, not %q%s", emit.NamesInWords(), f.format, didYouMean(f.format, emit.Names()))
	case f.family != 4 && f.family != 6:
		return fmt.Errorf("--family is 4 or 6, not %d", f.family)
	case emit.ByName(f.format).NoSets && f.layout == string(lower.IPSet):
		return fmt.Errorf("--layout ipset is not for --format %s: nothing loads the sets before its rules. Use --layout indexed, or leave it out", f.format)
	case emit.ByName(f.format).NFT && f.layout != string(lower.Auto):
		return fmt.Errorf("--layout is for the formats of iptables; --format %s has only one", f.format)
	case f.check && f.outDir == "":
		return fmt.Errorf("--check compares with the files of a folder: name it with --out-dir")
	case f.base != "" && emit.ByName(f.format).Splice == nil:
		return fmt.Errorf("--base is for boot files, --format sysconfig or ufw; the files of --format %s leave what is there alone", f.format)
	}
	if !slices.Contains(commentNames(), f.comments) {
		return fmt.Errorf("--comments is names, lines or rules, not %q", f.comments)
	}
	return checkLayout(f.layout)
}

func commentNames() []string {
	var names []string
	for _, c := range lower.AllComments {
		names = append(names, string(c))
	}
	return names
}

func (f *compileFlags) run(c *cobra.Command, args []string) error {
	if err := errors.Join(f.checkFor(c), f.checkFlags()); err != nil {
		return err
	}
	if f.hosts != "" {
		return f.runHosts(c, args)
	}
	loaded, err := f.load(c, args)
	if err != nil {
		return err
	}
	opt := f.compilerOptions(loaded)
	if err := fits(c, loaded, opt.Format); err != nil {
		return err
	}
	if err := f.readBase(c, &opt); err != nil {
		return err
	}
	f.sayNoIPv6(c)
	loaded.Files = nil // the parsed bodies are many times as large as what is needed from here
	beside := f.writeBeside(&opt)
	out, err := compiler.Compile(c.Context(), loaded.Document, opt)
	if err != nil {
		beside.drop()
		return f.unproved(err)
	}
	f.sayMoved(c, &opt)
	for _, n := range out.Notes {
		fmt.Fprintf(c.ErrOrStderr(), "Note: %s\n", n)
	}
	f.asLoaded(out)
	if f.only != 0 {
		f.leaveOut(c, out)
	}
	if f.outDir == "" {
		if err := f.print(c, out); err != nil {
			return err
		}
		f.saySystem(c, out, f.again(c, args))
		return nil
	}
	return f.write(c, out, beside, f.again(c, args))
}

func (f *compileFlags) compilerOptions(loaded *schema.Loaded) compiler.Options {
	return compiler.Options{Format: f.into(), Layout: lower.Layout(f.layout), Comments: lower.Comments(f.comments), Source: compiler.SourceName(loaded), Force: f.force}
}

// asLoaded renames the files to what the system loads, and adds what loads them.
func (f *compileFlags) asLoaded(out *compiler.Output) {
	for i := range out.Files {
		out.Files[i].Name = f.bootName(out.Files[i].Name)
	}
	if s := system.ByName(f.system); s != nil && s.Boot != nil {
		out.Files = append(out.Files, s.Boot()...)
	}
}

// debianNames are the names that Debian's netfilter-persistent has for boot files.
var debianNames = map[string]string{"iptables": "rules.v4", "ip6tables": "rules.v6", "ipset": "ipsets"}

// debianFolder reports whether boot files in a folder have Debian's names: they are there, or
// none is there and it is /etc/iptables.
func debianFolder(dir string) bool {
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	if has("iptables") || has("ip6tables") {
		return false
	}
	return has("rules.v4") || has("rules.v6") || filepath.Base(filepath.Clean(dir)) == "iptables"
}

// bootName returns the name of a boot file for the system of the base.
func (f *compileFlags) bootName(name string) string {
	if s := system.ByName(f.system); s != nil {
		return s.FileName(name)
	}
	if debian, ok := debianNames[name]; ok && f.debian {
		return debian
	}
	return name
}

// leaveOut removes the files of the family that the base does not have.
func (f *compileFlags) leaveOut(c *cobra.Command, out *compiler.Output) {
	if f.outDir == "" {
		f.family = int(f.only)
		return
	}
	out.Files = slices.DeleteFunc(out.Files, func(file emit.File) bool {
		other := !file.Sets && !slices.Contains(file.Families, f.only)
		if other {
			fmt.Fprintf(c.ErrOrStderr(), "Note: --base is a file of %v rules, so %s is not written. Name the folder to splice into both.\n", f.only, file.Name)
		}
		return other
	})
}

// notOurs explains what to do about files that Seawall did not write.
func (f *compileFlags) notOurs(err error) error {
	e, ok := errors.AsType[*emit.ForeignError](err)
	switch {
	case !ok:
		return cannotWrite(f.outDir, err, takesOutDir)
	case f.hosts != "":
		return fmt.Errorf("%w, so nothing was written for this host.\n\nWrite into another folder, or replace files that seawall did not generate with --force, for every host", e)
	case f.base == "":
		return fmt.Errorf("%w, so nothing was written.\n\nSplice the policy into them with --base, write into another folder, or replace them with --force", e)
	}
	base := e.Paths[0]
	if len(e.Paths) > 1 {
		base = f.outDir
	}
	return fmt.Errorf("%w, so nothing was written. The base %s does not have all of its lines.\n\nSplice into it with --base %s, write into another folder, or replace it with --force", e, f.base, base)
}

// readBase reads the boot files to splice into.
func (f *compileFlags) readBase(c *cobra.Command, opt *compiler.Options) error {
	if f.base == "" {
		return nil
	}
	info, err := os.Stat(f.base)
	if err != nil {
		return cannotRead(f.base, err, takesBase)
	}
	if !info.IsDir() && f.into().Hook != "" {
		return fmt.Errorf("--base takes the folder of %s's files, such as %s: %s belongs to them", f.format, system.UFW.Folder, f.into().Hook)
	}
	if !info.IsDir() {
		text, err := readFile(f.base)
		if err != nil {
			return cannotRead(f.base, err, takesBase)
		}
		family := packet.Family(f.family)
		if filepath.Base(f.base) == "ip6tables" || strings.HasSuffix(f.base, ".v6") {
			family = packet.IPv6
		}
		f.only, f.debian = family, slices.Contains([]string{"rules.v4", "rules.v6"}, filepath.Base(f.base))
		if family == packet.IPv6 {
			opt.Base6 = append([]byte{}, text...)
		} else {
			opt.Base4 = append([]byte{}, text...)
		}
		return nil
	}
	f.debian = debianFolder(f.base)
	bases, names := []*[]byte{&opt.Base4, &opt.Base6}, opt.Format.Names[:]
	if opt.Format.Hook != "" {
		bases, names = append(bases, &opt.BaseHook), append(slices.Clone(names), opt.Format.Hook)
	}
	for i, base := range bases {
		path := filepath.Join(f.base, f.bootName(names[i]))
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(c.ErrOrStderr(), "Note: %s does not exist, so a whole file is written in its place.\n", path)
			continue
		}
		if err := emit.CheckRegular(path); err != nil {
			return fmt.Errorf("--base: %w", err)
		}
		text, err := readFile(path)
		if err != nil {
			return cannotRead(path, err, takesBase)
		}
		*base = append([]byte{}, text...)
	}
	return nil
}

// sayMoved says that ufw reset has moved the rules away: it writes fresh files of rules,
// leaves before.init, and the kernel's rules stay until the next boot.
func (f *compileFlags) sayMoved(c *cobra.Command, opt *compiler.Options) {
	if !emit.HasBlock(opt.BaseHook) {
		return
	}
	for i, base := range [][]byte{opt.Base4, opt.Base6} {
		if base != nil && !emit.HasBlock(base) {
			fmt.Fprintf(c.ErrOrStderr(), "Note: %s has Seawall's block, and %s has not: ufw reset moves the file aside, with the rules. They stay loaded only until the next boot.\n",
				filepath.Join(f.base, opt.Format.Hook), filepath.Join(f.base, opt.Format.Names[i]))
		}
	}
}

// sayNoIPv6 says that the ufw of the base loads nothing for IPv6. Its defaults are beside
// its folder: /etc/default/ufw for /etc/ufw.
func (f *compileFlags) sayNoIPv6(c *cobra.Command) {
	if f.base == "" || f.into() != emit.UFW {
		return
	}
	defaults, err := os.ReadFile(filepath.Join(f.base, "..", "..", filepath.FromSlash(system.UFWDefaults)))
	if err == nil && !system.LoadsIPv6(defaults) {
		fmt.Fprintf(c.ErrOrStderr(), "Note: %s. Set IPV6=yes, then ufw disable and ufw enable.\n", system.NoIPv6)
	}
}

// lostRules lists the rules that a splice would remove, each with its line, and
// what to do.
func lostRules(e *compiler.LostRulesError, where string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "rules in the base that Seawall did not write would be lost, so nothing was written.\n\n")
	block := false
	for i, l := range e.Lines {
		block = block || l.Block
		if i < maxLost {
			fmt.Fprintf(&b, "  %s%d: %s\n", where, l.Number, printable(l.Text))
		}
	}
	if more := len(e.Lines) - maxLost; more > 0 {
		fmt.Fprintf(&b, "  and %d more\n", more)
	}
	b.WriteString("\nAdd them to the policy (seawall import shows how) and delete them, or replace them with --force.")
	if block {
		b.WriteString("\nA block from \"# seawall: begin\" to \"# seawall: end\" is Seawall's: rules of other chains are kept below it.")
	}
	return errors.New(b.String())
}

// maxLost is how many of the rules are shown that would be lost.
const maxLost = 10

// unproved is unproved for a base that the user named.
func (f *compileFlags) unproved(err error) error {
	base, isBase := errors.AsType[*compiler.BaseError](err)
	lost, isLost := errors.AsType[*compiler.LostRulesError](err)
	if !isBase {
		return unproved(err)
	}
	name := f.base
	if f.only == 0 {
		name = filepath.Join(f.base, f.bootName(base.File))
	}
	if block, ok := errors.AsType[*compiler.UFWDockerError](err); ok {
		return ufwDocker(block, name)
	}
	if !isLost {
		return unproved(err)
	}
	return lostRules(lost, name+":")
}

// ufwDocker explains that two tools cannot fill one chain.
func ufwDocker(e *compiler.UFWDockerError, name string) error {
	return fmt.Errorf("%s: %w, so nothing was written.\n\nseawall import %s shows what its rules say as a policy. With --force the block is replaced. The rules of ufw route then no longer apply to containers: what they allow belongs in the policy", name, e, doctor.ShellWord(name))
}

// unproved explains why nothing was written.
func unproved(err error) error {
	var base *compiler.BaseError
	if lost, ok := errors.AsType[*compiler.LostRulesError](err); ok {
		return lostRules(lost, "line ")
	}
	if errors.As(err, &base) {
		return atLine("the base for "+base.File, base.Err)
	}
	var e *compiler.Unproved
	if !errors.As(err, &e) {
		return err
	}
	d := e.Differences[0]
	why := "This is a bug in Seawall. Please report it with the policy and these lines."
	if e.Base {
		why = "Rules in the base file decide before Seawall's chains, or keep packets away from them."
	}
	return fmt.Errorf("%s would not implement the policy, so nothing was written.\n\n  %s\n  for example: %s\n  the policy says %s, the file says %s\n\n%s",
		e.File, d, d.Example, d.Policy, d.File, why)
}

func (f *compileFlags) print(c *cobra.Command, out *compiler.Output) error {
	if sets := slices.IndexFunc(out.Files, func(file emit.File) bool { return file.Sets }); sets >= 0 {
		other := ", or choose another --layout"
		if len(out.Chains.V4.SetText)+len(out.Chains.V6.SetText) == 0 {
			other = "" // the policy names them
		}
		return fmt.Errorf("the rules match ipsets, which are in a separate file (%s) and cannot go to standard output with them. Write both with --out-dir DIR%s", out.Files[sets].Name, other)
	}
	for _, file := range out.Files {
		if len(file.Families) > 1 || len(file.Families) == 1 && file.Families[0] == packet.Family(f.family) {
			_, err := write(c, byteForm).Write(file.Bytes)
			return err
		}
	}
	return nil
}

// besideProof writes the files of a folder while they are proved: a disk takes as long for a
// hundred megabytes as the proof does. They take their places after it.
type besideProof struct {
	flags *compileFlags
	batch emit.Batch
	names []string
	err   error
	ended chan struct{} // nil before it has begun
}

// writeBeside begins to write as soon as there are files.
func (f *compileFlags) writeBeside(opt *compiler.Options) *besideProof {
	w := &besideProof{flags: f}
	if f.outDir == "" {
		return w
	}
	opt.Emitted = func(files []emit.File) {
		out := &compiler.Output{Files: slices.Clone(files)}
		f.asLoaded(out)
		if f.only != 0 {
			return // not all of them are written
		}
		w.ended = make(chan struct{})
		go func() {
			defer close(w.ended)
			w.put(out.Files)
		}()
	}
	return w
}

func (w *besideProof) put(files []emit.File) {
	if w.names, w.err = w.flags.put(w.flags.outDir, files, &w.batch); w.err != nil {
		return
	}
	if err := w.batch.Sync(); err != nil {
		w.err = cannotWrite(w.flags.outDir, err, takesOutDir)
	}
}

// finish lets the files take their places, and returns the names of those that change.
func (w *besideProof) finish(files []emit.File) ([]string, error) {
	if w.ended == nil {
		w.put(files)
	} else {
		<-w.ended
	}
	if w.err != nil {
		w.batch.Drop()
		return nil, w.err
	}
	if err := w.batch.Flush(); err != nil {
		return nil, cannotWrite(w.flags.outDir, err, takesOutDir)
	}
	return w.names, nil
}

// drop removes what was written.
func (w *besideProof) drop() {
	if w.ended != nil {
		<-w.ended
		w.batch.Drop()
	}
}

func (f *compileFlags) write(c *cobra.Command, out *compiler.Output, beside *besideProof, policy string) error {
	names, err := beside.finish(out.Files)
	if err != nil {
		return err
	}
	if f.check {
		return wouldChange(c, inFolder(f.outDir, names))
	}
	for _, path := range inFolder(f.outDir, names) {
		fmt.Fprintf(c.OutOrStdout(), "wrote %s\n", path)
	}
	f.saySwitchOn(c, out)
	f.saySystem(c, out, policy)
	return nil
}

// put adds files of a folder to a batch, and returns the names of those that are written;
// with --check it only returns those that would change.
func (f *compileFlags) put(dir string, files []emit.File, batch *emit.Batch) ([]string, error) {
	if f.check {
		names, err := emit.Changed(dir, files)
		if err != nil {
			return nil, badFolder("compare with", dir, err, takesOutDir)
		}
		return names, nil
	}
	if !f.force {
		if err := emit.CheckForeign(dir, files); err != nil {
			return nil, f.notOurs(err)
		}
	}
	names, err := batch.Add(dir, files)
	if err != nil {
		return nil, cannotWrite(dir, err, takesOutDir)
	}
	return names, nil
}

// wouldChange ends a command that only compares files.
func wouldChange(c *cobra.Command, paths []string) error {
	for _, path := range paths {
		fmt.Fprintf(c.OutOrStdout(), "%s would change\n", path)
	}
	if len(paths) > 0 {
		return exitCode(exitDiffers)
	}
	return nil
}

// inFolder returns the paths of names in a folder.
func inFolder(dir string, names []string) []string {
	var paths []string
	for _, n := range names {
		paths = append(paths, filepath.Join(dir, n))
	}
	return paths
}

// again are the policy and the flags that decide what the files say, for a shell.
func (f *compileFlags) again(c *cobra.Command, args []string) string {
	words := []string{doctor.ShellWord(policyPath(args))}
	if policyPath(args) == "-" {
		words[0] = "POLICY"
	}
	add := func(name string, values ...string) {
		for _, v := range values {
			words = append(words, "--"+name+" "+doctor.ShellWord(v))
		}
	}
	add("var-file", f.varFiles...)
	add("var", f.vars...)
	for _, name := range []string{"layout", "comments"} {
		if c.Flags().Changed(name) {
			add(name, c.Flag(name).Value.String())
		}
	}
	if f.anyFiles {
		words = append(words, "--allow-files")
	}
	return strings.Join(words, " ")
}

// saySystem prints what is left to do on the system of --for: writing the files into
// their folder, unless they are there, the commands that switch them on, and the trap.
func (f *compileFlags) saySystem(c *cobra.Command, out *compiler.Output, policy string) {
	s := system.ByName(f.system)
	if s == nil {
		return
	}
	w := c.ErrOrStderr()
	fmt.Fprintln(w)
	if slices.ContainsFunc(out.Files, func(file emit.File) bool { return file.Sets }) || s.Format.NoSets && out.Chains.AwaitsSets() {
		fmt.Fprintf(w, "First: %s\n", s.SetsNote())
	}
	fmt.Fprintf(w, "On %s, as root:\n", s.Title)
	for _, line := range s.Commands(policy, filepath.ToSlash(filepath.Clean(f.outDir))) {
		fmt.Fprintf(w, "  %s\n", line)
	}
	fmt.Fprintf(w, "Note: %s\n", s.Trap)
}

// saySwitchOn says what a host needs beside the files.
func (f *compileFlags) saySwitchOn(c *cobra.Command, out *compiler.Output) {
	format := f.into()
	if format.SwitchOn == nil {
		return
	}
	w := c.ErrOrStderr()
	fmt.Fprintf(w, "Note: %s\n", format.SwitchOnWhy)
	for _, family := range packet.Families {
		for _, line := range format.SwitchOn(out.Chains, family) {
			fmt.Fprintf(w, "  %s\n", line)
		}
	}
}
