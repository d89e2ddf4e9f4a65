// Package diff says what a change means: who gained and who lost which port
// (diff.go), and which lines of which file are others (text.go). What it finds
// is exact, for it comes from the proof. Which changes are one for a person is in
// item.go; how they read is in write.go, markdown.go and json.go.
package diff

import (
	"context"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/meaning"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// Sides are the old and the new side, by family. A family that either side does
// not have is not compared.
type Sides map[packet.Family][2]prove.Side

// Report is the difference of two sides.
type Report struct {
	Families []packet.Family // those that were compared
	Items    []*Item         // the changes as a person counts them, the worst first
	Files    []File          // the change of text, where both sides have one
	// TextCompared says that the texts were compared: Files are then all that
	// changed.
	TextCompared bool
	// Beside are rules beside what was compared that one side has and the other has not, "+ "
	// or "- " before each: of other tables, which can drop, redirect or hide packets. They
	// are not judged.
	Beside []string
	// Undecided says that both sides are rules, and so what is Beside may well make another
	// meaning.
	Undecided bool
	Changes   []*prove.Change
}

// Item is one change as a person counts it: some sources gain or lose some ports, be
// it of one policy or of several.
type Item struct {
	prove.Severity
	Effect prove.Effect
	// Verdicts says what becomes of what stays open, or closed: "deny → reject". It is
	// empty for what opened or closed.
	Verdicts string
	Who      []Sources // of each family
	Targets  []Target
	Changes  []*prove.Change // what it is made of
}

// Sources are those of one family.
type Sources struct {
	Family packet.Family
	Phrase address.Phrase
}

// Target is what the sources gain or lose of one policy.
type Target struct {
	Policy string // "" for what no policy names
	All    bool   // all that no policy names
	What   []What
}

// What is ports, and what else binds the packets to them.
type What struct {
	Ports string
	Notes []string
}

// File is the change of text of one file, as a unified diff; empty when there
// is none.
type File struct{ Name, Unified string }

// Same reports whether both sides mean the same, and nothing beside may differ.
func (r *Report) Same() bool { return len(r.Changes) == 0 && !r.Undecided }

// Count is how many items have an effect.
func (r *Report) Count(e prove.Effect) int {
	n := 0
	for _, x := range r.Items {
		if x.Effect == e {
			n++
		}
	}
	return n
}

// Meaning finds the change in meaning. Its error is for a table that iptables
// itself would refuse, a *prove.HardError, or the context's.
func Meaning(ctx context.Context, sides Sides, limits prove.Limits) (*Report, error) {
	return MeaningOf(ctx, sides, limits, nil)
}

// MeaningOf is Meaning for one of several hosts: what they share is in the memory, and the
// addresses of a policy are "its addresses" where a change is about all of them.
func MeaningOf(ctx context.Context, sides Sides, limits prove.Limits, m *meaning.Memory) (*Report, error) {
	r := &Report{}
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		pair, ok := sides[f]
		if !ok {
			continue
		}
		r.Families = append(r.Families, f)
		list, err := prove.ChangesOf(ctx, pair[0], pair[1], f, limits, m)
		if err != nil {
			return nil, err
		}
		r.Changes = append(r.Changes, list...)
	}
	r.Items = items(r.Changes)
	return r, nil
}
