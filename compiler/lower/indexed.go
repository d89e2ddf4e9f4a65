package lower

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sort"
	"strings"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/schema"
)

// The indexed layout: a packet meets a few rules, however long the policy is.
//
//	DOCKER-USER         forward blocks, ICMP errors, and by interface and protocol
//	                    on to the ports
//	SEAWALL-F…, H…      ports: a binary search over --ctorigdstport, for packets
//	                    that are forwarded and for those to the host itself
//	SEAWALL-xxxxxx-…    sources: a tree for each list of rules (tree.go), shared by
//	                    policies that have the same
//
// A large guard stands before the ports, as a tree that goes on to SEAWALL-PORTS
// or, for packets to the host itself, to SEAWALL-HOST.

// target is where a policy's packets go: on to a chain, or these entries.
type target struct {
	goto_   string
	entries []entry
}

func (t target) cost() int { return max(1, len(t.entries)) }

// cell is a range of ports with the policies that claim it, narrow before wide;
// only the last is bound to no address.
type cell struct {
	first, last uint16
	policies    []*schema.Policy
}

// indexer writes one of the two sides, FORWARD or INPUT.
type indexer struct {
	*lowering
	letter   string // of the port chains
	fallback schema.Verdict
	asPass   bool // accept is pass
	own      bool // the packets have no original destination: their own one counts
}

func (l *lowering) indexedForward() {
	chain := l.table.Declare(l.root(), "-")
	x := &indexer{lowering: l, letter: "F", fallback: l.doc.Host.Unlisted}
	l.byState(chain)
	l.forwards(chain)
	l.internal(chain)
	chain = l.bridges(chain)
	host := l.doc.Host
	if host.Unlisted != schema.Pass || l.doc.Guard != nil {
		l.icmpErrors(chain)
	}
	l.keep(chain, schema.Keep)
	where := chain
	if l.doc.Guard != nil {
		where = x.guard(chain)
	}
	x.ports(where)
	if where != chain {
		x.unlistedIn(where)
	}
	if host.Unlisted != schema.Pass {
		l.unlisted(chain)
	}
}

// indexedInput fills SEAWALL-INPUT. A guard must act in the scopes of policies
// alone; so what a large one denies goes on to a chain that denies the ports that
// policies name, and lets the rest pass.
func (l *lowering) indexedInput() {
	input := l.table.Declare(iptables.SeawallInput, "-")
	x := &indexer{lowering: l, letter: "H", fallback: schema.Pass, asPass: true}
	g := l.doc.Guard
	if g == nil {
		l.internal(input)
		l.keep(input, schema.Keep, schema.Accepted)
		x.ports(input)
		l.invalid(input)
		return
	}
	clauses := x.clausesOf(g.Rules)
	if !l.largeGuard() {
		l.toHostGuarded(input, func(chain *iptables.Chain) { x.ports(chain) })
		return
	}
	l.internal(input)
	l.keep(input, schema.Keep, schema.Accepted)
	next := l.table.Declare(iptables.SeawallHost, "-")
	leads := map[label]*iptables.Chain{{next: true}: next}
	for n, c := range clauses {
		if _, ok := leads[c.label]; ok || c.label == (label{}) {
			continue
		}
		chain := l.table.Declare(fmt.Sprintf("%s-%d", iptables.SeawallHost, n), "-")
		chain.Remark(fmt.Sprintf("guard, %s, for the ports that policies name%s", c.label.verdict, l.place(g.Range)))
		scopes := &indexer{lowering: l, letter: fmt.Sprintf("I%d", n), fallback: schema.Pass, asPass: true}
		scopes.portsTo(chain, func(*schema.Policy) target { return target{entries: []entry{{label: c.label, origin: "guard"}}} })
		leads[c.label] = chain
	}
	l.guardTrees(input, "guard"+l.place(g.Range), clauses, leads)
	x.ports(next)
	l.invalid(input)
}

// largeGuard reports whether the guard is better a tree than rules.
func (l *lowering) largeGuard() bool {
	if l.doc.Guard == nil || l.sets != nil {
		return false
	}
	clauses := l.clauses(l.doc.Guard.Rules)
	if l.memberCases(clauses) == nil {
		return false
	}
	return long(clauses, l.opt.Sizes.Linear) || len(sourceList(l.resolve, clauses, label{next: true}, nil)) > l.opt.Sizes.Linear
}

// guard writes the guard into DOCKER-USER: as rules when they are few, and the
// same chain goes on; else as a tree that goes on to another one, which is given.
func (x *indexer) guard(chain *iptables.Chain) *iptables.Chain {
	g := x.doc.Guard
	if !x.largeGuard() {
		x.lowering.guard(chain)
		return chain
	}
	chain.Remark("guard" + x.place(g.Range))
	next := x.table.Declare(iptables.SeawallPorts, "-")
	x.guardTrees(chain, "guard"+x.place(g.Range), x.clausesOf(g.Rules), map[label]*iptables.Chain{{next: true}: next})
	return next
}

func (x *indexer) clausesOf(written []*schema.Rule) []clause {
	clauses := x.clauses(written)
	if x.asPass {
		return asPass(clauses)
	}
	return clauses
}

// unlistedIn ends a chain that only packets in original direction from outside
// reach.
func (x *indexer) unlistedIn(chain *iptables.Chain) {
	if x.fallback == schema.Pass {
		return
	}
	chain.Remark(fmt.Sprintf("unlisted = %q%s", x.fallback, x.place(x.doc.Host.Range)))
	for _, protocol := range x.protocols(x.fallback) {
		chain.Append(&iptables.Rule{Body: x.body(action{box: box{protocol: protocol}, target: targets[x.fallback], origin: "unlisted"})})
	}
}

// ports writes the policies into a chain.
func (x *indexer) ports(chain *iptables.Chain) {
	found := map[string]target{}
	x.portsTo(chain, func(p *schema.Policy) target {
		// What comes after the rules of a policy in one chain is the unlisted
		// verdict, unless a wider policy or nothing but a search lies there.
		key := p.Name
		if t, ok := found[key]; ok {
			return t
		}
		t := x.target(p)
		found[key] = t
		return t
	})
}

// target is a policy's sources, as entries or as a tree.
func (x *indexer) target(p *schema.Policy) target {
	clauses := x.clausesOf(p.Rules)
	last := label{verdict: p.Default}
	if x.sets != nil {
		return target{entries: x.entries("policy "+p.Name, clauses, last)}
	}
	if slices.ContainsFunc(clauses, clause.byMembership) {
		return x.memberTarget(p.Name, "policy "+p.Name+x.place(p.Range), clauses, last, protocolClass(p))
	}
	if !long(clauses, x.opt.Sizes.Inline) {
		if entries := sourceList(x.resolve, clauses, last, nil); len(entries) <= x.opt.Sizes.Inline {
			return target{entries: entries}
		}
	}
	return target{goto_: x.tree(p.Name, "policy "+p.Name+x.place(p.Range), clauses, last, protocolClass(p), nil).Name}
}

// protocolClass says which answers a policy's rejects need.
func protocolClass(p *schema.Policy) string {
	tcp, other := false, false
	for _, r := range p.Ports {
		tcp, other = tcp || r.Protocol == schema.TCP, other || r.Protocol != schema.TCP
	}
	switch {
	case tcp && other:
		return "*"
	case tcp:
		return "tcp"
	}
	return ""
}

// portsTo writes the policies' scopes into a chain, each with where it leads: one
// after the other when they are few, else as a search.
func (x *indexer) portsTo(chain *iptables.Chain, lead func(*schema.Policy) target) {
	total := 0
	for _, p := range x.policies {
		if scope := x.scope(p); len(scope) > 0 {
			total += len(scope) * lead(p).cost()
		}
	}
	if total <= x.opt.Sizes.Linear {
		for _, p := range x.policies {
			to := lead(p)
			if x.fallback == schema.Pass && !x.nested[p] {
				to.entries = withFallthrough(to.entries, label{})
			}
			x.introduce(chain, p, to.goto_ != "" || len(to.entries) > 0)
			for _, b := range x.scope(p) {
				x.hit(chain, b, to)
			}
		}
		return
	}
	if x.own {
		chain.Remark("by interface, protocol and port")
	} else {
		chain.Remark("by interface, protocol and original port")
	}
	known := map[string]string{}
	for _, in := range x.interfaces() {
		for _, protocol := range []schema.Protocol{schema.TCP, schema.UDP, schema.SCTP} {
			cells := x.cells(in, protocol)
			if len(cells) == 0 {
				continue
			}
			key := fmt.Sprint(protocol, cells)
			if known[key] == "" {
				s := &search{indexer: x, protocol: protocol, lead: lead, id: fmt.Sprintf("%s%s%d", x.letter, protocol.String()[:1], len(known))}
				known[key] = s.chain(cells, int(cells[0].first), int(cells[len(cells)-1].last), x.depths.search).Name
				x.searches = append(x.searches, s)
			}
			b := box{in: named(in), protocol: protocol.String(), dir: "ORIGINAL", own: x.own,
				origPorts: schema.Ports{Protocol: protocol, First: cells[0].first, Last: cells[len(cells)-1].last}}
			if x.own {
				b.dir = ""
			}
			chain.Append(&iptables.Rule{Body: x.body(action{box: b, goto_: known[key], origin: "ports"})})
		}
	}
}

// hit writes where a box leads.
func (x *indexer) hit(chain *iptables.Chain, b box, t target) {
	if t.goto_ != "" {
		chain.Append(&iptables.Rule{Body: x.body(action{box: b, goto_: t.goto_})})
		return
	}
	for _, e := range t.entries {
		x.entry(chain, b, e)
	}
}

// interfaces are all patterns that policies or the host name, the narrow before
// the wide: a packet takes the first that fits.
func (l *lowering) interfaces() []schema.Interface {
	var list []schema.Interface
	add := func(more []schema.Interface) {
		for _, i := range more {
			if !slices.ContainsFunc(list, func(o schema.Interface) bool { return o.String() == i.String() }) {
				list = append(list, i)
			}
		}
	}
	add(l.outside)
	for _, p := range l.policies {
		add(p.External)
	}
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if a.Prefix != b.Prefix {
			return b.Prefix
		}
		return len(a.Name) > len(b.Name)
	})
	return list
}

// cells cuts the ports of one protocol on one interface by who claims them.
func (x *indexer) cells(in schema.Interface, protocol schema.Protocol) []cell {
	return x.cutPorts(in, protocol, func(p *schema.Policy) bool { return !address.Empty(x.resolve.Of(p.AddressSet)) }, x.everyAddress)
}

// cutPorts is the cells of the policies on an interface that take part. One that is
// about every address ends its cell: no wider one is reached.
func (l *lowering) cutPorts(in schema.Interface, protocol schema.Protocol, takesPart, everywhere func(*schema.Policy) bool) []cell {
	type claim struct {
		ports schema.Ports
		by    int
	}
	var claims []claim
	starts := map[int]bool{}
	for n, p := range l.policies {
		covers := slices.ContainsFunc(p.External, func(e schema.Interface) bool { return e.Covers(in) })
		if !covers || !takesPart(p) {
			continue
		}
		for _, r := range mergePorts(p.Ports) {
			if r.Protocol == protocol {
				claims = append(claims, claim{r, n})
				starts[int(r.First)], starts[int(r.Last)+1] = true, true
			}
		}
	}
	cuts := make([]int, 0, len(starts))
	for s := range starts {
		cuts = append(cuts, s)
	}
	sort.Ints(cuts)
	sort.Slice(claims, func(i, j int) bool { return claims[i].ports.First < claims[j].ports.First })
	var cells []cell
	var active []claim
	next := 0
	for i := 0; i+1 < len(cuts); i++ {
		for ; next < len(claims) && int(claims[next].ports.First) <= cuts[i]; next++ {
			active = append(active, claims[next])
		}
		active = slices.DeleteFunc(active, func(c claim) bool { return int(c.ports.Last) < cuts[i] })
		if len(active) == 0 {
			continue
		}
		order := slices.Clone(active)
		slices.SortFunc(order, func(a, b claim) int { return a.by - b.by })
		c := cell{first: uint16(cuts[i]), last: uint16(cuts[i+1] - 1)}
		for _, o := range order {
			c.policies = append(c.policies, l.policies[o.by])
			if everywhere(l.policies[o.by]) {
				break
			}
		}
		cells = append(cells, c)
	}
	return cells
}

func (x *indexer) everyAddress(p *schema.Policy) bool {
	return x.resolve.Of(p.AddressSet).Equal(x.resolve.Every())
}

// search is the chains that look for a port.
type search struct {
	*indexer
	id       string
	protocol schema.Protocol
	lead     func(*schema.Policy) target
	chains   []*iptables.Chain // in the order in which they are declared
}

// chain makes the chain for ports from lo to hi, of which the cells are those
// that policies claim. The upper half is a chain of its own,
// the lower goes on in this one.
func (s *search) chain(cells []cell, lo, hi, depth int) *iptables.Chain {
	c := &iptables.Chain{Name: fmt.Sprintf("%s%s-%04x", iptables.OwnedPrefix, s.id, lo), Policy: "-", Late: true}
	from, to := lo, hi
	for len(cells) > 2 || len(cells) == 2 && s.costly(cells[1]) {
		// As many parts as keep the way short enough (see tree.chain).
		parts := 2
		for depth > 0 && math.Pow(float64(parts), float64(depth)) < float64(len(cells))/2 {
			parts++
		}
		if depth <= 0 {
			parts = len(cells)
		}
		cut := len(cells) - (len(cells)+parts-1)/parts
		mid := cells[cut]
		child := s.chain(cells[cut:], int(mid.first), hi, depth-1)
		b := s.box(mid.first, uint16(hi))
		c.Append(&iptables.Rule{Body: s.body(action{box: b, goto_: child.Name})})
		cells, hi = cells[:cut], int(mid.first)-1
	}
	decided := false
	for _, cell := range cells {
		known := int(cell.first) == lo && int(cell.last) == hi
		s.cell(c, cell, known)
		decided = known && s.everyAddress(cell.policies[len(cell.policies)-1])
	}
	if !decided {
		s.unlisted(c)
	}
	c.Head(fmt.Sprintf("%s ports %d to %d", s.protocol, from, to))
	s.chains = append(s.chains, c)
	return c
}

// box binds a rule to ports: with an option of the protocol, where they are the packet's own.
func (s *search) box(first, last uint16) box {
	b := box{own: s.own, origPorts: schema.Ports{First: first, Last: last}}
	if s.own {
		b.protocol = s.protocol.String()
	}
	return b
}

// costly reports whether a cell needs several rules, each of which would ask for
// the port again.
func (s *search) costly(c cell) bool { return len(c.policies) > 1 || s.lead(c.policies[0]).cost() > 1 }

// cell writes the rules of one range of ports; known when no other can come here.
func (s *search) cell(c *iptables.Chain, x cell, known bool) {
	policies := x.policies
	if wide := len(policies) - 1; s.own && s.everyAddress(policies[wide]) {
		policies = policies[wide:] // the others say the same
	}
	for _, p := range policies {
		b := box{own: s.own}
		if !known {
			b = s.box(x.first, x.last)
		}
		for _, a := range prefixesOrAll(s.resolve.Of(p.AddressSet)) {
			b.origDst = a
			t := s.lead(p)
			if t.goto_ != "" {
				c.Append(&iptables.Rule{Body: s.body(action{box: b, goto_: t.goto_})})
				continue
			}
			for _, e := range t.entries {
				b.set, b.members = e.set, e.members
				if e.goto_ != "" {
					c.Append(&iptables.Rule{Body: s.body(action{box: b, goto_: e.goto_})})
					continue
				}
				if e.label.log != "" {
					c.Append(&iptables.Rule{Source: e.source, Body: s.body(action{box: b, target: "LOG", log: e.label.log})})
				}
				end := b
				if e.label.verdict == schema.Reject {
					end.protocol = s.protocol.String()
				}
				c.Append(&iptables.Rule{Source: e.source, Body: s.body(action{box: end, target: targets[e.label.verdict]})})
			}
		}
	}
}

// unlisted ends a chain of the search: no policy claims the port.
func (s *search) unlisted(c *iptables.Chain) {
	if s.fallback == schema.Pass {
		return
	}
	b := box{}
	if s.fallback == schema.Reject {
		b.protocol = s.protocol.String()
	}
	c.Append(&iptables.Rule{Body: s.body(action{box: b, target: targets[s.fallback], origin: "unlisted"})})
}

// depths are how many chains may lead on to each other below the first one of a
// guard's tree, of a search and of a tree. nf_tables takes 16 in all, FORWARD
// among them.
type depths struct{ guard, search, tree int }

// planDepths shares the depth out. A rule that asks for a port is three times as
// dear as one that asks for the source; so the search gets as much as halving
// the ports takes, but for what a tree takes that divides in four at once, which
// is as cheap as halving.
func (l *lowering) planDepths() depths {
	left := 16 - 2 - 1 // FORWARD and DOCKER-USER, and the first chain of a tree
	if l.doc.Host.Shared {
		left-- // SEAWALL-FORWARD
	}
	if l.bridged() {
		left-- // SEAWALL-BRIDGES
	}
	var d depths
	if l.largeGuard() {
		d.guard = 3
		left -= d.guard + 2 // its first chain, and SEAWALL-PORTS
	}
	scopes, longest := 0, 0
	for _, p := range l.policies {
		scopes += len(l.scope(p))
		ranges := 0
		for _, c := range l.clauses(p.Rules) {
			ranges += len(c.include) + len(c.except)
		}
		longest = max(longest, ranges)
	}
	if scopes > l.opt.Sizes.Linear/max(1, l.opt.Sizes.Inline) {
		tree := (halvings(longest/l.opt.Sizes.Leaf) + 3) / 2
		d.search = min(max(3, left-1-tree), halvings(scopes))
		left -= d.search + 1
	}
	d.tree = left
	return d
}

// halvings is how often so many things can be divided in two.
func halvings(n int) int { return bits.Len(uint(max(1, n) - 1)) }

// tree returns the first chain of a source tree, made once for each list of rules.
func (l *lowering) tree(name, what string, clauses []clause, last label, proto string, leads map[label]*iptables.Chain) *iptables.Chain {
	t := &tree{lowering: l, what: what, proto: proto, leads: leads}
	content := t.cutOnce(clauses, last)
	rejects := slices.ContainsFunc(t.labels, func(x label) bool { return x.verdict == schema.Reject })
	if !rejects {
		t.proto = ""
	}
	key := content + fmt.Sprint(t.proto, names(leads))
	if known, ok := l.treesByKey[key]; ok {
		return known
	}
	for n := 0; ; n++ { // a second tree of one name is that of INPUT, or a clash
		t.id = iptables.OwnedPrefix + "x" + digest(fmt.Sprint(name, "\x00", n), 5)
		if !l.treeIDs[t.id] {
			break
		}
	}
	l.treeIDs[t.id] = true
	depth := l.depths.tree
	if leads != nil {
		depth = l.depths.guard
	}
	t.depth = depth
	if l.opt.Memory != nil {
		t.text = t.textKey(key)
	}
	l.treesByKey[key] = &iptables.Chain{Name: t.name(addr{})}
	l.trees = append(l.trees, t)
	return l.treesByKey[key]
}

// textKey identifies the text of the tree, whichever document it is of: beside its sources,
// and the chains that they lead to, the very rules of each label, in which settings of the
// host stand.
func (t *tree) textKey(content string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v\x00%s\x00%s\x00%d\x00%v\x00%s", t.family, t.id, t.what, t.depth, t.opt.Sizes, content)
	rule := func(body *iptables.Body) { fmt.Fprintf(&b, "\x00%s", (&iptables.Rule{Body: body}).Spec()) }
	rule(t.goTo())
	for n := range t.labels {
		for _, body := range t.verdict(n) {
			rule(body)
		}
		b.WriteByte(1)
	}
	return b.String()
}

// contentKey is a digest of a tree's pieces.
func contentKey(labels []label, pieces *pieceList) string {
	h := sha256.New()
	fmt.Fprint(h, labels)
	w := bufio.NewWriter(h)
	for i := range pieces.len() {
		from := pieces.from(i)
		b := binary.LittleEndian.AppendUint64(w.AvailableBuffer(), from.hi)
		b = binary.LittleEndian.AppendUint64(b, from.lo)
		w.Write(binary.LittleEndian.AppendUint32(b, uint32(pieces.label(i))))
	}
	w.Flush() // a hash takes every write
	return string(h.Sum(nil))
}

// gather puts the trees and searches before the chains that lead to them, each
// name smaller than the one before (see tree).
func (l *lowering) gather() {
	sort.Slice(l.trees, func(i, j int) bool { return l.trees[i].id > l.trees[j].id })
	sort.Slice(l.searches, func(i, j int) bool { return l.searches[i].id > l.searches[j].id })
	for _, t := range l.trees {
		l.table.Late = append(l.table.Late, iptables.Generator{Rules: t.pieces.len(), Parts: t.parts, Key: t.text, Memory: l.opt.Memory.texts()})
	}
	for _, s := range l.searches {
		for _, c := range s.chains {
			l.table.Add(c)
		}
	}
	l.resolve, l.cuts = nil, nil // the sets are not needed to write the trees
}

// names is the chains that labels lead to, for a key.
func names(leads map[label]*iptables.Chain) map[label]string {
	list := map[label]string{}
	for l, c := range leads {
		list[l] = c.Name
	}
	return list
}
