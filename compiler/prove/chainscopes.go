package prove

import (
	"context"
	"slices"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// Scopes is what DOCKER-USER of a table says of new connections that arrive on
// one interface, to published ports: each range of ports and host addresses that
// is treated alike, with what each source gets.
type Scopes struct {
	Unlisted packet.Verdict // for what no scope holds
	// Guard is what sources get that are treated apart on every port and protocol;
	// empty when there are none. Scopes that say no more than it are not listed.
	Guard []ReachPart
	Keeps bool // packets of established connections pass where new ones are denied
	List  []Scope
}

// Scope is published ports that a chain treats alike.
type Scope struct {
	Protocol  packet.Protocol
	Ports     [][2]int
	Addresses []string // CIDRs; nil for every host address that no other scope of the ports has
	Parts     []ReachPart
}

// ScopesOf reads the chain DOCKER-USER. The packets leave on another interface, to
// a destination and a port that no rule names. The error is for a table that
// iptables itself would refuse, a *HardError, or the context's.
//
// With guarded, sources that are treated apart on every port are the guard's;
// else each scope says all of its sources.
func ScopesOf(ctx context.Context, t *iptables.Table, in string, family packet.Family, guarded bool, limits Limits) (*Scopes, error) {
	q := newQuestion(ctx, limits, family, append(t.Patterns(), in))
	s := &scopeReader{question: q, in: diagram.Small(q.space.AtomOf(in)), out: &Scopes{}}
	err := q.Try(func() error {
		f, err := iptables.NewReader(q.Store, q.space, t).Call(packet.Forward)
		if err == nil {
			s.read(f, guarded)
		}
		return err
	})
	if err != nil {
		return nil, q.hard(err, t)
	}
	return s.out, nil
}

type scopeReader struct {
	*question
	in  diagram.Value
	out *Scopes
}

func (s *scopeReader) read(f diagram.Ref, guarded bool) {
	quiet := s.after(f, packet.New, 47) // a protocol without ports: what nobody names
	all := s.Fix(s.Parts(s.Fix(quiet, packet.OrigPort, diagram.Value{}), packet.OrigDest).Kids[0], packet.Dest, diagram.Value{})
	none := s.widest(all, packet.Source)
	s.out.Unlisted = packet.Verdict(none.Bits())
	if guarded && all != none {
		for _, p := range s.sourceParts(all) {
			if p.Verdict != s.out.Unlisted {
				s.out.Guard = append(s.out.Guard, p)
			}
		}
		none = all
	}
	for _, protocol := range []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP} {
		s.ports(s.after(f, packet.New, protocol), protocol, none)
	}
	pass := diagram.Leaf(uint32(packet.Pass))
	s.out.Keeps = s.after(f, packet.Established, packet.TCP) == pass && s.after(f, packet.New, packet.TCP) != pass
}

// after follows a diagram for a connection's packets up to the original port.
func (s *scopeReader) after(r diagram.Ref, state packet.State, protocol packet.Protocol) diagram.Ref {
	at := diagram.Point{
		packet.Conntrack: packet.Class{State: state, DNAT: true}.Value(), packet.Proto: diagram.Small(int(protocol)), packet.In: s.in,
		packet.SourcePort: diagram.Small(40000), packet.DestPort: diagram.Small(1), packet.TCPFlags: diagram.Small(2), packet.ICMPType: diagram.Small(8 * 256)}
	if state == packet.Established {
		at[packet.TCPFlags] = diagram.Small(16)
	}
	for p := packet.Conntrack; p < packet.OrigPort; p++ {
		r = s.Fix(r, p, at[p])
	}
	return r
}

// widest is the part of a diagram over one property that most values have.
func (s *scopeReader) widest(r diagram.Ref, property int) diagram.Ref {
	return slices.MaxFunc(s.Groups(s.Parts(r, property)), func(x, y diagram.Group) int {
		return x.Spans.Size(s.Max(property)).Cmp(y.Spans.Size(s.Max(property)))
	}).Kid
}

func (s *scopeReader) ports(r diagram.Ref, protocol packet.Protocol, none diagram.Ref) {
	for _, g := range s.Groups(s.Parts(r, packet.OrigPort)) {
		// What most addresses get is said without naming them.
		widest := s.widest(g.Kid, packet.OrigDest)
		for _, x := range s.Groups(s.Parts(g.Kid, packet.OrigDest)) {
			scope := Scope{Protocol: protocol, Ports: portRanges(g.Spans)}
			if x.Kid != widest {
				scope.Addresses = s.space.CIDRs(x.Spans)
			}
			target := s.Fix(x.Kid, packet.Dest, diagram.Value{})
			if target == none && scope.Addresses == nil {
				continue
			}
			scope.Parts = s.sourceParts(target)
			s.out.List = append(s.out.List, scope)
		}
	}
}

func portRanges(spans diagram.Set) [][2]int {
	var list [][2]int
	for _, p := range spans {
		list = append(list, [2]int{int(p.Lo.Lo), int(p.Hi.Lo)})
	}
	return list
}

func (s *scopeReader) sourceParts(r diagram.Ref) []ReachPart {
	any := s.Max(packet.Source).Addr(s.space.Family == packet.IPv6)
	return s.reach(r, packet.Packet{Source: any, Dest: any, OrigDst: any, State: packet.New})
}
