// Package progress carries what a long piece of work is at to whoever wants to show it. The
// work reports, and never prints.
package progress

import "context"

// Step is what the work is at: "proving" "ip6tables".
type Step struct {
	Doing string // reading, compiling, proving, rendering
	What  string
}

type key struct{}

// With returns a context whose work reports its steps to a function.
func With(ctx context.Context, report func(Step)) context.Context {
	return context.WithValue(ctx, key{}, report)
}

// Report says what the work is at, to whoever listens.
func Report(ctx context.Context, doing, what string) {
	if report, ok := ctx.Value(key{}).(func(Step)); ok {
		report(Step{doing, what})
	}
}
