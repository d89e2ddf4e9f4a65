package main

import (
	"runtime"
	"testing"
	"time"
)

// The heap has room to grow in, whatever is in use, until it would be too large.
func TestMemoryLimit(t *testing.T) {
	for _, test := range []struct{ live, limit uint64 }{{0, 260}, {100, 260}, {200, 260}, {225, 360}, {300, 660}, {365, 920}, {900, 920}, {5000, 920}} {
		if got := memoryLimit(test.live << 20); got != int64(test.limit<<20) {
			t.Errorf("with %d MiB in use the limit is %d MiB, not %d", test.live, got>>20, test.limit)
		}
	}
}

func TestAfterEachCollection(t *testing.T) {
	called := make(chan uint64, 100)
	afterEachCollection(func(live uint64) {
		select {
		case called <- live:
		default: // the test is over
		}
	})
	kept := make([]byte, 64<<20)
	for range 3 {
		for len(called) > 0 {
			<-called
		}
		runtime.GC()
		select {
		case live := <-called:
			if live < 64<<20 {
				t.Errorf("%d bytes are said to be in use", live)
			}
		case <-time.After(time.Minute):
			t.Fatal("it was not called after a collection")
		}
	}
	runtime.KeepAlive(kept)
}
