package prove_test

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// The naive evaluators take one packet at a time and know nothing of sets,
// diagrams or speed. naivePolicy is SPEC.md section 2, line by line; naiveFile
// is the kernel's walk through chains. They are what the proof is held
// against.

// What a list of rules does with a packet that is no verdict yet: it is at the
// end, it meets a RETURN, or it is back out of the policy's chain.
const (
	atEnd    packet.Verdict = 0
	returned packet.Verdict = 1 << 30
	through  packet.Verdict = 1 << 31
)

func naivePolicy(doc *schema.Document, p packet.Packet) packet.Verdict {
	if p.Hook == packet.Input {
		return naiveToHost(doc, p)
	}
	host := doc.Host
	switch { // 0
	case host.Established == schema.Accepted && p.State == packet.Established, host.Related == schema.Accepted && p.State == packet.Related:
		return packet.Accept
	case host.DenyInvalid && p.State == packet.Invalid:
		return packet.Deny
	}
	known := p.Known()
	for _, f := range doc.Forwards { // 1
		if known && !p.Reply && onAny(f.From, p.In) && onAny(f.To, p.Out) && inSources(f.Sources, p.Source) && inSources(f.Destinations, p.Dest) {
			return packet.Accept
		}
		if known && p.Reply && onAny(f.To, p.In) && onAny(f.From, p.Out) {
			return packet.Accept
		}
	}
	switch {
	case !onAny(host.External, p.In) || onAny(host.Internal, p.In): // 2
		return packet.Pass
	case len(host.Bridges) > 0 && !onAny(host.Bridges, p.Out): // 2
		return packet.Pass
	case icmpError(p): // 3
		return packet.Pass
	case !known: // 4
		return naiveVerdict(doc.Host.Unlisted, p)
	case p.Reply: // 5
		return packet.Pass
	case host.Established == schema.Keep && p.State == packet.Established: // 6
		return packet.Pass
	case host.Related == schema.Keep && p.State == packet.Related: // 6
		return packet.Pass
	}
	if doc.Guard != nil { // 7
		if v, ok := firstRule(doc.Guard.Rules, p); ok {
			return v
		}
	}
	if policy := deciding(doc, p); policy != nil { // 8
		if v, ok := firstRule(policy.Rules, p); ok {
			return v
		}
		return naiveVerdict(policy.Default, p)
	}
	return naiveVerdict(doc.Host.Unlisted, p) // 9
}

func naiveToHost(doc *schema.Document, p packet.Packet) packet.Verdict {
	host := doc.Host
	if !host.UserlandProxy || !onAny(host.External, p.In) || onAny(host.Internal, p.In) || icmpError(p) {
		return packet.Pass
	}
	if p.State == packet.Invalid { // 4
		own := p
		own.OrigDst, own.OrigPort = p.Dest, p.Dport
		if slices.ContainsFunc(doc.Policies, func(policy *schema.Policy) bool { return holds(policy, own) }) {
			return packet.Deny
		}
	}
	if !p.Known() || p.Reply {
		return packet.Pass
	}
	if (host.Established == schema.Keep || host.Established == schema.Accepted) && p.State == packet.Established {
		return packet.Pass
	}
	if (host.Related == schema.Keep || host.Related == schema.Accepted) && p.State == packet.Related {
		return packet.Pass
	}
	policy := deciding(doc, p)
	if policy == nil {
		return packet.Pass
	}
	v := naiveVerdict(policy.Default, p)
	if got, ok := firstRule(policy.Rules, p); ok {
		v = got
	}
	if doc.Guard != nil {
		if got, ok := firstRule(doc.Guard.Rules, p); ok {
			v = got
		}
	}
	if v == packet.Accept {
		return packet.Pass
	}
	return v
}

func icmpError(p packet.Packet) bool {
	icmp := packet.ICMP
	if p.Family() == packet.IPv6 {
		icmp = packet.ICMPv6
	}
	return p.Protocol == icmp && p.State == packet.Related
}

func onAny(list []schema.Interface, name string) bool {
	for _, i := range list {
		if i.Name == name && !i.Prefix || i.Prefix && strings.HasPrefix(name, i.Name) {
			return true
		}
	}
	return false
}

func naiveVerdict(v schema.Verdict, p packet.Packet) packet.Verdict {
	if v == schema.Reject && p.Protocol == packet.TCP {
		return packet.Reset
	}
	return map[schema.Verdict]packet.Verdict{schema.Pass: packet.Pass, schema.Accept: packet.Accept,
		schema.Deny: packet.Deny, schema.Reject: packet.Unreachable}[v]
}

func firstRule(list []*schema.Rule, p packet.Packet) (packet.Verdict, bool) {
	for _, r := range list {
		if matches(r.Sources, p) && (r.Except == nil || !matches(r.Except, p)) {
			return naiveVerdict(r.Verdict, p), true
		}
	}
	return 0, false
}

// matches: the source is in the list, or in an ipset that it names and that others fill.
func matches(s *schema.Sources, p packet.Packet) bool {
	if inSources(s, p.Source) {
		return true
	}
	for _, ref := range s.Sets {
		name := ref.Set.IPSet
		if p.Family() == packet.IPv6 {
			name = ref.Set.IPSet6
		}
		if name != "" && p.Members.Has(name) {
			return true
		}
	}
	return false
}

func inSources(s *schema.Sources, a netip.Addr) bool {
	if s == nil || s.Any {
		return true
	}
	for _, l := range s.Lists {
		for e := range l.All() {
			if e.First.BitLen() == a.BitLen() && e.First.Compare(a) <= 0 && a.Compare(e.Last) <= 0 {
				return true
			}
		}
	}
	for _, ref := range s.Sets {
		if ref.Set.IPSet+ref.Set.IPSet6 != "" {
			continue
		}
		if inSources(ref.Set.Sources, a) && (ref.Set.Except == nil || !inSources(ref.Set.Except, a)) {
			return true
		}
	}
	return false
}

// deciding is the policy whose scope holds a packet and that lies inside all
// others that do: the one with the fewest (port, address, interface) triples,
// counted the simple way.
func deciding(doc *schema.Document, p packet.Packet) *schema.Policy {
	var best *schema.Policy
	for _, policy := range doc.Policies {
		if holds(policy, p) && (best == nil || inside(policy, best)) {
			best = policy
		}
	}
	return best
}

func holds(policy *schema.Policy, p packet.Packet) bool {
	return hasPort(policy, schema.Protocol(p.Protocol), p.OrigPort) && onAny(policy.External, p.In) && hasAddress(policy, p.OrigDst)
}

func hasPort(policy *schema.Policy, protocol schema.Protocol, port int) bool {
	for _, r := range policy.Ports {
		if r.Protocol == protocol && int(r.First) <= port && port <= int(r.Last) {
			return true
		}
	}
	return false
}

func hasAddress(policy *schema.Policy, a netip.Addr) bool {
	return len(policy.Address) == 0 || slices.ContainsFunc(policy.Address, func(x netip.Prefix) bool { return x.Contains(a) })
}

func inside(a, b *schema.Policy) bool {
	for _, r := range a.Ports {
		for port := int(r.First); port <= int(r.Last); port++ {
			if !hasPort(b, r.Protocol, port) {
				return false
			}
		}
	}
	for _, i := range a.External {
		if !slices.ContainsFunc(b.External, func(j schema.Interface) bool { return j.Covers(i) }) {
			return false
		}
	}
	if len(b.Address) == 0 {
		return true
	}
	if len(a.Address) == 0 {
		return false
	}
	for _, x := range a.Address {
		if !slices.ContainsFunc(b.Address, func(y netip.Prefix) bool { return y.Bits() <= x.Bits() && y.Contains(x.Addr()) }) {
			return false
		}
	}
	return true
}

// naiveFile walks a packet through a table. It knows the options that Seawall
// writes, and panics on any other.
func naiveFile(t *iptables.Table, p packet.Packet) packet.Verdict {
	hook, root := "FORWARD", "DOCKER-USER"
	if t.Chain(root) == nil && t.Chain("SEAWALL-FORWARD") != nil { // a file for a shared one
		root = "SEAWALL-FORWARD"
	}
	if p.Hook == packet.Input {
		hook, root = "INPUT", "SEAWALL-INPUT"
	}
	w := &naiveWalk{t: t, p: p, root: root, host: p.Hook == packet.Input}
	start := t.Chain(hook)
	if start == nil {
		if t.Chain(root) == nil {
			return packet.Pass
		}
		w.inside = true
		if v := w.chain(root); v != atEnd {
			return v
		}
		return packet.Pass
	}
	if !w.leadsTo(hook) {
		return packet.Pass
	}
	last := 0
	for i, r := range start.Rules() {
		if r.Target.Name == root || t.Chain(r.Target.Name) != nil && w.leadsTo(r.Target.Name) {
			last = i + 1
		}
	}
	v := w.list(start.Rules()[:last])
	switch {
	case v == atEnd || v == through:
		return packet.Pass
	case v == returned:
		v = map[string]packet.Verdict{"ACCEPT": packet.Accept, "DROP": packet.Deny}[start.Policy]
		return w.foreign(v)
	}
	return v
}

type naiveWalk struct {
	t            *iptables.Table
	p            packet.Packet
	root         string
	host, inside bool
}

func (w *naiveWalk) leadsTo(name string) bool {
	c := w.t.Chain(name)
	return name == w.root || c != nil && slices.ContainsFunc(c.Rules(), func(r *iptables.Rule) bool { return w.leadsTo(r.Target.Name) })
}

func (w *naiveWalk) foreign(v packet.Verdict) packet.Verdict {
	if !w.host || w.inside {
		return v
	}
	if v == packet.Accept {
		return packet.Pass
	}
	return packet.HostDeny
}

// chain returns a verdict, or atEnd when the packet goes back to the caller.
func (w *naiveWalk) chain(name string) packet.Verdict {
	v := w.list(w.t.Chain(name).Rules())
	if v == returned {
		return atEnd
	}
	return v
}

func (w *naiveWalk) list(list []*iptables.Rule) packet.Verdict {
	for _, r := range list {
		if !naiveMatch(w.t.Sets, r, w.p) {
			continue
		}
		switch t := r.Target; t.Name {
		case "ACCEPT":
			return w.foreign(packet.Accept)
		case "DROP":
			return w.foreign(packet.Deny)
		case "RETURN":
			return returned
		case "REJECT":
			if t.Options[0].Values[0] == "tcp-reset" {
				return w.foreign(packet.Reset)
			}
			return w.foreign(packet.Unreachable)
		case "LOG", "":
		default:
			before := w.inside
			w.inside = before || t.Name == w.root
			v := w.chain(t.Name)
			w.inside = before
			switch {
			case v != atEnd:
				return v
			case t.Goto:
				return returned
			case t.Name == w.root && !before:
				return through
			}
		}
	}
	return atEnd
}

func naiveMatch(sets ipset.Sets, r *iptables.Rule, p packet.Packet) bool {
	if r.Unread != "" || r.Fragment != "" || len(r.Masks) > 0 {
		panic("conditions that the naive evaluator does not know: " + r.String("X"))
	}
	prefix := func(s iptables.Source, a netip.Addr) bool {
		return !s.Prefix.IsValid() || s.Prefix.Contains(a) != s.Not
	}
	name := func(i iptables.Interface, have string) bool {
		if i.Name == "" {
			return true
		}
		want, start := strings.CutSuffix(i.Name, "+")
		return (start && strings.HasPrefix(have, want) || have == want) != i.Not
	}
	if !prefix(r.Source, p.Source) || !prefix(r.Dest, p.Dest) || !name(r.In, p.In) || !name(r.Out, p.Out) {
		return false
	}
	if r.Protocol.Name != "" && (r.Protocol.Name == p.Protocol.String()) == r.Protocol.Not {
		return false
	}
	for _, m := range r.Matches {
		switch m.Name {
		case "comment", "limit": // a limit stands with LOG alone
		case "tcp", "udp", "sctp": // of the rule's own protocol, or iptables refuses it
			if o := m.Options[0]; len(m.Options) != 1 || o.Name != "--dport" {
				panic("an option that the naive evaluator does not know: " + o.Name)
			} else if naivePorts(o.Values[0], p.Dport) == o.Not {
				return false
			}
		case "set":
			o := m.Options[0]
			in := p.Members.Has(o.Values[0])
			if strings.HasPrefix(o.Values[0], "SEAWALL-") {
				in = naiveSet(sets[o.Values[0]], p.Source)
			}
			if in == o.Not {
				return false
			}
		case "conntrack":
			if !naiveConntrack(m, p) {
				return false
			}
		default:
			panic("a match that the naive evaluator does not know: " + m.Name)
		}
	}
	return true
}

// naiveSet: the longest entry that holds the address decides.
func naiveSet(s *ipset.Set, a netip.Addr) bool {
	if s.Unknown != "" {
		panic("a set that the naive evaluator does not know: " + s.Unknown)
	}
	longest, in := -1, false
	for _, e := range s.Entries {
		if e.Prefix.Contains(a) && e.Prefix.Bits() > longest {
			longest, in = e.Prefix.Bits(), !e.NoMatch
		}
	}
	return in
}

// naivePorts reports whether a port is in P or P:Q.
func naivePorts(text string, port int) bool {
	lo, hi, ok := strings.Cut(text, ":")
	if !ok {
		hi = lo
	}
	a, _ := strconv.Atoi(lo)
	b, _ := strconv.Atoi(hi)
	return a <= port && port <= b
}

func naiveConntrack(m iptables.Match, p packet.Packet) bool {
	hasState := false
	for _, o := range m.Options {
		if o.Name == "--ctstate" {
			hasState = true
			words := strings.Split(o.Values[0], ",")
			hit := slices.Contains(words, string(p.State)) || p.SNAT && slices.Contains(words, "SNAT") || p.DNAT && slices.Contains(words, "DNAT")
			if hit == o.Not {
				return false
			}
		}
	}
	if !p.Known() {
		return hasState
	}
	for _, o := range m.Options {
		v, hit := o.Values[0], true
		switch o.Name {
		case "--ctstate":
			continue
		case "--ctdir":
			hit = (v == "REPLY") == p.Reply
		case "--ctorigdstport":
			hit = naivePorts(v, p.OrigPort)
		case "--ctorigdst":
			if !strings.Contains(v, "/") {
				hit = netip.MustParseAddr(v) == p.OrigDst
			} else {
				hit = netip.MustParsePrefix(v).Contains(p.OrigDst)
			}
		default:
			panic("an option that the naive evaluator does not know: " + o.Name)
		}
		if hit == o.Not {
			return false
		}
	}
	return true
}
