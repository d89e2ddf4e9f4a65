package iptables

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/packet"
)

// Error is a line that iptables-restore would refuse.
type Error struct {
	Line   int
	Text   string // the line
	Detail string // what is wrong, and what to do
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Detail) }

// Options say how a file is loaded.
type Options struct {
	Family packet.Family
	// NoFlush is for a file that is loaded with --noflush: what its tables have
	// stays. Without it the first section of a table empties it. A file that
	// declares no built-in chain is read so in any case: nobody empties the whole
	// filter table with it.
	NoFlush bool
	// Flush is for a file that is known to be loaded without --noflush, such as a
	// boot file, whatever it declares.
	Flush bool
	// ChainsOnly is for those who ask what rules do, and never print them: rules
	// do not keep their words. It takes less memory.
	ChainsOnly bool
	// Before is how many lines stand before the text in the file that it is from.
	Before int
}

// Parse reads the text of iptables-save, of a file for iptables-restore, or of
// iptables -S, which names no table and is taken for the filter table. The
// error, of type *Error, names the first line that iptables-restore would
// refuse; nothing is skipped.
func Parse(src []byte, opt Options) (*File, error) {
	p := &parser{Options: opt, file: &File{Source: src, Family: opt.Family}, bodies: map[string]*Body{}, announced: map[string]bool{}, missing: map[string]bool{}}
	p.NoFlush = !p.Flush && (p.NoFlush || !declaresBuiltin(src))
	p.file.NoFlush, p.file.before, p.line = p.NoFlush, opt.Before, opt.Before
	if !opt.ChainsOnly {
		p.text = string(src)
	}
	for at := 0; at < len(src); {
		end := bytes.IndexByte(src[at:], '\n')
		ended := end >= 0
		if !ended {
			end = len(src) - at
		}
		p.line++
		p.start = at
		line := src[at : at+end]
		at += end + 1
		if p.canonical(line) {
			continue
		}
		if err := p.anyLine(string(line), ended); err != nil {
			return nil, &Error{Line: p.line, Text: string(line), Detail: err.Error()}
		}
	}
	if p.table != nil && !p.listing {
		return nil, &Error{Line: p.line, Detail: fmt.Sprintf("the table %s has no COMMIT, so iptables-restore would not load it", p.table.Name)}
	}
	p.complete()
	if err := p.hooks(); err != nil {
		return nil, err
	}
	if !opt.ChainsOnly { // whoever asks what the rules do finds a loop anyway
		if err := p.loops(); err != nil {
			return nil, err
		}
	}
	return p.file, nil
}

// complete adds the built-in chains that a whole filter table has, also those
// that the file does not declare: loading it has emptied them.
func (p *parser) complete() {
	t := p.file.Table("filter")
	if t == nil || p.NoFlush || p.listing {
		return
	}
	for _, name := range builtins["filter"] {
		t.Declare(name, "ACCEPT")
	}
}

// loops refuses chains that lead to themselves, on a way from a built-in one: the
// kernel does.
func (p *parser) loops() error {
	for _, t := range p.file.Tables {
		state := map[*Chain]int{} // 1 while a chain is open, 2 after
		var walk func(c *Chain) *Error
		walk = func(c *Chain) *Error {
			state[c] = 1
			for _, r := range c.Rules {
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
	file      *File
	table     *Table // the one that is open
	listing   bool   // iptables -S: rules without *table and COMMIT
	line      int
	start     int    // of the line in the text
	text      string // the whole text, "" with ChainsOnly
	bodies    map[string]*Body
	announced map[string]bool // chains that a ":" line has made, in any table
	hooked    bool            // a rule has a module with a place in some built-in chains alone
	missing   map[string]bool // targets of the table's rules that are neither a chain nor an extension
	slab      []Rule          // memory for rules, many at a time
	last      *Chain          // of the last canonical line, in this table
}

// declaresBuiltin reports whether a file has a line such as ":INPUT ACCEPT",
// or -P INPUT.
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

// declared is the name of the chain that a text's first line declares or gives a
// policy; nil for another line.
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

// builtinNames are the names of all built-in chains.
var builtinNames = func() map[string]bool {
	names := map[string]bool{}
	for _, list := range builtins {
		for _, name := range list {
			names[name] = true
		}
	}
	return names
}()

// maxChain is the length of the longest name of a chain.
const maxChain = 28

func (p *parser) anyLine(line string, ended bool) error {
	switch {
	case len(line) > maxLine:
		return refused("a line of %d bytes: iptables-restore reads %d at most, and takes what follows for a line of its own", len(line), maxLine)
	case strings.IndexByte(line, 0) >= 0:
		return refused("a byte of value 0, at which iptables-restore stops reading the line")
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
			return refused("outside a table there are comments and lines such as \"*filter\"")
		}
		p.listing = true
		p.table = &Table{Name: "filter", Sections: 1}
		p.file.Tables = append(p.file.Tables, p.table)
	}
	return p.command(line, ended)
}

// open begins a section of a table. The second one of a name is loaded on its
// own: it adds to the first with --noflush, and replaces it without.
func (p *parser) open(line string) error {
	fields := strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == '\t' })
	if len(fields) == 0 || builtins[fields[0]] == nil {
		return refused("%q is not a table of iptables", strings.Trim(line, " \t"))
	}
	p.last, p.missing = nil, map[string]bool{}
	if p.table = p.file.Table(fields[0]); p.table != nil {
		p.table.Sections++
		if !p.NoFlush {
			p.table.empty()
		}
		return nil
	}
	p.table = &Table{Name: fields[0], Sections: 1}
	p.file.Tables = append(p.file.Tables, p.table)
	return nil
}

// empty is what loading does to a table without --noflush: a user's chains go,
// the built-in ones lose their rules and keep their policies.
func (t *Table) empty() {
	t.Chains = slices.DeleteFunc(t.Chains, func(c *Chain) bool {
		if !t.Builtin(c.Name) {
			delete(t.byName, c.Name)
			return true
		}
		c.Rules, c.Partial = nil, false
		return false
	})
}

// declare reads ":NAME POLICY". It makes a user's chain, or empties the one that
// is there; of a built-in one it sets the policy alone.
func (p *parser) declare(fields []string) error {
	if len(fields) < 2 {
		return refused("a chain is declared as \":NAME POLICY [PACKETS:BYTES]\"")
	}
	name, policy := fields[0], fields[1]
	if p.table.Builtin(name) {
		if policy != "-" && policy != "ACCEPT" && policy != "DROP" {
			return refused("%q is not the policy of a chain: ACCEPT or DROP", policy)
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
	p.announced[name] = true
	c := p.table.Chain(name)
	if c == nil {
		if err := p.late(name); err != nil {
			return err
		}
		c = p.table.Declare(name, "-")
	}
	c.Line, c.Rules, c.Partial = p.line, nil, false
	return nil
}

// late refuses to make a chain to which a rule leads already: iptables looked for
// an extension of that name then, and found none. With --noflush the kernel may
// have had the chain. Later rules mean the chain, also where earlier ones mean
// an extension of its name.
func (p *parser) late(name string) error {
	if p.missing[name] && !p.NoFlush {
		return refused("a rule before this line leads to the chain %s, which was not there yet", Quote(name))
	}
	if match.Lookup(match.TargetKind, name, p.Family) != nil {
		p.bodies = map[string]*Body{}
	}
	return nil
}

// builtin returns a built-in chain, which is there also when no line declares
// it.
func (p *parser) builtin(name string) *Chain {
	c := p.table.Chain(name)
	if c == nil {
		c = p.table.Declare(name, "ACCEPT")
		c.Line = p.line
		if p.NoFlush && !p.listing {
			c.Partial = true
			c.Rules = []*Rule{p.earlier()}
		}
	}
	return c
}

// earlier is the rule that stands for those of the kernel which the file does
// not have.
func (p *parser) earlier() *Rule {
	return &Rule{Body: &Body{Unread: "rules that the chain has already when the file is loaded"}, Line: int32(p.line)}
}

// validChain reports whether a chain may have a name.
func validChain(name string) error {
	_, standard := match.Standard[name]
	switch {
	case name == "" || len(name) > maxChain:
		return refused("%q is not the name of a chain, which has 1 to %d bytes", name, maxChain)
	case name[0] == '-' || name[0] == '!':
		return refused("the name of a chain cannot start with %q", name[0])
	case strings.ContainsAny(name, " \t\n\v\f\r"):
		return refused("%q is not the name of a chain: it has a blank", name)
	case standard || name == "RETURN":
		return refused("%s is a target, and cannot be the name of a chain", name)
	}
	return nil
}

// Text is a line of the file that was read, from 1.
func (f *File) Text(line int) string {
	lines := bytes.Split(f.Source, []byte("\n"))
	line -= f.before
	if line < 1 || line > len(lines) {
		return ""
	}
	return string(lines[line-1])
}

// Readable reports what a family makes of a text, for those who do not know
// which family it is for: how many lines are read before one is refused.
func readable(src []byte, f packet.Family) (lines int, ok bool) {
	_, err := Parse(src, Options{Family: f, ChainsOnly: true})
	if e, refused := err.(*Error); refused {
		return e.Line, false
	}
	return 0, err == nil
}
