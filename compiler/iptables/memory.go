package iptables

import (
	"bytes"
	"errors"
	"hash/maphash"
	"slices"
	"sync/atomic"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/memory"
	"github.com/seawall/seawall/compiler/packet"
)

// The files of many hosts have the same trees of chains, byte for byte. What such a chain
// means depends on its own text alone, and on the chains that it goes to: each is read
// once, and so is the function that it is the root of.

// Memory has the chains that the texts of several hosts have in common.
type Memory struct {
	seed   maphash.Seed
	chains *memory.Of[uint64, []*known]         // by the hash of their texts
	whole  *memory.Of[relabeling, diagram.Node] // what the trees mean of which they are the first
}

// known is a chain that was read before.
type known struct {
	text  string // its declaration and its rules
	lines int
	chain *Chain
	to    []*Chain              // those that it goes to
	next  atomic.Pointer[known] // what followed it in the text that was read last
}

// NewMemory returns an empty memory, for some millions of sources.
func NewMemory() *Memory {
	return &Memory{maphash.MakeSeed(), memory.New[uint64, []*known](256 << 20), memory.New[relabeling, diagram.Node](4 << 20)}
}

// errShared is the error for a line that changes a chain which other tables have as well.
var errShared = errors.New("the line changes a chain that is shared")

// remembered takes over the chain that a text begins with from the memory, or reads it
// and keeps it there. It returns how long it is, 0 for anything else than a chain of
// Seawall's whose rules follow its declaration.
func (p *parser) remembered(src []byte) int {
	if p.Memory == nil || p.table == nil || p.listing || len(p.missing) > 0 || !bytes.HasPrefix(src, []byte(":"+OwnedPrefix)) {
		return 0
	}
	if k := p.recalled; k != nil {
		if next := k.next.Load(); next != nil && next.begins(src) && p.fits(next) {
			return p.recall(next)
		}
	}
	length, lines := chainText(src)
	if length == 0 || lines == 1 { // the rules of a chain that is only declared come later
		return 0
	}
	text := src[:length]
	hash := maphash.Bytes(p.Memory.seed, text)
	all, _ := p.Memory.chains.Get(hash)
	for _, k := range all {
		if k.text == string(text) && p.fits(k) {
			return p.recall(k)
		}
	}
	c := p.readChain(text)
	if c == nil {
		return 0
	}
	if to, ok := p.goesTo(c); ok {
		c.shared, c.bare = true, !slices.ContainsFunc(c.Rules(), func(r *Rule) bool { return !asksNothing(r.Body) })
		k := &known{text: string(text), lines: lines, chain: c, to: to}
		p.Memory.chains.Put(hash, append(slices.Clip(all), k), 2*length)
		p.follows(k)
	}
	return length
}

// recall takes a chain over, and returns how long its text is.
func (p *parser) recall(k *known) int {
	p.table.Add(k.chain)
	p.line += k.lines
	p.follows(k)
	return len(k.text)
}

// follows notes which chain follows the one before it: the next text nearly always has
// the same order.
func (p *parser) follows(k *known) {
	if p.recalled != nil && p.recalled.next.Load() != k {
		p.recalled.next.Store(k)
	}
	p.recalled = k
}

// begins reports whether a text begins with all of a chain's declaration and rules.
func (k *known) begins(src []byte) bool {
	if len(src) <= len(k.text) || string(src[:len(k.text)]) != k.text {
		return false
	}
	rest, ok := bytes.CutPrefix(src[len(k.text):], []byte("-A "))
	return !ok || !bytes.HasPrefix(rest, []byte(k.chain.Name)) || len(rest) == len(k.chain.Name) || rest[len(k.chain.Name)] != ' '
}

// chainText returns how long the declaration and the rules of a chain are that a text
// begins with, and how many lines; 0 if it has no other line after it.
func chainText(src []byte) (length, lines int) {
	name, _, ok := bytes.Cut(src[1:min(len(src), maxChain+2)], []byte(" "))
	if !ok {
		return 0, 0
	}
	rule := append(append([]byte("-A "), name...), ' ')
	for at := 0; ; lines++ {
		end := bytes.IndexByte(src[at:], '\n')
		if end < 0 {
			return 0, 0
		}
		if at += end + 1; !bytes.HasPrefix(src[at:], rule) {
			return at, lines + 1
		}
	}
}

// fits reports whether a table has what a chain goes to, and no chain of its name.
func (p *parser) fits(k *known) bool {
	if p.table.byName[k.chain.Name] != nil {
		return false
	}
	return !slices.ContainsFunc(k.to, func(c *Chain) bool { return p.table.byName[c.Name] != c })
}

// readChain reads the text of a chain. It returns nil, and has read nothing, if a line is
// not canonical.
func (p *parser) readChain(text []byte) *Chain {
	before, line := len(p.table.Chains), p.line
	for rest := text; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n')
		p.line++
		if !p.canonicalChain(rest[:end]) && !p.canonical(rest[:end]) {
			for _, c := range p.table.Chains[before:] {
				delete(p.table.byName, c.Name)
			}
			p.table.Chains, p.line, p.last = p.table.Chains[:before], line, nil
			return nil
		}
		rest = rest[end+1:]
	}
	return p.table.Chains[before]
}

// goesTo returns the chains that a chain goes to; false for one whose rules could mean
// something else in another table.
func (p *parser) goesTo(c *Chain) ([]*Chain, bool) {
	var to []*Chain
	for _, r := range c.Rules() {
		switch {
		case r.To == nil && p.table.leads(r) != nil, r.Unread != "":
			return nil, false
		case r.To == nil:
			if v, decides := r.verdict(); decides && v == packet.Unknown {
				return nil, false
			}
		case !r.To.shared:
			return nil, false
		default:
			to = append(to, r.To)
		}
	}
	return to, true
}

// changes reports whether a line may change a chain that other tables have as well.
func (p *parser) changes(r *ruleReader) bool {
	if p.Memory == nil {
		return false
	}
	c := p.table.byName[r.chain]
	return c != nil && c.shared || r.chain == "" || r.command == 'E' || r.command == 'X'
}
