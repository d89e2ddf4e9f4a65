package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// avoided are phrases that the text of Seawall does not use. The "_" stands for a
// space, so that this file does not match itself.
var avoided = []string{
	"rules_of_before", "rules_of_now", "men" + "d(?:s|ed|ing)?", "tells?_whether", "made_by_seawall_from",
	"a_value_unknown", "circle_of_names", "is_no_port", "is_no_CIDR", "in_IPv6_clothes", "a_host_and_boot",
	"holds?_after_a_reboot", "may_hold_or_not", "means?_the_policy",
}

var (
	avoidedPhrase = regexp.MustCompile(`(?i)\b(?:` + strings.ReplaceAll(strings.Join(avoided, "|"), "_", " ") + `)\b`)
	avoidedDoc    = regexp.MustCompile(`^// \w+ gives\b`)
)

// spoken reports what a line of a file has of avoided phrases; "" when nothing.
func spoken(name, line string) string {
	if name == "compiler/emit/write.go" && strings.HasPrefix(line, "var madeBy = ") {
		return "" // the mark of files from before version 2 must still be recognised
	}
	if filepath.Ext(name) == ".go" {
		if found := avoidedDoc.FindString(line); found != "" {
			return found
		}
	}
	return avoidedPhrase.FindString(line)
}

func TestSpoken(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"a.md", "Tells" + " whether", "Tells" + " whether"},
		{"a.md", "Amended and recommended", ""},
		{"a.go", "// F " + "gives the port.", "// F " + "gives"},
		{"a.md", "// F " + "gives the port.", ""},
	} {
		if got := spoken(c.name, c.line); got != c.want {
			t.Errorf("%s: %q: %q, want %q", c.name, c.line, got, c.want)
		}
	}
}

// Every text file of the repository keeps to the words agreed on.
func TestAvoidedPhrases(t *testing.T) {
	root := os.DirFS("../..")
	read := 0
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if entry.Name() == ".git" || strings.HasSuffix(name, "testdata/fuzz") || strings.HasSuffix(name, "testdata/captures") {
				return fs.SkipDir
			}
			return nil
		case !entry.Type().IsRegular(), entry.Name() == "go.sum", filepath.Ext(name) == ".json" && strings.Contains(name, "sarif"):
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil || bytes.IndexByte(text, 0) >= 0 {
			return err
		}
		read++
		for i, line := range strings.Split(string(text), "\n") {
			if found := spoken(name, line); found != "" {
				t.Errorf("%s:%d: avoid %q", name, i+1, found)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if read < 100 {
		t.Errorf("read only %d files", read)
	}
}
