package iptables_test

import (
	"flag"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/internal/judge/oracle"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

var long = flag.Bool("judge.long", false, "run many more comparisons with the judges")

// times returns how often to ask a judge: less often in an ordinary run.
func times(short, inLongRun int) int {
	if *long {
		return inLongRun
	}
	return short
}

// question is a foreign file as Seawall reads it.
type question struct {
	space  *packet.Space
	reader *iptables.Reader
}

// read reads a file for one family. Packets may use the interfaces.
func read(family packet.Family, text, sets string, interfaces ...string) (*question, error) {
	f, err := iptables.Parse([]byte(text), iptables.Options{Family: family})
	if err != nil {
		return nil, err
	}
	known, err := ipset.Parse([]byte(sets))
	if err != nil {
		return nil, err
	}
	t := f.Table("filter")
	if t != nil {
		t.Sets = known
	}
	s := packet.NewSpace(family, append(t.Patterns(), interfaces...)...)
	return &question{s, iptables.NewReader(s.Store(), s, t)}, nil
}

// focused returns the verdict for one packet that is asked about on its own.
func focused(family packet.Family, text, sets string, p packet.Packet) (packet.Verdict, error) {
	q, err := read(family, text, sets, p.In, p.Out)
	if err != nil {
		return 0, err
	}
	q.reader.Focus(p)
	list, err := q.verdicts(p.Hook, []packet.Packet{p})
	if err != nil {
		return 0, err
	}
	return list[0], nil
}

// verdicts returns what the whole chain of a hook may do with each packet.
func (q *question) verdicts(hook packet.Hook, packets []packet.Packet) ([]packet.Verdict, error) {
	var list []packet.Verdict
	err := q.reader.Try(func() error {
		f, err := q.reader.Whole(hook)
		if err != nil {
			return err
		}
		for _, p := range packets {
			list = append(list, packet.Verdict(q.reader.Eval(f, q.space.Point(p))))
		}
		return nil
	})
	return list, err
}

// fromOracle converts a packet of the oracle to one in FORWARD.
func fromOracle(p oracle.Packet) packet.Packet {
	out := packet.Packet{Hook: packet.Forward, In: p.In, Out: p.Out, Protocol: packet.Protocol(p.Protocol), State: packet.State(p.State),
		Reply: p.Reply, SNAT: p.SNAT, DNAT: p.DNAT, Source: p.Src, Dest: p.Dst, Sport: p.Sport, Dport: p.Dport,
		TCPFlags: p.TCPFlags & 63, ICMPType: p.ICMPType*256 + p.ICMPCode, Mark: p.Mark, OrigDst: p.OrigDst, OrigPort: p.OrigDport}
	if !p.Known {
		out.Reply, out.SNAT, out.DNAT = false, false, false
	}
	return out
}

// said converts the oracle's verdicts to Seawall's.
func said(list []string) packet.Verdict {
	var v packet.Verdict
	for _, word := range list {
		switch {
		case word == "accept":
			v |= packet.Accept
		case word == "drop":
			v |= packet.Deny
		case word == "queue":
			v |= packet.Unknown
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

// covers reports whether one answer allows for everything in another one. A
// target that cannot be evaluated may do anything.
func covers(ours, theirs packet.Verdict) bool {
	return ours&packet.Unknown != 0 || theirs&^ours == 0
}

// hasHoles finds IPv6 netmasks with holes in the oracle's files.
var hasHoles = regexp.MustCompile(`/ffff:[0-9a-f:]*:f`)

// tally counts the answers of a judge.
type tally struct{ files, packets, counted, undecided int }

// Seawall and an independent evaluator agree on random foreign files, packet by
// packet. Where Seawall's answer is decided, the evaluator's is the same; what
// cannot be evaluated is never ignored.
func TestForeignFiles(t *testing.T) {
	for _, kind := range []struct {
		name        string
		options     oracle.Options
		short, long int
		undecided   float64 // of the packets, at most
	}{
		{"of known matches", oracle.Options{Known: true}, 800, 14_000, 0.02},
		{"with unknown matches", oracle.Options{Unknown: true}, 400, 7_000, 1},
	} {
		t.Run(kind.name, func(t *testing.T) {
			var n tally
			for seed := range uint64(times(kind.short, kind.long)) {
				kind.options.Family = 4 + 2*int(seed%2)
				askOracle(t, seed, kind.options, &n)
			}
			share := float64(n.undecided) / float64(n.counted)
			t.Logf("%d files, %d packets, all agree; %.2f%% of %d undecided", n.files, n.packets, 100*share, n.counted)
			if share > kind.undecided {
				t.Errorf("%.2f%% of the packets are undecided", 100*share)
			}
		})
	}
}

func askOracle(t *testing.T, seed uint64, options oracle.Options, n *tally) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 11))
	file := oracle.Random(r, options)
	judge, err := oracle.Parse(file.Text, options.Family)
	if err != nil {
		t.Fatalf("seed %d: the oracle cannot read its own file: %v", seed, err)
	}
	if judge.Sets, err = oracle.ParseSets(file.Sets); err != nil {
		t.Fatal(err)
	}
	judge.Live = true
	var asked []oracle.Packet
	var packets []packet.Packet
	for range 60 {
		p := oracle.RandomPacket(r, file)
		if p.Fragment || p.Src.Is6() && packet.Protocol(p.Protocol).ExtensionHeader() {
			continue
		}
		asked, packets = append(asked, p), append(packets, fromOracle(p))
	}
	q, err := read(packet.Family(options.Family), file.Text, file.Sets, file.Interfaces...)
	if err != nil {
		t.Errorf("seed %d: %v\n%s", seed, err, file.Text)
		return
	}
	ours, err := q.verdicts(packet.Forward, packets)
	if err != nil {
		t.Errorf("seed %d: %v\n%s", seed, err, file.Text)
		return
	}
	for i, p := range packets[:min(3, len(packets))] {
		if v, err := focused(packet.Family(options.Family), file.Text, file.Sets, p); err != nil || v != ours[i] {
			t.Errorf("seed %d: Seawall says %v (%v) for one packet on its own, and %v for it among others: %v\n%s", seed, v, err, ours[i], p, file.Text)
			return
		}
	}
	holes := hasHoles.MatchString(file.Text) // a mask with dozens of holes is undecided
	n.files++
	for i, p := range asked {
		theirs := said(judge.Verdicts("FORWARD", p))
		if !holes {
			n.counted++
		}
		n.packets++
		if !ours[i].Known() && theirs.Known() && !holes {
			n.undecided++
		}
		if !covers(ours[i], theirs) || ours[i].Known() && ours[i] != theirs {
			t.Errorf("seed %d: Seawall says %v, the oracle %v, for %+v\n%s\n%s", seed, ours[i], theirs, p, file.Text, file.Sets)
			return
		}
	}
}
