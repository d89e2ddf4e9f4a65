package nftables

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

// Unjudged returns, one per line, the rules and chain policies that affect packets but
// are not part of the answer: those of other hooks that drop packets, hide them from
// conntrack, rewrite or redirect them or hand them to a program, and tables of other families.
// Docker's own rules are not listed, nor is the filter table of iptables. With a mark by which Docker accepts, so
// are the rules of other hooks that set it.
func (f *File) Unjudged(opt RuleOptions) []string {
	var list []string
	judged := f.judgedChains(opt)
	for _, t := range f.Tables {
		if t.dockers() || t.iptables() && t.Name == "filter" || slices.Contains(t.Flags, "dormant") {
			continue
		}
		if t.passing() {
			list = append(list, fmt.Sprintf("line %d: table %s %s, which the kernel removes when the program that loaded it ends (flags owner)", t.Line, t.Family, t.Name))
			continue
		}
		for _, o := range t.Objects {
			if o.Kind == "flowtable" {
				list = append(list, fmt.Sprintf("line %d: the flowtable %s, whose packets come to no rule", o.Line, o.Name))
			}
		}
		for _, c := range t.Chains {
			if c.Hook == nil || judged[c] {
				continue
			}
			if c.Hook.Policy == "drop" {
				list = append(list, fmt.Sprintf("line %d: chain %s of table %s %s, policy drop", c.Line, c.Name, t.Family, t.Name))
			}
			for _, r := range f.affecting(t, c, opt, map[*Chain]bool{}) {
				list = append(list, fmt.Sprintf("line %d: %s", r.Line, r.String()))
			}
		}
	}
	return list
}

// judgedChains are the base chains that are part of the answer: those of the policy, and
// in FORWARD what comes before them.
func (f *File) judgedChains(opt RuleOptions) map[*Chain]bool {
	list := map[*Chain]bool{}
	for _, family := range packet.Families {
		r := f.Rules(family, opt)
		for _, hook := range packet.Hooks {
			before, policy := r.judged(hook)
			if hook == packet.Forward {
				policy = append(policy, before...)
			}
			for _, b := range policy {
				list[b.chain] = true
			}
		}
	}
	return list
}

// translates reports whether a statement is Docker's own translation of a published port,
// or changes only the source.
func (t *Table) translates(c *Chain, s *Foreign) bool {
	is := func(word, target string) bool { // as nft -j lists targets of iptables
		return strings.HasPrefix(s.Text, word) || strings.Contains(s.Text, `{"name":"`+target+`","type":"target"}`)
	}
	return is("masquerade", "MASQUERADE") || is("snat", "SNAT") || is("dnat", "DNAT") && t.iptables() && strings.HasPrefix(c.Name, "DOCKER")
}

// affecting are the rules that packets of a chain meet and that do more than let them
// on.
func (f *File) affecting(t *Table, c *Chain, opt RuleOptions, seen map[*Chain]bool) []*Rule {
	if c == nil || seen[c] {
		return nil
	}
	seen[c] = true
	var list []*Rule
	for _, r := range c.Rules {
		affects := opt.AcceptMark != 0 && r.marks()
		for _, s := range r.Statements {
			switch s := s.(type) {
			case *Foreign:
				affects = affects || !t.translates(c, s)
			case *Reject:
				affects = true
			case *Assign:
				affects = affects || !s.harmless()
			case *Note:
				affects = affects || s.Text == "notrack"
			}
		}
		for _, v := range r.verdicts(t) {
			affects = affects || v.Kind == Drop
			if v.Kind == Jump || v.Kind == Goto {
				list = append(list, f.affecting(t, t.Chain(v.Chain), opt, seen)...)
			}
		}
		if affects {
			list = append(list, r)
		}
	}
	return list
}

// unread are the fields that can be assigned without making another packet of it for
// conntrack or for a policy. The mark is one where Docker accepts none.
var unread = map[string]bool{"meta mark": true, "mark": true, "ct mark": true, "ct label": true, "ct event": true,
	"meta priority": true, "meta nftrace": true, "meta pkttype": true, "meta secmark": true, "ct secmark": true, "tcp option maxseg size": true,
	"ip dscp": true, "ip ecn": true, "ip ttl": true, "ip id": true, "ip checksum": true, "ip6 dscp": true, "ip6 ecn": true, "ip6 flowlabel": true, "ip6 hoplimit": true}

// harmless reports whether an assignment changes nothing that a policy or conntrack asks
// for.
func (a *Assign) harmless() bool { return unread[cmp.Or(a.Left.Text, string(a.Left.append(nil)))] }
