package prove

import (
	"context"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/meaning"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// Functions are the two verdict functions of a comparison, for tests that ask
// them packet by packet.
type Functions struct {
	q            *question
	policy, file map[packet.Hook]diagram.Ref
}

// NewFunctions builds both functions.
func NewFunctions(doc *schema.Document, t dialect.Rules, family packet.Family, extra ...string) (*Functions, error) {
	patterns := append(meaning.Patterns(doc), t.Patterns()...)
	q := newQuestion(context.Background(), Limits{}, family, append(patterns, extra...), meaning.IPSets(doc, family)...)
	f := &Functions{q: q, policy: map[packet.Hook]diagram.Ref{}, file: map[packet.Hook]diagram.Ref{}}
	err := q.Try(func() error {
		file := t.Reader(q.Store, q.space)
		policy := meaning.NewReader(q.Store, q.space, doc, nil)
		for _, hook := range packet.Hooks {
			var err error
			if f.file[hook], err = file.Hook(hook); err != nil {
				return err
			}
			f.policy[hook] = q.asked(policy.Hook(hook), t)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Policy is the policy's verdict.
func (f *Functions) Policy(p packet.Packet) packet.Verdict { return f.eval(f.policy, p) }

// File is the file's verdict.
func (f *Functions) File(p packet.Packet) packet.Verdict { return f.eval(f.file, p) }

func (f *Functions) eval(of map[packet.Hook]diagram.Ref, p packet.Packet) packet.Verdict {
	return packet.Verdict(f.q.Eval(of[p.Hook], f.q.space.Point(p)))
}

// Of returns the verdicts of a packet on both sides, when the change is about
// it.
func (c *Change) Of(p packet.Packet) (before, after packet.Verdict, ok bool) {
	if p.Family() != c.Family {
		return 0, 0, false
	}
	for _, x := range c.parts {
		if x.hook == p.Hook && x.box.Has(x.space.Point(p)) {
			return x.old, x.new, true
		}
	}
	return 0, 0, false
}

// Of counts the boxes of a difference that a packet is in, with these verdicts.
func (d *Difference) Of(p packet.Packet, policy, file packet.Verdict) int {
	n := 0
	for _, l := range d.Lines {
		for _, x := range l.parts {
			if x.hook == p.Hook && x.old == policy && x.new == file && x.box.Has(x.space.Point(p)) {
				n++
			}
		}
	}
	return n
}
