package nftables

import (
	"flag"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/seawall/seawall/compiler/internal/judge/nftoracle"
	"github.com/seawall/seawall/compiler/packet"
)

var long = flag.Bool("judge.long", false, "run many more comparisons with the judges")

// Seawall and an independent evaluator agree on random rulesets in the styles that
// people write, packet by packet: Seawall reads the text, the evaluator what nft
// lists of it after loading. Where Seawall's answer is decided, the evaluator's is
// among those that it allows for.
func TestForeignRulesets(t *testing.T) {
	nft := nftoracle.Nft("nft")
	if err := nft.Available(); err != nil {
		t.Skip(err)
	}
	files, deadline := 400, time.Now().Add(15*time.Second)
	if *long {
		files, deadline = 4000, time.Now().Add(time.Hour)
	}
	asked, undecided, tooCareful, counted := 0, 0, 0, 0
	for n := range files {
		if time.Now().After(deadline) {
			break
		}
		r := rand.New(rand.NewPCG(15, uint64(n)))
		file := nftoracle.Random(r, nftoracle.Options{Unknown: n%4 == 3})
		rules, err := Parse([]byte(file.Text), Options{})
		if err != nil {
			e := err.(*Error)
			t.Errorf("file %d: line %d: %s: %s\n%s", n, e.Line, e.Detail, e.Text, file.Text)
			continue
		}
		loaded, err := nft.Load(file.Text)
		if err != nil {
			t.Fatalf("file %d: %v\n%s", n, err, file.Text)
		}
		counted++
		for range 30 {
			p := nftoracle.RandomPacket(r, file)
			if p.Fragment {
				continue // a policy's packets are whole, conntrack defragments them
			}
			for _, hook := range packet.Hooks {
				q := fromOracle(p, hook)
				if hook == packet.Input {
					p.Out = ""
				}
				want := said(loaded.Verdicts(strings.ToLower(string(hook)), p))
				got := verdictOf(t, rules, q)
				asked++
				if !got.Known() {
					undecided++
					if want.Known() && n%4 != 3 {
						tooCareful++
					}
				}
				if got&packet.Unknown == 0 && want&got == 0 {
					t.Errorf("file %d: %+v\nSeawall says %s, the evaluator %s\n%s", n, p, got, want, file.Text)
					return
				}
			}
		}
	}
	t.Logf("%d rulesets, %d packets, %d undecided, %d of them by Seawall alone", counted, asked, undecided, tooCareful)
}

// verdictOf is what all chains of a packet's hook may do with it; an accept is Pass.
func verdictOf(t *testing.T, f *File, p packet.Packet) packet.Verdict {
	t.Helper()
	rules := f.Rules(p.Family(), RuleOptions{})
	s := packet.NewSpace(p.Family(), append(rules.Patterns(), p.In, p.Out)...)
	d := s.Store()
	var v packet.Verdict
	err := d.Try(func() error {
		reader := rules.Reader(d, s)
		reader.Focus(p)
		whole, err := reader.Whole(p.Hook)
		v = packet.Verdict(d.Eval(whole, s.Point(p)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func fromOracle(p nftoracle.Packet, hook packet.Hook) packet.Packet {
	states := map[string]packet.State{"NEW": packet.New, "ESTABLISHED": packet.Established, "RELATED": packet.Related, "INVALID": packet.Invalid, "UNTRACKED": packet.Untracked}
	out := packet.Packet{Hook: hook, In: p.In, Out: p.Out, Protocol: packet.Protocol(p.Protocol), State: states[p.State], Reply: p.Reply, SNAT: p.SNAT, DNAT: p.DNAT,
		Source: p.Src, Dest: p.Dst, Sport: p.Sport, Dport: p.Dport, TCPFlags: p.TCPFlags & 63, ICMPType: p.ICMPType*256 + p.ICMPCode, Mark: p.Mark,
		OrigDst: p.OrigDst, OrigPort: p.OrigDport}
	if !p.Known {
		out.Reply, out.SNAT, out.DNAT = false, false, false
	}
	if hook == packet.Input {
		out.Out = ""
	}
	return out
}

// said converts the evaluator's verdicts.
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
