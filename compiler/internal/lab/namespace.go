//go:build linux

// Package lab holds compiled files against the world: real kernels, real
// packets, real Docker. It is for tests alone.
//
// Everything happens in network namespaces that the lab makes. A namespace has
// no name and no mount: it lives as long as the process that holds it, and that
// process dies with the test, however the test ends. So nothing is ever left
// behind, and nothing of the machine's own rules is touched.
package lab

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Need skips a test on a machine that cannot run it: without root, or without
// one of the programs. Under CI it fails instead, for there nothing may be
// missing.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	missing := ""
	if os.Getuid() != 0 {
		missing = "root"
	}
	for _, p := range append([]string{"ip", "nsenter", "iptables-nft", "iptables-legacy", "ipset"}, programs...) {
		if _, err := exec.LookPath(p); err != nil {
			missing = p
		}
	}
	switch {
	case missing == "":
	case os.Getenv("CI") != "":
		t.Fatalf("this test needs %s, and CI must have it", missing)
	default:
		t.Skipf("this test needs %s", missing)
	}
}

// Namespace is a network namespace.
type Namespace struct {
	t    testing.TB
	name string
	pid  int
}

// keeper starts the holders of namespaces from a thread that lives as long as
// the test process: a holder dies with the thread that started it.
var keeper = func() chan func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
}()

// NewNamespace makes a namespace with its loopback up. It ends with the test.
func NewNamespace(t testing.TB, name string) *Namespace {
	t.Helper()
	holder := exec.Command("sleep", "infinity")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	keeper <- func() { started <- holder.Start() }
	if err := <-started; err != nil {
		t.Fatalf("cannot make the namespace %s: %v", name, err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait() // it was killed: an error is expected
	})
	n := &Namespace{t, name, holder.Process.Pid}
	n.Must("ip", "link", "set", "lo", "up")
	for _, key := range []string{"net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
		"net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0"} {
		n.Sysctl(key)
	}
	return n
}

// Path is the namespace as a file.
func (n *Namespace) Path() string { return fmt.Sprintf("/proc/%d/ns/net", n.pid) }

// Command prepares a program that runs in the namespace and dies with the
// test.
func (n *Namespace) Command(program string, args ...string) *exec.Cmd {
	c := exec.Command("nsenter", append([]string{"--net=" + n.Path(), program}, args...)...)
	c.Env = os.Environ()
	return c
}

// Run runs a program in the namespace, and gives all that it says.
func (n *Namespace) Run(stdin io.Reader, program string, args ...string) (string, error) {
	c := n.Command(program, args...)
	c.Stdin = stdin
	out, err := c.CombinedOutput()
	return string(out), err
}

// Must runs a program that cannot fail if the lab is in order.
func (n *Namespace) Must(program string, args ...string) string {
	n.t.Helper()
	out, err := n.Run(nil, program, args...)
	if err != nil {
		n.t.Fatalf("%s: %s %s: %v\n%s", n.name, program, strings.Join(args, " "), err, out)
	}
	return out
}

// Sysctl sets a kernel setting of the namespace: net.ipv4.ip_forward=1.
func (n *Namespace) Sysctl(setting string) {
	n.t.Helper()
	key, value, _ := strings.Cut(setting, "=")
	err := n.Do(func() error {
		return os.WriteFile("/proc/sys/"+strings.ReplaceAll(key, ".", "/"), []byte(value), 0)
	})
	if err != nil {
		n.t.Fatalf("%s: %s: %v", n.name, setting, err)
	}
}

// Do runs a function on a thread that is in the namespace: sockets that it
// makes belong there, also after it returns.
func (n *Namespace) Do(f func() error) error {
	result := make(chan error)
	go func() {
		// The thread is not unlocked: it ends with this goroutine, and its
		// namespace with it.
		runtime.LockOSThread()
		fd, err := unix.Open(n.Path(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			_ = unix.Close(fd)
		}
		if err == nil {
			err = f()
		}
		result <- err
	}()
	return <-result
}

// Link joins two namespaces by a pair of interfaces.
func Link(a *Namespace, nameA string, b *Namespace, nameB string) {
	a.t.Helper()
	a.Must("ip", "link", "add", nameA, "type", "veth", "peer", "name", nameB, "netns", b.Path())
	a.Must("ip", "link", "set", nameA, "up")
	b.Must("ip", "link", "set", nameB, "up")
}

// Address adds addresses to an interface.
func (n *Namespace) Address(dev string, addresses ...string) {
	n.t.Helper()
	var batch bytes.Buffer
	for _, a := range addresses {
		family := "-4"
		nodad := ""
		if strings.Contains(a, ":") {
			family, nodad = "-6", " nodad"
		}
		_ = family
		fmt.Fprintf(&batch, "addr add %s dev %s%s\n", a, dev, nodad)
	}
	if out, err := n.Run(&batch, "ip", "-batch", "-"); err != nil {
		n.t.Fatalf("%s: addresses %v: %v\n%s", n.name, addresses, err, out)
	}
}
