package iptables

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/seawall/seawall/compiler/iptables/match"
)

// Print returns the text of a file: the text that was read, or the rules of
// generated tables in iptables-save's canonical form.
func Print(f *File) []byte {
	if f.Source != nil {
		return bytes.Clone(f.Source)
	}
	var b bytes.Buffer
	for _, t := range f.Tables {
		PrintTable(&b, t)
	}
	return b.Bytes()
}

// PrintTable writes one table from its *NAME to its COMMIT.
func PrintTable(b *bytes.Buffer, t *Table) {
	fmt.Fprintf(b, "*%s\n", t.Name)
	PrintDeclarations(b, t)
	PrintRules(b, t)
	b.WriteString("COMMIT\n")
}

// PrintDeclarations writes the declarations of a table's chains, except for those
// that are declared among the rules.
func PrintDeclarations(b *bytes.Buffer, t *Table) {
	for _, c := range t.Chains {
		if !c.Late {
			fmt.Fprintf(b, ":%s %s [0:0]\n", c.Name, c.Policy)
		}
	}
}

// PrintRules writes the rules and comments of a table, beginning with the chains
// that are declared among them.
func PrintRules(b *bytes.Buffer, t *Table) {
	p := &printer{b: b, tails: map[*Body][]byte{}}
	for _, g := range t.Late {
		p.generate(g)
	}
	for _, late := range []bool{true, false} {
		for _, c := range t.Chains {
			if c.Late == late {
				p.chain(c)
			}
		}
	}
}

// generate writes the chains of a generator. Those of a long one are written in two parts
// at once.
func (p *printer) generate(g Generator) {
	if text, ok := g.Memory.Get(g.Key); ok {
		p.b.Write(text)
		return
	}
	if g.Memory != nil {
		before := p.b.Len()
		defer func() {
			text := bytes.Clone(p.b.Bytes()[before:])
			g.Memory.Put(g.Key, text, len(text))
		}()
	}
	const long = 1 << 15
	if g.Rules < long {
		g.each(p.chain)
		return
	}
	parts := g.Parts()
	half, before := 0, 0
	for ; half < len(parts)-1 && before+parts[half].Rules/2 < g.Rules/2; half++ {
		before += parts[half].Rules
	}
	// Both have their part of the room that the text will have, so that no more is needed;
	// one that outgrows it moves elsewhere.
	p.b.Grow(g.size())
	room := p.b.AvailableBuffer()
	middle := cap(room) / g.Rules * before
	first, second := bytes.NewBuffer(room[0:0:middle]), bytes.NewBuffer(room[middle:middle])
	var wait sync.WaitGroup
	wait.Go(func() { writeParts(second, parts[half:]) })
	writeParts(first, parts[:half])
	wait.Wait()
	p.b.Write(first.Bytes())
	p.b.Write(second.Bytes())
}

func writeParts(b *bytes.Buffer, parts []Part) {
	p := &printer{b: b, tails: map[*Body][]byte{}}
	for _, part := range parts {
		part.Make(p.chain)
	}
}

// Size returns about how many bytes PrintRules writes.
func Size(t *Table) int {
	size := 0
	for _, g := range t.Late {
		size += g.size()
	}
	for _, c := range t.Chains {
		size += 128 + 64*c.Len()
	}
	return size
}

func (g Generator) size() int { return 48 * g.Rules }

type printer struct {
	b     *bytes.Buffer
	tails map[*Body][]byte // what follows the source
}

func (p *printer) chain(c *Chain) {
	if c.Late {
		p.comment(c.heading())
		p.b.WriteString(":" + c.Name + " " + c.Policy + " [0:0]\n")
	}
	notes := c.Notes()
	for i, r := range c.Rules() {
		for len(notes) > 0 && notes[0].Before <= i {
			p.comment(notes[0].Text)
			notes = notes[1:]
		}
		p.rule(c.Name, r)
	}
	for _, n := range notes {
		p.comment(n.Text)
	}
}

func (p *printer) comment(text string) {
	p.b.WriteByte('#')
	if text != "" {
		p.b.WriteByte(' ')
		p.b.WriteString(text)
	}
	p.b.WriteByte('\n')
}

func (p *printer) rule(chain string, r *Rule) {
	p.b.WriteString("-A ")
	p.b.WriteString(chain)
	if r.spec != nil {
		if *r.spec != "" {
			p.b.WriteByte(' ')
		}
		p.b.WriteString(*r.spec)
		p.b.WriteByte('\n')
		return
	}
	printAddress(p.b, "-s", r.Source)
	tail, ok := p.tails[r.Body]
	if !ok {
		tail = printBody(r.Body)
		p.tails[r.Body] = tail
	}
	p.b.Write(tail)
	if r.To != nil {
		p.b.WriteString(" -g ")
		p.b.WriteString(r.To.Name)
	}
	p.b.WriteByte('\n')
}

// String returns the rule's text as iptables-save would print it: -A, the chain,
// and the rule's own words.
func (r *Rule) String(chain string) string {
	var b bytes.Buffer
	(&printer{b: &b, tails: map[*Body][]byte{}}).rule(chain, r)
	return strings.TrimSuffix(b.String(), "\n")
}

// Spec returns the rule without its chain and its counters: what follows "-A CHAIN ".
func (r *Rule) Spec() string {
	if r.spec != nil {
		return *r.spec
	}
	return r.canonical()
}

// canonical returns Spec rebuilt from the parsed rule, not from its words: the
// same text for rules that mean the same.
func (r *Rule) canonical() string {
	bare := Rule{Source: r.Source, Body: r.Body, To: r.To}
	return strings.TrimPrefix(bare.String(""), "-A  ") + r.Unread
}

func printNot(b *bytes.Buffer, not bool) {
	if not {
		b.WriteString(" !")
	}
}

func printAddress(b *bytes.Buffer, option string, s Source) {
	if !s.Prefix.IsValid() {
		return
	}
	printNot(b, s.Not)
	b.WriteByte(' ')
	b.WriteString(option)
	b.WriteByte(' ')
	b.Write(s.Prefix.Addr().AppendTo(b.AvailableBuffer()))
	b.WriteByte('/')
	b.Write(strconv.AppendInt(b.AvailableBuffer(), int64(s.Prefix.Bits()), 10))
}

func printInterface(b *bytes.Buffer, option string, i Interface) {
	if i.Name == "" {
		return
	}
	printNot(b, i.Not)
	fmt.Fprintf(b, " %s %s", option, quoteWord(i.Name))
}

// printBody returns the part of a rule that follows its source.
func printBody(r *Body) []byte {
	var b bytes.Buffer
	for _, m := range r.Masks {
		printNot(&b, m.Not)
		fmt.Fprintf(&b, " %s %s/%s", map[bool]string{false: "-s", true: "-d"}[m.Dest], m.Address, m.Mask)
	}
	printAddress(&b, "-d", r.Dest)
	printInterface(&b, "-i", r.In)
	printInterface(&b, "-o", r.Out)
	if r.Protocol.Name != "" {
		printNot(&b, r.Protocol.Not)
		fmt.Fprintf(&b, " -p %s", r.Protocol.Name)
	}
	if r.Fragment != "" {
		b.WriteByte(' ')
		b.WriteString(r.Fragment)
	}
	for _, m := range r.Matches {
		fmt.Fprintf(&b, " -m %s", m.Name)
		printOptions(&b, m.Options)
	}
	if r.Target.Name != "" {
		jump := "-j"
		if r.Target.Goto {
			jump = "-g"
		}
		fmt.Fprintf(&b, " %s %s", jump, r.Target.Name)
		printOptions(&b, r.Target.Options)
	}
	return b.Bytes()
}

func printOptions(b *bytes.Buffer, options []Option) {
	for _, o := range options {
		printNot(b, o.Not)
		b.WriteByte(' ')
		b.WriteString(o.Name)
		for _, v := range o.Values {
			b.WriteByte(' ')
			if match.FreeText(o.Name) {
				b.WriteString(Quote(v))
			} else {
				b.WriteString(quoteWord(v))
			}
		}
	}
}

// WithSource returns the rule with another source, in canonical form.
func (r *Rule) WithSource(s Source) *Rule {
	return &Rule{Source: s, Body: r.Body, To: r.To, Line: r.Line}
}
