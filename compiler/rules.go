package compiler

import (
	"bytes"
	"context"
	"fmt"

	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/diff"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/progress"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// Rules are one family's rules out of a file that somebody wrote.
type Rules struct {
	Name  string
	File  *iptables.File
	Table *iptables.Table // the filter table, nil when the file has none
	// NFT is the file in place of File and Table, when it is one of nft.
	NFT    *nftables.File
	family packet.Family // of NFT
}

// Family is the family that the rules are for.
func (r *Rules) Family() packet.Family {
	if r.NFT != nil {
		return r.family
	}
	return r.File.Family
}

// For returns the rules as the proof asks them for a policy, whose accept may be a
// mark.
func (r *Rules) For(doc *schema.Document) dialect.Rules {
	if r.NFT == nil {
		return r.Table
	}
	opt := nftables.RuleOptions{}
	if doc != nil {
		opt.AcceptMark = doc.Host.AcceptMark
	}
	return r.NFT.Rules(r.family, opt)
}

// ReadOptions say how a file of rules is to be read.
type ReadOptions struct {
	Family  packet.Family // 0: what the file itself, or its name, says
	NoFlush bool          // it is loaded with --noflush
	Sets    ipset.Sets    // the sets that its rules ask for, as far as they are known
}

// ReadRules reads a file of rules: iptables-save text, a file for
// iptables-restore, a file or listing of nft, or Seawall's own script; the last two
// have both families. The error is an *iptables.Error or an *ipset.Error with the line that
// would not load, an *iptables.AmbiguousError, or says that a script is not
// Seawall's.
func ReadRules(name string, src []byte, opt ReadOptions) ([]*Rules, error) {
	switch {
	case bytes.HasPrefix(src, byteOrderMark):
		return nil, &iptables.Error{Line: 1, Text: "", Detail: "the file begins with a byte order mark, which neither iptables-restore nor nft takes; sed -i '1s/^\\xef\\xbb\\xbf//' FILE removes it"}
	case IsNFT(src):
		return readNFT(name, src, opt)
	case isScript(src):
		return readScript(name, src, opt)
	}
	text, before := emit.Loaded(src)
	f, err := iptables.Read(name, text, iptables.Options{Family: opt.Family, NoFlush: opt.NoFlush, Before: -before})
	if err != nil {
		return nil, err
	}
	return []*Rules{newRules(name, f, opt.Sets)}, nil
}

var byteOrderMark = []byte("\xef\xbb\xbf")

func newRules(name string, f *iptables.File, sets ipset.Sets) *Rules {
	r := &Rules{Name: name, File: f, Table: f.Table("filter")}
	for _, t := range f.Tables {
		t.Sets = sets
	}
	return r
}

// IsNFT reports whether a text is nft's: a ruleset, or what nft -j printed. No line of
// iptables begins with a letter or a brace.
func IsNFT(src []byte) bool {
	for line := range bytes.Lines(src) {
		line = bytes.TrimLeft(bytes.TrimSpace(line), "; ")
		switch {
		case len(line) == 0 || line[0] == '#':
			continue
		case line[0] == '{':
			key, _, _ := bytes.Cut(bytes.TrimSpace(line[1:]), []byte(":"))
			return string(bytes.TrimSpace(key)) == `"nftables"`
		}
		word, _, _ := bytes.Cut(line, []byte(" "))
		switch string(word) {
		case "table", "flush", "add", "create", "insert", "delete", "destroy", "reset", "define", "include", "redefine", "undefine":
			return !isProgram(src)
		}
		return false
	}
	return false
}

// isProgram reports whether a text begins with the name of an interpreter other than
// nft.
func isProgram(src []byte) bool {
	first, _, _ := bytes.Cut(src, []byte("\n"))
	return bytes.HasPrefix(first, []byte("#!")) && !bytes.Contains(first, []byte("nft"))
}

// readNFT reads a file of nft as the rules of both families.
func readNFT(name string, src []byte, opt ReadOptions) ([]*Rules, error) {
	var f *nftables.File
	var err error
	if bytes.HasPrefix(bytes.TrimSpace(src), []byte("{")) {
		f, err = nftables.ParseJSON(src)
	} else {
		f, err = nftables.Parse(src, nftables.Options{})
	}
	if err != nil {
		return nil, err
	}
	var list []*Rules
	for _, family := range packet.Families {
		if opt.Family == 0 || opt.Family == family {
			list = append(list, &Rules{Name: name, NFT: f, family: family})
		}
	}
	return list, nil
}

// isScript reports whether a text is a program. "#!/usr/sbin/iptables-restore" is
// a comment to iptables-restore, and makes a file of rules executable.
func isScript(src []byte) bool {
	first, _, _ := bytes.Cut(src, []byte("\n"))
	return bytes.HasPrefix(first, []byte("#!")) && !bytes.Contains(first, []byte("tables-restore"))
}

func readScript(name string, src []byte, opt ReadOptions) ([]*Rules, error) {
	s, err := emit.ReadScript(src)
	if err != nil {
		return nil, err
	}
	if s.Sets != nil {
		if opt.Sets, err = ipset.Parse(s.Sets); err != nil {
			return nil, err
		}
	}
	var list []*Rules
	for _, family := range packet.Families {
		if opt.Family != 0 && opt.Family != family {
			continue
		}
		f, err := iptables.Parse(s.Rules(family), iptables.Options{Family: family, NoFlush: true, Before: s.Before(family)})
		if err != nil {
			return nil, err
		}
		list = append(list, newRules(name, f, opt.Sets))
	}
	return list, nil
}

// Verification is the answer of Verify.
type Verification struct {
	*prove.Result
	// Unjudged is what the answer does not cover: rules of other tables that drop
	// packets or hide them from conntrack.
	Unjudged []string
	// Unknown are rules that name an extension of which Seawall does not know. If it
	// is a mistyped name, iptables-restore refuses the whole file.
	Unknown []string
}

// Equal reports whether the rules mean what the policy says, over all packets, and
// are known to load.
func (v *Verification) Equal() bool { return v.Result.Equal() && len(v.Unknown) == 0 }

// Verify decides whether rules implement a policy, exactly and over all packets.
// The error is for rules that iptables or nft would refuse, an *UnfitError, a *prove.HardError, or the
// context's.
func Verify(ctx context.Context, doc *schema.Document, r *Rules, limits prove.Limits) (*Verification, error) {
	progress.Report(ctx, "proving", fmt.Sprintf("%s, %v", r.Name, r.Family()))
	if r.NFT != nil {
		if err := FitsNFTables(doc); err != nil {
			return nil, err
		}
	}
	result, err := prove.Compare(ctx, doc, r.For(doc), r.Family(), limits)
	if err != nil {
		return nil, err
	}
	if r.NFT != nil {
		return &Verification{Result: result, Unjudged: r.Unjudged(doc)}, nil
	}
	return &Verification{result, r.Unjudged(doc), r.unknown()}, nil
}

// Unjudged is what no answer about the rules covers, as lines of text: rules of other tables
// that drop, redirect or hide packets, and the like. The policy is the one that they are
// compared with; nil for none.
func (r *Rules) Unjudged(doc *schema.Document) []string {
	if r.NFT == nil {
		return r.File.Unjudged()
	}
	var opt nftables.RuleOptions
	if doc != nil {
		opt.AcceptMark = doc.Host.AcceptMark
	}
	return r.NFT.Unjudged(opt)
}

// unknown is File.Unknown, but for a file that adds to tables whose chains it does
// not have: a target may be one of them.
func (r *Rules) unknown() []string {
	if r.File.NoFlush {
		return nil
	}
	return r.File.Unknown()
}

// Diff says what a change means: for each family that both sides have, who gained
// and who lost which port. The error is as for Verify.
func Diff(ctx context.Context, sides diff.Sides, limits prove.Limits) (*diff.Report, error) {
	progress.Report(ctx, "comparing", "both sides")
	return diff.Meaning(ctx, sides, limits)
}

// Texts are the files of a format, for the change of text between two policies: they say
// nothing of the name of the policy, which would be a change of the first line.
func Texts(doc *schema.Document, f *emit.Format) ([]diff.Text, error) {
	out, err := Emit(doc, Options{Format: f, Source: "the policy"})
	if err != nil {
		return nil, err
	}
	var list []diff.Text
	for _, file := range out.Files {
		list = append(list, diff.Text{Name: file.Name, Text: string(file.Bytes)})
	}
	return list, nil
}

// DiffHost is Diff for one of several hosts: what they share is in the memory, and what is
// said of it can be compared with what is said of the others (see diff.Gather).
func DiffHost(ctx context.Context, sides diff.Sides, limits prove.Limits, m *Memory) (*diff.Report, error) {
	return diff.MeaningOf(ctx, sides, limits, m.meaning)
}

// Test proves a policy's own tests, each for every address of its sources. The
// error is a *prove.HardError, or the context's.
func Test(ctx context.Context, doc *schema.Document, limits prove.Limits) ([]*prove.TestResult, error) {
	progress.Report(ctx, "proving", fmt.Sprintf("%d tests", len(doc.Tests)))
	return prove.Tests(ctx, doc, limits)
}
