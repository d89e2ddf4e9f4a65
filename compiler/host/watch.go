package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seawall/seawall/compiler/packet"
)

// ErrDrift is returned by a watch that has found drift and does not fix it.
var ErrDrift = errors.New("the rules do not implement the policy")

// EventName names an event of a watch.
type EventName string

// The events of a watch. Each is reported once per change, not at each check.
const (
	Watching     EventName = "watching"     // the watch has started
	Holds        EventName = "holds"        // the rules implement the policy
	Drifted      EventName = "drift"        // one difference between the rules and the policy
	Persists     EventName = "persists"     // the drift is the same after a fix
	Ran          EventName = "ran"          // the fix succeeded
	Failed       EventName = "failed"       // the fix failed, or the rules could not be read
	Connected    EventName = "connected"    // Docker's events arrive
	Disconnected EventName = "disconnected" // they do not: only the interval triggers checks
)

// Event is an event of a watch.
type Event struct {
	Name   EventName
	Family packet.Family // for a difference
	What   string
}

// Drift is a difference between the kernel's rules and a policy.
type Drift struct {
	Family packet.Family
	What   string
	Where  string // the rule's position; two drifts that only differ here are the same
}

func (d Drift) same(e Drift) bool { return d.Family == e.Family && d.What == e.What }

// Watch compares the kernel's rules with a policy repeatedly.
type Watch struct {
	Interval time.Duration
	Look     func(context.Context) ([]Drift, error) // compares once
	Fix      func(context.Context) error            // nil: drift ends the watch
	Fixes    string                                 // what Fix does, in words
	Docker   *Subscription                          // nil: Docker's events trigger no checks
	Kernel   <-chan struct{}                        // triggers checks as well; nil for none
	Log      func(Event)
}

// The pace of a watch.
const (
	quiet      = 500 * time.Millisecond // Docker writes its rules one by one
	busy       = 5 * time.Second        // the longest wait for Docker to be done
	firstRetry = time.Second            // after the rules could not be read
	slowestFix = 10 * time.Minute       // between fixes that do not help
	// betweenFixes is the minimum time from a fix to the next fix of another drift. It doubles
	// until the rules hold, so that a fix that causes drift itself does not keep the host busy.
	betweenFixes = 5 * time.Second
)

// Once checks once. Drift that a fix has not removed is ErrDrift.
func (w *Watch) Once(ctx context.Context) error {
	s := &watching{Watch: w}
	list, err := w.Look(ctx)
	if err == nil && len(list) > 0 && w.Fix != nil {
		s.report(list)
		s.fix(ctx)
		if ctx.Err() == nil {
			list, err = w.Look(ctx)
		}
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	}
	s.report(list)
	if len(list) > 0 {
		return ErrDrift
	}
	return nil
}

// Run checks on the interval and when something has changed, until the context ends. It
// returns early with ErrDrift, or if the rules cannot be read and never will be (Unavailable).
// Other read failures are retried.
func (w *Watch) Run(ctx context.Context) error {
	s := &watching{Watch: w}
	for {
		next, err := s.turn(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		case !s.wait(ctx, next):
			return context.Cause(ctx)
		}
	}
}

// watching is the state of a watch: what it has reported, and what comes next.
type watching struct {
	*Watch
	drift    []Drift // as reported; none if the rules hold
	holds    bool    // it was reported that they hold
	failure  string  // as reported
	retry    time.Duration
	attempt  bool // a fix has run, or a check has failed, since the drift was found
	persists bool // it was reported that the drift persists

	fixed   time.Time     // the last fix since the rules held
	backOff time.Duration // from that fix to the next one for the persistent drift
	nextFix time.Time
	other   time.Duration // from the last fix to the fix of another drift
}

// turn checks once, acts on the result, and returns how long to wait for the next check.
func (s *watching) turn(ctx context.Context) (next time.Duration, err error) {
	list, err := s.look(ctx)
	if err != nil {
		return s.failed(ctx, err)
	}
	s.failure, s.retry = "", 0
	if s.report(list) && !s.fixed.IsZero() {
		s.other = min(max(2*s.other, betweenFixes), s.Interval)
		s.backOff, s.nextFix = 0, s.fixed.Add(s.other)
	}
	switch {
	case len(list) == 0:
		return s.Interval, nil
	case s.Fix == nil:
		return 0, ErrDrift
	case time.Until(s.nextFix) > 0:
		return min(s.Interval, time.Until(s.nextFix)), nil
	}
	s.fix(ctx)
	s.backOff = s.slower()
	s.nextFix = s.fixed.Add(s.backOff)
	return 0, nil
}

// slower slows down fixes after one more that has not helped.
func (s *watching) slower() time.Duration {
	return min(max(2*s.backOff, s.Interval), max(slowestFix, s.Interval))
}

// look compares. New drift is checked twice: when Docker starts, it removes rules and adds them
// again.
func (s *watching) look(ctx context.Context) ([]Drift, error) {
	list, err := s.Look(ctx)
	if err != nil || len(list) == 0 || slices.EqualFunc(list, s.drift, Drift.same) || !sleep(ctx, quiet) {
		return list, err
	}
	return s.Look(ctx)
}

// failed reports that the rules could not be read.
func (s *watching) failed(ctx context.Context, err error) (next time.Duration, _ error) {
	if ctx.Err() != nil || Unavailable(err) {
		return 0, err
	}
	if text := err.Error(); s.failure != text {
		s.failure = text
		s.Log(Event{Name: Failed, What: "cannot compare the rules, will retry: " + text})
	}
	s.holds, s.attempt, s.persists = false, true, false
	s.retry = min(max(2*s.retry, firstRetry), s.Interval)
	return s.retry, nil
}

// report logs what is new in the result of a check, and reports whether the drift is different
// from before.
func (s *watching) report(list []Drift) (changed bool) {
	changed = !slices.EqualFunc(list, s.drift, Drift.same)
	switch {
	case len(list) == 0 && !s.holds:
		s.Log(Event{Name: Holds})
	case changed && len(list) > 0:
		s.persists = false
		for _, d := range list {
			s.Log(Event{Name: Drifted, Family: d.Family, What: fmt.Sprintf("%s (%s)", d.What, d.Where)})
		}
	case len(list) > 0 && s.attempt && !s.persists:
		s.persists = true
		s.Log(Event{Name: Persists, What: s.stillThere()})
	}
	s.drift, s.holds, s.attempt = list, len(list) == 0, false
	if s.holds {
		s.fixed, s.nextFix, s.backOff, s.other = time.Time{}, time.Time{}, 0, 0
	}
	return changed
}

// stillThere describes what happens about persistent drift.
func (s *watching) stillThere() string {
	const what = "same drift as before"
	then := ""
	if s.slower() > s.backOff {
		then = ", then less often"
	}
	switch in := time.Until(s.nextFix).Round(time.Second); {
	case s.nextFix.IsZero():
		return what
	case in > 0:
		return fmt.Sprintf("%s; will run %s again in %v%s", what, s.Fixes, in, then)
	default:
		return fmt.Sprintf("%s; will run %s again now%s", what, s.Fixes, then)
	}
}

// fix runs the fix and logs the result.
func (s *watching) fix(ctx context.Context) {
	err := s.Fix(ctx)
	s.fixed, s.attempt = time.Now(), true
	if err != nil {
		s.Log(Event{Name: Failed, What: fmt.Sprintf("%s: %v", s.Fixes, err)})
		return
	}
	s.Log(Event{Name: Ran, What: s.Fixes})
}

// wait waits for the next check: for a time, or until something has changed the rules. It reports
// whether the context did not end.
func (s *watching) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-s.Docker.Changed():
			return s.untilQuiet(ctx)
		case <-s.Kernel:
			return s.untilQuiet(ctx)
		case err := <-s.Docker.State():
			if s.state(err) {
				return s.untilQuiet(ctx)
			}
		}
	}
}

// untilQuiet waits until nothing has changed for a moment.
func (s *watching) untilQuiet(ctx context.Context) bool {
	latest := time.After(busy)
	for {
		select {
		case <-ctx.Done():
			return false
		case <-latest:
			return true
		case <-time.After(quiet):
			return true
		case <-s.Docker.Changed():
		case <-s.Kernel:
		case err := <-s.Docker.State():
			s.state(err)
		}
	}
}

// state logs the state of the connection to Docker, and reports whether it is connected: a daemon
// that comes back has rewritten its rules.
func (s *watching) state(err error) (connected bool) {
	if err == nil {
		s.Log(Event{Name: Connected})
		return true
	}
	s.Log(Event{Name: Disconnected, What: fmt.Sprintf("%v; checking every %v until Docker answers", err, s.Interval)})
	return false
}
