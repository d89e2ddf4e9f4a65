package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// Rollback is the way back to the previous rules. It is walked by a process of
// its own, which is started before anything changes, in a session of its own: so
// neither a lost terminal nor the end of seawall, of any kind, stops it.
//
// The folder holds all that there is to it:
//
//	new.sh, old.sh  the scripts of both versions; each ends with its rules or with
//	                those that were there
//	watch.sh        waits, then runs old.sh
//	confirmed       made by whoever wants to keep the new rules
//	back            made by whoever wants the old ones at once
//	rolled-back     made by watch.sh when old.sh is done, with what it said
type Rollback struct {
	Dir  string
	done chan error // the end of watch.sh
}

// watch asks each tenth of a second, by a clock that a change of the date does not
// move.
const watch = `#!/bin/sh
# Brings the previous rules back, unless the file "confirmed" is made in time.
cd "$1" || exit 1
n=$(($2 * 10))
while [ "$n" -gt 0 ] && [ ! -e back ]; do
	if [ -e confirmed ]; then
		exit 0
	fi
	sleep 0.1
	n=$((n - 1))
done
if [ -e confirmed ]; then
	exit 0
fi
for try in 1 2 3 4 5 6; do
	if sh ./old.sh >said 2>&1; then
		break
	fi
	sleep "$try"
done
mv said rolled-back
`

// Before is the chains of Seawall that the kernel holds now, as a script's.
func (h *Host) Before() (*emit.Chains, error) {
	c := &emit.Chains{Source: "the kernel, before seawall apply"}
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		t, err := h.Table(f)
		if err != nil {
			return nil, err
		}
		own := ownChains(t)
		if f == packet.IPv4 {
			c.V4 = own
		} else {
			c.V6 = own
		}
		if input := t.Chain("INPUT"); input != nil {
			c.ToHost = c.ToHost || slices.ContainsFunc(input.Rules, func(r *iptables.Rule) bool { return r.Target.Name == iptables.SeawallInput })
		}
	}
	if c.ToHost {
		c.V4.Declare(iptables.SeawallInput, "-")
		c.V6.Declare(iptables.SeawallInput, "-")
	}
	return c, nil
}

// ownChains takes Seawall's chains out of a table, with the sets that they ask
// for.
func ownChains(t *iptables.Table) *iptables.Table {
	own := &iptables.Table{Name: t.Name}
	own.Declare(iptables.DockerUser, "-")
	for _, c := range t.Chains {
		if iptables.Owned(c.Name) {
			own.Declare(c.Name, "-")
		}
	}
	var asked []string
	for _, c := range t.Chains {
		if !iptables.Owned(c.Name) {
			continue
		}
		mine := own.Chain(c.Name)
		for _, r := range c.Rules {
			mine.Append(r)
			for _, m := range r.Matches {
				if m.Name == "set" && len(m.Options) > 0 {
					asked = append(asked, m.Options[0].Values[0])
				}
			}
		}
	}
	slices.Sort(asked)
	for _, name := range slices.Compact(asked) {
		if s := t.Sets[name]; s != nil && strings.HasPrefix(name, iptables.SetPrefix) {
			own.SetText = ipset.Append(own.SetText, s, iptables.OwnedPrefix+"NEW", "as it was")
		}
	}
	return own
}

// Prepare writes the folder of a rollback from the rules of now to those of a
// script, and starts the process that waits so long for a confirmation. With no
// wait there is no process, and the way back is walked by Back alone.
func (h *Host) Prepare(dir string, fresh emit.File, wait time.Duration) (*Rollback, error) {
	old, err := h.Before()
	if err != nil {
		return nil, err
	}
	r := &Rollback{Dir: dir}
	for name, text := range map[string][]byte{"new.sh": fresh.Bytes, "old.sh": emit.Shell.Compile(old)[0].Bytes, "watch.sh": []byte(watch)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o700); err != nil {
			return nil, err
		}
	}
	if wait == 0 {
		return r, nil
	}
	c := exec.Command("sh", filepath.Join(dir, "watch.sh"), dir, fmt.Sprint(int(wait.Seconds())))
	c.Env = h.env
	c.SysProcAttr = session()
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("the process that would bring the previous rules back does not start: %w", err)
	}
	r.done = make(chan error, 1)
	go func() { r.done <- c.Wait() }()
	return r, nil
}

// Load runs the new script.
func (r *Rollback) Load(h *Host) error { return h.Run(filepath.Join(r.Dir, "new.sh")) }

// ErrTooLate is the error of a confirmation that comes when the previous rules
// are back already.
var ErrTooLate = errors.New("the confirmation came too late")

// Confirm keeps the new rules.
func (r *Rollback) Confirm() error {
	if err := os.WriteFile(filepath.Join(r.Dir, "confirmed"), nil, 0o600); err != nil {
		return err
	}
	if r.done != nil {
		<-r.done
	}
	if _, err := os.Stat(filepath.Join(r.Dir, "rolled-back")); err == nil {
		return ErrTooLate
	}
	return nil
}

// Back brings the previous rules back now, and waits until they are.
func (r *Rollback) Back(h *Host) error {
	if r.done == nil {
		return h.Run(filepath.Join(r.Dir, "old.sh"))
	}
	if err := os.WriteFile(filepath.Join(r.Dir, "back"), nil, 0o600); err != nil {
		return err
	}
	return r.Wait()
}

// Wait waits for the end of the process: an error when it brought the rules of
// before not back.
func (r *Rollback) Wait() error {
	<-r.done
	said, err := os.ReadFile(filepath.Join(r.Dir, "rolled-back"))
	if err != nil {
		return fmt.Errorf("the previous rules were not brought back: %w", err)
	}
	if len(said) > 0 {
		return fmt.Errorf("%s", strings.TrimSpace(string(said)))
	}
	return nil
}

// Lock keeps two applies apart. The kernel gives it back when the process ends.
func Lock(path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := tryLock(f); err != nil {
		_ = f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
		return nil, fmt.Errorf("another seawall apply is at work (%s is locked)", path)
	}
	return func() { _ = f.Close() }, nil
}
