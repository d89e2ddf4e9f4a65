//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/system"
	"github.com/seawall/seawall/schema"
)

// managed is a Docker host with a firewall manager. It publishes two ports, one that the
// policy names and one that it does not.
type managed struct {
	*world
	system  string
	doc     *schema.Document
	policy  string              // the policy as a file
	rules   map[string][]string // Docker's own rules, a family and table each, before the policy
	options managedOptions
}

type managedOptions struct {
	before func(*managed) // what starts before the engine
	table  bool           // the policy is a table of nft, not chains of iptables
	chains bool           // it is both
	bans   *regexp.Regexp // the lines of others, who ban sources in DOCKER-USER
}

const namedPort, otherPort = 8080, 9100

// newManaged starts a host with its engine and container, and no policy yet.
func newManaged(t *testing.T, system, packages string, e Engine, b Backend, o managedOptions) *managed {
	t.Helper()
	packages = systemPackages(t, packages)
	NeedDocker(t)
	e.iptables = "" // a host has one version of iptables
	text := lifeText(1)
	if o.bans != nil {
		text = strings.Replace(text, "host {\n", "host {\n  docker_user = \"shared\"\n", 1)
	}
	h := &managed{world: &world{t: t, backend: b, top: NewTopology(t, "eth0", "eth1")}, system: system, options: o, doc: parsePolicy(text)}
	h.policy = filepath.Join(t.TempDir(), "policy.hcl")
	if err := os.WriteFile(h.policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h.top.Clients(friend, stranger, friend6, stranger6)
	h.docker = newDocker(t, h.top, e, b)
	h.docker.holdIn(packages)
	if o.before != nil {
		o.before(h)
	}
	h.docker.StartDaemon()
	h.docker.importEcho()
	h.docker.Run("plain", []string{"-p", fmt.Sprintf("%d:80", namedPort), "-p", fmt.Sprintf("%d:80", otherPort)}, "80/tcp")
	h.rules = h.dockersRules()
	return h
}

// systemEngines are the engines that a system is tried with: the newest, and in a long
// run the machine's own as well.
func systemEngines(t *testing.T) []Engine {
	list := Engines(t)
	if *long && len(list) > 1 {
		return []Engine{list[len(list)-1], list[0]}
	}
	return list[len(list)-1:]
}

// onEachHost runs a test with each engine and back end of this run.
func onEachHost(t *testing.T, test func(*testing.T, Engine, Backend)) {
	t.Helper()
	NeedDocker(t)
	for i, e := range systemEngines(t) {
		for j, b := range Backends {
			if i+j == 0 || *long {
				t.Run(e.Name+"/"+string(b), func(t *testing.T) {
					t.Parallel()
					test(t, e, b)
				})
			}
		}
	}
}

// times is how often an event is repeated: a few times, or a hundred in a long run.
func times(few int) int {
	if *long {
		return 100
	}
	return few
}

// try runs a program of the host.
func (h *managed) try(program string, args ...string) (string, error) {
	out, err := h.docker.system(program, args...).CombinedOutput()
	return string(out), err
}

// must runs a program of the host that has to succeed.
func (h *managed) must(program string, args ...string) string {
	h.t.Helper()
	out, err := h.try(program, args...)
	if err != nil {
		h.t.Fatalf("%s: %s %s: %v\n%s", h.system, program, strings.Join(args, " "), err, out)
	}
	return out
}

// daemon starts a program of the host that runs until it is stopped, or the test ends.
func (h *managed) daemon(name, program string, args ...string) {
	h.t.Helper()
	log, err := os.OpenFile(filepath.Join(h.docker.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	c := h.docker.system("sh", append([]string{"-c", `echo $$ >/run/lab-` + name + `.pid; exec "$@"`, "sh", program}, args...)...)
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() { _ = c.Wait() }() // it ends by a signal
}

// signal sends a signal to a daemon.
func (h *managed) signal(name, signal string) {
	h.t.Helper()
	h.must("sh", "-c", "kill -"+signal+" $(cat /run/lab-"+name+".pid)")
}

// stopped waits until a daemon has ended.
func (h *managed) stopped(name string) {
	h.t.Helper()
	h.until(name+" ends", func() bool {
		_, err := h.try("sh", "-c", "kill -0 $(cat /run/lab-"+name+".pid)")
		return err != nil
	})
}

// until waits for something that has to happen.
func (h *managed) until(what string, happened func() bool) {
	h.t.Helper()
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if happened() {
			return
		}
	}
	logs := ""
	for _, name := range []string{"firewalld", "dbus", "fail2ban"} {
		text, _ := os.ReadFile(filepath.Join(h.docker.dir, name+".log"))
		logs += string(text)
	}
	h.t.Fatalf("%s: waited in vain: %s\n%s", h.system, what, logs)
}

// write puts a file on the host.
func (h *managed) write(path, text string, mode fs.FileMode) {
	h.t.Helper()
	at := h.docker.inside(path)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), mode); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Chmod(at, mode); err != nil {
		h.t.Fatal(err)
	}
}

// read is the text of a file of the host.
func (h *managed) read(path string) string {
	h.t.Helper()
	text, err := os.ReadFile(h.docker.inside(path))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(text)
}

// edit replaces words in a file of the host, each of which has to be there.
func (h *managed) edit(path string, pairs ...string) {
	h.t.Helper()
	text := h.read(path)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			h.t.Fatalf("%s lacks %q", path, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	info, err := os.Stat(h.docker.inside(path))
	if err != nil {
		h.t.Fatal(err)
	}
	h.write(path, text, info.Mode().Perm())
}

// files compiles the policy, and returns what was written by its name.
func (h *managed) files(format *emit.Format) map[string]string {
	h.t.Helper()
	dir, files := h.compile(h.doc, format), map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			h.t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	return files
}

// unit runs the commands of a unit of systemd: those of "ExecStart", "ExecReload" or
// "ExecStop", as its file and its drop-ins say.
func (h *managed) unit(name, key string) {
	h.t.Helper()
	commands := h.commands(name, key)
	if key == "ExecStart" {
		commands = slices.Concat(h.commands(name, "ExecStartPre"), commands, h.commands(name, "ExecStartPost"))
	}
	for _, command := range commands {
		command, mayFail := strings.CutPrefix(command, "-")
		// systemd writes $$ for $.
		if out, err := h.try("sh", "-c", strings.ReplaceAll(command, "$$", "$")); err != nil && !mayFail {
			h.t.Fatalf("%s, %s: %s: %v\n%s", name, key, command, err, out)
		}
	}
}

// commands are the lines of a key in a unit and its drop-ins; an empty one takes back
// those before it.
func (h *managed) commands(name, key string) []string {
	h.t.Helper()
	text := ""
	for _, dir := range []string{"/usr/lib/systemd/system/", "/etc/systemd/system/"} {
		paths := []string{dir + name}
		drops, _ := os.ReadDir(h.docker.inside(dir + name + ".d")) // few units have any
		for _, d := range drops {
			paths = append(paths, dir+name+".d/"+d.Name())
		}
		for _, path := range paths {
			if fileExists(h.docker.inside(path)) {
				text += h.read(path) + "\n"
			}
		}
	}
	var commands []string
	for line := range strings.Lines(text) {
		command, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), key+"=")
		switch {
		case ok && command == "":
			commands = nil
		case ok:
			commands = append(commands, command)
		}
	}
	if commands == nil && key == "ExecStart" {
		h.t.Fatalf("%s has no %s", name, key)
	}
	return commands
}

// install writes the policy's files for a system into its folder, as seawall compile --for
// says, and runs the commands that it prints. Nobody starts anything by them: the lab has
// no systemd, and no OpenRC.
func (h *managed) install(name string) {
	h.t.Helper()
	s := system.ByName(name)
	for _, manager := range []string{"systemctl", "rc-update"} {
		h.write("/usr/local/sbin/"+manager, "#!/bin/sh\nexit 0\n", 0o755)
	}
	h.must("mkdir", "-p", s.Folder, "/etc/systemd/system", "/etc/conf.d")
	folder := h.docker.inside(s.Folder)
	args := []string{"compile", h.policy, "--for", name, "--out-dir", folder}
	if s.Splices() {
		args = append(args, "--base", folder)
	}
	if out, err := exec.Command(mustSeawall(h.t), args...).CombinedOutput(); err != nil {
		h.t.Fatalf("seawall %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	for _, command := range s.SwitchOn {
		h.must("sh", "-c", command)
	}
}

// The ways that a denied source tries.
const notNamed = "IPv4, a port not named"

var (
	ways      = []string{"IPv4", notNamed, "IPv6, docker-proxy"}
	strangers = map[string]Probe{ways[0]: lifeProbe(stranger), notNamed: otherProbe(), ways[2]: lifeProbe(stranger6)}
)

func otherProbe() Probe {
	p := lifeProbe(stranger)
	p.Port = otherPort
	return p
}

// tally is what became of the streams of an event: attempts sent, and those that got in.
type tally map[string][2]int

// under does something to the host while denied sources try to connect.
// What gets in over the ways that are named is no mistake of Seawall's.
func (h *managed) under(event string, do func(), but ...string) tally {
	h.t.Helper()
	streams, pause := map[string]*stream{}, 4*time.Millisecond
	if *long {
		pause = 500 * time.Microsecond
	}
	for name, p := range strangers {
		streams[name] = h.floodOf(p, pause)
	}
	time.Sleep(200 * time.Millisecond)
	started := time.Now()
	do()
	took := time.Since(started)
	got := tally{}
	for _, s := range streams {
		close(s.stop)
	}
	for name, s := range streams {
		s.done.Wait()
		got[name] = [2]int{int(s.sent.Load()), int(s.open.Load())}
		if !slices.Contains(but, name) {
			results.add(h.scenario(event), int(s.sent.Load()), int(s.open.Load()))
		}
	}
	h.t.Logf("%s in %v: %v", h.scenario(event), took.Round(time.Millisecond), got)
	return got
}

func (h *managed) scenario(event string) string {
	return fmt.Sprintf("%s, %s, %s: %s", h.system, h.docker.engine.Name, h.backend, event)
}

// shut does something to the host while denied sources try to connect: none of them may
// get in, but for those whose stream is named.
func (h *managed) shut(event string, do func(), but ...string) {
	h.t.Helper()
	for name, n := range h.under(event, do, but...) {
		if n[1] > 0 && !slices.Contains(but, name) || n[0] == 0 {
			h.t.Errorf("%s: %s: a denied source got in %d times of %d", h.scenario(event), name, n[1], n[0])
		}
	}
}

// opens demands that denied sources get in during an event: what a system does to a host
// that nothing here can prevent, so that the documentation stays true.
func (h *managed) opens(event string, do func()) {
	h.t.Helper()
	got := h.under(event, do, ways...)
	for _, name := range ways {
		if got[name][1] > 0 {
			return
		}
	}
	h.t.Errorf("%s: nobody got in, and the documentation says that somebody does", h.scenario(event))
}

// closed is shut, and afterwards everything has to be as it was.
func (h *managed) closed(event string, do func(), but ...string) {
	h.t.Helper()
	h.shut(event, do, but...)
	h.intact(event)
}

// intact demands that the policy is in the kernel and the only one, that Docker's own
// rules are as they were, and that clients see it.
func (h *managed) intact(event string) {
	h.t.Helper()
	at, rules := h.scenario(event), h.dockersRules()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && !cmp.Equal(h.rules, rules); rules = h.dockersRules() {
		time.Sleep(200 * time.Millisecond) // Docker makes them again when firewalld is back
	}
	if diff := cmp.Diff(h.rules, rules); diff != "" {
		h.t.Errorf("%s: Docker's rules are not what they were:\n%s", at, diff)
	}
	if h.options.table {
		h.verify(at, h.table())
	}
	if !h.options.table || h.options.chains {
		for _, f := range families {
			text := h.backend.Save(h.top.Host, f, "filter")
			h.verify(at, text)
			h.jumps(at, f, text)
		}
	}
	h.both(at, event)
}

// jumps demands that Seawall's chains are reached once, before any other rule.
func (h *managed) jumps(at string, f packet.Family, text string) {
	h.t.Helper()
	for chain, target := range map[string]string{"INPUT": "SEAWALL-INPUT", "FORWARD": "DOCKER-USER"} {
		jump := "-A " + chain + " -j " + target + "\n"
		first := regexp.MustCompile("(?m)^-A " + chain + " .*\n").FindString(text)
		if n := strings.Count(text, jump); n != 1 || first != jump {
			h.t.Errorf("%s: IPv%d has %d jumps from %s to %s; first is %s\n%s", at, f, n, chain, target, first, text)
		}
	}
}

// verify runs seawall verify.
func (h *managed) verify(at, rules string) {
	h.t.Helper()
	if h.options.bans != nil {
		rules = h.options.bans.ReplaceAllString(rules, "")
	}
	c := exec.Command(mustSeawall(h.t), "verify", h.policy, "--rules", "-")
	c.Stdin = bytes.NewReader([]byte(rules))
	wrong := 0
	if out, err := c.CombinedOutput(); err != nil {
		wrong = 1
		h.t.Errorf("%s: seawall verify: %v\n%s", at, err, out)
	}
	results.add(at, 1, wrong)
}

// dockersRules are the rules that Docker made: all in its chains but DOCKER-USER, and
// those of the built-in chains that lead there or are about its bridge. Docker may make
// them again in another order.
func (h *managed) dockersRules() map[string][]string {
	h.t.Helper()
	all := map[string][]string{}
	for _, f := range families {
		for _, table := range []string{"raw", "nat", "filter"} {
			key := fmt.Sprintf("IPv%d %s", f, table)
			for line := range strings.Lines(h.backend.Save(h.top.Host, f, table)) {
				if strings.HasPrefix(line, "-A ") && strings.Contains(strings.ToUpper(line), "DOCKER") && !strings.Contains(line, "DOCKER-USER") {
					all[key] = append(all[key], line)
				}
			}
			slices.Sort(all[key])
		}
	}
	return all
}

// restartDocker restarts the daemon, and with it the container.
func (h *managed) restartDocker() {
	h.t.Helper()
	h.docker.StopDaemon()
	h.docker.StartDaemon()
	h.docker.WaitRunning("plain")
	h.ready()
}

// ready waits until the container answers its friend, who is always allowed.
func (h *managed) ready() {
	h.t.Helper()
	h.until("the container answers", func() bool {
		return h.top.Far.Probe(lifeProbe(friend)) == Open
	})
}

// boot replays a boot of the host: what was in the kernel is gone, then the firewall's
// units start, in their order, then the engine and its container.
func (h *managed) boot(units func()) {
	h.t.Helper()
	h.docker.StopDaemon()
	h.shutdown()
	h.closed("boot", func() {
		units()
		h.docker.StartDaemon()
		h.docker.WaitRunning("plain")
		h.ready()
	})
}

// shutdown takes everything out of the kernel that a reboot does.
func (h *managed) shutdown() {
	h.t.Helper()
	if h.backend == Legacy {
		h.emptyLegacy()
	}
	h.top.Host.Must("nft", "flush", "ruleset")
	h.top.Host.Must("ip", "link", "delete", "docker0")
	if out, err := h.top.Host.Run(nil, "ipset", "destroy"); err != nil {
		h.t.Fatalf("ipset destroy: %v: %s", err, out)
	}
}

// emptyLegacy empties the tables of iptables-legacy, which flush ruleset leaves.
func (h *managed) emptyLegacy() {
	h.t.Helper()
	for _, f := range families {
		iptables := Legacy.Command(f, "")
		for _, table := range []string{"raw", "mangle", "nat", "filter"} {
			h.top.Host.Must(iptables, "-t", table, "-F")
			h.top.Host.Must(iptables, "-t", table, "-X")
		}
		for _, chain := range []string{"INPUT", "FORWARD", "OUTPUT"} {
			h.top.Host.Must(iptables, "-P", chain, "ACCEPT")
		}
	}
}
