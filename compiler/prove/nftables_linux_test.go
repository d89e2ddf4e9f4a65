package prove_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/internal/judge/nftoracle"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
	"pgregory.net/rapid"
)

// Every random policy compiles to a table of nftables and is proved. nft loads the
// file, and what it lists then decides about corner packets as SPEC.md section 2
// does, by an evaluator that shares nothing with the dialect.
func TestProofOfNFTables(t *testing.T) {
	nft := nftoracle.Nft("nft")
	if err := nft.Available(); err != nil {
		t.Skip(err)
	}
	atLeast(t, 100)
	packets := 0
	rapid.Check(t, func(t *rapid.T) {
		doc, text := plainDocument(t)
		if compiler.FitsNFTables(doc) != nil || rapid.Bool().Draw(t, "mark") {
			doc.Host.AcceptMark = 0x10
		}
		out, err := compiler.Compile(context.Background(), doc, compiler.Options{Format: emit.NFTables, Source: "policy.hcl"})
		if err != nil {
			t.Fatalf("%s\n%s", err, text)
		}
		src := out.Files[0].Bytes
		loaded, err := nft.Load(string(src))
		if err != nil {
			t.Fatalf("%s\n%s\n%s", err, text, src)
		}
		for _, family := range packet.Families {
			asked := nftRules(t, src, family, doc)
			functions, err := prove.NewFunctions(doc, asked, family, "docker0", "ethx", "eth10", "eth2", "wan7", "br-1", "lo", "ppp0", "br-7")
			if err != nil {
				t.Fatal(err)
			}
			c := cornersOf(doc, family)
			for range 60 {
				p := c.packet(t)
				want := naivePolicy(doc, p)
				if want == packet.Accept && doc.Host.AcceptMark == 0 {
					want = packet.Pass
				}
				for name, got := range map[string]packet.Verdict{"the proof's policy": functions.Policy(p), "the proof's file": functions.File(p),
					"the oracle": oracleVerdict(t, loaded, p, doc)} {
					if got != want {
						t.Fatalf("%s\n%s\n%s\nSPEC.md section 2 says %s, %s says %s", text, src, p, want, name, got)
					}
				}
				packets++
			}
		}
	})
	t.Logf("%d packets", packets)
}

func nftRules(t tester, src []byte, family packet.Family, doc *schema.Document) *nftables.Rules {
	file, err := nftables.Parse(src, nftables.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, src)
	}
	return file.Rules(family, nftables.RuleOptions{AcceptMark: doc.Host.AcceptMark})
}

// oracleVerdict is what the oracle says of a packet: all outcomes that it may have.
func oracleVerdict(t tester, r *nftoracle.Ruleset, p packet.Packet, doc *schema.Document) packet.Verdict {
	state := map[packet.State]string{packet.New: "NEW", packet.Established: "ESTABLISHED", packet.Related: "RELATED", packet.Invalid: "INVALID", packet.Untracked: "UNTRACKED"}
	q := nftoracle.Packet{In: p.In, Protocol: int(p.Protocol), Src: p.Source, Dst: p.Dest, Sport: p.Sport, Dport: p.Dport, TCPFlags: p.TCPFlags,
		ICMPType: p.ICMPType >> 8, ICMPCode: p.ICMPType & 255, Mark: p.Mark, Known: p.Known(), State: state[p.State], Reply: p.Reply, SNAT: p.SNAT, DNAT: p.DNAT,
		OrigSrc: p.Source, OrigSport: p.Sport, OrigDst: p.OrigDst, OrigDport: p.OrigPort}
	if p.Hook == packet.Forward {
		q.Out = p.Out
	}
	var v packet.Verdict
	for _, o := range r.Outcomes(strings.ToLower(string(p.Hook)), q) {
		m := doc.Host.AcceptMark
		switch {
		case o.Verdict == "drop":
			v |= packet.Deny
		case o.Verdict == "accept" && p.Hook == packet.Forward && m != 0 && o.Mark&m == m && p.Mark&m != m:
			v |= packet.Accept
		case o.Verdict == "accept":
			v |= packet.Pass
		case slices.Contains([]string{"reject tcp-reset"}, o.Verdict):
			v |= packet.Reset
		case strings.HasSuffix(o.Verdict, "port-unreachable"):
			v |= packet.Unreachable
		default:
			t.Fatalf("an outcome that is not known: %v", o)
		}
	}
	return v
}
