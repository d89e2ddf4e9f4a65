//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
	"golang.org/x/sys/unix"
)

// withoutAccept is a policy's text with nothing in it that goes past Docker's rules,
// which a table of nft cannot do without a mark of Docker's.
func withoutAccept(text string) string {
	return strings.NewReplacer("    accept = true\n", "", `= "accept"`, `= "keep"`).Replace(text)
}

// table is Seawall's table as nft lists it.
func (w *world) table() string {
	w.t.Helper()
	return w.top.Host.Must("nft", "list", "table", "inet", "seawall")
}

// tableMeans demands that the table in the kernel is the policy, in both families.
func (w *world) tableMeans(when string, doc *schema.Document) {
	w.t.Helper()
	rules, err := compiler.ReadRules("the kernel", []byte(w.table()), compiler.ReadOptions{})
	if err != nil {
		w.t.Fatalf("%s: %v", when, err)
	}
	for _, r := range rules {
		got, err := compiler.Verify(context.Background(), doc, r, prove.Limits{})
		if err != nil {
			w.t.Fatalf("%s: %v", when, err)
		}
		if !got.Equal() {
			d := got.Differences[0]
			w.t.Errorf("%s: %v: the kernel does not hold the policy: %s: the policy says %s, the kernel %s", when, r.Family(), d, d.Policy, d.File)
		}
	}
}

// A table of nft beside a real engine agrees with SPEC.md section 2 as the chains of
// iptables do, DOCKER-USER being as Docker makes it; and it outlives what happens on a
// host.
func TestConformanceOfTables(t *testing.T) {
	t.Parallel()
	NeedDocker(t)
	Need(t, "nft")
	for i, e := range Engines(t) {
		for j, b := range Backends {
			t.Run(e.Name+"/"+string(b), func(t *testing.T) {
				if !*long && (i+1 < len(Engines(t)) || j > 0) {
					t.Skip("a short run takes one back end of the newest engine")
				}
				t.Parallel()
				tablesConform(t, e, b)
			})
		}
	}
}

func tablesConform(t *testing.T, e Engine, b Backend) {
	on := e.Name + ", " + string(b)
	w := newWorldOf(t, e, b, "--experimental", "--ip6tables")
	w.containers()
	w.measureBaseline()
	w.top.Far.Serve("tcp", 8080)
	w.top.Far.Serve("udp", 5353)
	check := func(scenario, text string, doc *schema.Document) {
		w.apply(doc, emit.NFTables)
		w.tableMeans(text, doc)
		w.probeAll(scenario+", "+on, text, doc)
		w.containersConnect("nft, containers' own connections, " + on)
	}
	if *long {
		examples := examplePolicies(t)
		for _, name := range slices.Sorted(maps.Keys(examples)) {
			if compiler.FitsNFTables(examples[name]) == nil {
				check("nft, examples", "example "+name, examples[name])
			}
		}
	}
	policies, end := 1, time.Now().Add(time.Hour)
	if *long {
		policies, end = 1<<30, time.Now().Add(9*time.Minute)
	}
	r := rand.New(rand.NewPCG(31, uint64(len(on))))
	for n := 0; n < policies && time.Now().Before(end); n++ {
		_, text := randomPolicy(r)
		text = withoutAccept(text)
		check("nft, random policies", text, parsePolicy(text))
	}
	w.tableEstablished("nft, established connections, " + on)
	w.tableOutlives("nft, events, " + on)
}

// tableEstablished changes the policy under connections that are there.
func (w *world) tableEstablished(scenario string) {
	w.t.Helper()
	for established, after := range map[string]Outcome{"check": Silent, "keep": Open} {
		open := strings.Replace(openWorld, "check", established, 1)
		closed := strings.Replace(open, `"allow"`, `"deny"`, 1)
		w.apply(parsePolicy(open), emit.NFTables)
		conns := map[string]net.Conn{}
		for _, x := range []*target{w.find("published"), w.find("IPv6 to a network without it")} {
			p := w.probe(x)
			p.Large = true
			w.want(scenario, "a large answer", w.top.Far.Expect(p, Open), Open)
			conns[x.name] = w.dial(x)
			w.want(scenario, x.name+", before", talk(conns[x.name], false), Open)
		}
		w.apply(parsePolicy(closed), emit.NFTables)
		for name, conn := range conns {
			w.want(scenario, name+", "+established+", after the policy was closed", talk(conn, false), after)
			_ = conn.Close()
			w.want(scenario, name+", a new connection", w.top.Far.Probe(w.probe(w.find(name))), Silent)
		}
	}
}

// tableOutlives: what a host goes through leaves the table, but for a flush of the whole
// ruleset, after which loading the file closes the host at once.
func (w *world) tableOutlives(scenario string) {
	w.t.Helper()
	doc := lifePolicy(3)
	dir := w.compile(doc, emit.NFTables)
	load(w.t, w.backend, w.top.Host, "nftables", dir)
	table := w.table()
	same := func(when string) {
		w.t.Helper()
		if diff := cmp.Diff(table, w.table()); diff != "" {
			w.t.Errorf("%s, %s: the table changed:\n%s", scenario, when, diff)
		}
		w.both(scenario, when)
	}
	load(w.t, w.backend, w.top.Host, "nftables", dir)
	same("loaded twice")
	w.tableMeans("loaded twice", doc)
	for _, f := range families {
		w.top.Host.Must("sh", "-c", w.backend.Command(f, "-save")+" | "+w.backend.Command(f, "-restore"))
	}
	same("after an iptables-restore")
	w.docker.StopDaemon()
	w.docker.StartDaemon()
	w.docker.WaitRunning("plain")
	same("after a restart of the engine")

	w.top.Host.Must("nft", "flush", "ruleset")
	if left := w.top.Host.Must("nft", "list", "tables"); left != "" {
		w.t.Errorf("after a flush there are still\n%s", left)
	}
	// docker-proxy listens on every published port: nothing denies any more.
	for _, from := range []string{stranger, stranger6} {
		w.want(scenario, "a stranger after a flush, from "+from, w.top.Far.Expect(lifeProbe(from), Open), Open)
	}
	load(w.t, w.backend, w.top.Host, "nftables", dir)
	for _, from := range []string{stranger, stranger6} {
		w.want(scenario, "a stranger after a flush and the file, from "+from, w.top.Far.Probe(lifeProbe(from)), Silent)
	}
	w.tableMeans("after a flush and the file", doc)
}

// lifeProbe is a client's try at the container of the life policies.
func lifeProbe(from string) Probe {
	p := Probe{From: netip.MustParseAddr(from), Port: 8080, Network: "tcp"}
	f := packet.IPv4
	if p.From.Is6() {
		f = packet.IPv6
	}
	p.To = netip.MustParseAddr(HostAddress(0, f))
	return p
}

// denyList names the strangers, who are in a set, and lets everybody else in.
const denyList = `
host {
  external = ["eth0", "eth1"]
  unlisted = "deny"
}
policy "all" {
  ports   = [8080, "5353/udp"]
  default = "allow"
  deny { sources = ["192.0.2.10", "192.0.2.99", "198.51.100.0/24", "203.0.113.64/26", "2001:db8:77::8", "2001:db8:77::99", "2001:db8:78::/48"] }
}
`

// The table is replaced again and again, as the unit's reload does it, and that is stopped
// with kill -9 in between, while strangers try: nobody gets in, and the table is always
// the old one or the new one.
func TestTableIsReplacedUnderFire(t *testing.T) {
	t.Parallel()
	NeedDocker(t)
	Need(t, "nft")
	for i, e := range Engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			if !*long && i+1 < len(Engines(t)) {
				t.Skip("a short run takes the newest engine")
			}
			t.Parallel()
			replacedUnderFire(t, e)
		})
	}
}

func replacedUnderFire(t *testing.T, e Engine) {
	loads := 25
	if *long {
		loads = 200
	}
	w := newWorldOf(t, e, NFT, "--experimental", "--ip6tables")
	w.docker.Run("plain", []string{"-p", "8080:80", "-p", "5353:53/udp"}, "80/tcp", "53/udp")
	nft := "nft"
	if e.iptables != "" {
		nft = filepath.Join(e.iptables, "nft")
	}
	docs := []*schema.Document{lifePolicy(1), parsePolicy(denyList)}
	var reloads, tables []string
	var took time.Duration // of a reload
	for _, doc := range docs {
		reloads = append(reloads, reloadOf(t, filepath.Join(w.compile(doc, emit.NFTables), "seawall.nft"), nft))
		started := time.Now()
		w.top.Host.Must("sh", "-c", reloads[len(reloads)-1])
		took = time.Since(started)
		w.tableMeans("before", doc)
		tables = append(tables, w.table())
	}
	scenario := "nft, reload under fire, " + e.Name
	w.both(scenario, "before")
	four, six, datagrams := w.flood(stranger), w.flood(stranger6), w.datagrams(stranger)
	friends := w.connections(friend, packet.IPv4)
	r := rand.New(rand.NewPCG(3, 4))
	killed, bridges := 0, 0
	for n := range loads {
		is := func(when string, which ...string) {
			t.Helper()
			wrong := 0
			if now := w.table(); !slices.Contains(which, now) {
				wrong = 1
				t.Errorf("reload %d, %s: the table is not whole:\n%s", n, when, now)
			}
			results.add("nft, kill -9 and reload, "+e.Name, 1, wrong)
		}
		c := w.top.Host.Command("sh", "-c", reloads[r.IntN(2)])
		killAfter(t, c, time.Duration(r.Int64N(int64(3*took/2))))
		if !c.ProcessState.Exited() {
			killed++
		}
		if w.bridged() {
			bridges++
		}
		is("killed", tables...)
		w.top.Host.Must("sh", "-c", reloads[n%2])
		is("done", tables[n%2])
		if w.bridged() {
			t.Errorf("reload %d leaves its bridge behind", n)
		}
	}
	if killed == 0 || *long && bridges == 0 {
		t.Errorf("of %d reloads %d were killed, of which %d left a bridge", loads, killed, bridges)
	}
	for _, s := range []*stream{four, six, datagrams, friends} {
		s.end()
	}
	for what, s := range map[string]*stream{"IPv4": four, "IPv6": six, "datagrams": datagrams} {
		results.add(scenario, int(s.sent.Load()), int(s.open.Load()))
		if s.open.Load() > 0 || s.sent.Load() == 0 {
			t.Errorf("%s: a stranger got in %d times of %d", what, s.open.Load(), s.sent.Load())
		}
	}
	// On a loaded machine one in many thousand answers comes too late.
	if friends.lost.Load()*500 > friends.sent.Load() || friends.sent.Load() == 0 {
		t.Errorf("%d of %d connections of the friend lost", friends.lost.Load(), friends.sent.Load())
	}
	t.Logf("%d reloads of %v, of %d more %d were killed before their end, %d of which left a bridge", loads, took, loads, killed, bridges)
	w.tableMeans("after all", docs[(loads-1)%2])
}

// reloadOf is what the unit runs to reload a table, as a script. systemd takes $$ for $.
func reloadOf(t *testing.T, path, nft string) string {
	t.Helper()
	script := "set -e\n"
	for line := range strings.Lines(string(emit.Units(path, nft)[0].Bytes)) {
		if command, ok := strings.CutPrefix(line, "ExecReload="); ok {
			script += strings.ReplaceAll(command, "$$", "$")
		}
	}
	if strings.Count(script, "\n") != 4 {
		t.Fatalf("the unit's reload:\n%s", script)
	}
	return script
}

// bridged reports whether the bridge of a reload is there.
func (w *world) bridged() bool {
	w.t.Helper()
	return strings.Contains(w.top.Host.Must("nft", "list", "tables"), "table "+emit.BridgeTable+"\n")
}

// flood tries TCP connections from a client without waiting for answers: thousands a
// second, so that some arrive in every moment of a load.
func (w *world) flood(from string) *stream {
	w.t.Helper()
	return w.floodOf(lifeProbe(from), 100*time.Microsecond)
}

// floodOf is a flood of one probe, with a pause between two tries.
func (w *world) floodOf(p Probe, pause time.Duration) *stream {
	w.t.Helper()
	domain, local, to := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Addr: as4(p.From)}), unix.Sockaddr(&unix.SockaddrInet4{Addr: as4(p.To), Port: p.Port})
	if p.From.Is6() {
		domain, local, to = unix.AF_INET6, &unix.SockaddrInet6{Addr: p.From.As16()}, &unix.SockaddrInet6{Addr: p.To.As16(), Port: p.Port}
	}
	s := &stream{stop: make(chan struct{})}
	try := func() (int, error) {
		fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return -1, err
		}
		if err = unix.Bind(fd, local); err == nil {
			err = unix.Connect(fd, to)
		}
		if err != nil && !errors.Is(err, unix.EINPROGRESS) {
			_ = unix.Close(fd)
			return -1, err
		}
		return fd, nil
	}
	s.done.Go(func() {
		_ = w.top.Far.Do(func() error {
			var waiting []int
			end := func(fd int) {
				if _, err := unix.Getpeername(fd); err == nil { // connected
					s.open.Add(1)
				}
				_ = unix.Close(fd)
			}
			for {
				select {
				case <-s.stop:
					time.Sleep(patience)
					for _, fd := range waiting {
						end(fd)
					}
					return nil
				default:
				}
				if fd, err := try(); err != nil {
					s.lost.Add(1) // no port is free
				} else {
					s.sent.Add(1)
					waiting = append(waiting, fd)
				}
				if len(waiting) > 500 {
					end(waiting[0])
					waiting = waiting[1:]
				}
				time.Sleep(pause)
			}
		})
	})
	return s
}

func as4(a netip.Addr) [4]byte {
	if a.Is4() {
		return a.As4()
	}
	return [4]byte{}
}

// nfts are the programs of nft: the machine's, and those of the newer suites.
func nfts(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, e := range Engines(t) {
		path := "nft"
		if e.iptables != "" {
			path = filepath.Join(e.iptables, "nft")
		}
		if _, err := exec.LookPath(path); err == nil {
			found[strings.Fields(must(t, exec.Command(path, "--version")))[1]] = path
		}
	}
	if os.Getenv("CI") != "" && os.Getenv("DOCKERD") == "" && len(found) < 2 {
		t.Fatalf("only %d versions of nft", len(found))
	}
	return found
}

func must(t *testing.T, c *exec.Cmd) string {
	t.Helper()
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", c.Args, err, out)
	}
	return string(out)
}

// odd is a policy with names that are words of nft, or have what others have not; what
// is derived from them has a slash in it.
const odd = `
host {
  external = ["eth0", "wan+"]
  unlisted = "deny"
}
set "9.a-b" { sources = ["198.51.100.0/24", "198.51.101.7", "2001:db8:40::/48", "2001:db8:41::1"] }
policy "tcp" {
  ports = [8080, "5353/udp"]
  allow { sources = set["9.a-b"] }
}
policy "drop.log-1" {
  ports   = ["8000-8070"]
  default = "reject"
  deny {
    sources = ["192.0.2.0/24", "198.18.0.0/15", "2001:db8:77::/64"]
    except  = ["192.0.2.8"]
    log     = "x/y: it's"
  }
  allow { sources = "any" }
}
`

// Every version of nft loads Seawall's files without a word, lists what any other has
// loaded, and verify reads each listing, as text and as JSON, as the policy.
func TestTablesOfEveryVersion(t *testing.T) {
	t.Parallel()
	Need(t, "nft")
	bin := mustSeawall(t)
	type file struct {
		path string
		args []string // of verify
	}
	files := map[string]file{}
	for _, dir := range compiledFolders(t) {
		path := filepath.Join(dir, "seawall.nft")
		if !fileExists(path) {
			continue
		}
		folder, host, _ := strings.Cut(exampleName(dir), "/")
		f := file{path, []string{"../../../examples/" + folder}}
		if host != "" {
			f.args = append(f.args, "--var-file", "../../../examples/"+folder+"/"+host+".vars.hcl")
		}
		files[exampleName(dir)] = f
	}
	if len(files) < 8 {
		t.Fatalf("only %d examples have a table", len(files))
	}
	policy := filepath.Join(t.TempDir(), "odd.hcl")
	if err := os.WriteFile(policy, []byte(odd), 0o600); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	must(t, exec.Command(bin, "compile", policy, "--format", "nftables", "--out-dir", out))
	files["odd names"] = file{filepath.Join(out, "seawall.nft"), []string{policy}}

	programs := nfts(t)
	for loader, load := range programs {
		for name, f := range files {
			n := NewNamespace(t, "host")
			for range 2 {
				if said, err := n.Run(nil, load, "-f", f.path); err != nil || said != "" {
					t.Fatalf("%s loads %s: %v\n%s", loader, name, err, said)
				}
			}
			for reader, read := range programs {
				for _, args := range [][]string{{"list", "ruleset"}, {"-j", "list", "ruleset"}, {"list", "table", "inet", "seawall"}} {
					listing, err := n.Run(nil, read, args...)
					if err != nil {
						t.Errorf("%s, loaded by %s, %s %v: %v\n%s", name, loader, reader, args, err, listing)
						continue
					}
					c := exec.Command(bin, append(append([]string{"verify"}, f.args...), "--rules", "-")...)
					c.Stdin = bytes.NewReader([]byte(listing))
					said, err := c.CombinedOutput()
					wrong := 0
					if err != nil || !strings.Contains(string(said), "IPv6") {
						wrong = 1
						t.Errorf("%s, loaded by %s, %s %v: %v\n%s\n%s", name, loader, reader, args, err, said, listing)
					}
					results.add(fmt.Sprintf("nft, loaded by %s, listed by %s", loader, reader), 1, wrong)
				}
			}
		}
	}
}
