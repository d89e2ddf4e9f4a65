package nftables

import (
	"fmt"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// The outcomes of a chain beyond verdicts that are final, as bits of a leaf.
const (
	accepted = 1 << 29 // this base chain is over, and the next one decides
	marked   = 1 << 28 // the same, with the mark that Docker honours
	returned = 1 << 27 // to the chain's caller
	// markedOn says that what is accepted may have the mark: a rule set it and went
	// on. It is no outcome, but counts for all of them.
	markedOn = 1 << 26
	settled  = 1 << 25 // accepted by the last base chain so far; see then
)

// reader determines what rulesets do with packets.
//
// The meaning of a hook is all of its base chains, one after the other: a drop or a
// reject in any of them is final, an accept only ends its own chain.
type reader struct {
	*diagram.Store
	conditions *conditions
	rules      *Rules
	memo       map[*Chain]diagram.Ref
	open       map[*Chain]bool
	err        error // for rules that nft would refuse
}

func newReader(d *diagram.Store, s *packet.Space, rules *Rules) *reader {
	c := newConditions(s, rules.file)
	c.changed = changes(rules.reachable(packet.Hooks...))
	return &reader{Store: d, conditions: c, rules: rules, memo: map[*Chain]diagram.Ref{}, open: map[*Chain]bool{}}
}

// Focus narrows what the reader is asked to one packet with every source that it may
// have.
func (r *reader) Focus(p packet.Packet) { r.conditions.point = r.conditions.Point(p) }

// Hook returns the function of the base chains that carry the policy at a hook, and
// of those before them.
func (r *reader) Hook(hook packet.Hook) (diagram.Ref, error) {
	before, policy := r.rules.judged(hook)
	f := r.chains(hook, before)
	if hook == packet.Input {
		f = r.Relabel(f, hostDenies)
	}
	return r.result(hook, r.then(f, r.chains(hook, policy))), r.err
}

// hostDenies makes of what the host's own chains deny in INPUT a verdict of the host:
// both the host and the policy decide there.
func hostDenies(bits uint32) uint32 {
	if closed := bits & uint32(packet.Closed); closed != 0 {
		bits = bits&^closed | uint32(packet.HostDeny)
	}
	return bits
}

// Whole returns the function of all base chains of a hook.
func (r *reader) Whole(hook packet.Hook) (diagram.Ref, error) {
	return r.result(hook, r.chains(hook, r.rules.bases(hook))), r.err
}

// result turns outcomes into verdicts.
func (r *reader) result(hook packet.Hook, f diagram.Ref) diagram.Ref {
	f = r.Relabel(f, func(bits uint32) uint32 {
		v := bits &^ (accepted | marked | markedOn | settled)
		past := uint32(packet.Accept)
		if hook == packet.Input {
			past = uint32(packet.Pass)
		}
		if bits&accepted != 0 {
			v |= uint32(packet.Pass)
		}
		if bits&marked != 0 {
			v |= past
		}
		if bits&markedOn != 0 && bits&(accepted|marked) != 0 {
			v |= uint32(packet.Pass) | past
		}
		return v
	})
	if hook == packet.Input {
		return r.Restrict(f, packet.Out, diagram.Value{})
	}
	return f
}

// chains is the function of base chains, one after the other.
func (r *reader) chains(hook packet.Hook, list []base) diagram.Ref {
	f := diagram.Leaf(accepted)
	for _, b := range list {
		f = r.then(f, r.base(b))
	}
	return f
}

// then is the function of f, and of g for what f accepts. What f accepts with the
// mark keeps it.
func (r *reader) then(f, g diagram.Ref) diagram.Ref {
	if f == diagram.Leaf(accepted) {
		return g
	}
	first := r.Relabel(f, func(bits uint32) uint32 {
		if bits&accepted != 0 {
			bits = bits&^accepted | diagram.Continue
		}
		return bits
	})
	// The bit of f's marked outcomes must not be mistaken for one of g's.
	gSettled := r.Relabel(g, func(bits uint32) uint32 {
		if bits&marked != 0 {
			bits = bits&^marked | settled
		}
		return bits
	})
	both := r.Overlay(first, gSettled)
	both = r.Relabel(both, func(bits uint32) uint32 {
		if bits&marked != 0 {
			bits = bits&^marked | diagram.Continue
		}
		if bits&settled != 0 {
			bits = bits&^settled | marked
		}
		return bits
	})
	kept := r.Relabel(g, func(bits uint32) uint32 {
		if bits&accepted != 0 {
			bits = bits&^accepted | marked
		}
		return bits
	})
	return r.Overlay(both, kept)
}

// base is the function of a base chain: what comes to its end, or returns, gets its
// policy. What one that others call accepts is past their rules, as with the mark.
func (r *reader) base(b base) diagram.Ref {
	end := uint32(accepted)
	h := b.chain.Hook
	switch {
	case h.Type != "filter" || h.Unread != "":
		end = uint32(packet.Unknown) | accepted // nobody knows what, or when
	case h.Policy == "drop":
		end = uint32(packet.Deny)
	}
	past := r.rules.calls(b)
	return r.Relabel(r.chain(b.table, b.chain), func(bits uint32) uint32 {
		if past && bits&accepted != 0 {
			bits = bits&^accepted | marked
		}
		if bits&returned != 0 {
			bits = bits&^returned | end
		}
		return bits
	})
}

// chain is the function of a chain.
func (r *reader) chain(t *Table, c *Chain) diagram.Ref {
	if f, ok := r.memo[c]; ok {
		return f
	}
	if r.open[c] {
		if r.err == nil {
			r.err = fmt.Errorf("the chain %s leads to itself; nft would refuse it", c.Name)
		}
		return diagram.Leaf(returned)
	}
	r.open[c] = true
	var items []diagram.Item
	var current *run
	for _, rule := range c.Rules {
		for _, b := range r.conditions.branches(t, rule, r.rules.opt.AcceptMark) {
			if len(b.cases) == 0 {
				continue
			}
			shared := r.conditions.share(b.cases)
			if current == nil || current.condition != shared {
				items = current.finish(r, items)
				current = &run{condition: shared}
			}
			current.add(b.sources.OrAll(r.Max(packet.Source)), r.target(t, b.act))
		}
	}
	items = current.finish(r, items)
	f := r.Build(append(items, diagram.Item{Box: &diagram.Box{}, Target: diagram.Leaf(returned)}))
	r.memo[c] = f
	return f
}

// target is what an action does, as a function.
func (r *reader) target(t *Table, a action) diagram.Ref {
	switch a.deed {
	case accepts:
		return diagram.Leaf(accepted)
	case marks:
		return diagram.Leaf(marked)
	case denies:
		return diagram.Leaf(uint32(a.verdict))
	case returns:
		return diagram.Leaf(returned)
	case marksOn:
		return diagram.Leaf(markedOn | diagram.Continue)
	case goes:
		return r.chain(t, a.chain)
	case jumps:
		return r.Relabel(r.chain(t, a.chain), func(bits uint32) uint32 {
			if bits&returned != 0 {
				bits = bits&^returned | diagram.Continue
			}
			return bits
		})
	}
	return diagram.Leaf(uint32(packet.Unknown) | diagram.Continue)
}

// run is branches that follow each other and differ only in their sources and in
// what they do: one step of a list, whose sources are swept together.
type run struct {
	condition *condition
	entries   []diagram.Entry
	count     int32
}

func (x *run) add(sources diagram.Set, target diagram.Ref) {
	for _, s := range sources {
		x.entries = append(x.entries, diagram.Entry{Span: s, Order: x.count, Target: target})
	}
	x.count++
}

// finish adds the run to a list of items. Where its condition is unsure, a packet
// may also go on to the next item.
func (x *run) finish(r *reader, items []diagram.Item) []diagram.Item {
	if x == nil || len(x.entries) == 0 {
		return items
	}
	target := x.target(r)
	for i := range x.condition.cases {
		c := &x.condition.cases[i]
		t := target
		if c.Unsure != "" {
			t = r.Relabel(target, func(bits uint32) uint32 { return bits | diagram.Continue })
		}
		items = append(items, diagram.Item{Box: &c.Box, Target: t})
	}
	return items
}

// target is the run as one function.
func (x *run) target(r *reader) diagram.Ref {
	if e := x.entries[0]; len(x.entries) == 1 && e.Span == (diagram.Span{Hi: r.Max(packet.Source)}) {
		return e.Target
	}
	for _, e := range x.entries {
		if r.Property(e.Target) < packet.Source {
			return x.overlaid(r)
		}
	}
	return r.Sources(x.entries)
}

func (x *run) overlaid(r *reader) diagram.Ref {
	var items []diagram.Item
	for _, e := range x.entries {
		items = append(items, diagram.Item{Box: &diagram.Box{packet.Source: diagram.Set{e.Span}}, Target: e.Target})
	}
	return r.Build(items)
}
