// Package host is the machine that Seawall runs on: the current rules of its kernel,
// and loading a script that can be rolled back.
//
//	host.go      reading the kernel's rules, running a script
//	ruleset.go   reading all tables of nft, and the other back end of iptables
//	unit.go      the unit of systemd that loads a table
//	backend.go   what apply and watch ask of the program that holds the rules;
//	             backend_iptables.go and backend_nft.go are the two; sharing.go is
//	             iptables with a DOCKER-USER that others use as well
//	turn.go      one apply at a time
//	rollback.go  a load that is rolled back if nobody confirms it
//	way_back.go  how the previous rules are saved, and the script that restores them;
//	             way_back_nft.go for the table of nft
//	watch.go     comparing the kernel's rules with a policy repeatedly
//	events.go    Docker's events
//	monitor.go   what nft monitor reports
//	system.go    what its system is recognised by, and ufw's files
//	routes_*.go  the interfaces of the default routes
package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// Host holds the commands used to talk to the kernel. The environment variables IPTABLES,
// IP6TABLES, IPSET and NFT override them, as in seawall.sh.
type Host struct {
	env []string
	ctx context.Context // for commands that only read; nil for none
}

// readWithin is the time limit for a command that only reads, if there is a context.
const readWithin = 2 * time.Minute

// Within returns the same host with a context for commands that only read.
func (h *Host) Within(ctx context.Context) *Host { return &Host{env: h.env, ctx: ctx} }

// ThisHost is the host as described by the environment.
func ThisHost() *Host { return &Host{env: os.Environ()} }

// command is the iptables command of a family.
func command(f packet.Family) string {
	name, variable := "iptables", "IPTABLES"
	if f == packet.IPv6 {
		name, variable = "ip6tables", "IP6TABLES"
	}
	if other := os.Getenv(variable); other != "" {
		return other
	}
	return name
}

// output runs a command that only reads.
func (h *Host) output(name string, args ...string) ([]byte, error) {
	ctx, cancel := h.reading()
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	var said bytes.Buffer
	c.Env, c.Stderr = h.env, &said
	if h.ctx != nil {
		c.WaitDelay = time.Second
	}
	out, err := c.Output()
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, exec.ErrNotFound):
		return nil, unavailable{notInstalled{fmt.Errorf("%s is not installed here%s", name, named(name))}}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("%s did not end within %v", name, readWithin)
	}
	failed := fmt.Errorf("%s: %s%s", name, why(err, said.String()), asRoot())
	if notRunnable(err) || bytes.Contains(said.Bytes(), []byte("you must be root")) {
		return nil, unavailable{failed}
	}
	return nil, failed
}

// reading returns the context of a command that only reads.
func (h *Host) reading() (context.Context, context.CancelFunc) {
	if h.ctx == nil {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(h.ctx, readWithin)
}

// unavailable is the reason why a host's rules cannot be read, now or later.
type unavailable struct{ error }

// notInstalled is the error for a command that the host does not have.
type notInstalled struct{ error }

// Unavailable reports whether trying again will not help: a command is not installed, or the user
// is not root.
func Unavailable(err error) bool {
	_, ok := errors.AsType[unavailable](err)
	return ok
}

// Missing reports whether an error is that a command is not installed.
func Missing(err error) bool {
	u, ok := errors.AsType[unavailable](err)
	if !ok {
		return false
	}
	_, missing := u.error.(notInstalled)
	return missing
}

// HasIPTables reports whether the host has the command iptables, or the environment says which one
// to use.
func (h *Host) HasIPTables() bool {
	_, err := exec.LookPath(command(packet.IPv4))
	return err == nil || os.Getenv("IPTABLES") != ""
}

// notRunnable reports whether a command can never be started.
func notRunnable(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
}

// why is the error output of a failed command, or else its exit status.
func why(err error, said string) string {
	if said = strings.TrimSpace(said); said != "" {
		return said
	}
	return err.Error()
}

func asRoot() string {
	if os.Geteuid() > 0 { // -1 on systems without user IDs
		return ". It needs root"
	}
	return ""
}

// named tells which variable a command's name comes from.
func named(name string) string {
	for _, variable := range []string{"IPTABLES", "IP6TABLES", "IPSET", "NFT"} {
		if other := os.Getenv(variable); other != "" && strings.TrimSuffix(name, "-save") == other {
			return "; " + variable + " of the environment names it"
		}
	}
	return ""
}

// Saved is the output of iptables-save for a family, with all tables.
func (h *Host) Saved(f packet.Family) ([]byte, error) { return h.output(command(f) + "-save") }

// Table is the kernel's current filter table, with its ipsets. A kernel without rules has an
// empty table.
func (h *Host) Table(f packet.Family) (*iptables.Table, error) {
	src, err := h.output(command(f)+"-save", "-t", "filter")
	if err != nil {
		return nil, err
	}
	return h.filter(src, f)
}

// filter reads the output of iptables-save as a filter table with the kernel's ipsets.
func (h *Host) filter(src []byte, f packet.Family) (*iptables.Table, error) {
	file, err := parseSaved(src, f)
	if err != nil {
		return nil, err
	}
	t := file.Table("filter")
	if t == nil {
		t = &iptables.Table{Name: "filter"}
	}
	t.Sets, err = h.Sets(src)
	return t, err
}

// parseSaved reads the output of iptables-save. A few rules are printed in a form that
// iptables-restore rejects, such as --weekdays without a day.
func parseSaved(src []byte, f packet.Family) (*iptables.File, error) {
	file, err := iptables.Parse(src, iptables.Options{Family: f})
	var wrong *iptables.Error
	if errors.As(err, &wrong) {
		return nil, fmt.Errorf("the kernel has an %v rule that iptables-save prints in a form that iptables-restore rejects: %s: %s", f, wrong.Text, wrong.Detail)
	}
	return file, err
}

// Sets are the kernel's ipsets; none if there is no ipset command. It is only an error that they
// cannot be read if one of the given rules uses one.
func (h *Host) Sets(rules ...[]byte) (ipset.Sets, error) {
	name := ipsetCommand()
	if _, err := exec.LookPath(name); err != nil {
		return nil, nil
	}
	src, err := h.output(name, "save")
	if err != nil {
		if bytes.Contains(bytes.Join(rules, nil), []byte(" --match-set ")) {
			return nil, err
		}
		return nil, nil
	}
	return ipset.Parse(src)
}

func ipsetCommand() string {
	if other := os.Getenv("IPSET"); other != "" {
		return other
	}
	return "ipset"
}

// run runs a script in its own session, which Ctrl-C does not reach. The error includes its
// output.
func (h *Host) run(path string, args ...string) error {
	c := exec.Command("sh", append([]string{path}, args...)...)
	c.Env, c.SysProcAttr = h.env, session()
	if said, err := c.CombinedOutput(); err != nil {
		return errors.New(why(err, string(said)))
	}
	return nil
}
