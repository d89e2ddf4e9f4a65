package host

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/moby/client"
)

// daemon implements as much of the Docker API as a subscription uses: events serves the n-th
// connection, counting from 1.
func daemon(t *testing.T, events func(n int64, w http.ResponseWriter, r *http.Request)) func() (*client.Client, error) {
	t.Helper()
	var n atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Api-Version", "1.45") })
	mux.HandleFunc("/{version}/events", func(w http.ResponseWriter, r *http.Request) { events(n.Add(1), w, r) })
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return func() (*client.Client, error) { return client.New(client.WithHost(server.URL)) }
}

// say writes a text and flushes it.
func say(w http.ResponseWriter, text string) {
	fmt.Fprint(w, text)
	_ = http.NewResponseController(w).Flush() // the test notices if it does not arrive
}

func event(kind, action string) string {
	return fmt.Sprintf("{\"Type\":%q,\"Action\":%q,\"Actor\":{\"ID\":\"1\"}}\n", kind, action)
}

// next is the next state of a connection.
func next(t *testing.T, s *Subscription) error {
	t.Helper()
	select {
	case err := <-s.State():
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("no connection state")
		return nil
	}
}

// Whatever the daemon answers, the subscription reports it once and connects again.
func TestSubscriptionOutlivesFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(http.ResponseWriter)
		says  string
	}{
		{"an error", func(w http.ResponseWriter) {
			http.Error(w, `{"message":"no events today"}`, http.StatusInternalServerError)
		}, "no events today"},
		{"not JSON", func(w http.ResponseWriter) { say(w, "\x00\x01<html>") }, "invalid character"},
		{"other JSON", func(w http.ResponseWriter) { say(w, "[1, 2]\n") }, "cannot unmarshal"},
		{"closed at once", func(w http.ResponseWriter) { say(w, "") }, "the Docker daemon closed the connection"},
		{"closed within an event", func(w http.ResponseWriter) { say(w, `{"Type":"network","Act`) }, "the Docker daemon closed the connection"},
		{"cut", func(w http.ResponseWriter) { say(w, ""); panic(http.ErrAbortHandler) }, "the Docker daemon closed the connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := Subscribe(t.Context(), daemon(t, func(n int64, w http.ResponseWriter, r *http.Request) {
				if n <= 2 {
					c.fault(w)
					return
				}
				say(w, event("network", "create"))
				<-r.Context().Done()
			}))
			if err := next(t, s); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
			if err := next(t, s); err != nil {
				t.Errorf("the second state is %v, want connected", err)
			}
			<-s.Changed()
		})
	}
}

// A lost daemon is reported, and so is its return.
func TestSubscriptionConnectsAgain(t *testing.T) {
	s := Subscribe(t.Context(), daemon(t, func(n int64, w http.ResponseWriter, r *http.Request) {
		say(w, "")
		if n == 1 {
			time.Sleep(3 * refuses)
			return
		}
		<-r.Context().Done()
	}))
	for _, want := range []string{"<nil>", "the Docker daemon closed the connection", "<nil>"} {
		if err := next(t, s); fmt.Sprint(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// The subscription only requests events for networks and for containers that start or end, and
// ignores others that a daemon sends anyway.
func TestSubscriptionAsksForLittle(t *testing.T) {
	asked, more := make(chan string, 1), make(chan string)
	s := Subscribe(t.Context(), daemon(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Query().Get("filters")
		say(w, "")
		for {
			select {
			case text := <-more:
				say(w, text)
			case <-r.Context().Done():
				return
			}
		}
	}))
	if err := next(t, s); err != nil {
		t.Fatal(err)
	}
	var filters map[string]map[string]bool
	if err := json.Unmarshal([]byte(<-asked), &filters); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(filters["type"])); !slices.Equal(got, []string{"container", "network"}) {
		t.Errorf("requests the types %v", got)
	}
	if got := slices.Sorted(maps.Keys(filters["event"])); !slices.Equal(got, []string{"connect", "create", "destroy", "die", "disconnect", "remove", "restart", "start", "update"}) {
		t.Errorf("requests the events %v", got)
	}
	for _, x := range []string{"exec_create: sh", "exec_start: sh", "exec_die", "health_status: healthy", "create", "kill", "update", "attach"} {
		more <- event("container", x)
	}
	more <- event("image", "create")
	more <- event("volume", "destroy")
	select {
	case <-s.Changed():
		t.Error("an event that changes no rule is reported")
	case <-time.After(200 * time.Millisecond):
	}
	for kind, actions := range rulesChange {
		for _, a := range actions {
			more <- event(string(kind), string(a))
			select {
			case <-s.Changed():
			case <-time.After(5 * time.Second):
				t.Errorf("%s %s is not reported", kind, a)
			}
		}
	}
}

// A daemon that accepts the connection and stays silent does not keep the subscription alive.
func TestSubscriptionEndsWithItsContext(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		s := &Subscription{changed: make(chan struct{}, 1), state: make(chan error)}
		s.run(ctx, func() (*client.Client, error) { return client.New(client.WithHost(server.URL)) })
		close(ended)
	}()
	time.Sleep(100 * time.Millisecond)
	cancel()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the subscription did not end")
	}
}
