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
// diagrams or speed. naivePolicy is DESIGN section 2, line by line; naiveFile
// is the kernel's walk through chains. They are what the proof is held
// against.

const (
	reset       = "reject with tcp-reset"
	unreachable = "reject with port-unreachable"
)

func naivePolicy(doc *schema.Document, p packet.Packet) string {
	if p.Hook == packet.Input {
		return naiveToHost(doc, p)
	}
	known := p.Known()
	for _, f := range doc.Forwards { // 1
		if known && !p.Reply && onAny(f.From, p.In) && onAny(f.To, p.Out) && inSources(f.Sources, p.Source) && inSources(f.Destinations, p.Dest) {
			return "accept"
		}
		if known && p.Reply && onAny(f.To, p.In) && onAny(f.From, p.Out) {
			return "accept"
		}
	}
	switch {
	case !onAny(doc.Host.External, p.In): // 2
		return "pass"
	case icmpError(p): // 3
		return "pass"
	case !known: // 4
		return naiveVerdict(doc.Host.Unlisted, p)
	case p.Reply: // 5
		return "pass"
	case doc.Host.KeepEstab && p.State == "ESTABLISHED": // 6
		return "pass"
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

func naiveToHost(doc *schema.Document, p packet.Packet) string {
	if !doc.Host.UserlandProxy || !onAny(doc.Host.External, p.In) || icmpError(p) || !p.Known() || p.Reply ||
		doc.Host.KeepEstab && p.State == "ESTABLISHED" {
		return "pass"
	}
	policy := deciding(doc, p)
	if policy == nil {
		return "pass"
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
	if v == "accept" {
		return "pass"
	}
	return v
}

func icmpError(p packet.Packet) bool {
	icmp := 1
	if p.Family() == packet.IPv6 {
		icmp = 58
	}
	return p.Protocol == icmp && p.State == "RELATED"
}

func onAny(list []schema.Interface, name string) bool {
	for _, i := range list {
		if i.Name == name && !i.Prefix || i.Prefix && strings.HasPrefix(name, i.Name) {
			return true
		}
	}
	return false
}

func naiveVerdict(v schema.Verdict, p packet.Packet) string {
	if v == schema.Reject {
		if p.Protocol == 6 {
			return reset
		}
		return unreachable
	}
	return v.String()
}

func firstRule(list []*schema.Rule, p packet.Packet) (string, bool) {
	for _, r := range list {
		if inSources(r.Sources, p.Source) && (r.Except == nil || !inSources(r.Except, p.Source)) {
			return naiveVerdict(r.Verdict, p), true
		}
	}
	return "", false
}

func inSources(s *schema.Sources, a netip.Addr) bool {
	if s == nil || s.Any {
		return true
	}
	for _, l := range s.Lists {
		for _, e := range l.Spans {
			if e.First.BitLen() == a.BitLen() && e.First.Compare(a) <= 0 && a.Compare(e.Last) <= 0 {
				return true
			}
		}
	}
	for _, ref := range s.Sets {
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
	return hasPort(policy, p.Protocol, p.OrigPort) && onAny(policy.External, p.In) && hasAddress(policy, p.OrigDst)
}

func hasPort(policy *schema.Policy, protocol, port int) bool {
	for _, r := range policy.Ports {
		if int(r.Protocol) == protocol && int(r.First) <= port && port <= int(r.Last) {
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
			if !hasPort(b, int(r.Protocol), port) {
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
func naiveFile(t *iptables.Table, p packet.Packet) string {
	hook, root := "FORWARD", "DOCKER-USER"
	if p.Hook == packet.Input {
		hook, root = "INPUT", "SEAWALL-INPUT"
	}
	w := &naiveWalk{t: t, p: p, root: root, host: p.Hook == packet.Input}
	start := t.Chain(hook)
	if start == nil || start.Implied {
		if t.Chain(root) == nil {
			return "pass"
		}
		w.inside = true
		if v := w.chain(root); v != "" {
			return v
		}
		return "pass"
	}
	if !w.leadsTo(hook) {
		return "pass"
	}
	last := 0
	for i, r := range start.Rules {
		if r.Target.Name == root || t.Chain(r.Target.Name) != nil && w.leadsTo(r.Target.Name) {
			last = i + 1
		}
	}
	v := w.list(start.Rules[:last])
	switch {
	case v == "" || v == "through":
		return "pass"
	case v == "return":
		v = map[string]string{"ACCEPT": "accept", "DROP": "deny"}[start.Policy]
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
	return name == w.root || c != nil && slices.ContainsFunc(c.Rules, func(r *iptables.Rule) bool { return w.leadsTo(r.Target.Name) })
}

func (w *naiveWalk) foreign(v string) string {
	if !w.host || w.inside {
		return v
	}
	if v == "accept" {
		return "pass"
	}
	return "the host's own drop"
}

// chain gives a verdict, or "" when the packet goes back to the caller.
func (w *naiveWalk) chain(name string) string {
	v := w.list(w.t.Chain(name).Rules)
	if v == "return" {
		return ""
	}
	return v
}

func (w *naiveWalk) list(list []*iptables.Rule) string {
	for _, r := range list {
		if !naiveMatch(w.t.Sets, r, w.p) {
			continue
		}
		switch t := r.Target; t.Name {
		case "ACCEPT":
			return w.foreign("accept")
		case "DROP":
			return w.foreign("deny")
		case "RETURN":
			return "return"
		case "REJECT":
			if t.Options[0].Values[0] == "tcp-reset" {
				return w.foreign(reset)
			}
			return w.foreign(unreachable)
		case "LOG", "":
		default:
			before := w.inside
			w.inside = before || t.Name == w.root
			v := w.chain(t.Name)
			w.inside = before
			switch {
			case v != "":
				return v
			case t.Goto:
				return "return"
			case t.Name == w.root && !before:
				return "through"
			}
		}
	}
	return ""
}

func naiveMatch(sets ipset.Sets, r *iptables.Rule, p packet.Packet) bool {
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
	if r.Protocol.Name != "" && (r.Protocol.Name == p.ProtocolName()) == r.Protocol.Not {
		return false
	}
	for _, m := range r.Matches {
		switch m.Name {
		case "comment", "limit": // a limit stands with LOG alone
		case "set":
			if o := m.Options[0]; naiveSet(sets[o.Values[0]], p.Source) == o.Not {
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
	longest, in := -1, false
	for _, e := range s.Entries {
		if e.Prefix.Contains(a) && e.Prefix.Bits() > longest {
			longest, in = e.Prefix.Bits(), !e.NoMatch
		}
	}
	return in
}

func naiveConntrack(m iptables.Match, p packet.Packet) bool {
	hasState := false
	for _, o := range m.Options {
		if o.Name == "--ctstate" {
			hasState = true
			words := strings.Split(o.Values[0], ",")
			hit := slices.Contains(words, p.State) || p.SNAT && slices.Contains(words, "SNAT") || p.DNAT && slices.Contains(words, "DNAT")
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
			lo, hi, ok := strings.Cut(v, ":")
			if !ok {
				hi = lo
			}
			a, _ := strconv.Atoi(lo)
			b, _ := strconv.Atoi(hi)
			hit = a <= p.OrigPort && p.OrigPort <= b
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
