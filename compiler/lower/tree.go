package lower

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"iter"
	"math/bits"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
	"go4.org/netipx"
)

// A source tree decides about a packet by its source alone, in as many rules as
// the logarithm of the list's length. Its chains are reached by goto, so that a
// RETURN leads out of DOCKER-USER (NETFILTER.md section 3).
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
// and any other order makes it quadratic (NETFILTER.md section 5).
type tree struct {
	*lowering
	id     string
	what   string // for the comments: policy web
	text   string // all that its text depends on
	labels []label
	proto  string                    // tcp, "" for the others, "*" for both: what REJECT needs
	leads  map[label]*iptables.Chain // the chains that labels go on to, in place of a verdict
	pieces pieceList
	depth  int // how many chains may lead on to each other below the first

	yield    func(*iptables.Chain)                    // takes each chain that is finished
	below    func(x *node, depth int) *iptables.Chain // in place of chain for those that one leads to; nil for none
	pending  []*iptables.Rule                         // of the chains that are not finished
	free     []*iptables.Rule                         // of those that are: memory for others
	verdicts [][]*iptables.Body
	count    []int
	prefixes []netip.Prefix
	nodes    []node         // memory
	onward   *iptables.Body // of rules that go on to a chain
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

// last is the last address of the prefix a/n.
func (a addr) last(n int, f packet.Family) addr {
	if n < 64 {
		a.hi |= ^uint64(0) >> n
	}
	a.lo |= ^uint64(0) >> max(0, n-64)
	if f == packet.IPv4 {
		return addr{a.hi &^ (1<<32 - 1), 0}
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
	if t.family == packet.IPv4 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(a.hi>>32))
		return netip.PrefixFrom(netip.AddrFrom4(b), n)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.PrefixFrom(netip.AddrFrom16(b), n)
}

// pieces are what cut made of some clauses, with their contentKey.
type pieces struct {
	labels  []label
	pieces  pieceList
	content string
	of      []clause // kept, so that the places in their key stay theirs
}

// cutOnce is cut, done once for clauses that are the same: policies share their sets, and
// each is asked for in FORWARD and in INPUT. It returns the contentKey.
func (t *tree) cutOnce(clauses []clause, last label) string {
	key := clausesKey(clauses, last)
	known, ok := t.cuts[key]
	if !ok {
		shared := memoryKey{key, t.family}
		if known, ok = t.opt.Memory.cut(shared); !ok {
			t.cut(clauses, last)
			known = pieces{t.labels, t.pieces, contentKey(t.labels, &t.pieces), clauses}
			t.opt.Memory.keep(shared, known)
		}
		t.cuts[key] = known
	}
	t.labels, t.pieces = slices.Clip(known.labels), known.pieces
	return known.content
}

// clausesKey identifies clauses within one lowering: a long set, which the resolver makes
// once and keeps, by where it is, and a short one by its ranges.
func clausesKey(clauses []clause, last label) string {
	const short = 16
	var b strings.Builder
	set := func(s address.Set) {
		if len(s) > short {
			fmt.Fprintf(&b, "%p+%d;", &s[0], len(s))
		} else {
			fmt.Fprintf(&b, "%v;", s)
		}
	}
	for _, c := range clauses {
		fmt.Fprintf(&b, "%d %q %t:", c.label.verdict, c.label.log, c.label.next)
		set(c.include)
		set(c.except)
	}
	fmt.Fprintf(&b, "%d %q %t", last.verdict, last.log, last.next)
	return b.String()
}

// cut fills in the pieces: what ordered clauses, and the last label for the
// rest, say of each source.
func (t *tree) cut(clauses []clause, last label) {
	groups := sameLabel(clauses)
	if len(groups) != 1 {
		list := t.inOrder(groups)
		t.claims(len(list), t.place(last), slices.Values(list))
		return
	}
	// Nearly always. What the group has needs no sorting, nor memory beside the pieces.
	matched, n := ofGroup(groups[0]), t.place(groups[0][0].label)
	t.claims(len(matched), t.place(last), func(yield func(claim) bool) {
		for _, r := range matched {
			if !yield(claim{addrOf(r.From()), addrOf(r.To()), n}) {
				return
			}
		}
	})
}

// claim is sources that one label has.
type claim struct {
	from, to addr
	label    int
}

// ofGroup are the sources of clauses that have one label.
func ofGroup(group []clause) address.Set {
	matched := address.Without(group[0].include, group[0].except)
	for _, c := range group[1:] {
		matched = address.Union(matched, address.Without(c.include, c.except))
	}
	return matched
}

// inOrder are the sources of each group that no group before it has, sorted.
func (t *tree) inOrder(groups [][]clause) []claim {
	var list []claim
	var decided address.Set
	for i, group := range groups {
		matched := address.Without(ofGroup(group), decided)
		n := t.place(group[0].label)
		list = slices.Grow(list, len(matched))
		for _, r := range matched {
			list = append(list, claim{addrOf(r.From()), addrOf(r.To()), n})
		}
		if i+1 < len(groups) {
			decided = address.Union(decided, matched)
		}
	}
	slices.SortFunc(list, func(a, b claim) int { return a.from.compare(b.from) })
	return list
}

// claims makes pieces of so many sorted claims, and of the rest between them.
func (t *tree) claims(count, rest int, sorted iter.Seq[claim]) {
	t.pieces = newPieceList(2*count+1, t.family)
	end := addr{}.last(0, t.family)
	next, open := addr{}, true
	for c := range sorted {
		if next.less(c.from) {
			t.piece(next, rest)
		}
		t.piece(c.from, c.label)
		if open = c.to != end; open {
			next = t.next(c.to)
		}
	}
	if open {
		t.piece(next, rest)
	}
}

// piece adds a piece, unless it only goes on with the label before it.
func (t *tree) piece(from addr, label int) {
	if n := t.pieces.len(); n == 0 || t.pieces.label(n-1) != label {
		t.pieces.add(from, label, t.family)
	}
}

// place is a label's number.
func (t *tree) place(l label) int {
	n := slices.Index(t.labels, l)
	if n < 0 {
		n = len(t.labels)
		t.labels = append(t.labels, l)
	}
	return n
}

// next and prev are an address's neighbours; the callers know that there is one.
func (t *tree) next(a addr) addr {
	if t.family == packet.IPv4 {
		return addr{a.hi + 1<<32, 0}
	}
	if a.lo++; a.lo == 0 {
		a.hi++
	}
	return a
}

func (t *tree) prev(a addr) addr {
	if t.family == packet.IPv4 {
		return addr{a.hi - 1<<32, 0}
	}
	if a.lo == 0 {
		a.hi--
	}
	a.lo--
	return a
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

// node is a prefix of the tree before it is written. There are many.
type node struct {
	at          addr
	inner       *node // everything outside of it has the label of the first piece
	left, right *node
	first, last int32 // its pieces
	bits        uint8
	height      uint8 // how many times a way from here divides in two
	leaf        bool  // the pieces are few enough to be written one by one
	rest        int32 // of a leaf: the label that would take the most rules
}

func (x *node) uniform() bool { return x.first == x.last }

// grow divides the prefix a/n, over which the pieces from first to last reach.
func (t *tree) grow(a addr, n, first, last int) *node {
	if len(t.nodes) == 0 {
		t.nodes = make([]node, 1024)
	}
	x := &t.nodes[0]
	t.nodes = t.nodes[1:]
	*x = node{at: a, bits: uint8(n), first: int32(first), last: int32(last)}
	if x.uniform() {
		return x
	}
	if x.leaf = t.short(x); x.leaf {
		return x
	}
	if at, q := t.inside(first, last); q > n {
		x.inner = t.grow(at, q, first, last)
		x.height = x.inner.height
		return x
	}
	half := a.with(n)
	left, right := t.halves(half, first, last)
	x.right = t.grow(half, n+1, right, last)
	x.left = t.grow(a, n+1, first, left)
	x.divided()
	return x
}

// halves returns the last of some pieces in the lower half of a prefix, and the first in
// the upper one, which begins at an address: one piece may lie in both.
func (t *tree) halves(half addr, first, last int) (left, right int) {
	beyond := first + sort.Search(last-first+1, func(i int) bool { return half.less(t.pieces.from(first + i)) })
	left, right = beyond-1, beyond-1 // the piece that holds the first address of the upper half
	if t.pieces.from(right) == half {
		left--
	}
	return left, right
}

// divided sets the height of a node from those of its halves.
func (x *node) divided() {
	x.height = max(x.left.height, x.right.height)
	if !x.left.uniform() && !x.right.uniform() {
		x.height++
	}
}

// chain writes the chain of a node, from which at most depth more may be gone
// through. Where halves would lead too deep, it divides in
// four, eight or more at once: nf_tables takes no ruleset in which more than 16
// chains lead on to each other (NFT_JUMP_STACK_SIZE, nf_tables.h).
func (t *tree) chain(x *node, depth int) *iptables.Chain {
	w := &treeChain{tree: t, depth: depth}
	start := len(t.pending)
	c := &iptables.Chain{Name: t.name(x.at), Policy: "-", Late: true}
	c.Head(t.comment(x.at, int(x.bits)))
	for x != nil {
		switch {
		case x.uniform():
			w.emit(iptables.Source{}, t.pieces.label(int(x.first)))
			x = nil
		case x.leaf:
			w.leaf(x)
			x = nil
		case x.inner != nil:
			w.emit(iptables.Source{Prefix: t.prefix(x.inner.at, int(x.inner.bits)), Not: true}, t.pieces.label(int(x.first)))
			x = x.inner
		default:
			x = w.divide(x, max(1, (int(x.height)+max(depth, 1)-1)/max(depth, 1)), true)
		}
	}
	c.SetRules(t.pending[start:])
	t.yield(c)
	t.free = append(t.free, c.Rules()...)
	t.pending = t.pending[:start]
	c.SetRules(nil)
	return c
}

// parts returns the chains of the tree, leaves first, in parts that may be made at once:
// those below each chain that the first one leads to, and the first one.
func (t *tree) parts() []iptables.Part {
	t.verdict(len(t.labels) - 1) // what workers only read from here on
	t.goTo()
	root := t.root()
	var list []iptables.Part
	first := t.worker(func(c *iptables.Chain) {
		whole := *c
		whole.SetRules(slices.Clone(c.Rules()))
		list = append(list, iptables.Part{Rules: whole.Len(), Make: func(yield func(*iptables.Chain)) { yield(&whole) }})
	})
	first.below = func(x *node, depth int) *iptables.Chain {
		list = append(list, iptables.Part{Rules: int(x.last - x.first), Make: func(yield func(*iptables.Chain)) { t.worker(yield).chain(x, depth) }})
		return &iptables.Chain{Name: t.name(x.at)}
	}
	first.chain(root, t.depth)
	return list
}

// worker returns the tree with memory of its own for chains that yield takes.
func (t *tree) worker(yield func(*iptables.Chain)) *tree {
	w := *t
	w.yield, w.below, w.pending, w.free, w.count, w.prefixes, w.nodes = yield, nil, nil, nil, nil, nil, nil
	return &w
}

// root grows the whole tree, the upper half of a large one beside the lower.
func (t *tree) root() *node {
	const large = 1 << 15
	all := t.pieces.len() - 1
	half := addr{}.with(0)
	if _, inner := t.inside(0, all); all < large || inner > 0 {
		return t.worker(nil).grow(addr{}, 0, 0, all)
	}
	left, right := t.halves(half, 0, all)
	x, upper := &node{last: int32(all)}, make(chan *node)
	go func() { upper <- t.worker(nil).grow(half, 1, right, all) }()
	x.left = t.worker(nil).grow(addr{}, 1, 0, left)
	x.right = <-upper
	x.divided()
	return x
}

// treeChain is a chain while it is written. Its rules wait in tree.pending while
// the chains that they lead to are made.
type treeChain struct {
	*tree
	depth int
}

// rule adds a rule to the chain.
func (w *treeChain) rule(p netip.Prefix, not bool, body *iptables.Body, to *iptables.Chain) {
	var r *iptables.Rule
	if n := len(w.free); n > 0 {
		r, w.free = w.free[n-1], w.free[:n-1]
	} else {
		r = new(iptables.Rule)
	}
	*r = iptables.Rule{Source: iptables.Source{Prefix: p, Not: not}, Body: body, To: to}
	w.pending = append(w.pending, r)
}

// emit writes the rules of one source match: the log, and the verdict.
func (w *treeChain) emit(s iptables.Source, label int) {
	if to := w.leads[w.labels[label]]; to != nil {
		w.rule(s.Prefix, s.Not, w.goTo(), to)
		return
	}
	for _, body := range w.verdict(label) {
		w.rule(s.Prefix, s.Not, body, nil)
	}
}

// divide writes the ways on from a node: so many halvings at once, the upper
// half first. The lowest part goes on in this chain, and is given back.
func (w *treeChain) divide(x *node, halvings int, goesOn bool) *node {
	switch {
	case x.uniform():
		w.emitUnlessRest(x, goesOn)
		return nil
	case halvings == 0 || x.leaf || x.inner != nil:
		if goesOn {
			return x
		}
		make := w.tree.chain
		if w.below != nil {
			make = w.below
		}
		to := make(x, w.depth-1)
		w.rule(w.prefix(x.at, int(x.bits)), false, w.goTo(), to)
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
func (w *treeChain) emitUnlessRest(x *node, last bool) {
	label := w.pieces.label(int(x.first))
	if last {
		w.rest(label)
		return
	}
	w.emit(iptables.Source{Prefix: w.prefix(x.at, int(x.bits))}, label)
}

// rest writes what holds for every source that is left.
func (w *treeChain) rest(n int) {
	if w.labels[n] != (label{}) { // at the end of a goto'd chain a packet passes
		w.emit(iptables.Source{}, n)
	}
}

// inside is the smallest prefix outside of which everything has one label;
// length 0 when there is none.
func (t *tree) inside(first, last int) (addr, int) {
	if last-first < 2 || t.pieces.label(first) != t.pieces.label(last) {
		return addr{}, 0
	}
	from := t.pieces.from(first + 1)
	n := min(from.common(t.end(last-1)), t.family.Bits())
	return from.masked(n), n
}

// end is a piece's last address.
func (t *tree) end(i int) addr {
	if i+1 < t.pieces.len() {
		return t.prev(t.pieces.from(i + 1))
	}
	return addr{}.last(0, t.family)
}

// short reports whether a node's pieces take few enough rules to be written one by
// one, but for those of one label.
func (t *tree) short(x *node) bool {
	if int(x.last-x.first) > 2*t.opt.Sizes.Leaf {
		return false
	}
	label, most, total := t.commonest(x)
	x.rest = int32(label)
	return total-most <= t.opt.Sizes.Leaf
}

// commonest is the label that would take the most rules, how many, and how many
// all labels would take.
func (t *tree) commonest(x *node) (label, most, total int) {
	t.count = append(t.count[:0], make([]int, len(t.labels))...)
	label = t.pieces.label(int(x.first))
	for i := x.first; i <= x.last; i++ {
		k := t.rules(x, int(i))
		total += k
		l := t.pieces.label(int(i))
		t.count[l] += k
		if t.count[l] > t.count[label] {
			label = l
		}
	}
	return label, t.count[label], total
}

// leaf writes a few pieces one by one, those of the commonest label last and
// without their sources.
func (w *treeChain) leaf(x *node) {
	rest := int(x.rest)
	for i := x.first; i <= x.last; i++ {
		label := w.pieces.label(int(i))
		if label == rest {
			continue
		}
		for _, prefix := range w.within(x, int(i)) {
			w.emit(iptables.Source{Prefix: prefix}, label)
		}
	}
	w.rest(rest)
}

// within is the part of a piece that lies in a node's prefix, as prefixes. They
// hold until the next call.
func (t *tree) within(x *node, i int) []netip.Prefix {
	from, to := t.pieces.from(i), t.end(i)
	if from.less(x.at) {
		from = x.at
	}
	if last := x.at.last(int(x.bits), t.family); last.less(to) {
		to = last
	}
	if t.family == packet.IPv4 {
		return t.split4(from.hi>>32, to.hi>>32)
	}
	t.prefixes = netipx.IPRangeFrom(t.prefix(from, 128).Addr(), t.prefix(to, 128).Addr()).AppendPrefixes(t.prefixes[:0])
	return t.prefixes
}

// rules is how many prefixes within returns.
func (t *tree) rules(x *node, i int) int {
	if t.family != packet.IPv4 {
		return len(t.within(x, i))
	}
	from, to, n := max(t.pieces.from(i).hi, x.at.hi)>>32, min(t.end(i).hi, x.at.last(int(x.bits), t.family).hi)>>32, 0
	for ; from <= to; n++ {
		from += 1 << size4(from, to)
	}
	return n
}

// size4 is the logarithm of the size of the first prefix of an IPv4 range.
func size4(from, to uint64) int {
	return min(bits.TrailingZeros64(from|1<<32), bits.Len64(to-from+1)-1)
}

// split4 is netipx's AppendPrefixes for IPv4, for which a word is enough: it is
// asked for each source twice.
func (t *tree) split4(from, to uint64) []netip.Prefix {
	t.prefixes = t.prefixes[:0]
	for from <= to {
		size := size4(from, to)
		t.prefixes = append(t.prefixes, t.prefix(addr{from << 32, 0}, 32-size))
		from += 1 << size
	}
	return t.prefixes
}

// comment introduces a chain by what it decides.
func (t *tree) comment(a addr, n int) string {
	if n == 0 {
		return t.what + ": by source"
	}
	return t.what + ": sources in " + t.prefix(a, n).String()
}

// verdict is the rules of a label but for their sources: the log, and the
// verdict.
func (t *tree) verdict(n int) []*iptables.Body {
	for len(t.verdicts) <= n {
		t.verdicts = append(t.verdicts, t.verdictBodies(t.labels[len(t.verdicts)]))
	}
	return t.verdicts[n]
}

func (t *tree) verdictBodies(l label) []*iptables.Body {
	var list []*iptables.Body
	add := func(a action) {
		a.origin = t.what
		list = append(list, t.body(a))
	}
	if l.log != "" {
		add(action{target: "LOG", log: l.log})
	}
	if l.verdict == schema.Reject && t.proto != "" {
		add(action{box: box{protocol: "tcp"}, target: "REJECT"})
		if t.proto == "tcp" {
			return list
		}
	}
	add(action{target: targets[l.verdict]})
	return list
}

// goTo is a rule that goes on to a chain, but for its source and the chain.
func (t *tree) goTo() *iptables.Body {
	if t.onward == nil {
		t.onward = &iptables.Body{}
		if t.opt.Comments == Rules {
			t.onward.Matches = []iptables.Match{t.match("comment", "--comment", t.what)}
		}
	}
	return t.onward
}

// name is a chain's name: the tree's, and the first address. An IPv6 address is
// too long for that beyond its first 52 bits, and stands as a digest then.
func (t *tree) name(a addr) string {
	if t.family == packet.IPv4 {
		const hex = "0123456789abcdef"
		name := append(make([]byte, 0, 28), t.id...)
		name = append(name, '-')
		for shift := 60; shift >= 32; shift -= 4 {
			name = append(name, hex[a.hi>>shift&15])
		}
		return string(name)
	}
	if a.lo == 0 && a.hi&(1<<12-1) == 0 {
		return fmt.Sprintf("%s-%013x", t.id, a.hi>>12)
	}
	return t.id + "-z" + digest(fmt.Sprintf("%016x%016x", a.hi, a.lo), 12)
}

// digest is a short name for a text, in lower case.
func digest(text string, length int) string {
	sum := sha256.Sum256([]byte(text))
	return shortened(sum[:], length)
}

func shortened(sum []byte, length int) string {
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum))[:length]
}
