// Package fuzzing bounds what one input of a fuzz target may cost.
package fuzzing

import (
	"context"
	"runtime"
	"testing"
	"time"
)

const (
	// MaxInput is the size of the largest input that is tried; larger ones say nothing new.
	MaxInput = 64 << 10
	// MaxTime is how long one input may take.
	MaxTime = 5 * time.Second
	// MaxMemory is how much one input may allocate in all, in bytes.
	MaxMemory = 512 << 20
)

// Bound skips an input that is too large, and returns a context that ends shortly before
// MaxTime. The test fails if the input takes longer than that, or allocates more than
// MaxMemory.
func Bound(t *testing.T, size int) context.Context {
	t.Helper()
	if size > MaxInput {
		t.Skip("too large")
	}
	ctx, cancel := context.WithTimeout(context.Background(), MaxTime*4/5)
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	t.Cleanup(func() {
		cancel()
		var after runtime.MemStats
		if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > MaxMemory {
			t.Errorf("this input allocates %d MiB", (after.TotalAlloc-before.TotalAlloc)>>20)
		}
		if d := time.Since(start); d > MaxTime {
			t.Errorf("this input takes %s", d)
		}
	})
	return ctx
}
