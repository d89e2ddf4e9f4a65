package prove_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/meaning"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
	"pgregory.net/rapid"
)

// mutation changes line n of a file's lines. It gives nil when it does not
// apply there.
type mutation struct {
	name string
	make func(r *rand.Rand, lines []string, n int) []string
}

// replaced changes one line.
func replaced(lines []string, n int, text string) []string {
	if text == lines[n] {
		return nil
	}
	out := slices.Clone(lines)
	out[n] = text
	return out
}

// swapText returns a mutation that puts one of several words in the place of
// another of them.
func swapText(words ...string) func(*rand.Rand, []string, int) []string {
	return func(r *rand.Rand, lines []string, n int) []string {
		for _, w := range words {
			if i := strings.Index(lines[n], w); i >= 0 {
				other := words[r.IntN(len(words))]
				return replaced(lines, n, lines[n][:i]+other+lines[n][i+len(w):])
			}
		}
		return nil
	}
}

var (
	portOption      = regexp.MustCompile(`--(?:ctorigdstport|dport) (\d+)(?::(\d+))?`)
	prefixOption    = regexp.MustCompile(`-s ([0-9a-f.:]+)/(\d+)`)
	destOption      = regexp.MustCompile(` -d \S+`)
	interfaceOption = regexp.MustCompile(` -[io] \S+`)
	ipsetOption     = regexp.MustCompile(` -m set (! )?--match-set \S+ src`)
	rejectOption    = regexp.MustCompile(` --reject-with \S+`)
)

var mutations = []mutation{
	{"drop a rule", func(_ *rand.Rand, lines []string, n int) []string { return slices.Delete(slices.Clone(lines), n, n+1) }},
	{"duplicate a rule", func(_ *rand.Rand, lines []string, n int) []string {
		return slices.Insert(slices.Clone(lines), n, lines[n])
	}},
	{"move a rule to the end", func(_ *rand.Rand, lines []string, n int) []string {
		return append(slices.Delete(slices.Clone(lines), n, n+1), lines[n])
	}},
	{"swap two rules", func(r *rand.Rand, lines []string, n int) []string {
		out := slices.Clone(lines)
		m := r.IntN(len(lines))
		if !strings.HasPrefix(out[m], "-A") {
			return nil
		}
		out[n], out[m] = out[m], out[n]
		return out
	}},
	{"change a port", func(r *rand.Rand, lines []string, n int) []string {
		m := portOption.FindStringSubmatchIndex(lines[n])
		if m == nil {
			return nil
		}
		at := 2
		if m[4] >= 0 && r.IntN(2) == 0 {
			at = 4
		}
		port, _ := strconv.Atoi(lines[n][m[at]:m[at+1]])
		port += []int{-1, 1}[r.IntN(2)]
		if port < 0 || port > 65535 {
			return nil
		}
		return replaced(lines, n, lines[n][:m[at]]+strconv.Itoa(port)+lines[n][m[at+1]:])
	}},
	{"change a prefix length", func(r *rand.Rand, lines []string, n int) []string {
		m := prefixOption.FindStringSubmatch(lines[n])
		if m == nil {
			return nil
		}
		a := netip.MustParseAddr(m[1])
		bits, _ := strconv.Atoi(m[2])
		bits += []int{-1, 1}[r.IntN(2)]
		if bits < 0 || bits > a.BitLen() {
			return nil
		}
		return replaced(lines, n, strings.Replace(lines[n], m[0], "-s "+netip.PrefixFrom(a, bits).Masked().String(), 1))
	}},
	{"change an interface", swapText("-i eth0 ", "-i eth1 ", "-i eth+ ", "-i ppp0 ", "-i wan0 ", "-i ens+ ", "-i wlan0 ", "-i docker0 ", "-i br-+ ", "-i lo ", "")},
	{"change a bridge", swapText("-o docker0 ", "-o br-+ ", "-o br-1 ", "-o eth1 ", "-o lan+ ")},
	{"drop an interface", func(_ *rand.Rand, lines []string, n int) []string {
		return replaced(lines, n, interfaceOption.ReplaceAllString(lines[n], ""))
	}},
	{"change a state", swapText("--ctstate RELATED,ESTABLISHED", "--ctstate RELATED", "--ctstate ESTABLISHED", "--ctstate INVALID", "--ctstate NEW", "--ctstate UNTRACKED")},
	{"change a protocol", swapText("-p tcp ", "-p udp ", "-p sctp ", "")},
	{"change a destination", func(_ *rand.Rand, lines []string, n int) []string {
		return replaced(lines, n, destOption.ReplaceAllString(lines[n], ""))
	}},
	{"change a target", func(r *rand.Rand, lines []string, n int) []string {
		line := rejectOption.ReplaceAllString(lines[n], "")
		for _, target := range []string{"-j RETURN", "-j DROP", "-j ACCEPT", "-j REJECT"} {
			if strings.HasSuffix(line, target) {
				other := []string{"-j RETURN", "-j DROP", "-j ACCEPT", "-j REJECT --reject-with icmp-port-unreachable"}[r.IntN(4)]
				return replaced(lines, n, strings.TrimSuffix(line, target)+other)
			}
		}
		return nil
	}},
	{"change a negation", func(_ *rand.Rand, lines []string, n int) []string {
		if strings.Contains(lines[n], " ! -s ") {
			return replaced(lines, n, strings.Replace(lines[n], " ! -s ", " -s ", 1))
		}
		return replaced(lines, n, strings.Replace(lines[n], " -s ", " ! -s ", 1))
	}},
	{"negate an ipset", func(_ *rand.Rand, lines []string, n int) []string {
		if strings.Contains(lines[n], " ! --match-set ") {
			return replaced(lines, n, strings.Replace(lines[n], " ! --match-set ", " --match-set ", 1))
		}
		return replaced(lines, n, strings.Replace(lines[n], " --match-set ", " ! --match-set ", 1))
	}},
	{"drop an ipset", func(_ *rand.Rand, lines []string, n int) []string {
		return replaced(lines, n, ipsetOption.ReplaceAllString(lines[n], ""))
	}},
	{"change a direction", swapText("--ctdir ORIGINAL", "--ctdir REPLY")},
	{"drop a direction", func(_ *rand.Rand, lines []string, n int) []string {
		return replaced(lines, n, strings.NewReplacer(" -m conntrack --ctdir ORIGINAL", "", " --ctdir ORIGINAL", "").Replace(lines[n]))
	}},
	{"retarget a jump", retarget},
	{"flush a chain", func(_ *rand.Rand, lines []string, n int) []string {
		start := "-A " + strings.Fields(lines[n])[1] + " "
		return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.HasPrefix(l, start) })
	}},
	{"insert ACCEPT", func(_ *rand.Rand, lines []string, n int) []string {
		return slices.Insert(slices.Clone(lines), n, "-A "+strings.Fields(lines[n])[1]+" -j ACCEPT")
	}},
	{"insert a narrow ACCEPT", func(_ *rand.Rand, lines []string, n int) []string {
		return slices.Insert(slices.Clone(lines), n, "-A "+strings.Fields(lines[n])[1]+" -i eth0 -p tcp -j ACCEPT")
	}},
}

var jumpTarget = regexp.MustCompile(` -[jg] (DOCKER-USER|SEAWALL-\S+)`)

// retarget puts the jump or goto of another line in the place of a line's own.
func retarget(r *rand.Rand, lines []string, n int) []string {
	mine := jumpTarget.FindString(lines[n])
	other := jumpTarget.FindString(lines[r.IntN(len(lines))])
	if mine == "" || other == "" {
		return nil
	}
	if r.IntN(4) == 0 { // a jump comes back, a goto does not
		other = strings.NewReplacer(" -j ", " -g ", " -g ", " -j ").Replace(mine)
	}
	return replaced(lines, n, strings.Replace(lines[n], mine, other, 1))
}

// score counts what became of mutants.
type score struct{ mutants, caught, refused, same, missed int }

func (s score) String() string {
	return fmt.Sprintf("%d mutants: %d caught, %d refused as no rules file, %d that mean the same; %d missed: score %d%%",
		s.mutants, s.caught, s.refused, s.same, s.missed, 100*(s.mutants-s.missed)/max(1, s.mutants))
}

// tester is what *testing.T and *rapid.T have in common here.
type tester interface {
	Errorf(string, ...any)
	Fatalf(string, ...any)
}

// mutate tries mutants of one file. A mutant that the proof calls equal must
// look equal to the naive evaluator on every corner packet that is tried, and
// of one that it calls different, the example must be different there.
func (s *score) mutate(t tester, r *rand.Rand, doc *schema.Document, family packet.Family, src string, sets []byte, tries int) {
	lines := strings.Split(strings.TrimSuffix(src, "\n"), "\n")
	var at []int
	for i, l := range lines {
		if strings.HasPrefix(l, "-A") {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return
	}
	for range tries {
		m := mutations[r.IntN(len(mutations))]
		changed := m.make(r, lines, at[r.IntN(len(at))])
		if changed == nil {
			continue
		}
		s.mutants++
		s.judge(t, r, doc, family, m.name, strings.Join(inTable(changed), "\n")+"\n", sets)
	}
}

// setsOf is the text for ipset restore that belongs to the files of a format.
func setsOf(t tester, files []emit.File) []byte {
	text, err := emit.SetsOf(files)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return text
}

// inTable puts lines that were moved behind COMMIT before it again.
func inTable(lines []string) []string {
	out := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return l == "COMMIT" })
	return append(out, "COMMIT")
}

func (s *score) judge(t tester, r *rand.Rand, doc *schema.Document, family packet.Family, name, text string, setText []byte) {
	file, err := iptables.Parse([]byte(text), iptables.Options{Family: family})
	if err != nil {
		s.refused++
		return
	}
	table := file.Table("filter")
	if table == nil {
		s.refused++
		return
	}
	sets, err := ipset.Parse(setText)
	if err != nil {
		s.refused++
		return
	}
	table.Sets = sets
	if asksForMissing(table) {
		s.refused++ // iptables-restore refuses it (NETFILTER.md section 4)
		return
	}
	result, err := prove.Compare(context.Background(), doc, table, family, prove.Limits{})
	if err != nil {
		s.refused++ // a jump to a chain that is not there, or a circle
		return
	}
	if !result.Equal() {
		s.caught++
		for _, d := range result.Differences {
			policy, got := naivePolicy(doc, d.Example), naiveFile(table, d.Example)
			if policy == got || policy != d.Policy || got != d.File {
				t.Errorf("%s: a counterexample that is none: %s\nthe proof says %s and %s, the naive evaluators %s and %s\n%s", name, d.Example, d.Policy, d.File, policy, got, text)
			}
			way, walk := meaning.Explain(doc, d.Example), dialect.Trace(table, d.Example)
			if way.Verdict != d.Policy || !sameFileVerdict(walk.Verdict, d.File) {
				t.Errorf("%s: explain says %s and %s of %s, verify %s and %s\n%s", name, way.Verdict, walk.Verdict, d.Example, d.Policy, d.File, text)
			}
		}
		return
	}
	c := cornersOf(doc, family, table)
	for range 150 {
		p := c.random(r)
		if want, got := naivePolicy(doc, p), naiveFile(table, p); want != got && got != packet.HostDeny {
			s.missed++
			t.Errorf("%s: the proof says equal, but %s is %s by the policy and %s by the file\n%s", name, p, want, got, text)
			return
		}
	}
	s.same++
}

// asksForMissing reports whether a rule asks for a set that is not there.
func asksForMissing(t *iptables.Table) bool {
	for _, c := range t.Chains {
		for _, r := range c.Rules() {
			for _, m := range r.Matches {
				if m.Name == "set" && t.Sets[m.Options[0].Values[0]] == nil {
					return true
				}
			}
		}
	}
	return false
}

// sameFileVerdict compares the verdict of a walk with that of the proof, which
// knows of the host's own rules in INPUT.
func sameFileVerdict(walk, proof packet.Verdict) bool {
	return walk == proof || proof == packet.HostDeny && walk != packet.Accept || proof == packet.Pass && walk == packet.Accept
}

// random draws a corner packet without rapid, whose draws are too dear for
// millions.
func (c *corners) random(r *rand.Rand) packet.Packet {
	p := packet.Packet{Hook: packet.Forward, In: c.ins[r.IntN(len(c.ins))], Out: c.ins[r.IntN(len(c.ins))],
		Protocol: []packet.Protocol{6, 6, 6, 17, 17, 132, 1, 58}[r.IntN(8)],
		State:    []packet.State{packet.New, packet.New, packet.Established, packet.Related, packet.Invalid, packet.Untracked}[r.IntN(6)],
		Source:   c.sources[r.IntN(len(c.sources))], Dest: c.sources[r.IntN(len(c.sources))],
		OrigDst: c.addresses[r.IntN(len(c.addresses))], OrigPort: c.ports[r.IntN(len(c.ports))], Sport: 40000, Dport: 80}
	if r.IntN(3) == 0 {
		p.Hook, p.Out = packet.Input, ""
		p.Dest, p.Dport = c.addresses[r.IntN(len(c.addresses))], c.ports[r.IntN(len(c.ports))]
	}
	if p.Known() {
		p.Reply = p.State != packet.New && r.IntN(4) == 0
		p.SNAT, p.DNAT = r.IntN(2) == 0, r.IntN(2) == 0
	}
	return p
}

func TestMutantsOfExamples(t *testing.T) {
	dirs, _ := filepath.Glob("../../examples/*/policy.hcl")
	r := rand.New(rand.NewPCG(1, 2))
	var total score
	for _, policy := range dirs {
		opt := schema.Options{}
		if vars, _ := filepath.Glob(filepath.Join(filepath.Dir(policy), "*.vars.hcl")); len(vars) > 0 {
			opt.VarFiles = vars[:1]
		}
		loaded, diags := schema.Load(filepath.Dir(policy), opt)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		total.document(t, r, loaded.Document, 150)
	}
	t.Logf("examples: %s", total)
	if total.caught < 1000 {
		t.Errorf("only %d mutants were caught", total.caught)
	}
}

// document mutates the files of a document, in two formats and both families.
//
// Of the layouts, the limits are low: so that short lists are trees and sets.
func (s *score) document(t tester, r *rand.Rand, doc *schema.Document, tries int) {
	for i, format := range []*emit.Format{emit.Sysconfig, emit.Restore, emit.Restore} {
		layout := []lower.Layout{lower.Flat, lower.Indexed, lower.IPSet}[i]
		out, err := compiler.Compile(context.Background(), doc, compiler.Options{Format: format, Layout: layout, Sizes: lower.Sizes{Leaf: 1, Inline: 1, Linear: 2}, Source: "policy.hcl"})
		if err != nil {
			t.Fatalf("%v", err)
		}
		sets := setsOf(t, out.Files)
		for _, f := range out.Files {
			if !f.Sets {
				s.mutate(t, r, doc, f.Families[0], string(f.Bytes), sets, tries)
			}
		}
		if sets != nil {
			s.mutateSets(t, r, doc, out.Files, tries)
		}
	}
}

// mutateSets tries mutants of an ipset file, with the rules as they are.
func (s *score) mutateSets(t tester, r *rand.Rand, doc *schema.Document, files []emit.File, tries int) {
	lines := strings.Split(strings.TrimSuffix(string(setsOf(t, files)), "\n"), "\n")
	for range tries {
		changed := slices.Clone(lines)
		n, kind := r.IntN(len(lines)), r.IntN(4)
		switch entry := strings.HasPrefix(lines[n], "add "); {
		case kind == 0:
			changed = slices.Delete(changed, n, n+1)
		case kind == 1 && entry && strings.HasSuffix(lines[n], " nomatch"):
			changed[n] = strings.TrimSuffix(lines[n], " nomatch")
		case kind == 1 && entry:
			changed[n] += " nomatch"
		case kind == 2 && entry:
			words := strings.Fields(lines[n])
			p := netip.MustParsePrefix(words[2])
			bits := p.Bits() + []int{-1, 1}[r.IntN(2)]
			if bits < 1 || bits > p.Addr().BitLen() {
				continue
			}
			words[2] = netip.PrefixFrom(p.Addr(), bits).Masked().String()
			changed[n] = strings.Join(words, " ")
		case kind == 3:
			changed = slices.Insert(changed, n, lines[r.IntN(len(lines))])
		default:
			continue
		}
		for _, f := range files {
			if !f.Sets {
				s.mutants++
				s.judge(t, r, doc, f.Families[0], "change an ipset", string(f.Bytes), []byte(strings.Join(changed, "\n")+"\n"))
			}
		}
	}
}

func TestMutantsOfRandomPolicies(t *testing.T) {
	atLeast(t, 200)
	var total score
	rapid.Check(t, func(t *rapid.T) {
		doc, _ := document(t)
		seed := rapid.Uint64().Draw(t, "seed")
		total.document(t, rand.New(rand.NewPCG(seed, 7)), doc, 10)
	})
	t.Logf("random policies: %s", total)
}
