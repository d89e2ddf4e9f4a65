package iptables

import (
	"fmt"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/packet"
)

// condition is what a rule's body requires of a packet: it must be in one of the
// cases, whose boxes are disjoint.
type condition struct {
	cases match.Cases
}

// conditions interprets the bodies of rules in one space.
type conditions struct {
	*match.Reader
	point   *diagram.Point // the packet in question, except for its source; nil for all packets
	nothing *condition
	known   map[*Body]*condition
	keys    map[string]*condition
}

func newConditions(s *packet.Space, t *Table) *conditions {
	c := &conditions{Reader: &match.Reader{Space: s, Sets: t.Sets}, nothing: &condition{match.Cases{{}}},
		known: map[*Body]*condition{}, keys: map[string]*condition{}}
	var changes map[match.Thing]string
	c.Changed = func(thing match.Thing) string {
		if changes == nil {
			changes = t.changes()
		}
		return orElse(changes[thing], changes[anything])
	}
	return c
}

// anything is what a rule that is not understood may change.
const anything match.Thing = ""

// changes returns what the rules of a table may change, with the first rule that
// does so.
func (t *Table) changes() map[match.Thing]string {
	list := map[match.Thing]string{}
	add := func(c *Chain, r *Rule, thing match.Thing) {
		if list[thing] == "" {
			list[thing] = fmt.Sprintf("line %d may change it: %s", r.Line, r.String(c.Name))
		}
	}
	for _, c := range t.Chains {
		for _, r := range c.Rules() {
			if r.Unread != "" || t.unknownTarget(r) {
				add(c, r, anything)
			}
			if r.Target.Module != nil {
				for _, thing := range r.Target.use().Effect().Changes {
					add(c, r, thing)
				}
			}
		}
	}
	return list
}

// unknownTarget reports whether a rule's target is neither a chain, nor a
// verdict, nor a known module.
func (t *Table) unknownTarget(r *Rule) bool {
	_, standard := match.Standard[r.Target.Name]
	return r.To == nil && r.Target.Module == nil && !standard && r.Target.Name != "" && r.Target.Name != "RETURN" && t.Chain(r.Target.Name) == nil
}

// of interprets a body once. Bodies that differ only in their target share their
// condition.
func (c *conditions) of(b *Body) *condition {
	if asksNothing(b) {
		return c.nothing
	}
	if known, ok := c.known[b]; ok {
		return known
	}
	x := &condition{c.focused(c.interpret(b))}
	if key, ok := x.key(); ok {
		if same, ok := c.keys[key]; ok {
			x = same
		} else {
			c.keys[key] = x
		}
	}
	c.known[b] = x
	return x
}

// focused reduces the cases to what they require of the source of the packet in
// question.
func (c *conditions) focused(cases match.Cases) match.Cases {
	if c.point == nil {
		return cases
	}
	out := match.Cases{}
	for _, k := range cases {
		holds := true
		for p := range k.Box {
			holds = holds && (p == packet.Source || k.Box[p].Has(c.point[p]))
		}
		if holds {
			k.Box = diagram.Box{packet.Source: k.Box[packet.Source]}
			out = append(out, k)
		}
	}
	return out
}

// key returns the same key for equal boxes; false for a condition that is unsure.
func (x *condition) key() (string, bool) {
	var key strings.Builder
	for i := range x.cases {
		if x.cases[i].Unsure != "" {
			return "", false
		}
		key.WriteString(x.cases[i].Box.Key() + "|")
	}
	return key.String(), true
}

// asksNothing reports whether a body consists only of a target, as for every rule
// of a tree of chains.
func asksNothing(b *Body) bool {
	return len(b.Matches) == 0 && b.In.Name == "" && b.Out.Name == "" && b.Protocol.Name == "" && b.Fragment == "" &&
		!b.Dest.Prefix.IsValid() && len(b.Masks) == 0 && b.Unread == ""
}

func (c *conditions) interpret(b *Body) match.Cases {
	cases := c.basics(b)
	p, _ := packet.ParseProtocol(b.Protocol.Name)
	for i := range b.Matches {
		u := &b.Matches[i]
		if u.Module != nil && !u.Module.Fits(p, b.Protocol.Not) {
			cases = cases.And(match.Unsure(u.String()))
			continue
		}
		cases = cases.And(u.Means(c.Reader))
	}
	for _, m := range b.Masks {
		cases = cases.And(c.masked(m))
	}
	if b.Fragment != "" {
		cases = cases.And(match.Unsure(b.Fragment))
	}
	return cases
}

// basics returns the conditions that need no -m.
func (c *conditions) basics(b *Body) match.Cases {
	var x diagram.Box
	x[packet.Dest] = c.address(b.Dest, packet.Dest)
	x[packet.In] = c.Not(b.In.Not, packet.In, c.interfaces(b.In.Name))
	x[packet.Out] = c.Not(b.Out.Not, packet.Out, c.interfaces(b.Out.Name))
	if b.Protocol.Name != "" {
		p, ok := packet.ParseProtocol(b.Protocol.Name)
		if !ok {
			return match.Unsure("-p " + b.Protocol.Name)
		}
		switch {
		case c.Family != packet.IPv6 || !p.ExtensionHeader():
			x[packet.Proto] = c.Not(b.Protocol.Not, packet.Proto, diagram.One(diagram.Small(int(p))))
		case !b.Protocol.Not:
			return match.Never
		}
	}
	if x.Empty() {
		return match.Never
	}
	return match.Cases{{Box: x}}
}

// interfaces returns the set for -i or -o. iptables accepts names that no
// interface can have in the kernel (net/core/dev.c, dev_valid_name).
func (c *conditions) interfaces(name string) diagram.Set {
	if strings.ContainsAny(name, "/: \t\n\v\f\r") || name == "." || name == ".." {
		return diagram.None
	}
	return c.Interfaces(name)
}

// address returns the set for -s or -d.
func (c *conditions) address(s Source, property int) diagram.Set {
	if !s.Prefix.IsValid() {
		return nil
	}
	return c.Not(s.Not, property, diagram.Set{diagram.OfPrefix(s.Prefix)})
}

// masked returns the addresses that agree with a given one under a mask with holes.
func (c *conditions) masked(m Masked) match.Cases {
	p := packet.Source
	if m.Dest {
		p = packet.Dest
	}
	set, ok := diagram.Masked(diagram.OfAddr(m.Address), diagram.OfAddr(m.Mask), c.Family.Bits())
	if !ok {
		return match.Unsure(fmt.Sprintf("the netmask %v", m.Mask))
	}
	var x diagram.Box
	x[p] = c.Not(m.Not, p, set)
	return match.Cases{{Box: x}}
}
