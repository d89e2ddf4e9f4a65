// Package system knows where hosts keep their rules: for each system the format, the
// folder and the names of its files, the commands that switch them on, and what people
// get wrong there. It knows neither policies nor rules.
//
//	system.go  what a system is
//	facts.go   how a host's system is recognised
//
// Each system has a file of its own, which says all there is to know of it. So a new
// one is one file.
package system

import (
	"path"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/emit"
)

// System is a kind of host, by what loads its rules at boot.
type System struct {
	Name  string // of --for
	Title string // for people
	Order int    // in which hosts are recognised
	// Format writes the files. Their folder is Folder, and Names has the names that
	// differ from the format's.
	Format *emit.Format
	Folder string
	Names  map[string]string
	// Boot are the files beside them that load them at boot; nil for none.
	Boot func() []emit.File
	// SwitchOn are the commands, once per host, when the files are in their folder.
	SwitchOn []string
	// Sets says what loads the file of ipsets before the rules, "" where nothing does by
	// itself, or where none is written.
	Sets string
	// Trap is what people get wrong there.
	Trap string
	// Is reports whether a host is one.
	Is func(*Facts) bool
}

var systems []*System

// register adds a system; the variable of its own file calls it.
func register(s System) *System {
	p := &s
	systems = append(systems, p)
	slices.SortFunc(systems, func(a, b *System) int { return a.Order - b.Order })
	return p
}

// Systems are all systems, in the order in which hosts are recognised.
func Systems() []*System { return systems }

// ByName returns the system of a name, or nil.
func ByName(name string) *System {
	i := slices.IndexFunc(systems, func(s *System) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return systems[i]
}

// Names are the names of all systems, sorted.
func Names() []string {
	var list []string
	for _, s := range systems {
		list = append(list, s.Name)
	}
	slices.Sort(list)
	return list
}

// NamesInWords is Names for a sentence: "a, b or c".
func NamesInWords() string {
	list := Names()
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " or " + list[last]
}

// FileName returns the name that the system has for a file of its format.
func (s *System) FileName(name string) string {
	if other, ok := s.Names[name]; ok {
		return other
	}
	return name
}

// Path returns the path of a file of its format.
func (s *System) Path(name string) string { return path.Join(s.Folder, s.FileName(name)) }

// Commands are what is left to do when a policy's files are in a folder: writing them
// into the system's, unless that is it, and switching them on. The policy is quoted for
// the shell.
func (s *System) Commands(policy, folder string) []string {
	if folder == s.Folder {
		return s.SwitchOn
	}
	base := ""
	if s.Splices() {
		base = " --base " + s.Folder
	}
	return append([]string{"seawall compile " + policy + " --for " + s.Name + base + " --out-dir " + s.Folder}, s.SwitchOn...)
}

// SetsNote says what loads the ipsets that the rules match, for files that have some.
func (s *System) SetsNote() string {
	if s.Sets != "" {
		return s.Sets
	}
	return "Without its ipsets no rule is loaded: ipset restore < " + s.Path(emit.SetsFile) + " has to run before the rules at each boot."
}

// Splices reports whether the files are spliced into the system's own.
func (s *System) Splices() bool { return s.Format.Splice != nil }
