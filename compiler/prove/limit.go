package prove

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/packet"
)

// Limits bound what one question may cost. The zero Limits are the default.
type Limits struct {
	// Steps of work; a current machine does some fifty million in a second. The
	// count is the same on every machine.
	Steps int64
}

// HardError is the error for a question that goes beyond its limits: it stays
// undecided.
type HardError struct {
	Line int    // of the rule that makes it hard; 0 when it is not one rule
	Rule string // the rule
	Err  error
}

func (e *HardError) Error() string {
	text := "it cannot be decided within the limits"
	if e.Rule != "" {
		text += fmt.Sprintf("; line %d makes it too hard: %s", e.Line, e.Rule)
	}
	return text
}

func (e *HardError) Unwrap() error { return e.Err }

// question is one question with its own store of diagrams.
type question struct {
	*diagram.Store
	ctx   context.Context
	space *packet.Space
	steps int64

	phrases []knownPhrase // the last large ones
}

func newQuestion(ctx context.Context, limits Limits, f packet.Family, patterns []string, ipsets ...string) *question {
	if limits.Steps == 0 {
		limits.Steps = diagram.DefaultSteps
	}
	s := packet.NewSpace(f, patterns...).WithMembers(ipsets...)
	q := &question{Store: s.Store(), ctx: ctx, space: s, steps: limits.Steps}
	q.Limit(ctx, limits.Steps)
	return q
}

// hard says which rule of the rules made a question go beyond its limit: the
// first with which the rules up to it cannot be read in an eighth of it. Every
// other error is returned as it is.
func (q *question) hard(err error, sides ...dialect.Rules) error {
	var limit *diagram.LimitError
	if !errors.As(err, &limit) {
		return err
	}
	e := &HardError{Err: err}
	for _, t := range sides {
		if t == nil {
			continue
		}
		if line := q.hardest(t); line > 0 {
			e.Line, e.Rule = line, t.Text(line)
			return e
		}
	}
	return e
}

// hardest finds the line by bisection; 0 when all can be read.
func (q *question) hardest(t dialect.Rules) int {
	lines := t.Lines()
	tooHard := func(n int) bool {
		part := t.UpTo(lines[n])
		small := newQuestion(q.ctx, Limits{Steps: q.steps / 8}, q.space.Family, t.Patterns(), q.space.Members...)
		err := small.Try(func() error {
			r := part.Reader(small.Store, small.space)
			for _, hook := range packet.Hooks {
				if _, err := r.Hook(hook); err != nil {
					return nil
				}
			}
			return nil
		})
		return err != nil
	}
	n := sort.Search(len(lines), tooHard)
	if n == len(lines) {
		return 0
	}
	return lines[n]
}
