package prove

import (
	"fmt"
	"slices"

	"github.com/seawall/seawall/compiler/rules"
)

// chainReader builds the verdict function of a file's chains.
type chainReader struct {
	*diagrams
	reader *reader
	table  *rules.Table
	hook   Hook
	root   string           // the chain that carries the policy: see rootOf
	memo   map[chainKey]ref // chains that were read
	open   map[chainKey]bool
	rules  int                           // of the whole table
	trees  map[*rules.Chain]*sourceChain // chains inside the policy that ask for the source alone
}

// chainKey is a chain, and whether it belongs to the policy or to the host's own
// rules before it, which mean another thing at each hook.
type chainKey struct {
	name   string
	inside bool
	hook   Hook // "" inside
}

func (r *chainReader) key(name string, inside bool) chainKey {
	if inside {
		return chainKey{name, true, ""}
	}
	return chainKey{name, false, r.hook}
}

// filePatterns are the interfaces that a table's rules name.
func filePatterns(t *rules.Table) []string {
	seen := map[*rules.Body]bool{}
	var names []string
	if t == nil {
		return nil
	}
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			if (r.In.Name != "" || r.Out.Name != "") && !seen[r.Body] {
				seen[r.Body] = true
				names = append(names, r.In.Name, r.Out.Name)
			}
		}
	}
	return names
}

// rootOf is the chain that a hook's policy is carried out in.
func rootOf(hook Hook) string {
	if hook == Input {
		return rules.SeawallInput
	}
	return rules.DockerUser
}

// file builds the verdict function of a filter table at a hook.
//
// A table that has the hook's built-in chain is judged whole: what stands
// before the jump to the policy's chain counts, and without the jump nothing
// is denied. A table without it (a file for iptables-restore --noflush) is
// judged by the policy's chain alone. What comes after the policy's chain
// belongs to Docker, or to the host, and is "pass".
func (d *diagrams) file(t *rules.Table, hook Hook) (ref, error) {
	r := d.chainReader(t)
	r.hook, r.root = hook, rootOf(hook)
	builtin := t.Chain(string(hook))
	read := func() (ref, error) { return r.builtin(builtin) }
	if builtin == nil || builtin.Implied && len(builtin.Rules) == 0 {
		read = func() (ref, error) { return r.call(r.root) }
	}
	f, err := read()
	if err != nil || hook == Forward {
		return f, err
	}
	return d.nowhere(f), nil
}

// chainReader gives the reader of a table. What it reads at one hook of the
// policy's own chains holds at the other as well.
func (d *diagrams) chainReader(t *rules.Table) *chainReader {
	if r, ok := d.readers[t]; ok {
		return r
	}
	r := &chainReader{diagrams: d, reader: newReader(d.space, t.Sets), table: t,
		memo: map[chainKey]ref{}, open: map[chainKey]bool{}, trees: map[*rules.Chain]*sourceChain{}}
	for _, c := range t.Chains {
		r.rules += len(c.Rules)
	}
	d.readers[t] = r
	return r
}

// nowhere is a function for packets that leave on no interface, as those to the
// host itself: -o NAME does not match them, ! -o NAME does.
func (d *diagrams) nowhere(r ref) ref {
	memo := map[ref]ref{}
	var walk func(ref) ref
	walk = func(r ref) ref {
		if d.property(r) > pOut {
			return r
		}
		if got, ok := memo[r]; ok {
			return got
		}
		n := d.nodes[r]
		var got ref
		if n.property == pOut {
			got = n.kids[0]
		} else {
			kids := make([]ref, len(n.kids))
			for i, k := range n.kids {
				kids[i] = walk(k)
			}
			got = d.make(n.property, slices.Clone(n.starts), kids)
		}
		memo[r] = got
		return got
	}
	return walk(r)
}

// call is the function of a chain as its caller sees it when it carries the
// policy: RETURN is pass.
func (r *chainReader) call(name string) (ref, error) {
	if r.table.Chain(name) == nil {
		return leaf(vPass), nil // nothing there denies anything
	}
	f, err := r.chain(name, true)
	if err != nil {
		return 0, err
	}
	return r.relabel(f, swap(vReturn, vPass)), nil
}

// swap makes a relabelling of one bit to another.
func swap(from, to uint32) func(uint32) uint32 {
	return func(b uint32) uint32 {
		if b&from != 0 {
			b = b&^from | to
		}
		return b
	}
}

// builtin is the function of FORWARD or INPUT up to the last call of the
// policy's chain.
func (r *chainReader) builtin(c *rules.Chain) (ref, error) {
	last := -1
	for i, rule := range c.Rules {
		if reaches(r.table, r.root, rule.Target.Name, map[string]bool{}) {
			last = i
		}
	}
	items, err := r.items(c.Rules[:last+1], false)
	if err != nil {
		return 0, err
	}
	f := r.build(append(items, item{&box{}, leaf(vPass)}))
	policy := r.foreign(vAccept)
	if c.Policy == "DROP" {
		policy = r.foreign(vDeny)
	}
	// A RETURN in a built-in chain, or out of a goto from it, ends in the
	// chain's policy.
	return r.relabel(f, swap(vReturn, policy)), nil
}

// reaches tells whether a chain is the root, or leads to it.
func reaches(t *rules.Table, root, name string, seen map[string]bool) bool {
	if name == root {
		return true
	}
	c := t.Chain(name)
	if c == nil || seen[name] {
		return false
	}
	seen[name] = true
	for _, rule := range c.Rules {
		if reaches(t, root, rule.Target.Name, seen) {
			return true
		}
	}
	return false
}

// foreign is what a verdict of the host's own rules, before the policy's
// chain, counts as. In FORWARD it is the verdict itself. In INPUT the host's
// rules and the policy both have a say: the host's ACCEPT is the policy's pass,
// and what the host drops is dropped, whatever the policy says of it.
func (r *chainReader) foreign(v uint32) uint32 {
	if r.hook == Forward {
		return v
	}
	switch v {
	case vAccept:
		return vPass
	case vDeny, vReset, vUnreachable, vRejectOther:
		return vHost
	}
	return v
}

// chain is the function of a chain; packets that go back to its caller have
// the leaf vReturn. Inside tells whether it belongs to the policy.
func (r *chainReader) chain(name string, inside bool) (ref, error) {
	key := r.key(name, inside)
	if f, ok := r.memo[key]; ok {
		return f, nil
	}
	if r.open[key] {
		return 0, fmt.Errorf("the chain %s calls itself; iptables would refuse that", name)
	}
	if inside {
		if c := r.sourceChain(r.table.Chain(name)); c != nil {
			f := r.whole(c)
			r.memo[key] = f
			return f, nil
		}
	}
	r.open[key] = true
	items, err := r.items(r.table.Chain(name).Rules, inside)
	if err != nil {
		return 0, err
	}
	f := r.build(append(items, item{&box{}, leaf(vReturn)}))
	r.memo[key] = f
	return f, nil
}

// items makes a list of items of a chain's rules. Rules in a row that differ
// in their sources and targets alone are one item.
func (r *chainReader) items(list []*rules.Rule, inside bool) ([]item, error) {
	var items []item
	var run *run
	for _, rule := range list {
		c := r.reader.condition(rule.Body)
		if inside && rule.Target.Goto && rule.Source.Prefix.IsValid() && c.opaque == "" {
			if tree := r.sourceChain(r.table.Leads(&rule.Target)); tree != nil {
				items, run = r.into(items, run, c)
				run.add(r.reader.source(rule.Source, pSrc), entry{target: leaf(vReturn), chain: tree})
				continue
			}
		}
		target, decides, err := r.target(rule, inside)
		if err != nil {
			return nil, err
		}
		if !decides {
			continue
		}
		if c.opaque != "" {
			target = r.relabel(target, func(b uint32) uint32 { return b | vContinue })
		}
		items, run = r.into(items, run, c)
		run.add(r.reader.source(rule.Source, pSrc).orAll(r.max(pSrc)), entry{target: target})
	}
	return run.finish(r, items), nil
}

// into gives the run of a condition: the one at hand, or a new one after it.
func (r *chainReader) into(items []item, at *run, c *condition) ([]item, *run) {
	if at != nil && at.condition == c {
		return items, at
	}
	return at.finish(r, items), newRun(c)
}

// run is rules in a row that differ in their sources and targets alone.
type run struct {
	condition *condition
	entries   []entry
	rules     int32
}

func newRun(c *condition) *run { return &run{condition: c} }

func (r *run) add(sources set, e entry) {
	e.order = r.rules
	for _, s := range sources {
		e.span = s
		r.entries = append(r.entries, e)
	}
	r.rules++
}

func (r *run) finish(d *chainReader, items []item) []item {
	if r == nil || len(r.entries) == 0 {
		return items
	}
	target := r.target(d)
	for _, b := range r.condition.boxes {
		items = append(items, item{b, target})
	}
	return items
}

// target is the run as one function. Entries whose targets ask for more than
// the source cannot be swept together, and are overlaid one by one.
func (r *run) target(d *chainReader) ref {
	if e := r.entries[0]; len(r.entries) == 1 && e.chain == nil && e.span == (span{value{}, d.max(pSrc)}) {
		return e.target
	}
	for _, e := range r.entries {
		if p := d.property(e.target); p < pSrc {
			var items []item
			for _, e := range r.entries {
				b := box{pSrc: set{e.span}}
				if e.chain != nil {
					e.target = d.whole(e.chain)
				}
				items = append(items, item{&b, e.target})
			}
			return d.build(items)
		}
	}
	return d.sources(r.entries, d)
}

// passing are targets that let a packet go on to the next rule.
var passing = map[string]bool{
	"": true, "LOG": true, "NFLOG": true, "ULOG": true, "MARK": true, "CONNMARK": true, "TRACE": true,
	"AUDIT": true, "CLASSIFY": true, "DSCP": true, "TOS": true, "TTL": true, "HL": true, "TCPMSS": true,
	"SECMARK": true, "CONNSECMARK": true, "SET": true, "RATEEST": true, "IDLETIMER": true, "LED": true,
	"CHECKSUM": true, "TCPOPTSTRIP": true, "ECN": true, "TEE": true,
}

// target is what a rule does, as a function; false when it decides nothing.
func (r *chainReader) target(rule *rules.Rule, inside bool) (ref, bool, error) {
	side := func(v uint32) ref {
		if !inside {
			v = r.foreign(v)
		}
		return leaf(v)
	}
	t := rule.Target
	switch {
	case passing[t.Name]:
		return 0, false, nil
	case t.Name == "ACCEPT":
		return side(vAccept), true, nil
	case t.Name == "DROP":
		return side(vDeny), true, nil
	case t.Name == "RETURN":
		return leaf(vReturn), true, nil
	case t.Name == "REJECT":
		return side(rejectBits(t)), true, nil
	case r.table.Chain(t.Name) != nil:
		f, err := r.jump(t, inside)
		return f, true, err
	case rules.Owned(t.Name):
		return 0, false, fmt.Errorf("line %d jumps to %s, which the file does not have; iptables-restore would refuse it", rule.Line, t.Name)
	}
	return leaf(vOther | vContinue), true, nil // a target that is not known here
}

// rejectBits tells the answers of REJECT apart; iptables' default is
// port-unreachable.
func rejectBits(t rules.Target) uint32 {
	with := ""
	for _, o := range t.Options {
		if o.Name == "--reject-with" && len(o.Values) == 1 {
			with = o.Values[0]
		}
	}
	switch with {
	case "tcp-reset", "tcp-rst":
		return vReset
	case "", "icmp-port-unreachable", "icmp6-port-unreachable", "port-unreach", "port-unreachable":
		return vUnreachable
	}
	return vRejectOther
}

// jump is a call of another chain: after -j its RETURN goes on with the next
// rule, after -g it goes back to this chain's own caller (FACTS section 3).
func (r *chainReader) jump(t rules.Target, inside bool) (ref, error) {
	if t.Name == r.root && !inside {
		f, err := r.chain(t.Name, true)
		if err != nil || t.Goto {
			return f, err
		}
		return r.relabel(f, swap(vReturn, vPass)), nil
	}
	f, err := r.chain(t.Name, inside)
	if err != nil || t.Goto {
		return f, err
	}
	return r.relabel(f, swap(vReturn, vContinue)), nil
}
