package schema

import (
	"fmt"
	"reflect"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// A set and the word any are opaque values in expressions: they can be passed
// on, selected and put into lists, but never turned into text. So a set of a
// million addresses is a single value to an expression.
var (
	setType = cty.Capsule("set", reflect.TypeFor[Set]())
	anyType = cty.Capsule("any", reflect.TypeFor[anySource]())
)

// anySource is what the word any evaluates to: a type of its own, so that an
// expression can tell it from a set.
type anySource struct{ _ byte }

var anyValue = cty.CapsuleVal(anyType, &anySource{})

var rootSchema = topLevel()

// scope holds the names that expressions can use, in the order in which they
// become known: variables, then locals and sets as they depend on each other.
type scope struct {
	loader *loader
	vars   map[string]cty.Value
	locals map[string]*pending
	sets   map[string]*pending
	order  []*Set // evaluated sets, later sorted as declared
	diags  hcl.Diagnostics
	ctx    *hcl.EvalContext // complete once all is evaluated
}

// pending is a local or a set that may not be evaluated yet.
type pending struct {
	kind, name string
	expr       hcl.Expression // of a local
	block      *hcl.Block     // of a set
	state      int            // see the constants
	value      cty.Value
	at         hcl.Range
}

const (
	untouched = iota
	inProgress
	evaluated
)

func (l *loader) document() (*Document, hcl.Diagnostics) {
	blocks, diags := l.blocks()
	vars, more := l.variables(blocks["variable"])
	diags = append(diags, more...)
	s := &scope{loader: l, vars: vars, locals: map[string]*pending{}, sets: map[string]*pending{}}
	s.declare(blocks)
	s.evaluateAll(blocks["set"])
	doc := s.decode(blocks)
	return doc, append(diags, s.diags...)
}

// blocks merges the top-level blocks of all files.
func (l *loader) blocks() (map[string]hcl.Blocks, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	byType := map[string]hcl.Blocks{}
	for _, f := range l.files {
		content, more := f.Body.Content(rootSchema)
		diags = append(diags, more...)
		for _, b := range content.Blocks {
			byType[b.Type] = append(byType[b.Type], b)
		}
	}
	return byType, diags
}

func (s *scope) add(d ...*hcl.Diagnostic) {
	for _, one := range d {
		if one != nil && !s.said(one) {
			s.diags = append(s.diags, one)
		}
	}
}

// said reports whether a diagnostic is one of the latest: an attribute may be evaluated
// more than once.
func (s *scope) said(d *hcl.Diagnostic) bool {
	const latest = 4
	for _, x := range s.diags[max(0, len(s.diags)-latest):] {
		if x.Summary == d.Summary && x.Detail == d.Detail && x.Subject != nil && d.Subject != nil && *x.Subject == *d.Subject {
			return true
		}
	}
	return false
}

// declare collects the names of locals and sets without evaluating any.
func (s *scope) declare(blocks map[string]hcl.Blocks) {
	for _, b := range blocks["locals"] {
		attrs, diags := b.Body.JustAttributes()
		s.add(diags...)
		for name, a := range attrs {
			if first, ok := s.locals[name]; ok {
				s.add(duplicate("local", name, a.NameRange, first.at))
				continue
			}
			s.locals[name] = &pending{kind: "local", name: name, expr: a.Expr, at: a.NameRange}
		}
	}
	for _, b := range blocks["set"] {
		name := b.Labels[0]
		s.add(checkName("set", name, b.LabelRanges[0])...)
		if first, ok := s.sets[name]; ok {
			s.add(duplicate("set", name, b.LabelRanges[0], first.at))
			continue
		}
		s.sets[name] = &pending{kind: "set", name: name, block: b, at: b.DefRange}
	}
}

// evaluateAll evaluates every local and set, each after those that it uses, and
// then makes the context in which all other expressions are evaluated.
func (s *scope) evaluateAll(setBlocks hcl.Blocks) {
	for _, name := range keys(s.locals) {
		s.force(s.locals[name])
	}
	for _, b := range setBlocks {
		s.force(s.sets[b.Labels[0]])
	}
	s.ctx = s.context(nil)
}

// force evaluates a local or a set after everything that it uses.
func (s *scope) force(p *pending) {
	switch p.state {
	case evaluated:
		return
	case inProgress:
		s.add(mistake(p.at, "Circular reference", "The %s %q refers to itself.", p.kind, p.name))
		p.state, p.value = evaluated, cty.DynamicVal
		return
	}
	p.state = inProgress
	if p.expr != nil {
		s.forceAll(p.expr.Variables())
		if p.state != evaluated {
			p.value = s.value(p.expr, s.context(append([]hcl.Traversal{}, p.expr.Variables()...)))
		}
	} else {
		content, diags := p.block.Body.Content(setSchema)
		s.add(diags...)
		used := []hcl.Traversal{}
		for _, a := range content.Attributes {
			used = append(used, a.Expr.Variables()...)
		}
		s.forceAll(used)
		if p.state != evaluated {
			p.value = s.decodeSet(p, content, s.context(used))
		}
	}
	p.state = evaluated
}

func (s *scope) forceAll(traversals []hcl.Traversal) {
	for _, t := range traversals {
		if p := s.target(t); p != nil {
			s.force(p)
		}
	}
}

// target is the local or set that a traversal such as set.office starts with.
func (s *scope) target(t hcl.Traversal) *pending {
	if len(t) < 2 {
		return nil
	}
	name := stepName(t[1])
	switch t.RootName() {
	case "local":
		return s.locals[name]
	case "set":
		return s.sets[name]
	}
	return nil
}

func stepName(step hcl.Traverser) string {
	switch step := step.(type) {
	case hcl.TraverseAttr:
		return step.Name
	case hcl.TraverseIndex:
		if step.Key.Type() == cty.String && step.Key.IsKnown() {
			return step.Key.AsString()
		}
	}
	return ""
}

// context returns the evaluation context with everything known so far. If
// traversals are given, it has only the locals and sets that they refer to, so
// that evaluating n locals does not build n contexts of n names.
func (s *scope) context(only []hcl.Traversal) *hcl.EvalContext {
	locals, sets := map[string]cty.Value{}, map[string]cty.Value{}
	take := func(p *pending) {
		if p == nil || p.state != evaluated {
			return
		}
		if p.kind == "local" {
			locals[p.name] = p.value
		} else {
			sets[p.name] = p.value
		}
	}
	if only != nil {
		for _, t := range only {
			take(s.target(t))
		}
	} else {
		for _, p := range s.locals {
			take(p)
		}
		for _, p := range s.sets {
			take(p)
		}
	}
	return &hcl.EvalContext{Functions: functions, Variables: map[string]cty.Value{
		"var": cty.ObjectVal(s.vars), "local": cty.ObjectVal(locals), "set": cty.ObjectVal(sets), "any": anyValue,
	}}
}

// value evaluates an expression. A name that does not exist is reported with the
// nearest one; a value that stays unknown was reported where it arose.
func (s *scope) value(expr hcl.Expression, ctx *hcl.EvalContext) cty.Value {
	if !s.namesExist(expr, ctx) {
		return cty.DynamicVal
	}
	val, diags := expr.Value(ctx)
	s.add(diags...)
	if diags.HasErrors() {
		return cty.DynamicVal
	}
	return val
}

// namesExist checks the first two steps of every name in an expression against
// what is declared, because HCL's own message suggests nothing.
func (s *scope) namesExist(expr hcl.Expression, ctx *hcl.EvalContext) bool {
	good := true
	for _, t := range expr.Variables() {
		root := t.RootName()
		var names func() []string // sorted, for a message alone
		var has func(string) bool
		switch root {
		case "var":
			names, has = namesOf(s.vars)
		case "local":
			names, has = namesOf(s.locals)
		case "set":
			names, has = namesOf(s.sets)
		default:
			if !known(root, ctx) && !generated(expr) { // it may be a dynamic block's iterator
				good = false
				s.add(s.unknownName(root, t.SourceRange()))
			}
			continue
		}
		if len(t) < 2 {
			continue
		}
		name := stepName(t[1])
		if name == "" || has(name) {
			continue
		}
		good = false
		kind := map[string]string{"var": "variable", "local": "local", "set": "set"}[root]
		d := mistake(t.SourceRange(), fmt.Sprintf("No such %s", kind), "There is no %s %q.%s", kind, name, didYouMean(name, names()))
		s.add(s.loader.misspelled(d, t[1], name, names()))
	}
	return good
}

// namesOf returns what lists the names of a map, and what looks one up.
func namesOf[T any](m map[string]T) (list func() []string, has func(string) bool) {
	return func() []string { return keys(m) }, func(name string) bool {
		_, ok := m[name]
		return ok
	}
}

// known reports whether a context, or one of its parents, has a name.
func known(root string, ctx *hcl.EvalContext) bool {
	for ; ctx != nil; ctx = ctx.Parent() {
		if _, ok := ctx.Variables[root]; ok {
			return true
		}
	}
	return false
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}
