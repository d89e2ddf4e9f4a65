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
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// host is the host's rules as they are now.
func (w *world) host() *doctor.Host {
	w.t.Helper()
	host := &doctor.Host{Interfaces: []string{"eth0", "eth1"}}
	sets, err := ipset.Parse([]byte(w.top.Host.Must("ipset", "save")))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		src := w.top.Host.Must(w.backend.Command(f, "-save"))
		file, err := iptables.Parse([]byte(src), iptables.Options{Family: f})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, t := range file.Tables {
			t.Sets = sets
		}
		host.Families = append(host.Families, docker.TablesOf(file))
	}
	return host
}

// restart restarts the engine, and waits for its containers.
func (w *world) restart() {
	w.t.Helper()
	w.docker.StopDaemon()
	w.docker.StartDaemon()
	w.docker.WaitRunning(strings.Fields(w.docker.Must("ps", "-a", "--format", "{{.Names}}"))...)
}

// fix carries out what doctor says, and reports whether the engine was restarted.
func (w *world) fix(found []doctor.Finding) bool {
	w.t.Helper()
	var commands []string
	for _, f := range found {
		commands = append(commands, f.Fix...)
	}
	if slices.Contains(commands, "systemctl restart docker") {
		w.restart()
		return true
	}
	c := w.top.Host.Command("sh", "-e", "-c", strings.Join(commands, "\n"))
	// The lock is the host's own: those of other tests would be held against a command.
	c.Env = append(os.Environ(), "PATH="+filepath.Join(w.docker.dir, "bin")+":"+os.Getenv("PATH"), "XTABLES_LOCKFILE="+filepath.Join(w.docker.dir, "xtables.lock"))
	if out, err := c.CombinedOutput(); err != nil {
		w.t.Errorf("the fix fails: %v: %s\n%s", err, out, strings.Join(commands, "\n"))
	}
	return false
}

// A host with a real engine, networks of several kinds and a policy is healthy. Each of
// Docker's rules and chains is deleted in turn; doctor finds it, and what it names fixes
// it.
func TestDoctor(t *testing.T) {
	t.Parallel()
	NeedDocker(t)
	for i, e := range Engines(t) {
		for j, b := range Backends {
			t.Run(e.Name+"/"+string(b), func(t *testing.T) {
				if !*long && (i == 1 || (i+j)%2 == 1) {
					t.Skip("a short run takes one back end of the oldest and the newest engine")
				}
				t.Parallel()
				w := newWorldOf(t, e, b, "--experimental", "--ip6tables")
				w.severalNetworks()
				w.apply(parsePolicy(strings.Replace(openWorld, "9100,", "9000, 9100, 9200,", 1)), emit.Shell)
				if found := w.examinedWith(w.known()); len(found) > 0 {
					t.Fatalf("the healthy host:\n%s", doctor.Text(found))
				}
				w.deletions("doctor, " + e.Name + ", " + string(b))
			})
		}
	}
}

// severalNetworks are those whose rules differ.
func (w *world) severalNetworks() {
	w.t.Helper()
	d := w.docker
	network := func(name string, options ...string) {
		d.Must(append(append([]string{"network", "create", "-o", bridgeOption + "name=br-" + name}, options...), name)...)
	}
	network("shop", "--subnet", "172.30.0.0/24")
	network("six", "--ipv6", "--subnet", "fd18::/64")
	network("inner", "--internal")
	network("quiet", "-o", bridgeOption+"enable_icc=false")
	d.Run("plain", []string{"-p", "8080:80"}, "80/tcp")
	d.Run("shop", []string{"--network", "shop", "-p", "8000:80", "-p", "5353:53/udp", "-p", "127.0.0.1:5432:80"}, "80/tcp", "53/udp")
	d.Run("six", []string{"--network", "six", "-p", "8443:80"}, "80/tcp")
	d.Run("inner", []string{"--network", "inner"}, "80/tcp")
	d.Run("quiet", []string{"--network", "quiet", "-p", "9000:80"}, "80/tcp")
	if d.engine.since("27") {
		network("routed", "-o", bridgeOption+"gateway_mode_ipv4=routed")
		network("open", "-o", bridgeOption+"gateway_mode_ipv4=nat-unprotected")
		d.Run("routed", []string{"--network", "routed", "-p", "9100:80"}, "80/tcp")
		d.Run("open", []string{"--network", "open", "-p", "9200:80"}, "80/tcp")
	}
}

// deletions deletes every rule and chain that Docker made, one at a time.
func (w *world) deletions(scenario string) {
	w.t.Helper()
	count, missed, restarts, n := 0, 0, 0, 0
	for _, f := range families {
		for _, table := range []string{"raw", "filter", "nat"} {
			for _, line := range strings.Split(w.backend.Save(w.top.Host, f, table), "\n") {
				commands := deletion(w.backend.Command(f, "")+" -w -t "+table, line, w.backend.Save(w.top.Host, f, table))
				if f == packet.IPv6 && !w.docker.engine.since("26") && strings.HasPrefix(line, ":DOCKER-USER ") {
					continue // not Docker's: 20.10 has none for IPv6
				}
				if n++; commands == "" || !*long && n%10 != 0 || !strings.Contains(w.backend.Save(w.top.Host, f, table), line) || f == packet.IPv6 && !w.aboutIPv6(line) {
					continue
				}
				count++
				w.top.Host.Must("sh", "-e", "-c", commands)
				found := w.examinedWith(w.known())
				if len(found) == 0 {
					missed++
					w.t.Errorf("not found: %v without %s", f, line)
				}
				if w.fix(found) || len(found) == 0 {
					restarts++
					if len(found) == 0 {
						w.restart()
					}
				}
				if after := w.examinedWith(w.known()); len(after) > 0 {
					missed++
					w.t.Errorf("%v without %s:\n%s\nafter the fix:\n%s", f, line, doctor.Text(found), doctor.Text(after))
					w.restart()
				}
			}
		}
	}
	// And all of it at once.
	count++
	w.top.Host.Must(w.backend.Command(packet.IPv4, ""), "-w", "-F")
	found := w.examinedWith(w.known())
	if !slices.ContainsFunc(found, func(f doctor.Finding) bool { return strings.Contains(f.Summary, "DOCKER-USER") }) {
		missed++
		w.t.Errorf("a flushed table:\n%s", doctor.Text(found))
	}
	// And every chain in both families, while the daemon answers.
	count++
	for _, f := range families {
		for _, table := range []string{"raw", "nat", "filter"} {
			iptables := w.backend.Command(f, "") + " -w -t " + table
			w.top.Host.Must("sh", "-c", iptables+" -F && "+iptables+" -X")
		}
	}
	host := w.host()
	host.Facts = doctor.Facts{Live: true, Daemon: true}
	found = doctor.Run(context.Background(), host, prove.Limits{})
	if len(found) != 1 || found[0].Code != "SD001" || !strings.Contains(found[0].Summary, "none of its chains") {
		missed++
		w.t.Errorf("no chain of Docker is there, and its daemon answers:\n%s", doctor.Text(found))
	}
	w.t.Logf("%d deletions, %d missed, %d fixed by a restart", count, missed, restarts)
	results.add(scenario, count, missed)
}

// aboutIPv6 reports whether a rule of IPv6 matters: not one of a bridge that has no IPv6,
// which older engines keep apart all the same.
func (w *world) aboutIPv6(line string) bool {
	for _, bridge := range []string{"docker0", "br-shop", "br-inner", "br-quiet", "br-routed", "br-open"} {
		if strings.Contains(line, " "+bridge+" ") {
			return false
		}
	}
	return true
}

// deletion are the commands that delete what a saved line says: a rule of Docker, or a
// chain of it with the rules that lead there; "" for one that is left alone.
func deletion(iptables, line, saved string) string {
	if name, isChain := strings.CutPrefix(line, ":DOCKER"); isChain {
		chain := "DOCKER" + strings.Fields(name)[0]
		if name[0] == ' ' {
			chain = "DOCKER"
		}
		commands := iptables + " -F " + chain + "\n"
		for _, other := range strings.Split(saved, "\n") {
			if rule, ok := strings.CutPrefix(other, "-A "); ok && strings.HasSuffix(rule, " -j "+chain) {
				commands += iptables + " -D " + rule + "\n"
			}
		}
		return commands + iptables + " -X " + chain
	}
	if !dockers(line) {
		return ""
	}
	return iptables + " -D " + strings.TrimPrefix(line, "-A ")
}

// dockers reports whether a saved line is a rule that Docker made and that matters.
func dockers(line string) bool {
	fields := strings.Fields(line)
	if len(fields) < 4 || fields[0] != "-A" || iptables.Owned(fields[1]) || strings.Contains(line, "SEAWALL") {
		return false
	}
	return !strings.HasSuffix(line, "-j RETURN") || strings.Contains(line, " -i ")
}
