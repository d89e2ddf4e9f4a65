package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// daemon is a Docker daemon that has one container and one network.
func daemon(t *testing.T, slow time.Duration) {
	t.Helper()
	answers := map[string]string{
		"/_ping":           "OK",
		"/containers/json": `[{"Id": "c1"}, {"Id": "gone"}]`,
		"/containers/c1/json": `{"Id": "c1", "Name": "/web", "State": {"Running": true}, "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}},
			"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}}}`,
		"/networks":    `[{"Name": "bridge", "Id": "n1"}]`,
		"/networks/n1": `{"Name": "bridge", "Id": "n1", "Driver": "bridge", "IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}]}, "Options": {"com.docker.network.bridge.name": "docker0"}}`,
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		if i := strings.Index(path[1:], "/"); strings.HasPrefix(path, "/v1.") && i > 0 {
			path = path[1+i:]
		}
		select {
		case <-time.After(slow):
		case <-r.Context().Done():
		}
		text, ok := answers[path]
		w.Header().Set("Api-Version", "1.44")
		w.Header().Set("Content-Type", "application/json")
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			text = `{"message": "no such thing"}`
		}
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(s.Close)
	t.Setenv("DOCKER_HOST", "tcp://"+s.Listener.Addr().String())
}

// What the daemon says is what docker inspect would print; a container that ends
// meanwhile is left out.
func TestAskDaemon(t *testing.T) {
	daemon(t, 0)
	k := askDaemon(context.Background())
	if k == nil || len(k.Containers) != 1 || k.NameOf(netip.MustParseAddr("172.17.0.2")) != "web" || k.Network("docker0") == nil {
		t.Fatalf("%+v", k)
	}
	if p := k.Containers[0].Ports; len(p) != 1 || p[0].Host != 8080 || !p[0].IPv4 || p[0].IPv6 {
		t.Errorf("%+v", p)
	}
}

// Without a daemon, or with one that is slow, nothing is known and nothing is said.
func TestNoDaemon(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
	if k := askDaemon(context.Background()); k != nil {
		t.Errorf("%+v", k)
	}
	daemon(t, time.Minute)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	started := time.Now()
	if k := askDaemon(ctx); k != nil || time.Since(started) > 10*time.Second {
		t.Errorf("%+v after %s", k, time.Since(started))
	}
}

// init --check asks the daemon for the container networks; one that does not answer is
// an error, for then nobody knows what is open.
func TestNetworksAt(t *testing.T) {
	daemon(t, 0)
	list, err := networksAt("")(context.Background())
	if err != nil || len(list) != 1 || list[0].Bridge != "docker0" || list[0].Name != "bridge" {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := networksAt("unix:///nowhere/docker.sock")(context.Background()); err == nil {
		t.Errorf("%+v without a daemon", list)
	}
}
