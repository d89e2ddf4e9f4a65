package importer

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
)

// nftRules are the base chains of the hook forward of a file of nft that are neither
// Docker's nor iptables', or Seawall's alone where it has its table; and DOCKER-USER as
// nft lists it. Those of the hook input are Seawall's, or what closes docker-proxy's way
// in; see withoutInput.
type nftRules struct {
	chain *Chain
	all   *nftables.Rules
	part  *nftables.Rules
	list  []*rule
	byOf  map[*nftables.Rule]*rule
	mark  uint32
	input bool // there are chains of the hook input
	user  bool // DOCKER-USER is one of the chains
	named []namedPort
}

func newNFTRules(c *Chain) *nftRules {
	x := &nftRules{chain: c, byOf: map[*nftables.Rule]*rule{}, mark: acceptMarkOf(c.NFT)}
	opt := nftables.RuleOptions{AcceptMark: x.mark}
	x.all = c.NFT.Rules(c.Family, opt)
	x.part = x.all.Part(c.chosen(x.all))
	forwarded := map[*nftables.Rule]bool{}
	for _, s := range x.part.Met(packet.Forward) {
		forwarded[s.Rule] = true
	}
	for _, s := range x.part.Met(packet.Hooks...) {
		r := &rule{line: s.Line, text: s.String(), of: s}
		if forwarded[s.Rule] {
			r.translated = asksTranslated(s)
		}
		s.Compared(func(selector string, key *nftables.Expr, not bool, _ *nftables.Verdict) {
			switch name, way := nftables.Interface(selector, key); {
			case way == "in" && !slices.Contains(r.in, name):
				r.in = append(r.in, name)
			case way == "out" && !not:
				r.outs = append(r.outs, name)
			}
		})
		r.log = nftLog(s.Rule)
		x.list = append(x.list, r)
		x.byOf[s.Rule] = r
	}
	x.input = len(x.part.At("input")) > 0
	for _, b := range x.part.At("forward") {
		x.user = x.user || b.Name == iptables.DockerUser && b.Table.IPTables()
	}
	return x
}

// chosen says which chains are imported.
func (c *Chain) chosen(all *nftables.Rules) func(*nftables.Table, *nftables.Chain) nftables.Chosen {
	own := slices.ContainsFunc(c.NFT.Tables, (*nftables.Table).Own)
	peoples := false // somebody's own table has a chain of the hook
	for _, b := range all.At("forward") {
		peoples = peoples || !b.Table.Dockers() && !b.Table.IPTables()
	}
	return func(t *nftables.Table, chain *nftables.Chain) nftables.Chosen {
		switch {
		case !all.Sees(t) || t.Dockers() || own && !t.Own():
			return nftables.Chosen{}
		case t.IPTables():
			return calledChain(t, chain, peoples)
		case chain.Hook == nil:
			return nftables.Chosen{Kept: true}
		}
		return nftables.Chosen{Kept: chain.Hook.Hook == "forward" || chain.Hook.Hook == "input" && !c.withoutInput}
	}
}

// calledChain chooses the chains of iptables' filter table: DOCKER-USER and
// SEAWALL-INPUT, if there are rules in them, and what is not a base chain.
func calledChain(t *nftables.Table, chain *nftables.Chain, others bool) nftables.Chosen {
	if t.Name != "filter" || chain.Hook != nil {
		return nftables.Chosen{}
	}
	at := map[string]packet.Hook{iptables.DockerUser: packet.Forward, iptables.SeawallInput: packet.Input}[chain.Name]
	switch {
	case at == "":
		return nftables.Chosen{Kept: true}
	case others && !slices.ContainsFunc(chain.Rules, decides):
		return nftables.Chosen{}
	}
	return nftables.Chosen{Kept: true, At: at}
}

// decides reports whether a rule does more than return.
func decides(r *nftables.Rule) bool {
	return slices.ContainsFunc(r.Statements, func(s nftables.Statement) bool {
		switch s := s.(type) {
		case *nftables.Note:
			return false
		case *nftables.Verdict:
			return s.Kind != nftables.Return
		}
		return true
	})
}

// HasRules reports whether a file of nft has chains of a family that can be imported.
func HasRules(f *nftables.File, family packet.Family) bool {
	c := Chain{Family: family, NFT: f}
	return len(c.NFT.Rules(family, nftables.RuleOptions{}).Part(c.chosen(f.Rules(family, nftables.RuleOptions{}))).At("forward")) > 0
}

// acceptMarkOf is the mark that rules set as they accept, 0 for none or several.
func acceptMarkOf(f *nftables.File) uint32 {
	marks := map[uint32]bool{}
	for _, t := range f.Tables {
		if t.Dockers() || t.IPTables() {
			continue
		}
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				if mark, ok := acceptsMarked(r); ok {
					marks[mark] = true
				}
			}
		}
	}
	if len(marks) != 1 {
		return 0
	}
	return slices.Collect(maps.Keys(marks))[0]
}

// acceptsMarked reports whether a rule adds a mark and accepts.
func acceptsMarked(r *nftables.Rule) (uint32, bool) {
	set, accepts := uint32(0), false
	for _, s := range r.Statements {
		switch s := s.(type) {
		case *nftables.Assign:
			zero, known := r.Mark(0)
			full, _ := r.Mark(^uint32(0))
			if isMark(s) && known && full == ^uint32(0) {
				set = zero
			}
		case *nftables.Verdict:
			accepts = s.Kind == nftables.Accept
		}
	}
	return set, set != 0 && accepts
}

func isMark(a *nftables.Assign) bool { return a.Left.Text == "meta mark" || a.Left.Text == "mark" }

func (x *nftRules) hooks() []packet.Hook {
	if x.input {
		return packet.Hooks
	}
	return []packet.Hook{packet.Forward}
}

func (x *nftRules) patterns() []string {
	list := x.part.Patterns()
	if x.docked() {
		list = x.all.Patterns()
	}
	return list
}

func (x *nftRules) looseInput() bool {
	return slices.ContainsFunc(x.part.At("input"), func(b nftables.BaseChain) bool { return !b.Table.Own() && !b.Table.IPTables() })
}

func (x *nftRules) rules() []*rule                   { return x.list }
func (x *nftRules) finalAccept() bool                { return x.part.FinalAccept() }
func (x *nftRules) acceptMark() uint32               { return x.mark }
func (x *nftRules) way(p packet.Packet) *dialect.Way { return dialect.Trace(x.part, p) }

func (x *nftRules) natWords() (missing, others string) {
	return "the file does not have Docker's nat rules, which say what is published to it. nft list ruleset prints them",
		x.chain.Name + " has rules of prerouting that change destinations and are not Docker's"
}

func (x *nftRules) evaluates(s *packet.Space) func(*rule) bool {
	f := x.part.Evaluates(s)
	return func(r *rule) bool { return f(r.of.(nftables.Stands)) }
}

func (x *nftRules) reader(d *diagram.Store, s *packet.Space, c changes) hookReader {
	part := x.part
	if len(c) > 0 {
		part = part.Changed(func(r *nftables.Rule) *nftables.Rule {
			switch c[x.byOf[r]] {
			case omitted:
				return nil
			case anything:
				return logsAnything(r)
			}
			return r
		})
	}
	return part.Reader(d, s).Hook
}

// logsAnything is a rule up to its log, after which anything may become of a packet.
func logsAnything(r *nftables.Rule) *nftables.Rule {
	copied := *r
	copied.Statements = nil
	for _, s := range r.Statements {
		switch s.(type) {
		case *nftables.Limit:
			continue
		case *nftables.Log:
			copied.Statements = append(copied.Statements, &nftables.Foreign{Text: "log"})
			return &copied
		}
		copied.Statements = append(copied.Statements, s)
	}
	return &copied
}

// nftLog is what a rule logs with; nil for none, and for a log that a program reads.
func nftLog(r *nftables.Rule) *logAction {
	rate := ""
	for _, s := range r.Statements {
		switch s := s.(type) {
		case *nftables.Limit:
			if words := strings.Fields(s.Text); len(words) > 2 && words[0] == "limit" && words[1] == "rate" {
				rate = rateWord(words[2])
			}
		case *nftables.Log:
			if !grouped(s) {
				return &logAction{strings.TrimSuffix(s.Prefix, " "), rate}
			}
		}
	}
	return nil
}

func grouped(l *nftables.Log) bool { return slices.Contains(strings.Fields(l.Text), "group") }

// asksTranslated reports whether a rule asks for a destination as DNAT left it.
func asksTranslated(s nftables.Stands) bool {
	asks := false
	s.Compared(func(selector string, _ *nftables.Expr, _ bool, _ *nftables.Verdict) {
		asks = asks || !strings.HasPrefix(selector, "ct ") && (strings.HasSuffix(selector, " daddr") || strings.HasSuffix(selector, " dport"))
	})
	return asks
}

// docked reports whether the file has Docker's rules of the hook forward.
func (x *nftRules) docked() bool { return slices.ContainsFunc(x.all.At("forward"), x.dockersOwn) }

// dockersOwn reports whether a base chain of the hook forward is Docker's, or iptables'
// with Docker's rules in it.
func (x *nftRules) dockersOwn(b nftables.BaseChain) bool {
	return b.Table.Dockers() || b.Table.IPTables() && b.Table.Name == "filter" && b.Table.Chain("DOCKER") != nil && len(b.Rules) > 1 && leadsAll(b.Rules[0])
}

// leadsAll reports whether a rule leads every packet to DOCKER-USER and back.
func leadsAll(r *nftables.Rule) bool {
	jumps := false
	for _, s := range r.Statements {
		switch s := s.(type) {
		case *nftables.Note:
		case *nftables.Verdict:
			jumps = s.Kind == nftables.Jump && s.Chain == iptables.DockerUser
		default:
			return false
		}
	}
	return jumps
}

func (x *nftRules) rest(d *diagram.Store, s *packet.Space) (diagram.Ref, bool, error) {
	if !x.docked() {
		return 0, false, nil
	}
	part := x.all.Part(func(t *nftables.Table, c *nftables.Chain) nftables.Chosen {
		if c.Hook == nil || c.Hook.Hook != "forward" {
			return nftables.Chosen{Kept: c.Hook == nil}
		}
		return nftables.Chosen{Kept: x.dockersOwn(nftables.BaseChain{Table: t, Chain: c})}
	})
	user := map[*nftables.Rule]bool{}
	for _, t := range x.chain.NFT.Tables {
		if c := t.Chain(iptables.DockerUser); c != nil && t.IPTables() {
			for _, r := range c.Rules {
				user[r] = true
			}
		}
	}
	part = part.Changed(func(r *nftables.Rule) *nftables.Rule {
		if user[r] {
			return nil
		}
		return r
	})
	f, err := part.Reader(d, s).Whole(packet.Forward)
	return d.Relabel(f, func(v uint32) uint32 {
		if v&uint32(packet.Pass) != 0 {
			v = v&^uint32(packet.Pass) | uint32(packet.Accept)
		}
		return v
	}), err == nil, err
}

const prerouting packet.Hook = "PREROUTING"

// raw reports whether a chain is Docker's, and drops before conntrack sees packets.
func raw(t *nftables.Table, c *nftables.Chain) bool {
	return (t.Dockers() || t.IPTables()) && c.Hook.Hook == "prerouting" && c.Hook.Type == "filter" && c.Hook.Priority < nftables.PlaceConntrack
}

func (x *nftRules) dropped(d *diagram.Store, s *packet.Space) (diagram.Ref, bool, error) {
	part := x.all.Part(func(t *nftables.Table, c *nftables.Chain) nftables.Chosen {
		return nftables.Chosen{Kept: c.Hook == nil || raw(t, c)}
	})
	if len(part.At("prerouting")) == 0 {
		return 0, false, nil
	}
	f, err := part.Reader(d, s).Whole(prerouting)
	return f, true, err
}

func (x *nftRules) untracks() bool {
	seen := false
	for _, b := range x.all.At("prerouting") {
		seen = seen || raw(b.Table, b.Chain)
	}
	for _, s := range x.all.Met(prerouting) {
		seen = seen && !s.Untracks()
	}
	return !seen // without the raw chain, the file may have been cut
}

// beyond are the rules that do more than decide.
func (x *nftRules) beyond() []Lost {
	var list []Lost
	for _, r := range x.list {
		for _, s := range r.of.(nftables.Stands).Statements {
			why := ""
			switch s := s.(type) {
			case *nftables.Assign:
				if mark, ok := acceptsMarked(r.of.(nftables.Stands).Rule); ok && mark == x.mark && isMark(s) {
					continue
				}
				why = "a policy does not set " + s.Left.Text
			case *nftables.Note:
				if s.Text == "notrack" {
					why = "a policy does not take packets out of conntrack"
				}
			case *nftables.Log:
				if grouped(s) {
					why = "a policy logs to the kernel's log, and not to a group"
				}
			}
			if why != "" {
				list = append(list, Lost{x.chain.place(r.line), r.text, why})
			}
		}
	}
	return list
}

// notes name the chains that were not read, and what nft does not say of DOCKER-USER.
func (x *nftRules) notes() []string {
	var list []string
	own := slices.ContainsFunc(x.chain.NFT.Tables, (*nftables.Table).Own)
	for _, t := range x.chain.NFT.Tables {
		if t.Dockers() || t.IPTables() || !x.all.Sees(t) {
			continue
		}
		for _, c := range t.Chains {
			switch {
			case c.Hook == nil:
			case own && !t.Own():
				list = append(list, x.unread(t, c, "it is not Seawall's"))
			case c.Hook.Hook == "forward" || c.Hook.Hook == "input" && !x.chain.withoutInput:
			case c.Hook.Hook == "input":
				list = append(list, x.unread(t, c, "it decides about more than published ports. Keep it"))
			default:
				list = append(list, x.unread(t, c, "a policy decides about the hooks forward and input"))
			}
		}
	}
	if x.user && slices.ContainsFunc(x.list, func(r *rule) bool { return strings.Contains(r.text, "xt ") }) {
		list = append(list, fmt.Sprintf("nft does not show all that the rules of DOCKER-USER in %s have. iptables-save and ip6tables-save do: import their output", x.chain.Name))
	}
	return list
}

func (x *nftRules) unread(t *nftables.Table, c *nftables.Chain, why string) string {
	return fmt.Sprintf("%s: the chain %s of the table %s %s is not imported: %s", x.chain.place(c.Line), c.Name, t.Family, t.Name, why)
}

// title names what is imported.
func (x *nftRules) title() string {
	var list []string
	for _, b := range x.part.At("forward") {
		name := fmt.Sprintf("the table %s %s", b.Table.Family, b.Table.Name)
		switch {
		case b.Table.IPTables():
			name = b.Name
		case slices.ContainsFunc(x.chain.NFT.Table(b.Table.Family, b.Table.Name).Chains, x.left):
			name = fmt.Sprintf("the chain %s of %s", b.Name, name)
		}
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return strings.Join(list, " and ")
}

// left reports whether a base chain is not imported.
func (x *nftRules) left(c *nftables.Chain) bool {
	return c.Hook != nil && c.Hook.Hook != "forward" && (c.Hook.Hook != "input" || x.chain.withoutInput)
}

// namedPort is a port that a rule names, and what people wrote about it.
type namedPort struct {
	published   bool     // it is the original one
	protocols   []string // none for any
	first, last int
	text        string
}

// namedPorts are those of all rules.
func (x *nftRules) namedPorts() []namedPort {
	var list []namedPort
	for _, r := range x.list {
		s := r.of.(nftables.Stands)
		protocols := protocolsOf(s)
		s.Compared(func(selector string, key *nftables.Expr, not bool, v *nftables.Verdict) {
			published := selector == "ct original proto-dst"
			if first, last, ok := nftPort(key); ok && !not && (published || strings.HasSuffix(selector, " dport")) {
				list = append(list, namedPort{published, protocols, first, last, x.about(s, v)})
			}
		})
	}
	return list
}

// comment is the comment of a rule that names a port, or the name of the chain that it
// leads to.
func (x *nftRules) comment(first portRange, container string) string {
	if x.named == nil {
		x.named = append(x.namedPorts(), namedPort{})
	}
	to, _ := strconv.Atoi(container)
	for _, n := range x.named {
		port := first.first
		if !n.published {
			port = to
		}
		const wide = 1024 // such a range is of no service
		if n.text != "" && n.first <= port && port <= n.last && n.last-n.first < wide && (len(n.protocols) == 0 || slices.Contains(n.protocols, first.protocol.String())) {
			return n.text
		}
	}
	return ""
}

// protocolsOf are the protocols that a rule names.
func protocolsOf(s nftables.Stands) []string {
	var list []string
	s.Compared(func(selector string, key *nftables.Expr, not bool, _ *nftables.Verdict) {
		switch {
		case not:
		case selector == "meta l4proto" || selector == "ip protocol" || selector == "ip6 nexthdr" || selector == "ct protocol":
			list = append(list, key.Text)
		case strings.HasSuffix(selector, " dport") && selector != "th dport":
			list = append(list, strings.TrimSuffix(selector, " dport"))
		}
	})
	return list
}

// nftPort is a port or a range that a key is compared with.
func nftPort(e *nftables.Expr) (first, last int, ok bool) {
	low, high := e, e
	if e.Kind == nftables.Range && len(e.Args) == 2 {
		low, high = &e.Args[0], &e.Args[1]
	}
	first, err := strconv.Atoi(low.Text)
	last, err2 := strconv.Atoi(high.Text)
	return first, last, err == nil && err2 == nil && (e.Kind == nftables.Value || low != high)
}

// about is what people wrote about a rule, or about the chain to which its verdict leads.
func (x *nftRules) about(s nftables.Stands, v *nftables.Verdict) string {
	if s.Comment != "" {
		return s.Comment
	}
	if v == nil {
		if text := x.above(s.Line); text != "" {
			return policyOf(text)
		}
		for _, w := range s.Verdicts() {
			if w.Kind == nftables.Jump || w.Kind == nftables.Goto {
				v = w
			}
		}
	}
	if v == nil || v.Kind != nftables.Jump && v.Kind != nftables.Goto {
		return ""
	}
	if c := s.Table.Chain(v.Chain); c != nil {
		if text := x.above(c.Line); ofPolicy.MatchString(text) {
			return policyOf(text)
		}
	}
	name := v.Chain
	if s.Table.Own() {
		name = strings.TrimPrefix(strings.TrimPrefix(name, "policy_"), "address_")
	}
	return name
}

// policyOf is the policy that a line of Seawall's names, or else the line.
func policyOf(text string) string {
	if m := ofPolicy.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return text
}

// above is the comment in the line above one of the file's; "" for none, and in JSON.
func (x *nftRules) above(line int) string {
	lines := x.chain.lines()
	if x.chain.NFT.JSON || line < 2 || line > len(lines) {
		return ""
	}
	text, _ := strings.CutPrefix(strings.TrimSpace(lines[line-2]), "# ")
	if text == strings.TrimSpace(lines[line-2]) {
		return ""
	}
	return text
}
