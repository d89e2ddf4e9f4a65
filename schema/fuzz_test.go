package schema

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad: any text is a policy or has mistakes with a place and words; never
// a panic, never a Go type's name.
func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("../examples/*/*.hcl")
	for _, name := range files {
		if src, err := os.ReadFile(name); err == nil {
			f.Add(src)
		}
	}
	f.Add([]byte(`{"host": {"external": ["eth0"], "unlisted": "deny"}, "policy": {"p": {"ports": [80], "allow": {"sources": "${any}"}}}}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		if bytes.Contains(src, []byte("range(")) || bytes.Contains(src, []byte("setproduct")) {
			return // these can ask for any amount of memory, as they do elsewhere
		}
		_, diags := Load("-", Options{Stdin: bytes.NewReader(src)})
		for _, d := range diags {
			if d.Summary == "" || d.Detail == "" {
				t.Errorf("a mistake without words: %+v", d)
			}
			for _, word := range []string{"cty.", "hcl.", "schema.", "%!", "interface {}", "goroutine"} {
				if strings.Contains(d.Summary+d.Detail, word) && !bytes.Contains(src, []byte(word)) {
					t.Errorf("a message speaks Go: %s: %s", d.Summary, d.Detail)
				}
			}
		}
	})
}

// FuzzParseList: the fast way of reading a line and the thorough one agree.
func FuzzParseList(f *testing.F) {
	for _, line := range []string{"10.0.0.0/8", "10.0.0.1/8", "01.2.3.4", "1.2.3.4 # x", "256.1.1.1", "1.2.3.4/33", "2001:db8::/32", "a-b", "1.1.1.1-1.1.1.9", "\ufeff1.2.3.4", "1.2.3.4/032"} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		fast, ok := fastCIDR(line)
		slow, problem := parseEntry(line)
		if ok && (problem != nil || fast != slow) {
			t.Errorf("%q: fast %v, thorough %v (%v)", line, fast, slow, problem)
		}
		list, diags := ParseList("list.txt", line)
		if len(list.Spans)+len(diags) > bytes.Count(line, []byte("\n"))+2 {
			t.Errorf("%q: more entries than lines", line)
		}
	})
}
