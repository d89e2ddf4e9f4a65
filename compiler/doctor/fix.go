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

// A fix is printed only if it is proved: it is applied to the rules as they were read, after the
// fixes before it, and the resulting change must be the one that the finding describes and no
// other. Each edit adds conditions to a rule, or adds a rule for the packets that the finding
// names, so which packets can change follows from its construction; that all of them change as
// promised is checked on the exact difference. What cannot be proved is described in words.

// edit is one command for the filter table, without the program name: -I, CHAIN, …
type edit []string

// promise is the change of behaviour that a fix may make.
type promise func(c *prove.Change) bool

// closes: packets that were let through no longer are.
func closes(c *prove.Change) bool { return c.Effect == prove.Closed }

// opens: packets that were denied are let through.
func opens(c *prove.Change) bool { return c.Effect == prove.Opened }

// asksUser: packets that were accepted before DOCKER-USER are now denied by it or left to the
// rules after it; packets that were denied still are, even if by another rule.
func asksUser(c *prove.Change) bool { return !opens(c) }

// changesNothing is the promise of a fix for rules without effect.
func changesNothing(*prove.Change) bool { return false }

// proved applies edits of DOCKER-USER to a table and returns it; nil if they do not load, or
// change anything that is not promised. changed reports whether they change the behaviour at all.
func (d *doctor) proved(t *iptables.Table, f packet.Family, edits []edit, as promise) (after *iptables.Table, changed bool) {
	return d.provedOn(t, false, f, edits, as)
}

// provedWhole does the same for edits of FORWARD and INPUT, where the verdict includes the rules
// of Docker and the host.
func (d *doctor) provedWhole(t *iptables.Table, f packet.Family, edits []edit, as promise) (after *iptables.Table, changed bool) {
	return d.provedOn(t, true, f, edits, as)
}

func (d *doctor) provedOn(t *iptables.Table, whole bool, f packet.Family, edits []edit, as promise) (after *iptables.Table, changed bool) {
	after = edited(t, f, edits)
	if after == nil {
		return nil, false
	}
	changes, err := prove.Changes(d.ctx, prove.Side{Rules: t, Whole: whole}, prove.Side{Rules: after, Whole: whole}, f, d.limits)
	if err != nil || slices.ContainsFunc(changes, func(c *prove.Change) bool { return !as(c) || !c.Old.Known() || !c.New.Known() }) {
		return nil, false
	}
	return after, len(changes) > 0
}

// edited applies edits to a copy of a table; nil if they do not load.
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

// commands are edits written for a shell.
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

// safe are the characters that are not special to a shell.
const safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,+=@%"

// ShellWord quotes a word for a POSIX shell. A bare "!" needs no quotes.
func ShellWord(w string) string {
	if w == "!" || w != "" && strings.Trim(w, safe) == "" {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}

// outsideRules binds the words of a rule to the outside: one rule per interface if they name
// none.
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

// inserted puts -i where iptables-save prints it, after the addresses.
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

// insert returns the edits that put rules before the rule at an index.
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

// proposal is a finding with its proposed fix.
type proposal struct {
	Finding
	edits []edit
	as    promise
	// moot: if the fix changes nothing, nothing is wrong.
	moot bool
	// The rule of the finding if its fix denies, and its chain if DOCKER-USER calls it.
	denies *iptables.Rule
	chain  *iptables.Chain
	rules  [][]string // for SD007: what should be matched instead
}

// propose proves a proposal's fix and adds its finding to the list. It returns the table to
// continue with, and whether there was a finding.
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

// firstSee is the step that must come before a finding's advice.
func firstSee(a *iptables.Rule) string {
	return "first fix the rules that are meant to let clients in but do not match either, such as " + a.Spec() + "; then "
}
