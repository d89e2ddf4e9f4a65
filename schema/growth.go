package schema

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// A short expression can need more memory than a machine has: format("%999999999s", ""),
// or setproduct of a few long lists. For these functions the size is checked first.

const (
	maxElements = 1_000_000 // of a setproduct
	maxPadding  = 10_000    // characters of a width, a precision or an indent
	maxText     = 64 << 20  // bytes of a text that join or replace makes
)

// limitedFunc wraps a function, which is then called only with what a check allows.
func limitedFunc(f function.Function, check func(args []cty.Value) error) function.Function {
	spec := &function.Spec{Description: f.Description(), Params: f.Params(), VarParam: f.VarParam()}
	spec.Type = func(args []cty.Value) (cty.Type, error) { // which comes first, and may need the value
		for _, a := range args {
			if !a.IsWhollyKnown() || a.IsNull() {
				return f.ReturnTypeForValues(args)
			}
		}
		if err := check(args); err != nil {
			return cty.DynamicPseudoType, err
		}
		return f.ReturnTypeForValues(args)
	}
	spec.Impl = func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f.Call(args) }
	return function.New(spec)
}

var (
	setProductFunc = limitedFunc(stdlib.SetProductFunc, checkProduct)
	formatFunc     = limitedFunc(stdlib.FormatFunc, checkFormat)
	formatListFunc = limitedFunc(stdlib.FormatListFunc, checkFormat)
	indentFunc     = limitedFunc(stdlib.IndentFunc, checkIndent)
	joinFunc       = limitedFunc(stdlib.JoinFunc, checkJoin)
	replaceFunc    = limitedFunc(stdlib.ReplaceFunc, checkReplace)
	jsonDecodeFunc = limitedFunc(stdlib.JSONDecodeFunc, checkJSON)
)

func checkProduct(args []cty.Value) error {
	total := 1
	for _, a := range args {
		if total *= a.LengthInt(); total > maxElements {
			return fmt.Errorf("the product would have more than %d elements", maxElements)
		}
	}
	return nil
}

// padding is a width or a precision in a format.
var padding = regexp.MustCompile(`%[-+# 0]*(\d*)(?:\.(\d*))?`)

func checkFormat(args []cty.Value) error {
	for _, m := range padding.FindAllStringSubmatch(args[0].AsString(), -1) {
		for _, digits := range m[1:] {
			if n, err := strconv.Atoi(digits); digits != "" && (err != nil || n > maxPadding) {
				return fmt.Errorf("a width of %s is larger than %d", digits, maxPadding)
			}
		}
	}
	return nil
}

func checkIndent(args []cty.Value) error {
	if args[0].AsBigFloat().Cmp(cty.NumberIntVal(maxPadding).AsBigFloat()) <= 0 {
		return nil
	}
	return fmt.Errorf("the indentation is larger than %d", maxPadding)
}

func checkJoin(args []cty.Value) error {
	total := 0
	for _, list := range args[1:] {
		for it := list.ElementIterator(); it.Next(); {
			if _, e := it.Element(); !e.IsNull() && e.Type() == cty.String {
				total += len(e.AsString()) + len(args[0].AsString())
			}
		}
	}
	return checkSize(total)
}

func checkReplace(args []cty.Value) error {
	text, old, fresh := args[0].AsString(), args[1].AsString(), args[2].AsString()
	return checkSize((len(text)/max(1, len(old)) + 1) * len(fresh))
}

func checkSize(size int) error {
	if size > maxText {
		return fmt.Errorf("the text would be larger than %d MiB", maxText>>20)
	}
	return nil
}

func checkJSON(args []cty.Value) error {
	if depth, _ := deepestJSON([]byte(args[0].AsString())); depth > maxNesting {
		return fmt.Errorf("it is nested deeper than %d", maxNesting)
	}
	return nil
}
