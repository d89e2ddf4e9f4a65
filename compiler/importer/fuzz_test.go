package importer_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/importer"
	"github.com/seawall/seawall/compiler/internal/fuzzing"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// Whatever rules are read, Import returns a policy, or an error that says why there is
// none.
func FuzzImport(f *testing.F) {
	for _, pattern := range []string{"../../testdata/import/*.rules", "../../testdata/import/public/*.rules", "../../examples/*/compiled/rules.v4", "../../testdata/captures/*-save"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			if src, err := os.ReadFile(name); err == nil {
				f.Add(src)
			}
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		ctx := fuzzing.Bound(t, len(src))
		file, err := iptables.Parse(src, iptables.Options{Family: packet.IPv4})
		if err != nil || file.Table("filter") == nil {
			return
		}
		c := importer.Chain{Family: packet.IPv4, Name: "rules", Table: file.Table("filter"), Nat: file.Table("nat"), Raw: file.Table("raw"), Source: src}
		result, err := importer.Import(ctx, []importer.Chain{c}, []string{"eth0"}, prove.Limits{})
		if err == nil && len(result.Policy) == 0 {
			t.Fatal("neither a policy nor an error")
		}
	})
}

// The same for both families at once; and what Import returns is a policy that loads.
func FuzzImportFamilies(f *testing.F) {
	for _, names := range [][2]string{
		{"../../examples/web/compiled/rules.v4", "../../examples/web/compiled/rules.v6"},
		{"../../examples/ipv6/compiled/rules.v4", "../../examples/ipv6/compiled/rules.v6"},
		{"../../examples/router/compiled/rules.v4", "../../examples/router/compiled/rules.v6"},
		{"../../testdata/captures/engine-29-modes.iptables-save", "../../testdata/captures/engine-29-modes.ip6tables-save"},
		{"../../testdata/import/public/14-original-port.rules", "../../testdata/captures/engine-26.1-idle.ip6tables-save"},
	} {
		v4, err := os.ReadFile(names[0])
		if err != nil {
			f.Fatal(err)
		}
		v6, err := os.ReadFile(names[1])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(v4, v6, "eth0")
	}
	f.Fuzz(func(t *testing.T, v4, v6 []byte, external string) {
		ctx := fuzzing.Bound(t, len(v4)+len(v6))
		var chains []importer.Chain
		for i, src := range [][]byte{v4, v6} {
			family := packet.Families[i]
			file, err := iptables.Parse(src, iptables.Options{Family: family})
			if err == nil && file.Table("filter") != nil {
				chains = append(chains, importer.Chain{Family: family, Name: "rules", Table: file.Table("filter"), Nat: file.Table("nat"), Raw: file.Table("raw"), Source: src})
			}
		}
		if len(chains) == 0 {
			return
		}
		result, err := importer.Import(ctx, chains, []string{external}, prove.Limits{Steps: 20_000_000})
		if err != nil {
			return
		}
		if _, diags := schema.Parse("imported.hcl", result.Policy, schema.Options{}); diags.HasErrors() {
			t.Fatalf("the policy does not load: %v\n%s", diags, result.Policy)
		}
	})
}

// The same for a file of nft, as text or as JSON.
func FuzzImportTables(f *testing.F) {
	for _, pattern := range []string{"../../testdata/import/nft/*.nft", "../../examples/*/compiled/seawall.nft", "../../testdata/captures/*.nft",
		"../nftables/testdata/listings/*.json"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			if src, err := os.ReadFile(name); err == nil {
				f.Add(src)
			}
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		ctx := fuzzing.Bound(t, len(src))
		if !compiler.IsNFT(src) {
			return
		}
		rules, err := compiler.ReadRules("rules", src, compiler.ReadOptions{})
		if err != nil {
			return
		}
		var chains []importer.Chain
		for _, r := range rules {
			if importer.HasRules(r.NFT, r.Family()) {
				chains = append(chains, importer.Chain{Family: r.Family(), Name: "rules", NFT: r.NFT, Source: r.NFT.Source})
			}
		}
		if len(chains) == 0 {
			return
		}
		result, err := importer.Import(ctx, chains, []string{"eth0"}, prove.Limits{Steps: 20_000_000})
		if err != nil {
			return
		}
		if _, diags := schema.Parse("imported.hcl", result.Policy, schema.Options{}); diags.HasErrors() {
			t.Fatalf("the policy does not load: %v\n%s", diags, result.Policy)
		}
	})
}
