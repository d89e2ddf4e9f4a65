package diff

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A unified diff, applied to the old text, gives the new one; its hunks say the
// right places, show at most three lines of context, and do not touch.
func TestUnified(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string {
			lines := rapid.SliceOfN(rapid.SampledFrom([]string{"a\n", "b\n", "c\n", "d\n", "\n", "-x\n", "+x\n", "@@ x\n"}), 0, 40).Draw(t, name)
			s := strings.Join(lines, "")
			if rapid.Bool().Draw(t, name+" without a final newline") {
				s = strings.TrimSuffix(s, "\n")
			}
			return s
		}
		before := text("before")
		after := text("after")
		if rapid.Bool().Draw(t, "a small change") {
			after = strings.Replace(before, "c\n", "e\n", 1)
		}
		got := Unified("old", "new", before, after)
		if (got == "") != (before == after) {
			t.Fatalf("%q to %q: %q", before, after, got)
		}
		if diff := cmp.Diff(after, applied(t, before, got)); diff != "" {
			t.Fatalf("%q to %q by\n%s:\n%s", before, after, got, diff)
		}
	})
}

// applied applies a unified diff, strictly.
func applied(t *rapid.T, before, unified string) string {
	old := splitLines(before)
	var out []string
	at := 0 // lines of old that are done
	lines := splitLines(unified)
	for i := 0; i < len(lines); i++ {
		l := lines[i]
		if i < 2 {
			continue
		}
		if strings.HasPrefix(l, "\\") {
			if lines[i-1][0] != '-' {
				out[len(out)-1] = strings.TrimSuffix(out[len(out)-1], "\n")
			}
			continue
		}
		if strings.HasPrefix(l, "@@") {
			var from, to string
			if _, err := fmt.Sscanf(l, "@@ -%s +%s @@", &from, &to); err != nil {
				t.Fatalf("hunk %q: %v", l, err)
			}
			start, count := 0, 1
			if n, _ := fmt.Sscanf(from, "%d,%d", &start, &count); n == 0 {
				t.Fatalf("hunk %q", l)
			}
			if count > 0 {
				start--
			}
			if start < at {
				t.Fatalf("hunk %q starts before line %d", l, at)
			}
			out = append(out, old[at:start]...)
			at = start
			continue
		}
		switch l[0] {
		case '+':
			out = append(out, l[1:])
			continue
		case ' ':
			out = append(out, l[1:])
		}
		if strings.TrimSuffix(old[at], "\n") != strings.TrimSuffix(l[1:], "\n") {
			t.Fatalf("line %d is %q, and the diff says %q", at, old[at], l)
		}
		at++
	}
	return strings.Join(append(out, old[at:]...), "")
}
