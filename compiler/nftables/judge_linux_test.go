package nftables_test

import (
	"flag"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/internal/judge/nftoracle"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
)

var long = flag.Bool("judge.long", false, "run many more comparisons with the judge")

// times returns how often to ask the judge: less often in an ordinary run.
func times(short, inLongRun int) int {
	if *long {
		return inLongRun
	}
	return short
}

// question is a ruleset as Seawall reads it for one family.
type question struct {
	space  *packet.Space
	reader dialect.Reader
	eval   func(hook packet.Hook, packets []packet.Packet) ([]packet.Verdict, error)
}

// ask reads a text for one family. Packets may use the interfaces.
func ask(text string, family packet.Family, interfaces ...string) (*question, error) {
	f, err := nftables.Parse([]byte(text), nftables.Options{})
	if err != nil {
		return nil, err
	}
	rules := f.Rules(family, nftables.RuleOptions{})
	s := packet.NewSpace(family, append(rules.Patterns(), interfaces...)...)
	d := s.Store()
	q := &question{space: s, reader: rules.Reader(d, s)}
	q.eval = func(hook packet.Hook, packets []packet.Packet) ([]packet.Verdict, error) {
		var list []packet.Verdict
		err := d.Try(func() error {
			whole, err := q.reader.Whole(hook)
			if err != nil {
				return err
			}
			for _, p := range packets {
				list = append(list, packet.Verdict(d.Eval(whole, s.Point(p))))
			}
			return nil
		})
		return list, err
	}
	return q, nil
}

// fromOracle converts a packet of the oracle to one in FORWARD.
func fromOracle(p nftoracle.Packet) packet.Packet {
	out := packet.Packet{Hook: packet.Forward, In: p.In, Out: p.Out, Protocol: packet.Protocol(p.Protocol), State: packet.State(p.State),
		Source: p.Src, Dest: p.Dst, Sport: max(0, p.Sport), Dport: max(0, p.Dport), TCPFlags: p.TCPFlags & 63,
		ICMPType: p.ICMPType*256 + p.ICMPCode, Mark: p.Mark}
	if p.Known {
		out.Reply, out.SNAT, out.DNAT = p.Reply, p.SNAT, p.DNAT
		out.OrigDst, out.OrigPort = p.OrigDst, max(0, p.OrigDport)
	}
	return out
}

// said converts the oracle's verdicts to Seawall's.
func said(list []string) packet.Verdict {
	var v packet.Verdict
	for _, word := range list {
		switch {
		case word == "accept":
			v |= packet.Pass
		case word == "drop":
			v |= packet.Deny
		case word == "reject tcp-reset":
			v |= packet.Reset
		case strings.HasSuffix(word, "port-unreachable"):
			v |= packet.Unreachable
		default:
			v |= packet.OtherReject
		}
	}
	return v
}

// covers reports whether one answer allows for everything in another one.
func covers(ours, theirs packet.Verdict) bool {
	return ours&packet.Unknown != 0 || theirs&^ours == 0
}

// comparable reports whether Seawall asks about such a packet at all.
func comparable(p nftoracle.Packet) bool {
	return !p.Fragment && !(p.Src.Is6() && packet.Protocol(p.Protocol).ExtensionHeader())
}

type tally struct {
	files, packets, undecided int
	reasons                   map[string]int // what the undecided packets could not be told by
}

// Seawall and an independent evaluator agree on random rulesets of others, packet by
// packet: read from the file, and from what nft lists of it.
func TestForeignRulesets(t *testing.T) {
	if err := nftoracle.Nft("").Available(); err != nil {
		t.Skip(err)
	}
	for _, kind := range []struct {
		name        string
		options     nftoracle.Options
		short, long int
		undecided   float64 // of the packets, at most: most of it is notrack in filter chains, which people do not write
	}{
		{"of known words", nftoracle.Options{Forward: true}, 25, 5000, 0.25},
		{"with unknown words", nftoracle.Options{Unknown: true}, 15, 2500, 1},
	} {
		t.Run(kind.name, func(t *testing.T) {
			n := tally{reasons: map[string]int{}}
			for seed := range uint64(times(kind.short, kind.long)) {
				askOracle(t, seed, kind.options, &n)
			}
			share := float64(n.undecided) / float64(max(1, n.packets))
			t.Logf("%d rulesets, %d packets; %.2f%% undecided", n.files, n.packets, 100*share)
			words := slices.SortedFunc(maps.Keys(n.reasons), func(a, b string) int { return n.reasons[b] - n.reasons[a] })
			for _, w := range words[:min(12, len(words))] {
				t.Logf("undecided by %6d: %s", n.reasons[w], w)
			}
			if share > kind.undecided {
				t.Errorf("%.2f%% of the packets are undecided", 100*share)
			}
		})
	}
}

func askOracle(t *testing.T, seed uint64, options nftoracle.Options, n *tally) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 23))
	file := nftoracle.Random(r, options)
	judge, err := nftoracle.Nft("").Load(file.Text)
	if err != nil {
		t.Fatalf("seed %d: %v\n%s", seed, err, file.Text)
	}
	listing, err := nftoracle.Nft("").Text(file.Text)
	if err != nil {
		t.Fatal(err)
	}
	n.files++
	asked := map[packet.Family][]nftoracle.Packet{}
	for range 80 {
		if p := nftoracle.RandomPacket(r, file); comparable(p) {
			family := fromOracle(p).Family()
			asked[family] = append(asked[family], p)
		}
	}
	for _, family := range packet.Families {
		for name, text := range map[string]string{"the file": file.Text, "the listing": listing} {
			if !compareWithOracle(t, judge, family, text, asked[family], file.Interfaces, n) {
				t.Errorf("seed %d, %s:\n%s\nlisted:\n%s", seed, name, file.Text, listing)
				return
			}
		}
	}
}

// compareWithOracle returns false when the two disagree.
func compareWithOracle(t *testing.T, judge *nftoracle.Ruleset, family packet.Family, text string, asked []nftoracle.Packet, interfaces []string, n *tally) bool {
	t.Helper()
	var packets []packet.Packet
	for _, p := range asked {
		packets = append(packets, fromOracle(p))
	}
	q, err := ask(text, family, append(interfaces, "lo", "wlan0", "eth", "docker00", "eth0x", "br-2")...)
	if err != nil {
		t.Error(err)
		return false
	}
	ours, err := q.eval(packet.Forward, packets)
	if err != nil {
		t.Error(err)
		return false
	}
	for i, p := range asked {
		theirs := said(judge.Verdicts("forward", p))
		n.packets++
		if !ours[i].Known() && theirs.Known() {
			n.undecided++
			reason := "?"
			for _, s := range q.reader.Trace(packets[i]).Steps {
				if s.Unsure != "" {
					reason = s.Unsure
					break
				}
			}
			n.reasons[reason]++
		}
		if !covers(ours[i], theirs) || ours[i].Known() && ours[i] != theirs {
			t.Errorf("Seawall says %v, the oracle %v, for %+v", ours[i], theirs, p)
			for _, s := range q.reader.Trace(packets[i]).Steps {
				t.Logf("%s %s", s.Rule, s.Unsure)
			}
			return false
		}
	}
	return true
}
