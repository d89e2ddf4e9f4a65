package docker

import (
	"strings"

	"github.com/seawall/seawall/compiler/iptables"
)

// Foreign is a rule that is not Docker's, in a chain that Docker writes to.
type Foreign struct {
	Table, Chain string
	Index        int // in the chain, from 0
	Rule         *iptables.Rule
	Own          bool // the chain is Docker's own, and only Docker writes to it
}

// Foreign lists the rules in the chains that Docker writes to but that it did not add, except for
// the jump to DOCKER-USER.
func (l *Layout) Foreign() []Foreign {
	_, expected := l.Expected()
	mine := map[string]bool{}
	for _, e := range expected {
		for _, id := range l.find(e) {
			mine[id] = true
		}
	}
	var list []Foreign
	for _, table := range []string{"raw", "nat", "filter"} {
		t := l.Tables.table(table)
		if t == nil {
			continue
		}
		for _, c := range t.Chains {
			if !writesTo(table, c.Name) {
				continue
			}
			for i, r := range c.Rules() {
				id := key(table, c.Name, r.Spec())
				if !mine[id] && !l.forms[id] && !l.special(table, c.Name, r, i == c.Len()-1) {
					list = append(list, Foreign{table, c.Name, i, r, own(c.Name)})
				}
			}
		}
	}
	return list
}

// writesTo reports whether Docker writes to a chain of a table.
func writesTo(table, chain string) bool {
	if own(chain) {
		return true
	}
	for _, name := range builtins[table] {
		if name == chain {
			return true
		}
	}
	return false
}

// special reports whether a rule is one that Docker adds in cases that do not depend on a
// network's kind: the end of a chain in older engines, published ports, container links, the mark
// that lets packets in (bridge-accept-fwmark), trusted interfaces, and WSL. A port that Docker
// reports as not published does not count.
func (l *Layout) special(table, chain string, r *iptables.Rule, last bool) bool {
	spec, target := r.Spec(), r.Target.Name
	if p, ok := accepts(r); ok && chain == chainDocker && l.unsaid(p) {
		return false
	}
	switch table + " " + chain {
	case "nat " + chainDocker, "nat " + chainIngress:
		if p, ok := dnat(r); ok && chain == chainDocker && !l.publishes(r, p) {
			return false
		}
		return target == "DNAT" || spec == "-j RETURN" && last || r.In.Name == "loopback0"
	case "raw PREROUTING":
		return r.Dest.Prefix.IsSingleIP() && !r.Dest.Not && (target == "DROP" && r.In.Not || target == "ACCEPT" && r.In.Name != "")
	case "filter " + chainForward:
		return strings.HasPrefix(spec, "-m mark --mark ") && target == "ACCEPT"
	case "filter " + chainDocker:
		_, published := accepts(r)
		linked := target == "ACCEPT" && r.Dest.Prefix.IsSingleIP() && !r.Dest.Not && r.Source.Prefix.IsSingleIP() && !r.Source.Not
		return published || linked && r.In.Name != "" && r.In == r.Out
	case "filter FORWARD":
		return target == iptables.DockerUser
	}
	return own(chain) && spec == "-j RETURN" && last || chain == chainIngress && spec != "-j RETURN"
}
