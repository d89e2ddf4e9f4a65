//go:build linux

package lab

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/doctor"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// examined is what doctor says of the host as it is now.
func (w *world) examined() []doctor.Finding {
	w.t.Helper()
	return doctor.Run(context.Background(), w.host(), prove.Limits{})
}

// host is the host's rules as they are now.
func (w *world) host() *doctor.Host {
	w.t.Helper()
	host := &doctor.Host{Interfaces: []string{"eth0", "eth1"}}
	for _, f := range families {
		src := w.top.Host.Must(w.backend.Command(f, "-save"))
		file, err := iptables.Parse([]byte(src), iptables.Options{Family: f})
		if err != nil {
			w.t.Fatal(err)
		}
		host.Families = append(host.Families, docker.TablesOf(file))
	}
	return host
}

// mend carries out what doctor says, and reports whether the engine was restarted.
func (w *world) mend(found []doctor.Finding) bool {
	w.t.Helper()
	var commands []string
	for _, f := range found {
		commands = append(commands, f.Fix...)
	}
	if slices.Contains(commands, "systemctl restart docker") {
		w.docker.StopDaemon()
		w.docker.StartDaemon()
		w.docker.WaitRunning("plain", "shop")
		return true
	}
	c := w.top.Host.Command("sh", "-e", "-c", strings.Join(commands, "\n"))
	c.Env = append(os.Environ(), "PATH="+filepath.Join(w.docker.dir, "bin")+":"+os.Getenv("PATH"))
	if out, err := c.CombinedOutput(); err != nil {
		w.t.Errorf("the mend fails: %v: %s\n%s", err, out, strings.Join(commands, "\n"))
	}
	return false
}

// A host with a real engine, two networks and a policy is healthy. Each of
// Docker's rules is deleted in turn; doctor finds it, and what it names mends it.
func TestDoctor(t *testing.T) {
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, b)
			d := w.docker
			d.Must("network", "create", "--subnet", "172.30.0.0/24", "-o", "com.docker.network.bridge.name=br-shop", "shop")
			d.Run("plain", []string{"-p", "8080:80"}, "80/tcp")
			d.Run("shop", []string{"--network", "shop", "-p", "8000:80", "-p", "5353:53/udp"}, "80/tcp", "53/udp")
			d.WaitRunning("plain", "shop")
			w.apply(parsePolicy(openWorld), emit.Shell)
			if found := w.examined(); len(found) > 0 {
				t.Fatalf("the healthy host:\n%s", doctor.Text(found))
			}
			deletions, missed, restarts := 0, 0, 0
			for _, table := range []string{"filter", "nat"} {
				for _, line := range strings.Split(b.Save(w.top.Host, packet.IPv4, table), "\n") {
					if !dockers(line) {
						continue
					}
					needsRestart := strings.Contains(line, "-j DNAT") || strings.Contains(line, "-j MASQUERADE") && strings.Contains(line, "! -o")
					if needsRestart && restarts > 0 && !*long {
						continue // a restart takes seconds; one of each kind is tried on captures
					}
					deletions++
					w.top.Host.Must("sh", "-c", b.Command(packet.IPv4, "")+" -t "+table+" -D "+strings.TrimPrefix(line, "-A "))
					found := w.examined()
					if len(found) == 0 {
						missed++
						t.Errorf("not found: without %s", line)
						continue
					}
					if w.mend(found) {
						restarts++
					}
					if after := w.examined(); len(after) > 0 {
						missed++
						t.Errorf("without %s:\n%s\nafter the mend:\n%s", line, doctor.Text(found), doctor.Text(after))
					}
				}
			}
			// And all of it at once.
			deletions++
			w.top.Host.Must(b.Command(packet.IPv4, ""), "-F")
			found := w.examined()
			if !slices.ContainsFunc(found, func(f doctor.Finding) bool { return strings.Contains(f.Summary, "DOCKER-USER") }) {
				missed++
				t.Errorf("a flushed table:\n%s", doctor.Text(found))
			}
			t.Logf("%d deletions, %d missed, %d mended by a restart", deletions, missed, restarts)
			results.add("doctor, "+string(b), deletions, missed)
		})
	}
}

// dockers reports whether a saved line is a rule that Docker made and that matters.
func dockers(line string) bool {
	fields := strings.Fields(line)
	if len(fields) < 4 || fields[0] != "-A" || iptables.Owned(fields[1]) || strings.Contains(line, "SEAWALL") {
		return false
	}
	return !strings.HasSuffix(line, "-j RETURN") || strings.Contains(line, " -i ")
}
