package diagram

import "slices"

// Starts are values from the smallest on, each larger than the one before it. Most of a
// large diagram is addresses of IPv4, so those that 32 bits hold take four bytes each; they
// all come before the others.
type Starts struct {
	small []uint32
	large []Value
}

const mostSmall = 1<<32 - 1

// StartsOf returns a list of values.
func StartsOf(list ...Value) Starts {
	var s Starts
	for _, v := range list {
		s.Append(v)
	}
	return s
}

// newStarts returns an empty list with room for so many values up to a largest one.
func newStarts(size int, most Value) Starts {
	if most.isSmall() {
		return Starts{small: make([]uint32, 0, size)}
	}
	return Starts{large: make([]Value, 0, size)}
}

func (a Value) isSmall() bool { return a.Hi == 0 && a.Lo <= mostSmall }

// Len is how many values there are.
func (s *Starts) Len() int { return len(s.small) + len(s.large) }

// At returns the value of an index.
func (s *Starts) At(i int) Value {
	if i < len(s.small) {
		return Value{Lo: uint64(s.small[i])}
	}
	return s.large[i-len(s.small)]
}

// Append adds a value that is larger than all others.
func (s *Starts) Append(v Value) {
	if v.isSmall() {
		s.small = append(s.small, uint32(v.Lo))
		return
	}
	s.large = append(s.large, v)
}

// emptied is the list without its values and with its room, which may be filled with some
// of the same while they are read.
func (s *Starts) emptied() Starts { return Starts{s.small[:0], s.large[:0]} }

func (s *Starts) clip() Starts { return Starts{slices.Clip(s.small), slices.Clip(s.large)} }

func (s *Starts) clone() Starts { return Starts{slices.Clone(s.small), slices.Clone(s.large)} }

func (s *Starts) equal(t *Starts) bool {
	return slices.Equal(s.small, t.small) && slices.Equal(s.large, t.large)
}

// halves are the two halves of an empty list's room.
func (s *Starts) halves() (low, high Starts) {
	low.small, high.small = halvesOf(s.small)
	low.large, high.large = halvesOf(s.large)
	return low, high
}

// joinedStarts are two lists as one, in the room for both where they still lie in it.
func joinedStarts(room, low, high Starts) Starts {
	return Starts{joined(room.small, low.small, high.small), joined(room.large, low.large, high.large)}
}

func halvesOf[T any](room []T) (low, high []T) {
	half := cap(room) / 2
	return room[0:0:half], room[half:half]
}

// joined joins two lists, in the room for both where they still lie in it.
func joined[T any](room, low, high []T) []T {
	if cap(low)+cap(high) > cap(room) {
		return append(low, high...)
	}
	n := copy(room[:cap(room)][len(low):], high)
	return room[:len(low)+n]
}
