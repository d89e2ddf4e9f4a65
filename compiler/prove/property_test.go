package prove_test

import (
	"context"
	"flag"
	"slices"
	"strconv"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"pgregory.net/rapid"
)

// TestProof holds the proof and both naive evaluators against each other: every
// random policy compiles, is proved, and the four verdicts agree on corner
// packets.
func TestProof(t *testing.T) {
	atLeast(t, 2000)
	packets := 0
	rapid.Check(t, func(t *rapid.T) {
		doc, text := document(t)
		format := rapid.SampledFrom(iptablesFormats()).Draw(t, "format")
		layouts := []lower.Layout{lower.Flat, lower.Indexed, lower.IPSet}
		if format.NoSets {
			layouts = layouts[:2]
		}
		layout := rapid.SampledFrom(layouts).Draw(t, "layout")
		out, err := compiler.Compile(context.Background(), doc, compiler.Options{Format: format, Layout: layout, Source: "policy.hcl",
			Sizes: lower.Sizes{Leaf: rapid.IntRange(1, 3).Draw(t, "leaf"), Inline: rapid.IntRange(1, 3).Draw(t, "inline"), Linear: rapid.IntRange(1, 16).Draw(t, "linear")}})
		if err != nil {
			t.Fatalf("%s\n%s", err, text)
		}
		sets, err := ipset.Parse(setsOf(t, out.Files))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range out.Files {
			for _, family := range f.Families {
				src, err := emit.Rules(f, family)
				if err != nil {
					t.Fatal(err)
				}
				file, err := iptables.Parse(src, iptables.Options{Family: family})
				if err != nil {
					t.Fatal(err)
				}
				table := file.Table("filter")
				table.Sets = sets
				functions, err := prove.NewFunctions(doc, table, family, "docker0", "ethx", "eth10", "eth2", "wan7", "br-1", "lo", "ppp0", "br-7")
				if err != nil {
					t.Fatal(err)
				}
				c := cornersOf(doc, family)
				for range 60 {
					p := c.packet(t)
					want := naivePolicy(doc, p)
					for name, got := range map[string]packet.Verdict{
						"the proof's policy": functions.Policy(p), "the proof's file": functions.File(p),
						"the naive walk of the file": naiveFile(table, p)} {
						if got != want {
							t.Fatalf("%s\n%s\n%s\nSPEC.md section 2 says %s, %s says %s", text, src, p, want, name, got)
						}
					}
					packets++
				}
			}
		}
	})
	t.Logf("%d packets", packets)
}

// iptablesFormats are the formats whose files are iptables'.
func iptablesFormats() []*emit.Format {
	return slices.DeleteFunc(slices.Clone(emit.Formats()), func(f *emit.Format) bool { return f.NFT })
}

// atLeast makes rapid try so many policies, unless -rapid.checks says another
// number.
func atLeast(t *testing.T, checks int) {
	t.Helper()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if given {
		return
	}
	f := flag.Lookup("rapid.checks")
	before := f.Value.String()
	if err := f.Value.Set(strconv.Itoa(checks)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Value.Set(before); err != nil {
			t.Error(err)
		}
	})
}
