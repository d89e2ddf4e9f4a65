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
	proto  string           // tcp, "" for the others, "*" for both: what REJECT needs
	leads  map[label]string // the chains that labels go on to, in place of a verdict
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

// node is a prefix of the tree before it is written.
type node struct {
	at     addr
	bits   int
	list   []piece
	leaf   [][]netip.Prefix // of the list, where that is short enough to be written
	inner  *node            // everything outside of it has the label of list[0]
	left   *node
	right  *node
	height int // how many times a way from here divides in two
}

func (x *node) uniform() bool { return len(x.list) == 1 }

// grow divides the prefix a/n, over which the pieces of the list reach.
func (t *tree) grow(a addr, n int, list []piece) *node {
	x := &node{at: a, bits: n, list: list}
	if x.uniform() {
		return x
	}
	if x.leaf = t.short(a, n, list); x.leaf != nil {
		return x
	}
	if at, q := t.inside(list); q > n {
		x.inner = t.grow(at, q, list)
		x.height = x.inner.height
		return x
	}
	half := a.with(n)
	i := sort.Search(len(list), func(i int) bool { return !list[i].to.less(half) })
	x.right = t.grow(half, n+1, list[i:])
	if list[i].from.less(half) {
		i++ // it reaches into both halves
	}
	x.left = t.grow(a, n+1, list[:i])
	x.height = max(x.left.height, x.right.height)
	if !x.left.uniform() && !x.right.uniform() {
		x.height++
	}
	return x
}

// chain writes the chain of a node, from which at most depth more may be gone
// through, and gives its name. Where halves would lead too deep, it divides in
// four, eight or more at once: nf_tables takes no ruleset in which more than 16
// chains lead on to each other (NFT_JUMP_STACK_SIZE, nf_tables.h).
func (t *tree) chain(x *node, depth int) string {
	c := &rules.Chain{Name: t.name(x.at), Policy: "-", Inline: true}
	head := t.comment(c, x.at, x.bits)
	w := &treeChain{tree: t, chain: c, depth: depth}
	for x != nil {
		switch {
		case x.uniform():
			w.emit(rules.Source{}, x.list[0].label)
			x = nil
		case x.leaf != nil:
			w.leaf(x)
			x = nil
		case x.inner != nil:
			w.emit(rules.Source{Prefix: t.prefix(x.inner.at, x.inner.bits), Not: true}, x.list[0].label)
			x = x.inner
		default:
			x = w.divide(x, max(1, (x.height+max(depth, 1)-1)/max(depth, 1)), true)
		}
	}
	t.lines = append(append(t.lines, head...), w.lines...)
	t.chains = append(t.chains, c)
	return c.Name
}

// treeChain is a chain while it is written.
type treeChain struct {
	*tree
	chain *rules.Chain
	depth int
	lines []rules.Line
}

func (w *treeChain) emit(s rules.Source, label int) {
	w.lines = append(w.lines, w.verdict(w.chain, s, label)...)
}

// divide writes the ways on from a node: so many halvings at once, the upper
// half first. The lowest part goes on in this chain, and is given back.
func (w *treeChain) divide(x *node, halvings int, goesOn bool) *node {
	s := rules.Source{Prefix: w.prefix(x.at, x.bits)}
	switch {
	case x.uniform():
		w.emitUnlessRest(s, x, goesOn)
		return nil
	case halvings == 0 || x.leaf != nil || x.inner != nil:
		if goesOn {
			return x
		}
		w.lines = append(w.lines, w.line(w.chain, s, action{goto_: w.tree.chain(x, w.depth-1)}))
		return nil
	}
	if !x.left.uniform() && !x.right.uniform() {
		halvings--
	}
	w.divide(x.right, halvings, false)
	return w.divide(x.left, halvings, goesOn)
}

// emitUnlessRest writes the verdict of a part; of the last one without its
// source, for nothing else is left.
func (w *treeChain) emitUnlessRest(s rules.Source, x *node, last bool) {
	if last {
		s = rules.Source{}
		if w.labels[x.list[0].label] == (label{}) {
			return // at the end of a goto'd chain a packet passes
		}
	}
	w.emit(s, x.list[0].label)
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

// short gives the pieces of a list as prefixes when they are few enough to be
// written one by one, but for those of one label; else nil.
func (t *tree) short(a addr, n int, list []piece) [][]netip.Prefix {
	if len(list) > 2*t.opt.Limits.Leaf+1 {
		return nil
	}
	prefixes := make([][]netip.Prefix, len(list))
	total := 0
	for i, p := range list {
		prefixes[i] = t.within(a, n, p)
		total += len(prefixes[i])
	}
	if _, most := t.commonest(list, prefixes); total-most > t.opt.Limits.Leaf {
		return nil
	}
	return prefixes
}

// commonest is the label that would take the most rules, and how many.
func (t *tree) commonest(list []piece, prefixes [][]netip.Prefix) (label, most int) {
	count := make([]int, len(t.labels))
	label = list[0].label
	for i, p := range list {
		count[p.label] += len(prefixes[i])
		if count[p.label] > count[label] {
			label = p.label
		}
	}
	return label, count[label]
}

// leaf writes a few pieces one by one, those of the commonest label last and
// without their sources.
func (w *treeChain) leaf(x *node) {
	rest, _ := w.commonest(x.list, x.leaf)
	for i, p := range x.list {
		if p.label == rest {
			continue
		}
		for _, prefix := range x.leaf[i] {
			w.emit(rules.Source{Prefix: prefix}, p.label)
		}
	}
	if w.labels[rest] != (label{}) { // at the end of a goto'd chain a packet passes
		w.emit(rules.Source{}, rest)
	}
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
	if to, ok := t.leads[l]; ok {
		return append(list, t.line(c, s, action{goto_: to}))
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
