package emit

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/internal/fuzzing"
	"github.com/seawall/seawall/compiler/packet"
)

// Whatever a boot file has, Splice either rejects it, or returns a file from which it
// takes its own block out again.
func FuzzSplice(f *testing.F) {
	for _, pattern := range []string{"../../examples/*/compiled/iptables", "../../testdata/import/*.rules", "../../testdata/captures/*.iptables-save"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			if src, err := os.ReadFile(name); err == nil {
				f.Add(src, true)
			}
		}
	}
	f.Add([]byte("*filter\r\n:INPUT DROP\r\n-I FORWARD -j DROP\r\nCOMMIT"), false)
	f.Add([]byte(beginMark+"\n*filter\nCOMMIT\n"+endMark+"\n"), true)
	f.Fuzz(func(t *testing.T, base []byte, toHost bool) {
		fuzzing.Bound(t, len(base))
		c := testChains(toHost)
		c.Shared = len(base)%2 == 1
		for _, family := range packet.Families {
			once, _, err := Splice(base, c, family)
			if err != nil {
				continue
			}
			twice, _, err := Splice(once.Bytes, c, family)
			if err != nil {
				t.Fatalf("Splice rejects its own file: %v\n%q\n%q", err, base, once.Bytes)
			}
			if !bytes.Equal(once.Bytes, twice.Bytes) {
				t.Fatalf("spliced twice:\n%q\nonce:\n%q\nbase %q", twice.Bytes, once.Bytes, base)
			}
		}
		for _, l := range Lost(base, c) {
			if l.Number < 1 || l.Number > bytes.Count(base, []byte("\n"))+1 || !bytes.Contains(base, []byte(l.Text)) {
				t.Fatalf("%+v is not in %q", l, base)
			}
		}
	})
}

// Any text is either rejected or a script that compile would write, with nothing
// except rules in it that differs.
func FuzzReadScript(f *testing.F) {
	names, _ := filepath.Glob("../../examples/*/compiled/seawall.sh")
	for _, name := range names {
		if src, err := os.ReadFile(name); err == nil {
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		fuzzing.Bound(t, len(src))
		s, err := ReadScript(src)
		if err != nil {
			return
		}
		for _, family := range packet.Families {
			text := string(s.Rules(family))
			if !strings.HasPrefix(text, "*filter\n") || strings.Count("\n"+text, "\n*") != 1 || s.Before(family) > bytes.Count(src, []byte("\n")) {
				t.Fatalf("%v, after line %d:\n%s", family, s.Before(family), text)
			}
		}
	})
}
