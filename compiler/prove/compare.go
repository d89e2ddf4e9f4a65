package prove

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/rules"
	"github.com/seawall/seawall/schema"
	"go4.org/netipx"
)

// Difference is a box of packets for which a policy and a file have different
// verdicts, or for which the file's cannot be decided.
type Difference struct {
	Family       rules.Family
	Hook         Hook
	Policy, File string // verdicts in words
	Undecided    bool
	Fields       []Field // what binds the box; a property that is not here is any
	Example      Packet
}

// Field is one property of a box, in words.
type Field struct {
	Name   string
	Values []string
}

// Result is the outcome of a comparison.
type Result struct {
	Differences []*Difference
	More        int // differences beyond those listed
}

// Equal tells whether there is no difference at all.
func (r *Result) Equal() bool { return len(r.Differences) == 0 }

// maxDifferences is how many boxes a comparison lists. A flushed chain differs
// in every policy; nobody reads the hundredth box.
const maxDifferences = 20

// Compare decides whether a filter table means a policy for one family, in
// FORWARD and in INPUT, over all packets. A nil table is one without chains.
// The error is for a table that iptables itself would refuse.
func Compare(doc *schema.Document, t *rules.Table, family rules.Family) (*Result, error) {
	return (&Policy{doc, map[rules.Family]*sourceSets{family: newSourceSets(family)}}).Compare(t, family)
}

// Compare is the function Compare for a policy whose lists were read before.
func (p *Policy) Compare(t *rules.Table, family rules.Family) (*Result, error) {
	if t == nil {
		t = &rules.Table{Name: "filter"}
	}
	d := newDiagrams(newSpace(family, append(policyPatterns(p.doc), filePatterns(t)...)))
	result := &Result{}
	for _, hook := range []Hook{Forward, Input} {
		file, err := d.file(t, hook)
		if err != nil {
			return nil, err
		}
		policy := d.policy(p.doc, hook, p.sets[family])
		if policy != file {
			result.add(d, hook, d.disagree(policy, file, agreement(Side{Policy: p.doc}, Side{})))
		}
	}
	return result, nil
}

// A leaf of a diagram of differences holds two verdicts, or zero where they
// agree.
const fileShift = 12

// add lists the boxes of a diagram of differences: at each node the intervals
// with the same rest belong together.
func (r *Result) add(d *diagrams, hook Hook, differ ref) {
	d.boxes(differ, func(b *box, leaf uint32) {
		if len(r.Differences) >= maxDifferences {
			r.More++
			return
		}
		policy, file := leaf&(1<<fileShift-1), leaf>>fileShift
		r.Differences = append(r.Differences, &Difference{
			Family: d.family, Hook: hook, Policy: words(policy), File: words(file),
			Undecided: file&(file-1) != 0, Fields: d.fields(b), Example: d.packet(hook, b)})
	})
}

// boxes calls f for each box of a diagram whose leaf is not zero.
func (d *diagrams) boxes(r ref, f func(*box, uint32)) {
	var b box
	var walk func(ref)
	walk = func(r ref) {
		if r.isLeaf() {
			if r.bits() != 0 {
				f(&b, r.bits())
			}
			return
		}
		n := d.nodes[r]
		for _, g := range d.groups(n) {
			b[n.property] = g.spans
			walk(g.kid)
		}
		b[n.property] = nil
	}
	walk(r)
}

type group struct {
	kid   ref
	spans set
}

// groups gathers the intervals of a node by what decides the rest.
func (d *diagrams) groups(n node) []group {
	var list []group
	index := map[ref]int{}
	for i, k := range n.kids {
		end := d.max(n.property)
		if i+1 < len(n.starts) {
			end = n.starts[i+1].prev()
		}
		at, ok := index[k]
		if !ok {
			at = len(list)
			index[k] = at
			list = append(list, group{kid: k})
		}
		list[at].spans = append(list[at].spans, span{n.starts[i], end})
	}
	return list
}

var verdictWords = []struct {
	bit  uint32
	text string
}{
	{vPass, "pass"}, {vAccept, "accept"}, {vDeny, "deny"}, {vReset, "reject with tcp-reset"},
	{vUnreachable, "reject with port-unreachable"}, {vRejectOther, "reject with another answer"},
	{vOther, "a target that Seawall does not know"}, {vHost, "the host's own drop"},
}

// words names the verdicts of a leaf.
func words(bits uint32) string {
	var list []string
	for _, w := range verdictWords {
		if bits&w.bit != 0 {
			list = append(list, w.text)
		}
	}
	return strings.Join(list, " or ")
}

// fields names what binds a box, in the order of a rule.
func (d *diagrams) fields(b *box) []Field {
	var list []Field
	add := func(p int, name string, write func(span) []string) {
		if b[p] == nil {
			return
		}
		f := Field{Name: name}
		for _, s := range b[p] {
			f.Values = append(f.Values, write(s)...)
		}
		list = append(list, f)
	}
	v6 := d.family == rules.IPv6
	addresses := func(p int, name string) {
		if b[p] != nil {
			list = append(list, Field{name, d.addressWords(b[p], v6)})
		}
	}
	ports := func(s span) []string {
		if s.lo == s.hi {
			return []string{fmt.Sprint(s.lo.lo)}
		}
		return []string{fmt.Sprintf("%d-%d", s.lo.lo, s.hi.lo)}
	}
	add(pIn, "in", d.atomWords)
	add(pOut, "out", d.atomWords)
	addresses(pSrc, "source")
	add(pProtocol, "protocol", func(s span) []string {
		if s.lo == s.hi {
			return []string{protocolName(int(s.lo.lo))}
		}
		return ports(s)
	})
	addresses(pOrigDst, "original address")
	add(pOrigPort, "original port", ports)
	addresses(pDst, "destination")
	add(pSport, "source port", ports)
	add(pDport, "destination port", ports)
	if b[pClass] != nil {
		list = append(list, Field{"conntrack", classWords(b[pClass])})
	}
	return list
}

func (d *diagrams) atomWords(s span) []string {
	var list []string
	for i := s.lo.lo; i <= s.hi.lo; i++ {
		a := d.atoms[i]
		switch {
		case i == 0:
			list = append(list, "any other interface")
		case a.prefix:
			list = append(list, a.name+"+")
		default:
			list = append(list, a.name)
		}
	}
	return list
}

// addressWords writes a set of addresses as CIDRs, or as all but some when that
// is shorter.
func (d *diagrams) addressWords(s set, v6 bool) []string {
	write := func(s set) []string {
		var list []string
		for _, p := range s {
			list = append(list, cidrs(p, v6)...)
		}
		return list
	}
	these, others := write(s), write(s.complement(d.max(pSrc)))
	if len(others) > 0 && len(others) < len(these) {
		others[0] = "all but " + others[0]
		return others
	}
	return these
}

// classWords names classes, those that differ in NAT alone once.
func classWords(s set) []string {
	if original := classSet(func(c class) bool { return c.known() && !c.reply }); slices.Equal(s, original) {
		return []string{"known, ORIGINAL"}
	}
	var list []string
	for i, c := range classes {
		if !s.has(small(i)) {
			continue
		}
		all := true
		for j, other := range classes {
			if other.state == c.state && other.reply == c.reply && !s.has(small(j)) {
				all = false
			}
		}
		text := c.String()
		if all {
			text = class{state: c.state, reply: c.reply}.String()
		}
		if n := len(list); n == 0 || list[n-1] != text {
			list = append(list, text)
		}
	}
	return list
}

func cidrs(s span, v6 bool) []string {
	var list []string
	for _, p := range netipx.IPRangeFrom(s.lo.addr(v6), s.hi.addr(v6)).Prefixes() {
		list = append(list, prefixText(p))
	}
	return list
}

// prefixText writes a single address without its length.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// String writes a difference as verify prints it, without the example.
func (d *Difference) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "IPv%d %s:", d.Family, d.Hook)
	for i, f := range d.Fields {
		if i > 0 {
			b.WriteString(";")
		}
		fmt.Fprintf(&b, " %s %s", f.Name, Shorten(f.Values))
	}
	if len(d.Fields) == 0 {
		b.WriteString(" every packet")
	}
	return b.String()
}

// Shorten lists values, the first few of many.
func Shorten(values []string) string {
	const most = 8
	if len(values) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(values[:most], ", "), len(values)-most)
	}
	return strings.Join(values, ", ")
}
