package importer

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// reading is one family's tables as functions of packets, all in one store, so that
// every policy that is tried is compared with them without reading them again.
type reading struct {
	*diagram.Store
	space *packet.Space
	chain Chain
	// through is the bridge that packets are read at, 0 for the usual one.
	through int
	// said is what the chains say.
	said map[packet.Hook]diagram.Ref
	// sure is the same without the rules that cannot be evaluated, by a verdict and,
	// above it, the prefixes that are logged. A policy is written from it.
	sure map[packet.Hook]diagram.Ref
	// after is what FORWARD does with packets that DOCKER-USER returns; it is known
	// where the file has Docker's own chains.
	after diagram.Ref
	whole bool
	nat   *natTable
	logs  []logged
	hooks []packet.Hook
	rules ruleset
	outs  map[string]bool // the bridges by which packets leave that rules name
}

// logShift is where the bits of the prefixes begin in a leaf.
const logShift = 14

// verdictBits are those of a packet.Verdict.
const verdictBits = 1<<logShift - 1

// read reads a family's tables.
func read(ctx context.Context, c Chain, rules ruleset, patterns []string, limits prove.Limits) (*reading, error) {
	if limits.Steps == 0 {
		limits.Steps = diagram.DefaultSteps
	}
	r := &reading{chain: c, said: map[packet.Hook]diagram.Ref{}, sure: map[packet.Hook]diagram.Ref{},
		rules: rules, hooks: rules.hooks(), outs: map[string]bool{}}
	for _, rule := range rules.rules() {
		for _, name := range rule.outs {
			if inside(name) {
				r.outs[name] = true
			}
		}
	}
	r.nat = rules.nat()
	patterns = append(slices.Clone(patterns), rules.patterns()...)
	r.space = packet.NewSpace(c.Family, append(patterns, r.nat.bridges()...)...)
	r.Store = r.space.Store()
	r.Limit(ctx, limits.Steps)
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
	unsure := r.unsure()
	all, certain := r.rules.reader(r.Store, r.space, nil), r.rules.reader(r.Store, r.space, unsure)
	for _, hook := range r.hooks {
		var err error
		if r.said[hook], err = all(hook); err != nil {
			return err
		}
		if r.sure[hook], err = certain(hook); err != nil {
			return err
		}
	}
	if err := r.findLogs(unsure); err != nil {
		return err
	}
	var err error
	r.after, r.whole, err = r.rules.rest(r.Store, r.space)
	return err
}

// unsure leaves out the rules that cannot be evaluated. One that logs is none of them:
// whatever its limit says, it decides nothing.
func (r *reading) unsure() changes {
	left, evaluated := changes{}, r.rules.evaluates(r.space)
	for _, rule := range r.rules.rules() {
		if !evaluated(rule) {
			left[rule] = omitted
		}
	}
	return left
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
	if r.through > 0 {
		return r.through
	}
	return r.usualBridge()
}

func (r *reading) usualBridge() int {
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

// readAt chooses the bridge for a candidate: the chain judges what leaves by one of its
// bridges alone.
func (r *reading) readAt(c candidate) {
	r.through = 0
	usual := diagram.Small(r.usualBridge())
	if len(c.bridges) > 0 && !slices.ContainsFunc(c.bridges, func(name string) bool { return r.space.Interfaces(name).Has(usual) }) {
		r.through = r.atomOf(c.bridges[0])
	}
}

// quietDest is a container's address that no rule names by itself.
func (r *reading) quietDest() netip.Addr {
	if r.chain.Family == packet.IPv6 {
		return netip.MustParseAddr("fd00:d0c6:e4::fa:fa")
	}
	return netip.MustParseAddr("172.17.250.250")
}

// place is a rule's file and line.
func (c *Chain) place(line int) string { return fmt.Sprintf("%s:%d", c.Name, line) }
