package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// gitSides reads a path as it is at a revision, and as it is now. Variable files
// that are part of the repository are read from the revision too.
func (f *diffFlags) gitSides(c *cobra.Command, path string) (before, after *diffSide, err error) {
	if path == "-" {
		return nil, nil, fmt.Errorf("--git needs a path, and standard input has no revision")
	}
	top, inside, err := gitPlace(path)
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "seawall-diff")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := gitExtract(top, f.git, dir); err != nil {
		return nil, nil, err
	}
	old := filepath.Join(dir, inside)
	if _, err := os.Stat(old); errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s has no %s", f.git, inside)
	}
	var varFiles []string
	for _, v := range f.varFiles {
		if t, in, err := gitPlace(v); err == nil && t == top {
			if then := filepath.Join(dir, in); fileExists(then) {
				v = then
			}
		}
		varFiles = append(varFiles, v)
	}
	if before, err = f.side(c, old, varFiles); err != nil {
		return nil, nil, err
	}
	after, err = f.side(c, path, f.varFiles)
	return before, after, err
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// gitPlace finds the repository of a path, and the path inside it.
func gitPlace(path string) (top, inside string, err error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return "", "", err
	}
	if full, err = filepath.EvalSymlinks(full); err != nil {
		return "", "", err
	}
	dir := full
	if info, err := os.Stat(full); err == nil && !info.IsDir() {
		dir = filepath.Dir(full)
	}
	out, err := git(dir, "rev-parse", "--show-toplevel")
	if err != nil {
		return "", "", err
	}
	top = filepath.FromSlash(strings.TrimSpace(string(out)))
	inside, err = filepath.Rel(top, full)
	return top, inside, err
}

// git runs git in a folder. Its error is git's own message.
func git(dir string, args ...string) ([]byte, error) {
	c := exec.Command("git", append([]string{"-C", dir}, args...)...)
	var errOut bytes.Buffer
	c.Stderr = &errOut
	out, err := c.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("--git needs the program git, which is not installed")
	}
	if err != nil {
		return nil, fmt.Errorf("git %s: %s", args[0], strings.TrimPrefix(strings.TrimSpace(errOut.String()), "fatal: "))
	}
	return out, nil
}

// gitExtract writes the files of a revision into a folder. The whole tree, for
// a policy may name list files anywhere in it.
func gitExtract(top, revision, dir string) error {
	if strings.HasPrefix(revision, "-") {
		return fmt.Errorf("--git %s is no revision", revision)
	}
	out, err := git(top, "archive", "--format=tar", revision)
	if err != nil {
		return err
	}
	for r := tar.NewReader(bytes.NewReader(out)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || !filepath.IsLocal(h.Name) {
			continue
		}
		name := filepath.Join(dir, h.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(name, text, 0o600); err != nil {
			return err
		}
	}
}
