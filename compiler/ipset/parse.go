package ipset

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

const (
	// maxLine is what ipset reads at once, in bytes: fgets into 1024. What
	// follows is the next line to it.
	maxLine = 1023
	// maxWords is what a line may hold: 32 pointers, less the program's name and
	// the end.
	maxWords = 30
	// maxSets is how many sets a host may have: their list starts with room for
	// 256, grows by 64, and is counted in 16 bits (ip_set_core.c, ip_set_create).
	maxSets = 65472
	// rangePieces is how many CIDRs a range is made of at most, and maxPieces how
	// many more the ranges of one text may make: those longer than half of all
	// addresses, which the kernel takes apart into single addresses.
	rangePieces, maxPieces = 62, 1 << 20
)

// Parse reads what ipset save printed, or a file for ipset restore, as ipset
// would carry it out on a host that has no sets. Every set that the text leaves
// behind is in the result, also those of which nothing is known but the name.
// The error, of type *Error, names the first line that ipset would refuse. A few
// lines that ipset takes are refused as well, because they lose other lines or
// mean another thing each time: host names; test, quit, "-" and the options that
// ipset ignores, which end the restore early and successfully; -file; an entry
// that is there already, where -exist came in the middle of a batch; ranges that
// become more than a million entries; entries past maxelem, which the kernel may
// or may not take in a set of more than 1024 buckets.
//
// Of a set of another type than hash:net and hash:ip the entries and most of the
// options are not checked; of one with a netmask or bitmask, what is in it is not
// followed; and a full set with forceadd refuses nothing.
func Parse(src []byte) (Sets, error) {
	p := &parser{sets: map[string]*held{}, refs: map[string]int{}, pieces: maxPieces}
	for line := 1; len(src) > 0; {
		text := src[:min(maxLine, len(src))]
		end := bytes.IndexByte(text, '\n')
		if end >= 0 {
			text = text[:end+1]
		}
		src = src[len(text):]
		if err := p.line(text); err != nil {
			return nil, &Error{Line: line, Text: string(bytes.TrimRight(text, "\r\n")), Detail: err.Error()}
		}
		if end >= 0 {
			line++
		}
	}
	return p.result(), nil
}

// parser is the state of an ipset restore, and of the kernel it speaks to.
type parser struct {
	sets   map[string]*held
	refs   map[string]int // by name: how many list:set sets hold it
	cache  []cached       // what ipset itself remembers of the sets
	exist  bool           // -exist was said; ipset keeps it to the end
	batch  batch
	last   *held // the set of an add that the next one may be added to without more ado
	pieces int   // what is left of maxPieces
}

// cached is a set as ipset remembers it, to know how to read its entries. A
// create with -exist of a set that is there can leave a second one behind, which
// outlives the set (libipset, types.c); then entries are read as those of the
// wrong type. The family of the first one counts.
type cached struct {
	name, kind string
	family     packet.Family
}

// batch is a run of add or of del lines of one set, which ipset sends as one
// message. Whether they are under -exist is settled at the first of them.
type batch struct {
	verb  verb
	name  string
	exist bool
}

func (p *parser) line(text []byte) error {
	if p.canonical(text) {
		return nil
	}
	p.last = nil
	if end := bytes.IndexByte(text, 0); end >= 0 {
		text = text[:end] // the end of a string in C
	}
	text = bytes.TrimLeft(text, " \t\n\v\f\r")
	switch {
	case len(text) == 0, text[0] == '#':
		return nil
	case string(text) == "COMMIT\n", string(text) == "COMMIT\r\n":
		p.batch = batch{}
		return nil
	}
	words, err := split(text)
	if err != nil {
		return err
	}
	return p.command(words)
}

// split cuts a line into words as ipset does (libipset, build_argv). A quote may
// stand anywhere and is not part of the word; an empty word is no word. A line
// that ends in a blank inside quotes loses its last word and is taken.
func split(line []byte) ([]string, error) {
	var words []string
	var word []byte
	quoted := false
	for i, c := range line {
		if len(words) == maxWords {
			return nil, fmt.Errorf("the line has more than %d words", maxWords)
		}
		last := i+1 == len(line)
		switch blank := c == ' ' || c == '\t' || c == '\r' || c == '\n'; {
		case c == '"':
			quoted = !quoted
			if !last {
				continue
			}
		case blank && quoted:
			word = append(word, c)
			continue
		case !blank:
			word = append(word, c)
			if !last {
				continue
			}
		}
		if last && quoted {
			return nil, errors.New(`a quote is not closed`)
		}
		if len(word) > 0 {
			words, word = append(words, string(word)), word[:0]
		}
	}
	return words, nil
}

// canonical carries out the line that nearly every line is, add NAME A.B.C.D/N
// or add NAME A.B.C.D, without cutting it into words. Every other line, also
// every wrong one, is left to the parser, and nothing is done.
func (p *parser) canonical(text []byte) bool {
	rest, ok := bytes.CutPrefix(text, []byte("add "))
	if !ok {
		return false
	}
	rest = bytes.TrimSuffix(bytes.TrimSuffix(rest, []byte("\n")), []byte("\r"))
	name, value, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return false
	}
	address, bits, ok := parse4(value)
	if !ok || bits == 0 {
		return false
	}
	if p.last == nil || p.last.name != string(name) {
		if p.last = p.quick(string(name)); p.last == nil {
			return false
		}
	}
	s := p.last
	if s.kind == hashIP {
		return bits == 32 && address != 0 && s.spans.add(address, address, p.batch.exist, s.maxelem) == nil
	}
	prefix := netip.PrefixFrom(addr4(address&^(1<<(32-bits)-1)), bits)
	return s.nets.add(Entry{Prefix: prefix}, p.batch.exist, s.maxelem) == nil
}

// quick is the set of a name when canonical lines may be added to it: one whose
// entries are known, that ipset reads as what it is, and with a name that needs
// no quotes. Its batch is then under way.
func (p *parser) quick(name string) *held {
	s := p.sets[name]
	if s == nil || s.unknown != "" || s.family != packet.IPv4 || strings.ContainsAny(name, " \t\r\n\"\x00") {
		return nil
	}
	if kind, family := p.known(s); kind != s.kind || family != s.family {
		return nil
	}
	p.begin(add, name)
	return s
}

// begin is the batch that a line belongs to, and reports whether it is under
// -exist. How many lines fit in one message depends on their lengths, so an
// -exist in the middle of a batch counts from the next message on that surely
// starts; until then, a second entry is refused.
func (p *parser) begin(v verb, name string) bool {
	if p.batch.verb != v || p.batch.name != name {
		p.batch = batch{verb: v, name: name, exist: p.exist}
	}
	return p.batch.exist
}

func (p *parser) result() Sets {
	sets := make(Sets, len(p.sets))
	for name, s := range p.sets {
		sets[name] = s.export()
	}
	return sets
}
