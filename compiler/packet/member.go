package packet

import (
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
)

// An ipset that somebody fills while the host runs has contents that nobody knows. In a
// space that names it, whether it holds a packet's source is a property of the packet
// like any other: the same for everything that is compared there.

// MaxMembers is how many such ipsets a space can tell apart.
const MaxMembers = 8

// WithMembers makes membership in ipsets properties of the space's packets, and returns
// the space. It must be called before Store. Names beyond MaxMembers stay unknown, and
// so do those that could not be told from others in a text.
func (s *Space) WithMembers(names ...string) *Space {
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "" || strings.ContainsAny(n, " \t!") })
	slices.Sort(names)
	names = slices.Compact(names)
	s.Members = names[:min(len(names), MaxMembers)]
	return s
}

// Member returns the property that says whether an ipset holds a packet's source; false
// for one whose contents are no property of the space.
func (s *Space) Member(name string) (property int, ok bool) {
	i := slices.Index(s.Members, name)
	return FirstMember + i, i >= 0
}

// isMember reports whether a property is membership in an ipset.
func isMember(property int) bool { return property >= FirstMember && property < FirstMember+MaxMembers }

// In and out of an ipset, as values of its property.
var (
	Inside  = diagram.One(diagram.Small(1))
	Outside = diagram.One(diagram.Small(0))
)

// Memberships says of a packet's source which ipsets hold it, and with "!" which do
// not: "crowdsec-blacklists !f2b-sshd".
type Memberships string

// MembershipsOf returns what is known when some of these ipsets hold the source.
func MembershipsOf(names []string, has func(name string) bool) Memberships {
	var list []string
	for _, n := range names {
		if !has(n) {
			n = "!" + n
		}
		list = append(list, n)
	}
	return Memberships(strings.Join(list, " "))
}

// Names are the ipsets of which it is known whether they hold the source.
func (m Memberships) Names() []string {
	var list []string
	for _, word := range strings.Fields(string(m)) {
		list = append(list, strings.TrimPrefix(word, "!"))
	}
	return list
}

// Holding are the ipsets that hold the source.
func (m Memberships) Holding() []string {
	return slices.DeleteFunc(strings.Fields(string(m)), func(word string) bool { return word[0] == '!' })
}

// Has reports whether an ipset is known to hold the source.
func (m Memberships) Has(name string) bool { return slices.Contains(m.Holding(), name) }

// memberFields are the memberships of a box, in words.
func (s *Space) memberFields(b *diagram.Box) []Field {
	in, out := Field{Name: "members of the ipset"}, Field{Name: "not members of the ipset"}
	for i, name := range s.Members {
		switch set := b[FirstMember+i]; {
		case set == nil:
		case set.Has(diagram.Small(1)):
			in.Values = append(in.Values, name)
		default:
			out.Values = append(out.Values, name)
		}
	}
	var list []Field
	for _, f := range []Field{in, out} {
		if len(f.Values) > 0 {
			list = append(list, f)
		}
	}
	return list
}
