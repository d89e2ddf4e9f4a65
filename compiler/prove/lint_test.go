package prove_test

import (
	"slices"
	"testing"

	"github.com/seawall/seawall/compiler/lint"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
	"pgregory.net/rapid"
)

// What lint says has no effect has none: without the rule, the except or the
// policy, random policies mean the same, by the proof.
func TestWhatLintCallsIdleIsIdle(t *testing.T) {
	atLeast(t, 1000)
	checked := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		doc, text := document(t)
		for _, f := range lint.Run(doc, nil) {
			without := withoutFinding(doc, f)
			if without == nil {
				continue
			}
			checked[f.Code]++
			for _, family := range []packet.Family{packet.IPv4, packet.IPv6} {
				table := lower.Lower(without, family, lower.Options{})
				if result := compareMade(t, doc, table, family); !result.Equal() {
					t.Fatalf("%s at %s has an effect: %s\n%s", f.Code, f.At, result.Differences[0], text)
				}
			}
		}
	})
	t.Logf("checked: %v", checked)
	for _, code := range []string{"SW001", "SW002", "SW003", "SW004"} {
		if checked[code] == 0 {
			t.Errorf("no %s was met", code)
		}
	}
}

// withoutFinding is a document without what a finding speaks of; nil when the
// finding speaks of no effect.
func withoutFinding(doc *schema.Document, f lint.Finding) *schema.Document {
	out := *doc
	out.Policies = nil
	cut := func(list []*schema.Rule) []*schema.Rule {
		var kept []*schema.Rule
		for _, r := range list {
			copied := *r
			if f.Code == "SW002" && r.Except != nil && r.Except.Range == f.At {
				copied.Except = nil
			}
			if (f.Code == "SW001" || f.Code == "SW003") && r.Range == f.At {
				continue
			}
			kept = append(kept, &copied)
		}
		return kept
	}
	if doc.Guard != nil {
		guard := *doc.Guard
		guard.Rules = cut(guard.Rules)
		out.Guard = &guard
	}
	for _, p := range doc.Policies {
		copied := *p
		copied.Rules = cut(p.Rules)
		if f.Code == "SW004" && p.Range == f.At {
			// It may keep others from its ports only by its scope, which the
			// narrower ones hold anyway: turn its verdicts round.
			copied.Rules, copied.Default = nil, map[schema.Verdict]schema.Verdict{schema.Pass: schema.Deny, schema.Deny: schema.Pass, schema.Reject: schema.Pass}[p.Default]
		}
		out.Policies = append(out.Policies, &copied)
	}
	if !slices.Contains([]string{"SW001", "SW002", "SW003", "SW004"}, f.Code) {
		return nil
	}
	return &out
}
