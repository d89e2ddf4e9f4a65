package importer

import (
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// logged is a log prefix of a chain, and the packets that are logged with it. A limit
// counts as if there were none: it bounds how often, and not what.
type logged struct {
	prefix string // as a policy says it
	rules  []*iptables.Rule
	hits   map[packet.Hook]diagram.Ref // 1 where a packet is logged
	rate   string                      // of the limit, as log_limit says it; "" for none
}

// maxLogs is how many prefixes have a bit of a leaf.
const maxLogs = 12

func isLog(r *iptables.Rule) bool { return r.Target.Name == "LOG" && r.Target.Module != nil }

// prefixOf is a LOG's prefix. Seawall puts a blank after it.
func prefixOf(r *iptables.Rule) string {
	if o := r.Target.Use().Option("--log-prefix"); o != nil {
		return strings.TrimSuffix(o.Values[0], " ")
	}
	return ""
}

// rateOf is the rate of a rule's limit, as log_limit says it; "" for none.
func rateOf(r *iptables.Rule) string {
	for i := range r.Matches {
		if o := r.Matches[i].Option("--limit"); r.Matches[i].Name == "limit" && o != nil {
			n, unit, _ := strings.Cut(o.Values[0], "/")
			for _, full := range []string{"second", "minute", "hour", "day"} {
				if strings.HasPrefix(full, unit) && unit != "" {
					return n + "/" + full
				}
			}
		}
	}
	return ""
}

// findLogs finds the prefixes, and adds them to the leaves that a policy is written from.
// The rule is replaced by one after which everything is possible, and which is not
// final: where that shows, the packet met it.
func (r *reading) findLogs(t *iptables.Table) error {
	reached := reachable(t)
	for _, c := range t.Chains {
		for _, rule := range c.Rules {
			if !isLog(rule) || !reached[rule] {
				continue
			}
			i := slices.IndexFunc(r.logs, func(l logged) bool { return l.prefix == prefixOf(rule) })
			if i < 0 {
				i = len(r.logs)
				r.logs = append(r.logs, logged{prefix: prefixOf(rule), hits: map[packet.Hook]diagram.Ref{}, rate: rateOf(rule)})
			}
			r.logs[i].rules = append(r.logs[i].rules, rule)
		}
	}
	for i := range r.logs {
		for _, hook := range r.hooks {
			f, err := r.call(marked(t, r.logs[i].rules), hook)
			if err != nil {
				return err
			}
			r.logs[i].hits[hook] = r.Relabel(f, func(b uint32) uint32 {
				if packet.Verdict(b)&packet.Unknown != 0 {
					return 1
				}
				return 0
			})
			if i < maxLogs {
				bit := uint32(1) << (logShift + i)
				hits := r.Relabel(r.logs[i].hits[hook], func(b uint32) uint32 { return b*bit | diagram.Continue })
				r.sure[hook] = r.Overlay(hits, r.sure[hook])
			}
		}
	}
	return nil
}

// marked is a table in which some rules that log are ones that may do anything.
func marked(t *iptables.Table, rules []*iptables.Rule) *iptables.Table {
	return withRules(t, func(rule *iptables.Rule) *iptables.Rule {
		if !slices.Contains(rules, rule) {
			return rule
		}
		body := *rule.Body
		body.Target = iptables.Target{Name: "QUEUE"}
		body.Matches = slices.DeleteFunc(slices.Clone(body.Matches), func(m iptables.Match) bool { return m.Name == "limit" })
		return &iptables.Rule{Source: rule.Source, Body: &body, To: rule.To, Line: rule.Line}
	})
}

// evaluated reports whether all of a rule can be evaluated.
func evaluated(s *packet.Space, t *iptables.Table, r *iptables.Rule) bool {
	if r.Unread != "" || r.Fragment != "" {
		return false
	}
	reader := &match.Reader{Space: s, Sets: t.Sets, Changed: func(match.Thing) string { return "" }}
	for i := range r.Matches {
		for _, c := range r.Matches[i].Means(reader) {
			if c.Unsure != "" {
				return false
			}
		}
	}
	if t.Leads(r) != nil || r.Target.Name == "" || r.Target.Name == "RETURN" {
		return true
	}
	if u := r.Target.Use(); u != nil {
		return u.Effect().Verdict != packet.Unknown
	}
	_, standard := match.Standard[r.Target.Name]
	return standard && match.Standard[r.Target.Name] != packet.Unknown
}

// loggedBy is the packets that a document logs with a prefix, at a hook: those whose
// verdict depends on the verdict of the blocks that log.
func (r *reading) loggedBy(doc *schema.Document, prefix string, hook packet.Hook) diagram.Ref {
	f := func(v schema.Verdict) diagram.Ref { return r.policy(withVerdict(doc, prefix, v), hook) }
	var items []diagram.Item
	r.Disagree(f(schema.Pass), f(schema.Deny), func(a, b uint32) bool { return a == b }).Boxes(func(b *diagram.Box, _ diagram.Pair) {
		x := *b
		items = append(items, diagram.Item{Box: &x, Target: diagram.Leaf(1)})
	})
	return r.Build(append(items, diagram.Item{Box: &diagram.Box{}, Target: diagram.Leaf(0)}))
}

// withVerdict is a document whose blocks that log with a prefix have another verdict.
func withVerdict(doc *schema.Document, prefix string, v schema.Verdict) *schema.Document {
	change := func(rules []*schema.Rule) []*schema.Rule {
		var list []*schema.Rule
		for _, x := range rules {
			copied := *x
			if x.Log == prefix {
				copied.Verdict = v
			}
			list = append(list, &copied)
		}
		return list
	}
	out := *doc
	if doc.Guard != nil {
		g := *doc.Guard
		g.Rules = change(g.Rules)
		out.Guard = &g
	}
	out.Policies = nil
	for _, p := range doc.Policies {
		copied := *p
		copied.Rules = change(p.Rules)
		out.Policies = append(out.Policies, &copied)
	}
	return &out
}
