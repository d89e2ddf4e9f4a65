package host

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// script is what a watch sees: the result of each check, by the time since the start.
type script struct {
	start  time.Time
	at     func(time.Duration) ([]Drift, error)
	fix    func(*script) error
	docker *Subscription

	log          []string
	looks, fixes int
}

func (s *script) since() time.Duration { return time.Since(s.start) }

// run watches for a while on the clock of a synctest bubble, with an interval of 30s, and returns
// the log, each line with its time.
func (s *script) run(t *testing.T, during time.Duration) ([]string, error) {
	t.Helper()
	s.start = time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), during)
	defer cancel()
	w := &Watch{
		Interval: 30 * time.Second,
		Look: func(context.Context) ([]Drift, error) {
			s.looks++
			return s.at(s.since())
		},
		Fixes:  "fix.sh",
		Docker: s.docker,
		Log: func(e Event) {
			s.log = append(s.log, strings.TrimSpace(fmt.Sprintf("%v %s %s", s.since(), e.Name, e.What)))
		},
	}
	if s.fix != nil {
		w.Fix = func(context.Context) error {
			s.fixes++
			return s.fix(s)
		}
	}
	err := w.Run(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return s.log, err
}

func (s *script) want(t *testing.T, during time.Duration, lines ...string) {
	t.Helper()
	got, err := s.run(t, during)
	if err != nil || !slices.Equal(got, lines) {
		t.Errorf("err %v, log:\n%s\nwant:\n%s", err, strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

var (
	open80  = []Drift{{Family: 4, What: "80 is open", Where: "line 3"}}
	moved80 = []Drift{{Family: 4, What: "80 is open", Where: "line 4"}}
	open443 = []Drift{{Family: 4, What: "443 is open", Where: "line 3"}}
)

func TestWatchReportsOncePerChange(t *testing.T) {
	never := func(*script) error { return nil }
	for _, c := range []struct {
		name   string
		script script
		during time.Duration
		want   []string
	}{
		{"holds", script{at: func(time.Duration) ([]Drift, error) { return nil, nil }}, time.Hour,
			[]string{"0s holds"}},
		{"fixed", script{
			at: func(d time.Duration) ([]Drift, error) {
				if d >= 30*time.Second && d < 31*time.Second {
					return open80, nil
				}
				return nil, nil
			},
			fix: func(*script) error { time.Sleep(2 * time.Second); return nil },
		}, time.Hour,
			[]string{"0s holds", "30.5s drift 80 is open (line 3)", "32.5s ran fix.sh", "32.5s holds"}},
		{"disappears by itself", script{
			at: func(d time.Duration) ([]Drift, error) {
				if d == 30*time.Second {
					return open80, nil
				}
				return nil, nil
			},
			fix: never,
		}, time.Hour,
			[]string{"0s holds"}},
		{"persists", script{
			at: func(d time.Duration) ([]Drift, error) {
				if d > 5*time.Minute {
					return moved80, nil
				}
				return open80, nil
			},
			fix: never,
		}, 40 * time.Minute,
			[]string{"500ms drift 80 is open (line 3)", "500ms ran fix.sh", "500ms persists same drift as before; will run fix.sh again in 30s, then less often",
				"30.5s ran fix.sh", "1m30.5s ran fix.sh", "3m30.5s ran fix.sh", "7m30.5s ran fix.sh", "15m30.5s ran fix.sh",
				"25m30.5s ran fix.sh", "35m30.5s ran fix.sh"}},
		{"the fix fails", script{
			at: func(d time.Duration) ([]Drift, error) {
				if d > time.Minute {
					return nil, nil
				}
				return open80, nil
			},
			fix: func(*script) error { return errors.New("exit status 4") },
		}, time.Hour,
			[]string{"500ms drift 80 is open (line 3)", "500ms failed fix.sh: exit status 4", "500ms persists same drift as before; will run fix.sh again in 30s, then less often",
				"30.5s failed fix.sh: exit status 4", "1m0.5s holds"}},
		{"another drift", script{
			at: func(d time.Duration) ([]Drift, error) {
				if d > 10*time.Minute {
					return open443, nil
				}
				return open80, nil
			},
			fix: never,
		}, 12 * time.Minute,
			[]string{"500ms drift 80 is open (line 3)", "500ms ran fix.sh", "500ms persists same drift as before; will run fix.sh again in 30s, then less often",
				"30.5s ran fix.sh", "1m30.5s ran fix.sh", "3m30.5s ran fix.sh", "7m30.5s ran fix.sh",
				"10m1s drift 443 is open (line 3)", "10m1s ran fix.sh", "10m1s persists same drift as before; will run fix.sh again in 30s, then less often",
				"10m31s ran fix.sh", "11m31s ran fix.sh"}},
		{"the lock is busy", script{
			at: func(d time.Duration) ([]Drift, error) {
				if d >= 30*time.Second && d < 40*time.Second {
					return nil, errors.New("iptables-save: busy")
				}
				return nil, nil
			},
		}, time.Hour,
			[]string{"0s holds", "30s failed cannot compare the rules, will retry: iptables-save: busy", "45s holds"}},
		{"busy while drift persists", script{
			at: func(d time.Duration) ([]Drift, error) {
				if d >= 20*time.Second && d < 40*time.Second {
					return nil, errors.New("iptables-save: busy")
				}
				return open80, nil
			},
			fix: never,
		}, 50 * time.Second,
			[]string{"500ms drift 80 is open (line 3)", "500ms ran fix.sh", "500ms persists same drift as before; will run fix.sh again in 30s, then less often",
				"30.5s failed cannot compare the rules, will retry: iptables-save: busy", "45.5s persists same drift as before; will run fix.sh again now, then less often",
				"45.5s ran fix.sh"}},
		{"busy for long", script{
			at: func(time.Duration) ([]Drift, error) { return nil, errors.New("iptables-save: busy") },
		}, time.Hour,
			[]string{"0s failed cannot compare the rules, will retry: iptables-save: busy"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.script.want(t, c.during, c.want...) })
		})
	}
}

// A fix that keeps changing the drift soon runs no more often than the interval.
func TestWatchDoesNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{fix: func(*script) error { return nil }}
		s.at = func(time.Duration) ([]Drift, error) { return []Drift{{Family: 4, What: fmt.Sprint(s.fixes)}}, nil }
		_, err := s.run(t, time.Hour)
		if err != nil || s.fixes < 60 || s.fixes > 125 || s.looks > 600 {
			t.Errorf("%v: %d fixes, %d looks in an hour", err, s.fixes, s.looks)
		}
	})
}

// Another drift, while an older one persists and its next fix is far off, is fixed within five
// seconds of the last fix.
func TestWatchFixesAnotherDriftSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{fix: func(s *script) error { time.Sleep(time.Second); return nil }}
		s.at = func(d time.Duration) ([]Drift, error) {
			if d > 100*time.Second {
				return open443, nil
			}
			return open80, nil
		}
		// Checks are at 1m31.5s and 2m1.5s; the older drift's next fix would be at 3m33.5s.
		log, err := s.run(t, 125*time.Second)
		if err != nil || s.fixes != 4 || !slices.ContainsFunc(log, func(l string) bool { return strings.HasPrefix(l, "2m") && strings.Contains(l, "ran fix.sh") }) {
			t.Errorf("%v, %d fixes:\n%s", err, s.fixes, strings.Join(log, "\n"))
		}
	})
}

// What ends a watch.
func TestWatchEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		at   func(time.Duration) ([]Drift, error)
		ends func(error) bool
		want []string
	}{
		{"drift", func(time.Duration) ([]Drift, error) { return open80, nil },
			func(err error) bool { return errors.Is(err, ErrDrift) }, []string{"500ms drift 80 is open (line 3)"}},
		{"no iptables", func(time.Duration) ([]Drift, error) {
			return nil, fmt.Errorf("IPv4: %w", unavailable{exec.ErrNotFound})
		}, Unavailable, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{at: c.at}
				if log, err := s.run(t, time.Hour); !c.ends(err) || !slices.Equal(log, c.want) {
					t.Errorf("%v\n%s", err, strings.Join(log, "\n"))
				}
			})
		})
	}
}

// Many changes cause one check, and endless changes do not keep a watch from checking.
func TestWatchWaitsUntilQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Subscription{changed: make(chan struct{}, 1), state: make(chan error)}
		s := &script{docker: d}
		var looks []time.Duration
		s.at = func(at time.Duration) ([]Drift, error) {
			looks = append(looks, at)
			return nil, nil
		}
		go func() {
			time.Sleep(10 * time.Second)
			for range 5 {
				d.changed <- struct{}{}
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(9500 * time.Millisecond)
			for range 80 {
				d.changed <- struct{}{}
				time.Sleep(100 * time.Millisecond)
			}
		}()
		_, err := s.run(t, 29*time.Second)
		want := []time.Duration{0, 10900 * time.Millisecond, 25 * time.Second, 28400 * time.Millisecond}
		if err != nil || !slices.Equal(looks, want) {
			t.Errorf("%v: looked at %v, want %v", err, looks, want)
		}
	})
}

// A daemon that comes back counts as a change, one that disappears does not.
func TestWatchDaemonRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Subscription{changed: make(chan struct{}, 1), state: make(chan error)}
		s := &script{docker: d}
		var looks []time.Duration
		s.at = func(at time.Duration) ([]Drift, error) {
			looks = append(looks, at)
			return nil, nil
		}
		go func() {
			for _, err := range []error{nil, errors.New("gone"), nil} {
				time.Sleep(5 * time.Second)
				d.state <- err
			}
		}()
		s.want(t, 20*time.Second, "0s holds", "5s connected", "10s disconnected gone; checking every 30s until Docker answers", "15s connected")
		if want := []time.Duration{0, 5500 * time.Millisecond, 15500 * time.Millisecond}; !slices.Equal(looks, want) {
			t.Errorf("looked at %v, want %v", looks, want)
		}
	})
}
