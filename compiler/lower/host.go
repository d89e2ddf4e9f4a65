package lower

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/schema"
)

// What the host block says is written the same way in every layout: before
// guard, policies and unlisted come the packets that they do not see.

// named is an interface as a rule has it: every one is none.
func named(i schema.Interface) string {
	if i.Every() {
		return ""
	}
	return i.String()
}

// each adds a rule for each external interface.
func (l *lowering) each(chain *iptables.Chain, a action) {
	for _, i := range l.outside {
		a.box.in = named(i)
		chain.Append(&iptables.Rule{Body: l.body(a)})
	}
}

// byState accepts and denies by conntrack's state alone, before everything else.
func (l *lowering) byState(chain *iptables.Chain) {
	if states, words := l.treated(schema.Accepted); states != "" {
		chain.Remark(fmt.Sprintf("%s: on every interface, past Docker's own rules%s", words, l.place(l.doc.Host.Range)))
		chain.Append(&iptables.Rule{Body: l.body(action{box: box{state: states}, target: "ACCEPT", origin: strings.ToLower(states)})})
	}
	if l.doc.Host.DenyInvalid {
		chain.Remark(fmt.Sprintf("invalid = \"deny\": on every interface%s", l.place(l.doc.Host.Range)))
		chain.Append(&iptables.Rule{Body: l.body(action{box: box{state: "INVALID"}, target: "DROP", origin: "invalid"})})
	}
}

// treated is the states that the host treats in one of some ways, as
// iptables-save lists them, and the words of the policy that say so.
func (l *lowering) treated(ways ...schema.Treatment) (states, words string) {
	host := l.doc.Host
	related, established := slices.Contains(ways, host.Related), slices.Contains(ways, host.Established)
	saysRelated, saysEstablished := fmt.Sprintf("related = %q", host.Related), fmt.Sprintf("established = %q", host.Established)
	switch {
	case related && established:
		return "RELATED,ESTABLISHED", saysEstablished + " and " + saysRelated
	case related:
		return "RELATED", saysRelated
	case established:
		return "ESTABLISHED", saysEstablished
	}
	return "", ""
}

// internal passes what arrives on interfaces that are not external although a
// pattern of the external ones covers them.
func (l *lowering) internal(chain *iptables.Chain) {
	first := true
	for _, i := range l.doc.Host.Internal {
		if !slices.ContainsFunc(l.outside, func(o schema.Interface) bool { return o.Covers(i) }) {
			continue // no rule below would match it
		}
		if first {
			chain.Remark(fmt.Sprintf("internal: what arrives there passes%s", l.place(l.doc.Host.Range)))
			first = false
		}
		chain.Append(&iptables.Rule{Body: l.body(action{box: box{in: named(i)}, target: "RETURN", origin: "internal"})})
	}
}

// bridges is the chain for what leaves by a bridge; the chain itself where every
// packet counts. A goto costs one rule for each bridge, and what leaves elsewhere
// comes to the end of DOCKER-USER and passes.
func (l *lowering) bridges(chain *iptables.Chain) *iptables.Chain {
	if !l.bridged() {
		return chain
	}
	next := l.table.Declare(iptables.SeawallBridges, "-")
	chain.Remark(fmt.Sprintf("bridges: what leaves elsewhere passes%s", l.place(l.doc.Host.Range)))
	for _, i := range l.doc.Host.Bridges {
		chain.Append(&iptables.Rule{Body: l.body(action{box: box{out: named(i)}, goto_: next.Name, origin: "bridges"})})
	}
	return next
}

// bridged reports whether it makes a difference where packets leave.
func (l *lowering) bridged() bool {
	b := l.doc.Host.Bridges
	return len(b) > 0 && !b[0].Every() // "+" covers all others, which the reader drops
}

// icmpErrors passes ICMP errors, unless all related packets pass anyway.
func (l *lowering) icmpErrors(chain *iptables.Chain) {
	if l.doc.Host.Related != schema.Check {
		return
	}
	chain.Remark("ICMP errors of known connections pass: path MTU discovery needs them")
	l.each(chain, action{box: box{protocol: l.icmp(), state: "RELATED"}, target: "RETURN"})
}

// keep passes packets of connections that the host treats in one of some ways.
func (l *lowering) keep(chain *iptables.Chain, ways ...schema.Treatment) {
	if states, words := l.treated(ways...); states != "" {
		chain.Remark(words + ": established connections stay open")
		l.each(chain, action{box: box{state: states}, target: "RETURN"})
	}
}

// answered reports whether no packet in reply direction comes as far as unlisted:
// such a packet is ESTABLISHED or RELATED.
func (l *lowering) answered() bool {
	return l.doc.Host.Established != schema.Check && l.doc.Host.Related != schema.Check
}
