// Package fuzzing bounds what one input of a fuzz target may cost.
package fuzzing

import (
	"context"
	"testing"
	"time"
)

const (
	// MaxInput is the size of the largest input that is tried; larger ones say nothing new.
	MaxInput = 64 << 10
	// MaxTime is how long one input may take.
	MaxTime = 5 * time.Second
)

// Bound skips an input that is too large, and returns a context that ends shortly before
// MaxTime. The test fails if the input takes longer than that: whatever takes a context has to end
// with it.
func Bound(t *testing.T, size int) context.Context {
	t.Helper()
	if size > MaxInput {
		t.Skip("too large")
	}
	ctx, cancel := context.WithTimeout(context.Background(), MaxTime*4/5)
	start := time.Now()
	t.Cleanup(func() {
		cancel()
		if d := time.Since(start); d > MaxTime {
			t.Errorf("this input takes %s", d)
		}
	})
	return ctx
}
