package lower

import "github.com/seawall/seawall/compiler/packet"

// pieceList is pieces: neighbouring sources of one label, by its place in tree.labels. Each
// goes up to where the next one starts; neighbours differ, and the first starts at the first
// address. There are many.
type pieceList struct {
	four   []uint32 // where those of IPv4 start
	six    []addr   // and those of IPv6
	labels []int32
}

// newPieceList returns an empty list with room for so many pieces.
func newPieceList(size int, f packet.Family) pieceList {
	l := pieceList{labels: make([]int32, 0, size)}
	if f == packet.IPv4 {
		l.four = make([]uint32, 0, size)
	} else {
		l.six = make([]addr, 0, size)
	}
	return l
}

func (l *pieceList) len() int { return len(l.labels) }

// from is where a piece starts.
func (l *pieceList) from(i int) addr {
	if i < len(l.four) {
		return addr{uint64(l.four[i]) << 32, 0}
	}
	return l.six[i]
}

func (l *pieceList) label(i int) int { return int(l.labels[i]) }

// add appends a piece.
func (l *pieceList) add(from addr, label int, f packet.Family) {
	if f == packet.IPv4 {
		l.four = append(l.four, uint32(from.hi>>32))
	} else {
		l.six = append(l.six, from)
	}
	l.labels = append(l.labels, int32(label))
}
