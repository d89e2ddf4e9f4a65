package rules

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Print writes a file in iptables-save's canonical form: for what
// iptables-save printed, the same bytes again.
func Print(f *File) []byte {
	var b bytes.Buffer
	for _, t := range f.Tables {
		PrintTable(&b, t)
	}
	for _, c := range f.Final {
		printComment(&b, c)
	}
	return b.Bytes()
}

// PrintTable writes one table, from the comments before it to its COMMIT.
func PrintTable(b *bytes.Buffer, t *Table) {
	for _, c := range t.Comments {
		printComment(b, c)
	}
	fmt.Fprintf(b, "*%s\n", t.Name)
	for _, c := range t.Chains {
		if c.Implied || c.InText {
			continue
		}
		counters := c.Counters
		if counters == "" {
			counters = "[0:0]"
		}
		fmt.Fprintf(b, ":%s %s %s\n", c.Name, c.Policy, counters)
	}
	PrintLines(b, t.Lines)
	b.WriteString("COMMIT\n")
}

// PrintLines writes the rules and comments of a table.
func PrintLines(b *bytes.Buffer, lines []Line) {
	bodies := map[*Body][]byte{}
	for _, l := range lines {
		switch {
		case l.Text != nil:
			b.Write(l.Text)
		case l.Rule == nil:
			printComment(b, l.Comment)
		default:
			tail, ok := bodies[l.Rule.Body]
			if !ok {
				tail = printBody(l.Rule.Body)
				bodies[l.Rule.Body] = tail
			}
			printRule(b, l.Chain.Name, l.Rule, tail)
		}
	}
}

// Size is about how many bytes PrintLines writes.
func Size(lines []Line) int {
	size := 0
	for _, l := range lines {
		size += 128
		if l.Text != nil {
			size += len(l.Text) - 128
		}
	}
	return size
}

// AppendRule appends a rule's line to a text, without an object for it: its
// chain, its source, and all that follows, as AppendBody or AppendGoto give it.
func AppendRule(text []byte, chain string, s Source, tail []byte) []byte {
	text = append(append(text, "-A "...), chain...)
	if s.Prefix.IsValid() {
		if s.Not {
			text = append(text, " !"...)
		}
		text = s.Prefix.Addr().AppendTo(append(text, " -s "...))
		text = strconv.AppendInt(append(text, '/'), int64(s.Prefix.Bits()), 10)
	}
	return append(append(text, tail...), '\n')
}

// AppendBody appends all of a rule that follows its source.
func AppendBody(text []byte, b *Body) []byte { return append(text, printBody(b)...) }

// AppendGoto appends what follows the source of a rule that only goes on to a
// chain.
func AppendGoto(text []byte, chain string) []byte { return append(append(text, " -g "...), chain...) }

// AppendDeclaration appends the declaration of a user's chain, with a comment
// before it.
func AppendDeclaration(text []byte, chain, comment string) []byte {
	text = append(append(append(text, "# "...), comment...), "\n:"...)
	return append(append(text, chain...), " - [0:0]\n"...)
}

// String is the rule's canonical text, with -A and the chain's name.
func (r *Rule) String(chain string) string {
	var b bytes.Buffer
	printRule(&b, chain, r, printBody(r.Body))
	return string(bytes.TrimRight(b.Bytes(), "\n"))
}

// Spec is the rule's canonical text without its chain and its counters: what
// follows "-A CHAIN ".
func (r *Rule) Spec() string {
	bare := *r
	bare.Counters = ""
	return strings.TrimPrefix(bare.String(""), "-A  ")
}

func printComment(b *bytes.Buffer, text string) {
	b.WriteByte('#')
	if text != "" {
		b.WriteByte(' ')
		b.WriteString(text)
	}
	b.WriteByte('\n')
}

func printRule(b *bytes.Buffer, chain string, r *Rule, tail []byte) {
	if r.Counters != "" {
		b.WriteString(r.Counters)
		b.WriteByte(' ')
	}
	b.WriteString("-A ")
	b.WriteString(chain)
	printAddress(b, "-s", r.Source)
	b.Write(tail)
	b.WriteByte('\n')
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
	fmt.Fprintf(b, " %s %s", option, i.Name)
}

// printBody writes all of a rule that follows its source.
func printBody(r *Body) []byte {
	var b bytes.Buffer
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
			b.WriteString(quoteValue(o.Name, v))
		}
	}
}

// quoteValue writes an option's value. iptables-save quotes free texts by
// their characters; an address, a number or a list goes bare.
func quoteValue(option, v string) string {
	if freeText[option] {
		return Quote(v)
	}
	if strings.HasPrefix(v, "-") || v == "!" {
		return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(v) + `"` // else it would be read as an option
	}
	for i := 0; i < len(v); i++ {
		switch v[i] {
		case ' ', '\t', '"', '\\':
			return Quote(v)
		}
	}
	if v == "" {
		return `""`
	}
	return v
}
