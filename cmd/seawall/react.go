package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// lastWords is how long a command may take to end after it got the signal.
const lastWords = 2 * time.Second

// stopped is the signal that ended a context of untilStopped.
type stopped struct{ signal os.Signal }

func (s stopped) Error() string { return "interrupted (" + s.signal.String() + ")" }

// untilStopped is a context that ends with a request to stop, and whose cause says
// by which signal. A hangup that the caller had ignored, as nohup does, is none.
func untilStopped(parent context.Context) (context.Context, func()) {
	signals := make(chan os.Signal, 1)
	list := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		list = append(list, syscall.SIGHUP)
	}
	signal.Reset(os.Interrupt, syscall.SIGTERM)
	signal.Notify(signals, list...)
	ctx, cancel := context.WithCancelCause(parent)
	go func() {
		select {
		case s := <-signals:
			cancel(stopped{s})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// shell runs a command and gives what it printed. When the context ends, the command
// and all that it started get the signal, and are killed if they stay.
func shell(ctx context.Context, command string) ([]byte, error) {
	c := exec.CommandContext(ctx, "sh", "-c", command)
	ownGroup(c)
	c.Cancel = func() error { return signalGroup(c.Process, signalOf(ctx)) }
	c.WaitDelay = lastWords
	out, err := c.CombinedOutput()
	if ctx.Err() != nil && c.Process != nil {
		_ = signalGroup(c.Process, syscall.SIGKILL) // who is left, if anybody
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well, and left something running
	}
	return out, err
}

// signalOf is the signal to pass on.
func signalOf(ctx context.Context) syscall.Signal {
	if s, ok := errors.AsType[stopped](context.Cause(ctx)); ok {
		if number, ok := s.signal.(syscall.Signal); ok {
			return number
		}
	}
	return syscall.SIGTERM
}
