package importer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// candidate is a way to say what chains say: a host block, and which other blocks may be
// used. All are tried and proved, and the one with the fewest differences is taken.
type candidate struct {
	external, internal, bridges []string
	// arrivals are the interfaces on which traffic from outside is read: those that
	// external names, and those within them that the chain treats in another way.
	arrivals             []string
	established, related schema.Treatment
	denyInvalid          bool
	guarded              bool // sources that are treated apart everywhere are a guard's
	forwards             []*forward
	direct               bool // containers' own addresses are named where the chain knows them
}

// every is the pattern of all interfaces.
const every = "+"

// InterfaceError is the error for chains that do not show on which interfaces traffic
// from outside arrives.
type InterfaceError struct {
	Named []string // the interfaces that the rules name
}

func (e *InterfaceError) Error() string {
	if len(e.Named) == 0 {
		return "the rules name no interface on which traffic from outside arrives"
	}
	return fmt.Sprintf("the rules do not show on which interface traffic from outside arrives; they name %s", strings.Join(e.Named, ", "))
}

// inside reports whether an interface is one of the host's own, by its name: of
// containers, of virtual machines, or the loopback.
func inside(name string) bool {
	name = strings.TrimSuffix(name, "+")
	return name == "lo" || slices.ContainsFunc([]string{"docker", "br-", "veth", "virbr", "podman", "cni", "lxc"}, func(p string) bool {
		return strings.HasPrefix(name, p)
	})
}

// candidates are the ways to say it, the plainest first.
func (m *imported) candidates(given []string) ([]candidate, error) {
	states := m.states()
	named, judged := m.arrivals()
	var list []candidate
	add := func(c candidate) {
		c.established, c.related, c.denyInvalid = states.established, states.related, states.denyInvalid
		c.bridges = m.bridgesFor(c.arrivals[0])
		for _, direct := range []bool{false, true} {
			if direct && !m.natKnown() {
				continue
			}
			for _, guarded := range []bool{true, false} {
				c.guarded, c.direct = guarded, direct
				list = append(list, c)
			}
		}
	}
	switch {
	case len(given) > 0:
		add(candidate{external: given, arrivals: given})
		if c := m.within(given); len(c.internal) > 0 || len(c.arrivals) > len(given) {
			add(c)
		}
	case len(judged) == 1:
		add(candidate{external: judged, arrivals: judged})
	case len(judged) == 0 && len(named) == 1:
		add(candidate{external: named, arrivals: named})
	}
	if m.judges(0) { // what no rule names is judged: rules that are bound to no interface
		c := candidate{external: []string{every}, arrivals: []string{every}}
		for i, a := range m.readings[0].space.Atoms {
			switch {
			case i == 0:
			case !m.judges(i):
				c.internal = append(c.internal, pattern(a))
			case !m.alike(i, 0):
				c.arrivals = append(c.arrivals, pattern(a))
			}
		}
		add(c)
		if len(c.arrivals) > 1 {
			c.arrivals = c.arrivals[:1]
			add(c)
		}
	}
	if len(list) == 0 {
		return nil, &InterfaceError{m.named()}
	}
	if forwards := m.forwards(); len(forwards) > 0 {
		for _, c := range slices.Clone(list) {
			c.forwards = forwards
			list = append(list, c)
		}
	}
	return list, nil
}

// within is the candidate for external interfaces of which some are patterns: what lies
// within one and is treated in another way is internal, or read by itself.
func (m *imported) within(given []string) candidate {
	c := candidate{external: given, arrivals: slices.Clone(given)}
	for i, a := range m.readings[0].space.Atoms {
		name := pattern(a)
		at := slices.IndexFunc(given, func(g string) bool {
			prefix, isPrefix := strings.CutSuffix(g, "+")
			return isPrefix && strings.HasPrefix(name, prefix)
		})
		switch {
		case i == 0 || at < 0 || slices.Contains(given, name):
		case !m.judges(i):
			c.internal = append(c.internal, name)
		case !m.alike(i, m.readings[0].atomOf(given[at])):
			c.arrivals = append(c.arrivals, name)
		}
	}
	return c
}

// arrivals are the interfaces that rules name and that look like ways in from outside,
// and those of them on which something does not pass.
func (m *imported) arrivals() (named, judged []string) {
	for _, name := range m.named() {
		if inside(name) {
			continue
		}
		named = append(named, name)
		for _, r := range m.readings {
			if r.judges(r.atomOf(name)) {
				judged = append(judged, name)
				break
			}
		}
	}
	return named, judged
}

// named are the interfaces that -i of the rules of the chains name, in order.
func (m *imported) named() []string {
	var list []string
	for _, r := range m.readings {
		for _, rule := range r.rules.rules() {
			for _, name := range rule.in {
				if name != every && !slices.Contains(list, name) {
					list = append(list, name)
				}
			}
		}
	}
	return list
}

// judges reports whether a new connection that arrives on an interface may be denied.
func (r *reading) judges(in int) bool {
	f := r.Restrict(r.sure[packet.Forward], packet.Conntrack, packet.Class{State: packet.New, DNAT: true}.Value())
	f = r.Restrict(f, packet.In, diagram.Small(in))
	judged := false
	r.Boxes(f, func(_ *diagram.Box, leaf uint32) {
		judged = judged || packet.Verdict(leaf&verdictBits)&^packet.Open != 0
	})
	return judged
}

// judges is judges for an atom of the first reading, in any family.
func (m *imported) judges(atom int) bool {
	name := pattern(m.readings[0].space.Atoms[atom])
	return slices.ContainsFunc(m.readings, func(r *reading) bool { return r.judges(r.atomOf(name)) })
}

// alike reports whether two atoms are treated alike, by every family.
func (m *imported) alike(a, b int) bool {
	x, y := pattern(m.readings[0].space.Atoms[a]), pattern(m.readings[0].space.Atoms[b])
	for _, r := range m.readings {
		for _, hook := range r.hooks {
			f := r.sure[hook]
			if r.Restrict(f, packet.In, diagram.Small(r.atomOf(x))) != r.Restrict(f, packet.In, diagram.Small(r.atomOf(y))) {
				return false
			}
		}
	}
	return true
}

// bridgesFor are the interfaces by which packets must leave for the chain to judge them;
// none where it judges what leaves by one that no rule names.
func (m *imported) bridgesFor(arrival string) []string {
	var list []string
	for _, r := range m.readings {
		f := r.Restrict(r.sure[packet.Forward], packet.Conntrack, packet.Class{State: packet.New, DNAT: true}.Value())
		f = r.Restrict(f, packet.In, diagram.Small(r.atomOf(arrival)))
		pass := func(out int) bool {
			closed := false
			r.Boxes(r.Restrict(f, packet.Out, diagram.Small(out)), func(_ *diagram.Box, leaf uint32) {
				closed = closed || packet.Verdict(leaf&verdictBits) != packet.Pass
			})
			return !closed
		}
		for i, a := range r.space.Atoms {
			switch {
			case i == 0 && !pass(0):
				return nil
			case i > 0 && !pass(i) && !slices.Contains(list, pattern(a)):
				list = append(list, pattern(a))
			}
		}
	}
	return list
}

// states is what the chains say of packets of connections that there are: in the first
// family, but for what shows in the second alone.
func (m *imported) states() candidate {
	c := m.readings[0].states()
	for _, r := range m.readings[1:] {
		f, other := m.readings[0], r.states()
		if c.established == schema.Check && f.neutral(packet.Established) {
			c.established = other.established
		}
		if c.related == schema.Check && f.neutral(packet.Related) {
			c.related = other.related
		}
	}
	return c
}

// neutral reports whether packets of connections pass as new ones do, so that it does
// not show whether they are judged.
func (r *reading) neutral(s packet.State) bool {
	f := r.sure[packet.Forward]
	known := r.Restrict(f, packet.Conntrack, packet.Class{State: s, DNAT: true}.Value())
	return known == r.Restrict(f, packet.Conntrack, packet.Class{State: packet.New, DNAT: true}.Value()) && !r.closes(known)
}

func (r *reading) states() candidate {
	f := r.sure[packet.Forward]
	of := func(c packet.Class) diagram.Ref { return r.Restrict(f, packet.Conntrack, c.Value()) }
	whole := func(c packet.Class, v packet.Verdict) bool {
		x := of(c)
		return x.IsLeaf() && packet.Verdict(x.Bits()&verdictBits) == v
	}
	treated := func(c packet.Class) schema.Treatment {
		switch {
		case whole(c, packet.Accept):
			return schema.Accepted
		case of(c) != of(packet.Class{State: packet.New, DNAT: c.DNAT}) && !r.closes(of(c)):
			return schema.Keep
		}
		return schema.Check
	}
	return candidate{
		established: treated(packet.Class{State: packet.Established, DNAT: true}),
		related:     treated(packet.Class{State: packet.Related, DNAT: true}),
		denyInvalid: whole(packet.Class{State: packet.Invalid}, packet.Deny),
	}
}

// closes reports whether a function denies anything.
func (r *reading) closes(f diagram.Ref) bool {
	closed := false
	r.Boxes(f, func(_ *diagram.Box, leaf uint32) {
		closed = closed || packet.Verdict(leaf&verdictBits)&^packet.Open != 0
	})
	return closed
}

// closesInput reports whether new connections to the host are denied.
func (r *reading) closesInput() bool {
	f, there := r.sure[packet.Input]
	return there && r.closes(r.Restrict(f, packet.Conntrack, packet.Class{State: packet.New}.Value()))
}

// natKnown reports whether a nat table says what is published.
func (m *imported) natKnown() bool {
	return slices.ContainsFunc(m.readings, func(r *reading) bool { return len(r.nat.ports) > 0 })
}
