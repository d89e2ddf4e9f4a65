//go:build linux

package lab

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/packet"
)

// banned is a client that the policy allows, and that misbehaves.
const banned = "172.20.1.5"

// fail2ban bans in DOCKER-USER, which Seawall shares with it: its bans hold while the
// policy is loaded again and again.
func TestFail2ban(t *testing.T) {
	t.Parallel()
	onEachHost(t, func(t *testing.T, e Engine, b Backend) {
		h := newManaged(t, "fail2ban", "fail2ban", e, b, managedOptions{bans: regexp.MustCompile(`(?m)^.*f2b-.*\n`)})
		h.top.Clients(banned)
		load := h.sharedFiles()
		load()
		h.write("/etc/fail2ban/filter.d/lab.conf", "[Definition]\nfailregex = refused <HOST>$\n", 0o644)
		h.write("/etc/fail2ban/jail.local", "[sshd]\nenabled = false\n[lab]\nenabled = true\nbackend = polling\nlogpath = /var/log/lab.log\n"+
			"maxretry = 1\nbanaction = iptables-allports\nchain = DOCKER-USER\n", 0o644)
		h.write("/var/log/lab.log", "", 0o644)
		h.must("mkdir", "-p", "/run/fail2ban", "/var/lib/fail2ban")
		h.startFail2ban()
		p := Probe{From: netip.MustParseAddr(banned), To: netip.MustParseAddr(HostAddress(0, packet.IPv4)), Port: namedPort, Network: "tcp"}
		h.want(h.scenario("a ban"), "before the ban", h.top.Far.Probe(p), Open)
		h.misbehaves(banned)
		h.until("the client is banned", func() bool { return h.top.Far.Probe(p) == Refused })
		chain := h.must("iptables", "-S", "DOCKER-USER")
		h.holdsBan("reload", p, func() {
			for range times(10) {
				load()
			}
		})
		if diff := cmp.Diff(chain, h.must("iptables", "-S", "DOCKER-USER")); diff != "" {
			t.Errorf("DOCKER-USER changed:\n%s", diff)
		}
		if *long {
			h.holdsBan("restart of Docker", p, h.restartDocker)
		}
		h.appliesBesideBans(p)
		h.must("fail2ban-client", "set", "lab", "unbanip", banned)
		h.want(h.scenario("an unban"), "after the unban", h.top.Far.Probe(p), Open)
		if !*long {
			return
		}
		h.misbehaves(banned)
		h.until("the client is banned again", func() bool { return h.top.Far.Probe(p) == Refused })
		// A stop takes the bans back, and nothing of Seawall's.
		h.closed("stop of fail2ban", func() {
			h.must("fail2ban-client", "stop")
			h.stopped("fail2ban")
		})
		h.want(h.scenario("stop of fail2ban"), "after the stop", h.top.Far.Probe(p), Open)
		h.startFail2ban()
		h.until("fail2ban remembers the ban", func() bool { return h.top.Far.Probe(p) == Refused })
		h.intact("start of fail2ban")
	})
}

// holdsBan is closed, to a banned client as well.
func (h *managed) holdsBan(event string, p Probe, do func()) {
	h.t.Helper()
	s := h.floodOf(p, time.Millisecond)
	h.closed(event, do)
	s.end()
	results.add(h.scenario(event), int(s.sent.Load()), int(s.open.Load()))
	if s.open.Load() > 0 || s.sent.Load() == 0 {
		h.t.Errorf("%s: the banned client got in %d times of %d", h.scenario(event), s.open.Load(), s.sent.Load())
	}
	h.t.Logf("%s: the banned client: %d, %d got in", h.scenario(event), s.sent.Load(), s.open.Load())
	// The kernel limits how often it refuses.
	h.until("the banned client is refused", func() bool { return h.top.Far.Probe(p) == Refused })
}

// sharedFiles puts the policy on the host, in files that leave DOCKER-USER alone but for a
// jump, and returns what loads them: iptables-restore, and the commands that each file
// says are needed after a boot.
func (h *managed) sharedFiles() func() {
	h.t.Helper()
	script := "set -e\n"
	for name, text := range h.files(emit.Restore) {
		if !strings.HasPrefix(name, "rules.") {
			continue
		}
		restore := map[string]string{"rules.v4": "iptables-restore", "rules.v6": "ip6tables-restore"}[name]
		h.write("/etc/seawall/"+name, text, 0o644)
		script += restore + " --noflush </etc/seawall/" + name + "\n"
		commands := regexp.MustCompile("(?m)^#   (ip.*\n)").FindAllStringSubmatch(text, -1)
		if len(commands) < 3 {
			h.t.Fatalf("%s names %d commands:\n%s", name, len(commands), text)
		}
		for _, c := range commands {
			script += c[1]
		}
	}
	h.write("/etc/seawall/load", script, 0o755)
	return func() { h.must("sh", "/etc/seawall/load") }
}

func (h *managed) startFail2ban() {
	h.t.Helper()
	h.daemon("fail2ban", "/usr/bin/python3", "/usr/bin/fail2ban-server", "-xf", "start")
	h.until("fail2ban runs", func() bool {
		_, err := h.try("fail2ban-client", "status", "lab")
		return err == nil
	})
}

// misbehaves writes to the log what a jail waits for.
func (h *managed) misbehaves(client string) {
	h.t.Helper()
	f, err := os.OpenFile(h.docker.inside("/var/log/lab.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString(time.Now().Format("2006-01-02 15:04:05") + " refused " + client + "\n"); err != nil {
		h.t.Fatal(err)
	}
}

// appliesBesideBans applies one policy after the other while fail2ban bans and unbans:
// each of its bans is effective, each end of one as well, and the kernel holds the policy.
func (h *managed) appliesBesideBans(p Probe) {
	h.t.Helper()
	text, err := os.ReadFile(h.policy)
	if err != nil {
		h.t.Fatal(err)
	}
	n := 4
	if *long {
		n = 50
	}
	for i := range n {
		h.write("/etc/seawall/next.hcl", fmt.Sprintf("%s\npolicy \"next\" {\n  ports = [%d]\n}\n", text, 30000+i), 0o644)
		verb := []string{"unbanip", "banip"}[i%2]
		var client error
		var said string
		var wait sync.WaitGroup
		wait.Go(func() {
			time.Sleep(time.Duration(i*37%400) * time.Millisecond)
			said, client = h.try("fail2ban-client", "set", "lab", verb, banned)
			for j := range 5 {
				if client == nil {
					said, client = h.try("fail2ban-client", "set", "lab", verb, fmt.Sprintf("203.0.113.%d", 5*i+j+1))
				}
			}
		})
		out, err := h.try(mustSeawall(h.t), "apply", "/etc/seawall/next.hcl", "--yes", "--confirm-within", "0", "--run-dir", "/run/seawall")
		wait.Wait()
		if err != nil || client != nil {
			h.t.Fatalf("%s: apply: %v\n%s\nfail2ban-client: %v\n%s", h.scenario("apply"), err, out, client, said)
		}
		at := h.scenario(fmt.Sprintf("apply %d, %s", i, verb))
		want := map[string]Outcome{"banip": Refused, "unbanip": Open}[verb]
		h.until(at+" is effective", func() bool { return h.top.Far.Probe(p) == want })
		h.verifies(at, "/etc/seawall/next.hcl", verb == "banip")
		h.bannedAre(at)
	}
}

// verifies runs verify on what the kernel holds: with a ban it is stricter than the
// policy, and without one too, for fail2ban's other clients are.
func (h *managed) verifies(at, policy string, ban bool) {
	h.t.Helper()
	rules := h.backend.Save(h.top.Host, packet.IPv4, "filter")
	for args, want := range map[string]int{"": 2, "--allow-stricter": 0} {
		c := h.docker.system(mustSeawall(h.t), strings.Fields("verify "+policy+" --rules - "+args)...)
		c.Stdin = strings.NewReader(rules)
		out, _ := c.CombinedOutput() // its exit code is what counts
		if got := c.ProcessState.ExitCode(); got != want && (ban || want == 0) {
			h.t.Errorf("%s: verify %s: exit %d, want %d\n%s\n%s", at, args, got, want, out, rules)
		}
	}
}

// bannedAre demands that fail2ban and the kernel know of the same bans, and that nobody
// else's rule is in its chain.
func (h *managed) bannedAre(at string) {
	h.t.Helper()
	list := strings.Fields(h.must("fail2ban-client", "get", "lab", "banip"))
	var rules []string
	for line := range strings.Lines(h.must("iptables", "-S", "f2b-lab")) {
		if fields := strings.Fields(line); fields[0] == "-A" && fields[2] == "-s" {
			rules = append(rules, strings.TrimSuffix(fields[3], "/32"))
		}
	}
	slices.Sort(list)
	slices.Sort(rules)
	if diff := cmp.Diff(list, rules, cmpopts.EquateEmpty()); diff != "" {
		h.t.Errorf("%s: fail2ban and the kernel have other bans:\n%s", at, diff)
	}
	if n := strings.Count(h.must("iptables", "-S", "DOCKER-USER"), "-j f2b-lab\n"); n != 1 {
		h.t.Errorf("%s: %d jumps to fail2ban's chain", at, n)
	}
}
