package ipset_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/ipset"
)

// host is a network namespace of its own with ipset in it.
type host struct{ name string }

func newHost(t testing.TB) *host {
	t.Helper()
	missing := func(format string, args ...any) {
		t.Helper()
		if os.Getenv("CI") != "" {
			t.Fatalf(format, args...)
		}
		t.Skipf(format, args...)
	}
	for _, tool := range []string{"ipset", "ip", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing("no %s here", tool)
		}
	}
	if os.Geteuid() != 0 {
		missing("only root may make a network namespace")
	}
	h := &host{name: fmt.Sprintf("ipset-test-%d", os.Getpid())}
	if out, err := exec.Command("ip", "netns", "add", h.name).CombinedOutput(); err != nil {
		missing("no network namespace: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", h.name).Run() })
	if _, out, err := h.run("", "list", "-name"); err != nil {
		missing("ipset does not work: %v: %s", err, out)
	}
	return h
}

func (h *host) run(in string, args ...string) (out, message string, err error) {
	cmd := exec.Command("nsenter", append([]string{"--net=/var/run/netns/" + h.name, "ipset"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), strings.TrimSpace(stderr.String()), err
}

// restore loads a text on a host without sets, and saves what is there then.
func (h *host) restore(t *testing.T, text string) (saved, refused string) {
	t.Helper()
	for _, clear := range []string{"flush", "destroy"} {
		if _, message, err := h.run("", clear); err != nil {
			t.Fatal(err, message)
		}
	}
	if _, message, err := h.run(text, "restore"); err != nil {
		return "", message + " (" + err.Error() + ")"
	}
	saved, message, err := h.run("", "save")
	if err != nil {
		t.Fatal(err, message)
	}
	return saved, ""
}

// canon is show of what ipset save printed, read without the package: the
// addresses of a hash:ip are joined as Parse joins them.
func canon(t *testing.T, saved string, sets ipset.Sets) string {
	t.Helper()
	real := ipset.Sets{}
	for line := range strings.Lines(saved) {
		words := strings.Split(strings.TrimSuffix(line, "\n"), " ") // a name may hold other blanks
		if words[0] == "create" {
			s := &ipset.Set{Name: words[1], Type: words[2]}
			if got := sets[s.Name]; got != nil && got.Type == s.Type {
				s.Unknown = got.Unknown
			}
			real[s.Name] = s
			continue
		}
		s := real[words[1]]
		text := words[2]
		if s.Unknown != "" {
			continue
		}
		if !strings.Contains(text, "/") {
			text += "/" + strconv.Itoa(netip.MustParseAddr(text).BitLen())
		}
		head, _, _ := strings.Cut(line, `"`)
		s.Entries = append(s.Entries, ipset.Entry{Prefix: netip.MustParsePrefix(text), NoMatch: slices.Contains(strings.Fields(head), "nomatch")})
	}
	for _, s := range real {
		if s.Type == "hash:ip" {
			s.Entries = join(s.Entries)
		}
	}
	return show(real)
}

// join joins single addresses into the fewest CIDRs, by halves.
func join(entries []ipset.Entry) []ipset.Entry {
	there := map[netip.Prefix]bool{}
	for _, e := range entries {
		there[e.Prefix] = true
	}
	for bits := 32; bits > 0; bits-- {
		for p := range there {
			up := netip.PrefixFrom(p.Addr(), bits-1).Masked()
			b := up.Addr().AsSlice()
			if len(b) != 4 || p.Bits() != bits {
				continue
			}
			b[(bits-1)/8] |= 1 << (7 - (bits-1)%8)
			a, _ := netip.AddrFromSlice(b)
			left, right := netip.PrefixFrom(up.Addr(), bits), netip.PrefixFrom(a, bits)
			if there[left] && there[right] {
				delete(there, left)
				delete(there, right)
				there[up] = true
			}
		}
	}
	var list []ipset.Entry
	for p := range there {
		list = append(list, ipset.Entry{Prefix: p})
	}
	return list
}

func TestKnownTextsAreTakenByIpsetAlike(t *testing.T) {
	h := newHost(t)
	for _, k := range known {
		saved, refused := h.restore(t, k.text)
		sets, err := ipset.Parse([]byte(k.text))
		switch got := canon(t, saved, sets); {
		case k.differs != "":
			if refused != "" {
				t.Errorf("%q: ipset refuses it as well: %s", k.text, refused)
			}
		case refused != "" && err == nil:
			t.Errorf("%q: ipset refuses it: %s", k.text, refused)
		case refused == "" && err != nil:
			t.Errorf("%q: ipset takes it: %v", k.text, err)
		case refused == "" && got != show(sets):
			t.Errorf("%q: ipset has\n%s, not\n%s", k.text, got, show(sets))
		}
	}
}

// TestRandomTextsAreTakenByIpsetAlike compares with the real program: 150 texts,
// or as many as IPSET_TEXTS says, from the seed IPSET_SEED. A text that Parse
// refuses must be taken up to the line before, and refused with the line.
func TestRandomTextsAreTakenByIpsetAlike(t *testing.T) {
	h := newHost(t)
	count, seed := envInt(t, "IPSET_TEXTS", 150), envInt(t, "IPSET_SEED", 1)
	kinds := slices.DeleteFunc(slices.Clone(others), func(kind string) bool {
		_, refused := h.restore(t, "create x "+kind+"\n")
		return strings.Contains(refused, "set type not supported")
	})
	t.Logf("seed %d; other types: %q", seed, kinds)
	taken, lines, asked := 0, 0, 0
	for i := range count {
		g := &generator{Rand: rand.New(rand.NewPCG(uint64(seed), uint64(i))), others: kinds}
		text := g.text()
		_, err := ipset.Parse([]byte(text))
		if err == nil {
			taken++
		} else {
			h.alike(t, i, text)
			var e *ipset.Error
			if !errors.As(err, &e) {
				t.Fatalf("text %d: %v", i, err)
			}
			all := slices.Collect(strings.Lines(text))
			h.alike(t, i, strings.Join(all[:e.Line], ""))
			text = strings.Join(all[:e.Line-1], "")
		}
		sets := h.alike(t, i, text)
		if sets == nil {
			t.Fatalf("text %d: Parse refuses another line without those after it:\n%s", i, text)
		}
		lines += strings.Count(text, "\n")
		if i%5 == 0 {
			asked += h.ask(t, g.Rand, text, sets)
		}
	}
	t.Logf("%d texts: %d taken, %d refused and taken without the line, all alike; %d lines taken; %d addresses asked for",
		count, taken, count-taken, lines, asked)
}

// alike compares what ipset and Parse say of a text. The sets are nil when both
// refuse it.
func (h *host) alike(t *testing.T, i int, text string) ipset.Sets {
	t.Helper()
	saved, refused := h.restore(t, text)
	sets, err := ipset.Parse([]byte(text))
	if (refused != "") != (err != nil) {
		t.Fatalf("text %d\n%s\nipset: %q\nParse: %v", i, text, refused, err)
	}
	if err != nil {
		return nil
	}
	if got := canon(t, saved, sets); got != show(sets) {
		t.Fatalf("text %d\n%s\nipset: %s\nParse: %s", i, text, got, show(sets))
	}
	return sets
}

// ask asks ipset test for addresses near the ends of the entries of the sets
// that it holds.
func (h *host) ask(t *testing.T, rng *rand.Rand, text string, sets ipset.Sets) (asked int) {
	t.Helper()
	for name, s := range sets {
		if s.Unknown != "" {
			continue
		}
		var near []netip.Addr
		for _, e := range s.Entries {
			near = append(near, e.Prefix.Addr(), e.Prefix.Addr().Prev(), last(e.Prefix), last(e.Prefix).Next())
		}
		rng.Shuffle(len(near), func(i, j int) { near[i], near[j] = near[j], near[i] })
		for _, a := range near[:min(4, len(near))] {
			if !a.IsValid() || a.IsUnspecified() {
				continue
			}
			_, message, err := h.run("", "test", name, a.String())
			if got := err == nil; got != contains(s, a) {
				t.Fatalf("%s in %s: ipset says %v %s, the entries %v\n%s", a, name, got, message, contains(s, a), text)
			}
			asked++
		}
	}
	return asked
}

// contains is what ipset(8) says of hash:net: the longest entry decides.
func contains(s *ipset.Set, a netip.Addr) bool {
	longest, in := -1, false
	for _, e := range s.Entries {
		if e.Prefix.Contains(a) && e.Prefix.Bits() > longest {
			longest, in = e.Prefix.Bits(), !e.NoMatch
		}
	}
	return in
}

func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func envInt(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
