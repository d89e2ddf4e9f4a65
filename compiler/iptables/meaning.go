package iptables

import (
	"fmt"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/packet"
)

// returned is the leaf bit for packets that return to a chain's caller.
const returned = 1 << 29

// Reader determines what the chains of a table do with packets.
type Reader struct {
	*diagram.Store
	space      *packet.Space
	conditions *conditions
	table      *Table
	hook       packet.Hook
	root       string                   // the chain that carries the policy
	memo       map[chainKey]diagram.Ref // chains already read
	open       map[chainKey]bool
	rules      int                    // of the whole table
	trees      map[*Chain]*sourceTree // chains inside the policy that match only on the source
	sizes      map[*Chain]int32       // see treeSize
	outcomes   map[*packing][]outcome // of packed rules that go nowhere
	relabeled  map[[2]uint32]map[diagram.Ref]diagram.Ref
	adopted    map[diagram.Ref]*Chain // trees from the memory
	err        error                  // a table that iptables would refuse
}

// chainKey is a chain, and whether it belongs to the policy or to the host's own
// rules before it, which mean something else at each hook.
type chainKey struct {
	name   string
	inside bool
	hook   packet.Hook // "" inside
}

// NewReader returns a reader for a table; nil means a table without chains.
func NewReader(d *diagram.Store, s *packet.Space, t *Table) *Reader {
	if t == nil {
		t = &Table{Name: "filter"}
	}
	t = t.Whole()
	r := &Reader{Store: d, space: s, conditions: newConditions(s, t), table: t,
		memo: map[chainKey]diagram.Ref{}, open: map[chainKey]bool{}, trees: map[*Chain]*sourceTree{}, sizes: make(map[*Chain]int32, len(t.Chains)), outcomes: map[*packing][]outcome{}, relabeled: map[[2]uint32]map[diagram.Ref]diagram.Ref{}, adopted: map[diagram.Ref]*Chain{}}
	for _, c := range t.Chains {
		r.rules += c.Len()
	}
	return r
}

// Focus narrows what the reader is asked to one packet with every source that it
// may have. The functions of the chains then depend only on the source, so the
// answer is quick whatever the rules match on. Focus must be called before
// anything else is asked.
func (r *Reader) Focus(p packet.Packet) { r.conditions.point = r.space.Point(p) }

// Hook returns the verdict function of a filter table at a hook. It returns an
// error for a table that iptables itself would refuse.
//
// A table that has the hook's built-in chain is judged whole: whatever precedes
// the jump to the policy's chain counts, and without the jump nothing is denied.
// A table without it (a file for iptables-restore --noflush) is judged only by
// the policy's chain. What comes after the policy's chain belongs to Docker or to
// the host, and counts as Pass.
func (r *Reader) Hook(hook packet.Hook) (diagram.Ref, error) {
	r.hook, r.root = hook, r.table.Root(hook)
	if c := r.table.Chain(string(hook)); c != nil {
		return r.at(hook, r.builtin(c)), r.err
	}
	return r.Call(hook)
}

// Call returns the function of the policy's own chain of a hook, as its caller
// sees it.
func (r *Reader) Call(hook packet.Hook) (diagram.Ref, error) {
	r.hook, r.root = hook, r.table.Root(hook)
	if r.table.Chain(r.root) == nil {
		return leaf(packet.Pass), nil // nothing there denies anything
	}
	return r.at(hook, r.relabel(r.chain(r.root, true), returned, uint32(packet.Pass))), r.err
}

// Whole returns the function of a built-in chain from its first rule to its
// policy, including the rules of other software.
func (r *Reader) Whole(hook packet.Hook) (diagram.Ref, error) {
	c := r.table.Chain(string(hook))
	if c == nil {
		return leaf(packet.Accept), nil
	}
	r.hook, r.root = hook, "" // no chain is the policy's, so all rules count
	return r.at(hook, r.relabel(r.chain(c.Name, true), returned, uint32(c.verdict()))), r.err
}

// at adapts a function to the packets of a hook: those to the host itself leave
// on no interface.
func (r *Reader) at(hook packet.Hook, f diagram.Ref) diagram.Ref {
	if hook == packet.Input {
		return r.Restrict(f, packet.Out, diagram.Value{})
	}
	return f
}

// verdict returns the verdict of a built-in chain's policy.
func (c *Chain) verdict() packet.Verdict {
	if c.Policy == "DROP" {
		return packet.Deny
	}
	return packet.Accept
}

func leaf(v packet.Verdict) diagram.Ref { return diagram.Leaf(uint32(v)) }

// relabel replaces one bit of the leaves with another.
func (r *Reader) relabel(f diagram.Ref, from, to uint32) diagram.Ref {
	known := r.relabeled[[2]uint32{from, to}]
	if known == nil {
		known = map[diagram.Ref]diagram.Ref{}
		r.relabeled[[2]uint32{from, to}] = known
	}
	for ref, chain := range r.adopted {
		if n, ok := r.table.memory.whole.Get(relabeling{chain, from, to}); ok && known[ref] == 0 {
			known[ref] = r.Adopt(n)
		}
	}
	changed := r.Replace(f, from, to, known)
	r.keepRelabeled(known, from, to)
	return changed
}

// relabeling is what a tree that several tables have means, with one bit of its leaves
// replaced; with none where both are 0.
type relabeling struct {
	chain    *Chain
	from, to uint32
}

func (r *Reader) keepRelabeled(known map[diagram.Ref]diagram.Ref, from, to uint32) {
	for ref, chain := range r.adopted {
		memory, key := r.table.memory.whole, relabeling{chain, from, to}
		if _, ok := memory.Get(key); ok || known[ref] == 0 {
			continue
		}
		if n, ok := r.OfLeaves(known[ref], packet.Source); ok {
			memory.Put(key, n, n.Starts.Len())
		}
	}
}

// fail records the first reason why iptables would refuse the table.
func (r *Reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// builtin returns the function of FORWARD or INPUT up to the last call of the
// policy's chain.
func (r *Reader) builtin(c *Chain) diagram.Ref {
	last := -1
	for i, rule := range c.Rules() {
		if r.reaches(rule, map[*Chain]bool{}) {
			last = i
		}
	}
	// A goto skips the rules after it, which are the host's: a packet that returns
	// from the policy's chain is then decided by the built-in chain's policy.
	skipped := uint32(0)
	if last+1 < c.Len() {
		skipped = uint32(c.verdict())
	}
	items := r.items(c.Rules()[:last+1], false, skipped)
	f := r.Build(append(items, diagram.Item{Box: &diagram.Box{}, Target: leaf(packet.Pass)}))
	// A RETURN in a built-in chain, or from the target of a goto in it, applies the
	// chain's policy.
	return r.relabel(f, returned, uint32(r.foreign(c.verdict())))
}

// reaches reports whether a rule leads to the policy's chain.
func (r *Reader) reaches(rule *Rule, seen map[*Chain]bool) bool {
	c := r.leads(rule)
	if c == nil || seen[c] {
		return false
	}
	if c.Name == r.root {
		return true
	}
	seen[c] = true
	for _, next := range c.Rules() {
		if r.reaches(next, seen) {
			return true
		}
	}
	return false
}

func (r *Reader) leads(rule *Rule) *Chain { return r.table.leads(rule) }

// leads returns the chain that a rule leads to, or nil if its target is a verdict
// or an extension.
func (t *Table) leads(rule *Rule) *Chain {
	switch {
	case rule.To != nil:
		return rule.To
	case rule.Target.Module != nil:
		return nil
	}
	switch rule.Target.Name {
	case "", "DROP", "RETURN", "ACCEPT": // no chain can have such a name
		return nil
	}
	return t.byName[rule.Target.Name]
}

// foreign returns what a verdict of the host's own rules, before the policy's
// chain, counts as. In FORWARD it is the verdict itself. In INPUT both the host's
// rules and the policy decide: the host's ACCEPT is a pass of the policy, and what
// the host drops is dropped, whatever the policy says about it.
func (r *Reader) foreign(v packet.Verdict) packet.Verdict {
	if r.hook == packet.Forward {
		return v
	}
	switch {
	case v == packet.Accept:
		return packet.Pass
	case v.IsClosed():
		return packet.HostDeny
	}
	return v
}

// chain returns the function of a chain; packets that return to its caller have
// the leaf returned. inside says whether the chain belongs to the policy.
func (r *Reader) chain(name string, inside bool) diagram.Ref {
	key := chainKey{name: name, inside: inside}
	if !inside {
		key.hook = r.hook
	}
	if f, ok := r.memo[key]; ok {
		return f
	}
	if r.open[key] {
		r.fail("the chain %s leads to itself; the kernel would refuse it", name)
		return diagram.Leaf(returned)
	}
	c := r.table.Chain(name)
	if inside {
		if t := r.sourceTree(c); t != nil {
			r.memo[key] = t.Whole()
			return r.memo[key]
		}
	}
	r.open[key] = true
	items := r.items(c.Rules(), inside, 0)
	f := r.Build(append(items, diagram.Item{Box: &diagram.Box{}, Target: diagram.Leaf(returned)}))
	r.memo[key] = f
	return f
}

// items converts a chain's rules to items. Consecutive rules that differ only in
// their sources and targets become one item.
func (r *Reader) items(list []*Rule, inside bool, skipped uint32) []diagram.Item {
	var items []diagram.Item
	var run *run
	for _, rule := range list {
		c := r.conditions.of(rule.Body)
		sources := r.conditions.address(rule.Source, packet.Source)
		if inside && sources != nil {
			if tree := r.goes(rule); tree != nil {
				items, run = r.into(items, run, c)
				run.add(sources, diagram.Entry{Target: diagram.Leaf(returned), Chain: tree})
				continue
			}
		}
		target, decides := r.target(rule, inside, skipped)
		if !decides {
			continue
		}
		items, run = r.into(items, run, c)
		run.add(sources.OrAll(r.Max(packet.Source)), diagram.Entry{Target: target})
	}
	return run.finish(r, items)
}

// goes returns the tree of sources that a rule goes to, or nil.
func (r *Reader) goes(rule *Rule) *sourceTree {
	if rule.Unread != "" || rule.To == nil && !rule.Target.Goto {
		return nil
	}
	return r.sourceTree(r.leads(rule))
}

// into returns the run for a condition: the current one, or a new one after it.
func (r *Reader) into(items []diagram.Item, at *run, c *condition) ([]diagram.Item, *run) {
	if at != nil && at.condition == c {
		return items, at
	}
	return at.finish(r, items), &run{condition: c}
}

// run is a sequence of rules that differ only in their sources and targets.
type run struct {
	condition *condition
	entries   []diagram.Entry
	rules     int32
}

func (r *run) add(sources diagram.Set, e diagram.Entry) {
	e.Order = r.rules
	for _, s := range sources {
		e.Span = s
		r.entries = append(r.entries, e)
	}
	r.rules++
}

// finish adds the run to a list of items. Where its condition is unsure, a packet
// may also go on to the next item.
func (r *run) finish(d *Reader, items []diagram.Item) []diagram.Item {
	if r == nil || len(r.entries) == 0 || len(r.condition.cases) == 0 {
		return items
	}
	target := r.target(d)
	for i := range r.condition.cases {
		c := &r.condition.cases[i]
		t := target
		if c.Unsure != "" {
			t = d.Relabel(target, func(b uint32) uint32 { return b | diagram.Continue })
		}
		items = append(items, diagram.Item{Box: &c.Box, Target: t})
	}
	return items
}

// target returns the run as one function. Entries whose targets match on more than
// the source cannot be swept together; they are overlaid one by one.
func (r *run) target(d *Reader) diagram.Ref {
	if e := r.entries[0]; len(r.entries) == 1 && e.Chain == nil && e.Span == (diagram.Span{Hi: d.Max(packet.Source)}) {
		return e.Target
	}
	for _, e := range r.entries {
		if d.Property(e.Target) < packet.Source {
			return r.overlaid(d)
		}
	}
	return d.Sources(r.entries)
}

func (r *run) overlaid(d *Reader) diagram.Ref {
	var items []diagram.Item
	for _, e := range r.entries {
		b := &diagram.Box{packet.Source: diagram.Set{e.Span}}
		if e.Chain != nil {
			e.Target = e.Chain.Whole()
		}
		items = append(items, diagram.Item{Box: b, Target: e.Target})
	}
	return d.Build(items)
}

// target returns what a rule does, as a function; false if it decides nothing.
// skipped is the outcome for a packet that returns after a goto to the policy's
// chain.
func (r *Reader) target(rule *Rule, inside bool, skipped uint32) (diagram.Ref, bool) {
	if rule.Unread != "" {
		return diagram.Leaf(uint32(packet.Unknown) | diagram.Continue), true
	}
	if c := r.leads(rule); c != nil {
		return r.jump(c, rule.To != nil || rule.Target.Goto, inside, skipped), true
	}
	v, decides := rule.verdict()
	switch {
	case !decides:
		return 0, false
	case rule.Target.Name == "RETURN":
		return diagram.Leaf(returned), true
	case v == packet.Unknown:
		if Owned(rule.Target.Name) {
			r.fail("line %d leads to %s, which is not in the file; iptables-restore would refuse it", rule.Line, rule.Target.Name)
		}
		return diagram.Leaf(uint32(v) | diagram.Continue), true
	case !inside:
		v = r.foreign(v)
	}
	return leaf(v), true
}

// verdict returns the outcome of a rule that leads to no chain; false if packets
// go on to the next rule.
func (rule *Rule) verdict() (packet.Verdict, bool) {
	t := &rule.Target
	switch t.Name { // nearly all rules
	case "":
		return 0, false
	case "RETURN":
		if !t.Goto {
			return 0, true
		}
	case "DROP":
		if !t.Goto {
			return packet.Deny, true
		}
	}
	switch {
	case t.Module != nil:
		e := t.use().Effect()
		return e.Verdict, e.Verdict != 0
	case t.Goto:
		return packet.Unknown, true
	}
	if v, ok := match.Standard[t.Name]; ok {
		return v, true
	}
	return packet.Unknown, true
}

// jump returns the function of a call of another chain: after -j, its RETURN goes
// on to the next rule; after -g, it returns to this chain's own caller
// (NETFILTER.md section 3).
func (r *Reader) jump(c *Chain, isGoto, inside bool, skipped uint32) diagram.Ref {
	if c.Name == r.root && !inside {
		f := r.chain(c.Name, true)
		switch {
		case isGoto && skipped != 0:
			return r.relabel(f, returned, skipped)
		case isGoto:
			return f
		}
		return r.relabel(f, returned, uint32(packet.Pass))
	}
	f := r.chain(c.Name, inside)
	if isGoto {
		return f
	}
	return r.relabel(f, returned, diagram.Continue)
}
