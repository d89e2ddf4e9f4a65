package exttest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// commandTime bounds each command: a rule with a host name in it may otherwise
// wait for a resolver.
const commandTime = 20 * time.Second

// A namespace is a network namespace without a name. It lives as long as the
// process that holds it, and that process ends when its input does: so the
// namespace goes with this process, even when that is killed.
type namespace struct {
	holder *exec.Cmd
	input  io.Closer
	lock   string
}

// newNamespace returns an empty namespace: its only interface is lo, which is
// down, so no packet meets the rules in it.
func newNamespace() (*namespace, error) {
	holder := exec.Command("unshare", "--net", "sh", "-c", "echo; exec cat")
	holder.Stderr = os.Stderr
	input, err := holder.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := holder.StdoutPipe()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "exttest")
	if err != nil {
		return nil, err
	}
	if err := holder.Start(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	ns := &namespace{holder: holder, input: input, lock: filepath.Join(dir, "lock")}
	if _, err := output.Read(make([]byte, 1)); err != nil {
		ns.close()
		return nil, fmt.Errorf("making a network namespace (are you root?): %w", err)
	}
	return ns, nil
}

// close removes the namespace.
func (ns *namespace) close() {
	ns.input.Close()
	ns.holder.Wait()
	os.RemoveAll(filepath.Dir(ns.lock))
}

// run runs a command in the namespace and returns what it wrote. The lock file
// of iptables-legacy is the namespace's own, so that no other user of iptables
// waits for it or makes it wait.
func (ns *namespace) run(input string, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	net := "--net=/proc/" + strconv.Itoa(ns.holder.Process.Pid) + "/ns/net"
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{net, "--"}, args...)...)
	cmd.Env = append(os.Environ(), "XTABLES_LOCKFILE="+ns.lock, "LC_ALL=C")
	cmd.Stdin = strings.NewReader(input)
	var out, msg bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &msg
	err = cmd.Run()
	return out.String(), strings.TrimSpace(msg.String()), err
}

// words splits a rule as iptables-restore does: at blanks that are not between
// double quotes, where a backslash takes the next byte as it is.
func words(rule string) []string {
	var all []string
	var word strings.Builder
	var quoted, begun bool
	for i := 0; i < len(rule); i++ {
		switch c := rule[i]; {
		case c == '"':
			quoted, begun = !quoted, true
		case quoted && c == '\\' && i+1 < len(rule):
			i++
			word.WriteByte(rule[i])
		case !quoted && (c == ' ' || c == '\t'):
			if begun {
				all = append(all, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	if begun {
		all = append(all, word.String())
	}
	return all
}
