package prove

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/rules"
	"go4.org/netipx"
)

// condition is what a rule's body asks of a packet: it must lie in one of the
// boxes, which do not meet. With opaque not empty, a match that cannot be
// decided must hold as well; opaque says which.
type condition struct {
	boxes  []*box
	key    string // equal for equal boxes, "" when opaque
	opaque string
}

// reader interprets the bodies of rules in one space.
type reader struct {
	*space
	sets    rules.Sets
	nothing *condition
	known   map[*rules.Body]*condition
	keys    map[string]*condition
}

func newReader(s *space, sets rules.Sets) *reader {
	return &reader{space: s, sets: sets, nothing: &condition{boxes: []*box{{}}, key: "nothing"}, known: map[*rules.Body]*condition{}, keys: map[string]*condition{}}
}

// condition interprets a body once.
func (r *reader) condition(b *rules.Body) *condition {
	if asksNothing(b) {
		return r.nothing
	}
	if c, ok := r.known[b]; ok {
		return c
	}
	c := r.interpret(b)
	if c.opaque == "" {
		// Bodies that differ in their target alone share their boxes.
		var key strings.Builder
		for _, x := range c.boxes {
			key.WriteString(x.key() + "|")
		}
		c.key = key.String()
		if same, ok := r.keys[c.key]; ok {
			c = same
		} else {
			r.keys[c.key] = c
		}
	}
	r.known[b] = c
	return c
}

// asksNothing tells whether a body is a target alone. Every rule of a tree of
// chains has such a body, many of them one of their own.
func asksNothing(b *rules.Body) bool {
	return len(b.Matches) == 0 && b.In.Name == "" && b.Out.Name == "" && b.Protocol.Name == "" && b.Fragment == "" && !b.Dest.Prefix.IsValid()
}

// parts is a match as boxes that do not meet, or why it cannot be decided.
type parts struct {
	boxes  []box
	opaque string
}

func (r *reader) interpret(b *rules.Body) *condition {
	c := &condition{}
	boxes := r.basics(b)
	for _, m := range b.Matches {
		p := r.match(b, m)
		if p.opaque != "" && c.opaque == "" {
			c.opaque = p.opaque
		}
		if p.boxes != nil {
			boxes = product(boxes, p.boxes)
		}
	}
	for i := range boxes {
		c.boxes = append(c.boxes, &boxes[i])
	}
	if b.Fragment != "" && c.opaque == "" {
		c.opaque = b.Fragment
	}
	return c
}

func product(a, b []box) []box {
	var out []box
	for _, x := range a {
		for _, y := range b {
			if z, ok := x.and(y); ok {
				out = append(out, z)
			}
		}
	}
	return out
}

// negate complements a set where an option is negated.
func (r *reader) negate(not bool, property int, s set) set {
	if !not {
		return s
	}
	return s.complement(r.max(property))
}

// basics are the conditions that need no -m. A rule that cannot hold gives no
// box.
func (r *reader) basics(b *rules.Body) []box {
	var x box
	x[pDst] = r.source(b.Dest, pDst)
	x[pIn] = r.negate(b.In.Not, pIn, r.interfaces(b.In.Name))
	x[pOut] = r.negate(b.Out.Not, pOut, r.interfaces(b.Out.Name))
	if b.Protocol.Name != "" {
		x[pProtocol] = r.negate(b.Protocol.Not, pProtocol, protocolSet(b.Protocol.Name))
	}
	return product([]box{x}, []box{{}})
}

// source is the set of a -s or -d. An address of the other family matches
// nothing.
func (r *reader) source(s rules.Source, property int) set {
	if !s.Prefix.IsValid() {
		return nil
	}
	if s.Prefix.Addr().Is4() != (r.family == rules.IPv4) {
		return none
	}
	return r.negate(s.Not, property, prefixSet(s.Prefix))
}

func prefixSet(p netip.Prefix) set { return set{prefixSpan(p)} }

func prefixSpan(p netip.Prefix) span {
	lo := ofAddr(p.Addr())
	host := p.Addr().BitLen() - p.Bits()
	hi := lo
	if host > 64 {
		hi.hi |= 1<<(host-64) - 1
	}
	if host > 0 {
		hi.lo |= ^uint64(0) >> (64 - min(host, 64))
	}
	return span{lo, hi}
}

// protocolNames are the names that iptables-save prints.
var protocolNames = map[string]int{
	"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51,
	"ipv6-icmp": 58, "icmpv6": 58, "ospf": 89, "vrrp": 112, "sctp": 132, "udplite": 136,
}

// protocolSet is a protocol as a set: none when the name means none that is
// known here, which no packet can then match by accident.
func protocolSet(name string) set {
	if n, ok := protocolNames[name]; ok {
		return one(small(n))
	}
	if n, err := strconv.Atoi(name); err == nil && n > 0 && n < 256 {
		return one(small(n))
	}
	if name == "all" || name == "0" {
		return nil
	}
	return none
}

// match interprets one -m.
func (r *reader) match(b *rules.Body, m rules.Match) parts {
	switch m.Name {
	case "comment":
		return parts{}
	case "conntrack":
		return r.conntrack(m)
	case "state":
		if len(m.Options) == 1 && m.Options[0].Name == "--state" && len(m.Options[0].Values) == 1 {
			o := m.Options[0]
			o.Name = "--ctstate"
			return r.conntrack(rules.Match{Options: []rules.Option{o}})
		}
	case "tcp", "udp", "sctp", "dccp", "udplite":
		return r.ports(m)
	case "multiport":
		return r.multiport(m)
	case "iprange":
		return r.iprange(m)
	case "set":
		return r.set(m)
	}
	return parts{opaque: describe(m)}
}

// describe writes a match as it stands in a file, for messages.
func describe(m rules.Match) string {
	text := "-m " + m.Name
	for _, o := range m.Options {
		if o.Not {
			text += " !"
		}
		text += " " + o.Name
		for _, v := range o.Values {
			text += " " + v
		}
	}
	return text
}

// portSet reads 80, 1000:2000, :2000 or 1000:.
func portSet(text string) (set, bool) {
	first, last, isRange := strings.Cut(text, ":")
	if !isRange {
		last = first
	}
	lo, hi := 0, 65535
	var err error
	if first != "" {
		if lo, err = strconv.Atoi(first); err != nil {
			return nil, false
		}
	}
	if last != "" {
		if hi, err = strconv.Atoi(last); err != nil {
			return nil, false
		}
	}
	if first == "" && !isRange || lo < 0 || hi > 65535 || lo > hi {
		return nil, false
	}
	return set{{small(lo), small(hi)}}, true
}

// ports interprets -m tcp and its kin. What is asked beyond ports is opaque.
func (r *reader) ports(m rules.Match) parts {
	var x box
	p := parts{}
	for _, o := range m.Options {
		property := map[string]int{"--dport": pDport, "--sport": pSport}[o.Name]
		if property == 0 || len(o.Values) != 1 {
			p.opaque = describe(m)
			continue
		}
		s, ok := portSet(o.Values[0])
		if !ok {
			p.opaque = describe(m)
			continue
		}
		x[property] = r.negate(o.Not, property, s)
	}
	p.boxes = product([]box{x}, []box{{}})
	if p.boxes == nil {
		p.boxes = []box{}
	}
	return p
}

// multiport interprets lists of ports. --ports holds for either port: two
// boxes that do not meet.
func (r *reader) multiport(m rules.Match) parts {
	if len(m.Options) != 1 || len(m.Options[0].Values) != 1 {
		return parts{opaque: describe(m)}
	}
	o := m.Options[0]
	var spans []span
	for _, text := range strings.Split(o.Values[0], ",") {
		s, ok := portSet(text)
		if !ok {
			return parts{opaque: describe(m)}
		}
		spans = append(spans, s...)
	}
	s := normal(spans)
	not := s.complement(small(65535))
	if o.Not {
		s, not = not, s
	}
	var x, y box
	switch o.Name {
	case "--dports":
		x[pDport] = s
		return parts{boxes: []box{x}}
	case "--sports":
		x[pSport] = s
		return parts{boxes: []box{x}}
	case "--ports":
		if o.Not {
			x[pSport], x[pDport] = s, s
			return parts{boxes: []box{x}}
		}
		x[pSport] = s
		y[pSport], y[pDport] = not, s
		return parts{boxes: []box{x, y}}
	}
	return parts{opaque: describe(m)}
}

func (r *reader) iprange(m rules.Match) parts {
	var x box
	for _, o := range m.Options {
		property := map[string]int{"--src-range": pSrc, "--dst-range": pDst}[o.Name]
		if property == 0 || len(o.Values) != 1 {
			return parts{opaque: describe(m)}
		}
		text := o.Values[0]
		if !strings.Contains(text, "-") {
			text += "-" + text
		}
		g, err := netipx.ParseIPRange(text)
		if err != nil || g.From().Is4() != (r.family == rules.IPv4) {
			return parts{opaque: describe(m)}
		}
		x[property] = r.negate(o.Not, property, set{{ofAddr(g.From()), ofAddr(g.To())}})
	}
	return parts{boxes: []box{x}}
}

// conntrack interprets -m conntrack as the kernel does
// (net/netfilter/xt_conntrack.c, conntrack_mt). A packet without an entry
// holds exactly when the rule asks for a state and the state matches: every
// other condition is then skipped (FACTS section 3).
func (r *reader) conntrack(m rules.Match) parts {
	var known box
	var opaque string
	states := set(nil)
	asksState := false
	known[pClass] = classSet(class.known)
	for _, o := range m.Options {
		if len(o.Values) != 1 {
			return parts{opaque: describe(m)}
		}
		property, s, ok := r.ctOption(o)
		switch {
		case !ok:
			opaque = describe(m)
			continue
		case o.Name == "--ctstate":
			asksState = true
			states = states.intersect(r.negate(o.Not, pClass, s))
			continue
		}
		if property == pProtocol {
			// An ICMP error carries its connection's entry, whose protocol the
			// packet does not show.
			opaque = orElse(opaque, r.ctProtocol(&known, r.negate(o.Not, property, s), describe(m)))
			continue
		}
		known[property] = known[property].intersect(r.negate(o.Not, property, s))
	}
	boxes := []box{}
	if asksState {
		known[pClass] = known[pClass].intersect(states)
		var unknown box
		unknown[pClass] = states.intersect(classSet(func(c class) bool { return !c.known() }))
		boxes = append(boxes, product([]box{unknown}, []box{{}})...)
	}
	boxes = append(boxes, product([]box{known}, []box{{}})...)
	return parts{boxes: boxes, opaque: opaque}
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// ctProtocol binds --ctproto: where the entry's protocol is the packet's own it
// is that; for related ICMP packets it is left open.
func (r *reader) ctProtocol(x *box, s set, text string) string {
	errors := one(small(r.icmp()))
	x[pProtocol] = x[pProtocol].intersect(normal(append(append([]span{}, s...), errors...)))
	if related := classSet(func(c class) bool { return c.state == "RELATED" }); len(x[pClass].intersect(related)) > 0 || !s.has(small(r.icmp())) {
		return text
	}
	return ""
}

// ctOption is the set of one conntrack option, before negation.
func (r *reader) ctOption(o rules.Option) (property int, s set, ok bool) {
	v := o.Values[0]
	switch o.Name {
	case "--ctstate":
		s, ok = stateSet(v)
		return pClass, s, ok
	case "--ctdir":
		switch v {
		case "ORIGINAL", "REPLY":
			return pClass, classSet(func(c class) bool { return c.known() && c.reply == (v == "REPLY") }), true
		}
	case "--ctproto":
		s = protocolSet(v)
		return pProtocol, s, s != nil
	case "--ctorigdst":
		p, err := parsePrefix(v)
		if err == nil && p.Addr().Is4() == (r.family == rules.IPv4) {
			return pOrigDst, prefixSet(p), true
		}
	case "--ctorigdstport":
		s, ok = portSet(v)
		return pOrigPort, s, ok
	}
	return 0, nil, false
}

func parsePrefix(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// stateSet reads a list such as RELATED,ESTABLISHED.
func stateSet(list string) (set, bool) {
	words := map[string]bool{}
	for _, w := range strings.Split(list, ",") {
		switch w {
		case "INVALID", "UNTRACKED", "NEW", "ESTABLISHED", "RELATED", "SNAT", "DNAT":
			words[w] = true
		default:
			return nil, false
		}
	}
	return classSet(func(c class) bool {
		return words[c.state] || c.snat && words["SNAT"] || c.dnat && words["DNAT"]
	}), true
}

func (c class) String() string {
	text := c.state
	if c.known() {
		dir := "ORIGINAL"
		if c.reply {
			dir = "REPLY"
		}
		text += " " + dir
	}
	if c.snat {
		text += " SNAT"
	}
	if c.dnat {
		text += " DNAT"
	}
	return text
}
