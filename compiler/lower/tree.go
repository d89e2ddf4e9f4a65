package lower

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/rules"
	"github.com/seawall/seawall/schema"
	"go4.org/netipx"
)

// A source tree decides about a packet by its source alone, in as many rules as
// the logarithm of the list's length. Its chains are reached by goto, so that a
// RETURN leads out of DOCKER-USER (FACTS section 3).
//
// # Why it looks as it does
//
// A rule that matches or not is one bit, so no tree of rules can do better than
// one rule a level with two ways on. That is reached by going on in the same
// chain where a rule does not match:
//
//	-A SEAWALL-abcdef-00000000 -s 128.0.0.0/1 -g SEAWALL-abcdef-80000000
//	-A SEAWALL-abcdef-00000000 -s 64.0.0.0/2 -g SEAWALL-abcdef-40000000
//	-A SEAWALL-abcdef-00000000 -s 10.8.0.0/16 -j RETURN
//	-A SEAWALL-abcdef-00000000 -j DROP
//
// Where to divide is a matter of the addresses alone, never of how many there
// are: at the next bit in which the sources left differ. So a source that comes
// or goes changes the rules of its own neighbourhood and no others. When all
// that is of interest lies inside a longer prefix, one rule leaves with
// everything outside of it ("! -s").
//
// Chains are written leaves first, and their names fall: a chain's name ends in
// its first address, which is larger than its parent's. Declared in that order,
// each followed by its rules, they load in linear time; iptables-nft-restore
// --noflush keeps the names in a sorted list that it walks from the smallest,
// and any other order makes it quadratic (FACTS section 5).
type tree struct {
	*lowering
	id     string
	what   string // for the comments: policy web
	labels []label
	proto  string // tcp, "" for the others, "*" for both: what REJECT needs
	next   string // the chain that a label without a verdict goes on to
	lines  []rules.Line
	chains []*rules.Chain
}

// addr is an address as a number; IPv4 stands in the upper 32 bits.
type addr struct{ hi, lo uint64 }

func addrOf(a netip.Addr) addr {
	if a.Is4() {
		b := a.As4()
		return addr{uint64(binary.BigEndian.Uint32(b[:])) << 32, 0}
	}
	b := a.As16()
	return addr{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (a addr) less(b addr) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

func (a addr) compare(b addr) int {
	if c := cmp.Compare(a.hi, b.hi); c != 0 {
		return c
	}
	return cmp.Compare(a.lo, b.lo)
}

func (a addr) xor(b addr) addr { return addr{a.hi ^ b.hi, a.lo ^ b.lo} }

// common is how many leading bits two addresses share.
func (a addr) common(b addr) int {
	x := a.xor(b)
	if x.hi != 0 {
		return bits.LeadingZeros64(x.hi)
	}
	return 64 + bits.LeadingZeros64(x.lo)
}

// with sets the bit that a prefix of n bits does not have yet.
func (a addr) with(n int) addr {
	if n < 64 {
		a.hi |= 1 << (63 - n)
	} else {
		a.lo |= 1 << (127 - n)
	}
	return a
}

// masked clears all but the first n bits.
func (a addr) masked(n int) addr {
	switch {
	case n <= 0:
		return addr{}
	case n < 64:
		return addr{a.hi &^ (^uint64(0) >> n), 0}
	case n < 128:
		return addr{a.hi, a.lo &^ (^uint64(0) >> (n - 64))}
	}
	return a
}

// prefix is the rule's form of the first n bits.
func (t *tree) prefix(a addr, n int) netip.Prefix {
	if t.family == rules.IPv4 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(a.hi>>32))
		return netip.PrefixFrom(netip.AddrFrom4(b), n)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.PrefixFrom(netip.AddrFrom16(b), n)
}

// piece is neighbouring sources of one label, by its place in tree.labels. The
// pieces of a tree are in order, leave no gap, and neighbours differ.
type piece struct {
	from, to addr
	label    int
}

// pieces cuts the address space by what ordered clauses, and the last label for
// the rest, say of each source.
func (t *tree) pieces(clauses []clause, last label) []piece {
	var list []piece
	var decided *netipx.IPSet
	add := func(s *netipx.IPSet, l label) {
		n := slices.Index(t.labels, l)
		if n < 0 {
			n = len(t.labels)
			t.labels = append(t.labels, l)
		}
		for _, r := range s.Ranges() {
			list = append(list, piece{addrOf(r.From()), addrOf(r.To()), n})
		}
	}
	for _, group := range sameLabel(clauses) {
		matched := address.Build(func(b *netipx.IPSetBuilder) {
			for _, c := range group {
				b.AddSet(address.Without(c.include, c.except))
			}
			if decided != nil {
				b.RemoveSet(decided)
			}
		})
		add(matched, group[0].label)
		decided = address.Union(decided, matched)
	}
	rest := t.resolve.Every()
	if decided != nil {
		rest = address.Without(rest, decided)
	}
	add(rest, last)
	slices.SortFunc(list, func(a, b piece) int { return a.from.compare(b.from) })
	out := list[:0]
	for _, p := range list {
		if n := len(out); n > 0 && out[n-1].label == p.label {
			out[n-1].to = p.to
			continue
		}
		out = append(out, p)
	}
	return out
}

// sameLabel puts neighbouring clauses of one label together: which of them
// decides makes no difference.
func sameLabel(clauses []clause) [][]clause {
	var groups [][]clause
	for _, c := range clauses {
		if n := len(groups); n > 0 && groups[n-1][0].label == c.label {
			groups[n-1] = append(groups[n-1], c)
			continue
		}
		groups = append(groups, []clause{c})
	}
	return groups
}

// chain makes the chain for the prefix a/n, over which the pieces of the list
// reach, and gives its name.
func (t *tree) chain(a addr, n int, list []piece) string {
	c := &rules.Chain{Name: t.name(a), Policy: "-", Inline: true}
	head := t.comment(c, a, n)
	var own []rules.Line
	emit := func(s rules.Source, label int) { own = append(own, t.verdict(c, s, label)...) }
	for !t.leaf(a, n, list, emit) {
		if at, q := t.inside(list); q > n {
			emit(rules.Source{Prefix: t.prefix(at, q), Not: true}, list[0].label)
			a, n = at, q
			continue
		}
		half := a.with(n)
		i := sort.Search(len(list), func(i int) bool { return !list[i].to.less(half) })
		s := rules.Source{Prefix: t.prefix(half, n+1)}
		if right := list[i:]; len(right) == 1 {
			emit(s, right[0].label)
		} else {
			own = append(own, t.line(c, s, action{goto_: t.chain(half, n+1, right)}))
		}
		if list[i].from.less(half) {
			i++ // it reaches into both halves
		}
		list, n = list[:i], n+1
	}
	t.lines = append(append(t.lines, head...), own...)
	t.chains = append(t.chains, c)
	return c.Name
}

// inside is the smallest prefix outside of which everything has one label;
// length 0 when there is none.
func (t *tree) inside(list []piece) (addr, int) {
	last := len(list) - 1
	if last < 2 || list[0].label != list[last].label {
		return addr{}, 0
	}
	n := min(list[1].from.common(list[last-1].to), t.family.Bits())
	return list[1].from.masked(n), n
}

// leaf writes a few pieces one by one, with the label that would take the most
// rules last; false when they are too many.
func (t *tree) leaf(a addr, n int, list []piece, emit func(rules.Source, int)) bool {
	if len(list) > 2*t.opt.Limits.Leaf+1 {
		return false
	}
	prefixes := make([][]netip.Prefix, len(list))
	count, total := make([]int, len(t.labels)), 0
	for i, p := range list {
		prefixes[i] = t.within(a, n, p)
		count[p.label] += len(prefixes[i])
		total += len(prefixes[i])
	}
	rest := list[0].label
	for l, k := range count {
		if k > count[rest] {
			rest = l
		}
	}
	if total-count[rest] > t.opt.Limits.Leaf {
		return false
	}
	for i, p := range list {
		if p.label == rest {
			continue
		}
		for _, prefix := range prefixes[i] {
			emit(rules.Source{Prefix: prefix}, p.label)
		}
	}
	if t.labels[rest] != (label{}) { // at the end of a goto'd chain a packet passes
		emit(rules.Source{}, rest)
	}
	return true
}

// within is the part of a piece that lies in a prefix, as prefixes.
func (t *tree) within(a addr, n int, p piece) []netip.Prefix {
	from, to := p.from, p.to
	whole := netipx.RangeOfPrefix(t.prefix(a, n))
	first, last := t.prefix(from, t.family.Bits()).Addr(), t.prefix(to, t.family.Bits()).Addr()
	if first.Less(whole.From()) {
		first = whole.From()
	}
	if whole.To().Less(last) {
		last = whole.To()
	}
	return netipx.IPRangeFrom(first, last).Prefixes()
}

// comment introduces a chain by what it decides.
func (t *tree) comment(c *rules.Chain, a addr, n int) []rules.Line {
	text := t.what + ": by source"
	if n > 0 {
		text = fmt.Sprintf("%s: sources in %s", t.what, t.prefix(a, n))
	}
	return []rules.Line{{Comment: text}, {Chain: c, Declares: true}}
}

// verdict is the rules of one source match: the log, and the verdict.
func (t *tree) verdict(c *rules.Chain, s rules.Source, n int) []rules.Line {
	l := t.labels[n]
	var list []rules.Line
	if l.next {
		return append(list, t.line(c, s, action{goto_: t.next}))
	}
	if l.log != "" {
		list = append(list, t.line(c, s, action{target: "LOG", log: l.log}))
	}
	if l.verdict == schema.Reject && t.proto != "" {
		list = append(list, t.line(c, s, action{box: box{protocol: "tcp"}, target: "REJECT"}))
		if t.proto == "tcp" {
			return list
		}
	}
	return append(list, t.line(c, s, action{target: targets[l.verdict]}))
}

func (t *tree) line(c *rules.Chain, s rules.Source, a action) rules.Line {
	a.origin = t.what
	r := &rules.Rule{Source: s, Body: t.body(a)}
	c.Rules = append(c.Rules, r)
	return rules.Line{Chain: c, Rule: r}
}

// name is a chain's name: the tree's, and the first address. An IPv6 address is
// too long for that beyond its first 52 bits, and stands as a digest then.
func (t *tree) name(a addr) string {
	if t.family == rules.IPv4 {
		return fmt.Sprintf("%s-%08x", t.id, a.hi>>32)
	}
	if a.lo == 0 && a.hi&(1<<12-1) == 0 {
		return fmt.Sprintf("%s-%013x", t.id, a.hi>>12)
	}
	return t.id + "-z" + digest(fmt.Sprintf("%016x%016x", a.hi, a.lo), 12)
}

// digest is a short name for a text, in lower case.
func digest(text string, length int) string {
	sum := sha256.Sum256([]byte(text))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:length]
}
