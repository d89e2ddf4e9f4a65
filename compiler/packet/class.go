package packet

import (
	"slices"

	"github.com/seawall/seawall/compiler/diagram"
)

// State is conntrack's state of a packet, as --ctstate names it.
type State string

// The states.
const (
	Invalid     State = "INVALID"
	Untracked   State = "UNTRACKED"
	New         State = "NEW"
	Established State = "ESTABLISHED"
	Related     State = "RELATED"
)

// States are all states.
var States = []State{Invalid, Untracked, New, Established, Related}

// Class is what conntrack knows of a packet: a state, a direction, and whether
// its connection's source or destination was rewritten.
type Class struct {
	State      State
	Reply      bool // ctdir REPLY
	SNAT, DNAT bool
}

// Known reports whether there is a conntrack entry, and with it an original
// destination and a direction.
func (c Class) Known() bool { return c.State != Invalid && c.State != Untracked }

func (c Class) String() string {
	text := string(c.State)
	if c.Known() {
		dir := " ORIGINAL"
		if c.Reply {
			dir = " REPLY"
		}
		text += dir
	}
	if c.SNAT {
		text += " SNAT"
	}
	if c.DNAT {
		text += " DNAT"
	}
	return text
}

// Classes are all classes; a diagram's values of Conntrack are indices into it.
// NEW is always in original direction. Those that differ in NAT alone stand
// together, since policies do not ask for it.
var Classes = func() []Class {
	list := []Class{{State: Invalid}, {State: Untracked}}
	for _, c := range []Class{{State: New}, {State: Established}, {State: Related},
		{State: Established, Reply: true}, {State: Related, Reply: true}} {
		for nat := range 4 {
			c.SNAT, c.DNAT = nat&1 != 0, nat&2 != 0
			list = append(list, c)
		}
	}
	return list
}()

// ClassSet returns the classes for which a condition holds.
func ClassSet(holds func(Class) bool) diagram.Set {
	var list []diagram.Span
	for i, c := range Classes {
		if holds(c) {
			list = append(list, diagram.Span{Lo: diagram.Small(i), Hi: diagram.Small(i)})
		}
	}
	return diagram.Normal(list)
}

// Value is the class as a value of the property Conntrack.
func (c Class) Value() diagram.Value { return diagram.Small(slices.Index(Classes, c)) }

// ClassWords names classes, those that differ in NAT alone once.
func ClassWords(s diagram.Set) []string {
	original := ClassSet(func(c Class) bool { return c.Known() && !c.Reply })
	if slices.Equal(s, original) {
		return []string{"known, ORIGINAL"}
	}
	var list []string
	for _, c := range Classes {
		if !s.Has(c.Value()) {
			continue
		}
		text := c.String()
		if hasEveryNAT(s, c) {
			text = Class{State: c.State, Reply: c.Reply}.String()
		}
		if n := len(list); n == 0 || list[n-1] != text {
			list = append(list, text)
		}
	}
	return list
}

func hasEveryNAT(s diagram.Set, c Class) bool {
	return !slices.ContainsFunc(Classes, func(other Class) bool {
		return other.State == c.State && other.Reply == c.Reply && !s.Has(other.Value())
	})
}
