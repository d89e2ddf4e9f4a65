package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const readme = "../../README.md"

// fence is a block of code of a Markdown page: its language, and its text.
var fence = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// Every command of the README's console blocks prints what the README shows, with the
// files that the blocks above it name in their first line. A line "…" stands for any
// number of lines. -update writes what the commands print.
//
// The commands for a live host are run by the lab (TestReadmeClosesAHost).
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("this test needs a shell")
	}
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("more.txt", "198.51.101.7\n") // a list file that the language's example names
	commands, files := 0, 0
	page := fence.ReplaceAllStringFunc(string(text), func(block string) string {
		m := fence.FindStringSubmatch(block)
		switch m[1] {
		case "hcl":
			first, _, _ := strings.Cut(m[2], "\n")
			name, ok := strings.CutPrefix(first, "# ")
			if !ok || !strings.HasSuffix(name, ".hcl") {
				t.Errorf("a block does not begin with the name of its file: %q", first)
			}
			write(name, m[2])
			files++
		case "console":
			command, shown, _ := strings.Cut(m[2], "\n")
			commands++
			said := runShown(t, dir, strings.TrimPrefix(command, "$ "))
			if !shows(shown, said) {
				if *update {
					return "```console\n" + command + "\n" + said + "```"
				}
				t.Errorf("%s\nprints\n%s\nthe README shows\n%s", command, said, shown)
			}
		}
		return block
	})
	if commands < 4 || files < 3 {
		t.Errorf("%d commands and %d files were found", commands, files)
	}
	if *update {
		if err := os.WriteFile(readme, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// runShown returns what a command prints, as a reader sees it.
func runShown(t *testing.T, dir, command string) string {
	t.Helper()
	c := exec.Command("sh", "-c", command)
	c.Dir = dir
	c.Env = append(os.Environ(), "NO_COLOR=1")
	out, err := c.CombinedOutput()
	if e, failed := err.(*exec.ExitError); err != nil && (!failed || e.ExitCode() != exitDiffers) {
		t.Errorf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// shows reports whether shown is said, where a line "…" stands for any lines.
func shows(shown, said string) bool {
	parts := strings.Split(shown, "…\n")
	if len(parts) == 1 {
		return shown == said
	}
	rest, ok := strings.CutPrefix(said, parts[0])
	if !ok {
		return false
	}
	for _, p := range parts[1 : len(parts)-1] {
		if _, rest, ok = strings.Cut(rest, p); !ok {
			return false
		}
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// The README's policies are valid and have no findings, and their tests hold.
func TestReadmePoliciesAreClean(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("more.txt", []byte("198.51.101.7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, m := range fence.FindAllSubmatch(text, -1) {
		if string(m[1]) != "hcl" {
			continue
		}
		if err := os.WriteFile("policy.hcl", m[2], 0o644); err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"validate", "fmt --check"} {
			var out, said bytes.Buffer
			if code := run(append(strings.Fields(command), "policy.hcl"), nil, &out, &said); code != 0 || out.Len() > 0 && command != "validate" {
				t.Errorf("seawall %s: exit %d\n%s%s%s", command, code, &out, &said, m[2])
			}
		}
	}
}

// Every file that the README links to is there.
func TestReadmeLinks(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	links := regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllSubmatch(text, -1)
	if len(links) < 15 {
		t.Errorf("only %d links were found", len(links))
	}
	for _, m := range links {
		if _, err := os.Stat(filepath.Join(filepath.Dir(readme), string(m[1]))); err != nil {
			t.Error(err)
		}
	}
}
