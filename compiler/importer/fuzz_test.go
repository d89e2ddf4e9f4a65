package importer_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seawall/seawall/compiler/importer"
	"github.com/seawall/seawall/compiler/internal/fuzzing"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// Whatever rules are read, Import returns a policy, or an error that says why there is
// none.
func FuzzImport(f *testing.F) {
	for _, pattern := range []string{"../../testdata/import/*.rules", "../../examples/*/compiled/rules.v4", "../../testdata/captures/*-save"} {
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
