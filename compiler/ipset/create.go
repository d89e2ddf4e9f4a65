package ipset

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

const (
	hashNet = "hash:net"
	hashIP  = "hash:ip"
	listSet = "list:set"
)

// kind is a type of sets. Sets of the same features and family may be swapped
// (ip_set_core.c, ip_set_swap).
type kind struct {
	alias    string // its name in ipset 4, and others
	families string // "46", "4", or "" for a type without addresses
	features string
}

var kinds = map[string]kind{
	"bitmap:ip":        {"ipmap", "4", "ip"},
	"bitmap:ip,mac":    {"macipmap", "4", "ip mac"},
	"bitmap:port":      {"portmap", "", "port"},
	hashIP:             {"iphash", "46", "ip"},
	"hash:ip,mac":      {"ipmachash", "46", "ip mac"},
	"hash:ip,mark":     {"ipmarkhash", "46", "ip mark"},
	"hash:ip,port":     {"ipporthash", "46", "ip port"},
	"hash:ip,port,ip":  {"ipportiphash", "46", "ip port ip2"},
	"hash:ip,port,net": {"ipportnethash", "46", "ip port ip2 nomatch"},
	"hash:mac":         {"machash", "", "mac"},
	hashNet:            {"nethash", "46", "ip nomatch"},
	"hash:net,iface":   {"netifacehash", "46", "ip iface nomatch"},
	"hash:net,net":     {"netnethash", "46", "ip ip2 nomatch"},
	"hash:net,port":    {"netporthash", "46", "ip port nomatch"},
	"hash:net,port,net": {"netportnethash", "46",
		"ip port ip2 nomatch"},
	listSet: {"setlist", "", "name"},
}

// kindOf is the name of a type, without its aliases.
func kindOf(name string) (string, bool) {
	for full, k := range kinds {
		if name == full || name == k.alias {
			return full, true
		}
	}
	return "", false
}

// held is a set as the kernel holds it.
type held struct {
	name, kind string
	family     packet.Family
	unknown    string // Set.Unknown
	options
	forceadd bool

	nets    nets            // of a hash:net, and of a hash:ip of IPv6
	spans   spans           // of a hash:ip of IPv4
	members map[string]bool // of a list:set
	texts   map[string]bool // entries of a type that is not followed, as they were written
}

// options are what a create with -exist of a set that is there must say again
// (ip_set_hash_gen.h, same_set).
type options struct {
	maxelem                    uint64
	timed                      bool
	timeout                    uint64 // seconds
	mask                       [16]byte
	counters, comment, skbinfo bool
}

// noMask is the mask that leaves all of an address.
var noMask = netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").As16()

// masked reports whether addresses are masked before they are stored.
func (s *held) masked() bool { return s.mask != noMask }

// setMask keeps a mask as the kernel does: one of IPv4 in the first four bytes.
func (s *held) setMask(a netip.Addr) { copy(s.mask[:], a.AsSlice()) }

// simple reports whether the entries of a type are read.
func simple(kind string) bool { return kind == hashNet || kind == hashIP }

func (p *parser) create(name, typename string, args []string) error {
	p.batch = batch{}
	kind, ok := kindOf(typename)
	if !ok {
		return fmt.Errorf("%q is not a type of ipset", typename)
	}
	s := &held{name: name, kind: kind}
	if err := s.setFamily(args); err != nil {
		return err
	}
	s.options = options{maxelem: 65536, mask: noMask}
	if simple(kind) {
		if err := s.setOptions(args); err != nil {
			return err
		}
	} else {
		s.unknown, s.members = "type "+kind, map[string]bool{}
	}
	old := p.sets[name]
	switch {
	case old == nil && len(p.sets) == maxSets:
		return fmt.Errorf("there are %d sets before this line; the kernel holds no more", maxSets)
	case old == nil:
		p.sets[name] = s
	case !p.exist:
		return fmt.Errorf("the set %s is there already", name)
	case old.kind != kind, old.options != s.options:
		return fmt.Errorf("the set %s is there already, of another type or with other options", name)
	}
	p.remember(s)
	return nil
}

// remember puts a set into ipset's own memory, unless it is there; the last one
// in it is not looked at (libipset, ipset_cache_add).
func (p *parser) remember(s *held) {
	if n := len(p.cache); n > 0 && slices.ContainsFunc(p.cache[:n-1], func(c cached) bool { return c.name == s.name }) {
		return
	}
	p.cache = append(p.cache, cached{s.name, s.kind, s.family})
}

// known is what ipset takes a set for: what it remembers, or else what the kernel
// says.
func (p *parser) known(s *held) (kind string, family packet.Family) {
	for _, c := range p.cache {
		if c.name == s.name {
			return c.kind, c.family
		}
	}
	return s.kind, s.family
}

// option is a word that may be an option, without the two dashes that may stand
// before one.
func option(word string) string { return strings.TrimPrefix(word, "--") }

// setFamily looks for the family first, as ipset does: other options depend on
// it.
func (s *held) setFamily(args []string) error {
	if kinds[s.kind].families == "" {
		return nil
	}
	s.family = packet.IPv4
	said := false
	for i := 0; i < len(args); i++ {
		word, value := option(args[i]), args[i]
		switch {
		case word == "family" && i+1 < len(args):
			i++
			value = args[i]
		case word == "-4", word == "-6":
		case simple(s.kind) && takesValue[word]:
			i++
			continue
		default:
			continue
		}
		if said {
			return fmt.Errorf("the family is said twice")
		}
		said = true
		switch value {
		case "inet", "ipv4", "-4":
			s.family = packet.IPv4
		case "inet6", "ipv6", "-6":
			s.family = packet.IPv6
		case "any", "unspec":
			// The kernel refuses it, unless a mask made it IPv4 before
			// (libipset, ipset_parse_netmask).
			if !slices.ContainsFunc(args, func(w string) bool { return option(w) == "netmask" || option(w) == "bitmask" }) {
				return fmt.Errorf("the family %q is not one that a %s takes: it is inet or inet6", value, s.kind)
			}
		default:
			return fmt.Errorf("%q is not a family: it is inet or inet6", value)
		}
	}
	return nil
}

// takesValue are the options of create of a hash:net or hash:ip with a value.
var takesValue = map[string]bool{
	"family": true, "hashsize": true, "maxelem": true, "timeout": true, "netmask": true, "bitmask": true,
	"bucketsize": true, "initval": true, "probes": true, "resize": true, "gc": true,
}

func (s *held) setOptions(args []string) error {
	said := map[string]bool{}
	for i := 0; i < len(args); i++ {
		word := option(args[i])
		if !takesValue[word] {
			if err := s.setFlag(word); err != nil {
				return err
			}
			continue
		}
		i++
		if i == len(args) {
			return fmt.Errorf("%s needs a value", word)
		}
		if said[word] {
			return fmt.Errorf("%s is said twice", word)
		}
		said[word] = true
		if err := s.setValue(word, args[i]); err != nil {
			return err
		}
	}
	if said["netmask"] && said["bitmask"] {
		return fmt.Errorf("netmask and bitmask exclude each other")
	}
	s.unknown = s.whyUnknown()
	return nil
}

// whyUnknown is Set.Unknown of a hash:net or hash:ip.
func (s *held) whyUnknown() string {
	switch {
	case s.timed:
		return "its entries time out"
	case s.masked():
		return "its addresses are masked"
	case s.forceadd:
		return "forceadd: when it is full, other entries go"
	case s.skbinfo:
		return "skbinfo"
	}
	return ""
}

// setFlag takes an option without a value. It may stand twice.
func (s *held) setFlag(word string) error {
	switch word {
	case "-4", "-6": // setFamily
	case "counters":
		s.counters = true
	case "comment":
		s.comment = true
	case "skbinfo":
		s.skbinfo = true
	case "forceadd":
		s.forceadd = true
	default:
		return fmt.Errorf("%q is not an option of create for the type %s", word, s.kind)
	}
	return nil
}

func (s *held) setValue(word, value string) (err error) {
	if s.kind == hashNet && (word == "netmask" || word == "bitmask" || word == "gc") {
		return fmt.Errorf("%q is not an option of create for the type %s", word, s.kind)
	}
	switch word {
	case "family": // setFamily
	case "hashsize":
		// The kernel rounds up to a power of two, and its pointers must fit
		// into 2 GiB (ip_set_hash_gen.h, htable_size).
		_, err = number(value, 1<<27)
	case "initval":
		_, err = number(value, 1<<32-1)
	case "bucketsize":
		_, err = number(value, 255)
	case "maxelem":
		s.maxelem, err = number(value, 1<<32-1)
	case "timeout":
		s.timed = true
		s.timeout, err = number(value, maxTimeout)
	case "netmask":
		var n uint64
		n, err = number(value, uint64(s.family.Bits()))
		switch {
		case err != nil:
		case n == 0:
			err = fmt.Errorf("a netmask of length 0 leaves nothing of an address")
		case s.family == packet.IPv4:
			s.setMask(netip.PrefixFrom(addr4(1<<32-1), int(n)).Masked().Addr())
		default:
			s.setMask(netip.PrefixFrom(netip.AddrFrom16(noMask), int(n)).Masked().Addr())
		}
	case "bitmask":
		var mask netip.Addr
		if mask, err = parseHost(value, s.family); err == nil && mask.IsUnspecified() {
			err = fmt.Errorf("a bitmask without bits leaves nothing of an address")
		}
		s.setMask(mask)
	default: // probes, resize, gc
		err = fmt.Errorf("ipset ignores %s, and then ends the restore: the lines after this one would not be loaded", word)
	}
	return err
}

// export is the set as the text left it.
func (s *held) export() *Set {
	out := &Set{Name: s.name, Type: s.kind, Family: s.family, Unknown: s.unknown}
	switch {
	case s.unknown != "":
	case s.kind == hashIP && s.family == packet.IPv4:
		out.Entries = s.spans.entries()
	default:
		out.Entries = s.nets.all()
	}
	return out
}
