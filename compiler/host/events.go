package host

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
)

// rulesChange are the events at which Docker changes rules. Health checks, docker exec and the
// like do not change any.
var rulesChange = map[events.Type][]events.Action{
	events.NetworkEventType: {events.ActionCreate, events.ActionConnect, events.ActionDisconnect, events.ActionUpdate,
		events.ActionRemove, events.ActionDestroy},
	events.ContainerEventType: {events.ActionStart, events.ActionDie, events.ActionRestart},
}

// How a lost connection to the daemon is restored.
const (
	firstWait   = 500 * time.Millisecond
	longestWait = 15 * time.Second
	answers     = 10 * time.Second       // a healthy daemon answers within this time
	refuses     = 100 * time.Millisecond // a daemon that has no events for us fails within this time
)

// Subscription reports a Docker daemon's network and container events. It outlives the daemon: a
// lost connection is restored, with a bounded back-off.
type Subscription struct {
	changed chan struct{}
	state   chan error
}

// Subscribe subscribes to a daemon's events until the context ends. connect makes a new client
// for each connection, since the daemon that comes back may be another version.
func Subscribe(ctx context.Context, connect func() (*client.Client, error)) *Subscription {
	s := &Subscription{changed: make(chan struct{}, 1), state: make(chan error)}
	go s.run(ctx, connect)
	return s
}

// Changed receives a value when Docker has changed something since the last one was taken.
func (s *Subscription) Changed() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.changed
}

// State receives nil when the daemon is connected and an error when it is not: at first, and each
// time that this changes. What the daemon did in between is not in Changed.
func (s *Subscription) State() <-chan error {
	if s == nil {
		return nil
	}
	return s.state
}

func (s *Subscription) run(ctx context.Context, connect func() (*client.Client, error)) {
	wait, lost := firstWait, false
	for {
		start := time.Now()
		connected, err := s.connection(ctx, connect)
		if ctx.Err() != nil {
			return
		}
		if connected || !lost {
			s.tell(ctx, err)
		}
		lost = true
		if time.Since(start) > longestWait {
			wait = firstWait
		}
		if !sleep(ctx, wait) {
			return
		}
		wait = min(2*wait, longestWait)
	}
}

// connection reports a daemon's events until the connection is lost, and whether there was a
// connection.
func (s *Subscription) connection(ctx context.Context, connect func() (*client.Client, error)) (connected bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	api, err := connect()
	if err != nil {
		return false, err
	}
	defer func() { _ = api.Close() }()
	if err := ping(ctx, api); err != nil {
		return false, err
	}
	stream := api.Events(ctx, client.EventsListOptions{Filters: filters()})
	settled := time.After(refuses)
	for {
		select {
		case m := <-stream.Messages:
			s.change(m)
		case err := <-stream.Err:
			return connected, lost(err)
		case <-settled:
			connected = true
			s.tell(ctx, nil)
		}
	}
}

// ping checks whether the daemon answers: one that hangs accepts connections as well.
func ping(ctx context.Context, api *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, answers)
	defer cancel()
	_, err := api.Ping(ctx, client.PingOptions{})
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("the Docker daemon does not answer")
	}
	return err
}

// lost explains why an event stream has ended.
func lost(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the Docker daemon closed the connection")
	}
	return err
}

// filters limits the events to those needed. They name types and actions, not pairs of them.
func filters() client.Filters {
	f := make(client.Filters)
	for kind, actions := range rulesChange {
		f.Add("type", string(kind))
		for _, a := range actions {
			f.Add("event", string(a))
		}
	}
	return f
}

// change records an event if it is relevant.
func (s *Subscription) change(m events.Message) {
	if !slices.Contains(rulesChange[m.Type], m.Action) {
		return
	}
	select {
	case s.changed <- struct{}{}:
	default: // one is already pending
	}
}

// tell reports the state of the connection.
func (s *Subscription) tell(ctx context.Context, err error) {
	select {
	case s.state <- err:
	case <-ctx.Done():
	}
}

// sleep waits, and reports whether it was not interrupted by the context.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
