package diff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/prove"
)

// items gathers changes by their cause: those of the same sources are one, whichever
// policies they are about, and then those to the same targets, whichever sources and
// families they are about. The worst comes first.
func items(changes []*prove.Change) []*Item {
	list := gathered(ofChanges(changes), (*Item).who, (*Item).joinTargets)
	list = gathered(list, (*Item).what, (*Item).joinSources)
	slices.SortStableFunc(list, func(a, b *Item) int { return a.Compare(b.Severity) })
	return list
}

// ofChanges are items of one change each.
func ofChanges(changes []*prove.Change) []*Item {
	var list []*Item
	for _, c := range changes {
		t := Target{Policy: c.Policy, All: c.Unnamed}
		if !c.Unnamed {
			for _, clause := range c.Clauses {
				t.What = append(t.What, What{clause.Ports, clause.Notes})
			}
		}
		x := &Item{Severity: c.Severity, Effect: c.Effect, Who: []Sources{{c.Family, c.Who}}, Targets: []Target{t}, Changes: []*prove.Change{c}}
		if c.Effect == prove.Other {
			x.Verdicts = c.Verdicts()
		}
		list = append(list, x)
	}
	return list
}

// gathered joins items that have the same key.
func gathered(list []*Item, key func(*Item) string, join func(into, x *Item)) []*Item {
	index := map[string]*Item{}
	var out []*Item
	for _, x := range list {
		k := key(x)
		first := index[k]
		if first == nil {
			index[k] = x
			out = append(out, x)
			continue
		}
		join(first, x)
		first.Changes = append(first.Changes, x.Changes...)
		if x.Compare(first.Severity) < 0 {
			first.Severity = x.Severity
		}
	}
	return out
}

func (x *Item) who() string {
	key := string(x.Effect) + x.Verdicts
	for _, s := range x.Who {
		key += fmt.Sprint("\x00", s.Family, s.Phrase)
	}
	return key
}

func (x *Item) what() string {
	key := string(x.Effect) + x.Verdicts
	for _, t := range x.Targets {
		key += fmt.Sprintf("\x00%+v", t)
	}
	return key
}

// joinTargets adds what the same sources gain or lose elsewhere. The parts of a change
// of all that no policy names are that one target, and what a policy's scope gains at
// one hook and at the other are lines of the same target.
func (x *Item) joinTargets(more *Item) {
	for _, t := range more.Targets {
		i := slices.IndexFunc(x.Targets, func(old Target) bool { return old.Policy == t.Policy })
		switch {
		case i < 0:
			x.Targets = append(x.Targets, t)
		case t.All || x.Targets[i].All:
			x.Targets[i] = Target{Policy: t.Policy, All: true}
		default:
			x.Targets[i].add(t.What)
		}
	}
}

// add adds lines; those that differ in their ports alone are one.
func (t *Target) add(list []What) {
	for _, w := range list {
		i := slices.IndexFunc(t.What, func(old What) bool { return slices.Equal(old.Notes, w.Notes) })
		switch {
		case i < 0:
			t.What = append(t.What, w)
		case t.What[i].Ports != w.Ports:
			t.What[i].Ports += ", " + w.Ports
		}
	}
}

// joinSources adds others who gain or lose the same.
func (x *Item) joinSources(more *Item) {
	for _, s := range more.Who {
		i := slices.IndexFunc(x.Who, func(old Sources) bool { return old.Family == s.Family })
		if i < 0 {
			x.Who = append(x.Who, s)
			continue
		}
		x.Who[i].Phrase = address.PhraseOf(address.Union(x.Who[i].Phrase.Set(), s.Phrase.Set()))
	}
}

// mostNames is how many addresses of each family an item names.
const mostNames = 8

// Sources says who it is about, with no more than some names: "10.9.1.0/24,
// 2001:db8:41::/48". The family is said where the addresses do not show it.
func (x *Item) sources() string {
	everybody := len(x.Who) == 2
	var list []string
	for _, s := range x.Who {
		text := s.Phrase.Shorten(mostNames)
		everybody = everybody && s.Phrase.Everybody() && s.Phrase.Len() == 1
		if s.Phrase.Everybody() {
			text += fmt.Sprintf(" (%v)", s.Family)
		}
		list = append(list, text)
	}
	if everybody {
		return "everybody"
	}
	return strings.Join(list, ", ")
}

// loud reports whether everybody, or everybody with exceptions, can now open
// connections that they could not.
func (x *Item) loud() bool {
	return x.Kind == prove.OpensNew && slices.ContainsFunc(x.Who, func(s Sources) bool { return s.Phrase.Everybody() })
}

// lines are the targets, in words.
func (x *Item) lines() []string {
	var list []string
	for _, t := range x.Targets {
		text := t.String()
		if x.Verdicts != "" {
			text += ": " + x.Verdicts
		}
		list = append(list, text)
	}
	return list
}

func (t Target) String() string {
	if t.All {
		return "all forwarded traffic that no policy names"
	}
	var list []string
	for _, w := range t.What {
		list = append(list, w.String())
	}
	return t.title() + ": " + strings.Join(list, "; ")
}

func (t Target) title() string {
	if t.Policy == "" {
		return "what no policy names"
	}
	return "policy " + t.Policy
}

func (w What) String() string {
	if len(w.Notes) == 0 {
		return w.Ports
	}
	return w.Ports + " (" + strings.Join(w.Notes, "; ") + ")"
}
