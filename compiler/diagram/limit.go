package diagram

import (
	"context"
	"fmt"
)

// DefaultSteps is what a question may cost unless the caller says otherwise.
// Reading a file of a million sources takes some ten million steps; a hundred
// million are a few seconds on a current machine.
const DefaultSteps = 100_000_000

// LimitError is the error for a question that was given up.
type LimitError struct{ Steps int64 }

func (e *LimitError) Error() string {
	return fmt.Sprintf("gave up after %d steps", e.Steps)
}

// stopped carries an error out of the depth of a build; Try catches it.
type stopped struct{ err error }

// meter is the work that a question may still cost.
type meter struct {
	ctx         context.Context
	left, limit int64
}

// Limit bounds the work of a store: it is given up after so many steps, or when
// the context is done.
func (d *Store) Limit(ctx context.Context, steps int64) {
	d.ctx, d.left, d.limit = ctx, steps, steps
}

// spend counts work. Passing an error through every function of a recursive
// build would hide what they compute, so it leaves by a panic, which Try turns
// into an error.
func (d *meter) spend(steps int) {
	before := d.left
	d.left -= int64(steps)
	if d.left < 0 {
		panic(stopped{&LimitError{d.limit}})
	}
	const often = 1 << 16
	if before/often != d.left/often && d.ctx != nil && d.ctx.Err() != nil {
		panic(stopped{d.ctx.Err()})
	}
}

// Try runs f and returns its error, or the error with which the work in it was
// given up: a *LimitError, or the context's.
func (d *Store) Try(f func() error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case stopped:
			err = r.err
		default:
			panic(r)
		}
	}()
	return f()
}
