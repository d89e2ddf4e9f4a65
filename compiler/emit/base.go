package emit

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

const (
	beginMark = "# seawall: begin"
	endMark   = "# seawall: end"
)

// Splice puts Seawall's chains into an existing boot file and
// keeps every other byte: other tables, rules, comments, line endings, even a
// missing final newline. Doing it again changes nothing.
//
// The chains and the jumps to them are in one marked block before the first
// rule of the filter table, so that the jumps come first in FORWARD and INPUT
// whatever those chains end in. Only when the file inserts rules into them with
// -I do the jumps have to be inserted as well, behind all others.
//
// What the file itself has of Seawall's chains (declarations, -N, rules, plain
// jumps) is replaced; the notes name those lines for the user.
func Splice(base []byte, c *Chains, f packet.Family) (File, []string, error) {
	return splice(base, c, f, bootNames, false)
}

// splice is Splice into a file that has one of two names; reloads says that it is also
// loaded with --noflush.
func splice(base []byte, c *Chains, f packet.Family, names [2]string, reloads bool) (File, []string, error) {
	s := &splicer{chains: c, table: c.Table(f), lines: lines(base), end: "\n", generated: Generated(base), reloads: reloads}
	if slices.ContainsFunc(s.lines, func(l string) bool { return !strings.HasPrefix(l, "#") && strings.HasSuffix(l, "\r\n") }) {
		s.end = "\r\n"
		s.note("the file has CRLF line endings, which iptables-restore refuses; they were kept")
	}
	if len(base) > 0 && base[len(base)-1] != '\n' {
		s.note("the file's last line has no newline, which iptables-legacy-restore refuses; it was kept so")
	}
	name := names[0]
	if f == packet.IPv6 {
		name = names[1]
	}
	out, err := s.run()
	return File{Name: name, Bytes: out, Families: []packet.Family{f}, Base: base}, s.notes, err
}

// Line is a line of a base file.
type Line struct {
	Number int
	Text   string
	Block  bool // it is between the marks of a block
}

// Lost returns the rules of a base file that others put into Seawall's chains or
// into a block of Seawall's, and that Splice would remove; nil when there are
// none.
func Lost(base []byte, c *Chains) []Line {
	s := &splicer{chains: c, lines: lines(base), generated: Generated(base)}
	if _, err := s.withoutOwn(); err != nil {
		return nil // Splice says what is wrong with the marks
	}
	lost := slices.DeleteFunc(s.own, func(l Line) bool { return !l.Block && !ownRule(l.Text) })
	if len(lost) == 0 {
		return nil
	}
	return lost
}

// withoutCounters are the words of a rule, without the counters before them.
func withoutCounters(text string) []string {
	fields := strings.Fields(text)
	if len(fields) > 0 && strings.HasPrefix(fields[0], "[") {
		return fields[1:]
	}
	return fields
}

// ownRule reports whether a line puts a rule into one of Seawall's chains.
func ownRule(text string) bool {
	fields := withoutCounters(text)
	return len(fields) > 2 && iptables.Owned(fields[1]) && slices.Contains([]string{"-A", "--append", "-I", "--insert"}, fields[0])
}

// idle is the number of the line from which on DOCKER-USER has no rule except a plain
// RETURN. Docker appends one, and every saved host has it; it says nothing.
func idle(list []string) int {
	for i, line := range slices.Backward(list) {
		fields := withoutCounters(line)
		if len(fields) > 1 && fields[1] == iptables.DockerUser && !plainReturn(fields) && strings.HasPrefix(fields[0], "-") {
			return i + 2
		}
	}
	return 1
}

func plainReturn(fields []string) bool {
	return len(fields) == 4 && fields[0] == "-A" && fields[1] == iptables.DockerUser && (fields[2] == "-j" || fields[2] == "--jump") && fields[3] == "RETURN"
}

type splicer struct {
	chains *Chains
	table  *iptables.Table
	lines  []string // each with its line end
	end    string
	own    []Line // for Seawall's chains outside of the marks, and all that is not Seawall's within them
	notes  []string
	// generated reports whether Seawall generated the whole file, so that its own
	// lines are outside the marks.
	generated bool
	// reloads says that the file is also loaded with --noflush, while Docker runs.
	reloads bool
}

func (s *splicer) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// lines cuts a text into lines that keep their ends.
func lines(text []byte) []string {
	if len(text) == 0 {
		return nil
	}
	list := strings.SplitAfter(string(text), "\n")
	if list[len(list)-1] == "" {
		list = list[:len(list)-1]
	}
	return list
}

func (s *splicer) run() ([]byte, error) {
	kept, err := s.withoutOwn()
	if err != nil {
		return nil, err
	}
	s.noteOwn()
	if s.reloads {
		kept = s.withoutForward(kept)
		s.noteAgain(kept)
	}
	first, commit := filterTable(kept)
	if commit < 0 {
		if first >= 0 {
			return nil, fmt.Errorf("the filter table has no COMMIT, so iptables-restore would not load the file")
		}
		return s.appended(kept), nil
	}
	inserts := insertsIntoHooks(kept[first:commit])
	var out strings.Builder
	for i, line := range kept {
		if i == first {
			s.block(&out, !inserts)
		}
		if i == commit && inserts {
			s.marked(&out, func() { s.writeJumps(&out, "-I") })
		}
		out.WriteString(line)
	}
	return []byte(out.String()), nil
}

// noteOwn notes the lines that withoutOwn has dropped and that Seawall did not write.
func (s *splicer) noteOwn() {
	for _, l := range s.own {
		s.note("line %d was %s: %s", l.Number, map[bool]string{false: "replaced", true: "removed"}[l.Block], l.Text)
	}
}

// withoutOwn drops the lines that are Seawall's: its blocks of an earlier
// time, and what was written by hand for its chains. It remembers the lines that
// Seawall did not write, except for a RETURN that ends DOCKER-USER anyway.
func (s *splicer) withoutOwn() ([]string, error) {
	var kept []string
	table, inside, known, quiet := "", false, writtenIn(s.lines), idle(s.lines)
	for i, line := range s.lines {
		text := strings.TrimRight(line, "\r\n")
		returns := i+1 >= quiet && plainReturn(withoutCounters(text))
		switch {
		case strings.HasPrefix(text, beginMark):
			inside, known = true, writtenIn(s.lines)
			continue
		case strings.HasPrefix(text, endMark):
			if !inside {
				return nil, fmt.Errorf("line %d: %q without its begin", i+1, endMark)
			}
			inside = false
			continue
		case inside:
			if !returns && !known.line(text) {
				s.own = append(s.own, Line{i + 1, text, true})
			}
			continue
		case strings.HasPrefix(text, "*"):
			table = strings.TrimSpace(text[1:])
		case s.chains.Shared && table == "filter" && s.sharedRule(text, &known):
		case table == "filter" && (ownLine(text) || s.generated && text == flushInput):
			if !returns && !(s.generated && known.line(text)) {
				s.own = append(s.own, Line{i + 1, text, false})
			}
			continue
		}
		kept = append(kept, line)
	}
	if inside {
		return nil, fmt.Errorf("%q has no end in the file", beginMark)
	}
	return kept, nil
}

// sharedRule reports whether a line is a rule of others in a shared DOCKER-USER. What an
// earlier policy put there, when the chain was not shared, is Seawall's in a file that it
// generated.
func (s *splicer) sharedRule(text string, known *written) bool {
	fields := withoutCounters(text)
	if !ownRule(text) || fields[1] != iptables.DockerUser {
		return false
	}
	last := fields[len(fields)-1]
	return !strings.HasPrefix(last, iptables.OwnedPrefix) && !(s.generated && known.line(text))
}

// ownLine reports whether a line of the filter table declares or fills one of
// Seawall's chains, or is the plain jump to one.
func ownLine(text string) bool {
	fields := withoutCounters(text)
	if len(fields) == 0 {
		return false
	}
	if name, ok := strings.CutPrefix(fields[0], ":"); ok {
		return iptables.Owned(name)
	}
	if len(fields) < 2 {
		return false
	}
	switch fields[0] {
	case "-N", "--new-chain", "-A", "--append", "-I", "--insert", "-F", "-X":
	default:
		return false
	}
	if iptables.Owned(fields[1]) {
		return true
	}
	return len(fields) == 4 && (fields[2] == "-j" || fields[2] == "--jump") && iptables.Owned(fields[3]) ||
		len(fields) == 5 && fields[3] == "-j" && iptables.Owned(fields[4]) && strings.Trim(fields[2], "0123456789") == ""
}

// filterTable returns the line before which the block goes, the first rule of
// the filter table or its COMMIT, and the line of its COMMIT; -1 for what is
// not there.
func filterTable(list []string) (first, commit int) {
	first, commit = -1, -1
	inside := false
	for i, line := range list {
		text := strings.TrimSpace(line)
		switch {
		case text == "*filter":
			inside = true
		case !inside:
		case text == "COMMIT":
			if first < 0 {
				first = i
			}
			return first, i
		case first < 0 && (strings.HasPrefix(text, "-") && !strings.HasPrefix(text, "-N ") && !strings.HasPrefix(text, "-P ") || strings.HasPrefix(text, "[")):
			first = i
		}
	}
	if inside && first < 0 {
		first = len(list)
	}
	return first, commit
}

func insertsIntoHooks(list []string) bool {
	for _, line := range list {
		fields := strings.Fields(line)
		if len(fields) > 1 && (fields[0] == "-I" || fields[0] == "--insert") && (fields[1] == "INPUT" || fields[1] == "FORWARD") {
			return true
		}
	}
	return false
}

func (s *splicer) line(out *strings.Builder, text string) {
	out.WriteString(text)
	out.WriteString(s.end)
}

func (s *splicer) marked(out *strings.Builder, fill func()) {
	s.line(out, beginMark)
	fill()
	s.line(out, endMark)
}

func (s *splicer) writeJumps(out *strings.Builder, verb string) {
	for _, j := range jumps(s.chains) {
		if s.reloads && fromForward(j) {
			continue
		}
		s.line(out, verb+" "+j)
	}
}

// writeFlush makes INPUT the file's.
func (s *splicer) writeFlush(out *strings.Builder) {
	if s.reloads {
		s.line(out, flushInput)
	}
}

// block writes the declarations, the jumps and the rules.
func (s *splicer) block(out *strings.Builder, withJumps bool) {
	s.marked(out, func() {
		for _, line := range head(s.chains) {
			s.line(out, "# "+line)
		}
		var b bytes.Buffer
		declarations(&b, s.chains, s.table)
		s.text(out, b.Bytes())
		s.writeFlush(out)
		if withJumps {
			s.writeJumps(out, "-A")
		}
		b.Reset()
		iptables.PrintRules(&b, s.table)
		s.text(out, b.Bytes())
	})
}

// text writes lines with the file's own line end.
func (s *splicer) text(out *strings.Builder, text []byte) {
	if s.end == "\n" {
		out.Write(text)
		return
	}
	out.Write(bytes.ReplaceAll(text, []byte("\n"), []byte(s.end)))
}

// appended puts a whole filter table behind a file that has none.
func (s *splicer) appended(kept []string) []byte {
	var out strings.Builder
	for _, line := range kept {
		out.WriteString(line)
	}
	if n := len(kept); n > 0 && !strings.HasSuffix(kept[n-1], "\n") {
		out.WriteString(s.end)
	}
	s.marked(&out, func() {
		s.line(&out, "*filter")
		if !s.reloads {
			for _, name := range []string{"INPUT", "FORWARD", "OUTPUT"} {
				s.line(&out, ":"+name+" ACCEPT [0:0]")
			}
		}
		var b bytes.Buffer
		declarations(&b, s.chains, s.table)
		s.text(&out, b.Bytes())
		s.writeFlush(&out)
		s.writeJumps(&out, "-A")
		b.Reset()
		iptables.PrintRules(&b, s.table)
		s.text(&out, b.Bytes())
		s.line(&out, "COMMIT")
	})
	return []byte(out.String())
}
