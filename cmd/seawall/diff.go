package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/diff"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

type diffFlags struct {
	policyFlags
	git     string
	format  string
	target  string
	noFiles bool
	hosts   string // the folder of --hosts
	rules   rulesFlags
}

func diffCommand() *cobra.Command {
	f := &diffFlags{}
	c := &cobra.Command{
		Use:   "diff OLD NEW | diff --git REV [PATH]",
		Short: "Show what a change means: who gained or lost which port",
		Long: `Show what a change means: who gained or lost which port, exactly and over all
packets, and how the compiled files change.

OLD and NEW are each a policy (a file, a folder, or - for standard input), a
rules file (iptables-save, nft, seawall.sh, ...), or a folder of compiled files. With
--git, OLD is the same PATH at that revision, also where it had another name; what
is new, or is gone, is compared with no rules.

Each numbered change has one cause, and the worst comes first: the same sources that
gain or lose several ports, or others that gain or lose the same. In JSON, "items"
are these, each with its sources in full as networks and their exceptions, and with
the places of its parts in "changes", which are a policy and a family each.

--hosts DIR compares two policies for every host that has a variable file in DIR, with
--git as that was at the revision, several at a time. Hosts for which the change means
the same are one group; a policy's own addresses, in which hosts differ, are "its
address" there. Only the meaning is compared.

Exit 0 when both mean the same, 2 when not.`,
		Example: `  seawall diff old.hcl new.hcl
  seawall diff --git origin/main policies --format markdown
  seawall diff --git origin/main policies --hosts hosts
  iptables-save > now.save; seawall diff now.save policy.hcl`,
		Args: between(0, 2, "OLD and NEW, or with --git one PATH"),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args) },
	}
	f.register(c)
	c.Flags().StringVar(&f.git, "git", "", "compare PATH with itself at this `REVISION`")
	c.Flags().StringVar(&f.format, "format", "text", "text, markdown, html or json")
	c.Flags().StringVar(&f.target, "files", emit.Names()[0], "the format of compiled files whose text is compared: "+emit.NamesInWords())
	f.rules.register(c)
	registerHosts(c, &f.hosts)
	c.Flags().BoolVar(&f.noFiles, "no-files", false, "leave out the change of text")
	choices(c, "format", "text", "markdown", "html", "json")
	choices(c, "files", emit.Names()...)
	return c
}

// diffSide is one side, as read.
type diffSide struct {
	families map[packet.Family]prove.Side
	texts    []diff.Text
	rules    []*compiler.Rules // of rules
	loaded   *schema.Loaded    // of a policy
}

func (f *diffFlags) run(c *cobra.Command, args []string) error {
	if err := f.checkFlags(args); err != nil {
		return err
	}
	if f.hosts != "" {
		return f.runHosts(c, args)
	}
	before, after, err := f.sides(c, args)
	if err != nil {
		return err
	}
	if err := before.against(c, after); err != nil {
		return err
	}
	if err := after.against(c, before); err != nil {
		return err
	}
	sides := diff.Sides{}
	for family, old := range before.families {
		if fresh, ok := after.families[family]; ok {
			sides[family] = [2]prove.Side{old, fresh}
		}
	}
	if len(sides) == 0 {
		return fmt.Errorf("one side is IPv4 and the other IPv6, so there is nothing to compare")
	}
	report, err := compiler.Diff(c.Context(), sides, prove.Limits{})
	if err != nil {
		return err
	}
	report.Beside = beside(before, after)
	report.Undecided = len(report.Beside) > 0 && before.loaded == nil && after.loaded == nil
	if !f.noFiles {
		report.Files, report.TextCompared = diff.Files(before.texts, after.texts), true
	}
	return f.print(c, report)
}

// beside are the rules beside what is compared that one side has and the other has not.
func beside(before, after *diffSide) []string {
	old, fresh := before.unjudged(after), after.unjudged(before)
	var list []string
	for _, side := range []struct {
		mark      string
		has, lack map[string]string
	}{{"- ", old, fresh}, {"+ ", fresh, old}} {
		for _, key := range slices.Sorted(maps.Keys(side.has)) {
			if _, ok := side.lack[key]; !ok {
				list = append(list, side.mark+side.has[key])
			}
		}
	}
	return list
}

// lineNumber is where a rule stands, which does not make it another one.
var lineNumber = regexp.MustCompile(`, line \d+`)

// unjudged are the rules of a side that no comparison covers, without their lines.
func (s *diffSide) unjudged(other *diffSide) map[string]string {
	var doc *schema.Document
	if other.loaded != nil {
		doc = other.loaded.Document
	}
	list := map[string]string{}
	for _, r := range s.rules {
		for _, text := range r.Unjudged(doc) {
			list[lineNumber.ReplaceAllString(text, "")] = text
		}
	}
	return list
}

// against has rules of nft read as a policy on the other side asks for them, whose
// accept may be a mark.
func (s *diffSide) against(c *cobra.Command, other *diffSide) error {
	for _, r := range s.rules {
		if r.NFT == nil || other.loaded == nil {
			continue
		}
		if err := fits(c, other.loaded, emit.NFTables); err != nil {
			return err
		}
		s.families[r.Family()] = prove.Side{Rules: r.For(other.loaded.Document)}
	}
	return nil
}

func (f *diffFlags) checkFlags(args []string) error {
	switch {
	case f.git == "" && len(args) != 2:
		return fmt.Errorf("nothing to compare: give OLD and NEW, or --git REVISION and a path")
	case f.git != "" && len(args) > 1:
		return fmt.Errorf("--git takes one PATH: OLD is the same path at %s", f.git)
	case !slices.Contains([]string{"text", "markdown", "html", "json"}, f.format):
		return fmt.Errorf("--format is text, markdown, html or json, not %q", f.format)
	case emit.ByName(f.target) == nil:
		return fmt.Errorf("--files is %s, not %q", emit.NamesInWords(), f.target)
	case len(args) == 2 && args[0] == "-" && args[1] == "-":
		return fmt.Errorf("only one side can be standard input")
	}
	return nil
}

func (f *diffFlags) sides(c *cobra.Command, args []string) (before, after *diffSide, err error) {
	if f.git != "" {
		return f.gitSides(c, policyPath(args))
	}
	if before, err = f.side(c, args[0], f.varFiles); err != nil {
		return nil, nil, err
	}
	after, err = f.side(c, args[1], f.varFiles)
	return before, after, err
}

// side reads a policy or rules.
func (f *diffFlags) side(c *cobra.Command, path string, varFiles []string) (*diffSide, error) {
	if path == "-" {
		text, err := schema.ReadRules(c.InOrStdin())
		if err != nil {
			return nil, err
		}
		if looksLikeRules(text) {
			return f.rulesSide([]diff.Text{{Name: "standard input", Text: string(text)}})
		}
		return f.policySide(c, path, varFiles, bytes.NewReader(text))
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, cannotRead(path, err, takesEither)
	}
	if info.IsDir() {
		if texts := compiledFolder(path); len(texts) > 0 {
			return f.rulesSide(texts)
		}
		return f.policySide(c, path, varFiles, nil)
	}
	if schema.IsPolicyFile(filepath.Base(path)) {
		return f.policySide(c, path, varFiles, nil)
	}
	text, err := readFile(path)
	if err != nil {
		return nil, cannotRead(path, err, takesEither)
	}
	if !looksLikeRules(text) {
		return nil, fmt.Errorf("%s is neither a policy (*.hcl, *.hcl.json) nor rules (iptables-save or nft text, seawall.sh)", path)
	}
	return f.rulesSide([]diff.Text{{Name: filepath.Base(path), Text: string(text)}})
}

// looksLikeRules tells rules from HCL: a table, an iptables -S line, the script,
// or what iptables-save prints of a kernel without rules, which is nothing.
func looksLikeRules(text []byte) bool {
	if compiler.IsNFT(text) {
		return true
	}
	for _, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSpace(line)
		switch {
		case bytes.HasPrefix(line, []byte("#!")):
			return true
		case len(line) == 0 || line[0] == '#':
			continue
		}
		return line[0] == '*' || line[0] == '-' || line[0] == ':' || line[0] == '['
	}
	return true
}

// compiledFolder reads the compiled files of a folder without policies.
func compiledFolder(path string) []diff.Text {
	if files, err := schema.PolicyFiles(path); err == nil && len(files) > 0 {
		return nil
	}
	for _, names := range [][]string{{"iptables", "ip6tables"}, {"rules.v4", "rules.v6"}, {"seawall.sh"}, {"seawall.nft"}} {
		var list []diff.Text
		for _, n := range append(names, emit.SetsFile) {
			if text, err := readFile(filepath.Join(path, n)); err == nil {
				list = append(list, diff.Text{Name: n, Text: string(text)})
			}
		}
		if len(list) > 1 || len(list) == 1 && list[0].Name != emit.SetsFile {
			return list
		}
	}
	return nil
}

func (f *diffFlags) policySide(c *cobra.Command, path string, varFiles []string, stdin io.Reader) (*diffSide, error) {
	p := policyFlags{vars: f.vars, varFiles: varFiles, anyFiles: f.anyFiles}
	if stdin != nil {
		c.SetIn(stdin)
	}
	loaded, err := p.load(c, []string{path})
	if err != nil {
		return nil, err
	}
	side := &diffSide{families: map[packet.Family]prove.Side{}, loaded: loaded}
	for _, family := range []packet.Family{packet.IPv4, packet.IPv6} {
		side.families[family] = prove.Side{Policy: loaded.Document}
	}
	if f.noFiles {
		return side, nil
	}
	if side.texts, err = compiler.Texts(loaded.Document, emit.ByName(f.target)); err != nil {
		return nil, err
	}
	return side, nil
}

func (f *diffFlags) rulesSide(texts []diff.Text) (*diffSide, error) {
	side := &diffSide{families: map[packet.Family]prove.Side{}, texts: texts}
	opt, err := f.rules.options()
	if err != nil {
		return nil, err
	}
	for _, t := range texts {
		if t.Name == emit.SetsFile {
			if opt.Sets, err = ipset.Parse([]byte(t.Text)); err != nil {
				return nil, atLine(t.Name, err)
			}
		}
	}
	for _, t := range texts {
		if t.Name == emit.SetsFile {
			continue
		}
		list, err := readRules(t.Name, []byte(t.Text), opt)
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			side.families[r.Family()] = prove.Side{Rules: r.For(nil)}
			side.rules = append(side.rules, r)
		}
	}
	return side, nil
}

func (f *diffFlags) print(c *cobra.Command, r *diff.Report) error {
	if len(r.Families) == 1 {
		fmt.Fprintf(c.ErrOrStderr(), "Note: only IPv%d was compared; one side has no other family.\n", r.Families[0])
	}
	return f.printReport(c, r, r.Same())
}

// diffReport is what was found, for one host or for many.
type diffReport interface {
	Text() string
	Markdown() string
	HTML() (string, error)
	JSON() ([]byte, error)
}

func (f *diffFlags) printReport(c *cobra.Command, r diffReport, same bool) error {
	text := ""
	switch f.format {
	case "markdown":
		text = r.Markdown()
	case "html":
		var err error
		if text, err = r.HTML(); err != nil {
			return err
		}
	case "json":
		src, err := r.JSON()
		if err != nil {
			return err
		}
		text = string(src)
	default:
		text = r.Text()
	}
	w := formatted(c, f.format)
	if f.format == "text" && coloured(w) {
		paintDiff(w, text)
	} else if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	if !same {
		return exitCode(exitDiffers)
	}
	return nil
}

// itemNumber is what stands before the sign of a change in meaning.
var itemNumber = regexp.MustCompile(`^\d+\. `)

// paintDiff writes a text with added and removed lines in colour.
func paintDiff(w io.Writer, text string) {
	for _, l := range strings.SplitAfter(text, "\n") {
		colour := ""
		switch trimmed := itemNumber.ReplaceAllString(l, ""); {
		case strings.HasPrefix(l, "WARNING"):
			colour = "1;31"
		case strings.HasPrefix(trimmed, "+"):
			colour = "32"
		case strings.HasPrefix(trimmed, "-"):
			colour = "31"
		case strings.HasPrefix(l, "@@"):
			colour = "36"
		}
		if colour == "" {
			fmt.Fprint(w, l)
			continue
		}
		line, end := strings.CutSuffix(l, "\n")
		paint(w, colour, line)
		if end {
			fmt.Fprintln(w)
		}
	}
}
