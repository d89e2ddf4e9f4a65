package schema

import (
	"fmt"
	"math/big"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"go4.org/netipx"
)

// body holds the attributes and blocks of one block, and reads each as the type
// that it should have. Every reader reports what does not fit, and returns a
// value with which the rest of the run can go on.
type body struct {
	scope   *scope
	ctx     *hcl.EvalContext
	content map[string]*hcl.Attribute
	blocks  hcl.Blocks
}

func (s *scope) attributes(b hcl.Body, schema *hcl.BodySchema, ctx *hcl.EvalContext) *body {
	content, diags := b.Content(schema)
	s.add(diags...)
	return &body{scope: s, ctx: ctx, content: content.Attributes, blocks: content.Blocks}
}

// single evaluates an attribute; null and a value that was already reported
// count as not written.
func (b *body) single(name string) (cty.Value, hcl.Range, bool) {
	a := b.content[name]
	if a == nil {
		return cty.NilVal, hcl.Range{}, false
	}
	at := a.Expr.Range()
	val := b.scope.value(a.Expr, b.ctx)
	if val == cty.DynamicVal || val.IsNull() {
		return cty.NilVal, at, false
	}
	if !val.IsWhollyKnown() {
		b.scope.add(mistake(at, "Invalid value", "The value of %s is not known. It must be known when the policy is compiled.", name))
		return cty.NilVal, at, false
	}
	return val, at, true
}

func (b *body) text(name string) (string, hcl.Range, bool) {
	val, at, ok := b.single(name)
	if !ok {
		return "", at, false
	}
	if val.Type() != cty.String {
		b.scope.add(mistake(at, "Not a string", "%s takes a string in quotes, not %s.", name, val.Type().FriendlyName()))
		return "", at, false
	}
	return val.AsString(), at, true
}

func (b *body) boolean(name string, otherwise bool) bool {
	val, at, ok := b.single(name)
	if !ok {
		return otherwise
	}
	if val.Type() != cty.Bool {
		hint := ""
		if val.Type() == cty.String && (val.AsString() == "true" || val.AsString() == "false") {
			hint = fmt.Sprintf(" Write %s, without quotes.", val.AsString())
		}
		b.scope.add(mistake(at, "Neither true nor false", "%s must be true or false.%s", name, hint))
		return otherwise
	}
	return val.True()
}

// word reads a string that must be one of a few words.
func (b *body) word(name, otherwise string, words ...string) string {
	text, at, ok := b.text(name)
	if !ok {
		return otherwise
	}
	if !contains(words, text) {
		d := mistake(at, "Invalid value", "%s is %s, not %q.%s", name, orList(words), text, didYouMean(text, words))
		if word := nearest(text, words); word != "" && b.scope.loader.text(at) == strconv.Quote(text) {
			d.Extra = replace(at, text, strconv.Quote(word))
		}
		b.scope.add(d)
		return otherwise
	}
	return text
}

// treatment reads the value of established or related.
func (b *body) treatment(name string) Treatment {
	switch b.word(name, "check", "check", "keep", "accept") {
	case "keep":
		return Keep
	case "accept":
		return Accepted
	}
	return Check
}

// orList writes words as: "a", "b" or "c".
func orList(words []string) string {
	var quoted []string
	for _, w := range words {
		quoted = append(quoted, strconv.Quote(w))
	}
	last := len(quoted) - 1
	if last == 0 {
		return quoted[0]
	}
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

func (b *body) verdict(name string, otherwise Verdict, words ...string) Verdict {
	switch b.word(name, "", words...) {
	case "deny":
		return Deny
	case "reject":
		return Reject
	case "allow":
		return Pass
	}
	return otherwise
}

// item is an element of a list, with the narrowest range that is known for it.
type item struct {
	value cty.Value
	at    hcl.Range
}

// list evaluates an attribute whose value is a list, or one element.
func (b *body) list(name string) []item {
	a := b.content[name]
	if a == nil {
		return nil
	}
	items, ok := b.elements(a.Expr)
	if len(items) == 0 && ok {
		b.scope.add(mistake(a.Expr.Range(), "An empty list", "%s needs at least one element.", name))
	}
	return items
}

// elements returns the elements of a list, with nested lists flattened; false
// after a mistake.
func (b *body) elements(expr hcl.Expression) (items []item, ok bool) {
	if tuple, is := expr.(*hclsyntax.TupleConsExpr); is {
		ok = true
		for _, e := range tuple.Exprs {
			more, good := b.elements(e)
			items, ok = append(items, more...), ok && good
		}
		return items, ok
	}
	val := b.scope.value(expr, b.ctx)
	if val == cty.DynamicVal {
		return nil, false // reported where it arose
	}
	return b.flatten(val, expr.Range())
}

func (b *body) flatten(val cty.Value, at hcl.Range) (items []item, ok bool) {
	switch {
	case val.IsNull():
		b.scope.add(mistake(at, "Invalid value", "The value is null."))
		return nil, false
	case !val.IsKnown():
		b.scope.add(mistake(at, "Invalid value", "This value is not known. It must be known when the policy is compiled."))
		return nil, false
	case val.Type().IsTupleType(), val.Type().IsListType(), val.Type().IsSetType():
		ok = true
		for it := val.ElementIterator(); it.Next(); {
			_, e := it.Element()
			more, good := b.flatten(e, at)
			items, ok = append(items, more...), ok && good
		}
		return items, ok
	}
	return []item{{val, at}}, true
}

// asString returns an element as a string, or reports what it should have been.
func (b *body) asString(i item, want string) (string, bool) {
	if i.value.Type() != cty.String {
		b.scope.add(mistake(i.at, "Not a string", "%s", want))
		return "", false
	}
	return i.value.AsString(), true
}

func (b *body) interfaces(name string) []Interface {
	var list []Interface
	for _, item := range b.list(name) {
		text, ok := b.asString(item, "An interface is written as a string, such as \"eth0\".")
		if !ok {
			continue
		}
		i, d := parseInterface(text, item.at)
		if d != nil {
			b.scope.add(d)
			continue
		}
		list = append(list, i)
	}
	return withoutCovered(list)
}

// withoutCovered removes the interfaces that another one in the list covers.
func withoutCovered(list []Interface) []Interface {
	var kept []Interface
	for n, i := range list {
		others := append(append([]Interface{}, kept...), list[n+1:]...)
		if !coveredBy(i, others) {
			kept = append(kept, i)
		}
	}
	return kept
}

func (b *body) prefixes(name string) []netip.Prefix {
	var list []netip.Prefix
	for _, item := range b.list(name) {
		text, ok := b.asString(item, "An address of the host is written as a string, such as \"203.0.113.7\".")
		if !ok {
			continue
		}
		span, problem := parseSpan(text)
		if problem != nil {
			b.scope.add(mistake(item.at, strings.Replace(problem.summary, "Not a source", "Not an address", 1), "%s", problem.detail))
			continue
		}
		p, ok := netipx.IPRangeFrom(span.First, span.Last).Prefix()
		if !ok {
			b.scope.add(mistake(item.at, "Not an address", "%s takes addresses and CIDRs, not ranges: --ctorigdst cannot match a range.", name))
			continue
		}
		list = append(list, p)
	}
	return list
}

func (b *body) ports(name string) []Ports {
	var list []Ports
	for _, item := range b.list(name) {
		p, wrong := parsePorts(item.value)
		text := b.scope.loader.text(item.at)
		if subtraction.MatchString(text) {
			wrong = &problem{"Not a port", fmt.Sprintf("%s is a subtraction. Write the range in quotes: %q.", text, strings.ReplaceAll(text, " ", ""))}
		}
		if wrong == nil && exponent.MatchString(text) {
			wrong = &problem{"Not a port", fmt.Sprintf("%s is not a port. %s Write %d.", text, portForms, p.First)}
		}
		if wrong != nil {
			b.scope.add(mistake(item.at, wrong.summary, "%s", wrong.detail))
			continue
		}
		p.Range = item.at
		list = append(list, p)
	}
	return list
}

// exponent is a number such as 8e1.
var exponent = regexp.MustCompile(`^[0-9.]+[eE][+-]?[0-9]+$`)

// subtraction is a range of ports without its quotes.
var subtraction = regexp.MustCompile(`^[0-9]+ *- *[0-9]+$`)

const portForms = "A port is written as Docker writes it: 443, \"53/udp\" or \"8000-8010/tcp\"."

func parsePorts(val cty.Value) (Ports, *problem) {
	switch {
	case val.Type() == cty.Number:
		text := val.AsBigFloat().Text('f', -1)
		if !val.AsBigFloat().IsInt() || val.AsBigFloat().Cmp(big.NewFloat(1e9)) > 0 {
			return Ports{}, &problem{"Not a port", fmt.Sprintf("%s is not a port. %s", text, portForms)}
		}
		return parsePortText(text)
	case val.Type() == cty.String:
		return parsePortText(val.AsString())
	}
	return Ports{}, &problem{"Not a port", article(val.Type()) + " is not a port. " + portForms}
}

func parsePortText(text string) (Ports, *problem) {
	numbers, proto, slash := strings.Cut(text, "/")
	p := Ports{Protocol: TCP}
	if slash {
		switch proto {
		case "tcp":
		case "udp":
			p.Protocol = UDP
		case "sctp":
			p.Protocol = SCTP
		default:
			return p, &problem{"No such protocol", fmt.Sprintf("%q is not a protocol with ports. Use tcp, udp or sctp.%s", proto, protocolHint(proto)+portHint(text))}
		}
	}
	first, last, dash := strings.Cut(numbers, "-")
	if !dash {
		last = first
	}
	a, okA := number(first)
	z, okZ := number(last)
	switch {
	case !okA || !okZ:
		return p, &problem{"Not a port", fmt.Sprintf("%q is not a port. %s%s", text, portForms, portHint(text))}
	case a < 1 || a > 65535 || z < 1 || z > 65535:
		return p, &problem{"A port out of range", fmt.Sprintf("%s: ports go from 1 to 65535.", text)}
	case z < a:
		return p, &problem{"A reversed range", fmt.Sprintf("The range %s ends before it starts. Did you mean %d-%d?", text, z, a)}
	}
	p.First, p.Last = uint16(a), uint16(z)
	return p, nil
}

// number reads a number as people write it: digits, without a sign or leading zeros.
func number(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && strconv.Itoa(n) == text
}

func (b *body) endpoints(name string) []Endpoint {
	var list []Endpoint
	for _, item := range b.list(name) {
		if item.value.Type() == cty.Number {
			if p, problem := parsePorts(item.value); problem != nil {
				b.scope.add(mistake(item.at, problem.summary, "%s", problem.detail))
			} else {
				p.Range = item.at
				list = append(list, Endpoint{Ports: p, Range: item.at})
			}
			continue
		}
		text, ok := b.asString(item, endpointForms)
		if !ok {
			continue
		}
		e, err := ParseEndpoint(text)
		if err != nil {
			b.scope.add(mistake(item.at, "Not a destination", "%s", err))
			continue
		}
		e.Range, e.Ports.Range = item.at, item.at
		list = append(list, e)
	}
	return list
}

const endpointForms = "A destination is [address:]port[/proto]: \"443\", \"53/udp\", \"203.0.113.7:5432\" or \"[2001:db8::7]:443/tcp\"."

// ParseEndpoint reads [address:]port[/proto]; an IPv6 address is in brackets.
func ParseEndpoint(text string) (Endpoint, error) {
	var e Endpoint
	port := text
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		address := text[:i]
		port = text[i+1:]
		if inner, ok := strings.CutPrefix(address, "["); ok {
			if inner, ok = strings.CutSuffix(inner, "]"); !ok {
				return e, fmt.Errorf("%q has a bracket that is not closed. %s", text, endpointForms)
			}
			address = inner
		} else if strings.Contains(address, ":") {
			return e, fmt.Errorf("%q has an IPv6 address without brackets. %s", text, endpointForms)
		}
		a, problem := parseAddress(address)
		if problem != nil {
			return e, fmt.Errorf("%q is not an address. %s", address, endpointForms)
		}
		e.Address = a
	}
	p, problem := parsePortText(port)
	if problem != nil {
		return e, fmt.Errorf("%s", problem.detail)
	}
	e.Ports = p
	return e, nil
}
