package iptables

import (
	"fmt"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/packet"
)

// Trace follows one packet through a filter table, from its hook to the policy's
// chain and out of it. A match that cannot be evaluated is taken not to match. The
// reader's space has to tell the packet's interfaces from others.
func (r *Reader) Trace(p packet.Packet) *dialect.Way {
	w := &walker{reader: r, point: r.space.Point(p), hook: p.Hook, way: &dialect.Way{}}
	w.reader.hook, w.reader.root = p.Hook, r.table.Root(p.Hook)
	w.walk()
	return w.way
}

type walker struct {
	reader *Reader
	point  *diagram.Point
	hook   packet.Hook
	way    *dialect.Way
	depth  int
}

// walk follows the packet from the hook, or from the policy's chain in a file
// without the hook.
func (w *walker) walk() {
	root := w.reader.root
	if start := w.reader.table.Chain(string(w.hook)); start != nil {
		w.builtin(start)
		return
	}
	if c := w.reader.table.Chain(root); c == nil {
		w.end(packet.Pass, "the file has no chain "+root)
	} else if !w.chain(c) {
		w.end(packet.Pass, "the end of "+root)
	}
}

// builtin walks FORWARD or INPUT up to the last rule that leads to the policy's
// chain. The policy does not cover what comes after it.
func (w *walker) builtin(c *Chain) {
	last := -1
	for i, r := range c.Rules() {
		if w.reader.reaches(r, map[*Chain]bool{}) {
			last = i
		}
	}
	if last < 0 {
		w.end(packet.Pass, c.Name+" has no jump to "+w.reader.root)
		return
	}
	upTo := *c
	upTo.SetRules(c.Rules()[:last+1])
	done, over := w.rules(&upTo)
	switch {
	case done:
	case over: // a RETURN, or the end of a chain reached by a goto
		w.end(c.verdict(), "the policy of "+c.Name+", "+c.Policy)
	default:
		w.end(packet.Pass, "after the jump to "+w.reader.root+" in "+c.Name)
	}
}

func (w *walker) end(v packet.Verdict, how string) { w.way.Verdict, w.way.Ended = v, how }

// chain walks one chain. It returns true if the packet's verdict is known, and
// false if the packet returns to the caller.
func (w *walker) chain(c *Chain) bool {
	if w.depth++; w.depth > 1000 {
		w.end(packet.Pass, "an endless loop of chains")
		return true
	}
	defer func() { w.depth-- }()
	done, _ := w.rules(c)
	return done
}

// rules walks the rules of a chain. It reports whether the verdict is known, and
// whether a rule ended the chain.
func (w *walker) rules(c *Chain) (done, over bool) {
	for _, r := range c.Rules() {
		matched, unsure := w.matches(r)
		if !matched {
			continue
		}
		w.way.Steps = append(w.way.Steps, dialect.Step{Chain: c.Name, Line: int(r.Line), Rule: r.String(c.Name), Returns: r.Target.Name == "RETURN", Unsure: unsure})
		if unsure != "" {
			continue
		}
		if done, over := w.act(r); over {
			return done, true
		}
	}
	return false, false
}

// act carries out a target. It reports whether the verdict is known, and whether
// this chain is over.
func (w *walker) act(r *Rule) (done, over bool) {
	if next := w.reader.leads(r); next != nil {
		isGoto := r.To != nil || r.Target.Goto
		if w.chain(next) {
			return true, true
		}
		if next.Name == w.reader.root && !isGoto {
			w.end(packet.Pass, "returned from "+next.Name)
			return true, true
		}
		return false, isGoto
	}
	v, decides := r.verdict()
	switch {
	case !decides:
		return false, false
	case r.Target.Name == "RETURN":
		return false, true
	}
	w.end(v, "")
	return true, true
}

// matches reports whether the packet meets a rule's conditions. unsure says why
// that cannot be evaluated.
func (w *walker) matches(r *Rule) (matched bool, unsure string) {
	if !w.reader.conditions.address(r.Source, packet.Source).Has(w.point[packet.Source]) {
		return false, ""
	}
	for _, c := range w.reader.conditions.of(r.Body).cases {
		if c.Box.Has(w.point) {
			return true, orElse(c.Unsure, w.unread(r))
		}
	}
	return false, ""
}

// unread returns the words of a rule, or the target, that cannot be evaluated.
func (w *walker) unread(r *Rule) string {
	switch {
	case r.Unread != "":
		return r.Unread
	case w.reader.leads(r) != nil:
		return ""
	}
	if v, decides := r.verdict(); decides && v == packet.Unknown {
		return fmt.Sprintf("-j %s", r.Target.Name)
	}
	return ""
}
