package ipset

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"
)

// span is the addresses from lo to hi, both with it.
type span struct{ lo, hi uint32 }

func (s span) size() uint64 { return uint64(s.hi-s.lo) + 1 }

// spans are the addresses of a hash:ip of IPv4. A line may add 2^31 of them, so
// they are never taken one at a time. The spans are in order and do not meet;
// they lie in blocks, so that one may be put between two others at little cost
// however many there are.
type spans struct {
	blocks [][]span // none empty
	n      uint64   // addresses
}

const blockSize = 256

// seek is where the first span stands that ends at a or later.
func (s *spans) seek(a uint32) (block, i int) {
	block = sort.Search(len(s.blocks), func(b int) bool { return s.blocks[b][len(s.blocks[b])-1].hi >= a })
	if block < len(s.blocks) {
		i = sort.Search(len(s.blocks[block]), func(i int) bool { return s.blocks[block][i].hi >= a })
	}
	return block, i
}

// covered is how many addresses from lo to hi are there.
func (s *spans) covered(lo, hi uint32) (n uint64) {
	b, i := s.seek(lo)
	for ; b < len(s.blocks); b, i = b+1, 0 {
		for ; i < len(s.blocks[b]); i++ {
			x := s.blocks[b][i]
			if x.lo > hi {
				return n
			}
			n += span{max(x.lo, lo), min(x.hi, hi)}.size()
		}
	}
	return n
}

// add adds the addresses from lo to hi.
func (s *spans) add(lo, hi uint32, exist bool, maxelem uint64) error {
	there := s.covered(lo, hi)
	fresh := span{lo, hi}.size() - there
	switch {
	case there > 0 && !exist:
		return fmt.Errorf("%s is in the set already", describe(lo, hi))
	case fresh > 0 && s.n+fresh > maxelem:
		return errFull(maxelem)
	case there > 0:
		if b, i := s.seek(lo); s.blocks[b][i].lo <= lo && s.blocks[b][i].hi >= hi {
			return nil
		}
		s.cut(lo, hi)
	}
	s.put(span{lo, hi})
	return nil
}

func (s *spans) del(lo, hi uint32, exist bool) error {
	switch there := s.covered(lo, hi); {
	case there < (span{lo, hi}).size() && !exist:
		return fmt.Errorf("%s is not in the set", describe(lo, hi))
	case there > 0:
		s.cut(lo, hi)
	}
	return nil
}

// cut takes out what is there of the addresses from lo to hi.
func (s *spans) cut(lo, hi uint32) {
	b, i := s.seek(lo)
	first := b
	for ; b < len(s.blocks); b, i = b+1, 0 {
		block := s.blocks[b]
		j := i
		var keep []span
		for ; j < len(block) && block[j].lo <= hi; j++ {
			x := block[j]
			s.n -= span{max(x.lo, lo), min(x.hi, hi)}.size()
			if x.lo < lo {
				keep = append(keep, span{x.lo, lo - 1})
			}
			if x.hi > hi {
				keep = append(keep, span{hi + 1, x.hi})
			}
		}
		s.blocks[b] = slices.Replace(block, i, j, keep...)
		if j < len(block) || len(keep) > 0 && keep[len(keep)-1].lo > hi {
			b++
			break
		}
	}
	kept := slices.DeleteFunc(s.blocks[first:b], func(x []span) bool { return len(x) == 0 })
	s.blocks = slices.Delete(s.blocks, first+len(kept), b)
}

// put puts a span between the others, of which none meets it.
func (s *spans) put(x span) {
	s.n += x.size()
	b, i := s.seek(x.lo)
	if b == len(s.blocks) {
		if b == 0 || len(s.blocks[b-1]) >= blockSize {
			s.blocks = append(s.blocks, []span{x})
			return
		}
		b, i = b-1, len(s.blocks[b-1])
	}
	block := s.blocks[b]
	if i > 0 && block[i-1].hi+1 == x.lo {
		block[i-1].hi = x.hi
		return
	}
	block = slices.Insert(block, i, x)
	s.blocks[b] = block
	if half := len(block) / 2; len(block) > blockSize {
		s.blocks[b] = block[:half:half]
		s.blocks = slices.Insert(s.blocks, b+1, slices.Clone(block[half:]))
	}
}

// entries are the addresses as the fewest CIDRs.
func (s *spans) entries() []Entry {
	var list []Entry
	var now span
	open := false
	flush := func() {
		for lo := now.lo; open; {
			length, last := largest(lo, now.hi)
			list = append(list, Entry{Prefix: netip.PrefixFrom(addr4(lo), length)})
			open, lo = last != now.hi, last+1
		}
	}
	for _, block := range s.blocks {
		for _, x := range block {
			if open && now.hi+1 == x.lo {
				now.hi = x.hi
				continue
			}
			flush()
			now, open = x, true
		}
	}
	flush()
	return list
}

func describe(lo, hi uint32) string {
	if lo == hi {
		return addr4(lo).String()
	}
	return fmt.Sprintf("a part of %s-%s", addr4(lo), addr4(hi))
}
