package prove_test

import (
	"context"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/importer"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
	"pgregory.net/rapid"
)

// What import claims of tables of nftables holds: a policy that is said to be equal is found to
// implement the table by Compare, and in a narrower scope corner packets are let through alike.
// The random policies are made to be hard, and some cannot be written again.
func TestImportClaims(t *testing.T) {
	atLeast(t, 100)
	scopes := map[importer.Scope]int{}
	rapid.Check(t, func(t *rapid.T) {
		doc, text := plainDocument(t)
		if compiler.FitsNFTables(doc) != nil {
			doc.Host.AcceptMark = 0x10
		}
		out, err := compiler.Emit(doc, compiler.Options{Format: emit.NFTables, Source: "policy.hcl"})
		if err != nil {
			t.Fatalf("%s\n%s", err, text)
		}
		src := out.Files[0].Bytes
		result := importTable(t, src, doc)
		scopes[result.Scope()]++
		for _, family := range packet.Families {
			rules := nftRules(t, src, family, doc)
			same, err := prove.Compare(context.Background(), result.Document, rules, family, prove.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if result.Equal() && !same.Equal() {
				t.Fatalf("%s\n%s\n%s\nimport says equal, Compare finds %v", text, result.Policy, src, same.Differences[0])
			}
			claimHolds(t, doc, result, rules, family)
		}
	})
	t.Logf("%d over all packets, %d over all connections, %d over published ports, %d partly",
		scopes[importer.AllPackets], scopes[importer.AllConnections], scopes[importer.PublishedPorts], scopes[importer.NoScope])
}

func importTable(t tester, src []byte, doc *schema.Document) *importer.Result {
	rules, err := compiler.ReadRules("seawall.nft", src, compiler.ReadOptions{})
	if err != nil {
		t.Fatalf("%v\n%s", err, src)
	}
	var chains []importer.Chain
	for _, r := range rules {
		chains = append(chains, importer.Chain{Family: r.Family(), Name: r.Name, NFT: r.NFT, Source: src})
	}
	var in []string
	for _, x := range doc.Host.External {
		in = append(in, x.String())
	}
	result, err := importer.Import(context.Background(), chains, in, prove.Limits{})
	if err != nil {
		t.Fatalf("%v\n%s", err, src)
	}
	return result
}

// claimHolds compares the policy with the rules for packets in the scope that is claimed.
func claimHolds(t *rapid.T, doc *schema.Document, result *importer.Result, rules *nftables.Rules, family packet.Family) {
	functions, err := prove.NewFunctions(result.Document, rules, family, "docker0", "ethx", "eth10", "eth2", "wan7", "br-1", "lo", "ppp0", "br-7")
	if err != nil {
		t.Fatal(err)
	}
	c := cornersOf(doc, family)
	for range 60 {
		p := c.packet(t)
		if !p.DNAT {
			p.Dest, p.Dport = p.OrigDst, p.OrigPort
		}
		opens := p.State == packet.New || p.State == packet.Established && !p.Reply
		switch scope := result.Scope(); {
		case scope == importer.NoScope,
			scope == importer.AllConnections && !opens,
			scope == importer.PublishedPorts && (p.State != packet.New || !p.DNAT):
			continue
		}
		want, got := functions.File(p), functions.Policy(p)
		if want.IsOpen() != got.IsOpen() {
			t.Fatalf("scope %d: %s\nthe rules say %s, the policy %s\n%s", result.Scope(), p, want, got, result.Policy)
		}
	}
}
