package prove_test

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
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// bigPolicy writes a policy of so many ports with so many /24 each, in list
// files, and loads it.
func bigPolicy(b *testing.B, ports, each int) *schema.Document {
	b.Helper()
	dir := b.TempDir()
	r := rand.New(rand.NewPCG(3, 4))
	var policy strings.Builder
	policy.WriteString("host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\n")
	for p := range ports {
		var list strings.Builder
		for range each {
			n := r.IntN(1 << 24)
			fmt.Fprintf(&list, "%d.%d.%d.0/24\n", n>>16, n>>8&255, n&255)
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
	loaded, diags := schema.Load(path, schema.Options{})
	if diags.HasErrors() {
		b.Fatal(diags)
	}
	return loaded.Document
}

// BenchmarkProof reads a file back and proves it, for 1,000 to 100,000 CIDRs.
// The last number of each line is the time for one CIDR.
func BenchmarkProof(b *testing.B) {
	for _, size := range []struct{ ports, each int }{{1, 1000}, {1, 10_000}, {1, 100_000}, {100, 10}, {100, 100}, {100, 1000}} {
		n := size.ports * size.each
		b.Run(fmt.Sprintf("ports=%d/cidrs=%d", size.ports, n), func(b *testing.B) {
			doc := bigPolicy(b, size.ports, size.each)
			out, err := compiler.Compile(context.Background(), doc, compiler.Options{Format: emit.Restore, Source: "policy.hcl"})
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for b.Loop() {
				file, err := iptables.Parse(out.Files[0].Bytes, iptables.Options{Family: packet.IPv4})
				if err != nil {
					b.Fatal(err)
				}
				result, err := prove.Compare(context.Background(), doc, file.Table("filter"), packet.IPv4, prove.Limits{})
				if err != nil || !result.Equal() {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/cidr")
		})
	}
}
