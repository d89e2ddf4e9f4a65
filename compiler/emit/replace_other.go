//go:build !unix

package emit

import (
	"io/fs"
	"os"
)

// Replace replaces a file's content. A file that is there keeps its mode, a new
// one gets mode. It is written in place: there is no rename at one moment here.
func Replace(path string, content []byte, mode fs.FileMode) error {
	if err := CheckRegular(path); err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	return os.WriteFile(path, content, mode)
}

// inPlace is content that is written when it replaces what is there.
type inPlace struct {
	path    string
	content []byte
	mode    fs.FileMode
}

func prepare(path string, content []byte, mode fs.FileMode, _ bool) (pending, error) {
	return inPlace{path, content, mode}, nil
}

// onDisk is for systems on which files are written ahead of their places.
func onDisk([]pending) error { return nil }

func (p inPlace) CloseAtomicallyReplace() error { return Replace(p.path, p.content, p.mode) }
func (p inPlace) Cleanup() error                { return nil }
