//go:build unix

package emit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
)

// Replace replaces a file's content atomically: a crash leaves the old or the
// new. A file that is there keeps its owner and its mode, a new one gets mode. A
// symbolic link stays, and what it names changes. The file is written beside its
// place first, under a name with a dot in front; one that an earlier run was
// killed at is removed.
func Replace(path string, content []byte, mode fs.FileMode) error {
	file, err := prepare(path, content, mode, false)
	if err != nil {
		return err
	}
	defer func() { _ = file.Cleanup() }()
	return file.CloseAtomicallyReplace()
}

// prepare writes and syncs the file that is to replace another, so that nothing but
// the rename is left to do: a disk that is full is full now. Whoever may read a file
// that runs may run it.
func prepare(path string, content []byte, mode fs.FileMode, runs bool) (pending, error) {
	if err := CheckRegular(path); err != nil {
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	} else if target, err := os.Readlink(path); err == nil { // of a file that is not there yet
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	dir := filepath.Dir(path)
	removeLeft(dir, filepath.Base(path))
	file, err := renameio.NewPendingFile(path, renameio.WithTempDir(dir), renameio.WithStaticPermissions(mode), renameio.WithExistingPermissions())
	if err != nil {
		return nil, err
	}
	_, err = file.Write(content)
	if err == nil {
		err = keepOwner(file.File, path)
	}
	if err == nil && runs {
		err = makeRunnable(file.File)
	}
	if err != nil {
		_ = file.Cleanup() // of the error before it there is more to say
		return nil, err
	}
	return file, nil
}

// syncEach makes sure that each file is on the disk before the first takes its place.
func syncEach(files []pending) error {
	for _, f := range files {
		if p, ok := f.(*renameio.PendingFile); ok {
			if err := p.Sync(); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepOwner sets the owner and group of a file to those of the one it replaces.
func keepOwner(file *os.File, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	was, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(was.Uid) == os.Geteuid() && int(was.Gid) == os.Getegid() {
		return nil
	}
	if err := file.Chown(int(was.Uid), int(was.Gid)); err != nil {
		return err
	}
	return file.Chmod(info.Mode()) // chown takes the set-user-ID bits away
}

// makeRunnable lets those run a file who may read it.
func makeRunnable(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	m := info.Mode()
	return file.Chmod(m | m&0o444>>2)
}

// stale is the age at which a file that was to replace another is no longer
// written by anybody.
const stale = 10 * time.Minute

// removeLeft removes what runs that were killed left beside a file. That it
// cannot is no reason not to write.
func removeLeft(dir, name string) {
	left, _ := filepath.Glob(filepath.Join(dir, "."+name+"[0-9]*"))
	for _, path := range left {
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > stale {
			_ = os.Remove(path)
		}
	}
}
