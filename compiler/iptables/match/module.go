// Package match has the modules of iptables: what options a match or target
// has, and what it means for packets.
//
//	module.go   the types, and the register of modules
//	value.go    the forms of values, as libxtables reads them
//	modules.go  the options of all modules, those without a file of their own
//	NAME.go     a match or target that can be evaluated: its options, what is
//	            refused, and the packets that it matches
//
// A module means something only where its file says so, for exactly those
// options and values that the file names. Everything else is kept as words and
// leaves a rule undecided for the packets that reach it; nothing is guessed. So
// a new match is one file.
package match

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/packet"
)

// Kind is whether a module is loaded with -m or -j.
type Kind int

// The kinds.
const (
	MatchKind Kind = iota
	TargetKind
)

// Families are the families that a module is for.
type Families int

// A module is for both families or for one.
const (
	Both  Families = 0
	Only4 Families = 4
	Only6 Families = 6
)

// Has reports whether a module is there for a family.
func (f Families) Has(family packet.Family) bool { return f == Both || int(f) == int(family) }

// Module is one match or target extension of iptables.
type Module struct {
	Name     string
	Kind     Kind
	Families Families
	Options  []Option
	// Protocols are those of which -p must name one; nil for any rule. The kernel
	// refuses the rule otherwise.
	Protocols []packet.Protocol
	Native    bool     // nf_tables does not ask for them where -p has a "!", and loads something else
	Early     bool     // -p has to stand before its options
	Also      string   // another name of it
	OneOf     []string // options of which the module needs one
	Check     string   // what iptables refuses beyond all this, and nobody looks for here
	// Hooks returns the built-in chains from which alone the kernel lets a packet
	// come to the rule, on whatever way; nil for any. It may be nil.
	Hooks func(u *Use) []string

	// Refuse says why iptables would refuse a use whose options are each right
	// by themselves; "" when it would not. It may be nil.
	Refuse func(h Head, u *Use) string
	// Kept returns what the kernel keeps of a use, as a text that two uses share
	// exactly when iptables takes them for one (see Likeness); false where that is
	// not known. It may be nil.
	Kept  func(f packet.Family, u *Use) (text string, known bool)
	Exact bool // each option leaves bytes of its own, so Kept follows from theirs
	// Means returns the packets that a match takes; nil for a match that cannot
	// be evaluated.
	Means func(r *Reader, u *Use) Cases
	// Effect returns what a target does; nil for one that cannot be evaluated.
	Effect func(u *Use) Effect
}

// Option is one option of a module.
type Option struct {
	Name     string   // without its dashes
	Same     string   // the option of which this is another spelling
	Value    Value    // the form of its value
	Values   int      // how many words follow, where it is not one
	Optional bool     // its value may be missing: a word that starts with - or ! is none
	Not      bool     // "!" may stand before it
	Many     bool     // it may be given more than once
	Required bool     // the module is refused without it
	Excludes []string // options that may not be given together with it
	Needs    []string // options that must be given with it
	Min, Max uint64   // bounds of the value; 0, 0 for the form's own
	// Valid reports whether iptables takes the values of an option, beyond what its
	// form says; nil where nobody has looked.
	Valid func(f packet.Family, values []string) bool
	// Kept returns what the kernel keeps of the values, as Module.Kept; nil for what
	// follows from the form.
	Kept   func(f packet.Family, values []string) (text string, known bool)
	Absent string // what is kept of a match without the option
	// Ports reports whether a value names ports, which iptables takes only where -p
	// has named a protocol with ports before; nil for an option without.
	Ports func(value string) bool
}

// Canonical is the name that iptables-save prints.
func (o *Option) Canonical() string {
	if o.Same != "" {
		return o.Same
	}
	return o.Name
}

// Words is how many words follow the option.
func (o *Option) Words() int {
	switch {
	case o.Value == None, o.Optional:
		return 0
	case o.Values > 1:
		return o.Values
	}
	return 1
}

// Use is a module as a rule uses it, with its options in the order in which they
// were given.
type Use struct {
	Name    string
	Options []Given
	Module  *Module // nil for a module that is not known
}

// Given is one option with its values.
type Given struct {
	Not    bool
	Name   string // with its dashes, in full: --ctorigdstport
	Values []string
}

// Option returns the first option of this name, with its dashes, or nil.
func (u *Use) Option(name string) *Given {
	i := slices.IndexFunc(u.Options, func(g Given) bool { return g.Name == name })
	if i < 0 {
		return nil
	}
	return &u.Options[i]
}

// String is the use's words after its name.
func (g Given) String() string {
	text := g.Name
	if g.Not {
		text = "! " + text
	}
	for _, v := range g.Values {
		text += " " + v
	}
	return text
}

// String is the use as a rule has it: -m NAME and its options.
func (u *Use) String() string {
	text := "-m " + u.Name
	if u.Module != nil && u.Module.Kind == TargetKind {
		text = "-j " + u.Name
	}
	for _, g := range u.Options {
		text += " " + g.String()
	}
	return text
}

// Reader is what a match has to know to say which packets it takes.
type Reader struct {
	*packet.Space
	Sets ipset.Sets // the sets that are known
	// Changed says which rule may have changed a thing before the match is asked:
	// a packet's mark, or what is in a set. "" for none.
	Changed func(t Thing) string
	// DestType is the kind of the destination, LOCAL or UNICAST, where whoever asks
	// knows it; "" where not.
	DestType string
}

// Thing is something that a target may change and a match may ask for.
type Thing string

// The things beside ipsets, which are SetThing.
const (
	MarkThing     Thing = "the packet's mark"
	ConnmarkThing Thing = "the connection's mark"
)

// SetThing is what is in a set.
func SetThing(name string) Thing { return Thing("the set " + name) }

// Cases are packets that a match takes: boxes that do not meet. A packet in none
// of them is not taken. nil is every packet.
type Cases []Case

// Case is one box, and with Unsure why a packet in it may not be taken after
// all: the words that cannot be evaluated.
type Case struct {
	Box    diagram.Box
	Unsure string
}

// Never is a match that takes no packet.
var Never = Cases{}

// in is the packets that a box holds.
func in(b diagram.Box) Cases {
	if b.Empty() {
		return Never
	}
	return Cases{{Box: b}}
}

// property is the packets with a value of one property.
func property(p int, s diagram.Set) Cases {
	var b diagram.Box
	b[p] = s
	return in(b)
}

// Unsure is a match that may take every packet or none.
func Unsure(words string) Cases { return Cases{{Unsure: words}} }

// And is what both take.
func (c Cases) And(d Cases) Cases {
	switch {
	case c == nil:
		return d
	case d == nil:
		return c
	}
	out := Never
	for _, x := range c {
		for _, y := range d {
			if b, ok := x.Box.And(y.Box); ok {
				out = append(out, Case{b, either(x.Unsure, y.Unsure)})
			}
		}
	}
	return out
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// Means returns the packets that a use takes. What cannot be evaluated is a case
// that is unsure.
func (u *Use) Means(r *Reader) Cases {
	if u.Module == nil || u.Module.Means == nil {
		return Unsure(u.String())
	}
	return u.Module.Means(r, u)
}

// Effect is what a target does with a packet.
type Effect struct {
	// Verdict is the end of the packet's way; 0 when it goes on to the next rule.
	// With Unknown the target may end it in any way, or let it go on.
	Verdict packet.Verdict
	Changes []Thing // what later rules may see changed
}

// Effect returns what a target does.
func (u *Use) Effect() Effect {
	switch {
	case u.Module == nil:
	case u.Module.Effect != nil:
		return u.Module.Effect(u)
	case effects[u.Name] != nil:
		return effects[u.Name](u)
	}
	return Effect{Verdict: packet.Unknown}
}

// registered are the modules with a file of their own, by name.
var registered = map[Kind]map[string][]*Module{MatchKind: {}, TargetKind: {}}

// register adds a module; the init of its own file calls it.
func register(m Module) {
	registered[m.Kind][m.Name] = append(registered[m.Kind][m.Name], &m)
	if m.Also != "" {
		registered[m.Kind][m.Also] = append(registered[m.Kind][m.Also], &m)
	}
}

// effects are what targets do whose options stand in modules.go.
var effects = map[string]func(*Use) Effect{}

// withEffect says what a target does whose options stand in modules.go.
func withEffect(name string, effect func(*Use) Effect) { effects[name] = effect }

// others are the modules without a file of their own, by name.
var others = func() map[Kind]map[string][]*Module {
	list := map[Kind]map[string][]*Module{MatchKind: {}, TargetKind: {}}
	for i := range modules {
		m := &modules[i]
		list[m.Kind][m.Name] = append(list[m.Kind][m.Name], m)
	}
	return list
}()

// Lookup returns the module of a name that a family has, or nil.
func Lookup(kind Kind, name string, f packet.Family) *Module {
	for _, list := range [][]*Module{registered[kind][name], others[kind][name]} {
		for _, m := range list {
			if m.Families.Has(f) {
				return m
			}
		}
	}
	return nil
}

// outOfTree are extensions that are no part of iptables and that hosts have
// (xtables-addons, ipt_netflow and others). What options they have is not known
// here.
var outOfTree = map[Kind][]string{
	MatchKind: {
		"account", "asn", "condition", "dstlimit", "fuzzy", "geoip", "gradm", "iface", "ipp2p", "ipv4options", "l2tp", "layer7",
		"length2", "lscan", "mport", "ndpi", "nth", "pknock", "psd", "quota2", "random", "udplite", "unclean",
	},
	TargetKind: {
		"ACCOUNT", "BALANCE", "CHAOS", "DELUDE", "DHCPMAC", "DNETMAP", "ECHO", "FLOWOFFLOAD", "FTOS", "FULLCONENAT", "IPMARK",
		"IPV4OPTSSTRIP", "LOGMARK", "MIRROR", "NDPI", "NETFLOW", "PROTO", "ROUTE", "RTPENGINE", "SAME", "SYSRQ", "TARPIT", "XOR",
	},
}

// OutOfTree reports whether a name is that of an extension that is no part of
// iptables.
func OutOfTree(kind Kind, name string) bool { return slices.Contains(outOfTree[kind], name) }

// Misnamed says why no extension can have a name that a rule uses as a match or
// as a target; "" where one may.
func Misnamed(kind Kind, name string) string {
	what, other := "match", "target"
	if kind == TargetKind {
		what, other = other, what
	}
	_, verdict := Standard[name]
	elsewhere := registered[1-kind][name] != nil || others[1-kind][name] != nil || OutOfTree(1-kind, name)
	switch {
	case elsewhere, kind == MatchKind && (verdict || name == "RETURN"):
		return name + " is a " + other + ", not a " + what
	case name == "standard", name == "", strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") != "":
		return strconv.Quote(name) + " is not the name of a " + what
	}
	return ""
}

// Names are the names of all modules of a kind that can be evaluated, sorted.
func Names(kind Kind) []string {
	var list []string
	for name := range registered[kind] {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// Takes says why iptables would refuse one more option of a module; "" when it
// takes it.
func (m *Module) Takes(h Head, o *Option, g Given, before []Given) string {
	switch {
	case g.Not && !o.Not:
		return g.Name + " cannot be negated"
	case !o.Many && slices.ContainsFunc(before, func(b Given) bool { return b.Name == g.Name }):
		return g.Name + " may stand once in a match"
	case (o.Value == Host || o.Value == HostMask) && looksLikeService(strings.SplitN(g.Values[0], "/", 2)[0]):
		return fmt.Sprintf("%s takes an address; the name %q would be looked up when the file is loaded, and be another address each time", g.Name, g.Values[0])
	case !o.valid(h.Family, g.Values):
		return g.Name + " does not take " + quoteValues(g.Values)
	case o.Ports != nil && o.Ports(g.Values[0]) && !slices.Contains(withPorts, h.Protocol):
		return g.Name + " with a port needs -p tcp, udp, sctp or dccp before it"
	}
	return ""
}

func quoteValues(values []string) string {
	text := ""
	for i, v := range values {
		if i > 0 {
			text += " "
		}
		text += strconv.Quote(v)
	}
	return text
}

// Fits reports whether a rule of a protocol, or of every other one, can have the
// module.
func (m *Module) Fits(p packet.Protocol, not bool) bool {
	return m.Protocols == nil || !not && slices.Contains(m.Protocols, p)
}

// Refuses says why iptables would refuse a use of the module with all its
// options; "" when it takes it.
func (m *Module) Refuses(h Head, u *Use) string {
	for i := range m.Options {
		o := &m.Options[i]
		given := u.Option("--" + o.Canonical())
		if given == nil {
			if o.Required && o.Same == "" {
				return u.Name + " needs --" + o.Name
			}
			continue
		}
		if why := o.conflicts(m, u); why != "" {
			return why
		}
	}
	if len(m.OneOf) > 0 && !slices.ContainsFunc(m.OneOf, func(name string) bool { return u.Option("--"+m.canonical(name)) != nil }) {
		return u.Name + " needs " + orList(m.OneOf)
	}
	if m.Refuse != nil {
		return m.Refuse(h, u)
	}
	return ""
}

// orList is "--a, --b or --c".
func orList(options []string) string {
	text := ""
	for i, o := range options {
		switch {
		case i == 0:
		case i == len(options)-1:
			text += " or "
		default:
			text += ", "
		}
		text += "--" + o
	}
	return text
}

// conflicts says which other option may not or must stand beside this one.
func (o *Option) conflicts(m *Module, u *Use) string {
	for _, other := range o.Excludes {
		if other != o.Name && u.Option("--"+m.canonical(other)) != nil {
			return "--" + o.Name + " and --" + other + " cannot stand together"
		}
	}
	for _, other := range o.Needs {
		if u.Option("--"+m.canonical(other)) == nil {
			return "--" + o.Name + " needs --" + other
		}
	}
	return ""
}

// canonical is the name that an option of the module is kept under.
func (m *Module) canonical(name string) string {
	for i := range m.Options {
		if m.Options[i].Name == name {
			return m.Options[i].Canonical()
		}
	}
	return name
}
