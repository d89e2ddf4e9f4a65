package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// setnsNumbers holds the number of setns(2), which package syscall lacks.
var setnsNumbers = map[string]uintptr{
	"amd64": 308, "arm": 375, "arm64": 268, "loong64": 268, "ppc64le": 350, "riscv64": 268,
}

// A namespace is a network namespace without a name. It lasts as long as
// somebody holds it open or runs in it, so nothing of it is left after the
// process ends, however it ends.
type namespace struct{ file *os.File }

// own runs fn on a thread of its own that ends with it.
func own(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		err := errors.New("ended early")
		defer func() { done <- err }()
		err = fn()
	}()
	return <-done
}

func newNamespace() (*namespace, error) {
	var n namespace
	err := own(func() error {
		if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		n.file = f
		return err
	})
	if err != nil {
		return nil, err
	}
	return &n, nil
}

// do runs fn on a thread inside the namespace. Programs that fn starts run
// there too.
func (n *namespace) do(fn func() error) error {
	number, ok := setnsNumbers[runtime.GOARCH]
	if !ok {
		return fmt.Errorf("setns on %s is not known", runtime.GOARCH)
	}
	return own(func() error {
		if _, _, errno := syscall.RawSyscall(number, n.file.Fd(), syscall.CLONE_NEWNET, 0); errno != 0 {
			return fmt.Errorf("setns: %w", errno)
		}
		if err := notMachine(); err != nil {
			return err
		}
		return fn()
	})
}

// machine is the namespace that the process was started in.
var machine, machineErr = os.Readlink("/proc/self/ns/net")

// notMachine reports an error on a thread that is in the process's own
// namespace, where nothing must ever be changed.
func notMachine() error {
	here, err := os.Readlink("/proc/thread-self/ns/net")
	if err := errors.Join(err, machineErr); err != nil {
		return err
	}
	if here == machine {
		return errors.New("not inside a namespace of its own")
	}
	return nil
}

// path names the namespace to ip.
func (n *namespace) path() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd())
}

func (n *namespace) close() {
	if n != nil && n.file != nil {
		n.file.Close()
	}
}

// run runs a program inside the namespace and returns its standard output.
func (n *namespace) run(stdin string, name string, args ...string) (string, error) {
	var out, message bytes.Buffer
	err := n.do(func() error {
		cmd := exec.Command(name, args...)
		cmd.Stdin = strings.NewReader(stdin)
		cmd.Stdout, cmd.Stderr = &out, &message
		return cmd.Run()
	})
	if err == nil {
		return out.String(), nil
	}
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", &Refusal{Tool: name, Message: strings.TrimSpace(message.String() + "\n" + err.Error())}
	}
	return "", fmt.Errorf("%s: %w", name, err)
}

// set writes values under /proc/sys/net. Where the kernel has no such file
// it does nothing.
func (n *namespace) set(values [][2]string) error {
	return n.do(func() error {
		for _, v := range values {
			err := os.WriteFile("/proc/sys/net/"+v[0], []byte(v[1]), 0)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		return nil
	})
}
