package diagram

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
)

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

// Every reports whether every point is in the box because nothing is asked for.
func (b *Box) Every() bool {
	for _, s := range b {
		if s != nil {
			return false
		}
	}
	return true
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

// Key returns a map key that differs for different boxes. A long set stands in it as a
// digest.
func (b *Box) Key() string {
	var k []byte
	for p, s := range b {
		if s == nil {
			continue
		}
		k = binary.LittleEndian.AppendUint32(append(k, byte(p)), uint32(len(s)))
		if len(s) > longSet {
			sum := digest(s)
			k = append(k, sum[:]...)
			continue
		}
		for _, x := range s {
			k = x.appendTo(k)
		}
	}
	return string(k)
}

const longSet = 64

func digest(s Set) (sum [sha256.Size]byte) {
	h := sha256.New()
	w := bufio.NewWriter(h)
	for _, x := range s {
		w.Write(x.appendTo(w.AvailableBuffer()))
	}
	w.Flush()
	return [sha256.Size]byte(h.Sum(nil))
}

func (s Span) appendTo(k []byte) []byte {
	for _, v := range [...]uint64{s.Lo.Hi, s.Lo.Lo, s.Hi.Hi, s.Hi.Lo} {
		k = binary.LittleEndian.AppendUint64(k, v)
	}
	return k
}
