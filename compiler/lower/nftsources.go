package lower

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
	"go4.org/netipx"
)

// fewSources are written into the rule, more as a named set.
const fewSources = 4

// policyChain returns the name of the chain of a policy.
func (n *nft) policyChain(p *schema.Policy) string {
	name := "policy_" + identifier(p.Name)
	if _, made := n.chains[name]; made {
		return name
	}
	c := n.chain(name)
	c.Notes = []string{"policy " + p.Name + n.place(p.Range)}
	if n.doc.Guard != nil {
		c.Rules = append(c.Rules, rule(jump("guard")))
	}
	n.blocks(c, "policy "+p.Name, name, p.Rules, label{verdict: p.Default})
	return name
}

func (n *nft) guardChain(g *schema.Guard) {
	c := n.chain("guard")
	c.Notes = []string{"guard" + n.place(g.Range)}
	n.blocks(c, "guard", "guard", g.Rules, label{next: true})
}

// blocks writes the blocks of a policy or of the guard: each is one lookup or a few
// for each family, without what it excepts. Last is what the rest gets.
func (n *nft) blocks(c *nftables.Chain, origin, owner string, written []*schema.Rule, last label) {
	v4, v6 := n.clauses(written), n.v6.clauses(written)
	var decided4, decided6 address.Set
	for i := range written {
		// What an earlier block decided anyway is left out only where that is for free:
		// a block that is reached by nobody.
		part4, part6 := matched(v4[i], decided4), matched(v6[i], decided6)
		decided4, decided6 = address.Union(decided4, part4), address.Union(decided6, part6)
		name := fmt.Sprintf("%s/%d", owner, i+1)
		n.block(c, origin+" "+v4[i].origin, name, v4[i].label, part4, part6)
		if n.everybody(decided4, decided6) {
			return
		}
	}
	if !last.next {
		c.Rules = append(c.Rules, n.origin(origin+" default", rule(n.verdict(last.verdict)...)))
	}
}

// matched is whom a block is about; nobody when earlier ones decide about all of them.
func matched(c clause, decided address.Set) address.Set {
	m := address.Without(c.include, c.except)
	if decided != nil && address.Empty(address.Without(m, decided)) {
		return nil
	}
	return m
}

func (n *nft) everybody(v4, v6 address.Set) bool {
	return v4.Equal(n.resolve.Every()) && v6.Equal(n.v6.resolve.Every())
}

// block writes one block.
func (n *nft) block(c *nftables.Chain, origin, name string, l label, part4, part6 address.Set) {
	if address.Empty(part4) && address.Empty(part6) {
		return
	}
	verdict := n.verdict(l.verdict)
	if n.everybody(part4, part6) {
		if l.log != "" {
			c.Rules = append(c.Rules, n.log(l.log))
		}
		c.Rules = append(c.Rules, n.origin(origin, rule(verdict...)))
		return
	}
	if l.log != "" {
		logged := n.chain(n.freeChain(name))
		logged.Rules = append(logged.Rules, n.log(l.log), rule(verdict...))
		verdict = []nftables.Statement{goTo(logged.Name)}
	}
	for _, of := range []struct {
		l   *lowering
		set address.Set
	}{{n.lowering, part4}, {n.v6, part6}} {
		if address.Empty(of.set) {
			continue
		}
		for _, match := range n.lookups(of.l, selectorOf(of.l, "saddr"), name, of.set, of.l.resolve.Every()) {
			c.Rules = append(c.Rules, n.origin(origin, rule(append(match, verdict...)...)))
		}
	}
}

func (n *nft) freeChain(name string) string {
	for i := 1; ; i++ {
		try := name + "/log"
		if i > 1 {
			try += strconv.Itoa(i)
		}
		if _, taken := n.chains[try]; !taken {
			return try
		}
	}
}

func (n *nft) log(prefix string) *nftables.Rule {
	rate := n.doc.Host.LogLimit
	return rule(&nftables.Limit{Text: fmt.Sprintf("limit rate %d/%s burst 5 packets", rate.Count, rate.Unit)}, &nftables.Log{Prefix: separated(prefix)})
}

func selectorOf(l *lowering, field string) string {
	if l.family == packet.IPv6 {
		return "ip6 " + field
	}
	return "ip " + field
}

func nfproto(l *lowering) string {
	if l.family == packet.IPv6 {
		return "ipv6"
	}
	return "ipv4"
}

// family is the end of the name of a set.
func family(l *lowering) string {
	if l.family == packet.IPv6 {
		return "/v6"
	}
	return "/v4"
}

// lookups are the ways to look up an address: each is the matches of one rule, and a
// packet that one of them matches is in the set. Every may be nil where the family
// must not be all that is asked.
func (n *nft) lookups(l *lowering, selector, owner string, set, every address.Set) [][]nftables.Statement {
	one := func(m *nftables.Match) [][]nftables.Statement { return [][]nftables.Statement{{m}} }
	whole := l.resolve.Every()
	if set.Equal(whole) {
		if every == nil {
			return [][]nftables.Statement{nil}
		}
		return one(is("meta nfproto", nftables.Const(nfproto(l))))
	}
	if len(set) == 1 {
		return one(is(selector, rangeExpr(set[0])))
	}
	if rest := address.Without(whole, set); len(rest) == 1 {
		return one(&nftables.Match{Left: nftables.Select(selector), Op: "!=", Right: rangeExpr(rest[0])})
	}
	if len(set) <= fewSources {
		var list []nftables.Element
		for _, r := range set {
			list = append(list, nftables.Element{Key: rangeExpr(r)})
		}
		return one(is(selector, nftables.Expr{Kind: nftables.Literal, Set: list}))
	}
	return n.named(l, selector, owner, set)
}

// named writes an address set as named sets, once for all that are equal.
//
// A set with intervals is a tree: it costs a packet 190 ns at 10 elements and 860 at
// 100,000. The addresses of one prefix length, with the rest of the bits masked off,
// are a hash: some 100 ns, whatever its size (NETFILTER.md section 8). So a set whose
// prefixes have few lengths is written as one hash for each.
func (n *nft) named(l *lowering, selector, owner string, set address.Set) [][]nftables.Statement {
	key := addressKey(set)
	base, known := n.sets[key]
	if !known {
		base = n.free(owner + family(l))
		n.sets[key] = base
	}
	hashes := plan(set.Prefixes(), l.family.Bits(), treeCost(len(set)))
	if hashes == nil {
		if !known || !n.names["made "+base] {
			n.names["made "+base] = true
			s := n.set(base, selector)
			s.Flags = []string{"interval"}
			s.Elements = make([]nftables.Element, len(set))
			for i, r := range set {
				s.Elements[i].Key = rangeExpr(r)
			}
		}
		return [][]nftables.Statement{{is(selector, nftables.Ref(base))}}
	}
	made := n.names["made "+base]
	n.names["made "+base] = true
	var list [][]nftables.Statement
	for _, h := range hashes {
		name := base
		if len(hashes) > 1 || h.length < l.family.Bits() {
			name = fmt.Sprintf("%s/%d", base, h.length)
		}
		if !made {
			s := n.set(name, selector)
			s.Size = len(h.addresses)
			s.Elements = make([]nftables.Element, len(h.addresses))
			for i, text := range textsOf(h.addresses) {
				s.Elements[i].Key = nftables.Const(text)
			}
		}
		left := nftables.Select(selector)
		if h.length < l.family.Bits() {
			left = nftables.Expr{Kind: nftables.Binary, Op: "&", Args: []nftables.Expr{left, nftables.Const(maskOf(l, h.length))}}
		}
		list = append(list, []nftables.Statement{&nftables.Match{Left: left, Right: nftables.Ref(name)}})
	}
	return list
}

// textsOf returns the texts of many addresses, in memory for all of them at once.
func textsOf(list []netip.Addr) []string {
	var all []byte
	ends := make([]int, len(list))
	for i, a := range list {
		all = a.AppendTo(all)
		ends[i] = len(all)
	}
	text, texts, from := string(all), make([]string, len(list)), 0
	for i, end := range ends {
		texts[i], from = text[from:end], end
	}
	return texts
}

// set adds an empty set. Its selector for the destination or the original one has the
// type of the source, so that one set serves all.
func (n *nft) set(name, selector string) *nftables.Set {
	if strings.HasPrefix(selector, "ip6") {
		selector = "ip6 saddr"
	} else {
		selector = "ip saddr"
	}
	s := &nftables.Set{Name: name, Typeof: true, Key: []string{selector}}
	n.table.Sets = append(n.table.Sets, s)
	return s
}

// nameSets names the sets of the document after themselves, before policies that use
// nothing but one of them.
func (n *nft) nameSets() {
	for _, s := range n.doc.Sets {
		for _, l := range []*lowering{n.lowering, n.v6} {
			key := addressKey(l.resolve.Set(s))
			if _, ok := n.sets[key]; !ok {
				n.sets[key] = n.free("set_" + identifier(s.Name) + family(l))
			}
		}
	}
}

// free is a name that no set has yet.
func (n *nft) free(name string) string {
	try := name
	for i := 2; n.names[try]; i++ {
		try = fmt.Sprintf("%s_%d", name, i)
	}
	n.names[try] = true
	return try
}

// identifier is a policy's name as a part of an identifier of nft, which may have
// letters, digits and / \ _ . - in it. Names have no slash, so web["a"] is web/a and
// clashes with nothing.
func identifier(name string) string {
	return strings.TrimSuffix(strings.ReplaceAll(name, `["`, "/"), `"]`)
}

// addressKey identifies a set.
func addressKey(set address.Set) string {
	h := sha256.New()
	w := bufio.NewWriter(h)
	for i, r := range set {
		if i == 0 {
			w.WriteByte(byte(r.From().BitLen())) // ::ffff:192.0.2.1 is another address than 192.0.2.1
		}
		from, to := r.From().As16(), r.To().As16()
		w.Write(from[:])
		w.Write(to[:])
	}
	w.Flush()
	return string(h.Sum(nil))
}

// rangeExpr is a range as an address, a prefix or a range.
func rangeExpr(r netipx.IPRange) nftables.Expr {
	if r.From() == r.To() {
		return nftables.Const(r.From().String())
	}
	if p, ok := r.Prefix(); ok {
		return nftables.Expr{Kind: nftables.Prefix, Text: p.Addr().String(), Bits: int16(p.Bits())}
	}
	return nftables.Expr{Kind: nftables.Range, Args: []nftables.Expr{nftables.Const(r.From().String()), nftables.Const(r.To().String())}}
}

// intervals are the flags of a map or set with these elements.
func intervals(list []nftables.Element) []string {
	for _, e := range list {
		if e.Key.Kind != nftables.Value {
			return []string{"interval"}
		}
	}
	return nil
}

// sortElements sorts by the address that an element begins with.
func sortElements(list []nftables.Element) {
	start := func(e nftables.Element) netip.Addr {
		text := e.Key.Text
		if e.Key.Kind == nftables.Range {
			text = e.Key.Args[0].Text
		}
		a, _ := netip.ParseAddr(text)
		return a
	}
	slices.SortFunc(list, func(a, b nftables.Element) int { return start(a).Compare(start(b)) })
}

func maskOf(l *lowering, length int) string {
	every := l.resolve.Every()
	p := netip.PrefixFrom(every[0].To(), length).Masked()
	return p.Addr().String()
}

// hash is the addresses of one prefix length.
type hash struct {
	length    int
	addresses []netip.Addr
}

// hashCost is what a lookup in a masked hash costs a packet, in nanoseconds.
const hashCost = 100

// treeCost is what a lookup in an interval set costs, in nanoseconds: 191 at 10
// elements, 463 at 1,000, 564 at 10,000, 858 at 100,000.
func treeCost(elements int) int { return 100 + 45*bits.Len(uint(elements)) }

// plan divides prefixes into hashes of few lengths; nil when their lookups would cost
// more than so many nanoseconds. A prefix may be written as several longer ones, but
// all of them at most as half as many again.
func plan(prefixes []netip.Prefix, width, most int) []hash {
	count := make([]int, width+1)
	for _, p := range prefixes {
		count[p.Bits()]++
	}
	room := len(prefixes) + len(prefixes)/2 + 16
	for k := 1; k*hashCost <= most; k++ {
		if lengths := fewest(count, k, room); lengths != nil {
			return divide(prefixes, lengths)
		}
	}
	return nil
}

// fewest finds at most k lengths so that all prefixes, written in them, take no more
// room; nil when there are none. It is the shortest way over the lengths: best[i] is
// the least number of prefixes for all lengths up to i, where i is one of the chosen.
func fewest(count []int, k, room int) []int {
	longest := len(count) - 1
	for longest >= 0 && count[longest] == 0 {
		longest--
	}
	if longest < 0 {
		return nil
	}
	const never = 1 << 60
	type step struct{ cost, from int }
	best := make([][]step, k+1)
	for j := range best {
		best[j] = make([]step, longest+1)
		for i := range best[j] {
			best[j][i] = step{never, -1}
		}
	}
	between := func(after, to int) int { // prefixes longer than after, written as length to
		sum := 0
		for l := after + 1; l <= to; l++ {
			if count[l] == 0 {
				continue
			}
			if to-l > 20 {
				return never
			}
			sum += count[l] << (to - l)
		}
		return sum
	}
	for to := 0; to <= longest; to++ {
		best[1][to] = step{between(-1, to), -1}
	}
	for j := 2; j <= k; j++ {
		for to := 0; to <= longest; to++ {
			for from := 0; from < to; from++ {
				if best[j-1][from].cost >= never {
					continue
				}
				if c := best[j-1][from].cost + between(from, to); c < best[j][to].cost {
					best[j][to] = step{c, from}
				}
			}
		}
	}
	if best[k][longest].cost > room {
		return nil
	}
	var lengths []int
	for j, at := k, longest; j >= 1; j-- {
		lengths = append(lengths, at)
		at = best[j][at].from
	}
	slices.Reverse(lengths)
	return lengths
}

// divide writes prefixes in some lengths.
func divide(prefixes []netip.Prefix, lengths []int) []hash {
	hashes := make([]hash, len(lengths))
	for i, l := range lengths {
		hashes[i].length = l
	}
	of := func(p netip.Prefix) int { return slices.IndexFunc(lengths, func(l int) bool { return l >= p.Bits() }) }
	sizes := make([]int, len(lengths))
	for _, p := range prefixes {
		i := of(p)
		sizes[i] += 1 << (lengths[i] - p.Bits())
	}
	for i := range hashes {
		hashes[i].addresses = make([]netip.Addr, 0, sizes[i])
	}
	for _, p := range prefixes {
		h := &hashes[of(p)]
		a := p.Addr()
		for range 1 << (h.length - p.Bits()) {
			h.addresses = append(h.addresses, a)
			a = netipx.PrefixLastIP(netip.PrefixFrom(a, h.length)).Next()
		}
	}
	return slices.DeleteFunc(hashes, func(h hash) bool { return len(h.addresses) == 0 })
}
