//go:build unix

package host

import (
	"os"
	"syscall"
)

// session starts a process in its own session, so that a terminal hang-up does not reach it.
func session() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func tryLock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// killGroup kills the processes of a group, or the one that led it.
func killGroup(pid int) {
	if syscall.Kill(-pid, syscall.SIGKILL) != nil {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
}
