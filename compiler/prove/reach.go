package prove

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/meaning"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
	"go4.org/netipx"
)

// Reach is what a policy says to each source of one family: the whole address
// space in order, cut where the verdict changes.
type Reach struct {
	Family packet.Family
	To     packet.Packet // the packet whose source is varied
	// Over are the interfaces by which it may leave: a source gets in that does so by one of them.
	Over  []string
	Parts []ReachPart
}

// ReachPart is neighbouring sources with one verdict.
type ReachPart struct {
	First, Last netip.Addr
	Verdict     packet.Verdict
}

// Open are the sources that get in, and closed the others.
func (r Reach) Open() (open, closed address.Set) {
	for _, p := range r.Parts {
		sources := netipx.IPRangeFrom(p.First, p.Last)
		if p.Verdict.IsOpen() {
			open = address.Append(open, sources)
		} else {
			closed = address.Append(closed, sources)
		}
	}
	return open, closed
}

// ReachOf returns the sources of new connections to a policy's ports, by family,
// with everything that decides about them, the guard and forwards too. It speaks of the
// first port, address and interface of its scope that no narrower policy takes, and of
// who gets in over any of Docker's bridges; a family in which there is none is left out. The error is a *HardError, or the
// context's.
func ReachOf(ctx context.Context, doc *schema.Document, p *schema.Policy, limits Limits) ([]Reach, error) {
	list, err := Reaches(ctx, doc, []*schema.Policy{p}, limits)
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// Reaches is ReachOf for several policies of a document, in their order. What they have in
// common is worked out once.
func Reaches(ctx context.Context, doc *schema.Document, policies []*schema.Policy, limits Limits) ([][]Reach, error) {
	list := make([][]Reach, len(policies))
	for _, family := range packet.Families {
		q := newQuestion(ctx, limits, family, meaning.Patterns(doc), meaning.IPSets(doc, family)...)
		err := q.Try(func() error {
			r := meaning.NewReader(q.Store, q.space, doc, nil)
			f, bridges := r.Hook(packet.Forward), q.bridges(r)
			for i, to := range q.firstOf(doc, policies) {
				if to != nil {
					list[i] = append(list[i], Reach{family, *to, bridges, q.reachOver(bridges, f, *to)})
				}
			}
			return nil
		})
		if err != nil {
			return nil, q.hard(err)
		}
	}
	return list, nil
}

// bridges are interfaces by which a packet leaves to a container, one of each kind that
// rules tell apart: those of the host block, or all that Docker names so.
func (q *question) bridges(r *meaning.Reader) []string {
	of := r.Bridges()
	if len(of.Complement(q.Max(packet.Out))) == 0 {
		of = nil // all interfaces are no choice
	}
	var list []string
	for i, a := range q.space.Atoms {
		dockers := strings.HasPrefix(a.Name, "br-") || strings.HasPrefix(a.Name, "docker") ||
			slices.ContainsFunc([]string{"docker0", "br-000000000000", "docker_gwbridge"}, func(name string) bool { return q.space.AtomOf(name) == i })
		if a.Sample != "" && (of == nil && dockers || of != nil && of.Has(diagram.Small(i))) {
			list = append(list, a.Sample)
		}
	}
	if list == nil {
		return []string{"docker0"} // what it is called does not matter
	}
	return list
}

// reachOver is reach where the packet may leave by any of some interfaces: a source gets in
// if it does so by one of them.
func (q *question) reachOver(bridges []string, f diagram.Ref, p packet.Packet) []ReachPart {
	var all []ReachPart
	for _, name := range bridges {
		p.Out = name
		parts := q.reach(f, p)
		if all == nil {
			all = parts
		} else if !slices.Equal(all, parts) {
			all = either(all, parts)
		}
	}
	return all
}

// either is what is open where one of two is.
func either(a, b []ReachPart) []ReachPart {
	var list []ReachPart
	for i, j, first := 0, 0, a[0].First; i < len(a) && j < len(b); {
		v := a[i].Verdict | b[j].Verdict
		if a[i].Verdict.IsOpen() {
			v = a[i].Verdict
		} else if b[j].Verdict.IsOpen() {
			v = b[j].Verdict
		}
		last := a[i].Last
		if b[j].Last.Less(last) {
			last = b[j].Last
		}
		if n := len(list); n > 0 && list[n-1].Verdict == v {
			list[n-1].Last = last
		} else {
			list = append(list, ReachPart{first, last, v})
		}
		if a[i].Last == last {
			i++
		}
		if j < len(b) && b[j].Last == last {
			j++
		}
		first = last.Next()
	}
	return list
}

// firstOf is a new connection's first packet in the scope of each policy, nil where there is
// none.
func (q *question) firstOf(doc *schema.Document, policies []*schema.Policy) []*packet.Packet {
	scopes := newScopes(q, packet.Forward, Side{}, Side{Policy: doc})
	first := map[string]diagram.Box{}
	q.Boxes(scopes.owner, func(b *diagram.Box, owner uint32) {
		if name := scopes.name(owner); name != "" {
			if _, ok := first[name]; !ok {
				first[name] = *b
			}
		}
	})
	list := make([]*packet.Packet, len(policies))
	for i, p := range policies {
		at, ok := first[p.Name]
		if !ok {
			continue
		}
		to := q.space.Example(packet.Forward, &at)
		to.State, to.Reply, to.DNAT = packet.New, false, true
		list[i] = &to
	}
	return list
}

// Through is what a whole chain of the kernel says to each source of a packet:
// FORWARD or INPUT from the first rule to the chain's policy, other software's
// rules as well. Reach is about the policy's part of it, this about what really
// gets in. The packet's own source is not looked at. The error is for rules
// that their own program would refuse, a *HardError, or the context's.
func Through(ctx context.Context, t dialect.Rules, p packet.Packet, family packet.Family, limits Limits) ([]ReachPart, error) {
	var parts []ReachPart
	err := onePacket(ctx, t, p, family, limits, func(q *question, r dialect.Reader) error {
		f, err := r.Whole(p.Hook)
		if err == nil {
			parts = q.reach(f, p)
		}
		return err
	})
	return parts, err
}

// At returns every verdict that rules may have for one packet: more than one
// where a rule on its way cannot be evaluated. The errors are Through's.
func At(ctx context.Context, t dialect.Rules, p packet.Packet, limits Limits) (packet.Verdict, error) {
	var v packet.Verdict
	err := onePacket(ctx, t, p, p.Family(), limits, func(q *question, r dialect.Reader) error {
		f, err := r.Hook(p.Hook)
		if err == nil {
			v = packet.Verdict(q.Eval(f, q.space.Point(p)))
		}
		return err
	})
	return v, err
}

// onePacket asks rules about one packet.
func onePacket(ctx context.Context, t dialect.Rules, p packet.Packet, family packet.Family, limits Limits, ask func(*question, dialect.Reader) error) error {
	q := newQuestion(ctx, limits, family, append(t.Patterns(), p.In, p.Out), p.Members.Names()...)
	err := q.Try(func() error {
		r := t.Reader(q.Store, q.space)
		r.Focus(p)
		return ask(q, r)
	})
	if err != nil {
		return q.hard(err, t)
	}
	return nil
}

// reach follows a function for a packet up to its source, and returns the rest.
func (q *question) reach(f diagram.Ref, p packet.Packet) []ReachPart {
	v := q.space.Point(p)
	for !f.IsLeaf() && q.Property(f) != packet.Source {
		f = q.Fix(f, q.Property(f), v[q.Property(f)])
	}
	n := q.Parts(f, packet.Source)
	v6 := q.space.Family == packet.IPv6
	list := make([]ReachPart, 0, len(n.Kids))
	for i, k := range n.Kids {
		list = append(list, ReachPart{n.Starts.At(i).Addr(v6), q.End(&n, i).Addr(v6), packet.Verdict(k.Bits())})
	}
	return list
}
