package iptables

import (
	"math"
	"net/netip"
	"sync"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// A large file has a million rules that ask for one source of IPv4 each and for nothing
// else. A Rule takes five times the memory that this needs, so the chains of such rules have
// them packed, for callers that ask only what rules do (ChainsOnly). Chain.Rules unpacks
// them for whoever wants to see them; what changes a chain unpacks it for good.

// packedRule is a rule that asks for nothing but a source of IPv4.
type packedRule struct {
	address uint32
	line    int32
	to      uint32 // where it goes, in the packing; 0 for nowhere
	body    uint16 // in the packing
	bits    uint8  // of the prefix; 0 is every address
	not     bool
}

// packing is what packed rules have in common.
type packing struct {
	bodies []*Body
	index  map[*Body]int // in bodies; -1 for one that asks for something
	chains []*Chain
	rules  [][]packedRule // of all chains, packedAtOnce in each but the last
	count  int            // of the rules
	last   *Body          // the latest, and its index
	lastAt int
}

const packedAtOnce = 1 << 13

func newPacking(opt Options) *packing {
	if !opt.ChainsOnly || opt.Memory != nil || opt.Family != packet.IPv4 {
		return nil
	}
	return &packing{index: map[*Body]int{}, chains: []*Chain{nil}}
}

// indexOf returns the index of a body; -1 for one that rules cannot be packed with.
func (k *packing) indexOf(b *Body) int {
	if b == k.last {
		return k.lastAt
	}
	at, ok := k.index[b]
	if !ok {
		at = -1
		if asksNothing(b) && len(k.bodies) <= math.MaxUint16 {
			at = len(k.bodies)
			k.bodies = append(k.bodies, b)
		}
		k.index[b] = at
	}
	k.last, k.lastAt = b, at
	return at
}

// add appends a rule to a chain, or returns false and leaves it to the caller: the rules of
// a packed chain follow each other.
func (k *packing) add(c *Chain, s Source, b *Body, to *Chain, line int) bool {
	if k == nil || len(c.rules) > 0 || !Owned(c.Name) {
		return false
	}
	if follows := c.packing == k && int(c.first+c.count) == k.count; c.packing != nil && !follows {
		return false
	}
	at := k.indexOf(b)
	if at < 0 {
		return false
	}
	r := packedRule{line: int32(line), body: uint16(at), not: s.Not}
	if s.Prefix.IsValid() {
		r.address, r.bits = uint32(diagram.OfAddr(s.Prefix.Addr()).Lo), uint8(s.Prefix.Bits())
	}
	if to != nil {
		r.to = uint32(len(k.chains))
		k.chains = append(k.chains, to)
	}
	if k.count%packedAtOnce == 0 {
		k.rules = append(k.rules, make([]packedRule, 0, packedAtOnce))
	}
	last := len(k.rules) - 1
	k.rules[last] = append(k.rules[last], r)
	if c.packing == nil {
		c.packing, c.first = k, int32(k.count)
	}
	k.count++
	c.count++
	return true
}

// at returns a rule by its number among those of all chains.
func (k *packing) at(i int32) *packedRule { return &k.rules[i/packedAtOnce][i%packedAtOnce] }

// rule returns a rule as others are.
func (k *packing) rule(p *packedRule) *Rule {
	r := &Rule{Body: k.bodies[p.body], To: k.chains[p.to], Line: p.line}
	if p.bits > 0 {
		r.Source = Source{netip.PrefixFrom(diagram.Value{Lo: uint64(p.address)}.Addr(false), int(p.bits)), p.not}
	}
	return r
}

// span returns the addresses of a rule's source, ignoring a negation.
func (p *packedRule) span() diagram.Span {
	host := uint64(1)<<(32-p.bits) - 1
	return diagram.Span{Lo: diagram.Value{Lo: uint64(p.address)}, Hi: diagram.Value{Lo: uint64(p.address) | host}}
}

var unpacking sync.Mutex // two may ask for the rules of a chain at once

// Rules returns the chain's rules, in order. They must not be changed, but with SetRules.
func (c *Chain) Rules() []*Rule {
	if c.packing == nil {
		return c.rules
	}
	unpacking.Lock()
	defer unpacking.Unlock()
	if c.rules == nil {
		list := make([]*Rule, c.count)
		for i := range list {
			list[i] = c.packing.rule(c.packing.at(c.first + int32(i)))
		}
		c.rules = list
	}
	return c.rules
}

// SetRules replaces the chain's rules.
func (c *Chain) SetRules(list []*Rule) { c.rules, c.packing, c.first, c.count = list, nil, 0, 0 }

// Len is how many rules the chain has.
func (c *Chain) Len() int {
	if c.packing != nil {
		return int(c.count)
	}
	return len(c.rules)
}

// line returns the line of a rule.
func (c *Chain) line(i int) int {
	if c.packing != nil {
		return int(c.packing.at(c.first + int32(i)).line)
	}
	return int(c.rules[i].Line)
}
