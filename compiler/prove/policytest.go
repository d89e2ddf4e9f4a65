package prove

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/rules"
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
	Fields  []Field
	Verdict string // what the policy says
	Rule    string // what decides
	At      hcl.Range
	Example Packet
}

// String writes a failure in one line, without what decides.
func (f TestFailure) String() string {
	var parts []string
	for _, x := range f.Fields {
		parts = append(parts, fmt.Sprintf("%s %s", x.Name, Shorten(x.Values)))
	}
	return fmt.Sprintf("%s is wanted, and the policy says %s: %s", f.Wanted, f.Verdict, strings.Join(parts, "; "))
}

// Tests proves the test blocks of a policy: each for every address of its
// sources, every port and every address of the host that it names, and every
// interface of its external. A test speaks of new connections to published
// ports.
func Tests(doc *schema.Document) []*TestResult {
	results := make([]*TestResult, len(doc.Tests))
	for i, t := range doc.Tests {
		results[i] = &TestResult{Test: t}
	}
	for _, family := range []rules.Family{rules.IPv4, rules.IPv6} {
		d := newDiagrams(newSpace(family, policyPatterns(doc)))
		r := &policyReader{diagrams: d, doc: doc, sets: newSourceSets(family)}
		policy := d.policy(doc, Forward, r.sets)
		for _, result := range results {
			for _, to := range result.Test.To {
				if to.Address.IsValid() && to.Address.Is4() != (family == rules.IPv4) {
					continue
				}
				result.check(r, policy, to, "allow", result.Test.Allow, vPass|vAccept)
				result.check(r, policy, to, "deny", result.Test.Deny, vDeny|vReset|vUnreachable)
			}
		}
	}
	return results
}

// check holds one destination and one list of sources against the policy.
func (t *TestResult) check(r *policyReader, policy ref, to schema.Endpoint, wanted string, sources *schema.Sources, good uint32) {
	if sources == nil {
		return
	}
	b := box{
		pClass:    classSet(func(c class) bool { return c.state == "NEW" }),
		pProtocol: one(small(int(to.Ports.Protocol))),
		pIn:       r.interfaces(t.Test.External.String()),
		pOrigPort: set{{small(int(to.Ports.First)), small(int(to.Ports.Last))}},
		pSrc:      r.sourceSet(sources).orAll(r.max(pSrc)),
	}
	if to.Address.IsValid() {
		b[pOrigDst] = one(ofAddr(to.Address))
	}
	if len(b[pSrc]) == 0 {
		return
	}
	r.within(policy, b, func(part *box, bits uint32) {
		if bits&^good == 0 {
			return
		}
		packet := r.packet(Forward, part)
		way := Explain(r.doc, packet)
		shown := *part
		shown[pClass] = nil
		t.Failures = append(t.Failures, TestFailure{Wanted: wanted, Fields: r.fields(&shown), Verdict: words(bits),
			Rule: way.Rule, At: way.At, Example: packet})
	})
}

// within calls f for each box of a diagram, as far as it lies in b.
func (d *diagrams) within(r ref, b box, f func(*box, uint32)) {
	if r.isLeaf() {
		f(&b, r.bits())
		return
	}
	n := d.nodes[r]
	for _, g := range d.groups(n) {
		part := b
		part[n.property] = part[n.property].intersect(g.spans)
		if len(part[n.property]) > 0 {
			d.within(g.kid, part, f)
		}
	}
}
