package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Ctrl-C and a request to end have one of three meanings here: most commands give up
// (interruptible), watch ends its work (untilStopped, in react.go), and apply decides about the
// rules that it has loaded (requests).

// patience is how long a command may take to end after Ctrl-C.
const patience = 3 * time.Second

// interruptible is a context that ends with Ctrl-C, so that a command takes its
// temporary files away. One that does not notice it in time ends all the same.
// apply and watch, which have to bring more to an end, take signals over.
func interruptible(errOut io.Writer) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
			return
		}
		time.Sleep(patience)
		fmt.Fprintln(errOut, "Error: interrupted")
		os.Exit(exitError)
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
	}
}

// requests takes signals over for a command that decides itself what they end. The
// terminal may be lost (SIGHUP), and a closed output is an error of its own. The
// second function gives the signals back.
func requests() (<-chan os.Signal, func()) {
	signal.Reset(os.Interrupt, syscall.SIGTERM)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	signal.Ignore(syscall.SIGPIPE)
	return signals, func() { signal.Stop(signals) }
}
