package packet

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
)

// Space is the packets of one family, as far as the rules and policies of one
// question can tell them apart: the names of interfaces fall into atoms.
type Space struct {
	Family Family
	Atoms  []Atom
	// Members are the ipsets whose contents are unknown, and in which membership is a
	// property of a packet.
	Members []string
}

// Atom is a class of interface names that no pattern tells apart: one name, the
// names of a prefix that no longer pattern takes, or, as the first atom, all
// others.
type Atom struct {
	Name   string // the name, or the prefix
	Prefix bool
	Sample string // one name of it; "" when every name belongs to a narrower atom
}

// NewSpace returns the space in which the given interface patterns (eth0, eth+)
// can be told apart.
func NewSpace(f Family, patterns ...string) *Space {
	patterns = slices.Clone(patterns)
	slices.Sort(patterns)
	s := &Space{Family: f, Atoms: []Atom{{}}}
	for _, p := range slices.Compact(patterns) {
		if p == "" || p == "+" {
			continue
		}
		name, prefix := strings.CutSuffix(p, "+")
		s.Atoms = append(s.Atoms, Atom{Name: name, Prefix: prefix})
	}
	for i := range s.Atoms {
		s.Atoms[i].Sample = s.sample(i)
	}
	return s
}

// Store returns an empty store of diagrams over the space.
func (s *Space) Store() *diagram.Store { return diagram.New(s.max()...) }

// MaxInterface is the length of the longest name of an interface (IFNAMSIZ).
const MaxInterface = 15

// suffixes are what a name may go on with, those that a person would expect
// first.
const suffixes = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.@:"

// sample finds a name that belongs to an atom and to none inside it. It looks
// at names of up to two more characters; whoever takes all of those with
// patterns of their own has left nothing that is worth an example.
func (s *Space) sample(i int) string {
	a := s.Atoms[i]
	if i > 0 && !a.Prefix {
		return a.Name
	}
	fits := func(name string) bool { return name != "" && len(name) <= MaxInterface && s.AtomOf(name) == i }
	stem := a.Name
	if i == 0 && fits("other0") {
		return "other0"
	}
	for _, c := range suffixes {
		if name := stem + string(c); fits(name) {
			return name
		}
	}
	if fits(stem) {
		return stem
	}
	for _, c := range suffixes {
		for _, d := range suffixes {
			if name := stem + string(c) + string(d); fits(name) {
				return name
			}
		}
	}
	return ""
}

// AtomOf returns the narrowest atom that a name belongs to.
func (s *Space) AtomOf(name string) int {
	best, length := 0, -1
	for i, a := range s.Atoms[1:] {
		switch {
		case !a.Prefix && a.Name == name:
			return i + 1
		case a.Prefix && strings.HasPrefix(name, a.Name) && len(a.Name) > length:
			best, length = i+1, len(a.Name)
		}
	}
	return best
}

// Interfaces returns the set of atoms that a pattern covers; all of them for "" and
// "+".
func (s *Space) Interfaces(pattern string) diagram.Set {
	if pattern == "" || pattern == "+" {
		return nil
	}
	name, prefix := strings.CutSuffix(pattern, "+")
	var list []diagram.Span
	for i, a := range s.Atoms {
		if i == 0 {
			continue
		}
		if !prefix && !a.Prefix && a.Name == name || prefix && strings.HasPrefix(a.Name, name) {
			list = append(list, diagram.Span{Lo: diagram.Small(i), Hi: diagram.Small(i)})
		}
	}
	return diagram.Normal(list)
}

// Properties returns the number of properties of a packet.
func (s *Space) Properties() int { return properties }

// Max returns the largest value of a property.
func (s *Space) Max(property int) diagram.Value { return s.max()[property] }

// Not returns a property's set, or its complement if an option is negated.
func (s *Space) Not(not bool, property int, set diagram.Set) diagram.Set {
	if !not {
		return set
	}
	return set.Complement(s.Max(property))
}

// Addr returns a value of the space as an address.
func (s *Space) Addr(v diagram.Value) string { return v.Addr(s.Family == IPv6).String() }

// atomWords names the atoms of a span.
func (s *Space) atomWords(x diagram.Span) []string {
	var list []string
	for i := x.Lo.Lo; i <= x.Hi.Lo; i++ {
		a := s.Atoms[i]
		switch {
		case i == 0:
			list = append(list, "any other interface")
		case a.Prefix:
			list = append(list, a.Name+"+")
		default:
			list = append(list, a.Name)
		}
	}
	return list
}

// portWords writes a span of numbers.
func portWords(x diagram.Span) []string {
	if x.Lo == x.Hi {
		return []string{fmt.Sprint(x.Lo.Lo)}
	}
	return []string{fmt.Sprintf("%d-%d", x.Lo.Lo, x.Hi.Lo)}
}
