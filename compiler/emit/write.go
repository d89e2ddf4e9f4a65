package emit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2/maybe"
)

// Changed gives the files of a folder that Write would change, by name.
func Changed(dir string, files []File) ([]string, error) {
	var names []string
	for _, f := range files {
		same, err := holds(filepath.Join(dir, f.Name), f.Bytes)
		if err != nil {
			return nil, err
		}
		if !same {
			names = append(names, f.Name)
		}
	}
	return names, nil
}

// holds reports whether a file is there with these bytes.
func holds(name string, want []byte) (bool, error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case info.Mode().IsRegular() && info.Size() != int64(len(want)):
		return false, nil
	}
	got, err := os.ReadFile(name)
	return bytes.Equal(got, want), err
}

// Write writes the files into a folder, which it makes when it is missing, and
// gives the names of those that changed. Each file changes at one moment: a
// crash leaves the old one or the new one. (Windows has no such rename; there
// a file is written in place.)
func Write(dir string, files []File) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	names, err := Changed(dir, files)
	if err != nil {
		return nil, err
	}
	changed := map[string]bool{}
	for _, n := range names {
		changed[n] = true
	}
	for _, f := range files {
		if !changed[f.Name] {
			continue
		}
		// Boot files are root's alone where distributions keep them. A file
		// that is there keeps its mode.
		mode := fs.FileMode(0o600)
		if f.Executable {
			mode = 0o755
		}
		if info, err := os.Stat(filepath.Join(dir, f.Name)); err == nil {
			mode = info.Mode().Perm()
		}
		if err := maybe.WriteFile(filepath.Join(dir, f.Name), f.Bytes, mode); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return names, nil
}
