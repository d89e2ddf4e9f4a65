package prove_test

import (
	"context"
	"net/netip"
	"testing"

	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
	"pgregory.net/rapid"
)

// What ReachOf says of sources is what the naive evaluator says of the first
// and the last of each part, and its parts are the whole address space.
func TestReachOf(t *testing.T) {
	atLeast(t, 500)
	parts := 0
	rapid.Check(t, func(t *rapid.T) {
		doc, text := document(t)
		for _, policy := range doc.Policies {
			list, err := prove.ReachOf(context.Background(), doc, policy, prove.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range list {
				if r.Parts[0].First.Prev().IsValid() || r.Parts[len(r.Parts)-1].Last.Next().IsValid() {
					t.Fatalf("%s\nthe parts are not the whole address space", text)
				}
				for i, part := range r.Parts {
					if i > 0 && r.Parts[i-1].Last.Next() != part.First {
						t.Fatalf("%s\na gap before %s", text, part.First)
					}
					p := r.To
					if first, last := naiveOver(doc, p, part.First, r.Over), naiveOver(doc, p, part.Last, r.Over); first != part.Verdict || last != part.Verdict {
						t.Fatalf("%s\n%s and %s: %s and %s, want %s", text, part.First, part.Last, first, last, part.Verdict)
					}
					if deciding(doc, p) != policy {
						t.Fatalf("%s\n%s is not in the scope of %s", text, p, policy.Name)
					}
					parts++
				}
			}
		}
	})
	t.Logf("%d parts", parts)
}

// naiveOver is the verdict for a source by the first of some interfaces that lets it in, or
// all of the verdicts.
func naiveOver(doc *schema.Document, p packet.Packet, source netip.Addr, over []string) packet.Verdict {
	p.Source = source
	var all packet.Verdict
	for _, out := range over {
		p.Out = out
		v := naivePolicy(doc, p)
		if v.IsOpen() {
			return v
		}
		all |= v
	}
	return all
}
