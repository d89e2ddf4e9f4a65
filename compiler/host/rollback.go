package host

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seawall/seawall/compiler/emit"
)

// Rollback is a load that can be rolled back. Both are done by a separate process in
// its own session, which holds the lock: neither a lost terminal nor the end of
// seawall, for whatever reason, stops them halfway or lets another apply in between.
//
// The folder holds its whole state:
//
//	new.sh       loads the new rules; afterwards the new or the previous rules are loaded
//	back.sh      the way back, with its files (way_back.go, way_back_nft.go)
//	pid          the process that runs new.sh, which leads its own process group
//	well, badly  created when new.sh has ended
//	here         removed by the process when seawall has ended
//	go           created by seawall when all of that exists
//	loaded       created by the process when new.sh is done
//	failed       created instead if it failed, with its output
//	asked        created by seawall when it asks for the confirmation
//	confirmed    created by whoever wants to keep the new rules
//	back         created by whoever wants the previous rules back at once
//	notes        which of the previous rules could not be restored exactly
//	rolled-back  created by the process when back.sh is done, with its output
type Rollback struct {
	Dir   string
	env   []string
	alive *os.File   // the other end of its standard input, which closes when seawall ends
	done  chan error // the end of the process
}

// watch is the process: it creates the folder DIR, loads new.sh, and rolls it back
// unless the file "confirmed" is created within SECONDS; with 0 it is kept unless
// "back" is created. It counts its waits, so clock changes do not matter. The time
// starts when seawall asks, or when seawall is gone. It notices that by the end of its
// standard input, because a zombie process keeps its process ID. It removes the folder
// if nobody else is left to do so. A load that does not end within LIMIT seconds, or
// before "back" is created, is killed.
const watch = `dir=$1 seconds=$2 limit=$3
# Create these files now: the disk may be full later.
if ! mkdir -m 700 "$dir.new" || ! true >"$dir.new/here" || ! true >"$dir.new/said" || ! true >"$dir.new/said-new" || ! true >"$dir.new/notes" ||
	! true >"$dir.new/pid" || ! true >"$dir.new/fine" || ! true >"$dir.new/bad" ||
	! mv "$dir.new" "$dir" || ! cd "$dir"; then
	rm -rf "$dir.new"
	exit 1
fi
exec 4<&0 </dev/null 2>/dev/null
{
	cat <&4 >/dev/null
	rm -f here
} 3>&- 2>/dev/null &
listener=$!
exec 4<&-

# load: runs new.sh, and reports whether it has loaded the rules.
load() {
	apart=
	if command -v setsid >/dev/null 2>&1; then
		apart=setsid
	fi
	{
		if $apart sh -c 'echo "$$" >pid; exec sh ./new.sh' >said-new 2>&1; then
			mv fine well
		else
			mv bad badly
		fi
	} &
	job=$! n=$((limit * 20))
	while [ ! -e well ] && [ ! -e badly ]; do
		alive=yes
		kill -0 "$job" 2>/dev/null || alive=no
		if [ -e well ] || [ -e badly ]; then
			break
		fi
		if [ -e back ] || [ "$n" -le 0 ] || [ "$alive" = no ]; then
			pid=$(cat pid)
			kill -9 "-$pid" 2>/dev/null || kill -9 "$pid"
			wait "$job"
			if [ -e well ]; then
				mv well badly
			fi
			if [ "$alive" = no ]; then
				echo 'the process that loads them was stopped' >>said-new
			else
				echo 'the program that loads them did not end, and was stopped' >>said-new
			fi
			return 1
		fi
		sleep 0.05
		n=$((n - 1))
	done
	[ -e well ]
}

back() {
	for try in 1 2 3 4 5 6; do
		if sh ./back.sh >said 2>&1; then
			true >said
			break
		fi
		sleep "$try"
	done
	mv said rolled-back
}

finish() {
	kill "$listener" 2>/dev/null
	if [ ! -e here ]; then
		cd / && rm -rf "$dir"
	fi
	exit 0
}

while [ ! -e go ] && [ -e here ]; do
	sleep 0.02
done
if [ ! -e go ]; then
	finish
fi
if ! load; then
	back
	mv said-new failed
	finish
fi
mv said-new loaded
while [ ! -e asked ] && [ ! -e back ] && [ ! -e confirmed ] && [ -e here ]; do
	sleep 0.1
done
if [ "$seconds" = 0 ] && [ ! -e back ]; then
	finish
fi
n=$((seconds * 10))
while [ "$n" -gt 0 ] && [ ! -e back ] && [ ! -e confirmed ]; do
	sleep 0.1
	n=$((n - 1))
done
if [ ! -e confirmed ]; then
	back
fi
finish
`

// loadLimit is how many seconds a load may take. Where the rules come back without a
// confirmation, a load that hangs must not be in the way of that for long; the largest
// that were measured took a minute.
func loadLimit(wait time.Duration) int {
	if wait == 0 {
		return 600
	}
	return int(wait.Seconds()) + 120
}

// Prepare saves the current rules, checks that they would load again, and starts the process that
// loads the file and rolls it back unless it is confirmed in time. With 0 it is kept unless
// Back is called.
func (t *Turn) Prepare(by Backend, fresh emit.File, wait time.Duration) (*Rollback, error) {
	r := &Rollback{Dir: filepath.Join(t.dir, fmt.Sprint(folderPrefix, os.Getpid())), env: t.host.env}
	if err := r.start(t, wait); err != nil {
		return nil, fmt.Errorf("the process that loads the rules and can roll them back does not start: %w", err)
	}
	if err := r.fill(t, by, fresh); err != nil {
		return nil, errors.Join(fmt.Errorf("nothing was changed: %w", err), r.End())
	}
	return r, r.make("go")
}

// fill writes the folder, and tests the way back.
func (r *Rollback) fill(t *Turn, by Backend, fresh emit.File) error {
	files, err := by.load(fresh)
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(r.Dir, name), text, 0o700); err != nil {
			return err
		}
	}
	if err := by.keep(r.Dir); err != nil {
		return err
	}
	if err := t.host.run(filepath.Join(r.Dir, "back.sh"), "--test"); err != nil {
		return fmt.Errorf("the current rules could not be restored if this failed: %w", err)
	}
	return nil
}

// start starts the process, and waits until its folder exists.
func (r *Rollback) start(t *Turn, wait time.Duration) error {
	c := exec.Command("sh", "-c", watch, "seawall-apply", r.Dir, fmt.Sprint(int(wait.Seconds())), fmt.Sprint(loadLimit(wait)))
	c.Env, c.SysProcAttr, c.ExtraFiles = t.host.env, session(), []*os.File{t.lock}
	stdin, alive, err := os.Pipe()
	if err != nil {
		return err
	}
	var said bytes.Buffer
	c.Stdin, c.Stderr = stdin, &said
	err = c.Start()
	_ = stdin.Close()
	if err != nil {
		_ = alive.Close()
		return err
	}
	r.alive, r.done = alive, make(chan error, 1)
	go func() {
		r.done <- c.Wait()
		close(r.done)
	}()
	for !exists(r.Dir) {
		select {
		case err := <-r.done:
			_ = alive.Close()
			return errors.New(why(err, said.String()))
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// Loaded waits until the new rules are loaded. The error explains why they are not; the previous
// rules are then in place, or it is a *NotRestoredError. Once interrupted returns true, the
// load is stopped.
func (r *Rollback) Loaded(interrupted func() bool) error {
	for ended, asked := false, false; ; {
		if r.has("loaded") {
			return nil
		}
		if said, err := os.ReadFile(filepath.Join(r.Dir, "failed")); err == nil {
			<-r.done
			return errors.Join(reason(said), r.broughtBack())
		}
		if ended {
			if err := r.broughtBack(); err != nil {
				return err
			}
			return errors.New("the process that loads them was stopped; the previous rules are back")
		}
		if !asked && interrupted() {
			if err := r.make("back"); err != nil {
				return err
			}
			asked = true
		}
		select {
		case <-r.done:
			ended = true
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// reason is why a load failed, as its program said it.
func reason(said []byte) error {
	if text := strings.TrimSpace(string(said)); text != "" {
		return errors.New(text)
	}
	return errors.New("the program that loads the rules failed without a message")
}

func (r *Rollback) has(name string) bool {
	_, err := os.Stat(filepath.Join(r.Dir, name))
	return err == nil
}

func (r *Rollback) make(name string) error {
	return os.WriteFile(filepath.Join(r.Dir, name), nil, 0o600)
}

// Ask starts the time in which the new rules have to be confirmed.
func (r *Rollback) Ask() error { return r.make("asked") }

// Decided reports whether somebody has created a file that keeps the new rules or rolls them
// back: Confirm then returns which.
func (r *Rollback) Decided() bool { return r.has("confirmed") || r.has("back") || r.has("rolled-back") }

// ErrTooLate is returned for a confirmation after the previous rules have been restored.
var ErrTooLate = errors.New("the confirmation came too late")

// Confirm keeps the new rules.
func (r *Rollback) Confirm() error {
	if !r.has("back") {
		if err := r.make("confirmed"); err != nil {
			return err
		}
	}
	<-r.done
	if r.has("rolled-back") {
		return ErrTooLate
	}
	return nil
}

// ErrConfirmed is returned by Back if somebody has confirmed the new rules.
var ErrConfirmed = errors.New("the new rules were confirmed")

// Back restores the previous rules now, and waits until they are in place.
func (r *Rollback) Back() error {
	if err := r.make("back"); err != nil {
		return err
	}
	<-r.done
	if r.has("confirmed") && !r.has("rolled-back") {
		return ErrConfirmed
	}
	return r.broughtBack()
}

// NotRestoredError says that the previous rules could not be restored. The folder has
// them, and the next apply tries again.
type NotRestoredError struct {
	Dir string
	Why string
}

func (e *NotRestoredError) Error() string {
	return fmt.Sprintf("the previous rules were not restored: %s.\nWhat they were is in %s, and the next apply tries again", e.Why, e.Dir)
}

// broughtBack returns a *NotRestoredError if the previous rules were not restored. If the
// process ended before it could, they are restored here.
func (r *Rollback) broughtBack() error {
	said, err := os.ReadFile(filepath.Join(r.Dir, "rolled-back"))
	if err != nil {
		said, err = r.back()
	}
	if text := strings.TrimSpace(string(said)); err != nil || text != "" {
		return &NotRestoredError{r.Dir, cmp.Or(text, fmt.Sprint(err))}
	}
	return nil
}

// back is what the process does, where somebody has killed it: it stops the load if it
// is still at work, and restores the previous rules.
func (r *Rollback) back() (said []byte, err error) {
	if text, err := os.ReadFile(filepath.Join(r.Dir, "pid")); err == nil && !r.has("well") && !r.has("badly") {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && pid > 1 {
			killGroup(pid)
		}
	}
	for try := range 3 {
		time.Sleep(time.Duration(try) * time.Second)
		c := exec.Command("sh", filepath.Join(r.Dir, "back.sh"))
		c.Env = r.env
		if said, err = c.CombinedOutput(); err == nil {
			return nil, r.make("rolled-back")
		}
	}
	return said, err
}

// Notes describes what was not restored exactly as before; "" for nothing.
func (r *Rollback) Notes() string {
	said, err := os.ReadFile(filepath.Join(r.Dir, "notes"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(said))
}

// End waits for the process to end, and removes the folder.
func (r *Rollback) End() error {
	err := r.alive.Close()
	<-r.done
	return errors.Join(err, removed(r.Dir))
}

// removed removes a folder, again where a child of the process that is about to end has
// written into it meanwhile.
func removed(dir string) error {
	err := os.RemoveAll(dir)
	for try := 0; errors.Is(err, syscall.ENOTEMPTY) && try < 20; try++ {
		time.Sleep(50 * time.Millisecond)
		err = os.RemoveAll(dir)
	}
	return err
}
