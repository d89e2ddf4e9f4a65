package render

import (
	"encoding/json"
	"fmt"
	"iter"
	"path/filepath"

	"github.com/seawall/seawall/schema"
)

// Sources is a list of sources as it was written.
type Sources []Source

// Source is one entry of a list: an address, a CIDR or a range, or everybody, a set by
// its name, or a list file with what is in it.
type Source struct {
	Text  string
	Any   bool
	Set   string
	Lines *schema.List // of a list file
}

// sources writes a list as it was written: sets by name, files by name and length.
func sources(s *schema.Sources) Sources {
	if s == nil {
		return nil
	}
	if s.Any {
		return Sources{{Text: "any", Any: true}}
	}
	var out Sources
	for _, named := range s.Sets {
		text := "set " + named.Set.Name
		if named.Set.Filled() {
			text += " (filled at run time)"
		}
		out = append(out, Source{Text: text, Set: named.Set.Name})
	}
	for i := range s.Lists {
		l := &s.Lists[i]
		if l.OfFile() {
			out = append(out, Source{Text: fmt.Sprintf("%s (%d entries)", filepath.Base(l.File), l.Len()), Lines: l})
			continue
		}
		for e := range l.All() {
			out = append(out, Source{Text: e.String()})
		}
	}
	return out
}

// MarshalJSON writes a source as its text.
func (s Source) MarshalJSON() ([]byte, error) { return json.Marshal(s.Text) }

// Entries are the lines of a list file.
func (s Source) Entries() iter.Seq[string] {
	return func(yield func(string) bool) {
		for e := range s.Lines.All() {
			if !yield(e.String()) {
				return
			}
		}
	}
}

// Named are the entries that are not single addresses, networks or ranges; Written are
// the others.
func (list Sources) Named() Sources {
	var out Sources
	for _, s := range list {
		if s.Any || s.Set != "" || s.Lines != nil {
			out = append(out, s)
		}
	}
	return out
}

// Written are the addresses, networks and ranges of a list.
func (list Sources) Written() []string {
	var out []string
	for _, s := range list {
		if !s.Any && s.Set == "" && s.Lines == nil {
			out = append(out, s.Text)
		}
	}
	return out
}
