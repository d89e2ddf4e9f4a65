package doctor

import (
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
)

// longList is the number of rules from which a chain is taken to be a generated list and is not
// examined.
const longList = 200

// userChains returns DOCKER-USER and the users' chains that it calls, callers first. Docker's and
// Seawall's own chains are not included.
func userChains(l *docker.Layout) []*iptables.Chain {
	t := l.Tables.Filter
	root := t.Chain(iptables.DockerUser)
	if root == nil {
		return nil
	}
	list := []*iptables.Chain{root}
	for n := 0; n < len(list); n++ {
		for _, r := range list[n].Rules() {
			if c := chainOf(t, r); c != nil && ofPeople(c) && !slices.Contains(list, c) {
				list = append(list, c)
			}
		}
	}
	return slices.DeleteFunc(list, func(c *iptables.Chain) bool { return c != root && c.Len() > longList })
}

// chainOf is the chain that a rule jumps to, or nil.
func chainOf(t *iptables.Table, r *iptables.Rule) *iptables.Chain {
	if r.To != nil {
		return r.To
	}
	return t.Chain(r.Target.Name)
}

// ofPeople reports whether a chain is neither Docker's nor Seawall's.
func ofPeople(c *iptables.Chain) bool {
	return !strings.HasPrefix(c.Name, "DOCKER") && !iptables.Owned(c.Name)
}

// leadsToPeople reports whether a rule jumps to a user's chain.
func leadsToPeople(l *docker.Layout, r *iptables.Rule) bool {
	c := chainOf(l.Tables.Filter, r)
	return c != nil && ofPeople(c)
}

// callers returns the rules that jump to a chain, with the chains that contain them.
func callers(t *iptables.Table, c *iptables.Chain) (rules []*iptables.Rule, in []*iptables.Chain) {
	for _, other := range t.Chains {
		for _, r := range other.Rules() {
			if chainOf(t, r) == c {
				rules, in = append(rules, r), append(in, other)
			}
		}
	}
	return rules, in
}

// everyCaller reports whether every path from DOCKER-USER to a chain has a rule of a kind; false
// for DOCKER-USER itself.
func everyCaller(l *docker.Layout, c *iptables.Chain, kind func(*iptables.Rule) bool) bool {
	return everyWay(l, c, kind, nil)
}

func everyWay(l *docker.Layout, c *iptables.Chain, kind func(*iptables.Rule) bool, on []*iptables.Chain) bool {
	if c.Name == iptables.DockerUser || slices.Contains(on, c) {
		return false
	}
	rules, in := callers(l.Tables.Filter, c)
	for i, r := range rules {
		if !kind(r) && !everyWay(l, in[i], kind, append(on, c)) {
			return false
		}
	}
	return len(rules) > 0
}

// boundByCallers reports whether a chain only sees packets of certain interfaces.
func boundByCallers(l *docker.Layout, c *iptables.Chain) bool {
	return everyCaller(l, c, func(r *iptables.Rule) bool { return r.In.Name != "" })
}

// beside reports that a chain has callers other than DOCKER-USER and its chains.
type beside bool

// calledBeside looks for such callers.
func calledBeside(l *docker.Layout, c *iptables.Chain) beside {
	own, seen := userChains(l), []*iptables.Chain{c}
	for n := 0; n < len(seen); n++ {
		if seen[n].Name == iptables.DockerUser {
			continue
		}
		_, in := callers(l.Tables.Filter, seen[n])
		for _, x := range in {
			if !slices.Contains(own, x) && called(l.Tables.Filter, x, nil) {
				return true
			}
			if !slices.Contains(seen, x) {
				seen = append(seen, x)
			}
		}
	}
	return false
}

// called reports whether a chain can be reached from one that netfilter calls.
func called(t *iptables.Table, c *iptables.Chain, on []*iptables.Chain) bool {
	if t.Builtin(c.Name) || slices.Contains(on, c) {
		return t.Builtin(c.Name)
	}
	_, in := callers(t, c)
	return slices.ContainsFunc(in, func(x *iptables.Chain) bool { return called(t, x, append(on, c)) })
}

// leaves drops a proposal's fix if its chain is also used elsewhere, which the proof would not
// cover.
func (b beside) leaves(p *proposal) *proposal {
	if b {
		p.edits = nil
	}
	return p
}

// inWords names a chain in a sentence.
func inWords(c *iptables.Chain) string {
	if c.Name == iptables.DockerUser {
		return c.Name
	}
	return c.Name + ", which DOCKER-USER calls,"
}
