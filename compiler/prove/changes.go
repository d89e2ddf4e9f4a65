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
	Fields   []Field  // what binds the packets beyond sources, ports and conntrack
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
	sets := newSourceSets(family)
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

func (d *diagrams) side(s Side, hook Hook, sets *sourceSets) (ref, error) {
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

// add puts a box to the change that it belongs to: boxes that differ in their
// ports, in their hook or in what conntrack says of the packet are one change.
func (c *changes) add(x part, policy string) {
	effect := effectOf(x.old, x.new)
	rest := c.withoutRelated(x.box)
	hasPorts := rest[pProtocol] != nil && rest[pOrigPort] != nil
	rest[pClass] = nil
	key := rest
	if hasPorts {
		key[pProtocol], key[pOrigPort] = nil, nil
	}
	unknown := !slices.ContainsFunc(classes, func(cl class) bool { return cl.known() && x.box[pClass].has(classValue(cl)) })
	name := fmt.Sprint(policy, "\x00", effect, coarse(x.old), coarse(x.new), hasPorts, unknown, key.key())
	found := c.index[name]
	if found == nil {
		found = &Change{Family: c.d.family, Effect: effect, Old: words(x.old), New: words(x.new), Policy: policy,
			Fields: c.bounds(x, rest, hasPorts), Example: c.d.packet(x.hook, &x.box)}
		found.Sources, found.AllBut = c.d.fewest(x.box[pSrc])
		c.index[name] = found
		c.list = append(c.list, found)
	}
	found.parts = append(found.parts, x)
	if !slices.Contains(found.Hooks, x.hook) {
		found.Hooks = append(found.Hooks, x.hook)
	}
	if hasPorts {
		found.addPorts(x.box)
	}
}

// withoutRelated is a box as if ICMP errors about known connections, which
// every policy lets pass, were packets like others.
func (c *changes) withoutRelated(b box) box {
	icmp := small(c.d.icmp())
	related := slices.ContainsFunc(classes, func(cl class) bool { return cl.state == "RELATED" && b[pClass].has(classValue(cl)) })
	if related && b[pProtocol] != nil && !b[pProtocol].has(icmp) && b[pProtocol].size(value{}).Int64() > 100 {
		b[pProtocol] = normal(append(slices.Clone(b[pProtocol]), span{icmp, icmp}))
	}
	if slices.Equal(b[pProtocol], set{{value{}, c.d.max(pProtocol)}}) {
		b[pProtocol] = nil
	}
	return b
}

func classValue(c class) value { return small(slices.Index(classes, c)) }

// Conntrack says which packets a change is about where it is not every packet
// that opens or belongs to a connection in its own direction; "" where it is.
func (c *Change) Conntrack() string {
	var all set
	for _, x := range c.parts {
		if x.box[pClass] == nil {
			return ""
		}
		all = append(all, x.box[pClass]...)
	}
	all = normal(slices.Clone(all))
	has := func(state string) bool {
		return slices.ContainsFunc(classes, func(cl class) bool { return cl.state == state && !cl.reply && all.has(classValue(cl)) })
	}
	reply := slices.ContainsFunc(classes, func(cl class) bool { return cl.reply && all.has(classValue(cl)) })
	switch {
	case reply && !has("NEW"):
		return "answers"
	case has("NEW") && has("ESTABLISHED"):
		return ""
	case has("NEW"):
		return "new connections"
	case has("ESTABLISHED"):
		return "connections that stand already"
	case has("INVALID") || has("UNTRACKED"):
		return "packets that conntrack does not know"
	}
	return "connections that belong to another"
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
	case vHost:
		return words(vDeny)
	}
	return words(bits)
}

// bounds are a box's bounds beyond source, port and conntrack. Being from
// outside goes without saying.
func (c *changes) bounds(x part, b box, hasPorts bool) []Field {
	b[pSrc] = nil
	if hasPorts {
		b[pProtocol], b[pOrigPort] = nil, nil
	}
	if c.externals != nil && slices.Equal(b[pIn], c.externals) {
		b[pIn] = nil
	}
	fields := c.d.fields(&b)
	if effectOf(x.old, x.new) == Other {
		fields = append(fields, Field{"verdict", []string{coarse(x.old) + " → " + coarse(x.new)}})
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

// addPorts adds a box's original ports, written as a policy does.
func (c *Change) addPorts(b box) {
	for _, protocol := range b[pProtocol] {
		for n := protocol.lo.lo; n <= protocol.hi.lo; n++ {
			for _, s := range b[pOrigPort] {
				text := fmt.Sprint(s.lo.lo)
				if s.lo != s.hi {
					text = fmt.Sprintf("%d-%d", s.lo.lo, s.hi.lo)
				}
				if text += "/" + protocolName(int(n)); !slices.Contains(c.Ports, text) {
					c.Ports = append(c.Ports, text)
				}
			}
		}
	}
}
