package exposure

import (
	"cmp"
	"slices"

	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/page"
)

// degree is how far a port is open, on the way on which it is the most.
type degree int

const (
	toEverybody degree = iota
	toAllBut
	undecided
	toSome
	toNobody
)

var degrees = [...]struct{ title, short, anchor string }{
	{"Open to everybody", "everybody", "open-to-everybody"},
	{"Open to everybody with exceptions", "everybody with exceptions", "open-with-exceptions"},
	{"Cannot be evaluated", "whom cannot be evaluated", "cannot-be-evaluated"},
	{"Open to some", "some", "open-to-some"},
	{"Open to nobody", "nobody", "open-to-nobody"},
}

func (d degree) String() string { return degrees[d].title }

// Short is whom it is open to.
func (d degree) Short() string { return degrees[d].short }

// Anchor is where on a page the ports of this kind are.
func (d degree) Anchor() string { return degrees[d].anchor }

func (w Way) degree() degree {
	switch {
	case w.Undecided && !w.Nobody():
		return undecided
	case w.Open():
		return toEverybody
	case w.Phrase.Everybody():
		return toAllBut
	case w.Nobody():
		return toNobody
	}
	return toSome
}

// Degree is how far the port is open.
func (p *Port) Degree() degree {
	d := toNobody
	for _, w := range p.Ways {
		d = min(d, w.degree())
	}
	return d
}

// group is the ports that are equally open.
type group struct {
	degree
	Ports []*Port
}

// Groups are the ports by how far they are open, the widest first.
func (r *Report) Groups() []group {
	var list []group
	for d := toEverybody; d <= toNobody; d++ {
		g := group{degree: d}
		for _, p := range r.Ports {
			if p.Degree() == d {
				g.Ports = append(g.Ports, p)
			}
		}
		if len(g.Ports) > 0 {
			list = append(list, g)
		}
	}
	return list
}

// Lead is what the report is about in a sentence.
func (r *Report) Lead() string {
	if len(r.Ports) == 0 {
		return "No port is published."
	}
	var in []string
	for _, p := range r.Ports {
		for _, w := range p.Ways {
			if !slices.Contains(in, w.Interface) {
				in = append(in, w.Interface)
			}
		}
	}
	text := "What Docker opens on this host, in " + page.Plural(len(r.Ports), "entry", "entries")
	if len(in) > 0 {
		text += ". Clients come in on " + listed(in)
	}
	return text + "."
}

func listed(values []string) string {
	text := ""
	for i, v := range values {
		if i > 0 {
			text += ", "
		}
		text += v
	}
	return text
}

// Many reports whether there are so many ports that they are better folded.
func (r *Report) Many() bool { return len(r.Ports) > 12 }

// from is where clients come in, and to which address of the host: a row of the table.
type from struct {
	Port               *Port
	Interface, Address string
	Ways               []Way
}

// Froms are the ways into a port by where clients come in.
func (p *Port) Froms() []from {
	var list []from
	for _, w := range p.Ways {
		i := slices.IndexFunc(list, func(x from) bool { return x.Interface == w.Interface && x.Address == w.Address })
		if i < 0 {
			i = len(list)
			list = append(list, from{p, w.Interface, w.Address, nil})
		}
		list[i].Ways = append(list[i].Ways, w)
	}
	slices.SortStableFunc(list, func(a, b from) int { return cmp.Compare(len(a.Address), len(b.Address)) })
	return list
}

// In are the ways of one family.
func (x from) In(f packet.Family) []Way {
	return slices.DeleteFunc(slices.Clone(x.Ways), func(w Way) bool { return w.Family != f })
}

// Absent says why there is no way of a family.
func (r *Report) Absent(x from, f packet.Family) string {
	switch {
	case !slices.Contains(r.Families, f):
		return "not known: no rules were given"
	case slices.ContainsFunc(x.Port.Ways, func(w Way) bool { return w.Family == f }):
		return "as on other addresses"
	}
	return "not published"
}
