package iptables

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/iptables/match"
)

// command parses and carries out a line of arguments for iptables itself, with
// or without counters in front.
func (p *parser) command(line string, ended bool) error {
	if line[0] == '[' {
		numbers, rest, closed := strings.Cut(line[1:], "]")
		// strtok skips separators, and does not require digits.
		if !closed || !strings.Contains(strings.TrimLeft(numbers, ":"), ":") {
			return refused("counters must have the form \"[PACKETS:BYTES]\"")
		}
		line = rest
	}
	words, err := split(line, ended)
	if err != nil {
		return err
	}
	r := p.reader(words)
	if err := r.read(); err != nil {
		return err
	}
	if r.versions != "" {
		p.file.versions = append(p.file.versions, fmt.Sprintf("table %s, line %d: %s is refused by iptables 1.8.9, which takes the whole word as the value; later versions accept it: %s", p.table.Name, p.line, Quote(r.versions), line))
	}
	if r.other && (r.command == 0 || strings.IndexByte("ADI", r.command) >= 0) {
		return nil
	}
	return p.run(r, line, words)
}

// reader returns a reader for the words of a line of the current table.
func (p *parser) reader(words []string) *ruleReader {
	return &ruleReader{family: p.Family, table: p.table, announced: p.announced, missing: p.missing, noFlush: p.NoFlush, words: words, hooked: &p.hooked}
}

// commandOption reads a command and the words that belong to it.
func (r *ruleReader) commandOption(c byte, value *string) error {
	switch {
	case r.command == 'Z' && (c == 'L' || c == 'S'): // prints the rules and zeroes their counters
		r.command = c
	case r.command != 0:
		return refused("a line can have only one command; this one has -%c and -%c", r.command, c)
	default:
		r.command = c
	}
	if value != nil {
		r.chain = *value
	} else if r.hasArg() {
		r.chain = r.words[r.next]
		r.next++
	}
	switch c {
	case 'E', 'P':
		if !r.hasArg() {
			return refused("-%c needs two arguments", c)
		}
		r.name = r.words[r.next]
		r.next++
	case 'D', 'I', 'R', 'Z', 'L', 'S':
		if !r.hasArg() {
			if c == 'R' {
				return refused("-R needs the number of the rule to replace")
			}
			break
		}
		n, ok := match.WholeNumber(r.words[r.next], 1, 1<<31-1)
		if !ok {
			return refused("%q is not a rule number", r.words[r.next])
		}
		r.number = int(n)
		r.next++
	}
	return nil
}

// check refuses what iptables detects once it has read all words.
func (r *ruleReader) check() error {
	if r.command == 0 {
		return refused("a line in a table must have a command, such as -A CHAIN")
	}
	if err := r.checkOptions(); err != nil {
		return err
	}
	if len(r.chain) > maxChain {
		return refused("%q is too long for a chain name, which has at most %d bytes", r.chain, maxChain)
	}
	for _, u := range r.body.uses() {
		if u.Module == nil {
			continue
		}
		if why := u.Module.Refuses(r.head(), u); why != "" {
			return refused("%s", why)
		}
	}
	if r.isRule() {
		if err := r.checkPlaces(); err != nil {
			return err
		}
	}
	if (len(r.sources) > 1 || len(r.dests) > 1) && (r.notSource || r.notDest) {
		return refused("\"!\" is not allowed with a list of addresses")
	}
	return r.checkTable()
}

// isRule reports whether the command takes a rule specification.
func (r *ruleReader) isRule() bool { return strings.IndexByte("ACDIR", r.command) >= 0 }

// checkPlaces refuses modules that the kernel does not accept in the table or
// for the protocol.
func (r *ruleReader) checkPlaces() error {
	b := r.body
	for _, u := range b.uses() {
		if u.Module == nil {
			continue
		}
		name := "-m " + u.Name
		if u.Module.Kind == match.TargetKind {
			name = u.Name
		}
		if in := u.Module.Tables(); in != nil && !slices.Contains(in, r.table.Name) {
			return refused("%s is only valid in the %s table", name, strings.Join(in, " or "))
		}
		*r.hooked = *r.hooked || u.Module.Hooks != nil
		switch fits := u.Module.Fits(r.proto, b.Protocol.Not); {
		case fits:
		case b.Protocol.Not && u.Module.Native:
			b.Unread = u.String() + " without -p " + u.Module.Protocols[0].String()
		default:
			return refused("%s needs -p %s", name, u.Module.Protocols[0])
		}
	}
	return nil
}

// checkOptions refuses options that are not valid with the command (xshared.c,
// commands_v_options).
func (r *ruleReader) checkOptions() error {
	allowed := ""
	switch r.command {
	case 'A', 'I', 'R':
		allowed = "sdpjiofvc"
	case 'D', 'C':
		allowed = "sdpjiofv"
		if r.number > 0 {
			allowed = "v"
		}
	case 'P':
		allowed = "vc"
	case 'L', 'S':
		allowed = "vnx0"
	default:
		allowed = "v"
	}
	for _, c := range r.set {
		if !strings.ContainsRune(allowed, c) {
			return refused("%s cannot be used with -%c", optionName(c), r.command)
		}
	}
	return nil
}

// optionName returns the name of one of iptables' own options by its letter; --line-numbers has none.
func optionName(c rune) string {
	if c == '0' {
		return "--line-numbers"
	}
	return "-" + string(c)
}

// checkTable refuses what is not valid in the chain or in the table.
func (r *ruleReader) checkTable() error {
	rule := r.isRule()
	switch {
	case rule && (r.chain == "PREROUTING" || r.chain == "INPUT") && r.body.Out.Name != "":
		return refused("-o cannot match in %s", r.chain)
	case rule && (r.chain == "POSTROUTING" || r.chain == "OUTPUT") && r.body.In.Name != "":
		return refused("-i cannot match in %s", r.chain)
	case r.table.Name == "nat" && (r.body.Target.Name == "DROP" || r.command == 'P' && r.name == "DROP"):
		return refused("the nat table is not for filtering, so DROP is not valid in it")
	}
	return nil
}

// run carries out a line.
func (p *parser) run(r *ruleReader, line string, words []string) error {
	if p.changes(r) {
		return errShared
	}
	switch r.command {
	case 'A', 'I', 'R', 'D', 'C':
		return p.ruleCommand(r, line, words)
	case 'N':
		return p.newChain(r.chain)
	case 'P':
		return p.policy(r.chain, r.name)
	case 'F':
		return p.flush(r.chain)
	case 'X':
		return p.deleteChain(r.chain)
	case 'E':
		return p.rename(r.chain, r.name)
	}
	if r.chain == "" {
		return nil
	}
	c, err := p.chain(r.chain)
	if err == nil && r.command == 'Z' && r.number > 0 && c.counted() {
		return c.hasRule(r.number)
	}
	return err // -Z, -L and -S change no rule
}

// chain returns the chain that a line names. With --noflush, a chain that the
// file does not declare may exist in the kernel, with unknown rules.
func (p *parser) chain(name string) (*Chain, error) {
	if p.table.Builtin(name) {
		return p.builtin(name), nil
	}
	if c := p.table.Chain(name); c != nil {
		return c, nil
	}
	if err := validChain(name); err != nil {
		return nil, err
	}
	if !p.NoFlush || p.listing {
		return nil, refused("there is no chain %s before this line", Quote(name))
	}
	c := p.table.Declare(name, "-")
	c.Line, c.Partial = p.line, true
	c.SetRules([]*Rule{p.earlier()})
	return c, nil
}

func (p *parser) newChain(name string) error {
	if err := validChain(name); err != nil {
		return err
	}
	if p.table.Builtin(name) || p.table.Chain(name) != nil {
		return refused("the chain %s already exists", name)
	}
	if name == "standard" || match.Lookup(match.TargetKind, name, p.Family) != nil {
		return refused("%s is an iptables target, and -N cannot create a chain of that name", name)
	}
	if err := p.late(name); err != nil {
		return err
	}
	p.table.Declare(name, "-").Line = p.line
	return nil
}

func (p *parser) policy(name, policy string) error {
	switch {
	case !p.table.Builtin(name):
		return refused("only a built-in chain has a policy, and %s is not a built-in chain of the %s table", Quote(name), p.table.Name)
	case policy != "ACCEPT" && policy != "DROP":
		return refused("%q is not a chain policy; use ACCEPT or DROP", policy)
	}
	c := p.builtin(name)
	c.Policy = policy
	return nil
}

func (p *parser) flush(name string) error {
	if name == "" {
		for _, c := range p.table.Chains {
			p.flushOne(c)
		}
		for _, name := range builtins[p.table.Name] { // those that no line names are now empty
			if p.table.Chain(name) == nil {
				c := p.builtin(name)
				c.Partial, c.Shifted = false, false
				c.SetRules(nil)
			}
		}
		return nil
	}
	c, err := p.chain(name)
	if err != nil {
		return err
	}
	c.Partial, c.Shifted = false, false
	c.SetRules(nil)
	return nil
}

// flushOne carries out -F without a chain, for one chain: nf_tables keeps the
// rules that the same file added earlier, unless the kernel already has the chain.
func (p *parser) flushOne(c *Chain) {
	var kept []*Rule
	if c.Len() > 0 && !c.onlyEarlier() {
		kept = []*Rule{{Body: &Body{Unread: keptByFlush}, Line: int32(p.line)}}
	}
	c.Partial, c.Shifted = false, false
	c.SetRules(kept)
}

// keptByFlush stands for such rules.
const keptByFlush = "rules before -F, which one back end keeps and the other deletes"

// onlyEarlier reports whether a chain has no rules from the file.
func (c *Chain) onlyEarlier() bool { return c.Len() == 1 && c.Partial }

func (p *parser) deleteChain(name string) error {
	if name != "" {
		c, err := p.chain(name)
		switch {
		case err != nil:
			return err
		case p.table.Builtin(name):
			return refused("%s is a built-in chain and cannot be deleted", name)
		}
		return p.drop(c)
	}
	for _, c := range slices.Clone(p.table.Chains) {
		if !p.table.Builtin(c.Name) {
			if err := p.drop(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// drop deletes a chain. iptables does so only if the chain is empty and no rule
// leads to it.
func (p *parser) drop(c *Chain) error {
	if c.Len() > 0 && !c.Partial && c.Rules()[0].Unread != keptByFlush {
		return refused("the chain %s has rules and cannot be deleted", c.Name)
	}
	for _, other := range p.table.Chains {
		for _, r := range other.Rules() {
			if r.Target.Name == c.Name && r.Target.Module == nil || r.To == c {
				return refused("the chain %s cannot be deleted: a rule of %s leads to it", c.Name, other.Name)
			}
		}
	}
	p.leaves(c)
	delete(p.table.byName, c.Name)
	p.table.Chains = slices.DeleteFunc(p.table.Chains, func(x *Chain) bool { return x == c })
	p.last = nil
	return nil
}

// rename carries out -E: rules that led to the old name lead to the new one.
func (p *parser) rename(from, to string) error {
	if err := validChain(to); err != nil {
		return err
	}
	c, err := p.chain(from)
	switch {
	case err != nil:
		return err
	case p.table.Builtin(from) || p.table.Builtin(to) || p.table.Chain(to) != nil:
		return refused("%s cannot be renamed to %s", Quote(from), Quote(to))
	}
	if err := p.late(to); err != nil {
		return err
	}
	p.leaves(c)
	delete(p.table.byName, from)
	c.Name = to
	p.table.byName[to] = c
	for _, other := range p.table.Chains {
		for _, r := range other.Rules() {
			if r.Target.Name == from && r.Target.Module == nil {
				body := *r.Body
				body.Target.Name = to
				r.Body = &body
				other.SetRules(other.Rules()) // where they are packed, they have the old one
			}
		}
	}
	p.bodies, p.last = map[string]*Body{}, nil
	return nil
}

// ruleCommand carries out -A, -I, -R, -D and -C.
func (p *parser) ruleCommand(r *ruleReader, line string, words []string) error {
	c, err := p.chain(r.chain)
	if err != nil {
		return err
	}
	spec := join(r.specWords(words))
	if own, ok := strings.CutPrefix(strings.TrimLeft(line, " \t"), "-A "+r.chain+" "); ok {
		spec = own // byte for byte
	}
	rules := r.rules(p.line, spec)
	if first := words[0]; !strings.HasPrefix(first, "-"+string(r.command)) && !strings.HasPrefix(first, "--") {
		for _, rule := range rules { // the command is among the options, so the rule is written anew
			if rule.Unread == "" {
				rule.spec = nil
			}
		}
	}
	switch r.command {
	case 'A':
		c.SetRules(append(c.Rules(), rules...))
	case 'I':
		slices.Reverse(rules) // each rule of a list is inserted before the previous one
		return c.insert(rules, max(r.number, 1))
	case 'R':
		if len(rules) != 1 {
			return refused("-R cannot be used with a list of addresses")
		}
		return c.replace(rules[0], r.number)
	case 'D':
		if r.number > 0 {
			return c.remove(r.number, p.line)
		}
		return c.delete(p.Family, rules, spec)
	case 'C':
		return c.has(p.Family, rules)
	}
	return nil
}

// counted reports whether the numbers of the chain's rules are known.
func (c *Chain) counted() bool { return !c.Partial && !c.Shifted }

// unclear marks the chain as undecided from its start: it is not known which of
// its rules a command affects.
func (c *Chain) unclear(line int32, command string) {
	c.SetRules(slices.Insert(c.Rules(), 0, &Rule{Body: &Body{Unread: command + ", which affects an unknown rule"}, Line: line}))
}

// insert puts rules before the one with the given number. Rules that are only in
// the kernel count as well, so if there may be any, only position 1 is known.
func (c *Chain) insert(rules []*Rule, number int) error {
	switch {
	case number > 1 && !c.counted():
		c.unclear(rules[0].Line, fmt.Sprintf("-I %s %d", c.Name, number))
		c.SetRules(append(c.Rules(), rules...))
		return nil
	case number > c.Len()+1:
		return refused("the chain %s has %s, so a rule cannot be inserted as number %d", c.Name, countRules(c.Len()), number)
	}
	c.SetRules(slices.Insert(c.Rules(), number-1, rules...))
	return nil
}

func (c *Chain) replace(r *Rule, number int) error {
	if !c.counted() {
		c.unclear(r.Line, fmt.Sprintf("-R %s %d", c.Name, number))
		c.SetRules(append(c.Rules(), r))
		return nil
	}
	if err := c.hasRule(number); err != nil {
		return err
	}
	c.SetRules(slices.Replace(c.Rules(), number-1, number, r))
	return nil
}

func (c *Chain) remove(number, line int) error {
	if !c.counted() {
		c.unclear(int32(line), fmt.Sprintf("-D %s %d", c.Name, number))
		return nil
	}
	if err := c.hasRule(number); err != nil {
		return err
	}
	c.SetRules(slices.Delete(c.Rules(), number-1, number))
	return nil
}

func (c *Chain) hasRule(number int) error {
	switch {
	case number < 1 || number > c.Len():
		return refused("the chain %s has %s; there is no rule %d", c.Name, countRules(c.Len()), number)
	}
	return nil
}

func countRules(n int) string {
	if n == 1 {
		return "1 rule"
	}
	return fmt.Sprintf("%d rules", n)
}

// rules returns the rules of a line: one for each source and destination.
func (r *ruleReader) rules(line int, spec string) []*Rule {
	sources, dests := r.sources, r.dests
	if len(sources) == 0 {
		sources = []addressMask{{}}
	}
	if len(dests) == 0 {
		dests = []addressMask{{}}
	}
	var list []*Rule
	for _, s := range sources {
		for _, d := range dests {
			body := *r.body
			rule := &Rule{Body: &body, Line: int32(line), spec: &spec}
			if s.address.IsValid() {
				body.Masks = append(slices.Clip(body.Masks), Masked{false, s.address, s.mask, r.notSource})
			} else {
				rule.Source = Source{s.prefix, r.notSource}.normal()
			}
			if d.address.IsValid() {
				body.Masks = append(slices.Clip(body.Masks), Masked{true, d.address, d.mask, r.notDest})
			} else {
				body.Dest = Source{d.prefix, r.notDest}.normal()
			}
			list = append(list, rule)
		}
	}
	return list
}

// normal returns the source, with one that covers every address as no source at all.
func (s Source) normal() Source {
	if s.Prefix.IsValid() && s.Prefix.Bits() == 0 && !s.Not {
		return Source{}
	}
	if !s.Prefix.IsValid() {
		return Source{}
	}
	return s
}

// specWords returns the words of a rule without the command, its chain and
// number, and without counters.
func (r *ruleReader) specWords(words []string) []string {
	if len(words) < 2 || !strings.HasPrefix(words[0], "-") {
		return words
	}
	rest := words[1:]
	joined := strings.HasPrefix(words[0], "--") && strings.Contains(words[0], "=") || !strings.HasPrefix(words[0], "--") && len(words[0]) > 2
	if !joined {
		rest = rest[1:] // the chain is a separate word
	}
	if (r.command == 'I' || r.command == 'R') && r.number > 0 && len(rest) > 0 {
		rest = rest[1:]
	}
	return rest
}
