package ipset

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// nets are the entries of a hash:net, in the order in which they came. While
// they come in order, as from a sorted list, there is no index.
type nets struct {
	entries []Entry // those taken out are zero
	index   map[key]int32
	gaps    int
}

// key is a prefix for the index: shorter than a netip.Prefix, and without a
// pointer.
type key struct {
	hi, lo uint64
	bits   uint8
}

func keyOf(p netip.Prefix) key {
	b := p.Addr().As16()
	return key{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), uint8(p.Bits())}
}

func (n *nets) len() int { return len(n.entries) - n.gaps }

// add adds an entry. With exist, one that is there takes the new one's nomatch.
func (n *nets) add(e Entry, exist bool, maxelem uint64) error {
	if n.index == nil && (len(n.entries) == 0 || comparePrefixes(n.entries[len(n.entries)-1].Prefix, e.Prefix) < 0) {
		if uint64(len(n.entries)) >= maxelem {
			return errFull(maxelem)
		}
		n.entries = append(n.entries, e)
		return nil
	}
	n.build()
	k := keyOf(e.Prefix)
	switch i, there := n.index[k]; {
	case there && !exist:
		return fmt.Errorf("%s is in the set already", e.Prefix)
	case there:
		n.entries[i].NoMatch = e.NoMatch
	case uint64(n.len()) >= maxelem:
		return errFull(maxelem)
	default:
		n.index[k] = int32(len(n.entries))
		n.entries = append(n.entries, e)
	}
	return nil
}

func (n *nets) del(p netip.Prefix, exist bool) error {
	n.build()
	k := keyOf(p)
	i, there := n.index[k]
	if !there {
		if exist {
			return nil
		}
		return fmt.Errorf("%s is not in the set", p)
	}
	delete(n.index, k)
	n.entries[i] = Entry{}
	if n.gaps++; n.gaps > 64 && n.gaps > len(n.entries)/2 {
		n.compact()
		n.index = nil
		n.build()
	}
	return nil
}

// all are the entries that are left.
func (n *nets) all() []Entry {
	n.compact()
	return n.entries
}

func (n *nets) compact() {
	if n.gaps > 0 {
		n.entries = slices.DeleteFunc(n.entries, func(e Entry) bool { return !e.Prefix.IsValid() })
		n.gaps = 0
	}
}

func (n *nets) build() {
	if n.index != nil {
		return
	}
	n.index = make(map[key]int32, 2*len(n.entries))
	for i, e := range n.entries {
		n.index[keyOf(e.Prefix)] = int32(i)
	}
}

func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

// errFull is what a set says that has its maxelem. The kernel counts by parts of
// the table, and may take some more in a set of more than 1024 buckets, or not.
func errFull(maxelem uint64) error {
	return fmt.Errorf("the set is full: its maxelem is %d", maxelem)
}
