package prove

import (
	"context"
	"fmt"
	"slices"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/meaning"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// Side is one of two things whose meanings are compared: a policy, or rules where
// Policy is nil.
type Side struct {
	Policy *schema.Document
	Rules  dialect.Rules
	// Whole is for rules that are compared from the first of FORWARD and INPUT to the
	// last: what Docker and the host do after the policy's chain counts as well.
	Whole bool
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
	Severity
	Family   packet.Family
	Hooks    []packet.Hook
	Effect   Effect
	Old, New packet.Verdict
	Policy   string // the policy whose scope the packets are in, "" for none
	Sources  []string
	AllBut   bool           // Sources are those that are left alone
	Who      address.Phrase // the sources as people write them
	Clauses  []Clause       // what the sources gain or lose, in words
	// Unnamed says that the change is a part of one that is about all that no policy
	// names, of new connections.
	Unnamed bool
	Ports   []string       // original ports as a policy has them; none: any
	Fields  []packet.Field // what binds the packets beyond sources, ports and conntrack
	Example packet.Packet

	parts  []part
	source diagram.Set
}

// part is one box of a change.
type part struct {
	space    *packet.Space
	hook     packet.Hook
	box      diagram.Box
	old, new packet.Verdict
}

// Changes returns the exact difference of meaning of two sides for one family.
// It is empty when, and only when, both mean the same. The error is for a table
// that iptables itself would refuse, a *HardError for a question beyond the
// limits, or the context's.
func Changes(ctx context.Context, before, after Side, family packet.Family, limits Limits) ([]*Change, error) {
	return ChangesOf(ctx, before, after, family, limits, nil)
}

// ChangesOf is Changes for one of several hosts: what they share is in the memory. All
// addresses that a policy has are "its addresses" in its clauses, for hosts differ in them.
func ChangesOf(ctx context.Context, before, after Side, family packet.Family, limits Limits, m *meaning.Memory) ([]*Change, error) {
	if before.Policy != nil && after.Policy != nil && len(ipsets(before, after, family)) > packet.MaxMembers {
		return nil, &HardError{Err: fmt.Errorf("together they name more than %d ipsets that are filled at run time", packet.MaxMembers)}
	}
	q := newQuestion(ctx, limits, family, append(before.patterns(), after.patterns()...), ipsets(before, after, family)...)
	collected := &changes{q: q, externals: externals(q, before, after), index: map[string]*Change{}}
	if m != nil {
		collected.own = func(policy string) diagram.Set { return ownAddresses(q, policy, before, after) }
	}
	err := q.Try(func() error {
		lists := meaning.NewLists(family, m)
		read := q.reader(before, after, lists)
		readToo := q.reader(after, before, lists)
		for _, hook := range packet.Hooks {
			a, err := read(hook)
			if err != nil {
				return err
			}
			b, err := readToo(hook)
			if err != nil {
				return err
			}
			if a != b {
				at := newScopes(q, hook, before, after)
				if collected.scopes == nil || hook == packet.Forward {
					collected.scopes = at
				}
				collected.collect(hook, q.Disagree(a, b, agreement(before, after)), at)
			}
		}
		collected.describe()
		return nil
	})
	if err != nil {
		return nil, q.hard(err, before.Rules, after.Rules)
	}
	collected.exact()
	return collected.list, nil
}

func (s Side) patterns() []string {
	if s.Policy != nil {
		return meaning.Patterns(s.Policy)
	}
	return s.Rules.Patterns()
}

// ipsets are those in which membership is unknown, and the same for both sides: those
// of a policy, or where there is none, all that rules match and nobody knows.
func ipsets(before, after Side, family packet.Family) []string {
	var list []string
	for _, s := range []Side{before, after} {
		if s.Policy != nil {
			list = append(list, meaning.IPSets(s.Policy, family)...)
		} else if before.Policy == nil && after.Policy == nil {
			list = append(list, s.Rules.IPSets()...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// reader returns the verdict functions of a side by hook, as they compare with the
// other side's.
func (q *question) reader(s, other Side, lists *meaning.Lists) func(packet.Hook) (diagram.Ref, error) {
	if s.Policy != nil {
		r := meaning.NewReader(q.Store, q.space, s.Policy, lists)
		return func(hook packet.Hook) (diagram.Ref, error) { return q.asked(r.Hook(hook), other.Rules), nil }
	}
	r := s.Rules.Reader(q.Store, q.space)
	if s.Whole {
		return r.Whole
	}
	return r.Hook
}

// ownAddresses are those of a policy, where each side that has it gives it the same; else
// nil.
func ownAddresses(q *question, policy string, sides ...Side) diagram.Set {
	var own diagram.Set
	for _, s := range sides {
		if s.Policy == nil {
			continue
		}
		i := slices.IndexFunc(s.Policy.Policies, func(p *schema.Policy) bool { return p.Name == policy })
		if i < 0 {
			continue
		}
		boxes := meaning.NewReader(q.Store, q.space, s.Policy, nil).Scope(s.Policy.Policies[i])
		if len(boxes) == 0 || boxes[0][packet.OrigDest] == nil || own != nil && !slices.Equal(own, boxes[0][packet.OrigDest]) {
			return nil
		}
		own = boxes[0][packet.OrigDest]
	}
	return own
}

// externals are the interfaces that both sides take for the outside; nil when
// they do not agree, or no policy says.
func externals(q *question, sides ...Side) diagram.Set {
	var all []diagram.Set
	for _, s := range sides {
		if s.Policy != nil {
			all = append(all, meaning.NewReader(q.Store, q.space, s.Policy, nil).External())
		}
	}
	if len(all) == 0 || len(all) == 2 && !slices.Equal(all[0], all[1]) {
		return nil
	}
	return all[0]
}

type changes struct {
	q         *question
	own       func(policy string) diagram.Set // see describer; nil for none
	externals diagram.Set
	scopes    *scopes // those of FORWARD, if a change is there; nil before the first change
	list      []*Change
	index     map[string]*Change
}

// collect lists the boxes on which two functions disagree, a policy's scope at
// a time. Boxes that differ in their ports or their hook alone are one change.
func (c *changes) collect(hook packet.Hook, disagree diagram.Differences, s *scopes) {
	disagree.Boxes(func(b *diagram.Box, pair diagram.Pair) {
		c.q.Within(s.owner, *b, func(b *diagram.Box, owner uint32) {
			c.add(part{c.q.space, hook, *b, packet.Verdict(pair.A), packet.Verdict(pair.B)}, s.name(owner))
		})
	})
}

// agreement says whether two verdicts count as the same. Of a policy and a
// file, what the host's own INPUT rules drop is no difference (see foreign).
func agreement(before, after Side) func(a, b uint32) bool {
	switch {
	case before.Policy != nil && after.Policy == nil:
		return func(a, b uint32) bool { return b&^(a|uint32(packet.HostDeny)) == 0 }
	case before.Policy == nil && after.Policy != nil:
		return func(a, b uint32) bool { return a&^(b|uint32(packet.HostDeny)) == 0 }
	}
	return func(a, b uint32) bool { return a == b }
}

// add puts a box to the change that it belongs to: boxes that differ in their
// ports, in their hook or in what conntrack says of the packet are one change.
func (c *changes) add(x part, policy string) {
	effect := effectOf(x.old, x.new)
	rest := c.withoutRelated(x.box)
	hasPorts := rest[packet.Proto] != nil && rest[packet.OrigPort] != nil
	rest[packet.Conntrack] = nil
	key := rest
	if hasPorts {
		key[packet.Proto], key[packet.OrigPort] = nil, nil
	}
	unknown := !slices.ContainsFunc(packet.Classes, func(cl packet.Class) bool { return cl.Known() && x.box[packet.Conntrack].Has(cl.Value()) })
	old, fresh := inWords(x.old, x.new)
	name := fmt.Sprint(policy, "\x00", effect, old, " ", fresh, hasPorts, unknown, key.Key())
	found := c.index[name]
	if found == nil {
		found = &Change{Family: c.q.space.Family, Effect: effect, Old: x.old, New: x.new, Policy: policy,
			Fields: c.bounds(x, rest, hasPorts), Example: c.q.space.Example(x.hook, &x.box)}
		found.Sources, found.AllBut = c.q.fewest(x.box[packet.Source])
		found.Who, found.source = c.q.phraseOf(x.box[packet.Source]), x.box[packet.Source]
		found.Severity = severityOf(c.q.space, &x.box, x.old, x.new)
		c.index[name] = found
		c.list = append(c.list, found)
	}
	found.parts = append(found.parts, x)
	if s := severityOf(c.q.space, &x.box, x.old, x.new); s.Compare(found.Severity) < 0 {
		found.Severity = s
	}
	if !slices.Contains(found.Hooks, x.hook) {
		found.Hooks = append(found.Hooks, x.hook)
	}
	if hasPorts {
		found.addPorts(x.box)
	}
}

// describe words the changes, and finds those that are about all that no policy names.
func (c *changes) describe() {
	words := &describer{question: c.q, externals: c.externals, scopes: c.scopes}
	type unnamed struct {
		list  []*Change
		boxes []diagram.Box
	}
	groups := map[string]*unnamed{}
	for _, x := range c.list {
		for i := range x.parts {
			x.parts[i].box[packet.Source] = nil // all have the same, which a change says once
		}
		words.own = nil
		if c.own != nil && x.Policy != "" {
			words.own = c.own(x.Policy)
		}
		x.Clauses = words.both(x.parts)
		if x.Policy == "" {
			key := fmt.Sprint(x.Effect, coarse(x.Old), coarse(x.New), (&diagram.Box{packet.Source: x.source}).Key())
			if groups[key] == nil {
				groups[key] = &unnamed{}
			}
			g := groups[key]
			g.list = append(g.list, x)
			for _, p := range x.parts {
				if p.hook == packet.Forward {
					g.boxes = append(g.boxes, p.box)
				}
			}
		}
		for i := range x.parts {
			x.parts[i].box[packet.Source] = x.source
		}
	}
	for _, g := range groups {
		list := words.ofAspect(forth, g.boxes)
		all := len(list) == 1 && list[0].unnamed
		for _, x := range g.list {
			x.Unnamed = all && slices.Contains(x.Hooks, packet.Forward)
		}
	}
}

// withoutRelated is a box as if ICMP errors about known connections, which
// every policy lets pass, were packets like others.
func (c *changes) withoutRelated(b diagram.Box) diagram.Box {
	icmp := diagram.Small(int(c.q.space.Family.ICMP()))
	if hasClass(b, packet.Related) && b[packet.Proto] != nil && !b[packet.Proto].Has(icmp) && b[packet.Proto].Size(diagram.Value{}).Int64() > 100 {
		b[packet.Proto] = diagram.Normal(append(slices.Clone(b[packet.Proto]), diagram.Span{Lo: icmp, Hi: icmp}))
	}
	if slices.Equal(b[packet.Proto], diagram.Set{{Hi: c.q.Max(packet.Proto)}}) {
		b[packet.Proto] = nil
	}
	return b
}

// hasClass reports whether a box has packets in a state.
func hasClass(b diagram.Box, s packet.State) bool {
	return slices.ContainsFunc(packet.Classes, func(cl packet.Class) bool { return cl.State == s && b[packet.Conntrack].Has(cl.Value()) })
}

// exact says what a change binds as it is where it is about related packets alone:
// ICMP errors among them may be what it is not about.
func (c *changes) exact() {
	for _, x := range c.list {
		others := slices.ContainsFunc(x.parts, func(p part) bool {
			return slices.ContainsFunc(packet.States, func(s packet.State) bool { return s != packet.Related && hasClass(p.box, s) })
		})
		if others {
			continue
		}
		b := x.parts[0].box
		b[packet.Conntrack] = nil
		x.Fields = c.bounds(x.parts[0], b, len(x.Ports) > 0)
	}
}

// Conntrack says which packets a change is about where it is not every packet
// that opens or belongs to a connection in its own direction; "" where it is.
func (c *Change) Conntrack() string {
	var all diagram.Set
	for _, x := range c.parts {
		if x.box[packet.Conntrack] == nil {
			return ""
		}
		all = append(all, x.box[packet.Conntrack]...)
	}
	all = diagram.Normal(slices.Clone(all))
	has := func(state packet.State) bool {
		return slices.ContainsFunc(packet.Classes, func(cl packet.Class) bool { return cl.State == state && !cl.Reply && all.Has(cl.Value()) })
	}
	reply := slices.ContainsFunc(packet.Classes, func(cl packet.Class) bool { return cl.Reply && all.Has(cl.Value()) })
	fresh, established, related := has(packet.New), has(packet.Established), has(packet.Related)
	switch {
	case fresh && established:
		return ""
	case fresh:
		return "new connections"
	case established && related:
		return "connections that stand already or belong to another"
	case established:
		return "connections that stand already"
	case related:
		return "connections that belong to another"
	case reply:
		return "answers"
	case !has(packet.Untracked):
		return "packets in state INVALID"
	}
	return "packets that conntrack does not know"
}

func effectOf(before, after packet.Verdict) Effect {
	switch {
	case before.IsClosed() && after.IsOpen():
		return Opened
	case before.IsOpen() && after.IsClosed():
		return Closed
	}
	return Other
}

// coarse makes ACCEPT and pass one, for accept is pass in INPUT, and the two
// ways to reject one, for they are one word in a policy.
func coarse(v packet.Verdict) string {
	switch v {
	case packet.Pass, packet.Accept:
		return "open"
	case packet.Reset, packet.Unreachable:
		return "reject"
	case packet.HostDeny:
		return packet.Deny.String()
	}
	return v.String()
}

// Verdicts says what becomes of the packets: "deny → reject", "pass → accept".
func (c *Change) Verdicts() string {
	old, fresh := inWords(c.Old, c.New)
	return old + " → " + fresh
}

// inWords are the verdicts of a change, coarse unless that makes them the same.
func inWords(before, after packet.Verdict) (old, fresh string) {
	if old, fresh = coarse(before), coarse(after); old == fresh {
		return before.String(), after.String()
	}
	return old, fresh
}

// bounds are a box's bounds beyond source, port and conntrack. Being from
// outside goes without saying.
func (c *changes) bounds(x part, b diagram.Box, hasPorts bool) []packet.Field {
	b[packet.Source] = nil
	if hasPorts {
		b[packet.Proto], b[packet.OrigPort] = nil, nil
	}
	if c.externals != nil && slices.Equal(b[packet.In], c.externals) {
		b[packet.In] = nil
	}
	fields := c.q.space.Fields(&b)
	if effectOf(x.old, x.new) == Other {
		old, fresh := inWords(x.old, x.new)
		fields = append(fields, packet.Field{Name: "verdict", Values: []string{old + " → " + fresh}})
	}
	return fields
}

// fewest writes a set of sources in the fewest CIDRs: its own, or those that it
// leaves out.
func (q *question) fewest(s diagram.Set) (cidrs []string, allBut bool) {
	these, others := q.space.CIDRs(s), q.space.CIDRs(s.Complement(q.Max(packet.Source)))
	if s == nil || len(others) < len(these) {
		return others, true
	}
	return these, false
}

// addPorts adds a box's original ports, written as a policy does.
func (c *Change) addPorts(b diagram.Box) {
	for _, protocol := range b[packet.Proto] {
		for n := protocol.Lo.Lo; n <= protocol.Hi.Lo; n++ {
			for _, s := range b[packet.OrigPort] {
				text := fmt.Sprint(s.Lo.Lo)
				if s.Lo != s.Hi {
					text = fmt.Sprintf("%d-%d", s.Lo.Lo, s.Hi.Lo)
				}
				if text += "/" + packet.Protocol(n).String(); !slices.Contains(c.Ports, text) {
					c.Ports = append(c.Ports, text)
				}
			}
		}
	}
}
