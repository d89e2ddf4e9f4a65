package doctor

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// A fix is printed only when it is proved: it is carried out on the rules as they
// were read, with the fixes before it, and the change of their meaning is the one
// that its finding speaks of and no other. Each edit adds conditions to a rule,
// or a rule whose packets the finding names, so which packets can change follows
// from how it is made; that all of them change in the promised way is asked of
// the exact difference. What cannot be proved is described.

// edit is one command for the filter table, without the program: -I, CHAIN, …
type edit []string

// promise is the change of meaning that a fix may have.
type promise func(c *prove.Change) bool

// closes: packets that were let through are not any more.
func closes(c *prove.Change) bool { return c.Effect == prove.Closed }

// opens: packets that were denied are let through.
func opens(c *prove.Change) bool { return c.Effect == prove.Opened }

// asksUser: packets that were accepted before DOCKER-USER are denied by it, or left to
// the rules after it; those that were denied are still, if in its way.
func asksUser(c *prove.Change) bool { return !opens(c) }

// changesNothing is the promise of a fix for rules that do nothing.
func changesNothing(*prove.Change) bool { return false }

// proved carries edits of DOCKER-USER out on a table, and returns it; nil when they
// do not load, or change something else than is promised. changed reports whether
// they change the meaning at all.
func (d *doctor) proved(t *iptables.Table, f packet.Family, edits []edit, as promise) (after *iptables.Table, changed bool) {
	return d.provedOn(prove.Side{Table: t}, f, edits, as)
}

// provedWhole does the same for edits of FORWARD and INPUT: there it counts what the
// rules of Docker and the host do with the packets.
func (d *doctor) provedWhole(t *iptables.Table, f packet.Family, edits []edit, as promise) (after *iptables.Table, changed bool) {
	return d.provedOn(prove.Side{Table: t, Whole: true}, f, edits, as)
}

func (d *doctor) provedOn(now prove.Side, f packet.Family, edits []edit, as promise) (after *iptables.Table, changed bool) {
	after = edited(now.Table, f, edits)
	if after == nil {
		return nil, false
	}
	changes, err := prove.Changes(d.ctx, now, prove.Side{Table: after, Whole: now.Whole}, f, d.limits)
	if err != nil || slices.ContainsFunc(changes, func(c *prove.Change) bool { return !as(c) || !c.Old.Known() || !c.New.Known() }) {
		return nil, false
	}
	return after, len(changes) > 0
}

// edited carries edits out on a copy of a table; nil where they do not load.
func edited(t *iptables.Table, family packet.Family, edits []edit) *iptables.Table {
	if t == nil || len(edits) == 0 {
		return nil
	}
	var b bytes.Buffer
	iptables.PrintTable(&b, t)
	text := strings.TrimSuffix(b.String(), "COMMIT\n")
	for _, e := range edits {
		text += iptables.Join(e) + "\n"
	}
	f, err := iptables.Parse([]byte(text+"COMMIT\n"), iptables.Options{Family: family})
	if err != nil {
		return nil
	}
	out := f.Table(t.Name)
	out.Sets = t.Sets
	return out
}

// commands are edits as a shell reads them.
func commands(f packet.Family, edits []edit) []string {
	list := make([]string, len(edits))
	for i, e := range edits {
		list[i] = command(f)
		for _, w := range e {
			list[i] += " " + ShellWord(w)
		}
	}
	return list
}

// safe are the characters that mean nothing to a shell.
const safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,+=@%"

// ShellWord quotes a word for a POSIX shell. A "!" by itself is a word to it.
func ShellWord(w string) string {
	if w == "!" || w != "" && strings.Trim(w, safe) == "" {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}

// outsideRules is the words bound to the outside: one rule for each interface where they
// name none.
func (d *doctor) outsideRules(words []string, bound bool) [][]string {
	if bound {
		return [][]string{words}
	}
	var list [][]string
	for _, in := range d.interfaces() {
		list = append(list, inserted(words, in))
	}
	return list
}

// inserted puts -i where iptables-save has it, after the addresses.
func inserted(words []string, in string) []string {
	at := 0
	for at < len(words) && slices.Contains([]string{"!", "-s", "-d"}, words[at]) {
		if words[at] == "!" && at+1 < len(words) && !slices.Contains([]string{"-s", "-d"}, words[at+1]) {
			break
		}
		if words[at] != "!" {
			at++
		}
		at++
	}
	return slices.Insert(slices.Clone(words), at, "-i", in)
}

// insert are the edits that put rules before the rule at an index.
func insert(chain string, at int, rules [][]string) []edit {
	var list []edit
	for n, words := range rules {
		list = append(list, append(edit{"-I", chain, fmt.Sprint(at + n + 1)}, words...))
	}
	return list
}

func (d *doctor) interfaces() []string {
	if len(d.host.Interfaces) > 0 {
		return d.host.Interfaces
	}
	return []string{"eth0"}
}

// proposal is a finding, and how it would be fixed.
type proposal struct {
	Finding
	edits []edit
	as    promise
	// moot: without a change of the meaning there is nothing wrong.
	moot bool
	// The rule that the finding is about, where its fix denies, and its chain, where that
	// is one of DOCKER-USER's.
	denies *iptables.Rule
	chain  *iptables.Chain
	rules  [][]string // of SD007: what should be asked
}

// propose proves a proposal's fix, and adds its finding to the list. It returns the
// table to go on with, and whether there was a finding.
func (d *doctor) propose(l *docker.Layout, p *proposal) (after *iptables.Table, found bool) {
	t := l.Tables.Filter
	after, changed := d.proved(t, l.Tables.Family, p.edits, p.as)
	switch {
	case after == nil:
		if p.denies != nil && !d.foresees {
			if a := d.unclearBefore(l, p); a != nil {
				p.Advice = firstSee(a) + p.Advice
			}
		}
		d.add(p.Finding)
		return t, true
	case !changed && p.moot:
		return t, false
	}
	if p.denies != nil && !d.foresees {
		if a := d.shutsOut(l, p, after); a != nil {
			p.Advice = firstSee(a) + p.Advice
			d.add(p.Finding)
			return t, true
		}
	}
	p.Fix, p.Advice = commands(l.Tables.Family, p.edits), ""
	d.add(p.Finding)
	return after, true
}

// firstSee is what comes before what a finding says to do.
func firstSee(a *iptables.Rule) string {
	return "first see to what lets some in and does not match either, such as " + a.Spec() + "; then "
}
