package prove

import (
	"github.com/seawall/seawall/compiler/rules"
)

// Step is one rule that a packet met and matched on its way through a file.
type Step struct {
	Chain  string
	Rule   *rules.Rule
	Unsure string // a match of the rule that cannot be decided, or ""
}

// Way is a packet's way through a file's chains.
type Way struct {
	Steps   []Step // the rules that matched, in order; the last one decided
	Verdict string // in words; a match that cannot be decided is taken not to hold
	Ended   string // what ended the way when no rule did
}

// Trace follows one packet through a filter table.
func Trace(t *rules.Table, p Packet) *Way {
	if t == nil {
		t = &rules.Table{Name: "filter"}
	}
	s := newSpace(p.Family(), append(filePatterns(t), p.In, p.Out))
	w := &walker{table: t, reader: newReader(s, t.Sets), values: s.values(p), hook: p.Hook, way: &Way{}}
	w.walk()
	return w.way
}

type walker struct {
	table  *rules.Table
	reader *reader
	values [properties]value
	hook   Hook
	way    *Way
	depth  int
}

// walk follows the packet from the hook, or from the policy's chain in a file
// without the hook.
func (w *walker) walk() {
	root := rootOf(w.hook)
	start := w.table.Chain(string(w.hook))
	if start == nil || start.Implied && len(start.Rules) == 0 {
		if c := w.table.Chain(root); c == nil {
			w.end("pass", "the file has no chain "+root)
		} else if !w.chain(c) {
			w.end("pass", "the end of "+root)
		}
		return
	}
	w.builtin(start)
}

// builtin walks FORWARD or INPUT as far as the last rule that leads to the
// policy's chain. What comes after is not the policy's matter.
func (w *walker) builtin(c *rules.Chain) {
	last := -1
	for i, r := range c.Rules {
		if reaches(w.table, rootOf(w.hook), r.Target.Name, map[string]bool{}) {
			last = i
		}
	}
	if last < 0 {
		w.end("pass", c.Name+" has no jump to "+rootOf(w.hook))
		return
	}
	upTo := *c
	upTo.Rules = c.Rules[:last+1]
	done, over := w.rules(&upTo)
	switch {
	case done:
	case over: // a RETURN, or the end of a chain that was gone to
		w.end(map[string]string{"DROP": "deny"}[c.Policy], "the policy of "+c.Name+", "+c.Policy)
		if w.way.Verdict == "" {
			w.way.Verdict = "accept"
		}
	default:
		w.end("pass", "past the jump to "+rootOf(w.hook)+" in "+c.Name)
	}
}

func (w *walker) end(verdict, how string) { w.way.Verdict, w.way.Ended = verdict, how }

// chain walks one chain; true when the packet's verdict is known, and false
// when it goes back to the caller.
func (w *walker) chain(c *rules.Chain) bool {
	if w.depth++; w.depth > 1000 {
		w.end("pass", "chains that call each other without an end")
		return true
	}
	defer func() { w.depth-- }()
	done, _ := w.rules(c)
	return done
}

// rules walks the rules of a chain: whether the verdict is known, and whether a
// rule ended the chain.
func (w *walker) rules(c *rules.Chain) (done, over bool) {
	for _, r := range c.Rules {
		cond := w.reader.condition(r.Body)
		if !w.matches(r, cond) {
			continue
		}
		w.way.Steps = append(w.way.Steps, Step{c.Name, r, cond.opaque})
		if cond.opaque != "" || passing[r.Target.Name] {
			continue
		}
		if done, over := w.act(r.Target); over {
			return done, true
		}
	}
	return false, false
}

// act carries out a target: whether the verdict is known, and whether this
// chain is over.
func (w *walker) act(t rules.Target) (done, over bool) {
	switch t.Name {
	case "ACCEPT":
		w.end("accept", "")
		return true, true
	case "DROP":
		w.end("deny", "")
		return true, true
	case "REJECT":
		w.end(words(rejectBits(t)), "")
		return true, true
	case "RETURN":
		return false, true
	}
	next := w.table.Chain(t.Name)
	if next == nil {
		w.end(words(vOther), "")
		return true, true
	}
	if w.chain(next) {
		return true, true
	}
	if t.Name == rootOf(w.hook) && !t.Goto {
		w.end("pass", "back out of "+t.Name)
		return true, true
	}
	return false, t.Goto
}

func (w *walker) matches(r *rules.Rule, c *condition) bool {
	if !w.reader.source(r.Source, pSrc).has(w.values[pSrc]) {
		return false
	}
	for _, b := range c.boxes {
		inside := true
		for p := range b {
			inside = inside && b[p].has(w.values[p])
		}
		if inside {
			return true
		}
	}
	return false
}
