package schema

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
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
		bound(t, len(src))
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
		bound(t, len(line))
		fast, ok := fastCIDR(line)
		slow, problem := parseEntry(line)
		if ok && (problem != nil || fast != slow) {
			t.Errorf("%q: fast %v, thorough %v (%v)", line, fast, slow, problem)
		}
		list, diags := ParseList("list.txt", line)
		if list.Len()+len(diags) > bytes.Count(line, []byte("\n"))+2 {
			t.Errorf("%q: more entries than lines", line)
		}
	})
}

// FuzzVariables: any text is a variable file or has mistakes with words.
func FuzzVariables(f *testing.F) {
	f.Add([]byte("clients = [\"10.0.0.0/8\"]\n"), false)
	f.Add([]byte("{\"clients\": [\"10.0.0.0/8\"]}"), true)
	policy := "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\nvariable \"clients\" {\n  type = list(string)\n}\npolicy \"p\" {\n  ports = [80]\n  allow { sources = var.clients }\n}\n"
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, src []byte, json bool) {
		bound(t, len(src))
		path := filepath.Join(dir, "x.vars.hcl")
		if json {
			path = filepath.Join(dir, "x.vars.json")
		}
		if err := os.WriteFile(path, src, 0o600); err != nil {
			t.Fatal(err)
		}
		_, diags := Load("-", Options{Stdin: strings.NewReader(policy), VarFiles: []string{path}})
		for _, d := range diags {
			if d.Summary == "" || d.Detail == "" {
				t.Errorf("a mistake without words: %+v", d)
			}
		}
	})
}

// FuzzFormat: what is formatted stays as it is, and has the same meaning.
func FuzzFormat(f *testing.F) {
	files, _ := filepath.Glob("../examples/*/*.hcl")
	for _, name := range files {
		if src, err := os.ReadFile(name); err == nil {
			f.Add(src, false)
		}
	}
	f.Add([]byte(`{"host": {"external": ["eth0"]}}`), true)
	f.Fuzz(func(t *testing.T, src []byte, json bool) {
		bound(t, len(src))
		name := "x.hcl"
		if json {
			name = "x.hcl.json"
		}
		once, diags := Format(name, src)
		if diags.HasErrors() {
			return
		}
		twice, diags := Format(name, once)
		if diags.HasErrors() {
			t.Fatalf("%q is formatted to %q, which has a mistake: %v", src, once, diags)
		}
		if !bytes.Equal(once, twice) {
			t.Fatalf("formatted twice:\n%q\nonce:\n%q\ninput %q", twice, once, src)
		}
	})
}

// bound skips an input that is too large, and fails the test if one takes over 5 seconds, or
// over 512 MiB in all.
func bound(t *testing.T, size int) {
	t.Helper()
	if size > 64<<10 {
		t.Skip("too large")
	}
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	t.Cleanup(func() {
		var after runtime.MemStats
		if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 512<<20 {
			t.Errorf("this input takes %d MiB", (after.TotalAlloc-before.TotalAlloc)>>20)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("this input takes %s", d)
		}
	})
}
