package rules

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Set is an ipset of the type hash:net: the longest of its entries that holds an
// address decides, and one with nomatch says that the address is not in the set
// (ipset(8), hash:net).
type Set struct {
	Name    string
	Family  Family
	Entries []SetEntry

	seen map[netip.Prefix]bool // once the entries are not in order
}

// SetEntry is one CIDR of a set.
type SetEntry struct {
	Prefix  netip.Prefix
	NoMatch bool
}

// Sets are ipsets by name.
type Sets map[string]*Set

// ParseSets reads what ipset save printed, or a file for ipset restore, as ipset
// would carry it out: create, add, del, flush, swap, rename and destroy. Sets of
// other types than hash:net are not in the result, but their names are known:
// a rule that asks for one cannot be decided. The error, of type *Error, names
// the first line that ipset would refuse.
func ParseSets(src []byte) (Sets, error) {
	p := &setParser{sets: Sets{}, other: map[string]bool{}}
	for n := 1; len(src) > 0; n++ {
		line, rest, _ := bytes.Cut(src, []byte("\n"))
		src = rest
		if err := p.line(bytes.TrimSuffix(line, []byte("\r"))); err != nil {
			return nil, &Error{Line: n, Text: string(line), Detail: err.Error()}
		}
	}
	return p.sets, nil
}

type setParser struct {
	sets  Sets
	other map[string]bool // names of sets of other types
}

func (p *setParser) line(line []byte) error {
	// Nearly every line is this.
	if rest, ok := bytes.CutPrefix(line, []byte("add ")); ok {
		name, value, _ := bytes.Cut(rest, []byte(" "))
		if s := p.sets[string(name)]; s != nil {
			if prefix, ok := prefix4(value); ok && prefix.Bits() > 0 && prefix == prefix.Masked() && s.Family == IPv4 {
				return s.put(SetEntry{Prefix: prefix}, false)
			}
		}
	}
	words := strings.Fields(string(line))
	if len(words) == 0 || words[0][0] == '#' || words[0] == "COMMIT" {
		return nil
	}
	if len(words) < 2 {
		return fmt.Errorf("%q needs the name of a set", words[0])
	}
	return p.command(words[0], words[1], words[2:])
}

func (p *setParser) command(verb, name string, args []string) error {
	s := p.sets[name]
	known := s != nil || p.other[name]
	exist := slices.Contains(args, "-exist") || slices.Contains(args, "-!")
	switch verb {
	case "create", "-N", "n":
		return p.create(name, args, known, exist)
	case "destroy", "-X", "x":
		delete(p.sets, name)
		delete(p.other, name)
		return nil
	case "swap", "-W", "w", "rename", "-E", "e":
		if len(args) == 0 {
			return fmt.Errorf("%s needs two names", verb)
		}
		return p.exchange(verb[0] == 's' || verb == "-W" || verb == "w", name, args[0])
	}
	switch {
	case !known:
		return fmt.Errorf("there is no set %s before this line", name)
	case s == nil:
		return nil // of another type: what is in it is not known here
	}
	switch verb {
	case "flush", "-F", "f":
		s.Entries, s.seen = nil, nil
	case "add", "-A", "a":
		e, err := s.entry(args)
		if err != nil {
			return err
		}
		return s.put(e, exist)
	case "del", "-D", "d":
		return s.del(args)
	default:
		return fmt.Errorf("%q starts no line of an ipset file: a line is create, add, del, flush, swap, rename or destroy", verb)
	}
	return nil
}

func (p *setParser) create(name string, args []string, known, exist bool) error {
	if known {
		if exist {
			return nil
		}
		return fmt.Errorf("the set %s is there already", name)
	}
	if len(args) == 0 {
		return fmt.Errorf("create needs a type, such as hash:net")
	}
	if args[0] != "hash:net" {
		p.other[name] = true
		return nil
	}
	s := &Set{Name: name, Family: IPv4}
	for i, w := range args {
		if w == "family" && i+1 < len(args) && args[i+1] == "inet6" {
			s.Family = IPv6
		}
	}
	p.sets[name] = s
	return nil
}

func (p *setParser) exchange(swap bool, a, b string) error {
	one, two := p.sets[a], p.sets[b]
	switch {
	case one == nil, swap && two == nil:
		return fmt.Errorf("there is no set %s or %s of a known type before this line", a, b)
	case swap && one.Family != two.Family:
		return fmt.Errorf("%s and %s are of different families", a, b)
	case swap:
		one.Name, two.Name = b, a
		p.sets[a], p.sets[b] = two, one
	case two != nil || p.other[b]:
		return fmt.Errorf("the set %s is there already", b)
	default:
		one.Name = b
		p.sets[b] = one
		delete(p.sets, a)
	}
	return nil
}

func (s *Set) entry(args []string) (SetEntry, error) {
	var e SetEntry
	if len(args) == 0 {
		return e, fmt.Errorf("it needs an address or a CIDR")
	}
	prefix, err := parsePrefix(args[0])
	if err != nil {
		return e, err
	}
	if prefix.Addr().Is4() != (s.Family == IPv4) {
		return e, fmt.Errorf("%s is of another family than the set %s", args[0], s.Name)
	}
	if prefix.Bits() == 0 {
		return e, fmt.Errorf("a hash:net set takes no CIDR of length 0; two of length 1 say the same")
	}
	e.Prefix, e.NoMatch = prefix, slices.Contains(args[1:], "nomatch")
	return e, nil
}

// put adds an entry. ipset refuses one that is there already, unless it was told
// -exist; then the new one counts.
func (s *Set) put(e SetEntry, exist bool) error {
	n := len(s.Entries)
	if s.seen == nil && (n == 0 || comparePrefixes(s.Entries[n-1].Prefix, e.Prefix) < 0) {
		s.Entries = append(s.Entries, e)
		return nil
	}
	if s.seen == nil {
		s.seen = make(map[netip.Prefix]bool, 2*n)
		for _, old := range s.Entries {
			s.seen[old.Prefix] = true
		}
	}
	if s.seen[e.Prefix] {
		if !exist {
			return fmt.Errorf("%s is in the set %s already", e.Prefix, s.Name)
		}
		s.Entries = slices.DeleteFunc(s.Entries, func(x SetEntry) bool { return x.Prefix == e.Prefix })
	}
	s.seen[e.Prefix] = true
	s.Entries = append(s.Entries, e)
	return nil
}

func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

func (s *Set) del(args []string) error {
	e, err := s.entry(args)
	if err != nil {
		return err
	}
	s.Entries = slices.DeleteFunc(s.Entries, func(x SetEntry) bool { return x.Prefix == e.Prefix })
	delete(s.seen, e.Prefix)
	return nil
}

// AppendSet appends the lines that load a set, whatever is there: it is filled
// under another name, and changes place with the old one at one moment. A user
// of the set never sees a part of it. Its sizes grow by powers of two, so that few
// changes of a list change them.
func AppendSet(text []byte, s *Set, comment string) []byte {
	room, buckets, family := 1<<16, 1<<10, "inet"
	for room < len(s.Entries) {
		room *= 2
	}
	for buckets < len(s.Entries) {
		buckets *= 2
	}
	if s.Family == IPv6 {
		family = "inet6"
	}
	fresh := fmt.Sprintf("%sNEW%d-%d", OwnedPrefix, s.Family, room)
	text = fmt.Appendf(text, "# %s\n", comment)
	for _, name := range []string{s.Name, fresh} {
		text = fmt.Appendf(text, "create %s hash:net family %s hashsize %d maxelem %d -exist\n", name, family, buckets, room)
	}
	text = fmt.Appendf(text, "flush %s\n", fresh)
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
