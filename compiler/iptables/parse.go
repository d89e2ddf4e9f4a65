package iptables

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/packet"
)

// Error is an error for a line that iptables-restore would refuse.
type Error struct {
	Line   int
	Text   string // the line
	Detail string // what is wrong, and what to do
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Detail) }

// Options says how a file is loaded.
type Options struct {
	Family packet.Family
	// NoFlush is for a file loaded with --noflush: existing rules stay. Without
	// it, the first section of a table empties the table. A file that declares no
	// built-in chain is always read as if NoFlush were set, because nobody empties
	// the whole filter table with such a file. So is one that flushes a built-in
	// chain itself, which a load that empties the table makes pointless.
	NoFlush bool
	// Flush is for a file known to be loaded without --noflush, such as a boot
	// file, whatever it declares.
	Flush bool
	// ChainsOnly is for callers that ask what rules do and never print them: rules
	// do not keep their words, which saves memory.
	ChainsOnly bool
	// Before is how many lines precede the text in the file that contains it.
	Before int
	// Memory has chains of texts that were read before, with ChainsOnly. The rules of such a
	// chain have the lines of the text in which they were read first. nil is for none.
	Memory *Memory
}

// Parse parses the output of iptables-save, a file for iptables-restore, or the
// output of iptables -S, which names no table and is taken as the filter table.
// The error, of type *Error, is for the first line that iptables-restore would
// refuse; nothing is skipped.
func Parse(src []byte, opt Options) (*File, error) {
	opt.NoFlush = !opt.Flush && (opt.NoFlush || !declaresBuiltin(src) || flushesBuiltin(src))
	p := newParser(src, opt)
	err := p.read(src)
	if errors.Is(err, errShared) {
		opt.Memory = nil
		return Parse(src, opt)
	}
	if err != nil {
		return nil, err
	}
	return p.file, nil
}

// read reads a whole text.
func (p *parser) read(src []byte) error {
	opt, second := p.Options, readAhead(src, p.Options)
	if !opt.ChainsOnly {
		p.text, p.Memory = string(src), nil
	}
	for at := 0; at < len(src); {
		if second != nil && at == second.from {
			if to, ok := p.takeOver(second); ok {
				at = to
				continue
			}
		}
		if n := p.remembered(src[at:]); n > 0 {
			at += n
			continue
		}
		end := bytes.IndexByte(src[at:], '\n')
		ended := end >= 0
		if !ended {
			end = len(src) - at
		}
		p.line++
		p.start = at
		line := src[at : at+end]
		at += end + 1
		if p.canonical(line) || p.canonicalChain(line) || remark(line) {
			continue
		}
		if err := p.anyLine(string(line), ended); errors.Is(err, errShared) {
			return err
		} else if err != nil {
			return &Error{Line: p.line, Text: string(line), Detail: err.Error()}
		}
	}
	if p.table != nil && !p.listing {
		return &Error{Line: p.line, Detail: fmt.Sprintf("the %s table has no COMMIT, so iptables-restore would not load it", p.table.Name)}
	}
	p.complete()
	if err := p.hooks(); err != nil {
		return err
	}
	if opt.ChainsOnly { // a caller that asks what the rules do finds loops anyway
		return nil
	}
	return p.loops()
}

func newParser(src []byte, opt Options) *parser {
	file := &File{Source: src, Family: opt.Family, NoFlush: opt.NoFlush, before: opt.Before}
	return &parser{Options: opt, file: file, line: opt.Before, packing: newPacking(opt), bodies: map[string]*Body{}, gone: map[string]bool{}, missing: map[string]bool{}}
}

// complete adds the built-in chains of a whole filter table, including those that
// the file does not declare: loading the file empties them.
func (p *parser) complete() {
	t := p.file.Table("filter")
	if t == nil || p.NoFlush || p.listing {
		return
	}
	for _, name := range builtins["filter"] {
		t.Declare(name, "ACCEPT")
	}
}

// loops refuses chains that lead to themselves and can be reached from a built-in
// one, as the kernel does.
func (p *parser) loops() error {
	for _, t := range p.file.Tables {
		state := map[*Chain]int{} // 1 while a chain is open, 2 when it is done
		var walk func(c *Chain) *Error
		walk = func(c *Chain) *Error {
			state[c] = 1
			for _, r := range c.Rules() {
				next := t.leads(r)
				if next == nil || state[next] == 2 {
					continue
				}
				if state[next] == 1 {
					return &Error{Line: int(r.Line), Text: r.String(c.Name), Detail: fmt.Sprintf("the chain %s leads to itself", next.Name)}
				}
				if err := walk(next); err != nil {
					return err
				}
			}
			state[c] = 2
			return nil
		}
		for _, c := range t.Chains {
			if t.Builtin(c.Name) && state[c] == 0 {
				if err := walk(c); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

type parser struct {
	Options
	recalled  *known // the latest chain from the memory
	isAhead   bool   // see ahead; elsewhere is its
	elsewhere []elsewhere
	file      *File
	table     *Table // the current one
	listing   bool   // iptables -S: rules without *table and COMMIT
	line      int
	start     int    // of the line in the text
	text      string // the whole text, "" with ChainsOnly
	bodies    map[string]*Body
	gone      map[string]bool // chains that a ":" line had created, in any table
	hooked    bool            // a rule has a module that is only valid in some built-in chains
	missing   map[string]bool // targets of the table's rules that are neither a chain nor an extension
	packing   *packing        // nil where rules are not packed
	slab      []Rule          // memory for rules, many at a time
	chains    []Chain         // the same for chains
	places    []*Rule         // the same for the rules of chains
	last      *Chain          // of the last canonical line, in this table
}

// flushesBuiltin reports whether a file has a line such as "-F INPUT".
func flushesBuiltin(src []byte) bool {
	if !bytes.Contains(src, []byte("\n-F ")) {
		return false // long files have no such line
	}
	for line := range bytes.Lines(src) {
		name, ok := bytes.CutPrefix(line, []byte("-F "))
		if ok && builtinNames[string(bytes.TrimSpace(name))] {
			return true
		}
	}
	return false
}

// declaresBuiltin reports whether a file has a line such as ":INPUT ACCEPT" or
// "-P INPUT".
func declaresBuiltin(src []byte) bool {
	for len(src) > 0 {
		if name := declared(src); name != nil && builtinNames[string(name)] {
			return true
		}
		end := bytes.IndexByte(src, '\n')
		if end < 0 {
			return false
		}
		src = src[end+1:]
	}
	return false
}

// declared returns the name of the chain that a text's first line declares or
// sets the policy of; nil for any other line.
func declared(src []byte) []byte {
	rest, ok := bytes.CutPrefix(src, []byte(":"))
	if !ok {
		if rest, ok = bytes.CutPrefix(src, []byte("-P ")); !ok {
			return nil
		}
	}
	rest = rest[:min(len(rest), maxChain+1)]
	end := bytes.IndexAny(rest, " \t\n")
	if end < 0 {
		return nil
	}
	return rest[:end]
}

// builtinNames is the set of the names of all built-in chains.
var builtinNames = func() map[string]bool {
	names := map[string]bool{}
	for _, list := range builtins {
		for _, name := range list {
			names[name] = true
		}
	}
	return names
}()

// maxChain is the maximum length of a chain name.
const maxChain = 28

func (p *parser) anyLine(line string, ended bool) error {
	switch {
	case len(line) > maxLine:
		return refused("the line has %d bytes; iptables-restore reads at most %d and takes the rest as another line", len(line), maxLine)
	case strings.IndexByte(line, 0) >= 0:
		return refused("the line has a NUL byte, where iptables-restore stops reading it")
	case strings.HasPrefix(line, "# Table `") && strings.Contains(line, "is incompatible"):
		return refused("iptables-save could not print this table: it has rules that iptables cannot show, and only \"nft list ruleset\" does")
	case line == "", line[0] == '#':
		return nil
	case p.table == nil && line[0] == '*':
		return p.open(line[1:])
	case p.table != nil && !p.listing && line == "COMMIT":
		p.table, p.last = nil, nil
		return nil
	case p.table != nil && !p.listing && line[0] == ':':
		return p.declare(strings.FieldsFunc(line[1:], func(c rune) bool { return c == ' ' || c == '\t' }))
	}
	if p.table == nil {
		if len(p.file.Tables) > 0 || line[0] != '-' && line[0] != '[' {
			return refused("only comments and lines such as \"*filter\" are allowed outside a table")
		}
		p.listing = true
		p.table = &Table{Name: "filter", Sections: 1}
		p.file.Tables = append(p.file.Tables, p.table)
	}
	return p.command(line, ended)
}

// open begins a section of a table. A second section of the same table is loaded
// separately: it adds to the first with --noflush, and replaces it without.
func (p *parser) open(line string) error {
	fields := strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == '\t' })
	if len(fields) == 0 || builtins[fields[0]] == nil {
		return refused("%q is not an iptables table", strings.Trim(line, " \t"))
	}
	p.last, p.missing = nil, map[string]bool{}
	if p.table = p.file.Table(fields[0]); p.table != nil {
		p.table.Sections++
		if !p.NoFlush && p.Memory != nil {
			return errShared
		}
		if !p.NoFlush {
			p.empty()
		}
		return nil
	}
	p.table = &Table{Name: fields[0], Sections: 1, memory: p.Memory}
	p.file.Tables = append(p.file.Tables, p.table)
	return nil
}

// empty does what loading a table without --noflush does: user-defined chains are
// deleted, built-in ones lose their rules and keep their policies.
func (p *parser) empty() {
	t := p.table
	t.Chains = slices.DeleteFunc(t.Chains, func(c *Chain) bool {
		if !t.Builtin(c.Name) {
			p.leaves(c)
			delete(t.byName, c.Name)
			return true
		}
		c.Partial = false
		c.SetRules(nil)
		return false
	})
}

// declare reads ":NAME POLICY". It creates a user-defined chain, or empties an
// existing one; for a built-in chain it only sets the policy.
func (p *parser) declare(fields []string) error {
	if len(fields) < 2 {
		return refused("a chain declaration must have the form \":NAME POLICY [PACKETS:BYTES]\"")
	}
	name, policy := fields[0], fields[1]
	if p.table.Builtin(name) {
		if policy != "-" && policy != "ACCEPT" && policy != "DROP" {
			return refused("%q is not a chain policy; use ACCEPT or DROP", policy)
		}
		c := p.builtin(name)
		c.Line = p.line
		if policy != "-" {
			c.Policy = policy
		}
		return nil
	}
	if err := validChain(name); err != nil {
		return err
	}
	c := p.table.Chain(name)
	if c != nil && c.shared {
		return errShared
	}
	if c == nil {
		if err := p.late(name); err != nil {
			return err
		}
		c = p.table.Declare(name, "-")
	}
	c.Line, c.Partial, c.announced = p.line, false, true
	c.SetRules(nil)
	return nil
}

// announced reports whether a line such as ":LOG -" has made a name a chain's, in any
// table, even if the chain is gone since.
func (p *parser) announced(name string) bool {
	return p.gone[name] || slices.ContainsFunc(p.file.Tables, func(t *Table) bool {
		c := t.byName[name]
		return c != nil && c.announced
	})
}

// leaves notes that a chain loses its name.
func (p *parser) leaves(c *Chain) {
	if c.announced {
		p.gone[c.Name], c.announced = true, false
	}
}

// late refuses to create a chain that an earlier rule leads to: when iptables read
// that rule, it looked for an extension of that name and found none. With
// --noflush, the chain may already have been in the kernel. Later rules lead to
// the chain, even if earlier ones use an extension of its name.
func (p *parser) late(name string) error {
	if p.missing[name] && !p.NoFlush {
		return refused("an earlier rule leads to the chain %s, which did not exist yet", Quote(name))
	}
	if match.Lookup(match.TargetKind, name, p.Family) != nil {
		p.bodies = map[string]*Body{}
	}
	return nil
}

// builtin returns a built-in chain, which exists even if no line declares it.
func (p *parser) builtin(name string) *Chain {
	c := p.table.Chain(name)
	if c == nil {
		c = p.table.Declare(name, "ACCEPT")
		c.Line = p.line
		if p.NoFlush && !p.listing {
			c.Partial = true
			c.SetRules([]*Rule{p.earlier()})
		}
	}
	return c
}

// earlier returns the rule that stands for those in the kernel that are not in the
// file.
func (p *parser) earlier() *Rule {
	return &Rule{Body: &Body{Unread: "rules that are in the chain before the file is loaded"}, Line: int32(p.line)}
}

// validChain returns an error if a chain cannot have this name.
func validChain(name string) error {
	_, standard := match.Standard[name]
	switch {
	case name == "" || len(name) > maxChain:
		return refused("%q is not a chain name, which has 1 to %d bytes", name, maxChain)
	case name[0] == '-' || name[0] == '!':
		return refused("a chain name cannot start with %q", name[0])
	case strings.ContainsAny(name, " \t\n\v\f\r"):
		return refused("%q is not a chain name: it contains a blank", name)
	case standard || name == "RETURN":
		return refused("%s is a target and cannot be a chain name", name)
	}
	return nil
}

// Text returns a line of the file, counted from 1.
func (f *File) Text(line int) string {
	lines := bytes.Split(f.Source, []byte("\n"))
	line -= f.before
	if line < 1 || line > len(lines) {
		return ""
	}
	return string(lines[line-1])
}

// readable reports whether a family can load a text, and how many lines are read
// before one is refused, for callers that do not know which family it is for.
func readable(src []byte, f packet.Family) (lines int, ok bool) {
	_, err := Parse(src, Options{Family: f, ChainsOnly: true})
	if e, refused := err.(*Error); refused {
		return e.Line, false
	}
	return 0, err == nil
}
