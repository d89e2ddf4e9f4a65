//go:build !unix

package host

import (
	"errors"
	"os"
	"syscall"
)

// There is no iptables here; loading fails earlier.
func session() *syscall.SysProcAttr { return nil }

func tryLock(*os.File) error { return errors.ErrUnsupported }

func killGroup(int) {}
