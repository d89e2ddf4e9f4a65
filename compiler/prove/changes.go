package prove

import (
	"fmt"
	"slices"

	"github.com/seawall/seawall/compiler/rules"
	"github.com/seawall/seawall/schema"
)

// Side is one of two things whose meanings are compared: a policy, or a filter
// table where Policy is nil.
type Side struct {
	Policy *schema.Document
	Table  *rules.Table
}

// Effect is what a change does for the packets that it is about.
type Effect string

// The effects. A change of another kind leaves open what was open: it answers a
// denied packet in another way, or lets an allowed one past Docker's own rules.
const (
	Opened Effect = "opened"
	Closed Effect = "closed"
	Other  Effect = "other"
)

// Change is packets whose verdict is another one on the new side. All changes
// of a pair are disjoint, and together they are exactly the difference of its
// meanings: what is in none has the verdict that it had.
type Change struct {
	Family   rules.Family
	Hooks    []Hook
	Effect   Effect
	Old, New string // verdicts in words
	Policy   string // the policy whose scope the packets are in, "" for none
	Sources  []string
	AllBut   bool     // Sources are those that are left alone
	Ports    []string // original ports as a policy has them; none: any
	Fields   []Field  // what binds the packets beyond sources and ports
	Example  Packet

	parts []part
}

// part is one box of a change.
type part struct {
	space    *space
	hook     Hook
	box      box
	old, new uint32
}

// Any tells whether the change concerns every source of its family.
func (c *Change) Any() bool { return c.AllBut && len(c.Sources) == 0 }

// Of gives the verdicts of a packet on both sides, when the change is about it.
func (c *Change) Of(p Packet) (before, after string, ok bool) {
	if p.Family() != c.Family {
		return "", "", false
	}
	for _, x := range c.parts {
		if x.hook == p.Hook && x.box.holds(x.space.values(p)) {
			return words(x.old), words(x.new), true
		}
	}
	return "", "", false
}

func (b *box) holds(v [properties]value) bool {
	for p := range b {
		if !b[p].has(v[p]) {
			return false
		}
	}
	return true
}

// Changes gives the exact difference of meaning of two sides for one family.
// It is empty when, and only when, both mean the same. The error is for a table
// that iptables itself would refuse.
func Changes(before, after Side, family rules.Family) ([]*Change, error) {
	var patterns []string
	for _, s := range []Side{before, after} {
		patterns = append(patterns, s.patterns()...)
	}
	d := newDiagrams(newSpace(family, patterns))
	collected := &changes{d: d, externals: externals(d, before, after), index: map[string]*Change{}}
	sets := map[*schema.Set]set{}
	for _, hook := range []Hook{Forward, Input} {
		a, err := d.side(before, hook, sets)
		if err != nil {
			return nil, err
		}
		b, err := d.side(after, hook, sets)
		if err != nil {
			return nil, err
		}
		if a != b {
			collected.collect(hook, d.disagree(a, b, agreement(before, after)), newScopes(d, before, after))
		}
	}
	return collected.list, nil
}

func (s Side) patterns() []string {
	if s.Policy != nil {
		return policyPatterns(s.Policy)
	}
	if s.Table == nil {
		return nil
	}
	return filePatterns(s.Table)
}

func (d *diagrams) side(s Side, hook Hook, sets map[*schema.Set]set) (ref, error) {
	if s.Policy != nil {
		return d.policy(s.Policy, hook, sets), nil
	}
	if s.Table == nil {
		s.Table = &rules.Table{Name: "filter"}
	}
	return d.file(s.Table, hook)
}

// externals are the interfaces that both sides take for the outside; nil when
// they do not agree, or no policy says.
func externals(d *diagrams, sides ...Side) set {
	var all []set
	for _, s := range sides {
		if s.Policy != nil {
			r := &policyReader{diagrams: d, doc: s.Policy}
			all = append(all, r.external())
		}
	}
	if len(all) == 0 || len(all) == 2 && !slices.Equal(all[0], all[1]) {
		return nil
	}
	return all[0]
}

// scopes tells which policy's scope a packet is in: that of the new side, else
// that of the old one.
type scopes struct {
	names []string
	owner ref
}

func newScopes(d *diagrams, before, after Side) *scopes {
	s := &scopes{}
	var list []item
	for _, side := range []Side{after, before} {
		if side.Policy == nil {
			continue
		}
		r := &policyReader{diagrams: d, doc: side.Policy}
		for _, p := range r.narrowFirst() {
			s.names = append(s.names, p.Name)
			for _, b := range r.scope(p) {
				b[pClass] = classSet(class.known)
				list = append(list, item{&b, leaf(uint32(len(s.names)) << fileShift)})
			}
		}
	}
	s.owner = d.build(append(list, item{&box{}, leaf(0)}))
	return s
}

type changes struct {
	d         *diagrams
	externals set
	list      []*Change
	index     map[string]*Change
}

// collect lists the boxes on which two functions disagree, a policy's scope at
// a time. Boxes that differ in their ports or their hook alone are one change.
func (c *changes) collect(hook Hook, disagree ref, s *scopes) {
	c.d.boxes(disagree, func(b *box, bits uint32) {
		c.d.within(s.owner, *b, func(b *box, owner uint32) {
			name := ""
			if owner > 0 {
				name = s.names[owner>>fileShift-1]
			}
			c.add(part{c.d.space, hook, *b, bits & (1<<fileShift - 1), bits >> fileShift}, name)
		})
	})
}

// agreement tells whether two verdicts count as the same. Of a policy and a
// file, what the host's own INPUT rules drop is no difference (see foreign).
func agreement(before, after Side) func(a, b uint32) bool {
	switch {
	case before.Policy != nil && after.Policy == nil:
		return func(a, b uint32) bool { return b&^(a|vHost) == 0 }
	case before.Policy == nil && after.Policy != nil:
		return func(a, b uint32) bool { return a&^(b|vHost) == 0 }
	}
	return func(a, b uint32) bool { return a == b }
}

// disagree is the diagram of both verdicts where they do not agree, of zero
// where they do.
func (d *diagrams) disagree(a, b ref, agree func(a, b uint32) bool) ref {
	memo := map[[2]ref]ref{}
	var walk func(a, b ref) ref
	walk = func(a, b ref) ref {
		switch {
		case a == b:
			return leaf(0)
		case a.isLeaf() && b.isLeaf() && agree(a.bits(), b.bits()):
			return leaf(0)
		case a.isLeaf() && b.isLeaf():
			return leaf(a.bits() | b.bits()<<fileShift)
		}
		key := [2]ref{a, b}
		if r, ok := memo[key]; ok {
			return r
		}
		r := d.split(a, b, walk)
		memo[key] = r
		return r
	}
	return walk(a, b)
}

func (c *changes) add(x part, policy string) {
	effect := effectOf(x.old, x.new)
	rest := x.box
	rest[pProtocol], rest[pOrigPort] = nil, nil
	hasPorts := x.box[pProtocol] != nil && x.box[pOrigPort] != nil
	key := fmt.Sprint(policy, "\x00", effect, "\x00", coarse(x.old), coarse(x.new), hasPorts, rest.key())
	if !hasPorts {
		key += fmt.Sprint(x.box[pProtocol], x.box[pOrigPort])
	}
	found := c.index[key]
	if found == nil {
		found = &Change{Family: c.d.family, Effect: effect, Old: words(x.old), New: words(x.new), Policy: policy,
			Fields: c.bounds(x, hasPorts), Example: c.d.packet(x.hook, &x.box)}
		found.Sources, found.AllBut = c.d.fewest(x.box[pSrc])
		c.index[key] = found
		c.list = append(c.list, found)
	}
	found.parts = append(found.parts, x)
	if !slices.Contains(found.Hooks, x.hook) {
		found.Hooks = append(found.Hooks, x.hook)
	}
	if hasPorts {
		for _, p := range c.ports(x.box) {
			if !slices.Contains(found.Ports, p) {
				found.Ports = append(found.Ports, p)
			}
		}
	}
}

const openBits, closedBits = vPass | vAccept, vDeny | vReset | vUnreachable | vRejectOther | vHost

func effectOf(before, after uint32) Effect {
	switch {
	case before&^closedBits == 0 && after&^openBits == 0:
		return Opened
	case before&^openBits == 0 && after&^closedBits == 0:
		return Closed
	}
	return Other
}

// coarse makes ACCEPT and pass one, for accept is pass in INPUT, and the two
// ways to reject one, for they are one word in a policy.
func coarse(bits uint32) string {
	switch bits {
	case vPass, vAccept:
		return "open"
	case vReset, vUnreachable:
		return "reject"
	}
	return words(bits)
}

// bounds are a box's bounds beyond source and port. Being from outside, and of
// a connection's own direction, goes without saying.
func (c *changes) bounds(x part, hasPorts bool) []Field {
	b := x.box
	b[pSrc] = nil
	if hasPorts {
		b[pProtocol], b[pOrigPort] = nil, nil
	}
	if c.externals != nil && slices.Equal(b[pIn], c.externals) {
		b[pIn] = nil
	}
	if slices.Equal(b[pClass], classSet(func(c class) bool { return c.known() && !c.reply })) {
		b[pClass] = nil
	}
	fields := c.d.fields(&b)
	if effectOf(x.old, x.new) == Other {
		fields = append(fields, Field{"verdict", []string{words(x.old) + " → " + words(x.new)}})
	}
	return fields
}

// fewest writes a set of sources in the fewest CIDRs: its own, or those that it
// leaves out.
func (d *diagrams) fewest(s set) (cidrList []string, allBut bool) {
	write := func(s set) []string {
		list := []string{}
		for _, p := range s {
			list = append(list, cidrs(p, d.family == rules.IPv6)...)
		}
		return list
	}
	these, others := write(s), write(s.complement(d.max(pSrc)))
	if s == nil || len(others) < len(these) {
		return others, true
	}
	return these, false
}

// ports writes a box's original ports as a policy does.
func (c *changes) ports(b box) []string {
	var list []string
	for _, protocol := range b[pProtocol] {
		for n := protocol.lo.lo; n <= protocol.hi.lo; n++ {
			for _, s := range b[pOrigPort] {
				text := fmt.Sprint(s.lo.lo)
				if s.lo != s.hi {
					text = fmt.Sprintf("%d-%d", s.lo.lo, s.hi.lo)
				}
				list = append(list, text+"/"+protocolName(int(n)))
			}
		}
	}
	return list
}

