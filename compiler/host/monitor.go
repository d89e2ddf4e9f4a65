package host

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os/exec"
	"time"
)

// Monitor reports when somebody changes Seawall's table of nft, a flush of the whole
// ruleset included, until the context ends. It is a help and not a promise: nft may
// miss events, and a watch compares at its interval as well.
func (h *Host) Monitor(ctx context.Context) <-chan struct{} {
	changed := make(chan struct{}, 1)
	go func() {
		for ctx.Err() == nil {
			start := time.Now()
			h.monitor(ctx, changed)
			// nft that ends at once, for it is not installed or may not listen, is tried
			// seldom.
			if !sleep(ctx, max(firstWait, longestWait-time.Since(start))) {
				return
			}
			signal(changed) // what happened in between is not known
		}
	}()
	return changed
}

// monitor runs nft monitor until it ends.
func (h *Host) monitor(ctx context.Context, changed chan<- struct{}) {
	c := exec.CommandContext(ctx, nftCommand(), "monitor")
	c.Env, c.WaitDelay = h.env, time.Second
	out, err := c.StdoutPipe()
	if err != nil || c.Start() != nil {
		return
	}
	hear(out, changed)
	_ = c.Wait() // it was killed, or is tried again
}

// hear reads the lines of nft monitor: "delete table inet seawall", "add rule inet
// seawall forward …". Those of other tables are of no concern.
func hear(r io.Reader, changed chan<- struct{}) {
	for b := bufio.NewReaderSize(r, 1<<16); ; {
		line, more, err := b.ReadLine()
		if err != nil {
			return
		}
		if bytes.HasSuffix(line, []byte(" "+ownTable)) || bytes.Contains(line, []byte(" "+ownTable+" ")) {
			signal(changed)
		}
		for more && err == nil {
			_, more, err = b.ReadLine()
		}
	}
}

// signal leaves a value in a channel with room for one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
