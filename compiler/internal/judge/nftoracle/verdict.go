package nftoracle

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// An Outcome is what may become of a packet: "accept", "drop" or "reject TYPE",
// with the names that iptables has for TYPE. Mark is the mark that an accepted
// packet leaves with, unless AnyMark says that it is not known.
type Outcome struct {
	Verdict string
	Mark    uint32
	AnyMark bool
}

// Verdicts returns the verdicts that a packet may have after all base chains of
// a hook, sorted.
func (r *Ruleset) Verdicts(hook string, p Packet) []string {
	return verdicts(r.Outcomes(hook, p))
}

// VerdictsOf is Verdicts with the base chains of one table only.
func (r *Ruleset) VerdictsOf(family, name, hook string, p Packet) []string {
	return verdicts(r.OutcomesOf(family, name, hook, p))
}

// Outcomes returns what may become of a packet in all base chains of a hook,
// sorted. A drop or reject in any of them is final, an accept ends that chain.
func (r *Ruleset) Outcomes(hook string, p Packet) []Outcome {
	return r.outcomes(hook, p, func(*table) bool { return true })
}

// OutcomesOf is Outcomes with the base chains of one table only.
func (r *Ruleset) OutcomesOf(family, name, hook string, p Packet) []Outcome {
	return r.outcomes(hook, p, func(t *table) bool { return t.tableKey == tableKey{family, name} })
}

func verdicts(outcomes []Outcome) []string {
	var result []string
	for _, o := range outcomes {
		result = append(result, o.Verdict)
	}
	return slices.Compact(result)
}

func (r *Ruleset) outcomes(hook string, p Packet, wanted func(*table) bool) []Outcome {
	found := map[Outcome]bool{}
	memories := map[memory]bool{start(p): true}
	for _, c := range r.hooked(hook, p, wanted) {
		after := map[memory]bool{}
		for m := range memories {
			if c.runs(p) != yes {
				after[m] = true
			}
			if c.runs(p) != no {
				walkChain(c, p, m, found, after)
			}
		}
		memories = after
	}
	for m := range memories {
		found[accepted(m)] = true
	}
	return slices.SortedFunc(maps.Keys(found), func(a, b Outcome) int {
		return cmp.Or(cmp.Compare(a.Verdict, b.Verdict), cmp.Compare(a.Mark, b.Mark))
	})
}

func start(p Packet) memory {
	m := memory{mark: mark{p.Mark, ^uint32(0)}}
	if p.Known {
		m.connMark = mark{p.ConnMark, ^uint32(0)}
	}
	return m
}

func accepted(m memory) Outcome {
	if m.mark.known != ^uint32(0) {
		return Outcome{Verdict: "accept", AnyMark: true}
	}
	return Outcome{Verdict: "accept", Mark: m.mark.bits}
}

// hooked returns the base chains that a packet meets, in the order in which it
// meets them: of equal priority the one that was made last comes first
// (nf_hook_entries_grow). The listing is in the order in which tables were made,
// and in each the chains: where a file makes all at once that is the order of
// registration. It is not where a chain was added to an earlier table later.
func (r *Ruleset) hooked(hook string, p Packet, wanted func(*table) bool) []*chain {
	family := map[int]string{4: "ip", 6: "ip6"}[p.family()]
	var result []*chain
	for _, c := range r.bases {
		of := c.table.family
		if c.hook == hook && (of == family || of == "inet") && wanted(c.table) {
			result = append(result, c)
		}
	}
	slices.Reverse(result)
	slices.SortStableFunc(result, func(a, b *chain) int { return cmp.Compare(a.priority, b.priority) })
	return result
}

// runs reports whether a base chain sees the packet: none of a dormant table
// does, and one of type nat only what may be the first packet of a connection
// (nf_nat_inet_fn).
func (c *chain) runs(p Packet) tri {
	result := c.table.dormant.not(true)
	if c.kind == "nat" {
		if !p.Known || p.State == "ESTABLISHED" {
			return no
		}
		result = min(result, maybe)
	}
	return result
}

// A place is a statement of a rule of a chain.
type place struct {
	chain           *chain
	rule, statement int
}

// A point is where a packet is: its place, the places that return leads to, and
// what was changed on the way.
type point struct {
	place
	stack  []place
	memory memory
}

// key returns a text that is equal for equal points.
func (s point) key() string {
	text := fmt.Sprint(s.memory)
	for _, p := range append(slices.Clone(s.stack), s.place) {
		text += fmt.Sprintf(",%s %d %d", p.chain.name, p.rule, p.statement)
	}
	return text
}

// A walk follows a packet through one base chain in every way that is possible.
type walk struct {
	base   *chain
	packet Packet
	todo   []point
	final  map[Outcome]bool // drops and rejects
	after  map[memory]bool  // of an accepted packet
}

func walkChain(base *chain, p Packet, m memory, final map[Outcome]bool, after map[memory]bool) {
	w := &walk{base: base, packet: p, final: final, after: after}
	w.todo = []point{{place: place{chain: base}, memory: m}}
	seen := map[string]bool{}
	for len(w.todo) > 0 {
		s := w.todo[len(w.todo)-1]
		w.todo = w.todo[:len(w.todo)-1]
		if key := s.key(); !seen[key] {
			seen[key] = true
			w.step(s)
		}
	}
}

// step takes the packet past one statement, or off the end of a rule or chain.
func (w *walk) step(s point) {
	if s.rule == len(s.chain.rules) {
		w.returnFrom(s)
		return
	}
	rule := s.chain.rules[s.rule]
	if s.statement == len(rule) || s.statement == 0 && w.unanswerable(s, rule) {
		w.nextRule(s)
		return
	}
	w.execute(s, rule[s.statement])
}

func (w *walk) next(s point) {
	s.statement++
	w.todo = append(w.todo, s)
}

func (w *walk) nextRule(s point) {
	s.rule, s.statement = s.rule+1, 0
	w.todo = append(w.todo, s)
}

// returnFrom leaves a chain: to the rule after the jump that led there, or to
// the policy of the base chain. A goto has left no place to return to.
func (w *walk) returnFrom(s point) {
	if last := len(s.stack) - 1; last >= 0 {
		s.place, s.stack = s.stack[last], slices.Clone(s.stack[:last])
		w.nextRule(s)
		return
	}
	w.verdict(s, map[string]any{w.base.policy: nil})
}

// goOn continues where a statement lets the packet pass, and with the next rule
// where it does not.
func (w *walk) goOn(s point, passes tri) {
	if passes != yes {
		w.nextRule(s)
	}
	if passes != no {
		w.next(s)
	}
}

// verdict carries out a verdict: an object with one member.
func (w *walk) verdict(s point, v any) {
	name, arg := only(v)
	switch name {
	case "accept":
		w.after[s.memory] = true
	case "drop":
		w.final[Outcome{Verdict: "drop"}] = true
	case "continue":
		w.next(s)
	case "return":
		w.returnFrom(s)
	case "jump", "goto":
		o, _ := arg.(map[string]any)
		target, _ := o["target"].(string)
		w.jump(s, name, s.chain.table.chains[target])
	default:
		w.anything(s)
	}
}

func (w *walk) jump(s point, how string, to *chain) {
	if to == nil {
		w.anything(s)
		return
	}
	if how == "jump" {
		s.stack = append(slices.Clone(s.stack), s.place)
	}
	s.place = place{chain: to}
	w.todo = append(w.todo, s)
}

// anything follows a statement that may do anything.
func (w *walk) anything(s point) {
	s.memory = memory{notrack: s.memory.notrack, mangled: true}
	w.after[s.memory] = true
	w.final[Outcome{Verdict: "drop"}] = true
	w.final[Outcome{Verdict: "reject tcp-reset"}] = true
	family := map[int]string{4: "icmp", 6: "icmpv6"}[w.packet.family()]
	for _, name := range rejectNames[family] {
		w.final[Outcome{Verdict: "reject " + name}] = true
	}
	w.goOn(s, maybe)
}
