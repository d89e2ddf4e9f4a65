package prove

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/rules"
)

// The properties of a packet, in the order in which diagrams ask for them.
const (
	pClass    = iota // what conntrack says: see classes
	pProtocol        // the packet's own protocol
	pIn
	pOut
	pSport
	pDport
	pOrigPort // the original destination port
	pOrigDst  // the original destination address
	pDst
	pSrc
	properties
)

// class is what conntrack knows of a packet: a state, a direction, and
// whether its connection's source or destination was rewritten.
type class struct {
	state      string
	reply      bool
	snat, dnat bool
}

// known tells whether there is a conntrack entry, and with it an original
// destination and a direction.
func (c class) known() bool { return c.state != "INVALID" && c.state != "UNTRACKED" }

// classes are all classes; a diagram's values of pClass are indices into it.
// NEW is always in original direction. Those that differ in NAT alone stand
// together, since policies do not ask for it.
var classes = func() []class {
	list := []class{{state: "INVALID"}, {state: "UNTRACKED"}}
	for _, c := range []class{{state: "NEW"}, {state: "ESTABLISHED"}, {state: "RELATED"},
		{state: "ESTABLISHED", reply: true}, {state: "RELATED", reply: true}} {
		for nat := range 4 {
			c.snat, c.dnat = nat&1 != 0, nat&2 != 0
			list = append(list, c)
		}
	}
	return list
}()

// classSet gives the classes for which a condition holds.
func classSet(holds func(class) bool) set {
	var list []span
	for i, c := range classes {
		if holds(c) {
			list = append(list, span{small(i), small(i)})
		}
	}
	return normal(list)
}

// space is the packets of one family, as far as one policy and one file can
// tell them apart: the names of interfaces fall into atoms.
type space struct {
	family rules.Family
	atoms  []atom
}

// atom is a class of interface names that no pattern tells apart: one name,
// the names of a prefix that no longer pattern takes, or all others.
type atom struct {
	name   string // the name, or the prefix
	prefix bool
	sample string // one name of it
}

// newSpace makes the space in which the given interface patterns (eth0, eth+)
// can be told apart.
func newSpace(f rules.Family, patterns []string) *space {
	slices.Sort(patterns)
	patterns = slices.Compact(patterns)
	s := &space{family: f, atoms: []atom{{}}}
	for _, p := range patterns {
		if p == "" || p == "+" {
			continue
		}
		name, prefix := strings.CutSuffix(p, "+")
		s.atoms = append(s.atoms, atom{name: name, prefix: prefix})
	}
	for i := range s.atoms {
		s.atoms[i].sample = s.sample(i)
	}
	return s
}

// sample finds a name that belongs to an atom and to none inside it.
func (s *space) sample(i int) string {
	a := s.atoms[i]
	if !a.prefix && a.name != "" {
		return a.name
	}
	stem := a.name
	if i == 0 {
		stem = "other"
	}
	for n := 0; ; n++ {
		name := fmt.Sprintf("%s%d", stem, n)
		if s.atomOf(name) == i {
			return name
		}
	}
}

// atomOf gives the narrowest atom that a name belongs to.
func (s *space) atomOf(name string) int {
	best, length := 0, -1
	for i, a := range s.atoms[1:] {
		switch {
		case !a.prefix && a.name == name:
			return i + 1
		case a.prefix && strings.HasPrefix(name, a.name) && len(a.name) > length:
			best, length = i+1, len(a.name)
		}
	}
	return best
}

// interfaces is the set of atoms that a pattern covers.
func (s *space) interfaces(pattern string) set {
	if pattern == "" || pattern == "+" {
		return nil
	}
	name, prefix := strings.CutSuffix(pattern, "+")
	var list []span
	for i, a := range s.atoms {
		if i == 0 {
			continue
		}
		if !prefix && !a.prefix && a.name == name || prefix && strings.HasPrefix(a.name, name) {
			list = append(list, span{small(i), small(i)})
		}
	}
	return normal(list)
}

// max is the largest value of a property.
func (s *space) max(property int) value {
	switch property {
	case pClass:
		return small(len(classes) - 1)
	case pProtocol:
		return small(255)
	case pIn, pOut:
		return small(len(s.atoms) - 1)
	case pSport, pDport, pOrigPort:
		return small(65535)
	}
	return maxAddress(s.family)
}

func maxAddress(f rules.Family) value {
	if f == rules.IPv6 {
		return value{^uint64(0), ^uint64(0)}
	}
	return value{0, 1<<32 - 1}
}

func (s *space) icmp() int {
	if s.family == rules.IPv6 {
		return 58
	}
	return 1
}

// box is a product: for each property the values that belong to it.
type box [properties]set

// and is what is in both boxes; false when that is nothing.
func (b box) and(c box) (box, bool) {
	for p := range b {
		b[p] = b[p].intersect(c[p])
		if b[p] != nil && len(b[p]) == 0 {
			return b, false
		}
	}
	return b, true
}

// key tells boxes apart in a map.
func (b box) key() string {
	size := 0
	for _, s := range b {
		size += 5 + 32*len(s)
	}
	k := make([]byte, 0, size)
	for p, s := range b {
		if s == nil {
			continue
		}
		k = binary.LittleEndian.AppendUint32(append(k, byte(p)), uint32(len(s)))
		for _, x := range s {
			for _, v := range []uint64{x.lo.hi, x.lo.lo, x.hi.hi, x.hi.lo} {
				k = binary.LittleEndian.AppendUint64(k, v)
			}
		}
	}
	return string(k)
}
