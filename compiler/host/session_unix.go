//go:build unix

package host

import (
	"os"
	"syscall"
)

// session starts a process in a session of its own, which no hang-up of a
// terminal reaches.
func session() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func tryLock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
