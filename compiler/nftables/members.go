package nftables

import (
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
)

// members are the values that a set has for certain, and those that it may have.
type members struct {
	in, maybe diagram.Set
	vague     bool // it may have any
	id        int  // not 0 for those of a named set
}

// test is what a value is compared with.
type test struct {
	*members
	not bool
	any *diagram.Value // the value must have one of these bits, instead
	// loose says that versions of nft differ: to some, one bit in braces is the
	// value, to others a bit that it must have.
	loose bool
}

func (x test) exact() bool { return !x.vague && len(x.maybe) == 0 && x.any == nil && !x.loose }

// takes reports whether a value may pass the test, and whether it may fail.
func (x test) takes(v diagram.Value) (yes, no bool) {
	switch {
	case x.any != nil:
		yes = v.Lo&x.any.Lo != 0 || v.Hi&x.any.Hi != 0
		no = !yes
	case x.vague, x.maybe != nil && x.maybe.Has(v):
		return true, true
	default:
		yes = x.in.Has(v)
		no = !yes
	}
	if x.loose {
		bit := v.Lo&x.in[0].Lo.Lo != 0
		yes, no = yes || bit, no || !bit
	}
	if x.not {
		return no, yes
	}
	return yes, no
}

// compared reads what a match compares a part with; false if it is not known.
func (c *conditions) compared(t *Table, p part, m *Match) (test, bool) {
	x := test{not: m.Op == "!="}
	of := p.field.of
	switch m.Op {
	case "", "==", "!=":
	default:
		v, ok := of.number(&m.Right)
		if !ok || of.bits() || of == ifname || of == ifindex {
			return x, false
		}
		x.members = beyond(m.Op, v)
		return x, true
	}
	switch m.Right.Kind {
	case Named:
		s := t.Set(m.Right.Text)
		if s == nil || s.Map || len(s.Key) != 1 || c.keyType(t, s.Key[0], s.Typeof) != of || c.mayChange(t, s) {
			return x, false
		}
		x.members = c.set(p, s)
	case Literal:
		x.members = c.literal(p, m.Right.Set)
		if e := m.Right.Set; of.bits() && len(e) == 1 && e[0].Key.Kind != Range {
			x.loose = !x.vague && len(x.in) == 1
		}
	default:
		x.members = c.literal(p, []Element{{Key: m.Right}})
		if of.bits() && m.Op == "" && len(p.steps) == 0 && m.Right.Kind != Range {
			v, ok := of.number(&m.Right)
			x.any = &v
			return x, ok
		}
	}
	return x, !x.vague
}

// ordered are the values on one side of v.
func beyond(op string, v diagram.Value) *members {
	top := diagram.Value{Hi: ^uint64(0), Lo: ^uint64(0)}
	s := diagram.Span{Lo: diagram.Value{}, Hi: top}
	switch {
	case op == "<" && v == diagram.Value{}, op == ">" && v == top:
		return &members{in: diagram.None}
	case op == "<":
		s.Hi = v.Prev()
	case op == "<=":
		s.Hi = v
	case op == ">":
		s.Lo = v.Next()
	case op == ">=":
		s.Lo = v
	}
	return &members{in: diagram.Set{s}}
}

// keyType is the type of a part of a set's key.
func (c *conditions) keyType(t *Table, key string, isSelector bool) kindOf {
	if !isSelector {
		return kindOf(key)
	}
	return c.field(t, key).of
}

type setKey struct {
	set      *Set
	from     *members // of members before a mask
	property int
	mask     diagram.Value
	masked   bool
}

// set returns the members of a named set, converted once.
func (c *conditions) set(p part, s *Set) *members {
	key := setKey{set: s, property: p.field.property}
	if m := c.sets[key]; m != nil {
		return m
	}
	m := c.literal(p, s.Elements)
	c.ids++
	m.id = c.ids
	c.sets[key] = m
	return m
}

// literal returns the members of a list of elements.
func (c *conditions) literal(p part, list []Element) *members {
	m := &members{}
	in := make([]diagram.Span, 0, len(list))
	var maybe []diagram.Span
	for i := range list {
		e := &list[i]
		to := &in
		if e.Unread != "" {
			to = &maybe
		}
		switch {
		case e.Key.Kind == Any:
			*to = append(*to, diagram.Span{Hi: c.Max(p.field.property)})
		case p.field.of == ifname || p.field.of == ifindex:
			s, ok := c.names(p.field, &e.Key)
			m.vague = m.vague || !ok
			*to = append(*to, s...)
		default:
			var ok bool
			*to, ok = p.field.of.spans(*to, &e.Key)
			m.vague = m.vague || !ok
		}
	}
	m.in = diagram.Normal(in)
	if maybe != nil {
		m.maybe = diagram.Normal(maybe).Intersect(m.in.Complement(top(p)))
	}
	return m
}

func top(part) diagram.Value { return diagram.Value{Hi: ^uint64(0), Lo: ^uint64(0)} }

// names returns the interfaces that a constant stands for; false if they are not
// known.
func (c *conditions) names(f *field, e *Expr) (diagram.Set, bool) {
	pattern, ok := pattern(f.of, e)
	if !ok {
		return nil, false
	}
	return c.Interfaces(pattern), true
}

// pattern returns an interface name as policies write it, eth+ for eth*; false for
// a number, and for names that policies cannot write.
func pattern(of kindOf, e *Expr) (string, bool) {
	if e.Kind != Value || e.Text == "" || strings.ContainsAny(e.Text, "\\+") {
		return "", false
	}
	name, wild := strings.CutSuffix(e.Text, "*")
	if of == ifindex {
		_, isNumber := numeral(e.Text)
		return e.Text, !isNumber && !wild
	}
	if name == "" || strings.Contains(name, "*") {
		return "", false
	}
	if wild {
		return name + "+", true
	}
	return name, true
}

// before returns the values of a field that pass a test after the steps.
func (c *conditions) before(f *field, steps []step, x test) (test, bool) {
	switch {
	case x.vague || x.loose || x.any != nil:
		return x, false
	case len(steps) == 0:
		return x, true
	case len(steps) > 1 || steps[0].op != "&" || f.of == ifname || f.of == ifindex:
		return x, false
	}
	key := setKey{from: x.members, property: f.property, mask: steps[0].by, masked: true}
	m := c.sets[key]
	if m == nil {
		m = &members{}
		var ok, okToo bool
		m.in, ok = unmasked(x.in, steps[0].by, c.width(f))
		if m.maybe, okToo = unmasked(x.maybe, steps[0].by, c.width(f)); x.maybe == nil {
			m.maybe, okToo = nil, true
		}
		if !ok || !okToo {
			m.vague = true
		}
		if x.members.id != 0 {
			c.ids++
			m.id = c.ids
			c.sets[key] = m
		}
	}
	x.members = m
	return x, !m.vague
}

func (c *conditions) width(f *field) int {
	if f.of == service {
		return 16
	}
	return c.Family.Bits()
}

// unmasked is the values that are in a set under a mask; false if they are too many
// spans.
func unmasked(s diagram.Set, mask diagram.Value, width int) (diagram.Set, bool) {
	list := make([]diagram.Span, 0, len(s))
	host, plain := hostBits(mask, width)
	for _, x := range s {
		if plain {
			lo := apply("&", x.Lo, mask)
			if lo != x.Lo { // up to the next value that the mask leaves as it is
				up := apply("|", x.Lo, host)
				if !up.Less(x.Hi) {
					continue
				}
				lo = up.Next()
			}
			if hi := apply("|", apply("&", x.Hi, mask), host); !hi.Less(lo) {
				list = append(list, diagram.Span{Lo: lo, Hi: hi})
			}
			continue
		}
		if x.Lo != x.Hi {
			return nil, false
		}
		if apply("&", x.Lo, mask) != x.Lo {
			continue
		}
		part, ok := diagram.Masked(x.Lo, mask, width)
		if !ok {
			return nil, false
		}
		list = append(list, part...)
	}
	return diagram.Normal(list), true
}

// hostBits returns the bits that a mask leaves out, and whether they are the lowest.
func hostBits(mask diagram.Value, width int) (diagram.Value, bool) {
	all := diagram.Value{Lo: 1<<width - 1}
	switch {
	case width == 128:
		all = diagram.Value{Hi: ^uint64(0), Lo: ^uint64(0)}
	case width >= 64:
		all.Lo = ^uint64(0)
	}
	host := apply("^", mask, all)
	next := host.Next()
	return host, apply("&", host, next) == diagram.Value{}
}
