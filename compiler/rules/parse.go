package rules

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Error is a line that is no part of a rules file.
type Error struct {
	Line   int
	Text   string // the line
	Detail string // what is wrong, and what to do
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Detail) }

// Parse reads the text of iptables-save, of a file for iptables-restore, or of
// iptables -S (which names no table: it is taken for the filter table). Line
// ends may be CRLF. The error, of type *Error, names the first line that
// cannot be understood; nothing is skipped.
func Parse(src []byte) (*File, error) {
	return parse(&parser{file: &File{}, bodies: map[string]*Body{}}, src)
}

// ParseChains is Parse for those who ask what the rules do, and never print
// them: tables have their chains, but no Lines and no comments. It takes half the
// memory.
func ParseChains(src []byte) (*File, error) {
	return parse(&parser{file: &File{}, bodies: map[string]*Body{}, chainsOnly: true}, src)
}

func parse(p *parser, src []byte) (*File, error) {
	for len(src) > 0 {
		line, rest, _ := bytes.Cut(src, []byte("\n"))
		src = rest
		p.line++
		if p.canonical(line) {
			continue
		}
		text := string(line)
		if err := p.parseLine(strings.TrimSuffix(text, "\r")); err != nil {
			return nil, &Error{Line: p.line, Text: text, Detail: err.Error()}
		}
	}
	if p.table != nil && !p.listing {
		return nil, &Error{Line: p.line, Detail: fmt.Sprintf("the table %s has no COMMIT, so iptables-restore would not load it", p.table.Name)}
	}
	p.file.Final = p.comments
	return p.file, nil
}

type parser struct {
	file       *File
	table      *Table // the one that is open
	listing    bool   // iptables -S: rules without *table and COMMIT
	line       int
	comments   []string // since the last COMMIT
	bodies     map[string]*Body
	slab       []Rule // memory for rules, many at a time
	chainsOnly bool
	last       *Chain // of the last canonical line, in this table
}

func (p *parser) parseLine(line string) error {
	line = strings.TrimLeft(line, " \t")
	switch {
	case line == "":
		return nil
	case line[0] == '#':
		p.comment(strings.TrimPrefix(line[1:], " "))
		return nil
	case line[0] == '*':
		return p.open(strings.TrimSpace(line[1:]))
	case strings.TrimSpace(line) == "COMMIT":
		if p.table == nil || p.listing {
			return fmt.Errorf("COMMIT outside a table")
		}
		p.table = nil
		return nil
	case line[0] == ':':
		return p.declare(strings.Fields(line[1:]))
	}
	if p.table == nil {
		if len(p.file.Tables) > 0 {
			return fmt.Errorf("a rule outside a table: a line such as *filter must come before it")
		}
		p.listing = true
		p.table = &Table{Name: "filter", Comments: p.comments}
		p.comments = nil
		p.file.Tables = append(p.file.Tables, p.table)
	}
	return p.command(line)
}

func (p *parser) comment(text string) {
	if p.chainsOnly {
		return
	}
	if p.table != nil {
		p.table.Comment(text)
		return
	}
	p.comments = append(p.comments, text)
}

func (p *parser) open(name string) error {
	switch {
	case p.table != nil:
		return fmt.Errorf("the table %s has no COMMIT before this line", p.table.Name)
	case !isName(name):
		return fmt.Errorf("%q is no name of a table", name)
	case p.file.Table(name) != nil:
		return fmt.Errorf("the table %s stands in the file twice; the second would flush the first", name)
	}
	p.table, p.last = &Table{Name: name, Comments: p.comments}, nil
	p.comments = nil
	p.file.Tables = append(p.file.Tables, p.table)
	return nil
}

func (p *parser) declare(fields []string) error {
	if p.table == nil || p.listing {
		return fmt.Errorf("a chain outside a table: a line such as *filter must come before it")
	}
	if len(fields) < 2 || len(fields) > 3 {
		return fmt.Errorf("a chain is declared as \":NAME POLICY [PACKETS:BYTES]\"")
	}
	if !isName(fields[0]) {
		return fmt.Errorf("%s is no name of a chain", Quote(fields[0]))
	}
	if c := p.table.Chain(fields[0]); c != nil {
		p.table.flush(c)
		c.Policy, c.Implied = fields[1], false
		return nil
	}
	c := p.table.Declare(fields[0], fields[1])
	c.Line = p.line
	if len(fields) == 3 {
		c.Counters = fields[2]
	}
	return nil
}

// flush removes a chain's rules.
func (t *Table) flush(c *Chain) {
	c.Rules = nil
	kept := t.Lines[:0]
	for _, l := range t.Lines {
		if l.Chain != c {
			kept = append(kept, l)
		}
	}
	t.Lines = kept
}

// command reads a line that iptables itself would take as its arguments.
func (p *parser) command(line string) error {
	counters := ""
	if line[0] == '[' {
		end := strings.IndexByte(line, ']')
		if end < 0 {
			return fmt.Errorf("counters that do not close: \"[PACKETS:BYTES]\"")
		}
		counters, line = line[:end+1], strings.TrimLeft(line[end+1:], " \t")
	}
	words := split(line)
	if len(words) < 1 {
		return fmt.Errorf("an empty line of options")
	}
	return p.oddCommand(counters, words)
}

// oddCommand reads what iptables-save does not print in this form: a hand's
// -I, -N, -P, --append, and so on.
func (p *parser) oddCommand(counters string, words []word) error {
	verb := words[0].text
	if a, ok := aliases[verb]; ok {
		verb = a
	}
	args := words[1:]
	if len(args) > 0 && !isName(args[0].text) {
		return fmt.Errorf("%s is no name of a chain", Quote(args[0].text))
	}
	if len(args) == 0 && verb != "-F" && verb != "-X" {
		return fmt.Errorf("%s needs the name of a chain", verb)
	}
	switch verb {
	case "-A":
		return p.addWords(args[0].text, counters, args[1:], -1)
	case "-I":
		at := 0
		if len(args) > 1 {
			if n, err := strconv.Atoi(args[1].text); err == nil {
				if n < 1 {
					return fmt.Errorf("rules are numbered from 1")
				}
				at, args = n-1, append([]word{args[0]}, args[2:]...)
			}
		}
		return p.addWords(args[0].text, counters, args[1:], at)
	case "-R":
		n, err := 0, error(nil)
		if len(args) > 1 {
			n, err = strconv.Atoi(args[1].text)
		}
		c := p.chain(args[0].text)
		if err != nil || n < 1 || n > len(c.Rules) {
			return fmt.Errorf("-R replaces a rule by its number, and the chain %s has %d rules", c.Name, len(c.Rules))
		}
		before := len(c.Rules)
		if err := p.addWords(c.Name, counters, args[2:], n-1); err != nil {
			return err
		}
		if len(c.Rules) != before+1 {
			return fmt.Errorf("-R takes no list of addresses; iptables refuses it")
		}
		p.table.remove(c, n)
		return nil
	case "-N":
		p.table.Declare(args[0].text, "-").Line = p.line
		return nil
	case "-P":
		if len(args) < 2 {
			return fmt.Errorf("-P needs a chain and ACCEPT or DROP")
		}
		c := p.table.Declare(args[0].text, args[1].text)
		c.Policy, c.Line, c.Implied = args[1].text, p.line, false
		return nil
	case "-F":
		if len(args) == 0 {
			for _, c := range p.table.Chains {
				p.table.flush(c)
			}
			return nil
		}
		p.table.flush(p.chain(args[0].text))
		return nil
	case "-D":
		return p.deleteWords(args[0].text, args[1:])
	}
	return fmt.Errorf("%q starts no line of a rules file: a rule starts with -A CHAIN", words[0].text)
}

func (p *parser) chain(name string) *Chain {
	if c := p.table.Chain(name); c != nil {
		return c
	}
	c := p.table.Declare(name, "-")
	c.Implied = true
	return c
}

// append adds a rule at the end of its chain.
func (p *parser) append(c *Chain, r *Rule) {
	if p.chainsOnly {
		c.Rules = append(c.Rules, r)
		return
	}
	p.table.Append(c, r)
}

func (p *parser) addWords(chain, counters string, words []word, at int) error {
	rules, err := p.parseRule(words)
	if err != nil {
		return err
	}
	c := p.chain(chain)
	for n, r := range rules {
		r.Line, r.Counters = p.line, counters
		if at < 0 {
			p.append(c, r)
			continue
		}
		if at > len(c.Rules) {
			return fmt.Errorf("the chain %s has %d rules, so none can be inserted as its %d", chain, len(c.Rules), at+1)
		}
		p.table.insert(c, r, at+n)
	}
	return nil
}

// insert puts a rule before the one that is at this place in its chain.
func (t *Table) insert(c *Chain, r *Rule, at int) {
	if at == len(c.Rules) {
		t.Append(c, r)
		return
	}
	next := c.Rules[at]
	c.Rules = append(c.Rules[:at:at], append([]*Rule{r}, c.Rules[at:]...)...)
	for i, l := range t.Lines {
		if l.Rule == next {
			t.Lines = append(t.Lines[:i:i], append([]Line{{Chain: c, Rule: r}}, t.Lines[i:]...)...)
			return
		}
	}
}

// deleteWords carries out -D: by number, or the first rule of the same text.
func (p *parser) deleteWords(chain string, words []word) error {
	c := p.chain(chain)
	if len(words) == 1 {
		if n, err := strconv.Atoi(words[0].text); err == nil {
			if n < 1 || n > len(c.Rules) {
				return fmt.Errorf("the chain %s has no rule %d", chain, n)
			}
			p.table.remove(c, n-1)
			return nil
		}
	}
	rules, err := p.parseRule(words)
	if err != nil {
		return err
	}
	for _, gone := range rules {
		found := false
		for i, r := range c.Rules {
			if r.String("") == gone.String("") {
				p.table.remove(c, i)
				found = true
				break
			}
		}
		if !found {
			return fmt.Errorf("the chain %s has no such rule to delete", chain)
		}
	}
	return nil
}

func (t *Table) remove(c *Chain, at int) {
	gone := c.Rules[at]
	c.Rules = append(c.Rules[:at:at], c.Rules[at+1:]...)
	for i, l := range t.Lines {
		if l.Rule == gone {
			t.Lines = append(t.Lines[:i:i], t.Lines[i+1:]...)
			return
		}
	}
}
