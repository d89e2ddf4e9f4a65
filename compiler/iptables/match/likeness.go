package match

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

// Likeness says whether iptables considers two texts the same rule, as for -D and
// -C. It compares what the kernel keeps of them, byte by byte, so "--dport 80:80"
// is "--dport 80" and "--limit 60/min" is "--limit 1/s".
type Likeness int

// Unclear is for texts of which it is not known what the kernel keeps, and for
// texts that the back ends compare differently.
const (
	Differs Likeness = iota
	Unclear
	Same
)

// And returns the likeness of two things with two parts each.
func (l Likeness) And(m Likeness) Likeness { return min(l, m) }

// alias maps modules to the name that the kernel uses for them.
var alias = map[string]string{"state": "conntrack", "NOTRACK": "CT", "icmpv6": "icmp6", "ipv6-icmp": "icmp6"}

func kernelName(name string) string {
	if k, ok := alias[name]; ok {
		return k
	}
	return name
}

// CompareAll returns the likeness of all matches of two rules.
func CompareAll(f packet.Family, a, b []Use) Likeness {
	if len(a) == len(b) {
		all := Same
		for i := range a {
			all = all.And(a[i].Compare(f, &b[i]))
		}
		if all != Differs {
			return all
		}
	}
	// nf_tables compares the expressions that it makes of them: the position of
	// comments does not matter, a match without a condition is not kept, and two
	// tcp matches may become one.
	x, twice := asking(f, a)
	y, twiceToo := asking(f, b)
	if slices.Equal(x, y) && (twice || twiceToo || disorder(f, a, b)) {
		return Unclear
	}
	return Differs
}

// asking returns the kernel's names of the matches that have a condition, sorted,
// and whether one of them occurs twice.
func asking(f packet.Family, uses []Use) (names []string, twice bool) {
	for i := range uses {
		if !uses[i].asksNothing(f) {
			names = append(names, kernelName(uses[i].Name))
		}
	}
	slices.Sort(names)
	each := slices.Compact(slices.Clone(names))
	return each, len(each) < len(names)
}

// disorder reports whether the matches of a may be those of b in another order.
func disorder(f packet.Family, a, b []Use) bool {
	finds := func(x *Use, list []Use) bool {
		return x.asksNothing(f) || slices.ContainsFunc(list, func(y Use) bool { return x.Compare(f, &y) != Differs })
	}
	for i := range a {
		if !finds(&a[i], b) {
			return false
		}
	}
	for i := range b {
		if !finds(&b[i], a) {
			return false
		}
	}
	return true
}

// asksNothing reports whether nf_tables may not keep a use, because it has no
// option, or none that excludes a packet.
func (u *Use) asksNothing(f packet.Family) bool {
	if u.Module == nil {
		return false
	}
	switch u.Name {
	case "comment":
		return false
	case "tcp", "udp":
		for _, g := range u.Options {
			switch kept, known := u.Module.kept(f, g); {
			case g.Name == "--tcp-flags", !known: // without flags, it has no condition
				return true
			case kept != everyPort:
				return false
			}
		}
		return true
	case "mark":
		return strings.HasSuffix(u.keptText(f), "/0")
	}
	return len(u.Options) == 0
}

func (u *Use) keptText(f packet.Family) string {
	text, _ := u.kept(f)
	return text
}

const everyPort = "0:65535"

// Compare returns the likeness of two uses of modules.
func (u *Use) Compare(f packet.Family, v *Use) Likeness {
	switch {
	case u.same(v):
		return Same
	case kernelName(u.Name) != kernelName(v.Name):
		return Differs
	case u.Name != v.Name, u.Module == nil, v.Module == nil:
		return Unclear
	}
	a, known := u.kept(f)
	b, knownToo := v.kept(f)
	switch {
	case known && knownToo && a == b:
		return Same
	case known && knownToo, u.optionsDiffer(f, v):
		return Differs
	}
	return Unclear
}

// same reports whether two uses have the same words.
func (u *Use) same(v *Use) bool {
	return u.Name == v.Name && slices.EqualFunc(u.Options, v.Options, func(g, h Given) bool {
		return g.Not == h.Not && g.Name == h.Name && slices.Equal(g.Values, h.Values)
	})
}

// optionsDiffer reports whether both uses have an option whose values are known to
// be different.
func (u *Use) optionsDiffer(f packet.Family, v *Use) bool {
	for _, g := range u.Options {
		h := v.Option(g.Name)
		if h == nil || u.times(g.Name) > 1 || v.times(g.Name) > 1 {
			continue
		}
		a, known := u.Module.kept(f, g)
		b, knownToo := v.Module.kept(f, *h)
		if known && knownToo && (a != b || g.Not != h.Not) {
			return true
		}
	}
	return false
}

func (u *Use) times(name string) int {
	n := 0
	for _, g := range u.Options {
		if g.Name == name {
			n++
		}
	}
	return n
}

// kept returns what the kernel keeps of a use, as a text that two uses of the module
// share exactly when the kernel keeps the same bytes; false if that is not known.
func (u *Use) kept(f packet.Family) (text string, known bool) {
	switch m := u.Module; {
	case m == nil:
		return "", false
	case m.Kept != nil:
		return m.Kept(f, u)
	case m.Exact || m.single() != "":
		return u.keptOptions(f)
	}
	return "", false
}

// keptOptions is kept for a module whose options each leave bytes of their own.
func (u *Use) keptOptions(f packet.Family) (text string, known bool) {
	var list []string
	for i := range u.Module.Options {
		o := &u.Module.Options[i]
		if o.Same != "" {
			continue
		}
		value, known := u.keptOption(f, o)
		if !known {
			return "", false
		}
		list = append(list, value)
	}
	return strings.Join(list, " "), true
}

// keptOption returns what the kernel keeps of one option of a use, which may not
// have it.
func (u *Use) keptOption(f packet.Family, o *Option) (text string, known bool) {
	g := u.Option("--" + o.Name)
	switch {
	case g == nil:
		return "--" + o.Name + " " + o.Absent, true
	case u.times(g.Name) > 1:
		return "", false
	}
	value, known := u.Module.kept(f, *g)
	if o.Value == None {
		value = "set"
	}
	if g.Not {
		value = "! " + value
	}
	return g.Name + " " + value, known
}

// single returns the only option of a module that has just one, which is required.
func (m *Module) single() string {
	name := ""
	for _, o := range m.Options {
		switch {
		case o.Same != "":
		case name != "" || !o.Required:
			return ""
		default:
			name = o.Name
		}
	}
	return name
}

// kept returns what the kernel keeps of one option's values.
func (m *Module) kept(f packet.Family, g Given) (text string, known bool) {
	i := slices.IndexFunc(m.Options, func(o Option) bool { return "--"+o.Canonical() == g.Name })
	if i < 0 {
		return "", false
	}
	o := &m.Options[i]
	switch {
	case o.Value == None:
		return "", true
	case len(g.Values) == 0:
		return "", false
	case o.Kept != nil:
		return o.Kept(f, g.Values)
	}
	return keptForm(f, o.Value, g.Values[0])
}

// keptForm returns what the kernel keeps of a value of a form.
func keptForm(f packet.Family, form Value, text string) (string, bool) {
	switch form {
	case Uint8, Uint16, Uint32, Uint64:
		n, rest, ok := Number(text)
		return fmt.Sprint(n), ok && rest == ""
	case Uint8Range, Uint16Range, Uint32Range, Uint64Range:
		return keptRange(text, ^uint64(0)>>(64-bits[form]))
	case MarkMask:
		mark, mask, ok := markMask(text)
		return fmt.Sprintf("%d/%d", mark, mask), ok
	case Host:
		a, ok := HostAddress(f, text)
		return a.String(), ok
	case HostMask:
		return keptHostMask(f, text)
	case Protocol:
		p, ok := packet.ParseProtocolExactly(text)
		return fmt.Sprint(int(p)), ok
	case Port, PortRange:
		return keptPorts(portWord)(f, []string{text})
	case PrefixLength:
		n, ok := WholeNumber(text, 0, 128)
		return fmt.Sprint(n), ok
	case EtherMAC:
		return keptMAC(text)
	}
	return "", false
}

// keptHostMask: an address without a mask is not kept like one with its full length,
// and bits outside the mask may be kept.
func keptHostMask(f packet.Family, text string) (string, bool) {
	p, ok := hostMask(f, text)
	address, _, slash := strings.Cut(text, "/")
	a, okToo := HostAddress(f, address)
	return p.String(), ok && okToo && a == p.Addr() && slash == (p.Bits() < f.Bits())
}

func keptRange(text string, most uint64) (string, bool) {
	low, high, two := strings.Cut(text, ":")
	a, _, _ := Number(low)
	b := a
	if two {
		if b = most; high != "" {
			b, _, _ = Number(high)
		}
	}
	return fmt.Sprintf("%d:%d", a, b), true
}

// keptFrom is for a range that may be given by its start only.
func keptFrom(_ packet.Family, values []string) (string, bool) {
	text := values[0]
	if !strings.Contains(text, ":") {
		text += ":"
	}
	return keptRange(text, ^uint64(0))
}

func keptMAC(text string) (string, bool) {
	parts := strings.Split(strings.ToLower(text), ":")
	for i, p := range parts {
		if len(p) == 1 {
			parts[i] = "0" + p
		}
	}
	return strings.Join(parts, ":"), true
}

// keptPorts is for a pair of ports; the number of a service name is not known.
func keptPorts(portWord func(string) (int, bool, bool)) func(packet.Family, []string) (string, bool) {
	return func(_ packet.Family, values []string) (string, bool) {
		first, last, known, ok := portPair(values[0], portWord)
		return fmt.Sprintf("%d:%d", first, last), known && ok
	}
}

// keptWords is for a list of words that the kernel keeps as bits.
func keptWords(words ...string) func(packet.Family, []string) (string, bool) {
	return func(_ packet.Family, values []string) (string, bool) {
		var list []string
		for _, part := range strings.Split(values[0], ",") {
			w, ok := word(part, words...)
			if !ok {
				return "", false
			}
			list = append(list, w)
		}
		slices.Sort(list)
		return strings.Join(slices.Compact(list), ","), true
	}
}

// keptAsIs is for a value that the kernel keeps as written.
func keptAsIs(_ packet.Family, values []string) (string, bool) {
	return strings.Join(values, "\x00"), true
}

// keptCut is for a text of which the kernel keeps only the first bytes.
func keptCut(most int) func(packet.Family, []string) (string, bool) {
	return func(_ packet.Family, values []string) (string, bool) {
		return values[0][:min(len(values[0]), most)], true
	}
}
