package compiler_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/internal/fuzzing"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// Whatever file of rules is read, Verify comes to an end, and says that it implements the policy
// only if there is no difference.
func FuzzVerify(f *testing.F) {
	for _, pattern := range []string{"../examples/web/compiled/*", "../testdata/import/*.rules", "../testdata/captures/*-save"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			if src, err := os.ReadFile(name); err == nil {
				f.Add(src)
			}
		}
	}
	loaded, diags := schema.Load("../examples/web", schema.Options{})
	if diags.HasErrors() {
		f.Fatal(diags)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		ctx := fuzzing.Bound(t, len(src))
		list, err := compiler.ReadRules("rules", src, compiler.ReadOptions{Family: packet.IPv4})
		if err != nil {
			return
		}
		for _, r := range list {
			got, err := compiler.Verify(ctx, loaded.Document, r, prove.Limits{})
			if err == nil && got.Equal() && len(got.Result.Differences) > 0 {
				t.Fatal("equal, with differences")
			}
		}
	})
}
