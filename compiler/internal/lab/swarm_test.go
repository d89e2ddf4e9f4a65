//go:build linux

package lab

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seawall/seawall/compiler/doctor"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/packet"
)

// A swarm of one host. Its services run, and one that publishes in host mode is reached
// like a container. Where the kernel has no IPVS the engine writes no rules for the
// ingress network; then those that it writes elsewhere (programIngress in libnetwork's
// service_linux.go) are loaded by hand, and lead to the task itself in place of the
// load balancer.
func TestSwarm(t *testing.T) {
	t.Parallel()
	NeedDocker(t)
	for i, e := range Engines(t) {
		for j, b := range Backends {
			t.Run(e.Name+"/"+string(b), func(t *testing.T) {
				if !*long && (i+1 < len(Engines(t)) || j > 0) {
					t.Skip("a short run takes one back end of the newest engine")
				}
				t.Parallel()
				w := newWorldOf(t, e, b)
				w.swarm()
				w.healthy("a swarm")
				w.service("web", "mode=host,target=80,published=9000", "80/tcp")
				w.service("shop", "target=8080,published=8080", "8080/tcp")
				w.healthy("a swarm with services")
				w.compareExposure("exposure, swarm, "+e.Name, "as the engine has it")
				w.ingress(8080)
				w.healthy("a swarm with its ingress")
				w.compareExposure("exposure, swarm, "+e.Name, "with the ingress")
				w.apply(parsePolicy(strings.Replace(openWorld, "9100,", "9000, 9100,", 1)), emit.Shell)
				w.compareExposure("exposure, swarm, "+e.Name, openWorld)
				w.ingressDeletions("doctor, swarm, " + e.Name)
			})
		}
	}
}

// swarm starts one, without a name server: the engine asks a registry for every image,
// and is to be refused at once.
func (w *world) swarm() {
	w.t.Helper()
	d := w.docker
	nobody := filepath.Join(d.dir, "resolv.conf")
	if err := os.WriteFile(nobody, []byte("nameserver 127.0.0.1\n"), 0o644); err != nil {
		w.t.Fatal(err)
	}
	if out, err := d.enter("mount", "--bind", nobody, "/etc/resolv.conf").CombinedOutput(); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	d.Must("swarm", "init", "--advertise-addr", HostAddress(0, packet.IPv4))
}

// service starts a service of one task, and waits for it.
func (w *world) service(name, publish, listen string) {
	w.t.Helper()
	d := w.docker
	d.Must("service", "create", "-d", "--no-resolve-image", "--name", name, "--publish", publish, "echo:1", listen)
	for range 600 {
		if id := d.Must("ps", "-q", "--filter", "name="+name); id != "" {
			d.waitReady(id)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.t.Fatalf("the task of %s does not run: %s", name, d.Must("service", "ps", "--no-trunc", name))
}

// healthy holds that doctor finds nothing, whether Docker is asked or not.
func (w *world) healthy(what string) {
	w.t.Helper()
	wrong := 0
	for _, known := range []bool{false, true} {
		look := func() []doctor.Finding {
			if known {
				return w.examinedWith(w.known())
			}
			return w.examinedWith(nil)
		}
		found := look()
		for try := 0; len(found) > 0 && try < 5; try++ { // the engine may still write the rules
			time.Sleep(time.Second)
			found = look()
		}
		if len(found) > 0 {
			wrong++
			w.t.Errorf("%s, Docker asked %v:\n%s", what, known, doctor.Text(found))
		}
	}
	results.add("healthy hosts, swarm, "+w.docker.engine.Name, 1, wrong)
}

// ingress has the rules of a port on the ingress network.
func (w *world) ingress(port int) {
	w.t.Helper()
	if strings.Contains(w.backend.Save(w.top.Host, packet.IPv4, "nat"), "DOCKER-INGRESS") {
		return // the engine has written them
	}
	at, from := "2", "FORWARD"
	if strings.Contains(w.backend.Save(w.top.Host, packet.IPv4, "filter"), ":DOCKER-FORWARD ") {
		at, from = "1", "DOCKER-FORWARD"
	}
	id := w.docker.Must("ps", "-q", "--filter", "name=shop")
	task := w.docker.Must("network", "inspect", "-f", `{{range $id, $c := .Containers}}{{if eq (slice $id 0 12) "`+id+`"}}{{$c.IPv4Address}}{{end}}{{end}}`, "docker_gwbridge")
	task, _, _ = strings.Cut(task, "/")
	script := strings.NewReplacer("{port}", strconv.Itoa(port), "{task}", task, "{from}", from, "{at}", at).Replace(`
iptables -w -t nat -N DOCKER-INGRESS
iptables -w -t nat -A DOCKER-INGRESS -j RETURN
iptables -w -N DOCKER-INGRESS
iptables -w -A DOCKER-INGRESS -j RETURN
iptables -w -t nat -I OUTPUT -m addrtype --dst-type LOCAL -j DOCKER-INGRESS
iptables -w -t nat -I PREROUTING -m addrtype --dst-type LOCAL -j DOCKER-INGRESS
iptables -w -I {from} {at} -j DOCKER-INGRESS
iptables -w -t nat -I POSTROUTING -m addrtype --src-type LOCAL -o docker_gwbridge -j MASQUERADE
iptables -w -t nat -I DOCKER-INGRESS -p tcp --dport {port} -j DNAT --to-destination {task}:{port}
iptables -w -I DOCKER-INGRESS -p tcp --sport {port} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
iptables -w -I DOCKER-INGRESS -p tcp --dport {port} -j ACCEPT
`)
	if out, err := w.docker.enter("sh", "-e", "-c", script).CombinedOutput(); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
}

// ingressDeletions deletes every rule and chain of the ingress network and its bridge,
// one at a time.
func (w *world) ingressDeletions(scenario string) {
	w.t.Helper()
	iptables := w.backend.Command(packet.IPv4, "")
	count, missed, repaired, n := 0, 0, 0, 0
	for _, table := range []string{"raw", "filter", "nat"} {
		for _, line := range strings.Split(w.backend.Save(w.top.Host, packet.IPv4, table), "\n") {
			before := w.backend.Save(w.top.Host, packet.IPv4, table)
			commands := deletion(iptables+" -w -t "+table, line, before)
			if commands == "" || !strings.Contains(line, "INGRESS") && !strings.Contains(line, "docker_gwbridge") || !strings.Contains(before, line) {
				continue
			}
			if n++; !*long && n%3 != 0 {
				continue
			}
			count++
			w.top.Host.Must("sh", "-e", "-c", commands)
			found := w.examinedWith(w.known())
			if len(found) == 0 {
				missed++
				w.t.Errorf("not found: %s", line)
			}
			if restarts := slices.ContainsFunc(found, func(f doctor.Finding) bool { return slices.Contains(f.Fix, "systemctl restart docker") }); restarts || len(found) == 0 {
				w.restored(before) // a restart would not bring rules back that were loaded by hand
			} else {
				repaired++
				w.fix(found)
			}
			if after := w.examinedWith(w.known()); len(after) > 0 {
				w.t.Fatalf("without %s:\n%s\nafter the fix:\n%s", line, doctor.Text(found), doctor.Text(after))
			}
		}
	}
	w.t.Logf("%d deletions, %d missed, %d fixed without a restart", count, missed, repaired)
	results.add(scenario, count, missed)
}

// restored loads a saved table of IPv4 again.
func (w *world) restored(saved string) {
	w.t.Helper()
	c := w.top.Host.Command(w.backend.Command(packet.IPv4, "-restore"))
	c.Stdin = strings.NewReader(saved)
	if out, err := c.CombinedOutput(); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
}
