package nftables

import (
	"cmp"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// Case is a box of packets that a rule matches. Unsure has the words that cannot be
// evaluated: some of the box's packets match, perhaps.
type Case struct {
	Box    diagram.Box
	Unsure string
}

// cases are the packets that a rule matches, as disjoint boxes.
type cases []Case

func always() cases             { return cases{{}} }
func unsure(words string) cases { return cases{{Unsure: words}} }
func within(property int, s diagram.Set) cases {
	var b diagram.Box
	b[property] = s
	return in(b)
}
func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func in(b diagram.Box) cases {
	if b.Empty() {
		return nil
	}
	return cases{{Box: b}}
}

// and is the packets in both.
func (c cases) and(d cases) cases {
	if len(d) == 1 && d[0].Unsure == "" && d[0].Box.Every() {
		return c
	}
	var out cases
	for i := range c {
		for j := range d {
			if b, ok := c[i].Box.And(d[j].Box); ok {
				out = append(out, Case{b, orElse(c[i].Unsure, d[j].Unsure)})
			}
		}
	}
	return out
}

// key returns the same key for equal cases; false when one is unsure.
func (c cases) key() (string, bool) {
	var key strings.Builder
	for i := range c {
		if c[i].Unsure != "" {
			return "", false
		}
		key.WriteString(c[i].Box.Key() + "|")
	}
	return key.String(), true
}

// condition is what a rule requires of a packet besides its source. Rules that
// require the same share one.
type condition struct{ cases cases }

// conditions evaluates what rules compare, in one space.
type conditions struct {
	*packet.Space
	point   *diagram.Point // the packet in question, except for its source; nil for all packets
	changed map[string]string
	written map[*Table]map[string]bool // sets that rules write into
	terse   bool                       // the elements of sets are not known
	fields  map[fieldKey]*field
	sets    map[setKey]*members
	negated map[*members]diagram.Set
	shared  map[string]*condition
	ids     int
}

func newConditions(s *packet.Space, f *File) *conditions {
	return &conditions{Space: s, changed: map[string]string{}, written: f.writes(), terse: f.terse(), fields: map[fieldKey]*field{},
		sets: map[setKey]*members{}, negated: map[*members]diagram.Set{}, shared: map[string]*condition{}}
}

// share returns the condition of these cases, the same for equal ones.
func (c *conditions) share(list cases) *condition {
	key, ok := list.key()
	if !ok {
		return &condition{list}
	}
	if x := c.shared[key]; x != nil {
		return x
	}
	x := &condition{list}
	c.shared[key] = x
	return x
}

// focused reduces cases to what they require of the source of the packet in
// question.
func (c *conditions) focused(list cases) cases {
	if c.point == nil {
		return list
	}
	var out cases
	for _, k := range list {
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

// required is what one match requires of a packet.
type required struct {
	cases cases
	// sources, of a match that asks for the source alone, are not in the cases.
	sources diagram.Set
	// elements are those of a set with several parts to its key, if it is one;
	// outside says that a packet must not be in any.
	elements []cases
	several  bool
	outside  bool
}

// part is one part of a key: something of the packet, and what is done to it before
// it is compared.
type part struct {
	field *field
	steps []step
}

// step is & | or ^ with a constant.
type step struct {
	op string
	by diagram.Value
}

// parts reads the left side of a match. It returns false if a part is not known; the
// cases are what the packet must be in to have it.
func (c *conditions) parts(t *Table, e *Expr) ([]part, cases, bool) {
	list := []Expr{*e}
	if e.Kind == Concat {
		list = e.Args
	}
	var parts []part
	guard, known := always(), true
	for i := range list {
		p, has, ok := c.part(t, &list[i])
		guard = guard.and(has)
		known = known && ok
		parts = append(parts, p)
	}
	return parts, guard, known
}

func (c *conditions) part(t *Table, e *Expr) (part, cases, bool) {
	switch e.Kind {
	case Selector:
		f := c.field(t, e.Text)
		return part{field: f}, f.guard, f.place != nil
	case Binary:
		p, guard, ok := c.part(t, &e.Args[0])
		if !ok {
			return p, guard, false
		}
		by, known := p.field.number(&e.Args[1])
		op, isStep := stepOf[e.Op]
		p.steps = append(p.steps, step{op, by})
		return p, guard, known && isStep
	}
	return part{}, always(), false
}

// stepOf are the operators that are evaluated, in each of nft's spellings.
var stepOf = map[string]string{"&": "&", "and": "&", "|": "|", "or": "|", "^": "^", "xor": "^"}

// match evaluates a match.
func (c *conditions) match(t *Table, m *Match) required {
	words := string(m.append(nil))
	parts, guard, known := c.parts(t, &m.Left)
	if !known {
		return required{cases: guard.and(unsure(words))}
	}
	if by := c.changes(parts); by != "" {
		return required{cases: guard.and(unsure(words + " (" + by + ")"))}
	}
	if len(parts) > 1 {
		return c.several(t, m, parts, guard, words)
	}
	p := parts[0]
	x, ok := c.compared(t, p, m)
	if !ok {
		return required{cases: guard.and(unsure(words))}
	}
	if p.field.property == packet.Source && len(p.steps) == 0 && x.exact() {
		s := c.within(x.in, packet.Source)
		if x.not {
			s = c.without(x)
		}
		return required{cases: guard, sources: s}
	}
	list := guard.and(p.field.place(p.steps, x, words))
	if c.unlisted(t, m) {
		list = list.and(unsure(words + " (nft does not list a family that stood before it)"))
	}
	return required{cases: list}
}

// unlisted reports whether a match may be less than all that the kernel has: of "meta
// nfproto ipv4 meta l4proto icmp" nft lists the second part alone (NETFILTER.md
// section 8). For packets of the family that the protocol belongs to, that makes no
// difference.
func (c *conditions) unlisted(t *Table, m *Match) bool {
	if t.Family != Inet || m.Left.Kind != Selector || m.Left.Text != "meta l4proto" || m.Op != "" && m.Op != "==" || m.Right.Kind != Value {
		return false
	}
	v, ok := protocol.number(&m.Right)
	other := packet.ICMP
	if c.Family == packet.IPv4 {
		other = packet.ICMPv6
	}
	return ok && v == diagram.Small(int(other))
}

// changes returns the rule that may have changed what a key reads, or "".
func (c *conditions) changes(parts []part) string {
	for _, p := range parts {
		if by := cmp.Or(c.changed[p.field.name], c.changed[everything]); by != "" {
			return by
		}
	}
	return ""
}

// without is the complement of members, made once for each set.
func (c *conditions) without(x test) diagram.Set {
	if s, ok := c.negated[x.members]; ok {
		return s
	}
	s := c.within(x.in, packet.Source).Complement(c.Max(packet.Source))
	c.negated[x.members] = s
	return s
}

// several evaluates a match of several parts at once.
func (c *conditions) several(t *Table, m *Match, parts []part, guard cases, words string) required {
	elements, ok := c.elements(t, &m.Right, len(parts))
	if !ok || m.Op != "" && m.Op != "==" && m.Op != "!=" {
		return required{cases: guard.and(unsure(words))}
	}
	r := required{cases: guard, several: true, outside: m.Op == "!="}
	for i := range elements {
		k, _ := c.keyed(parts, &elements[i], words)
		r.elements = append(r.elements, k)
	}
	return r
}

// keyed returns the packets whose key is an element's. It is false where all that
// has to be said is that they may be.
func (c *conditions) keyed(parts []part, e *Element, words string) (cases, bool) {
	keys := []Expr{e.Key}
	if e.Key.Kind == Concat {
		keys = e.Key.Args
	}
	if e.Key.Kind == Any {
		return c.certain(always(), e, words), true
	}
	if len(keys) != len(parts) {
		return unsure(words), false
	}
	list := always()
	for i, p := range parts {
		x := test{members: c.literal(p, []Element{{Key: keys[i]}})}
		list = list.and(p.field.place(p.steps, x, words))
	}
	return c.certain(list, e, words), true
}

// certain makes cases unsure where the element may come and go.
func (c *conditions) certain(list cases, e *Element, words string) cases {
	if e.Unread != "" && e.Verdict == nil || strings.Contains(e.Unread, "timeout") || strings.Contains(e.Unread, "expires") {
		return list.and(unsure(words))
	}
	return list
}

// elements returns the elements of the right side of a match or of a map; false if
// they are not known.
func (c *conditions) elements(t *Table, e *Expr, parts int) ([]Element, bool) {
	switch e.Kind {
	case Literal:
		return e.Set, true
	case Named:
		s := t.Set(e.Text)
		if s == nil || len(s.Key) != parts || c.mayChange(t, s) {
			return nil, false
		}
		return s.Elements, true
	case Concat:
		return []Element{{Key: *e}}, true
	}
	return nil, false
}

// mayChange reports whether a set's elements come and go without anybody loading a
// file, or are not known.
func (c *conditions) mayChange(t *Table, s *Set) bool {
	return c.terse || s.Unread != "" || s.Has("dynamic") || s.Has("timeout") || c.written[t][s.Name]
}

// terse reports whether no set of a file has elements: "nft -t list" leaves them out, and
// nothing in its output says so.
func (f *File) terse() bool {
	for _, t := range f.Tables {
		for _, s := range t.Sets {
			if len(s.Elements) > 0 {
				return false
			}
		}
	}
	return true
}
