package importer

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// reading is one family's tables as functions of packets, all in one store, so that
// every policy that is tried is compared with them without reading them again.
type reading struct {
	*diagram.Store
	space *packet.Space
	chain Chain
	// said is what DOCKER-USER and SEAWALL-INPUT say.
	said map[packet.Hook]diagram.Ref
	// sure is the same without the rules that cannot be evaluated, by a verdict and,
	// above it, the prefixes that are logged. A policy is written from it.
	sure map[packet.Hook]diagram.Ref
	// after is what FORWARD does with packets that DOCKER-USER returns; it is known
	// where the file has Docker's own chains.
	after   diagram.Ref
	whole   bool
	nat     *natTable
	logs    []logged
	hooks   []packet.Hook
	unsure  []*iptables.Rule        // rules that cannot be evaluated
	outs    map[string]bool         // the interfaces that -o of the chain names
	reached map[*iptables.Rule]bool // the rules that the chains lead to
}

// logShift is where the bits of the prefixes begin in a leaf.
const logShift = 14

// verdictBits are those of a packet.Verdict.
const verdictBits = 1<<logShift - 1

// read reads a family's tables.
func read(ctx context.Context, c Chain, patterns []string, limits prove.Limits) (*reading, error) {
	if limits.Steps == 0 {
		limits.Steps = diagram.DefaultSteps
	}
	r := &reading{chain: c, said: map[packet.Hook]diagram.Ref{}, sure: map[packet.Hook]diagram.Ref{},
		hooks: []packet.Hook{packet.Forward}, outs: map[string]bool{}}
	r.reached = reachable(c.Table)
	for rule := range r.reached {
		if !rule.Out.Not && inside(rule.Out.Name) {
			r.outs[rule.Out.Name] = true
		}
	}
	r.nat = natOf(c)
	patterns = append(slices.Clone(patterns), c.Table.Patterns()...)
	patterns = append(patterns, r.nat.bridges()...)
	if c.Raw != nil {
		patterns = append(patterns, c.Raw.Patterns()...)
	}
	r.space = packet.NewSpace(c.Family, patterns...)
	r.Store = r.space.Store()
	r.Limit(ctx, limits.Steps)
	if c.Table.Chain(iptables.SeawallInput) != nil {
		r.hooks = packet.Hooks
	}
	err := r.try(r.build)
	return r, err
}

// try runs a question, and says of one that is given up that it stays undecided.
func (r *reading) try(f func() error) error {
	err := r.Try(f)
	if _, ok := err.(*diagram.LimitError); ok { //nolint:errorlint // Try returns it as it is
		return &prove.HardError{Err: err}
	}
	return err
}

func (r *reading) build() error {
	own := ownChains(r.chain.Table)
	certain := r.withoutUnsure(own)
	for _, hook := range r.hooks {
		var err error
		if r.said[hook], err = r.call(own, hook); err != nil {
			return err
		}
		if r.sure[hook], err = r.call(certain, hook); err != nil {
			return err
		}
	}
	if err := r.findLogs(certain); err != nil {
		return err
	}
	return r.host()
}

func (r *reading) call(t *iptables.Table, hook packet.Hook) (diagram.Ref, error) {
	return iptables.NewReader(r.Store, r.space, t).Call(hook)
}

// ownChains leaves the built-in chains out: what is imported is DOCKER-USER, and the
// chains that it leads to.
func ownChains(t *iptables.Table) *iptables.Table {
	return mapped(t, func(c *iptables.Chain) *iptables.Chain {
		if t.Builtin(c.Name) {
			return nil
		}
		return c
	})
}

// mapped is a table with other chains; nil leaves one out.
func mapped(t *iptables.Table, change func(*iptables.Chain) *iptables.Chain) *iptables.Table {
	out := &iptables.Table{Name: t.Name, Sets: t.Sets}
	for _, c := range t.Chains {
		if c = change(c); c != nil {
			out.Add(c)
		}
	}
	return out
}

// withRules is a table with other rules; nil leaves one out.
func withRules(t *iptables.Table, change func(*iptables.Rule) *iptables.Rule) *iptables.Table {
	return mapped(t, func(c *iptables.Chain) *iptables.Chain {
		copied := *c
		copied.Rules = nil
		for _, rule := range c.Rules {
			if rule = change(rule); rule != nil {
				copied.Rules = append(copied.Rules, rule)
			}
		}
		return &copied
	})
}

// withoutUnsure leaves out the rules that cannot be evaluated. A LOG is none of them:
// whatever its limit says, it decides nothing.
func (r *reading) withoutUnsure(t *iptables.Table) *iptables.Table {
	reached := reachable(t)
	return withRules(t, func(rule *iptables.Rule) *iptables.Rule {
		if isLog(rule) || evaluated(r.space, t, rule) {
			return rule
		}
		if reached[rule] {
			r.unsure = append(r.unsure, rule)
		}
		return nil
	})
}

// reachable are the rules that DOCKER-USER and SEAWALL-INPUT lead to.
func reachable(t *iptables.Table) map[*iptables.Rule]bool {
	rules, seen := map[*iptables.Rule]bool{}, map[*iptables.Chain]bool{}
	var walk func(*iptables.Chain)
	walk = func(c *iptables.Chain) {
		if c == nil || seen[c] {
			return
		}
		seen[c] = true
		for _, rule := range c.Rules {
			rules[rule] = true
			walk(t.Leads(rule))
		}
	}
	for _, hook := range packet.Hooks {
		walk(t.Chain(t.Root(hook)))
	}
	return rules
}

// host reads what the rest of FORWARD does, where DOCKER-USER is its first rule, as
// Docker makes it, and every table is there that says what becomes of a packet.
func (r *reading) host() error {
	forward := r.chain.Table.Chain(string(packet.Forward))
	if forward == nil || len(forward.Rules) < 2 || !isJump(forward.Rules[0]) || r.chain.Table.Chain("DOCKER") == nil {
		return nil
	}
	emptied := mapped(r.chain.Table, func(c *iptables.Chain) *iptables.Chain {
		if c.Name != iptables.DockerUser {
			return c
		}
		return &iptables.Chain{Name: c.Name, Policy: c.Policy}
	})
	var err error
	r.after, err = iptables.NewReader(r.Store, r.space, emptied).Whole(packet.Forward)
	r.whole = err == nil
	return err
}

// isJump reports whether a rule leads every packet to DOCKER-USER and back.
func isJump(rule *iptables.Rule) bool {
	b := rule.Body
	return b.Target.Name == iptables.DockerUser && !rule.Goes() && !rule.Source.Prefix.IsValid() && !b.Dest.Prefix.IsValid() &&
		b.In.Name == "" && b.Out.Name == "" && b.Protocol.Name == "" && len(b.Matches) == 0 && b.Fragment == "" && len(b.Masks) == 0 && b.Unread == ""
}

// packets are what a question fixes of a packet.
type packets struct {
	class    packet.Class
	protocol packet.Protocol
	in, out  int // atoms
	dest     netip.Addr
	destPort int // -1 for one that no rule names
}

// quietProtocol is one that has no ports, and that nobody names.
const quietProtocol packet.Protocol = 47

// fresh is a new connection that arrives on an interface, on its way to a container.
func (r *reading) fresh(protocol packet.Protocol, in int) packets {
	return packets{class: packet.Class{State: packet.New, DNAT: true}, protocol: protocol, in: in, out: r.bridge(), dest: r.quietDest(), destPort: -1}
}

// restrict is a function for packets of which only the original destination and the
// source are open.
func (r *reading) restrict(f diagram.Ref, p packets) diagram.Ref {
	f = r.Restrict(r.restrictBut(f, p), packet.Dest, diagram.OfAddr(p.dest))
	if p.destPort >= 0 {
		return r.Restrict(f, packet.DestPort, diagram.Small(p.destPort))
	}
	return r.widest(f, packet.DestPort)
}

// restrictBut is restrict with the destination left open.
func (r *reading) restrictBut(f diagram.Ref, p packets) diagram.Ref {
	flags := packet.UsualFlags(p.class.State)
	for _, x := range []struct {
		property int
		value    diagram.Value
	}{
		{packet.Conntrack, p.class.Value()}, {packet.Proto, diagram.Small(int(p.protocol))}, {packet.In, diagram.Small(p.in)},
		{packet.Out, diagram.Small(p.out)}, {packet.SourcePort, diagram.Small(40000)}, {packet.TCPFlags, diagram.Small(flags)},
		{packet.ICMPType, diagram.Small(8 * 256)}, {packet.Mark0, diagram.Value{}}, {packet.Mark1, diagram.Value{}},
		{packet.Mark2, diagram.Value{}}, {packet.Mark3, diagram.Value{}},
	} {
		f = r.Restrict(f, x.property, x.value)
	}
	return f
}

// widest is the part of a function that most values of its first property have.
func (r *reading) widest(f diagram.Ref, property int) diagram.Ref {
	return slices.MaxFunc(r.Groups(r.Parts(f, property)), func(x, y diagram.Group) int {
		return x.Spans.Size(r.Max(property)).Cmp(y.Spans.Size(r.Max(property)))
	}).Kid
}

// bridge is an atom that containers are behind: docker0 where a rule can tell it, else
// one that the chain names as a way out, else an interface that no rule names.
func (r *reading) bridge() int {
	if at := r.space.AtomOf("docker0"); at > 0 {
		return at
	}
	for i, a := range r.space.Atoms {
		if i > 0 && r.outs[pattern(a)] {
			return i
		}
	}
	return 0
}

// quietDest is a container's address that no rule names by itself.
func (r *reading) quietDest() netip.Addr {
	if r.chain.Family == packet.IPv6 {
		return netip.MustParseAddr("fd00:d0c6:e4::fa:fa")
	}
	return netip.MustParseAddr("172.17.250.250")
}

// comment is what people wrote about a rule: its own comment, or the line above it.
func (r *reading) comment(rule *iptables.Rule) string {
	for _, m := range rule.Matches {
		if o := m.Option("--comment"); o != nil {
			return o.Values[0]
		}
	}
	lines := r.chain.lines()
	for i := int(rule.Line) - 2; i >= 0 && i < len(lines); i-- {
		text, isComment := strings.CutPrefix(lines[i], "# ")
		switch {
		case isComment && ofPolicy.MatchString(text): // Seawall's own, over several rules
			return ofPolicy.FindStringSubmatch(text)[1]
		case isComment && i == int(rule.Line)-2:
			return text
		case isComment, !strings.HasPrefix(lines[i], "-A"):
			return ""
		}
	}
	return ""
}

// place is a rule's file and line.
func (c *Chain) place(line int) string { return fmt.Sprintf("%s:%d", c.Name, line) }
