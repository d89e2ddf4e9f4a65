// Package match has the modules of iptables: which options a match or target has,
// and what it means for packets.
//
//	module.go   the types, and the register of modules
//	value.go    the forms of values, as libxtables parses them
//	modules.go  the options of all modules without a file of their own
//	NAME.go     a match or target that can be evaluated: its options, what is
//	            refused, and the packets that it matches
//
// A module has a meaning only where its file defines it, for exactly the options
// and values that the file names. Everything else is kept as words and leaves a
// rule undecided for the packets that reach it; nothing is guessed. So a new match
// is one file.
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

// Kind says whether a module is loaded with -m or -j.
type Kind int

// The kinds.
const (
	MatchKind Kind = iota
	TargetKind
)

// Families says which families a module is for.
type Families int

// A module is for both families or for one.
const (
	Both  Families = 0
	Only4 Families = 4
	Only6 Families = 6
)

// Has reports whether a module exists for a family.
func (f Families) Has(family packet.Family) bool { return f == Both || int(f) == int(family) }

// Module is one match or target extension of iptables.
type Module struct {
	Name     string
	Kind     Kind
	Families Families
	Options  []Option
	// Protocols are the protocols of which -p must name one, or the kernel refuses
	// the rule; nil for any rule.
	Protocols []packet.Protocol
	Native    bool     // nf_tables does not require Protocols if -p is negated, and loads something else
	Early     bool     // -p must come before its options
	Also      string   // an alias
	OneOf     []string // options of which one is required
	Check     string   // what else iptables refuses, which is not checked here
	// Hooks returns the built-in chains from which the kernel lets packets reach
	// the rule, on any path; nil for all. It may be nil.
	Hooks func(u *Use) []string

	// Refuse says why iptables would refuse a use whose options are valid one by
	// one; "" if it would not. It may be nil.
	Refuse func(h Head, u *Use) string
	// Kept returns what the kernel keeps of a use, as a text that two uses share
	// exactly when iptables considers them the same (see Likeness); false if that is
	// not known. It may be nil.
	Kept  func(f packet.Family, u *Use) (text string, known bool)
	Exact bool // each option leaves bytes of its own, so Kept follows from theirs
	// Means returns the packets that a match matches; nil for a match that cannot
	// be evaluated.
	Means func(r *Reader, u *Use) Cases
	// Effect returns what a target does; nil for one that cannot be evaluated.
	Effect func(u *Use) Effect
}

// Option is one option of a module.
type Option struct {
	Name     string   // without its dashes
	Same     string   // the option that this is another spelling of
	Value    Value    // the form of its value
	Values   int      // how many words follow, if not one
	Optional bool     // its value may be missing: a word that starts with - or ! is not its value
	Not      bool     // it may be negated
	Many     bool     // it can be given more than once
	Required bool     // it must be given
	Excludes []string // options that cannot be given with it
	Needs    []string // options that must be given with it
	Min, Max uint64   // bounds of the value; 0, 0 for the form's own
	// Valid reports whether iptables accepts the values of an option, beyond what
	// its form requires; nil if that is not checked.
	Valid func(f packet.Family, values []string) bool
	// Kept returns what the kernel keeps of the values, like Module.Kept; nil for
	// what follows from the form.
	Kept   func(f packet.Family, values []string) (text string, known bool)
	Absent string // what the kernel keeps of a match without the option
	// Ports reports whether a value contains ports, which iptables accepts only
	// after a -p with a protocol that has ports; nil for an option without ports.
	Ports func(value string) bool
}

// Canonical returns the name that iptables-save prints.
func (o *Option) Canonical() string {
	if o.Same != "" {
		return o.Same
	}
	return o.Name
}

// Words returns how many words follow the option.
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
	Module  *Module // nil for an unknown module
}

// Given is one option with its values.
type Given struct {
	Not    bool
	Name   string // with its dashes, in full: --ctorigdstport
	Values []string
}

// Option returns the first option of this name, which includes its dashes, or nil.
func (u *Use) Option(name string) *Given {
	i := slices.IndexFunc(u.Options, func(g Given) bool { return g.Name == name })
	if i < 0 {
		return nil
	}
	return &u.Options[i]
}

// String returns the option's words.
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

// String returns the use as written in a rule: -m NAME and its options.
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

// Reader is what a match must know to determine which packets it matches.
type Reader struct {
	*packet.Space
	Sets ipset.Sets // the sets that are known
	// Changed says which rule may change a thing before the match sees it: a
	// packet's mark, or the contents of a set; "" for none.
	Changed func(t Thing) string
	// DestType is the type of the destination, LOCAL or UNICAST, if the caller
	// knows it, otherwise "".
	DestType string
}

// Thing is something that a target may change and a match may match on.
type Thing string

// The things other than ipsets, for which see SetThing.
const (
	MarkThing     Thing = "the packet's mark"
	ConnmarkThing Thing = "the connection's mark"
)

// SetThing is the contents of a set.
func SetThing(name string) Thing { return Thing("the set " + name) }

// Cases are the packets that a match matches, as disjoint boxes. A packet in none of
// them does not match. nil is every packet.
type Cases []Case

// Case is one box. Unsure says why a packet in it may still not match: the words
// that cannot be evaluated.
type Case struct {
	Box    diagram.Box
	Unsure string
}

// Never is a match that matches no packet.
var Never = Cases{}

// in returns the packets that a box contains.
func in(b diagram.Box) Cases {
	if b.Empty() {
		return Never
	}
	return Cases{{Box: b}}
}

// property returns the packets with a value of one property in a set.
func property(p int, s diagram.Set) Cases {
	var b diagram.Box
	b[p] = s
	return in(b)
}

// Unsure is a match that may match every packet or none.
func Unsure(words string) Cases { return Cases{{Unsure: words}} }

// And returns what both match.
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

// Means returns the packets that a use matches. What cannot be evaluated becomes a
// case that is unsure.
func (u *Use) Means(r *Reader) Cases {
	if u.Module == nil || u.Module.Means == nil {
		return Unsure(u.String())
	}
	return u.Module.Means(r, u)
}

// Effect is what a target does with a packet.
type Effect struct {
	// Verdict ends the packet's path; 0 if it goes on to the next rule. With Unknown
	// the target may end it in any way, or let it go on.
	Verdict packet.Verdict
	Changes []Thing // what may have changed for later rules
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

// register adds a module; the init function of its file calls it.
func register(m Module) {
	registered[m.Kind][m.Name] = append(registered[m.Kind][m.Name], &m)
	if m.Also != "" {
		registered[m.Kind][m.Also] = append(registered[m.Kind][m.Also], &m)
	}
}

// effects maps targets whose options are in modules.go to what they do.
var effects = map[string]func(*Use) Effect{}

// withEffect sets what a target does whose options are in modules.go.
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

// Lookup returns the module that a family has under a name, or nil.
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

// outOfTree lists extensions that are not part of iptables but that hosts may have
// (xtables-addons, ipt_netflow and others). Their options are not known here.
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

// OutOfTree reports whether a name is that of an extension that is not part of
// iptables.
func OutOfTree(kind Kind, name string) bool { return slices.Contains(outOfTree[kind], name) }

// Misnamed says why no extension can have a name that a rule uses as a match or
// as a target; "" if one can.
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
		return strconv.Quote(name) + " cannot be the name of a " + what
	}
	return ""
}

// Names returns the names of all modules of a kind that can be evaluated, sorted.
func Names(kind Kind) []string {
	var list []string
	for name := range registered[kind] {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// Takes says why iptables would refuse one more option of a module; "" if it
// accepts it.
func (m *Module) Takes(h Head, o *Option, g Given, before []Given) string {
	switch {
	case g.Not && !o.Not:
		return g.Name + " cannot be negated"
	case !o.Many && slices.ContainsFunc(before, func(b Given) bool { return b.Name == g.Name }):
		return g.Name + " can be given only once in a match"
	case (o.Value == Host || o.Value == HostMask) && looksLikeService(strings.SplitN(g.Values[0], "/", 2)[0]):
		return fmt.Sprintf("%s needs an address; the host name %q would be looked up each time the file is loaded, and could resolve to a different address", g.Name, g.Values[0])
	case !o.valid(h.Family, g.Values):
		return quoteValues(g.Values) + " is not a valid value for " + g.Name
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

// Fits reports whether a rule with a protocol, or with every other protocol if not
// is true, can have the module.
func (m *Module) Fits(p packet.Protocol, not bool) bool {
	return m.Protocols == nil || !not && slices.Contains(m.Protocols, p)
}

// Refuses says why iptables would refuse a use of the module with all its options;
// "" if it accepts it.
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

// orList returns "--a, --b or --c".
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

// conflicts says which other option is not allowed, or required, with this one.
func (o *Option) conflicts(m *Module, u *Use) string {
	for _, other := range o.Excludes {
		if other != o.Name && u.Option("--"+m.canonical(other)) != nil {
			return "--" + o.Name + " and --" + other + " cannot be used together"
		}
	}
	for _, other := range o.Needs {
		if u.Option("--"+m.canonical(other)) == nil {
			return "--" + o.Name + " needs --" + other
		}
	}
	return ""
}

// canonical returns the name under which an option of the module is kept.
func (m *Module) canonical(name string) string {
	for i := range m.Options {
		if m.Options[i].Name == name {
			return m.Options[i].Canonical()
		}
	}
	return name
}
