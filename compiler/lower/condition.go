package lower

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// box is what a rule is bound to beside its source. The zero value of each
// field binds nothing.
type box struct {
	in, out   string
	protocol  string
	dest      netip.Prefix // -d, of a forward block
	state     string       // ctstate
	origDst   netip.Prefix
	origPorts schema.Ports
	dir       string // ctdir
	own       bool   // origDst and origPorts are the packet's own, which has no original ones
	set       setRef
	members   string // as of an entry
}

// action is a box with what happens in it.
type action struct {
	box    box
	target string // RETURN, ACCEPT, DROP, REJECT or LOG
	goto_  string // or the chain to go to
	log    string // the prefix, with LOG
	origin string // for -m comment, "" but with Rules
}

// bodyKey is an action as a map's key: rules of the same key share one body.
type bodyKey = action

// body makes all of a rule but its source, in the order in which iptables-save
// prints it.
func (l *lowering) body(a action) *iptables.Body {
	if l.opt.Comments != Rules {
		a.origin = ""
	}
	if b, ok := l.bodies[a]; ok {
		return b
	}
	b := &iptables.Body{In: iptables.Interface{Name: a.box.in}, Out: iptables.Interface{Name: a.box.out},
		Protocol: iptables.Protocol{Name: a.box.protocol}, Dest: iptables.Source{Prefix: a.box.dest}}
	if a.box.own {
		b.Dest = iptables.Source{Prefix: a.box.origDst}
	}
	if m := l.conntrack(a.box); len(m.Options) > 0 {
		b.Matches = append(b.Matches, m)
	}
	if a.box.own && a.box.origPorts.First > 0 {
		b.Matches = append(b.Matches, l.match(a.box.protocol, "--dport", portsText(a.box.origPorts)))
	}
	if s := a.box.set; s.name != "" {
		b.Matches = append(b.Matches, iptables.Match{Name: "set", Module: l.module("set"), Options: []iptables.Option{{Not: s.not, Name: "--match-set", Values: []string{s.name, "src"}}}})
	}
	b.Matches = append(b.Matches, l.memberMatches(a.box.members)...)
	if a.target == "LOG" {
		b.Matches = append(b.Matches, l.match("limit", "--limit", l.limit()))
	}
	if a.origin != "" {
		b.Matches = append(b.Matches, l.match("comment", "--comment", a.origin))
	}
	b.Target = l.target(a)
	l.bodies[a] = b
	return b
}

func (l *lowering) match(name, option, value string) iptables.Match {
	return iptables.Match{Name: name, Module: l.module(name), Options: []iptables.Option{{Name: option, Values: []string{value}}}}
}

func (l *lowering) conntrack(b box) iptables.Match {
	m := iptables.Match{Name: "conntrack", Module: l.module("conntrack")}
	add := func(option, value string) {
		m.Options = append(m.Options, iptables.Option{Name: option, Values: []string{value}})
	}
	if b.state != "" {
		add("--ctstate", b.state)
	}
	if b.origDst.IsValid() && !b.own {
		if b.origDst.IsSingleIP() {
			add("--ctorigdst", b.origDst.Addr().String())
		} else {
			add("--ctorigdst", b.origDst.String())
		}
	}
	if b.origPorts.First > 0 && !b.own {
		add("--ctorigdstport", portsText(b.origPorts))
	}
	if b.dir != "" {
		add("--ctdir", b.dir)
	}
	return m
}

// portsText is a range of ports as a rule has it.
func portsText(p schema.Ports) string {
	if p.First == p.Last {
		return strconv.Itoa(int(p.First))
	}
	return fmt.Sprintf("%d:%d", p.First, p.Last)
}

// module is the match of a name, which is there.
func (l *lowering) module(name string) *match.Module {
	return match.Lookup(match.MatchKind, name, l.family)
}

func (l *lowering) target(a action) iptables.Target {
	if a.goto_ != "" {
		return iptables.Target{Name: a.goto_, Goto: true}
	}
	t := iptables.Target{Name: a.target, Module: match.Lookup(match.TargetKind, a.target, l.family)}
	switch a.target {
	case "LOG":
		t.Options = []iptables.Option{{Name: "--log-prefix", Values: []string{separated(a.log)}}}
	case "REJECT":
		with := "icmp-port-unreachable"
		if l.family == packet.IPv6 {
			with = "icmp6-port-unreachable"
		}
		if a.box.protocol == "tcp" {
			with = "tcp-reset"
		}
		t.Options = []iptables.Option{{Name: "--reject-with", Values: []string{with}}}
	}
	return t
}

// separated puts a space between the prefix and what the kernel writes after
// it, where there is room for one.
func separated(prefix string) string {
	const room = 29 // NETFILTER.md section 4
	if len(prefix) < room && prefix[len(prefix)-1] != ' ' {
		return prefix + " "
	}
	return prefix
}

// units are the units of a limit from the longest on, in ten-thousandths of a
// second, the kernel's own unit.
var units = []struct {
	name string
	mult int
}{{"day", 10000 * 24 * 60 * 60}, {"hour", 10000 * 60 * 60}, {"min", 10000 * 60}, {"sec", 10000}}

// limit writes the host's log limit as iptables-save does. The kernel keeps
// only the time between two packets, so 60/minute is saved as 1/sec
// (libxt_limit.c, print_rate).
func (l *lowering) limit() string {
	rate := l.doc.Host.LogLimit
	period := 0
	for _, u := range units {
		if u.name == rate.Unit || u.name == rate.Unit[:3] {
			period = u.mult / rate.Count
		}
	}
	i := 1
	for ; i < len(units); i++ {
		if period > units[i].mult || units[i].mult/period < units[i].mult%period {
			break
		}
	}
	return fmt.Sprintf("%d/%s", units[i-1].mult/period, units[i-1].name)
}

// targets are the verdicts as targets out of a chain that was reached by -j.
var targets = map[schema.Verdict]string{
	schema.Pass: "RETURN", schema.Accept: "ACCEPT", schema.Deny: "DROP", schema.Reject: "REJECT",
}
