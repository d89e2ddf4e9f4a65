// Package ipset is the dialect of ipset restore and ipset save: it reads what
// other people's files make of the kernel's sets, and writes the lines that load
// a set.
//
// The judge of what a text means is ipset itself, not its manual. Parse carries a
// text out as ipset 7.17 on Linux 6.x does, surprises included: an -exist counts
// for all later lines, 010.0.0.1 is 8.0.0.1, and a line is cut after 1023 bytes,
// so that the tail of a long comment is a command. The comments at each rule say
// where it comes from; the tests compare with the real program.
//
//	ipset.go    sets and their entries; writing them
//	parse.go    the text: lines, words, quotes, and the common line read fast
//	command.go  one line: its options, its verb, what it does
//	create.go   the types of sets and the options of create
//	entry.go    add and del, and their options
//	element.go  addresses, CIDRs, ranges and numbers, as ipset spells them
//	nets.go     the entries of a hash:net
//	spans.go    the addresses of a hash:ip
package ipset

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/seawall/seawall/compiler/packet"
)

// Set is an ipset. Of the entries of a hash:net, the longest that holds an
// address decides, and one with nomatch says that the address is not in the set
// (ipset(8), hash:net). A hash:ip holds the addresses of its entries; where they
// fill a CIDR, one entry stands for all of them.
type Set struct {
	Name    string
	Type    string        // as ipset save prints it: hash:net, also where a file says nethash
	Family  packet.Family // 0 for a type without addresses, such as list:set
	Entries []Entry       // what is in the set, exactly; nil when that is unknown

	// Unknown says in a few words why the text does not say what is in the set,
	// such as "its entries time out"; empty when Entries are exact. Who decides a
	// rule by a set must ask for this first.
	Unknown string
}

// Entry is one CIDR of a set, without host bits.
type Entry struct {
	Prefix  netip.Prefix
	NoMatch bool
}

// Sets are ipsets by name.
type Sets map[string]*Set

// Error is a line that ipset restore would refuse, or that Parse refuses to guess
// at.
type Error struct {
	Line   int    // counted from 1
	Text   string // the line, as far as ipset reads it at once
	Detail string // what is wrong, and what to do
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Detail) }

// Append appends the lines that load a set of the type hash:net, whatever is
// there: it is filled under another name, which starts with fresh, and the two
// change places at one moment. A user of the set never sees a part of it. Its
// sizes grow by powers of two, so that few changes of a list change them. The
// comment becomes the first line; it must hold no line break.
func Append(text []byte, s *Set, fresh string, comment string) []byte {
	room, buckets, family := 1<<16, 1<<10, "inet"
	for room < len(s.Entries) {
		room *= 2
	}
	for buckets < len(s.Entries) {
		buckets *= 2
	}
	if s.Family == packet.IPv6 {
		family = "inet6"
	}
	fresh = fmt.Sprintf("%s%d-%d", fresh, s.Family, room)
	text = fmt.Appendf(text, "# %s\n", comment)
	for _, name := range []string{s.Name, fresh} {
		text = fmt.Appendf(text, "create %s hash:net family %s hashsize %d maxelem %d -exist\n", name, family, buckets, room)
	}
	text = fmt.Appendf(text, "flush %s\n", fresh)
	text = slices.Grow(text, len(s.Entries)*(len(fresh)+len("add  255.255.255.255/32\n")))
	for _, e := range s.Entries {
		text = append(append(append(text, "add "...), fresh...), ' ')
		text = e.Prefix.Addr().AppendTo(text)
		text = strconv.AppendInt(append(text, '/'), int64(e.Prefix.Bits()), 10)
		if e.NoMatch {
			text = append(text, " nomatch"...)
		}
		text = append(text, '\n')
	}
	return fmt.Appendf(text, "swap %s %s\ndestroy %s\n", fresh, s.Name, fresh)
}
