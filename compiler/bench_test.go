package compiler_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// bench is a policy of 100 ports with 1,000 CIDRs each, in list files.
func bench(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	r := rand.New(rand.NewPCG(6, 6))
	var policy strings.Builder
	policy.WriteString("host {\n  external = [\"eth0\"]\n  unlisted = \"allow\"\n}\n")
	for p := range 100 {
		var list strings.Builder
		for range 1000 {
			fmt.Fprintf(&list, "%d.%d.%d.0/24\n", 1+r.IntN(223), r.IntN(256), r.IntN(256))
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.txt", p)), []byte(list.String()), 0o600); err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(&policy, "set \"s%d\" {\n  files = [\"%d.txt\"]\n}\npolicy \"p%d\" {\n  ports = [%d]\n  allow { sources = [set.s%d] }\n}\n", p, p, p, 1000+p, p)
	}
	path := filepath.Join(dir, "policy.hcl")
	if err := os.WriteFile(path, []byte(policy.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// setsOf is the text for ipset restore that belongs to the files of a format.
func setsOf(t testing.TB, files []emit.File) []byte {
	t.Helper()
	text, err := emit.SetsOf(files)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// BenchmarkStages is each stage of a compile by itself, for each layout.
func BenchmarkStages(b *testing.B) {
	path := bench(b)
	loaded, diags := schema.Load(path, schema.Options{})
	if diags.HasErrors() {
		b.Fatal(diags)
	}
	doc := loaded.Document
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			schema.Load(path, schema.Options{})
		}
	})
	for _, layout := range []lower.Layout{lower.Flat, lower.Indexed, lower.IPSet} {
		chains := &emit.Chains{}
		b.Run("lower/"+string(layout), func(b *testing.B) {
			for b.Loop() {
				chains.V4, chains.V6, _ = lower.Both(doc, lower.Options{Layout: layout})
			}
		})
		chains.V4, chains.V6, _ = lower.Both(doc, lower.Options{Layout: layout})
		b.Run("emit/"+string(layout), func(b *testing.B) {
			for b.Loop() {
				emit.Restore.Compile(chains)
			}
		})
		files := emit.Restore.Compile(chains)
		b.Run("parse/"+string(layout), func(b *testing.B) {
			for b.Loop() {
				if _, err := iptables.Parse(files[0].Bytes, iptables.Options{Family: packet.IPv4, ChainsOnly: true}); err != nil {
					b.Fatal(err)
				}
			}
		})
		file, err := iptables.Parse(files[0].Bytes, iptables.Options{Family: packet.IPv4, ChainsOnly: true})
		if err != nil {
			b.Fatal(err)
		}
		sets, err := ipset.Parse(setsOf(b, files))
		if err != nil {
			b.Fatal(err)
		}
		file.Table("filter").Sets = sets
		b.Run("prove/"+string(layout), func(b *testing.B) {
			for b.Loop() {
				if result, err := prove.Compare(context.Background(), doc, file.Table("filter"), packet.IPv4, prove.Limits{}); err != nil || !result.Equal() {
					b.Fatal(err)
				}
			}
		})
		b.Run("all/"+string(layout), func(b *testing.B) {
			for b.Loop() {
				if _, err := compiler.Compile(context.Background(), doc, compiler.Options{Format: emit.Restore, Layout: layout}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
