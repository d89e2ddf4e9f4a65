package prove

import (
	"context"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/meaning"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// TestResult is the outcome of one test block.
type TestResult struct {
	Test     *schema.Test
	Failures []TestFailure
}

// TestFailure is a part of a test's sources for which it does not hold.
type TestFailure struct {
	Wanted  string // allow or deny
	Family  packet.Family
	Clause  Clause         // who, and to where
	Verdict packet.Verdict // what the policy says
	Rule    string         // what decides
	At      hcl.Range
	Example packet.Packet
}

// String writes a failure in one line, without what decides.
func (f TestFailure) String() string {
	c := f.Clause
	if c.Who.Everybody() { // which does not show the family
		c.Notes = append([]string{f.Family.String()}, c.Notes...)
	}
	return fmt.Sprintf("expected %s, but the policy says %s: %s", f.Wanted, f.Verdict, c)
}

// Tests proves the test blocks of a policy: each for every address of its
// sources, every port and every address of the host that it names, and every
// interface of its external. A test speaks of new connections to published
// ports. Of ipsets that others fill, an allow is about sources that none of them holds,
// and a deny about all.
//
// The error is a *HardError for a policy beyond the limits, or the context's.
func Tests(ctx context.Context, doc *schema.Document, limits Limits) ([]*TestResult, error) {
	results := make([]*TestResult, len(doc.Tests))
	for i, t := range doc.Tests {
		results[i] = &TestResult{Test: t}
	}
	for _, family := range packet.Families {
		q := newQuestion(ctx, limits, family, meaning.Patterns(doc), meaning.IPSets(doc, family)...)
		err := q.Try(func() error {
			q.tests(doc, results)
			return nil
		})
		if err != nil {
			return nil, q.hard(err)
		}
	}
	return results, nil
}

// tests holds all tests against the policy in one family.
func (q *question) tests(doc *schema.Document, results []*TestResult) {
	lists := meaning.NewLists(q.space.Family, nil)
	reader := meaning.NewReader(q.Store, q.space, doc, lists)
	policy := reader.Hook(packet.Forward)
	for _, result := range results {
		for _, to := range result.Test.To {
			if to.Address.IsValid() && to.Address.Is4() != (q.space.Family == packet.IPv4) {
				continue
			}
			c := testCase{q, doc, policy, reader.External(), reader.Bridges(), result, to}
			c.check("allow", lists.Of(result.Test.Allow), result.Test.Allow != nil, packet.Verdict.IsOpen)
			c.check("deny", lists.Of(result.Test.Deny), result.Test.Deny != nil, packet.Verdict.IsClosed)
		}
	}
}

// testCase is one destination of a test.
type testCase struct {
	*question
	doc    *schema.Document
	policy diagram.Ref
	// Where a test's connections arrive and leave at most.
	external, bridges diagram.Set
	result            *TestResult
	to                schema.Endpoint
}

// check holds one list of sources against the policy.
func (c testCase) check(wanted string, sources diagram.Set, given bool, good func(packet.Verdict) bool) {
	if !given {
		return
	}
	b := diagram.Box{
		packet.Conntrack: packet.ClassSet(func(c packet.Class) bool { return c.State == packet.New }),
		packet.Proto:     diagram.One(diagram.Small(int(c.to.Ports.Protocol))),
		packet.In:        c.external.Intersect(c.space.Interfaces(c.result.Test.External.String())),
		packet.Out:       c.bridges,
		packet.OrigPort:  diagram.Range(int(c.to.Ports.First), int(c.to.Ports.Last)),
		packet.Source:    sources.OrAll(c.Max(packet.Source)),
	}
	if wanted == "allow" { // whom others ban is not who the test is about
		for i := range c.space.Members {
			b[packet.FirstMember+i] = packet.Outside
		}
	}
	if c.to.Address.IsValid() {
		b[packet.OrigDest] = diagram.One(diagram.OfAddr(c.to.Address))
	}
	if len(b[packet.Source]) == 0 {
		return
	}
	c.Within(c.policy, b, func(part *diagram.Box, bits uint32) {
		if v := packet.Verdict(bits); !good(v) {
			c.fail(wanted, part, v)
		}
	})
}

// fail adds a part of the sources for which the test does not hold.
func (c testCase) fail(wanted string, part *diagram.Box, v packet.Verdict) {
	example := c.space.Example(packet.Forward, part)
	way := meaning.Explain(c.doc, example)
	shown := *part
	shown[packet.Conntrack] = nil
	if wanted == "allow" {
		for i := range c.space.Members {
			shown[packet.FirstMember+i] = nil
		}
	}
	words := &describer{question: c.question}
	c.result.Failures = append(c.result.Failures, TestFailure{Wanted: wanted, Family: c.space.Family, Clause: words.clause(shown), Verdict: v,
		Rule: way.Rule, At: way.At, Example: example})
}
