package compiler_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/internal/fuzzing"
	"github.com/seawall/seawall/compiler/lint"
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

// Whatever policy and rules are read, in either family, Verify comes to an end; and what a
// policy compiles to implements it.
func FuzzVerifyPolicy(f *testing.F) {
	names, _ := filepath.Glob("../examples/*/*.hcl")
	for _, name := range names {
		policy, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		compiled, _ := filepath.Glob(filepath.Join(filepath.Dir(name), "compiled", "*"))
		for _, c := range compiled {
			if rules, err := os.ReadFile(c); err == nil {
				f.Add(policy, rules, false)
				f.Add(policy, rules, true)
			}
		}
	}
	f.Fuzz(func(t *testing.T, policy, rules []byte, v6 bool) {
		ctx := fuzzing.Bound(t, len(policy)+len(rules))
		loaded, diags := schema.Parse("policy.hcl", policy, schema.Options{})
		if diags.HasErrors() {
			return
		}
		lint.Run(loaded.Document, loaded.Files)
		family := packet.IPv4
		if v6 {
			family = packet.IPv6
		}
		if out, err := compiler.Compile(ctx, loaded.Document, compiler.Options{Format: emit.Shell, Source: "policy.hcl"}); err == nil {
			for _, file := range out.Files {
				list, err := compiler.ReadRules(file.Name, file.Bytes, compiler.ReadOptions{})
				if err != nil {
					t.Fatalf("compile wrote a file that cannot be read: %v\n%s", err, file.Bytes)
				}
				verify(t, ctx, loaded.Document, list, true)
			}
		}
		if list, err := compiler.ReadRules("rules", rules, compiler.ReadOptions{Family: family}); err == nil {
			verify(t, ctx, loaded.Document, list, false)
		}
	})
}

func verify(t *testing.T, ctx context.Context, doc *schema.Document, list []*compiler.Rules, equal bool) {
	t.Helper()
	for _, r := range list {
		if got, err := compiler.Verify(ctx, doc, r, prove.Limits{}); err == nil && equal && !got.Equal() {
			t.Fatalf("the compiled rules differ from the policy: %+v", got.Result)
		}
	}
}
