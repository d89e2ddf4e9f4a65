package oracle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A place is a rule of a chain.
type place struct {
	chain *chain
	index int
}

// A state is where a packet is: the next rule, the places that RETURN leads
// to, and what was met on the way.
type state struct {
	at     place
	stack  []place
	memory memory
}

// key returns a text that is equal for equal states.
func (s state) key() string {
	var b strings.Builder
	for _, p := range append(slices.Clone(s.stack), s.at) {
		fmt.Fprintf(&b, "%s %d,", p.chain.name, p.index)
	}
	fmt.Fprint(&b, s.memory)
	return b.String()
}

// A walk follows a packet through the rules in every way that is possible.
type walk struct {
	ruleset  *Ruleset
	start    *chain
	packet   Packet
	todo     []state
	verdicts map[string]bool
}

// Verdicts returns the verdicts that a chain of table filter may have for a
// packet, sorted: "accept", "drop", "reject TYPE", "queue", and "return" for a
// user chain that is asked for by itself and comes to no other verdict. It
// returns nil for a chain that does not exist.
func (r *Ruleset) Verdicts(name string, p Packet) []string {
	c := r.tables["filter"][name]
	if c == nil {
		return nil
	}
	w := &walk{ruleset: r, start: c, packet: p, verdicts: map[string]bool{}}
	w.todo = []state{{at: place{c, 0}}}
	seen := map[string]bool{}
	for len(w.todo) > 0 {
		s := w.todo[len(w.todo)-1]
		w.todo = w.todo[:len(w.todo)-1]
		if key := s.key(); !seen[key] {
			seen[key] = true
			w.step(s)
		}
	}
	return slices.Sorted(maps.Keys(w.verdicts))
}

// step takes a packet past one rule, or off the end of a chain.
func (w *walk) step(s state) {
	if s.at.index == len(s.at.chain.rules) {
		w.returnFrom(s)
		return
	}
	r := &s.at.chain.rules[s.at.index]
	match := env{w.ruleset, r, w.packet, s.memory}.matches()
	if match != yes {
		w.next(s)
	}
	if match != no {
		w.act(s, r)
	}
}

// next goes on with the next rule.
func (w *walk) next(s state) {
	s.at.index++
	w.todo = append(w.todo, s)
}

// returnFrom leaves a chain: to the rule after the jump that led there, or,
// where none did, to the policy of the built-in chain.
func (w *walk) returnFrom(s state) {
	switch last := len(s.stack) - 1; {
	case last >= 0:
		s.at, s.stack = s.stack[last], slices.Clone(s.stack[:last])
		w.todo = append(w.todo, s)
	case w.start.builtin:
		for _, p := range w.start.policies {
			w.verdicts[p] = true
		}
	default:
		w.verdicts["return"] = true
	}
}

// act carries out the target of a rule that matches.
func (w *walk) act(s state, r *rule) {
	if r.jump != nil {
		if !r.isGoto {
			s.stack = append(slices.Clone(s.stack), place{s.at.chain, s.at.index + 1})
		}
		s.at = place{r.jump, 0}
		w.todo = append(w.todo, s)
		return
	}
	switch r.target.name {
	case "":
		w.next(s)
	case "ACCEPT", "DROP":
		w.verdicts[strings.ToLower(r.target.name)] = true
	case "QUEUE", "NFQUEUE":
		w.verdicts["queue"] = true
	case "RETURN":
		w.returnFrom(s)
	case "REJECT":
		w.verdicts["reject "+w.rejectType(r.target)] = true
	default:
		w.other(s, r.target)
	}
}

// rejectType returns the type of a REJECT target.
func (w *walk) rejectType(target extension) string {
	for _, o := range target.options {
		if name, err := rejectType(o.args[0], w.ruleset.Family); err == nil {
			return name
		}
	}
	if w.ruleset.Family == 6 {
		return "icmp6-port-unreachable"
	}
	return "icmp-port-unreachable"
}

// goesOn are the targets of table filter after which the next rule is looked
// at.
var goesOn = []string{"LOG", "NFLOG", "ULOG", "MARK", "CONNMARK", "SET", "TEE", "TRACE", "AUDIT", "CLASSIFY", "CHECKSUM",
	"TCPMSS", "TCPOPTSTRIP", "TOS", "DSCP", "TTL", "HL", "IDLETIMER", "LED", "RATEEST", "SECMARK", "CONNSECMARK"}

// other carries out an extension that is no verdict. After one that may change
// the mark or a set, matches of it are not evaluable. One that is not known may
// do anything.
func (w *walk) other(s state, target extension) {
	switch target.name {
	case "MARK":
		s.memory.mark = true
	case "CONNMARK":
		s.memory.mark = s.memory.mark || has(target, "restore-mark")
	case "SET":
		s.memory.mark = s.memory.mark || has(target, "map-set")
		sets := append(slices.Clone(s.memory.sets), setsOf(target)...)
		slices.Sort(sets)
		s.memory.sets = slices.Compact(sets)
	}
	if !slices.Contains(goesOn, target.name) {
		s.memory.mark = true
		w.anything()
	}
	w.next(s)
}

// anything adds every final verdict.
func (w *walk) anything() {
	for _, v := range []string{"accept", "drop", "queue"} {
		w.verdicts[v] = true
	}
	for i, name := range rejectTypes[w.ruleset.Family] {
		if i%2 == 0 {
			w.verdicts["reject "+name] = true
		}
	}
}

func has(target extension, name string) bool {
	return slices.ContainsFunc(target.options, func(o option) bool { return o.name == name })
}
