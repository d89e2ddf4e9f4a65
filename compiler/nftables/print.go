package nftables

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// oneLine is how many elements of a set stand in one line. Longer sets have a line
// for each, so that a diff shows which of them came or went.
const oneLine = 4

// Print writes a table as nft reads it, without what replaces one that is there.
func Print(b *bytes.Buffer, t *Table) {
	fmt.Fprintf(b, "table %s %s {\n", t.Family, t.Name)
	if t.Comment != "" {
		fmt.Fprintf(b, "\tcomment %s\n", quote(t.Comment))
	}
	for i, s := range t.Sets {
		if i > 0 {
			b.WriteByte('\n')
		}
		printSet(b, s)
	}
	for i, c := range t.Chains {
		if i > 0 || len(t.Sets) > 0 {
			b.WriteByte('\n')
		}
		printChain(b, c, t.Family)
	}
	b.WriteString("}\n")
}

func notes(b *bytes.Buffer, list []string) {
	for _, n := range list {
		fmt.Fprintf(b, "\t# %s\n", n)
	}
}

func printSet(b *bytes.Buffer, s *Set) {
	notes(b, s.Notes)
	kind, by := "set", "type"
	if s.Map {
		kind = "map"
	}
	if s.Typeof {
		by = "typeof"
	}
	fmt.Fprintf(b, "\t%s %s {\n\t\t%s %s", kind, s.Name, by, strings.Join(s.Key, " . "))
	if s.Map {
		b.WriteString(" : " + s.Value)
	}
	b.WriteByte('\n')
	if s.Size > 0 {
		fmt.Fprintf(b, "\t\tsize %d\n", s.Size)
	}
	if len(s.Flags) > 0 {
		fmt.Fprintf(b, "\t\tflags %s\n", strings.Join(s.Flags, ","))
	}
	if s.AutoMerge {
		b.WriteString("\t\tauto-merge\n")
	}
	if s.Comment != "" {
		fmt.Fprintf(b, "\t\tcomment %s\n", quote(s.Comment))
	}
	printElements(b, s.Elements)
	b.WriteString("\t}\n")
}

func printElements(b *bytes.Buffer, list []Element) {
	if len(list) == 0 {
		return
	}
	separator, end := " ", " }\n"
	if len(list) > oneLine {
		separator, end = "\n\t\t\t", "\n\t\t}\n"
	}
	b.WriteString("\t\telements = {")
	buf := make([]byte, 0, 128)
	for i := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(separator)
		buf = list[i].append(buf[:0])
		b.Write(buf)
	}
	b.WriteString(end)
}

func (e *Element) append(b []byte) []byte {
	b = e.Key.append(b)
	if e.Unread != "" {
		b = append(append(b, ' '), e.Unread...)
	}
	if e.Verdict != nil {
		b = e.Verdict.append(append(b, " : "...))
	}
	return b
}

func printChain(b *bytes.Buffer, c *Chain, f Family) {
	notes(b, c.Notes)
	fmt.Fprintf(b, "\tchain %s {\n", c.Name)
	if c.Comment != "" {
		fmt.Fprintf(b, "\t\tcomment %s\n", quote(c.Comment))
	}
	if h := c.Hook; h != nil {
		fmt.Fprintf(b, "\t\ttype %s hook %s priority %s; policy %s;\n", h.Type, h.Hook, priority(h.Priority, f), h.Policy)
	}
	buf := make([]byte, 0, 256)
	for _, r := range c.Rules {
		buf = appendRule(append(buf[:0], "\t\t"...), r)
		b.Write(append(buf, '\n'))
	}
	b.WriteString("\t}\n")
}

// priority writes a priority as nft lists those near filter, which is another number
// in a bridge.
func priority(p int, f Family) string {
	switch {
	case f == Bridge:
	case p == 0:
		return "filter"
	case p >= -10 && p < 0:
		return fmt.Sprintf("filter - %d", -p)
	case p > 0 && p <= 10:
		return fmt.Sprintf("filter + %d", p)
	}
	return strconv.Itoa(p)
}

func appendRule(b []byte, r *Rule) []byte {
	for i, s := range r.Statements {
		if i > 0 {
			b = append(b, ' ')
		}
		b = s.append(b)
	}
	if r.Comment != "" {
		b = append(append(b, " comment "...), quote(r.Comment)...)
	}
	return b
}

// quote writes text in quotes; nft knows no escapes, so a quote in it cannot be
// written.
func quote(text string) string { return `"` + strings.ReplaceAll(text, `"`, "'") + `"` }

func (e *Expr) append(b []byte) []byte {
	switch e.Kind {
	case Value:
		if e.Quoted {
			return append(append(append(b, '"'), e.Text...), '"')
		}
		return append(b, e.Text...)
	case Prefix:
		return strconv.AppendInt(append(append(b, e.Text...), '/'), int64(e.Bits), 10)
	case Range:
		return e.Args[1].append(append(e.Args[0].append(b), '-'))
	case Concat:
		return e.join(b, " . ")
	case Flags:
		return e.join(b, ",")
	case Binary:
		b = append(append(append(e.Args[0].operand(b), ' '), e.Op...), ' ')
		return e.Args[1].operand(b)
	case Named:
		return append(append(b, '@'), e.Text...)
	case Any:
		return append(b, '*')
	case Literal:
		b = append(b, "{ "...)
		for i := range e.Set {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = e.Set[i].append(b)
		}
		return append(b, " }"...)
	}
	return append(b, e.Text...)
}

// operand writes a part of an operation, in parentheses if it is one itself.
func (e *Expr) operand(b []byte) []byte {
	if e.Kind != Binary {
		return e.append(b)
	}
	return append(e.append(append(b, '(')), ')')
}

func (e *Expr) join(b []byte, by string) []byte {
	for i := range e.Args {
		if i > 0 {
			b = append(b, by...)
		}
		b = e.Args[i].append(b)
	}
	return b
}

func (m *Match) append(b []byte) []byte {
	b = append(m.Left.append(b), ' ')
	if m.Op != "" {
		b = append(append(b, m.Op...), ' ')
	}
	return m.Right.append(b)
}

func (l *Lookup) append(b []byte) []byte { return l.Map.append(append(l.Key.append(b), " vmap "...)) }

var verdictWords = [...]string{Accept: "accept", Drop: "drop", Return: "return", Continue: "continue", Jump: "jump", Goto: "goto"}

func (v *Verdict) append(b []byte) []byte {
	b = append(b, verdictWords[v.Kind]...)
	if v.Chain != "" {
		b = append(append(b, ' '), v.Chain...)
	}
	return b
}

func (r *Reject) append(b []byte) []byte {
	b = append(b, "reject"...)
	if r.With != "" {
		b = append(append(b, " with "...), r.With...)
	}
	return b
}

func (a *Assign) append(b []byte) []byte {
	return a.Right.append(append(a.Left.append(b), " set "...))
}

func (l *Limit) append(b []byte) []byte { return append(b, l.Text...) }

func (l *Log) append(b []byte) []byte {
	b = append(b, "log"...)
	if l.Prefix != "" {
		b = append(append(b, " prefix "...), quote(l.Prefix)...)
	}
	if l.Text != "" {
		b = append(append(b, ' '), l.Text...)
	}
	return b
}

func (n *Note) append(b []byte) []byte { return append(b, n.Text...) }

func (f *Foreign) append(b []byte) []byte { return append(b, f.Text...) }
