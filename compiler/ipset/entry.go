package ipset

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

const (
	maxTimeout = (1<<32 - 1) >> 1 / 1000 // seconds (libipset, ipset_parse_timeout)
	maxComment = 255                     // bytes
)

// entry carries out add or del.
func (p *parser) entry(v verb, name, value string, args []string) error {
	s := p.sets[name]
	kind, family := "", packet.Family(0)
	switch {
	case s != nil:
		kind, family = p.known(s)
	default:
		return fmt.Errorf("there is no set %s before this line", name)
	}
	var e element
	nomatch := false
	if simple(kind) {
		var err error
		if e, err = parseElement(value, kind, family); err != nil {
			return err
		}
		if nomatch, err = s.entryOptions(v, kind, args); err != nil {
			return err
		}
	}
	exist := p.begin(v, name)
	switch {
	case s.kind == listSet:
		return p.member(s, v, value, exist)
	case !simple(s.kind):
		return s.storeText(v, value, exist)
	case !simple(kind) || family != s.family:
		return fmt.Errorf("ipset takes the set %s for an older one of that name, of another type or family", name)
	}
	return p.store(s, v, e, nomatch, exist)
}

// entryOptions reads the options of an entry. Del has none. What a set was not
// created for it does not take.
func (s *held) entryOptions(v verb, kind string, args []string) (nomatch bool, err error) {
	said := map[string]bool{}
	for i := 0; i < len(args); i++ {
		word := option(args[i])
		if word == "nomatch" && v == add && kind == hashNet {
			nomatch = true
			continue
		}
		allowed, known := map[string]bool{
			"timeout": s.timed, "packets": s.counters, "bytes": s.counters, "comment": s.comment,
			"skbmark": s.skbinfo, "skbprio": s.skbinfo, "skbqueue": s.skbinfo,
		}[word]
		i++
		switch {
		case !known, v == del:
			return false, fmt.Errorf("%q is not an option of %s for the type %s", word, v, kind)
		case i == len(args):
			return false, fmt.Errorf("%s needs a value", word)
		case said[word]:
			return false, fmt.Errorf("%s is said twice", word)
		case !allowed:
			return false, fmt.Errorf("the set %s was not created for entries with %s", s.name, word)
		}
		said[word] = true
		if err := checkOption(word, args[i]); err != nil {
			return false, err
		}
	}
	return nomatch, nil
}

// checkOption checks the value of an option that does not change what is in the
// set, or whose set is unknown anyway.
func checkOption(word, value string) error {
	var err error
	switch word {
	case "timeout":
		_, err = number(value, maxTimeout)
	case "packets", "bytes":
		_, err = number(value, 1<<64-2)
	case "skbqueue":
		_, err = number(value, 1<<16-1)
	case "comment":
		if len(value) > maxComment {
			err = fmt.Errorf("the comment is longer than %d bytes", maxComment)
		}
	case "skbmark":
		var mark uint64
		if n, _ := fmt.Sscanf(value, "0x%x", &mark); n != 1 {
			err = fmt.Errorf("%q is not a mark, such as 0x1/0xff", value)
		}
	case "skbprio":
		var major, minor uint64
		if n, _ := fmt.Sscanf(value, "%x:%x", &major, &minor); n != 2 {
			err = fmt.Errorf("%q is not a class, such as 1:10", value)
		}
	}
	return err
}

// store puts an element into a hash:net or hash:ip, or takes it out.
func (p *parser) store(s *held, v verb, e element, nomatch, exist bool) error {
	switch {
	case s.kind == hashIP && s.family == packet.IPv4:
		return s.storeSpan(v, e, exist)
	case s.kind == hashIP && e.address.IsUnspecified():
		return fmt.Errorf("a hash:ip does not take the unspecified address ::, which stands for none")
	case s.kind == hashIP && e.bits != 128:
		return fmt.Errorf("a hash:ip of IPv6 takes single addresses")
	case e.bits == 0:
		return fmt.Errorf("a hash:net does not take a CIDR of length 0; two of length 1 say the same")
	case !e.ranged:
		return s.storeNet(v, Entry{netip.PrefixFrom(e.address, e.bits).Masked(), nomatch && s.kind == hashNet}, exist)
	}
	return p.storeRange(s, v, e.lo, e.hi, nomatch, exist)
}

// storeRange takes a range apart as the kernel does for a hash:net.
func (p *parser) storeRange(s *held, v verb, lo, hi uint32, nomatch, exist bool) error {
	if lo == 0 && hi == 1<<32-1 {
		return fmt.Errorf("a hash:net does not take the range of all addresses; 0.0.0.0/1 and 128.0.0.0/1 say the same")
	}
	for n := 1; ; n++ {
		if n > rangePieces {
			p.pieces--
		}
		if p.pieces < 0 {
			return fmt.Errorf("the ranges up to this line make too many entries; the kernel takes a range of more than half of all addresses apart into single ones")
		}
		bits, last := piece(lo, hi)
		if err := s.storeNet(v, Entry{netip.PrefixFrom(addr4(lo), bits), nomatch}, exist); err != nil {
			return err
		}
		if last >= hi {
			return nil
		}
		lo = last + 1
	}
}

// storeText is for a type whose entries are not followed: the same words twice are
// the same entry.
func (s *held) storeText(v verb, value string, exist bool) error {
	switch {
	case v == del:
		clear(s.texts)
	case s.texts[value] && !exist && !s.timed && !s.forceadd:
		return fmt.Errorf("%s is in the set already", value)
	default:
		if s.texts == nil {
			s.texts = map[string]bool{}
		}
		s.texts[value] = true
	}
	return nil
}

func (s *held) storeNet(v verb, e Entry, exist bool) error {
	if s.masked() {
		return nil // unknown: what it holds is not followed
	}
	if v == del {
		return s.nets.del(e.Prefix, exist)
	}
	if s.forceadd && uint64(s.nets.len()) >= s.maxelem {
		return nil // unknown: another entry goes, or this one does not come
	}
	return s.nets.add(e, exist, s.maxelem)
}

func (s *held) storeSpan(v verb, e element, exist bool) error {
	lo, hi := e.lo, e.hi
	switch {
	case e.ranged:
	case e.bits == 0:
		return fmt.Errorf("a hash:ip does not take a CIDR of length 0")
	default:
		lo &^= 1<<(32-e.bits) - 1
		hi = lo | (1<<(32-e.bits) - 1)
	}
	switch {
	case s.masked():
		return nil // unknown: what it holds is not followed
	case lo == 0:
		return fmt.Errorf("a hash:ip does not take the address 0.0.0.0")
	case v == del:
		return s.spans.del(lo, hi, exist)
	case s.forceadd && s.spans.n+uint64(hi-lo)+1 > s.maxelem:
		return nil // unknown
	}
	return s.spans.add(lo, hi, exist, s.maxelem)
}

// member adds a set to a list:set or takes it out. Where in the list it stands
// is not followed.
func (p *parser) member(s *held, v verb, value string, exist bool) error {
	name, _, _ := strings.Cut(value, ",")
	m := p.sets[name]
	switch {
	case m == nil:
		return fmt.Errorf("there is no set %s before this line", name)
	case m.kind == listSet:
		return fmt.Errorf("a list:set does not hold a list:set")
	case v == add && s.members[name] && !exist:
		return fmt.Errorf("%s is in the set %s already", name, s.name)
	case v == add && !s.members[name]:
		s.members[name] = true
		p.refs[name]++
	case v == del && !s.members[name] && !exist:
		return fmt.Errorf("%s is not in the set %s", name, s.name)
	case v == del && s.members[name]:
		delete(s.members, name)
		p.refs[name]--
	}
	return nil
}
