package iptables

import (
	"slices"

	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/packet"
)

// -D with a rule deletes the first rule of the chain that iptables considers the
// same. That cannot be seen from the text: the kernel keeps numbers and bits, and
// the back ends compare those. Unless every rule before the one that is surely the
// same is surely different, it is not clear which one -D deletes; the chain is
// then undecided from there on, and no rule is guessed.

// likeness returns whether iptables considers two rules the same.
func (r *Rule) likeness(f packet.Family, other *Rule) match.Likeness {
	if r.Unread != "" || other.Unread != "" {
		if r.canonical() == other.canonical() {
			return match.Same
		}
		return match.Unclear
	}
	if !r.sameHead(other) {
		return match.Differs
	}
	return match.CompareAll(f, r.Matches, other.Matches).And(r.sameTarget(f, other))
}

// sameHead compares everything of two rules that needs no module.
func (r *Rule) sameHead(other *Rule) bool {
	return r.Source == other.Source && r.Dest == other.Dest && r.In.normal() == other.In.normal() && r.Out.normal() == other.Out.normal() &&
		r.Protocol == other.Protocol && r.Fragment == other.Fragment && slices.Equal(r.Masks, other.Masks)
}

// normal returns the interface, with one that matches every name as no interface
// at all.
func (i Interface) normal() Interface {
	if i.Name == "+" && !i.Not {
		return Interface{}
	}
	return i
}

func (r *Rule) sameTarget(f packet.Family, other *Rule) match.Likeness {
	if toName(r) != toName(other) || r.Target.Goto != other.Target.Goto {
		return match.Differs
	}
	if r.Target.Module == nil || other.Target.Module == nil {
		if r.Target.Name != other.Target.Name {
			return match.Differs
		}
		return match.Same
	}
	return r.Target.use().Compare(f, other.Target.use())
}

// find returns the index of the first rule that may be the same as a given one, and
// whether it surely is; -1 if there is none.
func (c *Chain) find(f packet.Family, gone *Rule) (at int, sure bool) {
	for i, r := range c.Rules() {
		if l := r.likeness(f, gone); l != match.Differs {
			return i, l == match.Same && !(c.Partial && i == 0)
		}
	}
	return -1, false
}

// delete deletes, for each of the given rules, the first rule that is the same.
func (c *Chain) delete(f packet.Family, rules []*Rule, spec string) error {
	for _, gone := range rules {
		switch at, sure := c.find(f, gone); {
		case at < 0:
			return refused("the chain %s has no such rule", c.Name)
		case sure:
			c.SetRules(slices.Delete(c.Rules(), at, at+1))
		default:
			body := Body{Unread: "-D " + c.Name + " " + spec + ", which may delete one rule or another"}
			c.SetRules(slices.Replace(c.Rules(), at, at+1, &Rule{Body: &body, Line: gone.Line}))
			c.Shifted = true
		}
	}
	return nil
}

// has returns an error if the chain does not have the rule, as -C does.
func (c *Chain) has(f packet.Family, rules []*Rule) error {
	for _, r := range rules {
		switch at, sure := c.find(f, r); {
		case at < 0:
			return refused("the chain %s has no such rule", c.Name)
		case !sure && !c.Partial:
			return refused("whether the chain %s has this rule depends on how iptables compares them", c.Name)
		}
	}
	return nil
}
