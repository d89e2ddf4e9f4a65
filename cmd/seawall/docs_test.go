package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const docsFolder = "../../examples/docs"

// The documentation in the repository is what the program writes now.
func TestDocsAreTrue(t *testing.T) {
	files, err := markdownPages(rootCommand())
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.RemoveAll(docsFolder); err != nil {
			t.Fatal(err)
		}
		if code := run([]string{"docs", docsFolder}, nil, os.Stdout, os.Stderr); code != 0 {
			t.Fatal("seawall docs failed")
		}
	}
	found := 0
	err = filepath.WalkDir(docsFolder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		found++
		name, _ := filepath.Rel(docsFolder, path)
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.Equal(text, files[filepath.ToSlash(name)]) {
			t.Errorf("%s is not what the program says; look at the change, then go test ./cmd/seawall -update", path)
		}
		return nil
	})
	if err != nil || found != len(files) {
		t.Errorf("%d pages of %d, %v", found, len(files), err)
	}
}

var link = regexp.MustCompile(`\]\(([^)#]+)\)`)

// Every link between pages leads somewhere, the README's too.
func TestLinksLeadSomewhere(t *testing.T) {
	pages := []string{"../../README.md"}
	err := filepath.WalkDir(docsFolder, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".md") {
			pages = append(pages, path)
		}
		return err
	})
	if err != nil || len(pages) < 10 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, p := range pages {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllSubmatch(text, -1) {
			to := string(m[1])
			if strings.Contains(to, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(p), to)); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", p, to)
			}
		}
	}
}

// The man pages are ones that man shows without a complaint.
func TestManPages(t *testing.T) {
	dir := t.TempDir()
	if code := run([]string{"docs", dir, "--format", "man"}, nil, os.Stdout, os.Stderr); code != 0 {
		t.Fatal("seawall docs failed")
	}
	pages, _ := filepath.Glob(dir + "/*.1")
	if len(pages) < 10 {
		t.Fatalf("%d man pages", len(pages))
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("this test needs groff, and CI must have it")
		}
		t.Skip("this test needs groff")
	}
	for _, p := range pages {
		c := exec.Command(groff, "-man", "-Tutf8", "-ww", "-z", p)
		if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", filepath.Base(p), err, out)
		}
	}
}
