package compiler_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/schema"
)

// hostile are texts that have once been syntax somewhere.
var hostile = []string{"web", "a\nb", "COMMIT", "\nCOMMIT\n", "-j ACCEPT", `" -j ACCEPT "`, `\`, `\"`, `it's`, "$(reboot)", "`reboot`",
	"${set.s}", "%{ if true }", "\xff\xfe", "SEAWALL_V4", "\nSEAWALL_V4\nreboot\n", "# seawall: end", "a#b", "\x00", "\x1b[31m", "*filter", ":INPUT ACCEPT",
	"é", "a b", strings.Repeat("x", 300), "10.0.0.1\n-A DOCKER-USER -j ACCEPT", "any", "!", "eth0 -j ACCEPT"}

// rule is the whole grammar of a line that a policy can put into a file.
var rule = regexp.MustCompile(`^(#[ -~]*|\*filter|COMMIT|:[A-Z-]+ (-|ACCEPT) \[0:0\]|-A (INPUT|FORWARD|DOCKER-USER|SEAWALL-[A-Z]+) [ -~]*)$`)

// nftLine is the same for a file of nft: outside of comments and quotes, the words of
// the language and names.
var nftLine = regexp.MustCompile(`^(#[ -~]*|(delete )?table inet seawall|table inet seawall \{|}|)$|^\t(# [ -~]*|comment "[ -!#-~]*"|(set|map|chain) [A-Za-z0-9_./-]+ \{|})$|^\t\t\t?([A-Za-z0-9 .,:;/{}@!=&|_-]|"[ -!#-~]*")*$`)

// FuzzTexts puts people's texts wherever the language takes one, and holds
// every file that comes out against the grammar above. A text ends in an error
// or stays a text.
func FuzzTexts(f *testing.F) {
	for i, s := range hostile {
		f.Add(s, hostile[(i+1)%len(hostile)], hostile[(i+5)%len(hostile)], "10.0.0.1", "eth0")
		f.Add("p", "", s, "10.0.0.1", "eth0")
		f.Add("p", s, "log", "10.0.0.1", "eth0")
		f.Add("p", "d", "log", s, "eth0")
		f.Add("p", "d", "log", "10.0.0.1", s)
	}
	dir := f.TempDir()
	plain := scripts(f, compileTexts(f, dir, "p", "d", "log", "10.0.0.1", "eth0"))
	f.Fuzz(func(t *testing.T, name, description, log, line, external string) {
		files := compileTexts(t, dir, name, description, log, line, external)
		for _, file := range files {
			if file.Executable || file.Hook {
				continue
			}
			grammar := rule
			if file.NFT {
				grammar = nftLine
			}
			for _, text := range strings.Split(strings.TrimSuffix(string(file.Bytes), "\n"), "\n") {
				if !grammar.MatchString(text) {
					t.Errorf("%s has the line %q", file.Name, text)
				}
			}
		}
		if files != nil && scripts(t, files) != plain {
			t.Errorf("the script itself differs:\n%s", scripts(t, files))
		}
	})
}

// compileTexts compiles one policy with the texts in it, in every format; nil
// when the policy has a mistake.
func compileTexts(t testing.TB, dir, name, description, log, line, external string) []emit.File {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "list.txt"), []byte("192.0.2.1\n"+line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{
		"host": map[string]any{"external": []string{external}, "unlisted": "deny"},
		"set":  map[string]any{"s": map[string]any{"files": []string{"list.txt"}}},
		"policy": map[string]any{name: map[string]any{"ports": []int{80}, "description": description,
			"deny": []any{map[string]any{"sources": []string{"${set.s}"}, "log": log}}}},
		"forward": map[string]any{name: map[string]any{"from": external, "to": "lan0"}},
		"test":    map[string]any{name: map[string]any{"to": []int{80}, "deny": "any"}},
	})
	if err != nil {
		return nil
	}
	path := filepath.Join(dir, "policy.hcl.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, diags := schema.Load(path, schema.Options{})
	if diags.HasErrors() {
		return nil
	}
	var files []emit.File
	for _, format := range emit.Formats() {
		out, err := compiler.Compile(context.Background(), loaded.Document, compiler.Options{Format: format, Source: "policy.hcl.json", Comments: lower.Rules})
		var unfit *compiler.UnfitError
		if errors.As(err, &unfit) {
			continue // a log prefix that nft cannot keep
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, out.Files...)
	}
	return files
}

// scripts is a script without the rules in its here-documents, which have to
// be rules.
func scripts(t testing.TB, files []emit.File) string {
	t.Helper()
	for _, f := range files {
		if !f.Executable && !f.Hook {
			continue
		}
		var kept []string
		end := ""
		for _, line := range strings.Split(string(f.Bytes), "\n") {
			switch {
			case end != "" && line == end:
				end = ""
			case end != "":
				if !rule.MatchString(line) {
					t.Errorf("a here-document has the line %q", line)
				}
				continue
			case strings.HasPrefix(line, "\tcat <<'"):
				end = strings.TrimSuffix(strings.TrimPrefix(line, "\tcat <<'"), "'")
			}
			kept = append(kept, line)
		}
		return strings.Join(kept, "\n")
	}
	return ""
}
