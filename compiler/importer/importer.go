// Package importer turns the chain DOCKER-USER, as somebody once wrote it, into a
// policy. It does not translate rule by rule: it asks the proof what the chain
// means, writes a policy of that, and has it proved against the chain. What the
// language cannot say is what the proof then says of the difference.
package importer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
	"github.com/zclconf/go-cty/cty"
)

// Chain is the filter table of one family that is imported.
type Chain struct {
	Family packet.Family
	Table  *iptables.Table
}

// Result is a policy, and what it does not say of the chains.
type Result struct {
	Policy  []byte
	Missing []*prove.Difference
}

// Import writes a policy for chains, of one family or both. In is the interface on
// which traffic from outside arrives.
//
// It is written in two ways, with sources that are treated alike on every port as
// a guard and without, and the one that says more of the chain is taken.
//
// The error is for a table that iptables itself would refuse, a *prove.HardError,
// or the context's.
func Import(ctx context.Context, chains []Chain, in string, limits prove.Limits) (*Result, error) {
	for _, c := range chains {
		if c.Table.Chain(iptables.DockerUser) == nil {
			return nil, fmt.Errorf("the IPv%d file has no chain DOCKER-USER", c.Family)
		}
	}
	guarded, err := attempt(ctx, chains, in, true, limits)
	if err != nil || len(guarded.Missing) == 0 {
		return guarded, err
	}
	open, err := attempt(ctx, chains, in, false, limits)
	if err != nil || len(open.Missing) < len(guarded.Missing) {
		return open, err
	}
	return guarded, nil
}

func attempt(ctx context.Context, chains []Chain, in string, guarded bool, limits prove.Limits) (*Result, error) {
	w := &writer{in: in, names: map[string]bool{}}
	for _, c := range chains {
		s, err := prove.ScopesOf(ctx, c.Table, in, c.Family, guarded, limits)
		if err != nil {
			return nil, err
		}
		w.add(c, s)
	}
	result := &Result{Policy: w.write()}
	loaded, diags := schema.Load("-", schema.Options{Stdin: strings.NewReader(string(result.Policy))})
	if diags.HasErrors() {
		return nil, fmt.Errorf("the policy that was written is not valid, which is a mistake in Seawall: %w\n%s", diags, result.Policy)
	}
	for _, c := range chains {
		alone := *c.Table
		got, err := prove.Compare(ctx, loaded.Document, onlyUser(&alone), c.Family, limits)
		if err != nil {
			return nil, err
		}
		result.Missing = append(result.Missing, got.Differences...)
	}
	return result, nil
}

// onlyUser leaves the built-in chains out: what is imported is DOCKER-USER, and
// the chains that it leads to.
func onlyUser(t *iptables.Table) *iptables.Table {
	out := &iptables.Table{Name: t.Name, Sets: t.Sets}
	for _, c := range t.Chains {
		if t.Builtin(c.Name) {
			continue
		}
		out.Add(c)
	}
	return out
}

// policy is one policy block to be.
type policy struct {
	name      string
	ports     []string
	addresses []string
	parts     []prove.ReachPart // of both families
	families  []packet.Family
}

func (p *policy) key() string { return fmt.Sprint(p.ports, p.addresses) }

type writer struct {
	in       string
	unlisted packet.Verdict
	keeps    bool
	guard    []prove.ReachPart
	policies []*policy
	names    map[string]bool
	sets     []set
}

// set is a list that several blocks use.
type set struct {
	name    string
	sources []string
}

func (w *writer) add(c Chain, s *prove.Scopes) {
	if w.unlisted == 0 || s.Unlisted != packet.Pass {
		w.unlisted = s.Unlisted
	}
	w.keeps = w.keeps || s.Keeps
	w.guard = append(w.guard, s.Guard...)
	for _, x := range s.List {
		p := &policy{parts: x.Parts, addresses: x.Addresses, families: []packet.Family{c.Family}}
		for _, r := range x.Ports {
			if r[0] == 0 {
				r[0] = 1 // a policy names no port 0, and no service has it
			}
			text := fmt.Sprint(r[0])
			if r[1] != r[0] {
				text += fmt.Sprintf("-%d", r[1])
			}
			p.ports = append(p.ports, text+"/"+x.Protocol.String())
		}
		p.name = w.named(comment(c.Table, x), strings.NewReplacer("/", "-").Replace(p.ports[0]))
		w.put(p)
	}
}

// put joins a policy with one of the same scope in the other family, or with one
// that says the same of other ports.
func (w *writer) put(p *policy) {
	for _, other := range w.policies {
		switch {
		case other.key() == p.key():
			other.parts = append(other.parts, p.parts...)
			other.families = append(other.families, p.families...)
			return
		case slices.Equal(other.families, p.families) && fmt.Sprint(other.addresses) == fmt.Sprint(p.addresses) && sameParts(other.parts, p.parts):
			other.ports = append(other.ports, p.ports...)
			return
		}
	}
	w.policies = append(w.policies, p)
}

func sameParts(a, b []prove.ReachPart) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// comment finds the comment of a rule about a scope's first port.
func comment(t *iptables.Table, s prove.Scope) string {
	want := fmt.Sprint(s.Ports[0][0])
	if s.Ports[0][1] != s.Ports[0][0] {
		want += fmt.Sprintf(":%d", s.Ports[0][1])
	}
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			about, said := false, ""
			for _, m := range r.Matches {
				for _, o := range m.Options {
					about = about || o.Name == "--ctorigdstport" && slices.Equal(o.Values, []string{want})
					if o.Name == "--comment" && len(o.Values) == 1 {
						said = o.Values[0]
					}
				}
			}
			if about && said != "" && r.Protocol.Name == s.Protocol.String() {
				return said
			}
		}
	}
	return ""
}

// named makes a name that no other policy has: the words of a comment, else the
// ports.
func (w *writer) named(comment, ports string) string {
	name := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, comment), "-")
	for strings.Contains(name, "--") {
		name = strings.ReplaceAll(name, "--", "-")
	}
	if name == "" {
		name = ports
	}
	name = name[:min(len(name), 40)]
	for base, n := name, 2; w.names[name]; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	w.names[name] = true
	return name
}

// write writes the policy's text.
func (w *writer) write() []byte {
	f := hclwrite.NewEmptyFile()
	host := f.Body().AppendNewBlock("host", nil).Body()
	host.SetAttributeValue("external", list([]string{w.in}))
	host.SetAttributeValue("unlisted", cty.StringVal(kind(w.unlisted).word()))
	if w.keeps && (w.unlisted != packet.Pass || len(w.policies) > 0 || len(w.guard) > 0) { // else nothing is denied that could be kept
		host.SetAttributeValue("established", cty.StringVal("keep"))
	}
	host.SetAttributeValue("userland_proxy", cty.False)
	blocks := map[*policy][]block{}
	for _, p := range w.policies {
		blocks[p] = p.blocks()
	}
	guard := blocksOf(w.guard)
	w.findSets(blocks)
	for _, s := range w.sets {
		f.Body().AppendNewline()
		f.Body().AppendNewBlock("set", []string{s.name}).Body().SetAttributeValue("sources", list(s.sources))
	}
	if len(guard) > 0 {
		f.Body().AppendNewline()
		w.blocks(f.Body().AppendNewBlock("guard", nil).Body(), guard)
	}
	for _, p := range w.policies {
		f.Body().AppendNewline()
		w.policy(f.Body().AppendNewBlock("policy", []string{p.name}).Body(), p, blocks[p])
	}
	head := "# Imported from DOCKER-USER. docker-proxy's way in, over the host's INPUT, is not in\n# that chain: userland_proxy = true closes it as well.\n"
	return append([]byte(head), hclwrite.Format(f.Bytes())...)
}

func list(values []string) cty.Value {
	var out []cty.Value
	for _, v := range values {
		out = append(out, cty.StringVal(v))
	}
	return cty.ListVal(out)
}

// verdict is a verdict of the language.
type verdict schema.Verdict

// word is its word in unlisted and default, and the name of a block.
func (v verdict) word() string {
	switch schema.Verdict(v) {
	case schema.Deny:
		return "deny"
	case schema.Reject:
		return "reject"
	}
	return "allow"
}

// kind is a verdict of the proof as one of the language. One that is not known is
// deny: the difference will say so.
func kind(v packet.Verdict) verdict {
	switch {
	case v == packet.Pass:
		return verdict(schema.Pass)
	case v == packet.Accept:
		return verdict(schema.Accept)
	case v.IsClosed() && v != packet.Deny && v != packet.HostDeny:
		return verdict(schema.Reject)
	}
	return verdict(schema.Deny)
}

const accept, deny, reject = verdict(schema.Accept), verdict(schema.Deny), verdict(schema.Reject)

// block is an allow or deny block to be.
type block struct {
	verdict verdict
	sources []string
}

// blocks are a policy's blocks, but for the verdict that its default says: that
// which would take the most sources.
func (p *policy) blocks() []block {
	list := blocksOf(p.parts)
	most := 0
	for i, b := range list {
		if b.verdict != accept && (list[most].verdict == accept || len(b.sources) > len(list[most].sources) ||
			len(b.sources) == len(list[most].sources) && b.verdict == deny) {
			most = i
		}
	}
	return append(append(list[:most:most], list[most+1:]...), block{verdict: list[most].verdict})
}

// blocksOf puts sources of one verdict together.
func blocksOf(parts []prove.ReachPart) []block {
	var list []block
	for _, part := range parts {
		v := kind(part.Verdict)
		at := slices.IndexFunc(list, func(b block) bool { return b.verdict == v })
		if at < 0 {
			at = len(list)
			list = append(list, block{verdict: v})
		}
		list[at].sources = append(list[at].sources, part.CIDRs...)
	}
	return list
}

// findSets makes a set of each list that is long and used more than once.
func (w *writer) findSets(blocks map[*policy][]block) {
	count := map[string]int{}
	for _, p := range w.policies {
		for _, b := range blocks[p] {
			key := strings.Join(b.sources, ",")
			if count[key]++; count[key] == 2 && len(b.sources) > 1 {
				w.sets = append(w.sets, set{fmt.Sprintf("list-%d", len(w.sets)+1), b.sources})
			}
		}
	}
}

func (w *writer) policy(body *hclwrite.Body, p *policy, blocks []block) {
	body.SetAttributeValue("ports", list(p.ports))
	if len(p.addresses) > 0 {
		body.SetAttributeValue("address", list(p.addresses))
	}
	rest := blocks[len(blocks)-1]
	if rest.verdict == accept {
		// A default cannot let packets past Docker's own rules; a block for all can.
		blocks[len(blocks)-1].sources = []string{"0.0.0.0/0", "::/0"}
		body.SetAttributeValue("default", cty.StringVal("allow"))
	} else {
		blocks = blocks[:len(blocks)-1]
		if rest.verdict != deny {
			body.SetAttributeValue("default", cty.StringVal(rest.verdict.word()))
		}
	}
	w.blocks(body, blocks)
}

func (w *writer) blocks(body *hclwrite.Body, blocks []block) {
	for _, b := range blocks {
		name := "deny"
		if b.verdict.word() == "allow" {
			name = "allow"
		}
		inner := body.AppendNewBlock(name, nil).Body()
		at := slices.IndexFunc(w.sets, func(s set) bool { return slices.Equal(s.sources, b.sources) })
		if at >= 0 {
			inner.SetAttributeRaw("sources", hclwrite.TokensForTuple([]hclwrite.Tokens{hclwrite.TokensForIdentifier("set." + w.sets[at].name)}))
		} else {
			inner.SetAttributeValue("sources", list(b.sources))
		}
		switch b.verdict {
		case accept:
			inner.SetAttributeValue("accept", cty.True)
		case reject:
			inner.SetAttributeValue("reject", cty.True)
		}
	}
}
