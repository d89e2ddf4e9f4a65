package compiler_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// nf_tables takes no ruleset in which more than 16 chains lead on to each other, the
// built-in one among them (lower/indexed.go). A large guard, many ports, long lists of
// sources and bridges together stay within that.
func TestChainsLeadOnWithinTheLimit(t *testing.T) {
	const limit = 16
	r := rand.New(rand.NewPCG(3, 1))
	list := func(n int) string {
		var all []string
		for range n {
			all = append(all, fmt.Sprintf("\"%d.%d.%d.%d\"", 1+r.IntN(222), r.IntN(256), r.IntN(256), r.IntN(256)))
		}
		return "[" + strings.Join(all, ", ") + "]"
	}
	without := 0
	for _, bridges := range []string{"", "  bridges = [\"docker0\", \"br-+\"]\n"} {
		var text strings.Builder
		fmt.Fprintf(&text, "host {\n  external = [\"+\"]\n  internal = [\"docker0\"]\n%s  unlisted = \"deny\"\n}\nguard {\n  deny { sources = %s }\n}\n", bridges, list(2000))
		for n := range 400 {
			sources := 4
			if n == 200 {
				sources = 5000
			}
			fmt.Fprintf(&text, "policy \"p%d\" {\n  ports = [%d]\n  allow { sources = %s }\n}\n", n, 2*n+1, list(sources))
		}
		loaded, diags := schema.Parse("policy.hcl", []byte(text.String()), schema.Options{})
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		out, err := compiler.Emit(loaded.Document, compiler.Options{Format: emit.Restore, Layout: lower.Indexed})
		if err != nil {
			t.Fatal(err)
		}
		file, err := iptables.Parse(out.Files[0].Bytes, iptables.Options{Family: packet.IPv4})
		if err != nil {
			t.Fatal(err)
		}
		depth := depths(file.Table("filter"))
		d := 1 + max(depth(iptables.DockerUser), depth(iptables.SeawallInput))
		if bridges == "" {
			without = d
		}
		// The chain of the bridges comes out of what the search and the trees may take.
		if d > limit || d > without {
			t.Errorf("with %q %d chains lead on to each other; without bridges it is %d, and nf_tables takes %d", bridges, d, without, limit)
		}
	}
}

// depths counts how many chains of a table lead on to each other from one on, itself
// among them.
func depths(table *iptables.Table) func(string) int {
	known := map[string]int{}
	var depth func(string) int
	depth = func(name string) int {
		c := table.Chain(name)
		if c == nil {
			return 0
		}
		if d, ok := known[name]; ok {
			return d
		}
		below := 0
		for _, r := range c.Rules() {
			below = max(below, depth(r.Target.Name))
		}
		known[name] = below + 1
		return below + 1
	}
	return depth
}
