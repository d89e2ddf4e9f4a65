// Package compiler turns a policy into files of iptables rules, and proves that
// each file means the policy before anybody sees it.
//
// Compile is the pipeline, one line a stage:
//
//	document ─ lower ─> chains ─ emit ─> bytes ─ rules.Parse ─> chains ─ prove
//
// Data flows to the right and never back. The proof starts from the bytes: what
// it says holds for the file that is written, not for what was meant to be.
package compiler

import (
	"fmt"

	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/compiler/rules"
	"github.com/seawall/seawall/schema"
)

// Options choose what Compile writes.
type Options struct {
	Format   emit.Format
	Layout   lower.Layout // Auto when it is empty
	Limits   lower.Limits // of the indexed layout; zero is the measured ones
	Comments bool         // a -m comment on each rule
	Source   string       // what the files say they were made from
	// Base4 and Base6 are boot files to splice the chains into; nil for none.
	Base4, Base6 []byte
}

// Output is what Compile gives: the files, and what the user should know.
type Output struct {
	Files  []emit.File
	Notes  []string
	Chains *emit.Chains
}

// Unproved is the error for files that do not mean their policy: a mistake in
// Seawall, or rules of a base file that stand in the policy's way.
type Unproved struct {
	File        string
	Differences []*prove.Difference
	Base        bool // the file was spliced into a base file
}

func (e *Unproved) Error() string {
	d := e.Differences[0]
	return fmt.Sprintf("%s does not mean the policy: %s: the policy says %s, the file %s", e.File, d, d.Policy, d.File)
}

// Compile lowers a document, emits the files of a format, and proves each of
// them. With an error there are no files.
func Compile(doc *schema.Document, opt Options) (*Output, error) {
	policy := make(chan *prove.Policy, 1)
	go func() { policy <- prove.NewPolicy(doc) }()
	out, err := Emit(doc, opt)
	if err != nil {
		return nil, err
	}
	if err := out.prove(<-policy, opt); err != nil {
		return nil, err
	}
	return out, nil
}

// Emit is Compile without the proof: for files that are looked at, and not put
// on a host.
func Emit(doc *schema.Document, opt Options) (*Output, error) {
	chains := &emit.Chains{Source: opt.Source, ToHost: doc.Host.UserlandProxy}
	chains.V4, chains.V6, chains.Layout = lower.Both(doc, lower.Options{Layout: opt.Layout, Comments: opt.Comments, Limits: opt.Limits})
	out := &Output{Chains: chains, Files: emit.Files(opt.Format, chains)}
	if err := out.splice(opt); err != nil {
		return nil, err
	}
	return out, nil
}

// splice puts the chains into base files where there are any.
func (o *Output) splice(opt Options) error {
	for i, f := range o.Files {
		if f.Sets {
			continue
		}
		family, base := f.Families[0], opt.Base4
		if family == rules.IPv6 {
			base = opt.Base6
		}
		if base == nil || opt.Format != emit.Sysconfig {
			continue
		}
		spliced, notes, err := emit.Splice(base, o.Chains, family)
		if err != nil {
			return fmt.Errorf("the base for %s: %w", f.Name, err)
		}
		for _, n := range notes {
			o.Notes = append(o.Notes, fmt.Sprintf("the base for %s: %s", f.Name, n))
		}
		o.Files[i] = spliced
	}
	return nil
}

// prove reads each file back and compares it with the policy.
func (o *Output) prove(policy *prove.Policy, opt Options) error {
	sets, err := rules.ParseSets(emit.SetsOf(o.Files))
	if err != nil {
		return fmt.Errorf("the ipset file cannot be read back: %w", err)
	}
	for _, f := range o.Files {
		for _, family := range f.Families {
			text, err := emit.Rules(f, family)
			if err != nil {
				return err
			}
			file, err := rules.ParseChains(text)
			if err != nil {
				return fmt.Errorf("%s cannot be read back: %w", f.Name, err)
			}
			if t := file.Table("filter"); t != nil {
				t.Sets = sets
			}
			result, err := policy.Compare(file.Table("filter"), family)
			if err != nil {
				return fmt.Errorf("%s: %w", f.Name, err)
			}
			if !result.Equal() {
				return &Unproved{File: f.Name, Differences: result.Differences, Base: opt.Base4 != nil && family == rules.IPv4 || opt.Base6 != nil && family == rules.IPv6}
			}
		}
	}
	return nil
}
