package prove_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"pgregory.net/rapid"
)

// The differences of a comparison are exactly the packets for which the naive
// evaluators of the policy and of the file differ, none of them twice, and the worst
// stand first: of a file in which a rule was deleted, inserted or moved.
func TestDifferencesAreExact(t *testing.T) {
	atLeast(t, 400)
	packets, differ := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		doc, text := document(t)
		out, err := compiler.Compile(context.Background(), doc, compiler.Options{Format: emit.Sysconfig, Source: "policy.hcl"})
		if err != nil {
			t.Fatal(err)
		}
		family := rapid.SampledFrom(packet.Families).Draw(t, "family")
		src := editedRules(t, string(out.Files[(family-4)/2].Bytes))
		file, err := iptables.Parse([]byte(src), iptables.Options{Family: family})
		if err != nil {
			t.Skip("the edited file does not load")
		}
		table := file.Table("filter")
		result, err := prove.Compare(context.Background(), doc, table, family, prove.Limits{})
		if err != nil {
			t.Skip("the edited file is refused")
		}
		if !slices.IsSortedFunc(result.Differences, func(a, b *prove.Difference) int { return a.Severity.Compare(b.Severity) }) {
			t.Fatalf("%s\n%s\nthe worst difference does not stand first", text, src)
		}
		c := cornersOf(doc, family, table)
		for range 60 {
			p := c.packet(t)
			want, got := naivePolicy(doc, p), naiveFile(table, p)
			found := 0
			for _, d := range result.Differences {
				n := d.Of(p, want, got)
				found += n
				if n > 0 && (want.IsClosed() && got.IsOpen()) != (d.Policy.IsClosed() && d.File.IsOpen()) {
					t.Fatalf("%s\n%s\n%s\n%s and %s are in a difference of %s and %s", text, src, p, want, got, d.Policy, d.File)
				}
			}
			if n := map[bool]int{true: 1}[want != got && got != packet.HostDeny]; found != n {
				t.Fatalf("%s\n%s\n%s\nthe policy says %s, the file %s; %d differences have it", text, src, p, want, got, found)
			}
			packets++
			differ += found
		}
	})
	t.Logf("%d packets, %d of them differ", packets, differ)
}

// editedRules is a file with one change of the kind that people make.
func editedRules(t *rapid.T, src string) string {
	lines := strings.SplitAfter(src, "\n")
	var rules []int
	for i, l := range lines {
		if strings.HasPrefix(l, "-A ") {
			rules = append(rules, i)
		}
	}
	at := rapid.SampledFrom(rules).Draw(t, "rule")
	switch rapid.SampledFrom([]string{"accept", "drop", "delete", "swap"}).Draw(t, "edit") {
	case "accept":
		lines = slices.Insert(lines, at, "-A DOCKER-USER -p tcp -j ACCEPT\n")
	case "drop":
		lines = slices.Insert(lines, at, "-A DOCKER-USER -j DROP\n")
	case "delete":
		lines = slices.Delete(lines, at, at+1)
	default:
		other := rapid.SampledFrom(rules).Draw(t, "other")
		lines[at], lines[other] = lines[other], lines[at]
	}
	return strings.Join(lines, "")
}

// One rule that lets everybody in is one difference that opens, however many policies
// it opens, and stands first.
func TestInsertedAcceptIsOneDifference(t *testing.T) {
	doc := load(`
host {
  external = ["eth0"]
  unlisted = "deny"
}
policy "a" {
  ports = [80, 443, "8000-8010"]
  allow { sources = ["10.0.0.0/8"] }
}
policy "b" {
  ports = [5432]
  allow { sources = ["10.8.0.0/16"] }
}
`)
	out, err := compiler.Compile(context.Background(), doc, compiler.Options{Format: emit.Sysconfig, Source: "policy.hcl"})
	if err != nil {
		t.Fatal(err)
	}
	src := strings.Replace(string(out.Files[0].Bytes), "-A FORWARD -j DOCKER-USER\n", "-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j ACCEPT\n", 1)
	file, err := iptables.Parse([]byte(src), iptables.Options{Family: packet.IPv4})
	if err != nil {
		t.Fatal(err)
	}
	result, err := prove.Compare(context.Background(), doc, file.Table("filter"), packet.IPv4, prove.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var kinds []prove.Kind
	for _, d := range result.Differences {
		kinds = append(kinds, d.Kind)
	}
	if !slices.Equal(kinds, []prove.Kind{prove.OpensNew, prove.AnotherNew}) {
		t.Errorf("the kinds are %v", kinds)
	}
	var lines []string
	for _, l := range result.Differences[0].Lines {
		for _, c := range l.Clauses {
			lines = append(lines, c.String())
		}
	}
	slices.Sort(lines)
	want := []string{
		"everybody except 10.0.0.0/8 → tcp ports 80, 443 and 8000-8010",
		"everybody except 10.8.0.0/16 → tcp port 5432",
		"everybody → all forwarded traffic that no policy names",
		"everybody → every port (packets that conntrack does not know)",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
}

// Severities are a total order: shuffled, they come back.
func TestSeverityOrder(t *testing.T) {
	want := []prove.Severity{
		{Kind: prove.OpensNew, Share: 1, Ports: 1}, {Kind: prove.OpensNew, Share: 1, Ports: 0.1}, {Kind: prove.OpensNew, Share: 0.5, Ports: 1},
		{Kind: prove.OpensOld, Share: 1, Ports: 1}, {Kind: prove.Unsure}, {Kind: prove.ClosesNew, Share: 1}, {Kind: prove.ClosesNew},
		{Kind: prove.ClosesOld}, {Kind: prove.AnotherNew, Share: 1}, {Kind: prove.AnotherOld, Share: 1}, {Kind: prove.Oddity, Share: 1, Ports: 1},
	}
	got := slices.Clone(want)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	slices.SortFunc(got, prove.Severity.Compare)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
