package diff

import (
	"fmt"
	"strings"
	"time"

	"github.com/sergi/go-diff/diffmatchpatch"
)

// around is how many lines that stay are shown around a change.
const around = 3

// Unified is the change of a text as a unified diff with hunks, as diff -u and
// git write it; empty when nothing changed.
func Unified(oldName, newName, before, after string) string {
	if before == after {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", oldName, newName)
	list := editedLines(before, after)
	oldAt, newAt := 1, 1
	for from := 0; from < len(list); {
		start, end, found := nextHunk(list, from)
		if !found {
			break
		}
		skippedOld, skippedNew := sizes(list[from:start])
		oldAt, newAt = oldAt+skippedOld, newAt+skippedNew
		writeHunk(&b, list[start:end], oldAt, newAt)
		oldCount, newCount := sizes(list[start:end])
		oldAt, newAt = oldAt+oldCount, newAt+newCount
		from = end
	}
	return b.String()
}

// Text is a file of one side, whose text is compared.
type Text struct{ Name, Text string }

// Files compares the files of both sides: those of one name, or the only ones.
func Files(before, after []Text) []File {
	var list []File
	for _, old := range before {
		for _, fresh := range after {
			if old.Name == fresh.Name || len(before) == 1 && len(after) == 1 {
				list = append(list, File{Name: fresh.Name, Unified: Unified("old/"+old.Name, "new/"+fresh.Name, old.Text, fresh.Text)})
			}
		}
	}
	return list
}

// line is a line of either text; op is ' ', '-' or '+'.
type line struct {
	op   byte
	text string
}

// editedLines compares two texts line by line. The lines that they begin and
// end with in common are set aside first: most of a large file.
func editedLines(before, after string) []line {
	a, b := splitLines(before), splitLines(after)
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	var list []line
	add := func(op byte, lines []string) {
		for _, l := range lines {
			list = append(list, line{op, l})
		}
	}
	add(' ', a[:head])
	d := diffmatchpatch.New()
	d.DiffTimeout = 3 * time.Second // then a larger difference will do
	x, y, index := d.DiffLinesToRunes(strings.Join(a[head:len(a)-tail], ""), strings.Join(b[head:len(b)-tail], ""))
	for _, part := range d.DiffCharsToLines(d.DiffMainRunes(x, y, false), index) {
		op := map[diffmatchpatch.Operation]byte{diffmatchpatch.DiffDelete: '-', diffmatchpatch.DiffInsert: '+', diffmatchpatch.DiffEqual: ' '}[part.Type]
		add(op, splitLines(part.Text))
	}
	add(' ', a[len(a)-tail:])
	return list
}

// splitLines cuts a text after each newline.
func splitLines(text string) []string {
	list := strings.SplitAfter(text, "\n")
	if list[len(list)-1] == "" {
		list = list[:len(list)-1]
	}
	return list
}

// nextHunk finds the next changes from a line on, with lines around them. Changes
// whose contexts touch are one hunk.
func nextHunk(list []line, from int) (start, end int, found bool) {
	first := from
	for first < len(list) && list[first].op == ' ' {
		first++
	}
	if first == len(list) {
		return 0, 0, false
	}
	last := first
	for i := first; i < len(list) && i-last <= 2*around; i++ {
		if list[i].op != ' ' {
			last = i
		}
	}
	return max(from, first-around), min(len(list), last+1+around), true
}

// sizes counts the lines of the old and of the new text.
func sizes(list []line) (before, after int) {
	for _, l := range list {
		if l.op != '+' {
			before++
		}
		if l.op != '-' {
			after++
		}
	}
	return before, after
}

func writeHunk(b *strings.Builder, list []line, oldStart, newStart int) {
	oldCount, newCount := sizes(list)
	fmt.Fprintf(b, "@@ -%s +%s @@\n", lineRange(oldStart, oldCount), lineRange(newStart, newCount))
	for _, l := range list {
		b.WriteByte(l.op)
		b.WriteString(l.text)
		if !strings.HasSuffix(l.text, "\n") {
			b.WriteString("\n\\ No newline at end of file\n")
		}
	}
}

// lineRange is a hunk's place; of nothing it is the line before.
func lineRange(start, count int) string {
	switch count {
	case 0:
		return fmt.Sprintf("%d,0", start-1)
	case 1:
		return fmt.Sprint(start)
	}
	return fmt.Sprintf("%d,%d", start, count)
}
