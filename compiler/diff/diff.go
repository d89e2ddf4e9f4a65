// Package diff says what a change means: who gained and who lost which port
// (diff.go), and which lines of which file are others (text.go). What it finds
// is exact, for it comes from the proof; how it reads is in write.go and
// markdown.go.
package diff

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// Sides are the old and the new side, by family. A family that either side does
// not have is not compared.
type Sides map[packet.Family][2]prove.Side

// Report is the difference of two sides.
type Report struct {
	Families []packet.Family // those that were compared
	Groups   []*Group        // by policy; the ports that no policy names last
	Files    []File          // the change of text, where both sides have one
	// TextCompared says that the texts were compared: Files are then all that
	// changed.
	TextCompared bool
	Changes      []*prove.Change
}

// Group is the changes of one policy's scope.
type Group struct {
	Policy string // "" for what no policy names
	Lines  []*Line
}

// Line is one change as a person reads it: one source, or all of them, gained
// or lost some ports.
type Line struct {
	Effect   prove.Effect
	Families []packet.Family
	Who      string // a CIDR, "any", or "any but" some
	Any      bool   // everybody, or everybody but some
	Ports    []string
	Notes    []string // what else binds it
	Example  packet.Packet
}

// File is the change of text of one file, as a unified diff; empty when there
// is none.
type File struct{ Name, Unified string }

// Same reports whether both sides mean the same.
func (r *Report) Same() bool { return len(r.Changes) == 0 }

// Count is how many lines have an effect.
func (r *Report) Count(e prove.Effect) int {
	n := 0
	for _, g := range r.Groups {
		for _, l := range g.Lines {
			if l.Effect == e {
				n++
			}
		}
	}
	return n
}

// Meaning finds the change of meaning. Its error is for a table that iptables
// itself would refuse, a *prove.HardError, or the context's.
func Meaning(ctx context.Context, sides Sides, limits prove.Limits) (*Report, error) {
	r := &Report{}
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		pair, ok := sides[f]
		if !ok {
			continue
		}
		r.Families = append(r.Families, f)
		list, err := prove.Changes(ctx, pair[0], pair[1], f, limits)
		if err != nil {
			return nil, err
		}
		r.Changes = append(r.Changes, list...)
	}
	r.group()
	return r, nil
}

// group sorts the changes into lines by policy: opened before closed, and IPv6
// beside IPv4.
func (r *Report) group() {
	byPolicy := map[string]*Group{}
	for _, c := range r.Changes {
		g := byPolicy[c.Policy]
		if g == nil {
			g = &Group{Policy: c.Policy}
			byPolicy[c.Policy] = g
			r.Groups = append(r.Groups, g)
		}
		g.Lines = append(g.Lines, lines(c)...)
	}
	for _, g := range r.Groups {
		g.joinFamilies()
		order := []prove.Effect{prove.Opened, prove.Closed, prove.Other}
		slices.SortStableFunc(g.Lines, func(a, b *Line) int {
			return cmp.Or(cmp.Compare(slices.Index(order, a.Effect), slices.Index(order, b.Effect)),
				strings.Compare(strings.Join(a.Ports, ","), strings.Join(b.Ports, ",")))
		})
	}
	slices.SortStableFunc(r.Groups, func(a, b *Group) int {
		if (a.Policy == "") != (b.Policy == "") {
			return cmp.Compare(b.Policy, a.Policy)
		}
		return 0
	})
}

// lines are a change as lines: one for each source, one for all but some.
func lines(c *prove.Change) []*Line {
	base := Line{Effect: c.Effect, Families: []packet.Family{c.Family}, Ports: c.Ports, Example: c.Example, Any: c.AllBut}
	for _, f := range c.Fields {
		base.Notes = append(base.Notes, f.Name+" "+shorten(f.Values))
	}
	if text := c.Conntrack(); text != "" {
		base.Notes = append(base.Notes, text)
	}
	if len(c.Hooks) == 1 && c.Hooks[0] == packet.Input {
		base.Notes = append(base.Notes, "to the host itself, as docker-proxy gets its traffic")
	}
	if c.AllBut {
		base.Who = "any"
		if len(c.Sources) > 0 {
			base.Who = "any but " + shorten(c.Sources)
		}
		return []*Line{&base}
	}
	var list []*Line
	for _, s := range c.Sources {
		l := base
		l.Who = s
		list = append(list, &l)
	}
	return list
}

// joinFamilies makes one line of two that differ in their family alone.
func (g *Group) joinFamilies() {
	index := map[string]*Line{}
	g.Lines = slices.DeleteFunc(g.Lines, func(l *Line) bool {
		key := strings.Join([]string{string(l.Effect), l.Who, strings.Join(l.Ports, ","), strings.Join(l.Notes, ",")}, "\x00")
		first := index[key]
		if first == nil {
			index[key] = l
			return false
		}
		first.Families = append(first.Families, l.Families...)
		return true
	})
}

// shorten lists the first few of many.
func shorten(values []string) string {
	const most = 12
	if len(values) > most {
		rest := len(values) - most
		return strings.Join(values[:most], ", ") + " and " + plural(rest, "more", "more")
	}
	return strings.Join(values, ", ")
}
