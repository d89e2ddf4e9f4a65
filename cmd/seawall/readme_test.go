package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// readme returns the README's blocks of code in a language, in their order.
func readme(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for i, part := range strings.Split(string(text), "```") {
		if i%2 == 1 {
			if code, ok := strings.CutPrefix(part, language+"\n"); ok {
				list = append(list, code)
			}
		}
	}
	return list
}

// The README's first policy compiles to the lines that it shows, each in their order.
func TestReadmeShowsWhatIsCompiled(t *testing.T) {
	policy, shown := readme(t, "hcl")[0], readme(t, "")[0]
	t.Chdir(t.TempDir())
	if err := os.WriteFile("policy.hcl", []byte(policy), 0o644); err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	if code := run([]string{"compile", "policy.hcl"}, nil, &out, &said); code != 0 {
		t.Fatalf("exit %d: %s", code, &said)
	}
	rest := out.String()
	for _, line := range strings.Split(strings.TrimSpace(shown), "\n") {
		if line == "…" {
			continue
		}
		_, after, found := strings.Cut(rest, line+"\n")
		if !found {
			t.Fatalf("the README shows %q, which is not there or not in this place:\n%s", line, &out)
		}
		rest = after
	}
}

// The README's example of the language is valid, has no finding, and passes its own test.
func TestReadmeLanguageByExample(t *testing.T) {
	example := readme(t, "hcl")[1]
	t.Chdir(t.TempDir())
	if err := os.WriteFile("policy.hcl", []byte(example), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("more.txt", []byte("198.51.101.7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"validate", "test"} {
		var out, said bytes.Buffer
		if code := run([]string{command, "policy.hcl"}, nil, &out, &said); code != 0 {
			t.Errorf("seawall %s: exit %d\n%s%s", command, code, &out, &said)
		}
	}
}
