package diagram

import "encoding/binary"

// MaxProperties is how many properties a space may have.
const MaxProperties = 24

// Box is a product: for each property, the set of values that belong to it.
type Box [MaxProperties]Set

// And returns the intersection of both boxes, and whether it is not empty.
func (b Box) And(c Box) (Box, bool) {
	for p := range b {
		b[p] = b[p].Intersect(c[p])
		if b[p] != nil && len(b[p]) == 0 {
			return b, false
		}
	}
	return b, true
}

// Empty reports whether no point is in the box.
func (b *Box) Empty() bool {
	for _, s := range b {
		if s != nil && len(s) == 0 {
			return true
		}
	}
	return false
}

// Has reports whether a point is in the box.
func (b *Box) Has(point *Point) bool {
	for p := range b {
		if !b[p].Has(point[p]) {
			return false
		}
	}
	return true
}

// Point is a value of each property.
type Point [MaxProperties]Value

// Key returns a map key that differs for different boxes.
func (b *Box) Key() string {
	size := 0
	for _, s := range b {
		if s != nil {
			size += 5 + 32*len(s)
		}
	}
	k := make([]byte, 0, size)
	for p, s := range b {
		if s == nil {
			continue
		}
		k = binary.LittleEndian.AppendUint32(append(k, byte(p)), uint32(len(s)))
		for _, x := range s {
			for _, v := range []uint64{x.Lo.Hi, x.Lo.Lo, x.Hi.Hi, x.Hi.Lo} {
				k = binary.LittleEndian.AppendUint64(k, v)
			}
		}
	}
	return string(k)
}
