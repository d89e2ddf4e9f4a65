// Package compiler has the verbs of the library: Compile turns a policy into
// files of iptables rules and proves each of them, Verify decides whether a file
// implements a policy, Diff says what a change means, and Test proves a policy's
// own tests.
//
// Compile is the pipeline, one line a stage:
//
//	document ─ lower ─> chains ─ emit ─> bytes ─ Parse ─> rules ─ prove
//
// Data flows to the right and never back. The proof starts from the bytes: what
// it says holds for the file that is written, not for what was meant to be.
//
// Every verb takes a context and limits: a question that would take too long
// ends with a *prove.HardError, and is undecided.
package compiler

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/meaning"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/progress"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// Options choose what Compile writes.
type Options struct {
	Format   *emit.Format   // nil is emit.Sysconfig
	Layout   lower.Layout   // Auto when it is empty
	Sizes    lower.Sizes    // of the indexed layout; zero is the measured ones
	Comments lower.Comments // what comments name; policies when it is empty
	Source   string         // what the files say they were made from
	// Base4 and Base6 are boot files to splice the chains into; nil for none.
	Base4, Base6 []byte
	// BaseHook is the program to splice the calls of the rules into, of a format that
	// has one; nil for none.
	BaseHook []byte
	// Force lets a splice take out rules that others put into DOCKER-USER.
	Force  bool
	Limits prove.Limits // of the proof
	// Emitted is called with the files before they are proved, for a caller that has something
	// to do meanwhile; nil for none.
	Emitted func([]emit.File)
	Memory  *Memory // what the compilations for several hosts share; nil for none
}

// SourceName is what generated files call the policy: the names of its files,
// not where they lie.
func SourceName(loaded *schema.Loaded) string {
	var names []string
	for _, n := range loaded.Inputs {
		names = append(names, strings.Map(func(r rune) rune {
			if r < 0x20 || r > 0x7e {
				return '?'
			}
			return r
		}, filepath.Base(n)))
	}
	return strings.Join(names, ", ")
}

// Memory is what the compilations of one policy for several hosts share. It may be used
// by several at a time.
type Memory struct {
	lowering *lower.Memory
	rules    *iptables.Memory
	meaning  *meaning.Memory
}

// NewMemory returns an empty memory. It stays below some hundred megabytes.
func NewMemory() *Memory {
	return &Memory{lower.NewMemory(), iptables.NewMemory(), meaning.NewMemory()}
}

// Output is what Compile returns: the files, and what the user should know.
type Output struct {
	Files  []emit.File
	Notes  []string
	Chains *emit.Chains
	// alone are the files of a shared DOCKER-USER that were spliced into others, without those.
	alone []emit.File
}

// Unproved is the error for files that do not implement their policy: a mistake
// in Seawall, or rules of a base file that stand in the policy's way.
type Unproved struct {
	File        string
	Differences []*prove.Difference
	Base        bool // the file was spliced into a base file
}

func (e *Unproved) Error() string {
	d := e.Differences[0]
	return fmt.Sprintf("%s does not implement the policy: %s: the policy says %s, the file %s", e.File, d, d.Policy, d.File)
}

// BaseError is the error for a base file that does not load, or that cannot be
// spliced into.
type BaseError struct {
	File string // the file that was to be written
	Err  error
}

func (e *BaseError) Error() string { return fmt.Sprintf("the base for %s: %v", e.File, e.Err) }

func (e *BaseError) Unwrap() error { return e.Err }

// LostRulesError is the error for a base file in which others put rules into the
// chains, or into a block, that would be Seawall's. It has a line at least.
type LostRulesError struct{ Lines []emit.Line }

func (e *LostRulesError) Error() string {
	return fmt.Sprintf("line %d is a rule that Seawall did not write, and would be lost: %s", e.Lines[0].Number, e.Lines[0].Text)
}

// UFWDockerError is the error for a file of ufw's with a block of ufw-docker, which
// fills DOCKER-USER as well.
type UFWDockerError struct{ First, Last int } // its lines

func (e *UFWDockerError) Error() string {
	return fmt.Sprintf("lines %d to %d are the block of ufw-docker, which fills DOCKER-USER as well", e.First, e.Last)
}

// Compile lowers a document, emits the files of a format, and proves each of
// them. With an error there are no files: it is an *Unproved, a
// *prove.HardError, the context's, or says what is wrong with a base file.
func Compile(ctx context.Context, doc *schema.Document, opt Options) (*Output, error) {
	progress.Report(ctx, "compiling", fmt.Sprintf("%d policies", len(doc.Policies)))
	policy := make(chan *prove.Policy, 1)
	memory := opt.memory()
	go func() { policy <- prove.NewPolicy(doc, memory.meaning) }()
	out, err := Emit(doc, opt)
	if err != nil {
		return nil, err
	}
	if opt.Emitted != nil {
		opt.Emitted(out.Files)
	}
	if err := out.prove(ctx, <-policy, opt); err != nil {
		return nil, err
	}
	return out, nil
}

// Emit is Compile without the proof: for files that are looked at, and not put
// on a host.
func Emit(doc *schema.Document, opt Options) (*Output, error) {
	chains := &emit.Chains{Source: opt.Source, ToHost: doc.Host.UserlandProxy, Shared: doc.Host.Shared}
	lowering := lower.Options{Layout: opt.Layout, Comments: opt.Comments, Sizes: opt.Sizes, Memory: opt.memory().lowering}
	if err := Fits(doc, opt.format()); err != nil {
		return nil, err
	}
	if opt.format().NFT {
		chains.NFT = lower.NFTables(doc, lowering)
		out := &Output{Chains: chains, Files: opt.format().Compile(chains), Notes: nftNotes(doc)}
		chains.NFT = nil
		return out, nil
	}
	chains.V4, chains.V6, chains.Layout = lower.Both(doc, lowering)
	out := &Output{Chains: chains, Files: opt.format().Compile(chains)}
	if err := out.splice(opt); err != nil {
		return nil, err
	}
	chains.V4.Forget()
	chains.V6.Forget()
	return out, nil
}

func (o *Options) memory() *Memory {
	if o.Memory == nil {
		return &Memory{}
	}
	return o.Memory
}

func (o *Options) format() *emit.Format {
	if o.Format == nil {
		return emit.Sysconfig
	}
	return o.Format
}

// base is the file of a family to splice into, nil for none.
func (o *Options) base(f packet.Family) []byte {
	if f == packet.IPv6 {
		return o.Base6
	}
	return o.Base4
}

// splice puts the chains into base files where there are any.
func (o *Output) splice(opt Options) error {
	for i, f := range o.Files {
		if f.Hook && opt.BaseHook != nil {
			spliced, err := opt.format().SpliceHook(opt.BaseHook, o.Chains)
			if err != nil {
				return &BaseError{File: f.Name, Err: err}
			}
			o.Files[i] = spliced
		}
		if len(f.Families) == 0 || opt.format().Splice == nil || opt.base(f.Families[0]) == nil {
			continue
		}
		family := f.Families[0]
		if err := opt.checkBase(family, o.Chains); err != nil {
			return &BaseError{File: f.Name, Err: err}
		}
		spliced, notes, err := opt.format().Splice(opt.base(family), o.Chains, family)
		if err != nil {
			return &BaseError{File: f.Name, Err: err}
		}
		for _, n := range notes {
			o.Notes = append(o.Notes, fmt.Sprintf("the base for %s: %s", f.Name, n))
		}
		if o.Chains.Shared {
			o.alone = append(o.alone, f)
		}
		o.Files[i] = spliced
	}
	return nil
}

// checkBase returns an error for a base file that does not load, or in which others have
// rules that a splice would take out.
func (o *Options) checkBase(family packet.Family, c *emit.Chains) error {
	base := o.base(family)
	if _, err := iptables.Parse(base, iptables.Options{Family: family, NoFlush: o.format().Loaded != nil}); err != nil {
		return lineEnds(err)
	}
	if o.Force {
		return nil
	}
	if first, last := emit.UFWDocker(base); first > 0 {
		return &UFWDockerError{first, last}
	}
	if lost := emit.Lost(base, c); lost != nil {
		return &LostRulesError{lost}
	}
	return nil
}

// lineEnds says of a line that does not load because of its CR LF that this is why:
// what else is wrong with it cannot be seen.
func lineEnds(err error) error {
	wrong, ok := errors.AsType[*iptables.Error](err)
	if !ok || !strings.HasSuffix(wrong.Text, "\r") {
		return err
	}
	return &iptables.Error{Line: wrong.Line, Text: wrong.Text, Detail: "the line ends in CR LF, which iptables-restore does not take; sed -i 's/\\r$//' FILE makes it LF"}
}

// prove reads each file back and compares it with the policy.
func (o *Output) prove(ctx context.Context, policy *prove.Policy, opt Options) error {
	text, err := emit.SetsOf(o.Files)
	if err != nil {
		return fmt.Errorf("the script cannot be read back: %w", err)
	}
	sets, err := ipset.Parse(text)
	if err != nil {
		return fmt.Errorf("the ipset file cannot be read back: %w", err)
	}
	for _, f := range o.Files {
		if err := o.proveFile(ctx, policy, f, sets, opt, o.Chains.Shared && f.Base != nil); err != nil {
			return err
		}
	}
	for _, f := range o.alone {
		if err := o.proveFile(ctx, policy, f, sets, opt, false); err != nil {
			return err
		}
	}
	return nil
}

// proveFile compares a file with the policy. In a shared DOCKER-USER the base may have rules
// of others, which may deny more.
func (o *Output) proveFile(ctx context.Context, policy *prove.Policy, f emit.File, sets ipset.Sets, opt Options, stricter bool) error {
	readBack := o.readBack(f, sets, &opt, policy.AcceptMark())
	for _, family := range f.Families {
		progress.Report(ctx, "proving", fmt.Sprintf("%s, %v, %d kB", f.Name, family, len(f.Bytes)>>10))
		rules, err := readBack(family)
		if err != nil {
			return fmt.Errorf("%s cannot be read back: %w", f.Name, err)
		}
		result, err := policy.Compare(ctx, rules, family, opt.Limits)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if !result.Equal() && opt.Memory != nil { // once more, with the lines of this very file
			opt.Memory = nil
			return o.proveFile(ctx, policy, f, sets, opt, stricter)
		}
		if !result.Equal() && !(stricter && result.Stricter()) {
			return &Unproved{File: f.Name, Differences: result.Differences, Base: opt.base(family) != nil}
		}
	}
	return nil
}

// readBack returns what reads the rules of one family that the kernel holds once a file is
// loaded. A file of nft has those of both, and is read once.
func (o *Output) readBack(f emit.File, sets ipset.Sets, opt *Options, mark uint32) func(packet.Family) (dialect.Rules, error) {
	if !f.NFT {
		return func(family packet.Family) (dialect.Rules, error) { return readTable(f, family, sets, o.Chains, opt) }
	}
	file, err := nftables.Parse(f.Bytes, nftables.Options{ChainsOnly: true})
	if err != nil {
		return func(packet.Family) (dialect.Rules, error) { return nil, err }
	}
	return func(family packet.Family) (dialect.Rules, error) {
		return file.Rules(family, nftables.RuleOptions{AcceptMark: mark}), nil
	}
}

// readTable returns the rules of one family in a file of iptables. A file that can be spliced
// is a boot file, which replaces what is there, unless it is a part of something larger.
func readTable(f emit.File, family packet.Family, sets ipset.Sets, c *emit.Chains, o *Options) (dialect.Rules, error) {
	text, err := emit.Rules(f, family)
	if err != nil {
		return nil, err
	}
	format := o.format()
	opt := iptables.Options{Family: family, ChainsOnly: true, Memory: o.memory().rules, Flush: format.Splice != nil && !format.Reloads}
	if format.Loaded != nil {
		text, opt.Flush, opt.NoFlush = format.Loaded(c, text, family), false, true
	}
	file, err := iptables.Parse(text, opt)
	if err != nil {
		return nil, err
	}
	t := file.Table("filter")
	if t != nil {
		t.Sets = sets
	}
	return t, nil
}
