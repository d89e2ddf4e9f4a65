package oracle

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// An addressCond is -s or -d.
type addressCond struct {
	set, invert bool
	nets        []network // several become several rules
}

// An interfaceCond is -i or -o.
type interfaceCond struct {
	set, invert bool
	name        string
}

// A rule is one rule of a chain.
type rule struct {
	src, dst    addressCond
	in, out     interfaceCond
	proto       int
	protoInvert bool
	frag        bool
	fragInvert  bool
	matches     []extension
	target      extension // its name is empty where there is none
	jump        *chain    // the user chain that -j or -g names
	isGoto      bool
}

// A command is one line of a table: what to do, with which chain and rule.
type command struct {
	letter    byte
	chain     string
	number    int // of -I, -D and -R; 0 where there is none
	extra     string
	rule      rule
	skip      bool // a line for the other family
	argsSeen  map[byte]bool
	protoUsed bool
}

// A reader reads the arguments of one line as getopt does.
type reader struct {
	args   []string
	family int
	chains map[string]*chain
	cmd    *command
	invert bool
}

// parseCommand reads one line of a table that has these chains.
func parseCommand(args []string, family int, chains map[string]*chain) (*command, error) {
	r := &reader{args: args, family: family, chains: chains, cmd: &command{argsSeen: map[byte]bool{}}}
	for len(r.args) > 0 && !r.cmd.skip {
		arg := r.args[0]
		r.args = r.args[1:]
		var err error
		switch {
		case arg == "!" && r.invert:
			return nil, errors.New("multiple consecutive ! not allowed")
		case arg == "!":
			r.invert = true
			continue
		case strings.HasPrefix(arg, "--") && len(arg) > 2:
			err = r.long(arg[2:])
		case strings.HasPrefix(arg, "-") && len(arg) > 1:
			err = r.short(arg[1:])
		default:
			err = fmt.Errorf("bad argument %q", arg)
		}
		if err != nil {
			return nil, err
		}
		r.invert = false
	}
	if r.cmd.skip {
		return r.cmd, nil
	}
	for _, e := range append(r.cmd.rule.matches, r.cmd.rule.target) {
		slices.SortFunc(e.options, func(a, b option) int { return strings.Compare(a.name, b.name) })
	}
	return r.cmd, r.check()
}

// check finds what can only be seen at the end of a line.
func (r *reader) check() error {
	c := r.cmd
	for _, a := range []addressCond{c.rule.src, c.rule.dst} {
		if a.invert && (len(c.rule.src.nets) > 1 || len(c.rule.dst.nets) > 1) {
			return errors.New("! not allowed with multiple source or destination addresses")
		}
	}
	switch {
	case c.letter == 0:
		return errors.New("no command specified")
	case r.invert:
		return errors.New("a ! with nothing appropriate after it")
	case c.rule.out.set && (c.chain == "INPUT" || c.chain == "PREROUTING"):
		return errors.New("-o is not valid with incoming packets")
	case c.rule.in.set && (c.chain == "OUTPUT" || c.chain == "POSTROUTING"):
		return errors.New("-i is not valid with outgoing packets")
	}
	return nil
}

// next takes the next argument.
func (r *reader) next(option string) (string, error) {
	if len(r.args) == 0 {
		return "", fmt.Errorf("option %q requires an argument", option)
	}
	arg := r.args[0]
	r.args = r.args[1:]
	return arg, nil
}

// optional takes the next argument unless it starts with - or !.
func (r *reader) optional() string {
	if len(r.args) == 0 || strings.HasPrefix(r.args[0], "-") || strings.HasPrefix(r.args[0], "!") {
		return ""
	}
	arg, _ := r.next("")
	return arg
}

// short reads a word of short options; what follows one that takes an argument
// is the argument.
func (r *reader) short(word string) error {
	for i := range len(word) {
		letter := word[i]
		switch {
		case strings.IndexByte(shortWithArgument, letter) >= 0:
			return r.withArgument(letter, word[i+1:], i+1 < len(word))
		case strings.IndexByte("FLSXZ", letter) >= 0:
			return r.command(letter, word[i+1:])
		case strings.IndexByte(shortWithout, letter) >= 0:
			if err := r.base(letter, ""); err != nil {
				return err
			}
		default:
			return fmt.Errorf("unknown option %q", "-"+word[i:])
		}
	}
	return nil
}

// withArgument takes the argument of an option of iptables itself.
func (r *reader) withArgument(letter byte, joined string, isJoined bool) error {
	arg := joined
	if !isJoined {
		var err error
		if arg, err = r.next("-" + string(letter)); err != nil {
			return err
		}
	}
	if strings.IndexByte("ACDEINPR", letter) >= 0 {
		return r.command(letter, arg)
	}
	return r.base(letter, arg)
}

// long reads a long option: one of iptables, of the target, or of the match
// loaded last that knows it. An option that nobody knows makes -p load the
// match of its protocol, once.
func (r *reader) long(word string) error {
	name, value, joined := strings.Cut(word, "=")
	lists, owners := r.lists()
	list, spec, ok := find(name, lists...)
	switch {
	case ok && list == 0 && strings.Contains("FLSXZ", spec.canonical):
		return r.command(spec.canonical[0], value)
	case ok && list == 0 && spec.args == 0:
		return r.base(spec.canonical[0], "")
	case ok && list == 0:
		return r.withArgument(spec.canonical[0], value, joined)
	case ok:
		return r.extensionOption(owners[list], spec, value, joined)
	}
	if m := protocolMatch(r.cmd.rule.proto, r.family); m != "" && r.cmd.argsSeen['p'] && !r.cmd.protoUsed {
		r.cmd.protoUsed = true
		r.cmd.rule.matches = append(r.cmd.rule.matches, extension{name: m})
		return r.long(word)
	}
	if owner := r.unknownOwner(); owner != nil {
		return r.unknownOption(owner, name, value, joined)
	}
	return fmt.Errorf("unknown option %q", "--"+name)
}

// lists returns the options that are known at this place, the newest first,
// with the extension that each list belongs to.
func (r *reader) lists() (lists [][]optionSpec, owners []*extension) {
	lists, owners = append(lists, baseOptions), append(owners, nil)
	seen := map[string]bool{}
	for i := len(r.cmd.rule.matches) - 1; i >= 0; i-- {
		m := &r.cmd.rule.matches[i]
		if !seen[m.name] {
			lists, owners = append(lists, matchOptions[m.name]), append(owners, m)
		}
		seen[m.name] = true
	}
	if t := &r.cmd.rule.target; t.name != "" {
		lists, owners = append(lists, targetOptions[t.name]), append(owners, t)
	}
	return lists, owners
}

// unknownOwner returns the extension that an unknown option may belong to.
func (r *reader) unknownOwner() *extension {
	if t := &r.cmd.rule.target; t.name != "" && t.unknown(targetOptions) {
		return t
	}
	for i := range slices.Backward(r.cmd.rule.matches) {
		if m := &r.cmd.rule.matches[i]; m.unknown(matchOptions) {
			return m
		}
	}
	return nil
}

// extensionOption takes an option of a match or a target.
func (r *reader) extensionOption(owner *extension, spec optionSpec, value string, joined bool) error {
	o := option{name: spec.canonical, invert: r.invert}
	for i := range spec.args {
		arg, err := value, error(nil)
		if i > 0 || !joined {
			arg, err = r.next("--" + spec.name)
		}
		if err != nil {
			return err
		}
		if i > 0 && (strings.HasPrefix(arg, "-") || strings.HasPrefix(arg, "!")) {
			return fmt.Errorf("--%s requires two arguments", spec.name)
		}
		o.args = append(o.args, arg)
	}
	if spec.name == "syn" {
		o.args = []string{"SYN,RST,ACK,FIN", "SYN"}
	}
	for _, other := range owner.options {
		if other.name == o.name {
			return fmt.Errorf("--%s can only be used once", spec.name)
		}
	}
	owner.options = append(owner.options, o)
	return nil
}

// unknownOption takes an option that is not listed: its arguments go up to the
// next word that starts with - or !.
func (r *reader) unknownOption(owner *extension, name, value string, joined bool) error {
	o := option{name: name, invert: r.invert}
	if joined {
		o.args = append(o.args, value)
	}
	for arg := r.optional(); arg != ""; arg = r.optional() {
		o.args = append(o.args, arg)
	}
	owner.options = append(owner.options, o)
	return nil
}

// command takes a command and the words that belong to it.
func (r *reader) command(letter byte, arg string) error {
	c := r.cmd
	if r.invert {
		return errors.New("unexpected ! flag")
	}
	if c.letter != 0 && !(strings.IndexByte("LSZ", c.letter) >= 0 && strings.IndexByte("LSZ", letter) >= 0) {
		return fmt.Errorf("cannot use -%c with -%c", letter, c.letter)
	}
	c.letter, c.chain = letter, arg
	switch letter {
	case 'F', 'L', 'S', 'X', 'Z':
		if c.chain == "" {
			c.chain = r.optional()
		}
		if letter != 'F' && letter != 'X' {
			r.optional()
		}
	case 'E', 'P':
		if c.extra = r.optional(); c.extra == "" {
			return fmt.Errorf("-%c requires two arguments", letter)
		}
	case 'D', 'I', 'R':
		return r.ruleNumber()
	}
	return nil
}

// ruleNumber takes the number that -I and -D may have and -R must have.
func (r *reader) ruleNumber() error {
	arg := r.optional()
	if arg == "" {
		if r.cmd.letter == 'R' {
			return errors.New("-R requires a rule number")
		}
		return nil
	}
	n, err := number(arg, 1<<31-1)
	if err != nil || n == 0 {
		return fmt.Errorf("invalid rule number %q", arg)
	}
	r.cmd.number = int(n)
	return nil
}

// base takes an option of iptables itself.
func (r *reader) base(letter byte, arg string) error {
	if strings.IndexByte("sdpijogf", letter) >= 0 {
		key := letter
		if key == 'g' {
			key = 'j'
		}
		if r.cmd.argsSeen[key] {
			return fmt.Errorf("multiple -%c flags not allowed", key)
		}
		r.cmd.argsSeen[key] = true
	}
	if r.invert && strings.IndexByte("sdpiof", letter) < 0 {
		return fmt.Errorf("unexpected ! before -%c", letter)
	}
	c := &r.cmd.rule
	switch letter {
	case 's':
		return r.address(&c.src, arg)
	case 'd':
		return r.address(&c.dst, arg)
	case 'p':
		return r.protocol(arg)
	case 'i':
		return r.iface(&c.in, arg)
	case 'o':
		return r.iface(&c.out, arg)
	case 'j', 'g':
		return r.jump(letter, arg)
	case 'm':
		c.matches = append(c.matches, extension{name: matchName(arg)})
	case 'f':
		if r.family == 6 {
			return errors.New("-f is not supported in IPv6")
		}
		c.frag, c.fragInvert = true, r.invert
	case 'c':
		return r.counters(arg)
	case '4', '6':
		r.cmd.skip = int(letter-'0') != r.family
	case 'n', 'v', 'x', '0', 'b':
	default:
		return fmt.Errorf("-%c cannot be used in a file", letter)
	}
	return nil
}

func (r *reader) counters(arg string) error {
	packets, bytes, both := strings.Cut(arg, ",")
	if !both {
		bytes = r.optional()
	}
	for _, n := range []string{packets, bytes} {
		if n == "" || n[0] < '0' || n[0] > '9' {
			return errors.New("-c requires packet and byte counter")
		}
	}
	return nil
}

func (r *reader) address(a *addressCond, arg string) error {
	a.set, a.invert = true, r.invert
	for item := range strings.SplitSeq(arg, ",") {
		n, err := networkOf(strings.TrimLeft(item, " \t"), r.family)
		if err != nil {
			return err
		}
		a.nets = append(a.nets, n)
	}
	return nil
}

func (r *reader) protocol(arg string) error {
	n, err := protocol(arg)
	if err == nil && n == 0 && r.invert {
		err = errors.New("rule would never match protocol")
	}
	r.cmd.rule.proto, r.cmd.rule.protoInvert = n, r.invert
	return err
}

func (r *reader) iface(i *interfaceCond, arg string) error {
	if arg == "" || len(arg) > 15 {
		return fmt.Errorf("%q is not an interface", arg)
	}
	*i = interfaceCond{set: true, invert: r.invert, name: arg}
	return nil
}

// jump takes -j or -g. A user chain of that name comes before an extension, if
// it is there already: the kernel keeps what the name meant when the rule was
// added.
func (r *reader) jump(letter byte, arg string) error {
	if arg == "" || len(arg) > 28 || strings.ContainsAny(arg, " \t\n") {
		return fmt.Errorf("%q is not a target", arg)
	}
	c := &r.cmd.rule
	to := r.chains[arg]
	switch {
	case to != nil && to.builtin:
		return fmt.Errorf("cannot jump to built-in chain %s", arg)
	case to != nil:
		c.jump, c.isGoto = to, letter == 'g'
	case letter == 'g':
		return fmt.Errorf("goto %q is not a chain", arg)
	default:
		c.target.name = arg
	}
	return nil
}
