package schema

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/dynblock"
	"github.com/zclconf/go-cty/cty"
	"go4.org/netipx"
)

// What each block may contain.
var (
	hostSchema, setSchema, guardSchema    = bodyOf("host"), bodyOf("set"), bodyOf("guard")
	policySchema, allowSchema, denySchema = bodyOf("policy"), bodyOf("allow"), bodyOf("deny")
	forwardSchema, testSchema             = bodyOf("forward"), bodyOf("test")
)

// decode turns all blocks but variables, locals and sets into the document.
func (s *scope) decode(blocks map[string]hcl.Blocks) *Document {
	doc := &Document{Sets: s.order}
	doc.Host = s.decodeHost(blocks["host"])
	doc.Guard = s.decodeGuard(blocks["guard"])
	seen := map[string]hcl.Range{}
	for _, b := range blocks["policy"] {
		if s.firstOfName("policy", b, seen) {
			doc.Policies = append(doc.Policies, s.decodePolicies(b, doc.Host)...)
		}
	}
	seen = map[string]hcl.Range{}
	for _, b := range blocks["forward"] {
		if s.firstOfName("forward", b, seen) {
			doc.Forwards = append(doc.Forwards, s.decodeForward(b))
		}
	}
	seen = map[string]hcl.Range{}
	for _, b := range blocks["test"] {
		s.testName(b, seen)
		if t := s.decodeTest(b, doc.Host); t != nil {
			doc.Tests = append(doc.Tests, t)
		}
	}
	s.add(overlaps(doc.Policies, s.loader.line)...)
	s.familiesOfIPSets(doc)
	s.opening(doc)
	return doc
}

func (s *scope) firstOfName(kind string, b *hcl.Block, seen map[string]hcl.Range) bool {
	name := b.Labels[0]
	s.add(checkName(kind, name, b.LabelRanges[0])...)
	if first, ok := seen[name]; ok {
		s.add(duplicate(kind, name, b.LabelRanges[0], first))
		return false
	}
	seen[name] = b.DefRange
	return true
}

// testName checks a test's name: a sentence that is shown, and never written
// into a rules file.
func (s *scope) testName(b *hcl.Block, seen map[string]hcl.Range) {
	name := b.Labels[0]
	if first, ok := seen[name]; ok {
		s.add(duplicate("test", name, b.LabelRanges[0], first))
	}
	seen[name] = b.DefRange
	if strings.TrimSpace(name) == "" {
		s.add(mistake(b.LabelRanges[0], "A test without a name", "Say in a few words what must hold."))
	}
}

func (s *scope) decodeHost(blocks hcl.Blocks) *Host {
	if len(blocks) == 0 {
		s.add(failure("No host block", "A policy needs one host block. It lists the interfaces on which traffic from outside arrives (external), and sets what happens to traffic from outside that no policy covers (unlisted)."))
		return &Host{UserlandProxy: true, LogLimit: Rate{10, "minute"}}
	}
	for _, b := range blocks[1:] {
		s.add(mistake(b.DefRange, "Two host blocks", "A policy has only one host block; the first is at %s.", place(blocks[0].DefRange)))
	}
	h := &Host{UserlandProxy: true, LogLimit: Rate{10, "minute"}, Range: blocks[0].DefRange}
	a := s.attributes(blocks[0].Body, hostSchema, s.ctx)
	h.Attributes = map[string]hcl.Range{}
	for name, attribute := range a.content {
		h.Attributes[name] = attribute.Range
	}
	h.External = a.interfaces("external")
	h.Unlisted = a.verdict("unlisted", Deny, "deny", "reject", "allow")
	if _, at, ok := a.single("unlisted"); !ok && at != (hcl.Range{}) && !s.diags.HasErrors() {
		s.add(mistake(at, "A required value is null", "unlisted is null, and it has no default. Write \"deny\", \"reject\" or \"allow\"."))
	}
	s.decodeInside(h, a)
	h.Established, h.Related = a.treatment("established"), a.treatment("related")
	h.DenyInvalid = a.word("invalid", "", "deny") == "deny"
	h.UserlandProxy = a.boolean("userland_proxy", true)
	h.Shared = a.word("docker_user", "whole", "whole", "shared") == "shared"
	if text, at, ok := a.text("log_limit"); ok {
		rate, err := ParseRate(text)
		if err != nil {
			s.add(mistake(at, "Not a rate", "%s", err))
		} else {
			h.LogLimit = rate
		}
	}
	if text, at, ok := a.text("accept_mark"); ok {
		mark, err := strconv.ParseUint(text, 0, 32)
		if err != nil || mark == 0 {
			s.add(mistake(at, "Not a mark", "%q is not a packet mark. Write a number from 1 to 0xffffffff, the one that Docker's --bridge-accept-fwmark has: \"0x1\".", text))
		} else {
			h.AcceptMark = uint32(mark)
		}
	}
	return h
}

// decodeInside reads the internal interfaces. If they covered every external
// interface, nothing would come from outside, and a policy would have no effect.
func (s *scope) decodeInside(h *Host, a *body) {
	h.Internal = a.interfaces("internal")
	h.Bridges = a.interfaces("bridges")
	if len(h.External) > 0 && len(h.Outside()) == 0 {
		s.add(mistake(a.content["internal"].Expr.Range(), "No external interface is left",
			"internal covers every external interface (%s), so no traffic would come from outside and no policy would have an effect. Remove one from internal.", names(h.External)))
	}
}

// ParseRate reads a rate such as 10/minute. A unit may be abbreviated, as in
// iptables.
func ParseRate(text string) (Rate, error) {
	count, unit, ok := strings.Cut(text, "/")
	n, width := digits([]byte(count), 5)
	if ok && width == len(count) && n >= 1 && n <= 10000 && unit != "" {
		for _, whole := range []string{"second", "minute", "hour", "day"} {
			if strings.HasPrefix(whole, unit) {
				return Rate{n, whole}, nil
			}
		}
	}
	return Rate{}, fmt.Errorf("%q is not a rate. Write a count from 1 to 10000 and a unit: \"10/minute\", \"1/second\", \"100/hour\" or \"5/day\"", text)
}

func (s *scope) decodeSet(p *pending, content *hcl.BodyContent, ctx *hcl.EvalContext) cty.Value {
	set := &Set{Name: p.name, Range: p.at}
	s.order = append(s.order, set)
	attrs := content.Attributes
	if attrs["ipset"] != nil || attrs["ipset6"] != nil {
		if s.decodeIPSet(set, &body{scope: s, ctx: ctx, content: attrs}); set.Filled() {
			return cty.CapsuleVal(setType, set)
		}
	}
	sources, files := attrs["sources"], attrs["files"]
	if sources == nil && files == nil {
		s.add(mistake(p.at, "A set without sources", "A set needs sources or files, or both; or ipset, if somebody else fills it while the host runs."))
	}
	set.Sources = &Sources{Range: p.at}
	if sources != nil {
		if got := s.sources(sources.Expr, ctx); got != nil {
			set.Sources = got
		}
		s.noIPSets(set.Sources, "Name it there, beside this set.")
	}
	if files != nil {
		s.setFiles(set, files, ctx)
	}
	if a := attrs["except"]; a != nil {
		set.Except = s.sources(a.Expr, ctx)
		s.noIPSets(set.Except, "Write a deny block for it before the blocks that use this set.")
	}
	return cty.CapsuleVal(setType, set)
}

// setFiles adds the entries of a set's list files.
func (s *scope) setFiles(set *Set, files *hcl.Attribute, ctx *hcl.EvalContext) {
	values := &body{scope: s, ctx: ctx, content: map[string]*hcl.Attribute{"files": files}}
	before := len(s.diags)
	for _, item := range values.list("files") {
		if path, ok := values.asString(item, "A list file is written as a string, its path."); ok {
			if list := s.listFile(path, item.at); list != nil && list.Len() > 0 {
				set.Sources.Lists = append(set.Sources.Lists, *list)
			}
		}
	}
	if len(s.diags) == before && !set.Sources.Any && len(set.Sources.Lists) == 0 && len(set.Sources.Sets) == 0 {
		s.add(mistake(files.Expr.Range(), "No sources", "The files of this set contain no source."))
	}
}

func (s *scope) decodeGuard(blocks hcl.Blocks) *Guard {
	if len(blocks) == 0 {
		return nil
	}
	for _, b := range blocks[1:] {
		s.add(mistake(b.DefRange, "Two guard blocks", "A policy has at most one guard block; the first is at %s.", place(blocks[0].DefRange)))
	}
	content, diags := dynblock.Expand(blocks[0].Body, s.ctx).Content(guardSchema)
	s.add(diags...)
	return &Guard{Rules: s.decodeRules(content.Blocks, s.ctx), Range: blocks[0].DefRange}
}

func (s *scope) decodeRules(blocks hcl.Blocks, ctx *hcl.EvalContext) []*Rule {
	var rules []*Rule
	for _, b := range blocks {
		schema, flag := allowSchema, "accept"
		r := &Rule{Verdict: Pass, Range: b.DefRange}
		if b.Type == "deny" {
			schema, flag, r.Verdict = denySchema, "reject", Deny
		}
		a := s.attributes(b.Body, schema, ctx)
		if a.boolean(flag, false) {
			r.Verdict++ // Pass to Accept, Deny to Reject
		}
		if attr := a.content["sources"]; attr != nil {
			r.Sources = s.sources(attr.Expr, ctx)
		} else {
			s.add(mistake(b.DefRange, "A rule without sources", "Write whom this block matches: sources = [\"198.51.100.0/24\"], or sources = any for everybody."))
		}
		if attr := a.content["except"]; attr != nil {
			r.Except = s.sources(attr.Expr, ctx)
		}
		if b.Type == "deny" {
			s.noIPSets(r.Except, "Who is in the ipset would not be denied here.")
		} else {
			s.noIPSets(r.Sources, "For sources that may get in, write a set with sources or files.")
		}
		if text, at, ok := a.text("log"); ok {
			s.add(checkLog(text, at))
			r.Log = text
		}
		if r.Sources != nil {
			rules = append(rules, r)
		}
	}
	return rules
}

// decodePolicies decodes a policy block, or each instance of one that has
// for_each.
func (s *scope) decodePolicies(b *hcl.Block, host *Host) []*Policy {
	// for_each is read before dynamic blocks are expanded: they may use each.
	start, _, diags := b.Body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "for_each"}}})
	forEach := start.Attributes["for_each"]
	if forEach == nil || diags.HasErrors() {
		return []*Policy{s.decodePolicy(b, b.Labels[0], s.ctx, host)}
	}
	val := s.value(forEach.Expr, s.ctx)
	ty := val.Type()
	switch {
	case val == cty.DynamicVal:
		return nil
	case val.IsNull() || !val.IsWhollyKnown():
		s.add(mistake(forEach.Expr.Range(), "Invalid value", "for_each must be known when the policy is compiled, and must not be null."))
		return nil
	case !ty.IsMapType() && !ty.IsObjectType() && !(ty.IsSetType() && ty.ElementType() == cty.String):
		s.add(mistake(forEach.Expr.Range(), "Not for for_each", "for_each takes a map or a set of strings. Wrap a list in toset(…)."))
		return nil
	}
	var policies []*Policy
	for it := val.ElementIterator(); it.Next(); {
		k, v := it.Element()
		key := k.AsString()
		if more := checkName("instance's key", key, forEach.Expr.Range()); len(more) > 0 {
			s.add(more...)
			continue
		}
		ctx := s.ctx.NewChild()
		ctx.Variables = map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": k, "value": v})}
		policies = append(policies, s.decodePolicy(b, fmt.Sprintf("%s[%q]", b.Labels[0], key), ctx, host))
	}
	return policies
}

func (s *scope) decodePolicy(b *hcl.Block, name string, ctx *hcl.EvalContext, host *Host) *Policy {
	p := &Policy{Name: name, Range: b.DefRange, PortsRange: b.DefRange, External: host.Outside()}
	a := s.attributes(dynblock.Expand(b.Body, ctx), policySchema, ctx)
	p.Ports = a.ports("ports")
	if attr := a.content["ports"]; attr != nil {
		p.PortsRange = attr.Range
	}
	p.Address = a.prefixes("address")
	p.AddressSet = addressSet(p.Address)
	if a.content["external"] != nil {
		written := a.interfaces("external")
		s.add(withinHost(written, host)...)
		p.External, p.Narrowed = without(written, host.Internal), true
		if len(written) > 0 && len(p.External) == 0 {
			s.add(internalOnly(a.content["external"].Expr.Range(), written, host))
		}
	}
	p.Description, _, _ = a.text("description")
	p.Default = Deny
	if attr := a.content["default"]; attr != nil {
		p.Default = a.verdict("default", Deny, "deny", "reject", "allow")
		p.DefaultAt = attr.Range.Ptr()
	}
	p.Rules = s.decodeRules(a.blocks, ctx)
	return p
}

// withinHost checks that a policy's interfaces are the host's.
func withinHost(interfaces []Interface, host *Host) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, i := range interfaces {
		if len(host.External) > 0 && !coveredBy(i, host.External) {
			diags = append(diags, mistake(i.Range, "Not an external interface",
				"%q is not one of the host's external interfaces (%s).%s", i, names(host.External), didYouMean(i.String(), strings.Split(names(host.External), ", "))))
		}
	}
	return diags
}

// internalOnly is the error for interfaces that are all internal.
func internalOnly(at hcl.Range, interfaces []Interface, host *Host) *hcl.Diagnostic {
	return mistake(at, "Not an external interface", "The host's internal (%s) covers %s, so no traffic from outside arrives there.", names(host.Internal), names(interfaces))
}

func names(interfaces []Interface) string {
	var list []string
	for _, i := range interfaces {
		list = append(list, i.String())
	}
	return strings.Join(list, ", ")
}

func (s *scope) decodeForward(b *hcl.Block) *Forward {
	f := &Forward{Name: b.Labels[0], Range: b.DefRange}
	a := s.attributes(b.Body, forwardSchema, s.ctx)
	f.From, f.To = a.interfaces("from"), a.interfaces("to")
	if attr := a.content["sources"]; attr != nil {
		f.Sources = s.sources(attr.Expr, s.ctx)
		s.noIPSets(f.Sources, "A forward block lets traffic through. Only an iptables rule before Seawall's can keep members out of it.")
	}
	if attr := a.content["destinations"]; attr != nil {
		f.Destinations = s.sources(attr.Expr, s.ctx)
		s.noIPSets(f.Destinations, "A forward block lets traffic through. Only an iptables rule before Seawall's can keep members out of it.")
	}
	return f
}

func (s *scope) decodeTest(b *hcl.Block, host *Host) *Test {
	t := &Test{Name: b.Labels[0], Range: b.DefRange}
	a := s.attributes(b.Body, testSchema, s.ctx)
	t.To = a.endpoints("to")
	if outside := host.Outside(); len(outside) > 0 {
		t.External = outside[0]
	}
	if text, at, ok := a.text("external"); ok {
		i, d := parseInterface(text, at)
		s.add(d)
		if d == nil {
			s.add(withinHost([]Interface{i}, host)...)
			if coveredBy(i, host.Internal) {
				s.add(internalOnly(at, []Interface{i}, host))
			}
		}
		t.External = i
	}
	if attr := a.content["allow"]; attr != nil {
		t.Allow = s.sources(attr.Expr, s.ctx)
		s.noIPSets(t.Allow, "A test names addresses. An allow in it holds for those that are not in the ipset, and a deny whether they are in it or not.")
	}
	if attr := a.content["deny"]; attr != nil {
		t.Deny = s.sources(attr.Expr, s.ctx)
		s.noIPSets(t.Deny, "A test names addresses. An allow in it holds for those that are not in the ipset, and a deny whether they are in it or not.")
	}
	s.testMeets(t, t.Allow)
	s.testMeets(t, t.Deny)
	if a.content["allow"] == nil && a.content["deny"] == nil {
		s.add(mistake(b.DefRange, "A test that tests nothing", "Say who must get through (allow), who must not (deny), or both."))
	}
	return t
}

// testMeets reports sources of a test that can reach none of its destinations,
// because all are of the other address family. Such a test would test no packet.
func (s *scope) testMeets(t *Test, sources *Sources) {
	if sources == nil || len(t.To) == 0 {
		return
	}
	four, six := familiesOf(sources)
	for _, to := range t.To {
		if !to.Address.IsValid() || to.Address.Is4() && four || to.Address.Is6() && six {
			return
		}
	}
	s.add(mistake(sources.Range, "A test that tests nothing", "These sources and the addresses under to are of different families; no packet has both."))
}

// familiesOf reports of which families a list of sources has addresses.
func familiesOf(sources *Sources) (four, six bool) {
	if sources.Any {
		return true, true
	}
	for _, l := range sources.Lists {
		four, six = four || l.Count(true) > 0, six || l.Count(false) > 0
	}
	for _, ref := range sources.Sets {
		a, b := familiesOf(ref.Set.Sources)
		four, six = four || a, six || b
	}
	return four, six
}

// everyAddress is every address of both families.
var everyAddress = func() *netipx.IPSet {
	var b netipx.IPSetBuilder
	b.AddPrefix(netipPrefix("0.0.0.0/0"))
	b.AddPrefix(netipPrefix("::/0"))
	set, err := b.IPSet()
	if err != nil {
		panic(err) // the two constants above
	}
	return set
}()
