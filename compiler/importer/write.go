package importer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
	"github.com/zclconf/go-cty/cty"
)

// block is an allow or deny block to be.
type block struct {
	outcome
	sources, except []string
}

// writer writes a plan as the text of a policy.
type writer struct {
	plan     *plan
	families []packet.Family
	sets     []set
	guard    []block
	blocks   map[*policy][]block
	defaults map[*policy]schema.Verdict
	taken    map[string]bool
	title    string // of what is imported
}

// set is a list that several blocks use.
type set struct {
	name    string
	sources []string
}

func write(p *plan, families []packet.Family, title string) []byte {
	w := &writer{plan: p, title: title, families: families, blocks: map[*policy][]block{}, defaults: map[*policy]schema.Verdict{}, taken: map[string]bool{}}
	w.guard = w.blocksOf(p.guard, map[packet.Family]diagram.Set{}, nil)
	for _, x := range p.policies {
		free := map[packet.Family]diagram.Set{}
		for f := range x.functions {
			free[f] = p.guardSet(f)
		}
		w.defaults[x] = defaultOf(x.functions)
		w.blocks[x] = w.blocksOf(x.functions, free, &outcome{verdict: w.defaults[x]})
	}
	w.findSets()
	return w.write()
}

// logs reports whether a block logs.
func (w *writer) logs() bool {
	logs := func(b block) bool { return b.log != "" }
	return slices.ContainsFunc(w.guard, logs) || slices.ContainsFunc(w.plan.policies, func(p *policy) bool { return slices.ContainsFunc(w.blocks[p], logs) })
}

// defaultOf is what a policy says without a block: deny or reject, that of them which more
// sources get.
func defaultOf(functions map[packet.Family]function) schema.Verdict {
	for _, family := range packet.Families {
		deny, reject := functions[family][outcome{verdict: schema.Deny}], functions[family][outcome{verdict: schema.Reject}]
		switch {
		case deny == nil && reject == nil:
		case deny == nil, reject != nil && reject.Size(diagram.Value{}).Cmp(deny.Size(diagram.Value{})) > 0:
			return schema.Reject
		default:
			return schema.Deny
		}
	}
	return schema.Deny
}

// blocksOf are the blocks that say what functions say. What is free is decided before
// them, by the guard; what a block has decided is free for those after it. The outcome
// that is said without a block is left out.
func (w *writer) blocksOf(functions map[packet.Family]function, free map[packet.Family]diagram.Set, rest *outcome) []block {
	var outcomes []outcome
	for _, family := range packet.Families {
		for _, o := range functions[family].outcomes() {
			if !slices.Contains(outcomes, o) && (rest == nil || o != *rest) {
				outcomes = append(outcomes, o)
			}
		}
	}
	// What denies comes first, as people write it.
	order := []schema.Verdict{schema.Deny, schema.Reject, schema.Accept, schema.Pass}
	slices.SortStableFunc(outcomes, func(a, b outcome) int {
		return slices.Index(order, a.verdict) - slices.Index(order, b.verdict)
	})
	decided := map[packet.Family]diagram.Set{}
	var list []block
	for _, o := range outcomes {
		b := block{outcome: o}
		for _, family := range packet.Families {
			s := functions[family][o]
			if len(s) == 0 {
				continue
			}
			c := coverOf(family, s, orNone(free[family]).Union(orNone(decided[family])))
			b.sources, b.except = append(b.sources, c.sources...), append(b.except, c.except...)
			decided[family] = orNone(decided[family]).Union(s)
		}
		if len(b.sources) > 0 {
			list = append(list, b)
		}
	}
	return list
}

// findSets makes a set of each list that is used more than once.
func (w *writer) findSets() {
	uses := map[string]int{}
	see := func(list []string) {
		key := strings.Join(list, ",")
		if uses[key]++; uses[key] == 2 && len(list) > 1 && !everybody(list) {
			w.sets = append(w.sets, set{fmt.Sprintf("list-%d", len(w.sets)+1), list})
		}
	}
	all := [][]block{w.guard}
	for _, p := range w.plan.policies {
		all = append(all, w.blocks[p])
	}
	for _, blocks := range all {
		for _, b := range blocks {
			see(b.sources)
			see(b.except)
		}
	}
}

// everybody reports whether sources are every address of both families.
func everybody(list []string) bool {
	return len(list) == 2 && slices.Contains(list, "0.0.0.0/0") && slices.Contains(list, "::/0")
}

// header says what was imported.
func (w *writer) header() string {
	switch {
	case w.plan.proxy:
		return fmt.Sprintf("# Imported from %s.\n", w.title)
	case w.title == iptables.DockerUser:
		return "# Imported from DOCKER-USER. docker-proxy's way in, over the host's INPUT, is not in\n# that chain: userland_proxy = true closes it as well.\n"
	}
	return fmt.Sprintf("# Imported from %s.\n# docker-proxy's way in, over the hook input, is not closed there: userland_proxy = true\n# closes it as well.\n", w.title)
}

func (w *writer) write() []byte {
	f := hclwrite.NewEmptyFile()
	w.host(f.Body().AppendNewBlock("host", nil).Body())
	for _, s := range w.sets {
		f.Body().AppendNewline()
		f.Body().AppendNewBlock("set", []string{s.name}).Body().SetAttributeValue("sources", list(s.sources))
	}
	if len(w.guard) > 0 {
		f.Body().AppendNewline()
		w.writeBlocks(f.Body().AppendNewBlock("guard", nil).Body(), w.guard)
	}
	for _, x := range w.plan.forwards {
		f.Body().AppendNewline()
		w.forward(f.Body(), x)
	}
	for _, p := range w.plan.policies {
		f.Body().AppendNewline()
		w.policy(f.Body().AppendNewBlock("policy", []string{p.name}).Body(), p)
	}
	return append([]byte(w.header()), hclwrite.Format(f.Bytes())...)
}

func (w *writer) host(body *hclwrite.Body) {
	body.SetAttributeValue("external", list(w.plan.external))
	if len(w.plan.internal) > 0 {
		body.SetAttributeValue("internal", list(w.plan.internal))
	}
	if len(w.plan.bridges) > 0 {
		body.SetAttributeValue("bridges", list(w.plan.bridges))
	}
	body.SetAttributeValue("unlisted", cty.StringVal(word(w.plan.unlisted)))
	if w.plan.established != schema.Check {
		body.SetAttributeValue("established", cty.StringVal(w.plan.established.String()))
	}
	if w.plan.related != schema.Check {
		body.SetAttributeValue("related", cty.StringVal(w.plan.related.String()))
	}
	if w.plan.denyInvalid {
		body.SetAttributeValue("invalid", cty.StringVal("deny"))
	}
	if !w.plan.proxy {
		body.SetAttributeValue("userland_proxy", cty.False)
	}
	if w.plan.mark != 0 {
		body.SetAttributeValue("accept_mark", cty.StringVal(fmt.Sprintf("0x%x", w.plan.mark)))
	}
	if w.logs() && w.plan.logLimit != "" && w.plan.logLimit != "10/minute" {
		body.SetAttributeValue("log_limit", cty.StringVal(w.plan.logLimit))
	}
}

// word is a verdict as unlisted and default name it.
func word(v schema.Verdict) string {
	switch v {
	case schema.Deny:
		return "deny"
	case schema.Reject:
		return "reject"
	}
	return "allow"
}

func list(values []string) cty.Value {
	var out []cty.Value
	for _, v := range values {
		out = append(out, cty.StringVal(v))
	}
	return cty.ListVal(out)
}

func (w *writer) forward(body *hclwrite.Body, x *forward) {
	name := slug(w.taken, "", x.from[0]+"-to-"+x.to[0])
	inner := body.AppendNewBlock("forward", []string{strings.ReplaceAll(name, "+", "")}).Body()
	inner.SetAttributeValue("from", list(x.from))
	inner.SetAttributeValue("to", list(x.to))
	for _, a := range []struct {
		name string
		sets map[packet.Family]diagram.Set
	}{{"sources", x.sources}, {"destinations", x.destinations}} {
		var all []string
		for _, family := range packet.Families {
			if s, there := a.sets[family]; there {
				c := coverOf(family, s, diagram.None)
				if len(c.except) > 0 { // a forward has no except
					c.sources = packet.NewSpace(family).CIDRs(s)
				}
				all = append(all, c.sources...)
			}
		}
		if len(all) > 0 && !everybody(all) && !(a.name == "destinations" && len(all) == 1 && strings.HasSuffix(all[0], "/0")) {
			inner.SetAttributeValue(a.name, list(all))
		}
	}
}

func (w *writer) policy(body *hclwrite.Body, p *policy) {
	var ports []string
	for _, r := range p.ports {
		ports = append(ports, r.String())
	}
	body.SetAttributeValue("ports", list(ports))
	if len(p.addresses) > 0 {
		body.SetAttributeValue("address", list(p.addresses))
	}
	if len(p.in) < len(w.plan.arrivals) {
		var names []string
		for _, i := range p.in {
			names = append(names, w.plan.arrivals[i])
		}
		body.SetAttributeValue("external", list(names))
	}
	if w.defaults[p] != schema.Deny {
		body.SetAttributeValue("default", cty.StringVal(word(w.defaults[p])))
	}
	w.writeBlocks(body, w.blocks[p])
}

func (w *writer) writeBlocks(body *hclwrite.Body, blocks []block) {
	for _, b := range blocks {
		name := "deny"
		if word(b.verdict) == "allow" {
			name = "allow"
		}
		inner := body.AppendNewBlock(name, nil).Body()
		w.sources(inner, "sources", b.sources)
		if len(b.except) > 0 {
			w.sources(inner, "except", b.except)
		}
		switch b.verdict {
		case schema.Accept:
			inner.SetAttributeValue("accept", cty.True)
		case schema.Reject:
			inner.SetAttributeValue("reject", cty.True)
		}
		if b.log != "" {
			inner.SetAttributeValue("log", cty.StringVal(b.log))
		}
	}
}

func (w *writer) sources(body *hclwrite.Body, name string, values []string) {
	at := slices.IndexFunc(w.sets, func(s set) bool { return slices.Equal(s.sources, values) })
	switch {
	case everybody(values):
		body.SetAttributeRaw(name, hclwrite.TokensForIdentifier("any"))
	case at >= 0:
		body.SetAttributeRaw(name, hclwrite.TokensForTuple([]hclwrite.Tokens{hclwrite.TokensForIdentifier("set." + w.sets[at].name)}))
	default:
		body.SetAttributeValue(name, list(values))
	}
}
