package importer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// plan is a policy to be: what the blocks of a candidate say.
type plan struct {
	candidate
	unlisted schema.Verdict
	proxy    bool
	logLimit string
	mark     uint32                     // accept_mark
	guard    map[packet.Family]function // of the sources that it decides about
	policies []*policy
	forwards []*forward
}

// policy is one policy block to be.
type policy struct {
	name      string
	ports     []portRange
	in        []int // indices into the external interfaces
	addresses []string
	functions map[packet.Family]function
}

type portRange struct {
	protocol    packet.Protocol
	first, last int
}

func (p portRange) String() string {
	if p.first == p.last {
		return fmt.Sprintf("%d/%v", p.first, p.protocol)
	}
	return fmt.Sprintf("%d-%d/%v", p.first, p.last, p.protocol)
}

// plan reads the chains as a candidate would say them.
func (m *imported) plan(c candidate) *plan {
	p := &plan{candidate: c, guard: map[packet.Family]function{}, proxy: m.proxy(), logLimit: m.logLimit(), forwards: c.forwards}
	for _, r := range m.readings {
		p.mark |= r.rules.acceptMark()
	}
	quiet := map[packet.Family]function{}
	for i, r := range m.readings {
		r.readAt(c)
		quiet[r.chain.Family] = r.function(r.quiet(c.arrivals[0]))
		o := quiet[r.chain.Family].most(packet.MaxAddress(r.chain.Family))
		if i == 0 || o.verdict != schema.Pass {
			p.unlisted = o.verdict
		}
	}
	if p.unlisted == schema.Accept {
		p.unlisted = schema.Pass
	}
	places := m.places(c)
	if c.guarded {
		p.findGuard(quiet, places)
	}
	p.findPolicies(m, places)
	return p
}

// quiet is what the chain says of what no policy would name: a protocol without ports.
func (r *reading) quiet(pattern string) diagram.Ref {
	f := r.restrict(r.sure[packet.Forward], r.fresh(quietProtocol, r.atomOf(pattern)))
	return r.widest(r.widest(f, packet.OrigPort), packet.OrigDest)
}

// findGuard takes the sources that are treated apart on what no policy names, and alike
// everywhere.
func (p *plan) findGuard(quiet map[packet.Family]function, places []place) {
	for family, f := range quiet {
		g := function{}
		for o, s := range f {
			if o == (outcome{verdict: p.unlisted}) {
				continue
			}
			for _, x := range places {
				for _, part := range x.parts {
					if of := part.functions[family]; of != nil {
						s = s.Intersect(orNone(of[o]))
					}
				}
			}
			if len(s) > 0 {
				g[o] = s
			}
		}
		p.guard[family] = g
	}
}

func orNone(s diagram.Set) diagram.Set {
	if s == nil {
		return diagram.None
	}
	return s
}

// guardSet is the sources that the guard decides about.
func (p *plan) guardSet(f packet.Family) diagram.Set {
	all := diagram.None
	for _, s := range p.guard[f] {
		all = all.Union(s)
	}
	return all
}

// says reports whether a function says of every source what guard and unlisted say.
func (p *plan) saysNothing(functions map[packet.Family]function) bool {
	for family, f := range functions {
		decided := p.guardSet(family).Complement(packet.MaxAddress(family))
		for o, s := range f {
			if o != (outcome{verdict: p.unlisted}) && len(s.Intersect(decided)) > 0 {
				return false
			}
		}
	}
	return true
}

// needless reports whether a part needs no policy: guard and unlisted say it.
func (p *plan) needless(a addressPart) bool { return !a.named && p.saysNothing(a.functions) }

// findPolicies makes policies of the places that guard and unlisted do not say. Ports
// that say the same on the same interfaces are one policy.
func (p *plan) findPolicies(m *imported, places []place) {
	type group struct {
		parts []addressPart
		in    []int
		ports []portRange
	}
	// The interfaces of each place, then the places of each set of interfaces.
	type at struct {
		protocol packet.Protocol
		span     diagram.Span
		key      string
	}
	var order []at
	ins, parts := map[at][]int{}, map[at][]addressPart{}
	said := map[at]bool{}
	for _, x := range places {
		if slices.ContainsFunc(x.parts, func(a addressPart) bool { return !p.needless(a) }) {
			said[at{x.protocol, x.span, p.scopeOr(x.in)}] = true
		}
	}
	for _, x := range places {
		if !said[at{x.protocol, x.span, p.scopeOr(x.in)}] {
			continue
		}
		k := at{x.protocol, x.span, x.key()}
		if ins[k] == nil {
			order = append(order, k)
			parts[k] = x.parts
		}
		ins[k] = append(ins[k], x.in)
	}
	var groups []*group
	byKey := map[string]*group{}
	for _, k := range order {
		ports := portRange{k.protocol, max(1, int(k.span.Lo.Lo)), int(k.span.Hi.Lo)}
		key := fmt.Sprint(ins[k], k.key, m.commentOf(ports)) // two services that say the same stay two
		g := byKey[key]
		if g == nil {
			g = &group{parts: parts[k], in: ins[k]}
			byKey[key] = g
			groups = append(groups, g)
		}
		g.ports = append(g.ports, ports)
	}
	for _, g := range groups {
		ports := joined(g.ports)
		nested := p.scopeOf(g.in[0]) != ""
		for i, x := range g.parts {
			if p.needless(x) && !nested && (i == 0 || p.needless(g.parts[0])) {
				continue
			}
			p.policies = append(p.policies, &policy{ports: ports, in: g.in, addresses: x.addresses, functions: x.functions})
		}
	}
	m.name(p)
}

// scopeOf is the interface whose policies would decide on another one that lies in it,
// unless that has policies of its own: "" where the external interfaces do not nest.
func (p *plan) scopeOf(in int) string {
	for i, wide := range p.arrivals {
		prefix, isPrefix := strings.CutSuffix(wide, "+")
		for j, narrow := range p.arrivals {
			if i != j && isPrefix && strings.HasPrefix(narrow, prefix) && (in == i || in == j) {
				return wide
			}
		}
	}
	return ""
}

// scopeOr is scopeOf, or else the interface itself.
func (p *plan) scopeOr(in int) string { return cmp.Or(p.scopeOf(in), p.arrivals[in]) }

// joined joins ranges of ports that touch.
func joined(list []portRange) []portRange {
	var out []portRange
	for _, x := range list {
		if n := len(out); n > 0 && out[n-1].protocol == x.protocol && out[n-1].last+1 == x.first {
			out[n-1].last = x.last
			continue
		}
		out = append(out, x)
	}
	return out
}

// forward is a forward block to be.
type forward struct {
	from, to              []string
	sources, destinations map[packet.Family]diagram.Set
}

// forwards are the ways through the host on which the chain accepts connections and their
// answers, whatever their protocol.
func (m *imported) forwards() []*forward {
	var list []*forward
	for _, r := range m.readings {
		for i, from := range r.space.Atoms {
			if i > 0 && r.rules.finalAccept() && r.everywhere(i) {
				if slices.ContainsFunc(list, func(x *forward) bool { return x.from[0] == pattern(from) && x.to[0] == every }) {
					continue
				}
				list = append(list, &forward{from: []string{pattern(from)}, to: []string{every}})
				continue
			}
			for o, to := range r.space.Atoms {
				if i == 0 || o == 0 || i == o || !r.answers(o, i) || !r.rules.finalAccept() && r.passes(i, 0) {
					continue
				}
				list = m.addForwards(list, r, i, o, from, to)
			}
		}
	}
	return list
}

// everywhere reports whether everything that comes in on an interface is accepted wherever
// it goes, and its answers as well.
func (r *reading) everywhere(in int) bool {
	for o := range r.space.Atoms {
		p := r.fresh(quietProtocol, in)
		p.out = o
		f := r.restrictOpen(r.sure[packet.Forward], p)
		if !f.IsLeaf() || packet.Verdict(f.Bits()&verdictBits) != packet.Accept || !r.answers(o, in) {
			return false
		}
	}
	return true
}

// answers reports whether answers that come in on an interface and leave on another one
// are accepted.
func (r *reading) answers(in, out int) bool {
	p := r.fresh(packet.TCP, in)
	p.class, p.out = packet.Class{State: packet.Established, Reply: true}, out
	f := r.restrict(r.sure[packet.Forward], p)
	f = r.widest(r.widest(f, packet.OrigPort), packet.OrigDest)
	return f.IsLeaf() && packet.Verdict(f.Bits()&verdictBits) == r.forwarded()
}

// forwarded is what a forward block says in the rules' dialect: where no accept is final,
// that it passes.
func (r *reading) forwarded() packet.Verdict {
	if r.rules.finalAccept() {
		return packet.Accept
	}
	return packet.Pass
}

// passes reports whether everything that comes in on one interface and leaves by another
// passes, but for what has ports.
func (r *reading) passes(in, out int) bool {
	p := r.fresh(quietProtocol, in)
	p.out = out
	f := r.restrictOpen(r.sure[packet.Forward], p)
	return f.IsLeaf() && packet.Verdict(f.Bits()&verdictBits) == packet.Pass
}

func (m *imported) addForwards(list []*forward, r *reading, i, o int, from, to packet.Atom) []*forward {
	p := r.fresh(quietProtocol, i)
	p.out = o
	f := r.restrictOpen(r.sure[packet.Forward], p)
	family := r.chain.Family
	other := r.notElsewhere(i)
	for _, g := range r.Groups(r.Parts(f, packet.Dest)) {
		verdict := schema.Accept
		if r.forwarded() == packet.Pass {
			verdict = schema.Pass
		}
		accepted := orNone(r.function(g.Kid)[outcome{verdict: verdict}])
		if len(accepted.Intersect(other)) == 0 {
			continue
		}
		x := &forward{[]string{pattern(from)}, []string{pattern(to)}, map[packet.Family]diagram.Set{family: accepted}, map[packet.Family]diagram.Set{family: g.Spans}}
		same := slices.IndexFunc(list, func(y *forward) bool { return y.from[0] == x.from[0] && y.to[0] == x.to[0] && y.sources[family] == nil })
		if same >= 0 {
			list[same].sources[family], list[same].destinations[family] = accepted, g.Spans
			continue
		}
		list = append(list, x)
	}
	return list
}

// notElsewhere are the sources of which not everything passes that comes in on an
// interface and leaves by one that no rule names: what passes there needs no forward.
func (r *reading) notElsewhere(in int) diagram.Set {
	all := diagram.Set{{Hi: r.Max(packet.Source)}}
	if r.rules.finalAccept() {
		return all
	}
	p := r.fresh(quietProtocol, in)
	p.out = 0
	f := r.restrictOpen(r.sure[packet.Forward], p)
	for _, g := range r.Groups(r.Parts(f, packet.Dest)) {
		all = all.Intersect(orNone(r.function(g.Kid)[outcome{verdict: schema.Pass}]))
	}
	return all.Complement(r.Max(packet.Source))
}

// pattern is an atom as a policy names it.
func pattern(a packet.Atom) string {
	if a.Prefix {
		return a.Name + "+"
	}
	return a.Name
}

// atomOf is the atom of an interface as a policy names it.
func (r *reading) atomOf(name string) int {
	for i, a := range r.space.Atoms {
		if i > 0 && pattern(a) == name {
			return i
		}
	}
	return 0
}

// restrictOpen is restrict with the destination left open, for packets of which the
// original one does not count.
func (r *reading) restrictOpen(f diagram.Ref, p packets) diagram.Ref {
	f = r.restrictBut(f, p)
	f = r.widest(f, packet.DestPort)
	return r.widest(r.widest(f, packet.OrigPort), packet.OrigDest)
}

// proxy reports whether the chains close docker-proxy's way in as well.
func (m *imported) proxy() bool {
	for _, r := range m.readings {
		if f, there := r.said[packet.Input]; there && f != diagram.Leaf(uint32(packet.Pass)) {
			return true
		}
	}
	return false
}

// logLimit is the rate of the first limit of a log, "" for the default.
func (m *imported) logLimit() string {
	for _, r := range m.readings {
		for _, l := range r.logs {
			if l.rate != "" {
				return l.rate
			}
		}
	}
	return ""
}

// slug makes a name that no other block has: the words of a comment, else its ports.
func slug(taken map[string]bool, comment, other string) string {
	name := strings.Trim(strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
			return c
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		}
		return '-'
	}, comment), "-._")
	for strings.Contains(name, "--") {
		name = strings.ReplaceAll(name, "--", "-")
	}
	if name == "" {
		name = other
	}
	const longest = 40
	name = strings.Trim(name[:min(len(name), longest)], "-")
	for base, n := name, 2; taken[name]; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	taken[name] = true
	return name
}
