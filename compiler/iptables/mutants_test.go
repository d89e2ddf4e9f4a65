package iptables_test

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/internal/judge/oracle"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

var (
	aNumber  = regexp.MustCompile(`\b\d+\b`)
	aVerdict = regexp.MustCompile(`\b(ACCEPT|DROP|RETURN|DOCKER-USER)$`)
	aState   = regexp.MustCompile(`\b(NEW|ESTABLISHED|RELATED|INVALID|DNAT|ORIGINAL|REPLY)\b`)
	aName    = regexp.MustCompile(`\b(eth0|eth1|docker0|br-5f0c|tcp|udp)\b`)
)

// swap replaces one of the words that the expression finds with one of the given words.
func swap(x *regexp.Regexp, words ...string) func(*rand.Rand, []string, int) {
	return func(r *rand.Rand, lines []string, n int) {
		if all := x.FindAllStringIndex(lines[n], -1); all != nil {
			at := all[r.IntN(len(all))]
			lines[n] = lines[n][:at[0]] + words[r.IntN(len(words))] + lines[n][at[1]:]
		}
	}
}

// mutations change line n of a file, as a typo would.
var mutations = []func(*rand.Rand, []string, int){
	func(_ *rand.Rand, lines []string, n int) { lines[n] = "" },
	func(r *rand.Rand, lines []string, n int) { // change the order
		m := r.IntN(len(lines)) // possibly with a declaration
		lines[n], lines[m] = lines[m], lines[n]
	},
	func(_ *rand.Rand, lines []string, n int) { lines[n] = strings.Replace(lines[n], "! ", "", 1) },
	func(r *rand.Rand, lines []string, n int) { // add or subtract one from a number
		all := aNumber.FindAllStringIndex(lines[n], -1)
		if all == nil {
			return
		}
		at := all[r.IntN(len(all))]
		v, err := strconv.Atoi(lines[n][at[0]:at[1]])
		if err == nil {
			lines[n] = lines[n][:at[0]] + strconv.Itoa(max(0, v+1-2*r.IntN(2))) + lines[n][at[1]:]
		}
	},
	swap(aVerdict, "ACCEPT", "DROP", "RETURN"),
	swap(aState, "NEW", "ESTABLISHED", "RELATED", "INVALID", "ORIGINAL", "REPLY"),
	swap(aName, "eth0", "eth1", "docker0", "tcp", "udp"),
	func(r *rand.Rand, lines []string, n int) { // drop an option and its value
		words := strings.Fields(lines[n])
		var at []int
		for i := 2; i+1 < len(words); i++ {
			if strings.HasPrefix(words[i], "-") && words[i+1][0] != '-' {
				at = append(at, i)
			}
		}
		if at != nil {
			i := at[r.IntN(len(at))]
			lines[n] = strings.Join(slices.Delete(words, i, i+2), " ")
		}
	},
}

// toOracle converts a packet in FORWARD to the oracle's form.
func toOracle(p packet.Packet) oracle.Packet {
	return oracle.Packet{In: p.In, Out: p.Out, Protocol: int(p.Protocol), Src: p.Source, Dst: p.Dest, Sport: p.Sport, Dport: p.Dport, TCPFlags: p.TCPFlags,
		ICMPType: p.ICMPType >> 8, ICMPCode: p.ICMPType & 255, Mark: p.Mark, Known: p.Known(), State: string(p.State), Reply: p.Reply, SNAT: p.SNAT, DNAT: p.DNAT,
		OrigDst: p.OrigDst, OrigDport: p.OrigPort}
}

// mutants counts the mutants by outcome.
type mutants struct{ made, refused, same, other, undecided int }

// Seawall and the evaluator agree on whether a typo changes the meaning of a foreign
// file: where Seawall calls both files equal, no packet tells them apart; where it
// names packets that do, the evaluator sees the same difference.
func TestForeignMutants(t *testing.T) {
	var n mutants
	for seed := range uint64(times(250, 6_000)) {
		r := rand.New(rand.NewPCG(seed, 31))
		family := 4 + 2*int(seed%2)
		file := oracle.Random(r, oracle.Options{Family: family, Known: true})
		if !hasHoles.MatchString(file.Text) {
			for range 3 {
				askMutant(t, r, seed, file, &n)
			}
		}
	}
	t.Logf("%d mutants: %d do not load, %d mean the same, %d do not, %d are undecided; none is misjudged", n.made, n.refused, n.same, n.other, n.undecided)
	if n.other < n.made/10 || n.same < n.made/10 {
		t.Error("too few mutants of some kind for a meaningful test")
	}
}

// mutate changes one rule of a file.
func mutate(r *rand.Rand, text string) string {
	lines := strings.Split(text, "\n")
	for range 100 {
		n := r.IntN(len(lines))
		if !strings.HasPrefix(lines[n], "-A") {
			continue
		}
		before := slices.Clone(lines)
		mutations[r.IntN(len(mutations))](r, lines, n)
		if !slices.Equal(before, lines) {
			return strings.Join(lines, "\n")
		}
	}
	return text
}

// judges holds the oracle's rulesets for two files with the same sets.
type judges [2]*oracle.Ruleset

func (j judges) say(p oracle.Packet) (before, after packet.Verdict) {
	return said(j[0].Verdicts("FORWARD", p)), said(j[1].Verdicts("FORWARD", p))
}

func askMutant(t *testing.T, r *rand.Rand, seed uint64, file oracle.File, n *mutants) {
	t.Helper()
	texts := [2]string{file.Text, mutate(r, file.Text)}
	family := packet.Family(file.Family)
	n.made++
	sets, err := ipset.Parse([]byte(file.Sets))
	if err != nil {
		t.Fatal(err)
	}
	var tables [2]*iptables.Table
	var judged judges
	for i, text := range texts {
		f, err := iptables.Parse([]byte(text), iptables.Options{Family: family})
		if err != nil {
			n.refused++ // TestTextsAreReadAsIptablesLoadsThem checks whether that is right
			return
		}
		tables[i] = f.Table("filter")
		tables[i].Sets = sets
		if judged[i], err = oracle.Parse(text, file.Family); err != nil {
			n.refused++
			return
		}
		if judged[i].Sets, err = oracle.ParseSets(file.Sets); err != nil {
			t.Fatal(err)
		}
		judged[i].Live = true
	}
	s := packet.NewSpace(family, append(append(tables[0].Patterns(), tables[1].Patterns()...), file.Interfaces...)...)
	store := s.Store()
	err = store.Try(func() error {
		var refs [2]diagram.Ref
		for i, table := range tables {
			if refs[i], err = iptables.NewReader(store, s, table).Whole(packet.Forward); err != nil {
				return err
			}
		}
		compare(t, r, file, s, store, refs, judged, n)
		return nil
	})
	if err != nil || t.Failed() {
		t.Fatalf("seed %d: %v\n%s\n---- the mutant\n%s\n---- the sets\n%s", seed, err, texts[0], texts[1], file.Sets)
	}
}

func compare(t *testing.T, r *rand.Rand, file oracle.File, s *packet.Space, store *diagram.Store, refs [2]diagram.Ref, judged judges, n *mutants) {
	t.Helper()
	differ, unsure := false, false
	left := 20 // how many boxes to check
	store.Disagree(refs[0], refs[1], func(a, b uint32) bool { return a == b }).Boxes(func(box *diagram.Box, p diagram.Pair) {
		old, now := packet.Verdict(p.A), packet.Verdict(p.B)
		if left--; left < 0 {
			return
		}
		if !old.Known() || !now.Known() {
			unsure = true
			return
		}
		differ = true
		example := s.Example(packet.Forward, box)
		before, after := judged.say(toOracle(example))
		if before != old || after != now {
			t.Errorf("Seawall says %v, then %v, the oracle %v, then %v, for %v\n%+v", old, now, before, after, example, toOracle(example))
		}
	})
	for range 60 {
		p := oracle.RandomPacket(r, file)
		if p.Fragment || p.Src.Is6() && packet.Protocol(p.Protocol).ExtensionHeader() {
			continue
		}
		before, after := judged.say(p)
		if before != after && refs[0] == refs[1] {
			t.Errorf("Seawall says that both mean the same, the oracle %v, then %v, for %+v", before, after, p)
		}
	}
	switch {
	case differ:
		n.other++
	case unsure:
		n.undecided++
	default:
		n.same++
	}
}
