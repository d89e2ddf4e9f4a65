package prove

import (
	"context"
	"fmt"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/meaning"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// Difference is a box of packets for which a policy and a file have different
// verdicts, or for which the file's cannot be decided.
type Difference struct {
	Family       packet.Family
	Hook         packet.Hook
	Policy, File packet.Verdict
	Fields       []packet.Field // what binds the box; a property that is not here is any
	Example      packet.Packet
}

// Undecided reports whether the file's verdict is not known.
func (d *Difference) Undecided() bool { return !d.File.Known() }

// Result is the outcome of a comparison.
type Result struct {
	Differences []*Difference
	More        int // differences beyond those listed
}

// Equal reports whether there is no difference at all.
func (r *Result) Equal() bool { return len(r.Differences) == 0 }

// maxDifferences is how many boxes a comparison lists. A flushed chain differs
// in every policy; nobody reads the hundredth box.
const maxDifferences = 20

// Policy is a policy whose lists of sources were read and sorted: the part of a
// comparison that needs no file yet.
type Policy struct {
	doc   *schema.Document
	lists map[packet.Family]*meaning.Lists
}

// NewPolicy reads a policy's lists.
func NewPolicy(doc *schema.Document) *Policy { return &Policy{doc, meaning.Read(doc)} }

// Compare decides whether a filter table implements a policy for one family, in
// FORWARD and in INPUT, over all packets. A nil table is one without chains.
// The error is for a table that iptables itself would refuse, a *HardError for a
// question beyond the limits, or the context's.
func Compare(ctx context.Context, doc *schema.Document, t *iptables.Table, family packet.Family, limits Limits) (*Result, error) {
	p := &Policy{doc, map[packet.Family]*meaning.Lists{family: meaning.NewLists(family)}}
	return p.Compare(ctx, t, family, limits)
}

// Compare is the function Compare for a policy whose lists were read before.
func (p *Policy) Compare(ctx context.Context, t *iptables.Table, family packet.Family, limits Limits) (*Result, error) {
	q := newQuestion(ctx, limits, family, append(meaning.Patterns(p.doc), t.Patterns()...))
	result := &Result{}
	err := q.Try(func() error {
		file := iptables.NewReader(q.Store, q.space, t)
		policy := meaning.NewReader(q.Store, q.space, p.doc, p.lists[family])
		for _, hook := range packet.Hooks {
			f, err := file.Hook(hook)
			if err != nil {
				return err
			}
			if want := policy.Hook(hook); want != f {
				result.add(q, hook, q.Disagree(want, f, agreement(Side{Policy: p.doc}, Side{})))
			}
		}
		return nil
	})
	if err != nil {
		return nil, q.hard(err, t)
	}
	return result, nil
}

// add lists the boxes of a diagram of differences.
func (r *Result) add(q *question, hook packet.Hook, differ diagram.Differences) {
	differ.Boxes(func(b *diagram.Box, pair diagram.Pair) {
		if len(r.Differences) >= maxDifferences {
			r.More++
			return
		}
		r.Differences = append(r.Differences, &Difference{
			Family: q.space.Family, Hook: hook, Policy: packet.Verdict(pair.A), File: packet.Verdict(pair.B),
			Fields: q.space.Fields(b), Example: q.space.Example(hook, b)})
	})
}

// String writes a difference as verify prints it, without the example.
func (d *Difference) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s:", d.Family, d.Hook)
	for i, f := range d.Fields {
		if i > 0 {
			b.WriteString(";")
		}
		fmt.Fprintf(&b, " %s %s", f.Name, packet.Shorten(f.Values))
	}
	if len(d.Fields) == 0 {
		b.WriteString(" every packet")
	}
	return b.String()
}
