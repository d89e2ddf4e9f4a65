package prove_test

import (
	"context"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
	"pgregory.net/rapid"
)

// The changes of a pair, applied to the old policy's verdicts, give the new
// one's, by the naive evaluator; none means that both are the same. It holds
// for two unrelated policies and for one that was changed a little, and
// whether a side is a policy or its file.
func TestChanges(t *testing.T) {
	atLeast(t, 600)
	packets, changed := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		// A file that matches an ipset which the other side, a policy, does not name is undecided.
		before, text := plainDocument(t)
		after, text2 := plainDocument(t)
		if rapid.Bool().Draw(t, "a little") {
			text2 = littleChange(t, text)
			if after = load(text2); after == nil || compiler.FitsShared(after, emit.Shell) != nil {
				t.Skip("the change is not valid")
			}
		}
		for _, family := range []packet.Family{packet.IPv4, packet.IPv6} {
			list, err := prove.Changes(context.Background(), sideOf(t, before, family), sideOf(t, after, family), family, prove.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			c, c2 := cornersOf(before, family), cornersOf(after, family)
			for n := range 60 {
				p := []*corners{c, c2}[n%2].packet(t)
				old, fresh := naivePolicy(before, p), naivePolicy(after, p)
				got, found := old, 0
				for _, x := range list {
					if was, is, ok := x.Of(p); ok {
						found++
						got = is
						if was != old {
							t.Fatalf("%s\n%s\n%s\na change starts from %s, and it was %s", text, text2, p, was, old)
						}
					}
				}
				if got != fresh || found > 1 {
					t.Fatalf("%s\n%s\n%s\n%d changes lead from %s to %s, want %s", text, text2, p, found, old, got, fresh)
				}
				packets++
				changed += found
			}
			for _, x := range list {
				if was, is, ok := x.Of(x.Example); !ok || was == is || was != naivePolicy(before, x.Example) || is != naivePolicy(after, x.Example) {
					t.Fatalf("%s\n%s\nthe example %s of a change is none", text, text2, x.Example)
				}
			}
		}
	})
	t.Logf("%d packets, %d of them in a change", packets, changed)
}

// littleChange edits one line of a policy.
func littleChange(t *rapid.T, text string) string {
	swaps := []string{"  invalid = \"deny\"\n", "", `"keep"`, `"accept"`, `"docker0"`, `"br-+"`, `"10.8.0.0/16"`, `"10.8.9.0/24"`, `"deny"`, `"allow"`, `[80`, `[82`, `"check"`, `"keep"`, `"0.0.0.0/1"`, `"128.0.0.0/1"`}
	n := rapid.IntRange(0, len(swaps)/2-1).Draw(t, "swap") * 2
	changed := strings.Replace(text, swaps[n], swaps[n+1], 1)
	return strings.Replace(changed, `invalid = "allow"`, `invalid = "deny"`, 1) // which has one word
}

// sideOf is a policy as a side, or the file that it compiles to.
func sideOf(t *rapid.T, doc *schema.Document, family packet.Family) prove.Side {
	if rapid.Bool().Draw(t, "as a policy") {
		return prove.Side{Policy: doc}
	}
	out, err := compiler.Compile(context.Background(), doc, compiler.Options{Format: emit.Sysconfig, Source: "policy.hcl"})
	if err != nil {
		t.Fatal(err)
	}
	file, err := iptables.Parse(out.Files[(family-4)/2].Bytes, iptables.Options{Family: family})
	if err != nil {
		t.Fatal(err)
	}
	return prove.Side{Rules: file.Table("filter")}
}

// What Docker and the host do after the policy's chain is a change of whole tables
// alone, in FORWARD and in INPUT.
func TestChangesOfWholeTables(t *testing.T) {
	const head = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n"
	table := func(rules string) *iptables.Table {
		f, err := iptables.Parse([]byte(head+rules+"COMMIT\n"), iptables.Options{Family: packet.IPv4})
		if err != nil {
			t.Fatal(err)
		}
		return f.Table("filter")
	}
	for _, rule := range []string{"-A FORWARD -i eth0 -j DROP\n", "-A INPUT -i eth0 -p tcp -j DROP\n"} {
		for whole, want := range map[bool]int{false: 0, true: 1} {
			list, err := prove.Changes(context.Background(), prove.Side{Rules: table(""), Whole: whole}, prove.Side{Rules: table(rule), Whole: whole}, packet.IPv4, prove.Limits{})
			if err != nil || len(list) != want || want > 0 && list[0].Effect != prove.Closed {
				t.Errorf("%s whole %t: %d changes, %v; want %d", rule, whole, len(list), err, want)
			}
		}
	}
}
