package schema

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// EnvPrefix starts the name of an environment variable that sets a variable.
const EnvPrefix = "SEAWALL_VAR_"

var variableSchema, validationSchema = bodyOf("variable"), bodyOf("validation")

// Unset is the Extra of the diagnostic for a variable without a value: there the policy is
// not wrong, but was asked for without it.
type Unset struct{ Variable string }

// variable is one variable block and its value.
type variable struct {
	name        string
	wanted      cty.Type
	defaults    *typeexpr.Defaults
	value       cty.Value // cty.NilVal while nothing has set it
	validations hcl.Blocks
	block       *hcl.Block
}

// variables decodes the blocks and sets the value of each: the default, then the
// environment, then variable files in order, then --var in order.
func (l *loader) variables(blocks hcl.Blocks) (map[string]cty.Value, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	vars := map[string]*variable{}
	for _, b := range blocks {
		v, more := decodeVariable(b)
		diags = append(diags, more...)
		if first, ok := vars[v.name]; ok {
			diags = append(diags, duplicate("variable", v.name, b.LabelRanges[0], first.block.DefRange))
			continue
		}
		vars[v.name] = v
	}
	diags = append(diags, l.fromEnv(vars)...)
	for _, file := range l.opt.VarFiles {
		diags = append(diags, l.fromVarFile(vars, file)...)
	}
	for _, given := range l.opt.Vars {
		diags = append(diags, fromFlag(vars, given)...)
	}
	values := map[string]cty.Value{}
	for name, v := range vars {
		if v.value == cty.NilVal {
			d := mistake(v.block.DefRange, "A variable without a value",
				"Variable %q has no default, so it must be set: with --var %s=VALUE, in a file given with --var-file, or as %s%s in the environment.",
				name, name, EnvPrefix, name)
			d.Extra = Unset{name}
			diags = append(diags, d)
			values[name] = cty.DynamicVal
			continue
		}
		values[name] = v.value
	}
	for _, v := range vars {
		diags = append(diags, v.validate(values)...)
	}
	return values, diags
}

func decodeVariable(b *hcl.Block) (*variable, hcl.Diagnostics) {
	v := &variable{name: b.Labels[0], wanted: cty.DynamicPseudoType, block: b}
	diags := checkName("variable", v.name, b.LabelRanges[0])
	content, more := b.Body.Content(variableSchema)
	diags = append(diags, more...)
	if a, ok := content.Attributes["type"]; ok {
		ty, defaults, more := typeexpr.TypeConstraintWithDefaults(a.Expr)
		diags = append(diags, more...)
		if !more.HasErrors() {
			v.wanted, v.defaults = ty, defaults
		}
	}
	if a, ok := content.Attributes["default"]; ok {
		val, more := a.Expr.Value(&hcl.EvalContext{Functions: functions})
		diags = append(diags, more...)
		if !more.HasErrors() {
			diags = append(diags, v.set(val, &hcl.Diagnostic{Subject: a.Expr.Range().Ptr()})...)
		} else {
			v.value = cty.DynamicVal
		}
	}
	v.validations = content.Blocks
	return v, diags
}

// set converts a value to the variable's type. An error states where the value
// came from.
func (v *variable) set(val cty.Value, at *hcl.Diagnostic) hcl.Diagnostics {
	if v.defaults != nil && !val.IsNull() {
		val = v.defaults.Apply(val)
	}
	got, err := convert.Convert(val, v.wanted)
	if err != nil {
		v.value = cty.DynamicVal
		return hcl.Diagnostics{{
			Severity: hcl.DiagError, Subject: at.Subject,
			Summary: "A value of the wrong type",
			Detail: fmt.Sprintf("Variable %q takes %s: %s%s.", v.name,
				typeexpr.TypeString(v.wanted), err, at.Detail),
		}}
	}
	v.value = got
	return nil
}

func (v *variable) validate(values map[string]cty.Value) hcl.Diagnostics {
	var diags hcl.Diagnostics
	ctx := &hcl.EvalContext{Functions: functions,
		Variables: map[string]cty.Value{"var": cty.ObjectVal(map[string]cty.Value{v.name: values[v.name]})}}
	for _, b := range v.validations {
		content, more := b.Body.Content(validationSchema)
		diags = append(diags, more...)
		cond, msg := content.Attributes["condition"], content.Attributes["error_message"]
		if cond == nil || msg == nil {
			continue
		}
		ok, more := cond.Expr.Value(ctx)
		diags = append(diags, more...)
		text, moreText := msg.Expr.Value(ctx)
		diags = append(diags, moreText...)
		if more.HasErrors() || moreText.HasErrors() || !ok.IsKnown() {
			continue
		}
		ok, err := convert.Convert(ok, cty.Bool)
		if err != nil || ok.IsNull() {
			diags = append(diags, mistake(cond.Expr.Range(), "Not a condition", "A condition must be true or false."))
			continue
		}
		if ok.True() {
			continue
		}
		detail := "The value does not meet the variable's condition."
		if text.Type() == cty.String && !text.IsNull() && text.IsKnown() {
			detail = text.AsString()
		}
		diags = append(diags, mistake(cond.Expr.Range(), fmt.Sprintf("Invalid value for variable %q", v.name), "%s", detail))
	}
	return diags
}

// parseGiven reads the text of --var or the environment as Terraform does: a
// string variable, or one without a type, takes the text unchanged, any other an
// HCL expression.
func (v *variable) parseGiven(text, origin string) hcl.Diagnostics {
	at := &hcl.Diagnostic{Detail: ", in " + origin}
	if v.wanted == cty.String || v.wanted == cty.DynamicPseudoType {
		return v.set(cty.StringVal(text), at)
	}
	if d := checkText(origin, []byte(text), false); d != nil {
		v.value = cty.DynamicVal
		return hcl.Diagnostics{failure(d.Summary, d.Detail+" It is "+origin+".")}
	}
	expr, diags := hclsyntax.ParseExpression([]byte(text), origin, hcl.InitialPos)
	if diags.HasErrors() {
		v.value = cty.DynamicVal
		return hcl.Diagnostics{failure("A value that is not an expression",
			fmt.Sprintf("Variable %q takes %s, written as in a policy; %s is not: %s", v.name, typeexpr.TypeString(v.wanted), origin, diags[0].Detail))}
	}
	val, diags := expr.Value(nil)
	if diags.HasErrors() {
		v.value = cty.DynamicVal
		return hcl.Diagnostics{failure("A value that is not an expression",
			fmt.Sprintf("Variable %q takes %s: %s (in %s)", v.name, typeexpr.TypeString(v.wanted), diags[0].Detail, origin))}
	}
	return v.set(val, at)
}

func (l *loader) fromEnv(vars map[string]*variable) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, pair := range l.opt.Env {
		name, text, _ := strings.Cut(pair, "=")
		name, ok := strings.CutPrefix(name, EnvPrefix)
		// An environment is shared with other programs: a name that this
		// policy does not have is not a mistake there.
		if v := vars[name]; ok && v != nil {
			diags = append(diags, v.parseGiven(text, EnvPrefix+name)...)
		}
	}
	return diags
}

func fromFlag(vars map[string]*variable, given string) hcl.Diagnostics {
	name, text, ok := strings.Cut(given, "=")
	if !ok {
		return hcl.Diagnostics{failure("--var without a value", fmt.Sprintf("Write --var %s=VALUE.", given))}
	}
	v := vars[name]
	if v == nil {
		return hcl.Diagnostics{failure("No such variable",
			fmt.Sprintf("--var sets %q, but the policy has no variable of that name.%s", name, didYouMean(name, keys(vars))))}
	}
	return v.parseGiven(text, "--var "+name)
}

func (l *loader) fromVarFile(vars map[string]*variable, path string) hcl.Diagnostics {
	src, err := l.readFile(path, false)
	if err != nil {
		return hcl.Diagnostics{failure("Cannot read the variable file", fmt.Sprintf("%s: %s. The name of a variable file ends in .vars.hcl or .vars.json.", shown(path), reason(err)))}
	}
	f, diags := l.parseFile(path, src)
	if f == nil || diags.HasErrors() {
		return diags
	}
	attrs, more := f.Body.JustAttributes()
	diags = append(diags, more...)
	for name, a := range attrs {
		v := vars[name]
		if v == nil {
			diags = append(diags, mistake(a.NameRange, "No such variable",
				"The policy has no variable %q.%s", name, didYouMean(name, keys(vars))))
			continue
		}
		val, more := a.Expr.Value(&hcl.EvalContext{Functions: functions})
		diags = append(diags, more...)
		if !more.HasErrors() {
			diags = append(diags, v.set(val, &hcl.Diagnostic{Subject: a.Expr.Range().Ptr()})...)
		} else {
			v.value = cty.DynamicVal
		}
	}
	return diags
}
