package oracle

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A setEntry is one element of a set: a range of addresses, and the length of
// the prefix that it was stored under (a set looks at long prefixes first).
type setEntry struct {
	prefix  netip.Prefix
	nomatch bool
}

// A set is one ipset. One that is not exact cannot be evaluated: another type
// than hash:ip and hash:net, or with timeouts, counters or a netmask.
type set struct {
	exact   bool
	kind    string
	family  int
	maxelem int
	entries []setEntry
}

// Sets are ipsets by name.
type Sets map[string]*set

// ParseSets reads the text of an ipset save or restore file.
func ParseSets(text string) (Sets, error) {
	sets := Sets{}
	line := 0
	for l := range strings.Lines(text) {
		line++
		fields := setWords(strings.TrimSuffix(l, "\n"))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if err := sets.command(fields); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
	return sets, nil
}

// setWords splits a line at blanks; double quotes keep blanks.
func setWords(l string) []string {
	var result []string
	var word strings.Builder
	quoted, any := false, false
	for _, c := range l {
		switch {
		case c == '"':
			quoted, any = !quoted, true
		case (c == ' ' || c == '\t') && !quoted:
			if any {
				result = append(result, word.String())
			}
			word.Reset()
			any = false
		default:
			word.WriteRune(c)
			any = true
		}
	}
	if any {
		result = append(result, word.String())
	}
	return result
}

// setCommands are the spellings of the commands.
var setCommands = map[string]string{
	"create": "create", "-N": "create", "--create": "create", "n": "create",
	"add": "add", "-A": "add", "--add": "add",
	"del": "del", "-D": "del", "--del": "del",
	"flush": "flush", "-F": "flush", "--flush": "flush",
	"destroy": "destroy", "-X": "destroy", "--destroy": "destroy", "x": "destroy",
	"swap": "swap", "-W": "swap", "--swap": "swap",
	"rename": "rename", "-E": "rename", "--rename": "rename",
	"COMMIT": "commit", "quit": "commit",
}

func (s Sets) command(fields []string) error {
	exist := false
	fields = slices.DeleteFunc(slices.Clone(fields), func(f string) bool {
		found := f == "-exist" || f == "--exist" || f == "-!"
		exist = exist || found
		return found
	})
	if len(fields) == 0 {
		return errors.New("no command specified")
	}
	name := setCommands[fields[0]]
	args := fields[1:]
	switch {
	case name == "commit":
		return nil
	case name == "create" && len(args) >= 2:
		return s.create(args[0], args[1], args[2:], exist)
	case name == "flush" || name == "destroy":
		return s.clear(name, args)
	case name == "":
		return fmt.Errorf("unknown command %q", fields[0])
	case len(args) < 2:
		return fmt.Errorf("%s: missing argument", name)
	case s[args[0]] == nil:
		return fmt.Errorf("set %s does not exist", args[0])
	case name == "swap":
		s[args[0]], s[args[1]] = s[args[1]], s[args[0]]
		return nil
	case name == "rename":
		s[args[1]] = s[args[0]]
		delete(s, args[0])
		return nil
	}
	return s[args[0]].change(name, args[1], args[2:], exist)
}

func (s Sets) clear(command string, args []string) error {
	for name, one := range s {
		if len(args) > 0 && args[0] != name {
			continue
		}
		one.entries = nil
		if command == "destroy" {
			delete(s, name)
		}
	}
	return nil
}

// create makes a set. Its entries can be evaluated when it is a hash:ip or
// hash:net with nothing but sizes and comments.
func (s Sets) create(name, kind string, options []string, exist bool) error {
	if s[name] != nil {
		if exist {
			return nil
		}
		return fmt.Errorf("set %s already exists", name)
	}
	if kind == "nethash" || kind == "iphash" {
		kind = map[string]string{"nethash": "hash:net", "iphash": "hash:ip"}[kind]
	}
	one := &set{exact: kind == "hash:net" || kind == "hash:ip", kind: kind, family: 4, maxelem: 65536}
	for i := 0; i < len(options); i++ {
		value := ""
		if i+1 < len(options) {
			value = options[i+1]
		}
		switch options[i] {
		case "family", "-f", "--family":
			if value == "inet6" || value == "ipv6" || value == "-6" {
				one.family = 6
			}
			i++
		case "maxelem", "--maxelem":
			n, err := number(value, 1<<32-1)
			if err != nil {
				return err
			}
			one.maxelem = int(n)
			i++
		case "hashsize", "--hashsize", "bucketsize", "initval":
			i++
		case "comment", "-6":
			if options[i] == "-6" {
				one.family = 6
			}
		default:
			one.exact = false
		}
	}
	s[name] = one
	return nil
}

// change adds or deletes one element, which may be an address, a network or a
// range.
func (s *set) change(command, element string, options []string, exist bool) error {
	if !s.exact {
		return nil
	}
	nomatch := false
	for i := 0; i < len(options); i++ {
		switch options[i] {
		case "nomatch":
			nomatch = true
		case "comment":
			i++
		default:
			s.exact = false
			return nil
		}
	}
	prefixes, err := s.prefixes(element)
	if err != nil {
		return err
	}
	for _, p := range prefixes {
		if err := s.changeOne(command, p, nomatch, exist); err != nil {
			return err
		}
	}
	return nil
}

func (s *set) changeOne(command string, p netip.Prefix, nomatch, exist bool) error {
	i := slices.IndexFunc(s.entries, func(e setEntry) bool { return e.prefix == p })
	switch {
	case command == "add" && i >= 0 && !exist:
		return fmt.Errorf("element %s is already in the set", p)
	case command == "add" && i >= 0:
		s.entries[i].nomatch = nomatch
	case command == "add":
		s.entries = append(s.entries, setEntry{p, nomatch})
		if len(s.entries) > s.maxelem {
			s.exact = false
		}
	case i < 0 && !exist:
		return fmt.Errorf("element %s is not in the set", p)
	case i >= 0:
		s.entries = slices.Delete(s.entries, i, i+1)
	}
	return nil
}

// prefixes returns the networks that an element stands for: hash:ip holds
// addresses, hash:net networks.
func (s *set) prefixes(element string) ([]netip.Prefix, error) {
	from, to, isRange := strings.Cut(element, "-")
	if isRange {
		first, err := netip.ParseAddr(from)
		if err != nil {
			return nil, err
		}
		last, err := netip.ParseAddr(to)
		if err != nil {
			return nil, err
		}
		return cover(first, last), nil
	}
	if !strings.Contains(element, "/") {
		a, err := netip.ParseAddr(element)
		if err != nil || a.Is4() != (s.family == 4) {
			return nil, fmt.Errorf("%q is not an address of the set's family", element)
		}
		return []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}, nil
	}
	p, err := netip.ParsePrefix(element)
	if err != nil || p.Addr().Is4() != (s.family == 4) || p.Bits() == 0 {
		return nil, fmt.Errorf("%q is not a network of the set's family", element)
	}
	return []netip.Prefix{p.Masked()}, nil
}

// cover returns the fewest prefixes that hold the addresses of a range and no
// others.
func cover(first, last netip.Addr) []netip.Prefix {
	var result []netip.Prefix
	for first.Compare(last) <= 0 {
		length := first.BitLen()
		for length > 0 {
			wider := netip.PrefixFrom(first, length-1)
			if wider.Masked().Addr() != first || end(wider).Compare(last) > 0 {
				break
			}
			length--
		}
		p := netip.PrefixFrom(first, length)
		result = append(result, p)
		if first = end(p).Next(); !first.IsValid() {
			break
		}
	}
	return result
}

// end returns the last address of a prefix.
func end(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// contains reports whether the set matches an address. The longest prefix that
// holds it counts; an entry with nomatch makes it not match.
func (s *set) contains(a netip.Addr) bool {
	best, result := -1, false
	for _, e := range s.entries {
		if e.prefix.Contains(a) && e.prefix.Bits() > best {
			best, result = e.prefix.Bits(), !e.nomatch
		}
	}
	return result
}
