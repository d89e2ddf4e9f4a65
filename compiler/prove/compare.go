package prove

import (
	"context"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/meaning"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// Difference is packets that one rule of a file, or the lack of one, gives another
// verdict than the policy has for them, or a verdict that cannot be decided. All
// differences of a comparison are disjoint, and together they are exactly the packets
// for which the two differ.
type Difference struct {
	Severity
	Family       packet.Family
	Hook         packet.Hook // of the example
	Policy, File packet.Verdict
	Way          *dialect.Way  // of the example through the file
	Lines        []*Line       // the policy's lines that say otherwise, the worst first
	Example      packet.Packet // of the worst

	stricter bool
}

// Line is the packets of a difference about which one line of the policy decides.
type Line struct {
	Severity
	Policy  packet.Verdict
	Rule    string    // what decides: policy web, allow
	At      hcl.Range // where it is written
	Hooks   []packet.Hook
	Clauses []Clause
	Example packet.Packet

	parts []part
}

// Undecided reports whether the file's verdict is not known.
func (d *Difference) Undecided() bool { return !d.File.Known() }

// Result is the outcome of a comparison, the worst difference first.
type Result struct{ Differences []*Difference }

// Equal reports whether there is no difference at all.
func (r *Result) Equal() bool { return len(r.Differences) == 0 }

// Policy is a policy whose lists of sources were read and sorted: the part of a
// comparison that needs no file yet.
type Policy struct {
	doc    *schema.Document
	lists  map[packet.Family]*meaning.Lists
	memory *meaning.Memory
}

// AcceptMark is the packet mark by which the policy's accept is known where an accept
// is not final; 0 for none.
func (p *Policy) AcceptMark() uint32 { return p.doc.Host.AcceptMark }

// NewPolicy reads a policy's lists. What several policies share is in the memory; nil is
// for none.
func NewPolicy(doc *schema.Document, m *meaning.Memory) *Policy {
	return &Policy{doc, meaning.Read(doc, m), m}
}

// forget drops the lists of a family, which are long and rarely asked for again; then they
// are read anew. Those in the memory stay.
func (p *Policy) forget(f packet.Family) {
	if p.memory == nil {
		p.lists[f] = meaning.NewLists(f, nil)
	}
}

// asked is what a policy asks of rules: where no rule can let a packet past those
// that follow, an accept is a pass.
func (q *question) asked(f diagram.Ref, of dialect.Rules) diagram.Ref {
	if of == nil || of.FinalAccept() {
		return f
	}
	return q.Relabel(f, func(v uint32) uint32 {
		if packet.Verdict(v) == packet.Accept {
			return uint32(packet.Pass)
		}
		return v
	})
}

// wanted are what a policy asks of rules at each hook.
func (q *question) wanted(p *Policy, of dialect.Rules) []diagram.Ref {
	policy := meaning.NewReader(q.Store, q.space, p.doc, p.lists[q.space.Family])
	var list []diagram.Ref
	for _, hook := range packet.Hooks {
		list = append(list, q.asked(policy.Hook(hook), of))
	}
	p.forget(q.space.Family)
	return list
}

// Compare decides whether rules implement a policy for one family, in
// FORWARD and in INPUT, over all packets.
// The error is for rules that their own program would refuse, a *HardError for a
// question beyond the limits, or the context's.
func Compare(ctx context.Context, doc *schema.Document, rules dialect.Rules, family packet.Family, limits Limits) (*Result, error) {
	p := &Policy{doc: doc, lists: map[packet.Family]*meaning.Lists{family: meaning.NewLists(family, nil)}}
	return p.Compare(ctx, rules, family, limits)
}

// Compare is the function Compare for a policy whose lists were read before.
func (p *Policy) Compare(ctx context.Context, rules dialect.Rules, family packet.Family, limits Limits) (*Result, error) {
	q := newQuestion(ctx, limits, family, append(meaning.Patterns(p.doc), rules.Patterns()...), meaning.IPSets(p.doc, family)...)
	found := &differing{question: q, policy: p, rules: rules}
	err := q.Try(func() error {
		file := rules.Reader(q.Store, q.space)
		wanted := q.wanted(p, rules)
		for i, hook := range packet.Hooks {
			f, err := file.Hook(hook)
			if err != nil {
				return err
			}
			if want := wanted[i]; want != f {
				found.add(hook, q.Disagree(want, f, agreement(Side{Policy: p.doc}, Side{})))
			}
		}
		return nil
	})
	if err != nil {
		return nil, q.hard(err, rules)
	}
	return &Result{found.grouped()}, nil
}
