// Package host is the machine that Seawall runs on: the rules that its kernel holds
// now, and a script that is loaded so that it can be taken back.
//
//	host.go      reading the kernel's rules, running a script
//	turn.go      one apply at a time, and which rules are Seawall's
//	rollback.go  a load that is taken back when nobody confirms it
//	way_back.go  how the previous rules are kept, and the script that loads them
//	watch.go     comparing the kernel's rules with a policy again and again
//	events.go    when Docker changes something
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

// Host is the commands to speak to the kernel with. IPTABLES, IP6TABLES and IPSET
// of the environment name others, as for seawall.sh.
type Host struct {
	env []string
	ctx context.Context // of commands that only read; nil for none
}

// readWithin is how long a command that only reads may take, where a context is given.
const readWithin = 2 * time.Minute

// Within is the same host, on which commands that only read end with a context.
func (h *Host) Within(ctx context.Context) *Host { return &Host{env: h.env, ctx: ctx} }

// ThisHost is the host as the environment has it.
func ThisHost() *Host { return &Host{env: os.Environ()} }

// command is a family's iptables.
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
		return nil, unavailable{fmt.Errorf("%s is not installed here%s", name, named(name))}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("%s did not end within %v", name, readWithin)
	}
	failed := fmt.Errorf("%s: %s%s", name, why(err, said.String()), asRoot())
	if notRunnable(err) || bytes.Contains(said.Bytes(), []byte("you must be root")) {
		return nil, unavailable{failed}
	}
	return nil, failed
}

// reading is the context of a command that only reads.
func (h *Host) reading() (context.Context, context.CancelFunc) {
	if h.ctx == nil {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(h.ctx, readWithin)
}

// unavailable is why the rules of a host cannot be read, now or later.
type unavailable struct{ error }

// Unavailable reports whether an error is one that trying again does not change: a
// command that is not installed, or no root.
func Unavailable(err error) bool {
	_, ok := errors.AsType[unavailable](err)
	return ok
}

// notRunnable reports whether a command cannot be started because of what it is.
func notRunnable(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
}

// why is what a command that failed said, or else how it ended.
func why(err error, said string) string {
	if said = strings.TrimSpace(said); said != "" {
		return said
	}
	return err.Error()
}

func asRoot() string {
	if os.Geteuid() > 0 { // -1 where there are no users
		return ". It needs root"
	}
	return ""
}

// named says which variable a command's name is from.
func named(name string) string {
	for _, variable := range []string{"IPTABLES", "IP6TABLES", "IPSET"} {
		if other := os.Getenv(variable); other != "" && strings.TrimSuffix(name, "-save") == other {
			return "; " + variable + " of the environment names it"
		}
	}
	return ""
}

// Saved is what iptables-save prints of a family, all tables.
func (h *Host) Saved(f packet.Family) ([]byte, error) { return h.output(command(f) + "-save") }

// Table is the filter table that the kernel holds now, with its ipsets. A kernel
// without rules gives an empty table.
func (h *Host) Table(f packet.Family) (*iptables.Table, error) {
	src, err := h.output(command(f)+"-save", "-t", "filter")
	if err != nil {
		return nil, err
	}
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

// parseSaved reads what iptables-save prints. It prints a few rules in a form that
// iptables-restore refuses, such as --weekdays without a day.
func parseSaved(src []byte, f packet.Family) (*iptables.File, error) {
	file, err := iptables.Parse(src, iptables.Options{Family: f})
	var wrong *iptables.Error
	if errors.As(err, &wrong) {
		return nil, fmt.Errorf("the kernel has a rule for %v that iptables-save cannot print so that it loads again: %s: %s", f, wrong.Text, wrong.Detail)
	}
	return file, err
}

// Sets are the kernel's ipsets; none where there is no ipset command. That they
// cannot be read is an error only where one of some rules asks for one.
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

// OtherBackend names the back end of iptables that is not in use here and has
// rules all the same: "legacy", "nf_tables" or "".
func (h *Host) OtherBackend() string {
	version, err := h.output(command(packet.IPv4), "-V")
	if err != nil {
		return "" // nothing is known of a second one
	}
	other, save := "legacy", "iptables-legacy-save"
	if !bytes.Contains(version, []byte("nf_tables")) {
		other, save = "nf_tables", "iptables-nft-save"
	}
	if out, err := h.output(save); err == nil && bytes.Contains(out, []byte("\n-A ")) {
		return other
	}
	return ""
}

// run runs a script in a session of its own, which no Ctrl-C reaches. The error
// says what it said.
func (h *Host) run(path string, args ...string) error {
	c := exec.Command("sh", append([]string{path}, args...)...)
	c.Env, c.SysProcAttr = h.env, session()
	if said, err := c.CombinedOutput(); err != nil {
		return errors.New(why(err, string(said)))
	}
	return nil
}
