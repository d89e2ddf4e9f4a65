package prove

import (
	"slices"

	"github.com/seawall/seawall/compiler/rules"
	"github.com/seawall/seawall/schema"
	"go4.org/netipx"
)

// Hook is the chain of the kernel that a packet is in.
type Hook string

// The two hooks that a policy speaks of: packets that the host forwards, and
// packets to the host itself.
const (
	Forward Hook = "FORWARD"
	Input   Hook = "INPUT"
)

// policyReader writes the verdict function of DESIGN section 2 as a list of
// items of which the first that decides counts.
type policyReader struct {
	*diagrams
	doc  *schema.Document
	sets *sourceSets
	list []item
}

// policyPatterns are the interfaces that a policy names.
func policyPatterns(doc *schema.Document) []string {
	var names []string
	add := func(list []schema.Interface) {
		for _, i := range list {
			names = append(names, i.String())
		}
	}
	add(doc.Host.External)
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

// policy builds the verdict function of a document at a hook.
func (d *diagrams) policy(doc *schema.Document, hook Hook, sets *sourceSets) ref {
	r := &policyReader{diagrams: d, doc: doc, sets: sets}
	if hook == Forward {
		return r.forwarded()
	}
	return r.toHost()
}

func (r *policyReader) then(b box, target ref) {
	r.list = append(r.list, item{&b, target})
}

// forwarded is DESIGN section 2, steps 1 to 9.
func (r *policyReader) forwarded() ref {
	host := r.doc.Host
	unlisted := func(b box) { r.verdict(b, host.Unlisted) }
	for _, f := range r.doc.Forwards { // 1
		r.forward(f)
	}
	r.then(box{pIn: r.external().complement(r.max(pIn))}, leaf(vPass)) // 2
	r.relatedErrors()                                                  // 3
	unlisted(box{pClass: classSet(func(c class) bool { return !c.known() })})
	r.answers() // 5, 6
	if g := r.doc.Guard; g != nil {
		r.guard(box{}, g.Rules, Forward) // 7
	}
	for _, p := range r.narrowFirst() { // 8
		for _, b := range r.scope(p) {
			r.rules(b, p.Rules, p.Default, Forward)
		}
	}
	unlisted(box{}) // 9
	return r.build(r.list)
}

// toHost is the same for chain INPUT: steps 2 to 8 for the ports that policies
// name; all else passes.
func (r *policyReader) toHost() ref {
	if !r.doc.Host.UserlandProxy {
		return leaf(vPass)
	}
	r.then(box{pIn: r.external().complement(r.max(pIn))}, leaf(vPass))
	r.relatedErrors()
	r.then(box{pClass: classSet(func(c class) bool { return !c.known() })}, leaf(vPass))
	r.answers()
	for _, p := range r.narrowFirst() {
		for _, b := range r.scope(p) {
			if g := r.doc.Guard; g != nil {
				r.guard(b, g.Rules, Input)
			}
			r.rules(b, p.Rules, p.Default, Input)
		}
	}
	r.then(box{}, leaf(vPass))
	return r.build(r.list)
}

func (r *policyReader) forward(f *schema.Forward) {
	from, to := r.patterns(f.From), r.patterns(f.To)
	var out, back box
	out[pClass] = classSet(func(c class) bool { return c.known() && !c.reply })
	out[pIn], out[pOut] = from, to
	out[pSrc], out[pDst] = r.sourceSet(f.Sources), r.sourceSet(f.Destinations)
	back[pClass] = classSet(func(c class) bool { return c.known() && c.reply })
	back[pIn], back[pOut] = to, from
	r.then(out, leaf(vAccept))
	r.then(back, leaf(vAccept))
}

func (r *policyReader) relatedErrors() {
	r.then(box{
		pProtocol: one(small(r.icmp())),
		pClass:    classSet(func(c class) bool { return c.state == "RELATED" }),
	}, leaf(vPass))
}

func (r *policyReader) answers() {
	r.then(box{pClass: classSet(func(c class) bool { return c.known() && c.reply })}, leaf(vPass))
	if r.doc.Host.KeepEstab {
		r.then(box{pClass: classSet(func(c class) bool { return c.state == "ESTABLISHED" })}, leaf(vPass))
	}
}

func (r *policyReader) external() set { return r.patterns(r.doc.Host.External) }

func (r *policyReader) patterns(list []schema.Interface) set {
	var spans []span
	for _, i := range list {
		spans = append(spans, r.interfaces(i.String())...)
	}
	return normal(spans)
}

// bits is a verdict as a leaf, for tcp or for another protocol.
func bits(v schema.Verdict, tcp bool, hook Hook) uint32 {
	switch {
	case v == schema.Pass, v == schema.Accept && hook == Input:
		return vPass
	case v == schema.Accept:
		return vAccept
	case v == schema.Deny:
		return vDeny
	case tcp:
		return vReset
	}
	return vUnreachable
}

var tcpOnly = one(small(6))

// verdict decides a box: reject answers tcp in another way than the rest.
func (r *policyReader) verdict(b box, v schema.Verdict) {
	if v == schema.Reject {
		tcp := b
		tcp[pProtocol] = tcpOnly
		r.then(tcp, leaf(vReset))
	}
	r.then(b, leaf(bits(v, false, Forward)))
}

// guard decides a box by the guard's rules, and goes on where none matches.
func (r *policyReader) guard(b box, written []*schema.Rule, hook Hook) {
	tcp := b
	if b[pProtocol] == nil {
		tcp[pProtocol] = tcpOnly
		r.then(tcp, r.inOrder(written, true, hook, leaf(vContinue)))
		r.then(b, r.inOrder(written, false, hook, leaf(vContinue)))
		return
	}
	r.then(b, r.inOrder(written, slices.Equal(b[pProtocol], tcpOnly), hook, leaf(vContinue)))
}

// rules decides a box of a policy's scope: its first rule that matches, else
// its default.
func (r *policyReader) rules(b box, written []*schema.Rule, last schema.Verdict, hook Hook) {
	tcp := slices.Equal(b[pProtocol], tcpOnly)
	r.then(b, r.inOrder(written, tcp, hook, leaf(bits(last, tcp, hook))))
}

// inOrder is what rules say of each source: the first that matches decides, and
// last where none does.
func (r *policyReader) inOrder(written []*schema.Rule, tcp bool, hook Hook, last ref) ref {
	if len(written) == 0 {
		return last
	}
	key := listKey{written[0], tcp, "", last}
	if slices.ContainsFunc(written, func(x *schema.Rule) bool { return x.Verdict == schema.Accept }) {
		key.hook = hook // accept is another thing at each
	}
	got, ok := r.lists[key]
	if !ok {
		got = r.layered(written, tcp, hook, last)
		r.lists[key] = got
	}
	return got
}

// listKey is a list of rules, by its first, with what its meaning depends on.
type listKey struct {
	first *schema.Rule
	tcp   bool
	hook  Hook
	last  ref
}

func (r *policyReader) layered(written []*schema.Rule, tcp bool, hook Hook, last ref) ref {
	sets, targets := make([]set, len(written)), make([]ref, len(written))
	for i, rule := range written {
		sets[i] = r.sets.without(rule.Sources, rule.Except).orAll(r.max(pSrc))
		targets[i] = leaf(bits(rule.Verdict, tcp, hook))
	}
	return r.layers(sets, targets, last)
}

func (r *policyReader) sourceSet(s *schema.Sources) set { return r.sets.of(s) }

// scope is a policy's scope in this family as boxes, one a protocol.
func (r *policyReader) scope(p *schema.Policy) []box {
	addresses := r.addresses(p)
	if addresses != nil && len(addresses) == 0 {
		return nil
	}
	var boxes []box
	for _, proto := range []schema.Protocol{schema.TCP, schema.UDP, schema.SCTP} {
		if ports := portsOf(p, proto); len(ports) > 0 {
			boxes = append(boxes, box{pProtocol: one(small(int(proto))), pOrigPort: ports,
				pOrigDst: addresses, pIn: r.patterns(p.External)})
		}
	}
	return boxes
}

func portsOf(p *schema.Policy, proto schema.Protocol) set {
	var spans []span
	for _, r := range p.Ports {
		if r.Protocol == proto {
			spans = append(spans, span{small(int(r.First)), small(int(r.Last))})
		}
	}
	return normal(spans)
}

func (r *policyReader) addresses(p *schema.Policy) set {
	if len(p.Address) == 0 {
		return nil
	}
	spans := []span{}
	for _, a := range p.Address {
		if a.Addr().Is4() == (r.family == rules.IPv4) {
			g := netipx.RangeOfPrefix(a)
			spans = append(spans, span{ofAddr(g.From()), ofAddr(g.To())})
		}
	}
	return normal(spans)
}

// narrowFirst orders policies so that one whose scope lies strictly inside
// another's comes before it. Scopes are products, and of two nested products
// each part is at most as large, and one of them smaller; so sorting by the
// sizes of the parts, one after the other, is enough.
func (r *policyReader) narrowFirst() []*schema.Policy {
	type sized struct {
		p     *schema.Policy
		parts [3]string
	}
	var list []sized
	for _, p := range r.doc.Policies {
		ports := 0
		for _, proto := range []schema.Protocol{schema.TCP, schema.UDP, schema.SCTP} {
			ports += int(portsOf(p, proto).size(value{}).Int64())
		}
		list = append(list, sized{p, [3]string{
			padded(int64(ports)), addressCount(p), padded(r.patterns(p.External).size(value{}).Int64())}})
	}
	slices.SortStableFunc(list, func(a, b sized) int { return slices.Compare(a.parts[:], b.parts[:]) })
	out := make([]*schema.Policy, len(list))
	for i, s := range list {
		out[i] = s.p
	}
	return out
}
