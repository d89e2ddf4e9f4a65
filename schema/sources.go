package schema

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"go4.org/netipx"
)

// sources evaluates an expression of sources: an address, a CIDR, a range, any, a
// set, or nested lists of these. It returns nil after a mistake.
func (s *scope) sources(expr hcl.Expression, ctx *hcl.EvalContext) *Sources {
	c := &collector{scope: s, ctx: ctx, out: &Sources{Range: expr.Range()}, list: &List{File: expr.Range().Filename}}
	c.expression(expr)
	if c.failed {
		return nil
	}
	if c.list.Len() > 0 {
		c.out.Lists = append(c.out.Lists, *c.list)
	}
	if !c.out.Any && len(c.out.Lists) == 0 && len(c.out.Sets) == 0 {
		s.add(mistake(expr.Range(), "No sources",
			"This list is empty. Write any for everybody; to match nobody, remove the block."))
		return nil
	}
	return c.out
}

// collector collects the sources of one expression.
type collector struct {
	scope  *scope
	ctx    *hcl.EvalContext
	out    *Sources
	list   *List
	failed bool
}

// expression walks the lists that are written out, so that each element keeps
// its own place, and evaluates what is left.
func (c *collector) expression(expr hcl.Expression) {
	if text, ok := literal(expr); ok {
		c.text(text, expr.Range())
		return
	}
	if tuple, ok := expr.(*hclsyntax.TupleConsExpr); ok {
		for _, e := range tuple.Exprs {
			c.expression(e)
		}
		return
	}
	if elements, diags := hcl.ExprList(expr); !diags.HasErrors() && !generated(expr) {
		for _, e := range elements {
			c.expression(e)
		}
		return
	}
	val := c.scope.value(expr, c.ctx)
	if val == cty.DynamicVal {
		c.failed = true // reported by value
		return
	}
	c.value(val, expr.Range())
}

// generated reports whether an expression comes from a dynamic block's content: it knows
// the block's iterator, but its elements on their own do not.
func generated(expr hcl.Expression) bool {
	_, ok := expr.(interface{ UnwrapExpression() hcl.Expression })
	return ok
}

// literal returns the text of a plain quoted string without evaluating it: the
// lists of real policies contain nothing else, and evaluation is ten times slower.
func literal(expr hcl.Expression) (string, bool) {
	t, ok := expr.(*hclsyntax.TemplateExpr)
	if !ok || len(t.Parts) != 1 {
		return "", false
	}
	v, ok := t.Parts[0].(*hclsyntax.LiteralValueExpr)
	if !ok || v.Val.Type() != cty.String || v.Val.IsNull() {
		return "", false
	}
	return v.Val.AsString(), true
}

func (c *collector) value(val cty.Value, at hcl.Range) {
	ty := val.Type()
	switch {
	case val.IsNull():
		c.fail(mistake(at, "No sources", "The value is null. Write a list of sources, or any."))
	case !val.IsKnown():
		c.fail(mistake(at, "Invalid value", "This value is not known. Sources must be known when the policy is compiled."))
	case ty == setType:
		set := val.EncapsulatedValue().(*Set)
		c.out.Sets = append(c.out.Sets, SetRef{Set: set, Range: at})
	case ty == anyType:
		c.out.Any = true
	case ty == cty.String:
		c.text(val.AsString(), at)
	case ty.IsListType(), ty.IsTupleType(), ty.IsSetType():
		for it := val.ElementIterator(); it.Next(); {
			_, e := it.Element()
			c.value(e, at)
		}
	default:
		c.fail(mistake(at, "Not a source", "%s is not a source. %s", article(ty), sourceForms))
	}
}

const sourceForms = "A source is an address, a CIDR, a range such as \"10.0.0.1-10.0.0.9\", a set, any, or a list of these."

// article returns a type's name with its article.
func article(ty cty.Type) string {
	name := ty.FriendlyName()
	if strings.ContainsRune("aeiou", rune(name[0])) {
		return "An " + name
	}
	return "A " + name
}

func (c *collector) fail(d *hcl.Diagnostic) {
	c.failed = true
	c.scope.add(d)
}

func (c *collector) text(text string, at hcl.Range) {
	if text == "any" {
		c.out.Any = true
		return
	}
	span, problem := parseSpan(text)
	if problem != nil {
		detail := problem.detail
		if c.scope.sets[text] != nil {
			detail += fmt.Sprintf(" Did you mean set.%s, without quotes?", text)
		}
		c.fail(mistake(at, problem.summary, "%s", detail))
		return
	}
	span.Line, span.Range = at.Start.Line, &at
	c.list.add(span)
}

// problem is what is wrong with a text, without its place.
type problem struct{ summary, detail string }

// parseSpan reads one source: an address, a CIDR or a range. An error suggests the form
// that was probably meant.
func parseSpan(text string) (Span, *problem) {
	span, p := parseSpanOnly(text)
	if p != nil {
		p.detail += sourceHint(text)
	}
	return span, p
}

func parseSpanOnly(text string) (Span, *problem) {
	if i := strings.IndexByte(text, '/'); i >= 0 {
		return parseCIDR(text)
	}
	if i := strings.IndexByte(text, '-'); i >= 0 {
		return parseRange(text, text[:i], text[i+1:])
	}
	a, p := parseAddress(text)
	return Span{First: a, Last: a}, p
}

func parseAddress(text string) (netip.Addr, *problem) {
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return a, &problem{"Not a source", fmt.Sprintf("%q is not an address, a CIDR or a range.", text)}
	case a.Zone() != "":
		return a, &problem{"Not a source", fmt.Sprintf("%q has a zone (%%%s). Write only the address; an interface is matched with external.", text, a.Zone())}
	case a.Is4In6():
		return a, &problem{"Not a source", fmt.Sprintf("%q is an IPv4-mapped IPv6 address, which no packet has. Write %s.", text, a.Unmap())}
	}
	return a, nil
}

func parseCIDR(text string) (Span, *problem) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return Span{}, &problem{"Not a source", fmt.Sprintf("%q is not a CIDR: write an address, \"/\", and a prefix length from 0 to 32 (IPv4) or 128 (IPv6).", text)}
	}
	if a := p.Addr(); a.Is4In6() {
		const mapped = 96
		if p.Bits() >= mapped {
			return Span{}, &problem{"Not a source", fmt.Sprintf("%q is a network of IPv4-mapped IPv6 addresses, which no packet has. Write %s.", text, netip.PrefixFrom(a.Unmap(), p.Bits()-mapped).Masked())}
		}
		return Span{}, &problem{"Not a source", fmt.Sprintf("%q has an IPv4-mapped IPv6 address, which no packet has.", text)}
	}
	if m := p.Masked(); m != p {
		return Span{}, &problem{"Host bits in a CIDR", fmt.Sprintf(
			"%s may mean the network %s or the one address %s. Write the one that you mean; iptables would silently take the network.", text, m, p.Addr())}
	}
	r := netipx.RangeOfPrefix(p)
	return Span{First: r.From(), Last: r.To()}, nil
}

func parseRange(text, first, last string) (Span, *problem) {
	a, problemA := parseAddress(strings.TrimSpace(first))
	b, problemB := parseAddress(strings.TrimSpace(last))
	switch {
	case problemA != nil && problemB != nil:
		_, generic := parseAddress(text)
		return Span{}, generic
	case problemA != nil || problemB != nil:
		return Span{}, &problem{"Not a source", fmt.Sprintf("%q is not a range: write two addresses, the lower one first, with \"-\" between them.", text)}
	case a.Is4() != b.Is4():
		return Span{}, &problem{"Not a source", fmt.Sprintf("The range %s starts in one address family and ends in the other.", text)}
	case b.Less(a):
		return Span{}, &problem{"A reversed range", fmt.Sprintf("The range %s ends before it starts. Did you mean %s-%s?", text, b, a)}
	}
	return Span{First: a, Last: b}, nil
}
