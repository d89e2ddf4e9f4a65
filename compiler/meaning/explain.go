package meaning

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// Note is the number of a line that is not a step.
const Note = -1

// Step is one step of SPEC section 2 and its result for a packet.
type Step struct {
	Number  int // or Note
	Said    string
	Decides bool
}

// Way is a packet's way through the steps of a policy.
type Way struct {
	Steps   []Step
	Verdict packet.Verdict
	Rule    string    // what decided: policy web, its first allow block
	At      hcl.Range // the line that decided
	Log     string    // the prefix under which the packet is logged, or ""
}

// Explain takes one packet through the steps of a policy.
func Explain(doc *schema.Document, p packet.Packet) *Way {
	s := packet.NewSpace(p.Family(), append(Patterns(doc), p.In, p.Out)...).WithMembers(IPSets(doc, p.Family())...)
	return NewReader(s.Store(), s, doc, nil).Explain(p)
}

// Explain is the function Explain for one packet of many. The reader's space has to
// distinguish the packet's interfaces from others.
func (r *Reader) Explain(p packet.Packet) *Way {
	e := &explainer{way: &Way{}, p: p, doc: r.doc, reader: r, point: r.space.Point(p)}
	if p.Hook == packet.Forward {
		e.forwarded()
	} else {
		e.toHost()
	}
	return e.way
}

type explainer struct {
	reader *Reader
	doc    *schema.Document
	p      packet.Packet
	point  *diagram.Point
	way    *Way
}

// say adds a step that did not decide.
func (e *explainer) say(number int, format string, args ...any) {
	e.way.Steps = append(e.way.Steps, Step{number, fmt.Sprintf(format, args...), false})
}

// decide adds the step that decided.
func (e *explainer) decide(number int, verdict schema.Verdict, rule string, at hcl.Range, format string, args ...any) {
	e.way.Steps = append(e.way.Steps, Step{number, fmt.Sprintf(format, args...), true})
	e.way.Verdict = verdictOf(verdict, e.p.Protocol == packet.TCP, e.p.Hook)
	e.way.Rule, e.way.At = rule, at
}

// decided reports whether a step has decided.
func (e *explainer) decided() bool { return e.way.Verdict != 0 }

func (e *explainer) forwarded() {
	if e.byState(); e.decided() {
		return
	}
	if e.forward(); e.decided() {
		return
	}
	if e.outside(); e.decided() {
		return
	}
	host := e.doc.Host
	if !e.p.Known() {
		e.say(4, "conntrack does not know the packet (%s), so it has no original destination", e.p.State)
		e.unlisted()
		return
	}
	e.say(4, "conntrack knows the packet")
	if e.answers(host); e.decided() {
		return
	}
	if e.doc.Guard == nil {
		e.say(7, "the policy has no guard")
	} else if e.rules(7, "guard", e.doc.Guard.Rules); e.decided() {
		return
	} else {
		e.say(7, "no block of the guard matches %s", e.p.Source)
	}
	if p := e.policy(); p != nil {
		e.ofPolicy(p)
		return
	}
	e.say(8, "no policy covers %s", e.target())
	e.unlisted()
}

func (e *explainer) unlisted() {
	host := e.doc.Host
	word := host.Unlisted.String()
	if host.Unlisted == schema.Pass {
		word = "allow"
	}
	e.decide(9, host.Unlisted, "host, unlisted", host.Range, "unlisted = %q decides", word)
}

// toHost is SPEC section 2 for packets to the host itself.
func (e *explainer) toHost() {
	host := e.doc.Host
	if !host.UserlandProxy {
		e.decide(Note, schema.Pass, "host, userland_proxy", host.Range, "userland_proxy = false: the policy does not cover packets to the host itself")
		return
	}
	e.say(Note, "the packet is for the host itself, where docker-proxy listens (userland_proxy = true)")
	if e.outside(); e.decided() {
		return
	}
	if p := e.invalid(); p != nil {
		e.decide(4, schema.Deny, "policy "+p.Name+", ports", p.Range, "the packet is INVALID to conntrack, and policy %s names its port", p.Name)
		return
	}
	if !e.p.Known() {
		e.decide(4, schema.Pass, "host", host.Range, "conntrack does not know the packet (%s): it continues to the host's own rules", e.p.State)
		return
	}
	e.say(4, "conntrack knows the packet")
	if e.answers(host); e.decided() {
		return
	}
	p := e.policy()
	if p == nil {
		e.decide(8, schema.Pass, "host", host.Range, "no policy covers %s: it continues to the host's own rules", e.target())
		return
	}
	if g := e.doc.Guard; g != nil {
		if e.rules(7, "guard", g.Rules); e.decided() {
			return
		}
		e.say(7, "no block of the guard matches %s", e.p.Source)
	}
	e.ofPolicy(p)
}

func (e *explainer) in(list []schema.Interface, property int) bool {
	return e.reader.patterns(list).Has(e.point[property])
}

// byState is step 0, which is left out where the host block sets nothing for it.
func (e *explainer) byState() {
	host := e.doc.Host
	switch s := e.p.State; {
	case host.Established == schema.Accepted && s == packet.Established:
		e.decide(0, schema.Accept, "host, established", host.Range, "established = \"accept\", and the connection is established")
	case host.Related == schema.Accepted && s == packet.Related:
		e.decide(0, schema.Accept, "host, related", host.Range, "related = \"accept\", and the packet is related to a known connection")
	case host.DenyInvalid && s == packet.Invalid:
		e.decide(0, schema.Deny, "host, invalid", host.Range, "invalid = \"deny\", and the packet is INVALID to conntrack")
	case host.Established == schema.Accepted || host.Related == schema.Accepted || host.DenyInvalid:
		e.say(0, "its state (%s) does not decide", s)
	}
}

// forward is step 1.
func (e *explainer) forward() {
	r := e.reader
	for _, f := range e.doc.Forwards {
		there := e.in(f.From, packet.In) && e.in(f.To, packet.Out) && !e.p.Reply &&
			r.sourceSet(f.Sources).Has(e.point[packet.Source]) && r.sourceSet(f.Destinations).Has(e.point[packet.Dest])
		back := e.in(f.To, packet.In) && e.in(f.From, packet.Out) && e.p.Reply
		if e.p.Known() && (there || back) {
			e.decide(1, schema.Accept, "forward "+f.Name, f.Range, "the forward block %s matches it", f.Name)
			return
		}
	}
	e.say(1, "no forward block matches it")
}

// outside is steps 2 and 3.
func (e *explainer) outside() {
	host := e.doc.Host
	switch {
	case !e.in(host.External, packet.In):
		e.decide(2, schema.Pass, "host, external", host.Range, "it arrived on %s, which is not an external interface", e.p.In)
		return
	case e.in(host.Internal, packet.In):
		e.decide(2, schema.Pass, "host, internal", host.Range, "it arrived on %s, an internal interface", e.p.In)
		return
	case e.p.Hook == packet.Forward && len(host.Bridges) > 0 && !e.in(host.Bridges, packet.Out):
		e.decide(2, schema.Pass, "host, bridges", host.Range, "it leaves by %s, which is not one of the bridges", e.p.Out)
		return
	case e.p.Hook == packet.Forward && len(host.Bridges) > 0:
		e.say(2, "it arrived on %s, an external interface, and leaves by %s, a bridge", e.p.In, e.p.Out)
	default:
		e.say(2, "it arrived on %s, an external interface", e.p.In)
	}
	if e.p.State == packet.Related && e.p.Protocol == e.p.Family().ICMP() {
		e.decide(3, schema.Pass, "host", host.Range, "it is an ICMP error about a known connection")
		return
	}
	e.say(3, "it is not an ICMP error about a known connection")
}

// answers are steps 5 and 6.
func (e *explainer) answers(host *schema.Host) {
	if e.p.Reply {
		e.decide(5, schema.Pass, "host", host.Range, "it is a reply")
		return
	}
	e.say(5, "it goes in the original direction of its connection: it is not a reply")
	switch s := e.p.State; {
	case host.Established != schema.Check && s == packet.Established:
		e.decide(6, schema.Pass, "host, established", host.Range, "established = %q, and the connection is established", host.Established)
	case host.Related != schema.Check && s == packet.Related:
		e.decide(6, schema.Pass, "host, related", host.Range, "related = %q, and the packet is related to a known connection", host.Related)
	case host.Established != schema.Check && host.Related != schema.Check:
		e.say(6, "established = %q and related = %q, but the connection is new", host.Established, host.Related)
	case host.Related != schema.Check:
		e.say(6, "related = %q, but the packet is not related to a known connection", host.Related)
	case host.Established != schema.Check:
		e.say(6, "established = %q, but the connection is not established", host.Established)
	default:
		e.say(6, "established = \"check\": packets of every connection are checked")
	}
}

// rules takes the packet through allow and deny blocks.
func (e *explainer) rules(step int, owner string, list []*schema.Rule) {
	for _, rule := range list {
		in, by := e.holds(rule.Sources)
		if rule.Except != nil && in {
			if out, of := e.holds(rule.Except); out {
				if of != "" {
					e.say(step, "%s: its block at %s:%d does not match members of the ipset %s (filled at run time)", owner, rule.Range.Filename, rule.Range.Start.Line, of)
				}
				continue
			}
		}
		if !in {
			continue
		}
		kind := "allow"
		if rule.Verdict == schema.Deny || rule.Verdict == schema.Reject {
			kind = "deny"
		}
		e.way.Log = rule.Log
		what := e.p.Source.String()
		if by != "" {
			what = fmt.Sprintf("members of the ipset %s (filled at run time)", by)
		}
		e.decide(step, rule.Verdict, owner+", "+kind, rule.Range, "%s: its %s block at %s:%d matches %s", owner, kind, rule.Range.Filename, rule.Range.Start.Line, what)
		return
	}
}

// holds reports whether sources have the packet's, and by membership in which ipset if
// not by its address.
func (e *explainer) holds(s *schema.Sources) (in bool, ipset string) {
	if e.reader.sourceSet(s).Has(e.point[packet.Source]) {
		return true, ""
	}
	for _, name := range e.reader.ipsets(s) {
		if e.p.Members.Has(name) {
			return true, name
		}
	}
	return false, ""
}

// policy returns the policy whose scope contains the packet; of nested ones the
// narrowest, which comes first.
func (e *explainer) policy() *schema.Policy {
	for _, p := range e.reader.NarrowFirst() {
		for _, b := range e.reader.Scope(p) {
			if b.Has(e.point) {
				return p
			}
		}
	}
	return nil
}

// invalid returns the narrowest policy whose scope contains an INVALID packet, by its
// own destination.
func (e *explainer) invalid() *schema.Policy {
	for _, p := range e.reader.NarrowFirst() {
		for _, b := range e.reader.Scope(p) {
			if b = InvalidIn(b); b.Has(e.point) {
				return p
			}
		}
	}
	return nil
}

func (e *explainer) ofPolicy(p *schema.Policy) {
	if e.rules(8, "policy "+p.Name, p.Rules); e.decided() {
		return
	}
	at, written := p.Range, "it has no default, so it is denied"
	if p.DefaultAt != nil {
		at, written = *p.DefaultAt, "its default applies"
	}
	e.decide(8, p.Default, "policy "+p.Name+", default", at, "policy %s: no block matches %s; %s", p.Name, e.p.Source, written)
}

func (e *explainer) target() string {
	if e.p.OrigPort == 0 {
		return "protocol " + e.p.Protocol.String()
	}
	return strings.TrimSpace(fmt.Sprintf("%s port %d of %s on %s", e.p.Protocol.String(), e.p.OrigPort, e.p.OrigDst, e.p.In))
}
