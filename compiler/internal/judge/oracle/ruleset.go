package oracle

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// A chain is a chain of one table. A built-in chain has a policy, or two where
// the back ends disagree about it.
type chain struct {
	name     string
	builtin  bool
	policies []string
	rules    []rule
}

// A Ruleset is what a file leaves in the kernel.
type Ruleset struct {
	Family int
	// Sets are the ipsets that -m set looks into.
	Sets Sets
	// Live makes the sets that a SET target of the file names not evaluable:
	// earlier packets may have changed them. Without it the sets are as Sets
	// says when a packet enters, and not evaluable after a SET target that
	// the packet itself met.
	Live bool

	tables map[string]map[string]*chain
}

// builtins are the built-in chains of each table.
var builtins = map[string][]string{
	"filter":   {"INPUT", "FORWARD", "OUTPUT"},
	"nat":      {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"},
	"mangle":   {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"},
	"raw":      {"PREROUTING", "OUTPUT"},
	"security": {"INPUT", "FORWARD", "OUTPUT"},
}

// Parse reads a file as iptables-restore does that loads it into empty tables:
// each *TABLE line flushes its table. Family is 4 or 6.
func Parse(text string, family int) (*Ruleset, error) {
	return parse(text, family, true)
}

// ParseNoflush reads a file as iptables-restore --noflush does that loads it
// into empty tables: the sections of one table add up.
func ParseNoflush(text string, family int) (*Ruleset, error) {
	return parse(text, family, false)
}

func parse(text string, family int, flush bool) (*Ruleset, error) {
	f := &file{ruleset: &Ruleset{Family: family, tables: map[string]map[string]*chain{}}, flush: flush}
	f.open("filter")
	f.table = nil
	line := 0
	for l := range strings.Lines(text) {
		line++
		if err := f.line(l); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
	if f.table != nil {
		return nil, fmt.Errorf("COMMIT expected at line %d", line+1)
	}
	return f.ruleset, nil
}

// Chains returns the names of the chains of table filter, sorted.
func (r *Ruleset) Chains() []string {
	return slices.Sorted(maps.Keys(r.tables["filter"]))
}

// A file is the state of a load.
type file struct {
	ruleset *Ruleset
	flush   bool
	table   map[string]*chain // the table of the section that is open
}

// line reads one line, its newline included. Comments, COMMIT and the empty
// line are recognised only when they stand alone and unindented.
func (f *file) line(l string) error {
	bare := strings.TrimSuffix(l, "\n")
	switch {
	case len(l) > 10238:
		return errors.New("the line is too long")
	case l == "\n", strings.HasPrefix(l, "#"):
		return nil
	case f.table != nil && l == "COMMIT\n":
		err := f.checkLoops()
		f.table = nil
		return err
	case f.table == nil && strings.HasPrefix(l, "*"):
		return f.section(bare[1:])
	case f.table == nil:
		return errors.New("not in a table")
	case strings.HasPrefix(l, ":"):
		return f.declare(strings.Fields(bare[1:]))
	}
	return f.rule(bare)
}

func (f *file) section(name string) error {
	fields := strings.Fields(name)
	if len(fields) == 0 || builtins[fields[0]] == nil {
		return fmt.Errorf("table %q does not exist", name)
	}
	f.open(fields[0])
	return nil
}

// open makes a table current. A flush removes the rules and the user chains.
// What becomes of a policy that an earlier section set depends on the back
// end: nf_tables resets it, legacy keeps it.
func (f *file) open(name string) {
	old := f.ruleset.tables[name]
	if old != nil && !f.flush {
		f.table = old
		return
	}
	f.table = map[string]*chain{}
	for _, b := range builtins[name] {
		c := &chain{name: b, builtin: true, policies: []string{"accept"}}
		if old != nil && !slices.Contains(old[b].policies, "accept") {
			c.policies = append(c.policies, old[b].policies...)
		}
		f.table[b] = c
	}
	f.ruleset.tables[name] = f.table
}

// declare reads :CHAIN POLICY. For a built-in chain it sets the policy and
// flushes nothing; a user chain it creates or flushes. (Without --noflush the
// legacy back end refuses a second declaration in one section.)
func (f *file) declare(fields []string) error {
	if len(fields) < 2 {
		return errors.New("chain name or policy is missing")
	}
	name, policy := fields[0], fields[1]
	c := f.table[name]
	switch {
	case slices.Contains([]string{"ACCEPT", "DROP", "QUEUE", "RETURN"}, name):
		return fmt.Errorf("chain name %s clashes with a verdict", name)
	case len(name) > 28:
		return fmt.Errorf("invalid chain name %q", name)
	case c != nil && c.builtin && policy == "-":
		return nil
	case c != nil && c.builtin:
		return c.setPolicy(policy)
	case policy != "-":
		return fmt.Errorf("chain %s cannot have a policy", name)
	case c != nil:
		c.rules = nil
	default:
		f.table[name] = &chain{name: name}
	}
	return nil
}

func (c *chain) setPolicy(policy string) error {
	if !c.builtin || policy != "ACCEPT" && policy != "DROP" {
		return fmt.Errorf("cannot set policy %s of chain %s", policy, c.name)
	}
	c.policies = []string{strings.ToLower(policy)}
	return nil
}

// rule reads a line with a command, with the counters that may stand first.
func (f *file) rule(l string) error {
	if strings.HasPrefix(l, "[") {
		counters, rest, closed := strings.Cut(l, "]")
		if !closed || !strings.Contains(counters, ":") {
			return errors.New("bad counters")
		}
		l = rest
	}
	args, err := words(l)
	if err != nil {
		return err
	}
	c, err := parseCommand(args, f.ruleset.Family, f.table)
	if err != nil || c.skip {
		return err
	}
	if err := f.checkRule(&c.rule); err != nil {
		return err
	}
	return f.apply(c)
}

func (f *file) apply(c *command) error {
	target := f.table[c.chain]
	switch c.letter {
	case 'N':
		if _, ok := targetOptions[c.chain]; ok {
			return fmt.Errorf("chain name %s clashes with a target", c.chain)
		}
		return f.newChain(c.chain)
	case 'F', 'X':
		return f.flushOrDelete(c.letter, c.chain)
	case 'L', 'S', 'Z':
		return nil
	}
	if target == nil {
		return fmt.Errorf("chain %q does not exist", c.chain)
	}
	switch c.letter {
	case 'P':
		return target.setPolicy(c.extra)
	case 'E':
		return f.rename(target, c.extra)
	case 'D', 'R':
		return target.deleteOrReplace(c)
	case 'C':
		return target.contains(c.rule.split())
	}
	return target.insert(c)
}

func (f *file) newChain(name string) error {
	if name == "" || len(name) > 28 || name[0] == '-' || name[0] == '!' || strings.ContainsAny(name, " \t\n") {
		return fmt.Errorf("%q is not a chain name", name)
	}
	if f.table[name] != nil {
		return fmt.Errorf("chain %s already exists", name)
	}
	f.table[name] = &chain{name: name}
	return nil
}

// flushOrDelete carries out -F and -X, for one chain or for all.
func (f *file) flushOrDelete(letter byte, name string) error {
	if name != "" && f.table[name] == nil {
		return fmt.Errorf("chain %q does not exist", name)
	}
	for _, n := range slices.Sorted(maps.Keys(f.table)) {
		c := f.table[n]
		switch {
		case name != "" && n != name:
		case letter == 'F':
			c.rules = nil
		case c.builtin && name == "":
		case c.builtin || len(c.rules) > 0 || f.referenced(c):
			return fmt.Errorf("chain %s cannot be deleted", n)
		default:
			delete(f.table, n)
		}
	}
	return nil
}

func (f *file) referenced(to *chain) bool {
	for _, c := range f.table {
		for _, r := range c.rules {
			if r.jump == to {
				return true
			}
		}
	}
	return false
}

// rename carries out -E; the rules that name the chain follow.
func (f *file) rename(c *chain, name string) error {
	if c.builtin {
		return fmt.Errorf("chain %s cannot be renamed", c.name)
	}
	if err := f.newChain(name); err != nil {
		return err
	}
	delete(f.table, c.name)
	c.name = name
	f.table[name] = c
	return nil
}

// split returns the rules that one line makes: one for each pair of a source
// and a destination.
func (r rule) split() []rule {
	result := []rule{}
	for _, src := range r.src.single() {
		for _, dst := range r.dst.single() {
			one := r
			one.src, one.dst = src, dst
			result = append(result, one)
		}
	}
	return result
}

func (a addressCond) single() []addressCond {
	if !a.set {
		return []addressCond{a}
	}
	result := []addressCond{}
	for _, n := range a.nets {
		result = append(result, addressCond{true, a.invert, []network{n}})
	}
	return result
}

// insert carries out -A and -I. With several addresses -I inserts each rule
// at the same place, so the last one stands first.
func (c *chain) insert(cmd *command) error {
	at := len(c.rules)
	if cmd.letter == 'I' {
		at = max(cmd.number, 1) - 1
	}
	if at > len(c.rules) {
		return errors.New("index of insertion too big")
	}
	for _, r := range cmd.rule.split() {
		c.rules = slices.Insert(c.rules, at, r)
		if cmd.letter == 'A' {
			at++
		}
	}
	return nil
}

// deleteOrReplace carries out -D and -R.
func (c *chain) deleteOrReplace(cmd *command) error {
	rules := cmd.rule.split()
	switch {
	case cmd.number > len(c.rules):
		return errors.New("index too big")
	case cmd.letter == 'R' && len(rules) != 1:
		return errors.New("replacement rule does not specify a unique address")
	case cmd.letter == 'R':
		c.rules[cmd.number-1] = rules[0]
		return nil
	case cmd.number > 0:
		c.rules = slices.Delete(c.rules, cmd.number-1, cmd.number)
		return nil
	}
	for _, r := range rules {
		i := c.index(r)
		if i < 0 {
			return errors.New("bad rule (does a matching rule exist in that chain?)")
		}
		c.rules = slices.Delete(c.rules, i, i+1)
	}
	return nil
}

// index returns the place of the first rule that is equal to another, or -1.
func (c *chain) index(r rule) int {
	to := r.jump
	r.jump = nil
	return slices.IndexFunc(c.rules, func(other rule) bool {
		same := other.jump == to
		other.jump = nil
		return same && reflect.DeepEqual(r, other)
	})
}

func (c *chain) contains(rules []rule) error {
	for _, r := range rules {
		if c.index(r) < 0 {
			return errors.New("bad rule (does a matching rule exist in that chain?)")
		}
	}
	return nil
}

// checkLoops returns an error where a jump leads back to its chain: the kernel
// refuses that.
func (f *file) checkLoops() error {
	done := map[*chain]bool{}
	var visit func(c *chain, above []*chain) error
	visit = func(c *chain, above []*chain) error {
		if slices.Contains(above, c) {
			return fmt.Errorf("a loop goes through chain %s", c.name)
		}
		if done[c] {
			return nil
		}
		above = append(slices.Clone(above), c)
		for _, r := range c.rules {
			if r.jump == nil {
				continue
			}
			if err := visit(r.jump, above); err != nil {
				return err
			}
		}
		done[c] = true
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(f.table)) {
		if err := visit(f.table[name], nil); err != nil {
			return err
		}
	}
	return nil
}
