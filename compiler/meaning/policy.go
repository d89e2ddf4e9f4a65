// Package meaning defines what a policy means: it turns a document into a diagram
// from packets to verdicts. It is schema/SPEC.md section 2, transcribed step by
// step, and shares no code with the lowering.
//
//	policy.go   the steps, in order
//	sources.go  the addresses of lists of sources
//	scope.go    the scopes of policies, and which is narrower
//	explain.go  one packet's way through the steps
package meaning

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// Reader writes the verdict function of a document as a list of items, of which
// the first that decides applies.
type Reader struct {
	*diagram.Store
	space *packet.Space
	doc   *schema.Document
	lists *Lists
	items []diagram.Item
	known map[listKey]diagram.Ref // the verdict of rules for each source
	// layers are known for sets that several lists of rules share.
	layers map[string]layers
}

// NewReader returns a reader of a document in a space. lists are the document's
// for the space's family; nil reads them now.
func NewReader(d *diagram.Store, s *packet.Space, doc *schema.Document, lists *Lists) *Reader {
	if lists == nil {
		lists = NewLists(s.Family, nil)
	}
	return &Reader{Store: d, space: s, doc: doc, lists: lists, known: map[listKey]diagram.Ref{}, layers: map[string]layers{}}
}

// Patterns are the interfaces that a policy mentions.
func Patterns(doc *schema.Document) []string {
	var names []string
	add := func(list []schema.Interface) {
		for _, i := range list {
			names = append(names, i.String())
		}
	}
	add(doc.Host.External)
	add(doc.Host.Internal)
	add(doc.Host.Bridges)
	for _, p := range doc.Policies {
		add(p.External)
	}
	for _, f := range doc.Forwards {
		add(f.From)
		add(f.To)
	}
	for _, t := range doc.Tests {
		add([]schema.Interface{t.External})
	}
	return names
}

// IPSets are the ipsets of a family that a policy mentions and somebody else fills. The
// space of whatever a policy is compared in must have them as members.
func IPSets(doc *schema.Document, f packet.Family) []string { return doc.IPSets(f == packet.IPv6) }

// Hook is the verdict function of the document at a hook.
func (r *Reader) Hook(hook packet.Hook) diagram.Ref {
	r.items = nil
	if hook == packet.Forward {
		return r.forwarded()
	}
	return r.toHost()
}

func (r *Reader) then(b diagram.Box, target diagram.Ref) {
	r.items = append(r.items, diagram.Item{Box: &b, Target: target})
}

// forwarded is SPEC section 2, steps 0 to 9.
func (r *Reader) forwarded() diagram.Ref {
	host := r.doc.Host
	unlisted := func(b diagram.Box) { r.verdict(b, host.Unlisted) }
	r.byState()                        // 0
	for _, f := range r.doc.Forwards { // 1
		r.forward(f)
	}
	r.inside()                                                                                    // 2
	r.then(diagram.Box{packet.Out: r.Bridges().Complement(r.Max(packet.Out))}, leaf(packet.Pass)) // 2
	r.relatedErrors()                                                                             // 3
	unlisted(diagram.Box{packet.Conntrack: packet.ClassSet(func(c packet.Class) bool { return !c.Known() })})
	r.answers() // 5, 6
	if g := r.doc.Guard; g != nil {
		r.guard(diagram.Box{}, g.Rules, packet.Forward) // 7
	}
	for _, p := range r.NarrowFirst() { // 8
		for _, b := range r.Scope(p) {
			r.rules(b, p.Rules, p.Default, packet.Forward)
		}
	}
	unlisted(diagram.Box{}) // 9
	return r.Build(r.items)
}

// toHost is the same for chain INPUT: steps 2 to 8 for the ports that policies
// name; all else passes. What is INVALID there is denied.
func (r *Reader) toHost() diagram.Ref {
	if !r.doc.Host.UserlandProxy {
		return leaf(packet.Pass)
	}
	r.inside()
	r.relatedErrors()
	for _, p := range r.doc.Policies { // 4
		for _, b := range r.Scope(p) {
			r.then(InvalidIn(b), leaf(packet.Deny))
		}
	}
	r.then(diagram.Box{packet.Conntrack: packet.ClassSet(func(c packet.Class) bool { return !c.Known() })}, leaf(packet.Pass))
	r.answers()
	for _, p := range r.NarrowFirst() {
		for _, b := range r.Scope(p) {
			if g := r.doc.Guard; g != nil {
				r.guard(b, g.Rules, packet.Input)
			}
			r.rules(b, p.Rules, p.Default, packet.Input)
		}
	}
	r.then(diagram.Box{}, leaf(packet.Pass))
	return r.Build(r.items)
}

func (r *Reader) forward(f *schema.Forward) {
	from, to := r.patterns(f.From), r.patterns(f.To)
	var out, back diagram.Box
	out[packet.Conntrack] = packet.ClassSet(func(c packet.Class) bool { return c.Known() && !c.Reply })
	out[packet.In], out[packet.Out] = from, to
	out[packet.Source], out[packet.Dest] = r.sourceSet(f.Sources), r.sourceSet(f.Destinations)
	back[packet.Conntrack] = packet.ClassSet(func(c packet.Class) bool { return c.Known() && c.Reply })
	back[packet.In], back[packet.Out] = to, from
	r.then(out, leaf(packet.Accept))
	r.then(back, leaf(packet.Accept))
}

// byState adds step 0.
func (r *Reader) byState() {
	host := r.doc.Host
	if host.Established == schema.Accepted {
		r.then(inState(packet.Established), leaf(packet.Accept))
	}
	if host.Related == schema.Accepted {
		r.then(inState(packet.Related), leaf(packet.Accept))
	}
	if host.DenyInvalid {
		r.then(inState(packet.Invalid), leaf(packet.Deny))
	}
}

func inState(s packet.State) diagram.Box {
	return diagram.Box{packet.Conntrack: packet.ClassSet(func(c packet.Class) bool { return c.State == s })}
}

// inside is the part of step 2 that applies at both hooks.
func (r *Reader) inside() {
	r.then(diagram.Box{packet.In: r.External().Complement(r.Max(packet.In))}, leaf(packet.Pass))
}

func (r *Reader) relatedErrors() {
	r.then(diagram.Box{
		packet.Proto:     diagram.One(diagram.Small(int(r.space.Family.ICMP()))),
		packet.Conntrack: packet.ClassSet(func(c packet.Class) bool { return c.State == packet.Related }),
	}, leaf(packet.Pass))
}

// answers are steps 5 and 6. What step 0 accepts comes here at INPUT alone, and
// passes.
func (r *Reader) answers() {
	r.then(diagram.Box{packet.Conntrack: packet.ClassSet(func(c packet.Class) bool { return c.Known() && c.Reply })}, leaf(packet.Pass))
	if r.doc.Host.Established != schema.Check {
		r.then(inState(packet.Established), leaf(packet.Pass))
	}
	if r.doc.Host.Related != schema.Check {
		r.then(inState(packet.Related), leaf(packet.Pass))
	}
}

// External returns the interfaces on which traffic from outside arrives.
func (r *Reader) External() diagram.Set { return r.outside(r.doc.Host.External) }

// Bridges returns the interfaces by which a packet must leave for guard, policies
// and unlisted to apply to it.
func (r *Reader) Bridges() diagram.Set {
	if len(r.doc.Host.Bridges) == 0 {
		return nil
	}
	return r.patterns(r.doc.Host.Bridges)
}

// outside returns the interfaces of a list that are not internal.
func (r *Reader) outside(list []schema.Interface) diagram.Set {
	return r.patterns(list).Intersect(r.patterns(r.doc.Host.Internal).Complement(r.Max(packet.In)))
}

// patterns returns the interfaces of a list, with every one listed separately.
func (r *Reader) patterns(list []schema.Interface) diagram.Set {
	var spans []diagram.Span
	for _, i := range list {
		spans = append(spans, r.space.Interfaces(i.String()).OrAll(r.Max(packet.In))...)
	}
	return diagram.Normal(spans)
}

// verdictOf returns a verdict of the language as an outcome, for tcp or for another protocol.
func verdictOf(v schema.Verdict, tcp bool, hook packet.Hook) packet.Verdict {
	switch {
	case v == schema.Pass, v == schema.Accept && hook == packet.Input:
		return packet.Pass
	case v == schema.Accept:
		return packet.Accept
	case v == schema.Deny:
		return packet.Deny
	case tcp:
		return packet.Reset
	}
	return packet.Unreachable
}

var tcpOnly = diagram.One(diagram.Small(6))

// verdict decides a box: reject answers tcp differently from the rest.
func (r *Reader) verdict(b diagram.Box, v schema.Verdict) {
	if v == schema.Reject {
		tcp := b
		tcp[packet.Proto] = tcpOnly
		r.then(tcp, leaf(packet.Reset))
	}
	r.then(b, leaf(verdictOf(v, false, packet.Forward)))
}

// guard decides a box by the guard's rules, and leaves open what none matches.
func (r *Reader) guard(b diagram.Box, written []*schema.Rule, hook packet.Hook) {
	tcp := b
	if b[packet.Proto] == nil {
		tcp[packet.Proto] = tcpOnly
		r.then(tcp, r.inOrder(written, true, hook, diagram.Leaf(diagram.Continue)))
		r.then(b, r.inOrder(written, false, hook, diagram.Leaf(diagram.Continue)))
		return
	}
	r.then(b, r.inOrder(written, slices.Equal(b[packet.Proto], tcpOnly), hook, diagram.Leaf(diagram.Continue)))
}

// rules decides a box of a policy's scope: its first rule that matches, else
// its default.
func (r *Reader) rules(b diagram.Box, written []*schema.Rule, last schema.Verdict, hook packet.Hook) {
	tcp := slices.Equal(b[packet.Proto], tcpOnly)
	r.then(b, r.inOrder(written, tcp, hook, leaf(verdictOf(last, tcp, hook))))
}

// inOrder is the verdict of rules for each source: that of the first that matches,
// and last where none does.
func (r *Reader) inOrder(written []*schema.Rule, tcp bool, hook packet.Hook, last diagram.Ref) diagram.Ref {
	if len(written) == 0 {
		return last
	}
	key := listKey{written[0], tcp, "", last}
	if slices.ContainsFunc(written, func(x *schema.Rule) bool { return x.Verdict == schema.Accept }) {
		key.hook = hook // accept means something else at each
	}
	got, ok := r.known[key]
	if !ok {
		got = r.layered(written, tcp, hook, last)
		r.known[key] = got
	}
	return got
}

// listKey identifies a list of rules, by its first rule, with what its meaning depends on.
type listKey struct {
	first *schema.Rule
	tcp   bool
	hook  packet.Hook
	last  diagram.Ref
}

// layered cuts the rules where one names an ipset that is filled at run time: those up
// to it decide by the source's address alone, and it by membership as well.
func (r *Reader) layered(written []*schema.Rule, tcp bool, hook packet.Hook, last diagram.Ref) diagram.Ref {
	at := slices.IndexFunc(written, func(rule *schema.Rule) bool { return len(r.ipsets(rule.Sources))+len(r.ipsets(rule.Except)) > 0 })
	if at < 0 {
		return r.byAddress(written, tcp, hook, last)
	}
	target := leaf(verdictOf(written[at].Verdict, tcp, hook))
	rest := r.Overlay(r.byMembership(written[at], target), r.layered(written[at+1:], tcp, hook, last))
	if at == 0 {
		return rest
	}
	return r.Overlay(r.byAddress(written[:at], tcp, hook, diagram.Leaf(diagram.Continue)), rest)
}

// byMembership decides for the members of the ipsets among a rule's sources, but for
// those that it excepts, and goes on for the members of those in its except.
func (r *Reader) byMembership(rule *schema.Rule, target diagram.Ref) diagram.Ref {
	goesOn := diagram.Leaf(diagram.Continue)
	only := func(set diagram.Set) diagram.Ref {
		return r.Layers([]diagram.Set{set.OrAll(r.Max(packet.Source))}, []diagram.Ref{target}, goesOn)
	}
	f, members := only(r.lists.without(rule.Sources, rule.Except)), only(r.lists.without(nil, rule.Except))
	for _, name := range slices.Backward(r.ipsets(rule.Sources)) {
		f = r.member(name, f, members)
	}
	for _, name := range slices.Backward(r.ipsets(rule.Except)) {
		f = r.member(name, f, goesOn)
	}
	return f
}

// member is one function for sources that an ipset does not hold, and another for those
// that it holds. Both may ask only for ipsets that come after it.
func (r *Reader) member(name string, not, in diagram.Ref) diagram.Ref {
	property, _ := r.space.Member(name)
	return r.Make(property, diagram.StartsOf(diagram.Small(0), diagram.Small(1)), []diagram.Ref{not, in})
}

// ipsets returns the ipsets that sources name, of those that the space knows.
func (r *Reader) ipsets(s *schema.Sources) []string {
	var list []string
	for _, name := range s.IPSets(r.space.Family == packet.IPv6) {
		if _, ok := r.space.Member(name); ok {
			list = append(list, name)
		}
	}
	return list
}

// byAddress is layered for rules that name no such ipset.
func (r *Reader) byAddress(written []*schema.Rule, tcp bool, hook packet.Hook, last diagram.Ref) diagram.Ref {
	sets, targets := make([]diagram.Set, len(written)), make([]diagram.Ref, len(written))
	for i, rule := range written {
		sets[i] = r.lists.without(rule.Sources, rule.Except).OrAll(r.Max(packet.Source))
		targets[i] = leaf(verdictOf(rule.Verdict, tcp, hook))
	}
	key := layersKey(sets, targets, last)
	if got, ok := r.layers[key]; ok {
		return got.ref
	}
	ref := r.remembered(key, sets, targets, last)
	r.layers[key] = layers{ref, sets}
	return ref
}

// remembered is Layers, made once for several documents where it is long.
func (r *Reader) remembered(key string, sets []diagram.Set, targets []diagram.Ref, last diagram.Ref) diagram.Ref {
	isNode := func(f diagram.Ref) bool { return !f.IsLeaf() }
	if isNode(last) || slices.ContainsFunc(targets, isNode) {
		return r.Layers(sets, targets, last) // a node is one of this store alone
	}
	key = fmt.Sprint(r.space.Family, " ", key) // the last value is another one in each
	if known, ok := r.lists.memory.layers.Get(key); ok {
		return r.Adopt(known.node)
	}
	ref := r.Layers(sets, targets, last)
	if n, ok := r.OfLeaves(ref, packet.Source); ok {
		r.lists.memory.layers.Put(key, partition{n, sets}, n.Starts.Len())
	}
	return ref
}

// layers is what sets and targets mean, with the sets, so that the places in their key
// stay theirs.
type layers struct {
	ref  diagram.Ref
	sets []diagram.Set
}

// layersKey identifies sets and their targets: a long set, of which Lists has one however
// many policies name it, by where it is, and a short one by its spans.
func layersKey(sets []diagram.Set, targets []diagram.Ref, last diagram.Ref) string {
	const short = 16
	var b strings.Builder
	for i, s := range sets {
		if len(s) > short {
			fmt.Fprintf(&b, "%p+%d", &s[0], len(s))
		} else {
			fmt.Fprintf(&b, "%v", s)
		}
		fmt.Fprintf(&b, ":%d;", targets[i])
	}
	fmt.Fprintf(&b, "%d", last)
	return b.String()
}

func (r *Reader) sourceSet(s *schema.Sources) diagram.Set { return r.lists.Of(s) }

func leaf(v packet.Verdict) diagram.Ref { return diagram.Leaf(uint32(v)) }
