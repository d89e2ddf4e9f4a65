package importer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/packet"
)

// tableRules are DOCKER-USER and SEAWALL-INPUT of a filter table of iptables, and the
// chains that they lead to.
type tableRules struct {
	chain   *Chain
	own     *iptables.Table
	list    []*rule
	ordered map[*iptables.Rule]*rule
}

func newTableRules(c *Chain) *tableRules {
	t := &tableRules{chain: c, own: ownChains(c.Table), ordered: map[*iptables.Rule]*rule{}}
	reached, forwarded := reachable(c.Table, packet.Hooks...), reachable(c.Table, packet.Forward)
	for _, chain := range t.own.Chains {
		for _, r := range chain.Rules() {
			if !reached[r] {
				continue
			}
			x := &rule{line: int(r.Line), text: r.String(chain.Name), translated: forwarded[r] && asksDestination(r), of: r}
			if name := r.In.Name; name != "" && name != every {
				x.in = []string{name}
			}
			if !r.Out.Not && r.Out.Name != "" {
				x.outs = []string{r.Out.Name}
			}
			if isLog(r) {
				x.log = &logAction{prefixOf(r), rateOf(r)}
			}
			t.list = append(t.list, x)
			t.ordered[r] = x
		}
	}
	return t
}

func (t *tableRules) hooks() []packet.Hook {
	if t.chain.Table.Chain(iptables.SeawallInput) != nil {
		return packet.Hooks
	}
	return []packet.Hook{packet.Forward}
}

func (t *tableRules) patterns() []string {
	list := t.chain.Table.Patterns()
	if t.chain.Raw != nil {
		list = append(list, t.chain.Raw.Patterns()...)
	}
	return list
}

func (t *tableRules) rules() []*rule     { return t.list }
func (t *tableRules) finalAccept() bool  { return true }
func (t *tableRules) acceptMark() uint32 { return 0 }
func (t *tableRules) title() string      { return iptables.DockerUser }
func (t *tableRules) looseInput() bool   { return false }
func (t *tableRules) beyond() []Lost     { return nil }
func (t *tableRules) notes() []string    { return nil }

func (t *tableRules) natWords() (missing, others string) {
	return "the file has no nat table, which says what is published to it. iptables-save without -t filter prints it",
		"the nat table of " + t.chain.Name + " has rules that are not Docker's"
}

func (t *tableRules) way(p packet.Packet) *dialect.Way { return dialect.Trace(t.own, p) }

func (t *tableRules) reader(d *diagram.Store, s *packet.Space, c changes) hookReader {
	return iptables.NewReader(d, s, t.changed(c)).Call
}

// changed is the table with some rules changed. One after which anything may become of
// a packet is not final: where that shows, the packet met it.
func (t *tableRules) changed(c changes) *iptables.Table {
	if len(c) == 0 {
		return t.own
	}
	return withRules(t.own, func(r *iptables.Rule) *iptables.Rule {
		switch c[t.ordered[r]] {
		case omitted:
			return nil
		case anything:
			body := *r.Body
			body.Target = iptables.Target{Name: "QUEUE"}
			body.Matches = slices.DeleteFunc(slices.Clone(body.Matches), func(m iptables.Match) bool { return m.Name == "limit" })
			return &iptables.Rule{Source: r.Source, Body: &body, To: r.To, Line: r.Line}
		}
		return r
	})
}

// ownChains leaves the built-in chains out: what is imported is DOCKER-USER, and the
// chains that it leads to.
func ownChains(t *iptables.Table) *iptables.Table {
	return mapped(t, func(c *iptables.Chain) *iptables.Chain {
		if t.Builtin(c.Name) {
			return nil
		}
		return c
	})
}

// mapped is a table with other chains; nil leaves one out.
func mapped(t *iptables.Table, change func(*iptables.Chain) *iptables.Chain) *iptables.Table {
	out := &iptables.Table{Name: t.Name, Sets: t.Sets}
	for _, c := range t.Chains {
		if c = change(c); c != nil {
			out.Add(c)
		}
	}
	return out
}

// withRules is a table with other rules; nil leaves one out.
func withRules(t *iptables.Table, change func(*iptables.Rule) *iptables.Rule) *iptables.Table {
	return mapped(t, func(c *iptables.Chain) *iptables.Chain {
		copied := *c
		copied.SetRules(nil)
		for _, rule := range c.Rules() {
			if rule = change(rule); rule != nil {
				copied.SetRules(append(copied.Rules(), rule))
			}
		}
		return &copied
	})
}

// reachable are the rules that the chains of some hooks lead to, DOCKER-USER and
// SEAWALL-INPUT.
func reachable(t *iptables.Table, hooks ...packet.Hook) map[*iptables.Rule]bool {
	rules, seen := map[*iptables.Rule]bool{}, map[*iptables.Chain]bool{}
	var walk func(*iptables.Chain)
	walk = func(c *iptables.Chain) {
		if c == nil || seen[c] {
			return
		}
		seen[c] = true
		for _, rule := range c.Rules() {
			rules[rule] = true
			walk(t.Leads(rule))
		}
	}
	for _, hook := range hooks {
		walk(t.Chain(t.Root(hook)))
	}
	return rules
}

// rest reads what the rest of FORWARD does, where DOCKER-USER is its first rule, as
// Docker makes it, and every table is there that says what becomes of a packet.
func (t *tableRules) rest(d *diagram.Store, s *packet.Space) (diagram.Ref, bool, error) {
	table := t.chain.Table
	forward := table.Chain(string(packet.Forward))
	if forward == nil || forward.Len() < 2 || !isJump(forward.Rules()[0]) || table.Chain("DOCKER") == nil {
		return 0, false, nil
	}
	emptied := mapped(table, func(c *iptables.Chain) *iptables.Chain {
		if c.Name != iptables.DockerUser {
			return c
		}
		return &iptables.Chain{Name: c.Name, Policy: c.Policy}
	})
	f, err := iptables.NewReader(d, s, emptied).Whole(packet.Forward)
	return f, err == nil, err
}

// isJump reports whether a rule leads every packet to DOCKER-USER and back.
func isJump(rule *iptables.Rule) bool {
	b := rule.Body
	return b.Target.Name == iptables.DockerUser && !rule.Goes() && !rule.Source.Prefix.IsValid() && !b.Dest.Prefix.IsValid() &&
		b.In.Name == "" && b.Out.Name == "" && b.Protocol.Name == "" && len(b.Matches) == 0 && b.Fragment == "" && len(b.Masks) == 0 && b.Unread == ""
}

func (t *tableRules) dropped(d *diagram.Store, s *packet.Space) (diagram.Ref, bool, error) {
	if t.chain.Raw == nil || t.chain.Raw.Chain("PREROUTING") == nil {
		return 0, false, nil
	}
	f, err := iptables.NewReader(d, s, t.chain.Raw).Whole("PREROUTING")
	return f, true, err
}

func (t *tableRules) untracks() bool {
	if t.chain.Raw == nil {
		return true // the file may have been cut
	}
	for _, c := range t.chain.Raw.Chains {
		for _, rule := range c.Rules() {
			switch rule.Target.Name {
			case "DROP", "ACCEPT", "RETURN", "LOG", "NFLOG", "":
			default:
				if t.chain.Raw.Leads(rule) == nil {
					return true
				}
			}
		}
	}
	return false
}

func (t *tableRules) nat() *natTable {
	c := t.chain
	n := &natTable{known: c.Nat != nil}
	if c.Nat != nil {
		n.fill(docker.Look(docker.Tables{Family: c.Family, Filter: c.Table, Nat: c.Nat, Raw: c.Raw}).Ports(), rewriting(c.Nat))
	}
	return n
}

// rewriting counts the rules of a nat table that change a packet's destination on its way
// from PREROUTING; one that is not plainly of Docker's form counts twice.
func rewriting(t *iptables.Table) int {
	n := 0
	seen := map[*iptables.Chain]bool{}
	var walk func(*iptables.Chain)
	walk = func(c *iptables.Chain) {
		if c == nil || seen[c] {
			return
		}
		seen[c] = true
		for _, r := range c.Rules() {
			switch r.Target.Name {
			case "RETURN", "ACCEPT", "LOG", "":
			case "DNAT":
				n++
				if r.Source.Prefix.IsValid() || r.Out.Name != "" || r.In.Name != "" && !r.In.Not || r.Unread != "" || len(r.Matches) > 1 ||
					r.Dest.Not || r.Dest.Prefix.IsValid() && !r.Dest.Prefix.IsSingleIP() || c.Name != "DOCKER" && c.Name != "DOCKER-INGRESS" {
					n++
				}
			default:
				if next := t.Leads(r); next != nil {
					walk(next)
				} else {
					n += 2
				}
			}
		}
	}
	walk(t.Chain("PREROUTING"))
	return n
}

// asksDestination reports whether a rule asks for a destination as DNAT made it.
func asksDestination(r *iptables.Rule) bool {
	return r.Dest.Prefix.IsValid() || slices.ContainsFunc(r.Matches, func(m iptables.Match) bool {
		return m.Option("--dport") != nil || m.Option("--dports") != nil || m.Option("--ports") != nil
	})
}

func isLog(r *iptables.Rule) bool { return r.Target.Name == "LOG" && r.Target.Module != nil }

// prefixOf is a LOG's prefix. Seawall puts a blank after it.
func prefixOf(r *iptables.Rule) string {
	if o := r.Target.Use().Option("--log-prefix"); o != nil {
		return strings.TrimSuffix(o.Values[0], " ")
	}
	return ""
}

// rateOf is the rate of a rule's limit, as log_limit says it; "" for none.
func rateOf(r *iptables.Rule) string {
	for i := range r.Matches {
		if o := r.Matches[i].Option("--limit"); r.Matches[i].Name == "limit" && o != nil {
			if rate := rateWord(o.Values[0]); rate != "" {
				return rate
			}
		}
	}
	return ""
}

func (t *tableRules) evaluates(s *packet.Space) func(*rule) bool {
	return func(x *rule) bool { return t.evaluated(s, x) }
}

func (t *tableRules) evaluated(s *packet.Space, x *rule) bool {
	r := x.of.(*iptables.Rule)
	if x.log != nil {
		return true
	}
	if r.Unread != "" || r.Fragment != "" {
		return false
	}
	reader := &match.Reader{Space: s, Sets: t.own.Sets, Changed: func(match.Thing) string { return "" }}
	for i := range r.Matches {
		for _, c := range r.Matches[i].Means(reader) {
			if c.Unsure != "" {
				return false
			}
		}
	}
	if t.own.Leads(r) != nil || r.Target.Name == "" || r.Target.Name == "RETURN" {
		return true
	}
	if u := r.Target.Use(); u != nil {
		return u.Effect().Verdict != packet.Unknown
	}
	_, standard := match.Standard[r.Target.Name]
	return standard && match.Standard[r.Target.Name] != packet.Unknown
}

func (t *tableRules) comment(first portRange, container string) string {
	ports := map[string]string{"--ctorigdstport": portText(first, ":")} // the values of options that are about it
	if container != "" {
		ports["--dport"] = container
	}
	for _, x := range t.list {
		r := x.of.(*iptables.Rule)
		if r.Protocol.Name != first.protocol.String() || !names(r, ports) {
			continue
		}
		if text := t.above(r); text != "" {
			return text
		}
	}
	return ""
}

// names reports whether a rule has one of some options with its value.
func names(rule *iptables.Rule, values map[string]string) bool {
	for _, m := range rule.Matches {
		for _, o := range m.Options {
			if v, asked := values[o.Name]; asked && !o.Not && len(o.Values) == 1 && o.Values[0] == v {
				return true
			}
		}
	}
	return false
}

// above is what people wrote about a rule: its own comment, or the line above it.
func (t *tableRules) above(rule *iptables.Rule) string {
	for _, m := range rule.Matches {
		if o := m.Option("--comment"); o != nil {
			return o.Values[0]
		}
	}
	lines := t.chain.lines()
	for i := int(rule.Line) - 2; i >= 0 && i < len(lines); i-- {
		text, isComment := strings.CutPrefix(lines[i], "# ")
		switch {
		case isComment && ofPolicy.MatchString(text): // Seawall's own, over several rules
			return ofPolicy.FindStringSubmatch(text)[1]
		case isComment && i == int(rule.Line)-2:
			return text
		case isComment, !strings.HasPrefix(lines[i], "-A"):
			return ""
		}
	}
	return ""
}

// check says what the file lacks.
func (c *Chain) check() error {
	switch {
	case c.NFT != nil && !HasRules(c.NFT, c.Family):
		return fmt.Errorf("%s has no chain of the hook forward for %v that is neither Docker's nor iptables', and no DOCKER-USER", c.Name, c.Family)
	case c.NFT == nil && c.Table.Chain(iptables.DockerUser) == nil:
		return fmt.Errorf("the %v file has no chain DOCKER-USER", c.Family)
	}
	return nil
}
