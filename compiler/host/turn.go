package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/seawall/seawall/compiler/emit"
)

// Turn is the exclusive right to change the host's rules. Any process that can still roll rules
// back holds the lock on the folder, so a later apply cannot come in between.
type Turn struct {
	// Settled describes how an earlier, abandoned apply was settled; "" if there was none.
	Settled string

	host *Host
	dir  string
	lock *os.File
}

// folderPrefix is the prefix of rollback folders.
const folderPrefix = "apply-"

// settleWithin is the time limit for rolling back an earlier apply. That a seawall process was
// killed is noticed within noticed.
const (
	settleWithin = 90 * time.Second
	noticed      = time.Second
)

// Begin takes the turn in a folder such as /run/seawall. An earlier apply whose seawall has ended
// and that is waiting for confirmation is rolled back first. If another seawall is running, the
// error says so.
func (h *Host) Begin(dir string) (*Turn, error) {
	path := filepath.Join(dir, "lock")
	err := os.MkdirAll(dir, 0o700)
	var f *os.File
	if err == nil {
		f, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot create the lock and the rollback files in %s, so nothing was changed: %w", dir, err)
	}
	t := &Turn{host: h, dir: dir, lock: f}
	if err := t.take(path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := t.clean(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return t, nil
}

// take takes the lock, after telling an abandoned apply to roll back.
func (t *Turn) take(path string) error {
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := tryLock(t.lock)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return fmt.Errorf("cannot lock %s: %w", path, err)
		case time.Since(start) > settleWithin:
			return fmt.Errorf("another seawall apply is running (%s is locked)", path)
		}
		folder := t.holder()
		alive := folder == "" || exists(filepath.Join(folder, "here"))
		switch {
		case alive && time.Since(start) < noticed:
		case alive && (folder == "" || !exists(filepath.Join(folder, "asked"))):
			return fmt.Errorf("another seawall apply is running (%s is locked)", path)
		case alive:
			return fmt.Errorf("another seawall apply is waiting for confirmation. To keep it: touch %s. To roll it back: touch %s", filepath.Join(folder, "confirmed"), filepath.Join(folder, "back"))
		case exists(filepath.Join(folder, "confirmed")), exists(filepath.Join(folder, "back")):
		default:
			if err := os.WriteFile(filepath.Join(folder, "back"), nil, 0o600); err == nil && exists(filepath.Join(folder, "go")) {
				t.Settled = "An earlier apply was interrupted before it was confirmed: the previous rules were restored."
			}
		}
	}
}

// holder is the folder of the apply that holds the lock: each apply removes the folders of others
// before it takes its turn. "" while there is none.
func (t *Turn) holder() string {
	folders, _ := filepath.Glob(filepath.Join(t.dir, folderPrefix+"*")) // the pattern is valid
	for _, f := range folders {
		if !strings.HasSuffix(f, ".new") { // still being created
			return f
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// filled reports whether a file exists and is not empty.
func filled(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() > 0
}

// clean removes what earlier applies left behind, now that none is running. If one was loaded but
// neither confirmed nor rolled back, its process was lost too: it is rolled back here. So is one
// whose rollback failed, since the cause may be gone.
func (t *Turn) clean() error {
	folders, _ := filepath.Glob(filepath.Join(t.dir, folderPrefix+"*")) // the pattern is valid
	for _, folder := range folders {
		has := func(name string) bool { return exists(filepath.Join(folder, name)) }
		if failed := filled(filepath.Join(folder, "rolled-back")); failed || has("asked") && !has("confirmed") && !has("rolled-back") {
			if err := t.host.run(filepath.Join(folder, "back.sh")); err != nil {
				return fmt.Errorf("an earlier apply was neither confirmed nor rolled back, and its previous rules, in %s, do not load: %w.\nFix the cause and run apply again; or remove that folder to keep the current rules", folder, err)
			}
			t.Settled = "An earlier apply was interrupted before it was confirmed: the previous rules were restored."
			if failed {
				t.Settled = "The rules from before an earlier apply, which could not be restored at the time, are now restored."
			}
		}
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
	}
	return nil
}

// End releases the turn.
func (t *Turn) End() { _ = t.lock.Close() }

// Remember records that Seawall loaded rules. If that fails, the earlier record stays.
func (t *Turn) Remember(rules Record) error {
	for name, text := range rules {
		if err := emit.Replace(filepath.Join(t.dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
