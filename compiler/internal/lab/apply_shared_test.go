//go:build linux

package lab

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/packet"
)

// shared is a host whose DOCKER-USER has rules of others, and its applies.
type shared struct {
	*world
	run string
}

// sharedText is lifeText for a DOCKER-USER that is shared.
func sharedText(n int) string {
	return strings.Replace(lifeText(n), "host {\n", "host {\n  docker_user = \"shared\"\n", 1)
}

func newShared(t *testing.T, b Backend) *shared {
	t.Helper()
	Need(t)
	return &shared{&world{t: t, backend: b, top: NewTopology(t, "eth0", "eth1")}, t.TempDir()}
}

// ban is what fail2ban does, for the first address and for each further one.
const (
	firstBan = "$four -w -N f2b-x; $four -w -A f2b-x -j RETURN; $four -w -I DOCKER-USER -p tcp -j f2b-x; "
	oneBan   = "$four -w -I f2b-x 1 -s %s -j REJECT --reject-with icmp-port-unreachable"
	oneUnban = "$four -w -D f2b-x -s %s -j REJECT --reject-with icmp-port-unreachable"
)

func (s *shared) ban(address string)   { s.t.Helper(); s.shell(fmt.Sprintf(oneBan, address)) }
func (s *shared) unban(address string) { s.t.Helper(); s.shell(fmt.Sprintf(oneUnban, address)) }

// file writes a policy.
func (s *shared) file(text string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "policy.hcl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// apply runs an apply of a text, and wants an exit code and some words.
func (s *shared) apply(what, text, stdin string, code int, says string, flags ...string) {
	s.t.Helper()
	c := s.seawallOn(append([]string{"apply", s.file(text), "--run-dir", s.run}, flags...)...)
	c.Stdin = strings.NewReader(stdin)
	out, _ := c.CombinedOutput() // the exit code is looked at
	wrong := 0
	if c.ProcessState.ExitCode() != code || !strings.Contains(string(out), says) {
		wrong = 1
		s.t.Errorf("%s: exit %d, want %d and %q:\n%s", what, c.ProcessState.ExitCode(), code, says, out)
	}
	results.add("apply beside bans, "+string(s.backend), 1, wrong)
}

// rules are the rules of both families, without counters and in an order of their own: a
// legacy kernel lists the chains as they were made.
func (s *shared) rules() string {
	text := s.backend.Save(s.top.Host, packet.IPv4, "filter") + s.backend.Save(s.top.Host, packet.IPv6, "filter")
	return counters.ReplaceAllString(text, "[0:0]")
}

// user is DOCKER-USER of IPv4.
func (s *shared) user() string {
	s.t.Helper()
	var list []string
	for line := range strings.Lines(s.top.Host.Must(s.backend.Command(packet.IPv4, ""), "-w", "-S", "DOCKER-USER")) {
		if rule, ok := strings.CutPrefix(line, "-A DOCKER-USER "); ok {
			list = append(list, strings.TrimSpace(rule))
		}
	}
	return strings.Join(list, "\n")
}

// wantUser demands the rules of DOCKER-USER.
func (s *shared) wantUser(what string, want ...string) {
	s.t.Helper()
	if got := s.user(); got != strings.Join(want, "\n") {
		s.t.Errorf("%s: DOCKER-USER is\n%s\nwant\n%s", what, got, strings.Join(want, "\n"))
	}
}

const (
	jumpOfSeawall = "-j SEAWALL-FORWARD"
	jumpOfBans    = "-p tcp -j f2b-x"
)

// verdict is what the kernel's rules say of a new connection to a port that the policy
// allows this client.
func (s *shared) verdict(from string) packet.Verdict {
	p := packet.Packet{Hook: packet.Forward, In: "eth0", Out: "docker0", Protocol: packet.TCP, State: packet.New, DNAT: true, TCPFlags: 2,
		Source: netip.MustParseAddr(from), Dest: netip.MustParseAddr("172.17.0.2"), Sport: 40000, Dport: 80,
		OrigDst: netip.MustParseAddr("203.0.113.1"), OrigPort: 8080}
	return dialect.Trace(s.backend.Table(s.top.Host, packet.IPv4), p).Verdict
}

func (s *shared) wantVerdict(what, from string, want packet.Verdict) {
	s.t.Helper()
	if got := s.verdict(from); got != want {
		s.t.Errorf("%s: %s is answered with %v, want %v", what, from, got, want)
	}
}

// unkept is an apply that is loaded and not kept; others do something while it waits.
func (s *shared) unkept(what, text, end string, others func()) {
	s.t.Helper()
	within := "60s"
	if end == "silence" || end == "kill" {
		within = "3s" // they are waited for
	}
	c := s.seawallOn("apply", s.file(text), "--run-dir", s.run, "--yes", "--confirm-within", within)
	in, err := c.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	var said strings.Builder
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	folder := ""
	for deadline := time.Now().Add(30 * time.Second); folder == "" && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if asked, _ := filepath.Glob(filepath.Join(s.run, "apply-*", "asked")); len(asked) > 0 {
			folder = filepath.Dir(asked[0])
		}
	}
	if folder == "" {
		_ = c.Process.Kill()
		_ = c.Wait() // it was killed
		s.t.Fatalf("%s: it does not ask:\n%s", what, said.String())
	}
	others()
	switch end {
	case "no":
		_, err = in.Write([]byte("no\n"))
	case "interrupt":
		err = c.Process.Signal(os.Interrupt)
	case "kill":
		err = c.Process.Kill()
	}
	_ = c.Wait() // the rules are looked at
	_ = in.Close()
	(&stops{world: s.world, dir: s.run}).settle(what)
	if err != nil {
		s.t.Errorf("%s: %v", what, err)
	}
}

// Rules that fail2ban and others have in DOCKER-USER survive an apply, and each of the ways
// in which it is taken back; so does what they change meanwhile. Nothing else changes.
func TestApplyShared(t *testing.T) {
	t.Parallel()
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			s := newShared(t, b)
			s.shell("$four -w -A INPUT -i lo -j ACCEPT; $six -w -A INPUT -i lo -j ACCEPT; $four -w -A FORWARD -i lan0 -j DROP")
			fresh := s.rules()
			s.unkept("a host without DOCKER-USER", sharedText(1), "no", func() {})
			if now := s.rules(); now != fresh {
				t.Errorf("the host was\n%s\nand is\n%s", fresh, now)
			}
			s.unkept("somebody bans in the new DOCKER-USER", sharedText(1), "no", func() { s.shell(firstBan); s.ban("9.9.9.9") })
			s.wantUser("somebody banned in the new DOCKER-USER", jumpOfBans)
			s.wantVerdict("somebody banned in the new DOCKER-USER", "9.9.9.9", packet.Unreachable)
			s.shell("$four -w -D DOCKER-USER -p tcp -j f2b-x; $four -w -D FORWARD -j DOCKER-USER; $four -w -X DOCKER-USER; $four -w -F f2b-x; $four -w -X f2b-x")

			s.apply("the first", sharedText(1), "", 0, "Loaded, and proved in the kernel.", "--yes", "--confirm-within", "0")
			s.wantUser("the first", jumpOfSeawall)
			s.shell(firstBan)
			s.ban("10.8.0.1")
			s.ban("172.20.1.7")
			s.apply("the same again", sharedText(1), "", 0, "The kernel holds this policy already.", "--yes")
			s.persists(sharedText(1))
			s.apply("another, kept", sharedText(2), "yes\nyes\n", 0, "Kept.", "--confirm-within", "30s")
			s.wantUser("another, kept", jumpOfBans, jumpOfSeawall)
			s.wantVerdict("another, kept", "10.8.0.1", packet.Unreachable)
			s.wantVerdict("another, kept", "172.20.2.7", packet.Pass)
			s.wantVerdict("another, kept", "9.9.9.9", packet.Deny)
			before := s.rules()
			for _, end := range []string{"silence", "no", "interrupt", "kill"} {
				s.unkept(end, sharedText(3), end, func() {
					s.wantVerdict("while it waits", "172.20.3.7", packet.Pass)
					s.ban("172.20.2.9")
					s.unban("172.20.1.7")
					s.shell("$four -w -I DOCKER-USER -s 192.0.2.1 -j DROP; $four -w -A DOCKER-USER -s 192.0.2.2 -j DROP")
				})
				s.wantUser(end, "-s 192.0.2.1/32 -j DROP", jumpOfBans, jumpOfSeawall, "-s 192.0.2.2/32 -j DROP")
				s.wantVerdict(end, "172.20.2.9", packet.Unreachable)
				s.wantVerdict(end, "172.20.2.7", packet.Pass)
				s.wantVerdict(end, "172.20.3.7", packet.Deny)
				s.unban("172.20.2.9")
				s.ban("172.20.1.7")
				s.shell("$four -w -D DOCKER-USER -s 192.0.2.1 -j DROP; $four -w -D DOCKER-USER -s 192.0.2.2 -j DROP")
				if now := s.rules(); now != before {
					t.Errorf("%s: the rules were\n%s\nand are\n%s", end, before, now)
				}
			}
			s.killedWithGuard(before)
			// Rules of others may deny, and not open.
			s.shell("$four -w -I DOCKER-USER -s 1.2.3.4 -j ACCEPT")
			opened := s.rules()
			s.apply("an ACCEPT of others", sharedText(3), "", 1, "    -A DOCKER-USER -s 1.2.3.4/32 -j ACCEPT\n", "--yes", "--confirm-within", "0")
			s.apply("an ACCEPT of others beside the same policy", sharedText(2), "", 1, "nothing was changed: other rules in DOCKER-USER let more through than the policy:\n", "--yes")
			if now := s.rules(); now != opened {
				t.Errorf("refused, and the rules are\n%s", now)
			}
			s.shell("$four -w -D DOCKER-USER -s 1.2.3.4 -j ACCEPT")
			// A jump that no packet reaches is moved, although Seawall's chains are right.
			s.shell("$four -w -I DOCKER-USER -j RETURN")
			s.apply("a jump out of reach", sharedText(2), "", 0, "Loaded, and proved in the kernel.", "--yes", "--confirm-within", "0")
			s.wantUser("a jump out of reach", jumpOfSeawall, "-j RETURN", jumpOfBans)
			s.openedMeanwhile()
		})
	}
}

// persists writes the boot files of the policy that is loaded: what others have in them stays.
func (s *shared) persists(text string) {
	s.t.Helper()
	boot := s.t.TempDir()
	path, theirs := filepath.Join(boot, "iptables"), "-A DOCKER-USER -s 198.51.100.9/32 -j DROP\n"
	if err := os.WriteFile(path, []byte("*filter\n:FORWARD ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n"+theirs+"COMMIT\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.apply("the boot files", text, "", 0, "wrote "+path, "--yes", "--persist", boot)
	written, err := os.ReadFile(path)
	if err != nil || strings.Count(string(written), theirs) != 1 || strings.Count(string(written), "-A DOCKER-USER "+jumpOfSeawall+"\n") != 1 {
		s.t.Errorf("the boot file: %v\n%s", err, written)
	}
	restore := s.backend.Command(packet.IPv4, "-restore")
	if said, err := s.top.Host.Run(strings.NewReader(string(written)), restore, "--test"); err != nil {
		s.t.Errorf("%s does not take the boot file: %s", restore, said)
	}
}

// killedWithGuard kills seawall, and the process that would restore the previous rules: the
// next apply does.
func (s *shared) killedWithGuard(before string) {
	s.t.Helper()
	s.unkept("killed with its guard", sharedText(3), "kill", func() {
		folders, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is right
		for _, f := range folders {
			if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), "seawall-apply\x00"+s.run) {
				if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil {
					_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
				}
			}
		}
		s.ban("192.0.2.77")
	})
	s.wantVerdict("its guard was killed", "172.20.3.7", packet.Pass)
	s.apply("the next apply", sharedText(2), "", 0, "An earlier apply was interrupted before it was confirmed: the previous rules were restored.\nThe kernel holds this policy already.", "--yes")
	s.wantVerdict("banned before it was settled", "192.0.2.77", packet.Unreachable)
	s.unban("192.0.2.77")
	if now := s.rules(); now != before {
		s.t.Errorf("settled: the rules were\n%s\nand are\n%s", before, now)
	}
}

// openedMeanwhile: somebody opens something at the moment of the load.
func (s *shared) openedMeanwhile() {
	s.t.Helper()
	four := s.backend.Command(packet.IPv4, "")
	path, err := exec.LookPath(four)
	if err != nil {
		s.t.Fatal(err)
	}
	dir := s.t.TempDir()
	opens := fmt.Sprintf("#!/bin/sh\n%[1]s-restore \"$@\" || exit\ncase $* in *--test*) ;; *) %[1]s -w -C DOCKER-USER -s 1.2.3.4 -j ACCEPT 2>/dev/null || %[1]s -w -I DOCKER-USER -s 1.2.3.4 -j ACCEPT ;; esac\n", path)
	for name, text := range map[string]string{"opens": "#!/bin/sh\nexec " + path + " \"$@\"\n", "opens-restore": opens, "opens-save": "#!/bin/sh\nexec " + path + "-save \"$@\"\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	c := s.seawallOn("apply", s.file(sharedText(3)), "--run-dir", s.run, "--yes", "--confirm-within", "0")
	c.Env = append(c.Env, "IPTABLES="+filepath.Join(dir, "opens"))
	out, _ := c.CombinedOutput() // the exit code is looked at
	if c.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "because of another rule in DOCKER-USER: -A DOCKER-USER -s 1.2.3.4/32 -j ACCEPT") {
		s.t.Errorf("opened during the load: exit %d\n%s", c.ProcessState.ExitCode(), out)
	}
	s.wantUser("opened during the load", "-s 1.2.3.4/32 -j ACCEPT", jumpOfSeawall, "-j RETURN", jumpOfBans)
	s.wantVerdict("opened during the load", "172.20.3.7", packet.Deny)
	s.wantVerdict("opened during the load", "172.20.2.7", packet.Pass)
}

// logged is a policy whose rules have words that a shell would read.
const logged = `
policy "logged" {
  ports = [9000]
  deny {
    sources = ["10.9.0.0/16"]
    reject  = true
    log     = "it's a \"log\""
  }
}
`

// closingRules are rules that people and tools write, as ones that drop: so they may stand
// beside any policy.
func closingRules(t *testing.T) []string {
	var list []string
	for _, r := range foreignRules(t) {
		if before, _, ok := strings.Cut(r, " -j "); ok {
			r = before
		}
		if !strings.HasPrefix(r, "-j ") {
			list = append(list, r+" -j DROP")
		}
	}
	return list
}

// loadable are those of some rules that iptables takes.
func (s *shared) loadable(rules []string) []string {
	s.t.Helper()
	four := s.backend.Command(packet.IPv4, "")
	s.shell("$four -w -N TRIAL; $four -w -I FORWARD -j TRIAL; ipset create one hash:net; ipset create two hash:ip timeout 600")
	var list []string
	for _, r := range rules {
		if _, err := s.top.Host.Run(nil, four, append([]string{"-w", "-A", "TRIAL"}, strings.Fields(r)...)...); err == nil {
			list = append(list, r)
		}
	}
	s.shell("$four -w -D FORWARD -j TRIAL; $four -w -F TRIAL; $four -w -X TRIAL")
	if len(list) < 40 {
		s.t.Fatalf("only %d rules of others load", len(list))
	}
	if !*long {
		list = list[:40]
	}
	return list
}

func (s *shared) insert(at int, rule string) {
	s.t.Helper()
	s.top.Host.Must(s.backend.Command(packet.IPv4, ""), append([]string{"-w", "-I", "DOCKER-USER", strconv.Itoa(at)}, strings.Fields(rule)...)...)
}

// From a DOCKER-USER that was Seawall's as a whole to a shared one, and back.
func TestApplyBecomesShared(t *testing.T) {
	t.Parallel()
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			s := newShared(t, b)
			whole1, shared1, shared2 := lifeText(1)+logged, sharedText(1)+logged, sharedText(2)+logged
			closing := s.loadable(closingRules(t))
			layouts := []string{"flat", "indexed"}
			if !*long {
				layouts = layouts[:1]
			}
			for _, layout := range layouts {
				s.apply(layout+" as a whole", whole1, "", 0, "Loaded, and proved in the kernel.", "--yes", "--force", "--confirm-within", "0", "--layout", layout)
				whole := strings.Split(s.user(), "\n")
				s.shell(firstBan + fmt.Sprintf(oneBan, "10.8.0.1") + "; $four -w -I DOCKER-USER 3 -s 192.0.2.1 -j DROP; $four -w -A DOCKER-USER -s 192.0.2.2 -j DROP")
				for i, r := range closing {
					s.insert(1+i%8, r)
				}
				before := s.rules()
				others := slices.DeleteFunc(strings.Split(s.user(), "\n"), func(r string) bool { return slices.Contains(whole, r) })
				s.unkept(layout, shared2, "no", func() {
					s.wantUser(layout, append([]string{jumpOfSeawall}, others...)...)
				})
				if now := s.rules(); now != before {
					t.Errorf("%s: the rules were\n%s\nand are\n%s", layout, before, now)
				}
				for _, r := range closing {
					s.top.Host.Must(b.Command(packet.IPv4, ""), append([]string{"-w", "-D", "DOCKER-USER"}, strings.Fields(r)...)...)
				}
				s.unkept(layout+", a ban meanwhile", shared2, "kill", func() {
					s.shell("$four -w -I DOCKER-USER -s 192.0.2.3 -j DROP; $four -w -D DOCKER-USER -s 192.0.2.1 -j DROP")
				})
				s.wantUser(layout+", a ban meanwhile", slices.Concat([]string{"-s 192.0.2.3/32 -j DROP", jumpOfBans}, whole, []string{"-s 192.0.2.2/32 -j DROP"})...)
				s.apply(layout+", the same policy", shared1, "", 0, "Loaded, and proved in the kernel.", "--yes", "--confirm-within", "0")
				s.wantUser(layout+", the same policy", jumpOfSeawall, "-s 192.0.2.3/32 -j DROP", jumpOfBans, "-s 192.0.2.2/32 -j DROP")
				s.apply(layout+", bans in the way of the whole", whole1, "", 1, "  IPv4: -A DOCKER-USER -p tcp -j f2b-x\n", "--yes", "--confirm-within", "0")
				s.apply(layout+", back to the whole", whole1, "", 0, "Loaded, and proved in the kernel.", "--yes", "--force", "--confirm-within", "0", "--layout", layout)
				s.wantUser(layout+", back to the whole", whole...)
				if strings.Contains(s.rules(), "SEAWALL-FORWARD") {
					t.Errorf("%s: SEAWALL-FORWARD is left behind", layout)
				}
				s.shell("$four -w -F f2b-x; $four -w -X f2b-x")
			}
			// What looks like an earlier policy's and is not recorded stays, unless the user says so.
			whole := strings.Split(s.user(), "\n")
			s.run = t.TempDir()
			s.apply("no record", shared1, "", 0, "look like an earlier policy's and are not recorded as such stay.", "--dry-run")
			s.apply("no record, --force", shared1, "", 0, "Rules of an earlier policy in DOCKER-USER, which this removes:\n", "--yes", "--force", "--confirm-within", "0")
			s.wantUser("no record, --force", jumpOfSeawall)
			if len(whole) < 4 {
				t.Errorf("the whole chain had only %q", whole)
			}
		})
	}
}

// Bans come and go during applies of which some are taken back: each ban holds afterwards,
// each unban too, and DOCKER-USER has of others exactly what they put there.
func TestApplyDuringBans(t *testing.T) {
	t.Parallel()
	runs := 5
	if *long {
		runs = 60
	}
	text := func(n int) string {
		return strings.Replace(sharedText(n), `"10.8.0.1"`, `"10.8.0.1", "10.7.0.0/24"`, 1)
	}
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			s := newShared(t, b)
			s.apply("the first", text(1), "", 0, "Loaded", "--yes", "--confirm-within", "0")
			s.shell(firstBan)
			m := &bans{shared: s, r: rand.New(rand.NewPCG(7, 7)), stop: make(chan bool)}
			m.done.Go(m.work)
			kept, r := 1, rand.New(rand.NewPCG(1, 2))
			for i := range runs {
				next := 2 + i
				switch end := []string{"yes", "yes", "yes", "no", "no", "no", "kill"}[r.IntN(7)]; end {
				case "yes":
					s.apply(end, text(next), "", 0, "Loaded, and proved in the kernel.", "--yes", "--confirm-within", "0")
					kept = next
				default:
					s.unkept(end, text(next), end, func() {})
				}
				s.wantVerdict("the policy", fmt.Sprintf("172.20.%d.250", kept), packet.Pass)
				s.wantVerdict("the next policy", fmt.Sprintf("172.20.%d.250", next+1), packet.Deny)
			}
			close(m.stop)
			m.done.Wait()
			if got := strings.Split(s.user(), "\n"); !slices.Equal(slices.DeleteFunc(slices.Clone(got), func(l string) bool { return l == jumpOfSeawall }), m.user) || !slices.Contains(got, jumpOfSeawall) {
				t.Errorf("DOCKER-USER is\n%q\nwant\n%q and the jump", got, m.user)
			}
			for address, banned := range m.banned {
				want := packet.Pass
				if banned {
					want = packet.Unreachable
				}
				s.wantVerdict("after all", address, want)
			}
			t.Logf("%d bans, unbans and rules during %d applies", m.n, runs)
		})
	}
}

// bans are the others.
type bans struct {
	*shared
	r      *rand.Rand
	stop   chan bool
	done   sync.WaitGroup
	banned map[string]bool
	user   []string // their rules in DOCKER-USER
	n      int
}

// work bans, unbans, and puts rules into DOCKER-USER and takes them out again.
func (m *bans) work() {
	m.banned, m.user = map[string]bool{}, []string{jumpOfBans}
	for {
		select {
		case <-m.stop:
			return
		case <-time.After(time.Duration(30+m.r.IntN(100)) * time.Millisecond):
		}
		m.n++
		address := fmt.Sprintf("10.7.0.%d", m.r.IntN(20))
		rule := fmt.Sprintf("-s 10.6.0.%d/32 -j DROP", m.r.IntN(20))
		switch at := slices.Index(m.user, rule); {
		case m.r.IntN(3) > 0 && m.banned[address]:
			m.shell(fmt.Sprintf(oneUnban, address))
			m.banned[address] = false
		case m.r.IntN(3) > 0:
			if !m.banned[address] {
				m.shell(fmt.Sprintf(oneBan, address))
				m.banned[address] = true
			}
		case at >= 0:
			m.shell("$four -w -D DOCKER-USER " + rule)
			m.user = slices.Delete(m.user, at, at+1)
		case m.r.IntN(2) == 0:
			m.shell("$four -w -I DOCKER-USER " + rule)
			m.user = slices.Insert(m.user, 0, rule)
		default:
			m.shell("$four -w -A DOCKER-USER " + rule)
			m.user = append(m.user, rule)
		}
	}
}

// Each command that apply runs fails once, in turn, while DOCKER-USER becomes shared.
func TestApplySharedWithFaults(t *testing.T) {
	t.Parallel()
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			s := newShared(t, b)
			s.apply("as a whole", lifeText(1), "", 0, "Loaded", "--yes", "--confirm-within", "0", "--layout", "flat")
			s.shell(firstBan + fmt.Sprintf(oneBan, "10.8.0.1"))
			before := map[packet.Family]string{}
			for _, f := range packet.Families {
				before[f] = b.Save(s.top.Host, f, "filter")
			}
			previous, policy := s.rules(), s.file(sharedText(2))
			record, err := os.ReadFile(filepath.Join(s.run, "loaded-4"))
			if err != nil {
				t.Fatal(err)
			}
			f := newFailing(t, b)
			step := 23
			if *long {
				step = 1
			}
			for n := 1; ; n += step {
				calls := f.set(n)
				c := s.seawallOn("apply", policy, "--run-dir", s.run, "--yes", "--confirm-within", "0")
				c.Env = append(c.Env, "IPTABLES="+filepath.Join(f.dir, "iptables"), "IP6TABLES="+filepath.Join(f.dir, "ip6tables"), "IPSET="+filepath.Join(f.dir, "ipset"))
				said, _ := c.CombinedOutput() // the exit code is looked at
				code, now := c.ProcessState.ExitCode(), s.rules()
				kept := strings.HasPrefix(s.user(), jumpOfSeawall+"\n"+jumpOfBans) && strings.Count(s.user(), "\n") == 1
				if right := code == 0 && kept || code == 1 && now == previous; !right {
					t.Errorf("call %d fails: exit %d\n%s\n%s", n, code, said, now)
				}
				results.add("apply becomes shared with a fault, "+string(b), 1, map[bool]int{false: 1}[code == 0 && kept || code == 1 && now == previous])
				if calls() < n {
					break
				}
				for _, f := range packet.Families {
					if said, err := s.top.Host.Run(strings.NewReader(before[f]), b.Command(f, "-restore"), "-w", "10"); err != nil {
						t.Fatalf("%v: %s", err, said)
					}
				}
				if err := os.WriteFile(filepath.Join(s.run, "loaded-4"), record, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
