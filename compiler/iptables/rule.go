package iptables

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/packet"
)

// refusal says why iptables-restore would refuse a line.
type refusal string

func (r refusal) Error() string { return string(r) }

func refused(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

// targetUse stands for the target among the loaded modules.
const targetUse = -2

// ruleReader reads the words of one line of a table: a command and, where it has
// one, a rule. A list of sources or destinations makes several rules, as in
// iptables.
type ruleReader struct {
	family    packet.Family
	table     *Table
	announced func(name string) bool // see parser
	// missing is the set of targets that were neither a chain nor an extension when
	// a rule named them.
	missing map[string]bool
	hooked  *bool // set if a module is only valid in some built-in chains
	noFlush bool  // a chain may exist that is not in the file
	words   []string
	next    int

	command     byte // 'A', 'I', …; 0 until it is read
	chain, name string
	number      int  // of -I, -R and -D; 0 for none
	other       bool // -4 or -6 of the other family: the line is skipped

	body      *Body
	set       string // the letters of the options given
	proto     packet.Protocol
	protoUsed bool   // the protocol's own module has been loaded
	protoWord string // the value of -p
	// sourceText and destText are the values of -s and -d.
	sourceText, destText *string
	sources              []addressMask
	dests                []addressMask
	notSource            bool
	notDest              bool
	not                  bool
	loaded               []int  // the loaded modules, in the order of loading
	unknown              string // the first unknown module
	doubt                string // words that may not mean what they seem to
	versions             string // the first word that some versions of iptables refuse
}

// read reads all words. The error says why iptables would refuse the line.
func (r *ruleReader) read() error {
	r.body = &Body{}
	for r.next < len(r.words) && r.body.Unread == "" && !r.other {
		w := r.words[r.next]
		r.next++
		switch {
		case w == "--":
			if r.next < len(r.words) {
				return refused("%q follows \"--\", after which nothing is allowed", r.words[r.next])
			}
		case strings.HasPrefix(w, "--"):
			if err := r.longOption(w); err != nil {
				return err
			}
		case len(w) > 1 && w[0] == '-':
			if err := r.shortOptions(w[1:]); err != nil {
				return err
			}
		case w == "!":
			if r.not {
				return refused("\"!\" must not be repeated")
			}
			r.not = true
		default:
			return refused("expected an option, not %q", w)
		}
	}
	if r.other {
		return r.otherLine()
	}
	if err := r.parseAddresses(); err != nil {
		return err
	}
	if r.body.Unread == "" {
		r.body.Unread = r.doubt
	}
	if r.not && r.body.Unread == "" {
		return refused("\"!\" must be followed by an option")
	}
	return r.check()
}

// otherLine checks a line with the -4 or -6 of the other family: iptables stops
// reading it there, adds or deletes no rule, and carries out every other command.
func (r *ruleReader) otherLine() error {
	if r.command == 'R' || r.command == 'C' {
		return refused("-%c is used in a line for the other family, and what it does differs between the back ends", r.command)
	}
	if r.unknown != "" { // iptables looks it up before it skips the rest of the line
		return refused("%s: there is no extension of that name", r.unknown)
	}
	return nil
}

// parseAddresses parses the values of -s and -d, which iptables does at the end of
// a line.
func (r *ruleReader) parseAddresses() (err error) {
	if r.sourceText != nil {
		if r.sources, err = addresses(r.family, *r.sourceText); err != nil {
			return err
		}
	}
	if r.destText != nil {
		r.dests, err = addresses(r.family, *r.destText)
	}
	return err
}

// longOption reads --name or --name=value.
func (r *ruleReader) longOption(w string) error {
	name, value, joined := strings.Cut(w[2:], "=")
	f, ok, ambiguous := r.long(name)
	if !ok && !ambiguous && r.loadProtocol() {
		f, ok, ambiguous = r.long(name)
	}
	if r.unknown != "" && (!ok || f.basic == nil) {
		r.giveUp()
		return nil
	}
	switch {
	case ambiguous:
		return refused("%s is an abbreviation of several options", w)
	case !ok:
		return refused("%s is not an option of iptables or of a module that the rule loads", w)
	}
	var v *string
	switch arg := f.takesValue(); {
	case arg == noArgument && joined:
		return refused("--%s does not take a value", f.name())
	case joined:
		v = &value
		if f.basic != nil {
			r.joinedWord(f.basic.val, w)
		}
	case arg == required:
		if r.next >= len(r.words) {
			return refused("--%s needs a value", f.name())
		}
		v = &r.words[r.next]
		r.next++
	}
	if f.basic != nil {
		return r.basic(f.basic.val, v, joined)
	}
	return r.moduleOption(f, v)
}

// joinedWord notes a word that 1.8.9 takes as a whole as the value and refuses,
// where later versions read the option and its value.
func (r *ruleReader) joinedWord(c byte, word string) {
	if strings.IndexByte("sdpj", c) >= 0 {
		r.versions = orElse(r.versions, word)
	}
}

// giveUp leaves the remaining words unread: an option of an unknown module may take
// any of them as its value.
func (r *ruleReader) giveUp() { r.body.Unread = join(r.words[r.next-1:]) }

// shortOptions reads -x, -xyz or -xVALUE.
func (r *ruleReader) shortOptions(cluster string) error {
	for len(cluster) > 0 && !r.other {
		c := cluster[0]
		cluster = cluster[1:]
		arg, ok := short[c]
		if !ok || c == 'b' {
			return refused("-%c is not an option of iptables", c)
		}
		var v *string
		joined := false
		switch {
		case arg == noArgument:
		case cluster != "":
			value := cluster
			v, cluster, joined = &value, "", true
			r.joinedWord(c, "-"+string(c)+value)
		case arg == required:
			if r.next >= len(r.words) {
				return refused("-%c needs a value", c)
			}
			v = &r.words[r.next]
			r.next++
		}
		if err := r.basic(c, v, joined); err != nil {
			return err
		}
	}
	return nil
}

// hasArg reports whether the next word is not an option.
func (r *ruleReader) hasArg() bool {
	if r.next >= len(r.words) {
		return false
	}
	w := r.words[r.next]
	return w == "" || w[0] != '-' && w[0] != '!'
}

// basic carries out one of iptables' own options.
func (r *ruleReader) basic(c byte, value *string, joined bool) error {
	not := r.not
	r.not = false
	switch c {
	case 'A', 'C', 'D', 'I', 'R', 'F', 'Z', 'N', 'X', 'E', 'P', 'L', 'S':
		if not {
			return refused("a \"!\" before -%c", c)
		}
		return r.commandOption(c, value)
	case '4', '6':
		r.other = (c == '4') != (r.family == packet.IPv4)
		return nil
	case 'M': // the program that loads modules
		return nil
	case 't', 'w', 'W', 'h', 'V':
		return refused("-%c is not valid in a rules file", c)
	case 'm':
		if not {
			return refused("\"!\" is not allowed before -m; put it before the option to negate")
		}
		return r.load(*value)
	}
	return r.condition(c, value, not, joined)
}

// once refuses an option that was given before, and a "!" where none is allowed.
func (r *ruleReader) once(c byte, not bool) error {
	if c == 'g' {
		c = 'j'
	}
	if strings.IndexByte(r.set, c) >= 0 && c != 'v' {
		return refused("-%c can be given only once in a rule", c)
	}
	r.set += string(c)
	if not && !strings.Contains("sdpiof", string(c)) {
		return refused("-%c cannot be negated", c)
	}
	return nil
}

// condition reads the conditions that need no module, the target and the
// counters.
func (r *ruleReader) condition(c byte, value *string, not, joined bool) error {
	if err := r.once(c, not); err != nil {
		return err
	}
	switch c {
	case 's':
		r.notSource, r.sourceText = not, value
	case 'd':
		r.notDest, r.destText = not, value
	case 'i', 'o':
		return r.interfaceOption(c, *value, not, joined)
	case 'p':
		return r.protocol(*value, not)
	case 'f':
		if r.family == packet.IPv6 {
			return refused("-f is not an option of ip6tables")
		}
		r.body.Fragment = "-f"
		if not {
			r.body.Fragment = "! -f"
		}
	case 'j', 'g':
		return r.target(*value, c == 'g')
	case 'c':
		return r.counters(*value)
	}
	return nil
}

func (r *ruleReader) interfaceOption(c byte, value string, not, joined bool) error {
	switch {
	case value == "":
		return refused("-%c needs an interface name", c)
	case len(value) > packet.MaxInterface:
		return refused("%q is too long for an interface name, which has at most %d bytes", value, packet.MaxInterface)
	case joined:
		// 1.8.9 takes -ieth0 to name an interface "-ieth0", later versions eth0.
		r.doubt = fmt.Sprintf("-%c%s, which versions of iptables read differently", c, value)
	case c == 'i':
		r.body.In = Interface{value, not}
	default:
		r.body.Out = Interface{value, not}
	}
	return nil
}

func (r *ruleReader) protocol(value string, not bool) error {
	p, ok := packet.ParseProtocol(value)
	r.protoWord = value
	switch {
	case !ok:
		return refused("%q is not a protocol", value)
	case p == 0 && not:
		return refused("every packet has a protocol, so \"! -p %s\" would never match", value)
	case p != 0:
		r.body.Protocol = Protocol{p.String(), not}
	}
	r.proto = p
	return nil
}

// counters reads the numbers of -c: "1,2", or two words.
func (r *ruleReader) counters(value string) error {
	packets, bytes, ok := strings.Cut(value, ",")
	if !ok {
		if !r.hasArg() {
			return refused("-c needs two numbers")
		}
		bytes = r.words[r.next]
		r.next++
	}
	for _, n := range []string{packets, bytes} {
		n = strings.TrimLeft(n, " +-")
		if n == "" || n[0] < '0' || n[0] > '9' {
			return refused("-c takes numbers, not %q", n)
		}
	}
	return nil
}

// target reads -j or -g. A chain takes precedence over an extension of its name.
func (r *ruleReader) target(name string, isGoto bool) error {
	switch {
	case name == "":
		return refused("a target needs a name")
	case len(name) > maxChain:
		return refused("%q is too long for a target name, which has at most %d bytes", name, maxChain)
	case strings.ContainsAny(name, " \t\n\v\f\r"):
		return refused("%q is not a target name", name)
	}
	t := Target{Name: name, Goto: isGoto}
	if r.announced(name) && r.table.Chain(name) == nil {
		return refused("%s is a chain in another table of the file, so iptables does not look for a target of that name", name)
	}
	switch {
	case r.table.Builtin(name):
		return refused("%s is a built-in chain, and no rule can lead to it", name)
	case isGoto && r.table.Chain(name) == nil && !r.noFlush:
		return refused("there is no chain %s before this line", Quote(name))
	}
	if _, standard := match.Standard[name]; !isGoto && !standard && name != "RETURN" && r.table.Chain(name) == nil {
		t.Module = match.Lookup(match.TargetKind, name, r.family)
		if t.Module == nil {
			if why := match.Misnamed(match.TargetKind, name); why != "" && !r.noFlush {
				return refused("there is no chain %s before this line, and %s", Quote(name), why)
			}
			if !r.noFlush && r.otherFamily(match.TargetKind, name) {
				return refused("%s is not a target of %v, and there is no chain of that name before this line", name, r.family)
			}
			r.unknown = orElse(r.unknown, "-j "+name)
			r.missing[name] = true
		}
	}
	r.body.Target = t
	if t.Module != nil {
		r.loaded = append(r.loaded, targetUse)
	}
	return nil
}

// otherFamily reports whether an extension exists only for the other family.
func (r *ruleReader) otherFamily(kind match.Kind, name string) bool {
	return match.Lookup(kind, name, packet.IPv4) != nil || match.Lookup(kind, name, packet.IPv6) != nil
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// load reads -m. A module may be loaded several times; all uses must match.
func (r *ruleReader) load(name string) error {
	if len(name) > maxChain {
		return refused("%q is too long for a match name, which has at most %d bytes", name, maxChain)
	}
	switch name {
	case "icmpv6", "ipv6-icmp":
		name = "icmp6"
	}
	m := match.Lookup(match.MatchKind, name, r.family)
	if m == nil {
		if r.otherFamily(match.MatchKind, name) {
			return refused("-m %s is not a match of %v", name, r.family)
		}
		if why := match.Misnamed(match.MatchKind, name); why != "" {
			return refused("%s", why)
		}
		r.unknown = orElse(r.unknown, "-m "+name)
	}
	r.body.Matches = append(r.body.Matches, Match{Name: name, Module: m})
	if m != nil {
		at := len(r.body.Matches) - 1
		// Options from here on belong to this use, not to an earlier one of the name.
		r.loaded = slices.DeleteFunc(r.loaded, func(i int) bool { return i >= 0 && r.body.Matches[i].Name == name })
		r.loaded = append(r.loaded, at)
	}
	return nil
}

// loadProtocol loads the module of the protocol for an option that is not known, as
// in "-p tcp --dport 80", and reports whether it did.
func (r *ruleReader) loadProtocol() bool {
	if strings.IndexByte(r.set, 'p') < 0 || r.protoUsed {
		return false
	}
	name := r.proto.String()
	switch {
	case r.proto == packet.ICMPv6:
		name = "icmp6"
	case r.body.Protocol.Name == name && strings.EqualFold(r.protoWord, "mh"):
		name = "mh" // the module's name is this one of the protocol's names
	}
	r.protoUsed = true
	if match.Lookup(match.MatchKind, name, r.family) == nil {
		return false
	}
	return r.load(name) == nil
}

func (r *ruleReader) module(at int) *match.Module {
	if at == targetUse {
		return r.body.Target.Module
	}
	return r.body.Matches[at].Module
}

// head returns what the rule so far requires of packets, for its modules.
func (r *ruleReader) head() match.Head {
	return match.Head{Family: r.family, Protocol: r.proto, Not: r.body.Protocol.Not}
}

// moduleOption passes an option with its values to its module.
func (r *ruleReader) moduleOption(f found, value *string) error {
	g := Option{Not: r.not, Name: "--" + f.option.Canonical()}
	r.not = false
	if value != nil {
		g.Values = append(g.Values, *value)
	}
	for len(g.Values) < f.option.Words() {
		if r.next >= len(r.words) || strings.HasPrefix(r.words[r.next], "-") || strings.HasPrefix(r.words[r.next], "!") {
			return refused("%s needs %d values", g.Name, f.option.Words())
		}
		g.Values = append(g.Values, r.words[r.next])
		r.next++
	}
	if f.option.Optional && r.hasArg() && r.next < len(r.words) {
		g.Values = append(g.Values, r.words[r.next])
		r.next++
	}
	m := r.module(f.use)
	if m.Early && !m.Fits(r.proto, r.body.Protocol.Not) {
		return refused("%s needs -p %s before it", g.Name, m.Protocols[0])
	}
	options := &r.body.Target.Options
	if f.use != targetUse {
		options = &r.body.Matches[f.use].Options
	}
	if why := m.Takes(r.head(), f.option, g, *options); why != "" {
		return refused("%s", why)
	}
	*options = append(*options, g)
	return nil
}
