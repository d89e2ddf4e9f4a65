package importer

import (
	"maps"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// logged is a log prefix of a chain, and the packets that are logged with it. A limit
// counts as if there were none: it bounds how often, and not what.
type logged struct {
	prefix string // as a policy says it
	rules  []*rule
	hits   map[packet.Hook]diagram.Ref // 1 where a packet is logged
	rate   string                      // of the limit, as log_limit says it; "" for none
}

// maxLogs is how many prefixes have a bit of a leaf.
const maxLogs = 12

// findLogs finds the prefixes, and adds them to the leaves that a policy is written from.
// After a rule that logs, everything is taken to be possible: where that shows, the
// packet met it.
func (r *reading) findLogs(unsure changes) error {
	for _, rule := range r.rules.rules() {
		if rule.log == nil {
			continue
		}
		i := slices.IndexFunc(r.logs, func(l logged) bool { return l.prefix == rule.log.prefix })
		if i < 0 {
			i = len(r.logs)
			r.logs = append(r.logs, logged{prefix: rule.log.prefix, hits: map[packet.Hook]diagram.Ref{}, rate: rule.log.rate})
		}
		r.logs[i].rules = append(r.logs[i].rules, rule)
	}
	for i := range r.logs {
		changed := maps.Clone(unsure)
		for _, rule := range r.logs[i].rules {
			changed[rule] = anything
		}
		read := r.rules.reader(r.Store, r.space, changed)
		for _, hook := range r.hooks {
			f, err := read(hook)
			if err != nil {
				return err
			}
			r.logs[i].hits[hook] = r.Relabel(f, func(b uint32) uint32 {
				if packet.Verdict(b)&packet.Unknown != 0 {
					return 1
				}
				return 0
			})
			if i < maxLogs && r.logs[i].writable() {
				bit := uint32(1) << (logShift + i)
				hits := r.Relabel(r.logs[i].hits[hook], func(b uint32) uint32 { return b*bit | diagram.Continue })
				r.sure[hook] = r.Overlay(hits, r.sure[hook])
			}
		}
	}
	return nil
}

// writable reports whether a policy can have the prefix (SPEC.md, allow and deny).
func (l *logged) writable() bool {
	const longest = 29
	return l.prefix != "" && len(l.prefix) <= longest && strings.IndexFunc(l.prefix, func(c rune) bool { return c < ' ' || c > '~' }) < 0
}

// loggedBy is the packets that a document logs with a prefix, at a hook: those whose
// verdict depends on the verdict of the blocks that log.
func (r *reading) loggedBy(doc *schema.Document, prefix string, hook packet.Hook) diagram.Ref {
	if prefix == "" { // no block has an empty one
		return diagram.Leaf(0)
	}
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
